//! A disk that can fail or be slow, in any range, at any moment.
//!
//! ```text
//! file in /tmp ── loop device ── t1disk1-core (linear, error, flakey, delay) ── t1disk1 (linear), what the program gets
//!                      └── t1disk1-gate (linear, suspended while ranges are paused) ──┘
//! ```
//!
//! Faults are put into the core, so that the disk itself causes no event of udev when it breaks:
//! real ones do not either. The first mebibyte of the core is not part of the disk, so that neither
//! loop device nor core look like a clone of it.

use super::dm::{Dm, Line};
use super::loops::Loop;
use super::{MIB, block};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What dm UUIDs of ours start with, by which leftovers are known.
pub const UUID: &str = "BOTEST-";

const SECTOR: u64 = 512;

/// What a range of a disk does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Reads and writes fail.
    Fail,
    /// Writes and flushes fail, reads work.
    FailWrites,
    /// Reads and writes take so many milliseconds each.
    Slow { read: u32, write: u32 },
    /// Reads and writes (not flushes) wait until the disk is healed (then they are done) or gets
    /// another fault (then they fail). A sync that meets it cannot end, however slow the day is;
    /// but nothing else that has to wait for the region can, either.
    Paused,
    /// The same for writes alone.
    PausedWrites,
}

/// What a disk lies on.
enum Beneath {
    Loop(Loop),
    /// A disk of the machine, where a test needs it after a reboot.
    Device(PathBuf),
}

impl Beneath {
    fn path(&self) -> &Path {
        match self {
            Beneath::Loop(device) => &device.path,
            Beneath::Device(path) => path,
        }
    }
}

/// A test disk.
pub struct Disk {
    /// Its dm name, such as `t1disk1`.
    pub name: String,
    pub size: u64,
    faults: Vec<(Range<u64>, Fault)>,
    gate: Option<u64>,
    beneath: Beneath,
}

impl Disk {
    /// Makes a disk of `size` bytes with the given sector size. It appears in `/dev/mapper` when
    /// udev gets to it.
    pub fn new(dm: &Dm, name: &str, size: u64, sector: u32) -> io::Result<Disk> {
        Disk::stack(
            dm,
            name,
            size,
            Beneath::Loop(Loop::new(size + MIB, sector)?),
        )
    }

    /// Makes a disk of all of a device but its first MiB.
    pub fn over(dm: &Dm, name: &str, device: &Path) -> io::Result<Disk> {
        Disk::stack(
            dm,
            name,
            block::size(device)? - MIB,
            Beneath::Device(device.into()),
        )
    }

    fn stack(dm: &Dm, name: &str, size: u64, beneath: Beneath) -> io::Result<Disk> {
        let disk = Disk {
            name: name.into(),
            size,
            faults: Vec::new(),
            gate: None,
            beneath,
        };
        let core = dm.create(&disk.core(), &format!("{UUID}{name}-core"))?;
        dm.load(&disk.core(), &disk.core_table()?)?;
        dm.resume(&disk.core())?;
        disk.appear(dm, core)?;
        Ok(disk)
    }

    fn appear(&self, dm: &Dm, core: u64) -> io::Result<()> {
        dm.create(&self.name, &format!("{UUID}{}", self.name))?;
        dm.load(&self.name, &[linear(0, self.size, core, MIB)])?;
        dm.activate(&self.name)
    }

    /// Pulls it out; nobody may have it open.
    pub fn unplug(&self, dm: &Dm) {
        super::lab::until(&format!("{} is closed and goes", self.name), || {
            dm.remove(&self.name).is_ok()
        });
        super::lab::until(&format!("udev takes {} away", self.word()), || {
            !self.path().exists()
        });
    }

    /// Puts it in again.
    pub fn plug(&self, dm: &Dm) {
        let core = dm
            .info(&self.core())
            .unwrap_or_else(|err| panic!("{}: {err}", self.core()))
            .dev;
        self.appear(dm, core)
            .unwrap_or_else(|err| panic!("{} cannot be plugged in: {err}", self.name));
        super::lab::until(&format!("udev makes {}", self.word()), || {
            self.path().exists()
        });
        super::udev::settle();
    }

    /// Its path, such as `/dev/mapper/t1disk1`.
    pub fn path(&self) -> PathBuf {
        PathBuf::from("/dev/mapper").join(&self.name)
    }

    /// The path as a word of a command line.
    pub fn word(&self) -> String {
        self.path().display().to_string()
    }

    fn core(&self) -> String {
        format!("{}-core", self.name)
    }

    fn gate_name(&self) -> String {
        format!("{}-gate", self.name)
    }

    /// Lets a range of it (bytes) do something from now on, beside what other ranges do.
    pub fn set(&mut self, dm: &Dm, range: Range<u64>, fault: Fault) {
        self.faults.push((range, fault));
        self.apply(dm);
    }

    /// Lets the whole disk do something from now on.
    pub fn set_all(&mut self, dm: &Dm, fault: Fault) {
        self.faults = vec![(0..self.size, fault)];
        self.apply(dm);
    }

    /// From now on it works.
    pub fn heal(&mut self, dm: &Dm) {
        if !self.faults.is_empty() {
            self.faults.clear();
            self.apply(dm);
        }
    }

    fn apply(&mut self, dm: &Dm) {
        self.try_apply(dm).unwrap_or_else(|err| {
            panic!(
                "{} cannot be switched to {:?}: {err}",
                self.name, self.faults
            )
        });
    }

    /// What is held goes through the gate when the core gets another table: on a disk that is
    /// healed it is done, on one that breaks it fails.
    fn try_apply(&mut self, dm: &Dm) -> io::Result<()> {
        let paused = self
            .faults
            .iter()
            .any(|(_, fault)| matches!(fault, Fault::Paused | Fault::PausedWrites));
        match self.gate {
            Some(_) => self.open_gate(dm, paused || self.faults.is_empty())?,
            None if paused => {
                self.gate =
                    Some(dm.create(&self.gate_name(), &format!("{UUID}{}-gate", self.name))?);
                self.open_gate(dm, true)?;
            }
            None => {}
        }
        dm.swap(&self.core(), &self.core_table()?)
    }

    fn open_gate(&self, dm: &Dm, works: bool) -> io::Result<()> {
        let size = self.size + MIB;
        let table = if works {
            linear(0, size, block::number(self.beneath.path())?, 0)
        } else {
            Line::new(0, size / SECTOR, "error", "")
        };
        dm.load(&self.gate_name(), &[table])?;
        dm.resume(&self.gate_name())
    }

    /// The table of the core: what is on top in `faults` wins.
    fn core_table(&self) -> io::Result<Vec<Line>> {
        let below = block::number(self.beneath.path())?;
        let mut edges: Vec<u64> = self
            .faults
            .iter()
            .flat_map(|(r, _)| [r.start, r.end])
            .chain([0, self.size])
            .collect();
        edges.sort_unstable();
        edges.dedup();
        let pieces = edges
            .windows(2)
            .map(|edge| self.piece(edge[0]..edge[1], below));
        Ok([linear(0, MIB, below, 0)]
            .into_iter()
            .chain(pieces)
            .collect())
    }

    /// A range of the disk, as a line of the core's table.
    fn piece(&self, range: Range<u64>, below: u64) -> Line {
        let (start, length) = (range.start + MIB, range.end - range.start);
        let here = at(below, start);
        let (target, params) = match self.fault_at(range.start) {
            None => ("linear", here),
            Some(Fault::Fail) => ("error", String::new()),
            Some(Fault::FailWrites) => ("flakey", format!("{here} 0 60 1 error_writes")),
            Some(Fault::Slow { read, write }) => ("delay", format!("{here} {read} {here} {write}")),
            // An hour for reads and writes, nothing for flushes: those are for the whole disk. A
            // new table lets all of them go.
            Some(fault @ (Fault::Paused | Fault::PausedWrites)) => {
                let gate = at(self.gate.unwrap_or(below), start);
                let reads = if fault == Fault::Paused { 3_600_000 } else { 0 };
                ("delay", format!("{gate} {reads} {gate} 3600000 {gate} 0"))
            }
        };
        Line::new(start / SECTOR, length / SECTOR, target, params)
    }

    fn fault_at(&self, at: u64) -> Option<Fault> {
        self.faults
            .iter()
            .rev()
            .find(|(range, _)| range.contains(&at))
            .map(|(_, fault)| *fault)
    }

    /// Its bytes as they are, whatever its faults: the file beneath knows no cache and no error.
    pub fn raw(&self, offset: u64, length: u64) -> Vec<u8> {
        let read = match &self.beneath {
            Beneath::Loop(device) => {
                let mut out = vec![0; usize::try_from(length).unwrap_or_default()];
                device
                    .file
                    .read_exact_at(&mut out, MIB + offset)
                    .map(|()| out)
            }
            Beneath::Device(path) => block::read_direct(path, MIB + offset, length),
        };
        read.unwrap_or_else(|err| panic!("reading {}: {err}", self.name))
    }

    /// Changes its bytes behind the kernel's back.
    pub fn raw_write(&self, offset: u64, bytes: &[u8]) {
        let written = match &self.beneath {
            Beneath::Loop(device) => device.file.write_all_at(bytes, MIB + offset),
            Beneath::Device(path) => block::write_direct(path, MIB + offset, bytes),
        };
        written.unwrap_or_else(|err| panic!("writing {}: {err}", self.name));
    }

    /// Takes its space back from the loop device; its dm devices are gone by then.
    pub fn clear(&self) -> io::Result<()> {
        match &self.beneath {
            Beneath::Loop(device) => device.clear(),
            Beneath::Device(_) => Ok(()),
        }
    }
}

fn linear(start: u64, length: u64, below: u64, offset: u64) -> Line {
    Line::new(start / SECTOR, length / SECTOR, "linear", at(below, offset))
}

fn at(below: u64, offset: u64) -> String {
    format!("{} {}", super::dm::number(below), offset / SECTOR)
}

//! Disks with a volatile write cache: what was not flushed may be lost, kept or torn by sector when
//! the power goes.

use super::{Fake, io};
use breakoff::model::{DevNo, Sectors};
use breakoff::sys::disk::{Candidate, Written};
use breakoff::sys::{Errno, Media};
use std::collections::BTreeMap;
use std::io as stdio;
use std::path::PathBuf;
use std::rc::Rc;

const SECTOR: u64 = 512;

/// The bytes of a sector; none is zeros.
pub type Sector = Option<Rc<[u8; 512]>>;

/// A disk.
#[derive(Clone)]
pub struct Disk {
    pub path: PathBuf,
    pub dev: DevNo,
    sectors: u64,
    durable: BTreeMap<u64, Rc<[u8; 512]>>,
    /// Each version of a sector since the last flush, the newest last.
    cache: BTreeMap<u64, Vec<Sector>>,
    /// All I/O fails.
    pub dead: bool,
    /// Nobody finds it.
    pub unplugged: bool,
    /// Sectors that can be neither read nor written.
    pub bad: Vec<std::ops::Range<u64>>,
    /// udev does not know that it is a disk of ours.
    pub unknown: bool,
    /// What the hardware calls it, if anything.
    pub serial: Option<u32>,
}

/// A sector that was written since the last flush: `versions` beside the old one (0) may be what
/// stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsynced {
    pub disk: usize,
    pub sector: u64,
    pub versions: usize,
}

impl Disk {
    pub fn new(at: usize, mib: u32) -> Disk {
        Disk {
            path: format!("/dev/fake{}", at + 1).into(),
            dev: DevNo {
                major: super::dm::DISK_MAJOR,
                minor: at as u32,
            },
            sectors: Sectors::mib(mib).get(),
            durable: BTreeMap::new(),
            cache: BTreeMap::new(),
            dead: false,
            unplugged: false,
            bad: Vec::new(),
            unknown: false,
            serial: None,
        }
    }

    pub fn size(&self) -> Sectors {
        Sectors::new(self.sectors).unwrap_or_default()
    }

    pub fn candidate(&self) -> Candidate {
        let name = self
            .path
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        Candidate {
            name,
            path: self.path.clone(),
            dev: self.dev,
            size: self.size(),
            logical_block: 512,
            beneath: Vec::new(),
        }
    }

    /// Whether there is an answer other than an error.
    pub fn answers(&self) -> bool {
        !(self.dead || self.unplugged)
    }

    /// The same of a sector.
    pub fn takes(&self, sector: u64) -> bool {
        self.answers() && !self.bad.iter().any(|bad| bad.contains(&sector))
    }

    /// What a read returns.
    pub fn read(&self, sector: u64) -> Sector {
        match self.cache.get(&sector).and_then(|versions| versions.last()) {
            Some(cached) => cached.clone(),
            None => self.durable.get(&sector).cloned(),
        }
    }

    /// A write that is acknowledged only when it is durable.
    pub fn write_through(&mut self, sector: u64, bytes: Sector) {
        self.cache.remove(&sector);
        match bytes {
            Some(bytes) => self.durable.insert(sector, bytes),
            None => self.durable.remove(&sector),
        };
    }

    /// It becomes larger, as a volume of a storage array does.
    pub fn enlarge(&mut self, by: Sectors) {
        self.sectors += by.get();
    }

    /// Somebody writes zeroes over the private area.
    pub fn lose_label(&mut self) {
        let area = Sectors::mib(1).get();
        self.cache.retain(|sector, _| *sector >= area);
        self.durable.retain(|sector, _| *sector >= area);
    }

    /// Another disk with the same contents.
    pub fn copied(&self, at: usize) -> Disk {
        let mut copy = Disk::new(at, 1);
        (copy.sectors, copy.durable, copy.cache) =
            (self.sectors, self.durable.clone(), self.cache.clone());
        copy
    }

    /// Whether it says of itself what it is.
    pub fn has_label(&self) -> bool {
        self.read(8).is_some() || self.read(16).is_some()
    }

    fn write(&mut self, sector: u64, bytes: &[u8]) {
        let mut whole = [0; 512];
        whole.copy_from_slice(bytes);
        let bytes = (whole != [0; 512]).then(|| Rc::new(whole));
        if self.read(sector) != bytes || self.cache.contains_key(&sector) {
            self.cache.entry(sector).or_default().push(bytes);
        }
    }

    fn flush(&mut self) {
        for (sector, mut versions) in std::mem::take(&mut self.cache) {
            match versions.pop().flatten() {
                Some(bytes) => self.durable.insert(sector, bytes),
                None => self.durable.remove(&sector),
            };
        }
    }

    /// The sectors that a power cut may lose.
    pub fn unsynced(&self, disk: usize) -> Vec<Unsynced> {
        self.cache
            .iter()
            .map(|(sector, versions)| Unsynced {
                disk,
                sector: *sector,
                versions: versions.len(),
            })
            .collect()
    }

    pub fn lose_power(&mut self, disk: usize, kept: &mut dyn FnMut(Unsynced) -> usize) {
        for (sector, versions) in std::mem::take(&mut self.cache) {
            let version = kept(Unsynced {
                disk,
                sector,
                versions: versions.len(),
            });
            if let Some(bytes) = version.checked_sub(1).and_then(|at| versions.get(at)) {
                self.write_through(sector, bytes.clone());
            }
        }
    }
}

/// A disk as a command opens it.
pub struct FakeMedia(pub Fake, pub usize);

impl FakeMedia {
    fn alive(&self) -> stdio::Result<()> {
        self.takes(0)
    }

    fn takes(&self, offset: u64) -> stdio::Result<()> {
        if !self.0.0.borrow().disks[self.1].takes(offset / SECTOR) {
            Err(stdio::Error::from_raw_os_error(libc::EIO))
        } else {
            Ok(())
        }
    }

    fn name(&self) -> String {
        self.0.0.borrow().disks[self.1].path.display().to_string()
    }
}

impl Media for FakeMedia {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> stdio::Result<()> {
        (0..buf.len() as u64)
            .step_by(SECTOR as usize)
            .try_for_each(|at| self.takes(offset + at))?;
        self.0.look().map_err(io)?;
        let state = &mut *self.0.0.borrow_mut();
        let disk = &state.disks[self.1];
        if offset + buf.len() as u64 > disk.sectors * SECTOR {
            return Err(stdio::ErrorKind::UnexpectedEof.into());
        }
        buf.fill(0);
        for (at, part) in buf.chunks_mut(SECTOR as usize).enumerate() {
            if let Some(bytes) = disk.read(offset / SECTOR + at as u64) {
                part.copy_from_slice(&bytes[..part.len()]);
            }
        }
        let sectors = offset / SECTOR..(offset + buf.len() as u64) / SECTOR;
        for ((at, sector), times) in &mut state.flickers {
            if *at == self.1 && sectors.contains(sector) && *times > 0 {
                *times -= 1;
                buf[((sector - sectors.start) * SECTOR) as usize] ^= 1;
            }
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> stdio::Result<()> {
        self.takes(offset)?;
        self.0
            .change(|| format!("write {} bytes at {offset} of {}", buf.len(), self.name()))
            .map_err(io)?;
        let mut state = self.0.0.borrow_mut();
        for (at, part) in buf.chunks(SECTOR as usize).enumerate() {
            state.disks[self.1].write(offset / SECTOR + at as u64, part);
        }
        Ok(())
    }

    fn flush(&self) -> stdio::Result<()> {
        self.alive()?;
        self.0
            .change(|| format!("flush {}", self.name()))
            .map_err(io)?;
        self.0.0.borrow_mut().disks[self.1].flush();
        Ok(())
    }

    /// Writes to several disks are under way at once, none of them durable yet.
    fn begin_write(&self, offset: u64, buf: &[u8]) -> Option<Written> {
        let written = self.write_at(offset, buf);
        written
            .err()
            .map(|err| Written::NotWritten(Errno::of(&err)))
    }

    fn end_write(&self) -> Written {
        let flushed = self.flush();
        flushed.map_or_else(
            |err| Written::NotFlushed(Errno::of(&err)),
            |()| Written::Durable,
        )
    }

    fn zero(&self, offset: u64, length: u64) -> stdio::Result<()> {
        self.alive()?;
        self.0
            .change(|| format!("zero {length} bytes at {offset} of {}", self.name()))
            .map_err(io)?;
        let mut state = self.0.0.borrow_mut();
        let disk = &mut state.disks[self.1];
        let range = offset / SECTOR..(offset + length) / SECTOR;
        let mut there: Vec<u64> = disk
            .durable
            .range(range.clone())
            .map(|(sector, _)| *sector)
            .collect();
        there.extend(disk.cache.range(range).map(|(sector, _)| *sector));
        for sector in there {
            disk.write(sector, &[0; 512]);
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        self.0.0.borrow().disks[self.1].sectors * SECTOR
    }
}

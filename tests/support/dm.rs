//! Device-mapper by its own ioctls: no process is started for it and nothing here waits for udev or
//! takes a semaphore, so that it also works where the program under test has made a mess.

use devicemapper_sys::{dm_ioctl, dm_target_spec};
use std::ffi::c_char;
use std::fmt;
use std::fs::File;
use std::io;
use std::mem::size_of;
use std::os::fd::AsRawFd;

const REMOVE: u8 = 4;
const LIST: u8 = 2;
const CREATE: u8 = 3;
const RENAME: u8 = 5;
const SUSPEND: u8 = 6;
const STATUS: u8 = 7;
const LOAD: u8 = 9;
const CLEAR: u8 = 10;
const DEPS: u8 = 11;
const TABLE: u8 = 12;
const MESSAGE: u8 = 14;
const TARGET_VERSION: u8 = 17;

const F_SUSPEND: u32 = 1 << 1;
const F_TABLE: u32 = 1 << 4;
const F_LIVE: u32 = 1 << 5;
const F_INACTIVE: u32 = 1 << 6;
const F_FULL: u32 = 1 << 8;
const F_NO_LOCKFS: u32 = 1 << 10;
const F_NO_FLUSH: u32 = 1 << 11;

/// One line of a table or of a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub start: u64,
    pub length: u64,
    pub target: String,
    pub params: String,
}

impl Line {
    pub fn new(start: u64, length: u64, target: &str, params: impl Into<String>) -> Line {
        Line {
            start,
            length,
            target: target.into(),
            params: params.into(),
        }
    }

    /// The words behind the target's name.
    pub fn words(&self) -> Vec<&str> {
        self.params.split_whitespace().collect()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} {}",
            self.start, self.length, self.target, self.params
        )
    }
}

/// What the kernel says of a device as a whole.
#[derive(Debug, Clone)]
pub struct Info {
    pub name: String,
    pub uuid: String,
    pub dev: u64,
    pub open_count: i32,
    pub suspended: bool,
    pub has_live: bool,
    pub has_inactive: bool,
}

impl Info {
    /// `major:minor`.
    pub fn number(&self) -> String {
        number(self.dev)
    }
}

/// `major:minor` of a device number.
pub fn number(dev: u64) -> String {
    format!("{}:{}", libc::major(dev), libc::minor(dev))
}

/// What a mirror says of its legs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorStatus {
    pub legs: Vec<String>,
    pub done: u64,
    pub total: u64,
    pub letters: String,
}

impl MirrorStatus {
    /// Every region, and every leg alive.
    pub fn in_sync(&self) -> bool {
        self.done == self.total && self.letters.chars().all(|c| c == 'A')
    }

    fn parse(line: &Line) -> Option<MirrorStatus> {
        let mut words = line.params.split_whitespace();
        let count: usize = words.next()?.parse().ok()?;
        let legs = words.by_ref().take(count).map(str::to_owned).collect();
        let (done, total) = words.next()?.split_once('/')?;
        let letters = words.nth(1)?.to_owned();
        Some(MirrorStatus {
            legs,
            done: done.parse().ok()?,
            total: total.parse().ok()?,
            letters,
        })
    }
}

/// The control device.
pub struct Dm(File);

impl Dm {
    pub fn open() -> io::Result<Dm> {
        File::options()
            .read(true)
            .write(true)
            .open("/dev/mapper/control")
            .map(Dm)
    }

    /// Whether the kernel has a target; its module is loaded when it is not there yet.
    pub fn has_target(&self, target: &str) -> bool {
        self.call(TARGET_VERSION, target, 0, &[]).is_ok()
    }

    pub fn create(&self, name: &str, uuid: &str) -> io::Result<u64> {
        let mut header = header(name, 0);
        copy(&mut header.uuid, uuid);
        Ok(self.ioctl(CREATE, header, &[])?.0.dev)
    }

    pub fn load(&self, name: &str, table: &[Line]) -> io::Result<()> {
        let mut payload = Vec::new();
        for line in table {
            payload.extend(target_spec(line));
        }
        let mut header = header(name, 0);
        header.target_count = u32::try_from(table.len()).map_err(io::Error::other)?;
        self.ioctl(LOAD, header, &payload).map(drop)
    }

    /// Suspends without flushing or freezing: writes that are held (K2) are kept for the next
    /// table.
    pub fn suspend(&self, name: &str) -> io::Result<()> {
        self.call(SUSPEND, name, F_SUSPEND | F_NO_FLUSH | F_NO_LOCKFS, &[])
            .map(drop)
    }

    /// Makes the inactive table live, if there is one.
    pub fn resume(&self, name: &str) -> io::Result<()> {
        self.call(SUSPEND, name, 0, &[]).map(drop)
    }

    /// Makes a new device live and tells udev that it is a genuine one, as `dmsetup` does. Without
    /// that word udev's rules take the event for a stray one and keep everybody from looking into
    /// the device.
    pub fn activate(&self, name: &str) -> io::Result<()> {
        const PRIMARY_SOURCE: u32 = 0x40 << 16;
        let header = dm_ioctl {
            event_nr: PRIMARY_SOURCE,
            ..header(name, 0)
        };
        self.ioctl(SUSPEND, header, &[]).map(drop)
    }

    /// Replaces the table under running I/O.
    pub fn swap(&self, name: &str, table: &[Line]) -> io::Result<()> {
        self.load(name, table)?;
        self.suspend(name)?;
        self.resume(name)
    }

    pub fn clear(&self, name: &str) -> io::Result<()> {
        self.call(CLEAR, name, 0, &[]).map(drop)
    }

    pub fn remove(&self, name: &str) -> io::Result<()> {
        self.call(REMOVE, name, 0, &[]).map(drop)
    }

    pub fn rename(&self, name: &str, to: &str) -> io::Result<()> {
        let mut payload = to.as_bytes().to_vec();
        payload.push(0);
        self.call(RENAME, name, 0, &payload).map(drop)
    }

    /// Says something to the first target of a device.
    pub fn message(&self, name: &str, text: &str) -> io::Result<()> {
        let mut payload = 0u64.to_ne_bytes().to_vec();
        payload.extend(text.bytes());
        payload.push(0);
        self.call(MESSAGE, name, 0, &payload).map(drop)
    }

    pub fn info(&self, name: &str) -> io::Result<Info> {
        let (header, _) = self.call(STATUS, name, 0, &[])?;
        Ok(Info {
            name: text(&header.name),
            uuid: text(&header.uuid),
            dev: header.dev,
            open_count: header.open_count,
            suspended: header.flags & F_SUSPEND != 0,
            has_live: header.flags & F_LIVE != 0,
            has_inactive: header.flags & F_INACTIVE != 0,
        })
    }

    pub fn exists(&self, name: &str) -> bool {
        self.info(name).is_ok()
    }

    /// All devices; one that goes away meanwhile is left out.
    pub fn list(&self) -> Vec<Info> {
        let Ok((_, data)) = self.call(LIST, "", 0, &[]) else {
            return Vec::new();
        };
        names(&data)
            .iter()
            .filter_map(|name| self.info(name).ok())
            .collect()
    }

    /// The live table.
    pub fn table(&self, name: &str) -> io::Result<Vec<Line>> {
        let (header, data) = self.call(TABLE, name, F_TABLE | F_NO_FLUSH, &[])?;
        Ok(lines(header.target_count, &data))
    }

    /// The live status. Never ask a suspended era (K7).
    pub fn status(&self, name: &str) -> io::Result<Vec<Line>> {
        let (header, data) = self.call(TABLE, name, F_NO_FLUSH, &[])?;
        Ok(lines(header.target_count, &data))
    }

    /// What the mirror segments of a device say; empty when it has none.
    pub fn mirrors(&self, name: &str) -> Vec<MirrorStatus> {
        let status = self.status(name).unwrap_or_default();
        status
            .iter()
            .filter(|l| l.target == "mirror")
            .filter_map(MirrorStatus::parse)
            .collect()
    }

    /// The devices that a device's live table stands on.
    pub fn deps(&self, name: &str) -> Vec<u64> {
        let Ok((_, data)) = self.call(DEPS, name, F_NO_FLUSH, &[]) else {
            return Vec::new();
        };
        let count = data
            .get(..4)
            .map_or(0, |b| u32::from_ne_bytes(b.try_into().unwrap_or_default()))
            as usize;
        data.get(8..)
            .unwrap_or_default()
            .as_chunks::<8>()
            .0
            .iter()
            .take(count)
            .map(|c| u64::from_ne_bytes(*c))
            .collect()
    }

    /// Every device with its table and its status, as a failed test prints it. `HELD`: a process has
    /// it open, beside the devices on it.
    pub fn dump(&self) -> String {
        let mut out = String::new();
        let all = self.list();
        let beneath: Vec<u64> = all.iter().flat_map(|info| self.deps(&info.name)).collect();
        for info in all {
            let above = beneath.iter().filter(|dev| **dev == info.dev).count();
            let held = if info.open_count as usize > above {
                " HELD"
            } else {
                ""
            };
            let suspended = if info.suspended { " SUSPENDED" } else { "" };
            let inactive = if info.has_inactive {
                " has an inactive table"
            } else {
                ""
            };
            out += &format!(
                "{} {} {} open {}{held}{suspended}{inactive}\n",
                info.name,
                info.number(),
                info.uuid,
                info.open_count
            );
            for line in self.table(&info.name).unwrap_or_default() {
                out += &format!("    table  {line}\n");
            }
            for status in self.mirrors(&info.name) {
                out += &format!(
                    "    mirror {} {}/{}\n",
                    status.letters, status.done, status.total
                );
            }
        }
        out
    }

    fn call(
        &self,
        command: u8,
        name: &str,
        flags: u32,
        payload: &[u8],
    ) -> io::Result<(dm_ioctl, Vec<u8>)> {
        self.ioctl(command, header(name, flags), payload)
    }

    /// One ioctl; repeated with more room when the answer did not fit.
    fn ioctl(
        &self,
        command: u8,
        mut header: dm_ioctl,
        payload: &[u8],
    ) -> io::Result<(dm_ioctl, Vec<u8>)> {
        let request = nix::request_code_readwrite!(0xfd, command, size_of::<dm_ioctl>());
        let mut room = 16 * 1024 + payload.len();
        loop {
            header.data_size =
                u32::try_from(size_of::<dm_ioctl>() + room).map_err(io::Error::other)?;
            let mut buffer = vec![0u64; (header.data_size as usize).div_ceil(8)];
            let start: *mut u8 = buffer.as_mut_ptr().cast();
            // SAFETY: the buffer is large enough for header and payload, aligned for the header,
            // and lives through the call. The kernel writes at most `data_size` bytes.
            let result = unsafe {
                start.cast::<dm_ioctl>().write(header);
                start
                    .add(size_of::<dm_ioctl>())
                    .copy_from_nonoverlapping(payload.as_ptr(), payload.len());
                libc::ioctl(self.0.as_raw_fd(), request, start)
            };
            if result < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: the kernel left a header there; all its bit patterns are valid.
            let answer = unsafe { start.cast::<dm_ioctl>().read() };
            if answer.flags & F_FULL == 0 {
                let bytes: Vec<u8> = buffer.iter().flat_map(|word| word.to_ne_bytes()).collect();
                let from = answer.data_start as usize;
                let to = (answer.data_size as usize).max(from).min(bytes.len());
                return Ok((answer, bytes[from..to].to_vec()));
            }
            room *= 2;
        }
    }
}

fn header(name: &str, flags: u32) -> dm_ioctl {
    let mut header = dm_ioctl {
        version: [4, 0, 0],
        data_start: size_of::<dm_ioctl>() as u32,
        flags,
        ..Default::default()
    };
    copy(&mut header.name, name);
    header
}

fn copy(to: &mut [c_char], from: &str) {
    for (to, from) in to.iter_mut().zip(from.bytes()) {
        *to = from as c_char;
    }
}

fn text(from: &[c_char]) -> String {
    c_text(&from.iter().map(|c| *c as u8).collect::<Vec<_>>())
}

fn c_text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|b| *b == 0).next().unwrap_or_default()).into_owned()
}

fn target_spec(line: &Line) -> Vec<u8> {
    let length = (size_of::<dm_target_spec>() + line.params.len() + 1).next_multiple_of(8);
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(line.start.to_ne_bytes());
    bytes.extend(line.length.to_ne_bytes());
    bytes.extend(0u32.to_ne_bytes());
    bytes.extend((length as u32).to_ne_bytes());
    let mut name = line.target.as_bytes().to_vec();
    name.resize(16, 0);
    bytes.extend(name);
    bytes.extend(line.params.as_bytes());
    bytes.resize(length, 0);
    bytes
}

fn word<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    data.get(at..at + N)?.try_into().ok()
}

/// `struct dm_target_spec` followed by its parameters, chained by offsets from the start of the
/// data.
fn lines(count: u32, data: &[u8]) -> Vec<Line> {
    let mut at = 0;
    let mut out = Vec::new();
    for _ in 0..count {
        let (Some(start), Some(length), Some(next)) =
            (word(data, at), word(data, at + 8), word(data, at + 20))
        else {
            break;
        };
        let target = c_text(data.get(at + 24..at + 40).unwrap_or_default());
        let params = c_text(data.get(at + 40..).unwrap_or_default());
        out.push(Line::new(
            u64::from_ne_bytes(start),
            u64::from_ne_bytes(length),
            &target,
            params,
        ));
        at = u32::from_ne_bytes(next) as usize;
    }
    out
}

/// `struct dm_name_list`, chained by offsets from each entry.
fn names(data: &[u8]) -> Vec<String> {
    let mut at = 0;
    let mut out = Vec::new();
    while let (Some(dev), Some(next)) = (word(data, at), word(data, at + 8)) {
        if u64::from_ne_bytes(dev) != 0 {
            out.push(c_text(data.get(at + 12..).unwrap_or_default()));
        }
        match u32::from_ne_bytes(next) {
            0 => break,
            next => at += next as usize,
        }
    }
    out
}

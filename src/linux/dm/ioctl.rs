//! breakoff's own dm ioctls: the verbs of a window, and those in which the `devicemapper` crate
//! would block.
//!
//! A request is a header template that is copied into a preallocated buffer and passed to the
//! kernel: once a device is armed, nothing here allocates, opens, logs or waits for another
//! process. The crate's resume takes a semaphore each time and, if none is left, fails with the
//! device still suspended. The events of these ioctls are counted on a cookie that was taken
//! beforehand (see `cookie`).

use crate::error::{Error, Result};
use crate::linux::dm::cookie::{Cookies, EventFlags};
use crate::linux::dm::wire;
use crate::linux::process::critical::Held;
use crate::model::DevNo;
use crate::sys::{ArmedDevice, Errno, MirrorHealth};
use crate::table::SuspendMode;
use devicemapper_sys as dmi;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;

/// The control node of the driver.
pub(in crate::linux) const CONTROL: &str = "/dev/mapper/control";

/// A verb of the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::linux) enum Verb {
    /// Lists all devices.
    List,
    /// Removes a device.
    Remove,
    /// Renames a device; the new name is the data.
    Rename,
    /// Suspends or resumes, as the flags say.
    Suspend,
    /// Returns the header alone.
    Info,
    /// Clears the inactive table.
    Clear,
    /// Returns table or status lines, as the flags say.
    Status,
}

impl Verb {
    fn number(self) -> u32 {
        match self {
            Verb::List => dmi::DM_LIST_DEVICES_CMD,
            Verb::Remove => dmi::DM_DEV_REMOVE_CMD,
            Verb::Rename => dmi::DM_DEV_RENAME_CMD,
            Verb::Suspend => dmi::DM_DEV_SUSPEND_CMD,
            Verb::Info => dmi::DM_DEV_STATUS_CMD,
            Verb::Clear => dmi::DM_TABLE_CLEAR_CMD,
            Verb::Status => dmi::DM_TABLE_STATUS_CMD,
        }
    }

    fn request(self) -> libc::Ioctl {
        nix::request_code_readwrite!(dmi::DM_IOCTL, self.number(), size_of::<dmi::dm_ioctl>())
    }
}

/// The subject of a request.
#[derive(Debug, Clone, Copy)]
pub(in crate::linux) enum Subject<'a> {
    /// The driver itself, no device.
    Driver,
    /// The device with this UUID.
    Uuid(&'a str),
    /// The device with this name.
    Name(&'a str),
    /// The device with this number, as the kernel encodes it.
    Dev(u64),
}

/// A header, which is copied into a buffer for every call: the kernel overwrites it with its
/// answer.
#[derive(Clone, Copy)]
pub(in crate::linux) struct Header(dmi::dm_ioctl);

impl Header {
    /// A request about this subject. Any kernel with the version 4 interface accepts it.
    pub(in crate::linux) fn new(
        subject: Subject<'_>,
        flags: u32,
    ) -> std::result::Result<Header, Errno> {
        let mut raw = dmi::dm_ioctl {
            version: [dmi::DM_VERSION_MAJOR, 0, 0],
            flags,
            ..Default::default()
        };
        match subject {
            Subject::Driver => {}
            Subject::Uuid(uuid) => fill(&mut raw.uuid, uuid)?,
            Subject::Name(name) => fill(&mut raw.name, name)?,
            Subject::Dev(dev) => raw.dev = dev,
        }
        Ok(Header(raw))
    }

    /// The same header with other flags.
    fn with_flags(mut self, flags: u32) -> Header {
        self.0.flags = flags;
        self
    }

    /// The same header with the cookie of the event that the verb causes.
    fn with_event(mut self, event: u32) -> Header {
        self.0.event_nr = event;
        self
    }
}

/// Copies text into a zeroed C array, which stays terminated. Refuses text that does not fit, is
/// empty or contains a NUL.
fn fill(array: &mut [libc::c_char], text: &str) -> std::result::Result<(), Errno> {
    if text.is_empty() || text.len() >= array.len() || text.contains('\0') {
        return Err(Errno(libc::EINVAL));
    }
    for (place, byte) in array.iter_mut().zip(text.bytes()) {
        *place = libc::c_char::from_ne_bytes([byte]);
    }
    Ok(())
}

/// The text in a C array of an answer, with invalid UTF-8 replaced.
fn text(array: &[libc::c_char]) -> String {
    let bytes: Vec<u8> = array
        .iter()
        .map(|c| c.to_ne_bytes()[0])
        .take_while(|byte| *byte != 0)
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The open control node of the driver.
#[derive(Debug)]
pub(in crate::linux) struct Control(File);

impl Control {
    /// Opens the control node, and loads the driver if it is missing.
    pub(in crate::linux) fn open() -> Result<Control> {
        let open = || File::open(CONTROL);
        let loaded = |_| {
            crate::linux::process::tools::load_module("dm-mod");
            open()
        };
        open()
            .or_else(loaded)
            .map(Control)
            .map_err(|err| match err.raw_os_error() {
                Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => Error::unsupported(
                    "this kernel has no device-mapper: 'dm-mod' is neither built in nor loadable",
                )
                .on(CONTROL)
                .hint("try 'modprobe dm-mod'"),
                Some(libc::EACCES | libc::EPERM) => {
                    Error::failed(format!("cannot open '{CONTROL}': permission denied"))
                        .on(CONTROL)
                        .hint("run it as root")
                }
                _ => Error::io(format!("cannot open '{CONTROL}'"), &err).on(CONTROL),
            })
    }
}

/// The buffer of a request and its answer: a header and room for data, aligned as the header
/// requires.
pub(in crate::linux) struct Buffer(Box<[u64]>);

/// The size of a header in bytes; data follows it.
const HEADER: usize = size_of::<dmi::dm_ioctl>();

impl Buffer {
    /// Allocates room for this many bytes of data. Every page of it is written now, so that using
    /// it later needs no memory.
    pub(in crate::linux) fn with_room(data: usize) -> Buffer {
        let mut words =
            vec![u64::MAX; (HEADER + data).div_ceil(size_of::<u64>())].into_boxed_slice();
        words.fill(0);
        Buffer(std::hint::black_box(words))
    }

    fn len(&self) -> usize {
        size_of_val(&*self.0)
    }

    /// The header as it is now: after a call, the kernel's answer.
    fn header(&self) -> dmi::dm_ioctl {
        // SAFETY: the buffer is at least a header long and aligned for u64, as the header is, which
        // is plain old data.
        unsafe { self.0.as_ptr().cast::<dmi::dm_ioctl>().read() }
    }

    fn set_header(&mut self, header: dmi::dm_ioctl) {
        // SAFETY: as for reading; the buffer is ours alone.
        unsafe { self.0.as_mut_ptr().cast::<dmi::dm_ioctl>().write(header) }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: any initialised memory may be looked at as bytes; pointer and length are those of
        // the slice.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast::<u8>(), self.len()) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for reading, and any bytes make valid u64s; the buffer is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast::<u8>(), self.len()) }
    }

    /// Copies data behind the header, and refuses data that does not fit.
    fn set_data(&mut self, data: &[u8]) -> std::result::Result<(), Errno> {
        let room = self
            .bytes_mut()
            .get_mut(HEADER..)
            .ok_or(Errno(libc::EINVAL))?;
        if data.len() >= room.len() {
            return Err(Errno(libc::E2BIG));
        }
        room[..data.len()].copy_from_slice(data);
        room[data.len()..].fill(0);
        Ok(())
    }

    /// The data of the answer, behind its header.
    fn data(&self) -> &[u8] {
        let header = self.header();
        let (start, end) = (
            header.data_start as usize,
            (header.data_size as usize).min(self.len()),
        );
        self.bytes().get(start..end).unwrap_or_default()
    }

    fn flags(&self) -> u32 {
        self.header().flags
    }

    /// Makes the ioctl. Signals are blocked during a suspend, and during a resume, which may
    /// suspend on its way: a mirror whose suspend is interrupted is beyond repair (K21; see
    /// `critical`). Other verbs change nothing when they are interrupted.
    fn call(
        &mut self,
        control: &Control,
        verb: Verb,
        header: &Header,
    ) -> std::result::Result<(), Errno> {
        let _held = (verb == Verb::Suspend).then(Held::new);
        let length = u32::try_from(self.len()).map_err(|_| Errno(libc::E2BIG))?;
        loop {
            self.set_header(dmi::dm_ioctl {
                data_size: length,
                data_start: HEADER as u32,
                ..header.0
            });
            // SAFETY: the descriptor is open; the buffer is a header and data of the length that
            // the header states, and the kernel reads and writes within that length only.
            let done =
                unsafe { libc::ioctl(control.0.as_raw_fd(), verb.request(), self.0.as_mut_ptr()) };
            match (done, last_errno()) {
                (0.., _) => return Ok(()),
                (_, libc::EINTR) => {}
                (_, errno) => return Err(Errno(errno)),
            }
        }
    }

    /// Makes the ioctl with a buffer that grows until the answer fits.
    pub(in crate::linux) fn call_growing(
        &mut self,
        control: &Control,
        verb: Verb,
        header: &Header,
    ) -> std::result::Result<(), Errno> {
        loop {
            self.bytes_mut().fill(0);
            self.call(control, verb, header)?;
            if self.flags() & dmi::DM_BUFFER_FULL_FLAG == 0 {
                return Ok(());
            }
            let room = self
                .len()
                .checked_mul(2)
                .filter(|room| *room <= LARGEST)
                .ok_or(Errno(libc::E2BIG))?;
            *self = Buffer::with_room(room);
        }
    }
}

/// The maximum size of an answer in bytes: 100,000 devices with the longest names and UUIDs take
/// about 30 MiB.
const LARGEST: usize = 256 << 20;

fn last_errno() -> i32 {
    std::io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EIO)
}

/// The header of an answer, as far as it describes a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::linux) struct Info {
    /// The name of the device.
    pub name: String,
    /// The UUID of the device; empty if it has none.
    pub uuid: String,
    /// The number of the device.
    pub dev: DevNo,
    /// How many openers the device has.
    pub open_count: u32,
    /// Whether it is suspended.
    pub suspended: bool,
    /// Whether it has a live table.
    pub has_live: bool,
    /// Whether it has an inactive table.
    pub has_inactive: bool,
}

/// Queries of devices and their tables, with one buffer that is reused.
pub(in crate::linux) struct Queries {
    control: Arc<Control>,
    buffer: Buffer,
}

impl Queries {
    pub(in crate::linux) fn new(control: Arc<Control>) -> Queries {
        Queries {
            control,
            buffer: Buffer::with_room(16 << 10),
        }
    }

    /// All dm devices on this machine.
    pub(in crate::linux) fn list(&mut self) -> std::result::Result<Vec<wire::Listed>, Errno> {
        let header = Header::new(Subject::Driver, dmi::DM_UUID_FLAG)?;
        self.buffer
            .call_growing(&self.control, Verb::List, &header)?;
        wire::listed(self.buffer.data()).ok_or(Errno(libc::EBADMSG))
    }

    /// The header of one device.
    pub(in crate::linux) fn info(
        &mut self,
        subject: Subject<'_>,
    ) -> std::result::Result<Info, Errno> {
        self.buffer
            .call(&self.control, Verb::Info, &Header::new(subject, 0)?)?;
        Ok(self.answer())
    }

    /// The header and the live table of one device.
    pub(in crate::linux) fn table(
        &mut self,
        subject: Subject<'_>,
    ) -> std::result::Result<(Info, Lines), Errno> {
        self.lines(subject, dmi::DM_STATUS_TABLE_FLAG)
    }

    /// The status of one device. It must not be queried for a device with an `era` target: if that
    /// is suspended, the query blocks (K7).
    pub(in crate::linux) fn status(
        &mut self,
        subject: Subject<'_>,
    ) -> std::result::Result<Lines, Errno> {
        Ok(self.lines(subject, dmi::DM_NOFLUSH_FLAG)?.1)
    }

    fn lines(
        &mut self,
        subject: Subject<'_>,
        flags: u32,
    ) -> std::result::Result<(Info, Lines), Errno> {
        self.buffer
            .call_growing(&self.control, Verb::Status, &Header::new(subject, flags)?)?;
        let count = self.buffer.header().target_count;
        let lines = wire::target_lines(self.buffer.data(), count).ok_or(Errno(libc::EBADMSG))?;
        Ok((self.answer(), lines))
    }

    fn answer(&self) -> Info {
        let header = self.buffer.header();
        let has = |flag| header.flags & flag != 0;
        Info {
            name: text(&header.name),
            uuid: text(&header.uuid),
            dev: devno(header.dev),
            open_count: u32::try_from(header.open_count).unwrap_or(0),
            suspended: has(dmi::DM_SUSPEND_FLAG),
            has_live: has(dmi::DM_ACTIVE_PRESENT_FLAG),
            has_inactive: has(dmi::DM_INACTIVE_PRESENT_FLAG),
        }
    }
}

/// The numbers of the devices whose UUID `is_it` takes, without a look at any of them.
pub(in crate::linux) fn numbers(
    is_it: &dyn Fn(&str) -> bool,
) -> std::result::Result<Vec<DevNo>, Errno> {
    let control = File::open(CONTROL).map_err(|err| Errno::of(&err))?;
    let mut queries = Queries::new(Arc::new(Control(control)));
    let mut listed = queries.list()?;
    listed.retain(|device| match &device.uuid {
        Some(uuid) => is_it(uuid),
        // A kernel that does not list UUIDs is asked for each.
        None => {
            let info = queries.info(Subject::Dev(device.dev));
            info.is_ok_and(|info| is_it(&info.uuid))
        }
    });
    Ok(listed.iter().map(|device| devno(device.dev)).collect())
}

type Lines = Vec<crate::table::TargetLine>;

/// The kernel's encoding of a device number (`new_encode_dev`: 12 bits of major within 20 of
/// minor).
fn devno(dev: u64) -> DevNo {
    let dev = dev as u32;
    DevNo {
        major: (dev >> 8) & 0xfff,
        minor: (dev & 0xff) | ((dev >> 12) & 0xf_ff00),
    }
}

/// Makes an ioctl that causes a uevent, which is counted on the cookie.
pub(in crate::linux) fn with_event(
    control: &Control,
    cookies: &Cookies,
    buffer: &mut Buffer,
    verb: Verb,
    header: &Header,
    flags: EventFlags,
) -> std::result::Result<(), Errno> {
    let event = cookies.begin(flags);
    let done = buffer.call(control, verb, &header.with_event(event.number()));
    let generated = done.is_ok() && buffer.flags() & dmi::DM_UEVENT_GENERATED_FLAG != 0;
    cookies.end(event, generated);
    done
}

/// Removes a device when it is closed, which may be now. The uevent has no cookie.
pub(in crate::linux) fn remove_when_closed(
    control: &Control,
    uuid: &str,
) -> std::result::Result<(), Errno> {
    let header = Header::new(Subject::Uuid(uuid), dmi::DM_DEFERRED_REMOVE)?;
    Buffer::with_room(0).call(control, Verb::Remove, &header)
}

/// Resumes a device, and swaps in its inactive table if it has one.
pub(in crate::linux) fn resume(
    control: &Control,
    cookies: &Cookies,
    uuid: &str,
    flags: EventFlags,
) -> std::result::Result<(), Errno> {
    let header = Header::new(Subject::Uuid(uuid), 0)?;
    let mut buffer = Buffer::with_room(0);
    with_event(control, cookies, &mut buffer, Verb::Suspend, &header, flags)
}

/// Renames a device. The kernel finds it by name only.
pub(in crate::linux) fn rename(
    control: &Control,
    cookies: &Cookies,
    from: &str,
    to: &str,
    flags: EventFlags,
) -> std::result::Result<(), Errno> {
    let mut buffer = Buffer::with_room(256);
    let mut with_name = Header::new(Subject::Name(from), 0)?;
    fill(&mut [0; dmi::DM_NAME_LEN as usize], to)?;
    buffer.set_data(to.as_bytes())?;
    with_name.0.target_count = 0;
    with_event(
        control,
        cookies,
        &mut buffer,
        Verb::Rename,
        &with_name,
        flags,
    )
}

/// The flags of a suspend.
pub(in crate::linux) fn suspend_flags(mode: SuspendMode) -> u32 {
    match mode {
        SuspendMode::Freeze => dmi::DM_SUSPEND_FLAG,
        SuspendMode::Flush => dmi::DM_SUSPEND_FLAG | dmi::DM_SKIP_LOCKFS_FLAG,
        SuspendMode::NoFlush => {
            dmi::DM_SUSPEND_FLAG | dmi::DM_SKIP_LOCKFS_FLAG | dmi::DM_NOFLUSH_FLAG
        }
    }
}

/// A device that is prepared for a window: its requests are encoded, its buffers touched, its
/// control node open.
pub struct ArmedDm {
    control: Arc<Control>,
    cookies: Arc<Cookies>,
    resume_event: EventFlags,
    header: Header,
    small: Buffer,
    lines: Buffer,
    /// The setting that keeps discards away, for a device on which changes are tracked.
    discards: Option<File>,
}

/// The minimum room for a table and its status, in bytes.
const LINES_ROOM: usize = 64 << 10;

impl ArmedDm {
    /// Prepares a device, with room for its current table and status.
    pub(in crate::linux) fn new(
        control: Arc<Control>,
        cookies: Arc<Cookies>,
        uuid: &str,
        resume_event: EventFlags,
    ) -> std::result::Result<ArmedDm, Errno> {
        let header = Header::new(Subject::Uuid(uuid), 0)?;
        let mut lines = Buffer::with_room(LINES_ROOM);
        lines.call_growing(
            &control,
            Verb::Status,
            &header.with_flags(dmi::DM_STATUS_TABLE_FLAG),
        )?;
        if wire::all_mirrors(lines.data(), lines.header().target_count) {
            lines.call_growing(
                &control,
                Verb::Status,
                &header.with_flags(dmi::DM_NOFLUSH_FLAG),
            )?;
        }
        Ok(ArmedDm {
            control,
            cookies,
            resume_event,
            header,
            small: Buffer::with_room(0),
            lines,
            discards: None,
        })
    }

    /// Queries the live table or its status, as the flags say.
    fn ask(&mut self, flags: u32) -> std::result::Result<(), Errno> {
        self.lines
            .call(&self.control, Verb::Status, &self.header.with_flags(flags))?;
        if self.lines.flags() & dmi::DM_BUFFER_FULL_FLAG != 0 {
            Err(Errno(libc::EMSGSIZE))
        } else {
            Ok(())
        }
    }

    /// Has discards kept away after each resume, by writing to this setting of the device.
    pub(in crate::linux) fn without_discards(
        self,
        setting: &Path,
    ) -> std::result::Result<ArmedDm, Errno> {
        let open = File::options()
            .write(true)
            .open(setting)
            .map_err(|err| Errno(err.raw_os_error().unwrap_or(libc::EIO)));
        Ok(ArmedDm {
            discards: Some(open?),
            ..self
        })
    }
}

impl ArmedDevice for ArmedDm {
    fn suspend(&mut self, mode: SuspendMode) -> std::result::Result<(), Errno> {
        self.small.call(
            &self.control,
            Verb::Suspend,
            &self.header.with_flags(suspend_flags(mode)),
        )
    }

    fn health(&mut self) -> std::result::Result<MirrorHealth, Errno> {
        // The table can be queried at any time, but the status only of mirrors: that of a suspended
        // `era` blocks (K7).
        self.ask(dmi::DM_STATUS_TABLE_FLAG)?;
        if !wire::all_mirrors(self.lines.data(), self.lines.header().target_count) {
            return Err(Errno(libc::EINVAL));
        }
        self.ask(dmi::DM_NOFLUSH_FLAG)?;
        wire::health(self.lines.data(), self.lines.header().target_count)
    }

    fn open_count(&mut self) -> std::result::Result<u32, Errno> {
        self.small.call(&self.control, Verb::Info, &self.header)?;
        Ok(u32::try_from(self.small.header().open_count).unwrap_or(0))
    }

    fn clear(&mut self) -> std::result::Result<(), Errno> {
        self.small.call(&self.control, Verb::Clear, &self.header)
    }

    fn resume(&mut self) -> std::result::Result<(), Errno> {
        with_event(
            &self.control,
            &self.cookies,
            &mut self.small,
            Verb::Suspend,
            &self.header,
            self.resume_event,
        )?;
        // A failure shows when the map is read, which is not trusted then.
        if let Some(setting) = &mut self.discards {
            let _ = setting.write(b"0");
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn headers_hold_names_and_refuse_what_does_not_fit() {
        let header = Header::new(Subject::Name("g-v"), 0).unwrap();
        assert_eq!(text(&header.0.name), "g-v");
        assert_eq!(text(&header.0.uuid), "");
        assert!(Header::new(Subject::Name(&"n".repeat(127)), 0).is_ok());
        for bad in ["", &"n".repeat(128), "a\0b"] {
            assert_eq!(
                Header::new(Subject::Name(bad), 0).err(),
                Some(Errno(libc::EINVAL)),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn suspend_modes_are_the_documented_flags() {
        assert_eq!(suspend_flags(SuspendMode::Freeze), 0x2);
        assert_eq!(suspend_flags(SuspendMode::Flush), 0x402);
        assert_eq!(suspend_flags(SuspendMode::NoFlush), 0xc02);
    }

    #[test]
    fn device_numbers_are_the_kernels() {
        assert_eq!(
            devno(0xfd03),
            DevNo {
                major: 253,
                minor: 3
            }
        );
        assert_eq!(
            devno(0x0010_fd03),
            DevNo {
                major: 253,
                minor: 0x103
            }
        );
        assert_eq!(
            devno(0xfff0_08ff),
            DevNo {
                major: 8,
                minor: 0xf_ffff
            }
        );
    }

    #[test]
    fn an_answer_longer_than_the_buffer_is_cut() {
        let mut buffer = Buffer::with_room(64);
        buffer.set_data(b"name").unwrap();
        buffer.set_header(dmi::dm_ioctl {
            data_start: HEADER as u32,
            data_size: u32::MAX,
            ..Default::default()
        });
        assert_eq!(buffer.data().len(), 64);
        buffer.set_header(dmi::dm_ioctl {
            data_start: u32::MAX,
            data_size: 4,
            ..Default::default()
        });
        assert!(buffer.data().is_empty());
        assert_eq!(buffer.set_data(&[1; 64]), Err(Errno(libc::E2BIG)));
    }
}

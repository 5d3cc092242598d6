//! The kernel's device-mapper, as the [`Kernel`] trait.
//!
//! Create, load and clear go through the `devicemapper` crate. Suspend, resume, remove and rename
//! are breakoff's own ioctls, because the crate takes a semaphore for each and waits for udev
//! without a limit. So are listing and querying, because the crate refuses every answer in which
//! any device of the machine has a name that is not ASCII.
//!
//! Devices are identified by UUID: a name may change at any time, a UUID cannot. A device that
//! vanishes between two queries is left out.

use crate::error::{Error, Kind, Result};
use crate::linux::disk::sysfs::printable;
use crate::linux::disk::{changes, openers};
use crate::linux::dm::cookie::{self, Cookies, EventFlags};
use crate::linux::dm::ioctl::{
    self, ArmedDm, Buffer, Control, Header, Info, Queries, Subject, Verb,
};
use crate::linux::dm::nodes;
use crate::linux::process::critical::Critical;
use crate::linux::process::tools;
use crate::model::{DevNo, DmName, DmUuid, Role};
use crate::sys::kernel::Work;
use crate::sys::{ArmedDevice, Errno, Kernel};
use crate::table::status::MirrorStatus;
use crate::table::{DmDevice, Links, SuspendMode, TargetLine, Without};
use devicemapper::{DM, DevId, DmError, DmOptions, errors};
use std::any::Any;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a remove waits for an opener that is about to close the device, and how often it tries
/// again.
const BUSY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(20));

/// How many calls of the kernel wait at the same time at most, and the stack size of their threads.
const THREADS: usize = 16;
const STACK: usize = 256 << 10;

/// The device-mapper of this machine.
pub struct Dm {
    stock: DM,
    control: Arc<Control>,
    cookies: Arc<Cookies>,
    queries: Mutex<Queries>,
    names: Mutex<Names>,
    /// The targets that the kernel is known to have.
    targets: Mutex<BTreeSet<String>>,
}

/// The devices whose links may have to be made without udev, and the names that may have to be
/// removed.
#[derive(Debug, Default)]
struct Names {
    touched: BTreeSet<String>,
    gone: BTreeSet<String>,
}

impl Names {
    fn is_empty(&self) -> bool {
        self.touched.is_empty() && self.gone.is_empty()
    }
}

impl Dm {
    /// Opens the driver, and loads it if necessary.
    pub fn open() -> Result<Dm> {
        let control = Arc::new(Control::open()?);
        let stock =
            DM::new().map_err(|err| refusal("cannot open device-mapper", "device-mapper", &err))?;
        let queries = Mutex::new(Queries::new(Arc::clone(&control)));
        Ok(Dm {
            stock,
            control,
            cookies: Arc::default(),
            queries,
            names: Mutex::default(),
            targets: Mutex::default(),
        })
    }

    /// Queries the kernel. The buffer is free again when this returns, so that the handling of an
    /// error can make more queries.
    fn ask<T>(
        &self,
        question: impl FnOnce(&mut Queries) -> std::result::Result<T, Errno>,
    ) -> std::result::Result<T, Errno> {
        question(&mut self.queries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of breakoff's devices with everything that can be queried; `None` if it is gone, or not
    /// breakoff's.
    fn observe(&self, subject: Subject<'_>) -> Result<Option<DmDevice>> {
        let Some((info, table)) = present(self.ask(|kernel| kernel.table(subject)))
            .map_err(|errno| unreadable(subject, errno))?
        else {
            return Ok(None);
        };
        let Some(uuid) = DmUuid::from_kernel(&info.uuid) else {
            return Ok(None);
        };
        let mirror = if is_mirror(&table) {
            self.mirror_status(&uuid)?
        } else {
            None
        };
        Ok(Some(DmDevice {
            name: DmName::from_kernel(&info.name),
            uuid,
            dev: info.dev,
            open_count: info.open_count,
            suspended: info.suspended,
            has_inactive: info.has_inactive,
            table,
            mirror,
        }))
    }

    /// The status of a mirror, suspended or not (K18); `None` if it is malformed or the device is
    /// gone.
    fn mirror_status(&self, uuid: &DmUuid) -> Result<Option<MirrorStatus>> {
        let subject = Subject::Uuid(uuid.as_str());
        let lines = present(self.ask(|kernel| kernel.status(subject)))
            .map_err(|errno| unreadable(subject, errno))?;
        Ok(lines.and_then(|lines| MirrorStatus::parse(&lines)))
    }

    /// The header of a device that must exist.
    fn info(&self, uuid: &DmUuid) -> Result<Info> {
        self.ask(|kernel| kernel.info(Subject::Uuid(uuid.as_str())))
            .map_err(|errno| self.failure("cannot look at", uuid, errno))
    }

    /// The header and the live table of a device that must exist.
    fn table(&self, uuid: &DmUuid) -> Result<(Info, Vec<TargetLine>)> {
        self.ask(|kernel| kernel.table(Subject::Uuid(uuid.as_str())))
            .map_err(|errno| self.failure("cannot look at", uuid, errno))
    }

    /// The name of a device for people: its dm name if it exists, else its UUID.
    fn title(&self, uuid: &DmUuid) -> String {
        let info = self.ask(|kernel| kernel.info(Subject::Uuid(uuid.as_str())));
        info.map_or_else(|_| uuid.to_string(), |info| printable(&info.name))
    }

    fn failure(&self, doing: &str, uuid: &DmUuid, errno: Errno) -> Error {
        let title = self.title(uuid);
        Error::new(
            kind_of(Some(errno.0)),
            format!("{doing} device '{title}': {}", words(errno)),
        )
        .on(title)
    }

    /// The same for an error of the `devicemapper` crate.
    fn refusal(&self, doing: &str, uuid: &DmUuid, err: &DmError) -> Error {
        let title = self.title(uuid);
        refusal(&format!("{doing} device '{title}'"), title, err)
    }

    /// Records that a device's links may have changed, and makes them at once if udev is not
    /// running.
    fn touched(&self, uuid: &DmUuid) {
        self.names().touched.insert(uuid.as_str().to_owned());
        self.publish_without_udev();
    }

    fn gone(&self, name: String) {
        self.names().gone.insert(name);
        self.publish_without_udev();
    }

    fn publish_without_udev(&self) {
        // What is waited for is published at the end, if udev has gone meanwhile.
        if !self.cookies.is_taken() && !cookie::udev_running() {
            self.publish();
        }
    }

    /// Makes `/dev/mapper` agree with the kernel for what this command has touched.
    fn publish(&self) {
        let Names { touched, gone } = std::mem::take(&mut *self.names());
        let dev = Path::new(nodes::DEV);
        for name in gone {
            if self.ask(|kernel| kernel.info(Subject::Name(&name))) == Err(Errno(libc::ENXIO)) {
                nodes::forget(dev, &name);
            }
        }
        for uuid in touched {
            if let Ok(info) = self.ask(|kernel| kernel.info(Subject::Uuid(&uuid)))
                && info.has_live
            {
                // Nothing depends on the link: the device can be used by its number, and udev makes
                // the link when it comes back.
                let _ = nodes::ensure(dev, &info.name, info.dev);
            }
        }
    }

    /// The flags for udev when a device is renamed. They are those from its creation: an inner
    /// device's UUID tells them, and udev's database has them for a volume.
    fn rename_flags(uuid: &DmUuid) -> EventFlags {
        if uuid.is_volume() {
            EventFlags::AS_BEFORE
        } else {
            EventFlags::for_links(Links::Hidden)
        }
    }

    /// Tries once to remove a device.
    fn try_remove(&self, uuid: &DmUuid) -> std::result::Result<(), Errno> {
        let header = Header::new(Subject::Uuid(uuid.as_str()), 0)?;
        let flags = EventFlags::for_links(Links::Hidden);
        ioctl::with_event(
            &self.control,
            &self.cookies,
            &mut Buffer::with_room(0),
            Verb::Remove,
            &header,
            flags,
        )
    }
}

impl Kernel for Dm {
    fn devices(&self) -> Result<Vec<DmDevice>> {
        let listed = self
            .ask(Queries::list)
            .map_err(|errno| unreadable(Subject::Driver, errno))?;
        let maybe_ours = |uuid: &Option<String>| {
            uuid.as_ref()
                .is_none_or(|uuid| DmUuid::from_kernel(uuid).is_some())
        };
        let ours = listed.iter().filter(|device| maybe_ours(&device.uuid));
        ours.filter_map(|device| self.observe(Subject::Dev(device.dev)).transpose())
            .collect()
    }

    fn device(&self, uuid: &DmUuid) -> Result<Option<DmDevice>> {
        self.observe(Subject::Uuid(uuid.as_str()))
    }

    fn names(&self) -> Result<Vec<DmName>> {
        let listed = self
            .ask(Queries::list)
            .map_err(|errno| unreadable(Subject::Driver, errno))?;
        Ok(listed
            .iter()
            .map(|device| DmName::from_kernel(&device.name))
            .collect())
    }

    fn has_target(&self, target: &str) -> Result<bool> {
        let known = || -> Result<bool> {
            let versions = self.stock.list_versions();
            let versions = versions
                .map_err(|err| refusal("cannot list the kernel's targets", target, &err))?;
            Ok::<bool, Error>(versions.iter().any(|(name, ..)| name == target))
        };
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if targets.contains(target) {
            return Ok(true);
        }
        if known()? {
            targets.insert(target.to_owned());
            return Ok(true);
        }
        let plain = !target.is_empty()
            && target
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let loaded = plain && tools::load_module(&format!("dm-{target}")) && known()?;
        targets.extend(loaded.then(|| target.to_owned()));
        Ok(loaded)
    }

    fn side_by_side(&self, work: Vec<Work<'_>>) {
        let threads = work.len().min(THREADS);
        let work = Mutex::new(work.into_iter());
        let next = || {
            let mut work = work.lock().unwrap_or_else(PoisonError::into_inner);
            work.next()
        };
        let serve = || {
            while let Some(work) = next() {
                work(self);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                let thread = std::thread::Builder::new().stack_size(STACK);
                // Without a thread the others do it.
                drop(thread.spawn_scoped(scope, serve));
            }
            serve();
        });
    }

    fn create(&self, name: &DmName, uuid: &DmUuid) -> Result<DevNo> {
        let (id, dm_uuid) = (
            devicemapper::DmName::new(name.as_str()),
            devicemapper::DmUuid::new(uuid.as_str()),
        );
        let refused = |err: DmError| match errno_of(&err) {
            Some(libc::EBUSY) => Error::new(
                Kind::Exists,
                format!("a device named '{name}' or with its UUID exists already"),
            )
            .on(name)
            .hint(format!("see 'dmsetup info {name}'")),
            _ => refusal(&format!("cannot create device '{name}'"), name, &err),
        };
        let info = self
            .stock
            .device_create(
                id.map_err(refused)?,
                Some(dm_uuid.map_err(refused)?),
                DmOptions::default(),
            )
            .map_err(refused)?;
        Ok(DevNo {
            major: info.device().major,
            minor: info.device().minor,
        })
    }

    fn load(&self, uuid: &DmUuid, table: &[TargetLine]) -> Result<()> {
        // The crate panics on a target type that does not fit.
        if let Some(line) = table
            .iter()
            .find(|line| line.target.is_empty() || line.target.len() >= 16)
        {
            return Err(
                Error::failed(format!("'{}' cannot be a target type", line.target))
                    .on(self.title(uuid)),
            );
        }
        let lines: Vec<_> = table
            .iter()
            .map(|l| {
                (
                    l.start.get(),
                    l.length.get(),
                    l.target.clone(),
                    l.params.clone(),
                )
            })
            .collect();
        let refused = |err: DmError| {
            self.refusal("the kernel refuses the table of", uuid, &err)
                .hint("'dmesg' tells why")
        };
        let id = devicemapper::DmUuid::new(uuid.as_str()).map_err(refused)?;
        self.stock
            .table_load(&DevId::Uuid(id), &lines, DmOptions::default())
            .map(drop)
            .map_err(refused)
    }

    fn clear(&self, uuid: &DmUuid) -> Result<()> {
        let refused = |err: DmError| self.refusal("cannot clear the inactive table of", uuid, &err);
        let id = devicemapper::DmUuid::new(uuid.as_str()).map_err(refused)?;
        self.stock
            .table_clear(&DevId::Uuid(id))
            .map(drop)
            .map_err(refused)
    }

    fn suspend(&self, uuid: &DmUuid, mode: SuspendMode) -> Result<()> {
        self.armed(uuid, EventFlags::AS_BEFORE)
            .and_then(|mut armed| armed.suspend(mode))
            .map_err(|e| self.failure("cannot suspend", uuid, e))
    }

    fn resume(&self, uuid: &DmUuid, links: Links) -> Result<()> {
        let before = (uuid.role() == Some(Role::Data))
            .then(|| self.info(uuid))
            .transpose()?;
        let flags = EventFlags::for_links(links);
        ioctl::resume(&self.control, &self.cookies, uuid.as_str(), flags)
            .map_err(|errno| self.failure("cannot resume", uuid, errno))?;
        if let Some(info) = before.filter(|info| takes_no_discards(uuid, info.has_live)) {
            // A failure shows when the map is read, which is not trusted then.
            let _ = std::fs::write(changes::discard_switch(info.dev), "0");
        }
        self.touched(uuid);
        Ok(())
    }

    fn remove(&self, uuid: &DmUuid) -> Result<()> {
        let info = self.info(uuid)?;
        let until = Instant::now() + BUSY.0;
        loop {
            match self.try_remove(uuid) {
                Ok(()) => break,
                Err(Errno(libc::EBUSY))
                    if Instant::now() < until && !openers::holds_for_long(info.dev) =>
                {
                    std::thread::sleep(BUSY.1);
                }
                Err(Errno(libc::EBUSY)) => return Err(in_use(&info)),
                Err(errno) => return Err(self.failure("cannot remove", uuid, errno)),
            }
        }
        self.gone(info.name);
        Ok(())
    }

    fn remove_when_closed(&self, uuid: &DmUuid) -> Result<()> {
        // The uevent is not waited for: it is not known when it comes.
        ioctl::remove_when_closed(&self.control, uuid.as_str())
            .map_err(|errno| self.failure("cannot remove", uuid, errno))
    }

    fn rename(&self, uuid: &DmUuid, to: &DmName) -> Result<()> {
        let (info, live) = self.table(uuid)?;
        if info.name == to.as_str() {
            return Ok(());
        }
        let shielded = info.has_live && !info.has_inactive;
        // A load fills the inactive slot during the rename (K20, see `shield`).
        if shielded {
            self.load(uuid, &shield(live))?;
        }
        let renamed = ioctl::rename(
            &self.control,
            &self.cookies,
            &info.name,
            to.as_str(),
            Self::rename_flags(uuid),
        );
        if shielded {
            self.clear(uuid)?;
        }
        renamed.map_err(|errno| match errno {
            Errno(libc::EBUSY) => Error::new(
                Kind::Exists,
                format!(
                    "cannot rename device '{}': the name '{to}' is taken",
                    info.name
                ),
            )
            .on(&info.name)
            .hint(format!("see 'dmsetup info {to}'")),
            errno => self.failure("cannot rename", uuid, errno),
        })?;
        self.touched(uuid);
        self.gone(info.name);
        Ok(())
    }

    fn message(&self, uuid: &DmUuid, message: &str) -> Result<()> {
        let refused = |err: DmError| {
            self.refusal(
                &format!("the kernel refuses the message '{message}' to"),
                uuid,
                &err,
            )
        };
        let id = devicemapper::DmUuid::new(uuid.as_str()).map_err(refused)?;
        // A message to an `era` that is suspended would block (K7).
        if self.info(uuid)?.suspended {
            return Err(Error::not_ready(format!(
                "device '{}' is suspended",
                self.title(uuid)
            )));
        }
        self.stock
            .target_msg(&DevId::Uuid(id), Some(0), message)
            .map(drop)
            .map_err(refused)
    }

    fn era(&self, uuid: &DmUuid) -> Result<u32> {
        let (info, table) = self.table(uuid)?;
        let is_era = matches!(table.as_slice(), [only] if only.target == "era");
        if !is_era || info.suspended {
            return Err(Error::not_ready(format!(
                "device '{}' does not track changes, or is suspended",
                info.name
            )));
        }
        let lines = self
            .ask(|kernel| kernel.status(Subject::Uuid(uuid.as_str())))
            .map_err(|errno| self.failure("cannot look at", uuid, errno))?;
        let era = lines.first().and_then(|line| era_of(&line.params));
        era.ok_or_else(|| {
            Error::device(format!("the map of changes of '{}' has failed", info.name))
        })
    }

    fn arm(&self, uuid: &DmUuid, links: Links) -> Result<Box<dyn ArmedDevice>> {
        let info = self.info(uuid)?;
        let armed = self.armed(uuid, EventFlags::for_links(links));
        let guarded = |armed: ArmedDm| {
            if takes_no_discards(uuid, info.has_live) {
                armed.without_discards(&changes::discard_switch(info.dev))
            } else {
                Ok(armed)
            }
        };
        let armed = armed
            .and_then(guarded)
            .map_err(|errno| self.failure("cannot prepare a window for", uuid, errno))?;
        self.names().touched.insert(uuid.as_str().to_owned());
        Ok(Box::new(armed))
    }

    fn take_cookie(&self) -> Result<()> {
        self.cookies.take()
    }

    fn enter_window(&self) -> (Box<dyn Any>, Vec<String>) {
        let (critical, missing) = Critical::enter();
        (Box::new(critical), missing)
    }

    fn settle(&self, deadline: Duration) -> Option<String> {
        if !self.cookies.is_taken() && self.names().is_empty() {
            return None;
        }
        let left = self.cookies.settle(deadline);
        if left.is_some() || !cookie::udev_running() {
            self.publish();
        } else {
            *self.names() = Names::default();
        }
        left.map(|left| {
            format!(
                "udev has not processed {left} device-mapper event{} within {deadline:?} (is systemd-udevd stopped or hanging?); \
                 the names in /dev/mapper were made without it",
                if left == 1 { "" } else { "s" },
            )
        })
    }
}

impl Dm {
    fn armed(&self, uuid: &DmUuid, event: EventFlags) -> std::result::Result<ArmedDm, Errno> {
        ArmedDm::new(
            Arc::clone(&self.control),
            Arc::clone(&self.cookies),
            uuid.as_str(),
            event,
        )
    }
}

/// The table in the inactive slot while a device is renamed: the live one again (K20).
///
/// After a clear, kernels with IMA (5.15 and later, seen on 6.1) keep one measurement for both
/// slots. A rename frees it for the live slot only, and the next load, clear or remove frees it
/// again: `kernel BUG`, or corrupted memory. A load gives the inactive slot a measurement of its
/// own. If this process dies before the slot is cleared and the device is resumed, the table is the
/// same, and a mirror trusts nothing: `nosync` is left out.
fn shield(live: Vec<TargetLine>) -> Vec<TargetLine> {
    if is_mirror(&live) {
        crate::table::without(
            &live,
            Without {
                legs: &[],
                log: false,
            },
            false,
        )
        .unwrap_or(live)
    } else {
        live
    }
}

/// Whether discards have to be kept away from a device when it is resumed: changes are tracked
/// above it, and the device above takes the setting over when it becomes live. Later the setting is
/// left alone: there may be I/O in flight then, which newer kernels wait for before they change it.
fn takes_no_discards(uuid: &DmUuid, has_live: bool) -> bool {
    uuid.role() == Some(Role::Data) && !has_live
}

/// The current era in the status of an `era`, such as `8 10/256 16 -`; `None` if its map has
/// failed, which shows as `Error`.
fn era_of(params: &str) -> Option<u32> {
    params.split(' ').nth(2)?.parse().ok()
}

/// Whether a live table is a mirror and nothing else, so that its status can be queried at any time
/// (K7, K18).
fn is_mirror(table: &[TargetLine]) -> bool {
    !table.is_empty() && table.iter().all(|line| line.target == "mirror")
}

/// The answer; `None` if there is no such device.
fn present<T>(answer: std::result::Result<T, Errno>) -> std::result::Result<Option<T>, Errno> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(Errno(libc::ENXIO)) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn words(errno: Errno) -> String {
    std::io::Error::from_raw_os_error(errno.0).to_string()
}

fn unreadable(subject: Subject<'_>, errno: Errno) -> Error {
    let what = match subject {
        Subject::Driver => "cannot list the devices of device-mapper".to_owned(),
        Subject::Uuid(id) | Subject::Name(id) => format!("cannot look at device '{id}'"),
        Subject::Dev(dev) => format!("cannot look at device {dev:#x}"),
    };
    Error::device(format!("{what}: {}", words(errno)))
}

/// The error for a failure of the `devicemapper` crate. The crate's own text contains the whole
/// header; people get the text of the errno.
fn refusal(doing: &str, object: impl std::fmt::Display, err: &DmError) -> Error {
    let errno = errno_of(err);
    let why = errno.map_or_else(|| err.to_string(), |errno| words(Errno(errno)));
    Error::new(kind_of(errno), format!("{doing}: {why}")).on(object)
}

fn errno_of(err: &DmError) -> Option<i32> {
    match err {
        DmError::Core(errors::Error::Ioctl(_, _, _, errno)) => Some(**errno as i32),
        _ => None,
    }
}

fn kind_of(errno: Option<i32>) -> Kind {
    match errno {
        Some(libc::ENXIO) => Kind::NotFound,
        Some(libc::EBUSY) => Kind::InUse,
        Some(libc::EPERM | libc::EACCES) => Kind::Failed,
        _ => Kind::Device,
    }
}

fn in_use(info: &Info) -> Error {
    let who = openers::openers(info.dev);
    let who = if who.is_empty() {
        format!("it has {} opener(s) that cannot be found", info.open_count)
    } else {
        who.join(", ")
    };
    Error::new(
        Kind::InUse,
        format!("cannot remove device '{}': it is in use ({who})", info.name),
    )
    .on(&info.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Sectors;

    fn line(target: &str) -> TargetLine {
        TargetLine {
            start: Sectors::ZERO,
            length: Sectors::of(8),
            target: target.to_owned(),
            params: String::new(),
        }
    }

    #[test]
    fn only_a_table_of_mirrors_is_asked_for_its_status() {
        assert!(is_mirror(&[line("mirror"), line("mirror")]));
        for other in [
            vec![],
            vec![line("era")],
            vec![line("mirror"), line("era")],
            vec![line("linear")],
        ] {
            assert!(!is_mirror(&other), "{other:?}");
        }
    }

    #[test]
    fn what_shields_a_rename_maps_alike_and_trusts_nothing() {
        let live = vec![TargetLine {
            params: "core 2 8 nosync 2 253:1 0 253:2 0 1 handle_errors".to_owned(),
            ..line("mirror")
        }];
        assert_eq!(
            shield(live)[0].params,
            "core 1 8 2 253:1 0 253:2 0 1 handle_errors"
        );
        assert_eq!(shield(vec![line("linear")]), vec![line("linear")]);
    }

    #[test]
    fn errors_keep_their_kind() {
        assert_eq!(kind_of(Some(libc::ENXIO)), Kind::NotFound);
        assert_eq!(kind_of(Some(libc::EBUSY)), Kind::InUse);
        assert_eq!(kind_of(Some(libc::EIO)), Kind::Device);
        assert_eq!(kind_of(None), Kind::Device);
        assert_eq!(present::<()>(Err(Errno(libc::ENXIO))), Ok(None));
        assert_eq!(present::<()>(Err(Errno(libc::EIO))), Err(Errno(libc::EIO)));
    }
}

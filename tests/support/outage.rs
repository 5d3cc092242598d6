//! Power cuts that this kernel outlives: at once nothing reaches the disks any more, whoever knew
//! something is killed, the program's devices are gone with all that they held, and the machine has
//! another boot ID. A disk keeps all that it has taken: what a volatile cache would lose is the
//! matter of `kernel::replay`.

use super::child::{DEADLINE, Output, Running};
use super::disk::Fault;
use super::dm::Info;
use super::lab::Lab;
use super::monitor::NoMonitor;
use super::writer::Writer;
use super::{leaks, udev};
use nix::mount::{MsFlags, mount};
use std::fs;
use tempfile::NamedTempFile;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A machine whose power can be cut. Its boot ID is seen by this thread and by what it starts.
pub struct Power {
    boots: u32,
    boot_id: NamedTempFile,
    /// A monitor that is started from here would outlive the test.
    _nobody: NoMonitor,
}

impl Power {
    /// From now on this thread has mounts of its own, and by one of them a boot ID.
    #[track_caller]
    pub fn on() -> Power {
        let nobody = NoMonitor::begin();
        // SAFETY: plain system call.
        let unshared = unsafe { libc::unshare(libc::CLONE_NEWNS) };
        assert_eq!(
            unshared,
            0,
            "no mounts of its own: {}",
            std::io::Error::last_os_error()
        );
        let private = mount(
            None::<&str>,
            "/",
            None::<&str>,
            MsFlags::MS_REC | MsFlags::MS_PRIVATE,
            None::<&str>,
        );
        private.unwrap_or_else(|err| panic!("its mounts stay those of others: {err}"));
        let boot_id = NamedTempFile::new().unwrap_or_else(|err| panic!("no temporary file: {err}"));
        let bound = mount(
            Some(boot_id.path()),
            BOOT_ID,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        );
        bound.unwrap_or_else(|err| panic!("{BOOT_ID} cannot be another one: {err}"));
        let mut power = Power {
            boots: 0,
            boot_id,
            _nobody: nobody,
        };
        power.boot();
        power
    }

    /// Cuts the power while a command runs, or is stopped, and writers are at work, which end by
    /// it. The machine is up again when this returns, and nobody has started anything.
    #[track_caller]
    pub fn cut(&mut self, lab: &mut Lab, command: Running, writers: &mut [Writer]) -> Output {
        (0..lab.disks.len()).for_each(|disk| lab.fault(disk, Fault::Fail));
        command.kill_with_children();
        let output = command.wait(DEADLINE);
        let ours = |info: &Info| info.uuid.starts_with(leaks::OURS);
        leaks::end_what_is_held(&lab.dm, ours);
        for writer in writers {
            writer.halt();
        }
        leaks::remove_all(&lab.dm, ours);
        let left = leaks::devices(&lab.dm);
        assert!(left.is_empty(), "the machine does not go down: {left:?}");
        (0..lab.disks.len()).for_each(|disk| lab.heal(disk));
        udev::settle();
        self.boot();
        output
    }

    #[track_caller]
    fn boot(&mut self) {
        self.boots += 1;
        let id = format!("00000000-0000-4000-8000-{:012}\n", self.boots);
        fs::write(self.boot_id.path(), &id)
            .unwrap_or_else(|err| panic!("the boot ID cannot be written: {err}"));
        assert_eq!(fs::read_to_string(BOOT_ID).ok(), Some(id));
    }
}

//! The seam to the kernel, on the real kernel with the real udev: each verb, the window's verbs,
//! and what may go wrong around them.

use crate::support::child::tool;
use crate::support::lab::Lab;
use crate::support::{leaks, udev};
use breakoff::error::Kind;
use breakoff::linux::disk::drain;
use breakoff::linux::dm::events::EventWait;
use breakoff::linux::dm::kernel::Dm;
use breakoff::model::{DevNo, DmName, DmUuid, GroupId, Role, Sectors, VolumeId};
use breakoff::sys::{Errno, Events, Kernel, MirrorHealth};
use breakoff::table::{Links, SuspendMode, TargetLine};
use nix::sys::signal::{SigSet, Signal};
use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Counts this thread's allocations; a window must have none.
struct Counting;
thread_local!(static ALLOCATIONS: AtomicU64 = const { AtomicU64::new(0) });

fn count() {
    let _ = ALLOCATIONS.try_with(|allocations| allocations.fetch_add(1, Ordering::Relaxed));
}

// SAFETY: everything is the system allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SIZE: Sectors = Sectors::mib(32);
const SOON: Duration = Duration::from_secs(60);

/// A volume of two plexes made with the seam alone.
struct Stack {
    dm: Dm,
    group: GroupId,
    volume: VolumeId,
}

impl Stack {
    fn new(lab: &Lab) -> Stack {
        let stack = Stack {
            dm: Dm::open().unwrap(),
            group: GroupId::random(),
            volume: VolumeId::random(),
        };
        stack.dm.take_cookie().unwrap();
        for (number, disk) in (1..=2).zip(&lab.disks) {
            stack.make(
                &Role::Plex(number),
                &format!("g-v_v--0{number}"),
                &format!("linear {} 0", disk.word()),
            );
        }
        stack.make(&Role::Volume, "g-v", &stack.mirror());
        stack.settle();
        stack
    }

    fn uuid(&self, role: &Role) -> DmUuid {
        DmUuid::new(self.group, self.volume, role)
    }

    fn dev(&self, role: &Role) -> DevNo {
        self.dm.device(&self.uuid(role)).unwrap().unwrap().dev
    }

    fn mirror(&self) -> String {
        let (first, second) = (self.dev(&Role::Plex(1)), self.dev(&Role::Plex(2)));
        format!("mirror core 2 4096 nosync 2 {first} 0 {second} 0 1 handle_errors")
    }

    fn make(&self, role: &Role, name: &str, table: &str) {
        self.dm
            .create(&DmName::from_kernel(name), &self.uuid(role))
            .unwrap();
        self.dm.load(&self.uuid(role), &lines(table)).unwrap();
        self.dm
            .resume(
                &self.uuid(role),
                if *role == Role::Volume {
                    Links::All
                } else {
                    Links::Hidden
                },
            )
            .unwrap();
    }

    #[track_caller]
    fn settle(&self) {
        assert_eq!(self.dm.settle(SOON), None);
        assert_eq!(leaks::cookies(), Vec::<u32>::new());
    }

    fn remove(&self) {
        self.dm.take_cookie().unwrap();
        for role in [Role::Volume, Role::Plex(1), Role::Plex(2)] {
            self.dm.remove(&self.uuid(&role)).unwrap();
        }
        self.settle();
        assert!(!Path::new("/dev/mapper/g-v").exists());
    }
}

fn lines(table: &str) -> Vec<TargetLine> {
    let (target, params) = table.split_once(' ').unwrap();
    vec![TargetLine {
        start: Sectors::ZERO,
        length: SIZE,
        target: target.to_owned(),
        params: params.to_owned(),
    }]
}

fn name(text: &str) -> DmName {
    DmName::from_kernel(text)
}

#[test]
fn verbs_do_what_they_say_and_udev_has_followed() {
    let lab = lab!(["mirror"], [48, 48]);
    // A stranger whose name is not ASCII must not blind us.
    tool(
        "dmsetup",
        &[
            "create",
            "--manglename",
            "none",
            "str\u{e4}nger",
            "--table",
            "0 8 error",
        ],
    )
    .ok();
    let stack = Stack::new(&lab);
    let (dm, volume) = (&stack.dm, stack.uuid(&Role::Volume));
    assert_eq!(
        udev::property("/dev/mapper/g-v_v--01", "DM_UDEV_DISABLE_OTHER_RULES_FLAG").as_deref(),
        Some("1")
    );
    assert_eq!(
        udev::property("/dev/mapper/g-v", "DM_UDEV_DISABLE_OTHER_RULES_FLAG"),
        None
    );
    assert_eq!(dm.devices().unwrap().len(), 3);
    assert!(dm.names().unwrap().contains(&name("str\u{e4}nger")));
    assert!(
        dm.device(&volume)
            .unwrap()
            .unwrap()
            .mirror
            .unwrap()
            .in_sync()
    );

    assert_eq!(
        dm.create(&name("g-v"), &stack.uuid(&Role::Log))
            .unwrap_err()
            .kind(),
        Kind::Exists
    );
    assert_eq!(
        dm.load(&stack.uuid(&Role::Log), &lines("error x"))
            .unwrap_err()
            .kind(),
        Kind::NotFound
    );
    assert_eq!(
        dm.load(&volume, &lines("linear /dev/nowhere 0"))
            .unwrap_err()
            .kind(),
        Kind::Device
    );
    assert_eq!(
        dm.remove(&stack.uuid(&Role::Plex(1))).unwrap_err().kind(),
        Kind::InUse
    );
    assert!(dm.has_target("mirror").unwrap() && !dm.has_target("../nonsense").unwrap());

    dm.take_cookie().unwrap();
    dm.rename(&volume, &name("g-w")).unwrap();
    dm.suspend(&volume, SuspendMode::Flush).unwrap();
    assert!(dm.device(&volume).unwrap().unwrap().suspended);
    dm.resume(&volume, Links::NoContent).unwrap();
    stack.settle();
    assert_eq!(
        udev::property("/dev/mapper/g-w", "DM_UDEV_DISABLE_DISK_RULES_FLAG").as_deref(),
        Some("1")
    );
    // The flags outlast a rename, which says nothing of them.
    dm.take_cookie().unwrap();
    dm.rename(&volume, &name("g-v")).unwrap();
    stack.settle();
    assert_eq!(
        udev::property("/dev/mapper/g-v", "DM_UDEV_DISABLE_DISK_RULES_FLAG").as_deref(),
        Some("1")
    );
    assert!(!Path::new("/dev/mapper/g-w").exists());
    tool(
        "dmsetup",
        &["remove", "--manglename", "none", "str\u{e4}nger"],
    )
    .ok();
    stack.remove();
    lab.finish();
}

#[test]
fn a_window_allocates_nothing() {
    let lab = lab!(["mirror"], [48, 48]);
    let stack = Stack::new(&lab);
    let (dm, volume, leg) = (
        &stack.dm,
        stack.uuid(&Role::Volume),
        stack.uuid(&Role::Plex(1)),
    );
    dm.take_cookie().unwrap();
    dm.load(
        &volume,
        &lines(&format!("linear {} 0", stack.dev(&Role::Plex(1)))),
    )
    .unwrap();
    let (critical, missing) = dm.enter_window();
    let (mut top, mut below) = (
        dm.arm(&volume, Links::All).unwrap(),
        dm.arm(&leg, Links::Hidden).unwrap(),
    );
    let allocations = || ALLOCATIONS.with(|allocations| allocations.load(Ordering::Relaxed));
    let before = allocations();
    let done = (
        [
            top.suspend(SuspendMode::Freeze),
            below.suspend(SuspendMode::Flush),
        ],
        [top.health(), below.health()],
        [below.clear(), below.resume(), top.resume()],
    );
    let after = allocations();
    let blocked = SigSet::thread_get_mask().unwrap();
    assert!(
        blocked.contains(Signal::SIGTERM),
        "the kernel's window was not entered"
    );
    assert!(missing.is_empty(), "{missing:?}");
    drop(critical);
    assert_eq!(after, before);
    assert_eq!(
        done,
        (
            [Ok(()); 2],
            [Ok(MirrorHealth::InSync), Err(Errno(libc::EINVAL))],
            [Ok(()); 3]
        )
    );
    assert_eq!(
        dm.device(&volume).unwrap().unwrap().table[0].target,
        "linear"
    );
    stack.settle();
    stack.remove();
    lab.finish();
}

/// Kernels with IMA keep one measurement for both slots after a clear, and a rename frees one of
/// the two: `kernel BUG` at the remove.
#[test]
fn a_rename_after_a_clear_does_not_take_the_kernel_down() {
    let lab = lab!(["linear"], [48, 48]);
    let stack = Stack::new(&lab);
    let (dm, volume) = (&stack.dm, stack.uuid(&Role::Volume));
    for round in 0..10 {
        dm.load(&volume, &lines(&stack.mirror())).unwrap();
        dm.clear(&volume).unwrap();
        dm.rename(&volume, &name(&format!("g-v{round}"))).unwrap();
        dm.rename(&volume, &name("g-v")).unwrap();
        let device = dm.device(&volume).unwrap().unwrap();
        assert!(!device.has_inactive && device.mirror.unwrap().in_sync());
    }
    stack.remove();
    lab.finish();
}

/// A mirror whose suspend was interrupted can never be suspended again.
#[test]
fn signals_do_not_interrupt_a_suspend() {
    let lab = lab!(["mirror"], [48, 48]);
    let stack = Stack::new(&lab);
    let (dm, volume, leg) = (
        &stack.dm,
        stack.uuid(&Role::Volume),
        stack.uuid(&Role::Plex(2)),
    );
    dm.suspend(&leg, SuspendMode::NoFlush).unwrap();
    let write = std::process::Command::new("dd")
        .args([
            "if=/dev/zero",
            "of=/dev/mapper/g-v",
            "bs=4k",
            "count=1",
            "oflag=direct",
        ])
        .spawn();
    std::thread::sleep(Duration::from_millis(500));
    let late = drain::write_back(stack.dev(&Role::Volume), Duration::from_millis(500)).unwrap_err();
    assert_eq!(late.kind(), Kind::TimedOut);

    extern "C" fn nothing(_signal: libc::c_int) {}
    // SAFETY: the handler does nothing.
    unsafe { libc::signal(libc::SIGUSR1, nothing as *const () as usize) };
    // SAFETY: no arguments.
    let here = unsafe { libc::pthread_self() } as usize;
    let (other, theirs) = (Dm::open().unwrap(), leg.clone());
    let helper = std::thread::spawn(move || {
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(100));
            // SAFETY: the test's thread waits for this one before it ends.
            unsafe { libc::pthread_kill(here as libc::pthread_t, libc::SIGUSR1) };
        }
        other.resume(&theirs, Links::Hidden)
    });
    let started = Instant::now();
    dm.suspend(&volume, SuspendMode::Flush).unwrap();
    assert!(
        started.elapsed() > Duration::from_millis(500),
        "it did not wait for the write"
    );
    helper.join().unwrap().unwrap();
    dm.resume(&volume, Links::All).unwrap();
    assert!(write.unwrap().wait().unwrap().success());
    dm.suspend(&volume, SuspendMode::NoFlush).unwrap();
    dm.resume(&volume, Links::All).unwrap();
    drain::write_back(stack.dev(&Role::Volume), SOON).unwrap();
    stack.remove();
    lab.finish();
}

#[test]
fn without_semaphores_nothing_begins_and_what_runs_goes_on() {
    const LIMITS: &str = "/proc/sys/kernel/sem";
    let lab = lab!(["mirror"], [48, 48]);
    let stack = Stack::new(&lab);
    let (dm, volume) = (&stack.dm, stack.uuid(&Role::Volume));
    let limits = fs::read_to_string(LIMITS).unwrap();
    fs::write(LIMITS, "32000 1024000000 500 0").unwrap();
    let refused = dm.take_cookie();
    dm.suspend(&volume, SuspendMode::Freeze).unwrap();
    let resumed = dm.resume(&volume, Links::NoContent);
    fs::write(LIMITS, limits).unwrap();
    assert_eq!(refused.unwrap_err().kind(), Kind::Device);
    resumed.unwrap();
    assert!(!dm.device(&volume).unwrap().unwrap().suspended);
    udev::settle();
    let flag = udev::property("/dev/mapper/g-v", "DM_UDEV_DISABLE_DISK_RULES_FLAG");
    assert_eq!(
        flag.as_deref(),
        Some("1"),
        "the flags reach udev without a semaphore"
    );
    stack.remove();
    lab.finish();
}

#[test]
fn a_stopped_udev_costs_its_deadline_and_no_more() {
    let lab = lab!(["mirror"], [48, 48]);
    let stack = Stack::new(&lab);
    let (dm, volume) = (&stack.dm, stack.uuid(&Role::Volume));
    udev::tell(Signal::SIGSTOP);
    dm.take_cookie().unwrap();
    dm.rename(&volume, &name("g-w")).unwrap();
    let (started, warning) = (Instant::now(), dm.settle(Duration::from_millis(500)));
    let link = fs::read_link("/dev/mapper/g-w");
    let old = fs::symlink_metadata("/dev/mapper/g-v");
    udev::tell(Signal::SIGCONT);
    assert!(started.elapsed() < Duration::from_secs(30));
    assert!(
        warning
            .unwrap()
            .contains("udev has not processed 1 device-mapper event within")
    );
    assert_eq!(
        link.unwrap(),
        Path::new("..").join(format!("dm-{}", stack.dev(&Role::Volume).minor))
    );
    assert!(old.is_err());
    assert_eq!(leaks::cookies(), Vec::<u32>::new());
    udev::settle();
    stack.remove();
    lab.finish();
}

#[test]
fn an_event_between_arming_and_waiting_is_not_lost() {
    let lab = lab!(["mirror"], [48, 48]);
    let stack = Stack::new(&lab);
    let (dm, volume) = (&stack.dm, stack.uuid(&Role::Volume));
    let mut events = EventWait::open().unwrap();
    assert!(!events.wait(Duration::from_millis(50)).unwrap());
    events.arm().unwrap();
    dm.load(&volume, &lines(&stack.mirror())).unwrap();
    dm.suspend(&volume, SuspendMode::Flush).unwrap();
    dm.resume(&volume, Links::All).unwrap();
    assert!(events.wait(SOON).unwrap());
    events.arm().unwrap();
    assert!(!events.wait(Duration::from_millis(50)).unwrap());
    stack.remove();
    lab.finish();
}

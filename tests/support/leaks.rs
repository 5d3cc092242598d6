//! What the program may have left behind, and removing it by force.

use super::dm::{Dm, Info, Line};
use super::{disk, fs as filesystems, loops};
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// What dm UUIDs of the program start with.
pub const OURS: &str = "BREAKOFF-";
/// The high half of the key of every udev cookie.
const COOKIE: u32 = 0x0d4d;
/// Where the program keeps its locks. A monitor that a command has started holds one as long as
/// there is a mirror.
const LOCK_DIRECTORY: &str = "/run/breakoff/lock";

/// The program's devices.
pub fn devices(dm: &Dm) -> Vec<Info> {
    dm.list()
        .into_iter()
        .filter(|i| i.uuid.starts_with(OURS))
        .collect()
}

/// The program's devices that stand on no test disk, neither directly nor through others of theirs:
/// somebody uses this machine for real work.
pub fn foreign(dm: &Dm) -> Vec<String> {
    let all = dm.list();
    let mut known: HashSet<u64> = all
        .iter()
        .filter(|i| i.uuid.starts_with(disk::UUID))
        .map(|i| i.dev)
        .collect();
    while let Some(more) = all
        .iter()
        .find(|i| !known.contains(&i.dev) && dm.deps(&i.name).iter().any(|d| known.contains(d)))
    {
        known.insert(more.dev);
    }
    let strange = |i: &&Info| {
        i.uuid.starts_with(OURS) && !known.contains(&i.dev) && !dm.deps(&i.name).is_empty()
    };
    all.iter().filter(strange).map(|i| i.name.clone()).collect()
}

/// Everything that is still there, in words; empty when nothing leaks.
pub fn found(dm: &Dm) -> Vec<String> {
    let mut leaks: Vec<String> = devices(dm)
        .iter()
        .map(|i| format!("device {} ({})", i.name, i.uuid))
        .collect();
    leaks.extend(
        dm.list()
            .iter()
            .filter(|i| i.suspended)
            .map(|i| format!("suspended device {}", i.name)),
    );
    leaks.extend(cookies().iter().map(|key| format!("semaphore {key:#x}")));
    leaks.extend(held_locks());
    leaks
}

/// Waits a moment for what is just going, then says what stays.
pub fn found_after_a_while(dm: &Dm) -> Vec<String> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let leaks = found(dm);
        if leaks.is_empty() || Instant::now() > end {
            return leaks;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// What no command may leave while volumes exist and a monitor guards them: all but devices and the
/// monitor's own lock.
pub fn of_no_command(dm: &Dm) -> Vec<String> {
    let end = Instant::now() + Duration::from_secs(20);
    let wrong = |leak: &String| {
        !leak.starts_with("device ") && *leak != format!("lock {LOCK_DIRECTORY}/.monitor")
    };
    loop {
        let leaks: Vec<String> = found(dm).into_iter().filter(wrong).collect();
        if leaks.is_empty() || Instant::now() > end {
            return leaks;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// The keys of the udev cookies that exist.
pub fn cookies() -> Vec<u32> {
    let table = fs::read_to_string("/proc/sysvipc/sem").unwrap_or_default();
    let keys = table
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next()?.parse::<i64>().ok());
    keys.map(|key| key as u32)
        .filter(|key| key >> 16 == COOKIE)
        .collect()
}

fn held_locks() -> Vec<String> {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let held: HashSet<u64> = locks
        .lines()
        .filter_map(|line| {
            line.split_whitespace()
                .find(|w| w.matches(':').count() == 2)
        })
        .filter_map(inode)
        .collect();
    let files = fs::read_dir(LOCK_DIRECTORY).into_iter().flatten().flatten();
    files
        .filter(|f| f.metadata().is_ok_and(|m| held.contains(&m.ino())))
        .map(|f| format!("lock {}", f.path().display()))
        .collect()
}

/// The last part of `major:minor:inode`.
fn inode(word: &str) -> Option<u64> {
    word.rsplit(':').next()?.parse().ok()
}

/// Removes everything that tests have left: mounts, the program's devices, our disks, loop devices.
/// Held writes end as errors.
pub fn sweep(dm: &Dm) {
    filesystems::unmount_leftovers();
    let ours = |i: &Info| i.uuid.starts_with(OURS) || i.uuid.starts_with(disk::UUID);
    end_what_is_held(dm, ours);
    remove_all(dm, ours);
    loops::clear_leftovers();
}

/// Lets all I/O fail that waits in some devices.
pub fn end_what_is_held(dm: &Dm, which: impl Fn(&Info) -> bool) {
    for info in from_the_bottom_up(dm)
        .iter()
        .filter(|i| which(i) && may_hold_something(dm, i))
    {
        let_everything_fail(dm, info);
    }
}

/// Whether I/O may wait in a device: writes of a mirror, everything in a disk that is paused.
fn may_hold_something(dm: &Dm, info: &Info) -> bool {
    let holds = |line: &Line| line.target == "mirror" || line.target == "delay";
    info.suspended
        || dm
            .table(&info.name)
            .is_ok_and(|table| table.iter().any(holds))
}

/// All devices, each after those that it stands on: what is held below keeps the device above from
/// being suspended.
fn from_the_bottom_up(dm: &Dm) -> Vec<Info> {
    let (mut left, mut sorted) = (dm.list(), Vec::new());
    while !left.is_empty() {
        let waiting: HashSet<u64> = left.iter().map(|i| i.dev).collect();
        let (above, ready): (Vec<Info>, Vec<Info>) = left.into_iter().partition(|i| {
            dm.deps(&i.name)
                .iter()
                .any(|d| waiting.contains(d) && *d != i.dev)
        });
        if ready.is_empty() {
            sorted.extend(above);
            break;
        }
        sorted.extend(ready);
        left = above;
    }
    sorted
}

/// Replaces a device by one that fails all I/O, so that nothing waits on it any more.
fn let_everything_fail(dm: &Dm, info: &Info) {
    let size = dm
        .table(&info.name)
        .ok()
        .and_then(|t| t.last().map(|l| l.start + l.length))
        .unwrap_or(8);
    let _ = dm.swap(&info.name, &[Line::new(0, size, "error", "")]);
}

/// Removes devices from the top down: what is in use waits for another round.
pub fn remove_all(dm: &Dm, which: impl Fn(&Info) -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let left: Vec<Info> = dm.list().into_iter().filter(|i| which(i)).collect();
        if left.is_empty() || Instant::now() > end {
            return;
        }
        let removed = left.iter().filter(|i| dm.remove(&i.name).is_ok()).count();
        if removed == 0 {
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Processes that wait in the kernel and cannot be killed, with the place.
pub fn stuck_processes() -> Vec<String> {
    let Ok(proc) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let tasks = proc.flatten().filter(|p| {
        p.file_name()
            .to_string_lossy()
            .bytes()
            .all(|b| b.is_ascii_digit())
    });
    let threads = tasks.flat_map(|p| {
        fs::read_dir(p.path().join("task"))
            .into_iter()
            .flatten()
            .flatten()
    });
    threads.filter_map(|thread| stuck(&thread.path())).collect()
}

fn stuck(task: &Path) -> Option<String> {
    let stat = fs::read_to_string(task.join("stat")).ok()?;
    let (name, rest) = stat.rsplit_once(')')?;
    let waits = rest.trim_start().starts_with('D');
    let stack = || fs::read_to_string(task.join("stack")).unwrap_or_default();
    waits.then(|| format!("{name}) waits in the kernel:\n{}", stack()))
}

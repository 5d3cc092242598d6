//! What has a block device open, as text: mounts, swap, other devices, loop devices, processes.
//!
//! The search is best effort and bounded. It explains refusals of the kernel; all that it decides is
//! how long a removal is retried.

use crate::linux::disk::sysfs::{self, Block, printable};
use crate::linux::dm::nodes::{devno, leads_to};
use crate::model::DevNo;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// The maximum number of answers, and the maximum time of a search.
const LIMITS: (usize, Duration) = (12, Duration::from_secs(2));

/// What has this device open. An empty result means that nothing was found, not that nothing has it
/// open.
pub fn openers(dev: DevNo) -> Vec<String> {
    let mut found = standing(dev);
    let until = Instant::now() + LIMITS.1;
    found.extend(foreign_mounts(dev, until));
    found.extend(processes(dev, until));
    found.truncate(LIMITS.0);
    found
}

/// Whether a device is used by something that does not go away by itself, unlike a probe of udev.
pub(in crate::linux) fn holds_for_long(dev: DevNo) -> bool {
    !standing(dev).is_empty()
}

/// Whether the root filesystem is on this device, or on a device that is made of it.
pub fn carries_root(dev: DevNo) -> bool {
    let mounts = sysfs::mounts("self");
    // What was mounted last is what processes see.
    let Some(root) = mounts.iter().rfind(|mount| mount.point == "/") else {
        return false;
    };
    let (mut waiting, mut seen) = (vec![dev], BTreeSet::new());
    while let Some(dev) = waiting.pop() {
        if root.is_on(dev) {
            return true;
        }
        if seen.insert(dev) {
            let holders = Block::numbered(dev).map_or_else(Vec::new, |block| block.holders());
            let above = holders.iter().filter_map(|name| Block::named(name));
            waiting.extend(above.filter_map(|block| block.dev()));
        }
    }
    false
}

/// Mounts in this mount namespace, swap, devices made of it and loop devices on it.
fn standing(dev: DevNo) -> Vec<String> {
    let mounts = sysfs::mounts("self")
        .into_iter()
        .filter(|mount| mount.is_on(dev));
    let mut found: Vec<String> = mounts
        .map(|mount| format!("mounted on '{}'", printable(&mount.point)))
        .collect();
    found.extend(
        sysfs::swaps()
            .iter()
            .filter(|path| leads_to(path, dev))
            .map(|_| "used as swap".to_owned()),
    );
    let holders = Block::numbered(dev)
        .map(|block| block.holders())
        .unwrap_or_default();
    found.extend(holders.iter().map(|name| {
        format!(
            "used by device {}",
            Block::named(name).map_or_else(|| format!("'{name}'"), |b| b.title())
        )
    }));
    found.extend(loops(dev));
    found
}

/// Loop devices on a device: neither its holders nor the descriptors of a process show them.
fn loops(dev: DevNo) -> Vec<String> {
    let on_it = |block: &Block| {
        block
            .attribute("loop/backing_file")
            .is_some_and(|file| leads_to(Path::new(&file), dev))
    };
    let loops = Block::all()
        .unwrap_or_default()
        .into_iter()
        .filter(|block| block.name.starts_with("loop"));
    loops
        .filter(on_it)
        .map(|block| format!("used by loop device '{}'", block.name))
        .collect()
}

/// Mounts that only other mount namespaces have: containers, and services with a private `/tmp`.
fn foreign_mounts(dev: DevNo, until: Instant) -> Vec<String> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let mut seen: BTreeSet<_> = namespace("self").into_iter().collect();
    let mut found = Vec::new();
    for pid in pids() {
        let fresh = namespace(&pid).is_some_and(|namespace| seen.insert(namespace));
        if fresh
            && let Some(mount) = sysfs::mounts(&pid)
                .into_iter()
                .find(|mount| mount.is_on(dev))
        {
            found.push(format!(
                "mounted on '{}' for {}",
                printable(&mount.point),
                process(&pid)
            ));
        }
        if Instant::now() > until || found.len() >= LIMITS.0 {
            break;
        }
    }
    found
}

/// Processes with a descriptor on a device, except this one.
fn processes(dev: DevNo, until: Instant) -> Vec<String> {
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for pid in pids().into_iter().filter(|pid| *pid != own) {
        if has_open(&pid, dev) {
            found.push(format!("open in {}", process(&pid)));
        }
        if Instant::now() > until || found.len() >= LIMITS.0 {
            break;
        }
    }
    found
}

fn has_open(pid: &str, dev: DevNo) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    descriptors
        .into_iter()
        .any(|entry| device_behind(&entry.path()) == Some(dev))
}

/// A process that has a block device open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::linux) struct Opener {
    /// The process, for people.
    pub process: String,
    /// Whether the process can write to the device.
    pub writes: bool,
}

/// The openers of all block devices: every descriptor of every process except this one.
pub(in crate::linux) fn all() -> BTreeMap<DevNo, Vec<Opener>> {
    let own = std::process::id().to_string();
    let mut found: BTreeMap<DevNo, Vec<Opener>> = BTreeMap::new();
    for pid in pids().into_iter().filter(|pid| *pid != own) {
        for entry in fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let Some(dev) = device_behind(&entry.path()) else {
                continue;
            };
            let number = entry.file_name();
            let about =
                fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", number.to_string_lossy()))
                    .unwrap_or_default();
            found.entry(dev).or_default().push(Opener {
                process: process(&pid),
                writes: writes(&about),
            });
        }
    }
    found
}

/// Whether a descriptor was opened for writing, according to `/proc/PID/fdinfo`. One that cannot be
/// read counts as a writer.
fn writes(about: &str) -> bool {
    let flags = about
        .lines()
        .find_map(|line| line.strip_prefix("flags:"))
        .map(str::trim);
    let flags = flags.and_then(|flags| libc::c_int::from_str_radix(flags, 8).ok());
    flags.is_none_or(|flags| flags & libc::O_ACCMODE != libc::O_RDONLY)
}

/// The block device that a descriptor is for. Only targets with `/dev/` in their path are examined:
/// a look at a file on a dead server would block until the server answers.
fn device_behind(descriptor: &Path) -> Option<DevNo> {
    fs::read_link(descriptor)
        .ok()
        .filter(|target| target.to_string_lossy().contains("/dev/"))?;
    fs::metadata(descriptor)
        .ok()
        .filter(|about| about.file_type().is_block_device())
        .map(|about| devno(about.rdev()))
}

/// The ID and the name of a process, for people.
pub(in crate::linux) fn process(pid: &str) -> String {
    format!("process {pid} ({})", command(pid))
}

/// The IDs of all processes.
pub(in crate::linux) fn pids() -> Vec<String> {
    let names = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
        .collect()
}

/// The IDs of all processes but the kernel's own threads, which are in the first mount namespace, or
/// in one without a disk. So are the programs that the kernel starts.
pub(in crate::linux) fn user_pids() -> Vec<String> {
    // The thread that starts all others. In a PID namespace this number is that of another process.
    let starter = fs::read_to_string("/proc/2/stat").unwrap_or_default();
    let children = is_kernel_thread(&starter)
        .then(|| fs::read_to_string("/proc/2/task/2/children").ok())
        .flatten()
        .unwrap_or_default();
    let threads: BTreeSet<&str> = children.split_ascii_whitespace().chain(["2"]).collect();
    let mut pids = pids();
    pids.retain(|pid| children.is_empty() || !threads.contains(pid.as_str()));
    pids
}

/// Whether `/proc/PID/stat` is that of a kernel thread (`PF_KTHREAD` of the flags).
fn is_kernel_thread(stat: &str) -> bool {
    // The name in parentheses may hold anything.
    let behind = stat.rsplit_once(") ").map(|(_, fields)| fields);
    let flags = behind.and_then(|fields| fields.split(' ').nth(6)?.parse::<u32>().ok());
    flags.is_some_and(|flags| flags & 0x0020_0000 != 0)
}

fn command(pid: &str) -> String {
    printable(
        fs::read_to_string(format!("/proc/{pid}/comm"))
            .unwrap_or_default()
            .trim_end(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_threads_are_told_by_their_flag() {
        let kernel = "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0";
        let process = "2 (a) S (b) S 1 2 2 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0";
        assert!(is_kernel_thread(kernel) && !is_kernel_thread(process) && !is_kernel_thread(""));
        assert!(user_pids().contains(&std::process::id().to_string()));
    }

    #[test]
    fn writers_are_told_from_readers() {
        assert!(!writes("pos:\t0\nflags:\t0100000\nmnt_id:\t5\n"));
        for writer in ["flags:\t0100002\n", "flags:\t01\n", "", "flags: x"] {
            assert!(writes(writer), "{writer:?}");
        }
    }

    #[test]
    fn nobody_has_a_device_that_does_not_exist() {
        let nothing = DevNo {
            major: 4000,
            minor: 1_000_000,
        };
        assert_eq!(openers(nothing), Vec::<String>::new());
        assert!(!holds_for_long(nothing));
    }
}

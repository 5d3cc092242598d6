//! Which disks of ours are there. What they say is `meta`'s to read and to judge.
//!
//! udev knows the members that its rule has marked. A device that it knows to hold something else is not opened; one that it
//! knows nothing of is looked into, so that a disk is found also before udev has seen it, and without udev at all.

use super::sysfs::{Block, printable};
use super::{cookie, tools};
use crate::error::{Error, Result};
use crate::model::{DevNo, Sectors, name::UUID_PREFIX};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

pub use super::host::{boot_id, host_id, now};
pub use super::inspect::{Inspection, Objection, inspect};
pub use super::openers::openers;

/// What udev calls a disk of ours.
pub const MEMBER_TYPE: &str = "breakoff_member";
/// How many devices that udev knows nothing of are opened at most.
const LOOK_INTO: usize = 4096;
/// How long udev may take to look at one device.
const PATIENCE: Duration = Duration::from_secs(10);

/// A device that looks like a disk of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The kernel's name for it.
    pub name: String,
    /// Where it is: `/dev/NAME`, or `/dev/mapper/NAME`.
    pub path: PathBuf,
    /// Its number.
    pub dev: DevNo,
    /// Its size.
    pub size: Sectors,
    /// Its logical block size in bytes.
    pub logical_block: u32,
    /// The devices that are made of it, by kernel name.
    pub holders: Vec<String>,
    /// The devices that it is made of, by kernel name.
    pub slaves: Vec<String>,
}

impl Candidate {
    fn from_block(block: &Block) -> Option<Candidate> {
        Some(Candidate {
            name: block.name.clone(),
            path: block.path()?,
            dev: block.dev()?,
            size: block.size(),
            logical_block: block.logical_block(),
            holders: block.holders(),
            slaves: block.slaves(),
        })
    }
}

/// What udev's database says of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// A disk of ours.
    Member,
    /// Something else, or a path of something else.
    Other,
    /// Nothing.
    Unknown,
}

/// The devices that look like disks of ours. Of devices that are layered the topmost counts (a multipath device, not its paths).
///
/// `is_member` reads a device's superblock; it is asked only where udev does not know.
pub fn member_devices(is_member: &dyn Fn(&Path) -> bool) -> Result<Vec<Candidate>> {
    let blocks = Block::all().map_err(|err| Error::io("cannot list the block devices", &err).hint("is /sys mounted?"))?;
    let (database, mut looks) = (cookie::udev_running(), 0);
    let mut found = Vec::new();
    for block in blocks.iter().filter(|block| may_be_a_disk(block)) {
        let verdict = if database { ask_udev(block) } else { Verdict::Unknown };
        if verdict == Verdict::Other || (verdict == Verdict::Unknown && looks >= LOOK_INTO) {
            continue;
        }
        let Some(candidate) = Candidate::from_block(block) else { continue };
        // What our own devices lie on is one of ours, whatever can be read of it now.
        let is_member_known = verdict == Verdict::Member || candidate.holders.iter().any(|holder| is_ours(holder));
        looks += usize::from(!is_member_known);
        if is_member_known || is_member(&candidate.path) {
            found.push(candidate);
        }
    }
    Ok(topmost(found, &|name| Block::named(name).map(|block| block.slaves()).unwrap_or_default()))
}

/// Kernel names of what can never be a disk of a group.
const NEVER: [&str; 6] = ["ram", "zram", "sr", "fd", "mtdblock", "loop-control"];

/// Whether the device with this kernel name is one that we have made.
fn is_ours(name: &str) -> bool {
    Block::named(name).and_then(|block| block.dm_uuid()).is_some_and(|uuid| uuid.starts_with(UUID_PREFIX))
}

/// Whether a device can be a disk and may be opened, as far as `/sys` tells without touching it.
fn may_be_a_disk(block: &Block) -> bool {
    let never = NEVER
        .iter()
        .any(|prefix| block.name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit())));
    let ours = || is_ours(&block.name);
    let disconnected = || block.name.starts_with("nbd") && block.attribute("pid").is_none() && block.disk().is_none();
    let hidden = || block.number("hidden").is_some_and(|hidden| hidden != 0);
    !never && !ours() && !block.size().is_zero() && !block.is_suspended() && !disconnected() && !hidden() && block.partitions().is_empty()
}

/// What udev has found on a device, such as `ext4` or `crypto_LUKS`.
pub(super) fn content(dev: DevNo) -> Option<String> {
    let name = Block::numbered(dev)?.name;
    let device = udev::Device::from_subsystem_sysname("block".to_owned(), name).ok()?;
    let found = |name: &str| device.property_value(name).map(|value| printable(&value.to_string_lossy())).filter(|text| !text.is_empty());
    found("ID_FS_TYPE").or_else(|| found("ID_PART_TABLE_TYPE"))
}

fn ask_udev(block: &Block) -> Verdict {
    let device = udev::Device::from_subsystem_sysname("block".to_owned(), block.name.clone());
    let Some(device) = device.ok().filter(udev::Device::is_initialized) else { return Verdict::Unknown };
    let property = |name: &str| device.property_value(name).map(|value| value.to_string_lossy().into_owned());
    verdict(&property, block.disk().is_some())
}

fn verdict(property: &dyn Fn(&str) -> Option<String>, is_partition: bool) -> Verdict {
    let is = |name: &str, value: &str| property(name).is_some_and(|found| found == value);
    let has = |name: &str| property(name).is_some_and(|found| !found.is_empty());
    if is("DM_MULTIPATH_DEVICE_PATH", "1") {
        return Verdict::Other;
    }
    if is("ID_FS_TYPE", MEMBER_TYPE) {
        return Verdict::Member;
    }
    // A partition inherits the table's type from its disk.
    let other = has("ID_FS_TYPE") || has("ID_FS_AMBIVALENT") || (has("ID_PART_TABLE_TYPE") && !is_partition);
    if other { Verdict::Other } else { Verdict::Unknown }
}

/// Leaves out what is beneath another candidate, however deep.
fn topmost(candidates: Vec<Candidate>, slaves_of: &dyn Fn(&str) -> Vec<String>) -> Vec<Candidate> {
    let mut beneath = BTreeSet::new();
    for candidate in &candidates {
        let mut next = candidate.slaves.clone();
        while let Some(name) = next.pop() {
            if beneath.insert(name.clone()) {
                next.extend(slaves_of(&name));
            }
        }
    }
    candidates.into_iter().filter(|candidate| !beneath.contains(&candidate.name)).collect()
}

/// Lets udev look at devices again whose superblock was just written or wiped, and waits until it has, at most ten seconds.
/// Says in words when it did not. Without it the next `lsblk -f`, and the next command, could see what was there before.
pub fn announce(paths: &[PathBuf]) -> Option<String> {
    if paths.is_empty() || !cookie::udev_running() {
        return None;
    }
    let mut command = tools::command("udevadm")?;
    command.args(["trigger", "--action=change", "--settle", "--"]).args(paths).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let until = Instant::now() + PATIENCE;
    loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
            Ok(Some(_)) => return None,
            _ => break,
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    Some(format!("udev has not looked at the disks again within {} s (is systemd-udevd stopped or hanging?)", PATIENCE.as_secs()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn asked(properties: &[(&str, &str)], is_partition: bool) -> Verdict {
        let find = |name: &str| properties.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        verdict(&find, is_partition)
    }

    #[test]
    fn udevs_word_decides_whether_a_device_is_opened() {
        assert_eq!(asked(&[], false), Verdict::Unknown);
        assert_eq!(asked(&[("ID_FS_TYPE", MEMBER_TYPE)], false), Verdict::Member);
        assert_eq!(asked(&[("ID_FS_TYPE", MEMBER_TYPE), ("DM_MULTIPATH_DEVICE_PATH", "1")], false), Verdict::Other);
        assert_eq!(asked(&[("ID_FS_TYPE", "ext4")], false), Verdict::Other);
        assert_eq!(asked(&[("ID_FS_TYPE", "")], false), Verdict::Unknown);
        assert_eq!(asked(&[("ID_PART_TABLE_TYPE", "gpt")], false), Verdict::Other);
        assert_eq!(asked(&[("ID_PART_TABLE_TYPE", "gpt")], true), Verdict::Unknown);
        assert_eq!(asked(&[("ID_FS_AMBIVALENT", "x")], false), Verdict::Other);
    }

    fn candidate(name: &str, slaves: &[&str]) -> Candidate {
        Candidate {
            name: name.to_owned(),
            path: PathBuf::from("/dev").join(name),
            dev: DevNo { major: 8, minor: 0 },
            size: Sectors::MIB,
            logical_block: 512,
            holders: Vec::new(),
            slaves: slaves.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn of_layers_the_topmost_counts() {
        let names = |found: Vec<Candidate>| found.into_iter().map(|candidate| candidate.name).collect::<Vec<_>>();
        let deeper = |name: &str| if name == "dm-0" { vec!["sda".to_owned(), "sdb".to_owned()] } else { Vec::new() };
        let found = vec![candidate("sda", &[]), candidate("sdb", &[]), candidate("sdc", &[]), candidate("dm-1", &["dm-0"])];
        assert_eq!(names(topmost(found, &deeper)), ["sdc", "dm-1"]);
        let endless = |_: &str| vec!["dm-0".to_owned(), "dm-1".to_owned()];
        assert_eq!(names(topmost(vec![candidate("sdc", &["dm-0"])], &endless)), ["sdc"]);
    }

    #[test]
    fn searching_this_machine_opens_only_what_may_be_a_disk() {
        for found in member_devices(&|_| true).unwrap() {
            assert!(!found.name.starts_with("zram") && !found.size.is_zero(), "{found:?}");
        }
    }
}

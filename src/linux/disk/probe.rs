//! Finds the breakoff disks of this machine. `meta` reads and judges what is on them.
//!
//! udev knows the disks that its rule has marked. A device that udev knows to hold something else
//! is not opened. One that it knows nothing about is read, so that a disk is also found before udev
//! has processed it, and without udev. A command on a group that is whole with the disks that udev has marked
//! looks at no others. All are read in parallel and with a deadline (`apart`): a disk that hangs,
//! breakoff's or not, delays no command for longer.

use crate::error::{Error, Kind, Result};
use crate::linux::disk::sysfs::{Block, printable};
use crate::linux::disk::{apart, writing};
use crate::linux::dm::{cookie, ioctl};
use crate::linux::process::tools;
use crate::model::{DevNo, GroupId, device::UUID_PREFIX};
use crate::sys::Media;
use crate::sys::disk::{
    ALIGNMENT, Candidate, Found, GROUP_PROPERTY, MARK, MEMBER_TYPE, Reading, Stranger, Which,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// How long a device may take to answer if it may or may not be a breakoff disk, or if a running
/// group uses it: writes to the group may be waiting for a repair meanwhile.
const ANSWERS: Duration = Duration::from_secs(5);
/// How long a device that udev knows to be a breakoff disk may take to answer: it may have to spin
/// up first.
const MEMBER_ANSWERS: Duration = Duration::from_secs(10);
/// The maximum number of devices that are opened without udev knowing anything about them.
const LOOK_INTO: usize = 4096;
/// How long udev may take to process devices again.
const PATIENCE: Duration = Duration::from_secs(10);

fn candidate(block: &Block) -> Option<Candidate> {
    Some(Candidate {
        name: block.name.clone(),
        path: block.path()?,
        dev: block.dev()?,
        size: block.size(),
        logical_block: block.logical_block(),
        beneath: beneath(block.slaves(), &|name| {
            Block::named(name)
                .map(|block| block.slaves())
                .unwrap_or_default()
        }),
    })
}

/// What udev's database says about a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// A breakoff disk.
    Member,
    /// Something else, or a path of a multipath device.
    Other,
    /// Nothing about its contents.
    Unknown,
}

/// The devices that are, or may be, breakoff disks, each as far as `reading` has read it. None may
/// take longer than `patience` to answer, if that is given.
pub fn look(
    which: Which<'_>,
    reading: Reading<'_>,
    patience: Option<Duration>,
) -> Result<Vec<Found>> {
    let chosen = match which {
        Which::All => all()?,
        Which::Marked(mapped) => marked(mapped),
        Which::Running(group, mapped) => running(group, mapped)?,
    };
    let disks: Vec<(&Path, Duration)> = chosen
        .iter()
        .filter(|chosen| !chosen.is_suspended)
        .map(|chosen| {
            let most = patience.unwrap_or(chosen.patience);
            (chosen.candidate.path.as_path(), most.min(chosen.patience))
        })
        .collect();
    let mut read = apart::read_each(&disks, reading).into_iter();
    let mut found = |chosen: Chosen| {
        let media = if chosen.is_suspended {
            Err(suspended(&chosen.candidate))
        } else {
            read.next()?
        };
        Some(Found {
            candidate: chosen.candidate,
            is_known: chosen.is_known,
            media,
        })
    };
    Ok(chosen.into_iter().filter_map(&mut found).collect())
}

/// Why a device that is suspended is not read. It would not answer before somebody resumes it.
fn suspended(candidate: &Candidate) -> Error {
    let shown = candidate.path.display();
    Error::timed_out(format!("'{shown}' is suspended and does not answer"))
        .on(shown)
        .hint("whoever has suspended it has to resume it; see 'dmsetup info'")
}

/// Those of these disks that do not answer in time. Any other error is left to other callers to
/// find.
pub fn silent(disks: &BTreeSet<DevNo>) -> Vec<DevNo> {
    // Those that this command writes to are asked where they are written.
    let written = |dev: &DevNo| Some((*dev, writing::answers(*dev, ANSWERS)?));
    let written: BTreeMap<DevNo, bool> = disks.iter().filter_map(written).collect();
    let late = written.iter().filter(|(_, answers)| !**answers);
    let late: Vec<DevNo> = late.map(|(dev, _)| *dev).collect();
    if !late.is_empty() {
        return late;
    }
    // One that is suspended is asked, too: somebody may be about to resume it.
    let path = |dev: &DevNo| Some((*dev, Block::numbered(*dev)?.path()?));
    let others = disks.iter().filter(|dev| !written.contains_key(dev));
    let disks: Vec<(DevNo, PathBuf)> = others.filter_map(path).collect();
    let asked: Vec<(&Path, Duration)> = disks
        .iter()
        .map(|(_, path)| (path.as_path(), ANSWERS))
        .collect();
    let read = apart::read_each(&asked, &|media: &dyn Media| {
        drop(media.read_at(0, &mut [0; ALIGNMENT]));
    });
    let silent = |answer: &Result<Box<dyn Media>>| {
        answer
            .as_ref()
            .is_err_and(|error| error.kind() == Kind::TimedOut)
    };
    disks
        .iter()
        .zip(read)
        .filter(|(_, answer)| silent(answer))
        .map(|((dev, _), _)| *dev)
        .collect()
}

/// A device that is to be read.
struct Chosen {
    candidate: Candidate,
    is_known: bool,
    /// It does not answer as long as it is, so it is named and not read.
    is_suspended: bool,
    patience: Duration,
}

/// The block devices of this machine.
struct Machine {
    blocks: Vec<Block>,
    /// The kernel names of the devices that breakoff has made.
    ours: BTreeSet<String>,
}

impl Machine {
    fn look() -> Result<Machine> {
        let blocks = Block::all().map_err(|err| {
            Error::io("cannot list the block devices", &err).hint("is /sys mounted?")
        })?;
        let is_ours = |uuid: &str| uuid.starts_with(UUID_PREFIX);
        let ours = match ioctl::numbers(&is_ours) {
            Ok(numbers) => numbers
                .into_iter()
                .map(|dev| format!("dm-{}", dev.minor))
                .collect(),
            // Who may not ask device-mapper looks at each device.
            Err(_) => blocks
                .iter()
                .filter(|block| block.dm_uuid().is_some_and(|uuid| is_ours(&uuid)))
                .map(|block| block.name.clone())
                .collect(),
        };
        Ok(Machine { blocks, ours })
    }

    /// Whether one of breakoff's own devices is made of this one.
    fn carries_ours(&self, block: &Block) -> bool {
        !self.ours.is_empty() && block.holders().iter().any(|name| self.ours.contains(name))
    }

    /// Whether a device can be a disk and may be opened, as far as `/sys` tells without touching
    /// it.
    fn may_be_a_disk(&self, block: &Block) -> bool {
        self.may_be_used(block) && !self.has_partitions(block)
    }

    /// The same, whether or not it has partitions.
    fn may_be_used(&self, block: &Block) -> bool {
        let never = NEVER.iter().any(|prefix| {
            block
                .name
                .strip_prefix(prefix)
                .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
        });
        let disconnected = || {
            block.name.starts_with("nbd")
                && block.attribute("pid").is_none()
                && !block.is_partition()
        };
        let hidden = || block.number("hidden").is_some_and(|hidden| hidden != 0);
        !never
            && !self.ours.contains(&block.name)
            && !block.size().is_zero()
            && !disconnected()
            && !hidden()
    }

    /// Whether a device has partitions. The kernel names each after its disk.
    fn has_partitions(&self, block: &Block) -> bool {
        let mut named_after = self.blocks.iter().filter(|other| {
            let rest = other.name.strip_prefix(block.name.as_str());
            rest.is_some_and(|rest| is_partition_of(&block.name, rest))
        });
        named_after.any(Block::is_partition)
    }
}

fn all() -> Result<Vec<Chosen>> {
    let (database, mut looks) = (cookie::udev_running(), 0);
    let mut chosen = Vec::new();
    let machine = Machine::look()?;
    for block in machine
        .blocks
        .iter()
        .filter(|block| machine.may_be_a_disk(block))
    {
        // A device beneath one of breakoff's own devices is a breakoff disk, whatever udev says and
        // whatever can be read from it now.
        let is_in_use = machine.carries_ours(block);
        let verdict = match (is_in_use, database) {
            (true, _) => Verdict::Member,
            (false, true) => ask_udev(block),
            (false, false) => Verdict::Unknown,
        };
        let is_suspended = block.is_suspended();
        let is_no_use = match verdict {
            Verdict::Member => false,
            // Of one that is not known to be a breakoff disk nothing is said.
            Verdict::Unknown => is_suspended || looks >= LOOK_INTO,
            Verdict::Other => true,
        };
        if is_no_use {
            continue;
        }
        let Some(candidate) = candidate(block) else {
            continue;
        };
        let is_known = verdict == Verdict::Member;
        looks += usize::from(!is_known);
        chosen.push(Chosen {
            candidate,
            is_known,
            is_suspended,
            patience: if is_known { MEMBER_ANSWERS } else { ANSWERS },
        });
    }
    Ok(chosen)
}

/// The whole disks of this machine, whatever is on them.
pub fn whole_disks() -> Result<Vec<Stranger>> {
    let machine = Machine::look()?;
    let whole = machine.blocks.iter().filter(|block| {
        let is_multipath = || {
            let uuid = block.dm_uuid();
            uuid.is_some_and(|uuid| uuid.starts_with(MULTIPATH))
        };
        let is_hardware = !block.name.starts_with("dm-") || is_multipath();
        let may_be_used = || machine.may_be_used(block) && !block.is_suspended();
        is_hardware && !block.is_partition() && may_be_used() && !is_path(block)
    });
    let stranger = |block: &Block| {
        Some(Stranger {
            candidate: candidate(block)?,
            content: content_of(block),
        })
    };
    Ok(whole.filter_map(stranger).collect())
}

/// How the UUID of a multipath device begins.
const MULTIPATH: &str = "mpath-";

/// Whether a device is one of several paths to a disk, which has a device of its own.
fn is_path(block: &Block) -> bool {
    udev_property(block, "DM_MULTIPATH_DEVICE_PATH").is_some_and(|value| value == "1")
}

/// The devices that udev has tagged, and these. A tag stays when a label has gone.
fn marked(mapped: &BTreeSet<DevNo>) -> Vec<Chosen> {
    if !cookie::udev_running() {
        return Vec::new();
    }
    let in_use = mapped.iter().filter_map(|dev| Block::numbered(*dev));
    let in_use = in_use.map(|block| (block, true));
    let is_new = |block: &Block| block.dev().is_some_and(|dev| !mapped.contains(&dev));
    let tagged = tagged()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|device| {
            let block = Block::named(&device.sysname().to_string_lossy()).filter(is_new)?;
            let may_be = !block.size().is_zero() && block.partitions().is_empty();
            let property = |name: &str| {
                let value = device.property_value(name)?;
                Some(value.to_string_lossy().into_owned())
            };
            let verdict = verdict(&property, block.disk().is_some());
            (may_be && verdict != Verdict::Other).then_some((block, verdict == Verdict::Member))
        });
    in_use
        .chain(tagged)
        .filter(|(block, _)| !block.is_suspended())
        .filter_map(|(block, is_known)| {
            Some(Chosen {
                candidate: candidate(&block)?,
                is_known,
                is_suspended: false,
                patience: MEMBER_ANSWERS,
            })
        })
        .collect()
}

fn tagged() -> std::io::Result<Vec<udev::Device>> {
    let mut all = udev::Enumerator::new()?;
    all.match_subsystem("block")?;
    all.match_tag(MARK)?;
    Ok(all.scan_devices()?.collect())
}

fn running(group: GroupId, mapped: &BTreeSet<DevNo>) -> Result<Vec<Chosen>> {
    let chosen = |block: &Block| {
        Some(Chosen {
            candidate: candidate(block)?,
            is_known: true,
            is_suspended: false,
            patience: ANSWERS,
        })
    };
    let on_the_group = |block: &Block| block.dev().is_some_and(|dev| mapped.contains(&dev));
    let mut all: Vec<Chosen> = mapped
        .iter()
        .filter_map(|dev| Block::numbered(*dev))
        .filter(|block| !block.is_suspended())
        .filter_map(|block| chosen(&block))
        .collect();
    let machine = Machine::look()?;
    let others = machine.blocks.iter().filter(|block| {
        !on_the_group(block) && machine.may_be_a_disk(block) && !block.is_suspended()
    });
    if cookie::udev_running() {
        let group = group.to_string();
        let is_its = |block: &Block| {
            ask_udev(block) == Verdict::Member
                && udev_property(block, GROUP_PROPERTY).as_ref() == Some(&group)
        };
        all.extend(others.filter(|block| is_its(block)).filter_map(chosen));
    } else {
        // A disk that no table names may have the newest configuration, and must get the next one.
        all.extend(others.take(LOOK_INTO).filter_map(|block| {
            Some(Chosen {
                is_known: false,
                ..chosen(block)?
            })
        }));
    }
    Ok(all)
}

/// Prefixes of the kernel names of devices that can never be a disk of a group.
const NEVER: [&str; 6] = ["ram", "zram", "sr", "fd", "mtdblock", "loop-control"];

/// Whether a name with this behind the name of a disk may be that of a partition: a number, behind a
/// `p` if the disk's name ends with a digit.
fn is_partition_of(disk: &str, rest: &str) -> bool {
    let number = if disk.ends_with(|c: char| c.is_ascii_digit()) {
        rest.strip_prefix('p')
    } else {
        Some(rest)
    };
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether the kernel takes a device for one with heads that have to move.
pub fn is_rotational(dev: DevNo) -> Option<bool> {
    Block::numbered(dev)?.is_rotational()
}

/// Whether two devices are known to be different ones. A device without an identifier, or with one
/// of another kind, is not known to be different, and devices that rest on the same device may be
/// the same.
pub fn are_distinct(one: DevNo, other: DevNo) -> bool {
    let (Some(one), Some(other)) = (Block::numbered(one), Block::numbered(other)) else {
        return false;
    };
    let all_of = |block: &Block| {
        let beneath = beneath(block.slaves(), &|name| {
            Block::named(name)
                .map(|block| block.slaves())
                .unwrap_or_default()
        });
        beneath
            .into_iter()
            .chain([block.name.clone()])
            .collect::<BTreeSet<_>>()
    };
    let differ = matches!((one.identifier(), other.identifier()), (Some((kind, a)), Some((same, b))) if kind == same && a != b);
    differ && all_of(&one).is_disjoint(&all_of(&other))
}

/// The type of content that udev has found on a device, such as `ext4` or `crypto_LUKS`.
pub(in crate::linux) fn content(dev: DevNo) -> Option<String> {
    content_of(&Block::numbered(dev)?)
}

fn content_of(block: &Block) -> Option<String> {
    let found = |name: &str| {
        udev_property(block, name)
            .map(|value| printable(&value))
            .filter(|text| !text.is_empty())
    };
    found("ID_FS_TYPE").or_else(|| found("ID_PART_TABLE_TYPE"))
}

fn ask_udev(block: &Block) -> Verdict {
    let Some(device) = udev_device(block) else {
        return Verdict::Unknown;
    };
    let property = |name: &str| {
        device
            .property_value(name)
            .map(|value| value.to_string_lossy().into_owned())
    };
    verdict(&property, block.disk().is_some())
}

/// The record of a device in udev's database, if udev has processed the device.
fn udev_device(block: &Block) -> Option<udev::Device> {
    let device = udev::Device::from_subsystem_sysname("block".to_owned(), block.name.clone());
    device.ok().filter(udev::Device::is_initialized)
}

fn udev_property(block: &Block, name: &str) -> Option<String> {
    udev_device(block)?
        .property_value(name)
        .map(|value| value.to_string_lossy().into_owned())
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
    let other = has("ID_FS_TYPE")
        || has("ID_FS_AMBIVALENT")
        || (has("ID_PART_TABLE_TYPE") && !is_partition);
    if other {
        Verdict::Other
    } else {
        Verdict::Unknown
    }
}

/// The devices beneath these, at any depth.
fn beneath(slaves: Vec<String>, slaves_of: &dyn Fn(&str) -> Vec<String>) -> Vec<String> {
    let (mut found, mut next) = (BTreeSet::new(), slaves);
    while let Some(name) = next.pop() {
        if found.insert(name.clone()) {
            next.extend(slaves_of(&name));
        }
    }
    found.into_iter().collect()
}

/// Has udev process devices again whose superblock was just written or wiped, and waits until it
/// has, at most ten seconds. Returns a text if it has not. Without this, the next `lsblk -f` and
/// the next command could see the previous contents.
pub fn announce(paths: &[PathBuf]) -> Option<String> {
    if paths.is_empty() || !cookie::udev_running() {
        return None;
    }
    let mut command = tools::command("udevadm")?;
    command
        .args(["trigger", "--action=change", "--settle", "--"])
        .args(paths)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
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
    Some(format!(
        "udev has not looked at the disks again within {} s (is systemd-udevd stopped or hanging?)",
        PATIENCE.as_secs()
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn asked(properties: &[(&str, &str)], is_partition: bool) -> Verdict {
        let find = |name: &str| {
            properties
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        };
        verdict(&find, is_partition)
    }

    #[test]
    fn udevs_word_decides_whether_a_device_is_opened() {
        assert_eq!(asked(&[], false), Verdict::Unknown);
        assert_eq!(
            asked(&[("ID_FS_TYPE", MEMBER_TYPE)], false),
            Verdict::Member
        );
        assert_eq!(
            asked(
                &[
                    ("ID_FS_TYPE", MEMBER_TYPE),
                    ("DM_MULTIPATH_DEVICE_PATH", "1")
                ],
                false
            ),
            Verdict::Other
        );
        assert_eq!(asked(&[("ID_FS_TYPE", "ext4")], false), Verdict::Other);
        assert_eq!(asked(&[("ID_FS_TYPE", "")], false), Verdict::Unknown);
        assert_eq!(
            asked(&[("ID_PART_TABLE_TYPE", "gpt")], false),
            Verdict::Other
        );
        assert_eq!(
            asked(&[("ID_PART_TABLE_TYPE", "gpt")], true),
            Verdict::Unknown
        );
        assert_eq!(asked(&[("ID_FS_AMBIVALENT", "x")], false), Verdict::Other);
    }

    #[test]
    fn partitions_are_told_from_other_devices_by_their_names() {
        for (disk, rest, is) in [
            ("sda", "1", true),
            ("sda", "a", false),
            ("sda", "", false),
            ("dm-1", "0", false),
            ("nvme0n1", "p12", true),
            ("loop1", "p", false),
        ] {
            assert_eq!(is_partition_of(disk, rest), is, "{disk} {rest}");
        }
    }

    #[test]
    fn what_is_beneath_is_found_however_deep() {
        let deeper = |name: &str| match name {
            "dm-1" => vec!["dm-0".to_owned()],
            "dm-0" => vec!["sda".to_owned(), "dm-1".to_owned()],
            _ => Vec::new(),
        };
        assert_eq!(
            beneath(vec!["dm-1".to_owned(), "sdb".to_owned()], &deeper),
            ["dm-0", "dm-1", "sda", "sdb"]
        );
        assert!(beneath(Vec::new(), &deeper).is_empty());
    }

    #[test]
    fn searching_this_machine_opens_only_what_may_be_a_disk() {
        for Found { candidate, .. } in look(Which::All, &|_| (), None).unwrap() {
            assert!(
                !candidate.name.starts_with("zram") && !candidate.size.is_zero(),
                "{candidate:?}"
            );
        }
    }
}

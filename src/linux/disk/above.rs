//! What rests on a volume, through whatever layers: the filesystems to be frozen, and what keeps a
//! snapshot from being exact.
//!
//! A filesystem may lie on dm-crypt, LVM, a partition, a loop device or md, which lies on the
//! volume, and a loop device may use a file in another filesystem. [`climb`] finds all of them
//! (K45). A user of the volume that cannot be identified is an obstacle and is never passed over: a
//! snapshot is called exact only if everything that has the volume open is known and can be frozen.
//!
//! The search itself is pure. Its view of the machine comes from [`Sight`], which [`Here`]
//! implements.

use crate::linux::disk::openers::{self, Opener};
use crate::linux::disk::sysfs::{self, Block, printable};
use crate::linux::dm::nodes::{devno, leads_to};
use crate::model::DevNo;
use crate::model::device::UUID_PREFIX;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A mounted filesystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::linux) struct Filesystem {
    /// Its device number in the kernel: that of its device, or one of major 0 if it has several
    /// devices.
    pub dev: DevNo,
    /// Its type, such as `ext4`.
    pub kind: String,
    /// One of its mount points, for people.
    pub point: String,
    /// Paths to a directory or a file of it, through the mount namespaces that see it.
    pub ways: Vec<PathBuf>,
    /// The devices that it lies on; empty if they are not known.
    pub on: Vec<DevNo>,
}

/// What rests on one volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::linux) struct Above {
    /// The filesystems; one that lies on another comes before it.
    pub filesystems: Vec<Filesystem>,
    /// The devices without a filesystem, the volume included. Their dirty data is written back.
    pub bare: Vec<DevNo>,
    /// The reasons why a snapshot cannot be exact.
    pub obstacles: Vec<String>,
    /// Whether an obstacle may be an opener that goes away by itself, such as a probe of udev.
    pub fleeting: bool,
}

/// A user of a device that is neither a filesystem nor a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::linux) enum RawUse {
    /// A user that is known.
    By(String),
    /// A user that shows only in the open count, or in an exclusive claim.
    Unknown(String),
}

/// What the search can see of a machine.
pub(in crate::linux) trait Sight {
    /// The name of a device, for people.
    fn title(&self, dev: DevNo) -> String;
    /// Whether a device is suspended: a freeze above it would block until it is resumed.
    fn is_suspended(&self, dev: DevNo) -> bool;
    /// Whether a device is a volume of breakoff.
    fn is_volume(&self, dev: DevNo) -> bool;
    /// The devices that are made of a device: dm and md devices, partitions, loop devices.
    fn layers(&self, dev: DevNo) -> Vec<DevNo>;
    /// The devices that a device is made of.
    fn beneath(&self, dev: DevNo) -> Vec<DevNo>;
    /// The filesystem that lies on a device.
    fn filesystem(&self, dev: DevNo) -> Option<Filesystem>;
    /// The loop devices over files in a filesystem.
    fn loops_in(&self, filesystem: &Filesystem) -> Vec<DevNo>;
    /// What else uses a device, when `known` of its users are accounted for.
    fn raw_use(&self, dev: DevNo, known: usize) -> Option<RawUse>;
}

/// Finds what rests on a volume. All volumes in `named` are split at the same instant.
pub(in crate::linux) fn climb(sight: &dyn Sight, volume: DevNo, named: &[DevNo]) -> Above {
    let mut climber = Climber {
        sight,
        volume,
        named,
        seen: BTreeSet::new(),
        under: BTreeMap::new(),
        found: Above::default(),
    };
    climber.visit(volume);
    climber.found
}

struct Climber<'a> {
    sight: &'a dyn Sight,
    volume: DevNo,
    named: &'a [DevNo],
    seen: BTreeSet<DevNo>,
    /// The devices beneath each loop device over a file: those of the file's filesystem.
    under: BTreeMap<DevNo, Vec<DevNo>>,
    found: Above,
}

impl Climber<'_> {
    /// Visits what is above a device before what is on it, so that the topmost comes first.
    fn visit(&mut self, dev: DevNo) {
        if !self.seen.insert(dev) {
            return;
        }
        if self.sight.is_suspended(dev) {
            return self.found.obstacles.push(self.about(dev, "is suspended"));
        }
        let layers = self.sight.layers(dev);
        layers.iter().for_each(|layer| self.visit(*layer));
        let filesystem = self.sight.filesystem(dev);
        let known = layers.len() + usize::from(filesystem.is_some());
        match filesystem {
            Some(filesystem) => self.pass(filesystem),
            None => self.found.bare.push(dev),
        }
        match self.sight.raw_use(dev, known) {
            None => {}
            Some(RawUse::By(who)) => self
                .found
                .obstacles
                .push(self.about(dev, &format!("is {who}"))),
            Some(RawUse::Unknown(what)) => {
                self.found.fleeting = true;
                self.found.obstacles.push(self.about(dev, &what));
            }
        }
    }

    fn pass(&mut self, filesystem: Filesystem) {
        if self
            .found
            .filesystems
            .iter()
            .any(|known| known.dev == filesystem.dev)
        {
            return;
        }
        for over in self.sight.loops_in(&filesystem) {
            self.under.insert(over, filesystem.on.clone());
            self.visit(over);
        }
        let (point, kind) = (&filesystem.point, &filesystem.kind);
        if filesystem.on.is_empty() {
            self.found.obstacles.push(format!(
                "which devices the filesystem on {point} ({kind}) lies on is not known"
            ));
        }
        let elsewhere: BTreeSet<DevNo> = filesystem
            .on
            .iter()
            .flat_map(|dev| self.leaves(*dev, &mut BTreeSet::new()))
            .collect();
        let elsewhere: Vec<String> = elsewhere
            .into_iter()
            .filter(|leaf| !self.named.contains(leaf))
            .map(|leaf| self.sight.title(leaf))
            .collect();
        if !elsewhere.is_empty() {
            self.found.obstacles.push(format!(
                "the filesystem on {point} lies on {}, too",
                elsewhere.join(" and ")
            ));
        }
        self.found.filesystems.push(filesystem);
    }

    /// The volumes and the disks that a device is made of at the bottom.
    fn leaves(&self, dev: DevNo, seen: &mut BTreeSet<DevNo>) -> Vec<DevNo> {
        if !seen.insert(dev) {
            return Vec::new();
        }
        if self.sight.is_volume(dev) || self.named.contains(&dev) {
            return vec![dev];
        }
        let beneath = self
            .under
            .get(&dev)
            .cloned()
            .unwrap_or_else(|| self.sight.beneath(dev));
        if beneath.is_empty() {
            return vec![dev];
        }
        beneath
            .into_iter()
            .flat_map(|next| self.leaves(next, seen))
            .collect()
    }

    fn about(&self, dev: DevNo, what: &str) -> String {
        if dev == self.volume {
            format!("it {what}")
        } else {
            format!("{} above it {what}", self.sight.title(dev))
        }
    }
}

/// This machine, as it was when it was examined.
pub(in crate::linux) struct Here {
    mounts: Vec<Seen>,
    swaps: Vec<PathBuf>,
    loops: Vec<(DevNo, String)>,
    btrfs: BTreeMap<DevNo, Vec<DevNo>>,
    openers: OnceCell<BTreeMap<DevNo, Vec<Opener>>>,
    counts: BTreeMap<DevNo, u32>,
    /// Set if other users of a device do not matter.
    layers_only: bool,
}

/// A mount, and the process whose mount namespace it is in.
struct Seen {
    mount: sysfs::Mount,
    /// The path to the root directory of that namespace.
    root: PathBuf,
    /// The process, as text; empty for our own namespace.
    whose: String,
}

impl Here {
    /// Examines the machine. `counts` are the open counts of the volumes.
    pub(in crate::linux) fn look(counts: &[(DevNo, u32)]) -> Here {
        Here::with_mounts(all_mounts(), counts)
    }

    fn with_mounts(mounts: Vec<Seen>, counts: &[(DevNo, u32)]) -> Here {
        let backing = |block: Block| {
            let file = block.attribute("loop/backing_file")?;
            Some((block.dev()?, file))
        };
        let loops = Block::all()
            .unwrap_or_default()
            .into_iter()
            .filter(|block| block.name.starts_with("loop"));
        let btrfs = btrfs_members(&mounts);
        let (loops, counts) = (
            loops.filter_map(backing).collect(),
            counts.iter().copied().collect(),
        );
        Here {
            mounts,
            swaps: sysfs::swaps(),
            loops,
            btrfs,
            openers: OnceCell::new(),
            counts,
            layers_only: false,
        }
    }

    /// Examines the machine for callers that need the layers and filesystems, but not the other
    /// users of a device.
    pub(in crate::linux) fn look_at_layers() -> Here {
        Here {
            layers_only: true,
            ..Here::look(&[])
        }
    }

    /// The same for callers that need the filesystems of this mount namespace alone.
    pub(in crate::linux) fn look_around() -> Here {
        Here {
            layers_only: true,
            ..Here::with_mounts(own_mounts(), &[])
        }
    }

    fn block(dev: DevNo) -> Option<Block> {
        Block::numbered(dev)
    }

    fn on(&self, mount: &sysfs::Mount) -> Vec<DevNo> {
        let Some(dev) = mount.dev else {
            return Vec::new();
        };
        if dev.major == 0 {
            return self.btrfs.get(&dev).cloned().unwrap_or_default();
        }
        // XFS with an external log or a realtime device.
        let beside = mount.options.split(',').filter_map(|option| {
            option
                .strip_prefix("logdev=")
                .or(option.strip_prefix("rtdev="))
        });
        [dev]
            .into_iter()
            .chain(beside.filter_map(number_of))
            .collect()
    }
}

impl Sight for Here {
    fn title(&self, dev: DevNo) -> String {
        Here::block(dev).map_or_else(|| dev.to_string(), |block| block.title())
    }

    fn is_suspended(&self, dev: DevNo) -> bool {
        Here::block(dev).is_some_and(|block| block.is_suspended())
    }

    fn is_volume(&self, dev: DevNo) -> bool {
        let uuid = Here::block(dev).and_then(|block| block.dm_uuid());
        uuid.is_some_and(|uuid| {
            uuid.starts_with(UUID_PREFIX) && uuid.len() == UUID_PREFIX.len() + 64
        })
    }

    fn layers(&self, dev: DevNo) -> Vec<DevNo> {
        let Some(block) = Here::block(dev) else {
            return Vec::new();
        };
        let holders = block
            .holders()
            .into_iter()
            .filter_map(|name| Block::named(&name)?.dev());
        let partitions = block
            .partitions()
            .into_iter()
            .filter_map(|partition| partition.dev());
        let loops = self
            .loops
            .iter()
            .filter(|(_, file)| leads_to(Path::new(file), dev))
            .map(|(number, _)| *number);
        holders.chain(partitions).chain(loops).collect()
    }

    fn beneath(&self, dev: DevNo) -> Vec<DevNo> {
        let Some(block) = Here::block(dev) else {
            return Vec::new();
        };
        let slaves = block
            .slaves()
            .into_iter()
            .filter_map(|name| Block::named(&name)?.dev());
        let disk = block.disk().and_then(|disk| disk.dev());
        let backing = self
            .loops
            .iter()
            .filter(|(number, _)| *number == dev)
            .filter_map(|(_, file)| number_of(file));
        slaves.chain(disk).chain(backing).collect()
    }

    fn filesystem(&self, dev: DevNo) -> Option<Filesystem> {
        let lies_here = |mount: &sysfs::Mount| mount.is_on(dev) || self.on(mount).contains(&dev);
        let first = self.mounts.iter().find(|seen| lies_here(&seen.mount))?;
        let number = first.mount.dev?;
        let all = self
            .mounts
            .iter()
            .filter(|seen| seen.mount.dev == Some(number));
        Some(Filesystem {
            dev: number,
            kind: printable(&first.mount.kind),
            point: format!("'{}'{}", printable(&first.mount.point), first.whose),
            ways: all
                .map(|seen| seen.root.join(seen.mount.point.trim_start_matches('/')))
                .collect(),
            on: self.on(&first.mount),
        })
    }

    fn loops_in(&self, filesystem: &Filesystem) -> Vec<DevNo> {
        let mounts = || {
            self.mounts
                .iter()
                .filter(|seen| seen.mount.dev == Some(filesystem.dev))
        };
        let lies_below =
            |file: &str| mounts().any(|seen| Path::new(file).starts_with(&seen.mount.point));
        let candidates = self.loops.iter().filter(|(_, file)| lies_below(file));
        candidates
            .filter(|(number, _)| may_stand_on(*number, filesystem))
            .map(|(number, _)| *number)
            .collect()
    }

    fn raw_use(&self, dev: DevNo, known: usize) -> Option<RawUse> {
        if self.layers_only {
            return None;
        }
        if self.swaps.iter().any(|path| leads_to(path, dev)) {
            return Some(RawUse::By("used as swap".to_owned()));
        }
        let count = self
            .counts
            .get(&dev)
            .map(|count| usize::try_from(*count).unwrap_or(usize::MAX));
        if count.is_some_and(|count| count <= known) {
            return None;
        }
        let openers = self
            .openers
            .get_or_init(openers::all)
            .get(&dev)
            .map(Vec::as_slice)
            .unwrap_or_default();
        if let Some(writer) = openers.iter().find(|opener| opener.writes) {
            return Some(RawUse::By(format!(
                "open for writing in {}",
                writer.process
            )));
        }
        match count {
            Some(count) if count > known + openers.len() => Some(RawUse::Unknown(
                "is open, and its user cannot be found".to_owned(),
            )),
            None if known == 0 && openers.is_empty() && is_claimed(dev) => Some(RawUse::Unknown(
                "is in use, and its user cannot be found".to_owned(),
            )),
            _ => None,
        }
    }
}

/// The mounts in our own mount namespace.
fn own_mounts() -> Vec<Seen> {
    let own = sysfs::mounts("self").into_iter().map(|mount| Seen {
        mount,
        root: PathBuf::from("/"),
        whose: String::new(),
    });
    own.collect()
}

/// The mounts in all mount namespaces that a process is in, our own first.
fn all_mounts() -> Vec<Seen> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let mut seen: BTreeSet<_> = namespace("self").into_iter().collect();
    let mut all = own_mounts();
    for pid in openers::user_pids() {
        if !namespace(&pid).is_some_and(|namespace| seen.insert(namespace)) {
            continue;
        }
        let whose = format!(" of {}", openers::process(&pid));
        let root = PathBuf::from(format!("/proc/{pid}/root"));
        all.extend(sysfs::mounts(&pid).into_iter().map(|mount| Seen {
            mount,
            root: root.clone(),
            whose: whose.clone(),
        }));
    }
    all
}

/// The devices of each mounted btrfs.
fn btrfs_members(mounts: &[Seen]) -> BTreeMap<DevNo, Vec<DevNo>> {
    let mut members = BTreeMap::new();
    for seen in mounts.iter().filter(|seen| seen.mount.kind == "btrfs") {
        let Some(dev) = seen.mount.dev.filter(|dev| !members.contains_key(dev)) else {
            continue;
        };
        let way = seen.root.join(seen.mount.point.trim_start_matches('/'));
        let Some(uuid) = open_way(&way).and_then(|file| btrfs_uuid(&file)) else {
            continue;
        };
        let names = fs::read_dir(format!("/sys/fs/btrfs/{uuid}/devices"))
            .into_iter()
            .flatten()
            .flatten();
        let numbers =
            names.filter_map(|entry| Block::named(&entry.file_name().into_string().ok()?)?.dev());
        members.insert(dev, numbers.collect());
    }
    members
}

impl Filesystem {
    /// Opens a directory or a file of it; `None` if something else is mounted over all of them.
    pub(in crate::linux) fn open(&self) -> Option<File> {
        self.ways.iter().find_map(|way| self.open_by(way))
    }

    /// A directory that is its mount point, and has nothing else mounted over it.
    pub(in crate::linux) fn directory(&self) -> Option<PathBuf> {
        let leads_there = |way: &&PathBuf| way.is_dir() && self.open_by(way).is_some();
        self.ways.iter().find(leads_there).cloned()
    }

    fn open_by(&self, way: &Path) -> Option<File> {
        let file = open_way(way)?;
        if self.kind == "btrfs" {
            // Each of its subvolumes has a device number of its own.
            let uuid = btrfs_uuid(&file)?;
            let has = |dev: &DevNo| {
                Here::block(*dev).is_some_and(|b| {
                    Path::new(&format!("/sys/fs/btrfs/{uuid}/devices/{}", b.name)).exists()
                })
            };
            return self.on.first().is_some_and(has).then_some(file);
        }
        (devno(file.metadata().ok()?.dev()) == self.dev).then_some(file)
    }
}

/// Opens a mount point if it is a directory or a file. It may also be a device, which must not be
/// opened.
fn open_way(way: &Path) -> Option<File> {
    fs::metadata(way)
        .ok()
        .filter(|about| about.is_dir() || about.is_file())?;
    File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(way)
        .ok()
}

/// `struct btrfs_ioctl_fs_info_args` of `<linux/btrfs.h>`.
#[repr(C)]
struct BtrfsInfo {
    max_id: u64,
    devices: u64,
    uuid: [u8; 16],
    rest: [u8; 992],
}

const BTRFS_IOC_FS_INFO: libc::Ioctl = nix::request_code_read!(0x94, 31, size_of::<BtrfsInfo>());

/// The UUID of the btrfs that a file is in, in the form of `/sys/fs/btrfs`.
fn btrfs_uuid(file: &File) -> Option<String> {
    let mut info = BtrfsInfo {
        max_id: 0,
        devices: 0,
        uuid: [0; 16],
        rest: [0; 992],
    };
    // SAFETY: the kernel fills in a `struct btrfs_ioctl_fs_info_args` of 1024 bytes, which is what
    // `info` is.
    let came = unsafe { libc::ioctl(file.as_raw_fd(), BTRFS_IOC_FS_INFO, &raw mut info) };
    (came == 0).then(|| uuid::Uuid::from_bytes(info.uuid).hyphenated().to_string())
}

/// `struct loop_info64` of `<linux/loop.h>`.
#[repr(C)]
struct LoopInfo {
    device: u64,
    rest: [u64; 28],
}

const LOOP_GET_STATUS64: libc::Ioctl = 0x4c05;

/// Whether a loop device may use a file on this filesystem, given that the path of the file is
/// below a mount point of it: another filesystem may be mounted in between.
fn may_stand_on(device: DevNo, filesystem: &Filesystem) -> bool {
    let node = Here::block(device).and_then(|block| block.path());
    let Some(file) = node
        .and_then(|path| File::open(path).ok())
        .filter(|_| filesystem.kind != "btrfs")
    else {
        return true;
    };
    let mut info = LoopInfo {
        device: 0,
        rest: [0; 28],
    };
    // SAFETY: the kernel fills in a `struct loop_info64` of 232 bytes, which is what `info` is.
    let came = unsafe { libc::ioctl(file.as_raw_fd(), LOOP_GET_STATUS64, &raw mut info) };
    came != 0 || devno(info.device) == filesystem.dev
}

const _: () = assert!(size_of::<BtrfsInfo>() == 1024 && size_of::<LoopInfo>() == 232);

/// The number of the block device at a path.
fn number_of(path: impl AsRef<Path>) -> Option<DevNo> {
    use std::os::unix::fs::FileTypeExt;
    fs::metadata(path)
        .ok()
        .filter(|about| about.file_type().is_block_device())
        .map(|about| devno(about.rdev()))
}

/// Whether a device is claimed exclusively: by a filesystem that shows in no mount namespace, an
/// exported target, or another volume manager.
pub(in crate::linux) fn is_claimed(dev: DevNo) -> bool {
    let node = Here::block(dev).and_then(|block| block.path());
    let opened = node.map(|path| {
        File::options()
            .read(true)
            .custom_flags(libc::O_EXCL | libc::O_NONBLOCK)
            .open(path)
    });
    opened.is_some_and(|opened| opened.is_err_and(|err| err.raw_os_error() == Some(libc::EBUSY)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const fn n(minor: u32) -> DevNo {
        DevNo { major: 253, minor }
    }

    /// A machine in memory: `(upper, lower)`, filesystems with the loop devices in them, and raw
    /// users.
    #[derive(Default)]
    struct Paper {
        layers: Vec<(u32, u32)>,
        filesystems: Vec<(Filesystem, Vec<u32>)>,
        raw: Vec<(u32, RawUse)>,
        suspended: Vec<u32>,
        volumes: Vec<u32>,
    }

    impl Paper {
        fn filesystem(mut self, on: &[u32], loops: &[u32]) -> Paper {
            let dev = if on.len() == 1 {
                n(on[0])
            } else {
                DevNo {
                    major: 0,
                    minor: 40,
                }
            };
            let on: Vec<DevNo> = on.iter().map(|minor| n(*minor)).collect();
            let point = format!("'/{}'", self.filesystems.len());
            self.filesystems.push((
                Filesystem {
                    dev,
                    kind: "ext4".into(),
                    point,
                    ways: Vec::new(),
                    on,
                },
                loops.to_vec(),
            ));
            self
        }

        fn climb(&self, volume: u32, named: &[u32]) -> Above {
            climb(
                self,
                n(volume),
                &named.iter().map(|minor| n(*minor)).collect::<Vec<_>>(),
            )
        }
    }

    impl Sight for Paper {
        fn title(&self, dev: DevNo) -> String {
            format!("'{}'", dev.minor)
        }
        fn is_suspended(&self, dev: DevNo) -> bool {
            self.suspended.contains(&dev.minor)
        }
        fn is_volume(&self, dev: DevNo) -> bool {
            self.volumes.contains(&dev.minor)
        }
        fn layers(&self, dev: DevNo) -> Vec<DevNo> {
            self.layers
                .iter()
                .filter(|(_, lower)| *lower == dev.minor)
                .map(|(upper, _)| n(*upper))
                .collect()
        }
        fn beneath(&self, dev: DevNo) -> Vec<DevNo> {
            self.layers
                .iter()
                .filter(|(upper, _)| *upper == dev.minor)
                .map(|(_, lower)| n(*lower))
                .collect()
        }
        fn filesystem(&self, dev: DevNo) -> Option<Filesystem> {
            self.filesystems
                .iter()
                .map(|(filesystem, _)| filesystem)
                .find(|f| f.on.contains(&dev))
                .cloned()
        }
        fn loops_in(&self, filesystem: &Filesystem) -> Vec<DevNo> {
            let found = self
                .filesystems
                .iter()
                .find(|(f, _)| f.dev == filesystem.dev)
                .unwrap();
            found.1.iter().map(|minor| n(*minor)).collect()
        }
        fn raw_use(&self, dev: DevNo, _known: usize) -> Option<RawUse> {
            self.raw
                .iter()
                .find(|(minor, _)| *minor == dev.minor)
                .map(|(_, raw)| raw.clone())
        }
    }

    fn points(above: &Above) -> Vec<&str> {
        above.filesystems.iter().map(|f| f.point.as_str()).collect()
    }

    #[test]
    fn nothing_rests_on_a_volume_that_nobody_has_open() {
        let above = Paper {
            volumes: vec![1],
            ..Paper::default()
        }
        .climb(1, &[1]);
        assert_eq!(
            above,
            Above {
                bare: vec![n(1)],
                ..Above::default()
            }
        );
    }

    #[test]
    fn filesystems_are_found_through_layers_the_topmost_first() {
        // Volume 1, dm-crypt 2, two LVs 3 and 4 on it; on 3 a filesystem with the file of loop 5.
        let paper = Paper {
            layers: vec![(2, 1), (3, 2), (4, 2)],
            volumes: vec![1],
            ..Paper::default()
        };
        let above = paper
            .filesystem(&[3], &[5])
            .filesystem(&[5], &[])
            .climb(1, &[1]);
        assert_eq!(
            (points(&above), above.obstacles.as_slice()),
            (vec!["'/1'", "'/0'"], [].as_slice())
        );
        assert_eq!(above.bare, [n(4), n(2), n(1)]);
    }

    #[test]
    fn what_nobody_can_freeze_is_an_obstacle() {
        let by = |text: &str| RawUse::By(text.into());
        let paper = || Paper {
            layers: vec![(2, 1)],
            volumes: vec![1],
            ..Paper::default()
        };
        let above = Paper {
            raw: vec![(1, by("used as swap"))],
            ..paper()
        }
        .climb(1, &[1]);
        assert_eq!(above.obstacles, ["it is used as swap"]);
        let above = Paper {
            raw: vec![(2, by("open for writing in process 7 (qemu)"))],
            ..paper()
        }
        .climb(1, &[1]);
        assert_eq!(
            (above.obstacles.as_slice(), above.fleeting),
            (
                ["'2' above it is open for writing in process 7 (qemu)".into()].as_slice(),
                false
            )
        );
        let above = Paper {
            raw: vec![(1, RawUse::Unknown("is open somewhere".into()))],
            ..paper()
        }
        .climb(1, &[1]);
        assert_eq!(
            (above.obstacles.as_slice(), above.fleeting),
            (["it is open somewhere".into()].as_slice(), true)
        );
        let above = Paper {
            suspended: vec![2],
            ..paper()
        }
        .filesystem(&[2], &[])
        .climb(1, &[1]);
        assert_eq!(
            (points(&above), above.obstacles.as_slice()),
            (Vec::new(), ["'2' above it is suspended".into()].as_slice())
        );
    }

    #[test]
    fn a_filesystem_on_several_volumes_wants_all_of_them_named() {
        // btrfs on volume 1 and on dm-crypt 3 over volume 2; disk 9 has no slaves.
        let paper = || Paper {
            layers: vec![(3, 2)],
            volumes: vec![1, 2],
            ..Paper::default()
        };
        let spans = paper().filesystem(&[1, 3], &[]);
        assert_eq!(
            spans.climb(1, &[1]).obstacles,
            ["the filesystem on '/0' lies on '2', too"]
        );
        assert_eq!(
            spans.climb(2, &[2]).obstacles,
            ["the filesystem on '/0' lies on '1', too"]
        );
        assert_eq!(spans.climb(1, &[1, 2]).obstacles, Vec::<String>::new());
        assert_eq!(
            spans.climb(2, &[1, 2]).filesystems,
            spans.climb(1, &[1, 2]).filesystems
        );
        let foreign = paper().filesystem(&[1, 9], &[]);
        assert_eq!(
            foreign.climb(1, &[1, 2]).obstacles,
            ["the filesystem on '/0' lies on '9', too"]
        );
    }

    #[test]
    fn a_loop_over_a_file_lies_on_what_its_file_lies_on() {
        let paper = Paper {
            volumes: vec![1],
            ..Paper::default()
        };
        let above = paper
            .filesystem(&[1], &[5])
            .filesystem(&[5], &[])
            .climb(1, &[1]);
        assert_eq!(
            (points(&above), above.obstacles.as_slice()),
            (vec!["'/1'", "'/0'"], [].as_slice())
        );
    }
}

//! What a snapshot is called: `frozen` only where everything that rests on the volume was, through
//! whatever layers.

use crate::support::block;
use crate::support::child::{DEADLINE, start, stopped_at, tool};
use crate::support::fs::{FileLoad, Mounted, mkfs_ext4, needs_recovery};
use crate::support::lab::{Lab, until};
use nix::mount::MsFlags;
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the notes of what is frozen lie.
const NOTES: &str = "/run/breakoff/frozen";

/// A group on all disks and a volume on the first one, with a leg that is complete.
fn volume(lab: &Lab, size: &str) {
    lab.create_group("g");
    lab.cli(&format!("-g g make v {size} --on disk01")).ok();
    leg(lab, "v");
}

#[track_caller]
fn leg(lab: &Lab, volume: &str) {
    lab.cli(&format!("-g g snapstart {volume}")).ok();
}

/// What is said of a snapshot: the consistency, and the reason.
#[track_caller]
fn said(lab: &Lab, snapshot: &str) -> (String, String) {
    let result = lab.json("-g g snapprint");
    let all: &Vec<Value> = result["relations"].as_array().unwrap();
    let relation = all.iter().find(|r| r["snapshot"] == snapshot).unwrap();
    let text = |name: &str| relation[name].as_str().unwrap_or_default().to_owned();
    (text("consistency"), text("consistency_reason"))
}

/// Takes a snapshot that must be called frozen, and gives up the relation.
#[track_caller]
fn frozen(lab: &Lab, what: &str) {
    lab.cli("-g g snapshot --require-frozen v --name s").ok();
    assert_eq!(
        said(lab, "s"),
        ("frozen".to_owned(), String::new()),
        "{what}"
    );
}

/// Takes one that must be called what a crash leaves, for a reason with this word; without a change
/// where that is not wanted.
#[track_caller]
fn crash(lab: &Lab, word: &str) {
    let before = lab
        .print("g")
        .volume("v")
        .states()
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>();
    let refusal = lab
        .cli("-g g snapshot --require-frozen v --name s")
        .exits(4);
    refusal.says("would not be frozen").says(word);
    assert_eq!(lab.print("g").volume("v").states(), before);
    lab.cli("-g g snapshot v --name s")
        .ok()
        .says("what a crash at the split would have left")
        .says(word);
    let (consistency, reason) = said(lab, "s");
    assert_eq!(consistency, "crash");
    assert!(reason.contains(word), "{reason}");
    lab.cli("-g g snapprint").ok().says(word);
}

#[track_caller]
fn forget(lab: &Lab) {
    lab.cli("-y -g g remove s --recursive").ok();
}

fn dmsetup(words: &[&str]) {
    tool("dmsetup", words).ok();
}

/// A dm device on another one, removed at the end.
struct Layer(&'static str);

impl Layer {
    #[track_caller]
    fn new(name: &'static str, table: &str) -> Layer {
        dmsetup(&["create", name, "--table", table]);
        tool("udevadm", &["settle"]);
        Layer(name)
    }

    fn path(&self) -> PathBuf {
        Path::new("/dev/mapper").join(self.0)
    }
}

impl Drop for Layer {
    fn drop(&mut self) {
        tool("dmsetup", &["remove", "--retry", self.0]);
    }
}

/// A swap area of version 1, which has no program of its own in a small guest.
fn make_swap(device: &Path) {
    let mut header = vec![0u8; 4096];
    let pages = u32::try_from(sectors(device) / 8 - 1).unwrap();
    header[1024..1028].copy_from_slice(&1u32.to_le_bytes());
    header[1028..1032].copy_from_slice(&pages.to_le_bytes());
    header[4086..].copy_from_slice(b"SWAPSPACE2");
    block::write_direct(device, 0, &header).unwrap();
}

/// A partition table (MBR) of one partition.
fn partition(device: &Path, start: u32, sectors: u32) {
    let mut table = vec![0u8; 4096];
    table[446 + 4] = 0x83;
    table[446 + 8..][..4].copy_from_slice(&start.to_le_bytes());
    table[446 + 12..][..4].copy_from_slice(&sectors.to_le_bytes());
    table[510..512].copy_from_slice(&[0x55, 0xaa]);
    block::write_direct(device, 0, &table).unwrap();
}

fn sectors(device: &Path) -> u64 {
    tool("blockdev", &["--getsz", &device.display().to_string()])
        .ok()
        .stdout
        .trim()
        .parse()
        .unwrap()
}

fn loop_on(path: &Path) -> PathBuf {
    tool("losetup", &["-f", "--show", &path.display().to_string()])
        .ok()
        .stdout
        .trim()
        .into()
}

/// One round of a layer: a filesystem with load on it, a snapshot, and the same layer on the
/// snapshot.
#[track_caller]
fn round(lab: &Lab, what: &str, device: &Path, on_snapshot: impl FnOnce(&Path) -> Option<Layer>) {
    mkfs_ext4(device);
    let mounted = Mounted::ext4(device);
    fs::write(mounted.at.join("marker"), "before").unwrap();
    let load = FileLoad::start(&mounted.at);
    load.goes_on(10);
    frozen(lab, what);
    load.goes_on(10);
    load.stop();
    let snapshot = lab.device("g", "s");
    let layer = on_snapshot(&snapshot);
    let same = layer.as_ref().map_or(snapshot, Layer::path);
    assert!(
        !needs_recovery(&same),
        "{what}: the journal would have to be replayed"
    );
    assert!(
        needs_recovery(device),
        "{what}: it is mounted, so the question means something"
    );
    let read_only = Mounted::new(&same, "ext4", MsFlags::MS_RDONLY, None);
    assert_eq!(
        fs::read_to_string(read_only.at.join("marker")).unwrap(),
        "before"
    );
    read_only.unmount();
    drop(layer);
    mounted.unmount();
    forget(lab);
    leg(lab, "v");
}

#[test]
fn filesystems_are_frozen_through_dm_crypt_partitions_and_loops() {
    tool("modprobe", &["dm-crypt"]);
    let lab = lab!(["mirror", "crypt"], [64, 64]);
    volume(&lab, "32m");
    let device = lab.device("g", "v");
    let (shown, size) = (device.display().to_string(), sectors(&device));

    let key = "0f".repeat(32);
    let crypt = |device: &str| format!("0 {size} crypt aes-xts-plain64 {key} 0 {device} 0");
    let top = Layer::new("ftcrypt", &crypt(&shown));
    round(&lab, "dm-crypt", &top.path(), |s| {
        Some(Layer::new("ftsnap", &crypt(&s.display().to_string())))
    });
    drop(top);

    let part = |device: &str| format!("0 40960 linear {device} 2048");
    let top = Layer::new("ftpart", &part(&shown));
    round(&lab, "a partition", &top.path(), |s| {
        Some(Layer::new("ftsnap", &part(&s.display().to_string())))
    });
    drop(top);

    let over = loop_on(&device);
    round(&lab, "a loop device", &over, |_| None);
    tool("losetup", &["-d", &over.display().to_string()]).ok();

    // device-mapper's devices have no partitions of the kernel's, what lies on them may.
    partition(&device, 2048, 40960);
    let over = PathBuf::from(
        tool("losetup", &["-f", "-P", "--show", &shown])
            .ok()
            .stdout
            .trim(),
    );
    let first = PathBuf::from(format!("{}p1", over.display()));
    until("the partition is there", || first.exists());
    round(&lab, "a partition of a loop device", &first, |s| {
        Some(Layer::new("ftsnap", &part(&s.display().to_string())))
    });
    tool("losetup", &["-d", &over.display().to_string()]).ok();

    // A filesystem in a file of a filesystem on a mapping of the volume.
    let top = Layer::new("ftpart", &part(&shown));
    mkfs_ext4(&top.path());
    let below = Mounted::ext4(&top.path());
    File::create(below.at.join("image"))
        .unwrap()
        .set_len(12 << 20)
        .unwrap();
    let over = loop_on(&below.at.join("image"));
    mkfs_ext4(&over);
    let above = Mounted::ext4(&over);
    let load = [FileLoad::start(&above.at), FileLoad::start(&below.at)];
    load.iter().for_each(|load| load.goes_on(10));
    frozen(&lab, "a loop device over a file");
    load.iter().for_each(|load| load.goes_on(10));
    load.into_iter().for_each(FileLoad::stop);
    let same = Layer::new("ftsnap", &part(&lab.device("g", "s").display().to_string()));
    assert!(!needs_recovery(&same.path()));
    let inner = Mounted::new(&same.path(), "ext4", MsFlags::MS_RDONLY, None);
    assert!(
        !needs_recovery(&inner.at.join("image")),
        "the filesystem in the file was frozen first"
    );
    inner.unmount();
    drop(same);
    above.unmount();
    tool("losetup", &["-d", &over.display().to_string()]).ok();
    below.unmount();
    drop(top);
    forget(&lab);
    lab.finish();
}

/// One of LVM's programs, as an administrator has it who follows the documentation: volumes are
/// disks, what is inside them is none.
#[track_caller]
fn lvm(words: &[&str]) {
    let filter = r#"devices { filter=["a|^/dev/mapper/g-[vs]$|","r|.*|"] ignore_lvm_mirrors=0 use_devicesfile=0 }"#;
    let words: Vec<&str> = words[..1]
        .iter()
        .chain(&["--config", filter])
        .chain(&words[1..])
        .copied()
        .collect();
    tool("lvm", &words).ok();
}

#[test]
fn filesystems_are_frozen_through_lvm_and_md() {
    tool("modprobe", &["raid1"]);
    let lab = lab!(["mirror"], [64, 64, 64, 64]);
    volume(&lab, "32m");
    let device = lab.device("g", "v").display().to_string();

    tool(
        "mdadm",
        &[
            "--build",
            "/dev/md77",
            "--level=1",
            "--raid-devices=2",
            "--assume-clean",
            &device,
            "missing",
        ],
    )
    .ok();
    round(&lab, "md", Path::new("/dev/md77"), |_| None);
    tool("mdadm", &["--stop", "/dev/md77"]).ok();

    lvm(&["pvcreate", "-y", &device]);
    lvm(&["vgcreate", "ftvg", &device]);
    lvm(&[
        "lvcreate", "-y", "-Z", "n", "-W", "n", "-l", "100%FREE", "-n", "lv", "ftvg",
    ]);
    round(&lab, "LVM", Path::new("/dev/mapper/ftvg-lv"), |snapshot| {
        lvm(&[
            "vgimportclone",
            "--basevgname",
            "ftclone",
            &snapshot.display().to_string(),
        ]);
        lvm(&["vgchange", "-a", "y", "ftclone"]);
        Some(Layer("ftclone-lv"))
    });
    lvm(&["vgchange", "-a", "n", "ftvg"]);
    lvm(&["vgremove", "-y", "ftvg"]);
    lab.finish();
}

/// A btrfs on two volumes is one filesystem: named together they are split at one instant, one
/// alone is what a crash leaves.
#[test]
fn a_filesystem_on_two_volumes_is_frozen_when_both_are_split() {
    let lab = lab!(["mirror"], [160, 160, 160, 160]);
    lab.create_group("g");
    for (volume, disk, leg) in [("v", "disk01", "disk03"), ("w", "disk02", "disk04")] {
        lab.cli(&format!("-g g make {volume} 128m --on {disk}"))
            .ok();
        lab.cli(&format!("-g g snapstart {volume} --on {leg}")).ok();
    }
    let paths = ["v", "w"].map(|volume| lab.device("g", volume));
    let words = paths.each_ref().map(|path| path.display().to_string());
    tool(
        "mkfs.btrfs",
        &[
            "-q", "-K", "-d", "raid1", "-m", "raid1", &words[0], &words[1],
        ],
    )
    .ok();
    let options = format!("device={},device={}", words[0], words[1]);
    let mounted = Mounted::new(&paths[0], "btrfs", MsFlags::empty(), Some(&options));
    let load = FileLoad::start(&mounted.at);
    load.goes_on(10);
    lab.cli("-g g snapshot --require-frozen v --name sv")
        .exits(4)
        .says("would not be frozen")
        .says("g-w");
    lab.cli("-g g snapshot --require-frozen v w").ok();
    load.goes_on(10);
    load.stop();
    for snapshot in ["SNAP-v", "SNAP-w"] {
        assert_eq!(
            said(&lab, snapshot),
            ("frozen".to_owned(), String::new()),
            "{snapshot}"
        );
    }
    mounted.unmount();
    // With the originals gone the snapshots are that filesystem, and nothing has to be made good.
    lab.cli("-g g stop v w").ok();
    let snapshots: Vec<PathBuf> = ["SNAP-v", "SNAP-w"]
        .iter()
        .map(|name| lab.device("g", name))
        .collect();
    let words: Vec<String> = snapshots
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    for word in &words {
        let superblock = tool("btrfs", &["inspect-internal", "dump-super", word])
            .ok()
            .stdout;
        let log = superblock
            .lines()
            .find_map(|line| line.strip_prefix("log_root\t"))
            .map(str::trim);
        assert_eq!(
            log,
            Some("0"),
            "a log would have to be replayed: {superblock}"
        );
    }
    // The kernel may still know the originals by the same UUID.
    tool("btrfs", &["device", "scan", "--forget"]).ok();
    let options = format!("device={},device={}", words[0], words[1]);
    let read_only = Mounted::new(&snapshots[0], "btrfs", MsFlags::MS_RDONLY, Some(&options));
    assert!(fs::read_dir(&read_only.at).unwrap().count() > 0);
    read_only.unmount();
    lab.finish();
}

#[test]
fn what_cannot_be_frozen_is_called_crash_with_the_reason() {
    let lab = lab!(["mirror"], [48, 48]);
    volume(&lab, "16m");
    let device = lab.device("g", "v");

    // Nobody has it open; whoever only reads writes nothing.
    frozen(&lab, "nobody has it open");
    forget(&lab);
    leg(&lab, "v");
    let reader = File::open(&device).unwrap();
    frozen(&lab, "a reader");
    drop(reader);
    forget(&lab);
    leg(&lab, "v");

    let raw = File::options()
        .read(true)
        .write(true)
        .open(&device)
        .unwrap();
    crash(&lab, "open for writing in process");
    drop(raw);
    forget(&lab);
    leg(&lab, "v");

    // The same above a layer, which the count of the volume's openers does not show.
    let top = Layer::new(
        "ftpart",
        &format!("0 20480 linear {} 2048", device.display()),
    );
    let raw = File::options()
        .read(true)
        .write(true)
        .open(top.path())
        .unwrap();
    crash(&lab, "ftpart");
    drop(raw);
    forget(&lab);
    leg(&lab, "v");
    make_swap(&top.path());
    tool("swapon", &["/dev/mapper/ftpart"]).ok();
    crash(&lab, "used as swap");
    tool("swapoff", &["/dev/mapper/ftpart"]).ok();
    forget(&lab);
    leg(&lab, "v");
    drop(top);

    // Such a filesystem can be frozen by dm only, of which nobody can tell whether it was.
    tool("mkfs.vfat", &[&device.display().to_string()]).ok();
    let mounted = Mounted::new(&device, "vfat", MsFlags::empty(), None);
    fs::write(mounted.at.join("file"), "x").unwrap();
    crash(&lab, "vfat");
    fs::write(mounted.at.join("file"), "y").unwrap();
    mounted.unmount();
    forget(&lab);
    leg(&lab, "v");

    // Without a note nobody would know of it, so that it is not frozen.
    mkfs_ext4(&device);
    let mounted = Mounted::ext4(&device);
    let _ = fs::remove_dir_all(NOTES);
    fs::create_dir_all("/run/breakoff").unwrap();
    fs::write(NOTES, "").unwrap();
    crash(&lab, "cannot be written");
    fs::remove_file(NOTES).unwrap();
    mounted.unmount();
    forget(&lab);
    leg(&lab, "v");

    // A filesystem that was unmounted while something is still open in it shows nowhere.
    mkfs_ext4(&device);
    let mounted = Mounted::ext4(&device);
    let kept = File::create(mounted.at.join("kept")).unwrap();
    drop(mounted);
    crash(&lab, "cannot be found");
    drop(kept);
    forget(&lab);
    lab.finish();
}

/// A filesystem that only another mount namespace sees, or more than one, is frozen, too.
#[test]
fn a_filesystem_in_another_mount_namespace_is_frozen() {
    let lab = lab!(["mirror"], [48, 48]);
    volume(&lab, "16m");
    let device = lab.device("g", "v");
    mkfs_ext4(&device);
    let apart = "mount --make-rprivate / && mount \"$0\" /mnt && touch /mnt/ready && while [ ! -e /mnt/stop ]; do echo x >>/mnt/log; sleep 0.01; done";
    let mut command = Command::new("unshare");
    command.arg("-m");
    let running = start(
        command,
        "unshare",
        &["sh", "-c", apart, &device.display().to_string()],
    );
    until("it is mounted there", || needs_recovery_or_not(&device));
    frozen(&lab, "another namespace");
    assert!(!needs_recovery(&lab.device("g", "s")));
    let pid = running.pid().to_string();
    tool("nsenter", &["-m", "-t", &pid, "touch", "/mnt/stop"]).ok();
    running.wait(DEADLINE);
    forget(&lab);
    lab.finish();
}

fn needs_recovery_or_not(device: &Path) -> bool {
    tool("dumpe2fs", &["-h", &device.display().to_string()])
        .stdout
        .contains("needs_recovery")
}

/// What somebody else has frozen counts when it stays so; what somebody thaws too early does not.
#[test]
fn what_others_freeze_and_thaw_is_noticed() {
    let lab = lab!(["mirror"], [48, 48]);
    volume(&lab, "16m");
    let device = lab.device("g", "v");
    mkfs_ext4(&device);
    let mounted = Mounted::ext4(&device);
    fs::write(mounted.at.join("marker"), "before").unwrap();
    let at = mounted.at.display().to_string();
    tool("fsfreeze", &["-f", &at]).ok();
    frozen(&lab, "frozen by another");
    assert!(!needs_recovery(&lab.device("g", "s")));
    tool("fsfreeze", &["-u", &at]).ok();
    fs::write(mounted.at.join("marker"), "after").unwrap();
    mounted.unmount();
    forget(&lab);
    lab.finish();
}

/// Not mounted is not thawed: the kernel keeps such a filesystem, and whoever mounts it again would
/// wait for ever.
#[test]
fn what_was_left_frozen_and_unmounted_is_thawed() {
    let lab = lab!(["mirror"], [48, 48]);
    lab.create_group("g");
    lab.cli("-g g make v 16m --on disk01 --fast-resync off")
        .ok();
    let device = lab.device("g", "v");
    mkfs_ext4(&device);
    let mounted = Mounted::ext4(&device);
    fs::write(mounted.at.join("marker"), "before").unwrap();
    leg(&lab, "v");
    let is_noted = || fs::read_dir(NOTES).is_ok_and(|mut notes| notes.next().is_some());
    let found = (2..40).any(|n| {
        let mut running = stopped_at(n, "-g g snapshot v --name s");
        if !running.stops() {
            return false;
        }
        running.kill_with_children();
        running.wait(DEADLINE);
        if is_noted() {
            return true;
        }
        lab.cli("-g g recover").ok();
        false
    });
    assert!(found, "nothing was ever frozen");
    tool("umount", &[&mounted.at.display().to_string()]).ok();
    drop(mounted);
    // The monitor may have been faster.
    lab.cli("-g g recover").ok();
    until("it is thawed", || !is_noted());
    let mounted = Mounted::ext4(&device);
    tool(
        "timeout",
        &[
            "20",
            "touch",
            &mounted.at.join("after").display().to_string(),
        ],
    )
    .ok();
    mounted.unmount();
    lab.finish();
}

//! Groups and volumes on the real kernel: what is made, how it lies on the disks, and what is
//! refused.

use crate::support::block;
use crate::support::child::tool;
use crate::support::disk::Fault;
use crate::support::dm::MirrorStatus;
use crate::support::fs::{Mounted, mkfs_ext4};
use crate::support::lab::{Lab, dm_name, until};
use crate::support::monitor::NoMonitor;
use crate::support::plexes;
use crate::support::pty::OnTerminal;
use crate::support::udev;
use crate::support::writer::{Style, Writer};
use crate::support::{MIB, stamp};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Blocks of the stamped writer in a volume of so many MiB.
fn blocks(mib: u64) -> u64 {
    mib * MIB / stamp::BLOCK as u64
}

/// The targets of a volume's live table.
fn targets(lab: &Lab, volume: &str) -> Vec<String> {
    lab.dm
        .table(&dm_name("g", volume))
        .unwrap()
        .into_iter()
        .map(|line| line.target)
        .collect()
}

// ------------------------------------------------------------------------------------------ groups

#[test]
fn a_group_is_created_extended_reduced_and_destroyed() {
    let lab = lab!(["linear"], [16, 16, 16]);
    lab.create_group_of("g", 0..2);
    let before = lab.print("g");
    assert_eq!(
        before
            .disks
            .iter()
            .map(|d| d.media.as_str())
            .collect::<Vec<_>>(),
        ["disk01", "disk02"]
    );
    assert!(
        before
            .disks
            .iter()
            .all(|d| d.state == "online" && d.free == d.size && d.size > 8 * MIB),
        "{before:?}"
    );

    lab.cli(&format!("group add g disk03={}", lab.disks[2].word()))
        .ok();
    assert_eq!(lab.print("g").disks.len(), 3);
    assert!(lab.print("g").generation > before.generation);
    lab.cli("group list").ok().says("g");
    lab.cli("group show g").ok().says("disk03");
    lab.cli("group dump g").ok().says("disk03");

    lab.cli("-y group remove-disk g disk03").ok();
    assert_eq!(lab.print("g").disks.len(), 2);
    lab.cli("-y group destroy g").ok();
    lab.cli("group show g").exits(3);
    // Its disks can be used at once.
    lab.create_group("h");
    lab.finish();
}

#[test]
fn a_group_with_volumes_is_destroyed_only_by_somebody_who_says_yes() {
    let lab = lab!(["linear"], [16]);
    lab.create_group("g");
    lab.cli("-g g make v 4m").ok();
    lab.cli("group destroy g").exits(4).says("-y");
    for (answer, status) in [("n", 4), ("", 4), ("yes", 0)] {
        let mut asked = OnTerminal::start("group destroy g");
        asked.shows("destroy group 'g' with v? [y/N]");
        asked.types(answer);
        assert_eq!(asked.ends(), Some(status), "{answer:?}: {}", asked.screen());
        assert_eq!(lab.groups().len(), usize::from(status != 0));
    }
    lab.finish();
}

#[test]
fn a_disk_that_holds_a_volume_cannot_be_removed_from_its_group() {
    let lab = lab!(["linear"], [16, 16]);
    lab.create_group("g");
    lab.cli("-g g make v 4m --on disk02").ok();
    lab.cli("-y group remove-disk g disk02").exits(4).says("v");
    assert_eq!(lab.print("g").disks.len(), 2);
    lab.cli("-y group remove-disk g disk01").ok();
    lab.finish();
}

#[test]
fn a_deported_group_is_imported_with_its_data() {
    let lab = lab!(["linear", "mirror"], [32, 32]);
    lab.create_group("g");
    lab.cli("-g g make v 8m --mirrors 2").ok();
    let written = Writer::start_filled(lab.device("g", "v"), 0, 512, Style::default()).stop();

    lab.cli("-g g stop v").ok();
    lab.cli("group deport g").ok();
    assert!(lab.cli("-g g print").status != 0);
    assert!(!lab.dm.exists("g-v"));
    lab.cli("group import g").ok();
    lab.cli("-g g start v").ok();
    written.verify(lab.device("g", "v"));
    lab.finish();
}

#[test]
fn a_group_cannot_be_deported_or_destroyed_while_a_volume_is_open() {
    let lab = lab!(["linear"], [16]);
    lab.create_group("g");
    lab.cli("-g g make v 4m").ok();
    let open = File::open(lab.device("g", "v")).unwrap();
    lab.cli("-y group deport g").exits(4);
    lab.cli("-y group destroy g").exits(4);
    assert_eq!(lab.print("g").volume("v").kstate, "ENABLED");
    drop(open);
    lab.finish();
}

#[test]
fn a_disk_with_a_signature_is_refused_until_forced() {
    let lab = lab!(["linear"], [16, 16]);
    mkfs_ext4(&lab.disks[0].path());
    let refused = lab.cli(&format!("group create g {}", lab.disks[0].word()));
    assert_ne!(refused.status, 0);
    refused.says("ext4");
    lab.cli("group show g").exits(3);

    lab.cli(&format!("disk init {} --force", lab.disks[0].word()))
        .ok();
    lab.create_group("g");
    lab.finish();
}

#[test]
fn a_mounted_or_held_disk_is_refused_even_when_forced() {
    let lab = lab!(["linear"], [16, 16]);
    mkfs_ext4(&lab.disks[0].path());
    let mounted = Mounted::ext4(&lab.disks[0].path());
    let refused = lab.cli(&format!("disk init {} --force", lab.disks[0].word()));
    assert_ne!(refused.status, 0, "{refused}");
    drop(mounted);

    // Beneath each disk there is a device that the disk itself holds.
    let held = format!("/dev/mapper/{}-core", lab.disks[1].name);
    until("udev makes the core's link", || fs::exists(&held).unwrap());
    let refused = lab.cli(&format!("disk init {held} --force"));
    assert_ne!(refused.status, 0, "{refused}");
    lab.finish();
}

#[test]
fn udev_knows_a_member_of_a_group_as_taken() {
    let lab = lab!(["linear"], [16, 16]);
    lab.create_group_of("g", 0..1);
    lab.cli(&format!("disk init {}", lab.disks[1].word())).ok();
    udev::settle();
    for disk in &lab.disks {
        assert_eq!(
            udev::property(disk.path(), "ID_FS_TYPE").as_deref(),
            Some("breakoff_member"),
            "{}",
            disk.word()
        );
        assert!(udev::has_tag(disk.path(), "breakoff"), "{}", disk.word());
    }
    assert_eq!(lab.json("disk list")["disks"].as_array().unwrap().len(), 2);
    lab.finish();
}

/// A tag stays with a device, whatever becomes of it. Here somebody has made a partition table, which
/// leaves the labels as they are.
#[test]
fn a_disk_that_has_become_something_else_is_not_taken_by_its_mark() {
    let lab = lab!(["linear"], [24, 24]);
    lab.create_group("g");
    lab.cli("-g g make v 4m --on disk01").ok();
    let look_again = || {
        let path = lab.disks[1].word();
        tool(
            "udevadm",
            &["trigger", "--action=change", "--settle", &path],
        )
        .ok();
    };
    let first = lab.disks[1].raw(0, 512);
    lab.disks[1].raw_write(0, &block::partition_table(&[(2048, 8192)]));
    look_again();
    assert!(udev::has_tag(lab.disks[1].path(), "breakoff"));
    let before = lab.disks[1].raw(0, 4 * MIB);
    for words in [
        "-g g make w 1m --on disk01",
        "-g g print",
        "-y -g g remove w",
    ] {
        lab.cli(words)
            .ok()
            .says("disk 'disk02' of group 'g' is missing");
    }
    assert!(
        lab.disks[1].raw(0, 4 * MIB) == before,
        "nothing was written to it"
    );
    lab.disks[1].raw_write(0, &first);
    look_again();
    lab.cli("-g g make w 1m --on disk01").ok();
    assert!(
        lab.disks[1].raw(0, 4 * MIB) != before,
        "it has the next configuration"
    );
    lab.finish();
}

#[test]
fn disks_with_4_kib_sectors_hold_mirrors_too() {
    let mut lab = lab!(["mirror"], [24]);
    lab.add_disk(24 * MIB, 4096);
    lab.add_disk(24 * MIB, 4096);
    lab.wait_for_nodes();
    lab.create_group("g");
    lab.cli("-g g make v 8m --mirrors 3").ok();
    let written = Writer::start_filled(lab.device("g", "v"), 0, 256, Style::default()).stop();
    lab.wait_synced("g", "v");
    written.verify(lab.device("g", "v"));
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

// ------------------------------------------------------------------------------------ make, remove

/// Where our rule is not installed, udev reads a disk and runs its rules for it whenever a writer
/// closes it.
#[test]
fn a_command_closes_a_disk_that_it_has_written_to_once_and_opens_no_other_to_write() {
    let lab = lab!(["mirror", "era"], [48, 48, 48]);
    let nobody = NoMonitor::begin();
    lab.create_group("g");
    lab.cli("-g g make v 8m").ok();
    let closed = |words: &str, status: i32| {
        let watch = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
        let disks: Vec<_> = lab
            .disks
            .iter()
            .map(|disk| {
                watch
                    .add_watch(&disk.path(), AddWatchFlags::IN_CLOSE_WRITE)
                    .unwrap()
            })
            .collect();
        lab.cli(words).exits(status);
        let events = watch.read_events().unwrap_or_default();
        disks
            .iter()
            .map(|disk| events.iter().filter(|event| event.wd == *disk).count())
            .collect::<Vec<_>>()
    };
    assert_eq!(closed("-g g print", 0), [0, 0, 0]);
    assert_eq!(closed("-g g make v 8m", 4), [0, 0, 0]);
    assert_eq!(closed("-g g make w 8m", 0), [1, 1, 1]);
    lab.cli("-g g snapstart v").ok();
    assert_eq!(closed("-g g snapshot v --name s", 0), [1, 1, 1]);
    assert_eq!(closed("-g g --dry-run snapback s", 0), [0, 0, 0]);
    drop(nobody);
    lab.finish();
}

#[test]
fn a_linear_volume_lies_straight_on_the_disks() {
    let lab = lab!(["linear"], [32]);
    lab.create_group("g");
    lab.cli("-g g make v 8m").ok();

    let group = lab.print("g");
    let volume = group.volume("v");
    assert_eq!(
        (volume.size, volume.state.as_str(), volume.kstate.as_str()),
        (8 * MIB, "ACTIVE", "ENABLED")
    );
    assert_eq!(volume.plexes.len(), 1);
    assert_eq!(
        (
            volume.plexes[0].name.as_str(),
            volume.plexes[0].role.as_str()
        ),
        ("v-01", "data")
    );
    assert_eq!(block::size(lab.device("g", "v")).unwrap(), 8 * MIB);
    assert_eq!(targets(&lab, "v"), ["linear"]);
    assert_eq!(
        crate::support::leaks::devices(&lab.dm).len(),
        1,
        "nothing else exists for it"
    );
    assert!(
        udev::target("/dev/breakoff/g/v")
            .is_some_and(|at| Some(at) == udev::target("/dev/mapper/g-v"))
    );
    lab.finish();
}

#[test]
fn a_linear_volume_spans_fragments_and_disks() {
    let lab = lab!(["linear"], [32, 32]);
    lab.create_group("g");
    for (name, size) in [("a", "8m"), ("b", "8m"), ("c", "8m")] {
        lab.cli(&format!("-g g make {name} {size} --on disk01"))
            .ok();
    }
    let kept = [0, 1].map(|i| {
        Writer::start_filled(lab.device("g", ["a", "c"][i]), 0, 128, Style::default()).stop()
    });
    lab.cli("-y -g g remove b").ok();
    let size = lab.print("g").free() / MIB;

    lab.cli(&format!("-g g make big {size}m")).ok();
    let group = lab.print("g");
    let plex = &group.volume("big").plexes[0];
    assert!(
        plex.subdisks.len() >= 3 && plex.media() == ["disk01", "disk02"],
        "{plex:?}"
    );
    let written = Writer::start_filled(
        lab.device("g", "big"),
        0,
        blocks(size),
        Style {
            pause: std::time::Duration::ZERO,
            ..Style::default()
        },
    )
    .stop();
    written.verify(lab.device("g", "big"));
    plexes::assert_same(
        "volume",
        &block::read_direct(lab.device("g", "big"), 0, size * MIB).unwrap(),
        "plex",
        &plexes::bytes(&lab, &group, plex),
    );
    kept[0].verify(lab.device("g", "a"));
    kept[1].verify(lab.device("g", "c"));
    lab.finish();
}

#[test]
fn the_legs_of_a_new_mirror_become_equal() {
    let lab = lab!(["mirror"], [32, 32, 32]);
    lab.fill_with_noise();
    lab.create_group("g");
    lab.cli("-g g make v 16m --mirrors 3").ok();
    let load = Writer::start_filled(lab.device("g", "v"), 100, 256, Style::default());
    lab.wait_synced("g", "v");
    load.goes_on(50);
    let written = load.stop();

    let volume = lab.print("g").volume("v").clone();
    assert_eq!(volume.states(), ["ACTIVE"; 3]);
    let mut media: Vec<&str> = volume.plexes.iter().flat_map(|p| p.media()).collect();
    media.sort_unstable();
    assert_eq!(
        media,
        ["disk01", "disk02", "disk03"],
        "no two plexes on one disk"
    );
    assert_eq!(targets(&lab, "v"), ["mirror"]);
    assert!(
        lab.dm.table("g-v").unwrap()[0]
            .params
            .contains("handle_errors"),
        "K1"
    );
    written.verify(lab.device("g", "v"));
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

#[test]
fn a_mirror_without_a_log_works_and_takes_no_space_for_one() {
    let lab = lab!(["mirror"], [32, 32]);
    lab.create_group("g");
    let free = lab.print("g").free();
    lab.cli("-g g make v 8m --mirrors 2 --no-log").ok();
    assert_eq!(lab.print("g").free(), free - 16 * MIB);
    assert!(lab.dm.table("g-v").unwrap()[0].params.starts_with("core "));
    lab.wait_synced("g", "v");
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

/// With writers, and beneath a copy that goes on.
#[test]
fn a_log_comes_and_goes_while_the_volume_is_in_use() {
    let mut lab = lab!(["mirror", "delay"], [32, 32, 32, 32]);
    lab.create_group("g");
    lab.cli("-g g make v 8m --mirrors 2 --no-log --on disk01,disk02")
        .ok();
    lab.wait_synced("g", "v");
    let free = lab.print("g").free();
    let log_of = |lab: &Lab, device: &str| {
        let table = lab.dm.table(device).unwrap();
        let [line] = table.as_slice() else {
            panic!("{table:?}");
        };
        line.words()[0].to_owned()
    };
    // Below the region that cannot be filled later on: a write to it would wait.
    let load = Writer::start_filled(lab.device("g", "v"), 0, blocks(6), Style::default());
    let (add, remove) = ("-g g log add v", "-g g log remove v");

    lab.cli(&format!("{add} --on disk04"))
        .ok()
        .says("log added");
    assert_eq!(log_of(&lab, "g-v"), "disk");
    let left = lab.print("g").disk("disk04").free;
    assert_eq!(left, lab.print("g").disk("disk04").size - MIB);
    lab.cli(add).exits(4);
    load.goes_on(50);
    assert!(lab.dm.mirrors("g-v").iter().all(MirrorStatus::in_sync));
    lab.cli(remove).ok().says("released 1m");
    assert_eq!(log_of(&lab, "g-v"), "core");
    assert!(!lab.dm.exists("g-v_log"));
    assert_eq!(lab.print("g").free(), free);
    load.goes_on(50);

    let paused = lab.pause_end_of_leg("g", "disk03", 8 * MIB);
    lab.cli("-g g snapstart -b v --on disk03").ok();
    for (verb, log) in [(add, "disk"), (remove, "core"), (add, "disk")] {
        lab.cli(verb).ok();
        assert_eq!(log_of(&lab, "g-v_l1"), log, "{verb}");
        load.goes_on(20);
        assert_eq!(
            lab.print("g").volume("v").states(),
            ["ACTIVE", "ACTIVE", "SNAPATT"]
        );
    }
    lab.heal(paused);
    lab.cli("-g g snapwait v").ok();
    assert_eq!(log_of(&lab, "g-v"), "disk");
    let written = load.stop();
    plexes::assert_equal(&lab, "g", "v");

    // Stopped, and used from the next start on.
    lab.cli(remove).ok();
    lab.cli("-g g stop v").ok();
    lab.cli(add).ok();
    lab.cli("-g g start v").ok();
    assert_eq!(log_of(&lab, "g-v"), "disk");
    written.verify(lab.device("g", "v"));
    lab.finish();
}

#[test]
fn old_signatures_are_wiped_from_a_new_volume() {
    let lab = lab!(["linear"], [32]);
    lab.create_group("g");
    lab.cli("-g g make old 8m").ok();
    let place = lab.print("g").volume("old").plexes[0].subdisks.clone();
    mkfs_ext4(&lab.device("g", "old"));
    tool("blkid", &["-p", "/dev/mapper/g-old"])
        .ok()
        .says("ext4");
    lab.cli("-y -g g remove old").ok();

    lab.cli("-g g make new 8m").ok();
    assert_eq!(
        lab.print("g").volume("new").plexes[0].subdisks,
        place,
        "not the same place: nothing would be shown"
    );
    assert_eq!(
        tool("blkid", &["-p", "/dev/mapper/g-new"]).status,
        2,
        "blkid finds nothing"
    );
    udev::settle();
    assert_eq!(udev::property("/dev/mapper/g-new", "ID_FS_TYPE"), None);
    lab.finish();
}

#[test]
fn removing_gives_all_space_back() {
    let lab = lab!(["mirror"], [32, 32, 32]);
    lab.create_group("g");
    let free = lab.print("g").free();
    lab.cli("-g g make v 8m --mirrors 2").ok();
    lab.cli("-g g snapstart v").ok();
    lab.cli("-y -g g remove v").exits(4);
    assert_eq!(
        lab.print("g").volume("v").states(),
        ["ACTIVE", "ACTIVE", "SNAPDONE"]
    );
    lab.cli("-y -g g remove v --recursive").ok();
    assert_eq!(lab.print("g").free(), free);
    lab.finish();
}

#[test]
fn removing_refuses_an_open_volume() {
    let lab = lab!(["linear"], [16]);
    lab.create_group("g");
    lab.cli("-g g make v 4m").ok();
    let open = File::open(lab.device("g", "v")).unwrap();
    lab.cli("-y -g g remove v").exits(4);
    assert_eq!(lab.print("g").volume("v").kstate, "ENABLED");
    drop(open);
    lab.finish();
}

// ---------------------------------------------------------------------------- rename, grow, mirror

#[test]
fn a_mounted_volume_is_renamed() {
    let lab = lab!(["mirror"], [32, 32]);
    lab.create_group("g");
    lab.cli("-g g make v 16m --mirrors 2").ok();
    mkfs_ext4(&lab.device("g", "v"));
    let mounted = Mounted::ext4(&lab.device("g", "v"));
    fs::write(mounted.at.join("before"), "before").unwrap();

    lab.cli("-g g rename v w-2").ok();
    fs::write(mounted.at.join("after"), "after").unwrap();
    assert_eq!(lab.print("g").names(), ["w-2"]);
    lab.cli("-g g print v").exits(3);
    assert!(lab.device("g", "w-2").exists() && !lab.device("g", "v").exists());
    udev::settle();
    assert!(
        fs::exists("/dev/breakoff/g/w-2").unwrap() && !fs::exists("/dev/breakoff/g/v").unwrap()
    );

    mounted.unmount();
    let again = Mounted::ext4(&lab.device("g", "w-2"));
    assert_eq!(fs::read_to_string(again.at.join("after")).unwrap(), "after");
    again.unmount();
    lab.finish();
}

#[test]
fn a_linear_volume_grows_while_it_is_written() {
    let lab = lab!(["linear"], [32, 32]);
    lab.create_group("g");
    lab.cli("-g g make v 8m").ok();
    let load = Writer::start_filled(lab.device("g", "v"), 0, 512, Style::default());

    lab.cli("-g g grow v +8m").ok();
    lab.cli("-g g grow v 40m").ok();
    load.goes_on(50);
    assert_eq!(block::size(lab.device("g", "v")).unwrap(), 40 * MIB);
    assert_eq!(lab.print("g").volume("v").size, 40 * MIB);
    let grown = Writer::start_filled(
        lab.device("g", "v"),
        blocks(39),
        blocks(1),
        Style::default(),
    )
    .stop();
    load.stop().verify(lab.device("g", "v"));
    grown.verify(lab.device("g", "v"));
    lab.finish();
}

#[test]
fn the_grown_part_of_a_mirror_is_resynchronised() {
    let lab = lab!(["mirror"], [48, 48]);
    lab.fill_with_noise();
    lab.create_group("g");
    lab.cli("-g g make v 8m --mirrors 2").ok();
    lab.wait_synced("g", "v");
    let load = Writer::start_filled(lab.device("g", "v"), 0, 512, Style::default());

    lab.cli("-g g grow v 24m").ok();
    load.goes_on(50);
    lab.wait_synced("g", "v");
    let written = load.stop();
    assert_eq!(block::size(lab.device("g", "v")).unwrap(), 24 * MIB);
    assert_eq!(targets(&lab, "v"), ["mirror"]);
    written.verify(lab.device("g", "v"));
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

#[test]
fn a_mounted_filesystem_grows_with_its_volume_and_another_one_keeps_it_small() {
    let lab = lab!(["mirror"], [64, 64]);
    lab.create_group("g");
    lab.cli("-g g make v 16m --mirrors 2").ok();
    let bytes = |at: &Path| {
        let about = nix::sys::statvfs::statvfs(at).unwrap();
        about.blocks() * about.fragment_size()
    };
    lab.cli("-g g grow v +8m --resizefs")
        .exits(5)
        .says("there is no filesystem");
    mkfs_ext4(&lab.device("g", "v"));
    lab.cli("-g g grow v +8m --resizefs")
        .exits(5)
        .says("e2fsck -f");
    assert_eq!(lab.print("g").volume("v").size, 16 * MIB);

    let mounted = Mounted::ext4(&lab.device("g", "v"));
    let before = bytes(&mounted.at);
    lab.cli("-g g grow v +16m --resizefs")
        .ok()
        .says("is as large as the volume");
    assert_eq!(lab.print("g").volume("v").size, 32 * MIB);
    let grown = bytes(&mounted.at);
    assert!(grown > before + 8 * MIB, "{before} {grown}");
    // A volume that has grown alone is made up for.
    lab.cli("-g g grow v 40m").ok().says("is not grown");
    lab.cli("-g g grow v 40m --resizefs").ok();
    assert!(bytes(&mounted.at) > grown);
    mounted.unmount();
    lab.finish();
}

#[test]
fn a_volume_cannot_be_made_smaller_or_grown_without_space() {
    let lab = lab!(["linear"], [16]);
    lab.create_group("g");
    lab.cli("-g g make v 4m").ok();
    let before = lab.print("g");
    assert_ne!(lab.cli("-g g grow v 2m").status, 0);
    lab.cli("-g g grow v +1g").exits(6);
    assert_eq!(lab.print("g"), before);
    lab.finish();
}

#[test]
fn a_second_plex_is_added_to_a_busy_volume() {
    let lab = lab!(["mirror"], [32, 32]);
    lab.fill_with_noise();
    lab.create_group("g");
    lab.cli("-g g make v 16m").ok();
    let load = Writer::start_filled(lab.device("g", "v"), 0, 512, Style::default());

    lab.cli("-g g mirror v").ok();
    until("the plex is ACTIVE", || {
        lab.print("g").volume("v").states() == ["ACTIVE", "ACTIVE"]
    });
    load.goes_on(50);
    let written = load.stop();
    assert_eq!(targets(&lab, "v"), ["mirror"]);
    written.verify(lab.device("g", "v"));
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

// ------------------------------------------------------------------------------------- start, stop

#[test]
fn stop_refuses_an_open_volume_and_names_the_opener() {
    let lab = lab!(["linear"], [32]);
    lab.create_group("g");
    lab.cli("-g g make v 16m").ok();
    let open = File::open(lab.device("g", "v")).unwrap();
    lab.cli("-g g stop v")
        .exits(4)
        .says(&std::process::id().to_string());
    drop(open);

    mkfs_ext4(&lab.device("g", "v"));
    let mounted = Mounted::ext4(&lab.device("g", "v"));
    lab.cli("-g g stop v")
        .exits(4)
        .says(&mounted.at.display().to_string());
    mounted.unmount();

    lab.cli("-g g stop v").ok();
    assert_eq!(lab.print("g").volume("v").kstate, "DISABLED");
    assert!(!lab.dm.exists("g-v"));
    lab.cli("-g g stop v").ok(); // already so
    lab.finish();
}

#[test]
fn a_stopped_mirror_starts_in_sync_with_its_data() {
    let lab = lab!(["mirror"], [32, 32]);
    lab.create_group("g");
    lab.cli("-g g make v 16m --mirrors 2").ok();
    lab.wait_synced("g", "v");
    let written = Writer::start_filled(lab.device("g", "v"), 0, 512, Style::default()).stop();

    lab.cli("-g g stop --all").ok();
    assert!(crate::support::leaks::devices(&lab.dm).is_empty());
    lab.cli("-g g start --all").ok();
    assert!(
        lab.dm.mirrors("g-v")[0].in_sync(),
        "a clean stop needs no resync"
    );
    written.verify(lab.device("g", "v"));
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

#[test]
fn of_all_volumes_those_that_fail_stop_no_other_and_are_told() {
    let mut lab = lab!(["linear"], [16, 16, 16]);
    lab.create_group("g");
    for (volume, disk) in [("a", "disk01"), ("b", "disk02"), ("c", "disk03")] {
        lab.cli(&format!("-g g make {volume} 4m --on {disk}")).ok();
    }
    let kstates = |lab: &Lab| {
        lab.print("g")
            .volumes
            .iter()
            .map(|v| v.kstate.clone())
            .collect::<Vec<_>>()
    };

    let open = File::open(lab.device("g", "b")).unwrap();
    lab.cli("-g g stop --all")
        .exits(4)
        .says("'g/b'")
        .says(&format!("process {}", std::process::id()));
    assert_eq!(kstates(&lab), ["DISABLED", "ENABLED", "DISABLED"]);
    let again = lab.cli("--json stop --auto");
    assert_eq!(again.status, 4, "{again}");
    let document: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(
        (&document["ok"], &document["error"]["kind"]),
        (&false.into(), &"in-use".into()),
        "{document}"
    );
    assert_eq!(
        document["result"]["failures"][0]["object"], "g/b",
        "{document}"
    );
    drop(open);
    lab.cli("stop --auto").ok();

    lab.fault(0, Fault::Fail);
    lab.cli("start --auto")
        .exits(8)
        .says("'g/a'")
        .says("disk01");
    assert_eq!(kstates(&lab), ["DISABLED", "ENABLED", "ENABLED"]);
    lab.heal(0);
    lab.cli("start --auto").ok();
    assert_eq!(kstates(&lab), ["ENABLED"; 3]);
    lab.finish();
}

// ---------------------------------------------------------------------------------------- refusals

#[test]
fn every_refusal_has_its_exit_status_and_word() {
    let lab = lab!(["linear"], [16, 16]);
    lab.create_group("g");
    lab.cli("-g g make v 4m").ok();
    let before = lab.print("g");

    for (status, kind, words) in [
        (2, "usage", "-g g make -- -x 4m".to_owned()),
        (2, "usage", "-g g make w 4x".to_owned()),
        (2, "usage", "frobnicate".to_owned()),
        (3, "not-found", "-g g print w".to_owned()),
        (3, "not-found", "-g nosuch print v".to_owned()),
        (3, "not-found", "-g g make w 4m --on disk09".to_owned()),
        (3, "not-found", "-g g snapstart w".to_owned()),
        (3, "not-found", "-g g snapshot w".to_owned()),
        (3, "not-found", "-g g plex remove w-01".to_owned()),
        (
            3,
            "not-found",
            "group create h /dev/mapper/nosuch".to_owned(),
        ),
        (4, "exists", "-g g make v 4m".to_owned()),
        (6, "no-space", "-g g make w 1g".to_owned()),
        (6, "no-space", "-g g make w 4m --mirrors 3".to_owned()),
    ] {
        let refusal = lab.refuses(status, &words);
        assert_eq!(refusal.kind, kind, "{words}: {refusal:?}");
        assert!(
            !refusal.message.is_empty() && !refusal.message.contains('\n'),
            "{words}: {refusal:?}"
        );
    }
    let taken = lab.refuses(4, &format!("group create g {}", lab.disks[1].word()));
    assert!(
        ["exists", "in-use"].contains(&taken.kind.as_str()),
        "{taken:?}"
    );
    assert_eq!(lab.print("g"), before, "a refusal changes nothing");
    lab.finish();
}

#[test]
fn the_group_may_be_left_out_when_the_volume_is_unique() {
    let lab = lab!(["linear"], [16, 16]);
    lab.create_group_of("g", 0..1);
    lab.cli(&format!("group create h disk01={}", lab.disks[1].word()))
        .ok();
    lab.cli("-g g make one 2m").ok();
    lab.cli("-g g make both 2m").ok();
    lab.cli("-g h make both 2m").ok();
    lab.cli("print one").ok().says("one");
    let ambiguous = lab.cli("stop both");
    assert_ne!(ambiguous.status, 0);
    ambiguous.says("-g");
    lab.cli("stop one").ok();
    lab.finish();
}

#[test]
fn a_dry_run_changes_nothing() {
    let lab = lab!(["mirror"], [32, 32, 32, 32, 32]);
    lab.create_group_of("g", 0..4);
    lab.cli("-g g make v 8m --mirrors 2 --on disk01,disk02")
        .ok();
    lab.wait_synced("g", "v");
    lab.cli("-g g snapstart --on disk03 v").ok();
    let new = lab.disks[4].word();
    let empty = lab.disks[4].raw(0, 4 << 20);
    // The dump counts who has a device open: udev and the monitor do for a moment.
    let mut devices = lab.dm.dump();
    until("nobody has a device open", || {
        devices = lab.dm.dump();
        !devices.contains(" HELD")
    });
    let before = lab.print("g");

    for words in [
        &format!("group add g {new}"),
        &format!("group create h {new}"),
        &format!("group replace-disk g disk04 {new}"),
        &format!("disk init {new}"),
        "group destroy g",
        "make w 4m",
        "make w 4m --mirrors 2",
        "rename v w",
        "grow v +4m",
        "stop v",
        "remove v --recursive",
        "snapshot v",
        "snapabort v",
        "plex detach v-02",
    ] {
        let group = if words.contains(" h ") { "" } else { "-g g" };
        let plan = lab.json(&format!("-y {group} --dry-run {words}"));
        assert_ne!(
            plan["prepare"].as_array().unwrap().len(),
            0,
            "{words}: {plan}"
        );
        until(&format!("all is as before --dry-run {words}"), || {
            lab.dm.dump() == devices
        });
    }
    assert_eq!(lab.print("g"), before);
    assert!(lab.disks[4].raw(0, 4 << 20) == empty);
    // A plan that is refused is refused in a dry run, too.
    lab.refuses(6, "-g g --dry-run make w 1g");
    lab.finish();
}

#[test]
fn what_is_written_to_a_volume_is_counted_on_its_way_to_the_disks() {
    let lab = lab!(["mirror"], [24, 24]);
    lab.create_group("g");
    lab.cli("-g g make v 4m --mirrors 2").ok();
    lab.wait_synced("g", "v");
    let written = |name: &str| {
        let result = lab.json("-g g stat");
        let lines = result["counters"].as_array().unwrap();
        let line = lines.iter().find(|line| line["name"] == name);
        line.unwrap_or_else(|| panic!("no {name} in {result}"))["written"]
            .as_u64()
            .unwrap()
    };
    let objects = ["v", "v-01", "v-02", "disk01", "disk02"];
    let before = objects.map(written);
    block::write_direct(lab.device("g", "v"), MIB, &vec![1; MIB as usize]).unwrap();
    for (name, before) in objects.iter().zip(before) {
        assert!(written(name) >= before + MIB, "{name}");
    }
    assert_eq!(written("v"), before[0] + MIB);
    lab.finish();
}

/// Takes udev's rule back when a test ends.
struct OtherRule(PathBuf);

impl OtherRule {
    /// A rule that runs the program where it is not.
    fn install() -> OtherRule {
        let places = ["/usr/lib/udev/rules.d", "/lib/udev/rules.d"]
            .map(|place| Path::new(place).join("56-breakoff.rules"));
        let text = places
            .iter()
            .find_map(|path| fs::read_to_string(path).ok())
            .expect("the rule is installed here");
        let over = Path::new("/etc/udev/rules.d");
        fs::create_dir_all(over).unwrap();
        let rule = OtherRule(over.join("56-breakoff.rules"));
        fs::write(
            &rule.0,
            text.replace("/usr/bin/breakoff", "/opt/elsewhere/breakoff"),
        )
        .unwrap();
        tool("udevadm", &["control", "--reload"]).ok();
        rule
    }
}

impl Drop for OtherRule {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
        let _ = tool("udevadm", &["control", "--reload"]);
    }
}

#[test]
fn a_path_that_is_told_exists_and_it_is_said_why_the_other_does_not() {
    let lab = lab!(["mirror"], [24, 24]);
    lab.create_group("g");
    let device = |volume: &str| lab.print("g").volume(volume).device.clone();
    let rule = OtherRule::install();
    let made = lab
        .cli("-g g make v 4m")
        .ok()
        .says("device /dev/mapper/g-v");
    let why = made
        .says("there is no '/dev/breakoff/g/v'")
        .says("runs '/opt/elsewhere/breakoff', which is not there");
    assert!(!why.stdout.contains("/dev/breakoff"), "{why}");
    assert!(!Path::new("/dev/breakoff/g/v").exists());
    assert_eq!(device("v").as_deref(), Some("/dev/mapper/g-v"));
    lab.cli("-g g print")
        .ok()
        .says("there is no '/dev/breakoff/g/v'");
    lab.cli("-g g snapstart v").ok();
    lab.cli("-g g snapshot --name s v")
        .ok()
        .says("device /dev/mapper/g-s")
        .says("which is not there");
    lab.cli("-g g rename s t")
        .ok()
        .says("device /dev/mapper/g-t");
    drop(rule);
    lab.cli("-g g stop --all").ok();

    // What is not started has no device, and its plexes are clean: ACTIVE would mean that the
    // machine went down.
    let stopped = lab.print("g");
    let v = stopped.volume("v");
    assert_eq!(
        (
            v.device.as_deref(),
            v.kstate.as_str(),
            v.state.as_str(),
            v.states()
        ),
        (None, "DISABLED", "CLEAN", vec!["CLEAN"])
    );
    assert_eq!(v.plexes[0].kstate, "DISABLED");
    let text = lab.cli("-g g print").ok().stdout;
    let plex = text
        .lines()
        .find(|line| line.starts_with("pl") && line.contains("v-01"))
        .unwrap();
    assert!(
        plex.contains("DISABLED") && plex.contains("CLEAN") && !plex.contains("ACTIVE"),
        "{plex}"
    );
    lab.cli("-g g start --all").ok();
    assert_eq!(device("v").as_deref(), Some("/dev/breakoff/g/v"));
    assert_eq!(lab.print("g").volume("v").states(), ["ACTIVE"]);
    assert!(lab.cli("-g g print").ok().stderr.is_empty());
    lab.finish();
}

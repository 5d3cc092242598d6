//! Disks that are mixed up: those of another machine, old ones that come back, those of a group
//! that is gone, one disk under two names; and disks that die while the configuration is written to
//! them.

use crate::support::child::{Output, killed_at, tool};
use crate::support::disk::{Fault, UUID};
use crate::support::dm::{self, Line};
use crate::support::lab::{Lab, until};
use crate::support::outage::Power;
use crate::support::writer::{Style, Writer};
use crate::support::{MIB, block, plexes, udev};
use breakoff::linux::disk::media::BlockMedia;
use breakoff::meta::{self, Label, Member};
use breakoff::model::{Group, HostId, Name};
use breakoff::sys::disk::Access;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(120);
/// The default private area, which every disk of these tests has.
const AREA: u64 = 4 * MIB;
const SUPERBLOCKS: Range<u64> = 4096..12288;
/// Where payloads are.
const SLOTS: Range<u64> = 16384..AREA;

fn other_machine() -> HostId {
    HostId::from_bytes([0xab; 16])
}

/// Commits a change to these disks as another machine would; nothing of the group is started here.
fn elsewhere(lab: &Lab, disks: &[usize], change: impl FnOnce(&mut Group)) {
    let open = |i: usize| BlockMedia::open(&lab.disks[i].path(), Access::ReadWrite).unwrap();
    let label = |i: usize| meta::read_disk(&open(i)).unwrap().unwrap();
    let found: Vec<(String, Label)> = disks
        .iter()
        .map(|i| (lab.disks[*i].word(), label(*i)))
        .collect();
    let mut chosen = meta::choose(found[0].1.group().unwrap(), &found).unwrap();
    change(&mut chosen.group);
    let member = |(i, (name, label)): (&usize, (String, Label))| Member {
        disk: label.disk(),
        name,
        media: Box::new(open(*i)),
        label,
    };
    let mut members: Vec<Member> = disks.iter().zip(found).map(member).collect();
    let mut prepared =
        meta::prepare(&mut members, &chosen.group, chosen.next, &chosen.lineage).unwrap();
    assert_eq!(prepared.flip().flipped, disks.len());
}

fn busy(lab: &Lab, group: &str) -> Writer {
    Writer::start_filled(lab.device(group, "v"), 0, 256, Style::default())
}

/// A group `g` of the first two disks with a mirrored volume `v` of 8 MiB that is in use.
fn busy_mirror(lab: &Lab) -> Writer {
    lab.create_group_of("g", 0..2);
    lab.cli("-g g make v 8m --mirrors 2").ok();
    lab.wait_synced("g", "v");
    busy(lab, "g")
}

/// A group of these disks with a volume `v` of 4 MiB for each two of them, stopped.
fn stopped_group(lab: &Lab, group: &str, disks: Range<usize>) -> String {
    let mirrors = disks.len().min(2);
    lab.create_group_of(group, disks);
    lab.cli(&format!("-g {group} make v 4m --mirrors {mirrors}"))
        .ok();
    if mirrors > 1 {
        lab.wait_synced(group, "v");
    }
    lab.cli(&format!("-g {group} stop --all")).ok();
    lab.print(group).uuid
}

/// As on a machine that has seen nothing of the group yet.
fn forget_what_was_seen(lab: &Lab) {
    std::fs::remove_file(witness(lab)).expect("what was seen was noted");
}

fn witness(lab: &Lab) -> PathBuf {
    Path::new("/etc/breakoff/witness").join(format!("{}.json", lab.print("g").uuid))
}

fn areas(lab: &Lab) -> Vec<Vec<u8>> {
    lab.disks.iter().map(|d| d.raw(0, AREA)).collect()
}

/// The state and the remark of a disk in `disk list`.
#[track_caller]
fn listed(lab: &Lab, disk: usize) -> (String, String) {
    let result = lab.json("disk list");
    let number = block::number(lab.disks[disk].path()).unwrap();
    let here = |d: &&serde_json::Value| {
        d["device"]
            .as_str()
            .is_some_and(|path| block::number(path).is_ok_and(|n| n == number))
    };
    let found = result["disks"]
        .as_array()
        .unwrap()
        .iter()
        .find(here)
        .unwrap_or_else(|| panic!("disk {disk} is not listed: {result}"));
    (
        found["state"].as_str().unwrap().to_owned(),
        found["remark"].as_str().unwrap_or_default().to_owned(),
    )
}

/// What a command has said to people.
trait Said {
    fn names(self, all: &[&str]) -> Output;
}

impl Said for Output {
    #[track_caller]
    fn names(self, all: &[&str]) -> Output {
        all.iter().fold(self, |output, text| output.says(text))
    }
}

/// A disk with two partitions of 40 MiB, on a file that goes with its device.
fn partitioned() -> String {
    let file = tempfile::Builder::new()
        .prefix("botest-")
        .tempfile_in("/tmp")
        .unwrap();
    file.as_file().set_len(96 * MIB).unwrap();
    let table = block::partition_table(&[(2048, 81920), (98304, 81920)]);
    std::os::unix::fs::FileExt::write_all_at(file.as_file(), &table, 0).unwrap();
    let disk = tool(
        "losetup",
        &["-P", "-f", "--show", &file.path().display().to_string()],
    )
    .ok()
    .stdout
    .trim()
    .to_owned();
    until("the partitions are there", || {
        Path::new(&format!("{disk}p2")).exists()
    });
    udev::settle();
    disk
}

/// The bytes of a disk are also those of its partitions.
#[test]
fn what_lies_on_partitions_is_named_and_members_are_never_taken() {
    let lab = lab!(["mirror"], [40, 40]);
    let disk = partitioned();
    let [p1, p2] = [format!("{disk}p1"), format!("{disk}p2")];
    lab.cli(&format!("group create g {p1} {p2}")).ok();
    lab.create_group_of("h", 0..1);
    lab.cli("-g g make v 8m").ok();
    let written = Writer::start_filled(lab.device("g", "v"), 0, 64, Style::default()).stop();
    lab.cli("-g g stop v").ok();
    let spare = lab.disks[1].word();
    for words in [
        "group create --force x",
        "group add --force h",
        "disk init --force",
        "group replace-disk --force h disk01",
    ] {
        let refusal = lab.refuses(4, &format!("{words} {disk}"));
        let named = [&p1, &p2]
            .map(|p| format!("'{p}' belongs to disk group 'g', which this machine has imported"));
        assert!(
            named.iter().all(|name| refusal.message.contains(name)),
            "{words}: {refusal:?}"
        );
    }
    for words in ["disk init --force", "group add --force h"] {
        lab.cli(&format!("{words} {p1}"))
            .exits(4)
            .says("which this machine has imported");
        lab.cli(&format!("{words} {}", lab.disks[0].word()))
            .exits(4);
    }
    lab.cli("-g g start v").ok();
    written.verify(lab.device("g", "v"));
    lab.cli("-y -g g remove v").ok();
    // A group that nobody has can be given up, knowingly.
    lab.cli("group deport g").ok();
    let refusal = lab.refuses(4, &format!("group create x {disk}"));
    assert!(
        refusal.message.contains(&p1) && refusal.message.contains("belongs to disk group 'g'"),
        "{refusal:?}"
    );
    assert!(refusal.hint.is_some_and(|hint| hint.contains("--force")));
    lab.cli(&format!("group create --force x {disk}")).ok();
    assert!(!Path::new(&p1).exists(), "its partitions are gone");
    lab.cli("group list").ok().says("x ");
    assert!(!lab.cli("group list").ok().stdout.contains("g "));
    lab.cli("-g x make w 4m").ok();
    lab.cli("-y -g x remove w").ok();
    lab.cli("group destroy x").ok();
    lab.cli("group destroy h").ok();

    // A filesystem, and one that is mounted; nothing of ours is on this one.
    let disk2 = partitioned();
    let part = format!("{disk2}p2");
    tool("mkfs.ext4", &["-q", "-F", &part]).ok();
    udev::settle();
    lab.cli(&format!("group create x {disk2}"))
        .exits(4)
        .says(&format!("'{part}' holds an ext4 filesystem"));
    let mounted = crate::support::fs::Mounted::ext4(Path::new(&part));
    lab.cli(&format!("group create --force x {disk2}"))
        .exits(4)
        .says(&format!("'{part}' is mounted on"));
    mounted.unmount();
    lab.cli(&format!("group create --force x {disk2} {spare}"))
        .ok();
    lab.cli("group destroy x").ok();
    for disk in [disk, disk2] {
        tool("losetup", &["-d", &disk]).ok();
    }
    lab.finish();
}

/// A loop device of so many MiB on a file that can be made larger or smaller.
fn resizable(mib: u64) -> (tempfile::NamedTempFile, String) {
    let file = tempfile::Builder::new()
        .prefix("botest-")
        .tempfile_in("/tmp")
        .unwrap();
    file.as_file().set_len(mib * MIB).unwrap();
    let disk = tool(
        "losetup",
        &["-f", "--show", &file.path().display().to_string()],
    )
    .ok()
    .stdout
    .trim()
    .to_owned();
    (file, disk)
}

#[test]
fn a_disk_that_has_grown_gives_its_space_and_one_that_has_shrunk_says_so() {
    let lab = lab!(["mirror"], [24, 24]);
    let (file, disk) = resizable(24);
    let resize = |mib: u64| {
        file.as_file().set_len(mib * MIB).unwrap();
        tool("losetup", &["-c", &disk]).ok();
        udev::settle();
    };
    lab.cli(&format!(
        "group create g disk01={} disk02={disk} disk03={}",
        lab.disks[0].word(),
        lab.disks[1].word()
    ))
    .ok();
    lab.cli("-g g make v 18m --on disk02").ok();
    let load = Writer::start_filled(lab.device("g", "v"), 0, 64, Style::default());
    lab.cli("-g g disk resize disk02")
        .ok()
        .says("has no space that is not used");
    lab.cli("disk resize nodisk").exits(3);

    resize(64);
    lab.cli("disk list")
        .ok()
        .says("has grown by 40m")
        .says("breakoff disk resize disk02");
    // Killed before each of its changes, it is done or not done, and the next one does the rest.
    let size = || lab.print("g").disk("disk02").size / MIB;
    for n in 1.. {
        let output = killed_at(n, "-g g disk resize disk02");
        assert!([20, 60].contains(&size()), "step {n}: {}", size());
        lab.cli("-g g recover").ok();
        lab.cli("-g g recover --check").ok();
        if output.status == 0 {
            assert!(n > 4, "it has more changes than that");
            break;
        }
    }
    assert_eq!(size(), 60);
    lab.cli("-g g grow v 50m --on disk02").ok();
    load.goes_on(20);
    let written = load.stop();
    lab.cli("-g g stop v").ok();

    resize(40);
    lab.cli("-g g start v")
        .exits(8)
        .says("has shrunk")
        .says(&disk);
    lab.cli("disk list").ok().says("has shrunk");
    lab.cli("-g g disk resize disk02").exits(8);
    resize(64);
    lab.cli("-g g start v").ok();
    written.verify(lab.device("g", "v"));
    lab.cli("-y -g g remove v").ok();
    lab.cli("group destroy g").ok();
    tool("losetup", &["-d", &disk]).ok();
    lab.finish();
}

// ------------------------------------------------------------------------- another machine's disks

#[test]
fn disks_of_another_machine_are_left_alone_until_they_are_imported_by_force() {
    let lab = lab!(["mirror"], [24, 24, 16, 16]);
    let load = busy_mirror(&lab);
    stopped_group(&lab, "h", 2..4);
    let other = other_machine();
    elsewhere(&lab, &[2, 3], |group| group.host = Some(other));
    let before = areas(&lab)[2..].to_vec();

    lab.cli("start --auto").ok();
    lab.cli("recover").ok();
    for words in [
        "-g h print",
        "-g h start --all",
        "-g h make x 1m",
        "-y group destroy h",
        "group deport h",
        "group import h",
    ] {
        let refusal = lab.refuses(9, words);
        assert!(
            refusal.message.contains(&other.to_string()),
            "{words}: whose it is: {refusal:?}"
        );
        assert!(
            refusal.hint.is_some_and(|hint| hint.contains("--force")),
            "{words}: what to do"
        );
    }
    assert!(!lab.dm.exists("h-v"), "nothing of it is started");
    assert!(areas(&lab)[2..] == before, "nothing of it is written");
    // Both machines call a volume 'v'; this one means its own.
    lab.cli("grow v +1m").ok().says("g/v");
    lab.cli("group list").ok().names(&["foreign", "imported"]);

    lab.cli("group import h --force").ok();
    lab.cli("-g h start --all").ok();
    assert!(lab.dm.exists("h-v"));
    load.goes_on(30);
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

#[test]
fn the_own_group_goes_on_beside_one_of_the_same_name() {
    let mut lab = lab!(["mirror", "flakey"], [24, 24, 16, 16]);
    let load = busy_mirror(&lab);
    let foreign = stopped_group(&lab, "h", 2..4);
    elsewhere(&lab, &[2, 3], |group| {
        group.host = Some(other_machine());
        group.name = Name::parse("g").unwrap();
    });
    let before = areas(&lab)[2..].to_vec();
    lab.disks[3].unplug(&lab.dm);

    let printed = lab.cli("-g g print").ok();
    printed.names(&[
        &foreign,
        &other_machine().to_string(),
        &lab.disks[2].word(),
        "1 of 2",
    ]);
    lab.cli("-g g make x 1m").ok();
    lab.cli("make y 1m").ok();
    assert_eq!(lab.print("g").names(), ["v", "x", "y"]);
    lab.cli("start --auto").ok();
    lab.cli("recover").ok();
    // The monitor finds its group, too.
    lab.fault(1, Fault::FailWrites);
    until("the plex is given up", || {
        lab.print("g").volume("v").states() == ["ACTIVE", "FAILED"]
    });
    load.goes_on(50);
    lab.heal(1);
    lab.cli("-g g plex attach v-02").ok();

    // The other one is reached by its identity, and by nothing else.
    lab.cli(&format!("-g {foreign} print"))
        .exits(9)
        .says(&format!("group import {foreign} --force"));
    lab.cli(&format!("group import {foreign} --force"))
        .exits(4)
        .says("--name");
    lab.cli(&format!("group import {foreign} --name h"))
        .exits(9);
    assert!(areas(&lab)[2..] == before, "nothing of it is written");
    lab.disks[3].plug(&lab.dm);
    lab.cli(&format!("group import {foreign} --force --name h"))
        .ok();
    lab.cli("-g h start --all").ok();
    assert!(lab.cli("-g g print").ok().stderr.is_empty());
    assert_eq!(lab.print("h").uuid, foreign);
    load.stop().verify(lab.device("g", "v"));
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

#[test]
fn of_two_foreign_groups_of_one_name_none_is_guessed() {
    let lab = lab!(["mirror"], [16, 16, 16, 16]);
    let one = stopped_group(&lab, "g", 0..2);
    elsewhere(&lab, &[0, 1], |group| group.host = Some(other_machine()));
    lab.disks[..2].iter().for_each(|disk| disk.unplug(&lab.dm));
    let two = stopped_group(&lab, "g", 2..4);
    lab.cli("group deport g").ok();
    // Half of each.
    lab.disks[3].unplug(&lab.dm);
    lab.disks[0].plug(&lab.dm);

    let before = areas(&lab);
    for words in [
        "-g g print",
        "-g g start --all",
        "-g g make x 1m",
        "group import g --force",
        "-y group destroy g",
        "group show g",
    ] {
        let refusal = lab.refuses(9, words);
        let (first, second) = (lab.disks[0].word(), lab.disks[2].word());
        for part in [
            &one,
            &two,
            &first,
            &second,
            "1 of 2",
            "deported",
            &other_machine().to_string(),
        ] {
            assert!(
                refusal.message.contains(part),
                "{words} does not say '{part}': {refusal:?}"
            );
        }
        assert!(
            refusal
                .hint
                .as_ref()
                .is_some_and(|hint| hint.contains("UUID")),
            "{words}: {refusal:?}"
        );
    }
    lab.cli("group create g --force /dev/nonexistent").exits(4);
    lab.cli("start --auto").ok();
    assert!(
        lab.dm
            .list()
            .iter()
            .all(|i| !i.uuid.starts_with("BREAKOFF-")),
        "{}",
        lab.dm.dump()
    );
    assert!(areas(&lab) == before, "nothing is written");

    // Half of the disks are not taken for the whole.
    lab.cli(&format!("group import {two} --name two"))
        .exits(9)
        .names(&["disk04", "generation"]);
    lab.disks[1].plug(&lab.dm);
    lab.disks[3].plug(&lab.dm);
    lab.cli(&format!("group import {two} --name two")).ok();
    lab.cli("group import g")
        .exits(9)
        .says(&other_machine().to_string());
    lab.cli("group import g --force").ok();
    lab.cli("start --auto").ok();
    assert_eq!((lab.print("g").uuid, lab.print("two").uuid), (one, two));
    // Names can be given anew while nothing is started.
    lab.cli("group import two --name three")
        .exits(4)
        .says("started");
    lab.cli("-g two stop --all").ok();
    lab.cli("group import two --name g").exits(4);
    lab.cli("group import two --name three").ok();
    lab.cli("-g three start --all").ok();
    lab.finish();
}

// ---------------------------------------------------------------------------- disks that come back

#[test]
fn a_disk_that_was_removed_while_it_was_away_is_never_used_again() {
    let lab = lab!(["mirror"], [24, 24, 16]);
    lab.create_group_of("g", 0..3);
    lab.cli("-g g make v 8m --mirrors 2 --on disk01,disk02")
        .ok();
    lab.wait_synced("g", "v");
    let load = busy(&lab, "g");
    lab.disks[2].unplug(&lab.dm);
    lab.cli("group remove-disk g disk03").ok().says("missing");
    let free = lab.print("g").free();
    let before = lab.disks[2].raw(0, AREA);
    lab.disks[2].plug(&lab.dm);

    let word = lab.disks[2].word();
    let remedy = format!("breakoff disk init --force {word}");
    lab.cli("-g g print")
        .ok()
        .names(&[&word, "removed", &remedy]);
    lab.cli("group show g").ok().says(&remedy);
    let (state, remark) = listed(&lab, 2);
    assert_eq!(state, "removed");
    assert!(remark.contains(&remedy), "{remark}");
    lab.cli("start --auto").ok();
    lab.cli("recover").ok();
    let group = lab.print("g");
    assert_eq!(
        (group.disks.len(), group.free()),
        (2, free),
        "its space is none of the group's"
    );
    lab.cli("-g g make x 1m --on disk03").exits(3);
    lab.cli("-g g make w 1m").ok();
    assert!(
        lab.disks[2].raw(0, AREA) == before,
        "nothing is written to it"
    );
    for words in ["disk init", "group add g", "group create new"] {
        lab.cli(&format!("{words} {word}")).exits(4).names(&[
            &word,
            "was removed from disk group 'g'",
            "--force",
        ]);
    }

    lab.cli(&format!("disk init --force {word}")).ok();
    assert!(lab.cli("-g g print").ok().stderr.is_empty());
    lab.cli(&format!("group add g {word}")).ok();
    assert_eq!(lab.print("g").disks.len(), 3);
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

#[test]
fn a_disk_that_is_erased_is_an_empty_device_for_everybody() {
    let lab = lab!(["linear"], [24, 24, 24]);
    lab.create_group_of("g", 0..2);
    let word = lab.disks[2].word();
    lab.cli(&format!("disk init {word}")).ok();
    udev::settle();
    let kind = || udev::property(lab.disks[2].path(), "ID_FS_TYPE");
    assert_eq!(kind().as_deref(), Some("breakoff_member"));
    // What lies on it would read and write what is nobody's by then.
    let size = lab.disks[2].size;
    alias(&lab, "user", &lab.disks[2].name, 0, size);
    let before = lab.disks[2].raw(0, AREA);
    for words in ["disk erase", "disk erase --force"] {
        lab.cli(&format!("{words} {word}")).exits(4).says("user");
    }
    assert!(lab.disks[2].raw(0, AREA) == before, "nothing is written");
    lab.dm.remove("user").unwrap();
    udev::settle();

    lab.cli(&format!("--dry-run disk erase {word}")).ok();
    assert!(lab.disks[2].raw(0, AREA) == before, "nothing is written");
    lab.cli(&format!("disk erase {word}"))
        .ok()
        .says("label erased");
    udev::settle();
    assert_eq!(kind(), None, "udev has looked again");
    assert!(tool("wipefs", &[&word]).ok().stdout.is_empty());
    assert_eq!(lab.json("disk list")["disks"].as_array().unwrap().len(), 2);
    lab.cli(&format!("disk erase {word}"))
        .exits(5)
        .says("is not a disk of breakoff");
    for disk in &lab.disks[..2] {
        lab.cli(&format!("disk erase --force {}", disk.word()))
            .exits(4)
            .says("of group 'g'");
    }
    lab.cli("-g g make v 1m").ok();
    lab.cli(&format!("group create h {word}")).ok();
    lab.finish();
}

#[test]
fn a_device_by_two_paths_is_one_disk() {
    let lab = lab!(["linear"], [24, 24]);
    let (word, link) = (lab.disks[0].word(), "/dev/the-same-disk");
    std::os::unix::fs::symlink(&word, link).unwrap();
    let before = lab.disks[0].raw(0, AREA);
    for verb in [
        "group create g",
        "disk init --force",
        "--dry-run group create g",
    ] {
        lab.cli(&format!("{verb} {word} {link}"))
            .exits(2)
            .says("are one device");
    }
    assert!(
        lab.disks[0].raw(0, AREA) == before,
        "nothing is written to it"
    );
    std::fs::remove_file(link).unwrap();
    lab.finish();
}

#[test]
fn a_disk_that_was_replaced_while_it_was_dead_is_never_used_again() {
    let mut lab = lab!(["mirror", "error"], [24, 24, 24]);
    let load = busy_mirror(&lab);
    lab.fault(1, Fault::Fail);
    until("the plex is given up", || {
        lab.print("g").volume("v").states() == ["ACTIVE", "FAILED"]
    });
    lab.cli(&format!(
        "group replace-disk g disk02 {}",
        lab.disks[2].word()
    ))
    .ok();
    until("the plex is filled again", || {
        lab.print("g").volume("v").states() == ["ACTIVE", "ACTIVE"]
    });
    lab.heal(1);
    udev::settle();

    let before = lab.disks[1].raw(0, lab.disks[1].size);
    let word = lab.disks[1].word();
    let remedy = format!("breakoff disk init --force {word}");
    lab.cli("-g g print").ok().says(&remedy);
    assert_eq!(listed(&lab, 1).0, "removed");
    lab.cli("-g g stop v").exits(4);
    load.goes_on(50);
    let written = load.stop();
    lab.cli("-g g stop v").ok();
    lab.cli("start --auto").ok();
    written.verify(lab.device("g", "v"));
    assert!(
        lab.disks[1].raw(0, lab.disks[1].size) == before,
        "nothing is written to it"
    );
    plexes::assert_equal(&lab, "g", "v");
    lab.cli(&format!("disk init --force {word}")).ok();
    assert!(lab.cli("-g g print").ok().stderr.is_empty());
    lab.finish();
}

#[test]
fn an_old_disk_that_comes_back_alone_starts_nothing_unless_forced() {
    let lab = lab!(["mirror"], [24, 24]);
    busy_mirror(&lab).stop();
    lab.cli("-g g stop v").ok();
    forget_what_was_seen(&lab);
    lab.disks[1].unplug(&lab.dm);
    for words in ["start --auto", "-g g start --all", "-g g start v"] {
        let refusal = lab.refuses(9, words);
        assert!(
            refusal.message.contains("'disk02' missing") && refusal.message.contains("generation"),
            "{words}: {refusal:?}"
        );
        assert!(
            refusal
                .hint
                .as_ref()
                .is_some_and(|hint| hint.contains("--force")),
            "{words}: {refusal:?}"
        );
    }
    assert!(!lab.dm.exists("g-v"));
    lab.cli("-g g make x 1m").exits(9);
    lab.cli("-g g status")
        .ok()
        .says("may have been used without these");
    lab.cli("-g g start --all --force")
        .ok()
        .names(&["generation", "may have been used without these"]);
    // It runs: from here on everything goes as ever.
    lab.cli("-g g make w 1m").ok();
    lab.cli("-g g stop w").ok();
    lab.cli("-g g start w").ok();
    let written = {
        let load = busy(&lab, "g");
        load.goes_on(100);
        load.stop()
    };
    lab.cli("-g g stop --all").ok();
    // That the other disk is lost is recorded, so nobody is asked again.
    lab.cli("start --auto").ok();
    written.verify(lab.device("g", "v"));
    lab.cli("-g g stop --all").ok();

    lab.disks[0].unplug(&lab.dm);
    lab.disks[1].plug(&lab.dm);
    let before = lab.disks[1].raw(0, lab.disks[1].size);
    for words in ["start --auto", "-g g start --all", "-g g start v"] {
        let refusal = lab.refuses(9, words);
        assert!(
            refusal.message.contains("'disk01' missing"),
            "{words}: {refusal:?}"
        );
    }
    lab.cli("-g g print").ok().says("disk01");
    assert!(!lab.dm.exists("g-v"), "what it holds is old");
    assert!(
        lab.disks[1].raw(0, lab.disks[1].size) == before,
        "nothing is written to it"
    );

    lab.disks[0].plug(&lab.dm);
    lab.cli("start --auto").ok();
    assert_eq!(lab.print("g").volume("v").states(), ["ACTIVE", "FAILED"]);
    written.verify(lab.device("g", "v"));
    lab.cli("-g g plex attach v-02").ok();
    written.verify(lab.device("g", "v"));
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

/// A mirror of which first one half is away, then the other one, on a machine that has seen what
/// was done.
#[test]
fn half_of_a_group_starts_by_itself_when_it_is_what_ran_here_last() {
    let lab = lab!(["mirror"], [24, 24]);
    busy_mirror(&lab).stop();
    lab.cli("-g g stop v").ok();
    lab.disks[1].unplug(&lab.dm);
    lab.cli("start --auto").ok();
    let written = {
        let load = busy(&lab, "g");
        load.goes_on(100);
        load.stop()
    };
    lab.cli("-g g make new 2m").ok();
    lab.cli("-g g stop --all").ok();

    lab.disks[0].unplug(&lab.dm);
    lab.disks[1].plug(&lab.dm);
    let before = areas_of(&lab, 1..2);
    for words in [
        "start --auto",
        "-g g start v",
        "-g g make x 1m",
        "group deport g",
    ] {
        let refusal = lab.refuses(9, words);
        assert!(
            refusal.message.contains("'disk01' missing")
                && refusal.message.contains("this machine has seen"),
            "{words}: {refusal:?}"
        );
    }
    assert!(areas_of(&lab, 1..2) == before, "nothing is written");

    lab.disks[0].plug(&lab.dm);
    lab.cli("start --auto").ok();
    assert_eq!(lab.print("g").names(), ["new", "v"]);
    written.verify(lab.device("g", "v"));
    lab.cli("-g g plex attach v-02").ok();
    plexes::assert_equal(&lab, "g", "v");
    let seen = witness(&lab);
    assert!(seen.exists());
    lab.cli("-y group destroy g").ok();
    assert!(!seen.exists(), "a group that is gone is forgotten");
    lab.finish();
}

/// Both halves of a mirror are used alone, by force, and differ in what was made there; on one of
/// them the mirror was written to.
#[test]
fn halves_that_went_on_apart_are_refused_until_one_is_chosen_which_then_is_whole() {
    let lab = lab!(["mirror"], [24, 24]);
    let written = busy_mirror(&lab).stop();
    lab.cli("-g g stop v").ok();
    lab.disks[1].unplug(&lab.dm);
    lab.cli("group import g --force").ok();
    lab.cli("-g g make left 1m").ok();
    lab.cli("-g g stop left").ok();
    lab.disks[0].unplug(&lab.dm);
    lab.disks[1].plug(&lab.dm);
    lab.cli("group import g --force").ok();
    lab.cli("-g g start v").ok();
    (1..=3).for_each(|n| drop(lab.cli(&format!("-g g make right{n} 1m")).ok()));
    let load = busy(&lab, "g");
    load.goes_on(100);
    load.stop();
    lab.cli("-g g stop --all").ok();
    lab.disks[0].plug(&lab.dm);
    let (before, devices) = (areas(&lab), [lab.disks[0].word(), lab.disks[1].word()]);
    let all = [
        "side",
        "left",
        "right1",
        "right2",
        "right3",
        "this machine had it last",
        &devices[0],
        &devices[1],
    ];
    for words in [
        "start --auto",
        "-g g start v",
        "-g g make x 1m",
        "group import g --force",
        "-g g remove v",
        "recover --check",
    ] {
        let refusal = lab.refuses(9, words);
        assert!(
            all.iter().all(|text| refusal.message.contains(text)),
            "{words}: {refusal:?}"
        );
    }
    lab.cli("-y group choose g /dev/nothing").exits(3);
    lab.cli(&format!("--dry-run group choose g {}", devices[0]))
        .ok()
        .names(&["right1, right2, right3"]);
    assert!(areas(&lab) == before, "nothing is written");

    lab.cli(&format!("-y group choose g {}", devices[0]))
        .ok()
        .names(&["right1, right2, right3"]);
    lab.cli("-g g start --all").ok();
    assert_eq!(lab.print("g").names(), ["left", "v"]);
    lab.wait_synced("g", "v");
    assert_eq!(lab.print("g").volume("v").states(), ["ACTIVE", "ACTIVE"]);
    written.verify(lab.device("g", "v"));
    plexes::assert_equal(&lab, "g", "v");
    // For good: the other half is nothing of its own any more.
    lab.cli("-g g stop --all").ok();
    lab.cli("start --auto").ok();
    lab.cli("recover --check").ok();
    lab.finish();
}

#[test]
fn a_disk_of_a_destroyed_group_does_not_bring_it_back() {
    let mut lab = lab!(["mirror", "error"], [24, 24, 24]);
    let old = stopped_group(&lab, "g", 0..3);
    lab.disks[1].unplug(&lab.dm);
    lab.cli("-y group destroy g").ok().says("disk02");
    // Its space belongs to others now, under the same names.
    lab.cli(&format!(
        "group create g {} {}",
        lab.disks[0].word(),
        lab.disks[2].word()
    ))
    .ok();
    lab.cli("-g g make v 8m --mirrors 2").ok();
    lab.wait_synced("g", "v");
    let load = busy(&lab, "g");
    let table = lab.dm.table("g-v").unwrap();
    lab.disks[1].plug(&lab.dm);

    let before = lab.disks[1].raw(0, lab.disks[1].size);
    let word = lab.disks[1].word();
    let remedy = format!("breakoff disk init --force {word}");
    for words in ["start --auto", &format!("-g {old} start --all")] {
        let refusal = lab.refuses(9, words);
        assert!(
            refusal
                .hint
                .as_ref()
                .is_some_and(|hint| hint.contains(&remedy)),
            "{words}: {refusal:?}"
        );
    }
    lab.cli("-g g print").ok().names(&[&old, &word]);
    lab.cli("-g g make w 1m").ok();
    let group = lab.print("g");
    assert!(
        group.uuid != old && group.names() == ["v", "w"],
        "{group:?}"
    );
    assert!(
        lab.dm.table("g-v").unwrap() == table,
        "the volume is where it was"
    );
    load.goes_on(30);

    // With half of each here the name means neither, but the monitor knows what it guards.
    lab.fault(2, Fault::Fail);
    load.goes_on(50);
    lab.cli("-g g print").exits(9).names(&[&old, &group.uuid]);
    assert_eq!(
        lab.print(&group.uuid).volume("v").states(),
        ["ACTIVE", "FAILED"]
    );
    lab.heal(2);
    udev::settle();
    lab.cli("-g g plex attach v-02").ok();
    assert!(
        lab.disks[1].raw(0, lab.disks[1].size) == before,
        "nothing is written to it"
    );

    lab.cli(&format!("disk init {word}"))
        .exits(4)
        .says("belongs to disk group 'g'");
    lab.cli(&remedy["breakoff ".len()..]).ok();
    lab.cli("start --auto").ok();
    assert!(lab.cli("-g g print").ok().stderr.is_empty());
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

// ----------------------------------------------------------------------------- one disk, two names

/// Another device with all of what lies on a device from an offset on.
fn alias(lab: &Lab, name: &str, below: &str, offset: u64, size: u64) {
    let number = lab.dm.info(below).unwrap().dev;
    lab.dm.create(name, &format!("{UUID}{name}")).unwrap();
    lab.dm
        .load(
            name,
            &[Line::new(
                0,
                size / 512,
                "linear",
                format!("{} {}", dm::number(number), offset / 512),
            )],
        )
        .unwrap();
    lab.dm.activate(name).unwrap();
    until("udev makes the alias", || {
        Path::new("/dev/mapper").join(name).exists()
    });
    udev::settle();
}

#[test]
fn of_a_disk_and_a_device_on_top_of_it_the_upper_one_is_used() {
    let lab = lab!(["mirror"], [24, 24]);
    let load = busy_mirror(&lab);
    let (name, size) = (lab.disks[0].name.clone(), lab.disks[0].size);
    alias(&lab, "upper", &name, 0, size);
    // Also while a volume runs on the lower one.
    let printed = lab.cli("-g g print").ok();
    assert!(printed.stderr.is_empty(), "{printed}");
    assert_eq!(
        lab.print("g").disk("disk01").device.as_deref(),
        Some("/dev/mapper/upper")
    );
    lab.cli("-g g make x 1m").ok();
    lab.cli("recover").ok();
    load.goes_on(50);
    let written = load.stop();
    lab.cli("-g g stop --all").ok();
    lab.cli("start --auto").ok();
    written.verify(lab.device("g", "v"));
    let upper = lab.dm.info("upper").unwrap().dev;
    assert!(
        lab.dm
            .list()
            .iter()
            .any(|i| i.name.starts_with("g-v") && lab.dm.deps(&i.name).contains(&upper)),
        "{}",
        lab.dm.dump()
    );

    lab.cli("-g g stop --all").ok();
    until("the upper device goes", || lab.dm.remove("upper").is_ok());
    udev::settle();
    lab.cli("start --auto").ok();
    assert_eq!(
        lab.print("g").disk("disk01").device,
        Some(lab.disks[0].word())
    );
    written.verify(lab.device("g", "v"));
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

#[test]
fn two_paths_to_one_disk_are_both_named_and_neither_is_used() {
    let lab = lab!(["mirror"], [24, 24]);
    let load = busy_mirror(&lab);
    let (core, size) = (format!("{}-core", lab.disks[0].name), lab.disks[0].size);
    alias(&lab, "path", &core, MIB, size);
    for words in [
        "-g g print",
        "-g g make x 1m",
        "-g g start --all",
        "start --auto",
        "-y group destroy g",
    ] {
        let refusal = lab.refuses(9, words);
        let both = [lab.disks[0].word(), "/dev/mapper/path".to_owned()];
        assert!(
            both.iter().all(|device| refusal.message.contains(device)),
            "{words}: {refusal:?}"
        );
        let hint = format!("{:?}", refusal.hint);
        assert!(
            words == "start --auto"
                || (hint.contains("multipath") && hint.contains("initialise neither")),
            "{words}: {refusal:?}"
        );
    }
    assert_eq!(listed(&lab, 0).0, "duplicate");
    for words in ["recover --check", "-g g recover --check"] {
        lab.cli(words).exits(9).names(&["group 'g' is refused"]);
    }
    assert!(
        lab.cli("-g g recover")
            .ok()
            .stderr
            .contains("group 'g' is refused")
    );
    load.goes_on(30);
    until("the path goes", || lab.dm.remove("path").is_ok());
    udev::settle();
    lab.cli("-g g make x 1m").ok();
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

/// The only word of the disk is on the copy, and what is mounted may be newer: it stays where it is
/// until it is stopped.
#[test]
fn a_copy_of_a_dead_disk_is_not_taken_for_it_while_that_is_in_use() {
    let mut lab = lab!(["mirror", "error"], [24, 24, 24]);
    lab.create_group_of("g", 0..2);
    lab.cli("-g g make v 8m --on disk02").ok();
    let held = block::noise(7, 64 << 10);
    block::write_direct(lab.device("g", "v"), 0, &held).unwrap();
    let copy = lab.disks[1].raw(0, lab.disks[1].size);
    lab.fault(1, Fault::Fail);
    block::write_direct(lab.disks[2].path(), 0, &copy).unwrap();
    udev::settle();

    let before = table(&lab, "g-v");
    for words in ["-g g make w 1m --on disk01", "-g g rename w x", "recover"] {
        let said = lab.cli(words).ok();
        assert!(
            said.stderr.contains(&lab.disks[2].name)
                && said.stderr.contains("is taken for a copy and not used"),
            "{words}: {said}"
        );
        assert!(table(&lab, "g-v") == before, "{words} moves what runs");
    }
    assert!(
        lab.disks[2].raw(0, lab.disks[2].size) == copy,
        "the copy was written to"
    );

    // As the word has it.
    lab.cli("-g g stop v").ok();
    lab.cli("-g g start v").ok();
    assert!(block::read_direct(lab.device("g", "v"), 0, held.len() as u64).unwrap() == held);
    assert_eq!(
        lab.print("g").disk("disk02").device,
        Some(lab.disks[2].word())
    );
    lab.disks[1].unplug(&lab.dm);
    lab.finish();
}

#[test]
fn a_clone_becomes_a_disk_of_its_own_as_the_refusal_says() {
    let lab = lab!(["mirror"], [24, 24, 24]);
    let load = busy_mirror(&lab);
    block::write_direct(lab.disks[2].path(), 0, &lab.disks[0].raw(0, AREA)).unwrap();
    udev::settle();
    let refusal = lab.refuses(9, "-g g print");
    assert!(
        [0, 2]
            .iter()
            .all(|i| refusal.message.contains(&lab.disks[*i].word())),
        "{refusal:?}"
    );
    assert!(
        refusal
            .hint
            .is_some_and(|hint| hint.contains("disk init --force"))
    );
    // The one that is in use cannot be meant.
    lab.cli(&format!("disk init --force {}", lab.disks[0].word()))
        .exits(4);
    lab.cli(&format!("disk init --force {}", lab.disks[2].word()))
        .ok();
    lab.cli(&format!("group add g {}", lab.disks[2].word()))
        .ok();
    assert_eq!(lab.print("g").disks.len(), 3);
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

// ---------------------------------------------------------------- a disk that dies within a commit

/// Runs a command, lets a disk die while the command writes the configuration into this range of
/// it, and waits for its end.
#[track_caller]
fn dies_within(lab: &mut Lab, disk: usize, range: &Range<u64>, words: &str) -> Output {
    lab.fault_in(disk, range.clone(), Fault::PausedWrites);
    let mut command = lab.spawn(words);
    command.until_it_waits_in_the_kernel();
    assert!(
        command.runs(),
        "'{words}' has not written there: {:?}",
        command.so_far()
    );
    lab.fault(disk, Fault::Fail);
    command.wait(LONG)
}

#[test]
fn a_disk_that_dies_within_a_commit_is_left_out_of_it_and_healed_later() {
    let mut lab = lab!(["mirror", "delay", "error"], [24, 24, 24]);
    lab.create_group("g");
    lab.cli("-g g make v 8m --mirrors 2 --on disk01,disk02")
        .ok();
    lab.wait_synced("g", "v");
    let load = busy(&lab, "g");
    let mut names = vec!["v".to_owned()];
    for (disk, range) in [(0, SLOTS), (0, SUPERBLOCKS), (2, SLOTS), (2, SUPERBLOCKS)] {
        let name = format!("w{}", names.len());
        let output = dies_within(
            &mut lab,
            disk,
            &range,
            &format!("-g g make {name} 1m --on disk02"),
        );
        output
            .ok()
            .names(&[&format!("disk0{}", disk + 1), "cannot be written"]);
        names.push(name);
        names.sort();
        load.goes_on(30);
        if disk == 0 {
            until("the plex is given up", || {
                lab.print("g").volume("v").states() == ["ACTIVE", "FAILED"]
            });
        }
        assert_eq!(lab.print("g").names(), names, "what was reported is there");

        lab.heal(disk);
        udev::settle();
        lab.cli("-g g status")
            .ok()
            .says("old copy of the configuration");
        assert_eq!(
            lab.print("g").names(),
            names,
            "the disk that comes back is outvoted"
        );
        lab.cli(&format!("-g g make x{} 512k --on disk02", names.len()))
            .ok();
        names.push(format!("x{}", names.len()));
        names.sort();
        let healed = lab.cli("-g g print").ok();
        assert!(
            healed.stderr.is_empty(),
            "the next write heals it: {healed}"
        );
        if disk == 0 {
            lab.cli("-g g plex attach v-01").ok();
        }
    }
    load.goes_on(30);
    load.stop().verify(lab.device("g", "v"));
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

/// It reads, and what is written to it hangs. Nobody waits for it longer than a disk may take:
/// neither the command that has met it, nor the next ones, nor a repair. What was given up is not
/// read as the configuration before it has come to an end.
#[test]
fn a_disk_that_hangs_within_a_commit_is_left_out_of_it_and_healed_later() {
    let mut lab = lab!(["mirror", "delay", "error"], [24, 24, 24]);
    lab.create_group("g");
    lab.cli("-g g make v 8m --mirrors 2 --on disk01,disk02")
        .ok();
    lab.wait_synced("g", "v");
    let load = busy(&lab, "g");
    for (range, name) in [(SLOTS, "a"), (SUPERBLOCKS, "b")] {
        lab.fault_in(2, range, Fault::PausedWrites);
        let output = lab.cli(&format!("-g g make {name} 1m --on disk02")).ok();
        output.names(&["disk03", "did not answer in time"]);
        // Its label cannot be trusted until then, so it is not read.
        lab.cli("-g g print")
            .ok()
            .names(&["disk03", "did not answer"]);
        lab.cli(&format!("-g g rename {name} {name}{name}"))
            .ok()
            .names(&["did not answer"]);
        load.goes_on(30);
        lab.heal(2);
        udev::settle();
        lab.cli("-g g status")
            .ok()
            .says("old copy of the configuration");
        lab.cli(&format!("-g g make {name}2 512k --on disk02")).ok();
        let healed = lab.cli("-g g print").ok();
        assert!(
            healed.stderr.is_empty(),
            "the next write heals it: {healed}"
        );
    }
    assert_eq!(lab.print("g").names(), ["a2", "aa", "b2", "bb", "v"]);

    lab.fault_in(2, SLOTS, Fault::PausedWrites);
    lab.fault(1, Fault::Fail);
    load.goes_on(50);
    until("it is recorded", || {
        lab.print("g").volume("v").states() == ["ACTIVE", "FAILED"]
    });
    lab.heal(2);
    lab.heal(1);
    lab.cli("-g g plex attach v-02").ok();
    load.stop().verify(lab.device("g", "v"));
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

/// A busy volume is split off while something happens to the disk that it does not lie on, which
/// the next change heals.
#[track_caller]
fn splits_all_the_same(mut lab: Lab, split: impl FnOnce(&mut Lab) -> Output) -> Output {
    lab.create_group("g");
    lab.cli("-g g make v 8m --on disk01").ok();
    lab.cli("-g g snapstart v --on disk02").ok();
    let load = busy(&lab, "g");
    let mut output = None;
    let expected = load.fork_during(|| output = Some(split(&mut lab).ok()));
    load.goes_on(50);
    expected.verify(lab.device("g", "SNAP-v"));
    assert_eq!(lab.print("g").names(), ["SNAP-v", "v"]);
    lab.heal(2);
    udev::settle();
    assert_eq!(lab.print("g").names(), ["SNAP-v", "v"]);
    lab.cli("-g g make w 1m").ok();
    assert!(lab.cli("-g g print").ok().stderr.is_empty());
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
    output.unwrap()
}

#[test]
fn a_disk_that_dies_under_the_commit_of_a_snapshot_holds_it_up_and_no_more() {
    let lab = lab!(["mirror", "delay", "error"], [24, 24, 24]);
    splits_all_the_same(lab, |lab| {
        dies_within(lab, 2, &SUPERBLOCKS, "-g g snapshot v")
    })
    .says("disk03");
}

/// The commit is what I/O is held for. Whoever writes it meanwhile needs no memory that would have
/// to be read from the volume.
#[test]
fn a_disk_that_hangs_under_the_commit_of_a_snapshot_holds_it_up_as_long_as_a_disk_may_take() {
    let lab = lab!(["mirror", "delay", "error"], [24, 24, 24]);
    let hangs = |lab: &mut Lab| {
        lab.fault_in(2, SUPERBLOCKS, Fault::PausedWrites);
        let mut command = lab.spawn("-g g snapshot v");
        command.until_it_waits_in_the_kernel();
        let writers: Vec<i32> = command
            .children()
            .into_iter()
            .filter(|pid| word_of(*pid, "comm") == "breakoff-writer")
            .collect();
        let [writer] = writers[..] else {
            panic!("of {:?} these write: {writers:?}", command.children())
        };
        let locked = word_of(writer, "status")
            .lines()
            .find(|line| line.starts_with("VmLck:"))
            .map(str::to_owned)
            .unwrap();
        assert_ne!(locked.split_whitespace().nth(1), Some("0"), "{locked}");
        assert_eq!(word_of(writer, "oom_score_adj"), "-1000");
        command.wait(LONG)
    };
    splits_all_the_same(lab, hangs).names(&["disk03", "did not answer in time"]);
}

/// A file of a process's directory in `/proc`.
fn word_of(pid: i32, file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/{file}"))
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// New space is written to as well, and a new disk. While that hangs the group is nobody's but the
/// monitor's.
#[test]
fn a_disk_that_hangs_while_new_space_is_written_ends_the_command_and_keeps_no_repair_waiting() {
    let mut lab = lab!(["mirror", "delay", "error"], [24, 24, 24, 24]);
    lab.create_group_of("g", 0..3);
    lab.cli("-g g make v 8m --mirrors 2 --on disk01,disk02")
        .ok();
    lab.wait_synced("g", "v");
    let load = busy(&lab, "g");
    let size = lab.disks[2].size;
    lab.fault_in(2, AREA..size - AREA, Fault::PausedWrites);
    let path = lab.disks[2].word();
    lab.cli("-g g make w 1m --on disk03")
        .exits(7)
        .names(&[&path, "did not answer in time"]);
    // What is late may still be written there: nobody else gets the space before.
    lab.cli("-g g make w 1m --on disk03")
        .exits(8)
        .names(&["disk03", "did not answer"]);
    lab.fault(1, Fault::Fail);
    load.goes_on(50);
    until("it is recorded", || {
        lab.print("g").volume("v").states() == ["ACTIVE", "FAILED"]
    });
    lab.heal(2);
    lab.heal(1);
    lab.cli("-g g make w 1m --on disk03").ok();

    let added = lab.disks[3].word();
    lab.fault_in(3, SUPERBLOCKS, Fault::PausedWrites);
    lab.cli(&format!("group add g {added}"))
        .exits(7)
        .names(&[&added, "did not answer in time"]);
    lab.heal(3);
    lab.cli(&format!("group add g {added}")).ok();
    assert_eq!(lab.print("g").names(), ["v", "w"]);
    lab.cli("-g g plex attach v-02").ok();
    load.stop().verify(lab.device("g", "v"));
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

#[test]
fn the_only_disk_dying_within_a_commit_is_not_called_a_success() {
    let mut lab = lab!(["linear", "delay", "error"], [24]);
    lab.create_group("g");
    lab.cli("-g g make v 1m").ok();
    for (range, name) in [(SLOTS, "a"), (SUPERBLOCKS, "b")] {
        dies_within(&mut lab, 0, &range, &format!("-g g make {name} 1m")).exits(8);
        lab.heal(0);
        udev::settle();
        lab.cli("-g g recover").ok();
        lab.cli("-g g recover --check").ok();
        assert!(!lab.print("g").names().contains(&name), "it was not done");
        lab.cli(&format!("-g g make {name} 1m")).ok();
    }
    assert_eq!(lab.print("g").names(), ["a", "b", "v"]);
    lab.finish();
}

/// Four disks with a volume on each; three of them go on without the fourth, which then is here
/// alone with three blank ones.
#[test]
fn an_old_minority_changes_nothing_and_blank_disks_are_no_help() {
    let lab = lab!([], [24; 7]);
    lab.create_group_of("g", 0..4);
    (1..=4).for_each(|n| drop(lab.cli(&format!("-g g make v{n} 4m --on disk0{n}")).ok()));
    lab.cli("-g g stop --all").ok();
    lab.disks[3].unplug(&lab.dm);
    lab.cli("-g g make new 4m").ok();
    lab.cli("-g g stop --all").ok();
    (0..3).for_each(|i| lab.disks[i].unplug(&lab.dm));
    lab.disks[3].plug(&lab.dm);
    let before = areas_of(&lab, 3..7);
    let blank: Vec<String> = (4..7).map(|i| lab.disks[i].word()).collect();
    let add = format!("group add g {}", blank.join(" "));
    let replace = format!("group replace-disk g disk01 {}", blank[0]);
    for words in [
        "-g g start --all",
        "-g g make x 1m",
        "-g g rename v4 w",
        "group remove-disk g disk01",
        "group deport g",
        &add,
        &replace,
    ] {
        let refusal = lab.refuses(9, words);
        assert!(
            refusal.message.contains("'disk01'") && refusal.message.contains("generation"),
            "{words}: {refusal:?}"
        );
    }
    assert!(
        areas_of(&lab, 3..7) == before,
        "nothing is written, not to the blank disks either"
    );
    (0..3).for_each(|i| lab.disks[i].plug(&lab.dm));
    lab.cli("-g g start --all").ok();
    assert_eq!(lab.print("g").volumes.len(), 5);
    lab.cli("-g g stop --all").ok();

    // A minority that is missing costs a warning, at `import` as at `start`.
    lab.cli("group deport g").ok();
    lab.disks[0].unplug(&lab.dm);
    lab.cli("group import g").ok().names(&["disk01", "missing"]);
    lab.cli("-g g start v2").ok();
    lab.disks[0].plug(&lab.dm);
    lab.finish();
}

fn areas_of(lab: &Lab, disks: Range<usize>) -> Vec<Vec<u8>> {
    disks.map(|i| lab.disks[i].raw(0, AREA)).collect()
}

// ----------------------------------------------------------- a disk that is missing stops no other

/// A disk that can be pulled out while it is in use: the kernel does not know it any more, and
/// whoever has it open keeps what is left.
struct Pluggable {
    directory: PathBuf,
    path: String,
}

impl Pluggable {
    /// A null_blk disk of so many MiB that holds what is written to it. `None` where the kernel has
    /// none.
    fn new(name: &str, mib: u64) -> Option<Pluggable> {
        let configfs = Path::new("/sys/kernel/config");
        tool("modprobe", &["null_blk", "nr_devices=0"]);
        if !configfs.join("nullb").is_dir() {
            tool("mount", &["-t", "configfs", "none", "/sys/kernel/config"]);
        }
        let directory = configfs.join("nullb").join(name);
        std::fs::create_dir(&directory).ok()?;
        for (file, value) in [
            ("size", mib.to_string()),
            ("memory_backed", "1".into()),
            ("power", "1".into()),
        ] {
            std::fs::write(directory.join(file), value).unwrap();
        }
        // Newer kernels call it as we do.
        let index = std::fs::read_to_string(directory.join("index")).unwrap();
        let paths = [
            format!("/dev/{name}"),
            format!("/dev/nullb{}", index.trim()),
        ];
        let found = || paths.iter().find(|path| Path::new(path).exists());
        until("the disk appears", || found().is_some());
        udev::settle();
        found().cloned().map(|path| Pluggable { directory, path })
    }

    fn pull_out(&self) {
        std::fs::write(self.directory.join("power"), "0").unwrap();
        until("the disk goes", || !Path::new(&self.path).exists());
    }
}

impl Drop for Pluggable {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.directory);
    }
}

/// Commands that have nothing to do with the disk that is lost. There are a mirror `m` with a leg,
/// and `n`.
fn others_go_on(lab: &Lab) {
    for words in [
        "make x 2m",
        "grow x 3m",
        "rename x y",
        "snapstart y --on disk04",
        "snapabort y",
        "stop y",
        "start y",
        "remove y",
        "recover",
    ] {
        lab.cli(&format!("-g g {words}")).ok();
    }
    lab.cli("-g g snapabort m").ok();
    lab.cli("-g g snapstart m").ok();
    lab.cli("-g g print").ok().names(&["missing"]);
    lab.cli("status")
        .ok()
        .names(&["'disk02' of group 'g' is missing"]);
}

fn table(lab: &Lab, name: &str) -> Vec<Line> {
    lab.dm
        .table(name)
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// All of a disk fails, its label, too; what is mapped there is known all the same.
#[test]
fn a_snapshot_on_a_dead_disk_stops_nobody_and_can_be_given_up() {
    let mut lab = lab!(["mirror", "era", "error"], [64, 64, 64, 64, 64]);
    lab.fill_with_noise();
    lab.create_group("g");
    lab.cli("-g g make v 8m --on disk01").ok();
    lab.cli("-g g make m 4m --mirrors 2 --on disk03,disk04")
        .ok();
    lab.wait_synced("g", "m");
    lab.cli("-g g snapstart m --on disk05").ok();
    lab.cli("-g g snapstart v --on disk02").ok();
    lab.cli("-g g snapshot v --name s").ok();
    let contents = block::read_direct(lab.device("g", "s"), 0, 8 * MIB).unwrap();
    let number = dm::number(block::number(lab.disks[1].path()).unwrap());

    lab.fault(1, Fault::Fail);
    others_go_on(&lab);
    // The tracking ends, and the volume lies on the disk, which may come back.
    lab.cli("-g g snapclear s").ok();
    assert_eq!(lab.dm.table("g-s").unwrap()[0].target, "linear");
    assert_eq!(
        table(&lab, "g-s")[0].words()[0],
        number,
        "it is mapped to the disk that it was on"
    );
    lab.cli("-g g rename s t").ok();
    lab.cli("-g g snapstart v").ok();
    lab.heal(1);
    lab.cli("recover").ok();
    let now = block::read_direct(lab.device("g", "t"), 0, 8 * MIB).unwrap();
    plexes::assert_same("t", &now, "s before its disk died", &contents);

    lab.fault(1, Fault::Fail);
    let other = lab.cli("group remove-disk g disk02").exits(4);
    other.names(&["missing", "'g/t'", "breakoff -g g remove t"]);
    lab.cli("-g g stop t").ok();
    assert!(!lab.dm.exists("g-t"));
    lab.cli("-g g remove t").ok();
    lab.cli("group remove-disk g disk02").ok();
    assert_eq!(lab.print("g").disks.len(), 4);
    assert!(
        lab.cli("status")
            .ok()
            .stdout
            .contains("nothing needs attention")
    );
    lab.finish();
}

/// The kernel does not know the disk any more, so that nothing can be mapped there anew.
#[test]
fn what_lies_on_a_disk_that_is_pulled_out_can_be_given_up_and_the_rest_goes_on() {
    for (lost, good) in [("s", "v"), ("v", "s")] {
        let lab = lab!(["mirror", "era", "error"], [64, 64, 64, 64]);
        let Some(pulled) = Pluggable::new("botest", 64) else {
            panic!("this kernel has no null_blk")
        };
        let disks: Vec<String> = (0..4).map(|i| lab.disks[i].word()).collect();
        let words = [&disks[0], &pulled.path, &disks[1], &disks[2], &disks[3]].map(String::as_str);
        let media: Vec<String> = words
            .iter()
            .zip(1..)
            .map(|(word, n)| format!("disk0{n}={word}"))
            .collect();
        lab.cli(&format!("group create g {}", media.join(" "))).ok();
        let (original, copy) = if lost == "s" {
            ("disk01", "disk02")
        } else {
            ("disk02", "disk01")
        };
        lab.cli(&format!("-g g make v 8m --on {original}")).ok();
        lab.cli("-g g make m 4m --mirrors 2 --on disk03,disk04")
            .ok();
        lab.wait_synced("g", "m");
        lab.cli("-g g snapstart m --on disk05").ok();
        lab.cli(&format!("-g g snapstart v --on {copy}")).ok();
        lab.cli("-g g snapshot v --name s").ok();
        let contents = block::read_direct(lab.device("g", good), 0, 8 * MIB).unwrap();

        pulled.pull_out();
        others_go_on(&lab);
        lab.cli(&format!("-g g snapstart {lost} --on disk03"))
            .exits(8)
            .names(&["disk02"]);
        lab.cli("-g g snapclear s").ok();
        assert_eq!(
            table(&lab, &format!("g-{lost}"))[0].target,
            "error",
            "nothing else can be there"
        );
        lab.cli(&format!("-g g snapstart {good} --on disk03")).ok();
        lab.cli(&format!("-g g rename {lost} t")).ok();
        others_go_on(&lab);
        let now = block::read_direct(lab.device("g", good), 0, 8 * MIB).unwrap();
        plexes::assert_same(
            good,
            &now,
            "the same before the disk was pulled out",
            &contents,
        );
        lab.cli("-g g stop t").ok();
        assert!(!lab.dm.exists("g-t"));
        lab.cli("-g g remove t").ok();
        lab.cli("group remove-disk g disk02").ok();
        lab.finish();
    }
}

// ---------------------------------------------------------------------- labels that cannot be read

/// The labels of all disks fail while the volumes run: what the kernel has is known, and nobody is
/// told that there is nothing.
#[test]
fn a_group_that_runs_is_not_gone_when_no_label_can_be_read() {
    let mut lab = lab!(["mirror", "era", "error", "delay"], [48, 48, 48]);
    lab.fill_with_noise();
    lab.create_group("g");
    lab.cli("-g g make v 8m --on disk01").ok();
    lab.cli("-g g snapstart v --on disk02").ok();
    lab.cli("-g g snapshot v --name s").ok();
    let load = Writer::start_filled(lab.device("g", "v"), 0, 256, Style::default());
    // A copy that has begun, and ends when nothing can be read any more.
    let leg = lab.print("g").volume("s").plexes[0].subdisks[0].clone();
    let at = AREA + leg.disk_offset;
    // What waits in one region is let go when the labels begin to fail; the next ones wait.
    lab.fault_in(1, at + 2 * MIB..at + 8 * MIB, Fault::Paused);
    lab.cli("-g g fast-resync off v").ok();
    let waiting = lab.spawn("-g g snapback s");
    until("it copies", || lab.print("g").volume("v").plexes.len() == 2);
    (0..3).for_each(|disk| lab.fault_in(disk, 0..AREA, Fault::Fail));

    let names: Vec<String> = lab
        .disks
        .iter()
        .map(super::support::disk::Disk::word)
        .collect();
    for words in [
        "status",
        "recover",
        "recover --check",
        "print",
        "snapprint",
        "group list",
        "disk list",
    ] {
        let output =
            lab.cli(words)
                .exits(8)
                .names(&["group 'g'", "/dev/mapper/g-v", &names[0], &names[1]]);
        assert!(
            !output.stdout.contains("nothing needs")
                && !output.stdout.contains("no groups")
                && !output.stdout.contains("no disks"),
            "{words}"
        );
        let refusal = lab.refuses(8, words);
        assert!(refusal.message.contains("'g'"), "{words}: {refusal:?}");
    }
    for words in [
        "-g g make x 1m",
        "make x 1m",
        "-g g stop v",
        "snapstart v",
        "-g g snapwait v",
        "group show g",
        "group remove-disk g disk03",
    ] {
        lab.cli(words)
            .exits(8)
            .names(&["group 'g'", "/dev/mapper/g-v"]);
    }
    lab.cli("-g other make x 1m").exits(3);
    lab.fault_in(
        1,
        at + 2 * MIB..at + 8 * MIB,
        Fault::Slow { read: 0, write: 0 },
    );
    let came = waiting.wait(LONG).exits(8);
    came.names(&["continues in the kernel", "'g'"]);
    load.goes_on(20);

    (0..3).for_each(|disk| lab.heal(disk));
    lab.cli("recover").ok();
    lab.cli("-g g snapwait v").ok();
    assert!(
        lab.cli("status")
            .ok()
            .stdout
            .contains("nothing needs attention")
    );
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

// ------------------------------------------------------------------- a rebuild that is interrupted

#[test]
fn a_label_that_is_overwritten_while_its_disk_runs_is_written_again() {
    let lab = lab!(["mirror", "era"], [24, 24, 24, 24]);
    lab.fill_with_noise();
    lab.create_group_of("g", 0..3);
    lab.cli("-g g make v 8m --on disk01").ok();
    lab.cli("-g g snapstart v --on disk02").ok();
    lab.cli("-g g snapshot v --name s").ok();
    let load = busy(&lab, "g");
    // A copy that has what the disk has lost: nothing moves there, and neither is written to.
    let private = lab.disks[1].raw(0, AREA);
    lab.disks[3].raw_write(0, &private);
    lab.disks[1].raw_write(0, &vec![0; AREA as usize]);
    udev::settle();
    let runs = table(&lab, "g-s_data--0");
    lab.cli("-g g recover")
        .ok()
        .says(&lab.disks[3].word())
        .says("is taken for a copy");
    lab.cli("-g g make x 1m --on disk01").ok();
    assert_eq!(table(&lab, "g-s_data--0"), runs);
    assert!(
        lab.disks[3].raw(0, AREA) == private
            && lab.disks[1].raw(0, AREA).iter().all(|byte| *byte == 0)
    );
    lab.disks[3].raw_write(0, &vec![0; AREA as usize]);
    // The whole private area, and somebody else's partition table in it.
    let word = lab.disks[1].word();
    lab.disks[1].raw_write(0, &block::partition_table(&[(2048, 4096)]));
    udev::settle();
    lab.cli("-g g recover")
        .exits(4)
        .names(&["g/disk02", "dos partition table", "wipefs"]);
    tool("wipefs", &["--all", "--force", &word]).ok();
    udev::settle();
    let told = lab.cli("-g g status").ok();
    assert!(
        told.stdout.contains("lost its label") && told.stdout.contains(&word),
        "{told}"
    );
    lab.cli("-g g recover --check")
        .exits(5)
        .says("lost its label");
    let done = lab.cli("-g g recover").ok();
    assert!(done.stdout.contains("label written"), "{done}");
    let print = lab.cli("-g g print").ok();
    assert!(print.stderr.is_empty(), "{print}");
    lab.cli("-g g recover --check").ok();
    assert_eq!(listed(&lab, 1).0, "online");
    // It goes on as if nothing had been, also after a restart, and alone.
    lab.cli("-y -g g snapback s").ok();
    load.goes_on(20);
    load.stop().verify(lab.device("g", "v"));
    plexes::assert_equal(&lab, "g", "v");
    lab.cli("-g g stop --all").ok();
    lab.cli("-g g start --all").ok();
    assert_eq!(lab.print("g").volume("v").states(), ["ACTIVE", "SNAPDONE"]);
    lab.finish();
}

/// The power goes while a data plex is being filled: at the next start the copy goes on by itself,
/// and nothing is left behind.
#[test]
fn a_rebuild_goes_on_by_itself_after_a_power_cut() {
    let mut lab = lab!(["mirror", "delay", "error"], [24, 24, 24, 24]);
    lab.fill_with_noise();
    let mut power = Power::on();
    lab.create_group_of("g", 0..3);
    lab.cli("-g g make v 8m --mirrors 2 --on disk01,disk02")
        .ok();
    lab.wait_synced("g", "v");
    lab.cli("-g g make w 4m --on disk01").ok();
    lab.cli("-g g plex detach v-02").ok();
    let mut cut = |lab: &mut Lab, words: &str, paused: usize, what: &str| {
        let load = Writer::start_filled(lab.device("g", "v"), 0, 256, Style::default());
        lab.fault_in(paused, AREA + 5 * MIB..AREA + 6 * MIB, Fault::Paused);
        let command = lab.spawn(words);
        until("it copies", || {
            let states = lab.print("g").volume("v").states().join(" ");
            states.contains("REVIVING") || states.contains("ATTACHING")
        });
        let mut writers = [load];
        power.cut(lab, command, &mut writers);
        lab.cli("start --auto").ok().names(&["begins again"]);
        writers[0].fork().verify(lab.device("g", "v"));
        until("the plex is filled", || {
            lab.print("g").volume("v").states() == ["ACTIVE", "ACTIVE"]
        });
        lab.cli("recover").ok();
        plexes::assert_equal(lab, "g", "v");
        assert!(
            lab.cli("status")
                .ok()
                .stdout
                .contains("nothing needs attention"),
            "{what}"
        );
    };
    cut(&mut lab, "-g g plex attach v-02", 1, "plex attach");
    let word = lab.disks[3].word();
    cut(
        &mut lab,
        &format!("group replace-disk g disk02 {word}"),
        3,
        "replace-disk",
    );
    lab.cli("-g g plex remove v-02").ok();
    let free = lab.print("g").free();
    cut(&mut lab, "-g g mirror v --on disk03", 2, "mirror");
    lab.cli("-g g plex remove v-02").ok();
    assert_eq!(
        lab.print("g").free(),
        free,
        "the log has gone with the mirror"
    );
    drop(power);
    lab.finish();
}

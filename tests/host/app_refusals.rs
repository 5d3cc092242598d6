//! What whole commands refuse, on the machine in memory: what can only be seen with devices, and
//! needs no kernel.

use crate::fake::disk::FakeMedia;
use crate::fake::{Fake, Words};
use breakoff::app::Outcome;
use breakoff::cli::native::hints::Native;
use breakoff::cli::vx::hints::Vx;
use breakoff::error::{Error, Kind};
use breakoff::exec::labels;
use breakoff::model::{DiskId, Sectors};
use breakoff::sys::filesystem::Filesystem;

#[track_caller]
fn refused(fake: &Fake, words: &str) -> Error {
    match fake.run(&Words::parse(words)) {
        Some(Err(error)) => error,
        other => panic!("'{words}' was not refused: {:?}", other.map(|r| r.is_ok())),
    }
}

/// It would be two disks of the configuration, of which the label on the device names one: the
/// other is missing from the start.
#[test]
fn a_device_that_is_named_twice_is_no_two_disks() {
    let fake = Fake::new(&[24, 24, 24]);
    let twice = |words: &str| {
        let error = refused(&fake, words);
        assert_eq!(error.kind(), Kind::Usage, "{words}: {error}");
        assert!(
            error.message().contains("'/dev/fake1' is named twice"),
            "{words}: {error}"
        );
    };
    for verb in [
        "group create g",
        "group create --force g",
        "--dry-run group create g",
        "disk init",
        "--dry-run disk init",
    ] {
        twice(&format!("{verb} /dev/fake1 /dev/fake2 /dev/fake1"));
    }
    twice("group create g a=/dev/fake1 b=/dev/fake1");
    assert!(fake.group().is_none(), "nothing is made");
    fake.ok("group create g /dev/fake3");
    twice("group add g /dev/fake1 /dev/fake1");
    assert_eq!(fake.group().unwrap().0.disks.len(), 1);
}

/// The path of a disk may lead to another device by the time its label is erased.
#[test]
fn only_the_label_of_the_disk_that_is_meant_is_erased() {
    let fake = Fake::new(&[24, 24]);
    fake.ok("group create g /dev/fake1");
    let id = fake.group().unwrap().0.disks[0].id;
    let media = |at| FakeMedia(fake.clone(), at);
    let changes = || fake.0.borrow().changes;
    let before = changes();
    let other = labels::erase(&media(0), DiskId::from_bytes([9; 16]));
    assert_eq!(other.unwrap_err().kind(), Kind::Device);
    labels::erase(&media(1), id).expect("there is no label");
    assert_eq!(changes(), before, "nothing is written");
    labels::erase(&media(0), id).expect("it is the disk");
    assert!(fake.group().is_none());
}

#[test]
fn a_name_in_several_groups_or_in_none_says_which() {
    let fake = Fake::new(&[24, 24]);
    fake.ok("group create h /dev/fake1");
    fake.ok("group create g /dev/fake2");
    for words in [
        "-g g make v 1m",
        "-g h make v 1m",
        "-g g make a 1m",
        "-g h make b 1m",
    ] {
        fake.ok(words);
    }
    let says = |words: &str, kind: Kind, text: &str| {
        let error = refused(&fake, words);
        assert_eq!(error.kind(), kind, "{words}: {error}");
        assert!(error.message().contains(text), "{words}: {error}");
    };
    says("grow v 2m", Kind::Usage, "several groups have a 'v': g, h");
    says("make w 1m", Kind::Usage, "there are several groups: g, h");
    says("stop nosuch", Kind::NotFound, "no group holds 'nosuch'");
    // Each is there, and neither is missing.
    says("stop a b", Kind::Usage, "no group holds all of 'a', 'b'");
    says("stop a nosuch", Kind::NotFound, "no group holds 'nosuch'");
    fake.ok("grow a 2m");
}

#[test]
fn what_a_whole_command_refuses_is_advised_on_in_the_words_that_were_typed() {
    let fake = Fake::new(&[24, 24]);
    let advises = |words: &str, native: &str, vx: &str| {
        let error = refused(&fake, words);
        let told = error.hint_text(&Native);
        assert_eq!(told.as_deref(), Some(native), "{words}: {error}");
        let told = error.hint_text(&Vx);
        assert_eq!(told.as_deref(), Some(vx), "{words}: {error}");
    };
    advises(
        "make v 1m",
        "make one with 'breakoff group create NAME DEVICE…'",
        "make one with 'vxdg init NAME DEVICE…'",
    );
    fake.ok("group create g /dev/fake1");
    advises(
        "group create g /dev/fake2",
        "choose another name; 'breakoff group list' shows them all",
        "choose another name; 'vxdisk -o alldgs list' shows them all",
    );
    advises(
        "group show nosuch",
        "'breakoff group list' shows the groups on this machine",
        "'vxdisk -o alldgs list' shows the groups on this machine",
    );
    advises(
        "stop nosuch",
        "'breakoff print' shows what there is",
        "'vxprint' shows what there is",
    );
    advises(
        "disk resize nosuch",
        "'breakoff disk list' shows them all",
        "'vxdisk -o alldgs list' shows them all",
    );
    fake.ok("make v 1m");
    advises(
        "group deport g",
        "'breakoff -g g stop --all'",
        "'vxvol -g g stopall'",
    );
    advises(
        "snapwait v",
        "begin with 'breakoff -g g snapstart v'",
        "begin with 'vxassist -g g snapstart v'",
    );
    advises(
        "snapprint --changed-ranges v",
        "'breakoff -g g snapprint' shows which are",
        "'vxassist -g g snapprint' shows which are",
    );
    fake.ok("-g g stop --all");
    fake.ok("group deport g");
    advises(
        "-g g make w 1m",
        "'breakoff group import g'",
        "'vxdg import g'",
    );
}

/// A machine with a volume, on which lies this.
fn with_filesystem(kind: &str, mounted: bool) -> Fake {
    let fake = Fake::new(&[64]);
    fake.ok("group create g /dev/fake1");
    fake.ok("make v 8m");
    fake.0.borrow_mut().filesystem = Some(Filesystem {
        kind: kind.to_owned(),
        mounted: mounted.then(|| "/srv/data".into()),
        is_elsewhere: kind == "btrfs",
    });
    fake
}

fn size(fake: &Fake) -> Sectors {
    fake.group().unwrap().0.volumes[0].size
}

#[test]
fn a_filesystem_grows_with_its_volume() {
    for (kind, program) in [
        ("ext4", "resize2fs /dev/breakoff/g/v"),
        ("xfs", "xfs_growfs /srv/data"),
    ] {
        let fake = with_filesystem(kind, true);
        let Outcome::Done(report) = fake.ok("grow v +8m --resizefs") else {
            panic!("{kind}");
        };
        assert!(
            report
                .notes
                .iter()
                .all(|note| !note.contains("is not grown"))
        );
        assert_eq!(size(&fake), Sectors::mib(16));
        assert_eq!(fake.0.borrow().programs, [program]);
        // The volume is that large already: only the filesystem is left to be done.
        fake.ok("grow v 16m --resizefs");
        assert_eq!(fake.0.borrow().programs, [program, program]);
        fake.ok("--dry-run grow v +8m --resizefs");
        fake.ok("grow v +8m");
        assert_eq!(fake.0.borrow().programs.len(), 2);
    }
}

#[test]
fn a_filesystem_that_cannot_grow_keeps_its_volume_from_growing() {
    for (kind, mounted, refusal, said) in [
        ("ext4", false, Kind::NotReady, "is not mounted here"),
        ("xfs", false, Kind::NotReady, "is not mounted here"),
        (
            "vfat",
            true,
            Kind::Unsupported,
            "(vfat) cannot be made larger",
        ),
        (
            "crypto_LUKS",
            false,
            Kind::Unsupported,
            "(crypto_LUKS) cannot",
        ),
        ("btrfs", true, Kind::Unsupported, "other devices, too"),
    ] {
        let fake = with_filesystem(kind, mounted);
        for command in ["grow v +8m --resizefs", "--dry-run grow v +8m --resizefs"] {
            let error = refused(&fake, command);
            assert_eq!(error.kind(), refusal, "{kind}: {error}");
            assert!(error.message().contains(said), "{kind}: {error}");
        }
        assert_eq!(size(&fake), Sectors::mib(8));
    }
    let fake = with_filesystem("btrfs", true);
    let one = |lies: &mut Filesystem| lies.is_elsewhere = false;
    fake.0.borrow_mut().filesystem.iter_mut().for_each(one);
    let missing = refused(&fake, "grow v +8m --resizefs");
    assert!(
        missing.message().contains("'btrfs' is missing"),
        "{missing}"
    );
    fake.0.borrow_mut().filesystem = None;
    let none = refused(&fake, "grow v +8m --resizefs");
    assert!(none.message().contains("there is no filesystem"), "{none}");
    fake.ok("stop v");
    let down = refused(&fake, "grow v +8m --resizefs");
    assert!(down.message().contains("is not started"), "{down}");
    assert_eq!(size(&fake), Sectors::mib(8));
    assert!(fake.0.borrow().programs.is_empty());
}

#[test]
fn a_program_that_fails_leaves_the_volume_larger_and_is_named() {
    let fake = with_filesystem("ext4", true);
    fake.0.borrow_mut().programs_fail = true;
    let Outcome::Done(report) = fake.ok("grow v +8m --resizefs") else {
        panic!("it has grown");
    };
    let error = report.failure().expect("and says that a part failed");
    assert_eq!(
        error.message(),
        "'g/v' has grown, but not its filesystem (ext4): resize2fs: no"
    );
    let hint = error.hint_text(&Native).unwrap_or_default();
    assert!(hint.contains("'resize2fs /dev/breakoff/g/v'"), "{hint}");
    assert_eq!(report.changes.len(), 1);
    assert_eq!(size(&fake), Sectors::mib(16));
}

//! `disk erase`: which disks it takes, which it refuses, and what an interrupted one leaves.

use crate::fake::disk::FakeMedia;
use crate::fake::{Fake, Trap, Words};
use crate::pure::golden::assert_golden;
use breakoff::app::Outcome;
use breakoff::cli::native::hints::Native;
use breakoff::error::Kind;
use breakoff::exec::labels;
use breakoff::meta;
use breakoff::model::Sectors;
use breakoff::plan::found::{PresentDisk, Said};
use breakoff::plan::step::LostLabel;
use breakoff::report::text;
use breakoff::sys::Media;

/// Refused for this reason, whatever `--force` says.
#[track_caller]
fn always_refused(fake: &Fake, device: &str, kind: Kind, says: &str, hint: Option<&str>) {
    for words in ["disk erase", "disk erase --force", "--dry-run disk erase"] {
        let error = fake.refused(&format!("{words} {device}"));
        assert_eq!(error.kind(), kind, "{words}: {error}");
        assert!(error.message().contains(says), "{words}: {error}");
        let told = error.hint_text(&Native);
        assert_eq!(told.as_deref(), hint, "{words}: {error}");
    }
}

/// Refused without `--force`, and done with it.
#[track_caller]
fn forced(fake: &Fake, device: &str, says: &str) {
    let error = fake.refused(&format!("disk erase {device}"));
    assert_eq!(error.kind(), Kind::InUse, "{error}");
    assert!(error.message().contains(says), "{error}");
    let hint = "if nothing on it is needed any more, repeat with --force";
    assert_eq!(error.hint_text(&Native).as_deref(), Some(hint));
    fake.ok(&format!("disk erase --force {device}"));
}

/// Nothing of breakoff's is on the disk.
#[track_caller]
fn is_empty(fake: &Fake, disk: usize) {
    let media = FakeMedia(fake.clone(), disk);
    assert!(!meta::is_ours(&media) && matches!(meta::read_disk(&media), Ok(None)));
    let device = format!("/dev/fake{}", disk + 1);
    let says = format!("'{device}' is not a disk of breakoff");
    always_refused(fake, &device, Kind::NotReady, &says, None);
}

#[test]
fn a_free_disk_is_erased_and_then_is_none() {
    let fake = Fake::new(&[24, 24, 24]);
    is_empty(&fake, 0);
    fake.ok("disk init /dev/fake1 /dev/fake2");
    let twice = fake.refused("disk erase /dev/fake1 /dev/fake1");
    assert_eq!(twice.kind(), Kind::Usage, "{twice}");
    // All of them, or none.
    let one_is_none = fake.refused("disk erase /dev/fake1 /dev/fake3");
    assert_eq!(one_is_none.kind(), Kind::NotReady, "{one_is_none}");
    assert_eq!(one_is_none.object(), Some("/dev/fake3"));
    let erased = fake.ok("disk erase /dev/fake1 /dev/fake2");
    let shown = text::outcome(&erased, false);
    assert_eq!(shown, "/dev/fake1 label erased\n/dev/fake2 label erased\n");
    is_empty(&fake, 0);
    is_empty(&fake, 1);
    match fake.ok("disk list") {
        Outcome::Disks(lines) => assert_eq!(lines, []),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_disk_of_a_group_is_refused_whoever_has_the_group() {
    let fake = Fake::new(&[24, 24]);
    fake.ok("group create g /dev/fake1 /dev/fake2");
    let out =
        "'breakoff group remove-disk' takes one disk out, 'breakoff group destroy g' all of them";
    always_refused(
        &fake,
        "/dev/fake1",
        Kind::InUse,
        "'/dev/fake1' is disk 'disk01' of group 'g', which this machine has imported",
        Some(out),
    );
    fake.0.borrow_mut().host += 1;
    always_refused(
        &fake,
        "/dev/fake2",
        Kind::Unsafe,
        "which another machine has imported",
        Some(&format!(
            "on that machine, or after 'breakoff group import g --force' if it is gone for good: {out}"
        )),
    );
    fake.0.borrow_mut().host -= 1;
    fake.ok("group deport g");
    always_refused(
        &fake,
        "/dev/fake1",
        Kind::InUse,
        "which is deported",
        Some(&format!("'breakoff group import g' first; {out}")),
    );
}

#[test]
fn a_disk_that_its_group_has_given_up_is_erased() {
    let fake = Fake::new(&[24, 24, 24]);
    fake.ok("group create g /dev/fake1 /dev/fake2 /dev/fake3");
    fake.0.borrow_mut().disks[1].unplugged = true;
    fake.ok("group remove-disk g disk02");
    fake.0.borrow_mut().disks[1].unplugged = false;
    fake.ok("disk erase /dev/fake2");
    is_empty(&fake, 1);
    // What a destroyed group has left on a disk that was away.
    fake.0.borrow_mut().disks[2].unplugged = true;
    fake.ok("group destroy g");
    fake.0.borrow_mut().disks[2].unplugged = false;
    let error = fake.refused("disk erase /dev/fake3");
    assert_eq!(error.kind(), Kind::InUse, "nobody knows of it: {error}");
}

/// A group that cannot be used although its configuration can be read may need the disk.
#[test]
fn a_disk_of_a_refused_group_is_refused() {
    let fake = Fake::new(&[24, 24]);
    fake.ok("group create g /dev/fake1 /dev/fake2");
    let copy = fake.0.borrow().disks[0].copied(2);
    fake.0.borrow_mut().disks.push(copy);
    for words in ["disk erase", "disk erase --force"] {
        let error = fake.refused(&format!("{words} /dev/fake3"));
        assert_eq!(error.kind(), Kind::Unsafe, "{error}");
        assert!(
            error
                .message()
                .contains("'/dev/fake3' belongs to disk group 'g'"),
            "{error}"
        );
    }
}

#[test]
fn what_cannot_be_trusted_is_erased_only_when_forced() {
    let spoil = |fake: &Fake, offset: u64, length: usize| {
        let media = FakeMedia(fake.clone(), 0);
        let written = media.write_durably(offset, &vec![0xa5; length]);
        written.done().unwrap();
    };
    // Both superblocks are good, and neither configuration is.
    let fake = Fake::new(&[24]);
    fake.ok("group create g /dev/fake1");
    spoil(&fake, 16 << 10, 2 << 20);
    forced(&fake, "/dev/fake1", "of which no configuration can be read");
    is_empty(&fake, 0);
    // Neither superblock is.
    let fake = Fake::new(&[24]);
    fake.ok("disk init /dev/fake1");
    for superblock in [4096, 8192] {
        spoil(&fake, superblock + 512, 512);
    }
    forced(&fake, "/dev/fake1", "has a damaged breakoff label");
    is_empty(&fake, 0);
}

/// Wherever it is killed or the power is cut, the same words finish it.
#[test]
fn an_interrupted_erasure_is_repeated() {
    let ready = Fake::new(&[24, 24]);
    ready.ok("disk init /dev/fake1 /dev/fake2");
    let erase = Words::parse("disk erase --force /dev/fake1");
    let whole = ready.copy();
    whole.set_trap(Trap::None);
    whole.run(&erase).unwrap().unwrap();
    let changes = whole.0.borrow().changes;
    assert!(changes > 0);
    for at in 1..=changes {
        for torn in 0..4 {
            let fake = ready.copy();
            fake.set_trap(Trap::Kill(at));
            assert!(fake.run(&erase).is_none(), "killed before change {at}");
            fake.set_trap(Trap::None);
            let mut sectors = 0;
            fake.power_cut(&mut |sector| {
                sectors += 1;
                if sectors % 4 > torn {
                    0
                } else {
                    sector.versions
                }
            });
            match fake.run(&erase).unwrap() {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), Kind::NotReady, "{at} {torn}: {error}"),
            }
            is_empty(&fake, 0);
        }
    }
}

#[test]
fn what_would_be_erased_is_shown() {
    let fake = Fake::new(&[24]);
    fake.ok("disk init /dev/fake1");
    let label = meta::read_disk(&FakeMedia(fake.clone(), 0))
        .unwrap()
        .unwrap();
    let shown = text::outcome(&fake.ok("--dry-run disk erase /dev/fake1"), false);
    let shown = shown.replace(&label.disk().to_string(), "UUID");
    assert_golden("tests/golden/plans/disk-erase", &shown);
}

#[test]
fn a_disk_that_another_machine_has_taken_meanwhile_keeps_its_label() {
    let fake = Fake::new(&[24]);
    fake.ok("disk init /dev/fake1");
    let label = || {
        meta::read_disk(&FakeMedia(fake.clone(), 0))
            .unwrap()
            .unwrap()
    };
    let free = label();
    let planned = LostLabel {
        device: "/dev/fake1".into(),
        found: PresentDisk {
            path: "/dev/fake1".into(),
            dev: fake.0.borrow().disks[0].dev,
            size: Sectors::mib(24),
            logical_block: 512,
        },
        said: Some(Said {
            disk: free.disk(),
            group: free.group(),
        }),
    };
    // It keeps its identity in the group.
    fake.ok("group create g /dev/fake1");
    assert_eq!(label().disk(), free.disk());
    let done = labels::erase_all(&fake, std::slice::from_ref(&planned));
    let error = done[0].as_ref().unwrap_err();
    assert!(error.message().contains("has changed just now"), "{error}");
    assert!(label().group().is_some());
    // The same label is erased as long as it says the same.
    fake.ok("group destroy g");
    fake.ok("disk init /dev/fake1");
    let again = LostLabel {
        said: Some(Said {
            disk: label().disk(),
            group: None,
        }),
        ..planned
    };
    assert!(labels::erase_all(&fake, &[again])[0].is_ok());
    is_empty(&fake, 0);
}

//! What whole commands refuse, on the machine in memory: what can only be seen with devices, and
//! needs no kernel.

use crate::fake::{Fake, Words};
use breakoff::error::{Error, Kind};

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

//! Groups that are split and joined, on the real kernel, beside a writer.

use crate::support::child::{KILLED, killed_at};
use crate::support::lab::{Lab, until};
use crate::support::sample::steps;
use crate::support::tracked::scribble;
use crate::support::writer::{Style, Writer};
use crate::support::{MIB, fs, leaks, plexes};
use nix::mount::MsFlags;

const STYLE: Style = Style {
    dsync: false,
    pause: std::time::Duration::from_millis(2),
};

/// A volume and a snapshot of it, whose maps have a copy on each other's disk, and a writer on the
/// volume.
fn parted(lab: &Lab) -> Writer {
    lab.create_group("g");
    lab.cli("-g g make v 16m --on disk01").ok();
    lab.cli("-g g snapstart v --on disk02").ok();
    let load = Writer::start(lab.device("g", "v"), 0, 1024, STYLE);
    load.goes_on(10);
    lab.cli("-g g snapshot v --name s").ok();
    load
}

fn read_only(lab: &Lab, group: &str) -> fs::Mounted {
    fs::Mounted::new(&lab.device(group, "t"), "ext4", MsFlags::MS_RDONLY, None)
}

/// The names of a group's volumes and disks.
fn shape(lab: &Lab, group: &str) -> Vec<String> {
    let group = lab.print(group);
    let disks = group.disks.iter().map(|disk| disk.media.clone());
    let names = group.names().into_iter().map(str::to_owned);
    disks.chain(names).collect()
}

#[test]
fn a_mounted_snapshot_is_not_split_off_and_an_unmounted_one_is_while_the_original_is_written() {
    let lab = lab!(["mirror", "era", "zero"], [48, 48, 24]);
    let load = parted(&lab);
    lab.cli("-g g make w 8m --on disk03").ok();
    fs::mkfs_ext4(&lab.device("g", "w"));
    lab.cli("-g g snapstart w --on disk02").ok();
    lab.cli("-g g snapshot w --name t").ok();
    let mounted = read_only(&lab, "g");
    let why = lab.refuses(4, "group split g n s t");
    assert!(why.message.contains("g/t"), "{why:?}");
    assert_eq!(shape(&lab, "g").len(), 7, "nothing is changed");
    drop(mounted);
    // What would have to go, and does when it is said so.
    let why = lab.refuses(4, "group split g n s");
    assert!(why.message.contains('t'), "{why:?}");
    let together = lab.json("group split g n s --list");
    assert_eq!(together["together"]["beyond"][0].as_str(), Some("t"));
    lab.cli("group split g n s --expand").ok();
    load.goes_on(20);
    assert_eq!(shape(&lab, "n"), ["disk02", "s", "t"]);
    assert!(
        lab.dm.exists("n-s") && !lab.dm.exists("g-s"),
        "it runs again"
    );
    let mounted = read_only(&lab, "n");
    drop(mounted);
    load.goes_on(20);
    lab.cli("group join n g").ok();
    load.goes_on(20);
    assert!(lab.dm.exists("g-s") && !lab.dm.exists("n-s"));
    lab.cli("-g g snapback s").ok();
    until("the leg is complete", || {
        lab.print("g").volume("v").states().len() == 2
    });
    let end = load.stop();
    end.verify(lab.device("g", "v"));
    plexes::assert_equal(&lab, "g", "v");
    lab.cli("-g g snapback t").ok();
    lab.finish();
}

/// Killed before any of its changes, a split and a join are before or after, on the labels too, and the
/// writer never notices.
#[test]
fn a_split_and_a_join_killed_anywhere_are_before_or_after() {
    let lab = lab!(["mirror", "era", "zero"], [48, 48]);
    let load = parted(&lab);
    scribble(&lab, "s", &[9 * MIB], 5);
    let whole = shape(&lab, "g");
    for (command, undo) in [
        ("group split g n s", Some("group join n g")),
        ("group join n g", None),
    ] {
        if undo.is_none() {
            lab.cli("group split g n s").ok();
        }
        let (mut before, mut after) = (0, 0);
        for at in steps(1, 14) {
            let output = killed_at(at, command);
            load.goes_on(5);
            lab.cli("recover").ok();
            lab.cli("recover --check")
                .ok()
                .says("nothing needs attention");
            let left = leaks::of_no_command(&lab.dm);
            assert!(
                left.is_empty(),
                "'{command}' killed before change {at} leaves {left:?}"
            );
            let one = shape(&lab, "g") == whole;
            let was_done = one == undo.is_none();
            if was_done {
                after += 1;
                let back = undo.unwrap_or("group split g n s");
                lab.cli(back).ok();
            } else {
                before += 1;
                assert_eq!(output.status, KILLED, "it did nothing: {output}");
            }
            load.goes_on(5);
            if output.status != KILLED {
                break;
            }
        }
        println!("'{command}': {before} times before, {after} times after");
    }
    if shape(&lab, "g") != whole {
        lab.cli("group join n g").ok();
    }
    lab.cli("-g g start --all").ok();
    lab.cli("-g g snapback s").ok();
    load.stop().verify(lab.device("g", "v"));
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

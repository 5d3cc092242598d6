//! Inner devices that other processes have open while they go: what is written through them reaches
//! nothing of ours.

use crate::support::MIB;
use crate::support::block;
use crate::support::lab::{Lab, until};
use crate::support::leaks;
use crate::support::monitor::NoMonitor;
use crate::support::plexes;
use std::fs::File;
use std::io::{Error, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// This process has an inner device open, past the cache and through it.
struct Holder {
    direct: File,
    cached: File,
}

impl Holder {
    fn of(name: &str) -> Holder {
        let node = PathBuf::from("/dev/mapper").join(name);
        until("the node is there", || node.exists());
        Holder {
            direct: block::open_direct(&node, true).unwrap(),
            cached: File::options().read(true).write(true).open(&node).unwrap(),
        }
    }

    /// Everything that it writes or reads ends with EIO.
    #[track_caller]
    fn is_shut_out(&mut self) {
        let eio = |came: std::io::Result<()>, what: &str| {
            assert_eq!(
                came.map_err(|error| error.raw_os_error()),
                Err(Some(libc::EIO)),
                "{what}"
            );
        };
        eio(
            block::write_open(&self.direct, MIB, &[0xee; 4096]),
            "a direct write",
        );
        let mut buffer = block::Aligned::new(4096);
        eio(
            self.direct.read_exact_at(buffer.bytes_mut(), MIB),
            "a direct read",
        );
        let written = self
            .cached
            .write_all(&[0xdd; 4096])
            .and_then(|()| self.cached.sync_all());
        eio(written, "a write through the cache");
    }
}

/// The devices of ours that wait to be closed.
fn waiting(lab: &Lab) -> Vec<String> {
    leaks::devices(&lab.dm)
        .into_iter()
        .filter(|i| i.name.ends_with("_held"))
        .map(|i| i.name)
        .collect()
}

/// Each of them is named with this process, which has it open; nothing of ours is suspended.
#[track_caller]
fn are_named(lab: &Lab, count: usize) {
    let (names, status) = (waiting(lab), lab.cli("status").stdout);
    assert_eq!(names.len(), count, "{}", lab.dm.dump());
    for name in names {
        let line = status
            .lines()
            .find(|line| line.contains(&name))
            .unwrap_or_else(|| panic!("'{name}' is not named:\n{status}"));
        assert!(
            line.contains(&format!("process {}", std::process::id())),
            "{line}"
        );
        assert_eq!(lab.dm.table(&name).unwrap()[0].target, "error");
    }
    assert_eq!(leaks::of_no_command(&lab.dm), Vec::<String>::new());
}

#[track_caller]
fn all_go(lab: &Lab) {
    until("what was closed is gone", || waiting(lab).is_empty());
    assert!(!lab.cli("status").stdout.contains("_held"));
}

fn content(lab: &Lab, volume: &str) -> Vec<u8> {
    block::read_direct(lab.device("g", volume), 0, 4 * MIB).unwrap()
}

#[test]
fn who_has_a_leg_open_writes_neither_into_the_snapshot_nor_into_a_new_volume() {
    let lab = lab!(["mirror"], [40, 40]);
    lab.fill_with_noise();
    lab.create_group("g");
    lab.cli("-g g make v 16m").ok();
    lab.cli("-g g snapstart v").ok();
    let (mut leg, mut plex) = (Holder::of("g-v_v--02"), Holder::of("g-v_v--01"));
    let split = lab.cli("-g g snapshot v --name s");
    split.clone().ok();
    let (v, s) = (content(&lab, "v"), content(&lab, "s"));
    leg.is_shut_out();
    plex.is_shut_out();
    assert!(
        content(&lab, "s") == s && content(&lab, "v") == v,
        "somebody has written into a volume through an old device"
    );
    are_named(&lab, 2);

    // They are in the way of no new leg; given up, its space is a new volume's.
    lab.cli("-g g remove s").ok();
    lab.cli("-g g snapstart v").ok();
    let name = lab
        .print("g")
        .volume("v")
        .plexes
        .iter()
        .find(|p| p.state == "SNAPDONE")
        .unwrap()
        .name
        .clone();
    let mut second = Holder::of(&format!("g-v_{}", name.replace('-', "--")));
    lab.cli("-g g snapabort v").ok();
    lab.cli("-g g make w 16m --on disk02").ok();
    let w = content(&lab, "w");
    second.is_shut_out();
    assert!(
        content(&lab, "w") == w && content(&lab, "v") == v,
        "somebody has written into a volume through an old device"
    );
    are_named(&lab, 3);
    drop((leg, plex, second));
    all_go(&lab);
    lab.finish();
}

#[test]
fn a_layer_that_is_held_open_does_not_stay_suspended() {
    let lab = lab!(["mirror"], [40, 40, 40]);
    let nobody = NoMonitor::begin();
    lab.create_group("g");
    lab.cli("-g g make v 16m --mirrors 2").ok();
    lab.wait_synced("g", "v");
    lab.cli("-g g mirror -b v").ok();
    let mut layer = Holder::of("g-v_l1");
    until("the kernel is through", || {
        lab.dm.mirrors("g-v")[0].in_sync()
    });
    // It reads all the time; its read comes to an end.
    let reader = layer.direct.try_clone().unwrap();
    let reads = std::thread::spawn(move || {
        let mut buffer = block::Aligned::new(4096);
        loop {
            if let Err(error) = reader.read_exact_at(buffer.bytes_mut(), 0) {
                return Error::raw_os_error(&error);
            }
        }
    });
    lab.cli("-g g recover").ok();
    until("the read ends", || reads.is_finished());
    assert_eq!(reads.join().unwrap(), Some(libc::EIO));
    assert_eq!(lab.print("g").volume("v").states(), ["ACTIVE"; 3]);
    layer.is_shut_out();
    are_named(&lab, 1);
    drop((layer, nobody));
    all_go(&lab);
    plexes::assert_equal(&lab, "g", "v");

    // A stop is a stop; what is still open is waited for before the volume is started again.
    let mut plex = Holder::of("g-v_v--02");
    lab.cli("-g g stop v").ok();
    plex.is_shut_out();
    are_named(&lab, 1);
    let refused = lab.refuses(4, "-g g start v");
    assert!(
        refused
            .message
            .contains(&format!("process {}", std::process::id())),
        "{refused:?}"
    );
    drop(plex);
    all_go(&lab);
    lab.cli("-g g start v").ok();
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

#[test]
fn what_tracks_changes_and_is_held_open_is_no_way_into_the_volume() {
    let lab = lab!(["mirror", "era"], [40, 40]);
    lab.create_group("g");
    lab.cli("-g g make v 16m").ok();
    lab.cli("-g g snapstart v").ok();
    lab.cli("-g g snapshot v --name s").ok();
    let v = content(&lab, "v");
    let mut held: Vec<Holder> = ["g-v_data--0", "g-v_map--0"].map(Holder::of).into();
    lab.cli("-g g snapclear s").ok();
    held[0].is_shut_out();
    assert!(content(&lab, "v") == v);
    are_named(&lab, 2);
    lab.cli("-g g snapstart v").ok();
    let refused = lab.refuses(4, "-g g snapshot v --name t");
    assert!(
        refused
            .message
            .contains(&format!("process {}", std::process::id())),
        "{refused:?}"
    );
    assert_eq!(lab.print("g").volume("v").states(), ["ACTIVE", "SNAPDONE"]);
    drop(held);
    all_go(&lab);
    lab.cli("-g g snapshot v --name t").ok();
    lab.finish();
}

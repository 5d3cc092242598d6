//! Legs that are filled in several lanes: mirrors side by side in one table, each with its own log.

use crate::support::MIB;
use crate::support::block;
use crate::support::disk::Fault;
use crate::support::lab::{Lab, until};
use crate::support::plexes;
use crate::support::tracked::scribble;
use crate::support::writer::{Style, Writer};

const SLOW: Fault = Fault::Slow {
    read: 0,
    write: 400,
};
/// The borders of four lanes of a volume of 32 MiB, in sectors.
const LANES: [(u64, u64); 4] = [
    (0, 16_384),
    (16_384, 16_384),
    (32_768, 16_384),
    (49_152, 16_384),
];

/// A volume of 32 MiB, busy where the second lane meets the third.
fn busy(lab: &Lab) -> Writer {
    lab.fill_with_noise();
    lab.create_group("g");
    lab.cli("-g g make v 32m --on disk01").ok();
    Writer::start_filled(lab.device("g", "v"), 15 * 256 + 128, 256, Style::default())
}

/// The snapshot holds what was acknowledged at the split, and the original all of it.
fn split_and_verify(lab: Lab, load: Writer) {
    let expected = load.fork_during(|| drop(lab.cli("-g g snapshot v --name s").ok()));
    load.goes_on(30);
    expected.verify(lab.device("g", "s"));
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

fn lines(lab: &Lab, device: &str) -> Vec<(u64, u64)> {
    let table = lab.dm.table(device).unwrap();
    table.iter().map(|line| (line.start, line.length)).collect()
}

#[test]
fn lanes_are_filled_side_by_side_and_the_leg_holds_what_the_original_does() {
    let mut lab = lab!(["mirror", "delay"], [48, 48, 48]);
    let load = busy(&lab);
    lab.fault(1, SLOW);
    lab.cli("-g g snapstart -b v --on disk02").ok();
    assert_eq!(lines(&lab, "g-v"), LANES);
    until("all lanes have begun and none has ended", || {
        let lanes = lab.dm.mirrors("g-v");
        assert!(lanes.len() == 4, "a lane has ended the copy of all");
        lanes
            .iter()
            .all(|lane| lane.done > 0 && lane.done < lane.total)
    });
    lab.heal(1);
    lab.cli("-g g snapwait v").ok();
    assert_eq!(lines(&lab, "g-v"), [(0, 65_536)], "K5");
    load.goes_on(50);
    split_and_verify(lab, load);
}

#[test]
fn a_leg_that_fails_in_one_lane_is_removed() {
    for lane in [0, 3] {
        let mut lab = lab!(["mirror", "error"], [48, 48, 48]);
        let load = busy(&lab);
        let before = lab.print("g");
        // The area for the configuration comes first on a disk.
        let data = 4 * MIB + lane * 8 * MIB;
        lab.fault_in(1, data + 5 * MIB..data + 5 * MIB + 4096, Fault::FailWrites);
        lab.cli("-g g snapstart v --on disk02")
            .exits(8)
            .says("v-02");
        load.goes_on(30);
        assert_eq!(lines(&lab, "g-v"), [(0, 65_536)]);
        let after = lab.print("g");
        assert_eq!(after.volume("v").plexes, before.volume("v").plexes);
        load.stop().verify(lab.device("g", "v"));
        lab.finish();
    }
}

/// The first plex of the mirror beneath dies while all lanes copy from it. The other plex takes its
/// place, the leg becomes complete all the same, and nothing is lost.
#[test]
fn a_plex_of_the_mirror_beneath_dies_while_lanes_are_filled() {
    let mut lab = lab!(["mirror", "error", "delay"], [48, 48, 48, 48]);
    lab.fill_with_noise();
    lab.create_group("g");
    lab.cli("-g g make v 32m --mirrors 2 --on disk01,disk02")
        .ok();
    lab.wait_synced("g", "v");
    let load = Writer::start_filled(lab.device("g", "v"), 15 * 256 + 128, 256, Style::default());
    lab.fault(2, SLOW);
    lab.cli("-g g snapstart -b v --on disk03").ok();
    assert_eq!(lines(&lab, "g-v"), LANES);
    until("all lanes have begun", || {
        lab.dm.mirrors("g-v").iter().all(|lane| lane.done > 0)
    });
    lab.fault(0, Fault::Fail);
    load.goes_on(30);
    lab.heal(2);
    lab.cli("-g g snapwait v").ok();
    split_and_verify(lab, load);
}

/// Sixteen lanes are asked for; a volume of 16 MiB has eight regions. After a stop in the middle the
/// copy begins again, in as many.
#[test]
fn a_data_plex_in_lanes_is_filled_again_after_a_stop() {
    let mut lab = lab!(["mirror", "delay"], [48, 48]);
    lab.fill_with_noise();
    lab.create_group("g");
    lab.cli("-g g make v 16m --on disk01").ok();
    // Behind the area for the configuration.
    let very_slow = Fault::Slow {
        read: 0,
        write: 4000,
    };
    lab.fault_in(1, 4 * MIB..40 * MIB, very_slow);
    lab.cli("-g g mirror -b v --lanes 16").ok();
    assert_eq!(lines(&lab, "g-v").len(), 8, "a lane has a region at least");
    lab.cli("-g g stop v").ok();
    lab.cli("-g g start v").ok();
    assert_eq!(lines(&lab, "g-v").len(), 8);
    lab.heal(1);
    until("it is complete, and recorded", || {
        lines(&lab, "g-v").len() == 1
    });
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

/// Changes everywhere: everything is copied, in lanes, in either direction, and both sides are equal.
#[test]
fn changes_in_many_places_are_not_copied_one_by_one() {
    const SIZE: u64 = 48 * MIB;
    for from in ["original", "snapshot"] {
        let mut lab = lab!(["mirror", "era", "zero", "delay"], [80, 80, 80]);
        lab.fill_with_noise();
        lab.create_group("g");
        lab.cli("-g g make v 48m --on disk01").ok();
        lab.cli("-g g snapstart v --on disk02").ok();
        lab.cli("-g g snapshot v --name s").ok();
        // Far away, a request costs more than what it transfers.
        let far = Fault::Slow {
            read: 20,
            write: 20,
        };
        lab.fault(0, far);
        lab.fault(1, far);
        let places: Vec<u64> = (0..SIZE / MIB).map(|n| n * MIB + 4096).collect();
        scribble(&lab, "v", &places, 1);
        scribble(&lab, "s", &places[3..9], 100);
        let read = |volume| block::read_direct(lab.device("g", volume), 0, SIZE).unwrap();
        let expected = read(if from == "original" { "v" } else { "s" });
        let back = lab.json(&format!("-y -g g snapback s --from {from}"));
        let change = &back["changes"][0];
        assert_eq!(change["tracked"].as_str(), Some("yes"), "{change}");
        assert_eq!(change["to_copy"].as_u64(), Some(SIZE), "{change}");
        assert!(
            change["reason"].as_str().unwrap().contains("faster"),
            "{change}"
        );
        assert!(read("v") == expected, "from {from}");
        lab.cli("-g g snapshot v --name t").ok();
        assert!(read("t") == expected, "from {from}");
        lab.finish();
    }
}

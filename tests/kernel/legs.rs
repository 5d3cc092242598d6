//! A leg dies, whichever it is: the volume goes on by itself while the monitor runs, and nothing
//! that was acknowledged is lost.

use crate::support::MIB;
use crate::support::block;
use crate::support::disk::Fault;
use crate::support::lab::{Lab, until};
use crate::support::plexes;
use crate::support::writer::{Style, Writer};
use std::fs;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(120);

/// The states by plex number.
fn states(lab: &Lab) -> Vec<String> {
    let group = lab.print("g");
    let mut plexes: Vec<_> = group
        .volume("v")
        .plexes
        .iter()
        .map(|p| (p.name.clone(), p.state.clone()))
        .collect();
    plexes.sort();
    plexes.into_iter().map(|(_, state)| state).collect()
}

/// A group on all disks and a volume on the first ones, busy.
fn busy(lab: &Lab, mirrors: usize) -> Writer {
    lab.fill_with_noise();
    lab.create_group("g");
    lab.cli(&format!(
        "-g g make v 16m --mirrors {mirrors} --on {}",
        ["disk01", "disk01,disk02"][mirrors - 1]
    ))
    .ok();
    if mirrors > 1 {
        lab.wait_synced("g", "v");
    }
    Writer::start_filled(lab.device("g", "v"), 0, 256, Style::default())
}

/// Where on the first disk a device of the program lies.
fn place(lab: &Lab, device: &str) -> Range<u64> {
    let line = lab.dm.table(device).unwrap().remove(0);
    let offset: u64 = line.words()[1].parse().unwrap();
    offset * 512..(offset + line.length) * 512
}

#[test]
fn the_first_plex_of_a_mirror_dies() {
    let mut lab = lab!(["mirror", "error"], [32, 32, 32]);
    let load = busy(&lab, 2);
    lab.fault(0, Fault::Fail);
    load.goes_on(100);
    until("it is recorded", || states(&lab) == ["FAILED", "ACTIVE"]);
    load.goes_on(30);
    let written = load.stop();
    written.verify(lab.device("g", "v"));
    lab.heal(0);
    lab.cli("-g g plex attach v-01").ok();
    assert_eq!(states(&lab), ["ACTIVE", "ACTIVE"]);
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

/// The journal's socket and the hook of /etc/breakoff.conf are told which plex on which disk it
/// was.
#[test]
fn a_failure_is_told_to_the_journal_and_to_the_hook() {
    let mut lab = lab!(["mirror", "error"], [32, 32, 32]);
    let load = busy(&lab, 2);
    let directory = tempfile::tempdir().unwrap();
    let (hook, told) = (directory.path().join("hook"), directory.path().join("told"));
    fs::write(
        &hook,
        format!(
            "#!/bin/bash\nwhile read -r line; do echo \"$line\"; done < <(export) >>{}\n",
            told.display()
        ),
    )
    .unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(
        "/etc/breakoff.conf",
        format!("# for this test\nhook = {}\n", hook.display()),
    )
    .unwrap();
    fs::create_dir_all("/run/systemd/journal").unwrap();
    let journal = UnixDatagram::bind("/run/systemd/journal/socket").unwrap();
    journal.set_read_timeout(Some(LONG)).unwrap();

    lab.fault(1, Fault::Fail);
    load.goes_on(50);
    // Its log may lie on the same disk; that is told too, and first.
    let message = loop {
        let mut message = [0; 4096];
        let length = journal.recv(&mut message).unwrap();
        let message = String::from_utf8_lossy(&message[..length]).into_owned();
        println!("{message}");
        if message.contains("BREAKOFF_EVENT=plex-failed\n") {
            break message;
        }
    };
    fs::remove_file("/run/systemd/journal/socket").unwrap();
    for field in [
        "BREAKOFF_GROUP=g",
        "BREAKOFF_VOLUME=v",
        "BREAKOFF_PLEX=v-02",
        "BREAKOFF_DISK=disk02",
        "MESSAGE_ID=93349b00a0f6499f9b9dd3073f01109a",
    ] {
        assert!(
            message.lines().any(|line| line == field),
            "{field} is not in\n{message}"
        );
    }
    // All of the disk is dead, its label too: what is left of it is its number, unless the monitor
    // had read the label before.
    let number = crate::support::dm::number(block::number(lab.disks[1].path()).unwrap());
    let device = message
        .lines()
        .find_map(|line| line.strip_prefix("BREAKOFF_DEVICE="))
        .unwrap();
    let is_it = device == number
        || block::number(device).is_ok_and(|dev| crate::support::dm::number(dev) == number);
    assert!(is_it, "{device} is not {number}");
    until("the hook has run", || {
        fs::read_to_string(&told).is_ok_and(|text| text.contains("BREAKOFF_PLEX=\"v-02\""))
    });
    fs::remove_file("/etc/breakoff.conf").unwrap();
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

#[test]
fn the_original_dies_and_its_complete_leg_takes_its_place() {
    let mut lab = lab!(["mirror", "error"], [32, 32, 32]);
    let load = busy(&lab, 1);
    lab.cli("-g g snapstart v --on disk02").ok();
    lab.fault(0, Fault::Fail);
    load.goes_on(100);
    until("it is recorded", || states(&lab) == ["FAILED", "ACTIVE"]);
    load.goes_on(30);
    load.stop().verify(lab.device("g", "v"));
    lab.cli("-g g stop v").ok();
    lab.cli("-g g start v").ok();
    lab.finish();
}

/// A mirror of three, of which the middle one dies: the two that are left are equal at once.
#[test]
fn a_snapshot_leg_stays_exact_when_a_plex_dies() {
    let mut lab = lab!(["mirror", "error"], [32, 32, 32, 32]);
    let load = busy(&lab, 2);
    lab.cli("-g g snapstart v --on disk03").ok();
    lab.fault(1, Fault::Fail);
    load.goes_on(100);
    until("it is recorded", || {
        states(&lab) == ["ACTIVE", "FAILED", "SNAPDONE"]
    });
    let expected = load.fork_during(|| drop(lab.cli("-g g snapshot v --name s").ok()));
    load.goes_on(30);
    expected.verify(lab.device("g", "s"));
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

#[test]
fn one_sector_of_the_original_cannot_be_read_while_its_leg_is_complete() {
    let mut lab = lab!(["mirror", "error"], [32, 32, 32]);
    let load = busy(&lab, 1);
    lab.cli("-g g snapstart v --on disk02").ok();
    let bad = place(&lab, "g-v_v--01").start + 9 * MIB;
    let whole = block::read_direct(lab.device("g", "v"), 8 * MIB, 2 * MIB).unwrap();
    lab.fault_in(0, bad..bad + 4096, Fault::Fail);
    assert!(
        block::read_direct(lab.device("g", "v"), 8 * MIB, 2 * MIB).unwrap() == whole,
        "the leg serves what the original cannot"
    );
    load.goes_on(50);
    until("it is recorded", || states(&lab) == ["FAILED", "ACTIVE"]);
    assert!(block::read_direct(lab.device("g", "v"), 8 * MIB, 2 * MIB).unwrap() == whole);
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

/// Both plexes die: the writer is told, and nothing hangs. When the disks are back the volume holds
/// all that was acknowledged.
#[track_caller]
fn both_plexes_die(lab: &mut Lab, recorded: bool) {
    let mut load = busy(lab, 2);
    lab.fault(0, Fault::Fail);
    lab.fault(1, Fault::Fail);
    until("the writer is told", || load.error().is_some());
    println!("{:?}", load.error());
    let written = load.halt();
    let device = lab.device("g", "v");
    assert!(block::read_direct(&device, 0, MIB).is_err());
    if recorded {
        until("it is recorded", || {
            states(lab).contains(&"FAILED".to_owned())
        });
    }
    lab.heal(0);
    lab.heal(1);
    lab.cli("recover").ok();
    until("it can be written again", || {
        let bytes = block::read_direct(&device, 12 * MIB, 4096).unwrap();
        block::write_direct(&device, 12 * MIB, &bytes).is_ok()
    });
    written.verify(&device);
    let after = Writer::start_filled(&device, 0, 256, Style::default());
    after.goes_on(50);
    after.stop().verify(&device);
}

#[test]
fn both_plexes_die_and_the_writer_is_told() {
    let mut lab = lab!(["mirror", "error"], [32, 32, 32]);
    both_plexes_die(&mut lab, true);
    lab.finish();
}

/// The only disks of the group, so that nobody can record anything.
#[test]
fn all_disks_of_a_group_die_and_the_writer_is_told() {
    let mut lab = lab!(["mirror", "error"], [32, 32]);
    both_plexes_die(&mut lab, false);
    lab.finish();
}

#[test]
fn the_log_dies_and_another_one_takes_its_place() {
    let mut lab = lab!(["mirror", "error"], [32, 32, 32]);
    let load = busy(&lab, 2);
    let log = place(&lab, "g-v_log");
    lab.fault_in(0, log, Fault::Fail);
    load.goes_on(100);
    until("there is another one", || {
        lab.dm.table("g-v").unwrap()[0].words().contains(&"disk")
            && lab.dm.mirrors("g-v")[0].in_sync()
    });
    assert_eq!(states(&lab), ["ACTIVE", "ACTIVE"]);
    load.goes_on(50);
    load.stop().verify(lab.device("g", "v"));
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

/// The kernel reads the log again with each resume. If it cannot, nothing counts as in sync unless the
/// table says otherwise: writes would go to the first leg alone, and be acknowledged.
#[test]
fn a_log_that_cannot_be_read_at_a_resume_costs_no_leg_a_write() {
    let mut lab = lab!(["mirror", "error", "delay"], [32, 32, 32, 32]);
    lab.create_group("g");
    lab.cli("-g g make v 8m --mirrors 2 --no-log --on disk01,disk02")
        .ok();
    lab.wait_synced("g", "v");
    lab.cli("-g g log add v --on disk03").ok();
    let load = Writer::start_filled(lab.device("g", "v"), 0, 8 * MIB / 4096, Style::default());
    load.goes_on(50);
    // The second plex is slow, so that a recovery by the kernel does not make good what it lacks. The
    // disk of the log alone dies while the mirror is suspended; what was queued flows at once.
    lab.fault(
        1,
        Fault::Slow {
            read: 0,
            write: 300,
        },
    );
    lab.dm.suspend("g-v").unwrap();
    lab.fault(2, Fault::Fail);
    lab.dm.resume("g-v").unwrap();
    load.goes_on(30);
    lab.heal(1);
    load.stop().verify(lab.device("g", "v"));
    until("the mirror is in sync", || {
        lab.dm.mirrors("g-v")[0].in_sync()
    });
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

/// New space that does not answer is none, like space that fails: the log goes elsewhere.
#[test]
fn the_log_dies_and_where_the_next_one_would_lie_hangs() {
    let mut lab = lab!(["mirror", "delay", "error"], [32, 32, 32]);
    let load = busy(&lab, 2);
    let (log, size) = (place(&lab, "g-v_log"), lab.disks[1].size);
    lab.fault_in(1, 24 * MIB..size, Fault::PausedWrites);
    lab.fault_in(0, log, Fault::Fail);
    load.goes_on(100);
    until("there is another one", || {
        lab.dm.table("g-v").unwrap()[0].words().contains(&"disk")
            && lab.dm.mirrors("g-v")[0].in_sync()
    });
    let hangs = lab.dm.info(&lab.disks[1].name).unwrap().dev;
    let lies_on = lab.dm.table("g-v_log").unwrap()[0].words()[0].to_owned();
    assert_ne!(
        lies_on,
        format!("{}:{}", libc::major(hangs), libc::minor(hangs)),
        "it lies on the disk that hangs"
    );
    lab.heal(1);
    load.goes_on(50);
    load.stop().verify(lab.device("g", "v"));
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

#[test]
fn a_leg_that_hangs_and_comes_back_costs_nothing_but_time() {
    let mut lab = lab!(["mirror", "delay"], [32, 32, 32]);
    let load = busy(&lab, 2);
    lab.cli("-g g snapstart v --on disk03").ok();
    let leg = place(&lab, "g-v_v--03");
    lab.fault_in(2, leg, Fault::Paused);
    load.wait_until_held();
    std::thread::sleep(Duration::from_secs(10));
    lab.heal(2);
    load.goes_on(50);
    assert_eq!(states(&lab), ["ACTIVE", "ACTIVE", "SNAPDONE"]);
    load.stop().verify(lab.device("g", "v"));
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

#[test]
fn a_lost_disk_is_replaced_and_everything_on_it_is_filled_again() {
    let mut lab = lab!(["mirror", "error"], [32, 32, 32, 32]);
    lab.fill_with_noise();
    lab.create_group_of("g", 0..3);
    lab.cli("-g g make v 16m --mirrors 2 --on disk01,disk02")
        .ok();
    lab.cli("-g g make lonely 4m --on disk02").ok();
    lab.wait_synced("g", "v");
    let load = Writer::start_filled(lab.device("g", "v"), 0, 256, Style::default());
    lab.cli(&format!(
        "group replace-disk g disk02 {}",
        lab.disks[3].word()
    ))
    .exits(4)
    .says("lonely");

    lab.fault(1, Fault::Fail);
    load.goes_on(50);
    until("it is recorded", || states(&lab) == ["ACTIVE", "FAILED"]);
    lab.cli(&format!(
        "group replace-disk g disk02 {}",
        lab.disks[3].word()
    ))
    .exits(5)
    .says("lonely")
    .says("stop");
    lab.cli("-g g stop lonely").ok();
    lab.cli(&format!(
        "group replace-disk g disk02 {}",
        lab.disks[3].word()
    ))
    .ok();
    assert_eq!(states(&lab), ["ACTIVE", "ACTIVE"]);
    assert_eq!(lab.print("g").volume("v").plexes[1].media(), ["disk02"]);
    load.goes_on(30);
    load.stop().verify(lab.device("g", "v"));
    plexes::assert_equal(&lab, "g", "v");
    // The old one comes back, and is nobody's.
    lab.heal(1);
    assert_eq!(
        lab.print("g")
            .disks
            .iter()
            .filter(|d| d.state == "online")
            .count(),
        3
    );
    lab.cli("-y -g g remove lonely").ok();
    lab.finish();
}

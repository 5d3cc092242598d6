//! Disks that fail while snapshots are made: no acknowledged write is lost, no writer is stuck, no
//! bad leg becomes a snapshot.

use crate::support::MIB;
use crate::support::block;
use crate::support::child;
use crate::support::disk::Fault;
use crate::support::lab::{Lab, until};
use crate::support::leaks;
use crate::support::monitor::NoMonitor;
use crate::support::plexes;
use crate::support::udev;
use crate::support::writer::{Style, Writer};
use std::fs::{self, File};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(120);
const VOLUME: u64 = 16 * MIB;

/// A group `g` on all disks and a volume `v` of 16 MiB with so many data plexes, on the first
/// disks.
fn volume(lab: &Lab, mirrors: usize) {
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
}

fn busy(lab: &Lab) -> Writer {
    Writer::start_filled(lab.device("g", "v"), 0, 256, Style::default())
}

fn states(lab: &Lab) -> Vec<String> {
    lab.print("g")
        .volume("v")
        .states()
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// The range of a disk where its space for volumes is, but for the end, which udev reads now and
/// then.
fn space(lab: &Lab, media: &str) -> (usize, std::ops::Range<u64>) {
    let (disk, size) = (lab.index(media), lab.print("g").disk(media).size);
    (
        disk,
        lab.disks[disk].size - size..lab.disks[disk].size - MIB,
    )
}

/// The original is as it was: it goes on, holds all that was acknowledged, and nothing of the leg
/// is left.
#[track_caller]
fn assert_undisturbed(lab: &Lab, load: Writer, free: u64, states_now: &[&str]) {
    load.goes_on(50);
    assert_eq!(states(lab), states_now);
    assert_eq!(lab.print("g").free(), free, "its space is released");
    load.stop().verify(lab.device("g", "v"));
    assert!(
        lab.dm.list().iter().all(|i| !i.suspended),
        "{}",
        lab.dm.dump()
    );
}

// ---------------------------------------------------------------------- K1: a bad leg never counts

#[test]
fn k1_a_leg_whose_disk_fails_every_write_never_becomes_snapdone() {
    let mut lab = lab!(["mirror", "error"], [32, 32, 32]);
    volume(&lab, 1);
    let (free, load) = (lab.print("g").free(), busy(&lab));
    let (disk, range) = space(&lab, "disk02");
    lab.fault_in(disk, range, Fault::Fail);

    lab.cli("-g g snapstart v --on disk02")
        .exits(8)
        .says("disk02");
    assert_undisturbed(&lab, load, free, &["ACTIVE"]);
    lab.finish();
}

#[test]
fn k1_one_bad_block_is_enough() {
    let mut lab = lab!(["mirror", "error"], [32, 32, 32]);
    volume(&lab, 1);
    let (free, load) = (lab.print("g").free(), busy(&lab));
    let (disk, range) = space(&lab, "disk02");
    lab.fault_in(
        disk,
        range.start + 9 * MIB..range.start + 9 * MIB + 4096,
        Fault::Fail,
    );

    lab.cli("-g g snapstart v --on disk02").exits(8);
    assert_undisturbed(&lab, load, free, &["ACTIVE"]);
    // Who begins to wait only now is told as well, also after a restart, until there is another
    // leg.
    let failed = lab.refuses(8, "-g g snapwait v");
    assert!(
        ["v-02", "disk02", "failed"]
            .iter()
            .all(|word| failed.message.contains(word)),
        "{failed:?}"
    );
    lab.cli("-g g stop v").ok();
    lab.cli("-g g start v").ok();
    lab.cli("-g g snapwait v").exits(8).says("disk02");
    // The disk without the bad block does.
    lab.cli("-g g snapstart v --on disk03").ok();
    assert_eq!(states(&lab), ["ACTIVE", "SNAPDONE"]);
    lab.cli("-g g snapwait v").ok();
    lab.cli("-g g snapwait v --mirrors 2").exits(5);
    lab.finish();
}

#[test]
fn k1_a_disk_that_dies_as_a_whole_during_the_sync_ends_the_wait() {
    let mut lab = lab!(["mirror", "flakey", "delay"], [32, 32, 32]);
    volume(&lab, 1);
    let (free, load) = (lab.print("g").free(), busy(&lab));
    let disk = lab.pause_end_of_leg("g", "disk02", VOLUME);
    lab.cli("-g g snapstart -b v --on disk02").ok();
    let waiting = lab.spawn("-g g snapwait v");
    load.goes_on(30);
    until("it shows how far the copy is", || {
        waiting.so_far().1.contains("g/v")
    });

    lab.fault(disk, Fault::FailWrites);
    waiting.wait(LONG).exits(8);
    assert_undisturbed(&lab, load, free, &["ACTIVE"]);
    lab.finish();
}

#[test]
fn k1_a_bad_second_leg_leaves_the_first_one_exact() {
    let mut lab = lab!(["mirror", "error"], [32, 32, 32]);
    volume(&lab, 1);
    lab.cli("-g g snapstart v --on disk02").ok();
    let (free, load) = (lab.print("g").free(), busy(&lab));
    let (disk, range) = space(&lab, "disk03");
    lab.fault_in(
        disk,
        range.start + 9 * MIB..range.start + 9 * MIB + 4096,
        Fault::Fail,
    );

    lab.cli("-g g snapstart v --on disk03").exits(8);
    assert_undisturbed(&lab, load, free, &["ACTIVE", "SNAPDONE"]);
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

#[test]
fn k1_a_bad_leg_does_not_disturb_a_mirrored_original() {
    let mut lab = lab!(["mirror", "error"], [32, 32, 32]);
    volume(&lab, 2);
    let (free, load) = (lab.print("g").free(), busy(&lab));
    let (disk, range) = space(&lab, "disk03");
    lab.fault_in(disk, range, Fault::Fail);

    lab.cli("-g g snapstart v --on disk03").exits(8);
    assert_undisturbed(&lab, load, free, &["ACTIVE", "ACTIVE"]);
    assert!(lab.dm.mirrors("g-v")[0].in_sync());
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

#[test]
fn an_original_that_cannot_be_read_everywhere_makes_no_snapshot() {
    let mut lab = lab!(["mirror", "error"], [32, 32]);
    volume(&lab, 1);
    let (free, load) = (lab.print("g").free(), busy(&lab));
    let group = lab.print("g");
    let (disk, range) = plexes::range(&lab, &group, &group.volume("v").plexes[0]);
    lab.fault_in(
        disk,
        range.start + 9 * MIB..range.start + 9 * MIB + 4096,
        Fault::Fail,
    );

    lab.cli("-g g snapstart v").exits(8);
    assert_undisturbed(&lab, load, free, &["ACTIVE"]);
    lab.finish();
}

/// Neither its data nor its label can be read, and nobody writes, who would notice.
#[test]
fn an_original_on_a_dead_disk_makes_no_snapshot() {
    let mut lab = lab!(["mirror", "error"], [32, 32, 32]);
    volume(&lab, 1);
    let free = lab.print("g").free();
    lab.fault(0, Fault::Fail);
    let output = lab.cli("-g g snapstart v --on disk02");
    println!("{}", lab.dm.dump());
    lab.heal(0);
    output.exits(8);
    assert_eq!(states(&lab), ["ACTIVE"]);
    assert_eq!(lab.print("g").free(), free, "its space is released");
    lab.finish();
}

/// Both volumes have a plex at the same place of different disks. When the mirrored one goes on
/// without the dead disk its table leads to the other disk at the place where its plex on the dead
/// disk lay.
#[test]
fn a_dead_disk_is_not_taken_for_another_one() {
    let mut lab = lab!(["mirror", "error"], [64, 64, 64, 64]);
    lab.fill_with_noise();
    lab.create_group("g");
    lab.cli("-g g make a 8m --mirrors 2 --on disk01,disk02")
        .ok();
    lab.cli("-g g make b 8m --on disk01").ok();
    lab.cli("-g g grow b +1m").ok();
    lab.wait_synced("g", "a");
    let contents =
        |lab: &Lab| block::read_direct(lab.device("g", "b"), 0, 9 << 20).expect("it can be read");
    let before = contents(&lab);
    let load = Writer::start_filled(
        lab.device("g", "a"),
        0,
        256,
        Style {
            dsync: true,
            pause: Duration::from_millis(2),
        },
    );
    lab.fault(0, Fault::Fail);
    lab.cli("-g g snapstart a b").exits(8);
    load.stop();
    lab.heal(0);
    let view = lab.print("g");
    let states: Vec<_> = view
        .volume("b")
        .plexes
        .iter()
        .map(|p| p.state.as_str())
        .collect();
    assert_eq!(
        states,
        ["ACTIVE"],
        "nothing of it could be read: {}",
        lab.dm.dump()
    );
    plexes::assert_same("b", &contents(&lab), "b before the disk died", &before);
    lab.finish();
}

// -------------------------------------------------------------- K2: a leg that dies under a writer

#[test]
fn k2_a_leg_that_dies_under_a_writer_while_snapstart_waits_costs_no_write() {
    let mut lab = lab!(["mirror", "flakey", "delay"], [32, 32, 32]);
    volume(&lab, 1);
    let (free, load) = (lab.print("g").free(), busy(&lab));
    let disk = lab.pause_end_of_leg("g", "disk02", VOLUME);
    let waiting = lab.spawn("-g g snapstart v --on disk02");
    until("the leg is attaching", || {
        states(&lab) == ["ACTIVE", "SNAPATT"]
    });
    load.goes_on(30);

    lab.fault(disk, Fault::FailWrites);
    waiting.wait(LONG).exits(8);
    assert_undisturbed(&lab, load, free, &["ACTIVE"]);
    lab.finish();
}

#[test]
fn k2_a_complete_leg_that_dies_while_another_one_is_awaited_is_given_up() {
    let mut lab = lab!(["mirror", "flakey", "delay"], [32, 32, 32, 32]);
    volume(&lab, 1);
    lab.cli("-g g snapstart v --on disk02").ok();
    let load = busy(&lab);
    let disk = lab.pause_end_of_leg("g", "disk03", VOLUME);
    lab.cli("-g g snapstart -b v --on disk03").ok();
    let waiting = lab.spawn("-g g snapwait --mirrors 2 v");
    load.goes_on(30);

    lab.fault(1, Fault::FailWrites);
    load.goes_on(30);
    lab.heal(disk);
    let waited = waiting.wait(LONG);
    assert!(
        [5, 8].contains(&waited.status),
        "there are no two legs any more: {waited}"
    );
    lab.cli("-g g snapwait v").ok();
    assert_eq!(states(&lab), ["ACTIVE", "SNAPDONE"]);
    load.stop().verify(lab.device("g", "v"));
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

#[test]
fn k2_a_plex_of_the_original_that_dies_while_snapwait_waits_is_marked_failed() {
    let mut lab = lab!(["mirror", "flakey", "delay"], [32, 32, 32]);
    volume(&lab, 2);
    let load = busy(&lab);
    let disk = lab.pause_end_of_leg("g", "disk03", VOLUME);
    lab.cli("-g g snapstart -b v --on disk03").ok();
    let waiting = lab.spawn("-g g snapwait v");
    load.goes_on(30);

    lab.fault(1, Fault::FailWrites);
    load.goes_on(30);
    lab.heal(disk);
    waiting.wait(LONG).ok();
    assert_eq!(states(&lab), ["ACTIVE", "FAILED", "SNAPDONE"]);
    let expected = load.fork_during(|| drop(lab.cli("-g g snapshot v").ok()));
    load.goes_on(30);
    expected.verify(lab.device("g", "SNAP-v"));
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

// -------------------------------------------------------------------------------- any letter but A

#[test]
fn a_snapshot_is_refused_when_its_leg_has_failed() {
    let mut lab = lab!(["mirror", "flakey"], [32, 32, 32]);
    let nobody = NoMonitor::begin();
    volume(&lab, 1);
    lab.cli("-g g snapstart v --on disk02").ok();
    let load = busy(&lab);
    lab.fault(1, Fault::FailWrites);
    load.wait_until_held();
    assert_eq!(lab.dm.mirrors("g-v")[0].letters, "AD");

    lab.cli("-g g recover --check").exits(5).says("v-02");
    lab.cli("-g g snapshot v").exits(5);
    lab.cli("-g g recover"); // the write was held until somebody looked
    load.goes_on(30);
    drop(nobody);
    assert_eq!(lab.print("g").names(), ["v"]);
    assert_eq!(states(&lab), ["ACTIVE"]);
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

#[test]
fn a_mirror_lives_on_when_a_plex_dies_and_the_next_command_looks() {
    let mut lab = lab!(["mirror", "flakey"], [32, 32]);
    let nobody = NoMonitor::begin();
    volume(&lab, 2);
    let load = busy(&lab);
    lab.fault(1, Fault::FailWrites);
    load.wait_until_held();

    lab.cli("-g g recover").ok();
    load.goes_on(30);
    drop(nobody);
    assert_eq!(states(&lab), ["ACTIVE", "FAILED"]);
    let written = load.stop();
    written.verify(lab.device("g", "v"));

    lab.heal(1);
    lab.cli("-g g plex attach v-02").ok();
    until("the plex is ACTIVE", || {
        states(&lab) == ["ACTIVE", "ACTIVE"]
    });
    plexes::assert_equal(&lab, "g", "v");
    written.verify(lab.device("g", "v"));
    lab.finish();
}

#[test]
fn the_monitor_takes_a_dead_plex_out_without_any_command() {
    let mut lab = lab!(["mirror", "flakey"], [32, 32, 32]);
    volume(&lab, 2);
    lab.cli("-g g snapstart v --on disk03").ok();
    let load = busy(&lab);
    lab.fault(1, Fault::FailWrites);
    until("nothing is written to the dead plex any more", || {
        lab.dm.mirrors("g-v")[0].legs.len() == 2
    });
    load.goes_on(100);
    assert_eq!(states(&lab), ["ACTIVE", "FAILED", "SNAPDONE"]);

    lab.fault(2, Fault::FailWrites);
    until("nor to the dead leg", || lab.dm.mirrors("g-v").is_empty());
    load.goes_on(100);
    assert_eq!(states(&lab), ["ACTIVE", "FAILED"]);
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

// ---------------------------------------------------------------------- what others hold or use up

/// Lets `semget` fail while it lives.
struct NoSemaphores(String);

impl NoSemaphores {
    const LIMITS: &str = "/proc/sys/kernel/sem";

    fn begin() -> NoSemaphores {
        let before = fs::read_to_string(NoSemaphores::LIMITS).unwrap();
        let mut limits: Vec<&str> = before.split_whitespace().collect();
        limits[3] = "0";
        fs::write(NoSemaphores::LIMITS, limits.join(" ")).unwrap();
        NoSemaphores(before)
    }
}

impl Drop for NoSemaphores {
    fn drop(&mut self) {
        let _ = fs::write(NoSemaphores::LIMITS, &self.0);
    }
}

#[test]
fn without_semaphores_nothing_is_left_suspended() {
    let lab = lab!(["mirror"], [32, 32, 32]);
    volume(&lab, 2);
    lab.cli("-g g snapstart v --on disk03").ok();
    let load = busy(&lab);
    let before = lab.print("g");

    let none = NoSemaphores::begin();
    for words in [
        "snapshot v",
        "make w 2m",
        "rename v w",
        "grow v +2m",
        "plex detach v-02",
    ] {
        lab.cli(&format!("-y -g g {words}")).exits(8);
        assert!(
            lab.dm.list().iter().all(|i| !i.suspended),
            "after {words}:\n{}",
            lab.dm.dump()
        );
        load.goes_on(10);
    }
    drop(none);
    assert_eq!(lab.print("g"), before);
    let expected = load.fork_during(|| drop(lab.cli("-g g snapshot v").ok()));
    expected.verify(lab.device("g", "SNAP-v"));
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

/// A snapshot of a busy volume, whatever udev does, is made, is reachable by its name and exact;
/// I/O flows while the command still waits.
#[track_caller]
fn snapshot_without_udev(lab: &Lab, load: &Writer) -> child::Output {
    let mut running = None;
    let expected = load.fork_during(|| {
        running = Some(lab.spawn("-g g snapshot v --name s"));
        until("it is split off", || {
            lab.dm.table("g-s").is_ok_and(|live| !live.is_empty())
                && lab.dm.list().iter().all(|i| !i.suspended)
        });
        load.goes_on(20);
    });
    let output = running.unwrap().wait(LONG).ok();
    assert!(
        lab.dm.list().iter().all(|i| !i.suspended),
        "{}",
        lab.dm.dump()
    );
    load.goes_on(20);
    expected.verify(lab.device("g", "s"));
    output
}

#[test]
fn a_udev_that_hangs_keeps_no_volume_suspended() {
    let lab = lab!(["mirror"], [32, 32, 32]);
    volume(&lab, 1);
    lab.cli("-g g snapstart v --on disk02").ok();
    let load = busy(&lab);
    udev::tell(nix::sys::signal::Signal::SIGSTOP);
    snapshot_without_udev(&lab, &load).says("udev");
    udev::tell(nix::sys::signal::Signal::SIGCONT);
    udev::settle();
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

/// It died, and its socket is still there: nobody answers, and nobody says so either.
#[test]
fn a_udev_that_is_dead_and_has_left_its_socket_keeps_no_volume_suspended() {
    let lab = lab!(["mirror"], [32, 32, 32]);
    volume(&lab, 1);
    lab.cli("-g g snapstart v --on disk02").ok();
    let load = busy(&lab);
    udev::settle();
    udev::tell(nix::sys::signal::Signal::SIGKILL);
    until("udev is dead", || udev::processes().is_empty());
    assert!(
        std::path::Path::new("/run/udev/control").exists(),
        "its socket is gone, too"
    );
    snapshot_without_udev(&lab, &load);
    child::tool("/usr/lib/systemd/systemd-udevd", &["--daemon"]).ok();
    child::tool(
        "udevadm",
        &["trigger", "--action=change", "--subsystem-match=block"],
    )
    .ok();
    udev::settle();
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

/// Without the right to lock memory the window goes on, with a word about it.
#[test]
fn memory_that_cannot_be_locked_costs_a_warning() {
    use std::os::unix::process::CommandExt;
    const CAP_IPC_LOCK: libc::c_ulong = 14;
    let lab = lab!(["mirror"], [32, 32, 32]);
    volume(&lab, 1);
    lab.cli("-g g snapstart v --on disk02").ok();
    let load = busy(&lab);
    let mut command = std::process::Command::new(child::program());
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: between fork and exec two system calls are made, with memory of this function.
    unsafe {
        command.pre_exec(move || {
            let dropped = libc::prctl(libc::PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0) == 0;
            let limited = libc::setrlimit(libc::RLIMIT_MEMLOCK, &none) == 0;
            if dropped && limited {
                Ok(())
            } else {
                Err(std::io::Error::last_os_error())
            }
        });
    }
    let words = ["-g", "g", "snapshot", "v", "--name", "s"];
    let expected = load.fork_during(|| {
        drop(
            child::start(command, "breakoff", &words)
                .wait(LONG)
                .ok()
                .says("memory cannot be locked"),
        );
    });
    expected.verify(lab.device("g", "s"));
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

/// The disk has become too small for what lies on it: the kernel refuses the snapshot's table.
#[test]
fn a_table_that_the_kernel_refuses_leaves_everything_as_it_was() {
    let lab = lab!(["mirror"], [32, 32, 32]);
    volume(&lab, 1);
    lab.cli("-g g snapstart v --on disk02").ok();
    let load = busy(&lab);
    let before = lab.print("g");
    let (disk, table) = (
        &lab.disks[1].name,
        lab.dm.table(&lab.disks[1].name).unwrap(),
    );
    let short =
        crate::support::dm::Line::new(0, 12 * MIB / 512, "linear", table[0].words().join(" "));
    lab.dm.swap(disk, &[short]).unwrap();
    lab.cli("-g g snapshot v --name s").exits(8);
    assert!(
        lab.dm.list().iter().all(|i| !i.suspended),
        "{}",
        lab.dm.dump()
    );
    load.goes_on(20);
    lab.dm.swap(disk, &table).unwrap();
    assert_eq!(lab.print("g"), before);
    let expected = load.fork_during(|| drop(lab.cli("-g g snapshot v --name s").ok()));
    expected.verify(lab.device("g", "s"));
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

#[test]
fn an_inner_device_that_somebody_holds_open_goes_when_it_is_closed() {
    let lab = lab!(["mirror"], [32, 32]);
    volume(&lab, 1);
    lab.cli("-g g snapstart v").ok();
    let load = busy(&lab);
    let legs: Vec<String> = leaks::devices(&lab.dm)
        .iter()
        .filter(|i| i.uuid.contains("-plex"))
        .map(|i| i.name.clone())
        .collect();
    let nodes = legs
        .iter()
        .map(|name| format!("/dev/dm-{}", libc::minor(lab.dm.info(name).unwrap().dev)));
    let open: Vec<File> = nodes.map(|node| File::open(node).unwrap()).collect();
    assert_eq!(open.len(), 2);

    let aborted = lab.cli("-y -g g snapabort v");
    assert!([0, 1, 4, 8].contains(&aborted.status), "{aborted}");
    load.goes_on(30);
    assert_eq!(states(&lab), ["ACTIVE"]);
    // Somebody who only wants to look is told, and not kept.
    let looked = lab.cli("-g g print").ok();
    assert!(
        looked.stderr.matches("in use").count() <= open.len(),
        "{looked}"
    );
    drop(open);
    lab.cli("-g g recover").ok();
    assert_eq!(leaks::devices(&lab.dm).len(), 1, "{}", lab.dm.dump());
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

#[test]
fn a_snapshot_that_is_open_is_not_removed_and_its_original_is_free() {
    let lab = lab!(["mirror"], [32, 32]);
    volume(&lab, 1);
    lab.cli("-g g snapstart v").ok();
    lab.cli("-g g snapshot v").ok();
    let open = block::open_read(lab.device("g", "SNAP-v")).unwrap();
    lab.cli("-y -g g remove SNAP-v").exits(4);
    lab.cli("-g g stop SNAP-v").exits(4);
    lab.cli("-g g stop v").ok();
    drop(open);
    lab.cli("-g g stop SNAP-v").ok();
    lab.finish();
}

#[test]
fn a_disk_that_cannot_be_written_costs_a_warning_while_others_have_the_configuration() {
    let mut lab = lab!(["mirror", "flakey"], [32, 32, 32]);
    volume(&lab, 1);
    lab.fault(2, Fault::FailWrites);
    let made = lab.cli("-g g make w 4m --on disk01").ok();
    assert!(made.stderr.contains("disk03"), "{made}");
    lab.heal(2);
    lab.cli("-g g make x 4m --on disk01").ok();
    assert_eq!(lab.print("g").names(), ["v", "w", "x"]);
    lab.finish();
}

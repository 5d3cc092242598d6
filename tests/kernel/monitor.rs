//! The monitor as a service: what it tells systemd, how it holds out, and that there is always just
//! one that acts.

use crate::support::child::{self, DEADLINE, Running};
use crate::support::disk::Fault;
use crate::support::lab::{Lab, until};
use crate::support::monitor::{self, NoMonitor};
use crate::support::writer::{Style, Writer};
use crate::support::{MIB, block, udev};
use breakoff::linux::disk::media::BlockMedia;
use breakoff::meta::{self, Label, Member};
use breakoff::model::{Group, HostId};
use breakoff::sys::disk::Access;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// systemd's end of the notify protocol.
struct Systemd {
    socket: UnixDatagram,
    directory: tempfile::TempDir,
}

impl Systemd {
    fn new() -> Systemd {
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Systemd { socket, directory }
    }

    /// The monitor, started as the unit starts it.
    fn start(&self, environment: &[(&str, &str)]) -> Running {
        let mut command = Command::new(child::program());
        command
            .env("NOTIFY_SOCKET", self.directory.path().join("notify"))
            .env("WATCHDOG_USEC", "1000000")
            .envs(environment.iter().copied());
        child::start(command, "breakoff", &["monitor"])
    }

    /// Waits until it is told so.
    #[track_caller]
    fn hears(&self, words: &str) {
        let mut message = [0; 256];
        until(words, || {
            let length = self.socket.recv(&mut message).unwrap();
            let said = String::from_utf8_lossy(&message[..length]).into_owned();
            println!("{}: {said:?}", self.directory.path().display());
            said == words
        });
    }
}

fn states(lab: &Lab) -> Vec<String> {
    lab.print("g")
        .volume("v")
        .plexes
        .iter()
        .map(|p| p.state.clone())
        .collect()
}

/// A mirrored volume whose plexes count as equal, and nobody watches it.
fn unwatched(lab: &Lab) -> NoMonitor {
    lab.fill_with_noise();
    let nobody = NoMonitor::begin();
    lab.create_group("g");
    lab.cli("-g g make v 16m --mirrors 2 --on disk01,disk02")
        .ok();
    lab.wait_synced("g", "v");
    nobody
}

#[test]
fn a_service_says_that_it_is_ready_and_alive_and_stays_in_memory() {
    let mut lab = lab!(["mirror", "delay"], [32, 32, 32]);
    let nobody = unwatched(&lab);
    drop(nobody);
    let systemd = Systemd::new();
    let monitor = systemd.start(&[]);
    systemd.hears("READY=1\nSTATUS=watching");
    systemd.hears("STATUS=watching 1 mirror in 1 group");
    systemd.hears("WATCHDOG=1");
    systemd.hears("WATCHDOG=1");
    // A further copy, as long as it takes.
    let paused = lab.pause_end_of_leg("g", "disk03", 16 * MIB);
    lab.cli("-g g snapstart -b --on disk03 v").ok();
    systemd.hears("STATUS=watching 1 mirror in 1 group; 1 copy running");
    lab.heal(paused);
    systemd.hears("STATUS=watching 1 mirror in 1 group");
    let of = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", monitor.pid())).unwrap();
    assert_eq!(of("oom_score_adj").trim(), "-1000");
    let status = of("status");
    let locked = status
        .lines()
        .find_map(|line| line.strip_prefix("VmLck:"))
        .unwrap();
    assert_ne!(locked.split_whitespace().next(), Some("0"), "{locked}");
    monitor.signal(libc::SIGTERM);
    systemd.hears("STOPPING=1\nSTATUS=not watching any more");
    assert_eq!(monitor.wait(DEADLINE).status, 0);
    lab.finish();
}

#[test]
fn a_service_takes_over_from_a_monitor_and_nobody_else_does() {
    let mut lab = lab!(["mirror", "error"], [32, 32, 32]);
    drop(unwatched(&lab));
    let (first, second) = (Systemd::new(), Systemd::new());
    let one = first.start(&[]);
    first.hears("READY=1\nSTATUS=watching");
    let two = second.start(&[]);
    second.hears("READY=1\nSTATUS=another monitor is watching; this one takes over");
    lab.cli("monitor").exits(7).says(&one.pid().to_string());

    // The first is killed, and so is its successor before a leg dies; whoever comes next finishes
    // what it finds.
    one.signal(libc::SIGKILL);
    one.wait(DEADLINE);
    second.hears("READY=1\nSTATUS=watching");
    let load = Writer::start_filled(lab.device("g", "v"), 0, 256, Style::default());
    two.signal(libc::SIGKILL);
    two.wait(DEADLINE);
    lab.fault(1, Fault::Fail);
    load.wait_until_held();
    let last = first.start(&[]);
    load.goes_on(100);
    until("it is recorded", || states(&lab) == ["ACTIVE", "FAILED"]);
    load.stop().verify(lab.device("g", "v"));
    last.signal(libc::SIGTERM);
    assert_eq!(last.wait(DEADLINE).status, 0);
    lab.finish();
}

/// What a command has started is relieved, and what it was asked to guard is guarded all along.
#[test]
fn a_service_relieves_the_monitor_that_a_command_has_started() {
    let mut lab = lab!(["mirror", "error"], [32, 32, 32]);
    drop(unwatched(&lab));
    lab.cli("print").ok();
    until("a command has started a monitor", || {
        monitor::running().is_some()
    });
    let before = monitor::running().unwrap();
    let systemd = Systemd::new();
    let service = systemd.start(&[("WATCHDOG_USEC", "10000000")]);
    systemd.hears("READY=1\nSTATUS=watching");
    until("the other one has ended", || {
        !Path::new(&format!("/proc/{before}/environ")).exists()
    });
    assert_eq!(monitor::running(), Some(service.pid()));
    let load = Writer::start_filled(lab.device("g", "v"), 0, 256, Style::default());
    lab.fault(1, Fault::Fail);
    until("it is recorded", || states(&lab) == ["ACTIVE", "FAILED"]);
    load.goes_on(100);
    load.stop().verify(lab.device("g", "v"));
    service.signal(libc::SIGTERM);
    assert_eq!(service.wait(DEADLINE).status, 0);
    lab.finish();
}

/// Killed before each of its steps: whoever comes next finishes it, no write is lost, and what is
/// recorded is true.
#[test]
fn a_monitor_that_is_killed_before_any_step_loses_nothing() {
    let mut lab = lab!(["mirror", "error"], [32, 32, 32]);
    let mut nobody = unwatched(&lab);
    let load = Writer::start_filled(lab.device("g", "v"), 0, 256, Style::default());
    let systemd = Systemd::new();
    for (step, dies) in (1..).zip([0, 1].into_iter().cycle()) {
        lab.fault(dies, Fault::Fail);
        load.wait_until_held();
        drop(nobody);
        let mut dying = systemd.start(&[("BREAKOFF_KILL_AT", &step.to_string())]);
        until("it dies, or has done its work", || {
            !dying.runs() || !load.is_held(Duration::from_millis(100))
        });
        let died = !dying.runs();
        println!("step {step}: {}", if died { "killed" } else { "through" });
        dying.signal(libc::SIGTERM);
        dying.wait(DEADLINE);
        let last = systemd.start(&[]);
        load.goes_on(50);
        until("it is recorded", || states(&lab)[dies] == "FAILED");
        last.signal(libc::SIGTERM);
        assert_eq!(last.wait(DEADLINE).status, 0);
        nobody = NoMonitor::begin();
        lab.heal(dies);
        lab.cli(&format!("-g g plex attach v-0{}", dies + 1)).ok();
        if !died {
            assert!(step > 3, "only {step} steps could be killed");
            break;
        }
    }
    drop(nobody);
    load.stop().verify(lab.device("g", "v"));
    crate::support::plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

// --------------------------------------------------------- what is in sight and is not the group's

/// What a repair may take at the most while a disk hangs that it has no business with: it hangs for
/// an hour.
const SOON: Duration = Duration::from_secs(30);
const AREA: u64 = 4 * MIB;

/// A group `g` on the first disks with a mirror `v` on two of them, a writer on it, and the monitor
/// that the command has started.
fn watched(lab: &Lab, disks: usize) -> Writer {
    lab.fill_with_noise();
    lab.create_group_of("g", 0..disks);
    lab.cli("-g g make v 8m --mirrors 2 --on disk01,disk02")
        .ok();
    lab.wait_synced("g", "v");
    Writer::start_filled(lab.device("g", "v"), 0, 256, Style::default())
}

/// All of a disk but its end, which udev reads when it looks at what the disk is made of.
fn hang(lab: &mut Lab, disk: usize) {
    let size = lab.disks[disk].size;
    lab.fault_in(disk, 0..size - MIB, Fault::Paused);
}

/// A leg dies, and the writer goes on soon.
#[track_caller]
fn dies_and_is_taken_out(lab: &mut Lab, disk: usize, load: &Writer) {
    load.forget_stalls();
    lab.fault(disk, Fault::Fail);
    load.goes_on(100);
    assert!(
        load.longest_stall() < SOON,
        "writes were held for {:?}",
        load.longest_stall()
    );
}

fn label(lab: &Lab, disk: usize) -> Vec<u8> {
    lab.disks[disk].raw(0, AREA)
}

#[test]
fn a_disk_that_hangs_and_is_not_needed_keeps_no_repair_and_no_command_waiting() {
    let mut lab = lab!(["mirror", "error", "delay"], [24, 24, 24, 24]);
    let load = watched(&lab, 3);
    // One that is nobody's, and of which udev knows nothing.
    hang(&mut lab, 3);
    dies_and_is_taken_out(&mut lab, 1, &load);
    let begun = Instant::now();
    let printed = lab.cli("-g g print").ok();
    assert!(begun.elapsed() < SOON, "print took {:?}", begun.elapsed());
    printed.says(&lab.disks[3].name).says("did not answer");
    assert_eq!(states(&lab), ["ACTIVE", "FAILED"]);
    lab.cli("status").ok().says(&lab.disks[3].name);
    // Nor does it keep waiting who wants to take it into use: what is on it cannot be told.
    let begun = Instant::now();
    lab.cli(&format!("disk init {}", lab.disks[3].path().display()))
        .exits(7)
        .says(&lab.disks[3].name)
        .says("did not answer");
    assert!(
        begun.elapsed() < SOON,
        "disk init took {:?}",
        begun.elapsed()
    );
    lab.heal(3);

    // One of the group that no volume lies on: it misses the record of the failure, and no more.
    lab.heal(1);
    lab.cli("-g g plex attach v-02").ok();
    lab.wait_synced("g", "v");
    hang(&mut lab, 2);
    let before = label(&lab, 2);
    dies_and_is_taken_out(&mut lab, 0, &load);
    until("it is recorded", || states(&lab) == ["FAILED", "ACTIVE"]);
    assert!(
        label(&lab, 2) == before,
        "the disk that hangs was written to"
    );
    lab.heal(2);
    lab.heal(0);
    lab.cli("-g g plex attach v-01").ok();
    assert!(label(&lab, 2) != before, "the next change reaches it");
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

/// The monitor keeps groups as it has left them, to be quick when a leg fails. What commands change
/// meanwhile that it does not see in the kernel must not be undone by what it records then.
#[test]
fn a_failure_is_recorded_on_top_of_what_commands_have_changed() {
    let mut lab = lab!(["mirror", "error"], [24, 24, 24]);
    let load = watched(&lab, 3);
    lab.cli("-g g make other 2m").ok();
    std::thread::sleep(Duration::from_secs(1));
    // Neither is seen in the kernel.
    lab.cli("-g g stop other").ok();
    lab.cli("-g g rename other renamed").ok();
    let generation = lab.print("g").generation;
    dies_and_is_taken_out(&mut lab, 1, &load);
    until("it is recorded", || states(&lab) == ["ACTIVE", "FAILED"]);
    let after = lab.print("g").generation;
    assert!(after > generation, "{generation:?} {after:?}");
    lab.print("g").volume("renamed");

    // The same once more, with what is kept since, and with nothing changed.
    lab.heal(1);
    lab.cli("-g g plex attach v-02").ok();
    lab.wait_synced("g", "v");
    std::thread::sleep(Duration::from_secs(1));
    dies_and_is_taken_out(&mut lab, 0, &load);
    until("it is recorded", || states(&lab) == ["FAILED", "ACTIVE"]);
    lab.print("g").volume("renamed");
    lab.heal(0);
    lab.cli("-g g plex attach v-01").ok();
    lab.wait_synced("g", "v");
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

#[test]
fn copies_in_sight_keep_no_repair_waiting_and_are_not_written_to() {
    let mut lab = lab!(["mirror", "error"], [24, 24, 24, 24, 24, 24]);
    let load = watched(&lab, 3);
    for disk in 0..3 {
        block::write_direct(lab.disks[disk + 3].path(), 0, &label(&lab, disk)).unwrap();
    }
    udev::settle();
    lab.refuses(9, "-g g print");
    let copies: Vec<Vec<u8>> = (3..6).map(|disk| label(&lab, disk)).collect();
    dies_and_is_taken_out(&mut lab, 1, &load);
    lab.cli("status")
        .ok()
        .says("group 'g' is refused")
        .says("its running part is monitored")
        .says("FAILED");

    // The same without a monitor: `recover` is all that is needed.
    lab.heal(1);
    for disk in 3..6 {
        block::write_direct(lab.disks[disk].path(), 0, &vec![0; AREA as usize]).unwrap();
    }
    udev::settle();
    lab.cli("-g g plex attach v-02").ok();
    lab.wait_synced("g", "v");
    for (disk, copy) in lab.disks[3..].iter().zip(&copies) {
        block::write_direct(disk.path(), 0, copy).unwrap();
    }
    udev::settle();
    lab.refuses(9, "-g g make w 1m");
    kill_monitor();
    let nobody = NoMonitor::begin();
    lab.fault(0, Fault::Fail);
    load.wait_until_held();
    // The log lies on that disk, too, and the kernel may find it dead before the leg.
    let found = lab
        .cli("recover --check")
        .exits(9)
        .says("group 'g' is refused");
    assert!(
        ["FAILED", "g/v log failed"]
            .iter()
            .any(|text| found.stdout.contains(text)),
        "{found}"
    );
    lab.cli("recover").ok();
    load.goes_on(100);
    drop(nobody);
    assert!(
        (3..6).all(|disk| label(&lab, disk) == copies[disk - 3]),
        "a copy was written to"
    );
    for disk in 3..6 {
        block::write_direct(lab.disks[disk].path(), 0, &vec![0; AREA as usize]).unwrap();
    }
    udev::settle();
    assert_eq!(states(&lab), ["FAILED", "ACTIVE"]);
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

/// Commits a change of the group to its disks behind the program's back.
fn rewrite(lab: &Lab, disks: &[usize], change: impl FnOnce(&mut Group)) {
    let open = |i: usize| BlockMedia::open(&lab.disks[i].path(), Access::ReadWrite).unwrap();
    let found: Vec<(String, Label)> = disks
        .iter()
        .map(|i| {
            (
                lab.disks[*i].word(),
                meta::read_disk(&open(*i)).unwrap().unwrap(),
            )
        })
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
    assert_eq!(
        meta::prepare(&mut members, &chosen.group, chosen.next, &chosen.lineage)
            .unwrap()
            .flip()
            .flipped,
        disks.len()
    );
}

#[test]
fn a_group_that_the_monitor_must_not_touch_is_said_and_looked_at_again_by_itself() {
    let mut lab = lab!(["mirror", "error"], [24, 24]);
    let load = watched(&lab, 2);
    let mut here = None;
    rewrite(&lab, &[0, 1], |group| {
        here = group.host.replace(HostId::from_bytes([0xab; 16]));
    });
    lab.fault_in(1, AREA..23 * MIB, Fault::Fail);
    load.wait_until_held();
    // Nothing happens in the kernel any more, so that only patience brings it back to the group.
    assert!(
        load.is_held(Duration::from_secs(3)),
        "a group of another machine was changed"
    );
    rewrite(&lab, &[0, 1], |group| group.host = here);
    load.goes_on(100);
    until("it is recorded", || states(&lab) == ["ACTIVE", "FAILED"]);
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

// -------------------------------------------------------------------------- a monitor that is dead

fn kill_monitor() {
    until("a monitor runs", || monitor::running().is_some());
    let pid = nix::unistd::Pid::from_raw(monitor::running().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    until("the monitor is gone", || {
        !fs::exists(format!("/proc/{pid}")).unwrap_or(true) || state_of(pid.as_raw()) == Some('Z')
    });
}

fn state_of(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[test]
fn whoever_sees_mirrors_sees_to_it_that_they_are_watched() {
    let mut lab = lab!(["mirror", "error"], [24, 24, 24]);
    let load = watched(&lab, 3);
    lab.cli("-g g snapstart v --on disk03").ok();
    for words in [
        "-g g print",
        "-g g snapprint",
        "-g g snapwait v",
        "recover",
        "group show g",
    ] {
        kill_monitor();
        lab.cli(words).ok();
        until(&format!("'{words}' has started a monitor"), || {
            monitor::running().is_some()
        });
    }
    kill_monitor();
    lab.cli("status").ok().says("was not running");
    until("it was started", || monitor::running().is_some());
    let again = lab.cli("status").ok();
    assert!(!again.stdout.contains("was not running"), "{again}");
    dies_and_is_taken_out(&mut lab, 1, &load);
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

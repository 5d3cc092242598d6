//! The monitor as a service: what it tells systemd, how it holds out, and that there is always just one that acts.

use crate::support::child::{self, DEADLINE, Running};
use crate::support::disk::Fault;
use crate::support::lab::{Lab, until};
use crate::support::monitor::NoMonitor;
use crate::support::writer::{Style, Writer};
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

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
            .envs(environment.iter().copied())
            .env("NOTIFY_SOCKET", self.directory.path().join("notify"))
            .env("WATCHDOG_USEC", "1000000");
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
    lab.print("g").volume("v").plexes.iter().map(|p| p.state.clone()).collect()
}

/// A mirrored volume whose plexes count as equal, and nobody watches it.
fn unwatched(lab: &Lab) -> NoMonitor {
    lab.fill_with_noise();
    let nobody = NoMonitor::begin();
    lab.create_group("g");
    lab.cli("-g g make v 16m --mirrors 2 --on disk01,disk02").ok();
    lab.wait_synced("g", "v");
    nobody
}

#[test]
fn a_service_says_that_it_is_ready_and_alive_and_stays_in_memory() {
    let lab = lab!(["mirror"], [32, 32, 32]);
    let nobody = unwatched(&lab);
    drop(nobody);
    let systemd = Systemd::new();
    let monitor = systemd.start(&[]);
    systemd.hears("READY=1\nSTATUS=watching");
    systemd.hears("WATCHDOG=1");
    systemd.hears("WATCHDOG=1");
    let of = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", monitor.pid())).unwrap();
    assert_eq!(of("oom_score_adj").trim(), "-1000");
    let status = of("status");
    let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
    assert_ne!(locked.split_whitespace().next(), Some("0"), "{locked}");
    monitor.signal(libc::SIGTERM);
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

    // The first is killed, and so is its successor before a leg dies; whoever comes next finishes what it finds.
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

/// Killed before each of its steps: whoever comes next finishes it, no write is lost, and what is recorded is true.
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
        until("it dies, or has done its work", || !dying.runs() || !load.is_held(Duration::from_millis(100)));
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

//! Snapshot legs on another machine (NBD, NVMe over TCP): the link is lost while the leg is filled,
//! in sync, at the split and afterwards, and comes back.
//!
//! Each line that begins with `SEEN` is a row of `docs/remote-legs.md`.

use crate::support::child::Output;
use crate::support::disk::Fault;
use crate::support::lab::{Lab, until};
use crate::support::nbd::{self, Nbd};
use crate::support::remote::{self, Iscsi, Nvme};
use crate::support::stamp::Expectation;
use crate::support::writer::{Style, Writer};
use crate::support::{MIB, plexes, udev};
use std::path::Path;
use std::time::{Duration, Instant};

const SIZE: u64 = 40 * MIB;

/// A disk on another machine, with what can become of the way to it.
trait Far {
    fn path(&self) -> &Path;
    /// Nothing arrives any more, and nobody is told.
    fn silence(&mut self);
    /// The connection is reset, and new ones are refused.
    fn reset(&mut self);
    /// The way is as before.
    fn restore(&mut self);
    /// Whether it can only come back when nobody has it open.
    fn comes_back_closed(&self) -> bool {
        false
    }
}

struct OverNbd(Nbd, Option<Duration>);

impl Far for OverNbd {
    fn path(&self) -> &Path {
        &self.0.path
    }
    fn silence(&mut self) {
        self.0.stop();
    }
    fn reset(&mut self) {
        self.0.kill();
    }
    fn restore(&mut self) {
        self.0.connect(self.1).unwrap();
    }
    /// The kernel takes no new connection for a device that is open.
    fn comes_back_closed(&self) -> bool {
        true
    }
}

impl Far for Nvme {
    fn path(&self) -> &Path {
        &self.path
    }
    fn silence(&mut self) {
        self.relay.stop();
    }
    fn reset(&mut self) {
        self.relay.cut();
    }
    fn restore(&mut self) {
        self.relay.open().unwrap();
        until("the controller is live", || {
            self.state().as_deref() == Some("live")
        });
        udev::settle();
    }
}

impl Far for Iscsi {
    fn path(&self) -> &Path {
        &self.path
    }
    fn silence(&mut self) {
        self.relay.stop();
    }
    fn reset(&mut self) {
        self.relay.cut();
    }
    fn restore(&mut self) {
        self.relay.open().unwrap();
        until("the session is back", || self.is_running());
        udev::settle();
    }
}

fn seen(kind: &str, what: &str, how: &str) {
    println!("SEEN | {kind} | {what} | {how} |");
}

fn states(lab: &Lab) -> Vec<String> {
    lab.print("g")
        .volume("v")
        .plexes
        .iter()
        .map(|p| format!("{} {}", p.name, p.state))
        .collect()
}

/// The leg has failed: the writer goes on, and it is recorded. Returns how long writes were held.
#[track_caller]
fn taken_out(lab: &Lab, load: &Writer, within: Duration) -> Duration {
    load.goes_on(50);
    let stall = load.longest_stall();
    assert!(stall < within, "writes were held for {stall:?}");
    until("the leg is no longer one", || {
        !states(lab)
            .iter()
            .any(|s| s.ends_with("SNAPDONE") || s.ends_with("SNAPATT"))
    });
    stall
}

/// A leg is filled and ready, in the place of one that has failed.
#[track_caller]
fn leg(lab: &Lab) -> Output {
    if lab.print("g").volume("v").plexes.len() > 2 {
        lab.cli("-g g plex remove v-03").ok();
    }
    until("the far disk is here", || {
        let disks = lab.print("g").disks;
        disks
            .iter()
            .any(|d| d.media == "far" && d.state == "online")
    });
    lab.cli("-g g snapstart v --on far").ok()
}

/// The link of a snapshot is lost for a while: the original does not notice.
#[track_caller]
fn lost_and_back(kind: &str, lab: &Lab, far: &mut impl Far, load: &Writer, expected: &Expectation) {
    load.forget_stalls();
    far.silence();
    load.goes_on(100);
    let stall = load.longest_stall();
    assert!(
        stall < Duration::from_secs(3),
        "writes were held for {stall:?}"
    );
    let read = expected.check(lab.device("g", "SNAP-v")).err();
    let held = stall.as_secs_f32();
    let told = format!("writes to the original held {held:.1} s; a read of the snapshot: {read:?}");
    assert!(read.is_some(), "the snapshot can be read without its disk");
    seen(kind, "silence after the split", &told);
    far.reset();
    far.restore();
    lab.cli("recover").ok();
    expected.verify(lab.device("g", "SNAP-v"));
}

fn cycle(kind: &str, mut lab: Lab, mut far: impl Far, within: Duration) {
    lab.fill_with_noise();
    let disks = format!(
        "disk01={} disk02={} far={}",
        lab.disks[0].word(),
        lab.disks[1].word(),
        far.path().display()
    );
    lab.cli(&format!("group create g {disks}")).ok();
    // The target of NVMe has the sectors of the filesystem that its file is on.
    lab.cli("-g g make v 24m --mirrors 2 --sector-size 4096 --on disk01,disk02")
        .ok();
    lab.wait_synced("g", "v");
    let load = Writer::start_filled(lab.device("g", "v"), 0, 128, Style::default());

    // While it is filled.
    lab.fault(
        0,
        Fault::Slow {
            read: 150,
            write: 0,
        },
    );
    lab.cli("-g g snapstart -b v --on far").ok();
    until("some of it is filled", || {
        lab.print("g").volume("v").plexes[2]
            .sync
            .as_ref()
            .is_some_and(|sync| sync.done > 0)
    });
    load.forget_stalls();
    far.silence();
    let stall = taken_out(&lab, &load, within);
    lab.heal(0);
    seen(
        kind,
        "silence while the leg is filled",
        &format!(
            "writes held {:.1} s, {:?}",
            stall.as_secs_f32(),
            states(&lab)
        ),
    );
    far.reset();
    far.restore();
    udev::settle();
    leg(&lab);

    // In sync.
    load.forget_stalls();
    far.reset();
    let stall = taken_out(&lab, &load, within);
    seen(
        kind,
        "connection reset, leg in sync",
        &format!(
            "writes held {:.1} s, {:?}",
            stall.as_secs_f32(),
            states(&lab)
        ),
    );
    far.restore();
    leg(&lab);

    // At the split.
    load.forget_stalls();
    far.silence();
    let begun = Instant::now();
    let split = lab.cli("-g g snapshot v");
    assert_ne!(split.status, 0, "{split}");
    let took = begun.elapsed();
    let stall = taken_out(&lab, &load, within);
    seen(
        kind,
        "silence at the split",
        &format!(
            "refused with {} after {:.1} s, writes held {:.1} s: {}",
            split.status,
            took.as_secs_f32(),
            stall.as_secs_f32(),
            split.stderr.trim()
        ),
    );
    far.reset();
    far.restore();
    leg(&lab);

    // The snapshot is out.
    let expected = load.fork_during(|| drop(lab.cli("-g g snapshot v").ok()));
    expected.verify(lab.device("g", "SNAP-v"));
    load.goes_on(30);
    // What has it open is the snapshot, which would have to be stopped, and that its disk be there.
    if !far.comes_back_closed() {
        lost_and_back(kind, &lab, &mut far, &load, &expected);
    }
    let back = lab.cli("-g g snapback SNAP-v").ok();
    let said = back.stdout.lines().next().unwrap_or_default();
    seen(kind, "back, snapback", said);
    assert!(back.stdout.contains("tracked yes"), "{back}");
    let expected = load.fork_during(|| drop(lab.cli("-g g snapshot v").ok()));
    expected.verify(lab.device("g", "SNAP-v"));
    load.stop().verify(lab.device("g", "v"));
    plexes::assert_equal(&lab, "g", "v");
    lab.remove_everything();
    drop(far);
    lab.finish();
}

#[test]
#[ignore = "waits for real time-outs (scripts/remote-legs)"]
fn a_leg_over_nbd_is_lost_and_comes_back() {
    let lab = lab!(["mirror", "delay", "era"], [40, 40]);
    if !nbd::is_there() {
        println!("SKIP remote::a_leg_over_nbd_is_lost_and_comes_back: this kernel has no nbd");
        return;
    }
    let timeout = Some(Duration::from_secs(3));
    let far = OverNbd(Nbd::new(SIZE, timeout).unwrap(), timeout);
    cycle("NBD, timeout 3 s", lab, far, Duration::from_secs(30));
}

/// `scripts/remote-legs` runs it: not every distribution's kernel for VMs has a target.
#[test]
#[ignore = "needs nvmet (scripts/remote-legs)"]
fn a_leg_over_nvme_is_lost_and_comes_back() {
    let lab = lab!(["mirror", "delay", "era"], [40, 40]);
    assert!(remote::has_nvme(), "this kernel has no NVMe over TCP");
    let options = "keep_alive_tmo=2,reconnect_delay=1,fast_io_fail_tmo=3,ctrl_loss_tmo=60";
    let far = Nvme::new(SIZE, options).unwrap();
    cycle(
        &format!("NVMe/TCP, {options}"),
        lab,
        far,
        Duration::from_secs(30),
    );
}

/// open-iscsi is no part of the guest of `scripts/test`: `scripts/remote-legs` brings it in.
#[test]
#[ignore = "needs open-iscsi (scripts/remote-legs)"]
fn a_leg_over_iscsi_is_lost_and_comes_back() {
    let lab = lab!(["mirror", "delay", "era"], [40, 40]);
    assert!(remote::has_iscsi(), "this kernel has no iSCSI");
    let settings = [
        ("node.session.timeo.replacement_timeout", "5"),
        ("node.conn[0].timeo.noop_out_interval", "2"),
        ("node.conn[0].timeo.noop_out_timeout", "2"),
    ];
    let far = Iscsi::new(SIZE, &settings).unwrap();
    let kind = "iSCSI, replacement_timeout 5, noop_out 2+2";
    cycle(kind, lab, far, Duration::from_secs(40));
}

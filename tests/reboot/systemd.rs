//! The systemd units on a machine that boots with systemd and is shut down by it: volumes are there
//! before `/etc/fstab` is mounted, with the monitor before them, and are stopped cleanly after it
//! has been unmounted. The test runs outside and boots a VM several times on the same disks;
//! `guest_side` is what it runs inside.

use crate::support::child::{DEADLINE, Output, start_as, tool};
use crate::support::dm::{Dm, MirrorStatus};
use crate::support::lab::until;
use crate::support::machine::{Machine, note, phase};
use std::fs;
use std::path::Path;

/// A filesystem on a mirror, and one that is encrypted.
const FSTAB: &str =
    "/dev/breakoff/g/v /mnt ext4 defaults 0 0\n/dev/mapper/secret /srv ext4 defaults 0 0\n";
const CRYPTTAB: &str = "secret /dev/breakoff/g/encrypted /etc/secret luks\n";
const SECRET: &str = "not a secret";
const WRITTEN: &str = "under systemd\n";
const MONITOR: &str = "breakoff-monitor.service";
const METRICS: &str = "breakoff-metrics.service";
const START: &str = "breakoff-start.service";
const WITNESS: &str = "/etc/breakoff/witness";

#[test]
fn the_units_start_volumes_before_they_are_mounted_and_stop_them_cleanly_after_unmounting() {
    let name =
        "the_units_start_volumes_before_they_are_mounted_and_stop_them_cleanly_after_unmounting";
    let Some(mut machine) = Machine::new(name, 2) else {
        return;
    };
    machine.keep("etc/crypttab".to_owned(), CRYPTTAB.to_owned());
    machine.keep("etc/secret".to_owned(), SECRET.to_owned());
    machine.boot("a filesystem on a mirror");
    // Beside LVM, which at shutdown removes whatever device-mapper devices it finds.
    let journal = machine.boot_with_systemd("under systemd", FSTAB, &[]);
    assert_shut_down_well(&journal);
    in_order(
        &journal,
        &[
            "Stopped blk-availability.service",
            "Stopped breakoff-start.service",
        ],
    );
    // What lies on volumes is closed before they are stopped.
    for volume in ["v", "encrypted", "divided"] {
        let stopped = format!("g/{volume} stopped");
        assert!(journal.contains(&stopped), "there is no '{stopped}'");
    }
    // And on its own.
    let journal = machine.boot_with_systemd("under systemd", FSTAB, &["blk-availability.service"]);
    assert_shut_down_well(&journal);
    assert!(
        journal.contains("g/v started: after clean stop"),
        "the stop before was not clean"
    );
    machine.boot("after systemd has stopped it");
    // One of the two disks alone: what this machine has seen last says that it is the newest.
    let [group, seen] = ["group", "seen"].map(|name| machine.noted(name).unwrap().to_owned());
    machine.keep(format!("etc/breakoff/witness/{group}.json"), seen);
    machine.without(&[1]);
    machine.keep(
        "etc/systemd/system/breakoff-waiting@.timer.d/patience.conf".to_owned(),
        "[Timer]\nOnActiveSec=\nOnActiveSec=8s\n".to_owned(),
    );
    let journal = machine.boot_with_systemd("half of it", FSTAB, &[]);
    assert_shut_down_well(&journal);
    let said = |words: &str| journal.matches(words).count();
    // A boot, three disks at once, two of them again.
    assert_eq!(said("'g/v' waits for disk 'disk02'"), 1);
    assert_eq!((said("h/plain started"), said("h/m started")), (2, 2));
    assert!(said("'h/m' waits for disk 'disk02'") > 0);
}

#[track_caller]
fn assert_shut_down_well(journal: &str) {
    in_order(
        journal,
        &[
            "Unmounted mnt.mount",
            "Stopping breakoff-start.service",
            "Stopped breakoff-start.service",
        ],
    );
    in_order(
        journal,
        &[
            "Stopped breakoff-start.service",
            "Stopping breakoff-monitor.service",
            "Stopped breakoff-monitor.service",
        ],
    );
    assert!(
        journal.contains("breakoff-start.service: Deactivated successfully"),
        "the stop fails"
    );
    assert!(
        journal.contains("breakoff-monitor.service: Deactivated successfully"),
        "the monitor does not end well"
    );
    assert!(!journal.contains("timed out"), "systemd had to wait");
}

/// Fails the test unless PID 1 has said all of it, one after the other.
#[track_caller]
fn in_order(journal: &str, said: &[&str]) {
    let mut lines = journal
        .lines()
        .filter(|line| line.contains(" systemd[1]: "));
    for words in said {
        assert!(
            lines.any(|line| line.contains(words)),
            "systemd does not say '{words}', or not in this order: {said:?}"
        );
    }
}

/// What runs in the VM.
#[test]
fn guest_side() {
    let Some(phase) = phase() else { return };
    match phase.as_str() {
        "a filesystem on a mirror" => filesystem_on_a_mirror(),
        "under systemd" => under_systemd(),
        "after systemd has stopped it" => after_systemd_has_stopped_it(),
        "half of it" => half_of_it(),
        other => panic!("there is no '{other}'"),
    }
}

/// Runs the program; all is on the bare disks, as systemd will find them.
#[track_caller]
fn breakoff(words: &str) -> Output {
    start_as("breakoff", &words.split_whitespace().collect::<Vec<_>>())
        .wait(DEADLINE)
        .ok()
}

fn is_in_sync() -> bool {
    Dm::open()
        .unwrap()
        .mirrors("g-v")
        .iter()
        .all(MirrorStatus::in_sync)
}

fn filesystem_on_a_mirror() {
    breakoff("group create g /dev/vda /dev/vdb");
    breakoff("-g g make v 16m --mirrors 2");
    until("the plexes are equal", is_in_sync);
    tool("mkfs.ext4", &["-q", "/dev/breakoff/g/v"]).ok();

    breakoff("-g g make encrypted 24m --on disk01");
    fs::write("/etc/secret", SECRET).unwrap();
    let (volume, key) = ("/dev/breakoff/g/encrypted", "--key-file=/etc/secret");
    let fast = ["--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000"];
    let format = ["--batch-mode", "luksFormat", volume, key];
    tool("cryptsetup", &[&format[..], &fast].concat()).ok();
    tool("cryptsetup", &["open", volume, "secret", key]).ok();
    tool("mkfs.ext4", &["-q", "/dev/mapper/secret"]).ok();
    tool("cryptsetup", &["close", "secret"]).ok();

    breakoff("-g g make divided 12m --on disk01");
    lvm("pvcreate -q -y /dev/mapper/g-divided");
    lvm("vgcreate -q -y vg /dev/mapper/g-divided");
    lvm("lvcreate -q -y -Z n -W n -L 8m -n lv vg");
    tool("mkfs.ext4", &["-q", "/dev/mapper/vg-lv"]).ok();
    lvm("vgchange -q -an vg");
    breakoff("-g g stop --all");
}

/// LVM, which sees one volume alone.
#[track_caller]
fn lvm(words: &str) {
    let only =
        r#"devices { filter = ["a|^/dev/mapper/g-divided$|", "r|.*|"] use_devicesfile = 0 }"#;
    let mut all: Vec<&str> = words.split_whitespace().collect();
    all.extend(["--config", only]);
    tool("lvm", &all).ok();
}

fn under_systemd() {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    assert!(mounts.contains("/dev/mapper/g-v /mnt ext4 rw"), "{mounts}");
    assert!(
        mounts.contains("/dev/mapper/secret /srv ext4 rw"),
        "{mounts}"
    );
    fs::write("/mnt/file", WRITTEN).unwrap();
    fs::write("/srv/file", WRITTEN).unwrap();
    // Nobody else takes the logical volume down.
    if show("blk-availability.service", "LoadState") != "masked" {
        lvm("vgchange -q -ay vg");
        fs::create_dir_all("/media").unwrap();
        tool("mount", &["/dev/mapper/vg-lv", "/media"]).ok();
    }

    let at = |unit: &str, property: &str| show(unit, property).parse::<u64>().unwrap();
    assert!(
        at(MONITOR, "ActiveEnterTimestampMonotonic")
            <= at(START, "ExecMainStartTimestampMonotonic")
    );
    assert!(
        at(START, "ActiveEnterTimestampMonotonic")
            <= at("mnt.mount", "InactiveExitTimestampMonotonic")
    );
    assert_eq!(
        (show(START, "ActiveState"), show(START, "Result")),
        ("active".into(), "success".into())
    );

    let monitor = watching();
    assert_eq!(show(MONITOR, "NRestarts"), "0");
    assert_eq!(show(MONITOR, "WatchdogUSec"), "5min");
    // The process that writes disks for it is a child of its own.
    assert_eq!(
        tool("pgrep", &["-P", "1", "-f", "^/usr/bin/breakoff monitor"])
            .ok()
            .stdout
            .trim(),
        monitor,
        "there is another monitor"
    );
    let of = |file: &str| fs::read_to_string(format!("/proc/{monitor}/{file}")).unwrap();
    assert_eq!(of("oom_score_adj").trim(), "-1000");
    let status = of("status");
    let locked = status
        .lines()
        .find(|line| line.starts_with("VmLck:"))
        .unwrap();
    assert!(!locked.ends_with("\t       0 kB"), "{locked}");

    metrics_are_written();
    tool("kill", &["-KILL", &monitor]).ok();
    until("systemd starts the monitor again", || {
        show(MONITOR, "NRestarts") == "1" && show(MONITOR, "ActiveState") == "active"
    });
    assert_ne!(watching(), monitor);
}

/// By the unit, with all that is forbidden to it, and into the place where the collector looks.
fn metrics_are_written() {
    let place = "/var/lib/prometheus/node-exporter";
    tool("systemctl", &["start", METRICS]).ok();
    assert_eq!(show(METRICS, "ConditionResult"), "no");
    fs::create_dir_all(place).unwrap();
    tool("systemctl", &["start", METRICS]).ok();
    assert_eq!(show(METRICS, "Result"), "success");
    let text = fs::read_to_string(format!("{place}/breakoff.prom")).unwrap();
    println!("{text}");
    for line in [
        "breakoff_up 1",
        "breakoff_monitor_running 1",
        "breakoff_group_findings{group=\"g\"} 0",
        "breakoff_volume_started{group=\"g\",volume=\"v\"} 1",
        "breakoff_disk_state{group=\"g\",disk=\"disk02\",state=\"online\"} 1",
    ] {
        assert!(text.lines().any(|said| said == line), "{line}");
    }
    assert_eq!(fs::read_dir(place).unwrap().count(), 1);
    tool("systemctl", &["start", "breakoff-metrics.timer"]).ok();
    assert_eq!(show("breakoff-metrics.timer", "ActiveState"), "active");
}

/// The monitor's process, when it has said that it is at work.
#[track_caller]
fn watching() -> String {
    assert_eq!(show(MONITOR, "ActiveState"), "active");
    until("the monitor says what it watches", || {
        show(MONITOR, "StatusText") == "watching 1 mirror in 1 group"
    });
    show(MONITOR, "MainPID")
}

#[track_caller]
fn show(unit: &str, property: &str) -> String {
    let Output { stdout, .. } = tool(
        "systemctl",
        &["show", unit, "--value", "--property", property],
    )
    .ok();
    stdout.trim().to_owned()
}

fn after_systemd_has_stopped_it() {
    let started = breakoff("start --auto").says("g/v started: after clean stop");
    assert!(
        !started.stderr.contains("synchronis"),
        "its plexes are resynchronised:\n{started}"
    );
    assert!(is_in_sync());
    tool("mount", &["/dev/breakoff/g/v", "/mnt"]).ok();
    assert_eq!(fs::read_to_string("/mnt/file").unwrap(), WRITTEN);
    tool("umount", &["/mnt"]).ok();
    breakoff("-g g stop --all");
    let seen = fs::read_dir(WITNESS)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    note("group", seen.file_stem().unwrap().to_str().unwrap());
    note(
        "seen",
        fs::read_to_string(&seen).unwrap().replace('\n', " "),
    );
}

fn half_of_it() {
    assert!(!Path::new("/dev/vdb").exists());
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    assert!(mounts.contains("/dev/mapper/g-v /mnt ext4 rw"), "{mounts}");
    assert_eq!(fs::read_to_string("/mnt/file").unwrap(), WRITTEN);
    assert_eq!(
        (show(START, "ActiveState"), show(START, "Result")),
        ("active".into(), "success".into())
    );
    breakoff("-g g print").says("disk02").says("is missing");
    // The start was told to the journal, which explains it.
    tool("journalctl", &["--update-catalog"]).ok();
    let told = || tool("journalctl", &["-b", "-x", "BREAKOFF_EVENT=plex-state"]).ok();
    until("the journal has it", || told().stdout.contains("Subject: "));
    told()
        .says("Subject: Volume g/v runs without its plex v-02")
        .says("The plex is FAILED now: it is not written")
        .says("breakoff -g g plex attach v-02");
    disks_that_are_plugged_in();
}

/// Disks that appear while the machine runs, by udev and systemd alone.
fn disks_that_are_plugged_in() {
    let attach = |n: usize| {
        let disk = tool("losetup", &["-f", "--show", &format!("/tmp/disk{n}")]).ok();
        disk.stdout.trim().to_owned()
    };
    let started = |volume: &str| Dm::open().unwrap().exists(&format!("h-{volume}"));
    let pull_all = || {
        breakoff("-g h stop --all");
        tool("losetup", &["-D"]).ok();
    };
    for n in 1..=3 {
        tool("truncate", &["-s", "32M", &format!("/tmp/disk{n}")]).ok();
    }
    let disks = [1, 2, 3].map(attach).join(" ");
    breakoff(&format!("group create h {disks}"));
    breakoff("-g h make m 4m --mirrors 2 --on disk01,disk02");
    breakoff("-g h make plain 4m --on disk03");
    breakoff("-g h stop --all");
    settle();
    assert!(!started("m") && !started("plain"), "a label has started it");
    pull_all();

    for n in [3, 1, 2] {
        attach(n);
    }
    until("the volumes are started", || {
        started("m") && started("plain")
    });
    let layout = breakoff("-g h print m").stdout;
    assert_eq!(layout.matches(" ACTIVE ").count(), 3, "{layout}");
    // Nothing has appeared.
    breakoff("-g h stop m");
    for action in ["change", "add"] {
        tool(
            "udevadm",
            &["trigger", "--subsystem-match=block", "--action", action],
        )
        .ok();
        settle();
    }
    assert!(!started("m"), "an event has started it");
    pull_all();

    for n in [3, 1] {
        attach(n);
    }
    until("what is complete is started", || started("plain"));
    assert!(!started("m"), "it does not wait");
    until("what has waited is started", || started("m"));
    pull_all();
}

/// Waits until udev has processed all events, and systemd what they want.
fn settle() {
    tool("udevadm", &["settle"]).ok();
    until("the units have run", || {
        let pending = [
            "list-units",
            "--no-legend",
            "--state=activating",
            "breakoff-group@*",
        ];
        tool("systemctl", &pending).ok().stdout.is_empty()
    });
}

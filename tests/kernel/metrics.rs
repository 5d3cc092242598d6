//! `metrics` on a real group: a copy is running, a leg has failed, a snapshot is out. What it says is
//! what the kernel says, and nothing waits for it.

use crate::support::MIB;
use crate::support::block;
use crate::support::disk::Fault;
use crate::support::lab::{Lab, until};
use crate::support::monitor::NoMonitor;
use crate::support::writer::{Style, Writer};
use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

/// Each sample by its name with its labels, as they are printed.
type Read = BTreeMap<String, f64>;

fn read(text: &str) -> Read {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let pair = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    samples.map(pair).collect()
}

fn metrics(lab: &Lab, words: &str) -> Read {
    read(&lab.cli(words).ok().stdout)
}

#[track_caller]
fn at(found: &Read, sample: &str) -> f64 {
    *found
        .get(sample)
        .unwrap_or_else(|| panic!("there is no {sample} in {found:#?}"))
}

#[test]
fn metrics_say_what_the_kernel_says() {
    let mut lab = lab!(
        ["mirror", "error", "delay", "era", "zero"],
        [32, 32, 32, 32, 32]
    );
    lab.fill_with_noise();
    drop(NoMonitor::begin());
    lab.create_group("g");
    lab.cli("-g g make v 16m --on disk01").ok();
    let found = metrics(&lab, "metrics");
    assert_eq!(at(&found, "breakoff_monitor_running"), 0.0);
    let nobody = NoMonitor::begin();
    lab.cli("-g g snapstart --on disk02 v").ok();
    lab.cli("-g g snapshot v --name s").ok();
    lab.cli("-g g make m 8m --mirrors 2 --on disk01,disk03")
        .ok();
    lab.wait_synced("g", "m");
    block::write_direct(lab.device("g", "v"), 1 << 20, &block::noise(7, 65536)).unwrap();

    // How much has changed, and how full its map is: as the kernel has it.
    let found = metrics(&lab, "metrics --changes");
    println!("{}", lab.cli("metrics --changes").ok().stdout);
    let changed = |side: &str| {
        let labels = format!("group=\"g\",snapshot=\"s\",side=\"{side}\"");
        at(
            &found,
            &format!("breakoff_snapshot_changed_bytes{{{labels}}}"),
        )
    };
    assert_eq!((changed("original"), changed("snapshot")), (65536.0, 0.0));
    assert_eq!(at(&found, "breakoff_up"), 1.0);
    let fill = |field: &str| {
        let labels = "group=\"g\",volume=\"v\"";
        at(
            &found,
            &format!("breakoff_change_map_{field}_bytes{{{labels}}}"),
        )
    };
    // "8 USED/TOTAL ERA HELD", which tells what is committed and what is not.
    let status = lab.dm.status("g-v").unwrap().remove(0);
    let (used, total) = status.words()[1].split_once('/').unwrap();
    let (used, total): (f64, f64) = (used.parse().unwrap(), total.parse().unwrap());
    assert_eq!(fill("size"), total * 4096.0, "{status:?}");
    let off = (fill("used") / 4096.0 - used).abs();
    assert!(off <= 4.0, "{} and {status:?}", fill("used"));

    // A copy that cannot end, a leg that has died, and nobody takes it out.
    let paused = lab.pause_end_of_leg("g", "disk05", 16 * MIB);
    lab.cli("-g g snapstart -b --on disk05 v").ok();
    let load = Writer::start_filled(lab.device("g", "m"), 0, 64, Style::default());
    lab.fault(2, Fault::FailWrites);
    load.wait_until_held();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("breakoff.prom");
    let began = Instant::now();
    lab.cli(&format!("metrics --output {}", file.display()))
        .ok();
    assert!(began.elapsed() < Duration::from_secs(30));
    let text = fs::read_to_string(&file).unwrap();
    println!("{text}");
    let found = read(&text);
    let mirror = "group=\"g\",device=\"g-m\"";
    assert_eq!(
        at(&found, &format!("breakoff_mirror_failed_legs{{{mirror}}}")),
        1.0
    );
    let m = "group=\"g\",volume=\"m\"";
    assert_eq!(
        at(&found, &format!("breakoff_volume_failed_plexes{{{m}}}")),
        1.0
    );
    let health = format!("{m},plex=\"m-02\",health=\"write-failed\"");
    assert_eq!(
        at(&found, &format!("breakoff_plex_health{{{health}}}")),
        1.0
    );
    let leg = "group=\"g\",volume=\"v\",plex=\"v-03\"";
    let state = format!("breakoff_plex_state{{{leg},state=\"SNAPATT\"}}");
    assert_eq!(at(&found, &state), 1.0);
    let synced = at(&found, &format!("breakoff_plex_synced_bytes{{{leg}}}"));
    let size = at(&found, &format!("breakoff_plex_size_bytes{{{leg}}}"));
    assert!(
        synced < size && size == f64::from(16 << 20),
        "{synced} of {size}"
    );
    let copies = |of: &str| -> f64 {
        let names = found.keys().filter(|name| name.starts_with(of));
        names.map(|name| found[name]).sum()
    };
    let left = copies("breakoff_mirror_regions{") - copies("breakoff_mirror_synced_regions{");
    assert!(left >= 1.0, "{left}");
    assert!(at(&found, "breakoff_group_findings{group=\"g\"}") > 0.0);

    // It is taken out.
    lab.heal(paused);
    drop(nobody);
    lab.cli("recover").ok();
    let found = metrics(&lab, "metrics");
    assert_eq!(at(&found, "breakoff_monitor_running"), 1.0);
    load.goes_on(20);
    let state = format!("breakoff_plex_state{{{m},plex=\"m-02\",state=\"FAILED\"}}");
    until("it is recorded", || {
        at(&metrics(&lab, "metrics"), &state) == 1.0
    });
    load.stop().verify(lab.device("g", "m"));
    lab.finish();
}

/// A disk of the group does not answer: it is missing, after as long as it is given, and the rest is
/// said.
#[test]
fn metrics_give_up_a_disk_that_hangs() {
    let mut lab = lab!(["mirror", "delay", "error"], [32, 32]);
    lab.fill_with_noise();
    lab.create_group("g");
    lab.cli("-g g make v 8m --on disk01").ok();
    lab.fault(1, Fault::Paused);
    let began = Instant::now();
    let found = metrics(&lab, "metrics");
    println!("{:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(60));
    let state = |disk: &str, state: &str| {
        let labels = format!("group=\"g\",disk=\"{disk}\",state=\"{state}\"");
        at(&found, &format!("breakoff_disk_state{{{labels}}}"))
    };
    assert_eq!(
        (state("disk01", "online"), state("disk02", "missing")),
        (1.0, 1.0)
    );
    assert_eq!(at(&found, "breakoff_group_up{group=\"g\"}"), 1.0);
    lab.heal(1);
    lab.finish();
}

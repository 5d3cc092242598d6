//! A volume whose changes are tracked while a snapshot of it is out: split, change it, and count
//! what is copied.

use super::child::{DEADLINE, stopped_from};
use super::lab::{Lab, until};
use super::{MIB, block, udev, view};
use std::collections::BTreeSet;

/// The volume that [`split`] makes.
pub const SIZE: u64 = 16 * MIB;
/// The least that the kernel copies at once for a volume of this size (`table::dco`).
pub const REGION: u64 = 256 << 10;

/// A group on all disks, a volume `v` of noise on the first and a complete leg of it on the second.
#[track_caller]
pub fn with_leg(lab: &Lab) {
    lab.fill_with_noise();
    lab.create_group("g");
    lab.cli("-g g make v 16m --on disk01").ok();
    lab.cli("-g g snapstart v --on disk02").ok();
}

/// The same, and a snapshot `s` of it.
#[track_caller]
pub fn split(lab: &Lab) {
    with_leg(lab);
    lab.cli("-g g snapshot v --name s").ok();
}

/// What a volume of that size holds.
#[track_caller]
pub fn contents(lab: &Lab, volume: &str) -> Vec<u8> {
    block::read_direct(lab.device("g", volume), 0, SIZE)
        .unwrap_or_else(|err| panic!("reading {volume}: {err}"))
}

/// Writes 4 KiB of noise to each of these places.
#[track_caller]
pub fn scribble(lab: &Lab, volume: &str, places: &[u64], seed: u64) {
    for (n, at) in places.iter().enumerate() {
        let written = block::write_direct(
            lab.device("g", volume),
            *at,
            &block::noise(seed + n as u64, 4096),
        );
        written.unwrap_or_else(|err| panic!("writing to {volume}: {err}"));
    }
}

/// How many bytes are copied when these places were written to: the regions that they are in. A
/// region costs what it takes to transfer it and another MiB; the smallest is taken that costs at
/// most a quarter more than the best.
pub fn copied(places: impl IntoIterator<Item = u64>) -> u64 {
    let places: Vec<u64> = places.into_iter().collect();
    let count = |region: u64| {
        places
            .iter()
            .map(|at| at / region)
            .collect::<BTreeSet<_>>()
            .len() as u64
    };
    let costs = [1, 2, 4, 8].map(|n| (n * REGION, count(n * REGION) * (n * REGION + MIB)));
    let least = costs.iter().map(|(_, cost)| *cost).min().unwrap_or(0);
    let region = costs
        .iter()
        .find(|(_, cost)| *cost <= least + least / 4)
        .map_or(REGION, |(region, _)| *region);
    count(region) * region
}

/// What has been written to a device since it was made, in bytes.
#[track_caller]
pub fn written(device: &str) -> u64 {
    udev::settle();
    let number = block::number(format!("/dev/mapper/{device}"))
        .unwrap_or_else(|err| panic!("{device}: {err}"));
    let path = format!(
        "/sys/dev/block/{}:{}/stat",
        number >> 8 & 0xfff,
        number & 0xff
    );
    let stat = std::fs::read_to_string(&path).unwrap_or_else(|err| panic!("{path}: {err}"));
    let sectors = stat
        .split_ascii_whitespace()
        .nth(6)
        .and_then(|word| word.parse::<u64>().ok());
    sectors.unwrap_or_else(|| panic!("{path}: {stat}")) * 512
}

/// `snapback` of a snapshot of `v`; what it reports. The kernel has copied everything and noted so
/// before its log is read for the second, exact one, so that no region is copied twice.
#[track_caller]
pub fn snapback(lab: &Lab, snapshot: &str) -> serde_json::Value {
    snapback_step_by_step(snapshot, || {
        if let Some(mirror) = copying(lab) {
            until("everything is copied, and noted in the log", || {
                let status = &lab.dm.mirrors(&mirror)[0];
                status.in_sync() && clean_regions(lab, &mirror) == Some(status.total)
            });
        }
    })
}

/// How many regions the log on the disk calls clean. The kernel counts a region as being in sync
/// before it has written that.
fn clean_regions(lab: &Lab, mirror: &str) -> Option<u64> {
    const HEADER: u64 = 1024;
    let line = lab.dm.table(mirror).ok()?.remove(0);
    let log = *line.words().get(2)?;
    let log = lab
        .dm
        .list()
        .into_iter()
        .find(|info| info.number() == log)?;
    let bits = block::read_direct(format!("/dev/mapper/{}", log.name), HEADER, 512).ok()?;
    Some(bits.iter().map(|byte| u64::from(byte.count_ones())).sum())
}

/// The same with something done before each change that the command makes.
#[track_caller]
pub fn snapback_step_by_step(snapshot: &str, mut act: impl FnMut()) -> serde_json::Value {
    let mut running = stopped_from(1, &format!("--json -g g snapback {snapshot}"));
    let mut stopped = running.stops();
    while stopped {
        act();
        stopped = running.goes_on_and_stops();
    }
    view::result(&running.wait(DEADLINE))["changes"][0].clone()
}

/// The mirror that fills a leg of `v` by a log of what has changed, while it runs.
pub fn copying(lab: &Lab) -> Option<String> {
    let mirror = lab
        .dm
        .list()
        .into_iter()
        .find(|info| info.name.starts_with("g-v_data--") && !info.suspended)?;
    let table = lab.dm.table(&mirror.name).ok()?;
    let has_log = table.first()?.params.starts_with("disk ");
    has_log.then_some(mirror.name)
}

/// A detail of the first change that a command reports.
#[track_caller]
pub fn detail(lab: &Lab, words: &str, name: &str) -> serde_json::Value {
    lab.json(words)["changes"][0][name].clone()
}

//! A volume whose changes are tracked while a snapshot of it is out: split, change it, and count
//! what is copied.

use super::lab::Lab;
use super::{MIB, block, udev};
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

/// Fails the test unless so many bytes have been copied to a leg; whether no region was copied
/// twice. One may be that the kernel has copied, and not yet noted in the log, when the second,
/// exact log is written.
#[track_caller]
pub fn assert_copied(leg: &str, expected: u64, case: &str) -> bool {
    let written = written(leg);
    let all = expected..=2 * expected;
    assert!(
        all.contains(&written),
        "{case}: {expected} bytes had to be copied, and {written} were by the kernel's own count"
    );
    written == expected
}

/// A detail of the first change that a command reports.
#[track_caller]
pub fn detail(lab: &Lab, words: &str, name: &str) -> serde_json::Value {
    lab.json(words)["changes"][0][name].clone()
}

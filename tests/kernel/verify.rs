//! `verify` on real plexes that are being written to.

use crate::support::child;
use crate::support::disk::Fault;
use crate::support::fs::{Mounted, mkfs_ext4, mkfs_xfs};
use crate::support::lab::{Lab, dm_name, until};
use crate::support::writer::{Style, Writer};
use crate::support::{MIB, block, plexes, tracked};
use nix::mount::MsFlags;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Bytes of noise on a plex, written past the kernel's mirror.
fn damage(lab: &Lab, volume: &str, plex: usize, at: u64) {
    let group = lab.print("g");
    let (disk, range) = plexes::range(lab, &group, &group.volume(volume).plexes[plex]);
    lab.disks[disk].raw_write(range.start + at, &block::noise(at + 1, 4096));
}

/// What differs, of the only pair: offset and length in bytes.
fn differing(document: &Value) -> Vec<(u64, u64)> {
    let number = |range: &Value, what: &str| range[what].as_u64().unwrap();
    let ranges = document["verified"][0]["pairs"][0]["differing"].as_array();
    let ranges = ranges.unwrap().iter();
    ranges
        .map(|range| (number(range, "offset"), number(range, "length")))
        .collect()
}

/// The document of a run that finds something.
fn finds(lab: &Lab, words: &str) -> Value {
    let output = lab.cli(&format!("--json {words}")).exits(1);
    let document: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(document["error"]["kind"], "failed", "{document}");
    document["result"].clone()
}

#[test]
fn plexes_that_are_written_to_are_compared_and_a_damaged_block_is_found() {
    let lab = lab!(["mirror"], [64, 64]);
    lab.create_group("g");
    lab.cli("-g g make v 32m --mirrors 2").ok();
    lab.wait_synced("g", "v");
    // All of the first half is written again and again, as fast as it goes.
    let style = Style {
        pause: Duration::ZERO,
        ..Style::default()
    };
    let blocks = 16 * MIB / crate::support::stamp::BLOCK as u64;
    let writer = Writer::start_filled(lab.device("g", "v"), 0, blocks, style);
    for _ in 0..3 {
        lab.cli("verify v")
            .ok()
            .says("g/v: v-01 and v-02: equal, 32m compared");
    }
    damage(&lab, "v", 1, 20 * MIB);
    writer.forget_stalls();
    let begun = Instant::now();
    let found = finds(&lab, "verify v");
    println!(
        "{found}; a writer waited for {:?} of {:?}",
        writer.longest_stall(),
        begun.elapsed()
    );
    assert_eq!(differing(&found), [(20 * MIB, 4096)]);
    assert_eq!(
        found["verified"][0]["pairs"][0]["differing"][0]["proven"],
        true
    );
    writer.goes_on(100);
    assert!(!lab.dm.info(&dm_name("g", "v")).unwrap().suspended);
    // The mirror makes it equal again when somebody writes there.
    tracked::scribble(&lab, "v", &[20 * MIB], 9);
    lab.cli("verify v").ok();
    let expected = writer.stop();
    expected.verify(lab.device("g", "v"));
    lab.finish();
}

#[test]
fn a_snapshot_and_its_original_are_compared_outside_of_what_was_written() {
    let lab = lab!(["mirror", "era"], [64, 64, 64]);
    tracked::split(&lab);
    tracked::scribble(&lab, "v", &[0, 5 * MIB], 1);
    tracked::scribble(&lab, "s", &[9 * MIB], 2);
    let writer = Writer::start(lab.device("g", "v"), 0, 256, Style::default());
    let output = lab.cli("verify s").ok();
    println!("{}", output.stdout);
    assert!(
        output
            .stdout
            .contains("not compared: written since the split")
    );
    writer.stop();
    damage(&lab, "s", 0, 9 * MIB + 4096);
    lab.cli("verify s").ok();
    damage(&lab, "s", 0, 12 * MIB);
    assert_eq!(differing(&finds(&lab, "verify s")), [(12 * MIB, 4096)]);
    lab.finish();
}

#[test]
fn a_disk_that_fails_or_hangs_while_it_is_compared_is_named() {
    let mut lab = lab!(["mirror", "flakey"], [64, 64]);
    lab.create_group("g");
    lab.cli("-g g make v 16m --mirrors 2").ok();
    lab.wait_synced("g", "v");
    let group = lab.print("g");
    let (disk, range) = plexes::range(&lab, &group, &group.volume("v").plexes[1]);
    let bad = range.start + 3 * MIB;
    lab.fault_in(disk, bad..bad + 4096, Fault::Fail);
    let output = lab.cli("verify v").exits(8);
    println!("{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains(&format!("disk02+{bad}")));
    output.says("cannot be read on disk 'disk02'");
    lab.heal(disk);
    let running = lab.spawn("--json verify v --rate 1m");
    std::thread::sleep(Duration::from_secs(2));
    lab.fault(disk, Fault::Paused);
    let ended = running.wait(Duration::from_secs(300));
    lab.heal(disk);
    println!("{}{}", ended.stdout, ended.stderr);
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    let message = document["error"]["message"].as_str().unwrap();
    assert!(message.contains("cannot read disk 'disk02'"), "{document}");
    until("the disk answers", || lab.cli("verify v").status == 0);
    lab.finish_by_force();
}

#[test]
fn an_interrupt_ends_a_comparison_with_what_is_known() {
    let lab = lab!(["mirror"], [64, 64]);
    lab.create_group("g");
    lab.cli("-g g make v 16m --mirrors 2").ok();
    lab.wait_synced("g", "v");
    damage(&lab, "v", 1, 0);
    let mut running = lab.spawn("--json verify v --rate 1m");
    until("something was compared", || {
        running.so_far().1.contains("g/v (v-01, v-02)")
    });
    std::thread::sleep(Duration::from_secs(3));
    assert!(running.runs());
    running.signal(libc::SIGINT);
    let ended = running.wait(Duration::from_secs(60)).exits(1);
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    println!("{document}");
    assert_eq!(differing(&document["result"]), [(0, 4096)]);
    let message = document["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("interrupted when") && message.contains("differ in 4k"),
        "{message}"
    );
    lab.finish();
}

/// Writes a file of 4 MiB. Returns where it lies on the volume: its first whole 4 KiB.
fn write_file(lab: &Lab, mounted: &Mounted, name: &str, seed: u64) -> u64 {
    let contents = block::noise(seed, 4 * MIB as usize);
    let file = mounted.at.join(name);
    std::fs::write(&file, &contents).unwrap();
    std::fs::File::open(&file).unwrap().sync_all().unwrap();
    let group = lab.print("g");
    let plex = plexes::bytes(lab, &group, &group.volume("v").plexes[0]);
    // A small ext4 has blocks of 1 KiB.
    let mut blocks = plex.chunks(1024);
    let first = blocks.position(|block| block == &contents[..1024]);
    let first = first.unwrap_or_else(|| panic!("{name} is not on the volume")) as u64 * 1024;
    first.next_multiple_of(4096)
}

/// What no file uses may differ after a discard (the disks of the test take them), what one uses may
/// not.
fn a_mounted_filesystem_says_what_it_uses(lab: &Lab, kind: &str) {
    let device = lab.device("g", "v");
    let mounted = Mounted::new(&device, kind, MsFlags::empty(), None);
    let used = write_file(lab, &mounted, "used", 5);
    let unused = write_file(lab, &mounted, "removed", 6);
    std::fs::remove_file(mounted.at.join("removed")).unwrap();
    child::tool("sync", &["-f", &mounted.at.display().to_string()]).ok();
    damage(lab, "v", 1, unused);
    let allowed = lab.json("verify v");
    println!("{allowed}");
    assert_eq!(differing(&allowed), [(unused, 4096)]);
    let first = &allowed["verified"][0]["pairs"][0]["differing"][0];
    assert_eq!(first["in_use"], false);
    damage(lab, "v", 1, used);
    let found = finds(lab, "verify v");
    let ranges = found["verified"][0]["pairs"][0]["differing"].as_array();
    let in_use = |at: u64| {
        let mut ranges = ranges.unwrap().iter();
        ranges.find(|range| range["offset"] == at).unwrap()["in_use"].clone()
    };
    assert_eq!((in_use(used), in_use(unused)), (true.into(), false.into()));
    mounted.unmount();
}

fn mirror(lab: &Lab) {
    lab.create_group("g");
    lab.cli("-g g make v 64m --mirrors 2").ok();
    lab.wait_synced("g", "v");
}

#[test]
fn ext4_says_what_it_uses() {
    let lab = lab!(["mirror"], [80, 80]);
    mirror(&lab);
    mkfs_ext4(&lab.device("g", "v"));
    a_mounted_filesystem_says_what_it_uses(&lab, "ext4");
    lab.finish();
}

#[test]
fn xfs_says_what_it_uses() {
    let lab = lab!(["mirror"], [80, 80]);
    mirror(&lab);
    mkfs_xfs(&lab.device("g", "v"));
    a_mounted_filesystem_says_what_it_uses(&lab, "xfs");
    lab.finish();
}

//! Disks with sectors of 512 and of 4096 bytes, alone and in one group: no volume in use gets
//! larger sectors than it was made for.

use crate::support::MIB;
use crate::support::block::{self, Aligned};
use crate::support::child::tool;
use crate::support::fs::{Mounted, e2fsck};
use crate::support::lab::Lab;
use crate::support::plexes;
use crate::support::writer::{Style, Writer};
use nix::mount::MsFlags;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A lab with these disks, each of so many MiB and with sectors of so many bytes.
fn disks(lab: &mut Lab, disks: &[(u64, u32)]) {
    for (size, sector) in disks {
        lab.add_disk(size * MIB, *sector);
    }
    lab.wait_for_nodes();
}

/// The sectors that a device has now, as `blockdev --getss` asks for them.
fn sectors(path: &Path) -> u64 {
    tool("blockdev", &["--getss", &path.display().to_string()])
        .ok()
        .stdout
        .trim()
        .parse()
        .unwrap()
}

/// Writes 512 bytes past the cache, as some databases do.
fn write_512(path: &Path) -> io::Result<()> {
    let mut buffer = Aligned::new(4096);
    buffer.bytes_mut().fill(0x51);
    block::open_direct(path, true)?.write_all_at(&buffer.bytes()[..512], MIB + 512)
}

#[test]
fn a_leg_with_larger_sectors_is_refused_and_the_volume_in_use_keeps_its_own() {
    let mut lab = lab!(["mirror", "era", "zero"], [24, 24]);
    disks(&mut lab, &[(40, 4096), (40, 4096)]);
    lab.create_group_of("g", 0..3);
    let listed = lab.json("disk list");
    let all: Vec<u64> = listed["disks"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|d| d["sector_size"].as_u64())
        .collect();
    assert_eq!(
        all.iter().filter(|bytes| **bytes == 4096).count(),
        1,
        "{listed}"
    );
    // Both disks with small sectors are full, and the log lies on the other one.
    lab.cli("-g g make v 20m --mirrors 2 --on disk01,disk02")
        .ok();
    lab.wait_synced("g", "v");
    let printed = lab.json("-g g print v");
    let v = &printed["groups"][0]["volumes"][0];
    assert_eq!(
        (
            v["sector_size"].as_u64(),
            v["log"]["subdisk"]["media"].as_str()
        ),
        (Some(512), Some("disk03")),
        "{v}"
    );
    let device = lab.device("g", "v");
    assert_eq!(
        sectors(&device),
        512,
        "a log with larger sectors does no harm"
    );
    let load = Writer::start_filled(&device, 512, 256, Style::default());

    let spare = lab.disks[3].word();
    for (words, status) in [
        ("-g g snapstart -b --on disk03 v".to_owned(), 9),
        ("-g g mirror --on disk03 v".to_owned(), 9),
        ("-g g grow v +1m --on disk03".to_owned(), 9),
        (format!("-y group replace-disk g disk02 {spare}"), 9),
        ("-g g snapstart -b v".to_owned(), 6),
    ] {
        let refusal = lab.refuses(status, &words);
        assert!(refusal.message.contains("sectors"), "{words}: {refusal:?}");
        let hint = refusal.hint.as_ref();
        let told = hint.is_some_and(|text| text.contains("--sector-size 4096"));
        assert!(told, "{words}: {refusal:?}");
    }
    assert!(
        block::read_direct(lab.disks[3].path(), 4096, 4096)
            .unwrap()
            .iter()
            .all(|byte| *byte == 0),
        "the refused disk is untouched"
    );
    assert_eq!(sectors(&device), 512);
    write_512(&device).unwrap();
    load.goes_on(20);
    // The map of changes may lie there, too.
    lab.cli("-g g plex convert --to snapdone v-02").ok();
    lab.cli("-g g snapshot --name s v").ok();
    let printed = lab.json("-g g snapprint");
    assert_eq!(
        printed["relations"][0]["tracked"].as_bool(),
        Some(true),
        "{printed}"
    );
    assert_eq!(
        (sectors(&device), sectors(&lab.device("g", "s"))),
        (512, 512)
    );
    load.goes_on(20);
    write_512(&device).unwrap();
    lab.cli("-g g snapback s").ok();
    load.goes_on(20);
    load.stop().verify(&device);
    write_512(&device).unwrap();
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

/// The whole cycle where nothing smaller than 4096 bytes can be read or written.
#[test]
fn everything_works_on_disks_with_sectors_of_4096_bytes() {
    let mut lab = lab!(["mirror", "era", "zero"], []);
    disks(&mut lab, &[(40, 4096), (40, 4096), (40, 4096), (40, 4096)]);
    lab.fill_with_noise();
    lab.create_group_of("g", 0..3);
    lab.cli("-g g make v 10m --mirrors 2 --on disk01,disk02")
        .ok();
    lab.wait_synced("g", "v");
    let device = lab.device("g", "v");
    assert_eq!(sectors(&device), 4096);
    assert!(write_512(&device).is_err());
    let load = Writer::start_filled(&device, 0, 256, Style::default());
    lab.cli("-g g snapstart v").ok();
    let mut split = None;
    let expected = load.fork_during(|| split = Some(lab.cli("-g g snapshot --name s v")));
    split.unwrap().ok();
    expected.verify(lab.device("g", "s"));
    load.goes_on(20);
    lab.cli("-g g snapback s").ok();
    let expected = load.fork_during(|| drop(lab.cli("-g g snapshot --name s v").ok()));
    load.goes_on(20);
    load.stop();
    lab.cli("-g g -y snapback --from snapshot s").ok();
    expected.verify(&device);

    let load = Writer::start_filled(&device, 0, 256, Style::default());
    lab.cli(&format!(
        "-y group replace-disk g disk02 {}",
        lab.disks[3].word()
    ))
    .ok();
    lab.cli("-g g grow v +1m").ok();
    load.goes_on(20);
    let written = load.stop();
    lab.cli("-g g stop --all").ok();
    lab.cli("-g g start --all").ok();
    lab.wait_synced("g", "v");
    written.verify(&device);
    plexes::assert_equal(&lab, "g", "v");
    lab.cli("-g g recover --check").ok();
    lab.finish();
}

#[test]
fn a_volume_made_for_large_sectors_moves_between_all_disks_with_its_filesystem() {
    let mut lab = lab!(["mirror", "era", "zero"], [48, 48]);
    disks(&mut lab, &[(48, 4096), (48, 4096)]);
    lab.create_group_of("g", 0..3);
    lab.cli("-g g make v 16m --sector-size 4096 --on disk01")
        .ok()
        .says("mkfs.xfs -s size=4096");
    let device = lab.device("g", "v");
    assert_eq!(
        sectors(&device),
        512,
        "this kernel has no way to show more than the disks have"
    );
    tool(
        "mkfs.ext4",
        &[
            "-q",
            "-F",
            "-b",
            "4096",
            "-E",
            "nodiscard",
            &device.display().to_string(),
        ],
    )
    .ok();
    let mounted = Mounted::ext4(&device);
    fs::write(mounted.at.join("old"), block::noise(1, MIB as usize)).unwrap();

    lab.cli("-g g snapstart --on disk03 v").ok();
    assert_eq!(sectors(&device), 4096);
    fs::write(mounted.at.join("new"), block::noise(2, MIB as usize)).unwrap();
    lab.cli("-g g snapshot --name s v").ok();
    fs::write(mounted.at.join("newer"), block::noise(3, MIB as usize)).unwrap();
    mounted.unmount();
    e2fsck(&lab.device("g", "s")).ok();
    // Back to where the snapshot was taken, on the disk with the large sectors; the others are
    // filled from there.
    lab.cli("-g g -y snapback --from snapshot s").ok();
    let mounted = Mounted::new(&device, "ext4", MsFlags::empty(), None);
    assert_eq!(
        fs::read(mounted.at.join("new")).unwrap(),
        block::noise(2, MIB as usize)
    );
    assert!(!mounted.at.join("newer").exists());
    // The disk with the small sectors goes, in use.
    lab.cli("-g g mirror v --on disk02").ok();
    lab.wait_synced("g", "v");
    lab.cli(&format!(
        "-y group replace-disk g disk01 {}",
        lab.disks[3].word()
    ))
    .ok();
    fs::write(mounted.at.join("last"), block::noise(4, MIB as usize)).unwrap();
    assert_eq!(
        fs::read(mounted.at.join("old")).unwrap(),
        block::noise(1, MIB as usize)
    );
    mounted.unmount();
    e2fsck(&device).ok();
    assert_eq!(
        lab.json("-g g print v")["groups"][0]["volumes"][0]["sector_size"].as_u64(),
        Some(4096)
    );
    // A filesystem that was made for what it showed then keeps it there, and so does a partition
    // table.
    lab.cli("-g g make z 8m --sector-size 4096 --on disk02")
        .ok();
    tool(
        "mkfs.ext4",
        &[
            "-q",
            "-F",
            "-b",
            "1024",
            "-E",
            "nodiscard",
            "/dev/mapper/g-z",
        ],
    )
    .ok();
    let refusal = lab.refuses(9, "-g g snapstart z --on disk03");
    assert!(
        refusal.message.contains("the contents of 'g/z' of 1024"),
        "{refusal:?}"
    );
    let mut head = vec![0; 4096];
    head[..512].copy_from_slice(&block::partition_table(&[(2048, 4096)]));
    block::write_direct("/dev/mapper/g-z", 0, &head).unwrap();
    let refusal = lab.refuses(9, "-g g snapstart z --on disk03");
    assert!(
        refusal.message.contains("the contents of 'g/z' of 512"),
        "{refusal:?}"
    );
    assert_eq!(sectors(&lab.device("g", "z")), 512);
    // Where there are such disks a new volume shows them from the beginning.
    lab.cli("-g g make w 4m --sector-size 4k").ok();
    assert_eq!(sectors(&lab.device("g", "w")), 4096);
    lab.cli("-g g make x 4m --sector-size 512").ok();
    assert_eq!(sectors(&lab.device("g", "x")), 512);
    lab.finish();
}

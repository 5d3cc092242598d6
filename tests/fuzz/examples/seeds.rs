//! Writes the seed corpora in `corpus/` anew, from what the program itself makes and from the
//! examples that other tests keep:
//!
//! ```text
//! cargo run --manifest-path tests/fuzz/Cargo.toml --target-dir target/fuzz --example seeds
//! ```
//!
//! The same program writes the same seeds. What a fuzzer has found goes into a named test, not in
//! here.

use breakoff::cli::vx::table::ENTRIES;
use breakoff::meta::layout::*;
use breakoff::model::{DiskId, Generation, GroupId, Sectors};
use breakoff::table::TargetLine;
use breakoff_fuzz::{media, reply};
use std::fs;
use std::io::Result;
use std::path::{Path, PathBuf};

fn main() -> Result<()> {
    superblocks()?;
    payloads()?;
    statuses()?;
    tables()?;
    vx_words()?;
    write(
        "vx_print",
        [
            "%kstate",
            "v:%{name} %len",
            "%type %name\\t%%",
            "v_open",
            "v_fastresync=on && !v_hasdcolog",
            "sd_dm_name == \"disk01\" || (as.as!='v')",
            "m",
        ],
    )?;
    command_lines("native_words", "cli-native", "breakoff")?;
    write(
        "config",
        [
            "# nobody is told\n\n",
            "hook = /usr/local/sbin/disk-failed\n",
            "  hook=/a b  \r\n#x\nhook=/c",
            "hook = a",
            "mail = root",
        ],
    )?;
    names()?;
    numbers("record", 24, 2000)?;
    numbers("disks", 24, 1500)
}

/// An example of each form that the table of VxVM's words has.
fn vx_words() -> Result<()> {
    let lines = ENTRIES.iter().map(|entry| {
        let line = format!("{} {}", entry.utility, entry.example);
        line.split_whitespace().collect::<Vec<_>>().join("\n")
    });
    write("vx_words", lines)
}

/// Replaces the seeds of a target.
fn write<S: AsRef<[u8]>>(target: &str, seeds: impl IntoIterator<Item = S>) -> Result<()> {
    let dir = here().join("corpus").join(target);
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    fs::create_dir_all(&dir)?;
    seeds
        .into_iter()
        .enumerate()
        .try_for_each(|(n, seed)| fs::write(dir.join(format!("{n:03}")), seed))
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a directory of the repository's, in the order of their names.
fn files(dir: &str) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = fs::read_dir(here().join("../..").join(dir))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.sort();
    Ok(files)
}

/// A free disk and a member, in both places, on a device of 64 MiB; the zeroes at the end are left
/// out.
fn superblocks() -> Result<()> {
    let device: u64 = 64 << 20;
    let geometry = Geometry::divide(AREA_DEFAULT, device).map_err(std::io::Error::other)?;
    let mut seeds = Vec::new();
    for position in Position::ALL {
        for slot in [None, Some(Slot::First), Some(Slot::Second)] {
            let member = slot.map(|slot| Membership {
                group: GroupId::from_bytes([2; 16]),
                generation: Generation::new(9),
                payload: PayloadAt {
                    slot,
                    offset: geometry.slot(slot).start,
                    length: 1000,
                    checksum: 7,
                },
            });
            let block = Superblock {
                position,
                disk: DiskId::from_bytes([1; 16]),
                geometry,
                member,
            }
            .encode();
            let flags = u8::from(position == Position::B);
            seeds.push([&device.to_le_bytes()[..], &[flags], &block[..128]].concat());
        }
    }
    write("superblock", seeds)
}

/// The records that tests keep of each format version: as they are, without blanks, with their
/// parts changed, and compressed.
fn payloads() -> Result<()> {
    let text = fs::read_to_string(here().join("../meta_common/record_v1.json"))?;
    let short: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let changed = [
        (r#""breakoff":1"#, r#""breakoff":2"#),
        (r#""active""#, r#""snapdone""#),
        (r#""live":true"#, r#""live":false"#),
        (r#""disks":["#, r#""destroyed":true,"disks":["#),
    ];
    let packed = media::pack(short.as_bytes());
    let mut seeds: Vec<Vec<u8>> = changed
        .iter()
        .map(|(from, to)| short.replace(from, to).into_bytes())
        .collect();
    seeds.extend([text.into_bytes(), short.into_bytes(), packed]);
    write("payload", seeds)
}

const STATUSES: [&str; 8] = [
    "2 253:3 253:4 64/64 1 AA 1 core",
    "2 253:3 253:4 63/64 1 AA 3 disk 253:5 A",
    "3 253:3 253:4 253:5 0/128 1 ADS 3 disk 253:6 D",
    "2 253:3 253:4 64/64 1 RF 3 disk 253:5 F",
    "9 1:1 1:2 1:3 1:4 1:5 1:6 1:7 1:8 1:9 1/1 1 AAAAAAAAA 1 core",
    "2 253:3 253:4 10/10 1 AA 1 core\n2 253:3 253:4 3/10 1 AD 1 core",
    "2 253:3 253:4 64/64 1 AU 1 core",
    "0 2048 linear",
];

/// As text, and as the kernel's replies.
fn statuses() -> Result<()> {
    write("status", STATUSES)?;
    let mirror = |params: &str| TargetLine {
        start: Sectors::ZERO,
        length: Sectors::MIB,
        target: "mirror".to_owned(),
        params: params.to_owned(),
    };
    let replies = STATUSES.iter().map(|text| {
        let (data, count) = reply::encode(&text.lines().map(mirror).collect::<Vec<_>>());
        [&count.to_le_bytes()[..], &data].concat()
    });
    let none = [0; 44].to_vec();
    write("kernel_reply", replies.chain([device_list(), none]))
}

/// Three devices as the kernel lists them: with a UUID of ours, with none, and from a kernel that
/// does not say.
fn device_list() -> Vec<u8> {
    let ours = format!("BREAKOFF-{}\0", "12".repeat(32));
    let mut data = Vec::new();
    for (n, (name, flags, uuid)) in [
        ("g-v", 1u32, ours.as_str()),
        ("vg-lv", 2, ""),
        ("old", 0, ""),
    ]
    .into_iter()
    .enumerate()
    {
        let mut record = [&0xfd00u64.to_ne_bytes()[..], &[0; 4], name.as_bytes(), &[0]].concat();
        record.resize(record.len().next_multiple_of(8), 0);
        record.extend([0u32.to_ne_bytes(), flags.to_ne_bytes()].concat());
        record.extend(uuid.as_bytes());
        record.resize(record.len().next_multiple_of(8), 0);
        let next = if n == 2 {
            0
        } else {
            u32::try_from(record.len()).unwrap_or_default()
        };
        record[8..12].copy_from_slice(&next.to_ne_bytes());
        data.extend(record);
    }
    [&1u32.to_le_bytes()[..], &data].concat()
}

/// The mirrors of `dm-tables/`, with numbers as the kernel shows them, each with a byte that says
/// what is taken out.
fn tables() -> Result<()> {
    let mut seeds = Vec::new();
    for (n, file) in files("dm-tables")?.into_iter().enumerate() {
        let text = fs::read_to_string(file)?;
        let lines = text
            .lines()
            .filter_map(|line| line.split(' ').nth(2).map(|_| line))
            .filter(|line| line.contains(" mirror "));
        for (at, line) in lines.enumerate() {
            let words = line.split(' ').skip(2).map(|word| {
                if word.starts_with("/dev/") {
                    "253:7"
                } else {
                    word
                }
            });
            let line = words.collect::<Vec<_>>().join(" ");
            let out = u8::try_from((n * 7 + at * 3) % 64).unwrap_or_default();
            seeds.push([&[out][..], format!("{line}\n\n{line}").as_bytes()].concat());
        }
    }
    write("table", seeds)
}

/// The command lines of a golden file and of its errors, a word on each line.
fn command_lines(target: &str, golden: &str, program: &str) -> Result<()> {
    let mut seeds = Vec::new();
    for file in [golden.to_owned(), format!("{golden}-errors")] {
        let text = fs::read_to_string(here().join("../golden").join(file + ".txt"))?;
        let lines = text.lines().filter_map(|line| {
            line.strip_prefix("$ ")?
                .strip_prefix(program)?
                .strip_prefix(' ')
        });
        seeds.extend(lines.map(|line| {
            line.split(' ')
                .map(|word| word.trim_matches('\''))
                .collect::<Vec<_>>()
                .join("\n")
        }));
    }
    write(target, seeds)
}

fn names() -> Result<()> {
    let (long, uuid) = (
        ["n".repeat(63), "n".repeat(63)].join("\n"),
        "0123456789abcdef".repeat(2),
    );
    let words = [
        "g\nv",
        "a-b\nc--d-",
        "data\nSNAP-home",
        "v\nv_log",
        "g-v",
        "a--b-c",
        "g-v_v--01",
        "plex01",
        "layer1",
        "log",
    ];
    let sizes = [
        "10g",
        "1.5m",
        "64MiB",
        "2048s",
        "2048b",
        "4096",
        "0.000000001t",
        "9007199254740991s",
    ];
    write(
        "names",
        words
            .into_iter()
            .chain(sizes)
            .chain([long.as_str(), uuid.as_str()]),
    )
}

/// Numbers for the targets that make something of numbers: they need no form.
fn numbers(target: &str, seeds: u64, length: usize) -> Result<()> {
    let stream = |seed: u64| {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        (0..length).map(move |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
    };
    write(
        target,
        (1..=seeds).map(|seed| stream(seed).collect::<Vec<u8>>()),
    )
}

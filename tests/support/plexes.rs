//! The bytes of plexes, read from beneath the disks, and the kernel's view of a volume.

use super::disk::Disk;
use super::lab::Lab;
use super::view::{Group, Plex, Subdisk};
use std::ops::Range;

/// The disk that a subdisk lies on, and where it starts there: offsets count from the start of the
/// device.
#[track_caller]
fn place<'a>(lab: &'a Lab, group: &Group, subdisk: &Subdisk) -> (&'a Disk, u64) {
    (
        lab.disk_behind(group.disk(&subdisk.media)),
        subdisk.disk_offset,
    )
}

/// The contents of a plex.
#[track_caller]
pub fn bytes(lab: &Lab, group: &Group, plex: &Plex) -> Vec<u8> {
    let mut subdisks = plex.subdisks.clone();
    subdisks.sort_by_key(|s| s.plex_offset);
    let mut out = Vec::new();
    for subdisk in &subdisks {
        assert_eq!(subdisk.plex_offset, out.len() as u64, "a gap in {plex:?}");
        let (disk, start) = place(lab, group, subdisk);
        out.extend(disk.raw(start, subdisk.length));
    }
    out
}

/// The disk (by index) that a plex of one subdisk lies on, and its range there in bytes.
#[track_caller]
pub fn range(lab: &Lab, group: &Group, plex: &Plex) -> (usize, Range<u64>) {
    assert_eq!(plex.subdisks.len(), 1, "{plex:?}");
    let (disk, start) = place(lab, group, &plex.subdisks[0]);
    let index = lab
        .disks
        .iter()
        .position(|d| d.name == disk.name)
        .unwrap_or_default();
    (index, start..start + plex.subdisks[0].length)
}

/// Fails the test unless all complete plexes of a volume hold the same bytes (nobody may be
/// writing).
#[track_caller]
pub fn assert_equal(lab: &Lab, group: &str, volume: &str) {
    let group = lab.print(group);
    let volume = group.volume(volume);
    let complete: Vec<&Plex> = volume
        .plexes
        .iter()
        .filter(|p| p.state == "ACTIVE" || p.state == "SNAPDONE")
        .collect();
    assert!(
        complete.len() > 1,
        "there is nothing to compare in {volume:?}"
    );
    let first = bytes(lab, &group, complete[0]);
    assert_eq!(
        first.len() as u64,
        volume.size,
        "plex {} of {volume:?}",
        complete[0].name
    );
    for plex in &complete[1..] {
        assert_same(
            &complete[0].name,
            &first,
            &plex.name,
            &bytes(lab, &group, plex),
        );
    }
}

/// Fails the test unless two byte strings are equal, and says where they are not.
#[track_caller]
pub fn assert_same(left: &str, a: &[u8], right: &str, b: &[u8]) {
    assert_eq!(a.len(), b.len(), "{left} and {right} differ in length");
    let different: Vec<usize> = (0..a.len())
        .step_by(4096)
        .filter(|at| a[*at..].iter().take(4096).ne(b[*at..].iter().take(4096)))
        .collect();
    let first: Vec<usize> = different.iter().take(10).map(|at| at / 4096).collect();
    assert!(
        different.is_empty(),
        "{left} and {right} differ in {} blocks of 4 KiB, first {first:?}",
        different.len()
    );
}

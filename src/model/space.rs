//! Allocation of space for new plexes and logs: the free space and the choice among it. Pure and
//! deterministic.
//!
//! Every extent starts at a multiple of 1 MiB. A plex lies on one disk in one piece where that is
//! possible, else on one disk in several pieces, else on as few disks as possible. Two plexes of a
//! volume never share a disk unless disks were named for it. Logs and maps of changes lie at the
//! end of a disk's space, out of the way of plexes that grow.

use super::disk::Extent;
use super::group::Group;
use super::ids::DiskId;
use super::units::Sectors;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// The free extents of a group's present disks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Free {
    pieces: BTreeMap<DiskId, Vec<Extent>>,
    /// The disks in the order of the group, which decides when all other criteria are equal.
    order: Vec<DiskId>,
}

/// A request for free space.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// How much space is wanted.
    pub length: Sectors,
    /// Use only these disks, in this order of preference; empty means any disk.
    pub on: Vec<DiskId>,
    /// Never use these disks.
    pub avoid: BTreeSet<DiskId>,
    /// Prefer all other disks to these, which may be used.
    pub reluctantly: BTreeSet<DiskId>,
    /// Take one piece, at the end of the last free piece of a disk that is large enough.
    pub at_end: bool,
}

impl Free {
    /// The free space on those disks of the group for which `usable` returns true.
    pub fn of(group: &Group, usable: impl Fn(DiskId) -> bool) -> Free {
        let mut used: BTreeMap<DiskId, Vec<Extent>> = BTreeMap::new();
        for extent in group.extents() {
            used.entry(extent.disk).or_default().push(*extent);
        }
        let pieces = group.disks.iter().filter(|d| usable(d.id)).map(|disk| {
            let mut taken = used.remove(&disk.id).unwrap_or_default();
            taken.sort_by_key(|e| e.start);
            (disk.id, gaps(disk.id, disk.size, &taken))
        });
        Free {
            pieces: pieces.collect(),
            order: group.disks.iter().map(|d| d.id).collect(),
        }
    }

    /// The free space on a disk, counting only what can be allocated.
    pub fn on(&self, disk: DiskId) -> Sectors {
        self.pieces.get(&disk).map_or(Sectors::ZERO, |pieces| {
            pieces.iter().map(|p| p.length).sum()
        })
    }

    /// Allocates space for the wish. Returns `None`, and allocates nothing, when there is not
    /// enough.
    pub fn take(&mut self, wish: &Wish) -> Option<Vec<Extent>> {
        let disks = self.candidates(wish);
        let chosen = if wish.at_end {
            self.last_piece(&disks, wish)?
        } else {
            self.one_piece(&disks, wish)
                .or_else(|| self.one_disk(&disks, wish))
                .or_else(|| self.several_disks(&disks, wish.length))?
        };
        chosen.iter().for_each(|extent| self.remove(extent));
        Some(chosen)
    }

    /// Excludes an extent from allocation, as far as it is free: its space is damaged, or a device
    /// still leads to it (K44).
    pub fn keep_off(&mut self, kept: &Extent) {
        let Some(pieces) = self
            .pieces
            .get_mut(&kept.disk)
            .filter(|pieces| pieces.iter().any(|p| p.overlaps(kept)))
        else {
            return;
        };
        let rest = |piece: &Extent| {
            let behind = kept.end().round_up(Sectors::MIB).max(piece.start);
            let before = Extent {
                length: kept.start.min(piece.end()).saturating_sub(piece.start),
                ..*piece
            };
            [
                before,
                Extent {
                    start: behind,
                    length: piece.end().saturating_sub(behind),
                    ..*piece
                },
            ]
        };
        *pieces = pieces
            .iter()
            .flat_map(rest)
            .filter(|piece| !piece.length.is_zero())
            .collect();
    }

    /// Takes the space right behind `end` on a disk, at most `wanted` sectors, and returns how much
    /// it took. `used_to` is `end` rounded up to the next place where a free piece may start.
    pub fn take_behind(
        &mut self,
        disk: DiskId,
        end: Sectors,
        used_to: Sectors,
        wanted: Sectors,
    ) -> Sectors {
        // Free pieces start at multiples of 1 MiB, so that the space from `end` to `used_to` is
        // never allocated otherwise.
        let Some(piece) = self
            .pieces
            .get(&disk)
            .and_then(|p| p.iter().find(|p| p.start == used_to))
            .copied()
        else {
            return used_to.saturating_sub(end).min(wanted);
        };
        let got = piece.end().saturating_sub(end).min(wanted);
        if let Some(length) = end
            .saturating_add(got)
            .checked_sub(piece.start)
            .filter(|l| !l.is_zero())
        {
            self.remove(&Extent {
                disk,
                start: piece.start,
                length,
            });
        }
        got
    }

    /// The disks that may be used: reluctant ones last, then in the order of preference, then those
    /// with the most free space first, then in the order of the group.
    fn candidates(&self, wish: &Wish) -> Vec<DiskId> {
        let mut disks: Vec<DiskId> = if wish.on.is_empty() {
            self.order.clone()
        } else {
            wish.on.clone()
        };
        disks.retain(|d| self.pieces.contains_key(d) && !wish.avoid.contains(d));
        let order = |d: &DiskId| wish.on.iter().position(|o| o == d);
        disks.sort_by_key(|d| (wish.reluctantly.contains(d), order(d), Reverse(self.on(*d))));
        let mut seen = BTreeSet::new();
        disks.retain(|d| seen.insert(*d));
        disks
    }

    /// The smallest piece that is large enough, on the first disk that has one. Disks that are used
    /// reluctantly come after all others.
    fn one_piece(&self, disks: &[DiskId], wish: &Wish) -> Option<Vec<Extent>> {
        let fits = |d: &DiskId| {
            self.pieces
                .get(d)?
                .iter()
                .filter(|p| p.length >= wish.length)
                .min_by_key(|p| (p.length, p.start))
                .copied()
        };
        let class = |reluctant: bool| {
            disks
                .iter()
                .filter(move |d| wish.reluctantly.contains(d) == reluctant)
        };
        let piece = class(false)
            .find_map(fits)
            .or_else(|| class(true).find_map(fits))?;
        Some(vec![Extent {
            length: wish.length,
            ..piece
        }])
    }

    /// The end of the last piece that is large enough, on the most preferred disk that has one.
    fn last_piece(&self, disks: &[DiskId], wish: &Wish) -> Option<Vec<Extent>> {
        let end_of = |piece: &Extent| {
            let start = piece
                .end()
                .checked_sub(wish.length)?
                .round_down(Sectors::MIB);
            (start >= piece.start).then_some(Extent {
                start,
                length: wish.length,
                ..*piece
            })
        };
        disks
            .iter()
            .find_map(|disk| self.pieces.get(disk)?.iter().rev().find_map(end_of))
            .map(|extent| vec![extent])
    }

    fn one_disk(&self, disks: &[DiskId], wish: &Wish) -> Option<Vec<Extent>> {
        let disk = disks.iter().find(|d| self.on(**d) >= wish.length)?;
        self.fill(&[*disk], wish.length)
    }

    fn several_disks(&self, disks: &[DiskId], length: Sectors) -> Option<Vec<Extent>> {
        self.fill(disks, length)
    }

    /// Takes the largest pieces first, disk after disk, until `length` is reached; `None` when
    /// there is not enough.
    fn fill(&self, disks: &[DiskId], length: Sectors) -> Option<Vec<Extent>> {
        let mut chosen = Vec::new();
        let mut missing = length;
        for disk in disks {
            let mut pieces = self.pieces.get(disk).cloned().unwrap_or_default();
            pieces.sort_by_key(|p| (Reverse(p.length), p.start));
            for piece in pieces {
                if missing.is_zero() {
                    return Some(chosen);
                }
                let length = piece.length.min(missing);
                missing = missing.saturating_sub(length);
                chosen.push(Extent { length, ..piece });
            }
        }
        missing.is_zero().then_some(chosen)
    }

    /// Removes an extent from the free piece that it starts or ends.
    fn remove(&mut self, extent: &Extent) {
        let Some(pieces) = self.pieces.get_mut(&extent.disk) else {
            return;
        };
        for piece in pieces.iter_mut().filter(|p| p.overlaps(extent)) {
            let behind = extent.end().round_up(Sectors::MIB);
            if piece.start == extent.start {
                piece.length = piece.end().saturating_sub(behind);
                piece.start = behind;
            } else {
                piece.length = extent.start.saturating_sub(piece.start);
            }
        }
        pieces.retain(|p| !p.length.is_zero());
    }
}

/// The free pieces between the extents in `taken` (sorted). Each starts at a multiple of 1 MiB and
/// ends at a multiple of 4 KiB.
fn gaps(disk: DiskId, size: Sectors, taken: &[Extent]) -> Vec<Extent> {
    let mut free = Vec::new();
    let mut at = Sectors::ZERO;
    let ends = taken
        .iter()
        .map(|e| (e.start, e.end()))
        .chain([(size, size)]);
    for (start, end) in ends {
        let length = start
            .saturating_sub(at)
            .round_down(super::volume::SIZE_UNIT);
        if !length.is_zero() {
            free.push(Extent {
                disk,
                start: at,
                length,
            });
        }
        at = at.max(end.round_up(Sectors::MIB));
    }
    free
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::disk::Disk;
    use super::super::ids::HostId;
    use super::super::name::Name;
    use super::*;
    use proptest::prelude::*;

    fn group(sizes: &[u32]) -> Group {
        let mut group = Group::new(Name::parse("g").unwrap(), HostId::random());
        for (n, mib) in sizes.iter().enumerate() {
            group.disks.push(Disk {
                id: DiskId::from_bytes([u8::try_from(n).unwrap() + 1; 16]),
                media: Name::parse(&format!("disk{n:02}")).unwrap(),
                data_start: Sectors::mib(4),
                size: Sectors::mib(*mib),
            });
        }
        group
    }

    fn wish(mib: u32) -> Wish {
        Wish {
            length: Sectors::mib(mib),
            ..Wish::default()
        }
    }

    #[test]
    fn one_piece_is_preferred_then_one_disk_then_several() {
        let group = group(&[10, 30]);
        let mut free = Free::of(&group, |_| true);
        assert_eq!(free.take(&wish(20)).unwrap().len(), 1);
        let both = free.take(&wish(15)).unwrap();
        assert_eq!(
            both.iter().map(|e| e.disk).collect::<BTreeSet<_>>().len(),
            2
        );
        assert_eq!(free.take(&wish(10)), None);
        assert_eq!(free.take(&wish(5)).unwrap().len(), 1);
    }

    #[test]
    fn avoided_disks_are_never_used_and_reluctant_ones_last() {
        let group = group(&[10, 30]);
        let (small, large) = (group.disks[0].id, group.disks[1].id);
        let mut free = Free::of(&group, |_| true);
        assert_eq!(
            free.take(&Wish {
                avoid: [large].into(),
                ..wish(11)
            }),
            None
        );
        let got = free
            .take(&Wish {
                reluctantly: [large].into(),
                ..wish(10)
            })
            .unwrap();
        assert_eq!(got[0].disk, small);
    }

    #[test]
    fn growing_uses_the_rest_of_the_last_mebibyte_and_what_follows() {
        let mut group = group(&[10]);
        let disk = group.disks[0].id;
        let mut free = Free::of(&group, |_| true);
        let first = free
            .take(&Wish {
                length: Sectors::of(2056),
                ..Wish::default()
            })
            .unwrap()[0];
        assert_eq!(
            (first.start, first.length),
            (Sectors::ZERO, Sectors::of(2056))
        );
        let aligned = first.end().round_up(Sectors::MIB);
        assert_eq!(
            free.take_behind(disk, first.end(), aligned, Sectors::mib(1)),
            Sectors::mib(1)
        );
        group.disks.clear();
        assert_eq!(free.on(disk), Sectors::mib(7));
    }

    #[test]
    fn what_is_small_lies_at_the_end_and_leaves_the_rest_in_one_piece() {
        let group = group(&[10, 10]);
        let (first, second) = (group.disks[0].id, group.disks[1].id);
        let mut free = Free::of(&group, |_| true);
        let log = |on: DiskId| Wish {
            on: vec![on],
            at_end: true,
            ..wish(1)
        };
        assert_eq!(free.take(&log(first)).unwrap()[0].start, Sectors::mib(9));
        assert_eq!(free.take(&log(first)).unwrap()[0].start, Sectors::mib(8));
        let data = free
            .take(&Wish {
                on: vec![first],
                ..wish(6)
            })
            .unwrap();
        assert_eq!((data.len(), data[0].start), (1, Sectors::ZERO));
        assert_eq!(
            free.take_behind(first, data[0].end(), data[0].end(), Sectors::mib(4)),
            Sectors::mib(2)
        );
        assert_eq!(free.take(&log(first)), None);
        // A log in several pieces would be of no use.
        assert_eq!(
            free.take(&Wish {
                on: vec![second],
                at_end: true,
                ..wish(11)
            }),
            None
        );
        assert_eq!(free.on(second), Sectors::mib(10));
    }

    #[test]
    fn what_something_leads_to_is_not_handed_out() {
        let group = group(&[10]);
        let disk = group.disks[0].id;
        let mut free = Free::of(&group, |_| true);
        let kept = Extent {
            disk,
            start: Sectors::mib(2),
            length: Sectors::of(2056),
        };
        free.keep_off(&kept);
        free.keep_off(&Extent {
            disk,
            start: Sectors::mib(9),
            length: Sectors::mib(5),
        });
        assert_eq!(free.on(disk), Sectors::mib(2 + 5));
        let all = free.take(&wish(7)).unwrap();
        assert!(
            all.iter()
                .all(|piece| !piece.overlaps(&kept) && piece.end() <= Sectors::mib(9)),
            "{all:?}"
        );
        assert_eq!(free.take(&wish(1)), None);
    }

    proptest! {
        #[test]
        fn what_is_taken_is_disjoint_inside_and_of_the_right_length(
            sizes in proptest::collection::vec(1u32..40, 1..5),
            wishes in proptest::collection::vec((1u64..40_000, any::<bool>()), 1..12),
        ) {
            let group = group(&sizes);
            let mut free = Free::of(&group, |_| true);
            let mut all: Vec<Extent> = Vec::new();
            for (sectors, at_end) in wishes {
                let length = Sectors::new(sectors * 8).unwrap();
                let room: Sectors = group.disks.iter().map(|d| free.on(d.id)).sum();
                match free.take(&Wish { length, at_end, ..Wish::default() }) {
                    None => prop_assert!(at_end || room < length),
                    Some(got) => {
                        prop_assert_eq!(got.iter().map(|e| e.length).sum::<Sectors>(), length);
                        all.extend(got);
                    }
                }
            }
            for (n, extent) in all.iter().enumerate() {
                let disk = group.disk(extent.disk).unwrap();
                prop_assert!(extent.end() <= disk.size && extent.start.get() % 2048 == 0 && !extent.length.is_zero());
                prop_assert!(all[n + 1..].iter().all(|other| !extent.overlaps(other)));
            }
        }
    }
}

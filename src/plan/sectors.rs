//! Sector sizes (K43). The kernel gives a mirror the largest sectors that any of its legs has, at
//! the swap and under whoever uses it: smaller direct writes fail from then on, and a filesystem
//! with smaller sectors cannot be mounted any more. So no plex of a volume lies on a disk with
//! larger sectors than the volume was made for. Smaller ones do no harm.
//!
//! Logs and maps of changes lie on any disk: the kernel takes over the sectors of neither.

use super::refusal::{Disks, Refusal, Result, Shown};
use super::world::World;
use crate::model::{DiskId, Plex, PlexState, SectorSize, Volume};
use std::collections::BTreeSet;

impl World {
    /// The sectors of a disk that is here.
    pub fn sectors_of(&self, disk: DiskId) -> Option<SectorSize> {
        // A disk with larger ones than are supported is no smaller than that.
        self.disks
            .get(&disk)
            .map(|found| SectorSize::new(found.logical_block).unwrap_or(SectorSize::LARGEST))
    }

    /// What a volume was made for; of one that an older version made what its data plexes show, as
    /// far as their disks are here.
    pub fn sector_size(&self, volume: &Volume) -> Option<SectorSize> {
        volume.sector_size.or_else(|| {
            let data = self.largest_sectors(volume.in_state(PlexState::Active));
            data.or_else(|| self.largest_sectors(&volume.plexes))
        })
    }

    /// The largest sectors that a further plex may have: what the volume was made for, unless its
    /// filesystem was not.
    pub fn sector_limit(&self, volume: &Volume) -> Option<SectorSize> {
        let made_for = self.sector_size(volume)?;
        Some(self.smaller_contents(volume).unwrap_or(made_for))
    }

    /// The pieces of a filesystem that is not what its volume was made for. It works only as long
    /// as the volume's sectors are as small.
    fn smaller_contents(&self, volume: &Volume) -> Option<SectorSize> {
        let (made_for, shown) = (
            self.sector_size(volume)?,
            self.largest_sectors(&volume.plexes)?,
        );
        self.known
            .contents
            .get(&volume.id)
            .copied()
            .filter(|pieces| *pieces < made_for && shown < made_for)
    }

    /// The volumes whose filesystem should be looked at before they get a plex.
    pub fn with_unknown_contents(&self) -> Vec<&Volume> {
        let live = self
            .group
            .volumes
            .iter()
            .filter(|v| v.running == Some(self.boot));
        live.filter(|v| self.largest_sectors(&v.plexes) < self.sector_size(v))
            .collect()
    }

    /// The largest sectors of the disks that these plexes lie on and that are here.
    pub fn largest_sectors<'p>(
        &self,
        plexes: impl IntoIterator<Item = &'p Plex>,
    ) -> Option<SectorSize> {
        plexes
            .into_iter()
            .flat_map(|p| &p.subdisks)
            .filter_map(|s| self.sectors_of(s.disk))
            .max()
    }

    /// The disks that are here and have larger sectors than these.
    pub fn with_larger_sectors(&self, limit: Option<SectorSize>) -> BTreeSet<DiskId> {
        let larger = |disk: &DiskId| {
            limit.is_some_and(|limit| {
                self.sectors_of(*disk)
                    .is_some_and(|sectors| sectors > limit)
            })
        };
        self.disks.keys().copied().filter(larger).collect()
    }

    /// Refuses that a plex of a volume lies on any of these disks when the volume's sectors would
    /// become larger by it.
    pub fn refuse_larger_sectors(
        &self,
        volume: &Volume,
        disks: impl IntoIterator<Item = DiskId>,
    ) -> Result<()> {
        let limit = self.sector_limit(volume);
        let unfit = self.with_larger_sectors(limit);
        match (limit, disks.into_iter().find(|disk| unfit.contains(disk))) {
            (Some(limit), Some(disk)) => Err(self.larger_sectors(volume, disk, limit)),
            _ => Ok(()),
        }
    }

    fn larger_sectors(&self, volume: &Volume, disk: DiskId, limit: SectorSize) -> Refusal {
        let shown = match self.shown(disk) {
            // One that is not in the group yet.
            Shown::Id(id) => self
                .disks
                .get(&id)
                .map_or(Shown::Id(id), |found| Shown::Device(found.path.clone())),
            shown => shown,
        };
        Disks::LargerSectors {
            volume: self.named(&volume.name),
            disk: shown,
            sectors: self.sectors_of(disk).unwrap_or(SectorSize::LARGEST),
            limit,
            by_contents: self.smaller_contents(volume).is_some(),
        }
        .into()
    }
}

/// What has to be done so that a volume can move to disks with larger sectors than those that it
/// shows now.
pub fn advice(path: &str, wanted: SectorSize, shown: SectorSize) -> String {
    format!(
        "'{path}' may get legs with sectors of {wanted} bytes and shows {shown} until then: make its filesystem for {wanted} (mkfs.xfs -s size={wanted}, mkfs.ext4 -b {wanted})"
    )
}

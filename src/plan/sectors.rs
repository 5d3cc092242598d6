//! Sector sizes (K43). A mirror has the largest sector size of its legs, which the kernel applies
//! when the tables are swapped, even while the device is in use. From then on smaller direct writes
//! fail, and a filesystem with smaller sectors cannot be mounted any more. So no plex of a volume
//! lies on a disk with larger sectors than the volume was made for. Smaller sectors do no harm.
//!
//! Logs and maps may lie on any disk, because the kernel does not take over the sector size of
//! either.

use super::evidence::Situation;
use super::refusal::{Disks, Refusal, Result, Shown};
use super::world::World;
use crate::model::{DiskId, Plex, PlexState, SectorSize, Volume};
use std::collections::BTreeSet;

impl World {
    /// The sector size of a disk; `None` if the disk is missing.
    pub fn sectors_of(&self, disk: DiskId) -> Option<SectorSize> {
        // A disk whose sectors are larger than any that is supported counts as the largest.
        self.disks
            .get(&disk)
            .map(|found| SectorSize::new(found.logical_block).unwrap_or(SectorSize::LARGEST))
    }

    /// The sector size that a volume was made for. For a volume of an older version, which did not
    /// record it, this is what its data plexes show, as far as their disks are present.
    pub fn sector_size(&self, volume: &Volume) -> Option<SectorSize> {
        volume.sector_size.or_else(|| {
            let data = self.largest_sectors(volume.in_state(PlexState::Active));
            data.or_else(|| self.largest_sectors(&volume.plexes))
        })
    }

    /// The running volumes that show smaller sectors than they were made for. The block size of
    /// their filesystem must be known before they get another plex.
    pub fn with_unknown_contents(&self) -> Vec<&Volume> {
        let live = self
            .group
            .volumes
            .iter()
            .filter(|v| v.running == Some(self.boot));
        live.filter(|v| self.largest_sectors(&v.plexes) < self.sector_size(v))
            .collect()
    }

    /// The largest sectors of the present disks that these plexes lie on.
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

    /// The present disks with larger sectors than `limit`; none without a limit.
    pub fn with_larger_sectors(&self, limit: Option<SectorSize>) -> BTreeSet<DiskId> {
        let larger = |disk: &DiskId| {
            limit.is_some_and(|limit| {
                self.sectors_of(*disk)
                    .is_some_and(|sectors| sectors > limit)
            })
        };
        self.disks.keys().copied().filter(larger).collect()
    }
}

impl Situation {
    /// The largest sectors that a further plex may have: those that the volume was made for, or
    /// those of its filesystem if these are smaller.
    pub fn sector_limit(&self, volume: &Volume) -> Option<SectorSize> {
        let made_for = self.sector_size(volume)?;
        Some(self.smaller_contents(volume).unwrap_or(made_for))
    }

    /// The block size of a filesystem that is smaller than the sectors that its volume was made
    /// for. Such a filesystem works only while the volume shows sectors as small as that.
    fn smaller_contents(&self, volume: &Volume) -> Option<SectorSize> {
        let (made_for, shown) = (
            self.sector_size(volume)?,
            self.largest_sectors(&volume.plexes)?,
        );
        self.evidence
            .users
            .get(&volume.id)?
            .block
            .filter(|pieces| *pieces < made_for && shown < made_for)
    }

    /// Refuses these disks for a plex of the volume if one has larger sectors than the volume can
    /// have.
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
            // A disk that is not in the group yet.
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

/// Advice on how to make the filesystem of a volume that may later get plexes on disks with larger
/// sectors than it shows now.
pub fn advice(path: &str, wanted: SectorSize, shown: SectorSize) -> String {
    format!(
        "'{path}' may get legs with sectors of {wanted} bytes and shows {shown} until then: make its filesystem for {wanted} (mkfs.xfs -s size={wanted}, mkfs.ext4 -b {wanted})"
    )
}

//! The steps of a plan, as data. [`Window`] is a separate type: it can express only what is allowed
//! while a volume is suspended.
//!
//! After a crash before the commit, the next command converges to the old configuration, which is
//! still on the disks; after the commit it converges to the new one. Both directions use the same
//! procedure (`plan::transition`, starting from what is observed), so no step needs an undo of its
//! own that could itself be wrong.

use super::change::Change;
use super::found::{PresentDisk, Said, Space};
use super::refusal::Refusal;
use crate::advice::Hint;
use crate::model::{DiskId, DmName, DmUuid, Extent, Group, Name, Sectors, VolumeId};
use crate::table::{Links, SuspendMode, Table, TargetLine};
use std::ops::Range;
use std::path::PathBuf;

/// A planned change: the new configuration, and the steps that lead to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The configuration afterwards.
    pub group: Group,
    /// The changes, for the report of a command and the summary of a dry run.
    pub changes: Vec<Change>,
    /// Messages to print before anything is changed.
    pub announced: Vec<String>,
    /// Messages to print afterwards: what to know or to do next.
    pub notes: Vec<Hint>,
    /// What the plan destroys, if the administrator has to agree to it.
    pub consent: Option<Consent>,
    /// Labels to write before the configuration, which is then written to those disks too.
    pub labels: Vec<LabelStep>,
    /// Steps before the commit. They leave the committed state as it is.
    pub prepare: Vec<Prepare>,
    /// The suspends, the checks, the commit and the resumes.
    pub window: Window,
    /// Steps after the commit. Each may be repeated.
    pub finish: Vec<Finish>,
    /// Labels to erase at the very end: of disks that have left the group.
    pub erase: Vec<OldLabel>,
    /// Whether the user forced the plan, so that it is carried out even if the present disks have
    /// no quorum for their group.
    pub forced: bool,
    /// The parts of a request for several objects that the plan leaves out, each with the reason.
    pub failures: Vec<Refusal>,
    /// New snapshots. Their freeze time is measured in the window and added to the report.
    pub snapshots: Vec<VolumeId>,
}

/// What a plan destroys, if the administrator has to agree to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// The question, which a yes answers.
    pub question: String,
    /// The refusal without a yes.
    pub refusal: Refusal,
}

/// A step on the label of a disk, before the configuration is written to the disk. A crash after it
/// leaves a disk of which the configuration in force says nothing new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelStep {
    /// Destroys what is on a device and writes a label. The disk is in no group until the commit.
    Write(NewLabel),
    /// Uses a disk that is initialised already and in no group.
    Keep {
        /// The disk that its label says it is.
        id: DiskId,
        /// The device.
        found: PresentDisk,
    },
    /// Makes a copy of a disk of another group a disk of this one; what is on it stays. This is done
    /// before the plan's other steps, with the first configuration of the clone.
    Turn {
        /// The disk that it is a copy of.
        from: DiskId,
        /// The disk that it becomes.
        to: DiskId,
        /// The device.
        found: PresentDisk,
    },
    /// Makes a device without a label a disk of the group again, whose label is lost. The commit
    /// writes it.
    Restore {
        /// The disk.
        disk: DiskId,
        /// The device.
        found: PresentDisk,
    },
    /// States in the label of a disk how much space for volumes it has. A label may state more than
    /// the configuration uses, and never less.
    Grow {
        /// The disk.
        disk: DiskId,
        /// Its media name.
        media: Name,
        /// The size of its space for volumes.
        size: Sectors,
    },
}

/// A label to be written to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLabel {
    /// The device.
    pub found: PresentDisk,
    /// The disk that it becomes.
    pub space: Space,
    /// The size of the private area.
    pub area: Sectors,
}

/// The label of a disk that has left its group. Until it is erased, the disk names a group that
/// does not list it; every command ignores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldLabel {
    /// The disk.
    pub disk: DiskId,
    /// The media name that it had.
    pub media: Name,
    /// The path of its device.
    pub path: PathBuf,
}

/// The label of a disk that no group has, to be erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostLabel {
    /// The device, by the path that the request uses.
    pub device: PathBuf,
    /// The device as it was found.
    pub found: PresentDisk,
    /// What the label says; `None` if it is damaged and does not tell.
    pub said: Option<Said>,
}

/// A step that leaves the committed state as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prepare {
    /// Erases old filesystem signatures at both ends of new space, so that no stale content is
    /// detected there.
    Wipe(Vec<Extent>),
    /// Writes a dirty region log that nothing uses yet.
    WriteLog {
        /// The space that the log is written to.
        extent: Extent,
        /// Size of the volume in sectors, which determines the number of regions.
        size: Sectors,
        /// Region size in sectors: one bit of the log stands for one region.
        region: Sectors,
        /// Whether all regions are marked clean, or all dirty.
        clean: bool,
    },
    /// Writes a change log that nothing uses yet.
    WriteChanges {
        /// The space that the log is written to.
        extent: Extent,
        /// Size of the volume in sectors, which determines the number of regions.
        size: Sectors,
        /// Region size in sectors: one bit of the log stands for one region.
        region: Sectors,
        /// The regions to be copied, by number. All others are marked clean.
        dirty: Vec<Range<u64>>,
    },
    /// Suspends a tracked volume that is about to be removed. The suspend ends the era and commits
    /// its map (K7), which has no writer after that.
    EndEra(DmUuid),
    /// Suspends a closed volume, and fails if anything was written to it since its map was read.
    Unwritten {
        /// The volume's device, which is removed next or resumed by the window.
        uuid: DmUuid,
        /// The kernel's count of writes to the device, taken before the map was read.
        writes: u64,
    },
    /// Blanks the start of new maps, so that the kernel formats them.
    Blank(Vec<Extent>),
    /// Copies a map that is not in use yet to its other copies.
    CopyMap {
        /// The source, whose contents are valid.
        from: Extent,
        /// The destinations, which become identical to the source.
        to: Vec<Extent>,
    },
    /// Creates an empty device.
    Create {
        /// Its name.
        name: DmName,
        /// Its UUID.
        uuid: DmUuid,
    },
    /// Loads an inactive table.
    Load {
        /// The device.
        uuid: DmUuid,
        /// The volume whose stack the device belongs to.
        volume: VolumeId,
        /// The table.
        table: Table,
        /// Whether ranges on a missing disk that the kernel no longer knows are mapped to `error`.
        /// They are lost in any case, and the rest of the volume must not wait for them.
        forgo: bool,
    },
    /// Loads an inactive table that is derived from a live one (a failed leg taken out).
    LoadRaw {
        /// The device.
        uuid: DmUuid,
        /// The lines of the table, with device numbers.
        lines: Vec<TargetLine>,
    },
    /// Makes the table of a new inner linear device live. Nothing uses the device yet.
    Activate(DmUuid),
    /// Clears an inactive table that an interrupted command left behind.
    Clear(DmUuid),
    /// Removes a device that must be unused. Fails without changing anything if the device is open.
    Remove(DmUuid),
    /// Removes an inner device. While another process has it open, it becomes an error device
    /// instead (K44).
    Retire(DmUuid),
}

/// When the new configuration becomes the valid one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CommitPoint {
    /// While everything is suspended: the configuration on the disks and the tables in the kernel
    /// change at the same instant.
    #[default]
    Suspended,
    /// Before anything is suspended: a failure is recorded first and acted on afterwards, so that a
    /// leg that missed writes cannot come back after a crash.
    First,
}

/// Suspend, check, commit, resume. Nothing else can be expressed, so nothing else can happen while
/// I/O is held.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Window {
    /// Volumes whose snapshots the plan records as `frozen`. Everything that rests on them must be
    /// frozen; otherwise the plan is abandoned.
    pub frozen: Vec<DmUuid>,
    /// The devices to suspend, in this order: from the top down.
    pub suspend: Vec<(DmUuid, SuspendMode)>,
    /// Mirrors in which nothing may have failed when the window begins. A suspend above a mirror
    /// blocks on the writes that it holds for a failed leg, and a freeze returns them as errors
    /// (K2).
    pub alive: Vec<DmUuid>,
    /// Mirrors that must be in sync with every leg alive; otherwise the plan is abandoned.
    pub check: Vec<DmUuid>,
    /// Volumes that no process may have open once everything is suspended. Their contents are about
    /// to move to another volume, or to be lost.
    pub closed: Vec<DmUuid>,
    /// When the new configuration is committed.
    pub commit: CommitPoint,
    /// The devices to resume, in this order: from the bottom up.
    pub resume: Vec<(DmUuid, Links)>,
    /// Volumes whose changes are tracked before the window or after it. Their resume writes to the
    /// map, and blocks while the map cannot be written (K32).
    pub tracked: Vec<DmUuid>,
}

/// A step after the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// Makes the inactive table of a device live.
    Activate {
        /// The device.
        uuid: DmUuid,
        /// Which links udev makes for it.
        links: Links,
        /// Whether the device is an era. Activating one blocks while its map cannot be written
        /// (K32).
        tracked: bool,
    },
    /// Removes a device that is no longer part of any stack. While another process has it open, it
    /// becomes an error device instead (K44).
    Retire(DmUuid),
    /// Gives a device its new name.
    Rename {
        /// The device.
        uuid: DmUuid,
        /// The new name.
        to: DmName,
    },
    /// Clears an inactive table that an interrupted command left behind.
    Clear(DmUuid),
}

impl Plan {
    /// A plan that leaves the configuration as it is and does nothing.
    pub fn nothing(group: Group) -> Plan {
        Plan {
            group,
            changes: Vec::new(),
            announced: Vec::new(),
            notes: Vec::new(),
            consent: None,
            labels: Vec::new(),
            prepare: Vec::new(),
            window: Window::default(),
            finish: Vec::new(),
            erase: Vec::new(),
            forced: false,
            failures: Vec::new(),
            snapshots: Vec::new(),
        }
    }

    /// Whether the plan commits a configuration, where this one is in force.
    pub fn commits(&self, in_force: &Group) -> bool {
        self.group != *in_force || self.forced
    }

    /// Whether the plan has any steps on devices of the kernel. A plan without steps may still change the configuration.
    pub fn has_steps(&self) -> bool {
        !(self.prepare.is_empty()
            && self.window.suspend.is_empty()
            && self.window.resume.is_empty()
            && self.finish.is_empty())
    }
}

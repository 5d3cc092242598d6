//! The steps of a plan, as data. What may happen while a volume is suspended is a type of its own:
//! [`Window`].
//!
//! Crash meaning: before the commit the next command converges to the configuration that is still
//! on the disks, after it to the new one. Both directions are the same procedure
//! (`plan::transition` from what is observed), so no step needs an undo of its own that could
//! itself be wrong.

use super::change::Change;
use super::refusal::Refusal;
use crate::model::{DmName, DmUuid, Extent, Group, Sectors, VolumeId};
use crate::table::{Links, SuspendMode, Table, TargetLine};
use std::ops::Range;

/// A decided change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The configuration afterwards.
    pub group: Group,
    /// What it changes, in words.
    pub changes: Vec<Change>,
    /// What is told before anything happens.
    pub announced: Vec<String>,
    /// What to know or do next.
    pub notes: Vec<String>,
    /// Before the commit.
    pub prepare: Vec<Prepare>,
    /// Around the commit.
    pub window: Window,
    /// After the commit; each may be repeated.
    pub finish: Vec<Finish>,
    /// Whether it is carried out although the disks that are here may not speak for their group:
    /// somebody insisted.
    pub forced: bool,
    /// What the plan leaves out of a request for many things, each with the reason.
    pub failures: Vec<Refusal>,
    /// New snapshots, whose freeze time becomes known in the window.
    pub snapshots: Vec<VolumeId>,
}

/// A step that leaves the committed state as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prepare {
    /// Destroys old filesystem signatures at both ends of new space, so that nothing stale is
    /// announced.
    Wipe(Vec<Extent>),
    /// Writes a dirty region log that nothing uses yet.
    WriteLog {
        /// Where.
        extent: Extent,
        /// Size of the volume.
        size: Sectors,
        /// Region size.
        region: Sectors,
        /// All clean, or all dirty.
        clean: bool,
    },
    /// Writes a change log that nothing uses yet.
    WriteChanges {
        /// Where.
        extent: Extent,
        /// Size of the volume.
        size: Sectors,
        /// Region size.
        region: Sectors,
        /// The regions to be copied.
        dirty: Vec<Range<u64>>,
    },
    /// Suspends a volume whose changes are tracked and that goes: its map is written once more, and
    /// has no writer after that.
    EndEra(DmUuid),
    /// Does so with a closed volume, and fails when anything has been written to it since its map
    /// was listed.
    Unwritten {
        /// The volume's device, which is removed next, or goes on after the window.
        uuid: DmUuid,
        /// The kernel's count of what had been written to it.
        writes: u64,
    },
    /// Makes the beginnings of new maps blank, so that the kernel formats them.
    Blank(Vec<Extent>),
    /// Copies a map that nobody uses yet to its other places.
    CopyMap {
        /// Where it is.
        from: Extent,
        /// Where it has to be, too.
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
        /// Whose stack it belongs to.
        volume: VolumeId,
        /// The table.
        table: Table,
        /// Whether what lies on a missing disk becomes an error when the kernel does not know the
        /// disk any more: it is lost anyhow, and the rest must not wait for it.
        forgo: bool,
    },
    /// Loads an inactive table that is derived from a live one (a failed leg taken out).
    LoadRaw {
        /// The device.
        uuid: DmUuid,
        /// The table with its numbers.
        lines: Vec<TargetLine>,
    },
    /// Makes a new inner linear device live; nothing uses it yet.
    Activate(DmUuid),
    /// Forgets an inactive table that somebody left behind.
    Clear(DmUuid),
    /// Removes a device that must be unused; fails, with nothing changed, when it is open.
    Remove(DmUuid),
    /// Removes an inner device. As long as another process has it open it is an error device
    /// instead.
    Retire(DmUuid),
}

/// When the new configuration becomes the valid one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CommitPoint {
    /// While everything is suspended: what the disks say and what the kernel does change at one
    /// instant.
    #[default]
    Suspended,
    /// Before anything is suspended: a failure is recorded first, then acted upon.
    First,
}

/// Suspend, check, flip, resume: nothing else can be expressed, so nothing else can happen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Window {
    /// Volumes of which everything that rests on them has to be frozen, or the whole plan is off:
    /// it calls their snapshots so.
    pub frozen: Vec<DmUuid>,
    /// Suspended in this order (from the top down).
    pub suspend: Vec<(DmUuid, SuspendMode)>,
    /// Mirrors that nothing may have failed in when the window begins: what a mirror holds because
    /// of a failed leg keeps a suspend above it waiting, and comes back as errors from a freeze.
    pub alive: Vec<DmUuid>,
    /// Mirrors that must be in sync with every leg alive, or the whole plan is off.
    pub check: Vec<DmUuid>,
    /// Volumes that nobody may have open when all is suspended: what they hold is about to be
    /// another's, or gone.
    pub closed: Vec<DmUuid>,
    /// When the flip happens.
    pub commit: CommitPoint,
    /// Resumed in this order (from the bottom up).
    pub resume: Vec<(DmUuid, Links)>,
    /// Volumes whose changes are tracked afterwards: a resume of one writes to its map, and waits
    /// when that cannot be written to.
    pub tracked: Vec<DmUuid>,
}

/// A step after the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// Makes a loaded table live.
    Activate {
        /// The device.
        uuid: DmUuid,
        /// Which links udev makes for it.
        links: Links,
        /// Whether its changes are tracked: it waits when its map cannot be written to.
        tracked: bool,
    },
    /// Removes a device that is no longer part of any stack. As long as another process has it open
    /// it is an error device instead.
    Retire(DmUuid),
    /// Gives a device its new name.
    Rename {
        /// The device.
        uuid: DmUuid,
        /// Its name from now on.
        to: DmName,
    },
    /// Forgets an inactive table that somebody left behind.
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
            prepare: Vec::new(),
            window: Window::default(),
            finish: Vec::new(),
            forced: false,
            failures: Vec::new(),
            snapshots: Vec::new(),
        }
    }

    /// Whether there is any step at all (the configuration may still change).
    pub fn has_steps(&self) -> bool {
        !(self.prepare.is_empty()
            && self.window.suspend.is_empty()
            && self.window.resume.is_empty()
            && self.finish.is_empty())
    }
}

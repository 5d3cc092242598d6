//! What has to be found out before a request is planned, beyond the configuration and the kernel's
//! tables. What is found goes into [`Known`](super::world::Known).

use super::request::{Request, Splits};
use super::world::World;
use crate::model::Name;

/// One thing to be found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need<'r> {
    /// What rests on the volumes that are split, and whether it can be frozen.
    Standing(&'r Splits),
    /// Whether the kernel has the targets with which changes are tracked.
    EraTarget,
    /// The block sizes of the filesystems on volumes, where disks with larger sectors are at hand.
    Contents,
    /// Whether the kernel's `era` keeps what it has noted when the machine goes down.
    EraSurvival,
    /// Which maps of changes of stopped volumes are whole.
    StoppedMaps,
    /// What was written on both sides of these snapshots. A map must not be asked while its volume is
    /// being suspended (K7): this takes the group's lock.
    Changes(&'r [Name]),
    /// The eras of the volumes whose changes are tracked; takes the lock for the same reason.
    Eras,
    /// Whether the space that is set aside for new maps can be written to. This writes.
    MapSpace(&'r Splits),
}

/// What a request needs to know, in the order in which it is found out. What cannot be found out is
/// no error: the plan goes without it, and copies everything, say.
pub fn needs<'r>(world: &World, request: &'r Request) -> Vec<Need<'r>> {
    match request {
        Request::Snapshot { splits, .. } if tracks(world) => vec![
            Need::Standing(splits),
            Need::EraTarget,
            Need::Eras,
            Need::MapSpace(splits),
        ],
        Request::Snapshot { splits, .. } => vec![Need::Standing(splits)],
        Request::SnapBack { snapshots, .. } => vec![Need::Contents, Need::Changes(snapshots)],
        Request::SnapStart { .. }
        | Request::Mirror { .. }
        | Request::Grow { .. }
        | Request::PlexAttach(_) => vec![Need::Contents],
        Request::Start { .. } => vec![Need::EraSurvival, Need::StoppedMaps],
        Request::Make { .. }
        | Request::Remove { .. }
        | Request::Rename { .. }
        | Request::Stop(_)
        | Request::SnapAbort { .. }
        | Request::SnapClear { .. }
        | Request::FastResync { .. }
        | Request::PlexConvert { .. }
        | Request::PlexDetach(_)
        | Request::PlexRemove(_) => Vec::new(),
    }
}

/// Whether any volume is to be tracked.
fn tracks(world: &World) -> bool {
    world.group.volumes.iter().any(|v| v.fast_resync)
}

//! The observations that a request needs before it is planned, beyond the configuration and the
//! kernel's tables. The results go into [`Evidence`](super::evidence::Evidence).

use super::request::{GroupRequest, Receiver, Request, Splits};
use super::world::World;
use crate::model::{Name, Sectors};
use std::path::Path;

/// One observation to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need<'r> {
    /// The users of the volumes to be split, and whether everything that rests on them can be
    /// frozen.
    Standing(&'r Splits),
    /// Whether the kernel has the targets that tracking needs.
    EraTarget,
    /// The targets that the kernel lacks, and what is known of the kernel then.
    Lacking,
    /// The block sizes of the filesystems on volumes, where disks with larger sectors are present.
    Contents,
    /// The disks on which no heads have to move.
    Rotation,
    /// Whether the kernel's `era` keeps what it has recorded when the machine crashes.
    EraSurvival,
    /// The maps of stopped volumes that are undamaged.
    StoppedMaps,
    /// The ranges written on both sides of these snapshots. This takes the group's lock, because a
    /// query of a map blocks while its volume is suspended (K7).
    Changes(&'r [Name]),
    /// The current eras of the tracked volumes. This takes the lock for the same reason.
    Eras,
    /// Whether the space reserved for new maps can be written. The check writes to it.
    MapSpace(&'r Splits),
    /// This device, which is to become a disk, and what speaks against that. Its private area gets
    /// this size; by default that of the group's other disks.
    Prospect(&'r Path, Option<Sectors>),
    /// Groups on this machine's disks that have this name; by default the group's.
    Namesakes(Option<&'r Name>),
    /// The group with this name, which is to receive what this one hands over.
    Receiver(&'r Name),
    /// This device, which is to get the label of the disk with this media name.
    Bearer(&'r Name, &'r Path),
    /// Other groups that this machine has imported under this name; by default under the group's.
    OwnNamesakes(Option<&'r Name>),
    /// The size of the disk with this media name, by its label and by its device.
    Size(&'r Name),
}

/// The observations that a request needs, in the order in which they are made. A failed observation
/// is no error: the plan does without it and, for example, copies everything.
pub fn needs<'r>(world: &World, request: &'r Request) -> Vec<Need<'r>> {
    match request {
        Request::Snapshot { splits, .. } if tracks(world) => vec![
            Need::Standing(splits),
            Need::EraTarget,
            Need::Eras,
            Need::MapSpace(splits),
        ],
        Request::Snapshot { splits, .. } => vec![Need::Standing(splits)],
        Request::SnapBack { snapshots, .. } => {
            vec![Need::Contents, Need::Rotation, Need::Changes(snapshots)]
        }
        Request::SnapStart { .. } | Request::Mirror { .. } | Request::PlexAttach { .. } => {
            vec![Need::Contents, Need::Rotation]
        }
        Request::Grow { .. } => vec![Need::Contents],
        Request::Start { .. } => vec![Need::EraSurvival, Need::StoppedMaps],
        Request::Make { .. }
        | Request::Remove { .. }
        | Request::Rename { .. }
        | Request::Owner { .. }
        | Request::LogAdd { .. }
        | Request::LogRemove(_)
        | Request::Stop(_)
        | Request::SnapAbort { .. }
        | Request::SnapClear { .. }
        | Request::AtBoot { .. }
        | Request::FastResync { .. }
        | Request::PlexConvert { .. }
        | Request::PlexDetach(_)
        | Request::PlexRemove(_)
        | Request::PlexAbort(_) => Vec::new(),
    }
}

/// The observations that a change to a group or its disks needs.
pub fn group_needs(request: &GroupRequest) -> Vec<Need<'_>> {
    match request {
        GroupRequest::Create { disks, area, .. } => {
            let devices = disks.iter().map(|d| Need::Prospect(&d.device, *area));
            let before = [Need::Namesakes(None), Need::Lacking];
            before.into_iter().chain(devices).collect()
        }
        GroupRequest::Add { disks, .. } => {
            let devices = disks.iter().map(|d| Need::Prospect(&d.device, None));
            devices.collect()
        }
        GroupRequest::ReplaceDisk { device, .. } => {
            vec![Need::Contents, Need::Rotation, Need::Prospect(device, None)]
        }
        GroupRequest::RestoreLabel { media, device, .. } => vec![Need::Bearer(media, device)],
        GroupRequest::ResizeDisk(media) => vec![Need::Size(media)],
        GroupRequest::Import { name, .. } => vec![Need::OwnNamesakes(name.as_ref()), Need::Lacking],
        GroupRequest::HandOver { to, .. } => vec![match to {
            Receiver::New(name) => Need::Namesakes(Some(name)),
            Receiver::Existing(name) => Need::Receiver(name),
        }],
        GroupRequest::RemoveDisk(_)
        | GroupRequest::Destroy
        | GroupRequest::Deport
        | GroupRequest::Choose { .. } => Vec::new(),
    }
}

/// Whether tracking is turned on for any volume of the group.
fn tracks(world: &World) -> bool {
    world.group.volumes.iter().any(|v| v.fast_resync)
}

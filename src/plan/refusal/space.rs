//! Lack of space or of numbers for new objects.

use super::{InGroup, Reason};
use crate::advice::{Advised, Choice, Hint, Of};
use crate::error::Kind;
use crate::model::volume::MAX_PLEXES;
use crate::model::{Name, SectorSize, Sectors};

/// There is no space or no number for a new object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Space {
    /// No disk or set of disks has enough space.
    NoRoom {
        /// The volume that needs the space.
        volume: InGroup,
        /// What the space is for.
        room: Room,
        /// Size of the space in sectors.
        length: Sectors,
        /// Every disk of the group by media name, with the reason why it cannot be used.
        disks: Vec<(Name, NoHelp)>,
    },
    /// No disk has space for the map of a volume's changes.
    NoRoomForMap {
        /// The volume.
        volume: InGroup,
        /// The contiguous space that one copy takes, in sectors.
        length: Sectors,
    },
    /// The volume has the maximum number of plexes.
    TooManyPlexes {
        /// The volume.
        volume: InGroup,
    },
    /// All plex numbers of a volume are in use, some perhaps only by old devices that are still
    /// open.
    NumbersUsedUp {
        /// The volume.
        volume: Name,
    },
    /// The new disk is too small to replace the old one.
    DiskTooSmall {
        /// The old disk.
        disk: InGroup,
        /// Space for volumes on the new disk, in sectors.
        has: Sectors,
        /// The end of the last plex on the old disk, in sectors.
        needed: Sectors,
    },
}

/// What space is needed for. Cases are distinct where the advice differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// A plex, or a further part of one.
    Plex,
    /// A plex, on disks that hold no other plex of its volume. Others may be used if they are
    /// named.
    PlexApart,
    /// A plex, on disks whose sectors are not larger than its volume's. The group also has disks
    /// with larger ones.
    PlexOfSmallSectors,
    /// A dirty region log.
    Log,
    /// A dirty region log for a mirror that works without one.
    LogAlone,
}

/// The reason why a disk cannot be used. Sizes are the free space on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoHelp {
    /// The disk is missing.
    Missing,
    /// The disk was not named, or is to be avoided.
    Excluded,
    /// The disk has this free space, but its sectors of this size are too large.
    LargerSectors(Sectors, SectorSize),
    /// The disk has this free space, but holds another plex of the volume.
    HoldsPlex(Sectors),
    /// The disk has this free space, which is too little or not contiguous.
    Full(Sectors),
}

impl Reason for Space {
    fn kind(&self) -> Kind {
        Kind::NoSpace
    }

    fn object(&self) -> Option<String> {
        match self {
            Space::NoRoom { volume: of, .. }
            | Space::NoRoomForMap { volume: of, .. }
            | Space::TooManyPlexes { volume: of }
            | Space::DiskTooSmall { disk: of, .. } => Some(of.to_string()),
            Space::NumbersUsedUp { .. } => None,
        }
    }

    fn message(&self) -> String {
        match self {
            Space::NoRoom {
                volume,
                room,
                length,
                disks,
            } => {
                let reasons: Vec<String> = disks
                    .iter()
                    .map(|(media, why)| why.message(media))
                    .collect();
                format!(
                    "{}no space for a plex of '{}' ({length}): {}",
                    room.context(),
                    volume.name,
                    reasons.join(", ")
                )
            }
            Space::NoRoomForMap { volume, length } => format!(
                "no disk has {length} free in one piece to track the changes of '{volume}' in"
            ),
            Space::TooManyPlexes { volume } => format!(
                "volume '{}' has {MAX_PLEXES} plexes, which is the limit",
                volume.name
            ),
            Space::NumbersUsedUp { volume } => {
                format!("volume '{volume}' has used up all plex numbers")
            }
            Space::DiskTooSmall { disk, has, needed } => format!(
                "the new disk has {has} for volumes, the plexes on '{}' extend to {needed}",
                disk.name
            ),
        }
    }

    fn hint(&self) -> Option<Hint> {
        Some(match self {
            Space::NoRoom { volume, room, .. } => room.hint(&volume.group),
            Space::NoRoomForMap { .. } => {
                Hint::from("add a disk with ").line(Advised::GroupAdd { group: None })
            }
            Space::TooManyPlexes { .. } => Hint::from("remove one with ")
                .line(Advised::SnapAbort(Of::verb()))
                .and(" or ")
                .line(Advised::PlexRemove(Of::verb()))
                .and(" first"),
            Space::NumbersUsedUp { .. } => return None,
            Space::DiskTooSmall { .. } => "take a disk that is at least as large".into(),
        })
    }
}

impl Room {
    /// The text before the message.
    fn context(self) -> &'static str {
        match self {
            Room::Plex | Room::PlexApart | Room::PlexOfSmallSectors => "",
            Room::Log | Room::LogAlone => "the dirty region log: ",
        }
    }

    fn hint(self, group: &Name) -> Hint {
        let add = || {
            Hint::from("add a disk with ").line(Advised::GroupAdd {
                group: Some(group.to_string()),
            })
        };
        match self {
            Room::Plex | Room::LogAlone => add(),
            Room::PlexApart => add()
                .and(", or name the disks to use ")
                .choice(Choice::NamedDisks)
                .and(" to let plexes share one"),
            Room::PlexOfSmallSectors => Hint::from("use disks with sectors as small as the volume's; a volume that may lie on any disk is made with ")
                .line(Advised::Make { sector_size: SectorSize::LARGEST.bytes() }),
            Room::Log => Hint::from("make it with ")
                .choice(Choice::WithoutLog)
                .and(": after a crash the whole mirror is resynchronised then"),
        }
    }
}

impl NoHelp {
    fn message(self, media: &Name) -> String {
        match self {
            NoHelp::Missing => format!("{media} is missing"),
            NoHelp::Excluded => format!("{media} is excluded"),
            NoHelp::LargerSectors(free, sectors) => {
                format!("{media} ({free} free) has larger sectors ({sectors} bytes)")
            }
            NoHelp::HoldsPlex(free) => {
                format!("{media} ({free} free) holds a plex of it already")
            }
            NoHelp::Full(free) => format!("{media} has {free} free"),
        }
    }
}

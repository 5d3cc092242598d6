//! No space, or no number, for something new.

use super::{InGroup, Reason};
use crate::advice::{Advised, Choice, Hint, Of};
use crate::error::Kind;
use crate::model::volume::MAX_PLEXES;
use crate::model::{Name, SectorSize, Sectors};

/// There is no space, or no number, for something new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Space {
    /// No disk has room.
    NoRoom {
        /// For something of this volume.
        volume: InGroup,
        /// What.
        room: Room,
        /// How large.
        length: Sectors,
        /// Every disk of the group by media name, and why it is no help.
        disks: Vec<(Name, NoHelp)>,
    },
    /// No disk has room for the map of a volume's changes.
    NoRoomForMap {
        /// The volume.
        volume: InGroup,
        /// What a map takes in one piece.
        length: Sectors,
    },
    /// A volume has as many plexes as it can.
    TooManyPlexes {
        /// It.
        volume: InGroup,
    },
    /// All numbers of plexes are in use, if only by devices that are still open.
    NumbersUsedUp {
        /// The volume.
        volume: Name,
    },
    /// A disk was to be replaced by one that is too small.
    DiskTooSmall {
        /// The old one.
        disk: InGroup,
        /// What the new one has for volumes.
        has: Sectors,
        /// Where what lies on the old one ends.
        needed: Sectors,
    },
}

/// What there is no room for, as far as other things help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// A plex, or a further part of one.
    Plex,
    /// A plex on disks that hold no other of its volume: more would do, were disks named.
    PlexApart,
    /// A plex on disks with sectors as small as its volume's, and there are others.
    PlexOfSmallSectors,
    /// A dirty region log.
    Log,
}

/// Why a disk has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoHelp {
    /// It is not here.
    Missing,
    /// It was not named, or was to be avoided.
    Excluded,
    /// So much is free, and its sectors are so large.
    LargerSectors(Sectors, SectorSize),
    /// So much is free, and another plex of the volume lies on it.
    HoldsPlex(Sectors),
    /// So much is free, which is too little, or not in one piece.
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
                "the new disk has {has} for volumes, what lies on '{}' reaches to {needed}",
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
    /// What stands before the message.
    fn context(self) -> &'static str {
        match self {
            Room::Plex | Room::PlexApart | Room::PlexOfSmallSectors => "",
            Room::Log => "the dirty region log: ",
        }
    }

    fn hint(self, group: &Name) -> Hint {
        let add = || {
            Hint::from("add a disk with ").line(Advised::GroupAdd {
                group: Some(group.to_string()),
            })
        };
        match self {
            Room::Plex => add(),
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

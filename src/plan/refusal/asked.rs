//! Faults of a request itself.

use super::{InGroup, Reason};
use crate::advice::{Advised, Hint};
use crate::error::Kind;
use crate::model::volume::{MAX_PLEXES, SIZE_UNIT};
use crate::model::{Name, Sectors};

/// The request is contradictory or ambiguous in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A count of zero was requested.
    Nothing(Counted),
    /// A name is given twice.
    Twice {
        /// The kind of object with this name.
        what: Repeated,
        /// The name that is given twice.
        name: Name,
    },
    /// `snapback --keep` without `--from snapshot`.
    KeptWithoutRestore,
    /// Two snapshots cannot both become the contents of their original.
    RestoredTwice {
        /// The volume.
        original: InGroup,
    },
    /// A name pattern has neither `%v` nor `%d`, so that all its names would be the same.
    ConstantPattern {
        /// The pattern.
        pattern: String,
    },
    /// All names that a pattern with `%d` can produce are in use.
    PatternUsedUp {
        /// The pattern.
        pattern: String,
    },
    /// All volumes of a group were requested, and it has none.
    NoVolumes {
        /// The group.
        group: Name,
    },
    /// A new volume has no size, no plexes or too many plexes.
    Shape {
        /// The name of the new volume.
        volume: InGroup,
    },
    /// The new size of a volume exceeds what a number of sectors can express.
    TooLarge {
        /// The volume.
        volume: InGroup,
    },
    /// The requested size is smaller than the volume.
    Smaller {
        /// The volume.
        volume: InGroup,
        /// Its present size.
        size: Sectors,
    },
    /// A named leg belongs to a volume that was not named.
    PlexOfAnother {
        /// The leg.
        plex: Name,
        /// Its volume.
        volume: InGroup,
    },
    /// An original has several relations, and the request does not say which one to end.
    WhichRelation {
        /// The original.
        original: InGroup,
        /// Its snapshots.
        snapshots: Vec<Name>,
    },
}

/// Objects of which a request needs at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Legs of `snapstart`.
    NewLegs,
    /// Legs of `snapshot`.
    SplitLegs,
    /// Plexes of `snapback`.
    ReturningPlexes,
}

/// Objects that a request may name only once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeated {
    /// A volume.
    Volume,
    /// A snapshot that comes back.
    Snapshot,
}

impl Reason for Asked {
    fn kind(&self) -> Kind {
        match self {
            Asked::Nothing(_)
            | Asked::Twice { .. }
            | Asked::KeptWithoutRestore
            | Asked::RestoredTwice { .. }
            | Asked::ConstantPattern { .. }
            | Asked::Shape { .. }
            | Asked::TooLarge { .. }
            | Asked::Smaller { .. }
            | Asked::PlexOfAnother { .. }
            | Asked::WhichRelation { .. } => Kind::Usage,
            Asked::PatternUsedUp { .. } => Kind::Exists,
            Asked::NoVolumes { .. } => Kind::NotFound,
        }
    }

    fn object(&self) -> Option<String> {
        match self {
            Asked::Nothing(_)
            | Asked::Twice { .. }
            | Asked::KeptWithoutRestore
            | Asked::RestoredTwice { .. }
            | Asked::ConstantPattern { .. }
            | Asked::PatternUsedUp { .. }
            | Asked::NoVolumes { .. } => None,
            Asked::Shape { volume }
            | Asked::TooLarge { volume }
            | Asked::Smaller { volume, .. }
            | Asked::PlexOfAnother { volume, .. } => Some(volume.to_string()),
            Asked::WhichRelation { original, .. } => Some(original.to_string()),
        }
    }

    fn message(&self) -> String {
        match self {
            Asked::Nothing(counted) => counted.message().to_owned(),
            Asked::Twice { what, name } => format!("{} '{name}' is named twice", what.word()),
            Asked::KeptWithoutRestore => {
                "only a restore can keep the old contents: say --from snapshot, too".to_owned()
            }
            Asked::RestoredTwice { original } => {
                format!("'{original}' cannot be restored from two snapshots")
            }
            Asked::ConstantPattern { pattern } => {
                format!("pattern '{pattern}' has neither %v (the volume) nor %d (a number)")
            }
            Asked::PatternUsedUp { pattern } => {
                format!("no free name is left for pattern '{pattern}'")
            }
            Asked::NoVolumes { group } => {
                format!("group '{group}' has no volume to take a snapshot of")
            }
            Asked::Shape { .. } => {
                format!("a volume has at least {SIZE_UNIT} and 1 to {MAX_PLEXES} plexes")
            }
            Asked::TooLarge { volume } => format!("'{volume}' cannot grow that far"),
            Asked::Smaller { volume, size } => {
                format!("'{volume}' is {size} already; a volume cannot be made smaller")
            }
            Asked::PlexOfAnother { plex, volume } => {
                format!("plex '{plex}' belongs to '{volume}', which is not to be split")
            }
            Asked::WhichRelation {
                original,
                snapshots,
            } => format!(
                "'{original}' is the original of {} snapshots: which relation is to end?",
                snapshots.len()
            ),
        }
    }

    fn hint(&self) -> Option<Hint> {
        match self {
            Asked::Nothing(_)
            | Asked::Twice { .. }
            | Asked::KeptWithoutRestore
            | Asked::RestoredTwice { .. }
            | Asked::ConstantPattern { .. }
            | Asked::PatternUsedUp { .. }
            | Asked::NoVolumes { .. }
            | Asked::Shape { .. }
            | Asked::TooLarge { .. }
            | Asked::Smaller { .. } => None,
            Asked::PlexOfAnother { plex, volume } => {
                Some(Hint::from("type ").line(Advised::Snapshot {
                    of: volume.of(),
                    plex: Some(plex.to_string()),
                }))
            }
            Asked::WhichRelation {
                original,
                snapshots,
            } => Some(each_relation(original, snapshots)),
        }
    }
}

fn each_relation(original: &InGroup, snapshots: &[Name]) -> Hint {
    let clear = |of, all| Advised::SnapClear { of, all };
    let mut hint = Hint::from("type ");
    for (at, snapshot) in snapshots.iter().enumerate() {
        let or = if at == 0 { "" } else { " or " };
        hint = hint.and(or).line(clear(original.beside(snapshot), false));
    }
    hint.and(", or ")
        .line(clear(original.of(), true))
        .and(" for all of them")
}

impl Counted {
    fn message(self) -> &'static str {
        match self {
            Counted::NewLegs => "at least one snapshot leg has to be asked for",
            Counted::SplitLegs => "at least one snapshot leg has to be split off",
            Counted::ReturningPlexes => "at least one plex has to come back",
        }
    }
}

impl Repeated {
    fn word(self) -> &'static str {
        match self {
            Repeated::Volume => "volume",
            Repeated::Snapshot => "snapshot",
        }
    }
}

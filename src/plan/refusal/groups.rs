//! Groups as a whole, and devices that are to become disks.

use super::{InGroup, Reason, list};
use crate::advice::{Advised, Choice, Hint, Import, Of};
use crate::error::Kind;
use crate::model::{DmName, GroupId, HostId, Name};
use crate::plan::found::Whose;
use std::path::PathBuf;

/// A group, or a device that is to become a disk, does not permit the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Groups {
    /// A group of this name exists on this machine's disks.
    Exists {
        /// The name of the new group.
        group: Name,
    },
    /// No device is named for a group.
    NoDisks,
    /// A device is named twice.
    SameDevice {
        /// The path that names it first.
        one: PathBuf,
        /// The path that names it again.
        other: PathBuf,
    },
    /// A disk of the group has the media name already.
    MediaTaken {
        /// The group.
        group: Name,
        /// The media name.
        media: Name,
    },
    /// A device is in use, or has contents.
    Unfit {
        /// The device.
        device: PathBuf,
        /// The objections that stand, as text.
        objections: Vec<String>,
        /// Whether `--force` overrules all that was found.
        forcible: bool,
    },
    /// The label of a device is to be erased, and it has none.
    NoLabel {
        /// The device.
        device: PathBuf,
    },
    /// The label of a device is to be erased, and a group needs it.
    Member {
        /// The device.
        device: PathBuf,
        /// The group.
        group: Name,
        /// The media name of the disk.
        media: Name,
        /// Who has imported the group.
        whose: Whose,
    },
    /// Volumes of the group are started.
    Started {
        /// The group.
        group: Name,
        /// The started volumes.
        volumes: Vec<Name>,
    },
    /// The group is to be destroyed with its volumes, which was not confirmed.
    HasVolumes {
        /// The group.
        group: Name,
        /// Its volumes.
        volumes: Vec<Name>,
    },
    /// Another machine has imported the group.
    ImportedElsewhere {
        /// The group.
        group: Name,
        /// The machine that has it.
        host: HostId,
    },
    /// Another group that this machine has imported has the name.
    NameTaken {
        /// The name that the group would get.
        name: Name,
        /// The group that has it.
        by: GroupId,
        /// The group that is to be imported.
        group: GroupId,
    },
    /// A side of a split brain is to be chosen, which was not confirmed.
    GivesUp {
        /// The group.
        group: Name,
        /// What is given up, as text.
        what: String,
    },
    /// A side is to be chosen, and there is one; disks that are missing may be another one.
    OneSide {
        /// The group.
        group: Name,
        /// The missing disks, by media name.
        missing: Vec<Name>,
    },
    /// What is to go cannot go without these, which were not asked for.
    NotClosed {
        /// The group.
        group: Name,
        /// The volumes, and the disks that only these need.
        beyond: Vec<Name>,
    },
    /// A group has neither a volume nor a disk of this name.
    NoObject {
        /// The name, with the group.
        object: InGroup,
    },
    /// All of a group is to go, and not by joining another one.
    NothingStays {
        /// The group.
        group: Name,
    },
    /// A group is to receive what it has.
    Itself {
        /// The group.
        group: Name,
    },
    /// The group that is to receive something is not known.
    NoReceiver {
        /// The group.
        group: Name,
    },
    /// The group that is to receive something has such names itself.
    NamesClash {
        /// The group that receives.
        group: Name,
        /// What both groups have, as text.
        taken: Vec<String>,
    },
    /// A device runs by the configuration of another side than the one to be chosen.
    RunsOtherwise {
        /// The group.
        group: Name,
        /// The device.
        device: DmName,
    },
}

impl Reason for Groups {
    fn kind(&self) -> Kind {
        match self {
            Groups::Exists { .. } | Groups::MediaTaken { .. } | Groups::NameTaken { .. } => {
                Kind::Exists
            }
            Groups::NamesClash { .. } => Kind::Exists,
            Groups::NoReceiver { .. } | Groups::NoObject { .. } => Kind::NotFound,
            Groups::NoDisks
            | Groups::SameDevice { .. }
            | Groups::NothingStays { .. }
            | Groups::Itself { .. } => Kind::Usage,
            Groups::Member {
                whose: Whose::Ours | Whose::Nobodys,
                ..
            }
            | Groups::Unfit { .. }
            | Groups::Started { .. }
            | Groups::HasVolumes { .. }
            | Groups::NotClosed { .. }
            | Groups::RunsOtherwise { .. } => Kind::InUse,
            Groups::Member {
                whose: Whose::Anothers,
                ..
            }
            | Groups::ImportedElsewhere { .. }
            | Groups::GivesUp { .. } => Kind::Unsafe,
            Groups::NoLabel { .. } | Groups::OneSide { .. } => Kind::NotReady,
        }
    }

    fn object(&self) -> Option<String> {
        match self {
            Groups::NoDisks => None,
            Groups::NoObject { object } => Some(object.to_string()),
            Groups::SameDevice { other: device, .. }
            | Groups::Unfit { device, .. }
            | Groups::NoLabel { device }
            | Groups::Member { device, .. } => Some(device.display().to_string()),
            Groups::MediaTaken { media: name, .. }
            | Groups::NameTaken { name, .. }
            | Groups::Exists { group: name }
            | Groups::Started { group: name, .. }
            | Groups::HasVolumes { group: name, .. }
            | Groups::ImportedElsewhere { group: name, .. }
            | Groups::GivesUp { group: name, .. }
            | Groups::OneSide { group: name, .. }
            | Groups::NotClosed { group: name, .. }
            | Groups::NothingStays { group: name }
            | Groups::Itself { group: name }
            | Groups::NoReceiver { group: name }
            | Groups::NamesClash { group: name, .. }
            | Groups::RunsOtherwise { group: name, .. } => Some(name.to_string()),
        }
    }

    fn message(&self) -> String {
        match self {
            Groups::Exists { group } => format!("there is a group '{group}' already"),
            Groups::NoDisks => "a group needs at least one disk".to_owned(),
            Groups::SameDevice { one, other } if one == other => {
                format!("'{}' is named twice", one.display())
            }
            Groups::SameDevice { one, other } => {
                format!(
                    "'{}' and '{}' are one device",
                    one.display(),
                    other.display()
                )
            }
            Groups::MediaTaken { group, media } => {
                format!("group '{group}' has a disk '{media}' already")
            }
            Groups::Unfit { objections, .. } => objections.join("; "),
            Groups::NoLabel { device } => {
                format!("'{}' is not a disk of breakoff", device.display())
            }
            Groups::Member {
                device,
                group,
                media,
                whose,
            } => format!(
                "'{}' is disk '{media}' of group '{group}', which {}",
                device.display(),
                match whose {
                    Whose::Ours => "this machine has imported",
                    Whose::Nobodys => "is deported",
                    Whose::Anothers => "another machine has imported",
                }
            ),
            Groups::Started { group, volumes } => {
                format!("group '{group}' has started volumes: {}", list(volumes))
            }
            Groups::HasVolumes { group, volumes } => {
                format!("group '{group}' has volumes: {}", list(volumes))
            }
            Groups::ImportedElsewhere { group, host } => format!(
                "group '{group}' is imported by another machine ({host}), which may be writing to it"
            ),
            Groups::NameTaken { name, by, .. } => {
                format!("this machine has a group '{name}' already: {by}")
            }
            Groups::GivesUp { what, .. } => {
                format!("choosing one side gives up {what}; nothing was changed")
            }
            Groups::OneSide { group, missing } => format!(
                "only one side of group '{group}' is here, and disks are missing: {}",
                list(missing)
            ),
            Groups::NotClosed { beyond, .. } => format!(
                "this cannot go without {}, on or of the same disks: whole disks go, with all that is on them",
                list(beyond)
            ),
            Groups::NoObject { object } => format!(
                "group '{}' has neither a volume nor a disk '{}'",
                object.group, object.name
            ),
            Groups::NothingStays { group } => format!("nothing would stay in group '{group}'"),
            Groups::Itself { group } => format!("group '{group}' is the one that gives"),
            Groups::NoReceiver { group } => format!("there is no disk group '{group}'"),
            Groups::NamesClash { group, taken } => {
                format!(
                    "group '{group}' has these names itself: {}",
                    taken.join(", ")
                )
            }
            Groups::RunsOtherwise { device, .. } => {
                format!("'{device}' runs according to another side of the group")
            }
        }
    }

    fn hint(&self) -> Option<Hint> {
        Some(match self {
            Groups::NoDisks | Groups::NoLabel { .. } => return None,
            Groups::Member { group, whose, .. } => take_out(group, *whose),
            Groups::Exists { .. } => Hint::from("choose another name; ")
                .line(Advised::GroupList)
                .and(" shows them all"),
            Groups::SameDevice { .. } => "name each device once".into(),
            Groups::MediaTaken { .. } => "choose another media name".into(),
            Groups::Unfit {
                forcible: false, ..
            } => Hint::from("take it out of use first (a breakoff disk by ")
                .line(Advised::GroupRemoveDisk)
                .and(" or ")
                .line(Advised::GroupDestroy {
                    group: "GROUP".to_owned(),
                })
                .and(")"),
            Groups::Unfit { forcible: true, .. } => {
                Hint::from("if nothing on it is needed any more, repeat ").choice(Choice::Wipe)
            }
            Groups::Started { group, .. } => Advised::StopAll(Of::group(group)).into(),
            Groups::HasVolumes { .. } => {
                "remove them first, or repeat with -y to destroy them with the group".into()
            }
            Groups::ImportedElsewhere { .. } => {
                Hint::from("deport it there; if that machine is gone for good, repeat ")
                    .choice(Choice::TakeOver)
            }
            Groups::NameTaken { group, .. } => Hint::from(Advised::GroupImport {
                group: group.to_string(),
                how: Import::Renamed,
            })
            .and(" imports the other one under a new name"),
            Groups::GivesUp { .. } => "confirm it with -y".into(),
            Groups::OneSide { group, .. } => Hint::from(
                "connect them, since they may be another side; if they are lost for good: ",
            )
            .line(Advised::GroupImport {
                group: group.to_string(),
                how: Import::Incomplete,
            }),
            Groups::NotClosed { .. } => {
                Hint::from("repeat ").choice(Choice::Expand).and(" to have all of it go")
            }
            Groups::NoObject { object } => {
                Hint::from("see ").line(Advised::Print(Of::group(&object.group)))
            }
            Groups::NothingStays { group } => Hint::from(Advised::GroupImport {
                group: group.to_string(),
                how: Import::Renamed,
            })
            .and(" gives a group another name"),
            Groups::Itself { .. } => "name another one".into(),
            Groups::NoReceiver { .. } => Hint::from(Advised::GroupList).and(" shows them all"),
            Groups::NamesClash { .. } => "rename them in one of the groups first".into(),
            Groups::RunsOtherwise { .. } => Hint::from(
                "choose that side, or stop its volumes first: disconnect the disks of the side to be chosen, ",
            )
            .line(Advised::StopAll(Of::verb()))
            .and(", connect them again"),
        })
    }
}

/// Advice to take a disk out of its group.
fn take_out(group: &Name, whose: Whose) -> Hint {
    let group = group.to_string();
    let import = |how| Advised::GroupImport {
        group: group.clone(),
        how,
    };
    let first = match whose {
        Whose::Ours => Hint::from(""),
        Whose::Nobodys => Hint::from(import(Import::Plain)).and(" first; "),
        Whose::Anothers => Hint::from("on that machine, or after ")
            .line(import(Import::FromElsewhere))
            .and(" if it is gone for good: "),
    };
    first
        .line(Advised::GroupRemoveDisk)
        .and(" takes one disk out, ")
        .line(Advised::GroupDestroy {
            group: group.clone(),
        })
        .and(" all of them")
}

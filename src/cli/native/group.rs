//! `group …`: disk groups.

use super::names::Names;
use super::words;
use crate::app::{CloneRequest, Command, NamedDevice, Query};
use crate::model::{Name, Sectors};
use crate::plan::request::{GroupRequest, Receiver, What};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Disk groups: create, list, show, dump, destroy, import, deport, choose, and their disks
///
/// A group is a set of disks that share one configuration; each of its disks holds all of it.
#[derive(Subcommand)]
pub(super) enum Group {
    Create(Create),
    List(List),
    Show(Show),
    Dump(Dump),
    Destroy(Destroy),
    Import(Import),
    Deport(Deport),
    Add(Add),
    RemoveDisk(RemoveDisk),
    ReplaceDisk(ReplaceDisk),
    RestoreLabel(RestoreLabel),
    Choose(Choose),
    Split(Split),
    Move(Move),
    Join(Join),
}

/// Split volumes off into a new group, with the disks that they lie on
///
/// Whole disks go, with all that is on them; what else would have to go is refused with the list of
/// it. The volumes must be closed. The new group is this machine's: it can be deported and used on
/// another one. A snapshot in another group than its original goes on recording changes, and so
/// does the original: when they are in one group again, 'snapback' copies only what has changed.
#[derive(Args)]
pub(super) struct Split {
    /// The group
    #[arg(value_parser = Name::parse, add = Names::Group)]
    name: Name,
    /// Name of the new group
    #[arg(value_name = "NEW", value_parser = Name::parse, add = Names::New)]
    new: Name,
    #[command(flatten)]
    what: Objects,
}

/// Move volumes to another group, with the disks that they lie on
///
/// The same as 'group split', to a group that exists.
#[derive(Args)]
pub(super) struct Move {
    /// The group
    #[arg(value_parser = Name::parse, add = Names::Group)]
    name: Name,
    /// The group that gets them
    #[arg(value_name = "TO", value_parser = Name::parse, add = Names::Group)]
    to: Name,
    #[command(flatten)]
    what: Objects,
}

/// Join a group to another one, which gets all its disks and volumes
///
/// The volumes must be closed. The group is gone afterwards.
#[derive(Args)]
pub(super) struct Join {
    /// The group that goes
    #[arg(value_parser = Name::parse, add = Names::Group)]
    name: Name,
    /// The group that gets its disks and volumes
    #[arg(value_name = "TO", value_parser = Name::parse, add = Names::Group)]
    to: Name,
    /// Leave volumes stopped that were started
    #[arg(long)]
    stopped: bool,
}

#[derive(Args)]
struct Objects {
    /// The volumes, or disks by their media names
    #[arg(required = true, value_name = "VOL|MEDIA", value_parser = Name::parse, add = Names::VolumeOrMedia)]
    objects: Vec<Name>,
    /// Have what cannot stay behind go, too
    #[arg(long)]
    expand: bool,
    /// Leave volumes stopped that were started
    #[arg(long)]
    stopped: bool,
    /// Only list what has to go together with these
    #[arg(long, conflicts_with_all = ["expand", "stopped"])]
    list: bool,
}

impl Objects {
    fn command(self, group: Name, to: Receiver) -> Command {
        let what = What::These(self.objects);
        if self.list {
            return Command::Show(Query::Together(group, what));
        }
        Command::Group {
            group: group.to_string(),
            request: GroupRequest::HandOver {
                to,
                what,
                expand: self.expand,
                start: !self.stopped,
            },
        }
    }
}

/// Create a group from one or more disks
///
/// A disk that carries a filesystem, a partition table or anything else that can be recognised is
/// refused, and so is one that is in use.
#[derive(Args)]
pub(super) struct Create {
    /// Name of the new group
    #[arg(value_parser = Name::parse, add = Names::New)]
    name: Name,
    #[command(flatten)]
    disks: Disks,
    /// Size of the private area on each disk, for very large configurations
    #[arg(long, value_name = "SIZE", value_parser = words::size)]
    area: Option<Sectors>,
}

/// Add disks to a group
#[derive(Args)]
pub(super) struct Add {
    /// The group
    #[arg(value_parser = Name::parse, add = Names::Group)]
    name: Name,
    #[command(flatten)]
    disks: Disks,
}

#[derive(Args)]
struct Disks {
    /// The disks, each with the media name it gets (default: disk01, disk02 …)
    #[arg(required = true, value_name = "[MEDIA=]DEV", value_parser = words::named_device)]
    disks: Vec<NamedDevice>,
    /// Take them although they carry a signature, which is wiped
    #[arg(long)]
    force: bool,
}

/// List the groups of this machine
#[derive(Args)]
pub(super) struct List {}

/// Show a group: its disks, its free space and how full its metadata is
#[derive(Args)]
pub(super) struct Show {
    /// The group
    #[arg(value_parser = Name::parse, add = Names::AnyGroup)]
    name: Name,
}

/// Print the whole configuration of a group, as its disks hold it
#[derive(Args)]
pub(super) struct Dump {
    /// The group
    #[arg(value_parser = Name::parse, add = Names::AnyGroup)]
    name: Name,
}

/// Destroy a group; its volumes must be stopped, and are lost
#[derive(Args)]
pub(super) struct Destroy {
    /// The group
    #[arg(value_parser = Name::parse, add = Names::Group)]
    name: Name,
}

/// Take over a group whose disks were plugged in here
///
/// With --clone, make a group of its own of copies of the disks, made by a storage array or with dd,
/// beside the original: the copies get new UUIDs, for disks, group and volumes. Volumes that were
/// started when they were copied start as after a power cut.
#[derive(Args)]
pub(super) struct Import {
    /// The group, by name or UUID
    #[arg(add = Names::GroupElsewhere)]
    name: String,
    /// Give it another name
    #[arg(long = "name", value_name = "NEW", value_parser = Name::parse)]
    new_name: Option<Name>,
    /// Make a group of this name of copies of the disks
    #[arg(long, value_name = "NEW", value_parser = Name::parse, conflicts_with = "new_name", add = Names::New)]
    clone: Option<Name>,
    /// The devices that are the copies; without them, those that can be told from the disks
    /// themselves because these are in use, or all if no machine has the group
    #[arg(value_name = "DEV", requires = "clone")]
    copies: Vec<PathBuf>,
    /// Although another machine has it, or half of its disks or more are missing, which are given
    /// up; with --clone, although nothing shows that the devices are copies, or copies are missing
    #[arg(long)]
    force: bool,
}

/// Let go of a group, so that another machine can import it
#[derive(Args)]
pub(super) struct Deport {
    /// The group
    #[arg(value_parser = Name::parse, add = Names::Group)]
    name: Name,
}

/// Remove a disk that holds nothing from a group
#[derive(Args)]
pub(super) struct RemoveDisk {
    /// The group
    #[arg(value_parser = Name::parse, add = Names::Group)]
    name: Name,
    /// The disk, by its media name
    #[arg(value_parser = Name::parse, add = Names::Media)]
    media: Name,
}

/// Put a new disk in the place of one that is lost, or is to go
///
/// It gets the same media name, and everything at the same place. Data plexes are filled from the
/// other plexes of their volumes; snapshot legs on the old disk are given up. Returns when all
/// copies are complete.
#[derive(Args)]
pub(super) struct ReplaceDisk {
    /// The group
    #[arg(value_parser = Name::parse, add = Names::Group)]
    name: Name,
    /// The disk that goes, by its media name
    #[arg(value_parser = Name::parse, add = Names::Media)]
    media: Name,
    /// The new disk
    #[arg(value_name = "DEV")]
    device: PathBuf,
    /// Take it although it carries a signature, which is wiped
    #[arg(long)]
    force: bool,
    /// Return at once; the kernel goes on copying
    #[arg(short)]
    background: bool,
}

/// Write the label of a disk again that was destroyed while its data is whole
///
/// It is written from the configuration that the other disks hold. The device must have no label, no
/// signature of anything else, and the space that the disk had. Data plexes on it are STALE
/// afterwards, and snapshot legs are given up, unless --data-is-intact is given.
#[derive(Args)]
pub(super) struct RestoreLabel {
    /// The group
    #[arg(value_parser = Name::parse, add = Names::Group)]
    name: Name,
    /// The disk, by its media name
    #[arg(value_parser = Name::parse, add = Names::Media)]
    media: Name,
    /// The device that it is
    #[arg(value_name = "DEV")]
    device: PathBuf,
    /// Nothing but the label was destroyed: plexes count as they did before. One that its volume has
    /// gone on without is refused, unless it is the only copy
    #[arg(long)]
    data_is_intact: bool,
}

/// Go on with one side of a group whose disks were changed apart from each other
///
/// The refusal of such a group names its sides and what each has. What only the others have is
/// given up: their volumes are gone, and plexes on their disks are filled again from the chosen
/// side's when their volumes are started.
#[derive(Args)]
pub(super) struct Choose {
    /// The group, by name or UUID
    #[arg(add = Names::GroupRefused)]
    name: String,
    /// The side that wins: as the refusal names it, or a device of it
    side: String,
}

impl Group {
    /// `-b`
    pub(super) fn background(&self) -> bool {
        matches!(
            self,
            Group::ReplaceDisk(ReplaceDisk {
                background: true,
                ..
            })
        )
    }

    pub(super) fn command(self) -> Command {
        let (group, request) = match self {
            Group::List(List {}) => return Command::Show(Query::Groups),
            Group::Show(Show { name }) => return Command::Show(Query::Group(name)),
            Group::Dump(Dump { name }) => return Command::Show(Query::Dump(name)),
            Group::Create(Create {
                name,
                disks: Disks { disks, force },
                area,
            }) => {
                let request = GroupRequest::Create { disks, force, area };
                (name.to_string(), request)
            }
            Group::Add(Add {
                name,
                disks: Disks { disks, force },
            }) => (name.to_string(), GroupRequest::Add { disks, force }),
            Group::RemoveDisk(RemoveDisk { name, media }) => {
                (name.to_string(), GroupRequest::RemoveDisk(media))
            }
            Group::ReplaceDisk(ReplaceDisk {
                name,
                media,
                device,
                force,
                ..
            }) => {
                let request = GroupRequest::ReplaceDisk {
                    media,
                    device,
                    force,
                };
                (name.to_string(), request)
            }
            Group::RestoreLabel(RestoreLabel {
                name,
                media,
                device,
                data_is_intact: intact,
            }) => {
                let request = GroupRequest::RestoreLabel {
                    media,
                    device,
                    intact,
                };
                (name.to_string(), request)
            }
            Group::Import(Import {
                name,
                clone: Some(clone),
                copies: devices,
                force,
                ..
            }) => {
                let request = CloneRequest {
                    name: clone,
                    devices,
                    foreign: force,
                    missing: force,
                };
                let group = name;
                return Command::Clone { group, request };
            }
            Group::Import(Import {
                name,
                new_name,
                force,
                ..
            }) => {
                let request = GroupRequest::Import {
                    name: new_name,
                    foreign: force,
                    missing: force,
                };
                (name, request)
            }
            Group::Split(Split { name, new, what }) => {
                return what.command(name, Receiver::New(new));
            }
            Group::Move(Move { name, to, what }) => {
                return what.command(name, Receiver::Existing(to));
            }
            Group::Join(Join { name, to, stopped }) => {
                let request = GroupRequest::HandOver {
                    to: Receiver::Existing(to),
                    what: What::All,
                    expand: false,
                    start: !stopped,
                };
                (name.to_string(), request)
            }
            Group::Choose(Choose { name, side }) => (name, GroupRequest::Choose { side }),
            Group::Destroy(Destroy { name }) => (name.to_string(), GroupRequest::Destroy),
            Group::Deport(Deport { name }) => (name.to_string(), GroupRequest::Deport),
        };
        Command::Group { group, request }
    }

    /// The group that is named as operand; `import` takes a UUID too and is not compared.
    pub(super) fn names_group(&self) -> Option<&Name> {
        match self {
            Group::Create(Create { name, .. })
            | Group::Add(Add { name, .. })
            | Group::RemoveDisk(RemoveDisk { name, .. })
            | Group::ReplaceDisk(ReplaceDisk { name, .. })
            | Group::RestoreLabel(RestoreLabel { name, .. })
            | Group::Show(Show { name })
            | Group::Dump(Dump { name })
            | Group::Destroy(Destroy { name })
            | Group::Split(Split { name, .. })
            | Group::Move(Move { name, .. })
            | Group::Join(Join { name, .. })
            | Group::Deport(Deport { name }) => Some(name),
            Group::List(_) | Group::Import(_) | Group::Choose(_) => None,
        }
    }
}

//! The reasons for refusing a request, as data: one variant for each reason, grouped by subject.
//! The messages are built from them only here, so that the same reason always gives the same
//! message.
//!
//! A refusal is converted into an [`Error`] where it leaves the planner.

mod asked;
mod clones;
mod disks;
mod groups;
mod labels;
mod plexes;
mod snapshots;
mod space;
mod volumes;

pub use asked::{Asked, Counted, Repeated};
pub use clones::Clones;
pub use disks::{Disks, NotAllThere};
pub use groups::Groups;
pub use labels::Labels;
pub use plexes::Plexes;
pub use snapshots::Snapshots;
pub use space::{NoHelp, Room, Space};
pub use volumes::{Devices, Volumes};

use crate::advice::{Advised, Hint, Of};
use crate::error::{Error, Kind};
use crate::model::{DiskId, DmUuid, Name, VolumeId};
use std::fmt;
use std::path::PathBuf;

/// The result of planning.
pub type Result<T> = std::result::Result<T, Refusal>;

/// The reason why a request is refused. Each subject is boxed, because every result of planning
/// reserves space for a refusal and few requests are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The request is contradictory or ambiguous in itself.
    Asked(Box<Asked>),
    /// A volume is not in the state that the request requires.
    Volume(Box<Volumes>),
    /// A plex is not in the state that the request requires.
    Plex(Box<Plexes>),
    /// A snapshot, its legs or its original do not permit the request.
    Snapshot(Box<Snapshots>),
    /// A disk is missing, needed, or does not fit.
    Disk(Box<Disks>),
    /// A group, or a device that is to become a disk, does not permit the request.
    Group(Box<Groups>),
    /// Copies of a group's disks cannot become a group of their own.
    Clone(Box<Clones>),
    /// The lost label of a disk cannot be written again.
    Label(Box<Labels>),
    /// There is no space or no number for a new object. Only these refusals are [`Kind::NoSpace`].
    Space(Box<Space>),
    /// An existing device in the kernel has a name or a UUID that is needed.
    Device(Box<Devices>),
    /// The group has no quorum: half of its disks or more may be in use elsewhere.
    NotAllThere(Box<NotAllThere>),
    /// An impossible state was found, which is a bug in breakoff.
    Bug(Box<Bug>),
    /// An error of a lower layer: an invalid name, a name that does not exist, or a volume for
    /// which no stack of devices can be computed. These errors are passed on as they are.
    Other(Error),
}

/// An impossible state that was found while planning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bug {
    /// A volume that was found is not in the configuration that is being changed.
    LostWhilePlanning {
        /// The group of the volume.
        group: Name,
    },
    /// A volume that was found in the kernel is not in the configuration.
    LostWhileRecording,
    /// The new configuration violates an invariant (see `model::check`).
    Rule {
        /// The group.
        group: Name,
        /// The invariant, and the object that violates it.
        rule: String,
    },
}

/// A volume or a disk of a group by name, displayed as `g/v`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InGroup {
    /// The group.
    pub group: Name,
    /// The volume, or the disk's media name.
    pub name: Name,
}

impl InGroup {
    /// An object of a group.
    pub fn new(group: &Name, name: &Name) -> InGroup {
        InGroup {
            group: group.clone(),
            name: name.clone(),
        }
    }

    /// The object, in the form that advice takes.
    fn of(&self) -> Of {
        Of::both(&self.group, &self.name)
    }

    /// Another object of the same group, such as a plex of this volume, in the form that advice
    /// takes.
    fn beside(&self, name: &Name) -> Of {
        Of::both(&self.group, name)
    }
}

impl fmt::Display for InGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.name)
    }
}

/// A disk, identified by the best name that is known for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// A disk of the group, by its media name.
    Media(Name),
    /// A disk that is not in the group yet, by its path.
    Device(PathBuf),
    /// A disk of which only the identity is known.
    Id(DiskId),
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shown::Media(media) => write!(f, "{media}"),
            Shown::Device(path) => write!(f, "{}", path.display()),
            Shown::Id(id) => write!(f, "{id}"),
        }
    }
}

/// The operation on a volume or a plex that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// By `plex abort`.
    Aborted,
    /// By `plex attach`.
    Attached,
    /// By `snapback`, of a snapshot.
    BroughtBack,
    /// By `plex convert`.
    Converted,
    /// By `plex detach`.
    Detached,
    /// By `group split`, `group move` or `group join`.
    Moved,
    /// By `remove`.
    Removed,
    /// By `snapback --from snapshot`, of an original.
    Restored,
    /// By `stop`.
    Stopped,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verb::Aborted => "aborted",
            Verb::Attached => "attached",
            Verb::BroughtBack => "brought back",
            Verb::Converted => "converted",
            Verb::Detached => "detached",
            Verb::Moved => "moved to another group",
            Verb::Removed => "removed",
            Verb::Restored => "restored",
            Verb::Stopped => "stopped",
        })
    }
}

/// What every reason provides: the four parts of an [`Error`].
trait Reason {
    /// The kind of error, which determines the exit status.
    fn kind(&self) -> Kind;
    /// The name of the object that the refusal concerns.
    fn object(&self) -> Option<String>;
    /// The message: what is refused, and the state of the object.
    fn message(&self) -> String;
    /// Advice on what to do next.
    fn hint(&self) -> Option<Hint>;
}

impl Refusal {
    fn reason(&self) -> &dyn Reason {
        match self {
            Refusal::Asked(why) => why.as_ref(),
            Refusal::Volume(why) => why.as_ref(),
            Refusal::Plex(why) => why.as_ref(),
            Refusal::Snapshot(why) => why.as_ref(),
            Refusal::Disk(why) => why.as_ref(),
            Refusal::Clone(why) => why.as_ref(),
            Refusal::Label(why) => why.as_ref(),
            Refusal::Group(why) => why.as_ref(),
            Refusal::Space(why) => why.as_ref(),
            Refusal::Device(why) => why.as_ref(),
            Refusal::NotAllThere(why) => why.as_ref(),
            Refusal::Bug(why) => why.as_ref(),
            Refusal::Other(error) => error,
        }
    }

    /// The kind of error, which determines the exit status.
    pub fn kind(&self) -> Kind {
        self.reason().kind()
    }

    /// The name of the object that the refusal concerns, if there is one.
    pub fn object(&self) -> Option<String> {
        self.reason().object()
    }

    /// The message in one line: what is refused.
    pub fn message(&self) -> String {
        self.reason().message()
    }

    /// Advice on what to do next, if there is any.
    pub fn hint(&self) -> Option<Hint> {
        self.reason().hint()
    }

    /// The volume that a process has open, if that is the reason.
    pub fn open(&self) -> Option<VolumeId> {
        let Refusal::Volume(why) = self else {
            return None;
        };
        why.open()
    }

    /// The unused device that a process still has open, if that is the reason.
    pub fn held(&self) -> Option<&DmUuid> {
        let Refusal::Device(why) = self else {
            return None;
        };
        match why.as_ref() {
            Devices::Occupied { uuid, .. } => Some(uuid),
            Devices::NameTaken { .. } => None,
        }
    }

    /// Whether the request is refused only while a process has a device open.
    pub fn is_for_openers(&self) -> bool {
        self.open().is_some() || self.held().is_some()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

impl std::error::Error for Refusal {}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::Other(error)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        if let Refusal::Other(error) = refusal {
            return error;
        }
        let mut error = Error::new(refusal.kind(), refusal.message());
        if let Some(object) = refusal.object() {
            error = error.on(object);
        }
        match refusal.hint() {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// Converts each subject into a refusal.
macro_rules! subjects {
    ($($subject:ident => $variant:ident),* $(,)?) => { $(
        impl From<$subject> for Refusal {
            fn from(why: $subject) -> Refusal {
                Refusal::$variant(Box::new(why))
            }
        }
    )* };
}
subjects! {
    Asked => Asked,
    Volumes => Volume,
    Plexes => Plex,
    Snapshots => Snapshot,
    Disks => Disk,
    Groups => Group,
    Clones => Clone,
    Labels => Label,
    Space => Space,
    Devices => Device,
    NotAllThere => NotAllThere,
    Bug => Bug,
}

impl Reason for Error {
    fn kind(&self) -> Kind {
        Error::kind(self)
    }

    fn object(&self) -> Option<String> {
        Error::object(self).map(str::to_owned)
    }

    fn message(&self) -> String {
        Error::message(self).to_owned()
    }

    fn hint(&self) -> Option<Hint> {
        self.advice().cloned()
    }
}

impl Reason for Bug {
    fn kind(&self) -> Kind {
        Kind::Failed
    }

    fn object(&self) -> Option<String> {
        match self {
            Bug::LostWhilePlanning { .. } | Bug::LostWhileRecording => None,
            Bug::Rule { group, .. } => Some(group.to_string()),
        }
    }

    fn message(&self) -> String {
        match self {
            Bug::LostWhilePlanning { group } => {
                format!("a volume of group '{group}' vanished while planning")
            }
            Bug::LostWhileRecording => {
                "a volume vanished while its state was being recorded".to_owned()
            }
            Bug::Rule { rule, .. } => {
                format!("this would break a rule of the configuration and is a bug: {rule}")
            }
        }
    }

    fn hint(&self) -> Option<Hint> {
        None
    }
}

/// Advice for a leg that is being filled: wait for it, or give it up.
fn wait_or_give_up(volume: &InGroup) -> Hint {
    Hint::from("wait for it with ")
        .line(Advised::SnapWait(volume.of()))
        .and(", or give it up with snapabort")
}

/// The names, separated by commas.
fn list(names: &[Name]) -> String {
    let names: Vec<&str> = names.iter().map(Name::as_str).collect();
    names.join(", ")
}

/// The names in single quotes, separated by commas.
fn quoted(names: &[Name]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    names.join(", ")
}

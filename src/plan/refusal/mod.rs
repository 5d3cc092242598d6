//! Why a request is refused, as data: one variant for each reason, by subject. The words are made
//! from it here and nowhere else, so that sites that refuse for the same reason say the same.
//!
//! An [`Error`] is made of a refusal where it leaves the planning.

mod asked;
mod disks;
mod plexes;
mod snapshots;
mod space;
mod volumes;

pub use asked::{Asked, Counted, Repeated};
pub use disks::{Disks, NotAllThere};
pub use plexes::Plexes;
pub use snapshots::Snapshots;
pub use space::{NoHelp, Room, Space};
pub use volumes::{Devices, Volumes};

use crate::advice::{Advised, Hint, Of};
use crate::error::{Error, Kind};
use crate::model::{DiskId, DmUuid, Name, VolumeId};
use std::fmt;
use std::path::PathBuf;

/// What planning comes to.
pub type Result<T> = std::result::Result<T, Refusal>;

/// Why something is not planned. Boxed by subject: every result of planning has room for it, and
/// few are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The request does not make sense by itself, or does not say what is meant.
    Asked(Box<Asked>),
    /// A volume is not in the state that it takes.
    Volume(Box<Volumes>),
    /// A plex is not in the state that it takes.
    Plex(Box<Plexes>),
    /// About snapshots, their legs and their originals.
    Snapshot(Box<Snapshots>),
    /// A disk is missing, needed, or does not fit.
    Disk(Box<Disks>),
    /// There is no space, or no number, for something new. Just these are [`Kind::NoSpace`].
    Space(Box<Space>),
    /// Devices of somebody else are in the way.
    Device(Box<Devices>),
    /// Half of a group's disks or more may be elsewhere.
    NotAllThere(Box<NotAllThere>),
    /// What cannot be, and is a bug.
    Bug(Box<Bug>),
    /// What the layers beneath refuse: a name that is no name or that nothing has, or a volume that
    /// no stack of devices can be made for. Their errors are flat, and nothing here looks into
    /// them.
    Other(Error),
}

/// What cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bug {
    /// A volume that was found is not in the configuration that is being changed.
    LostWhilePlanning {
        /// Its group.
        group: Name,
    },
    /// A volume that was found in the kernel is not in the configuration.
    LostWhileRecording,
    /// The outcome breaks a rule (see `model::check`).
    Rule {
        /// The group.
        group: Name,
        /// The rule, and what breaks it.
        rule: String,
    },
}

/// A volume or a disk of a group by name, shown as `g/v`.
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

    /// It, as advice names it.
    fn of(&self) -> Of {
        Of::both(&self.group, &self.name)
    }

    /// Another object of its group, such as a plex of this volume.
    fn beside(&self, name: &Name) -> Of {
        Of::both(&self.group, name)
    }
}

impl fmt::Display for InGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.name)
    }
}

/// A disk by the best word that there is for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// One of the group, by its media name.
    Media(Name),
    /// One that is not in the group yet, by its path.
    Device(PathBuf),
    /// One of which nothing else is known.
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

/// What cannot happen to a volume or a plex now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// By `plex attach`.
    Attached,
    /// By `snapback`, of a snapshot.
    BroughtBack,
    /// By `plex convert`.
    Converted,
    /// By `plex detach`.
    Detached,
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
            Verb::Attached => "attached",
            Verb::BroughtBack => "brought back",
            Verb::Converted => "converted",
            Verb::Detached => "detached",
            Verb::Removed => "removed",
            Verb::Restored => "restored",
            Verb::Stopped => "stopped",
        })
    }
}

/// What every reason has; the same four that make an [`Error`].
trait Reason {
    /// Decides the exit status.
    fn kind(&self) -> Kind;
    /// What it is about, by name.
    fn object(&self) -> Option<String>;
    /// What is refused, and the state that the object is in.
    fn message(&self) -> String;
    /// What to do next.
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
            Refusal::Space(why) => why.as_ref(),
            Refusal::Device(why) => why.as_ref(),
            Refusal::NotAllThere(why) => why.as_ref(),
            Refusal::Bug(why) => why.as_ref(),
            Refusal::Other(error) => error,
        }
    }

    /// The kind, which decides the exit status.
    pub fn kind(&self) -> Kind {
        self.reason().kind()
    }

    /// The object it is about, when there is one.
    pub fn object(&self) -> Option<String> {
        self.reason().object()
    }

    /// What is refused, in one line.
    pub fn message(&self) -> String {
        self.reason().message()
    }

    /// What to do next, when something helps.
    pub fn hint(&self) -> Option<Hint> {
        self.reason().hint()
    }

    /// The volume that somebody has open, when that is the reason.
    pub fn open(&self) -> Option<VolumeId> {
        let Refusal::Volume(why) = self else {
            return None;
        };
        why.open()
    }

    /// The device without a use that somebody has open, when that is the reason.
    pub fn held(&self) -> Option<&DmUuid> {
        let Refusal::Device(why) = self else {
            return None;
        };
        match why.as_ref() {
            Devices::Occupied { uuid, .. } => Some(uuid),
            Devices::NameTaken { .. } => None,
        }
    }

    /// Whether it is refused only as long as some process has something open.
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

/// Each subject is a refusal.
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

/// How one waits for legs that are on their way, or does without them.
fn wait_or_give_up(volume: &InGroup) -> Hint {
    Hint::from("wait for it with ")
        .line(Advised::SnapWait(volume.of()))
        .and(", or give it up with snapabort")
}

/// Names one behind the other.
fn list(names: &[Name]) -> String {
    let names: Vec<&str> = names.iter().map(Name::as_str).collect();
    names.join(", ")
}

/// The same, each in quotes.
fn quoted(names: &[Name]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    names.join(", ")
}

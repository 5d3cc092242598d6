//! What a plan changes: the report of a command that ran, and the summary of one that did not.
//! The words are documented in `docs/json.md`.

use crate::model::units::{human_bytes, human_duration};
use crate::model::{CrashReason, DiskId, GroupId, Name, Plex, PlexState, Sectors, Untracked};
use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that a command changes (or found already so).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What it happens to.
    pub object: Object,
    /// What happens.
    pub event: Event,
}

impl Change {
    /// Something happens to a group.
    pub fn group(name: &Name, event: Event) -> Change {
        let object = Object::Group(name.clone());
        Change { object, event }
    }

    /// Something happens to a volume of a group.
    pub fn volume(group: &Name, name: &Name, event: Event) -> Change {
        let object = Object::Volume(group.clone(), name.clone());
        Change { object, event }
    }

    /// Something happens to a disk of a group.
    pub fn disk(group: &Name, media: &Name, event: Event) -> Change {
        let object = Object::Disk(group.clone(), media.clone());
        Change { object, event }
    }

    /// Something happens to a device that belongs to no group.
    pub fn device(path: &Path, event: Event) -> Change {
        let object = Object::Device(path.to_owned());
        Change { object, event }
    }
}

/// What something happens to, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A group.
    Group(Name),
    /// A volume of a group.
    Volume(Name, Name),
    /// A disk of a group.
    Disk(Name, Name),
    /// A device that belongs to no group, or not yet.
    Device(PathBuf),
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Object::Group(group) => write!(f, "{group}"),
            Object::Volume(group, name) | Object::Disk(group, name) => write!(f, "{group}/{name}"),
            Object::Device(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What happens to an object. Fields are called as `docs/json.md` calls the details; several disks
/// are named with commas.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Event {
    /// A group was created.
    GroupCreated { uuid: GroupId },
    /// A volume was created; its device is the path of it that exists.
    VolumeCreated {
        size: Sectors,
        plexes: usize,
        disks: String,
        device: PathBuf,
    },
    /// A device got a label; `None` for what a dry run cannot know.
    Initialised(Option<(DiskId, Sectors)>),
    /// A disk belongs to a group from here on.
    DiskAdded { media: Name, size: Sectors },
    /// A device would become a disk of a group.
    DeviceToBeAdded { group: Name },
    /// A disk has left its group.
    DiskRemoved { media: Name },
    /// Another disk has taken the place of one.
    DiskReplaced {
        media: Name,
        uuid: DiskId,
        size: Sectors,
    },
    /// What a disk has grown by can be used.
    DiskResized {
        media: Name,
        size: Sectors,
        by: Sectors,
    },
    /// A label that was gone, while what lies on the disk runs, was written again.
    LabelWritten { device: PathBuf },
    /// What a destroyed group had left on a device was erased.
    LabelErased,
    /// A group is no more.
    Destroyed,
    /// A group belongs to no host.
    Deported,
    /// A group belongs to this host; it had another name if `was` says so.
    Imported { disks: usize, was: Option<Name> },
    /// A group goes on as the disks of one side have it.
    SideChosen(SideChosen),
    /// A volume is no more.
    Removed { size: Sectors },
    /// A volume has another name, and another device.
    Renamed { to: Name, device: PathBuf },
    /// A volume is larger.
    Grown { size: Sectors, by: Sectors },
    /// A volume was started after it had been stopped, or after a crash.
    Started { clean: bool },
    /// A volume was stopped.
    Stopped,
    /// A plex is being filled.
    Attaching(Attaching),
    /// A plex is in another state.
    PlexState {
        plex: Name,
        was: PlexState,
        state: PlexState,
    },
    /// A plex was removed; so much space was asked back.
    PlexRemoved {
        plex: Name,
        was: PlexState,
        released: Option<Sectors>,
    },
    /// A plex has failed.
    PlexFailed(PlexFailed),
    /// A volume has lost its dirty region log.
    LogFailed,
    /// A volume has got another dirty region log.
    LogAdded,
    /// The plexes of a volume are equal again.
    Resynced,
    /// A snapshot was broken off.
    Split(NewSnapshot),
    /// The relation between a snapshot and its original has ended.
    Unlinked { original: Option<Name> },
    /// Plexes of a snapshot come back to its original.
    Returning {
        to: Name,
        plexes: Vec<Name>,
        copied: Copied,
    },
    /// An original is filled with what a snapshot holds.
    Restoring {
        from: Name,
        plexes: Vec<Name>,
        copied: Copied,
    },
    /// An original and a snapshot of this size have exchanged plexes; what is copied to those that
    /// the original keeps, if there are any.
    Exchanged {
        with: Name,
        size: Sectors,
        kept: Option<(Vec<Name>, Copied)>,
    },
    /// The log of what is copied to a leg that comes back names all of it.
    ChangesComplete,
    /// Everything is copied to a leg that comes back.
    ChangesUnknown { reason: String },
    /// Tracking was switched.
    FastResync { was: bool, state: bool },
    /// Everything of a snapshot counts as changed from here on.
    Untracked { reason: Untracked },
    /// Copies of a map of changes have failed; so many are left.
    MapFailed { copies: usize },
    /// So many copies of the next map of changes have got space.
    MapSpaceAdded { copies: usize },
}

/// The side of a group that it goes on with.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct SideChosen {
    /// As it was named.
    pub side: String,
    /// How many disks held something else.
    pub disks_of_others: usize,
    /// Volumes that only those had.
    pub volumes_given_up: Vec<String>,
}

/// A plex that is being filled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Attaching {
    pub plex: Name,
    pub state: PlexState,
    pub size: Sectors,
    /// Where it lies, if it is new: media names, with commas.
    pub disks: Option<String>,
}

/// A plex that has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct PlexFailed {
    pub plex: Name,
    pub was: PlexState,
    /// `None`: it is gone.
    pub state: Option<PlexState>,
    /// The disks that it lies on, if they have failed: media names, with commas.
    pub disks: Option<String>,
    /// And where these are.
    pub devices: Option<String>,
}

/// A snapshot that was broken off.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct NewSnapshot {
    pub original: Name,
    pub plexes: Vec<Name>,
    pub size: Sectors,
    pub device: PathBuf,
    /// Why it is what a crash would have left, if it is.
    pub crash: Option<CrashReason>,
    /// How long I/O was held for it, once that is known.
    pub freeze_us: Option<u64>,
}

/// How much of a volume is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Copied {
    pub size: Sectors,
    pub to_copy: Sectors,
    /// Why everything is.
    pub untracked: Option<String>,
}

/// A detail of an event, as it is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detail {
    /// Text.
    Text(String),
    /// A number without a unit, or in the unit that its name says.
    Number(u64),
    /// A size.
    Size(Sectors),
}

/// The details of an event, each with its name.
pub type Details = Vec<(&'static str, Detail)>;

/// What can be a detail.
trait Printed {
    /// `None`: it is left out.
    fn detail(&self) -> Option<Detail>;
}

impl<T: Printed> Printed for Option<T> {
    fn detail(&self) -> Option<Detail> {
        self.as_ref()?.detail()
    }
}

impl Printed for Sectors {
    fn detail(&self) -> Option<Detail> {
        Some(Detail::Size(*self))
    }
}

impl Printed for u64 {
    fn detail(&self) -> Option<Detail> {
        Some(Detail::Number(*self))
    }
}

impl Printed for usize {
    fn detail(&self) -> Option<Detail> {
        Some(Detail::Number(*self as u64))
    }
}

impl Printed for bool {
    fn detail(&self) -> Option<Detail> {
        if *self { "on" } else { "off" }.detail()
    }
}

impl Printed for Vec<Name> {
    fn detail(&self) -> Option<Detail> {
        let names: Vec<&str> = self.iter().map(Name::as_str).collect();
        names.join(",").detail()
    }
}

impl Printed for PathBuf {
    fn detail(&self) -> Option<Detail> {
        self.display().to_string().detail()
    }
}

impl Printed for Untracked {
    fn detail(&self) -> Option<Detail> {
        self.word().detail()
    }
}

/// What is printed as it is displayed.
macro_rules! displayed {
    ($($kind:ty),*) => { $(impl Printed for $kind {
        fn detail(&self) -> Option<Detail> {
            Some(Detail::Text(self.to_string()))
        }
    })* };
}
displayed!(str, &str, String, Name, GroupId, DiskId, PlexState);

/// Details that are called what they are called here; those without a value are left out.
macro_rules! named {
    ($($field:ident),*) => {
        [$((stringify!($field), $field.detail())),*]
            .into_iter()
            .filter_map(|(name, detail)| Some((name, detail?)))
            .collect::<Details>()
    };
}

impl Event {
    /// A plex was removed; nobody has asked for its space.
    pub fn removed(plex: &Plex) -> Event {
        Event::PlexRemoved {
            plex: plex.name.clone(),
            was: plex.state,
            released: None,
        }
    }

    /// A plex is in another state.
    pub fn state(plex: &Plex, state: PlexState) -> Event {
        Event::PlexState {
            plex: plex.name.clone(),
            was: plex.state,
            state,
        }
    }

    /// A plex is not what it was any more, though no disk has failed; without a state it is gone.
    pub fn failed(plex: &Plex, state: Option<PlexState>) -> Event {
        Event::PlexFailed(PlexFailed {
            plex: plex.name.clone(),
            was: plex.state,
            state,
            disks: None,
            devices: None,
        })
    }

    /// The documented word, such as `created`.
    pub fn word(&self) -> &'static str {
        match self {
            Event::GroupCreated { .. } | Event::VolumeCreated { .. } => "created",
            Event::Initialised(_) => "initialised",
            Event::DiskAdded { .. } | Event::DeviceToBeAdded { .. } => "disk-added",
            Event::DiskRemoved { .. } => "disk-removed",
            Event::DiskReplaced { .. } => "disk-replaced",
            Event::DiskResized { .. } => "disk-resized",
            Event::LabelWritten { .. } => "label-written",
            Event::LabelErased => "label-erased",
            Event::Destroyed => "destroyed",
            Event::Deported => "deported",
            Event::Imported { .. } => "imported",
            Event::SideChosen(_) => "side-chosen",
            Event::Removed { .. } => "removed",
            Event::Renamed { .. } => "renamed",
            Event::Grown { .. } => "grown",
            Event::Started { .. } => "started",
            Event::Stopped => "stopped",
            Event::Attaching(_) => "attaching",
            Event::PlexState { .. } => "plex-state",
            Event::PlexRemoved { .. } => "plex-removed",
            Event::PlexFailed(_) => "plex-failed",
            Event::LogFailed => "log-failed",
            Event::LogAdded => "log-added",
            Event::Resynced => "resynced",
            Event::Split(_) => "split",
            Event::Unlinked { .. } => "unlinked",
            Event::Returning { .. } => "returning",
            Event::Restoring { .. } => "restoring",
            Event::Exchanged { .. } => "exchanged",
            Event::ChangesComplete => "changes-complete",
            Event::ChangesUnknown { .. } => "changes-unknown",
            Event::FastResync { .. } => "fast-resync",
            Event::Untracked { .. } => "untracked",
            Event::MapFailed { .. } => "map-failed",
            Event::MapSpaceAdded { .. } => "map-space-added",
        }
    }

    /// The documented details, in the order in which they are printed.
    pub fn details(&self) -> Details {
        match self {
            Event::GroupCreated { uuid } => named!(uuid),
            Event::VolumeCreated {
                size,
                plexes,
                disks,
                device,
            } => named!(size, plexes, disks, device),
            Event::Initialised(Some((uuid, size))) => named!(uuid, size),
            Event::DiskAdded { media, size } => named!(media, size),
            Event::DeviceToBeAdded { group } => named!(group),
            Event::DiskRemoved { media } => named!(media),
            Event::DiskReplaced { media, uuid, size } => named!(media, uuid, size),
            Event::DiskResized { media, size, by } => named!(media, size, by),
            Event::LabelWritten { device } => named!(device),
            Event::Imported { disks, was } => named!(disks, was),
            Event::SideChosen(chosen) => chosen.details(),
            Event::Removed { size } => named!(size),
            Event::Renamed { to, device } => named!(to, device),
            Event::Grown { size, by } => named!(size, by),
            Event::Started { clean } => {
                let after = if *clean { "clean stop" } else { "crash" };
                named!(after)
            }
            Event::Attaching(attaching) => attaching.details(),
            Event::PlexState { plex, was, state } => named!(plex, was, state),
            Event::PlexRemoved {
                plex,
                was,
                released,
            } => named!(plex, was, released),
            Event::PlexFailed(failed) => failed.details(),
            Event::Split(split) => split.details(),
            Event::Unlinked { original } => {
                let original = original.as_ref().map_or("-", Name::as_str);
                named!(original)
            }
            Event::Returning { to, plexes, copied } => {
                let from = "original";
                [named!(to, plexes, from), copied.details()].concat()
            }
            Event::Restoring {
                from,
                plexes,
                copied,
            } => [named!(from, plexes), copied.details()].concat(),
            Event::Exchanged { with, kept, size } => match kept {
                Some((plexes, copied)) => [named!(with, plexes), copied.details()].concat(),
                None => {
                    let to_copy = Sectors::ZERO;
                    named!(with, size, to_copy)
                }
            },
            Event::ChangesUnknown { reason } => named!(reason),
            Event::FastResync { was, state } => named!(was, state),
            Event::Untracked { reason } => named!(reason),
            Event::MapFailed { copies } | Event::MapSpaceAdded { copies } => named!(copies),
            Event::Initialised(None)
            | Event::LabelErased
            | Event::Destroyed
            | Event::Deported
            | Event::Stopped
            | Event::LogFailed
            | Event::LogAdded
            | Event::Resynced
            | Event::ChangesComplete => Vec::new(),
        }
    }

    /// Where the volume is that it is about, if it says so.
    pub fn device_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Event::VolumeCreated { device, .. }
            | Event::Renamed { device, .. }
            | Event::Split(NewSnapshot { device, .. }) => Some(device),
            _ => None,
        }
    }
}

impl SideChosen {
    fn details(&self) -> Details {
        let SideChosen {
            side,
            disks_of_others,
            volumes_given_up,
        } = self;
        let volumes_given_up = Some(volumes_given_up.join(", ")).filter(|names| !names.is_empty());
        named!(side, disks_of_others, volumes_given_up)
    }
}

impl Attaching {
    fn details(&self) -> Details {
        let Attaching {
            plex,
            state,
            size,
            disks,
        } = self;
        named!(plex, state, size, disks)
    }
}

impl PlexFailed {
    fn details(&self) -> Details {
        let PlexFailed {
            plex,
            was,
            state,
            disks,
            devices,
        } = self;
        let state = state.map_or("removed", PlexState::word);
        named!(plex, was, state, disks, devices)
    }
}

impl NewSnapshot {
    fn details(&self) -> Details {
        let NewSnapshot {
            original,
            plexes,
            size,
            device,
            crash,
            freeze_us,
        } = self;
        let consistency = crash.as_ref().map_or("frozen", |_| "crash");
        let consistency_reason = crash.as_ref().map(|reason| reason.as_str().to_owned());
        named!(
            original,
            plexes,
            size,
            device,
            consistency,
            consistency_reason,
            freeze_us
        )
    }
}

impl Copied {
    fn details(&self) -> Details {
        let Copied {
            size,
            to_copy,
            untracked: reason,
        } = self;
        let tracked = if reason.is_none() { "yes" } else { "no" };
        named!(size, to_copy, tracked, reason)
    }
}

/// A line for people without its end, such as `g/v created: size 64m, plexes 2`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.object, self.event.word().replace('-', " "))?;
        for (at, (name, detail)) in self.event.details().iter().enumerate() {
            let separator = if at == 0 { ": " } else { ", " };
            write!(f, "{separator}{}", words(name, detail))?;
        }
        Ok(())
    }
}

/// A detail for people; a number whose name ends in `_us` is a time, one in `_bytes` a size.
fn words(name: &str, detail: &Detail) -> String {
    let plain = |name: &str| name.replace('_', " ");
    match detail {
        Detail::Text(text) => format!("{} {text}", plain(name)),
        Detail::Size(size) => format!("{} {size}", plain(name)),
        Detail::Number(number) => match (name.strip_suffix("_us"), name.strip_suffix("_bytes")) {
            (Some(name), _) => format!("{} {}", plain(name), human_duration(*number)),
            (None, Some(name)) => format!("{} {}", plain(name), human_bytes(*number)),
            (None, None) => format!("{} {number}", plain(name)),
        },
    }
}

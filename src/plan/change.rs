//! The changes of a plan: the report of a command that ran, and the summary of a dry run. Their
//! names are documented in `docs/json.md`.

use crate::model::units::{human_bytes, human_duration};
use crate::model::{
    AtBoot, CrashReason, DiskId, GroupId, Name, NodeOwner, Plex, PlexState, Sectors, Untracked,
};
use std::fmt;
use std::path::{Path, PathBuf};

/// One change by a command, or a state that it found already reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The object that changes.
    pub object: Object,
    /// The change, with its details.
    pub event: Event,
}

impl Change {
    /// A change of a group.
    pub fn group(name: &Name, event: Event) -> Change {
        let object = Object::Group(name.clone());
        Change { object, event }
    }

    /// A change of a volume of a group.
    pub fn volume(group: &Name, name: &Name, event: Event) -> Change {
        let object = Object::Volume(group.clone(), name.clone());
        Change { object, event }
    }

    /// A change of a disk of a group.
    pub fn disk(group: &Name, media: &Name, event: Event) -> Change {
        let object = Object::Disk(group.clone(), media.clone());
        Change { object, event }
    }

    /// A change of a device that belongs to no group.
    pub fn device(path: &Path, event: Event) -> Change {
        let object = Object::Device(path.to_owned());
        Change { object, event }
    }
}

/// The object of a change, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A group, by name.
    Group(Name),
    /// A volume: the group's name and its own.
    Volume(Name, Name),
    /// A disk: the group's name and its media name.
    Disk(Name, Name),
    /// A device that does not belong to a group (yet), by path.
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

/// A change of an object. Fields have the names of the details in `docs/json.md`. Several disks are
/// separated by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Event {
    /// A group was created.
    GroupCreated { uuid: GroupId },
    /// A volume was created; `device` is its path that exists.
    VolumeCreated {
        size: Sectors,
        plexes: usize,
        disks: String,
        device: PathBuf,
    },
    /// A device got a label. `None` in a dry run, which cannot know the details.
    Initialised(Option<(DiskId, Sectors)>),
    /// A disk was added to a group.
    DiskAdded { media: Name, size: Sectors },
    /// A device would be added to a group (dry run).
    DeviceToBeAdded { group: Name },
    /// A disk has left its group.
    DiskRemoved { media: Name },
    /// A disk was replaced by another one, which has its media name.
    DiskReplaced {
        media: Name,
        uuid: DiskId,
        size: Sectors,
    },
    /// The space by which a disk has grown can be used.
    DiskResized {
        media: Name,
        size: Sectors,
        by: Sectors,
    },
    /// A label was written again that was lost while volumes on the disk run, or that still named the
    /// group which has handed over the disk.
    LabelWritten { device: PathBuf },
    /// The label of a device was erased: what a destroyed group had left, or that of a disk which
    /// no group has.
    LabelErased,
    /// A group was destroyed.
    Destroyed,
    /// A group was deported: it belongs to no host now.
    Deported,
    /// A volume or a disk has gone to this group.
    Moved { to: Name },
    /// A group was imported: it belongs to this host now. `was` is its former name, if it was
    /// renamed.
    Imported { disks: usize, was: Option<Name> },
    /// Copies of the disks of the group `from` have become this group: `disks` of them.
    Cloned { from: Name, disks: usize },
    /// After a split brain, the configuration of one side was chosen for a group.
    SideChosen(SideChosen),
    /// A volume was removed.
    Removed { size: Sectors },
    /// A volume was renamed, which changes its path too.
    Renamed { to: Name, device: PathBuf },
    /// The owner of a volume's device node was changed to this.
    Owner(NodeOwner),
    /// A volume is to be restored from this snapshot when the machine boots, in this way, or is not.
    AtBoot { from: Name, how: Option<AtBoot> },
    /// A volume was grown.
    Grown { size: Sectors, by: Sectors },
    /// A volume was started after it had been stopped, or after a crash.
    Started { clean: bool },
    /// A volume was stopped.
    Stopped,
    /// A plex is being filled.
    Attaching(Attaching),
    /// A plex has changed its state.
    PlexState {
        plex: Name,
        was: PlexState,
        state: PlexState,
    },
    /// A plex was removed. `released` is its space, if the removal was requested in order to
    /// release it.
    PlexRemoved {
        plex: Name,
        was: PlexState,
        released: Option<Sectors>,
    },
    /// A plex has failed.
    PlexFailed(PlexFailed),
    /// A volume has lost its dirty region log.
    LogFailed,
    /// A volume has got a new dirty region log.
    LogAdded,
    /// The dirty region log of a volume was removed, and its space released. `None` if the volume
    /// had lost it, and only was to get another one.
    LogRemoved { released: Option<Sectors> },
    /// The plexes of a volume are in sync again.
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
    /// An original is restored from a snapshot.
    Restoring {
        from: Name,
        plexes: Vec<Name>,
        copied: Copied,
    },
    /// An original and a snapshot of this size have exchanged plexes. `kept` are the plexes that
    /// the original keeps, if any, and what is copied to them.
    Exchanged {
        with: Name,
        size: Sectors,
        kept: Option<(Vec<Name>, Copied)>,
    },
    /// The change log of a leg that comes back is complete.
    ChangesComplete,
    /// The changes are not known, so everything is copied to a leg that comes back.
    ChangesUnknown { reason: String },
    /// Tracking of a volume was turned on or off.
    FastResync { was: bool, state: bool },
    /// Everything in a snapshot counts as changed from now on.
    Untracked { reason: Untracked },
    /// Copies of a map have failed; `copies` are left.
    MapFailed { copies: usize },
    /// Space was allocated for this many copies of the next map.
    MapSpaceAdded { copies: usize },
}

/// The side of a split brain that a group continues with.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct SideChosen {
    /// The side, as the user named it.
    pub side: String,
    /// The number of disks with another configuration.
    pub disks_of_others: usize,
    /// The volumes that only these disks had.
    pub volumes_given_up: Vec<String>,
}

/// A plex that is being filled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Attaching {
    pub plex: Name,
    pub state: PlexState,
    pub size: Sectors,
    /// The disks of a new plex: media names, separated by commas.
    pub disks: Option<String>,
}

/// A plex that has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct PlexFailed {
    pub plex: Name,
    pub was: PlexState,
    /// The new state; `None` if the plex was removed.
    pub state: Option<PlexState>,
    /// The disks that it lies on, if they have failed: media names, separated by commas.
    pub disks: Option<String>,
    /// The devices of these disks.
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
    /// Why the snapshot is `crash`; `None` if it is `frozen`.
    pub crash: Option<CrashReason>,
    /// How long I/O was held for the snapshot, in microseconds, once it is known.
    pub freeze_us: Option<u64>,
}

/// How much of a volume is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Copied {
    pub size: Sectors,
    pub to_copy: Sectors,
    /// Whether the changes are known.
    pub tracked: bool,
    /// Why everything is copied; `None` if only the changes are.
    pub reason: Option<String>,
}

/// The value of a detail, typed for printing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detail {
    /// Text.
    Text(String),
    /// A number without a unit, or in the unit at the end of its name.
    Number(u64),
    /// A size in sectors.
    Size(Sectors),
}

/// The details of an event, as pairs of name and value.
pub type Details = Vec<(&'static str, Detail)>;

/// A type that can be printed as a detail.
trait Printed {
    /// The value, or `None` to leave the detail out.
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

/// Implements `Printed` for types that are printed as they are displayed.
macro_rules! displayed {
    ($($kind:ty),*) => { $(impl Printed for $kind {
        fn detail(&self) -> Option<Detail> {
            Some(Detail::Text(self.to_string()))
        }
    })* };
}
displayed!(str, &str, String, Name, GroupId, DiskId, PlexState);

/// Details named after the given variables. Those without a value are left out.
macro_rules! named {
    ($($field:ident),*) => {
        [$((stringify!($field), $field.detail())),*]
            .into_iter()
            .filter_map(|(name, detail)| Some((name, detail?)))
            .collect::<Details>()
    };
}

impl Event {
    /// A plex was removed, but not in order to release its space.
    pub fn removed(plex: &Plex) -> Event {
        Event::PlexRemoved {
            plex: plex.name.clone(),
            was: plex.state,
            released: None,
        }
    }

    /// A plex has changed its state.
    pub fn state(plex: &Plex, state: PlexState) -> Event {
        Event::PlexState {
            plex: plex.name.clone(),
            was: plex.state,
            state,
        }
    }

    /// A plex is no longer usable although no disk has failed. Without a state it was removed.
    pub fn failed(plex: &Plex, state: Option<PlexState>) -> Event {
        Event::PlexFailed(PlexFailed {
            plex: plex.name.clone(),
            was: plex.state,
            state,
            disks: None,
            devices: None,
        })
    }

    /// The documented name of the event, such as `created`.
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
            Event::Moved { .. } => "moved",
            Event::Imported { .. } => "imported",
            Event::Cloned { .. } => "cloned",
            Event::SideChosen(_) => "side-chosen",
            Event::Removed { .. } => "removed",
            Event::Renamed { .. } => "renamed",
            Event::Owner(_) => "owner",
            Event::AtBoot { .. } => "at-boot",
            Event::Grown { .. } => "grown",
            Event::Started { .. } => "started",
            Event::Stopped => "stopped",
            Event::Attaching(_) => "attaching",
            Event::PlexState { .. } => "plex-state",
            Event::PlexRemoved { .. } => "plex-removed",
            Event::PlexFailed(_) => "plex-failed",
            Event::LogFailed => "log-failed",
            Event::LogAdded => "log-added",
            Event::LogRemoved { .. } => "log-removed",
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
            Event::Moved { to } => named!(to),
            Event::Cloned { from, disks } => named!(from, disks),
            Event::SideChosen(chosen) => chosen.details(),
            Event::Removed { size } => named!(size),
            Event::Renamed { to, device } => named!(to, device),
            Event::Owner(owner) => owner_details(owner),
            Event::AtBoot { from, how } => {
                let restore = match how {
                    None => "no",
                    Some(AtBoot::Overwrite) => "overwrite",
                    Some(AtBoot::Keep) => "keep",
                };
                named!(from, restore)
            }
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
            Event::LogRemoved { released } => named!(released),
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

    /// The path of the volume in the details, if the event has one.
    pub fn device_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Event::VolumeCreated { device, .. }
            | Event::Renamed { device, .. }
            | Event::Split(NewSnapshot { device, .. }) => Some(device),
            _ => None,
        }
    }
}

fn owner_details(owner: &NodeOwner) -> Details {
    let shown = |word: Option<String>| word.unwrap_or_else(|| "default".to_owned());
    let user = shown(owner.user.as_ref().map(ToString::to_string));
    let group = shown(owner.group.as_ref().map(ToString::to_string));
    let mode = shown(owner.mode.as_ref().map(ToString::to_string));
    named!(user, group, mode)
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
            tracked,
            reason,
        } = self;
        let tracked = if *tracked { "yes" } else { "no" };
        named!(size, to_copy, tracked, reason)
    }
}

/// A line for people, without the newline, such as `g/v created: size 64m, plexes 2`.
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

/// A detail for people. A number whose name ends in `_us` is a duration, one in `_bytes` a size.
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

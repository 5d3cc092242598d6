//! `status --watch`: what is shown at each look, made from the look and from what earlier ones have
//! shown. The text and the JSON document come from the same [`View`].

mod memory;
pub mod text;

pub use memory::Memory;

use super::layout;
use super::time;
use super::view::{GroupView, SyncView};
use crate::app::{Overlooked, Overview};
use serde::Serialize;
use std::collections::BTreeMap;

/// What one look shows. Sizes are in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct View {
    /// When the look was begun.
    pub at: String,
    /// The groups that could be read.
    pub groups: Vec<GroupLine>,
    /// The copies that run.
    pub copies: Vec<Copying>,
    /// The snapshot legs, complete or not.
    pub legs: Vec<Leg>,
    /// The volumes that are not simply in use or stopped.
    pub volumes: Vec<Weak>,
    /// What needs attention, as `status` says it.
    pub findings: Vec<String>,
    /// The last splits, the newest first.
    pub splits: Vec<Split>,
    /// What has happened since the last look; at the first look, what the configurations record.
    pub events: Vec<Happened>,
}

/// A group in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupLine {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uuid: String,
    /// The number of its configuration.
    pub generation: u64,
    /// How many of its disks are present.
    pub disks: Present,
    /// The space for volumes on its disks.
    pub size: u64,
    /// How much of that is not in use.
    pub free: u64,
    /// How many of its volumes are in each state, as `print` has it; `DISABLED` for those that
    /// the machine went down with.
    pub volumes: BTreeMap<&'static str, usize>,
}

/// How many disks of a group are present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Present {
    /// Those that are here.
    pub present: usize,
    /// All.
    pub total: usize,
}

/// A copy that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Copying {
    /// The volume, as `group/volume`.
    pub object: String,
    /// The plexes that are being filled.
    pub plexes: Vec<String>,
    /// What is equal.
    pub done: u64,
    /// What is to be equal.
    pub total: u64,
    /// Bytes in a second, over the last looks; `null` until two looks have shown the copy.
    pub rate: Option<u64>,
    /// The seconds that are left at this rate; `null` when that is not known.
    pub left_secs: Option<u64>,
}

/// A snapshot leg.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leg {
    /// The volume, as `group/volume`.
    pub object: String,
    /// The plex.
    pub plex: String,
    /// `SNAPATT` or `SNAPDONE`.
    pub state: &'static str,
    /// How much of it is equal.
    pub sync: SyncView,
}

/// A volume that needs attention, or will do so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Weak {
    /// The volume, as `group/volume`.
    pub object: String,
    /// Its state, as `print` has it.
    pub state: &'static str,
    /// Its kernel state.
    pub kstate: &'static str,
}

/// A split, as the snapshot records it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Split {
    /// The snapshot, as `group/volume`.
    pub object: String,
    /// Its original; `null` when it is gone.
    pub original: Option<String>,
    /// When it was split off.
    pub taken_at: String,
    /// How long the split kept the original's I/O waiting, in microseconds.
    pub freeze_us: u64,
    /// `frozen` or `crash`.
    pub consistency: &'static str,
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Happened {
    /// When it was seen, or when it was recorded.
    pub at: String,
    /// What it happened to: a group, `group/volume`, `group/plex` or `group/disk`.
    pub object: String,
    /// What has happened, as a sentence.
    pub text: String,
}

/// How many splits are shown.
const SPLITS: usize = 5;

/// A group with its layout.
struct Known<'o> {
    seen: &'o Overlooked,
    view: GroupView,
}

impl Known<'_> {
    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.view.name)
    }
}

fn known(seen: &Overview) -> Vec<Known<'_>> {
    let groups = seen.groups.iter();
    groups
        .map(|seen| Known {
            seen,
            view: layout::group(&seen.world, None, &[]),
        })
        .collect()
}

/// All of a look but what earlier ones are needed for: the rates and the events.
fn view(seen: &Overview, known: &[Known<'_>]) -> View {
    let unread = seen
        .unread
        .iter()
        .map(|(name, error)| format!("group '{name}' cannot be read: {error}"));
    let of_groups = known.iter().flat_map(|group| &group.seen.findings).cloned();
    let findings = seen.findings.iter().cloned().chain(unread);
    View {
        at: time::rfc3339(seen.at),
        groups: known.iter().map(|group| group_line(&group.view)).collect(),
        copies: known.iter().flat_map(copies).collect(),
        legs: known.iter().flat_map(legs).collect(),
        volumes: known.iter().flat_map(weak).collect(),
        findings: findings.chain(of_groups).collect(),
        splits: splits(known),
        events: Vec::new(),
    }
}

fn group_line(group: &GroupView) -> GroupLine {
    let is_here = |state: &str| state == "online";
    let mut volumes: BTreeMap<&'static str, usize> = BTreeMap::new();
    for volume in &group.volumes {
        *volumes
            .entry(word(volume.state, volume.kstate))
            .or_default() += 1;
    }
    GroupLine {
        name: group.name.clone(),
        uuid: group.uuid.clone(),
        generation: group.generation,
        disks: Present {
            present: group.disks.iter().filter(|d| is_here(d.state)).count(),
            total: group.disks.len(),
        },
        size: group.disks.iter().map(|disk| disk.size).sum(),
        free: group.disks.iter().map(|disk| disk.free).sum(),
        volumes,
    }
}

/// A volume's state in one word: `ACTIVE` alone would hide that it is not started.
fn word(state: &'static str, kstate: &'static str) -> &'static str {
    match (state, kstate) {
        ("ACTIVE", "DISABLED") => "DISABLED",
        (_, "SUSPENDED") => "SUSPENDED",
        (state, _) => state,
    }
}

fn copies(group: &Known<'_>) -> Vec<Copying> {
    let copies = group.seen.copies.iter();
    let copying = copies.map(|copy| Copying {
        object: copy.object.clone(),
        plexes: copy.legs.iter().map(ToString::to_string).collect(),
        done: copy.done.bytes(),
        total: copy.total.bytes(),
        rate: None,
        left_secs: None,
    });
    copying.collect()
}

fn legs(group: &Known<'_>) -> Vec<Leg> {
    let mut legs = Vec::new();
    for volume in &group.view.volumes {
        let of_volume = volume.plexes.iter().filter(|plex| plex.role == "snap");
        legs.extend(of_volume.map(|plex| Leg {
            object: group.path(&volume.name),
            plex: plex.name.clone(),
            state: plex.state,
            sync: plex.sync,
        }));
    }
    legs
}

fn weak(group: &Known<'_>) -> Vec<Weak> {
    let volumes = group.view.volumes.iter();
    let weak = volumes.filter(|v| !matches!(word(v.state, v.kstate), "ACTIVE" | "CLEAN"));
    weak.map(|volume| Weak {
        object: group.path(&volume.name),
        state: volume.state,
        kstate: volume.kstate,
    })
    .collect()
}

fn splits(known: &[Known<'_>]) -> Vec<Split> {
    let mut all = Vec::new();
    for group in known {
        let volumes = &group.seen.world.group.volumes;
        for (snapshot, origin) in volumes.iter().filter_map(|v| Some((v, v.origin.as_ref()?))) {
            let original = group.seen.world.group.volume(origin.original);
            let split = Split {
                object: group.path(snapshot.name.as_str()),
                original: original.map(|original| original.name.to_string()),
                taken_at: time::rfc3339(origin.taken_at),
                freeze_us: origin.freeze_us,
                consistency: if origin.crash.is_none() {
                    "frozen"
                } else {
                    "crash"
                },
            };
            all.push((origin.taken_at, split));
        }
    }
    // Times are for people; a clock that was put back shows an older split first, no more.
    all.sort_by(|(one, a), (other, b)| other.cmp(one).then_with(|| a.object.cmp(&b.object)));
    all.into_iter()
        .map(|(_, split)| split)
        .take(SPLITS)
        .collect()
}

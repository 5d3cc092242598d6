//! What happens when the lock of a group is released.

use super::{Lock, View};
use crate::app::Env;
use crate::meta::{Archive, Sighting, Witness};
use crate::model::{Generation, Group, GroupId, Name, PlexState};
use crate::plan::change::{Change, Event, Object};
use crate::plan::quorum;
use crate::sys::notice::{Kind, LOG_FAILED, Notice, PLEX_FAILED, PLEX_STATE};
use std::path::PathBuf;

/// Holds the lock of a group and the work to do when it is released, which happens on drop. Most of
/// that work touches files that may lie on a volume whose writes are held, so it runs without the
/// lock: while the lock is held no other command could repair that volume.
pub(super) struct Closing<'u> {
    env: Env<'u>,
    lock: Option<Lock>,
    /// The configuration that this machine has seen of the group, for its witness.
    pub seen: Option<Seen>,
    /// The configurations that were committed, for the archive.
    pub archive: Vec<(Group, Generation)>,
    /// Failures to report to the journal and the administrator's hook.
    pub notices: Vec<Notice>,
    /// Devices whose label was written or erased, for udev, whose database would show the old
    /// contents.
    pub relabelled: Vec<PathBuf>,
    /// Whether a helper may have died and left a filesystem frozen.
    pub thaw: bool,
    /// Warnings for the user. They are kept until the lock is released because stderr may be a file
    /// on a held volume.
    pub warnings: Vec<String>,
}

/// What the witness records of a group.
pub(super) struct Seen {
    id: GroupId,
    name: Name,
    /// `None`: the group is destroyed.
    sighting: Option<Sighting>,
}

impl Seen {
    /// Returns the configuration in force, or `None` if it is not known (no copy says, or too few
    /// disks are present to speak for the group) or if another machine has the group.
    pub fn of(view: &View<'_>) -> Option<Seen> {
        let newest = view.copies.lineage.newest?;
        let group = &view.world.group;
        if !may_be_ours(view.env, group) || quorum::refuse_minority(&view.world).is_err() {
            return None;
        }
        Some(Seen {
            id: group.id,
            name: group.name.clone(),
            sighting: (!group.destroyed).then_some(Sighting {
                newest,
                next: view.copies.pending,
            }),
        })
    }
}

impl<'u> Closing<'u> {
    /// Takes over `lock`, which is released on drop.
    pub fn with(lock: Lock, env: Env<'u>) -> Closing<'u> {
        Closing {
            env,
            lock: Some(lock),
            seen: None,
            archive: Vec::new(),
            notices: Vec::new(),
            relabelled: Vec::new(),
            thaw: false,
            warnings: Vec::new(),
        }
    }

    /// Queues a notice to the journal and the administrator's hook for each failure among the
    /// changes.
    pub fn note_failures(&mut self, changes: &[Change]) {
        for change in changes {
            let (Object::Volume(group, volume), Some((kind, about))) =
                (&change.object, failure(change))
            else {
                continue;
            };
            let of = [("GROUP", group.to_string()), ("VOLUME", volume.to_string())];
            self.notices.push(Notice {
                kind,
                message: change.to_string(),
                about: of.into_iter().chain(about).collect(),
            });
        }
    }

    /// Updates the witness. This has to happen before the lock is released and before the outcome
    /// is reported.
    fn tell_witness(&mut self) {
        let (Some(seen), Some(dir)) = (self.seen.take(), self.env.machine.witness_dir()) else {
            return;
        };
        let witness = Witness::at(dir);
        let noted = match seen.sighting {
            Some(sighting) => witness.note(seen.id, &seen.name, sighting),
            None => witness.forget(seen.id),
        };
        if let Err(error) = noted {
            let without = "with half of its disks missing the group will not start automatically";
            self.warnings.push(format!(
                "the last state of group '{}' could not be recorded on this machine, so {without}: {error}",
                seen.name
            ));
        }
    }

    fn archive(&self) {
        let Some(state) = self.env.machine.state_dir() else {
            return;
        };
        let command = self.env.machine.command_line();
        for (group, generation) in &self.archive {
            // The archive is a convenience copy; failing to write it only costs a warning.
            if let Some(warning) = Archive::below(&state).keep(group, *generation, &command) {
                self.env.ui.warn(&warning);
            }
        }
    }
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        // After a panic the state of the group is unknown, so nothing is recorded.
        if !std::thread::panicking() {
            self.tell_witness();
        }
        // Everything below may block on a volume with held writes, so the lock goes first.
        self.lock = None;
        let warn = |text: &String| self.env.ui.warn(text);
        self.warnings.iter().for_each(warn);
        if self.thaw {
            self.env.machine.thaw_left_behind().iter().for_each(warn);
        }
        for notice in &self.notices {
            self.env.machine.notice(notice).iter().for_each(warn);
        }
        if !self.relabelled.is_empty() {
            self.env
                .machine
                .announce(&self.relabelled)
                .iter()
                .for_each(warn);
        }
        self.archive();
    }
}

/// Whether the group is imported by this machine, or deported so that it could be.
pub(super) fn may_be_ours(env: Env<'_>, group: &Group) -> bool {
    env.machine
        .host_id()
        .is_ok_and(|here| group.host.is_none_or(|host| host == here))
}

/// Returns the kind of failure, and the fields of its notice other than the volume; `None` if the
/// change is not a failure.
fn failure(change: &Change) -> Option<(&'static Kind, Vec<(&'static str, String)>)> {
    match &change.event {
        Event::PlexFailed(failed) => {
            let state = failed.state.map_or("removed", PlexState::word);
            let plex = [
                ("PLEX", failed.plex.to_string()),
                ("STATE", state.to_owned()),
            ];
            let places = [("DISK", &failed.disks), ("DEVICE", &failed.devices)];
            let places = places
                .into_iter()
                .filter_map(|(field, place)| Some((field, place.clone()?)));
            Some((&PLEX_FAILED, plex.into_iter().chain(places).collect()))
        }
        Event::PlexState {
            plex,
            state: PlexState::Failed,
            ..
        } => {
            let state = PlexState::Failed.word().to_owned();
            let plex = vec![("PLEX", plex.to_string()), ("STATE", state)];
            Some((&PLEX_STATE, plex))
        }
        Event::LogFailed => Some((&LOG_FAILED, Vec::new())),
        _ => None,
    }
}

//! What is done when the lock of a group is given back.

use super::View;
use crate::app::Env;
use crate::meta::{Archive, Sighting, Witness};
use crate::model::{Generation, Group, GroupId, Name, PlexState};
use crate::plan::change::{Change, Event, Object};
use crate::plan::quorum;
use crate::sys::notice::Notice;
use std::any::Any;

/// The lock of a group, and what is done when it is given back, which happens when this is dropped.
/// That touches files that may lie on a volume whose writes are held right now; with the lock no
/// other command could repair that volume.
pub(super) struct Closing<'u> {
    env: Env<'u>,
    lock: Option<Box<dyn Any>>,
    /// What this machine has seen of the group, for its witness.
    pub seen: Option<Seen>,
    /// Configurations that were committed.
    pub archive: Vec<(Group, Generation)>,
    /// Failures that the journal and the administrator's hook are going to hear of.
    pub notices: Vec<Notice>,
    /// Whether a helper may have died and left something frozen.
    pub thaw: bool,
    /// What a person is told; that may be read from a file, too.
    pub warnings: Vec<String>,
}

/// What the witness is told of a group.
pub(super) struct Seen {
    id: GroupId,
    name: Name,
    /// `None`: the group is destroyed.
    sighting: Option<Sighting>,
}

impl Seen {
    /// Which configuration is in force, unless that is not known.
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
    /// With this lock.
    pub fn with(lock: Box<dyn Any>, env: Env<'u>) -> Closing<'u> {
        Closing {
            env,
            lock: Some(lock),
            seen: None,
            archive: Vec::new(),
            notices: Vec::new(),
            thaw: false,
            warnings: Vec::new(),
        }
    }

    /// The journal and the administrator's hook are going to hear of everything that has failed.
    pub fn note_failures(&mut self, changes: &[Change]) {
        for change in changes {
            let (Object::Volume(group, volume), Some(about)) = (&change.object, failure(change))
            else {
                continue;
            };
            let of = [("GROUP", group.to_string()), ("VOLUME", volume.to_string())];
            self.notices.push(Notice {
                event: change.event.word(),
                message: change.to_string(),
                about: of.into_iter().chain(about).collect(),
            });
        }
    }

    /// Before another command has the lock, and before anybody is told of what was done.
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
            let without = "with half of its disks missing the group is not started by itself";
            self.warnings.push(format!(
                "what this machine has seen of group '{}' is not noted, so that {without}: {error}",
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
            // A copy for people; without it nothing is lost but convenience.
            if let Some(warning) = Archive::below(&state).keep(group, *generation, &command) {
                self.env.ui.warn(&warning);
            }
        }
    }
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        // In the middle of something nothing is known.
        if !std::thread::panicking() {
            self.tell_witness();
        }
        self.lock = None;
        let warn = |text: &String| self.env.ui.warn(text);
        self.warnings.iter().for_each(warn);
        if self.thaw {
            self.env.machine.thaw_left_behind().iter().for_each(warn);
        }
        for notice in &self.notices {
            self.env.machine.notice(notice).iter().for_each(warn);
        }
        self.archive();
    }
}

/// Whether this machine has the group, or could.
pub(super) fn may_be_ours(env: Env<'_>, group: &Group) -> bool {
    env.machine
        .host_id()
        .is_ok_and(|here| group.host.is_none_or(|host| host == here))
}

/// What a notice of a failure says beside the volume; `None` of what is none.
fn failure(change: &Change) -> Option<Vec<(&'static str, String)>> {
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
            Some(plex.into_iter().chain(places).collect())
        }
        Event::PlexState {
            plex,
            state: PlexState::Failed,
            ..
        } => Some(vec![
            ("PLEX", plex.to_string()),
            ("STATE", PlexState::Failed.word().to_owned()),
        ]),
        Event::LogFailed => Some(Vec::new()),
        _ => None,
    }
}

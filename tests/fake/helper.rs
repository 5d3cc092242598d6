//! The helper of a window: it waits where the kernel would, and nobody else does.

use super::Fake;
use breakoff::model::DmUuid;
use breakoff::sys::Errno;
use breakoff::sys::helper::{Helper, HelperDevice, Task};
use breakoff::table::SuspendMode;
use std::time::Duration;

pub struct FakeHelper {
    fake: Fake,
    entries: Vec<(DmUuid, SuspendMode)>,
    asked: Option<Task>,
}

impl FakeHelper {
    pub fn new(fake: &Fake, charges: &[HelperDevice]) -> FakeHelper {
        let entries = charges
            .iter()
            .map(|charge| (charge.uuid.clone(), charge.mode))
            .collect();
        FakeHelper {
            fake: fake.clone(),
            entries,
            asked: None,
        }
    }

    /// `None`: something held keeps it from coming to an end.
    fn try_it(&self, act: Task) -> Option<Result<u32, Errno>> {
        match act {
            Task::Hold(at) | Task::Release(at) | Task::Era(at) => {
                self.ask_era(act, &self.entries[usize::from(at)].0)
            }
            Task::Freeze(at)
                if self
                    .fake
                    .0
                    .borrow()
                    .data
                    .unfreezable
                    .contains_key(&self.entries[usize::from(at)].0) =>
            {
                Some(Ok(1))
            }
            Task::Thaw => {
                let thawed = self.try_change(act)?;
                let data = &self.fake.0.borrow().data;
                let early = self
                    .entries
                    .iter()
                    .any(|(uuid, _)| data.thawed_early.contains_key(uuid));
                Some(thawed.map(|()| u32::from(early)))
            }
            other => self.try_change(other).map(|done| done.map(|()| 0)),
        }
    }

    fn ask_era(&self, act: Task, uuid: &DmUuid) -> Option<Result<u32, Errno>> {
        let state = &mut *self.fake.0.borrow_mut();
        if state.waits_to_end(uuid) {
            return None;
        }
        let Some(minor) = state.dm.minor_of(uuid) else {
            return Some(Err(Errno(libc::ENXIO)));
        };
        let told = match act {
            Task::Hold(_) if state.era_message(minor, "take_metadata_snap").is_err() => state
                .era_message(minor, "drop_metadata_snap")
                .and_then(|()| state.era_message(minor, "take_metadata_snap")),
            Task::Release(_) => {
                return Some(state.era_message(minor, "drop_metadata_snap").map(|()| 0));
            }
            _ => Ok(()),
        };
        Some(told.and_then(|()| state.current_era(minor)))
    }

    fn try_change(&self, act: Task) -> Option<Result<(), Errno>> {
        let state = &mut *self.fake.0.borrow_mut();
        match act {
            Task::WriteBack(at) => {
                (!state.is_held(&self.entries[usize::from(at)].0)).then_some(Ok(()))
            }
            Task::Freeze(at) => {
                let (uuid, _) = &self.entries[usize::from(at)];
                if state.is_held(uuid) {
                    return None;
                }
                state.frozen_now(uuid);
                state.data.frozen_filesystems.insert(uuid.clone());
                Some(Ok(()))
            }
            Task::Suspend(at) => {
                let (uuid, mode) = &self.entries[usize::from(at)];
                if state.waits_beneath(uuid)
                    || state.data.beginning.contains(uuid)
                    || state.waits_to_end(uuid)
                {
                    return None;
                }
                let frozen = state.data.frozen_filesystems.contains(uuid);
                Some(state.suspend(uuid, if frozen { SuspendMode::NoFlush } else { *mode }))
            }
            Task::Resume(at) | Task::Activate(at) => {
                let (uuid, _) = &self.entries[usize::from(at)];
                if state.data.beginning.contains(uuid) {
                    return None;
                }
                if state.waits_for_map(uuid) {
                    state.begin_era(uuid);
                    return None;
                }
                Some(state.resume(uuid))
            }
            // A thaw writes, and the writers go on.
            Task::Thaw if self.entries.iter().any(|(uuid, _)| state.is_held(uuid)) => None,
            Task::Thaw
            | Task::Done
            | Task::Hold(_)
            | Task::Release(_)
            | Task::Era(_)
            | Task::Reason(_) => Some(Ok(())),
        }
    }
}

impl Helper for FakeHelper {
    fn begin(&mut self, act: Task) -> Result<(), Errno> {
        let words = || match act {
            Task::WriteBack(at) => format!("write back {}", self.entries[usize::from(at)].0),
            Task::Freeze(at) => format!("freeze {}", self.entries[usize::from(at)].0),
            Task::Suspend(at) => format!("suspend {} (window)", self.entries[usize::from(at)].0),
            Task::Resume(at) | Task::Activate(at) => {
                format!("resume {} (helper)", self.entries[usize::from(at)].0)
            }
            Task::Hold(at) => format!("hold the map of {}", self.entries[usize::from(at)].0),
            Task::Release(at) => format!("release the map of {}", self.entries[usize::from(at)].0),
            Task::Thaw | Task::Done | Task::Era(_) | Task::Reason(_) => format!("{act:?}"),
        };
        self.fake.change(words)?;
        if act == Task::Thaw {
            let state = &mut *self.fake.0.borrow_mut();
            state
                .data
                .frozen_filesystems
                .retain(|frozen| !self.entries.iter().any(|(uuid, _)| uuid == frozen));
            state.writers_write();
        }
        self.asked = Some(act);
        Ok(())
    }

    fn wait(&mut self, _patience: Duration) -> Option<Result<u32, Errno>> {
        let came = self.try_it(self.asked?)?;
        self.asked = None;
        Some(came)
    }

    fn is_busy(&self) -> bool {
        self.asked.is_some()
    }

    fn reason(&mut self, entry: u16, _patience: Duration) -> Option<String> {
        let (data, uuid) = (
            &self.fake.0.borrow().data,
            &self.entries[usize::from(entry)].0,
        );
        data.unfreezable
            .get(uuid)
            .or(data.thawed_early.get(uuid))
            .cloned()
    }
}

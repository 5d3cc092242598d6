//! The helper of a window: it waits where the kernel would, and nobody else does.

use super::Fake;
use breakoff::model::DmUuid;
use breakoff::sys::Errno;
use breakoff::sys::helper::{Act, Charge, Helper};
use breakoff::table::SuspendMode;
use std::time::Duration;

pub struct FakeHelper {
    fake: Fake,
    entries: Vec<(DmUuid, SuspendMode)>,
    asked: Option<Act>,
}

impl FakeHelper {
    pub fn new(fake: &Fake, charges: &[Charge]) -> FakeHelper {
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
    fn try_it(&self, act: Act) -> Option<Result<u32, Errno>> {
        match act {
            Act::Hold(at) | Act::Release(at) | Act::Era(at) => {
                self.ask_era(act, &self.entries[usize::from(at)].0)
            }
            Act::Freeze(at)
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
            Act::Thaw => {
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

    fn ask_era(&self, act: Act, uuid: &DmUuid) -> Option<Result<u32, Errno>> {
        let state = &mut *self.fake.0.borrow_mut();
        if state.waits_to_end(uuid) {
            return None;
        }
        let Some(minor) = state.dm.minor_of(uuid) else {
            return Some(Err(Errno(libc::ENXIO)));
        };
        let told = match act {
            Act::Hold(_) if state.era_message(minor, "take_metadata_snap").is_err() => state
                .era_message(minor, "drop_metadata_snap")
                .and_then(|()| state.era_message(minor, "take_metadata_snap")),
            Act::Release(_) => {
                return Some(state.era_message(minor, "drop_metadata_snap").map(|()| 0));
            }
            _ => Ok(()),
        };
        Some(told.and_then(|()| state.current_era(minor)))
    }

    fn try_change(&self, act: Act) -> Option<Result<(), Errno>> {
        let state = &mut *self.fake.0.borrow_mut();
        match act {
            Act::WriteBack(at) => {
                (!state.is_held(&self.entries[usize::from(at)].0)).then_some(Ok(()))
            }
            Act::Freeze(at) => {
                let (uuid, _) = &self.entries[usize::from(at)];
                if state.is_held(uuid) {
                    return None;
                }
                state.frozen_now(uuid);
                state.data.frozen_filesystems.insert(uuid.clone());
                Some(Ok(()))
            }
            Act::Suspend(at) => {
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
            Act::Resume(at) | Act::Activate(at) => {
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
            Act::Thaw if self.entries.iter().any(|(uuid, _)| state.is_held(uuid)) => None,
            Act::Thaw
            | Act::Done
            | Act::Hold(_)
            | Act::Release(_)
            | Act::Era(_)
            | Act::Reason(_) => Some(Ok(())),
        }
    }
}

impl Helper for FakeHelper {
    fn begin(&mut self, act: Act) -> Result<(), Errno> {
        let words = || match act {
            Act::WriteBack(at) => format!("write back {}", self.entries[usize::from(at)].0),
            Act::Freeze(at) => format!("freeze {}", self.entries[usize::from(at)].0),
            Act::Suspend(at) => format!("suspend {} (window)", self.entries[usize::from(at)].0),
            Act::Resume(at) | Act::Activate(at) => {
                format!("resume {} (helper)", self.entries[usize::from(at)].0)
            }
            Act::Hold(at) => format!("hold the map of {}", self.entries[usize::from(at)].0),
            Act::Release(at) => format!("release the map of {}", self.entries[usize::from(at)].0),
            Act::Thaw | Act::Done | Act::Era(_) | Act::Reason(_) => format!("{act:?}"),
        };
        self.fake.change(words)?;
        if act == Act::Thaw {
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

//! The helper of a window. It does what the real one does (`app::helper::Server`); only where the
//! kernel would block it is known here.

use super::{Fake, State};
use breakoff::app::helper::{Answer, Server};
use breakoff::error::Result;
use breakoff::model::{DevNo, DmUuid};
use breakoff::sys::Errno;
use breakoff::sys::content::Contents;
use breakoff::sys::helper::{Helper, HelperDevice, Task};
use breakoff::sys::machine::Machine;
use std::time::Duration;

pub struct FakeHelper {
    fake: Fake,
    uuids: Vec<DmUuid>,
    server: Server<'static>,
    asked: Option<Task>,
}

impl FakeHelper {
    pub fn new(fake: &Fake, devices: &[HelperDevice]) -> Result<FakeHelper> {
        let machine = fake.clone();
        let find = Box::new(move |volumes: &dyn Fn() -> _| machine.contents(volumes));
        let server = fake.in_helper(|| Server::new(fake.kernel()?, find, devices))?;
        Ok(FakeHelper {
            fake: fake.clone(),
            uuids: devices.iter().map(|device| device.uuid.clone()).collect(),
            server,
            asked: None,
        })
    }

    fn uuid(&self, at: u16) -> &DmUuid {
        &self.uuids[usize::from(at)]
    }

    /// Whether the kernel keeps the helper waiting in this task.
    fn blocks(&self, task: Task) -> bool {
        let state = &mut *self.fake.0.borrow_mut();
        match task {
            Task::WriteBack(at) | Task::Freeze(at) => state.is_held(self.uuid(at)),
            Task::Suspend(at) => {
                let uuid = self.uuid(at);
                state.waits_beneath(uuid)
                    || state.data.beginning.contains(uuid)
                    || state.waits_to_end(uuid)
            }
            Task::Resume(at) | Task::Activate(at) => {
                let uuid = self.uuid(at);
                if state.data.beginning.contains(uuid) {
                    return true;
                }
                let waits = state.waits_for_map(uuid);
                if waits {
                    state.begin_era(uuid);
                }
                waits
            }
            Task::Hold(at) | Task::Release(at) | Task::Era(at) => state.waits_to_end(self.uuid(at)),
            // A thaw writes, and the writers go on.
            Task::Thaw => self.uuids.iter().any(|uuid| state.is_held(uuid)),
            Task::Done | Task::Reason(_) => false,
        }
    }

    fn words(&self, task: Task) -> String {
        match task {
            Task::WriteBack(at) => format!("write back {}", self.uuid(at)),
            Task::Freeze(at) => format!("freeze {}", self.uuid(at)),
            Task::Suspend(at) => format!("suspend {} (window)", self.uuid(at)),
            Task::Resume(at) | Task::Activate(at) => format!("resume {} (helper)", self.uuid(at)),
            Task::Hold(at) => format!("hold the map of {}", self.uuid(at)),
            Task::Release(at) => format!("release the map of {}", self.uuid(at)),
            Task::Thaw | Task::Done | Task::Era(_) | Task::Reason(_) => format!("{task:?}"),
        }
    }

    fn perform(&mut self, task: Task) -> Answer {
        let server = &mut self.server;
        self.fake.in_helper(|| server.perform(task))
    }
}

impl Helper for FakeHelper {
    fn begin(&mut self, task: Task) -> std::result::Result<(), Errno> {
        self.fake.change(|| self.words(task))?;
        if task == Task::Thaw {
            let state = &mut *self.fake.0.borrow_mut();
            state.thaw(&self.uuids);
            state.writers_write();
        }
        self.asked = Some(task);
        Ok(())
    }

    fn wait(&mut self, _patience: Duration) -> Option<std::result::Result<u32, Errno>> {
        let task = self.asked?;
        if self.blocks(task) {
            return None;
        }
        self.asked = None;
        match self.perform(task) {
            Answer::Number(number) => Some(number),
            Answer::Text(_) => Some(Ok(0)),
        }
    }

    fn is_busy(&self) -> bool {
        self.asked.is_some()
    }

    fn reason(&mut self, at: u16, _patience: Duration) -> Option<String> {
        match self.perform(Task::Reason(at)) {
            Answer::Text(text) => text,
            Answer::Number(_) => None,
        }
    }
}

/// The filesystems on volumes, in the order in which these were named.
pub struct FakeContents {
    fake: Fake,
    uuids: Vec<DmUuid>,
}

impl FakeContents {
    pub fn new(fake: &Fake, volumes: &[(DevNo, u32)]) -> FakeContents {
        let state = fake.0.borrow();
        let uuid = |(dev, _): &(DevNo, u32)| {
            let mut devices = state.dm.all();
            let device = devices.find(|device| device.minor == dev.minor);
            device.expect("the device of a volume").uuid.clone()
        };
        FakeContents {
            fake: fake.clone(),
            uuids: volumes.iter().map(uuid).collect(),
        }
    }

    fn state(&self) -> std::cell::RefMut<'_, State> {
        self.fake.0.borrow_mut()
    }
}

impl Contents for FakeContents {
    fn reason(&self, volume: usize) -> Option<String> {
        let data = &self.state().data;
        let uuid = &self.uuids[volume];
        let reason = data.unfreezable.get(uuid);
        reason.or(data.thawed_early.get(uuid)).cloned()
    }

    fn is_left_to_suspend(&self, volume: usize) -> bool {
        self.state()
            .data
            .unfreezable
            .contains_key(&self.uuids[volume])
    }

    fn write_back(&self, _volume: usize) {}

    fn freeze(&mut self, volume: usize) -> bool {
        let uuid = self.uuids[volume].clone();
        let mut state = self.state();
        if state.data.unfreezable.contains_key(&uuid) {
            return false;
        }
        state.frozen_now(&uuid);
        state.data.frozen_filesystems.insert(uuid);
        true
    }

    fn thaw(&mut self) -> std::result::Result<bool, Errno> {
        let mut state = self.state();
        state.thaw(&self.uuids);
        let early = &state.data.thawed_early;
        Ok(!self.uuids.iter().any(|uuid| early.contains_key(uuid)))
    }
}

impl State {
    /// The filesystems on these volumes are frozen no more.
    fn thaw(&mut self, uuids: &[DmUuid]) {
        let frozen = &mut self.data.frozen_filesystems;
        frozen.retain(|frozen| !uuids.contains(frozen));
    }
}

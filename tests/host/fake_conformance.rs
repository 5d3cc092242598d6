//! The conformance script on the fake kernel. `tests/kernel/real_conformance.rs` runs it on the
//! real one; both compare with the same file.

use crate::conformance::{Bench, Write};
use crate::fake::Fake;
use crate::fake::data::{Written, number_of, sector_with};
use crate::fake::dm::FakeKernel;
use breakoff::model::{DevNo, DmUuid};
use breakoff::sys::Kernel;

struct FakeBench {
    fake: Fake,
    kernel: FakeKernel,
    waiting: Vec<(DmUuid, u64, u64)>,
    held: Option<DmUuid>,
}

impl FakeBench {
    fn new() -> FakeBench {
        let fake = Fake::new(&[48, 48]);
        fake.0.borrow_mut().data.quiet = true;
        FakeBench {
            kernel: FakeKernel(fake.clone()),
            fake,
            waiting: Vec::new(),
            held: None,
        }
    }

    fn issue(&mut self, device: &DmUuid, mib: u64, number: u64) -> Write {
        let mut state = self.fake.0.borrow_mut();
        let minor = state.dm.minor_of(device).unwrap();
        match state.write_sector(
            DevNo { major: 253, minor },
            mib * 2048,
            &sector_with(number),
        ) {
            Written::Done => Write::Done,
            Written::Waits => Write::Waits,
            Written::Failed => Write::Failed,
        }
    }
}

impl Bench for FakeBench {
    fn hold(&mut self, device: &DmUuid) {
        let mut state = self.fake.0.borrow_mut();
        let minor = state.dm.minor_of(device).unwrap();
        state.dm.hold(minor, true);
        self.held = Some(device.clone());
    }

    fn held_write(&mut self, mib: u64, number: u64) -> Write {
        let device = self.held.clone().unwrap();
        self.issue(&device, mib, number)
    }

    fn release(&mut self) {
        let held: Vec<u32> = self
            .fake
            .0
            .borrow()
            .dm
            .held()
            .iter()
            .map(|d| d.minor)
            .collect();
        held.into_iter()
            .for_each(|minor| self.fake.0.borrow_mut().dm.hold(minor, false));
    }

    fn kernel(&self) -> &dyn Kernel {
        &self.kernel
    }

    fn disk(&self, n: usize) -> DevNo {
        self.fake.0.borrow().disks[n].dev
    }

    fn write(&mut self, device: &DmUuid, mib: u64, number: u64) -> Write {
        let came = self.issue(device, mib, number);
        if came == Write::Waits {
            self.fake
                .0
                .borrow_mut()
                .queue(device, mib * 2048 / crate::fake::data::CELL, number);
            self.waiting.push((device.clone(), mib, number));
        }
        came
    }

    fn waited(&mut self) -> Vec<Write> {
        let waiting = std::mem::take(&mut self.waiting);
        let lost = |number| self.fake.0.borrow_mut().data.take_lost(number);
        let came: Vec<_> = waiting
            .iter()
            .map(|(_, _, number)| {
                if lost(*number) {
                    Write::Failed
                } else {
                    Write::Done
                }
            })
            .collect();
        assert!(self.fake.0.borrow().data.nothing_queued());
        came
    }

    fn disk_read(&self, n: usize, mib: u64) -> u64 {
        number_of(&self.fake.0.borrow().disks[n].read(mib * 2048))
    }

    fn disk_write(&mut self, n: usize, mib: u64, bytes: &[u8]) {
        let mut state = self.fake.0.borrow_mut();
        for (at, part) in bytes.chunks(512).enumerate() {
            let mut whole = [0; 512];
            whole[..part.len()].copy_from_slice(part);
            state.disks[n].write_through(mib * 2048 + at as u64, Some(std::rc::Rc::new(whole)));
        }
    }

    fn set_dead(&mut self, n: usize, dead: bool) {
        self.fake.0.borrow_mut().disks[n].dead = dead;
    }

    fn copy_all(&mut self, _mirror: &DmUuid) {
        while self.fake.0.borrow_mut().tick() {}
    }
}

#[test]
fn the_fake_kernel_does_what_the_real_one_does() {
    crate::conformance::compare(&crate::conformance::run(&mut FakeBench::new()));
}

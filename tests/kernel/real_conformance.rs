//! The conformance script on the real kernel. `tests/host/fake_conformance.rs` runs it on the fake
//! one; both compare with the same file.

use crate::conformance::{Bench, Write};
use crate::support::disk::Fault;
use crate::support::lab::{Lab, until};
use crate::support::{MIB, block};
use breakoff::linux::dm::kernel::Dm;
use breakoff::model::{DevNo, DmUuid};
use breakoff::sys::Kernel;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// A write that has not come back by then waits.
const PATIENCE: Duration = Duration::from_secs(3);
const LONG: Duration = Duration::from_secs(120);

struct RealBench {
    lab: Lab,
    kernel: Dm,
    waiting: Vec<Receiver<std::io::Result<()>>>,
    held: Option<(DmUuid, std::fs::File)>,
}

fn judged(came: std::io::Result<()>) -> Write {
    if came.is_ok() {
        Write::Done
    } else {
        Write::Failed
    }
}

impl Bench for RealBench {
    fn hold(&mut self, device: &DmUuid) {
        let node = PathBuf::from(format!(
            "/dev/dm-{}",
            self.kernel.device(device).unwrap().unwrap().dev.minor
        ));
        until("the node is there", || node.exists());
        self.held = Some((device.clone(), block::open_direct(&node, true).unwrap()));
    }

    fn held_write(&mut self, mib: u64, number: u64) -> Write {
        let mut bytes = vec![0; 4096];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        judged(block::write_open(
            &self.held.as_ref().unwrap().1,
            mib * MIB,
            &bytes,
        ))
    }

    fn release(&mut self) {
        let (device, file) = self.held.take().unwrap();
        drop(file);
        until("the kernel has removed it", || {
            self.kernel.device(&device).unwrap().is_none()
        });
    }

    fn kernel(&self) -> &dyn Kernel {
        &self.kernel
    }

    fn disk(&self, n: usize) -> DevNo {
        let number = block::number(self.lab.disks[n].path()).unwrap();
        DevNo {
            major: libc::major(number),
            minor: libc::minor(number),
        }
    }

    fn write(&mut self, device: &DmUuid, mib: u64, number: u64) -> Write {
        let node = PathBuf::from(format!(
            "/dev/dm-{}",
            self.kernel.device(device).unwrap().unwrap().dev.minor
        ));
        until("the node is there", || node.exists());
        let (tell, told) = channel();
        std::thread::spawn(move || {
            let mut bytes = vec![0; 4096];
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            let _ = tell.send(block::write_direct(&node, mib * MIB, &bytes));
        });
        match told.recv_timeout(PATIENCE) {
            Ok(came) => judged(came),
            Err(_) => {
                self.waiting.push(told);
                Write::Waits
            }
        }
    }

    fn waited(&mut self) -> Vec<Write> {
        self.waiting
            .drain(..)
            .map(|told| judged(told.recv_timeout(LONG).expect("a write still waits")))
            .collect()
    }

    fn disk_read(&self, n: usize, mib: u64) -> u64 {
        let bytes = block::read_direct(self.lab.disks[n].path(), mib * MIB, 4096).unwrap();
        u64::from_le_bytes(bytes[..8].try_into().unwrap())
    }

    fn disk_write(&mut self, n: usize, mib: u64, bytes: &[u8]) {
        let mut whole = vec![0; bytes.len().next_multiple_of(4096)];
        whole[..bytes.len()].copy_from_slice(bytes);
        block::write_direct(self.lab.disks[n].path(), mib * MIB, &whole).unwrap();
    }

    fn set_dead(&mut self, n: usize, dead: bool) {
        if dead {
            self.lab.fault(n, Fault::Fail);
        } else {
            self.lab.heal(n);
        }
    }

    fn copy_all(&mut self, mirror: &DmUuid) {
        until("the mirror is in sync", || {
            self.kernel
                .device(mirror)
                .unwrap()
                .unwrap()
                .mirror
                .is_some_and(|m| m.in_sync())
        });
    }
}

#[test]
fn the_real_kernel_does_what_the_fake_one_does() {
    let lab = lab!(["mirror", "error", "era", "zero"], [48, 48]);
    let kernel = Dm::open().unwrap();
    kernel.take_cookie().unwrap();
    let mut bench = RealBench {
        lab,
        kernel,
        waiting: Vec::new(),
        held: None,
    };
    let notes = crate::conformance::run(&mut bench);
    assert_eq!(bench.kernel.settle(Duration::from_secs(60)), None);
    notes.iter().for_each(|note| println!("{note}"));
    crate::conformance::compare(&notes);
    bench.lab.finish();
}

//! A writer over two volumes whose order is known: a counter goes to A, is durable there, and only
//! then goes to B. At any one instant A is never behind B, and never ahead by more than one.

use super::block::{self, Aligned};
use super::stamp::{Area, BLOCK, Found, read_stamp};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// One block that is written again and again.
const COUNTER: Area = Area {
    writer: u32::MAX,
    first: 0,
    blocks: 1,
};

/// A running pair writer.
pub struct Ordered {
    stop: Arc<AtomicBool>,
    both: Arc<AtomicU64>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Ordered {
    #[track_caller]
    pub fn start(a: &Path, b: &Path) -> Ordered {
        let (stop, both) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (inner_stop, inner_both) = (Arc::clone(&stop), Arc::clone(&both));
        let (a, b) = (a.to_owned(), b.to_owned());
        let thread = thread::spawn(move || count(&a, &b, &inner_stop, &inner_both));
        Ordered {
            stop,
            both,
            thread: Some(thread),
        }
    }

    /// How often both have been written.
    pub fn count(&self) -> u64 {
        self.both.load(SeqCst)
    }

    /// Waits for so many further rounds.
    #[track_caller]
    pub fn goes_on(&self, rounds: u64) {
        let (goal, end) = (
            self.count() + rounds,
            Instant::now() + Duration::from_secs(120),
        );
        while self.count() < goal {
            assert!(
                Instant::now() < end,
                "the ordered writer is stuck after {} rounds",
                self.count()
            );
            assert!(
                self.thread.as_ref().is_some_and(|t| !t.is_finished()),
                "the ordered writer has met an error"
            );
            thread::sleep(Duration::from_millis(2));
        }
    }

    #[track_caller]
    pub fn stop(mut self) {
        self.stop.store(true, SeqCst);
        let end = Instant::now() + Duration::from_secs(120);
        while self.thread.as_ref().is_some_and(|t| !t.is_finished()) {
            assert!(
                Instant::now() < end,
                "the ordered writer is stuck after {} rounds",
                self.count()
            );
            thread::sleep(Duration::from_millis(2));
        }
        let result = self.thread.take().map(JoinHandle::join);
        assert!(
            matches!(result, Some(Ok(Ok(())))),
            "the ordered writer: {result:?}"
        );
    }
}

impl Drop for Ordered {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
    }
}

fn count(a: &PathBuf, b: &PathBuf, stop: &AtomicBool, both: &AtomicU64) -> io::Result<()> {
    let (a, b) = (block::open_direct(a, true)?, block::open_direct(b, true)?);
    let mut buffer = Aligned::new(BLOCK);
    for n in 1.. {
        if stop.load(SeqCst) {
            break;
        }
        COUNTER.stamp(n, buffer.bytes_mut());
        a.write_all_at(buffer.bytes(), 0)?;
        b.write_all_at(buffer.bytes(), 0)?;
        both.store(n, SeqCst);
    }
    Ok(())
}

/// The counter on a device; 0 before the first round.
#[track_caller]
pub fn counter(device: &Path) -> u64 {
    let block = block::read_direct(device, 0, BLOCK as u64)
        .unwrap_or_else(|err| panic!("reading {}: {err}", device.display()));
    match read_stamp(&COUNTER, 0, &block) {
        Found::Seq(n) => n,
        Found::Foreign => 0,
        Found::Broken => panic!("the counter on {} is torn", device.display()),
    }
}

/// Fails the test when the two devices do not show one instant, or one before `least` rounds.
#[track_caller]
pub fn assert_one_instant(a: &Path, b: &Path, least: u64) {
    let (a, b) = (counter(a), counter(b));
    assert!(
        b <= a && a <= b + 1,
        "not one instant: {a} on the first, {b} on the second, which is written after it"
    );
    assert!(
        least <= b,
        "round {least} was acknowledged, the snapshot has {b}"
    );
}

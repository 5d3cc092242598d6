//! A thread that writes stamped blocks to a device and remembers what was acknowledged.

use super::block::{self, Aligned};
use super::stamp::{Area, BLOCK, Expectation};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a writer may wait for one write, even on a slow day.
const DEADLINE: Duration = Duration::from_secs(120);

static NEXT_WRITER: AtomicU32 = AtomicU32::new(1);

/// How a writer writes.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Each write is durable before it is acknowledged.
    pub dsync: bool,
    /// Pause between two writes, which leaves the processor to others.
    pub pause: Duration,
}

impl Default for Style {
    fn default() -> Style {
        Style {
            dsync: false,
            pause: Duration::from_millis(1),
        }
    }
}

#[derive(Default)]
struct Shared {
    issued: AtomicU64,
    acked: AtomicU64,
    stop: AtomicBool,
    error: Mutex<Option<String>>,
    stall_us: AtomicU64,
}

/// A running writer.
pub struct Writer {
    area: Area,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts writing to `blocks` blocks from block `first` of a device.
    #[track_caller]
    pub fn start(device: impl AsRef<Path>, first: u64, blocks: u64, style: Style) -> Writer {
        let area = Area {
            writer: NEXT_WRITER.fetch_add(1, SeqCst),
            first,
            blocks,
        };
        Writer::go_on_after(device, area, 0, style)
    }

    /// Goes on where a writer of this area has stopped: behind its last write, which the device
    /// holds.
    #[track_caller]
    pub fn go_on_after(device: impl AsRef<Path>, area: Area, last: u64, style: Style) -> Writer {
        let device = device.as_ref();
        let file = block::open_direct(device, style.dsync)
            .unwrap_or_else(|err| panic!("opening {}: {err}", device.display()));
        let shared = Arc::new(Shared {
            issued: last.into(),
            acked: last.into(),
            ..Shared::default()
        });
        let inside = Arc::clone(&shared);
        let thread = thread::spawn(move || write_until_stopped(&file, &area, last, style, &inside));
        Writer {
            area,
            shared,
            thread: Some(thread),
        }
    }

    /// Starts writing and returns when each block has been written once.
    #[track_caller]
    pub fn start_filled(device: impl AsRef<Path>, first: u64, blocks: u64, style: Style) -> Writer {
        let writer = Writer::start(device, first, blocks, style);
        writer.wait_for(blocks);
        writer
    }

    fn acked(&self) -> u64 {
        self.shared.acked.load(SeqCst)
    }

    /// Waits until write number `seq` is acknowledged; fails the test when the writer is stuck or
    /// has met an error.
    #[track_caller]
    pub fn wait_for(&self, seq: u64) {
        let mut last = (self.acked(), Instant::now());
        while last.0 < seq {
            self.assert_no_error();
            assert!(
                last.1.elapsed() < DEADLINE,
                "the writer is stuck: {}",
                self.describe()
            );
            thread::sleep(Duration::from_millis(2));
            if self.acked() != last.0 {
                last = (self.acked(), Instant::now());
            }
        }
    }

    /// Waits for so many further writes: it goes on.
    #[track_caller]
    pub fn goes_on(&self, writes: u64) {
        self.wait_for(self.acked() + writes);
    }

    /// Whether a write is in flight and has been for so long.
    pub fn is_held(&self, for_at_least: Duration) -> bool {
        let before = self.acked();
        thread::sleep(for_at_least);
        self.acked() == before && self.shared.issued.load(SeqCst) > before
    }

    /// Waits until a write is held (a leg has died under it).
    #[track_caller]
    pub fn wait_until_held(&self) {
        let end = Instant::now() + DEADLINE;
        while !self.is_held(Duration::from_millis(500)) {
            self.assert_no_error();
            assert!(
                Instant::now() < end,
                "no write is held: {}",
                self.describe()
            );
        }
    }

    /// What a device must hold that was split off at some instant while `act` ran.
    pub fn fork_during(&self, act: impl FnOnce()) -> Expectation {
        let acked = self.acked();
        act();
        Expectation {
            area: self.area,
            acked,
            issued: self.shared.issued.load(SeqCst),
        }
    }

    /// What a device must hold that was split off right now.
    pub fn fork(&self) -> Expectation {
        self.fork_during(|| ())
    }

    /// Begins anew with [`Writer::longest_stall`].
    pub fn forget_stalls(&self) {
        self.shared.stall_us.store(0, SeqCst);
    }

    /// The longest time between two acknowledgements so far.
    pub fn longest_stall(&self) -> Duration {
        Duration::from_micros(self.shared.stall_us.load(SeqCst))
    }

    /// Stops it and says what the device must hold; fails the test when a write failed or is stuck.
    #[track_caller]
    pub fn stop(mut self) -> Expectation {
        let expectation = self.halt();
        self.assert_no_error();
        expectation
    }

    /// Stops a writer whose writes may have failed.
    #[track_caller]
    pub fn halt(&mut self) -> Expectation {
        self.shared.stop.store(true, SeqCst);
        let end = Instant::now() + DEADLINE;
        while self.thread.as_ref().is_some_and(|t| !t.is_finished()) {
            assert!(
                Instant::now() < end,
                "the writer is stuck: {}",
                self.describe()
            );
            thread::sleep(Duration::from_millis(2));
        }
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok(), "the writer died");
        }
        println!(
            "writer: {}, longest stall {} ms",
            self.describe(),
            self.longest_stall().as_millis()
        );
        self.fork()
    }

    /// The error that ended it, if one did.
    pub fn error(&self) -> Option<String> {
        self.shared.error.lock().ok()?.clone()
    }

    #[track_caller]
    fn assert_no_error(&self) {
        if let Some(err) = self.error() {
            panic!("a write failed: {err}; {}", self.describe());
        }
    }

    fn describe(&self) -> String {
        format!(
            "{} writes issued, {} acknowledged",
            self.shared.issued.load(SeqCst),
            self.acked()
        )
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
    }
}

fn write_until_stopped(
    file: &std::fs::File,
    area: &Area,
    before: u64,
    style: Style,
    shared: &Shared,
) {
    let mut buffer = Aligned::new(BLOCK);
    let mut last = Instant::now();
    for seq in before + 1.. {
        if shared.stop.load(SeqCst) {
            return;
        }
        area.stamp(seq, buffer.bytes_mut());
        shared.issued.store(seq, SeqCst);
        if let Err(err) = file.write_all_at(buffer.bytes(), area.block(seq) * BLOCK as u64) {
            *shared
                .error
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner) =
                Some(format!("write {seq}: {err}"));
            return;
        }
        shared.acked.store(seq, SeqCst);
        shared
            .stall_us
            .fetch_max(last.elapsed().as_micros() as u64, SeqCst);
        thread::sleep(style.pause);
        last = Instant::now();
    }
}

//! A device that records every write and flush that reaches it (dm-log-writes), in the order in
//! which they became durable.
//!
//! ```text
//! loop device with the data ──┐
//! loop device with the log  ──┴── boteststore1 (log-writes), which a test's disk is put on
//! ```
//!
//! The log has a superblock in its first sector, then entries of one sector, each followed by what
//! was written. A write that was not made durable at once comes right before the flush that covers
//! it; one that no flush has covered is not there.

use super::disk::UUID;
use super::dm::{Dm, Line};
use super::lab::until;
use super::loops::Loop;
use super::{MIB, block};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

const SECTOR: u64 = 512;
/// Sparse, in memory, and never filled by a test.
const LOG: u64 = 512 * MIB;
const MAGIC: u64 = 0x006a_7366_7773_6872;

const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;
const MARK: u64 = 8;

/// What happened to the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Bytes that were written, and where.
    Write(u64, Vec<u8>),
    /// So many bytes that were discarded, and where.
    Discard(u64, u64),
    /// Everything before is durable.
    Flush,
    /// What [`Recorder::mark`] said.
    Mark(String),
}

/// A recording device.
pub struct Recorder {
    name: String,
    data: Loop,
    log: Loop,
}

impl Recorder {
    /// Makes one of `size` bytes.
    pub fn new(dm: &Dm, number: usize, size: u64) -> io::Result<Recorder> {
        let recorder = Recorder {
            name: format!("boteststore{number}"),
            data: Loop::new(size, SECTOR as u32)?,
            log: Loop::new(LOG, SECTOR as u32)?,
        };
        let on = |device: &Loop| block::number(&device.path).map(super::dm::number);
        dm.create(&recorder.name, &format!("{UUID}{}", recorder.name))?;
        let params = format!("{} {}", on(&recorder.data)?, on(&recorder.log)?);
        dm.load(
            &recorder.name,
            &[Line::new(0, size / SECTOR, "log-writes", params)],
        )?;
        dm.activate(&recorder.name)?;
        until("udev makes the recorder's link", || {
            recorder.path().exists()
        });
        Ok(recorder)
    }

    /// Its path.
    pub fn path(&self) -> PathBuf {
        PathBuf::from("/dev/mapper").join(&self.name)
    }

    /// Leaves a word (without blanks) in the recording.
    #[track_caller]
    pub fn mark(&self, dm: &Dm, text: &str) {
        dm.message(&self.name, &format!("mark {text}"))
            .unwrap_or_else(|err| panic!("{} takes no mark: {err}", self.name));
    }

    /// The recording up to a mark, which is waited for: the kernel writes the log behind our back.
    #[track_caller]
    pub fn recording(&self, upto: &str) -> Vec<Event> {
        let end = Event::Mark(upto.into());
        let mut events = Vec::new();
        until("the log is written", || {
            events = self
                .read()
                .unwrap_or_else(|err| panic!("reading the log of {}: {err}", self.name));
            events.contains(&end)
        });
        events
    }

    fn read(&self) -> io::Result<Vec<Event>> {
        let [magic, version, entries, sector] = self.words(0)?;
        if [magic, version, u64::from(sector as u32)] != [MAGIC, 1, SECTOR] {
            return Ok(Vec::new());
        }
        let (mut events, mut at) = (Vec::new(), SECTOR);
        for _ in 0..entries {
            let [start, count, flags, length] = self.words(at)?;
            let data = if flags & DISCARD != 0 {
                0
            } else {
                count * SECTOR
            };
            if flags & MARK != 0 {
                let text = self.bytes(at + 32, length)?;
                events.push(Event::Mark(String::from_utf8_lossy(&text).into_owned()));
            }
            if flags & FLUSH != 0 {
                events.push(Event::Flush);
            }
            if flags & DISCARD != 0 {
                events.push(Event::Discard(start * SECTOR, count * SECTOR));
            } else if count > 0 {
                events.push(Event::Write(start * SECTOR, self.bytes(at + SECTOR, data)?));
            }
            if flags & FUA != 0 {
                // All that the log has before it is durable, too.
                events.push(Event::Flush);
            }
            at += SECTOR + data;
        }
        Ok(events)
    }

    /// Four numbers of the log.
    fn words(&self, at: u64) -> io::Result<[u64; 4]> {
        let mut bytes = [0; 32];
        self.log.file.read_exact_at(&mut bytes, at)?;
        let word = |n: usize| u64::from_le_bytes(bytes.as_chunks::<8>().0[n]);
        Ok([word(0), word(1), word(2), word(3)])
    }

    fn bytes(&self, at: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.log.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }
}

impl Drop for Recorder {
    /// The kernel lets go of the loop devices when the device above them is gone.
    fn drop(&mut self) {
        for device in [&self.data, &self.log] {
            let _ = device.clear();
        }
    }
}

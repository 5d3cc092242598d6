//! Reads plexes side by side from the disks beneath them, bypassing every cache (K14), and finds the
//! blocks in which they differ.

use super::sides::{Place, Side};
use crate::error::{Error, Result};
use crate::model::{DiskId, ranges};
use crate::sys::Media;
use crate::sys::disk::ALIGNMENT;
use crate::sys::machine::Machine;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

/// How much is compared at once, in sectors.
pub const CHUNK: u64 = 2048;
/// The unit in which differences are found, in sectors.
pub const BLOCK: u64 = ALIGNMENT as u64 / 512;
/// How long a disk may take to answer a read while nothing waits for it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The disks of a comparison, opened to read, with room for a chunk of each side.
pub struct Reader {
    media: BTreeMap<DiskId, Box<dyn Media>>,
    buffers: Vec<Vec<u8>>,
    /// What was read last.
    read: Range<u64>,
}

/// A read that failed: where, and why.
#[derive(Debug)]
pub struct Unread {
    /// The index of the side.
    pub side: usize,
    /// What was to be read.
    pub place: Place,
    /// Why it was not.
    pub error: std::io::Error,
}

impl Unread {
    /// The failure as that of the whole command.
    pub fn error(&self) -> Error {
        let Place { media, device, .. } = &self.place;
        let at = self.place.begins * 512;
        Error::io(
            format!("cannot read disk '{media}' ({}) at {at}", device.display()),
            &self.error,
        )
        .on(media)
        .hint("see the kernel's log")
    }

    /// Whether the disk did not answer, or has been given up.
    pub fn is_late(&self) -> bool {
        self.error.raw_os_error() == Some(libc::ETIMEDOUT)
    }
}

impl Reader {
    /// Opens the disks of these sides.
    pub fn open(sides: &[Side], machine: &dyn Machine) -> Result<Reader> {
        let disks: BTreeMap<DiskId, &Path> = sides
            .iter()
            .flat_map(Side::disks)
            .map(|(id, path)| (id, path.as_path()))
            .collect();
        let paths: Vec<&Path> = disks.values().copied().collect();
        let opened = machine.readers(&paths);
        let media = disks.into_keys().zip(opened);
        let chunk = vec![0; CHUNK as usize * 512];
        Ok(Reader {
            media: media
                .map(|(id, media)| Ok((id, media?)))
                .collect::<Result<_>>()?,
            buffers: vec![chunk; sides.len()],
            read: 0..0,
        })
    }

    /// What is to be read while a volume is suspended is prepared: no memory has to be found then.
    pub fn brace(&self) {
        self.media.values().for_each(|media| media.brace());
    }

    /// Ends what [`Reader::brace`] has begun.
    pub fn relax(&self) {
        self.media.values().for_each(|media| media.relax());
    }

    /// Reads a range, of a chunk at most, of these sides (by their index in `sides`), from all disks
    /// at once. Allocates little, and nothing in proportion to what is read.
    pub fn read(
        &mut self,
        sides: &[Side],
        which: &[usize],
        range: &Range<u64>,
        patience: Duration,
    ) -> std::result::Result<(), Unread> {
        self.read = range.clone();
        let mut wanted: Vec<(usize, Place)> = which
            .iter()
            .flat_map(|side| sides[*side].places(range).into_iter().map(|p| (*side, p)))
            .collect();
        while !wanted.is_empty() {
            // A disk does one request at a time.
            let mut busy = BTreeSet::new();
            let (now, later) = wanted
                .into_iter()
                .partition(|(_, place)| busy.insert(place.disk));
            self.round(now, range, patience)?;
            wanted = later;
        }
        Ok(())
    }

    fn round(
        &mut self,
        now: Vec<(usize, Place)>,
        range: &Range<u64>,
        patience: Duration,
    ) -> std::result::Result<(), Unread> {
        let mut failed = None;
        let length = |place: &Place| (place.range.end - place.range.start) as usize * 512;
        let mut begun = Vec::with_capacity(now.len());
        for (side, place) in now {
            let media = self.media.get(&place.disk);
            let asked = media.map(|m| m.begin_read(place.begins * 512, length(&place), patience));
            match asked {
                Some(Ok(())) => begun.push((side, place)),
                Some(Err(error)) => failed = Some(Unread { side, place, error }),
                None => {}
            }
        }
        // Each request that was begun is ended, or its answer would be taken for that of the next.
        for (side, place) in begun {
            let at = (place.range.start - range.start) as usize * 512;
            let buffer = &mut self.buffers[side][at..at + length(&place)];
            let media = self.media.get(&place.disk);
            if let Some(Err(error)) = media.map(|m| m.end_read(place.begins * 512, buffer)) {
                failed.get_or_insert(Unread { side, place, error });
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// The blocks of what was read last in which two sides differ, joined, in sectors of the volume.
    pub fn differing(&self, sides: (usize, usize)) -> Vec<Range<u64>> {
        self.differing_by(BLOCK, sides)
    }

    /// The same by sectors.
    pub fn differing_sectors(&self, sides: (usize, usize)) -> Vec<Range<u64>> {
        self.differing_by(1, sides)
    }

    fn differing_by(&self, unit: u64, (one, other): (usize, usize)) -> Vec<Range<u64>> {
        let range = &self.read;
        let (one, other) = (self.bytes(one, range), self.bytes(other, range));
        if one == other {
            return Vec::new();
        }
        let bytes = unit as usize * 512;
        let units = one.chunks(bytes).zip(other.chunks(bytes)).enumerate();
        let differing = units
            .filter(|(_, (one, other))| one != other)
            .map(|(at, _)| range.start + at as u64 * unit);
        ranges::union(differing.map(|at| at..(at + unit).min(range.end)))
    }

    /// Whether a side holds nothing but zeros in a part of what was read last.
    pub fn is_zero(&self, side: usize, part: &Range<u64>) -> bool {
        self.bytes(side, part).iter().all(|byte| *byte == 0)
    }

    /// A part of what was read last.
    fn bytes(&self, side: usize, part: &Range<u64>) -> &[u8] {
        let at = |sector: u64| sector.saturating_sub(self.read.start) as usize * 512;
        self.buffers[side]
            .get(at(part.start)..at(part.end))
            .unwrap_or_default()
    }
}

//! `verify`: compares the plexes of volumes that are in use, and snapshots with their originals.
//! Nothing is written, and no lock is held but for moments.
//!
//! ```text
//! sides    what is compared, and where it lies      reader   reads the disks side by side
//! rest     the look that decides
//! ```
//!
//! What differs is looked at again, some times, and then in a way that no write can disturb: plexes
//! at rest (see `rest`); a snapshot and its original by their maps of changes, read after the data. A
//! block that was written is recorded before the write reaches a disk, so what differs and is in
//! neither map differed when the maps were begun.

mod reader;
mod rest;
mod sides;

pub use sides::{LeftOut, Place, Side};

use super::session::{Session, View};
use super::which::group_for;
use super::{Env, Options, Outcome, Progress};
use crate::advice::{Advised, Hint, Of};
use crate::error::{Error, Result};
use crate::model::{Name, Sectors, VolumeId, ranges};
use crate::plan::snapback;
use crate::plan::view::PlanView;
use crate::sys::process::Interrupts;
use reader::{BLOCK, CHUNK, PATIENCE, Reader, Unread};
use sides::{Job, Proof};
use std::ops::Range;
use std::time::{Duration, Instant};

/// The pauses before what differs is read again. Hardly a write takes longer than all of them.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(5),
    Duration::from_millis(20),
    Duration::from_millis(80),
    Duration::from_millis(320),
];
/// How often a volume is suspended at most. What is found to differ after that, such as most of a
/// plex, is not worth more pauses of the volume.
const RESTS: usize = 64;
/// What cannot be read is narrowed down to pieces of this size, in sectors.
const PIECE: u64 = 128;
/// How many such pieces of a disk are listed before it is given up.
const MOST_UNREAD: usize = 64;
/// The interval at which progress is reported, and at which an interrupt is noticed.
const TICK: Duration = Duration::from_millis(500);

/// What was found out about a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The group.
    pub group: Name,
    /// The volume that was named.
    pub volume: Name,
    /// Its size.
    pub size: Sectors,
    /// One entry for each pair of plexes that were compared.
    pub pairs: Vec<Pair>,
    /// What was not compared, as sentences.
    pub notes: Vec<String>,
}

/// Two plexes that were compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The plexes: of one volume, or of an original and its snapshot.
    pub sides: [Side; 2],
    /// How much was compared.
    pub compared: Sectors,
    /// What was not compared by right.
    pub left_out: Vec<(Range<u64>, LeftOut)>,
    /// Where they differ, in order.
    pub differing: Vec<Differing>,
    /// What could not be read: the plex, and where.
    pub unread: Vec<(Name, Place)>,
}

/// A range in which two plexes differ. It is cut where either goes on elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differing {
    /// Where it lies on the disks, for each of the two.
    pub places: [Place; 2],
    /// Whether each of them holds nothing but zeros there.
    pub zeros: [bool; 2],
    /// Whether a disk of either takes discards, after which they may differ by right (K13).
    pub perhaps_discarded: bool,
    /// Whether the filesystem that is mounted on the volume uses it; `None` if that is not known.
    pub in_use: Option<bool>,
    /// Whether it is proven that no write was on its way.
    pub proven: bool,
}

impl Differing {
    /// Whether they are allowed to differ: nobody uses it, and it may have been discarded.
    pub fn is_allowed(&self) -> bool {
        self.perhaps_discarded && self.in_use == Some(false)
    }

    /// The range in the volume, in sectors.
    pub fn range(&self) -> &Range<u64> {
        &self.places[0].range
    }
}

/// A range in which a side differs from the first one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    side: usize,
    range: Range<u64>,
    in_use: Option<bool>,
    zeros: [bool; 2],
    proven: bool,
}

/// What is known of a job so far.
#[derive(Default)]
struct Findings {
    done: u64,
    seen: Vec<Seen>,
    unread: Vec<(usize, Place)>,
    /// What was not compared because a side could not be read.
    missed: Vec<Range<u64>>,
}

/// Compares what there is to compare of these volumes.
pub fn verify(
    options: &Options,
    names: &[Name],
    rate: Option<Sectors>,
    env: Env<'_>,
) -> Result<Outcome> {
    let group = group_for(options, names, env.machine)?;
    let interrupts = env.machine.interrupts();
    let mut run = Run {
        options,
        group,
        env,
        interrupts: interrupts.as_ref(),
        rate,
        shown: None,
        rests: 0,
    };
    let (mut verified, mut wrong) = (Vec::new(), Vec::new());
    for name in names {
        match run.volume(name) {
            Ok((found, cut_short)) => {
                wrong.extend(complaints(&found));
                wrong.extend(cut_short);
                verified.push(found);
            }
            Err(error) => wrong.push(error),
        }
        if interrupts.arrived() {
            break;
        }
    }
    env.ui.progress_end();
    match (verified.is_empty(), wrong.as_slice()) {
        (true, [only]) => Err(only.clone()),
        _ => Ok(Outcome::Verified(verified).lacking(wrong)),
    }
}

/// Returns what [`verify`] would compare.
pub fn rehearse(options: &Options, names: &[Name], env: Env<'_>) -> Result<PlanView> {
    let group = group_for(options, names, env.machine)?;
    let mut session = Session::open(options, &group, env)?;
    let mut notes = Vec::new();
    for name in names {
        let (jobs, left) = jobs(&mut session, name)?;
        let path = session.world.group.path(name);
        for job in jobs {
            let plexes: Vec<String> = job.sides.iter().map(|s| format!("'{}'", s.plex)).collect();
            notes.push(format!(
                "reads {} of each of the plexes {} and compares them ({path})",
                ranges::length(&job.ranges),
                plexes.join(", "),
            ));
        }
        notes.extend(left);
    }
    Ok(PlanView {
        group: session.world.group.name.to_string(),
        notes,
        ..PlanView::default()
    })
}

/// What there is to compare of a volume, and what there is not, as sentences. Fails if that is
/// nothing.
fn jobs(session: &mut Session<'_>, name: &Name) -> Result<(Vec<Job>, Vec<String>)> {
    let volume = session.world.group.volume_named(name)?.clone();
    let (mut jobs, mut notes, mut refused) = (Vec::new(), Vec::new(), None);
    match sides::plexes(&session.world, &volume) {
        Ok((job, told)) => {
            jobs.push(job);
            notes.extend(told);
        }
        Err(error) => refused = Some(error),
    }
    let original = (volume.origin.as_ref()).and_then(|o| session.world.group.volume(o.original));
    if let Some(original) = original.cloned() {
        let related = changed(session, name)
            .and_then(|changed| sides::relation(&session.world, (&volume, &original), &changed));
        match related {
            Ok(job) => jobs.push(job),
            Err(error) if jobs.is_empty() => return Err(error),
            Err(error) => notes.push(error.message().to_owned()),
        }
    }
    match refused {
        Some(error) if jobs.is_empty() => Err(error),
        _ => Ok((jobs, notes)),
    }
}

/// What was written to a snapshot or its original since the split.
fn changed(session: &mut Session<'_>, name: &Name) -> Result<Vec<Range<u64>>> {
    for (volume, since) in snapback::needed(&session.world, std::slice::from_ref(name)) {
        session.list_changes(volume, since);
    }
    let snapshot = session.world.group.volume_named(name)?;
    let path = session.world.group.path(name);
    let differences = snapback::differences(&session.world, snapshot).map_err(|why| {
        Error::not_ready(format!(
            "'{path}' cannot be compared with its original: what has changed since the split is not known: {why}"
        ))
        .on(&path)
    })?;
    Ok(differences.either)
}

/// The plexes were exchanged, moved or split off meanwhile.
fn has_changed(name: &Name, world: &crate::plan::world::World) -> Error {
    let path = world.group.path(name);
    Error::not_ready(format!(
        "'{path}' has got other plexes while it was compared"
    ))
    .on(path)
    .hint("compare it again")
}

/// A command at work.
struct Run<'r> {
    options: &'r Options,
    group: Name,
    env: Env<'r>,
    interrupts: &'r dyn Interrupts,
    rate: Option<Sectors>,
    /// When progress was reported last.
    shown: Option<Instant>,
    /// How often a volume was suspended.
    rests: usize,
}

impl<'r> Run<'r> {
    fn open(&self) -> Result<Session<'r>> {
        let mut session = Session::open(self.options, &self.group, self.env)?;
        session.repair_all()?;
        Ok(session)
    }

    /// Compares one volume. Returns also why that ended early, if it did.
    fn volume(&mut self, name: &Name) -> Result<(Verified, Option<Error>)> {
        let mut session = self.open()?;
        let (jobs, notes) = jobs(&mut session, name)?;
        let group = &session.world.group;
        let mut verified = Verified {
            group: group.name.clone(),
            volume: name.clone(),
            size: group.volume_named(name)?.size,
            pairs: Vec::new(),
            notes,
        };
        let device = group.volume_named(name).map(|volume| {
            let device = session.world.started(volume)?;
            Some((device.dev, session.world.path(volume)))
        })?;
        drop(session);
        let mounted = device.and_then(|(dev, path)| {
            let found = self.env.machine.filesystem(dev, &path)?;
            Some((dev, found.mounted.filter(|_| !found.is_elsewhere)?))
        });
        let mut cut_short = None;
        for mut job in jobs {
            job.mounted = mounted.clone();
            let mut findings = Findings::default();
            let ended = self.job(name, &mut job, &mut findings);
            verified.pairs.extend(self.pairs(&job, &findings));
            if let Err(error) = ended {
                cut_short = Some(error);
                break;
            }
        }
        Ok((verified, cut_short))
    }

    /// Does a job, as far as it gets.
    fn job(&mut self, name: &Name, job: &mut Job, findings: &mut Findings) -> Result<()> {
        let read = self.read_all(name, job, findings);
        if let Proof::Maps(snapshot) = job.proof.clone() {
            let known = self.by_maps(&snapshot, job, findings);
            if known.is_err() {
                findings.seen.clear();
            }
            return read.and(known);
        }
        read?;
        let view = View::look(&self.group, self.env)?;
        if job.sides.iter().all(|side| side.is_still(&view.world)) {
            Ok(())
        } else {
            Err(has_changed(name, &view.world))
        }
    }

    fn read_all(&mut self, name: &Name, job: &Job, findings: &mut Findings) -> Result<()> {
        let mut reader = Reader::open(&job.sides, self.env.machine)?;
        let total = ranges::length(&job.ranges);
        let begun = Instant::now();
        let path = format!("{}/{name}", self.group);
        for chunk in job.ranges.iter().flat_map(chunks) {
            if self.interrupts.arrived() {
                return Err(interrupted(&path, findings.done, total));
            }
            self.chunk(name, job, &mut reader, &chunk, findings)?;
            findings.done += chunk.end - chunk.start;
            self.progress(&path, job, findings.done, total);
            self.rest_for_rate(begun, findings.done);
        }
        self.show(&path, job, findings.done, total);
        Ok(())
    }

    /// Compares a chunk of all sides.
    fn chunk(
        &mut self,
        name: &Name,
        job: &Job,
        reader: &mut Reader,
        chunk: &Range<u64>,
        findings: &mut Findings,
    ) -> Result<()> {
        let all: Vec<usize> = (0..job.sides.len()).collect();
        match reader.read(&job.sides, &all, chunk, PATIENCE) {
            Ok(()) => self.compare(name, job, reader, findings),
            Err(unread) if unread.is_late() => Err(unread.error()),
            Err(_) => self.pieces(name, job, reader, chunk, findings),
        }
    }

    /// Compares a chunk of which something cannot be read, piece by piece.
    fn pieces(
        &mut self,
        name: &Name,
        job: &Job,
        reader: &mut Reader,
        chunk: &Range<u64>,
        findings: &mut Findings,
    ) -> Result<()> {
        let mut at = chunk.start;
        while at < chunk.end {
            let piece = at..(at + PIECE).min(chunk.end);
            at = piece.end;
            let before = findings.unread.len();
            for side in 0..job.sides.len() {
                if let Err(unread) = reader.read(&job.sides, &[side], &piece, PATIENCE) {
                    note_unread(unread, findings)?;
                }
            }
            if findings.unread.len() > before {
                findings.missed.push(piece);
                continue;
            }
            self.compare(name, job, reader, findings)?;
        }
        Ok(())
    }

    /// Compares what was read last.
    fn compare(
        &mut self,
        name: &Name,
        job: &Job,
        reader: &mut Reader,
        findings: &mut Findings,
    ) -> Result<()> {
        let suspects: Vec<(usize, Vec<Range<u64>>)> = (1..job.sides.len())
            .map(|side| (side, reader.differing((0, side))))
            .filter(|(_, differing)| !differing.is_empty())
            .collect();
        for (side, differing) in suspects {
            let left = self.look_again(job, reader, side, differing)?;
            if left.is_empty() {
                continue;
            }
            let (left, proven, unused) = match &job.proof {
                Proof::Maps(_) => (left, false, None),
                Proof::Rest(volume) => {
                    let span = span(&left);
                    let before = self.unused(job, &span);
                    let (left, proven) = if self.rests < RESTS {
                        let volume = *volume;
                        (self.at_rest(name, volume, job, reader, (side, left))?, true)
                    } else {
                        (left, false)
                    };
                    // A block is in use if it was both before and after the look.
                    let after = self.unused(job, &span);
                    let unused = before.zip(after);
                    let both = unused.map(|(b, a)| ranges::union([b, a].concat()));
                    (left, proven, both)
                }
            };
            for (range, in_use) in by_use(reader, side, &left, unused.as_deref()) {
                findings.seen.push(Seen {
                    side,
                    zeros: [0, side].map(|side| reader.is_zero(side, &range)),
                    range,
                    in_use,
                    proven,
                });
            }
        }
        Ok(())
    }

    /// What the filesystem that is mounted on the volume does not use of a range; `None` if that is
    /// not known. No lock may be held: the filesystem may have to wait for a repair.
    fn unused(&self, job: &Job, range: &Range<u64>) -> Option<Vec<Range<u64>>> {
        let (device, directory) = job.mounted.as_ref()?;
        self.env.machine.unused(directory, *device, range).ok()
    }

    /// Reads what differs again, some times; what a write on its way has made different is equal
    /// then.
    fn look_again(
        &self,
        job: &Job,
        reader: &mut Reader,
        side: usize,
        mut left: Vec<Range<u64>>,
    ) -> Result<Vec<Range<u64>>> {
        for pause in PAUSES {
            if left.is_empty() {
                break;
            }
            std::thread::sleep(pause);
            left = look(job, reader, side, &left, PATIENCE).map_err(|unread| unread.error())?;
        }
        Ok(left)
    }

    /// Reads what differs while nothing is being written to the volume.
    fn at_rest(
        &mut self,
        name: &Name,
        volume: VolumeId,
        job: &Job,
        reader: &mut Reader,
        (side, left): (usize, Vec<Range<u64>>),
    ) -> Result<Vec<Range<u64>>> {
        self.rests += 1;
        let session = self.open()?;
        if !job.sides.iter().all(|side| side.is_still(&session.world)) {
            return Err(has_changed(name, &session.world));
        }
        let found = session.world.group.volume(volume);
        let device = found
            .map(|v| sides::device_to_rest(&session.world, v))
            .transpose()?;
        let patience = self.env.machine.hold_timeout();
        let look = |reader: &mut Reader| look(job, reader, side, &left, patience);
        let seen = match device.flatten() {
            None => look(reader),
            Some(device) => {
                reader.brace();
                let seen = rest::at_rest(&session, &device, || look(reader));
                reader.relax();
                seen?
            }
        };
        seen.map_err(|unread| unread.error())
    }

    /// Leaves out what was written while it was compared.
    fn by_maps(&self, snapshot: &Name, job: &mut Job, findings: &mut Findings) -> Result<()> {
        let mut session = self.open()?;
        if !job.sides.iter().all(|side| side.is_still(&session.world)) {
            return Err(has_changed(snapshot, &session.world));
        }
        let size = session.world.group.volume_named(snapshot)?.size.get();
        let changed = changed(&mut session, snapshot)?;
        let same = ranges::outside(&changed, size);
        let seen = std::mem::take(&mut findings.seen);
        findings.seen = seen
            .into_iter()
            .flat_map(|seen| {
                let left = ranges::common(std::slice::from_ref(&seen.range), &same);
                left.into_iter().map(move |range| Seen {
                    range,
                    proven: true,
                    ..seen.clone()
                })
            })
            .collect();
        let known: Vec<Range<u64>> = job
            .left_out
            .iter()
            .map(|(range, _)| range.clone())
            .collect();
        let later = ranges::common(&changed, &ranges::outside(&known, size));
        findings.done = findings.done.saturating_sub(ranges::length(&later).get());
        job.left_out = changed
            .into_iter()
            .map(|range| (range, LeftOut::Changed))
            .collect();
        Ok(())
    }

    /// What was found, pair by pair.
    fn pairs(&self, job: &Job, findings: &Findings) -> Vec<Pair> {
        let missed = ranges::length(&ranges::union(findings.missed.iter().cloned()));
        let pair = |side: usize| {
            let seen = findings.seen.iter().filter(|seen| seen.side == side);
            let unread = findings.unread.iter();
            Pair {
                sides: [job.sides[0].clone(), job.sides[side].clone()],
                compared: Sectors::new(findings.done)
                    .unwrap_or_default()
                    .saturating_sub(missed),
                left_out: job.left_out.clone(),
                differing: joined(seen)
                    .iter()
                    .flat_map(|seen| self.places(job, seen))
                    .collect(),
                unread: unread
                    .filter(|(of, _)| *of == 0 || *of == side)
                    .map(|(of, place)| (job.sides[*of].plex.clone(), place.clone()))
                    .collect(),
            }
        };
        (1..job.sides.len()).map(pair).collect()
    }

    /// A difference, cut where either side goes on elsewhere.
    fn places(&self, job: &Job, seen: &Seen) -> Vec<Differing> {
        let [one, other] = [0, seen.side].map(|side| &job.sides[side]);
        let discards = |place: &Place| self.env.machine.takes_discards(place.number);
        let mut cut = Vec::new();
        for first in one.places(&seen.range) {
            for second in other.places(&first.range) {
                let first = one.places(&second.range);
                cut.extend(first.into_iter().map(|first| Differing {
                    perhaps_discarded: discards(&first) || discards(&second),
                    places: [first, second.clone()],
                    zeros: seen.zeros,
                    in_use: seen.in_use,
                    proven: seen.proven,
                }));
            }
        }
        cut
    }

    fn progress(&mut self, path: &str, job: &Job, done: u64, total: Sectors) {
        if self.shown.is_none_or(|at| at.elapsed() >= TICK) {
            self.show(path, job, done, total);
        }
    }

    fn show(&mut self, path: &str, job: &Job, done: u64, total: Sectors) {
        self.shown = Some(Instant::now());
        self.env.ui.progress(&[Progress {
            object: path.to_owned(),
            legs: job.sides.iter().map(|side| side.plex.clone()).collect(),
            done: Sectors::new(done).unwrap_or(total),
            total,
        }]);
    }

    /// Waits until no more than the rate has been read since the beginning.
    fn rest_for_rate(&self, begun: Instant, done: u64) {
        let Some(rate) = self.rate.filter(|rate| !rate.is_zero()) else {
            return;
        };
        let due = Duration::from_secs_f64(done as f64 / rate.get() as f64);
        while let Some(left) = due
            .checked_sub(begun.elapsed())
            .filter(|left| !left.is_zero())
        {
            if self.interrupts.arrived() {
                return;
            }
            std::thread::sleep(left.min(TICK));
        }
    }
}

/// Reads these ranges, which lie within a chunk, of the first side and another one again. Returns
/// what still differs.
fn look(
    job: &Job,
    reader: &mut Reader,
    side: usize,
    left: &[Range<u64>],
    patience: Duration,
) -> std::result::Result<Vec<Range<u64>>, Unread> {
    let span = span(left);
    reader.read(&job.sides, &[0, side], &span, patience)?;
    Ok(ranges::common(left, &reader.differing((0, side))))
}

/// From the beginning of the first range to the end of the last.
fn span(ranges: &[Range<u64>]) -> Range<u64> {
    let (first, last) = (ranges.first(), ranges.last());
    first
        .zip(last)
        .map_or(0..0, |(first, last)| first.start..last.end)
}

/// A range in chunks.
fn chunks(range: &Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
    let end = range.end;
    let begins = (range.start..end).step_by(CHUNK as usize);
    begins.map(move |at| at..(at + CHUNK).min(end))
}

/// Parts these ranges, which were read last, by whether they are in use. A block is in use when a
/// sector of it that differs is.
fn by_use(
    reader: &Reader,
    side: usize,
    left: &[Range<u64>],
    unused: Option<&[Range<u64>]>,
) -> Vec<(Range<u64>, Option<bool>)> {
    let Some(unused) = unused else {
        return left.iter().map(|range| (range.clone(), None)).collect();
    };
    let sectors = reader.differing_sectors((0, side));
    let used = ranges::common(&sectors, &ranges::outside(unused, u64::MAX));
    let block = |sector: u64| sector - sector % BLOCK;
    let used = ranges::union(
        used.iter()
            .map(|range| block(range.start)..block(range.end + BLOCK - 1)),
    );
    let parts = [
        (ranges::common(left, &used), true),
        (
            ranges::common(left, &ranges::outside(&used, u64::MAX)),
            false,
        ),
    ];
    let mut all: Vec<_> = parts
        .into_iter()
        .flat_map(|(ranges, used)| ranges.into_iter().map(move |range| (range, Some(used))))
        .collect();
    all.sort_by_key(|(range, _): &(Range<u64>, _)| range.start);
    all
}

fn note_unread(unread: Unread, findings: &mut Findings) -> Result<()> {
    let disk = unread.place.disk;
    let known = findings
        .unread
        .iter()
        .filter(|(_, place)| place.disk == disk);
    if unread.is_late() || known.count() >= MOST_UNREAD {
        return Err(unread.error());
    }
    findings.unread.push((unread.side, unread.place));
    Ok(())
}

/// Differences that touch each other and are of the same kind, as one.
fn joined<'s>(seen: impl Iterator<Item = &'s Seen>) -> Vec<Seen> {
    let mut all: Vec<Seen> = Vec::new();
    for next in seen {
        match all.last_mut() {
            Some(last)
                if last.range.end == next.range.start
                    && (last.zeros, last.in_use, last.proven)
                        == (next.zeros, next.in_use, next.proven) =>
            {
                last.range.end = next.range.end;
            }
            _ => all.push(next.clone()),
        }
    }
    all
}

fn interrupted(path: &str, done: u64, total: Sectors) -> Error {
    let done = Sectors::new(done).unwrap_or_default();
    Error::failed(format!(
        "interrupted when {done} of {total} of '{path}' were compared"
    ))
    .on(path)
}

/// What is wrong with a volume, as errors.
fn complaints(found: &Verified) -> Vec<Error> {
    let mut wrong = Vec::new();
    for pair in &found.pairs {
        wrong.extend(differ(found, pair));
        wrong.extend(cannot_be_read(found, pair));
    }
    wrong
}

fn differ(found: &Verified, pair: &Pair) -> Option<Error> {
    let [one, other] = &pair.sides;
    let amount = |which: &dyn Fn(&&Differing) -> bool| {
        let chosen = pair.differing.iter().filter(which);
        ranges::length(&chosen.map(|d| d.range().clone()).collect::<Vec<_>>())
    };
    let (all, perhaps) = (
        amount(&|d| !d.is_allowed()),
        amount(&|d| !d.is_allowed() && d.perhaps_discarded),
    );
    if all.is_zero() {
        return None;
    }
    let path = format!("{}/{}", found.group, found.volume);
    let discarded = if perhaps.is_zero() {
        String::new()
    } else {
        format!(" ({perhaps} of it where a disk takes discards, after which this is allowed)")
    };
    let of = |plex: &Name| Of::both(&found.group, plex);
    let error = |message: String| Error::failed(message).on(&path);
    Some(if one.volume == other.volume {
        error(format!(
            "plexes '{}' and '{}' of '{path}' differ in {all}{discarded}",
            one.plex, other.plex
        ))
        .hint(
            Hint::from("which of them is right is for you to tell; the wrong one, here the second, is made equal by ")
                .line(Advised::PlexDetach(of(&other.plex)))
                .and(" and ")
                .line(Advised::PlexAttach(of(&other.plex))),
        )
    } else {
        error(format!(
            "'{path}' and its original '{}' differ in {all} that was written on neither since the split{discarded}",
            one.volume
        ))
        .hint("a snapback that copies what has changed would leave that as it is; with 'fast-resync off' it copies everything")
    })
}

fn cannot_be_read(found: &Verified, pair: &Pair) -> Option<Error> {
    let (_, place) = pair.unread.first()?;
    let path = format!("{}/{}", found.group, found.volume);
    let lost: Vec<Range<u64>> = pair.unread.iter().map(|(_, p)| p.range.clone()).collect();
    Some(
        Error::device(format!(
            "{} of '{path}' cannot be read on disk '{}' ({})",
            ranges::length(&ranges::union(lost)),
            place.media,
            place.device.display()
        ))
        .on(path)
        .hint("see the kernel's log; replace the disk"),
    )
}

const _: () = assert!(CHUNK.is_multiple_of(BLOCK) && PIECE.is_multiple_of(BLOCK));

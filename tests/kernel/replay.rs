//! Power cuts on the real kernel: everything that a series of commands writes to the private areas
//! is recorded (dm-log-writes) and replayed to every flush of every disk, and to every state that a
//! volatile cache may leave between two flushes. Each time the program's own reader has to find the
//! configuration of before or after the command that was running.
//!
//! Each disk has a recording of its own, and nothing says how two of them lay in time. Therefore
//! every combination of what the disks may hold during one command is looked at: all that a cut can
//! leave is among them, and more.

use crate::meta_common::Ram;
use crate::support::MIB;
use crate::support::lab::{Lab, until};
use crate::support::monitor::NoMonitor;
use crate::support::recorder::{Event, Recorder};
use breakoff::meta::{self, Label};
use breakoff::model::{Generation, Group};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

/// The default private area.
const AREA: u64 = 4 * MIB;
const SIZE: u64 = 32 * MIB;
const END: &str = "end";
/// More writes than that between two flushes are not taken in every combination: only formatting
/// has so many.
const FEW: usize = 3;

/// What runs; `sync` waits until the kernel has copied and that is recorded.
const COMMANDS: [&str; 22] = [
    "group create g DISK1 DISK2",
    "make w 2m",
    "group add g DISK3",
    "make v 4m --mirrors 2",
    "sync",
    "snapstart -b v",
    "snapwait v",
    "snapshot v --name s",
    "rename s t",
    "snapclear t",
    "grow w +2m",
    "plex convert --to snapdone v-02",
    "plex convert --to active v-02",
    "plex detach v-02",
    "plex attach -b v-02",
    "sync",
    "stop t",
    "start t",
    "remove t",
    "remove v w",
    "group remove-disk g disk03",
    "group destroy g",
];

/// Commands that make a disk ours or nobody's: in between it cannot be read.
fn labels_a_disk(words: &str) -> bool {
    words.starts_with("group")
}

#[test]
fn a_recording_of_the_private_areas_replayed_to_every_flush_is_before_or_after() {
    let mut lab = lab!(["mirror", "log-writes"], []);
    let recorders: Vec<Recorder> = (1..=3)
        .map(|n| Recorder::new(&lab.dm, n, SIZE).unwrap())
        .collect();
    recorders
        .iter()
        .for_each(|recorder| lab.add_disk_over(&recorder.path()));
    lab.wait_for_nodes();
    // All commits are those of the commands.
    let nobody = NoMonitor::begin();
    for (n, words) in COMMANDS.iter().enumerate() {
        recorders
            .iter()
            .for_each(|recorder| recorder.mark(&lab.dm, &n.to_string()));
        run(&lab, words);
    }
    recorders
        .iter()
        .for_each(|recorder| recorder.mark(&lab.dm, END));
    drop(nobody);

    let mut recordings: Vec<Recording> = recorders.iter().map(Recording::of).collect();
    let mut all = Tally::default();
    for words in COMMANDS {
        let paths: Vec<Path> = recordings.iter_mut().map(Recording::next).collect();
        let tally = replay(words, &paths);
        println!("{words}: {tally}");
        assert!(
            tally.generations > 0,
            "'{words}' has written nothing: nothing was shown"
        );
        all.add(&tally);
    }
    println!(
        "{} commands replayed on the kernel's own recording: {all}",
        COMMANDS.len()
    );
    drop(recorders);
    lab.finish();
}

fn run(lab: &Lab, words: &str) {
    if words == "sync" {
        return until("the plexes are equal and it is recorded", || {
            let group = lab.print("g");
            let volume = group.volume("v");
            volume.state == "ACTIVE" && volume.states() == ["ACTIVE", "ACTIVE"]
        });
    }
    let disk = |words: String, n: usize| {
        words.replace(
            &format!("DISK{}", n + 1),
            &format!("disk{:02}={}", n + 1, lab.disks[n].word()),
        )
    };
    let words = (0..lab.disks.len()).fold(words.to_owned(), disk);
    lab.cli(&format!("-y {words}")).ok();
}

// ---------------------------------------------------------------------------------------- one disk

/// What a disk may hold after a cut.
struct Cut {
    /// How many flushes that mattered had been done.
    flushes: usize,
    /// Whether nothing was written after the last of them.
    settled: bool,
    /// What the disk says of itself; `None` while it is not one of ours.
    label: Option<Label>,
    /// Why it does not say anything, or what is odd.
    odd: Vec<String>,
}

/// All that a disk may hold from the beginning of a command to its end, in order.
struct Path(Vec<Cut>);

impl Path {
    fn flushes(&self) -> usize {
        self.0.last().map_or(0, |cut| cut.flushes)
    }
}

/// The private area of a disk, and what is still to happen to it.
struct Recording {
    area: Ram,
    events: std::vec::IntoIter<Event>,
}

impl Recording {
    fn of(recorder: &Recorder) -> Recording {
        let mut events = recorder.recording(END).into_iter();
        // What was before the first command.
        events
            .by_ref()
            .take_while(|event| !matches!(event, Event::Mark(_)))
            .for_each(drop);
        Recording {
            area: Ram::front(vec![0; AREA as usize], SIZE - MIB),
            events,
        }
    }

    /// The next command, up to its mark.
    fn next(&mut self) -> Path {
        let mut cuts = vec![self.cut(0, true)];
        let mut unsynced = Vec::new();
        for event in self
            .events
            .by_ref()
            .take_while(|event| !matches!(event, Event::Mark(_)))
            .collect::<Vec<_>>()
        {
            match event {
                Event::Write(at, bytes) => unsynced.extend(in_area(at, bytes)),
                Event::Discard(at, _) => {
                    assert!(at >= MIB + AREA, "a part of the private area is discarded");
                }
                Event::Flush if !unsynced.is_empty() => {
                    let flushes = cuts.last().map_or(0, |cut: &Cut| cut.flushes);
                    cuts.extend(self.what_a_cache_leaves(&unsynced, flushes));
                    unsynced
                        .drain(..)
                        .for_each(|(at, bytes)| self.area.set(at, &bytes));
                    cuts.push(self.cut(flushes + 1, true));
                }
                Event::Flush | Event::Mark(_) => {}
            }
        }
        assert!(
            unsynced.is_empty(),
            "the command is over and not everything is flushed"
        );
        Path(cuts)
    }

    /// What the disk says now.
    fn cut(&self, flushes: usize, settled: bool) -> Cut {
        match meta::read_disk(&self.area) {
            Ok(Some(label)) => {
                // Decoded once for all the combinations that it will be in.
                label
                    .copies()
                    .iter()
                    .for_each(|copy| drop(label.group().map(|group| copy.decode(group))));
                Cut {
                    flushes,
                    settled,
                    odd: label.warnings().to_vec(),
                    label: Some(label),
                }
            }
            Ok(None) => Cut {
                flushes,
                settled,
                label: None,
                odd: vec!["it is not one of ours".into()],
            },
            Err(error) => Cut {
                flushes,
                settled,
                label: None,
                odd: vec![error.to_string()],
            },
        }
    }

    /// What it may say when writes that were not flushed are lost, kept or torn.
    fn what_a_cache_leaves(&self, unsynced: &[(u64, Vec<u8>)], flushes: usize) -> Vec<Cut> {
        let before: Vec<(u64, Vec<u8>)> = unsynced
            .iter()
            .map(|(at, bytes)| (*at, self.area.get(*at, bytes.len())))
            .collect();
        let leave = |kept: &[Kept]| {
            for (((at, new), (_, old)), kept) in unsynced.iter().zip(&before).zip(kept) {
                self.area.set(*at, &kept.of(old, new));
            }
            let cut = self.cut(flushes, false);
            before
                .iter()
                .rev()
                .for_each(|(at, old)| self.area.set(*at, old));
            cut
        };
        choices(unsynced.len())
            .iter()
            .map(|kept| leave(kept))
            .collect()
    }
}

/// A write as far as it is in the private area.
fn in_area(at: u64, bytes: Vec<u8>) -> Option<(u64, Vec<u8>)> {
    let at = at
        .checked_sub(MIB)
        .unwrap_or_else(|| panic!("a write before the disk at {at}"));
    let room = AREA.checked_sub(at).filter(|room| *room > 0)?;
    let length = bytes.len().min(room as usize);
    Some((at, bytes[..length].to_vec()))
}

/// What a cache keeps of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Nothing,
    FirstSector,
    AllButFirstSector,
    All,
}

impl Kept {
    const EACH: [Kept; 4] = [
        Kept::Nothing,
        Kept::FirstSector,
        Kept::AllButFirstSector,
        Kept::All,
    ];

    fn of(self, old: &[u8], new: &[u8]) -> Vec<u8> {
        match self {
            Kept::Nothing => old.to_vec(),
            Kept::FirstSector => [&new[..512], &old[512..]].concat(),
            Kept::AllButFirstSector => [&old[..512], &new[512..]].concat(),
            Kept::All => new.to_vec(),
        }
    }
}

/// What may be kept of so many writes: every combination of a few; of many (formatting zeroes)
/// none, all, and either half.
fn choices(writes: usize) -> Vec<Vec<Kept>> {
    if writes <= FEW {
        let more = |all: Vec<Vec<Kept>>| {
            all.iter()
                .flat_map(|one| Kept::EACH.map(|kept| [one.as_slice(), &[kept]].concat()))
                .collect()
        };
        return (0..writes).fold(vec![Vec::new()], |all, _| more(all));
    }
    let kept = |range: Range<usize>| {
        (0..writes)
            .map(|n| {
                if range.contains(&n) {
                    Kept::All
                } else {
                    Kept::Nothing
                }
            })
            .collect()
    };
    [0..0, 0..writes / 2, writes / 2..writes, 0..writes]
        .map(kept)
        .to_vec()
}

// --------------------------------------------------------------------------------------- all disks

#[derive(Default)]
struct Tally {
    flushes: usize,
    cuts: usize,
    before: usize,
    generations: usize,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.flushes += other.flushes;
        self.cuts += other.cuts;
        self.before += other.before;
        self.generations += other.generations;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let after = self.cuts - self.before;
        write!(
            f,
            "{} generations, {} flushes, {} cuts: {} before, {after} after",
            self.generations, self.flushes, self.cuts, self.before
        )
    }
}

/// What a cut leaves of the group: its generation and what an administrator sees of it; nothing
/// when there is no group.
type State = Option<(Generation, Vec<String>)>;

fn replay(words: &str, paths: &[Path]) -> Tally {
    let ends = [0, usize::MAX].map(|end| {
        state(
            words,
            &paths
                .iter()
                .map(|path| &path.0[end.min(path.0.len() - 1)])
                .collect::<Vec<_>>(),
        )
    });
    let shape = |state: &State| state.as_ref().map(|(_, shape)| shape.clone());
    let [before, after] = [shape(&ends[0]), shape(&ends[1])];
    let mut tally = Tally {
        flushes: paths.iter().map(Path::flushes).sum(),
        ..Tally::default()
    };
    let mut at_flushes: HashMap<Vec<usize>, Option<Generation>> = HashMap::new();
    let mut seen = BTreeSet::new();
    for settled in [true, false] {
        for cuts in combinations(paths).filter(|cuts| cuts.iter().all(|cut| cut.settled) == settled)
        {
            let state = state(words, &cuts);
            let generation = state.as_ref().map(|(generation, _)| *generation);
            let now = shape(&state);
            assert!(
                now == before || now == after,
                "{words}: neither\n{before:#?} nor\n{after:#?}, but {now:#?}\n{}",
                told(&cuts)
            );
            let flushes: Vec<usize> = cuts.iter().map(|cut| cut.flushes).collect();
            let earlier = earlier(&cuts, &flushes)
                .into_iter()
                .filter_map(|place| at_flushes.get(&place))
                .max()
                .copied()
                .flatten();
            assert!(
                words == "group destroy g" || generation >= earlier,
                "{words}: {earlier:?} becomes {generation:?}\n{}",
                told(&cuts)
            );
            if settled {
                at_flushes.insert(flushes, generation);
            }
            seen.insert(generation);
            tally.cuts += 1;
            tally.before += usize::from(now == before);
        }
    }
    tally.generations = seen.len() - 1;
    tally
}

/// The flushes whose state is not younger than this: the ones before each, or for something
/// unsettled the last of all.
fn earlier(cuts: &[&Cut], flushes: &[usize]) -> Vec<Vec<usize>> {
    if cuts.iter().any(|cut| !cut.settled) {
        return vec![flushes.to_vec()];
    }
    let back = |n: usize| {
        let mut place = flushes.to_vec();
        place[n] = place[n].checked_sub(1)?;
        Some(place)
    };
    (0..flushes.len()).filter_map(back).collect()
}

/// Every combination of what the disks may hold; those of one disk come in their order.
fn combinations(paths: &[Path]) -> impl Iterator<Item = Vec<&Cut>> {
    let count = paths.iter().map(|path| path.0.len()).product::<usize>();
    (0..count).map(|mut number| {
        let pick = |path: &Path| {
            let (rest, here) = (number / path.0.len(), number % path.0.len());
            number = rest;
            here
        };
        let picks: Vec<usize> = paths.iter().map(pick).collect();
        paths
            .iter()
            .zip(picks)
            .map(|(path, here)| &path.0[here])
            .collect()
    })
}

/// The configuration that the program finds.
fn state(words: &str, cuts: &[&Cut]) -> State {
    let odd = cuts
        .iter()
        .any(|cut| !cut.odd.is_empty() && cut.label.is_some());
    assert!(
        !odd || labels_a_disk(words),
        "{words}: a label is damaged\n{}",
        told(cuts)
    );
    let labels: Vec<(String, Label)> = cuts
        .iter()
        .zip(1..)
        .filter_map(|(cut, n)| Some((format!("disk{n}"), cut.label.clone()?)))
        .collect();
    let groups = meta::groups(&labels);
    assert!(groups.len() <= 1, "{words}: {groups:?}");
    let id = *groups.first()?;
    let chosen =
        meta::choose(id, &labels).unwrap_or_else(|err| panic!("{words}: {err}\n{}", told(cuts)));
    (!chosen.group.destroyed).then(|| (chosen.generation, shape(&chosen.group)))
}

fn shape(group: &Group) -> Vec<String> {
    let disks = group
        .disks
        .iter()
        .map(|disk| format!("{} {}", disk.media, disk.id));
    let volumes = group.volumes.iter().map(|v| {
        let plexes: String = v
            .plexes
            .iter()
            .map(|p| format!(" {}:{:?}", p.name, p.state))
            .collect();
        format!(
            "{} {} {} {} {}{plexes}",
            v.name,
            v.id,
            v.size,
            v.running.is_some(),
            v.origin.is_some()
        )
    });
    disks.chain(volumes).collect()
}

fn told(cuts: &[&Cut]) -> String {
    let one = |(cut, n): (&&Cut, usize)| {
        let copies: Vec<String> = cut
            .label
            .iter()
            .flat_map(|label| label.copies().iter().map(|c| c.generation().to_string()))
            .collect();
        format!(
            "disk {n} after {} flushes (settled: {}): generations {copies:?}, {:?}\n",
            cut.flushes, cut.settled, cut.odd
        )
    };
    cuts.iter().zip(1..).map(one).collect()
}

//! Where a configuration comes from, and which older copies it knows. This distinguishes parts of a
//! group that were changed independently of each other from disks that were merely away. Pure.
//!
//! Each configuration names the one that it follows by generation and digest. For every disk it
//! records what the disk may hold: exactly what was seen on it when it was last present, and what
//! has been written to it since. A disk that comes back with one of these has nothing of its own. A
//! disk that comes back with anything newer was changed elsewhere: whatever the generations are,
//! neither side knows what the other one did.
//!
//! A commit that did not reach all disks it was meant for leaves copies that no caller was told
//! about. Such a copy is recognised by a disk that it was meant for and that continued without it.
//! To make this certain, a commit that does not reach all disks it was meant for is followed by
//! another one, meant only for the disks that the first one has reached, before anything else
//! relies on it.

use crate::model::{DiskId, Generation, Group, HandoverId, Timestamp};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;

/// The most configurations that are recorded as possibly held by one disk. If there are more, the
/// oldest are covered by their generation alone.
pub const MAX_HELD: usize = 16;
/// The most removed disks that are remembered.
pub const MAX_REMOVED: usize = 128;

/// Identifies the bytes of a payload: the first half of their SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 16]);

impl Digest {
    /// The digest of the bytes of a payload.
    pub fn of(payload: &[u8]) -> Digest {
        let mut half = [0; 16];
        half.iter_mut()
            .zip(Sha256::digest(payload))
            .for_each(|(to, from)| *to = from);
        Digest(half)
    }

    /// Parses 32 lower-case hex digits; `None` for anything else.
    pub fn parse(text: &str) -> Option<Digest> {
        let valid =
            text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let digits = valid
            .then(|| u128::from_str_radix(text, 16).ok())
            .flatten()?;
        Some(Digest(digits.to_be_bytes()))
    }

    /// Identifies a configuration that is in force and not written yet: that of a group which begins
    /// with this handover.
    pub fn of_handover(id: HandoverId) -> Digest {
        Digest(id.bytes())
    }

    /// Its bytes.
    pub fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// The first 8 hex digits, which people are shown and may type.
    pub fn short(self) -> String {
        self.to_string().chars().take(8).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Identifies one configuration among all that a group ever had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// The generation of the configuration.
    pub generation: Generation,
    /// The digest of its payload.
    pub digest: Digest,
}

/// What a disk may hold without having been changed elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Past {
    /// Anything older than this generation: the disk held something as new as this when it was
    /// seen.
    pub before: Generation,
    /// Also exactly these configurations, the oldest first.
    pub holds: Vec<Stamp>,
}

impl Past {
    /// The past of a disk that was seen to hold this configuration.
    pub fn seen(stamp: Stamp) -> Past {
        Past {
            before: stamp.generation,
            holds: vec![stamp],
        }
    }

    /// Records that the disk may hold this configuration as well.
    pub fn may_hold(&mut self, stamp: Stamp) {
        if !self.holds.contains(&stamp) {
            self.holds.push(stamp);
            self.holds.sort_unstable();
        }
        while self.holds.len() > MAX_HELD {
            let oldest = self.holds.remove(0);
            self.before = self
                .before
                .max(oldest.generation.next().unwrap_or(oldest.generation));
        }
    }

    /// Records that the disk is present and holds this configuration. Newer entries are kept,
    /// because a newer copy that cannot be read now may still come to light on the disk.
    fn see(&mut self, stamp: Stamp) {
        self.holds.retain(|held| held.generation > stamp.generation);
        self.before = self.before.max(stamp.generation);
        self.may_hold(stamp);
    }

    /// Adds what another record of the same disk knows.
    fn merge(&mut self, other: &Past) {
        self.before = self.before.max(other.before);
        other.holds.iter().for_each(|stamp| self.may_hold(*stamp));
    }

    /// Whether a disk that holds this configuration has nothing of its own.
    pub fn accepts(&self, stamp: Stamp) -> bool {
        stamp.generation < self.before || self.holds.contains(&stamp)
    }
}

/// What a configuration records about one of its disks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Whether the commit was meant for the disk.
    pub here: bool,
    /// What the disk may have held before the commit.
    pub past: Past,
}

/// Where a configuration comes from. Configurations that were written before histories existed
/// (versions 1 and 2 of the payload) have none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The configuration that it follows; `None` for a new group.
    pub follows: Option<Stamp>,
    /// The time at which it was written, for people.
    pub written_at: Timestamp,
    /// What is known of each disk of the configuration.
    pub disks: BTreeMap<DiskId, Known>,
    /// Disks that were removed, in the order of their removal, so that such a disk is recognised
    /// when it comes back.
    pub removed: Vec<(DiskId, Past)>,
    /// For any other disk: anything older than this generation is not a history of its own.
    pub others: Generation,
}

impl History {
    /// Whether a disk that holds `stamp` has nothing of its own, if the group continues with this
    /// configuration.
    pub fn accepts(&self, disk: DiskId, stamp: Stamp) -> bool {
        let removed = || {
            self.removed
                .iter()
                .find(|(id, _)| *id == disk)
                .map(|(_, past)| past)
        };
        match self
            .disks
            .get(&disk)
            .map(|known| &known.past)
            .or_else(removed)
        {
            Some(past) => past.accepts(stamp),
            None => stamp.generation < self.others,
        }
    }

    /// Whether the commit was meant for this disk.
    fn was_here(&self, disk: DiskId) -> bool {
        self.disks.get(&disk).is_some_and(|known| known.here)
    }

    /// What the disk may hold now, the configuration itself (`stamp`) included; `None` for a disk
    /// that the configuration does not list.
    fn after(&self, disk: DiskId, stamp: Stamp) -> Option<Past> {
        let known = self.disks.get(&disk)?;
        let mut past = known.past.clone();
        if known.here {
            past.may_hold(stamp);
        }
        Some(past)
    }

    /// Whether no caller was ever told of what this configuration (`own`) has and another one
    /// (`other`) does not know. That is so when this configuration, and each one that it follows
    /// and the other one does not know, is an unfinished commit: a disk that the commit was meant
    /// for has something older, or continued without it.
    ///
    /// `held` returns what a present disk holds, and `None` for any other.
    pub fn is_unfinished(
        &self,
        own: Stamp,
        other: (&History, Stamp),
        held: &dyn Fn(DiskId) -> Option<Stamp>,
    ) -> bool {
        let known_there =
            |disk: DiskId, stamp: Stamp| stamp == other.1 || other.0.accepts(disk, stamp);
        let known_here = |disk: DiskId, stamp: Stamp| stamp == own || self.accepts(disk, stamp);
        // For a disk that is absent: the other side saw it with something that was never seen on it
        // by this side. Had the disk held our configuration then, the other side would know ours.
        let is_past = |disk: DiskId, stamp: Stamp| match held(disk) {
            Some(now) => {
                known_there(disk, now)
                    && (!known_here(disk, now) || now.generation < stamp.generation)
            }
            None => other.0.disks.get(&disk).is_some_and(|known| {
                let holds = &known.past.holds;
                !holds.is_empty() && holds.iter().all(|seen| !known_here(disk, *seen))
            }),
        };
        if self.contradicts(own, other, held) {
            return false;
        }
        let missed = |stamp: Stamp| {
            let meant = |known: &Known| {
                if stamp == own {
                    known.here
                } else {
                    known.past.holds.contains(&stamp)
                }
            };
            self.disks
                .iter()
                .any(|(disk, known)| meant(known) && is_past(*disk, stamp))
        };
        let held_before = self
            .disks
            .iter()
            .flat_map(|(disk, known)| known.past.holds.iter().map(|stamp| (*disk, *stamp)));
        missed(own)
            && held_before
                .filter(|(disk, stamp)| !known_there(*disk, *stamp))
                .all(|(_, stamp)| missed(stamp))
    }

    /// Whether a disk holds what it cannot hold, unless older contents were put back on it. That is
    /// so when a disk holds something of the other side (`other`) that does not know what this side
    /// saw on that disk, or when each side was meant for a disk that has the other one.
    fn contradicts(
        &self,
        own: Stamp,
        other: (&History, Stamp),
        held: &dyn Fn(DiskId) -> Option<Stamp>,
    ) -> bool {
        let accepted =
            |disk: DiskId, stamp: Stamp| stamp == other.1 || other.0.accepts(disk, stamp);
        let put_back = self.disks.iter().any(|(disk, known)| {
            match (held(*disk), known.past.holds.as_slice()) {
                (Some(now), [seen]) => {
                    now != own
                        && accepted(*disk, now)
                        && !self.accepts(*disk, now)
                        && !accepted(*disk, *seen)
                }
                _ => false,
            }
        });
        let holds = |stamp: Stamp| {
            self.disks
                .keys()
                .chain(other.0.disks.keys())
                .copied()
                .filter(move |disk| held(*disk) == Some(stamp))
        };
        put_back
            || (holds(other.1).any(|disk| self.was_here(disk))
                && holds(own).any(|disk| other.0.was_here(disk)))
    }
}

/// What the next configuration has to record about earlier ones; carried from commit to commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lineage {
    /// The configuration in force.
    pub newest: Option<Stamp>,
    /// The present time, for people.
    pub now: Timestamp,
    disks: BTreeMap<DiskId, Past>,
    removed: Vec<(DiskId, Past)>,
    others: Generation,
}

impl Lineage {
    /// The lineage of a configuration. It combines what the configuration records, what the
    /// configurations record that are given up in its favour (`dismissed`), and what the present
    /// disks hold.
    pub fn of(
        group: &Group,
        stamp: Stamp,
        history: Option<&History>,
        dismissed: &[(Stamp, &History)],
        held: &dyn Fn(DiskId) -> Option<Stamp>,
        strangers: &[(DiskId, Stamp)],
    ) -> Lineage {
        let next = stamp.generation.next().unwrap_or(stamp.generation);
        let unknown = || Past {
            before: next,
            holds: vec![stamp],
        };
        let mut lineage = Lineage {
            newest: Some(stamp),
            others: history.map_or(next, |h| h.others),
            ..Lineage::default()
        };
        lineage.removed = history.map_or_else(Vec::new, |h| h.removed.clone());
        for disk in group.disks.iter().map(|d| d.id) {
            let mut past =
                history.map_or_else(unknown, |h| h.after(disk, stamp).unwrap_or_default());
            dismissed
                .iter()
                .filter_map(|(stamp, other)| other.after(disk, *stamp))
                .for_each(|other| past.merge(&other));
            held(disk).into_iter().for_each(|stamp| past.see(stamp));
            lineage.disks.insert(disk, past);
        }
        for (disk, held) in strangers {
            let mut past = Past::default();
            dismissed
                .iter()
                .filter_map(|(stamp, other)| other.after(*disk, *stamp))
                .for_each(|other| past.merge(&other));
            past.see(*held);
            lineage.forget(*disk, past);
        }
        for (stamp, other) in dismissed {
            lineage.others = lineage.others.max(other.others);
            let gone = other
                .disks
                .keys()
                .filter(|id| group.disk(**id).is_none())
                .filter_map(|id| Some((*id, other.after(*id, *stamp)?)));
            gone.chain(other.removed.iter().cloned())
                .filter(|(id, _)| group.disk(*id).is_none())
                .for_each(|(id, past)| lineage.forget(id, past));
        }
        lineage
    }

    /// What a disk may hold, whether it is in the group or was removed from it; `None` if nothing is
    /// recorded.
    pub fn past(&self, disk: DiskId) -> Option<Past> {
        let removed = self.removed.iter().find(|(id, _)| *id == disk);
        let past = self.disks.get(&disk);
        past.or(removed.map(|(_, past)| past)).cloned()
    }

    /// Whether a disk of the group that holds this configuration has nothing of its own.
    pub fn accepts(&self, disk: DiskId, stamp: Stamp) -> bool {
        self.disks
            .get(&disk)
            .is_some_and(|past| past.accepts(stamp))
    }

    /// Adds a disk that another group has handed over, with what it may hold.
    pub fn receive(&mut self, disk: DiskId, past: Past) {
        self.removed.retain(|(id, _)| *id != disk);
        self.disks.insert(disk, past);
    }

    /// The lineage of a group that is made of copies of another one's disks. It follows what the
    /// copies hold (`stamp`), and knows all that a disk of the other group may have held until then.
    pub fn of_copies(
        stamp: Option<Stamp>,
        disks: impl Iterator<Item = DiskId>,
        now: Timestamp,
    ) -> Lineage {
        let mut lineage = Lineage {
            newest: stamp,
            now,
            ..Lineage::default()
        };
        let past = stamp.map(Past::seen).unwrap_or_default();
        disks.for_each(|disk| lineage.forget(disk, past.clone()));
        lineage
    }

    /// Remembers a disk that is no longer in the group.
    fn forget(&mut self, disk: DiskId, past: Past) {
        match self.removed.iter_mut().find(|(id, _)| *id == disk) {
            Some((_, known)) => known.merge(&past),
            None => self.removed.push((disk, past)),
        }
        while self.removed.len() > MAX_REMOVED {
            let (_, oldest) = self.removed.remove(0);
            let newest = oldest
                .holds
                .last()
                .and_then(|stamp| stamp.generation.next());
            self.others = self
                .others
                .max(oldest.before)
                .max(newest.unwrap_or_default());
        }
    }

    /// The history of the next configuration, whose commit is meant for the disks for which `here`
    /// returns true.
    pub fn history(&self, group: &Group, here: &dyn Fn(DiskId) -> bool) -> History {
        let known = |id: DiskId| Known {
            here: here(id),
            past: self.disks.get(&id).cloned().unwrap_or_default(),
        };
        let mut all = self.clone();
        self.disks
            .iter()
            .filter(|(id, _)| group.disk(**id).is_none())
            .for_each(|(id, past)| all.forget(*id, past.clone()));
        History {
            follows: self.newest,
            written_at: self.now,
            disks: group
                .disks
                .iter()
                .map(|disk| (disk.id, known(disk.id)))
                .collect(),
            removed: all.removed,
            others: all.others,
        }
    }

    /// Records that a configuration was written: the disks in `written` have it, and the disks in
    /// `unsure` may have it.
    pub fn wrote(&mut self, group: &Group, stamp: Stamp, written: &[DiskId], unsure: &[DiskId]) {
        for disk in unsure {
            self.disks.entry(*disk).or_default().may_hold(stamp);
        }
        if written.is_empty() {
            return;
        }
        self.newest = Some(stamp);
        written
            .iter()
            .for_each(|disk| drop(self.disks.insert(*disk, Past::seen(stamp))));
        let gone: Vec<DiskId> = self
            .disks
            .keys()
            .copied()
            .filter(|id| group.disk(*id).is_none())
            .collect();
        for disk in gone {
            let past = self.disks.remove(&disk).unwrap_or_default();
            self.forget(disk, past);
        }
    }
}

//! What is kept from one look to the next: how fast copies are, and the state of everything, so that
//! what changes is told as it comes.

use super::{Copying, Happened, Known, View, known, view, word};
use crate::app::{Overlooked, Overview};
use crate::model::Name;
use crate::report::time;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The time over which a rate is taken.
const WINDOW: Duration = Duration::from_secs(20);
/// How many events are kept for a screen.
const KEPT: usize = 100;

/// See the module.
#[derive(Debug, Default)]
pub struct Memory {
    /// Of each copy, when it had come how far.
    copies: BTreeMap<String, VecDeque<(Duration, u64)>>,
    /// The states at the last look; `None` before the first one.
    facts: Option<BTreeMap<Fact, String>>,
    /// The last events, the newest last.
    events: VecDeque<Happened>,
}

/// Something that has a state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Fact {
    group: String,
    kind: &'static str,
    /// As messages name it.
    path: String,
}

impl Memory {
    /// What a look shows, `at` being the time since any moment before the first one.
    pub fn take(&mut self, seen: &Overview, at: Duration) -> View {
        let known = known(seen);
        let mut shown = view(seen, &known);
        self.measure(&mut shown.copies, at);
        let now = facts(&known);
        let mut events = match self.facts.take() {
            None => recorded(seen),
            Some(before) => {
                let at = time::rfc3339(seen.at);
                let (events, unread) = compare(&before, &now, seen, &at);
                self.facts = Some(unread);
                events
            }
        };
        // What could not be read is as it was last seen.
        let mut facts = self.facts.take().unwrap_or_default();
        facts.extend(now);
        self.facts = Some(facts);
        self.events.extend(events.iter().cloned());
        while self.events.len() > KEPT {
            self.events.pop_front();
        }
        shown.events.append(&mut events);
        shown
    }

    /// The last events, the newest first.
    pub fn events(&self) -> impl Iterator<Item = &Happened> {
        self.events.iter().rev()
    }

    /// Adds the rates, and what is left at them.
    fn measure(&mut self, copies: &mut [Copying], at: Duration) {
        let mut measured = BTreeMap::new();
        for copy in copies {
            let title = format!("{} {}", copy.object, copy.plexes.join(" "));
            let mut marks = self.copies.remove(&title).unwrap_or_default();
            // A copy that has begun again has no rate yet.
            if marks.back().is_some_and(|(_, done)| *done > copy.done) {
                marks.clear();
            }
            marks.push_back((at, copy.done));
            while marks.len() > 2
                && marks
                    .front()
                    .is_some_and(|(then, _)| at.saturating_sub(*then) > WINDOW)
            {
                marks.pop_front();
            }
            copy.rate = rate(&marks);
            let left = copy.total.saturating_sub(copy.done);
            copy.left_secs = copy
                .rate
                .filter(|rate| *rate > 0)
                .map(|rate| left.div_ceil(rate));
            measured.insert(title, marks);
        }
        self.copies = measured;
    }
}

/// Bytes in a second between the first mark and the last.
fn rate(marks: &VecDeque<(Duration, u64)>) -> Option<u64> {
    let ((then, before), (now, done)) = (marks.front()?, marks.back()?);
    let millis = now.saturating_sub(*then).as_millis();
    let bytes = u128::from(done.saturating_sub(*before)) * 1000;
    u64::try_from(bytes.checked_div(millis)?).ok()
}

/// The state of everything that is told of when it changes.
fn facts(known: &[Known<'_>]) -> BTreeMap<Fact, String> {
    let mut facts = BTreeMap::new();
    for group in known {
        let mut put = |kind, path: String, state: &str| {
            let group = group.view.name.clone();
            facts.insert(Fact { group, kind, path }, state.to_owned());
        };
        put("group", group.view.name.clone(), "here");
        for disk in &group.view.disks {
            put("disk", group.path(&disk.media), disk.state);
        }
        for volume in &group.view.volumes {
            let state = word(volume.state, volume.kstate);
            let of = volume.snapshot_of.as_ref();
            let state = of.map_or(state.to_owned(), |of| {
                format!("{state}, snapshot of '{of}'")
            });
            put("volume", group.path(&volume.name), &state);
            for plex in &volume.plexes {
                let bad = plex.health.filter(|health| *health != "alive");
                let state = bad.map_or(plex.state.to_owned(), |bad| {
                    format!("{} ({bad})", plex.state)
                });
                put("plex", group.path(&plex.name), &state);
            }
        }
    }
    facts
}

/// What has changed, and the states of what could not be read this time.
fn compare(
    before: &BTreeMap<Fact, String>,
    now: &BTreeMap<Fact, String>,
    seen: &Overview,
    at: &str,
) -> (Vec<Happened>, BTreeMap<Fact, String>) {
    let is_unread = |fact: &Fact| seen.unread.iter().any(|(name, _)| *name == fact.group);
    let happened = |fact: &Fact, what: String| Happened {
        at: at.to_owned(),
        object: fact.path.clone(),
        text: format!("{} '{}' {what}", fact.kind, fact.path),
    };
    let mut events = Vec::new();
    let mut unread = BTreeMap::new();
    for (fact, was) in before {
        match now.get(fact) {
            None if is_unread(fact) => {
                unread.insert(fact.clone(), was.clone());
            }
            None => events.push(happened(fact, "is gone".to_owned())),
            Some(state) if state != was => {
                events.push(happened(fact, format!("is {state}, was {was}")));
            }
            Some(_) => {}
        }
    }
    let new = now.iter().filter(|(fact, _)| !before.contains_key(fact));
    events.extend(new.map(|(fact, state)| happened(fact, format!("is new: {state}"))));
    (events, unread)
}

/// What the configurations record of earlier failures.
fn recorded(seen: &Overview) -> Vec<Happened> {
    let lost = seen.groups.iter().flat_map(Overlooked::lost_legs);
    let mut lost: Vec<_> = lost.collect();
    lost.sort_by_key(|(path, leg)| (leg.at, path.clone()));
    let told = lost.into_iter().map(|(path, leg)| {
        let media: Vec<&str> = leg.media.iter().map(Name::as_str).collect();
        Happened {
            at: time::rfc3339(leg.at),
            text: format!(
                "snapshot leg '{}' of '{path}' on {} failed and was removed",
                leg.plex,
                media.join(",")
            ),
            object: path,
        }
    });
    told.collect()
}

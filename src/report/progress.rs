//! Progress without a terminal: decides which lines are worth writing to a log.
//!
//! There is a line when a copy is first seen, then at each tenth but not more often than every few
//! seconds, and when the copy is complete.

use crate::app::Progress;
use crate::model::Name;
use std::collections::BTreeMap;
use std::time::Duration;

/// The least time between two lines of one copy, the last one excepted.
const PAUSE: Duration = Duration::from_secs(3);

/// What has been reported of each copy.
#[derive(Debug, Default)]
pub struct Milestones {
    copies: BTreeMap<String, Said>,
}

#[derive(Debug)]
struct Said {
    tenth: u64,
    at: Duration,
    last: Progress,
}

/// The name of a copy: the volume with the plexes that are being filled.
pub fn title(copy: &Progress) -> String {
    let legs: Vec<&str> = copy.legs.iter().map(Name::as_str).collect();
    format!("{} ({})", copy.object, legs.join(", "))
}

impl Milestones {
    /// The lines that are due now, `at` being the time since the start.
    pub fn due(&mut self, copies: &[Progress], at: Duration) -> Vec<String> {
        copies
            .iter()
            .filter_map(|copy| self.one(copy, at))
            .collect()
    }

    fn one(&mut self, copy: &Progress, at: Duration) -> Option<String> {
        let tenth = tenth(copy);
        let Some(said) = self.copies.get_mut(&title(copy)) else {
            self.copies.insert(
                title(copy),
                Said {
                    tenth,
                    at,
                    last: copy.clone(),
                },
            );
            return Some(line(copy));
        };
        said.last = copy.clone();
        let due = tenth > said.tenth && (tenth == 10 || at >= said.at + PAUSE);
        due.then(|| {
            (said.tenth, said.at) = (tenth, at);
            line(copy)
        })
    }

    /// Forgets all copies; returns a line for each one that has moved since its last line.
    pub fn end(&mut self) -> Vec<String> {
        let copies = std::mem::take(&mut self.copies).into_values();
        copies
            .filter(|said| tenth(&said.last) > said.tenth)
            .map(|said| line(&said.last))
            .collect()
    }
}

fn tenth(copy: &Progress) -> u64 {
    percent(copy) / 10
}

/// Whole per cent; 100 only when nothing is left to copy.
fn percent(copy: &Progress) -> u64 {
    super::view::SyncView {
        done: copy.done.bytes(),
        total: copy.total.bytes(),
    }
    .percent()
}

fn line(copy: &Progress) -> String {
    format!("{}: {}% of {}", title(copy), percent(copy), copy.total)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::Sectors;

    fn at(percent: u32) -> Vec<Progress> {
        let (done, total) = (Sectors::mib(percent), Sectors::mib(100));
        vec![Progress {
            object: "g/v".into(),
            legs: vec![Name::parse("v-02").unwrap()],
            done,
            total,
        }]
    }

    fn said(copies: &[(u32, u64)]) -> Vec<String> {
        let mut milestones = Milestones::default();
        let mut lines: Vec<String> = copies
            .iter()
            .flat_map(|(percent, secs)| milestones.due(&at(*percent), Duration::from_secs(*secs)))
            .collect();
        lines.extend(milestones.end());
        lines
            .iter()
            .map(|line| line.replace("g/v (v-02): ", "").replace(" of 100m", ""))
            .collect()
    }

    #[test]
    fn a_slow_copy_speaks_at_each_tenth() {
        assert_eq!(
            said(&[(0, 0), (5, 10), (11, 20), (12, 30), (31, 40), (100, 50)]),
            ["0%", "11%", "31%", "100%"]
        );
    }

    #[test]
    fn a_fast_copy_speaks_at_both_ends() {
        assert_eq!(said(&[(0, 0), (30, 1), (60, 2), (100, 2)]), ["0%", "100%"]);
    }

    #[test]
    fn what_moved_unsaid_is_said_at_the_end_and_nothing_twice() {
        assert_eq!(said(&[(0, 0), (45, 1)]), ["0%", "45%"]);
        assert_eq!(said(&[(7, 0), (8, 60)]), ["7%"]);
        assert_eq!(said(&[(100, 0), (100, 60)]), ["100%"]);
    }
}

//! What the benchmarks that have targets share: a row for each piece of work, measured for breakoff
//! and for others in turns in one run, and its target. A benchmark prints its rows as a table and,
//! for `scripts/bench all`, as lines of JSON.

#![allow(dead_code, clippy::print_stdout)] // each benchmark uses its own part of it

use serde::{Deserialize, Serialize};

/// Lines of JSON begin with this.
pub const JSON: &str = "json: ";

/// Which of the values of one piece of work counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Which {
    Median,
    Worst,
}

/// What was measured of one program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    pub name: String,
    pub median: f64,
    pub worst: f64,
    /// How often it was measured.
    pub times: usize,
}

impl Measured {
    fn value(&self, which: Which) -> f64 {
        match which {
            Which::Median => self.median,
            Which::Worst => self.worst,
        }
    }
}

/// What breakoff's value may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// At most so many times the least value of these.
    Times { most: f64, than: Vec<String> },
    /// At most this.
    AtMost { most: f64 },
}

/// One piece of work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub work: String,
    /// The unit of the values, such as `ms`; empty for a number.
    pub unit: String,
    pub which: Which,
    /// breakoff first.
    pub measured: Vec<Measured>,
    pub target: Target,
}

impl Row {
    /// Work that breakoff was measured at; a number of calls counts like a time.
    pub fn new(work: impl Into<String>, unit: &str, ours: &[f64]) -> Row {
        let row = Row {
            work: work.into(),
            unit: unit.to_owned(),
            which: Which::Median,
            measured: Vec::new(),
            target: Target::AtMost { most: f64::MAX },
        };
        row.beside("breakoff", ours)
    }

    /// Another program that was measured at the same.
    pub fn beside(mut self, name: &str, values: &[f64]) -> Row {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        self.measured.push(Measured {
            name: name.to_owned(),
            median: sorted[sorted.len() / 2],
            worst: sorted[sorted.len() - 1],
            times: sorted.len(),
        });
        self
    }

    /// The worst value counts, not the median.
    pub fn worst(mut self) -> Row {
        self.which = Which::Worst;
        self
    }

    /// It should take at most so many times as long as the fastest of these.
    pub fn times(mut self, most: f64, than: &[&str]) -> Row {
        let than = than.iter().map(|name| (*name).to_owned()).collect();
        self.target = Target::Times { most, than };
        self
    }

    pub fn at_most(mut self, most: f64) -> Row {
        self.target = Target::AtMost { most };
        self
    }

    pub fn ours(&self) -> f64 {
        self.measured[0].value(self.which)
    }

    pub fn of(&self, name: &str) -> Option<f64> {
        let known = self.measured.iter().find(|known| known.name == name);
        known.map(|known| known.value(self.which))
    }

    /// breakoff's value to that of the fastest of those it is compared with.
    pub fn ratio(&self) -> Option<f64> {
        let Target::Times { than, .. } = &self.target else {
            return None;
        };
        let least = than.iter().filter_map(|name| self.of(name));
        Some(self.ours() / least.min_by(f64::total_cmp)?)
    }

    pub fn is_met(&self) -> bool {
        match &self.target {
            Target::Times { most, .. } => self.ratio().is_some_and(|ratio| ratio <= *most),
            Target::AtMost { most } => self.ours() <= *most,
        }
    }

    /// A value with its unit.
    pub fn shown(&self, value: f64) -> String {
        match self.unit.as_str() {
            "" => format!("{value:.0}"),
            "s" => format!("{value:.2} s"),
            unit => format!("{value:.1} {unit}"),
        }
    }

    /// The target in words.
    pub fn aim(&self) -> String {
        match &self.target {
            Target::Times { most, than } => format!("≤ {most:.2} × {}", than.join(", ")),
            Target::AtMost { most } => format!("≤ {}", self.shown(*most)),
        }
    }

    pub fn verdict(&self) -> &'static str {
        if self.is_met() { "met" } else { "missed" }
    }
}

/// The rows as a table: one column for each program.
pub fn table(rows: &[Row]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for measured in rows.iter().flat_map(|row| &row.measured) {
        if !names.contains(&measured.name.as_str()) {
            names.push(&measured.name);
        }
    }
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::ASCII_MARKDOWN);
    let head = ["work", "value"].into_iter().chain(names.iter().copied());
    table.set_header(head.chain(["ratio", "target", ""]));
    for row in rows {
        let which = match row.which {
            Which::Median => "median",
            Which::Worst => "worst",
        };
        let mut cells = vec![
            row.work.clone(),
            format!("{which} of {}", row.measured[0].times),
        ];
        cells.extend(names.iter().map(|name| {
            row.of(name)
                .map_or_else(|| "–".to_owned(), |value| row.shown(value))
        }));
        let ratio = row.ratio();
        cells.push(ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}")));
        cells.extend([row.aim(), row.verdict().to_owned()]);
        table.add_row(cells);
    }
    table.to_string()
}

/// Prints the rows of a benchmark.
pub fn report(bench: &str, about: &str, rows: &[Row]) {
    println!("\n{bench}: {about}\n\n{}\n", table(rows));
    for row in rows {
        println!(
            "{JSON}{}",
            serde_json::to_string(row).expect("a row is plain data")
        );
    }
}

//! Puts together what the benchmarks with targets have measured: as a table, as JSON and as a
//! picture. `scripts/bench all` runs it, with the directory for the results and the logs of the
//! benchmarks as arguments. Exit status 1 when a target is missed.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use common::{JSON, Row, Target};
use std::path::Path;
use std::process::ExitCode;
use svg::Document;
use svg::node::element::{Line, Rectangle, Style, Text};

fn main() -> ExitCode {
    // cargo adds an argument of its own.
    let words = std::env::args().skip(1).filter(|word| word != "--bench");
    let words: Vec<String> = words.collect();
    let Some((directory, logs)) = words.split_first() else {
        println!("scripts/bench all runs this");
        return ExitCode::SUCCESS;
    };
    let rows: Vec<Row> = logs
        .iter()
        .flat_map(|log| rows_of(Path::new(log)))
        .collect();
    assert!(!rows.is_empty(), "nothing was measured");
    let text = common::table(&rows);
    let directory = Path::new(directory);
    std::fs::write(directory.join("all.txt"), format!("{text}\n")).unwrap();
    let json = serde_json::to_string_pretty(&rows).unwrap();
    std::fs::write(directory.join("all.json"), format!("{json}\n")).unwrap();
    svg::save(directory.join("all.svg"), &picture(&rows)).unwrap();
    let missed = rows.iter().filter(|row| !row.is_met()).count();
    println!("{text}\n\n{missed} of {} targets missed", rows.len());
    ExitCode::from(u8::from(missed > 0))
}

fn rows_of(log: &Path) -> Vec<Row> {
    let text = std::fs::read_to_string(log).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix(JSON));
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The height of a bar, the width of the longest one, where the bars begin, and the height of what
/// is above the bars of a row.
const BAR: f64 = 14.0;
const LONGEST: f64 = 420.0;
const LEFT: f64 = 90.0;
const HEAD: f64 = 26.0;
const STYLE: &str = "text { font: 12px sans-serif; } .work { font-weight: bold; }";

/// For each row a bar for each program, and a line where breakoff's should end.
fn picture(rows: &[Row]) -> Document {
    let mut document = Document::new().add(Style::new(STYLE));
    let mut y = 10.0;
    for row in rows {
        let values: Vec<(&str, f64)> = row
            .measured
            .iter()
            .map(|measured| (measured.name.as_str(), row.of(&measured.name).unwrap()))
            .collect();
        let aim = aim(row);
        let most = values.iter().map(|(_, value)| *value).chain([aim]);
        let scale = LONGEST / most.fold(f64::MIN_POSITIVE, f64::max);
        let head = format!("{}: target {}, {}", row.work, row.aim(), row.verdict());
        document = document.add(text(10.0, y + 14.0, &head).set("class", "work"));
        y += HEAD;
        for (name, value) in &values {
            let colour = match (*name, row.is_met()) {
                ("breakoff", true) => "#2a7a3b",
                ("breakoff", false) => "#b3401f",
                _ => "#9aa5b1",
            };
            let bar = Rectangle::new()
                .set("x", LEFT)
                .set("y", y)
                .set("width", (value.max(0.0) * scale).max(1.0))
                .set("height", BAR - 2.0)
                .set("fill", colour);
            let end = LEFT + value.max(0.0) * scale + 6.0;
            document = document
                .add(text(10.0, y + BAR - 4.0, name))
                .add(bar)
                .add(text(end, y + BAR - 4.0, &row.shown(*value)));
            y += BAR;
        }
        let x = LEFT + aim * scale;
        let line = Line::new()
            .set("x1", x)
            .set("x2", x)
            .set("y1", y - BAR * values.len() as f64 - 3.0)
            .set("y2", y)
            .set("stroke", "#000")
            .set("stroke-dasharray", "3 2");
        document = document.add(line);
        y += 8.0;
    }
    let width = LEFT + LONGEST + 120.0;
    document
        .set("viewBox", (0.0, 0.0, width, y + 10.0))
        .set("width", width)
        .set("height", y + 10.0)
}

/// The most that breakoff's value may be.
fn aim(row: &Row) -> f64 {
    match &row.target {
        Target::AtMost { most } => *most,
        Target::Times { most, than } => {
            let least = than.iter().filter_map(|name| row.of(name));
            most * least.fold(f64::MAX, f64::min)
        }
    }
}

fn text(x: f64, y: f64, what: &str) -> Text {
    Text::new(what).set("x", x).set("y", y)
}

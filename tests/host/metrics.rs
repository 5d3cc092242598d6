//! `metrics`: the text is what Prometheus reads, it says what is so, and its names are documented
//! and are those of the dashboard.

use crate::cli_support::golden;
use crate::cli_support::world::{name, tracked};
use crate::fake::script::World;
use crate::fake::{Fake, Words};
use crate::pure::golden::assert_section;
use breakoff::app::{Counted, CounterLine, Measured, Metrics, Outcome};
use breakoff::cli::native::hints::Native;
use breakoff::error::{Error, Kind};
use breakoff::meta::Fill;
use breakoff::model::DiskId;
use breakoff::report::metrics::{FAMILIES, Family};
use breakoff::report::{json, text};
use breakoff::sys::disk::Counters;
use breakoff::sys::lock;
use breakoff::sys::machine::Machine;
use breakoff::table::era;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The labels of a sample.
type Labels = BTreeMap<String, String>;
/// What a scrape reads: the samples by metric and labels.
type Read = BTreeMap<(String, Labels), f64>;

/// Reads the text as Prometheus does, and strictly: each family once, its two comments first; no
/// sample twice; no timestamp.
fn read(text: &str) -> Result<Read, String> {
    let mut found = Read::new();
    let mut families: BTreeSet<String> = BTreeSet::new();
    let mut now = String::new();
    let mut lines = text.split_terminator('\n');
    if !text.ends_with('\n') {
        return Err("the last line has no end".to_owned());
    }
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (family, words) = help.split_once(' ').ok_or("a help without words")?;
            let kind = lines.next().and_then(|line| line.strip_prefix("# TYPE "));
            let kind = kind.and_then(|kind| kind.strip_prefix(family));
            if !matches!(kind, Some(" gauge" | " counter")) || words.is_empty() {
                return Err(format!("{family} has no type"));
            }
            if !families.insert(family.to_owned()) {
                return Err(format!("{family} is there twice"));
            }
            family.clone_into(&mut now);
            continue;
        }
        let (sample, labels, value) = sample(line)?;
        let number: f64 = value.parse().map_err(|_| format!("no number: {line}"))?;
        if sample != now {
            return Err(format!("{sample} is not among its own: {line}"));
        }
        if found.insert((sample, labels), number).is_some() {
            return Err(format!("twice: {line}"));
        }
    }
    Ok(found)
}

/// `name{label="value",…} number`
fn sample(line: &str) -> Result<(String, Labels, String), String> {
    let bad = || format!("no sample: {line:?}");
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = line.find(|c| !is_name(c)).ok_or_else(bad)?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").ok_or_else(bad)?;
            let mut value = String::new();
            let mut chars = after.char_indices();
            let end = loop {
                match chars.next().ok_or_else(bad)? {
                    (at, '"') => break at + 1,
                    (_, '\\') => match chars.next().ok_or_else(bad)?.1 {
                        'n' => value.push('\n'),
                        c @ ('"' | '\\') => value.push(c),
                        _ => return Err(bad()),
                    },
                    (_, c) => value.push(c),
                }
            };
            if !label.chars().all(is_name) || labels.insert(label.to_owned(), value).is_some() {
                return Err(bad());
            }
            rest = &after[end..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').ok_or_else(bad)?;
    }
    let value = rest.strip_prefix(' ').ok_or_else(bad)?;
    Ok((name.to_owned(), labels, value.to_owned()))
}

/// The value of the only sample of a metric that has these labels, besides others.
#[track_caller]
fn only(found: &Read, metric: &str, labels: &[(&str, &str)]) -> f64 {
    let has = |all: &Labels| {
        let mut labels = labels.iter();
        labels.all(|(label, value)| all.get(*label).is_some_and(|v| v == value))
    };
    let samples: Vec<f64> = found
        .iter()
        .filter(|((name, all), _)| name == metric && has(all))
        .map(|(_, value)| *value)
        .collect();
    assert_eq!(samples.len(), 1, "{metric} {labels:?}: {samples:?}");
    samples[0]
}

fn has(found: &Read, metric: &str) -> bool {
    found.keys().any(|(name, _)| name == metric)
}

/// Everything that there can be.
fn measured() -> Metrics {
    let world = tracked();
    let counters = |of, n| CounterLine {
        group: name("pay"),
        of,
        counters: Counters {
            reads: n,
            sectors_read: 8 * n,
            read_ms: 1500 * n,
            writes: 10 * n,
            sectors_written: 80 * n,
            write_ms: n,
        },
    };
    let maps = ["paydb", "SNAP-paydb"].map(|volume| {
        let id = world.group.volume_named(&name(volume)).unwrap().id;
        let (used, total) = (11, 512);
        (id, era::Fill { used, total })
    });
    let group = Measured {
        fill: Some(Fill {
            used: 12_345,
            capacity: 2 << 20,
        }),
        outdated: vec![DiskId::from_bytes([0xd2; 16])],
        findings: 3,
        counters: vec![
            counters(Counted::Volume(name("paydb")), 1),
            counters(Counted::Plex(name("paydb"), name("paydb-01")), 2),
            counters(Counted::Disk(name("disk01")), 3),
        ],
        maps: maps.into(),
        world,
    };
    Metrics {
        groups: [("pay".to_owned(), group)].into(),
        down: ["lost".to_owned()].into(),
        is_complete: false,
        monitor: Some(true),
        unreadable: 1,
        unanswered: 2,
        took: Duration::from_micros(12_340),
    }
}

fn text_of(found: Metrics) -> String {
    text::outcome(&Outcome::Metrics(Box::new(found)), false)
}

#[test]
fn all_that_there_can_be() {
    let all = text_of(measured());
    golden("metrics.txt", &all);
    let found = read(&all).unwrap();
    // Each line of the table is somewhere in it.
    let missing: Vec<&str> = FAMILIES
        .iter()
        .map(|family| family.name)
        .filter(|name| !has(&found, name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    // Each thing is in one state, and that is one of those that there are.
    let mut sums: BTreeMap<(String, Labels), f64> = BTreeMap::new();
    for ((metric, labels), value) in &found {
        let mut labels = labels.clone();
        let is_state = labels.remove("state").is_some() | labels.remove("health").is_some();
        if is_state {
            *sums.entry((metric.clone(), labels)).or_default() += value;
        }
    }
    assert!(
        sums.len() > 30 && sums.values().all(|sum| *sum == 1.0),
        "{sums:?}"
    );
    let document = json::success(Some("metrics"), &Outcome::Metrics(Box::new(measured())));
    let document: serde_json::Value = serde_json::from_str(&document.unwrap()).unwrap();
    let families = document["result"]["metrics"].as_array().unwrap().clone();
    let mut same = Read::new();
    for family in families {
        for sample in family["samples"].as_array().unwrap() {
            let labels = serde_json::from_value(sample["labels"].clone()).unwrap();
            let name = family["name"].as_str().unwrap().to_owned();
            same.insert((name, labels), sample["value"].as_f64().unwrap());
        }
    }
    assert_eq!(found, same, "the document says something else");
}

#[test]
fn names_follow_the_conventions() {
    let mut names = BTreeSet::new();
    for Family {
        name,
        kind,
        labels,
        help,
    } in FAMILIES
    {
        assert!(names.insert(name), "{name} is there twice");
        assert!(name.starts_with("breakoff_"), "{name}");
        assert_eq!(*kind == "counter", name.ends_with("_total"), "{name}");
        assert!(["gauge", "counter"].contains(kind), "{name}");
        let units = ["_ms", "_us", "_milliseconds", "_kb", "_mb", "_percent"];
        let base = name.strip_suffix("_total").unwrap_or(name);
        assert!(!units.iter().any(|unit| base.ends_with(unit)), "{name}");
        assert!(help.ends_with('.') && !help.contains('\n'), "{name}");
        for suffix in ["bytes", "seconds"] {
            assert!(!name.contains(suffix) || base.ends_with(suffix), "{name}");
        }
        let unique: BTreeSet<_> = labels.iter().collect();
        assert!(unique.len() == labels.len() && !labels.contains(&"le"));
        assert!(!labels.iter().any(|label| label.starts_with("__")));
    }
}

/// Anything, with what has to be escaped more often than by chance.
fn wild() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("\\".to_owned()),
        Just("\"".to_owned()),
        Just("\n".to_owned()),
        Just("\\n".to_owned()),
        Just("\",x=\"".to_owned()),
        Just("} 1\n".to_owned()),
        any::<String>(),
    ];
    proptest::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn whatever_things_are_called_they_are_read_as_they_are(
        group in wild(),
        down in wild(),
        device in wild(),
    ) {
        let mut found = measured();
        let mut measured = found.groups.remove("pay").unwrap();
        let disk = measured.world.disks.values_mut().next().unwrap();
        disk.path = PathBuf::from(&device);
        found.groups.insert(group.clone(), measured);
        found.down = [format!("{down}!")].into();
        let read = read(&text_of(found)).map_err(TestCaseError::fail)?;
        let down = format!("{down}!");
        if down != group {
            prop_assert_eq!(only(&read, "breakoff_group_up", &[("group", &down)]), 0.0);
        }
        let labels = [("group", group.as_str()), ("disk", "disk01"), ("device", &device)];
        prop_assert_eq!(only(&read, "breakoff_disk_info", &labels), 1.0);
    }
}

/// What a command line shows, with the error of what is missing.
#[track_caller]
fn shown(fake: &Fake, command: &str) -> (Read, Vec<Error>) {
    let came = fake.run(&Words::parse(command)).unwrap();
    let (outcome, wrong) = match came.unwrap_or_else(|error| panic!("{command}: {error}")) {
        Outcome::Lacking(shown, wrong) => (*shown, wrong),
        shown => (shown, Vec::new()),
    };
    let text = text::outcome(&outcome, false);
    let found = read(&text).unwrap_or_else(|why| panic!("{why}\n{text}"));
    (found, wrong)
}

#[test]
fn a_copy_a_dead_leg_and_a_snapshot() {
    let script = [
        "group create g /dev/fake1 /dev/fake2 /dev/fake3 /dev/fake4",
        "make v 16m --mirrors 2 --on disk01,disk02",
        "sync",
        "snapstart -b v",
        "sync",
        "snapshot v --name s",
        "make w 16m --on disk03",
        "snapstart -b w",
        "region",
    ];
    let fake = World::new("metrics", 4, &script).fake;
    let before = fake.group();
    let (found, wrong) = shown(&fake, "metrics");
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(fake.group(), before, "nothing is recorded");
    let is = |metric: &str, labels: &[(&str, &str)]| only(&found, metric, labels);
    assert_eq!(is("breakoff_up", &[]), 1.0);
    assert_eq!(is("breakoff_monitor_running", &[]), 0.0);
    assert_eq!(is("breakoff_group_up", &[("group", "g")]), 1.0);
    let (size, synced) = (
        is("breakoff_plex_size_bytes", &[("plex", "w-02")]),
        is("breakoff_plex_synced_bytes", &[("plex", "w-02")]),
    );
    assert!(synced > 0.0 && synced < size, "{synced} of {size}");
    let w = [("device", "g-w")];
    let (done, total) = (
        is("breakoff_mirror_synced_regions", &w),
        is("breakoff_mirror_regions", &w),
    );
    assert!(done >= 1.0 && done < total, "{done} of {total}");
    let state = |plex, state| is("breakoff_plex_state", &[("plex", plex), ("state", state)]);
    assert_eq!(state("w-02", "SNAPATT"), 1.0);
    assert_eq!(state("w-02", "SNAPDONE"), 0.0);
    assert_eq!(state("v-01", "ACTIVE"), 1.0);
    let split = is(
        "breakoff_snapshot_taken_timestamp_seconds",
        &[("snapshot", "s")],
    );
    assert!((1.7e9..1.8e9).contains(&split), "{split}");
    assert_eq!(is("breakoff_snapshot_tracked", &[]), 1.0);
    assert!(!has(&found, "breakoff_snapshot_changed_bytes"));
    assert_eq!(is("breakoff_volume_log_present", &[("volume", "v")]), 1.0);

    // A leg fails, and nobody has taken it out yet.
    fake.0.borrow_mut().disks[1].dead = true;
    (0..8).for_each(|_| fake.0.borrow_mut().writers_write());
    let (found, _) = shown(&fake, "metrics");
    let failed = |device| only(&found, "breakoff_mirror_failed_legs", &[("device", device)]);
    let v = found
        .keys()
        .filter(|(name, _)| name == "breakoff_mirror_failed_legs")
        .map(|(_, labels)| failed(labels["device"].as_str()));
    assert_eq!(v.sum::<f64>(), 1.0, "{found:?}");
    assert_eq!(
        only(&found, "breakoff_volume_failed_plexes", &[("volume", "v")]),
        1.0
    );
    let of = [("disk", "disk02"), ("state", "missing")];
    assert_eq!(only(&found, "breakoff_disk_state", &of), 1.0);
    assert!(only(&found, "breakoff_group_findings", &[]) > 0.0);
    // Then it is.
    fake.ok("recover");
    let (found, _) = shown(&fake, "metrics");
    let of = [("plex", "v-02"), ("state", "FAILED")];
    assert_eq!(only(&found, "breakoff_plex_state", &of), 1.0);
}

#[test]
fn what_has_changed_is_read_on_demand_and_only_from_groups_at_rest() {
    let script = [
        "group create g /dev/fake1 /dev/fake2 /dev/fake3",
        "make v 16m",
        "snapstart -b v",
        "sync",
        "snapshot v --name s",
        "write",
    ];
    let fake = World::new("metrics", 3, &script).fake;
    let changed = "breakoff_snapshot_changed_bytes";
    assert!(!has(&shown(&fake, "metrics").0, changed));
    let (found, wrong) = shown(&fake, "metrics --changes");
    assert!(wrong.is_empty(), "{wrong:?}");
    let side = |side| only(&found, changed, &[("side", side)]);
    let (original, snapshot) = (side("original"), side("snapshot"));
    let either = only(&found, "breakoff_snapshot_differing_bytes", &[]);
    assert!(original > 0.0, "{original}");
    assert!(either >= original.max(snapshot) && either <= original + snapshot);

    // A command is at work. It is not waited for, and everything else is said.
    for command in ["metrics", "metrics --changes"] {
        let held = fake.lock("g", None, &|_| ()).unwrap();
        let (found, wrong) = shown(&fake, command);
        drop(held);
        assert!(wrong.is_empty(), "{command}: {wrong:?}");
        assert_eq!(only(&found, "breakoff_group_up", &[]), 1.0);
        assert!(!has(&found, changed), "{command}");
    }
}

#[test]
fn whether_a_monitor_runs_is_seen_and_none_is_started() {
    let script = [
        "group create g /dev/fake1 /dev/fake2",
        "make v 8m --mirrors 2",
    ];
    let fake = World::new("metrics", 2, &script).fake;
    let runs = |fake: &Fake| only(&shown(fake, "metrics").0, "breakoff_monitor_running", &[]);
    assert_eq!(runs(&fake), 0.0);
    let held = fake.lock(lock::MONITOR, None, &|_| ()).unwrap();
    assert_eq!(runs(&fake), 1.0);
    drop(held);
    assert_eq!(
        only(&shown(&fake, "metrics").0, "breakoff_group_mirrors", &[]),
        1.0
    );
}

#[test]
fn a_group_that_cannot_be_read_does_not_take_the_others_along() {
    let script = [
        "group create g /dev/fake1",
        "group create h /dev/fake2",
        "-g h make v 8m",
        "bare2",
    ];
    let fake = World::new("metrics", 2, &script).fake;
    let (found, wrong) = shown(&fake, "metrics");
    assert_eq!(only(&found, "breakoff_up", &[]), 0.0);
    let up = |group| only(&found, "breakoff_group_up", &[("group", group)]);
    assert_eq!((up("g"), up("h")), (1.0, 0.0));
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert_eq!(wrong[0].kind(), Kind::Device, "{wrong:?}");
    assert!(wrong[0].hint_text(&Native).is_some());
    let (found, wrong) = shown(&fake, "-g g metrics");
    assert!(
        wrong.is_empty()
            && !found
                .keys()
                .any(|(_, labels)| labels.values().any(|v| v == "h"))
    );
    let (found, wrong) = shown(&fake, "-g nosuch metrics");
    assert_eq!(wrong[0].kind(), Kind::NotFound);
    assert_eq!(only(&found, "breakoff_up", &[]), 0.0);
}

/// The program itself: what is wrong is in the file all the same.
#[test]
fn the_file_is_written_whatever_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("breakoff.prom");
    let run = |file: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_breakoff"))
            .args(["metrics", "--output"])
            .arg(file)
            .env("BREAKOFF_RUN_DIR", directory.path())
            .output()
            .unwrap();
        assert!(output.stdout.is_empty(), "{output:?}");
        output
    };
    let output = run(&file);
    let found = read(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(
        only(&found, "breakoff_up", &[]) == 1.0,
        output.status.success(),
        "{output:?}"
    );
    assert_eq!(
        only(
            &found,
            "breakoff_build_info",
            &[("version", env!("CARGO_PKG_VERSION"))]
        ),
        1.0
    );
    let output = run(&directory.path().join("no/such"));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be written"));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The tables of `docs/metrics.md`.
fn page() -> String {
    let mut page = String::new();
    let mut section = "";
    for family in FAMILIES {
        let Family {
            name,
            kind,
            labels,
            help,
        } = family;
        let now = match labels {
            [] | ["version"] => "The whole",
            ["group", ..] if name.starts_with("breakoff_group_") => "Groups",
            ["group", "disk", ..] => "Disks",
            ["group", "volume", "plex", ..] => "Plexes",
            ["group", "volume", ..] => "Volumes",
            ["group", "device"] => "Mirrors in the kernel",
            _ => "Snapshots",
        };
        if now != section {
            page += &format!("\n### {now}\n\n| metric | type | labels | |\n|---|---|---|---|\n");
            section = now;
        }
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        page += &format!("| `{name}` | {kind} | {} | {help} |\n", labels.join(", "));
    }
    page + "\n"
}

#[test]
fn the_page_is_made_from_the_table() {
    assert_section("docs/metrics.md", "metrics", &page());
    let text = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    // What else the page names exists, too.
    let known: BTreeSet<&str> = FAMILIES.iter().map(|family| family.name).collect();
    assert!(
        names_in(&text)
            .iter()
            .all(|name| known.contains(name.as_str()))
    );
}

/// The names of metrics in a text.
fn names_in(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("breakoff_"))
        .map(str::to_owned)
        .collect()
}

/// All values of this key, at any depth.
fn values_of<'v>(value: &'v serde_json::Value, key: &str, found: &mut Vec<&'v serde_json::Value>) {
    match value {
        serde_json::Value::Object(map) => {
            found.extend(map.get(key));
            map.values().for_each(|inner| values_of(inner, key, found));
        }
        serde_json::Value::Array(list) => {
            list.iter().for_each(|inner| values_of(inner, key, found));
        }
        _ => {}
    }
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are_with_labels_that_they_have() {
    let text = fs::read_to_string(root().join("dist/grafana/breakoff.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let known: BTreeMap<&str, &Family> = FAMILIES.iter().map(|f| (f.name, f)).collect();
    let mut queries = Vec::new();
    for key in ["expr", "query", "definition"] {
        values_of(&dashboard, key, &mut queries);
    }
    let queries: Vec<&str> = queries.iter().filter_map(|query| query.as_str()).collect();
    assert!(queries.len() > 15, "{queries:?}");
    for query in &queries {
        let names = names_in(query);
        for metric in &names {
            assert!(known.contains_key(metric.as_str()), "{metric}: {query}");
        }
        // metric{label="…",…}
        for (at, _) in query.match_indices('{') {
            let before = &query[..at];
            let metric = before
                .rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .next()
                .unwrap();
            let inner = query[at + 1..].split('}').next().unwrap();
            for part in inner.split("\",") {
                let label = part.split(['=', '!']).next().unwrap().trim();
                let labels = known[metric].labels;
                let of_scrapes = ["instance", "job"];
                assert!(
                    labels.contains(&label) || of_scrapes.contains(&label),
                    "{metric} has no {label}: {query}"
                );
            }
        }
    }
    // What is drawn has a place of its own, an identity of its own and a title.
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|p| p["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    for (at, panel) in panels.iter().enumerate() {
        assert!(!panel["title"].as_str().unwrap().is_empty());
        let place = |panel: &serde_json::Value| {
            ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap())
        };
        let [x, y, w, h] = place(panel);
        assert!(x + w <= 24, "{}", panel["title"]);
        for other in &panels[at + 1..] {
            let [ox, oy, ow, oh] = place(other);
            let apart = x + w <= ox || ox + ow <= x || y + h <= oy || oy + oh <= y;
            assert!(apart, "{} lies on {}", panel["title"], other["title"]);
        }
    }
}

/// Prometheus' own judgement, on machines that have it (Debian's package `prometheus`).
#[test]
fn promtool_has_nothing_to_object() {
    let checked = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = checked else {
        println!("there is no promtool");
        return;
    };
    std::io::Write::write_all(
        &mut child.stdin.take().unwrap(),
        text_of(measured()).as_bytes(),
    )
    .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success() && said.is_empty(),
        "{}",
        String::from_utf8_lossy(&said)
    );
}

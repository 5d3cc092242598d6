//! `docs/kernel-rules.md` has every kernel rule that is cited by its number, and what it says to
//! hold a rule exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rules() -> String {
    fs::read_to_string(root().join("docs/kernel-rules.md")).unwrap()
}

/// All files of these directories that are text.
fn texts(dirs: &[&str]) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut waiting: Vec<PathBuf> = dirs.iter().map(|dir| root().join(dir)).collect();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(
                fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path())
                    .filter(|path| !path.ends_with("corpus")),
            );
        } else if let Ok(text) = fs::read_to_string(&path) {
            found.insert(path, text);
        }
    }
    found
}

/// The words of a text: letters, digits and underscores.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

/// The number of a rule, if the word is one: `K7`, or `k7` at the beginning of a test's name.
fn number(word: &str) -> Option<u32> {
    let digits = word.strip_prefix('K').or_else(|| {
        word.strip_prefix('k')?
            .split_once('_')
            .map(|(digits, _)| digits)
    })?;
    digits.parse().ok().filter(|_| digits.len() <= 2)
}

#[test]
fn every_rule_that_is_cited_is_written_down_once() {
    let rules = rules();
    let numbers: Vec<u32> = rules
        .lines()
        .filter_map(|line| number(line.strip_prefix("### ")?.split_once(": ")?.0))
        .collect();
    let written: BTreeSet<u32> = numbers.iter().copied().collect();
    assert!(
        numbers.len() > 30 && written.len() == numbers.len(),
        "a number is there twice: {numbers:?}"
    );
    for (path, text) in texts(&[
        "src",
        "dm-tables",
        "tests",
        "benches",
        "findings",
        "README.md",
        "docs/crash-safety.md",
        "docs/fast-resync.md",
        "docs/glossary.md",
    ]) {
        let missing: BTreeSet<u32> = words(&text)
            .filter_map(number)
            .filter(|rule| !written.contains(rule))
            .collect();
        assert!(
            missing.is_empty(),
            "{} cites rules that docs/kernel-rules.md does not have: K{missing:?}",
            path.display()
        );
    }
}

#[test]
fn what_holds_a_rule_exists() {
    let tests: String = texts(&["tests/host", "tests/kernel", "tests/reboot"])
        .into_values()
        .collect();
    let rules = rules();
    let held = rules.split("\n\n").filter(|paragraph| {
        paragraph.starts_with("Held by") || paragraph.starts_with("Measured by")
    });
    let quoted: Vec<&str> = held
        .flat_map(|paragraph| paragraph.split('`').skip(1).step_by(2))
        .collect();
    assert!(quoted.len() > 40, "{quoted:?}");
    for name in quoted {
        let is_there = match name.split_once(' ').map_or(name, |(program, _)| program) {
            // A module of the program's, or a target of the fuzzer.
            module if module.contains("::") => root()
                .join("src")
                .join(module.replace("::", "/"))
                .with_extension("rs")
                .exists(),
            path if path.contains('/') => root().join(path).exists(),
            prefix if prefix.ends_with('_') => tests.contains(&format!("fn {prefix}")),
            test => {
                tests.contains(&format!("fn {test}("))
                    || root()
                        .join("tests/fuzz/fuzz_targets")
                        .join(test)
                        .with_extension("rs")
                        .exists()
            }
        };
        assert!(
            is_there,
            "docs/kernel-rules.md names '{name}', which is not there"
        );
    }
}

//! Golden text for the command line's tests. `BREAKOFF_BLESS=1 cargo test` writes what is printed
//! now; the difference is for review.

#![allow(dead_code, clippy::unwrap_used)]

pub mod world;

use std::ffi::OsString;
use std::path::PathBuf;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn blessing() -> bool {
    std::env::var_os("BREAKOFF_BLESS").is_some_and(|value| value == "1")
}

/// Compares with a golden file.
pub fn golden(name: &str, actual: &str) {
    if blessing() {
        std::fs::write(path(name), actual).unwrap();
    }
    let expected = std::fs::read_to_string(path(name)).unwrap_or_default();
    assert!(
        expected == actual,
        "tests/golden/{name} differs; it is now:\n{actual}\nBREAKOFF_BLESS=1 takes this as right"
    );
}

/// Answers each `$ command line` of a golden file again and compares. The questions live in the
/// file only.
pub fn transcript(name: &str, answer: impl Fn(&[OsString]) -> String) {
    let file = std::fs::read_to_string(path(name)).unwrap();
    let keep = |line: &&str| line.starts_with(['$', '#']) || line.is_empty();
    let lines = file
        .lines()
        .filter(keep)
        .map(|line| match line.strip_prefix("$ ") {
            Some(words) => format!(
                "{line}\n{}",
                indented(&answer(
                    &words
                        .split_whitespace()
                        .map(OsString::from)
                        .collect::<Vec<_>>()
                ))
            ),
            None => format!("{line}\n"),
        });
    golden(name, &lines.collect::<String>());
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

/// Words as a program gets them.
pub fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

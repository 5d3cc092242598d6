//! The test programs are these, and each file under `tests/` is a module of one: a file that
//! nothing names is a test that never runs. What the scripts beside them may not do stands here,
//! too.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const PROGRAMS: [&str; 3] = ["host", "kernel", "reboot"];
/// A package of its own (`scripts/fuzz`).
const FUZZ: &str = "fuzz";

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// All Rust files under a directory.
fn sources(dir: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path != tests().join(FUZZ) {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.insert(path);
        }
    }
}

/// A file and all files that its `mod` lines bring in.
fn reached(file: &Path, found: &mut BTreeSet<PathBuf>) {
    found.insert(file.to_owned());
    let text = fs::read_to_string(file).unwrap_or_else(|err| panic!("{}: {err}", file.display()));
    let mut named = None;
    for line in text.lines() {
        if let Some(path) = line
            .strip_prefix("#[path = \"")
            .and_then(|rest| rest.strip_suffix("\"]"))
        {
            named = Some(file.parent().unwrap().join(path));
        } else if let Some(name) = module(line) {
            let path = named.take().unwrap_or_else(|| beside(file, name));
            reached(
                &fs::canonicalize(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display())),
                found,
            );
        }
    }
}

/// `x` of `mod x;`, whatever its visibility.
fn module(line: &str) -> Option<&str> {
    line.strip_prefix("mod ")
        .or_else(|| line.strip_prefix("pub mod "))?
        .strip_suffix(';')
}

/// Where the module of that name lies, without a `#[path]`.
fn beside(file: &Path, name: &str) -> PathBuf {
    let stem = file.file_stem().unwrap();
    let dir = if stem == "main" || stem == "mod" {
        file.parent().unwrap().to_owned()
    } else {
        file.with_extension("")
    };
    let flat = dir.join(format!("{name}.rs"));
    if flat.exists() {
        flat
    } else {
        dir.join(name).join("mod.rs")
    }
}

#[test]
fn each_file_is_a_module_of_a_test_program() {
    let (mut all, mut used) = (BTreeSet::new(), BTreeSet::new());
    sources(&tests(), &mut all);
    for program in PROGRAMS {
        reached(&tests().join(program).join("main.rs"), &mut used);
    }
    let forgotten: Vec<&PathBuf> = all.difference(&used).collect();
    assert!(
        forgotten.is_empty(),
        "no main.rs of {PROGRAMS:?} has these as modules: {forgotten:?}"
    );
    assert!(
        used.len() > PROGRAMS.len() + 30,
        "only {} files are found: this test reads the wrong folder",
        used.len()
    );
}

/// Whether a command of a pipeline may end before it has read everything. Under `pipefail` the one
/// before it then fails with SIGPIPE, when it happens to write later: once in a hundred runs.
fn leaves_early(command: &str) -> bool {
    let mut words = command.split_whitespace();
    let option = |letters: &[char]| {
        let mut options = command
            .split_whitespace()
            .filter(|word| word.starts_with('-') && !word.starts_with("--"));
        options.any(|word| word.contains(letters))
    };
    match words.next() {
        Some("head") => true,
        Some("grep" | "egrep") => option(&['q', 'm', 'l']),
        Some("awk" | "mawk") => command.contains("exit"),
        Some("sed") => command
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| word.trim_start_matches(|c: char| c.is_ascii_digit()) == "q"),
        _ => false,
    }
}

/// The commands of a script's line that read from a pipe.
fn readers(line: &str) -> impl Iterator<Item = &str> {
    let code = if line.trim_start().starts_with('#') {
        ""
    } else {
        line
    };
    code.split(" | ").skip(1).map(str::trim_start)
}

#[test]
fn no_script_has_a_pipeline_that_ends_early() {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let (mut wrong, mut pipelines) = (Vec::new(), 0);
    for entry in fs::read_dir(scripts).unwrap() {
        let path = entry.unwrap().path();
        for line in fs::read_to_string(&path)
            .unwrap()
            .replace("|\n", "| ")
            .lines()
        {
            pipelines += readers(line).count();
            wrong.extend(
                readers(line)
                    .filter(|command| leaves_early(command))
                    .map(|_| format!("{}: {line}", path.display())),
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(
        pipelines > 20,
        "only {pipelines} pipelines are found: this test reads the wrong folder"
    );
    for early in [
        "a | head -n 1",
        "a | grep -q x",
        "a | sort | awk '/x/ { print; exit }'",
        "a | sed -n '/x/{p;q}'",
        "a | sed 5q",
    ] {
        assert!(readers(early).any(leaves_early), "{early}");
    }
    for whole in [
        "a | sed -n 1p",
        "a | grep x >/dev/null",
        "a || head -n 1 b",
        "grep -q x b",
        "a | sed 's/query/question/'",
    ] {
        assert!(!readers(whole).any(leaves_early), "{whole}");
    }
}

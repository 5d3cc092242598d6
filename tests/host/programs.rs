//! The test programs are these, and each file under `tests/` is a module of one: a file that nothing names is a test that never runs.

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
        if let Some(path) = line.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
            named = Some(file.parent().unwrap().join(path));
        } else if let Some(name) = module(line) {
            let path = named.take().unwrap_or_else(|| beside(file, name));
            reached(&fs::canonicalize(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display())), found);
        }
    }
}

/// `x` of `mod x;`, whatever its visibility.
fn module(line: &str) -> Option<&str> {
    line.strip_prefix("mod ").or_else(|| line.strip_prefix("pub mod "))?.strip_suffix(';')
}

/// Where the module of that name lies, without a `#[path]`.
fn beside(file: &Path, name: &str) -> PathBuf {
    let stem = file.file_stem().unwrap();
    let dir = if stem == "main" || stem == "mod" { file.parent().unwrap().to_owned() } else { file.with_extension("") };
    let flat = dir.join(format!("{name}.rs"));
    if flat.exists() { flat } else { dir.join(name).join("mod.rs") }
}

#[test]
fn each_file_is_a_module_of_a_test_program() {
    let (mut all, mut used) = (BTreeSet::new(), BTreeSet::new());
    sources(&tests(), &mut all);
    for program in PROGRAMS {
        reached(&tests().join(program).join("main.rs"), &mut used);
    }
    let forgotten: Vec<&PathBuf> = all.difference(&used).collect();
    assert!(forgotten.is_empty(), "no main.rs of {PROGRAMS:?} has these as modules: {forgotten:?}");
    assert!(used.len() > PROGRAMS.len() + 30, "only {} files are found: this test reads the wrong folder", used.len());
}

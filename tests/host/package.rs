//! What packages and `scripts/install` put on a machine: nothing of `dist/` is forgotten, the scripts
//! can be read by the shells that run them, and the configuration that comes along is one.

use breakoff::linux::process::notice::hook_in;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn dist() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dist")
}

/// All files below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let (mut found, mut waiting) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Files of the packages themselves, and the list from which links are made.
fn stays_behind(file: &Path) -> bool {
    let below = file.strip_prefix(dist()).unwrap();
    ["debian", "rpm", "arch", "vx-names", "man/prose"]
        .iter()
        .any(|name| below.starts_with(name))
}

#[test]
fn everything_in_dist_is_installed_and_removed() {
    let root = tempfile::tempdir().unwrap();
    let install = |words: &[&str]| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install");
        let done = Command::new(script)
            .args(words)
            .env("DESTDIR", root.path())
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    install(&[env!("CARGO_BIN_EXE_breakoff")]);
    let there: BTreeSet<Vec<u8>> = files(root.path())
        .iter()
        .filter(|file| !file.ends_with("bin/breakoff") && !file.is_symlink())
        .map(|file| fs::read(file).unwrap())
        .collect();
    let wanted: Vec<PathBuf> = files(&dist())
        .into_iter()
        .filter(|file| !stays_behind(file))
        .collect();
    assert!(wanted.len() > 8, "{wanted:?}");
    for file in wanted {
        assert!(
            there.contains(&fs::read(&file).unwrap()),
            "scripts/install forgets {}",
            file.display()
        );
    }
    let names = fs::read_to_string(dist().join("vx-names")).unwrap();
    for name in names.lines() {
        let link = root.path().join("usr/bin").join(name);
        assert_eq!(fs::read_link(link).unwrap(), Path::new("breakoff"));
    }
    install(&["--remove"]);
    assert_eq!(
        files(root.path()),
        [root.path().join("etc/breakoff.conf")],
        "the configuration is the administrator's and stays, and nothing else does"
    );
}

#[test]
fn no_link_is_made_without_a_wish_for_it() {
    let root = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install");
    let done = Command::new(script)
        .args(["--no-names", env!("CARGO_BIN_EXE_breakoff")])
        .env("DESTDIR", root.path())
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    assert!(root.path().join("usr/bin/breakoff").is_file());
    assert!(!root.path().join("usr/bin/vxassist").is_symlink());
}

/// As it comes, it sets nothing; and its examples are right.
#[test]
fn the_configuration_that_is_installed_is_understood_with_its_examples_too() {
    let text = fs::read_to_string(dist().join("breakoff.conf")).unwrap();
    assert_eq!(hook_in(&text), Ok(None));
    let is_example = |line: &&str| {
        let mut words = line.split_whitespace();
        words.next() == Some("#") && words.nth(1) == Some("=")
    };
    let examples: Vec<&str> = text.lines().filter(is_example).collect();
    assert!(!examples.is_empty());
    for example in examples {
        let set = hook_in(example.trim_start_matches("# ")).unwrap();
        assert!(set.is_some(), "{example}");
    }
}

/// Of the maintainer scripts and of what an initramfs runs: its shell is not bash.
#[test]
fn the_shells_understand_the_scripts_of_the_packages() {
    let is_shell =
        |text: &str| text.starts_with("#!/bin/sh\n") || text.starts_with("#!/bin/bash\n");
    let mut checked = 0;
    for file in files(&dist()) {
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        if !is_shell(&text) {
            continue;
        }
        let shell = if text.starts_with("#!/bin/sh") {
            "sh"
        } else {
            "bash"
        };
        let done = Command::new(shell).arg("-n").arg(&file).output().unwrap();
        assert!(done.status.success(), "{}: {done:?}", file.display());
        checked += 1;
    }
    assert!(checked >= 10, "only {checked} scripts are found");
}

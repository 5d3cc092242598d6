//! `scripts/install`: what it puts where, and that it takes all of it away again.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Runs the script for a directory, with these arguments and another prefix.
fn install(destination: &Path, prefix: &str, arguments: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install");
    let output = Command::new(script)
        .args(arguments)
        .env("DESTDIR", destination)
        .env("PREFIX", prefix)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
}

/// All files below a directory, links among them, with their permissions.
fn files(top: &Path) -> BTreeMap<String, u32> {
    let (mut found, mut waiting) = (BTreeMap::new(), vec![top.to_owned()]);
    while let Some(path) = waiting.pop() {
        let about = fs::symlink_metadata(&path).unwrap();
        if about.is_dir() {
            waiting.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else {
            let below = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
            let mode = if about.is_symlink() {
                0
            } else {
                about.permissions().mode() & 0o777
            };
            found.insert(below, mode);
        }
    }
    found
}

#[test]
fn what_is_installed_is_where_programs_look_for_it_and_goes_again() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let there = TempDir::new().unwrap();
    for prefix in ["/usr", "/opt/breakoff"] {
        install(there.path(), prefix, &[env!("CARGO_BIN_EXE_breakoff")]);
        let all = files(there.path());
        let below = |path: &str| format!("{}/{path}", &prefix[1..]);
        let mode = |path: &str| all.get(&below(path)).copied();
        assert_eq!(mode("bin/breakoff"), Some(0o755));
        assert_eq!(mode("bin/vxassist"), Some(0));
        for path in [
            "share/man/man8/breakoff.8",
            "share/man/man8/breakoff-group-create.8",
            "share/man/man8/vxassist.8",
            "share/man/man7/breakoff-kernel.7",
            "share/man/man5/breakoff.conf.5",
            "share/bash-completion/completions/breakoff",
            "share/zsh/vendor-completions/_breakoff",
            "share/fish/vendor_completions.d/breakoff.fish",
        ] {
            assert_eq!(mode(path), Some(0o644), "{path}");
        }
        let is_page = |path: &&String| path.contains("/man/man");
        let pages = fs::read_dir(root.join("dist/man")).unwrap();
        let pages = pages.filter(|entry| entry.as_ref().unwrap().path().is_file());
        assert_eq!(all.keys().filter(is_page).count(), pages.count());
        assert!(!all.keys().any(|path| path.contains("prose")));
        let script = below("share/bash-completion/completions/breakoff");
        assert_eq!(
            fs::read(there.path().join(script)).unwrap(),
            fs::read(root.join("dist/completions/breakoff.bash")).unwrap()
        );
        install(there.path(), prefix, &["--remove"]);
        // The administrator's file stays.
        let left: Vec<String> = files(there.path()).into_keys().collect();
        assert_eq!(left, ["etc/breakoff.conf"]);
    }
}

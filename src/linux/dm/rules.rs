//! Why a volume has no link below `/dev/breakoff`: what is wrong with breakoff's udev rule.

use crate::linux::dm::cookie;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The names of the rule that makes the links, each behind the rule of device-mapper that it has to
/// come after: as device-mapper's own project names that one, and as Debian and Ubuntu do.
const RULES: [(&str, &str); 2] = [
    ("10-dm.rules", "11-dm-breakoff.rules"),
    ("55-dm.rules", "56-breakoff.rules"),
];
/// The directories in which udev looks for rules; the first file of a name counts.
const PLACES: [&str; 5] = [
    "/etc/udev/rules.d",
    "/run/udev/rules.d",
    "/usr/local/lib/udev/rules.d",
    "/usr/lib/udev/rules.d",
    "/lib/udev/rules.d",
];

/// The reason why udev has made no link for a volume.
pub fn why_no_link() -> String {
    if !cookie::udev_running() {
        return "udev is not running".to_owned();
    }
    let own = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("breakoff"));
    blemish(Path::new("/"), &own)
        .unwrap_or_else(|| "udev has not made it (see 'journalctl -u systemd-udevd')".to_owned())
}

/// What is wrong with the rule on a system below `root`, if anything; `own` is this program.
fn blemish(root: &Path, own: &Path) -> Option<String> {
    let below = |place: &str| root.join(place.trim_start_matches('/'));
    let read = |name: &str| {
        let mut found = PLACES.iter().map(|place| {
            let text = fs::read_to_string(below(place).join(name));
            (Path::new(place).join(name), text)
        });
        found.find(|(_, text)| {
            let is_missing = |err: &std::io::Error| err.kind() == ErrorKind::NotFound;
            !text.as_ref().is_err_and(is_missing)
        })
    };
    let Some((_, rule)) = RULES.iter().find(|(before, _)| read(before).is_some()) else {
        let [(one, _), (other, _)] = RULES;
        return Some(format!(
            "device-mapper's udev rule is not installed, neither '{one}' nor '{other}'"
        ));
    };
    let Some((path, text)) = read(rule) else {
        return Some(format!(
            "udev's rule '{rule}' is not installed (see 'scripts/install')"
        ));
    };
    let shown = path.display();
    let text = match text {
        Ok(text) => text,
        Err(err) => return Some(format!("udev's rule '{shown}' cannot be read: {err}")),
    };
    let Some(program) = program(&text) else {
        return Some(format!("udev's rule '{shown}' makes no links"));
    };
    if below(program).exists() {
        return None;
    }
    Some(format!(
        "udev's rule '{shown}' runs '{program}', which is not there (this is '{}')",
        own.display()
    ))
}

/// The program that the rule runs for the name of a link.
fn program(text: &str) -> Option<&str> {
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let calls = lines
        .filter_map(|line| line.split_once("PROGRAM==\"")?.1.split_once('"'))
        .map(|(call, _)| call);
    calls
        .filter_map(|call| call.split_once(" udev-name"))
        .map(|(program, _)| program)
        .next()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_the_rule_is_named() {
        let (root, own) = (
            tempfile::tempdir().unwrap(),
            Path::new("/root/.cargo/bin/breakoff"),
        );
        let why = || blemish(root.path(), own);
        let installed = root.path().join("usr/lib/udev/rules.d");
        let rule = include_str!("../../../dist/udev/56-breakoff.rules");
        fs::create_dir_all(&installed).unwrap();
        fs::write(installed.join("56-breakoff.rules"), rule).unwrap();
        assert_eq!(
            why().unwrap(),
            "device-mapper's udev rule is not installed, neither '10-dm.rules' nor '55-dm.rules'"
        );
        fs::write(installed.join("10-dm.rules"), "").unwrap();
        assert!(
            why()
                .unwrap()
                .contains("'11-dm-breakoff.rules' is not installed")
        );
        fs::rename(installed.join("10-dm.rules"), installed.join("55-dm.rules")).unwrap();
        assert_eq!(
            why().unwrap(),
            "udev's rule '/usr/lib/udev/rules.d/56-breakoff.rules' runs '/usr/bin/breakoff', which is not there (this is '/root/.cargo/bin/breakoff')"
        );
        fs::create_dir_all(root.path().join("usr/bin")).unwrap();
        fs::write(root.path().join("usr/bin/breakoff"), "").unwrap();
        assert_eq!(why(), None);

        // An administrator has disabled the rule.
        fs::create_dir_all(root.path().join("etc/udev/rules.d")).unwrap();
        std::os::unix::fs::symlink(
            "/dev/null",
            root.path().join("etc/udev/rules.d/56-breakoff.rules"),
        )
        .unwrap();
        assert_eq!(
            why().unwrap(),
            "udev's rule '/etc/udev/rules.d/56-breakoff.rules' makes no links"
        );
    }
}

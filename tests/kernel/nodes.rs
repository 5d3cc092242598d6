//! What udev's rule makes of a volume's device: the links that lead to it, and who may use it.

use crate::support::child::tool;
use crate::support::lab::Lab;
use crate::support::udev;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Has udev look at all block devices again.
#[track_caller]
fn trigger() {
    tool("udevadm", &["trigger", "--subsystem-match=block"]).ok();
    udev::settle();
}

/// An empty file for as long as it lives.
struct Present(PathBuf);

impl Present {
    fn at(path: &str) -> Present {
        let path = PathBuf::from(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        Present(path)
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Which of a volume's links there are; each leads to its device.
#[track_caller]
fn links(lab: &Lab, volume: &str) -> Vec<&'static str> {
    let device = fs::canonicalize(lab.device("g", volume)).ok();
    let is_there = |directory: &&str| {
        let link = Path::new("/dev").join(directory).join("g").join(volume);
        let target = udev::target(&link);
        assert!(target.is_none() || target == device, "{}", link.display());
        fs::symlink_metadata(link).is_ok()
    };
    ["breakoff", "vx/dsk", "vx/rdsk"]
        .into_iter()
        .filter(is_there)
        .collect()
}

const ALL: [&str; 3] = ["breakoff", "vx/dsk", "vx/rdsk"];

#[test]
fn volumes_and_snapshots_are_where_scripts_look_for_them() {
    let lab = lab!(["mirror"], [24, 24]);
    lab.create_group("g");
    lab.cli("-g g make v-1 4m").ok();
    lab.cli("-g g snapstart v-1").ok();
    lab.cli("-g g snapshot --name s v-1").ok();
    udev::settle();
    assert_eq!(
        (links(&lab, "v-1"), links(&lab, "s")),
        (ALL.into(), ALL.into())
    );

    lab.cli("-g g rename v-1 w").ok();
    udev::settle();
    assert_eq!((links(&lab, "v-1"), links(&lab, "w")), (vec![], ALL.into()));

    lab.cli("-g g stop w").ok();
    udev::settle();
    assert_eq!(links(&lab, "w"), Vec::<&str>::new());
    lab.cli("-g g start w").ok();
    udev::settle();
    assert_eq!(links(&lab, "w"), ALL);

    lab.cli("-y -g g remove s").ok();
    udev::settle();
    assert_eq!(links(&lab, "s"), Vec::<&str>::new());
    lab.finish();
    udev::settle();
    assert!(!Path::new("/dev/vx/dsk/g").exists(), "a directory stays");
}

#[test]
fn an_administrator_or_the_other_product_keeps_its_paths_to_itself() {
    let lab = lab!(["linear"], [16]);
    lab.create_group("g");
    lab.cli("-g g make v 4m").ok();
    udev::settle();
    for reason in [
        "/etc/breakoff/no-vx-links",
        "/etc/vx/volboot",
        "/sbin/vxconfigd",
    ] {
        assert_eq!(links(&lab, "v"), ALL);
        let there = Present::at(reason);
        trigger();
        assert_eq!(links(&lab, "v"), ["breakoff"], "{reason}");
        drop(there);
        trigger();
    }
    assert_eq!(links(&lab, "v"), ALL);
    lab.finish();
}

/// User, group and permission bits of a volume's node.
#[track_caller]
fn access(lab: &Lab, volume: &str) -> (u32, u32, u32) {
    let about = fs::metadata(lab.device("g", volume)).unwrap();
    (about.uid(), about.gid(), about.mode() & 0o777)
}

/// The volumes of which udev's rule is told.
fn told() -> usize {
    let files = fs::read_dir("/run/breakoff/owner");
    files.map_or(0, Iterator::count)
}

#[test]
fn the_owner_of_a_volume_stays_whatever_happens_to_it() {
    let lab = lab!(["mirror"], [40, 40]);
    lab.create_group("g");
    lab.cli("-g g make plain 4m").ok();
    let default = access(&lab, "plain");
    assert_eq!((default.0, default.2), (0, 0o660));

    lab.cli("-g g make v 4m --owner 4711:4712 --mode 0640").ok();
    let owned = (4711, 4712, 0o640);
    assert_eq!(access(&lab, "v"), owned);
    trigger();
    assert_eq!(access(&lab, "v"), owned);
    lab.cli("-g g grow v +4m").ok();
    lab.cli("-g g snapstart v").ok();
    lab.cli("-g g rename v w").ok();
    lab.cli("-g g snapshot --name s w").ok();
    udev::settle();
    assert_eq!(access(&lab, "w"), owned);
    assert_eq!(access(&lab, "s"), default, "a snapshot inherits nothing");
    assert_eq!(told(), 1);

    lab.cli("-g g owner w --owner 1234 --mode 600").ok();
    let owned = (1234, 4712, 0o600);
    assert_eq!(access(&lab, "w"), owned);
    udev::settle();
    trigger();
    assert_eq!(access(&lab, "w"), owned);
    let again = lab.json("-g g owner w --owner 1234");
    assert_eq!(again["changes"].as_array().map(Vec::len), Some(0));

    lab.cli("-g g stop w").ok();
    assert_eq!(told(), 0);
    lab.cli("-g g start w").ok();
    assert_eq!(access(&lab, "w"), owned);
    udev::settle();
    assert_eq!(access(&lab, "w"), owned);
    let shown = lab.json("-g g print w")["groups"][0]["volumes"][0]["owner"].clone();
    assert_eq!(
        shown,
        serde_json::json!({"user": "1234", "group": "4712", "mode": "0600"})
    );

    lab.cli("-g g owner w --default").ok();
    assert_eq!(access(&lab, "w"), default);
    udev::settle();
    trigger();
    assert_eq!(access(&lab, "w"), default);
    lab.finish();
    assert_eq!(told(), 0);
}

#[test]
fn a_user_that_this_machine_does_not_have_keeps_no_volume_down() {
    let lab = lab!(["linear"], [16]);
    lab.create_group("g");
    lab.cli("-g g make v 4m --owner no-such-user:0 --mode 0600")
        .ok()
        .says("there is no user 'no-such-user'");
    assert_eq!(access(&lab, "v"), (0, 0, 0o600));
    lab.cli("-g g stop v").ok();
    lab.cli("-g g start v").ok().says("no-such-user");
    assert_eq!(access(&lab, "v"), (0, 0, 0o600));
    lab.finish();
}

//! What udev's rule makes of a volume's device: the links that lead to it.

use crate::support::child::tool;
use crate::support::lab::Lab;
use crate::support::udev;
use std::fs;
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

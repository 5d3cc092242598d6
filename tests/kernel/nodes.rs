//! What udev's rule makes of a volume's device: the links that lead to it, and who may use it.

use crate::support::child::tool;
use crate::support::dm::{Dm, Info};
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

const RULES: &str = "/usr/lib/udev/rules.d";

/// device-mapper's rules under the names that Debian and Ubuntu give them, and under those of its own
/// project, which everybody else keeps.
const NAMES: [(&str, &str); 2] = [
    ("55-dm.rules", "10-dm.rules"),
    ("60-persistent-storage-dm.rules", "13-dm-disk.rules"),
];

/// The other names, for as long as it lives.
struct OtherNames(Vec<(PathBuf, PathBuf)>);

impl OtherNames {
    #[track_caller]
    fn take() -> OtherNames {
        let at = |name: &str| Path::new(RULES).join(name);
        let (debian, upstream) = (NAMES.map(|n| at(n.0)), NAMES.map(|n| at(n.1)));
        let now_debian = debian[0].exists();
        let (from, to) = if now_debian {
            (debian, upstream)
        } else {
            (upstream, debian)
        };
        let moved: Vec<_> = from.into_iter().zip(to).collect();
        for (from, to) in &moved {
            fs::rename(from, to).unwrap();
        }
        tool("udevadm", &["control", "--reload"]).ok();
        OtherNames(moved)
    }
}

impl Drop for OtherNames {
    fn drop(&mut self) {
        for (from, to) in &self.0 {
            let _ = fs::rename(to, from);
        }
        let _ = tool("udevadm", &["control", "--reload"]);
    }
}

/// What udev has to say of the devices of a group with the volume `v`, its legs and its snapshot `s`, which
/// hold the same filesystem.
struct Seen<'a> {
    lab: &'a Lab,
    uuid: String,
}

impl Seen<'_> {
    #[track_caller]
    fn is_right(&self, after: &str) {
        udev::settle();
        let original = fs::canonicalize(self.lab.device("g", "v")).ok();
        assert!(original.is_some(), "{after}");
        for link in [
            &format!("/dev/disk/by-uuid/{}", self.uuid),
            "/dev/disk/by-label/original",
            "/dev/breakoff/g/v",
        ] {
            assert_eq!(udev::target(link), original, "{after}: {link}");
        }
        let snapshot = fs::canonicalize("/dev/mapper/g-s").ok();
        assert_eq!(udev::target("/dev/breakoff/g/s"), snapshot, "{after}");
        for inner in devices()
            .iter()
            .filter(|info| info.uuid.matches('-').count() > 1)
        {
            let path = Path::new("/dev/mapper").join(&inner.name);
            let shows = |key: &str, value: Option<&str>| {
                let found = udev::property(&path, key);
                assert_eq!(found.as_deref(), value, "{after}: {key} of {}", inner.uuid);
            };
            shows("DEVLINKS", path.to_str());
            shows("ID_FS_TYPE", None);
            shows("SYSTEMD_READY", Some("0"));
            shows("UDISKS_IGNORE", Some("1"));
        }
        for disk in &self.lab.disks {
            let kind = udev::property(disk.path(), "ID_FS_TYPE");
            assert_eq!(kind.as_deref(), Some("breakoff_member"), "{after}");
            assert!(udev::has_tag(disk.path(), "breakoff"), "{after}");
        }
    }
}

/// The devices of volumes and what is beneath them.
fn devices() -> Vec<Info> {
    let mut all = Dm::open().unwrap().list();
    all.retain(|info| info.uuid.starts_with("BREAKOFF-"));
    all
}

/// Whatever is done to the devices of a group, by-uuid and by-label lead to the original.
#[track_caller]
fn links_stay_with_the_original() {
    let lab = lab!(["mirror", "era"], [40, 40]);
    lab.create_group("g");
    lab.cli("-g g make v 8m").ok();
    let device = lab.device("g", "v");
    let device = device.to_str().unwrap();
    tool("mkfs.ext4", &["-q", "-L", "original", device]).ok();
    let uuid = tool("blkid", &["-p", "-s", "UUID", "-o", "value", device]).ok();
    let uuid = uuid.stdout.trim().to_owned();
    let seen = Seen { lab: &lab, uuid };
    lab.cli("-g g snapstart v").ok();
    seen.is_right("the leg has been filled");
    lab.cli("-g g snapshot --name s v").ok();
    seen.is_right("the split");

    let all = ["trigger", "--subsystem-match=block"];
    tool("udevadm", &all).ok();
    seen.is_right("a trigger");
    tool("udevadm", &[&all[..], &["--action=add"]].concat()).ok();
    seen.is_right("a trigger of 'add'");
    for name in devices().into_iter().map(|info| info.name) {
        tool("dmsetup", &["suspend", &name]).ok();
        tool("dmsetup", &["resume", &name]).ok();
        seen.is_right(&format!("a suspend and a resume of '{name}'"));
    }
    for name in ["g-s", "g-v"] {
        tool("dmsetup", &["rename", name, "g-other"]).ok();
        udev::settle();
        // A monitor that is still there may have been the first.
        tool("dmsetup", &["rename", "g-other", name]);
        assert!(Dm::open().unwrap().exists(name), "{name}");
        seen.is_right(&format!("two renames of '{name}'"));
    }
    tool("udevadm", &["info", "--cleanup-db"]).ok();
    tool("udevadm", &[&all[..], &["--action=add"]].concat()).ok();
    seen.is_right("a clean-up of udev's database");
    tool("dmsetup", &["suspend", "g-s"]).ok();
    tool("dmsetup", &["resume", "g-s"]).ok();
    seen.is_right("a resume after the clean-up");

    lab.cli("-g g stop --all").ok();
    lab.cli("-g g start --all").ok();
    seen.is_right("a stop and a start");
    lab.cli("-g g snapback s").ok();
    seen.is_right("the snapshot has come back");
    lab.finish();
}

#[test]
fn by_uuid_leads_to_the_original_where_the_rules_of_device_mapper_have_debians_names() {
    assert!(Path::new(RULES).join(NAMES[0].0).exists());
    links_stay_with_the_original();
}

#[test]
fn by_uuid_leads_to_the_original_where_the_rules_of_device_mapper_have_their_own_names() {
    let _names = OtherNames::take();
    links_stay_with_the_original();
}

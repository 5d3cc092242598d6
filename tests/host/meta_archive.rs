//! The archive of earlier configurations: readable, bounded, and never in the way.

use breakoff::meta::Archive;
use breakoff::model::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

fn archive(dir: &Path) -> Archive {
    Archive {
        dir: dir.join("state/archive"),
        files: 3,
        bytes: 1 << 20,
    }
}

fn group(name: &str, id: u8) -> Group {
    let mut group = Group::new(Name::parse(name).unwrap(), HostId::random());
    group.id = GroupId::from_bytes([id; 16]);
    group
}

fn names(archive: &Archive) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(&archive.dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn keep(archive: &Archive, group: &Group, generation: u64) {
    assert_eq!(
        archive.keep(group, Generation::new(generation), "breakoff make v 1g"),
        None
    );
}

#[test]
fn a_configuration_is_kept_as_json_with_its_command() {
    let dir = tempfile::tempdir().unwrap();
    let archive = archive(dir.path());
    keep(&archive, &group("g", 0xab), 7);
    assert_eq!(names(&archive), ["g_7_abababab.json"]);
    let json: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(archive.dir.join("g_7_abababab.json")).unwrap())
            .unwrap();
    assert_eq!(json["command"], "breakoff make v 1g");
    assert_eq!(json["configuration"]["generation"], 7);
    assert_eq!(
        fs::metadata(&archive.dir).unwrap().permissions().mode() & 0o777,
        0o700
    );
}

#[test]
fn the_oldest_generations_of_a_group_go_first_and_other_groups_stay() {
    let dir = tempfile::tempdir().unwrap();
    let archive = archive(dir.path());
    keep(&archive, &group("other", 2), 1);
    // Generations are numbers: 10 is newer than 9.
    for generation in [8, 9, 10, 11] {
        keep(&archive, &group("g.x_1", 1), generation);
    }
    // A renamed group is still the same.
    keep(&archive, &group("renamed", 1), 12);
    assert_eq!(
        names(&archive),
        [
            "g.x_1_10_01010101.json",
            "g.x_1_11_01010101.json",
            "other_1_02020202.json",
            "renamed_12_01010101.json"
        ]
    );
}

#[test]
fn the_total_size_is_bounded_and_the_newest_always_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut archive = archive(dir.path());
    for (n, id) in [1, 2, 3].into_iter().enumerate() {
        keep(&archive, &group("g", id), 5);
        let file = fs::File::options()
            .write(true)
            .open(
                archive
                    .dir
                    .join(format!("g_5_{}.json", format!("{id:02}").repeat(4))),
            )
            .unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(n as u64))
            .unwrap();
    }
    let each = fs::metadata(archive.dir.join("g_5_01010101.json"))
        .unwrap()
        .len();
    archive.bytes = each * 3 + 1;
    keep(&archive, &group("g", 4), 1);
    assert_eq!(
        names(&archive),
        [
            "g_1_04040404.json",
            "g_5_02020202.json",
            "g_5_03030303.json"
        ]
    );
    archive.bytes = 1;
    keep(&archive, &group("g", 4), 2);
    assert_eq!(names(&archive), ["g_2_04040404.json"]);
}

#[test]
fn files_of_others_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut archive = archive(dir.path());
    archive.bytes = 0;
    fs::create_dir_all(&archive.dir).unwrap();
    let foreign = [
        "notes.json",
        "g_07_01010101.json",
        "g_x_01010101.json",
        "g_1_0101010.json",
        "_1_zzzzzzzz.json",
    ];
    foreign
        .iter()
        .for_each(|name| fs::write(archive.dir.join(name), "x").unwrap());
    keep(&archive, &group("g", 1), 1);
    assert_eq!(names(&archive).len(), foreign.len() + 1);
}

#[test]
fn a_failure_is_a_warning_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let archive = archive(dir.path());
    fs::write(dir.path().join("state"), "in the way").unwrap();
    let warning = archive
        .keep(&group("g", 1), Generation::new(1), "x")
        .unwrap();
    assert!(warning.contains("state/archive"), "{warning}");
    fs::remove_file(dir.path().join("state")).unwrap();
    fs::create_dir_all(archive.dir.join("g_1_01010101.json/in-the-way")).unwrap();
    assert!(
        archive
            .keep(&group("g", 1), Generation::new(1), "x")
            .is_some()
    );
    assert_eq!(names(&archive), ["g_1_01010101.json"]);
}

//! What the fuzz targets share: disks in memory, checksums made right, and what must hold of
//! everything that was accepted.

pub mod media;
pub mod memory;
pub mod reply;
pub mod words;

use breakoff::error::Error;
use breakoff::model::device::DM_NAME_MAX;
use breakoff::model::name::NAME_MAX;
use breakoff::model::{Group, Name, Sectors, check};
use breakoff::table::stack::{Device, stack};
use breakoff::table::{DevRef, Target};
use std::collections::HashSet;

/// A text of the fuzzer's as far as it is text.
pub fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

/// A name that was accepted has the documented form, whatever it was read from.
pub fn check_name(name: &Name) {
    let text = name.as_str();
    assert!((1..=NAME_MAX).contains(&text.len()), "{text:?}");
    assert!(
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.+-".contains(&b)),
        "{text:?}"
    );
    assert!(!text.starts_with(['-', '.']), "{text:?}");
}

/// What a device is called fits device-mapper and cannot leave a directory.
pub fn check_dm_name(text: &str) {
    assert!((1..=DM_NAME_MAX).contains(&text.len()), "{text:?}");
    assert!(
        !text.contains('/') && !text.chars().any(char::is_control) && text != "." && text != "..",
        "{text:?}"
    );
}

/// A message is one that a terminal can be given: what it quotes of foreign bytes moves no cursor,
/// and it has an end.
pub fn check_message(text: &str) {
    assert!(
        !text.is_empty() && text.len() < 20_000,
        "{} bytes",
        text.len()
    );
    assert!(!text.chars().any(char::is_control), "{text:?}");
}

/// An error over foreign bytes.
pub fn check_error(err: &Error) {
    check_message(err.message());
}

/// A group that was accepted breaks no rule, and all the devices that follow from it are possible.
pub fn check_group(group: &Group) {
    assert_eq!(check::violations(group), Vec::<String>::new());
    let plexes = group
        .volumes
        .iter()
        .flat_map(|volume| &volume.plexes)
        .map(|plex| &plex.name);
    let names = group
        .disks
        .iter()
        .map(|disk| &disk.media)
        .chain(group.volumes.iter().map(|volume| &volume.name));
    names
        .chain(plexes)
        .chain([&group.name])
        .for_each(check_name);
    let mut taken = HashSet::new();
    for volume in &group.volumes {
        for device in stack(group, volume).unwrap_or_default() {
            check_dm_name(device.name.as_str());
            assert!(device.uuid.as_str().len() < 129, "{}", device.uuid);
            check_table(group, &device, volume.size);
            assert!(
                taken.insert(device.name.clone()),
                "two devices are called {}",
                device.name
            );
        }
    }
}

/// A table has no gap, and its linear lines lie within the space for volumes of their disk.
fn check_table(group: &Group, device: &Device, size: Sectors) {
    let mut at = Sectors::ZERO;
    for line in &device.table.0 {
        assert_eq!(line.start, at, "{device:?}");
        assert!(!line.length.is_zero(), "{device:?}");
        at = at
            .checked_add(line.length)
            .expect("a table is no longer than a volume");
        if let Target::Linear {
            on: DevRef::Disk(id),
            offset,
        } = &line.target
        {
            let disk = group.disk(*id).expect("a table names disks of the group");
            let end = disk
                .data_start
                .checked_add(disk.size)
                .expect("the end of a disk can be expressed");
            assert!(
                *offset >= disk.data_start
                    && offset
                        .checked_add(line.length)
                        .is_some_and(|piece| piece <= end),
                "{device:?}"
            );
        }
    }
    assert!(
        at == size || device.role == breakoff::model::Role::Log,
        "{device:?}"
    );
}

//! Names, device names, identities and sizes from text; a line break separates a group's name from
//! a volume's.
#![no_main]

use breakoff::model::device::{UUID_PREFIX, names_collide};
use breakoff::model::units::{DefaultUnit, parse_size};
use breakoff::model::{DmName, DmUuid, GroupId, Name, Role, Sectors, VolumeId};
use breakoff_fuzz::{check_dm_name, check_name, text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = text(data);
    let (one, other) = text.split_once('\n').unwrap_or((&text, "v"));
    if let (Ok(group), Ok(volume)) = (Name::parse(one), Name::parse(other)) {
        check_pair(&group, &volume);
    }
    if let Some((group, volume)) = DmName::from_kernel(&text).split() {
        assert_eq!(
            DmName::volume(&group, &volume).as_ref().map(DmName::as_str),
            Ok(text.as_str()),
            "not the device of this volume"
        );
    }
    check_uuid(&text);
    for unit in [DefaultUnit::Bytes, DefaultUnit::Sectors] {
        if let Ok(size) = parse_size(&text, unit) {
            check_size(size);
        }
    }
    if let Some(id) = GroupId::parse(&text) {
        assert_eq!(GroupId::parse(&id.simple()), Some(id));
        assert_eq!(GroupId::parse(&id.to_string()), Some(id));
    }
});

fn check_pair(group: &Name, volume: &Name) {
    [group, volume].into_iter().for_each(check_name);
    assert_eq!(names_collide(group, volume), names_collide(volume, group));
    if let Ok(name) = DmName::volume(group, volume) {
        check_dm_name(name.as_str());
        assert_eq!(name.split(), Some((group.clone(), volume.clone())));
    }
    for role in [Role::Volume, Role::Log, Role::Layer(255), Role::Plex(65535)] {
        let inner = DmName::inner(
            group,
            volume,
            VolumeId::from_bytes([7; 16]),
            &role,
            Some(volume),
        );
        check_dm_name(inner.as_str());
        assert_ne!(DmName::volume(group, volume).as_ref(), Ok(&inner));
    }
}

/// A UUID is taken for one of ours only when it is exactly what we would write.
fn check_uuid(text: &str) {
    for text in [
        text.to_owned(),
        format!("{UUID_PREFIX}{text}"),
        format!("{UUID_PREFIX}{}-{text}", "12".repeat(32)),
    ] {
        let Some(uuid) = DmUuid::from_kernel(&text) else {
            continue;
        };
        let (group, volume) = (
            uuid.group().expect("ours has a group"),
            uuid.volume().expect("ours has a volume"),
        );
        assert!(
            text.starts_with(DmUuid::new(group, volume, &Role::Volume).as_str()),
            "{text:?}"
        );
        if let Some(role) = uuid.role() {
            assert_eq!(DmUuid::new(group, volume, &role), uuid);
        }
        assert_eq!(uuid.is_volume(), uuid.role() == Some(Role::Volume));
    }
}

fn check_size(size: Sectors) {
    assert!(size <= Sectors::MAX);
    assert_eq!(
        parse_size(&format!("{}s", size.get()), DefaultUnit::Bytes),
        Ok(size)
    );
    assert_eq!(
        parse_size(&size.bytes().to_string(), DefaultUnit::Bytes),
        Ok(size)
    );
    assert!(size.to_string().len() <= 24);
}

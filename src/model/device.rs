//! The device-mapper names and UUIDs that are derived from the names and identities of a group and
//! a volume.
//!
//! A dm name is `group-volume` with every `-` inside a name doubled, so that it can be split again.
//! Inner devices have a `_` suffix. Where that would exceed dm's limit of 127 bytes, they are named
//! by the volume's identity instead.

use super::ids::{GroupId, VolumeId};
use super::name::Name;
use super::volume::ChangeLog;
use crate::error::{Error, Result};
use std::fmt;

/// The longest name that device-mapper accepts (its buffer of 128 bytes less the final NUL).
pub const DM_NAME_MAX: usize = 127;
/// The prefix of every dm UUID of breakoff.
pub const UUID_PREFIX: &str = "BREAKOFF-";

/// The role of a device within the stack of its volume.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A plex: a linear device over the disks. The number is unique in the volume.
    Plex(u16),
    /// The dirty region log of the volume's mirror.
    Log,
    /// A mirror beneath the volume's own; 1 is the lowest.
    Layer(u8),
    /// The device that holds the volume's data while an `era` on top of it tracks the changes.
    Data,
    /// The map of changes: the metadata device of dm's `era`.
    Map,
    /// The last leg of the map's mirror, a `zero` device. It makes the kernel hold writes to the
    /// map, instead of failing them, when the disks of all other legs are dead (K31).
    Sink,
    /// A change log of the DCO, as the log of a mirror.
    Changes(ChangeLog),
    /// The `era` that formats a new map. It stands in for the volume meanwhile.
    Formatter,
    /// The volume's own device.
    Volume,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Plex(number) => write!(f, "plex{number:02}"),
            Role::Log => f.write_str("log"),
            Role::Layer(level) => write!(f, "layer{level}"),
            Role::Data => f.write_str("data"),
            Role::Map => f.write_str("map"),
            Role::Sink => f.write_str("sink"),
            Role::Changes(ChangeLog::A) => f.write_str("changes1"),
            Role::Changes(ChangeLog::B) => f.write_str("changes2"),
            Role::Formatter => f.write_str("formatter"),
            Role::Volume => f.write_str("volume"),
        }
    }
}

/// A device-mapper name, of the volume itself or of an inner device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DmName(String);

impl DmName {
    /// The name of a volume's own device. Fails with `Usage` when the two names together are too
    /// long.
    pub fn volume(group: &Name, volume: &Name) -> Result<DmName> {
        let name = format!("{}-{}", group.escaped(), volume.escaped());
        if name.len() > DM_NAME_MAX {
            return Err(Error::usage(format!(
                "'{group}' and '{volume}' together are too long: the device name '{name}' has {} bytes, device-mapper allows {DM_NAME_MAX} (each '-' counts twice)",
                name.len()
            )));
        }
        Ok(DmName(name))
    }

    /// The name of an inner device: the volume's name with a suffix, or one made from the volume's
    /// identity when that is too long.
    pub fn inner(
        group: &Name,
        volume: &Name,
        id: VolumeId,
        role: &Role,
        plex: Option<&Name>,
    ) -> DmName {
        let suffix = match (role, plex) {
            (Role::Plex(_), Some(plex)) => plex.escaped(),
            (Role::Layer(level), _) => format!("l{level}"),
            // These suffixes end in `-` and a number, as a plex's does, so that no volume can have
            // such a name (`names_collide`). Volumes may still be called `v_data` or `v_map`.
            (Role::Data, _) => "data--0".to_owned(),
            (Role::Map, _) => "map--0".to_owned(),
            (Role::Sink, _) => "sink--0".to_owned(),
            (Role::Formatter, _) => "formatter--0".to_owned(),
            (Role::Changes(log), _) => format!("changes--{}", *log as u8 + 1),
            (role, _) => role.to_string(),
        };
        let name = format!("{}-{}_{suffix}", group.escaped(), volume.escaped());
        DmName(if name.len() <= DM_NAME_MAX {
            name
        } else {
            format!("breakoff-{}_{role}", id.simple())
        })
    }

    /// The name of a device that nothing needs any more and that waits to be closed. It does not
    /// block the name of any other device.
    pub fn held(uuid: &DmUuid) -> DmName {
        let (volume, role) = uuid
            .parts()
            .map(|(_, volume, role)| (volume.simple(), role))
            .unwrap_or_default();
        DmName(format!("breakoff-{volume}_{role}_held"))
    }

    /// A name as the kernel reports it. It is never used to build a path without a check.
    pub fn from_kernel(name: &str) -> DmName {
        DmName(name.to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Splits `group-volume` into its two names; `None` when the name is not of that form.
    pub fn split(&self) -> Option<(Name, Name)> {
        let marked = self.0.replace("--", "\0");
        let (group, volume) = marked.split_once('-')?;
        if volume.contains('-') {
            return None;
        }
        let plain = |s: &str| Name::parse(&s.replace('\0', "-")).ok();
        let pair = (plain(group)?, plain(volume)?);
        // Refuse a name that only looks alike: one that contains a NUL itself, or is too long.
        (DmName::volume(&pair.0, &pair.1).as_ref() == Ok(self)).then_some(pair)
    }
}

impl fmt::Display for DmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A device-mapper UUID of breakoff: `BREAKOFF-<group><volume>`, for inner devices followed by
/// `-<role>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DmUuid(String);

impl DmUuid {
    /// The UUID of a device in a volume's stack.
    pub fn new(group: GroupId, volume: VolumeId, role: &Role) -> DmUuid {
        let base = format!("{UUID_PREFIX}{}{}", group.simple(), volume.simple());
        DmUuid(if *role == Role::Volume {
            base
        } else {
            format!("{base}-{role}")
        })
    }

    /// A UUID of breakoff as the kernel reports it; `None` for any other UUID.
    pub fn from_kernel(uuid: &str) -> Option<DmUuid> {
        let dm = DmUuid(uuid.to_owned());
        dm.parts().is_some().then_some(dm)
    }

    /// The UUID as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Splits the UUID into group, volume and suffix (empty for the volume itself).
    fn parts(&self) -> Option<(GroupId, VolumeId, &str)> {
        let rest = self.0.strip_prefix(UUID_PREFIX)?;
        // With capitals, the same identity would have a second UUID.
        if rest.get(..64)?.bytes().any(|b| b.is_ascii_uppercase()) {
            return None;
        }
        let group = GroupId::parse(rest.get(..32)?)?;
        let volume = VolumeId::parse(rest.get(32..64)?)?;
        match rest.get(64..)? {
            "" => Some((group, volume, "")),
            suffix => Some((
                group,
                volume,
                suffix.strip_prefix('-').filter(|s| !s.is_empty())?,
            )),
        }
    }

    /// The group that the device belongs to.
    pub fn group(&self) -> Option<GroupId> {
        self.parts().map(|(group, _, _)| group)
    }

    /// The volume that the device belongs to.
    pub fn volume(&self) -> Option<VolumeId> {
        self.parts().map(|(_, volume, _)| volume)
    }

    /// The role of the device in its stack; `None` for a role that this program does not know.
    pub fn role(&self) -> Option<Role> {
        let (_, _, suffix) = self.parts()?;
        let role = match (
            suffix,
            suffix.strip_prefix("plex"),
            suffix.strip_prefix("layer"),
        ) {
            ("", ..) => Role::Volume,
            ("log", ..) => Role::Log,
            ("data", ..) => Role::Data,
            ("map", ..) => Role::Map,
            ("sink", ..) => Role::Sink,
            ("formatter", ..) => Role::Formatter,
            ("changes1", ..) => Role::Changes(ChangeLog::A),
            ("changes2", ..) => Role::Changes(ChangeLog::B),
            (_, Some(number), _) => Role::Plex(number.parse().ok()?),
            (_, _, Some(level)) => Role::Layer(level.parse().ok()?),
            _ => return None,
        };
        // `plex1` and `plex+01` are not `plex01`: two devices must not have the same role.
        (role == Role::Volume || role.to_string() == suffix).then_some(role)
    }

    /// Whether this is a volume's own device and not an inner one.
    pub fn is_volume(&self) -> bool {
        self.parts().is_some_and(|(_, _, suffix)| suffix.is_empty())
    }
}

impl fmt::Display for DmUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether volumes `a` and `b` of one group could ever give two devices the same name, because one
/// volume's name is the other's with the suffix of an inner device (`v` and `v_log`).
pub fn names_collide(a: &Name, b: &Name) -> bool {
    let inner = |outer: &Name, other: &Name| {
        let Some(suffix) = other
            .as_str()
            .strip_prefix(outer.as_str())
            .and_then(|rest| rest.strip_prefix('_'))
        else {
            return false;
        };
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        suffix == "log"
            || suffix.strip_prefix('l').is_some_and(digits)
            || suffix.rsplit_once('-').is_some_and(|(_, n)| digits(n))
    };
    inner(a, b) || inner(b, a)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn name(word: &str) -> Name {
        Name::parse(word).unwrap()
    }

    #[test]
    fn dm_names_come_apart_again() {
        for (g, v) in [
            ("g", "v"),
            ("a-b", "c"),
            ("a", "b-c"),
            ("a-", "b"),
            ("a--b", "c-d-"),
        ] {
            let dm = DmName::volume(&name(g), &name(v)).unwrap();
            assert_eq!(dm.split(), Some((name(g), name(v))), "{dm}");
        }
        for other in ["plain", "a\0b-c", &format!("a{}-bc", "-".repeat(124))] {
            assert_eq!(DmName::from_kernel(other).split(), None, "{other:?}");
        }
    }

    #[test]
    fn the_longest_legal_pair_fits_device_mapper() {
        let (long, dashed) = (name(&"n".repeat(63)), name(&format!("a{}", "-".repeat(62))));
        assert_eq!(
            DmName::volume(&long, &long).unwrap().as_str().len(),
            DM_NAME_MAX
        );
        assert!(DmName::volume(&long, &dashed).is_err());
        let inner = DmName::inner(
            &long,
            &long,
            VolumeId::random(),
            &Role::Plex(1),
            Some(&long),
        );
        assert!(inner.as_str().len() <= DM_NAME_MAX);
        let uuid = DmUuid::new(GroupId::random(), VolumeId::random(), &Role::Layer(255));
        assert!(uuid.as_str().len() < 129);
        assert!(DmName::held(&uuid).as_str().len() <= DM_NAME_MAX);
    }

    #[test]
    fn inner_names_never_meet_a_volume_of_another_name() {
        assert!(names_collide(&name("v"), &name("v_log")));
        assert!(names_collide(&name("v_v-01"), &name("v")));
        assert!(names_collide(&name("v"), &name("v_l2")));
        assert!(!names_collide(&name("v"), &name("v_old")));
        assert!(!names_collide(&name("v"), &name("v2")));
    }

    #[test]
    fn only_our_own_uuids_are_taken_from_the_kernel() {
        let ours = DmUuid::new(GroupId::random(), VolumeId::random(), &Role::Log);
        assert_eq!(DmUuid::from_kernel(ours.as_str()), Some(ours));
        for other in [
            "",
            "LVM-abc",
            "BREAKOFF-",
            "BREAKOFF-zz",
            &format!("BREAKOFF-{}-", "0".repeat(64)),
            &format!("BREAKOFF-{}x", "0".repeat(64)),
        ] {
            assert_eq!(DmUuid::from_kernel(other), None, "{other}");
        }
        assert_eq!(
            DmUuid::from_kernel(&format!("BREAKOFF-{}", "aB".repeat(32))),
            None
        );
    }

    #[test]
    fn a_role_is_written_in_one_way() {
        let role = |suffix: &str| {
            DmUuid::from_kernel(&format!("BREAKOFF-{}-{suffix}", "ab".repeat(32)))
                .unwrap()
                .role()
        };
        for (suffix, expected) in [
            ("log", Role::Log),
            ("plex01", Role::Plex(1)),
            ("plex123", Role::Plex(123)),
            ("layer2", Role::Layer(2)),
        ] {
            assert_eq!(role(suffix), Some(expected));
        }
        for other in [
            "volume",
            "plex1",
            "plex+1",
            "plex001",
            "plex",
            "plex65536",
            "layer02",
            "layer256",
            "logs",
        ] {
            assert_eq!(role(other), None, "{other}");
        }
    }
}

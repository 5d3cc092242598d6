//! What the kernel lacks of device-mapper, what that means for a group, and where the missing modules
//! are. Said when a group is created or imported, because later it would be noticed only by a refusal
//! or by how long a copy takes.

use crate::model::Platform;
use std::fmt::Write as _;

/// The targets that a group's volumes use, beyond those that are part of device-mapper itself. Each
/// is a module, `dm-` and its name.
pub const TARGETS: [&str; 3] = ["mirror", "era", "zero"];

/// What the kernel lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lacking {
    /// Those of [`TARGETS`] that it has not, and for which no module could be loaded.
    pub targets: Vec<&'static str>,
    /// The kernel.
    pub platform: Platform,
}

impl Lacking {
    /// The note for the administrator; `None` if nothing is missing.
    pub fn note(&self) -> Option<String> {
        let [first, others @ ..] = self.targets.as_slice() else {
            return None;
        };
        let mut missing = format!("'{first}'");
        for (n, target) in others.iter().enumerate() {
            let joint = if n + 1 == others.len() { " and" } else { "," };
            // A String takes everything.
            let _ = write!(missing, "{joint} '{target}'");
        }
        let (targets, modules) = if others.is_empty() {
            ("target", "module")
        } else {
            ("targets", "modules")
        };
        let means = if self.targets.contains(&"mirror") {
            "volumes can have one plex only, and there are no snapshots"
        } else {
            "changes are not tracked, and every snapback copies everything"
        };
        let release = self.platform.release.as_deref().unwrap_or_default();
        let kernel = format!("this kernel {release}");
        Some(format!(
            "{} lacks the device-mapper {targets} {missing}: {means}; {}",
            kernel.trim_end(),
            self.remedy(modules)
        ))
    }

    /// Where the missing modules are. Only what is known of a distribution is said of it: Debian's
    /// and Ubuntu's kernels have all of these modules in the kernel's own package (on Ubuntu not in
    /// `linux-modules-extra`), Alpine's are built without `era`.
    fn remedy(&self, modules: &str) -> String {
        let Platform {
            release,
            has_modules,
            ..
        } = &self.platform;
        let Some(release) = release else {
            return format!("build or load the missing {modules}");
        };
        if !has_modules {
            return format!(
                "no modules of this kernel are installed here (/lib/modules/{release}): if it was updated, boot the new one"
            );
        }
        let like = |name| self.platform.is_like(name);
        // What descends from Ubuntu descends from Debian, too.
        if like("ubuntu") {
            format!("Ubuntu has the {modules} in the package linux-modules-{release}")
        } else if like("debian") {
            let package = if self.platform.version() < Some((6, 19)) {
                "image"
            } else {
                "modules"
            };
            format!("Debian has the {modules} in the package linux-{package}-{release}")
        } else if like("fedora") || like("rhel") {
            format!(
                "further modules are in the packages kernel-modules-{release} and kernel-modules-extra-{release}"
            )
        } else if like("alpine") && self.targets == ["era"] {
            "Alpine's own kernels are built without it".to_owned()
        } else {
            format!("build or load the missing {modules}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(targets: &[&'static str], distributions: &[&str], release: &str) -> String {
        let lacking = Lacking {
            targets: targets.to_vec(),
            platform: Platform {
                release: Some(release.to_owned()),
                has_modules: true,
                distributions: distributions
                    .iter()
                    .map(|name| (*name).to_owned())
                    .collect(),
            },
        };
        lacking.note().unwrap_or_default()
    }

    #[test]
    fn a_kernel_that_has_all_is_not_spoken_of() {
        assert_eq!(Lacking::default().note(), None);
    }

    #[test]
    fn what_is_missing_and_what_that_means_is_said() {
        let said = note(&["era"], &["gentoo"], "6.6.1");
        assert_eq!(
            said,
            "this kernel 6.6.1 lacks the device-mapper target 'era': changes are not tracked, and every snapback copies everything; \
             build or load the missing module"
        );
        let said = note(&["mirror", "era", "zero"], &[], "6.6.1");
        assert_eq!(
            said,
            "this kernel 6.6.1 lacks the device-mapper targets 'mirror', 'era' and 'zero': volumes can have one plex only, and there \
             are no snapshots; build or load the missing modules"
        );
        let unknown = Lacking {
            targets: vec!["zero"],
            platform: Platform::default(),
        };
        let said = unknown.note().unwrap_or_default();
        assert!(said.starts_with("this kernel lacks "), "{said}");
    }

    #[test]
    fn the_package_is_named_where_it_is_known() {
        for (distributions, release, package) in [
            (
                &["debian"][..],
                "6.1.0-57-cloud-amd64",
                "linux-image-6.1.0-57-cloud-amd64",
            ),
            (
                &["debian"],
                "6.18.1+deb14-amd64",
                "linux-image-6.18.1+deb14-amd64",
            ),
            (
                &["debian"],
                "6.19.2+deb14-amd64",
                "linux-modules-6.19.2+deb14-amd64",
            ),
            (
                &["debian"],
                "7.2.13+deb14-amd64",
                "linux-modules-7.2.13+deb14-amd64",
            ),
            (
                &["ubuntu", "debian"],
                "6.8.0-31-generic",
                "linux-modules-6.8.0-31-generic",
            ),
            (
                &["linuxmint", "ubuntu", "debian"],
                "5.15.0-91-generic",
                "linux-modules-5.15.0-91-generic",
            ),
            (
                &["fedora"],
                "6.9.7-200.fc40.x86_64",
                "kernel-modules-extra-6.9.7-200.fc40.x86_64",
            ),
            (
                &["rocky", "rhel", "centos", "fedora"],
                "5.14.0-427.el9.x86_64",
                "kernel-modules-extra-5.14.0-427.el9.x86_64",
            ),
        ] {
            let said = note(&["era", "zero"], distributions, release);
            assert!(
                said.split_whitespace().any(|word| word == package),
                "{distributions:?} {release}: {said}"
            );
        }
        let said = note(&["era"], &["alpine"], "6.12.30-0-lts");
        assert!(
            said.ends_with("; Alpine's own kernels are built without it"),
            "{said}"
        );
        let said = note(&["mirror", "era"], &["alpine"], "6.12.30-0-lts");
        assert!(
            said.ends_with("; build or load the missing modules"),
            "{said}"
        );
    }

    #[test]
    fn a_kernel_whose_modules_are_gone_is_told_from_one_without_them() {
        let updated = Lacking {
            targets: vec!["era"],
            platform: Platform {
                release: Some("6.1.0-10-amd64".to_owned()),
                has_modules: false,
                distributions: vec!["debian".to_owned()],
            },
        };
        let said = updated.note().unwrap_or_default();
        assert!(
            said.contains("(/lib/modules/6.1.0-10-amd64): if it was updated, boot"),
            "{said}"
        );
        assert!(!said.contains("linux-image"), "{said}");
    }
}

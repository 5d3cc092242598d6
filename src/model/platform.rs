//! The kernel that this runs on and its distribution, as far as they say where something missing can
//! be had.

/// The kernel and its distribution.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Platform {
    /// The kernel's release, such as `6.1.0-56-cloud-amd64`, if it is known.
    pub release: Option<String>,
    /// Whether modules of just this kernel are installed.
    pub has_modules: bool,
    /// The distribution and those that it descends from, by their names in os-release, the nearest
    /// first.
    pub distributions: Vec<String>,
}

impl Platform {
    /// The kernel's version: the first two numbers of its release.
    pub fn version(&self) -> Option<(u32, u32)> {
        let mut numbers = self.release.as_ref()?.split(|c: char| !c.is_ascii_digit());
        let mut next = || numbers.next()?.parse().ok();
        Some((next()?, next()?))
    }

    /// Whether the distribution is this one, or descends from it.
    pub fn is_like(&self, distribution: &str) -> bool {
        self.distributions.iter().any(|name| name == distribution)
    }
}

/// The names of a distribution and of those that it descends from: `ID` and `ID_LIKE` in the text of
/// an os-release file.
pub fn distributions(os_release: &str) -> Vec<String> {
    let value = |key: &str| {
        let mut lines = os_release.lines().map(str::trim);
        lines
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map(|value| value.trim_matches(['"', '\'']))
            .unwrap_or_default()
    };
    let names = [value("ID"), value("ID_LIKE")];
    names
        .iter()
        .flat_map(|names| names.split_whitespace())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_and_its_kin_are_read_from_os_release() {
        let rocky = "NAME=\"Rocky Linux\"\nVERSION_ID=\"9.4\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n";
        assert_eq!(distributions(rocky), ["rocky", "rhel", "centos", "fedora"]);
        assert_eq!(distributions("VERSION_ID=12\nID=debian\n"), ["debian"]);
        assert_eq!(distributions("ID_LIKE='debian'\nID='x'"), ["x", "debian"]);
        assert!(distributions("# nothing\n").is_empty());
    }

    #[test]
    fn a_version_is_the_beginning_of_a_release() {
        let of = |release: &str| {
            let release = Some(release.to_owned());
            Platform {
                release,
                ..Platform::default()
            }
            .version()
        };
        assert_eq!(of("6.12.118+deb13-cloud-amd64"), Some((6, 12)));
        assert_eq!(of("7.2-rc1"), Some((7, 2)));
        assert_eq!(of("unknown"), None);
        assert_eq!(Platform::default().version(), None);
    }
}

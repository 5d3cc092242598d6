//! Names of groups, disks, volumes and plexes, as an administrator may choose them.

use super::ids::GroupId;
use crate::error::{Error, Result};
use std::fmt;

/// The longest name in bytes. Two names of this length without dashes, and the `-` between them,
/// just fit into a device-mapper name.
pub const NAME_MAX: usize = 63;

/// The name of a group, a disk (media name), a volume or a plex: `[A-Za-z0-9_.+-]`, 1–63 bytes, not
/// starting with `-` or `.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Checks a word and makes a name of it. Fails with `Usage` when it is not a legal name.
    pub fn parse(word: &str) -> Result<Name> {
        let bad = |why: &str| Err(Error::usage(format!("'{word}' cannot be a name: {why}")));
        if word.is_empty() {
            return bad("it is empty");
        }
        if word.len() > NAME_MAX {
            return bad(&format!(
                "it has {} bytes, at most {NAME_MAX} are allowed",
                word.len()
            ));
        }
        if word.starts_with(['-', '.']) {
            return bad("it starts with '-' or '.'");
        }
        match word
            .chars()
            .find(|c| !c.is_ascii_alphanumeric() && !"_.+-".contains(*c))
        {
            Some(c) => bad(&format!("{c:?} is not one of A-Z a-z 0-9 _ . + -")),
            None => Ok(Name(word.to_owned())),
        }
    }

    /// The identity of a group in the form of a name, for a group whose own name is ambiguous.
    pub fn of_group(id: GroupId) -> Name {
        Name(id.to_string())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name with every dash doubled, as it appears in device-mapper names.
    pub(super) fn escaped(&self) -> String {
        self.0.replace('-', "--")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_documented_alphabet_and_length() {
        for good in ["a", "vol01", "A+b_c.d-e", "_x", &"n".repeat(63)] {
            assert!(Name::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            ".a",
            "a/b",
            "a b",
            "ä",
            "a\n",
            "..",
            &"n".repeat(64),
        ] {
            assert!(Name::parse(bad).is_err(), "{bad}");
        }
    }
}

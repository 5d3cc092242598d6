//! Who may use the device node of a volume: a user, a group and permission bits.

use crate::error::{Error, Result};
use std::fmt;

/// What is recorded of the owner of a volume's device node. What is `None` is as the system has it
/// by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeOwner {
    /// The user that owns it.
    pub user: Option<Account>,
    /// The group that it belongs to.
    pub group: Option<Account>,
    /// Its permission bits.
    pub mode: Option<NodeMode>,
}

impl NodeOwner {
    /// Whether nothing is recorded.
    pub fn is_default(&self) -> bool {
        *self == NodeOwner::default()
    }

    /// This one with what `change` sets.
    pub fn with(&self, change: &NodeOwner) -> NodeOwner {
        let or = |new: &Option<Account>, old: &Option<Account>| new.clone().or_else(|| old.clone());
        NodeOwner {
            user: or(&change.user, &self.user),
            group: or(&change.group, &self.group),
            mode: change.mode.or(self.mode),
        }
    }
}

/// A user or a group, by name or by number, as it was typed. A machine that has no such name can
/// use the volume all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account(String);

impl Account {
    /// The most bytes of a name.
    pub const MOST: usize = 64;

    /// Checks a word. Fails with `Usage` when it can be neither a name nor a number.
    pub fn parse(word: &str) -> Result<Account> {
        let is_number = word.bytes().all(|b| b.is_ascii_digit());
        let is_plain = |c: char| !c.is_control() && !c.is_whitespace() && !":,/".contains(c);
        let is_good = match word {
            "" => false,
            _ if is_number => parse_id(word).is_some(),
            _ => word.len() <= Self::MOST && !word.starts_with('-') && word.chars().all(is_plain),
        };
        if !is_good {
            return Err(Error::usage(format!(
                "'{word}' is neither the name nor the number of a user or a group"
            )));
        }
        Ok(Account(word.to_owned()))
    }

    /// The number, if it was given as one.
    pub fn id(&self) -> Option<u32> {
        parse_id(&self.0)
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The largest number means "leave it as it is" to the kernel.
fn parse_id(word: &str) -> Option<u32> {
    let is_number = word.bytes().all(|b| b.is_ascii_digit());
    let id = word.parse().ok().filter(|id| *id != u32::MAX);
    id.filter(|_| is_number)
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The permission bits of a device node: three octal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeMode(u16);

impl NodeMode {
    /// `None` for more than the nine bits of a device node.
    pub fn new(bits: u16) -> Option<NodeMode> {
        (bits <= 0o777).then_some(NodeMode(bits))
    }

    /// Octal digits, such as `660` or `0660`. Fails with `Usage` for everything else.
    pub fn parse(word: &str) -> Result<NodeMode> {
        let is_octal = (3..=4).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_digit());
        let bits = u16::from_str_radix(word, 8).ok().filter(|_| is_octal);
        bits.and_then(NodeMode::new).ok_or_else(|| {
            Error::usage(format!(
                "'{word}' are not the permissions of a device: three octal digits such as 0660"
            ))
        })
    }

    /// The bits.
    pub fn bits(self) -> u16 {
        self.0
    }
}

impl fmt::Display for NodeMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_names_or_numbers() {
        for good in [
            "oracle",
            "_x",
            "4711",
            "0",
            "DOMAIN\\me",
            "me@corp.example",
            "svc$",
            "1st",
        ] {
            assert_eq!(Account::parse(good).unwrap().as_str(), good);
        }
        let long = "n".repeat(65);
        for bad in [
            "",
            "a b",
            "a:b",
            "-x",
            "a/b",
            "a\n",
            "4294967295",
            "99999999999",
            &long,
        ] {
            assert!(Account::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Account::parse("4711").unwrap().id(), Some(4711));
        assert_eq!(Account::parse("1st").unwrap().id(), None);
    }

    #[test]
    fn modes_have_nine_bits() {
        for (word, bits, shown) in [("660", 0o660, "0660"), ("0600", 0o600, "0600")] {
            let mode = NodeMode::parse(word).unwrap();
            assert_eq!((mode.bits(), mode.to_string().as_str()), (bits, shown));
        }
        for bad in [
            "", "7", "66", "4660", "01777", "888", "u=rw", "+660", "06600",
        ] {
            assert!(NodeMode::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_change_keeps_what_it_does_not_set() {
        let account = |word| Some(Account::parse(word).unwrap());
        let old = NodeOwner {
            user: account("a"),
            mode: NodeMode::new(0o600),
            ..NodeOwner::default()
        };
        let change = NodeOwner {
            group: account("g"),
            mode: NodeMode::new(0o640),
            ..NodeOwner::default()
        };
        let both = old.with(&change);
        assert_eq!((both.user, both.group), (account("a"), account("g")));
        assert_eq!(both.mode, NodeMode::new(0o640));
        assert!(NodeOwner::default().is_default());
    }
}

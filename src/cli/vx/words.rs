//! A VxVM command line split into options, verb, `name=value` attributes and operands, in any
//! order. Called by `vx` only.
//!
//! Each part can be taken once. What was not taken is refused at the end, so that no word is
//! ignored by mistake.

use crate::error::{Error, Result};
use crate::model::Name;
use crate::plan::request::Placement;
use std::ffi::OsString;

/// The longest task tag, in bytes.
const TAG_MAX: usize = 16;

/// The parts of a command line.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// `-g`: the group.
    pub(super) group: Option<Name>,
    /// `-b`: do not wait for the copy; accepted by all verbs.
    pub(super) background: bool,
    /// `-f`: force.
    pub(super) force: bool,
    /// `-q`: less output.
    pub(super) quiet: bool,
    /// `-v`: more output.
    pub(super) verbose: bool,
    /// `-V`: only show what would be done.
    pub(super) mock: bool,
    /// The first word that is not an option, an attribute or an excluded disk.
    pub(super) verb: Option<String>,
    /// `-o`, split at commas.
    uses: Vec<String>,
    attributes: Vec<(String, String)>,
    operands: Vec<String>,
    /// `!disk`: the disks not to be used, without the `!`.
    excluded: Vec<String>,
}

impl Words {
    pub(super) fn parse(args: &[OsString]) -> Result<Words> {
        let mut words = Words::default();
        let mut args = args.iter().map(text);
        while let Some(word) = args.next() {
            let word = word?;
            match word.strip_prefix('-') {
                Some(cluster) if !cluster.is_empty() => words.cluster(cluster, || args.next())?,
                _ => words.plain(word),
            }
        }
        Ok(words)
    }

    /// Parses the options behind one dash as getopt does: a value follows at once or is the next
    /// word.
    fn cluster<'a>(
        &mut self,
        cluster: &str,
        next: impl FnOnce() -> Option<Result<&'a str>>,
    ) -> Result<()> {
        for (at, option) in cluster.char_indices() {
            let rest = &cluster[at + option.len_utf8()..];
            if "gotUd".contains(option) {
                let value = if rest.is_empty() {
                    next().unwrap_or_else(|| Err(no_value(option)))?
                } else {
                    rest
                };
                return self.valued(option, value);
            }
            self.flag(option)?;
        }
        Ok(())
    }

    fn valued(&mut self, option: char, value: &str) -> Result<()> {
        match option {
            'g' => self.group = Some(Name::parse(value)?),
            'o' => self.uses.extend(value.split(',').map(str::to_owned)),
            // There is no task list to look up a tag in: the kernel copies, and `print` shows how
            // far it is.
            't' if value.len() <= TAG_MAX => {}
            't' => {
                return Err(Error::usage(format!(
                    "the tag '{value}' has more than {TAG_MAX} characters"
                )));
            }
            // A filesystem is frozen whatever the usage type, so both mean the same.
            'U' if ["fsgen", "gen"].contains(&value) => {}
            'U' => {
                return Err(
                    Error::usage(format!("the usage type '{value}' is not supported"))
                        .hint("there are fsgen and gen"),
                );
            }
            _ => {
                return Err(Error::usage(
                    "'-d' is not supported: there is no file of defaults",
                ));
            }
        }
        Ok(())
    }

    fn flag(&mut self, option: char) -> Result<()> {
        match option {
            'b' => self.background = true,
            'f' => self.force = true,
            'q' => self.quiet = true,
            'v' => self.verbose = true,
            'V' => self.mock = true,
            // No disk is reserved as a spare, so `-r` has nothing to allow.
            'r' => {}
            other => {
                return Err(
                    Error::usage(format!("the option '-{other}' is not supported"))
                        .hint("see 'vxassist help'"),
                );
            }
        }
        Ok(())
    }

    fn plain(&mut self, word: &str) {
        match (word.strip_prefix('!'), word.split_once('=')) {
            (Some(disk), _) => self.excluded.push(disk.to_owned()),
            (None, Some((name, value))) => {
                self.attributes.push((name.to_owned(), value.to_owned()));
            }
            (None, None) if self.verb.is_none() => self.verb = Some(word.to_owned()),
            (None, None) => self.operands.push(word.to_owned()),
        }
    }

    /// Takes the next operand.
    pub(super) fn operand(&mut self, what: &str) -> Result<String> {
        if self.operands.is_empty() {
            let verb = self.verb.as_deref().unwrap_or_default();
            return Err(Error::usage(format!("'{verb}' needs {what}")).hint("see 'vxassist help'"));
        }
        Ok(self.operands.remove(0))
    }

    /// Takes the next operand, which is a name.
    pub(super) fn name(&mut self, what: &str) -> Result<Name> {
        Name::parse(&self.operand(what)?)
    }

    /// Takes all operands that are left, which are names.
    pub(super) fn names(&mut self) -> Result<Vec<Name>> {
        std::mem::take(&mut self.operands)
            .iter()
            .map(|word| Name::parse(word))
            .collect()
    }

    /// Takes an attribute; the last one counts, as in VxVM.
    pub(super) fn attribute(&mut self, name: &str) -> Option<String> {
        let value = self
            .attributes
            .iter()
            .rev()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.clone());
        self.attributes.retain(|(n, _)| n != name);
        value
    }

    /// Takes an option of `-o`; returns whether it was given.
    pub(super) fn uses(&mut self, option: &str) -> bool {
        let before = self.uses.len();
        self.uses.retain(|o| o != option);
        self.uses.len() < before
    }

    /// Takes the value of an option of `-o`.
    pub(super) fn uses_value(&mut self, option: &str) -> Option<String> {
        let value = |o: &String| o.strip_prefix(option)?.strip_prefix('=').map(str::to_owned);
        let found = self.uses.iter().rev().find_map(value);
        self.uses.retain(|o| value(o).is_none());
        found
    }

    /// Takes everything that selects disks: bare names, `alloc=a,b` and `!disk`.
    pub(super) fn placement(&mut self) -> Result<Placement> {
        let listed = self.attribute("alloc").unwrap_or_default();
        let listed = listed.split([',', ' ']).filter(|word| !word.is_empty());
        let (excluded, listed): (Vec<&str>, Vec<&str>) =
            listed.partition(|word| word.starts_with('!'));
        let named = self.operands.drain(..).collect::<Vec<_>>();
        let on = disks(named.iter().map(String::as_str).chain(listed))?;
        let avoid = disks(
            self.excluded
                .drain(..)
                .collect::<Vec<_>>()
                .iter()
                .map(String::as_str)
                .chain(excluded),
        )?;
        match on.iter().find(|disk| avoid.contains(disk)) {
            Some(disk) => Err(Error::usage(format!(
                "the disk '{disk}' is both named and excluded"
            ))),
            None => Ok(Placement { on, avoid }),
        }
    }

    /// Refuses by name what was not taken.
    pub(super) fn finish(mut self) -> Result<()> {
        // A comment is accepted and not stored.
        self.attribute("comment");
        let verb = self.verb.as_deref().unwrap_or_default();
        let left = self
            .attributes
            .first()
            .map(|(name, _)| format!("the attribute '{name}='"));
        let left = left.or_else(|| self.uses.first().map(|option| format!("'-o {option}'")));
        let left = left.or_else(|| {
            self.operands
                .first()
                .map(|word| format!("the operand '{word}'"))
        });
        let left = left.or_else(|| {
            self.excluded
                .first()
                .map(|disk| format!("the operand '!{disk}'"))
        });
        match left {
            Some(what) => Err(
                Error::usage(format!("{what} is not supported for '{verb}'"))
                    .hint("see 'vxassist help'"),
            ),
            None => Ok(()),
        }
    }
}

fn text(word: &OsString) -> Result<&str> {
    word.to_str()
        .ok_or_else(|| Error::usage(format!("{word:?} is not text")))
}

fn no_value(option: char) -> Error {
    Error::usage(format!("the option '-{option}' needs a value")).hint("see 'vxassist help'")
}

/// Parses media names. Refuses a class of storage, such as `ctlr:c1`.
fn disks<'a>(words: impl Iterator<Item = &'a str>) -> Result<Vec<Name>> {
    let disk = |word: &str| match word.trim_start_matches('!').split_once(':') {
        Some((class, _)) => Err(Error::usage(format!(
            "the storage class '{class}:' is not supported"
        ))
        .hint("name the disks themselves")),
        None => Name::parse(word.trim_start_matches('!')),
    };
    words.map(disk).collect()
}

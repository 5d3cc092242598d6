//! A VxVM command line split into options, keyword, `name=value` attributes and operands, in any
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

/// How the words of a utility are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Syntax {
    /// The name that the utility is called by.
    pub(super) utility: &'static str,
    /// The letters of options with a value. `-g` and `-o` are the same in all utilities.
    pub(super) valued: &'static str,
    /// The letters of options without a value.
    pub(super) flags: &'static str,
    /// Whether the first word is a keyword, such as `start`.
    pub(super) keyword: bool,
}

/// The parts of a command line.
#[derive(Debug)]
pub(super) struct Words {
    syntax: Syntax,
    /// `-g`: the group, by name or UUID.
    pub(super) group: Option<Name>,
    /// The first word that is not an option, an attribute or an excluded disk, where the utility has
    /// keywords.
    pub(super) verb: Option<String>,
    flags: Vec<char>,
    values: Vec<(char, String)>,
    /// `-o`, split at commas.
    uses: Vec<String>,
    /// Attributes and operands in their order.
    plain: Vec<Plain>,
    /// `!disk`: the disks not to be used, without the `!`.
    excluded: Vec<String>,
}

#[derive(Debug)]
enum Plain {
    Attribute(String, String),
    Operand(String),
}

impl Words {
    pub(super) fn parse(args: &[OsString], syntax: Syntax) -> Result<Words> {
        let mut words = Words {
            syntax,
            group: None,
            verb: None,
            flags: Vec::new(),
            values: Vec::new(),
            uses: Vec::new(),
            plain: Vec::new(),
            excluded: Vec::new(),
        };
        let mut args = args.iter().map(text);
        let mut options = true;
        while let Some(word) = args.next() {
            let word = word?;
            match word.strip_prefix('-').filter(|_| options) {
                Some("-") => options = false,
                // A number is a length that something shrinks by.
                Some(cluster) if !cluster.is_empty() && !cluster.starts_with(is_digit) => {
                    words.cluster(cluster, || args.next())?;
                }
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
            if option == 'g' || option == 'o' || self.syntax.valued.contains(option) {
                let rest = &cluster[at + option.len_utf8()..];
                let value = if rest.is_empty() {
                    next().unwrap_or_else(|| Err(self.no_value(option)))?
                } else {
                    rest
                };
                return self.valued(option, value);
            }
            if !self.syntax.flags.contains(option) {
                return Err(
                    Error::usage(format!("the option '-{option}' is not supported"))
                        .hint(self.see_help()),
                );
            }
            self.flags.push(option);
        }
        Ok(())
    }

    fn valued(&mut self, option: char, value: &str) -> Result<()> {
        match option {
            'g' => self.group = Some(Name::parse(value)?),
            'o' => self.uses.extend(value.split(',').map(str::to_owned)),
            _ => self.values.push((option, value.to_owned())),
        }
        Ok(())
    }

    fn plain(&mut self, word: &str) {
        match (word.strip_prefix('!'), word.split_once('=')) {
            (Some(disk), _) => self.excluded.push(disk.to_owned()),
            (None, Some((name, value))) => self
                .plain
                .push(Plain::Attribute(name.to_owned(), value.to_owned())),
            (None, None) if self.verb.is_none() && self.syntax.keyword => {
                self.verb = Some(word.to_owned());
            }
            (None, None) => self.plain.push(Plain::Operand(word.to_owned())),
        }
    }

    /// Returns the keyword; fails when there is none.
    pub(super) fn keyword(&self) -> Result<String> {
        let missing = || Error::usage("a keyword is missing").hint(self.see_help());
        self.verb.clone().ok_or_else(missing)
    }

    /// Takes an option without a value; returns whether it was given.
    pub(super) fn flag(&mut self, option: char) -> bool {
        let before = self.flags.len();
        self.flags.retain(|flag| *flag != option);
        self.flags.len() < before
    }

    /// Takes options that change nothing here.
    pub(super) fn without_effect(&mut self, options: &str) {
        self.flags.retain(|flag| !options.contains(*flag));
    }

    /// Takes the value of an option; the last one counts.
    pub(super) fn value(&mut self, option: char) -> Option<String> {
        let given = self.values.iter().rev().find(|(o, _)| *o == option);
        let value = given.map(|(_, value)| value.clone());
        self.values.retain(|(o, _)| *o != option);
        value
    }

    /// Takes `-t`, the tag of a task. It is checked, and nothing looks a task up by it: the kernel
    /// copies, and a task is known by its plex.
    pub(super) fn tag(&mut self) -> Result<()> {
        match self.value('t') {
            Some(tag) if tag.len() > TAG_MAX => Err(Error::usage(format!(
                "the tag '{tag}' has more than {TAG_MAX} characters"
            ))),
            _ => Ok(()),
        }
    }

    /// Takes the usage type, `-U` or `usetype=`. A filesystem is frozen whatever it is, so both mean
    /// the same.
    pub(super) fn usage_type(&mut self) -> Result<()> {
        let given = [self.value('U'), self.attribute("usetype")];
        let known = |word: &String| ["fsgen", "gen"].contains(&word.as_str());
        match given.into_iter().flatten().find(|word| !known(word)) {
            None => Ok(()),
            Some(other) => Err(
                Error::usage(format!("the usage type '{other}' is not supported"))
                    .hint("there are fsgen and gen"),
            ),
        }
    }

    /// Takes the next operand.
    pub(super) fn operand(&mut self, what: &str) -> Result<String> {
        let operand = |plain: &Plain| matches!(plain, Plain::Operand(_));
        let at = self.plain.iter().position(operand);
        match at.map(|at| self.plain.remove(at)) {
            Some(Plain::Operand(word)) => Ok(word),
            _ => {
                let verb = self.verb.as_deref().unwrap_or(self.syntax.utility);
                Err(Error::usage(format!("'{verb}' needs {what}")).hint(self.see_help()))
            }
        }
    }

    /// Takes the next operand, which is a name.
    pub(super) fn name(&mut self, what: &str) -> Result<Name> {
        Name::parse(&self.operand(what)?)
    }

    /// Takes all operands that are left.
    pub(super) fn operands(&mut self) -> Vec<String> {
        let (operands, rest) = std::mem::take(&mut self.plain)
            .into_iter()
            .partition(|plain| matches!(plain, Plain::Operand(_)));
        self.plain = rest;
        let word = |plain| match plain {
            Plain::Operand(word) | Plain::Attribute(word, _) => word,
        };
        let operands: Vec<Plain> = operands;
        operands.into_iter().map(word).collect()
    }

    /// Takes all operands that are left, which are names.
    pub(super) fn names(&mut self) -> Result<Vec<Name>> {
        self.operands()
            .iter()
            .map(|word| Name::parse(word))
            .collect()
    }

    /// Takes all operands that are left, at least one, which are names.
    pub(super) fn some_names(&mut self, what: &str) -> Result<Vec<Name>> {
        let first = self.name(what)?;
        let mut names = self.names()?;
        names.insert(0, first);
        Ok(names)
    }

    /// Takes an attribute; the last one counts, as in VxVM.
    pub(super) fn attribute(&mut self, name: &str) -> Option<String> {
        let value = |plain: &Plain| match plain {
            Plain::Attribute(n, value) if n == name => Some(value.clone()),
            Plain::Attribute(..) | Plain::Operand(_) => None,
        };
        let found = self.plain.iter().rev().find_map(value);
        self.plain.retain(|plain| value(plain).is_none());
        found
    }

    /// Takes all words that are left as `(name, value)` and `(None, value)`, in their order: disks
    /// with and without a media name.
    pub(super) fn pairs(&mut self) -> Vec<(Option<String>, String)> {
        let pair = |plain| match plain {
            Plain::Attribute(name, value) => (Some(name), value),
            Plain::Operand(word) => (None, word),
        };
        std::mem::take(&mut self.plain)
            .into_iter()
            .map(pair)
            .collect()
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

    /// Takes the pace of a copy, `-o iosize=SIZE`, `-o slow` and `-o slow=MS`: the kernel chooses
    /// both.
    pub(super) fn pace(&mut self) -> Result<()> {
        if let Some(size) = self.uses_value("iosize") {
            super::length_of(&size)?;
        }
        let number = |ms: &String| ms.parse::<u32>().is_ok();
        match self.uses_value("slow").filter(|ms| !number(ms)) {
            Some(ms) => Err(Error::usage(format!("'slow={ms}' is no number"))),
            None => {
                self.uses("slow");
                Ok(())
            }
        }
    }

    /// Takes `!disk`, the disks that are excluded.
    pub(super) fn excluded(&mut self) -> Result<Vec<Name>> {
        disks(
            std::mem::take(&mut self.excluded)
                .iter()
                .map(String::as_str),
        )
    }

    /// Takes everything that selects disks: bare names, `alloc=a,b` and `!disk`.
    pub(super) fn placement(&mut self) -> Result<Placement> {
        let listed = self.attribute("alloc").unwrap_or_default();
        let listed = listed.split([',', ' ']).filter(|word| !word.is_empty());
        let (excluded, listed): (Vec<&str>, Vec<&str>) =
            listed.partition(|word| word.starts_with('!'));
        let named = self.operands();
        let on = disks(named.iter().map(String::as_str).chain(listed))?;
        let mut avoid = self.excluded()?;
        avoid.extend(disks(excluded.into_iter())?);
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
        let verb = self.verb.as_deref().unwrap_or(self.syntax.utility);
        let flag = self
            .flags
            .first()
            .map(|flag| format!("the option '-{flag}'"));
        let value = self.values.first();
        let value = value.map(|(option, _)| format!("the option '-{option}'"));
        let uses = self.uses.first();
        let uses = uses.map(|option| format!("'-o {option}'"));
        let plain = self.plain.first().map(|plain| match plain {
            Plain::Attribute(name, _) => format!("the attribute '{name}='"),
            Plain::Operand(word) => format!("the operand '{word}'"),
        });
        let excluded = self.excluded.first();
        let excluded = excluded.map(|disk| format!("the operand '!{disk}'"));
        match flag.or(value).or(uses).or(plain).or(excluded) {
            Some(what) => Err(
                Error::usage(format!("{what} is not supported for '{verb}'")).hint(self.see_help()),
            ),
            None => Ok(()),
        }
    }

    /// The name of the utility.
    pub(super) fn utility(&self) -> &'static str {
        self.syntax.utility
    }

    /// Where the words of the utility are described.
    pub(super) fn see_help(&self) -> String {
        see_help(self.syntax.utility)
    }

    fn no_value(&self, option: char) -> Error {
        Error::usage(format!("the option '-{option}' needs a value")).hint(self.see_help())
    }
}

/// Where the words of a utility are described.
pub(super) fn see_help(utility: &str) -> String {
    format!("see '{utility} help'")
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

fn text(word: &OsString) -> Result<&str> {
    word.to_str()
        .ok_or_else(|| Error::usage(format!("{word:?} is not text")))
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

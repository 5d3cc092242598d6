//! `vxprint`: shows the configuration, in the forms that scripts read.

use super::Utility;
use super::engine::{Answer, Engine};
use crate::app::{Outcome, Query};
use crate::cli::vx::words::{Syntax, Words};
use crate::error::{Error, Result};
use crate::report::vx::{self, Expr, Form, Format, Kind, Shape, Unit};
use std::collections::BTreeSet;

pub(super) const UTILITY: Utility = Utility {
    syntax: Syntax {
        utility: "vxprint",
        valued: "DFeu",
        flags: "AGIPQSVacdfhlmnpqrstv",
        keyword: false,
    },
    read,
};

/// What is to be printed.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The names of records; all if empty.
    names: Vec<String>,
    form: Form,
}

/// The options that select kinds of records.
const KINDS: [(char, &[Kind]); 6] = [
    ('v', &[Kind::V]),
    ('p', &[Kind::Pl]),
    ('s', &[Kind::Sd]),
    ('d', &[Kind::Dm]),
    ('G', &[Kind::Dg]),
    ('c', &[Kind::Dc, Kind::Sp]),
];

fn read(words: &mut Words) -> Result<super::Job> {
    if words.value('D').is_some() {
        return Err(Error::usage(
            "'-D' is not supported: the configuration is read from the disks of the group",
        )
        .hint("'-g' names the group"));
    }
    let mut kinds = BTreeSet::new();
    for (option, of_option) in KINDS {
        if words.flag(option) {
            kinds.extend(of_option);
        }
    }
    // Kinds that there are none of: replicated volume groups and their links.
    words.without_effect("IP");
    let headings = !words.flag('q');
    // `-f` shows related records in a group without `-h`; `-r` those of layered volumes.
    let below = words.flag('h') | words.flag('r') | words.flag('f');
    let all = words.flag('A');
    let names = words.operands();
    let form = Form {
        headings,
        group_lines: !words.flag('Q'),
        shape: shape(words)?,
        hierarchy: below,
        kinds,
        unit: words
            .value('u')
            .map(|unit| unit.parse::<Unit>())
            .transpose()?,
        only: words
            .value('e')
            .map(|text| text.parse::<Expr>())
            .transpose()?,
        all_groups: all || (words.group.is_none() && names.is_empty()),
    };
    Ok(super::Job::Print(Box::new(Asked { names, form })))
}

/// The form of each record. `-F` and `-n` say most exactly what is wanted; of the others the last
/// one that VxVM documents counts.
fn shape(words: &mut Words) -> Result<Shape> {
    let format = words.value('F');
    let format = format.map(|format| format.parse::<Format>()).transpose()?;
    let given = |words: &mut Words, option| words.flag(option);
    let (names, long) = (given(words, 'n'), given(words, 'l'));
    let (pairs, line) = (given(words, 'm'), given(words, 'a'));
    let (types, summary) = (given(words, 't'), given(words, 'S'));
    Ok(match format {
        Some(format) => Shape::Format(format),
        None if names => Shape::Names,
        None if summary => Shape::Summary,
        None if long => Shape::Long,
        None if pairs => Shape::Pairs,
        None if line => Shape::PairsOnOneLine,
        None if types => Shape::Types,
        None => Shape::Default,
    })
}

impl Asked {
    pub(super) fn run(&self, engine: &Engine<'_>) -> Result<Answer> {
        let (outcome, failures) = engine.ask(Query::Print(Vec::new()))?;
        let worlds = match outcome {
            Outcome::Layout(worlds, _) => worlds,
            _ => Vec::new(),
        };
        let text = vx::text(&worlds, &self.names, &self.form)?;
        Ok(Answer { text, failures })
    }
}

//! `-F`: a line of the caller's own for each record.
//!
//! `%name` and `%{name}` stand for a field, `%%` for a percent sign, `\t`, `\n` and `\\` for a tab, a
//! newline and a backslash; all else stands for itself. A field that a record does not have is `-`.
//! A kind and a colon before it all (`v:%name`) restrict the line to records of that kind.

use super::record::{Kind, Record};
use super::unit::Unit;
use crate::error::{Error, Result};
use std::iter::Peekable;
use std::str::{Chars, FromStr};

/// A format as it was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    kind: Option<Kind>,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Char(char),
    Field(String),
}

impl FromStr for Format {
    type Err = Error;

    /// Fails with `Usage` when the format is empty, or when a percent sign has no field.
    fn from_str(text: &str) -> Result<Format> {
        let (kind, text) = kind_before(text);
        if text.is_empty() {
            return Err(Error::usage("the format of -F is empty"));
        }
        let mut chars = text.chars().peekable();
        let mut pieces = Vec::new();
        while let Some(c) = chars.next() {
            pieces.push(match c {
                '%' => after_percent(&mut chars)?,
                '\\' => Piece::Char(after_backslash(&mut chars)),
                other => Piece::Char(other),
            });
        }
        Ok(Format { kind, pieces })
    }
}

impl Format {
    /// The only kind whose records are printed, if there is one.
    pub(super) fn kind(&self) -> Option<Kind> {
        self.kind
    }

    /// The line for a record.
    pub(super) fn line(&self, record: &Record, unit: Option<Unit>) -> String {
        let mut line = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Char(c) => line.push(*c),
                Piece::Field(field) => line += &record.show(field, unit),
            }
        }
        line.push('\n');
        line
    }
}

/// Splits off a kind and a colon; any other word before a colon is text.
fn kind_before(text: &str) -> (Option<Kind>, &str) {
    let split = text.split_once(':').and_then(|(word, rest)| {
        let kind = Kind::ALL.into_iter().find(|kind| kind.word() == word)?;
        Some((Some(kind), rest))
    });
    split.unwrap_or((None, text))
}

fn after_percent(chars: &mut Peekable<Chars<'_>>) -> Result<Piece> {
    let in_name = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    let mut name = String::new();
    match chars.peek() {
        Some('%') => {
            chars.next();
            return Ok(Piece::Char('%'));
        }
        Some('{') => {
            chars.next();
            let mut closed = false;
            for c in chars.by_ref() {
                closed = c == '}';
                if closed {
                    break;
                }
                name.push(c);
            }
            if !closed {
                return Err(Error::usage("'%{' has no '}' in the format of -F"));
            }
        }
        _ => {
            while let Some(c) = chars.next_if(in_name) {
                name.push(c);
            }
        }
    }
    if name.is_empty() {
        return Err(
            Error::usage("a '%' in the format of -F is not followed by a field")
                .hint("write '%%' for a percent sign"),
        );
    }
    Ok(Piece::Field(name))
}

/// The character that an escape stands for; a backslash before anything else is a backslash.
fn after_backslash(chars: &mut Peekable<Chars<'_>>) -> char {
    let meaning = match chars.peek() {
        Some('t') => '\t',
        Some('n') => '\n',
        Some('\\') => '\\',
        _ => return '\\',
    };
    chars.next();
    meaning
}

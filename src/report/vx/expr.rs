//! `-e`: an expression that selects records.
//!
//! It is made of the fields below, bare or compared with a word, of `!`, `&&`, `||` and parentheses.
//! A field speaks of the records of one kind. Of any other record the expression says nothing, and
//! so does its negation: such a record is not selected.

use super::record::{Kind, Record, Value};
use crate::error::{Error, Result};
use std::iter::Peekable;
use std::str::{Chars, FromStr};

/// What can be asked.
#[derive(Debug, PartialEq, Eq)]
struct Field {
    /// How it is written.
    word: &'static str,
    /// The kind of the records that it speaks of.
    kind: Kind,
    /// The field of these records.
    field: &'static str,
    /// Whether it is on or off.
    is_flag: bool,
}

const fn field(word: &'static str, kind: Kind, field: &'static str, is_flag: bool) -> Field {
    Field {
        word,
        kind,
        field,
        is_flag,
    }
}

/// The fields that scripts use. The words with a dot go through another record: the disks of a
/// plex's subdisks, the volume of a subdisk's plex, what the record that this one belongs to belongs
/// to.
const FIELDS: [Field; 7] = [
    field("v_open", Kind::V, "open", true),
    field("v_fastresync", Kind::V, "fastresync", true),
    field("v_hasdcolog", Kind::V, "hasdcolog", true),
    field("sd_dm_name", Kind::Sd, "dm_name", false),
    field("pl_sd.sd_dm_name", Kind::Pl, "dm_name", false),
    field("sd_pl_name.pl_volume", Kind::Sd, "vol", false),
    field("as.as", Kind::Sd, "vol", false),
];

/// How many parentheses and `!` may be within each other.
const DEEPEST: usize = 64;

/// An expression as it was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expr(Node);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    /// At least one holds.
    Any(Vec<Node>),
    /// All hold.
    All(Vec<Node>),
    Not(Box<Node>),
    /// The field is on, or is there.
    Is(&'static Field),
    /// The field is this word, or (`false`) is not.
    Compared(&'static Field, bool, String),
}

impl FromStr for Expr {
    type Err = Error;

    /// Fails with `Usage` when it is not an expression, or asks for a field that is not supported.
    fn from_str(text: &str) -> Result<Expr> {
        let mut parser = Parser {
            tokens: tokens(text)?.into_iter().peekable(),
        };
        let node = parser.any(0)?;
        match parser.tokens.next() {
            None => Ok(Expr(node)),
            Some(token) => Err(unexpected(Some(&token))),
        }
    }
}

impl Expr {
    /// Whether it holds for a record.
    pub(super) fn holds(&self, record: &Record) -> bool {
        value(&self.0, record) == Some(true)
    }
}

/// Whether it holds; `None` when it says nothing of such a record.
fn value(node: &Node, record: &Record) -> Option<bool> {
    match node {
        Node::Any(nodes) => decided(nodes, record, true),
        Node::All(nodes) => decided(nodes, record, false),
        Node::Not(node) => value(node, record).map(|holds| !holds),
        Node::Is(field) => is_on(record, field, |value| *value != Value::Flag(false)),
        Node::Compared(field, equal, word) => {
            is_on(record, field, |value| value.is(word)).map(|is| is == *equal)
        }
    }
}

/// The value of a chain: `decisive` when one of its parts has that value, else unknown when one of
/// them is unknown.
fn decided(nodes: &[Node], record: &Record, decisive: bool) -> Option<bool> {
    let mut result = Some(!decisive);
    for node in nodes {
        match value(node, record) {
            Some(holds) if holds == decisive => return Some(decisive),
            Some(_) => {}
            None => result = None,
        }
    }
    result
}

fn is_on(record: &Record, field: &Field, test: impl Fn(&Value) -> bool) -> Option<bool> {
    (record.kind == field.kind).then(|| record.get(field.field).is_some_and(test))
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Or,
    And,
    Not,
    Open,
    Close,
    Equal,
    Differs,
    Word(String),
    Quoted(String),
}

fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut chars = text.chars().peekable();
    let mut tokens = Vec::new();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            c if c.is_whitespace() => continue,
            '(' => Token::Open,
            ')' => Token::Close,
            '=' => {
                chars.next_if_eq(&'=');
                Token::Equal
            }
            '!' if chars.next_if_eq(&'=').is_some() => Token::Differs,
            '!' => Token::Not,
            '&' if chars.next_if_eq(&'&').is_some() => Token::And,
            '|' if chars.next_if_eq(&'|').is_some() => Token::Or,
            '"' | '\'' => Token::Quoted(quoted(&mut chars, c)?),
            c if in_word(c) => Token::Word(word(&mut chars, c)),
            other => return Err(wrong(&format!("{other:?} has no meaning in it"))),
        });
    }
    Ok(tokens)
}

/// What is between two quotes of a sort.
fn quoted(chars: &mut Peekable<Chars<'_>>, quote: char) -> Result<String> {
    let mut text = String::new();
    for c in chars.by_ref() {
        if c == quote {
            return Ok(text);
        }
        text.push(c);
    }
    Err(wrong("a quote is not closed"))
}

fn word(chars: &mut Peekable<Chars<'_>>, first: char) -> String {
    let mut word = String::from(first);
    while let Some(c) = chars.next_if(|c| in_word(*c)) {
        word.push(c);
    }
    word
}

/// What fields and names are made of.
fn in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_.+-".contains(c)
}

struct Parser {
    tokens: Peekable<std::vec::IntoIter<Token>>,
}

impl Parser {
    fn any(&mut self, depth: usize) -> Result<Node> {
        let mut nodes = vec![self.all(depth)?];
        while self.tokens.next_if_eq(&Token::Or).is_some() {
            nodes.push(self.all(depth)?);
        }
        Ok(Node::Any(nodes))
    }

    fn all(&mut self, depth: usize) -> Result<Node> {
        let mut nodes = vec![self.one(depth)?];
        while self.tokens.next_if_eq(&Token::And).is_some() {
            nodes.push(self.one(depth)?);
        }
        Ok(Node::All(nodes))
    }

    fn one(&mut self, depth: usize) -> Result<Node> {
        if depth > DEEPEST {
            return Err(wrong("it is nested too deeply"));
        }
        match self.tokens.next() {
            Some(Token::Not) => Ok(Node::Not(Box::new(self.one(depth + 1)?))),
            Some(Token::Open) => {
                let inner = self.any(depth + 1)?;
                match self.tokens.next() {
                    Some(Token::Close) => Ok(inner),
                    other => Err(unexpected(other.as_ref())),
                }
            }
            Some(Token::Word(word)) => self.test(known(&word)?),
            other => Err(unexpected(other.as_ref())),
        }
    }

    /// A field, and what it is compared with, if anything.
    fn test(&mut self, field: &'static Field) -> Result<Node> {
        let compares = |token: &Token| [Token::Equal, Token::Differs].contains(token);
        let Some(operator) = self.tokens.next_if(compares) else {
            return Ok(Node::Is(field));
        };
        let word = match self.tokens.next() {
            Some(Token::Word(word) | Token::Quoted(word)) => word,
            other => return Err(unexpected(other.as_ref())),
        };
        if field.is_flag && !["on", "off"].contains(&word.as_str()) {
            return Err(wrong(&format!(
                "'{}' is 'on' or 'off', never '{word}'",
                field.word
            )));
        }
        Ok(Node::Compared(field, operator == Token::Equal, word))
    }
}

fn known(word: &str) -> Result<&'static Field> {
    FIELDS
        .iter()
        .find(|field| field.word == word)
        .ok_or_else(|| {
            let all: Vec<&str> = FIELDS.iter().map(|field| field.word).collect();
            wrong(&format!("the field '{word}' is not supported"))
                .hint(format!("the fields are {}", all.join(", ")))
        })
}

fn unexpected(token: Option<&Token>) -> Error {
    match token {
        None => wrong("it ends too early"),
        Some(Token::Word(word) | Token::Quoted(word)) => {
            wrong(&format!("'{word}' is not expected where it stands"))
        }
        Some(Token::Or) => misplaced("||"),
        Some(Token::And) => misplaced("&&"),
        Some(Token::Not) => misplaced("!"),
        Some(Token::Open) => misplaced("("),
        Some(Token::Close) => misplaced(")"),
        Some(Token::Equal) => misplaced("="),
        Some(Token::Differs) => misplaced("!="),
    }
}

fn misplaced(operator: &str) -> Error {
    wrong(&format!("'{operator}' is not expected where it stands"))
}

fn wrong(why: &str) -> Error {
    Error::usage(format!("the expression of -e cannot be read: {why}"))
}

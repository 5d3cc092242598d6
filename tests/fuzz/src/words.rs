//! Command lines: one word on each line of text, and what must hold of what they come to.

use crate::check_name;
use breakoff::cli::{Action, Invocation};
use breakoff::model::Name;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// The words; they need not be text.
pub fn words(data: &[u8]) -> Vec<OsString> {
    data.split(|byte| *byte == b'\n')
        .take(24)
        .map(|word| OsString::from_vec(word.to_vec()))
        .collect()
}

/// Every name in a command is one, wherever in it it is.
pub fn check_invocation(invocation: &Invocation) {
    invocation.options.group.iter().for_each(check_name);
    let (Action::App(command) | Action::Rehearse(command)) = &invocation.action else {
        return;
    };
    for word in names(&format!("{command:?}")) {
        let name = Name::parse(&word);
        check_name(&name.unwrap_or_else(|err| panic!("{}: {command:?}", err.message())));
    }
}

/// What is shown as a name, but not within a text that is shown: `pattern: Some("SName(")`.
fn names(shown: &str) -> Vec<String> {
    let (mut found, mut before, mut rest) = (Vec::new(), String::new(), shown);
    while let Some((outside, inside)) = rest.split_once('"') {
        before.push_str(outside);
        let end = closing_quote(inside);
        let (text, behind) = inside.split_at(end.unwrap_or(inside.len()));
        if before.ends_with("Name(") {
            found.push(text.to_owned());
        }
        before.clear();
        rest = behind.strip_prefix('"').unwrap_or_default();
    }
    found
}

/// Where a text ends that is shown with its quotes and backslashes escaped.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends.then_some(at)
    })
}

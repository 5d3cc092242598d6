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
    let Action::App(command) = &invocation.action else {
        return;
    };
    // Only a name is shown like this; text within quotes has its quotes escaped.
    let shown = format!("{command:?}");
    for quoted in shown.split("Name(\"").skip(1) {
        let word = quoted.split('"').next().unwrap_or_default();
        check_name(&Name::parse(word).unwrap_or_else(|err| panic!("{}: {shown}", err.message())));
    }
}

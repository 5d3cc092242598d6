//! VxVM's exit statuses, and the form of its messages.
//!
//! Scripts compare a few of the numbers: 9 and 11 mean that something is not there, which some take
//! as done already, 12 that it is there already. The others are taken from `vxintro(1M)` as far as it
//! has one that fits; what it has none for is above 64, where each utility has its own.

use crate::advice::Language;
use crate::error::{Error, Kind};
use std::fmt::Write;

/// What stands where VxVM has the number of a message. breakoff's messages have none.
const NUMBER: &str = "V-5-1-0";

/// The utilities to which a group is a record like any other; to the rest it is where the records
/// are.
const TAKES_GROUPS: [&str; 5] = ["vxdg", "vxdisk", "vxprint", "vxstat", "vxtask"];

/// The exit status of a failed utility. `group` is what was given by `-g`.
pub fn status(utility: &str, verb: Option<&str>, group: Option<&str>, err: &Error) -> u8 {
    let starts = utility == "vxvol" && verb.is_some_and(|verb| verb.starts_with("start"));
    match err.kind() {
        Kind::Usage => 1,
        // Scripts take it for "it is none any more".
        Kind::NotReady if utility == "vxdiskunsetup" => 1,
        Kind::Failed => 4,
        Kind::NotFound if is_about(group, err) && !TAKES_GROUPS.contains(&utility) => 9,
        Kind::NotFound => 11,
        Kind::Exists => 12,
        Kind::NotReady | Kind::Device if starts => 24,
        Kind::Device | Kind::TimedOut => 21,
        Kind::InUse => 31,
        Kind::NotReady => 65,
        Kind::NoSpace => 66,
        Kind::Unsafe => 67,
        Kind::Unsupported => 68,
    }
}

/// Whether what was not found is the group itself.
fn is_about(group: Option<&str>, err: &Error) -> bool {
    group.is_some() && err.object() == group
}

/// An error as VxVM prints it: a line with the failure, and one with the advice.
pub fn failure(utility: &str, err: &Error, language: &dyn Language) -> String {
    let mut text = message(utility, "ERROR", err.message());
    if let Some(hint) = err.hint_text(language) {
        let _ = write!(text, "{}", message(utility, "INFO", &hint));
    }
    text
}

/// A message of this severity, on one line.
pub fn message(utility: &str, severity: &str, text: &str) -> String {
    format!("VxVM {utility} {severity} {NUMBER} {text}\n")
}

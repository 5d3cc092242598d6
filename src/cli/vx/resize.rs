//! `vxresize`: grows a volume together with the filesystem on it.

use super::{Job, Utility, length_of};
use crate::app::Command;
use crate::cli::vx::words::{Syntax, Words};
use crate::error::{Error, Result};
use crate::plan::request::{GrowTo, Request};

pub(super) const UTILITY: Utility = Utility {
    syntax: Syntax {
        utility: "vxresize",
        valued: "FMt",
        flags: "bdfsxqvV",
        keyword: false,
    },
    read,
};

fn read(words: &mut Words) -> Result<Job> {
    words.tag()?;
    // The filesystem is looked at, whatever it is said to be.
    words.value('F');
    words.without_effect("dfx");
    if words.flag('s') {
        return Err(shrinks());
    }
    let volume = words.name("a volume")?;
    let word = words.operand("a length")?;
    let to = match word.strip_prefix('+') {
        _ if word.starts_with('-') => return Err(shrinks()),
        Some(by) => GrowTo::By(length_of(by)?),
        None => GrowTo::To(length_of(&word)?),
    };
    Ok(Job::Do(Command::Change(Request::Grow {
        volume,
        to,
        placement: words.placement()?,
        filesystem: true,
    })))
}

fn shrinks() -> Error {
    Error::usage("'vxresize' to a smaller size is not supported")
        .hint("'vxassist make' makes a smaller one, to which the contents can be copied")
}

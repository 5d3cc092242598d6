//! `vxmend`: takes plexes out of use and into use again.

use super::plex::Job;
use super::{Utility, each, refused};
use crate::app::Command;
use crate::cli::vx::words::{Syntax, Words};
use crate::error::{Error, Result};
use crate::plan::request::Request;

pub(super) const UTILITY: Utility = Utility {
    syntax: Syntax {
        utility: "vxmend",
        valued: "dUv",
        flags: "fqV",
        keyword: true,
    },
    read,
};

fn read(words: &mut Words) -> Result<super::Job> {
    words.usage_type()?;
    // The last complete plex is never taken out, with `-f` or without it.
    words.without_effect("f");
    match words.keyword()?.as_str() {
        "off" => {
            let plexes = words.some_names("a plex")?;
            let detach = |plex| Command::Change(Request::PlexDetach(plex));
            Ok(each(plexes.into_iter().map(detach)))
        }
        "on" => Ok(super::Job::Plex(Job::On(words.some_names("a plex")?))),
        "fix" => match words.operand("a state")?.as_str() {
            "clean" => Ok(super::Job::Plex(Job::FixClean(words.some_names("a plex")?))),
            state => Err(
                Error::usage(format!("'vxmend fix {state}' is not supported"))
                    .hint("'vxplex det' takes a plex out of use, 'vxplex att' fills it again"),
            ),
        },
        other => Err(refused(words, other)),
    }
}

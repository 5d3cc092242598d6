//! `vxdctl` and `vxlicrep`: about the daemon and the licences that breakoff does without.

use super::{Job, Utility, refused};
use crate::cli::vx::words::{Syntax, Words};
use crate::error::Result;

pub(super) const UTILITY: Utility = Utility {
    syntax: Syntax {
        utility: "vxdctl",
        valued: "",
        flags: "ck",
        keyword: true,
    },
    read,
};

pub(super) const LICENCES: Utility = Utility {
    syntax: Syntax {
        utility: "vxlicrep",
        valued: "",
        flags: "esv",
        keyword: false,
    },
    read: licences,
};

fn read(words: &mut Words) -> Result<Job> {
    let cluster = words.flag('c');
    words.without_effect("k");
    match words.keyword()?.as_str() {
        "mode" if cluster => Ok(say("mode: enabled\ncluster: inactive\n")),
        "mode" => Ok(say("mode: enabled\n")),
        // udev has found the disks.
        "enable" => Ok(Job::Nothing),
        "license" => Ok(say("No licence is needed.\n")),
        other => Err(refused(words, other)),
    }
}

fn licences(words: &mut Words) -> Result<Job> {
    words.without_effect("esv");
    Ok(say("breakoff: no licence is needed\n"))
}

fn say(text: &str) -> Job {
    Job::Say(text.to_owned())
}

//! `vxvol`: starts and stops volumes, and switches FastResync.

use super::{Job, Utility, each, refused};
use crate::app::Command;
use crate::cli::vx::words::{Syntax, Words};
use crate::error::{Error, Result};
use crate::model::Name;
use crate::plan::request::{Request, Selection};

pub(super) const UTILITY: Utility = Utility {
    syntax: Syntax {
        utility: "vxvol",
        valued: "dtUT",
        flags: "bfqvV",
        keyword: true,
    },
    read,
};

fn read(words: &mut Words) -> Result<Job> {
    let force = words.flag('f');
    words.tag()?;
    words.usage_type()?;
    // A resync after a crash is the kernel's, in the background whatever is asked for.
    words.uses("bg");
    words.pace()?;
    match words.keyword()?.as_str() {
        "start" => {
            let volumes = Selection::Named(words.some_names("a volume")?);
            Ok(Job::Do(Command::Change(Request::Start { volumes, force })))
        }
        // What keeps volumes down that some disks are missing of is not overruled for all at once.
        "startall" => Ok(Job::All(Request::Start {
            volumes: Selection::All,
            force: false,
        })),
        // A volume that is open is not stopped, with `-f` or without it: device-mapper cannot take a
        // device away from who has it open.
        "stop" => {
            let volumes = Selection::Named(words.some_names("a volume")?);
            Ok(Job::Do(Command::Change(Request::Stop(volumes))))
        }
        "stopall" => Ok(Job::All(Request::Stop(Selection::All))),
        "set" => set(words),
        // What is out of sync after a crash is made equal by the kernel from the start on; what is
        // left is to record and to repair.
        "recover" | "resync" => Ok(Job::Recheck(words.some_names("a volume")?)),
        other => Err(refused(words, other)),
    }
}

fn set(words: &mut Words) -> Result<Job> {
    match fast_resync(words)? {
        Some(on) => {
            let volumes = words.some_names("a volume")?;
            let set = |volume: Name| Command::Change(Request::FastResync { volume, on });
            Ok(each(volumes.into_iter().map(set)))
        }
        None => Err(Error::usage(
            "'vxvol set' is not supported for anything but 'fastresync=on|off'",
        )
        .hint("'vxassist growto' sets a length, 'vxedit set' the owner of the device")),
    }
}

/// Takes `fastresync=` or `fmr=`.
pub(super) fn fast_resync(words: &mut Words) -> Result<Option<bool>> {
    let mut chosen = None;
    for name in ["fastresync", "fmr"] {
        chosen = match words.attribute(name).as_deref() {
            None => chosen,
            Some("on") => Some(true),
            Some("off") => Some(false),
            Some(value) => {
                return Err(Error::usage(format!(
                    "'{name}={value}' is neither 'on' nor 'off'"
                )));
            }
        };
    }
    Ok(chosen)
}

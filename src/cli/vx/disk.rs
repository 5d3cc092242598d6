//! `vxdisk`, `vxdisksetup` and `vxdiskunsetup`: disks, whether or not they are in a group.

use super::engine::{Answer, Engine};
use super::{Utility, device, each, length_of, refused};
use crate::app::{Command, DiskLine, Outcome, Query};
use crate::cli::vx::words::{Syntax, Words};
use crate::error::{Error, Result};
use crate::model::Name;
use crate::report::vx;
use std::path::PathBuf;

pub(super) const UTILITY: Utility = Utility {
    syntax: Syntax {
        utility: "vxdisk",
        valued: "",
        flags: "efpqsv",
        keyword: true,
    },
    read,
};

pub(super) const SETUP: Utility = Utility {
    syntax: Syntax {
        utility: "vxdisksetup",
        valued: "",
        flags: "Cefi",
        keyword: false,
    },
    read: setup,
};

pub(super) const UNSETUP: Utility = Utility {
    syntax: Syntax {
        utility: "vxdiskunsetup",
        valued: "",
        flags: "Cf",
        keyword: false,
    },
    read: unsetup,
};

/// A list of disks.
#[derive(Debug, Clone)]
pub enum Job {
    /// `list` and `path`: a line for each disk, or a block for each.
    List(vx::DiskForm),
    /// `list DEVICE|MEDIA…`: all about these.
    Show(Vec<String>),
}

fn read(words: &mut Words) -> Result<super::Job> {
    match words.keyword()?.as_str() {
        "list" => list(words).map(super::Job::Disk),
        "path" => Ok(super::Job::Disk(Job::List(vx::DiskForm {
            shape: vx::DiskShape::Paths,
            heading: !words.flag('q'),
            group: words.group.as_ref().map(Name::to_string),
            all_groups: false,
        }))),
        // udev knows the disks that are there.
        "scandisks" => {
            words.operands();
            Ok(super::Job::Nothing)
        }
        "init" => init(words),
        "rm" => erase(words),
        "resize" => {
            if let Some(length) = words.attribute("length") {
                return Err(Error::usage(format!(
                    "'length={length}' is not supported: a disk is as large as its device"
                )));
            }
            let disks = words.some_names("a disk")?;
            Ok(each(disks.into_iter().map(Command::DiskResize)))
        }
        other => Err(refused(words, other)),
    }
}

fn list(words: &mut Words) -> Result<Job> {
    let (all_groups, blocks, more) = (words.uses("alldgs"), words.flag('s'), words.flag('e'));
    let heading = !words.flag('q');
    words.without_effect("f");
    let names = words.operands();
    if !names.is_empty() && !blocks {
        return Ok(Job::Show(names));
    }
    let shape = match (blocks, more) {
        (true, _) => vx::DiskShape::Blocks(names),
        (false, true) => vx::DiskShape::More,
        (false, false) => vx::DiskShape::Lines,
    };
    Ok(Job::List(vx::DiskForm {
        shape,
        heading,
        group: words.group.as_ref().map(Name::to_string),
        all_groups,
    }))
}

/// `vxdisk init`, and `vxdisksetup -i`. Without `-i` a disk is only divided, which is not done
/// apart from its label here.
fn setup(words: &mut Words) -> Result<super::Job> {
    if !words.flag('i') {
        return Err(Error::usage("'vxdisksetup' needs '-i'").hint(words.see_help()));
    }
    words.without_effect("Ce");
    init(words)
}

fn init(words: &mut Words) -> Result<super::Job> {
    let force = words.flag('f');
    match words.attribute("format").as_deref() {
        // There is one format here too, for every kind of machine.
        None | Some("cdsdisk" | "auto") => {}
        Some(other) => {
            return Err(Error::usage(format!("'format={other}' is not supported"))
                .hint("there is 'format=cdsdisk'"));
        }
    }
    words.attribute("type");
    // The private area has the size that a group needs, whatever size VxVM's would have.
    for length in ["privlen", "publen", "privoffset", "puboffset"] {
        if let Some(value) = words.attribute(length) {
            length_of(&value)?;
        }
    }
    for number in ["nconfig", "nlog"] {
        words.attribute(number);
    }
    let devices = devices(words)?;
    Ok(super::Job::Do(Command::DiskInit {
        devices,
        force,
        area: None,
    }))
}

fn unsetup(words: &mut Words) -> Result<super::Job> {
    words.without_effect("C");
    erase(words)
}

fn erase(words: &mut Words) -> Result<super::Job> {
    let force = words.flag('f');
    let devices = devices(words)?;
    Ok(super::Job::Do(Command::DiskErase { devices, force }))
}

fn devices(words: &mut Words) -> Result<Vec<PathBuf>> {
    let first = words.operand("a disk")?;
    let others = words.operands();
    let all = std::iter::once(first).chain(others);
    Ok(all.map(|word| device(&word)).collect())
}

impl Job {
    pub(super) fn run(&self, engine: &Engine<'_>) -> Result<Answer> {
        let (outcome, failures) = engine.ask(Query::AllDisks)?;
        let lines: Vec<DiskLine> = match outcome {
            Outcome::Disks(lines) => lines,
            _ => Vec::new(),
        };
        let (groups, _) = engine.ask(Query::Groups)?;
        let groups = match groups {
            Outcome::Groups(groups) => groups,
            _ => Vec::new(),
        };
        let text = match self {
            Job::List(form) => vx::disks(&lines, &groups, form)?,
            Job::Show(names) => {
                let group = engine.options.group.as_ref().map(Name::as_str);
                vx::disks_shown(&lines, &groups, names, group)?
            }
        };
        Ok(Answer { text, failures })
    }
}

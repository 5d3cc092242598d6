//! `vxinfo`: which volumes are started, and which could be.

use super::Utility;
use super::engine::{Answer, Engine};
use crate::cli::vx::words::{Syntax, Words};
use crate::error::Result;
use crate::model::Name;
use crate::report::vx;

pub(super) const UTILITY: Utility = Utility {
    syntax: Syntax {
        utility: "vxinfo",
        valued: "oU",
        flags: "Vpqv",
        keyword: false,
    },
    read,
};

/// The volumes, or all, and whether their plexes are shown.
#[derive(Debug, Clone)]
pub struct Asked {
    volumes: Vec<Name>,
    plexes: bool,
}

fn read(words: &mut Words) -> Result<super::Job> {
    words.usage_type()?;
    Ok(super::Job::Info(Asked {
        plexes: words.flag('p'),
        volumes: words.names()?,
    }))
}

impl Asked {
    pub(super) fn run(&self, engine: &Engine<'_>) -> Result<Answer> {
        let (worlds, failures) = engine.worlds()?;
        let text = vx::info(&worlds, &self.volumes, self.plexes)?;
        Ok(Answer { text, failures })
    }
}

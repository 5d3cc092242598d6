//! What must be on the volumes, as far as it is known: kept from boot to boot as a note of the
//! guest.

use crate::support::stamp::{Area, Expectation};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Blocks at the front of each volume that its writer writes to.
const BLOCKS: u64 = 512;

/// All volumes by UUID, and what has been done to them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    pub volumes: BTreeMap<String, Entry>,
    pub writers: u32,
    pub counts: Counts,
}

impl Book {
    /// A volume that nobody has written to.
    pub fn new_writer(&mut self) -> Entry {
        self.writers += 1;
        Entry {
            writer: self.writers,
            acked: 0,
            issued: 0,
            floor: 0,
        }
    }
}

/// What a volume must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Whose stamps: a snapshot has its original's, and each goes on from there on its own.
    pub writer: u32,
    pub acked: u64,
    pub issued: u64,
    /// What was acknowledged when the last command began: a snapshot that it has made holds at
    /// least that.
    pub floor: u64,
}

impl Entry {
    /// What a snapshot of it holds that was split off since the last command began.
    pub fn split(self) -> Entry {
        Entry {
            acked: self.floor,
            ..self
        }
    }

    pub fn area(&self) -> Area {
        Area {
            writer: self.writer,
            first: 0,
            blocks: BLOCKS,
        }
    }

    pub fn expectation(&self) -> Expectation {
        Expectation {
            area: self.area(),
            acked: self.acked,
            issued: self.issued,
        }
    }
}

/// What was done, over all boots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub commands: u64,
    pub refused: u64,
    pub killed: u64,
    pub monitors: u64,
    pub failures: u64,
    pub cuts: u64,
    pub verified: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts {
            commands,
            refused,
            killed,
            monitors,
            failures,
            cuts,
            verified,
        } = self;
        write!(
            f,
            "commands {commands}, refused {refused}, killed {killed}, monitors killed {monitors}, leg failures {failures}, \
             power cuts {cuts}, acknowledged blocks checked {verified}"
        )
    }
}

impl fmt::Display for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Book {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Book, serde_json::Error> {
        serde_json::from_str(text)
    }
}

//! The guard of a window: a process of its own that waits until the command is through, and resumes what it has suspended when it
//! has died (kill -9) before.
//!
//! A suspended volume holds everybody's I/O until somebody resumes it, and the next command may be hours away. The guard does what
//! `recover` does: it finds out whether the command was committed, and finishes or undoes it.

use super::{Env, Options, status};
use crate::error::Result;
use crate::model::Name;
use crate::sys::critical::Critical;
use std::io::{ErrorKind, Read};
use std::time::Duration;

/// How long somebody else may hold the group's lock: whoever has it resumes what is suspended, too.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for a byte on stdin, which says that all is well; the end of stdin says that the command is dead.
pub fn run(group: &Name, env: Env<'_>) -> Result<()> {
    // Once something is suspended nothing may have to be read from it.
    let _critical = Critical::enter();
    let mut word = [0];
    loop {
        match std::io::stdin().read(&mut word) {
            Ok(0) => break,
            Err(err) if err.kind() == ErrorKind::Interrupted => {}
            _ => return Ok(()),
        }
    }
    let options = Options { group: Some(group.clone()), timeout: Some(PATIENCE), ..Options::default() };
    status::recover(&options, false, env).map(drop)
}

//! Writes to stdout and stderr. A pipe without a reader is no failure; a full disk is. Called by
//! `exit` and `terminal`.

use std::io::{self, ErrorKind, Write};

/// Writes a complete result to stdout.
pub(super) fn result(text: &str) -> io::Result<()> {
    unless_nobody_reads(write_all(io::stdout().lock(), text))
}

/// Writes a message to stderr. Errors are ignored: there is no other place to report them.
pub(super) fn message(text: &str) {
    let _ = write_all(io::stderr().lock(), text);
}

fn write_all(mut to: impl Write, text: &str) -> io::Result<()> {
    to.write_all(text.as_bytes())?;
    to.flush()
}

/// Treats a broken pipe as success: its reader has seen enough, as with `… | head`.
fn unless_nobody_reads(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(err) if err.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_broken_pipe_is_success() {
        assert!(unless_nobody_reads(Err(ErrorKind::BrokenPipe.into())).is_ok());
        assert!(unless_nobody_reads(Err(ErrorKind::StorageFull.into())).is_err());
    }
}

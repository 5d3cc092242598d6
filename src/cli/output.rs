//! Writing to stdout and stderr. A pipe that nobody reads any more is no failure; a full disk is.
//! Called by `exit` and `terminal`.

use crate::error::{Error, Result};
use std::io::{ErrorKind, Write};

/// Writes a result to stdout, whole.
pub(super) fn result(text: &str) -> Result<()> {
    written(write_all(std::io::stdout().lock(), text))
}

/// Writes a message to stderr. There is nobody left to tell when that fails.
pub(super) fn message(text: &str) {
    let _ = write_all(std::io::stderr().lock(), text);
}

fn write_all(mut to: impl Write, text: &str) -> std::io::Result<()> {
    to.write_all(text.as_bytes())?;
    to.flush()
}

/// Somebody who stopped reading has seen enough, as with `… | head`.
fn written(done: std::io::Result<()>) -> Result<()> {
    match done {
        Ok(()) => Ok(()),
        Err(err) if err.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(err) => Err(Error::failed(format!(
            "the command ran, but its result could not be written: {err}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_broken_pipe_is_success() {
        assert_eq!(written(Err(ErrorKind::BrokenPipe.into())), Ok(()));
        assert!(written(Err(ErrorKind::StorageFull.into())).is_err());
    }
}

//! Writes to stdout and stderr, and to files that others read. A pipe without a reader is no failure; a full disk is. Called by
//! `exit` and `terminal`.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Writes a complete result to stdout.
pub(super) fn result(text: &str) -> io::Result<()> {
    unless_nobody_reads(write_all(io::stdout().lock(), text))
}

/// Writes a part of a result that goes on. Returns whether anybody still reads it.
pub(super) fn stream(text: &str) -> io::Result<bool> {
    match write_all(io::stdout().lock(), text) {
        Err(err) if err.kind() == ErrorKind::BrokenPipe => Ok(false),
        done => done.map(|()| true),
    }
}

/// Writes a message to stderr. Errors are ignored: there is no other place to report them.
pub(super) fn message(text: &str) {
    let _ = write_all(io::stderr().lock(), text);
}

/// Gives a file this contents, readable for everybody. Who reads it meanwhile sees the old contents
/// or the new, and no part of them: they are written to another file beside it, which then takes its
/// place. Refuses what is there and is not a regular file.
pub(super) fn replace(file: &Path, text: &str) -> io::Result<()> {
    match fs::symlink_metadata(file) {
        Ok(about) if !about.is_file() => {
            return Err(io::Error::other("it is not a regular file"));
        }
        _ => {}
    }
    let name = file.file_name().ok_or(ErrorKind::InvalidInput)?;
    // A name that begins with a dot and does not end like the file's is left alone by collectors.
    let mut fresh = OsString::from(".");
    fresh.push(name);
    fresh.push(format!(".{}", std::process::id()));
    let fresh = file.with_file_name(fresh);
    // One that was killed may have left it.
    let _ = fs::remove_file(&fresh);
    let written = write_new(&fresh, text).and_then(|()| fs::rename(&fresh, file));
    written.inspect_err(|_| drop(fs::remove_file(&fresh)))
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let file = File::options().write(true).create_new(true).open(path)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    write_all(file, text)
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_or_stays() {
        let directory = tempfile::tempdir().unwrap();
        let files = || {
            let names = fs::read_dir(directory.path()).unwrap();
            let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let file = directory.path().join("a.prom");
        let killed = directory
            .path()
            .join(format!(".a.prom.{}", std::process::id()));
        fs::write(killed, "half").unwrap();
        replace(&file, "one\n").unwrap();
        let before = File::open(&file).unwrap();
        replace(&file, "two\n").unwrap();
        assert_eq!(io::read_to_string(before).unwrap(), "one\n");
        assert_eq!(fs::read_to_string(&file).unwrap(), "two\n");
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o644);
        assert_eq!(files(), ["a.prom"]);

        let link = directory.path().join("link");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        for strange in [link.as_path(), directory.path(), Path::new("/")] {
            assert!(replace(strange, "x").is_err(), "{}", strange.display());
        }
        assert!(replace(&directory.path().join("no/file"), "x").is_err());
        assert_eq!(files(), ["a.prom", "link"]);
    }

    #[test]
    fn only_a_broken_pipe_is_success() {
        assert!(unless_nobody_reads(Err(ErrorKind::BrokenPipe.into())).is_ok());
        assert!(unless_nobody_reads(Err(ErrorKind::StorageFull.into())).is_err());
    }
}

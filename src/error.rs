//! The one error type of the library: a kind that decides the exit status, what failed, on which
//! object, and what to type next.
//!
//! Every layer makes its errors here, so that a message always carries all four. Nothing here knows
//! of terminals.

use crate::advice::{Hint, Language};
use std::fmt;

/// What sort of failure it is. One kind maps to one exit status and to one documented word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Failed; nothing changed unless the message says so.
    Failed,
    /// The words of the command line do not fit.
    Usage,
    /// No such group, volume, plex, disk or device.
    NotFound,
    /// The object is open, held, locked or mounted.
    InUse,
    /// The name is taken.
    Exists,
    /// Not (yet) in the state that the command needs: no SNAPDONE leg, still syncing, not started.
    NotReady,
    /// No space, no further disk, or a full metadata area.
    NoSpace,
    /// The deadline passed.
    TimedOut,
    /// A device or the kernel failed.
    Device,
    /// Refused for safety: split brain, duplicates, untrusted metadata, another host's group.
    Unsafe,
    /// This kernel lacks a target or feature that is needed.
    Unsupported,
}

impl Kind {
    /// The exit status of the process (0 is success).
    pub fn exit_status(self) -> u8 {
        match self {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::NotFound => 3,
            Kind::InUse | Kind::Exists => 4,
            Kind::NotReady => 5,
            Kind::NoSpace => 6,
            Kind::TimedOut => 7,
            Kind::Device => 8,
            Kind::Unsafe => 9,
            Kind::Unsupported => 10,
        }
    }

    /// The word used in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Failed => "failed",
            Kind::Usage => "usage",
            Kind::NotFound => "not-found",
            Kind::InUse => "in-use",
            Kind::Exists => "exists",
            Kind::NotReady => "not-ready",
            Kind::NoSpace => "no-space",
            Kind::TimedOut => "timed-out",
            Kind::Device => "device",
            Kind::Unsafe => "unsafe",
            Kind::Unsupported => "unsupported",
        }
    }
}

/// A failure as a person or a script sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    message: String,
    object: Option<String>,
    hint: Option<Hint>,
}

/// The result of everything that can fail.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A failure of this kind: what failed and the state the object is in now, one line, objects
    /// quoted.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error {
            kind,
            message: message.into(),
            object: None,
            hint: None,
        }
    }

    /// Names the object it is about, such as `g/v`.
    #[must_use]
    pub fn on(mut self, object: impl fmt::Display) -> Self {
        self.object = Some(object.to_string());
        self
    }

    /// Says what to type next: plain text, or a [`Hint`] where command lines are in it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Hint>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Puts what was being done before the message.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// Adds the cause behind the message.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.message = format!("{}: {cause}", self.message);
        self
    }

    /// The kind, which decides the exit status.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What failed.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The object it is about, when one is known.
    pub fn object(&self) -> Option<&str> {
        self.object.as_deref()
    }

    /// What to do next, when something helps, as data.
    pub fn advice(&self) -> Option<&Hint> {
        self.hint.as_ref()
    }

    /// What to do next, when something helps, in the words of a front end.
    pub fn hint_text(&self, language: &dyn Language) -> Option<String> {
        self.hint.as_ref().map(|hint| hint.text(language))
    }

    /// An operating system error on a device or file.
    pub fn io(doing: impl fmt::Display, err: &std::io::Error) -> Self {
        let kind = if is_late(err) {
            Kind::TimedOut
        } else {
            Kind::Device
        };
        Error::new(kind, format!("{doing}: {}", words(err)))
    }
}

/// What the operating system says of a disk or a file, for people.
pub fn words(err: &std::io::Error) -> String {
    if is_late(err) {
        "it did not answer in time".to_owned()
    } else {
        err.to_string()
    }
}

fn is_late(err: &std::io::Error) -> bool {
    err.raw_os_error() == Some(libc::ETIMEDOUT)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Shorthands that read well at the place of refusal.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident => $kind:ident),* $(,)?) => { impl Error { $(
        $(#[$doc])*
        pub fn $name(message: impl Into<String>) -> Self { Error::new(Kind::$kind, message) }
    )* } };
}
kinds! {
    /// [`Kind::Failed`].
    failed => Failed,
    /// [`Kind::Usage`].
    usage => Usage,
    /// [`Kind::NotFound`].
    not_found => NotFound,
    /// [`Kind::InUse`].
    in_use => InUse,
    /// [`Kind::Exists`].
    exists => Exists,
    /// [`Kind::NotReady`].
    not_ready => NotReady,
    /// [`Kind::NoSpace`].
    no_space => NoSpace,
    /// [`Kind::TimedOut`].
    timed_out => TimedOut,
    /// [`Kind::Device`].
    device => Device,
    /// [`Kind::Unsafe`].
    unsafe_ => Unsafe,
    /// [`Kind::Unsupported`].
    unsupported => Unsupported,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_late_has_not_failed() {
        let late = Error::io(
            "cannot read",
            &std::io::Error::from_raw_os_error(libc::ETIMEDOUT),
        );
        assert_eq!(
            (late.kind(), late.message()),
            (Kind::TimedOut, "cannot read: it did not answer in time")
        );
        assert_eq!(
            Error::io("cannot read", &std::io::Error::from_raw_os_error(libc::EIO)).kind(),
            Kind::Device
        );
    }
}

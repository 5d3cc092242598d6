//! The only error type of the library: a kind that decides the exit status, what failed, on which
//! object, and what to type next.
//!
//! Every layer makes its errors here, so that a message always carries all four. This file knows
//! nothing of terminals.

use crate::advice::{Hint, Language};
use std::fmt;

/// The kind of a failure. Each kind has one exit status and one documented word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The command failed; nothing changed unless the message says so.
    Failed,
    /// The command line is not valid.
    Usage,
    /// The group, volume, plex, disk or device does not exist.
    NotFound,
    /// The object is open, held, locked or mounted.
    InUse,
    /// The name is already in use.
    Exists,
    /// The object is not (yet) in the state that the command needs: no SNAPDONE leg, still syncing,
    /// not started.
    NotReady,
    /// No space, no further disk, or a full metadata area.
    NoSpace,
    /// Something did not finish before its deadline.
    TimedOut,
    /// A device or the kernel failed.
    Device,
    /// Refused for safety: split brain, duplicates, untrusted metadata, another host's group.
    Unsafe,
    /// This kernel lacks a target or feature that is needed, or a newer version of breakoff wrote
    /// the metadata.
    Unsupported,
}

/// Every exit status with its meaning. 1 to 10 are those of kinds.
pub const STATUSES: [(u8, &str); 11] = [
    (0, "done"),
    (1, "failed; nothing changed unless the message says so"),
    (2, "usage"),
    (3, "not found"),
    (4, "in use, or the name is taken"),
    (5, "not ready: no complete leg, still copying, not started"),
    (6, "no space"),
    (7, "timed out"),
    (8, "device or kernel error"),
    (
        9,
        "refused for safety: split brain, a duplicate disk, metadata that cannot be trusted",
    ),
    (10, "this kernel lacks what is needed"),
];

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 11] = [
        Kind::Failed,
        Kind::Usage,
        Kind::NotFound,
        Kind::InUse,
        Kind::Exists,
        Kind::NotReady,
        Kind::NoSpace,
        Kind::TimedOut,
        Kind::Device,
        Kind::Unsafe,
        Kind::Unsupported,
    ];

    /// The exit status of the process, 1 to 10 (0 is success).
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

    /// The kind as the word that is used in JSON.
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

/// A failure as it is shown to a person or a script.
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
    /// Makes an error of this kind. The message says, on one line, what failed and what state the
    /// object is in now; names of objects are quoted.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error {
            kind,
            message: message.into(),
            object: None,
            hint: None,
        }
    }

    /// Sets the object that the error is about, such as `g/v`.
    #[must_use]
    pub fn on(mut self, object: impl fmt::Display) -> Self {
        self.object = Some(object.to_string());
        self
    }

    /// Sets what to type next: plain text, or a [`Hint`] where it contains command lines.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Hint>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Prefixes the message with what was being done: `doing: message`.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// Appends the cause to the message: `message: cause`.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.message = format!("{}: {cause}", self.message);
        self
    }

    /// The kind, which decides the exit status.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What failed, and the state that the object is in, on one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The object that the error is about; `None` when it is not known.
    pub fn object(&self) -> Option<&str> {
        self.object.as_deref()
    }

    /// What to do next, as data; `None` when nothing helps.
    pub fn advice(&self) -> Option<&Hint> {
        self.hint.as_ref()
    }

    /// What to do next, as text with the command lines of one front end; `None` when nothing helps.
    pub fn hint_text(&self, language: &dyn Language) -> Option<String> {
        self.hint.as_ref().map(|hint| hint.text(language))
    }

    /// An operating system error on a device or file: `TimedOut` for `ETIMEDOUT`, otherwise
    /// `Device`.
    pub fn io(doing: impl fmt::Display, err: &std::io::Error) -> Self {
        let kind = if is_late(err) {
            Kind::TimedOut
        } else {
            Kind::Device
        };
        Error::new(kind, format!("{doing}: {}", words(err)))
    }
}

/// The text of an operating system error on a disk or a file, for people.
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

/// Defines one constructor for each kind, such as `Error::in_use`, so that a refusal reads well.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident => $kind:ident),* $(,)?) => { impl Error { $(
        $(#[$doc])*
        pub fn $name(message: impl Into<String>) -> Self { Error::new(Kind::$kind, message) }
    )* } };
}
kinds! {
    /// An error of kind [`Kind::Failed`].
    failed => Failed,
    /// An error of kind [`Kind::Usage`].
    usage => Usage,
    /// An error of kind [`Kind::NotFound`].
    not_found => NotFound,
    /// An error of kind [`Kind::InUse`].
    in_use => InUse,
    /// An error of kind [`Kind::Exists`].
    exists => Exists,
    /// An error of kind [`Kind::NotReady`].
    not_ready => NotReady,
    /// An error of kind [`Kind::NoSpace`].
    no_space => NoSpace,
    /// An error of kind [`Kind::TimedOut`].
    timed_out => TimedOut,
    /// An error of kind [`Kind::Device`].
    device => Device,
    /// An error of kind [`Kind::Unsafe`].
    unsafe_ => Unsafe,
    /// An error of kind [`Kind::Unsupported`].
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

//! A filesystem that lies on a device itself, and the program that makes it larger.

use std::ffi::OsString;
use std::path::PathBuf;

/// What lies on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filesystem {
    /// Its type, such as `ext4`; also that of other contents, such as `crypto_LUKS`.
    pub kind: String,
    /// A directory where it is mounted, in the mount namespace of this process, that leads to it.
    pub mounted: Option<PathBuf>,
    /// Whether other devices belong to it, too.
    pub is_elsewhere: bool,
}

/// A program with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// The package that has it.
    pub package: &'static str,
    /// Its arguments.
    pub args: Vec<OsString>,
}

impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)?;
        let mut args = self.args.iter();
        args.try_for_each(|arg| write!(f, " {}", arg.display()))
    }
}

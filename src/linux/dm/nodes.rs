//! `/dev/mapper/NAME` without udev: a device can be reached by its name even if nothing processes
//! events.
//!
//! With udev these links are udev's own. They are made here only if it is not running or did not
//! answer in time, and a link that udev makes later simply replaces this one. A name that came from
//! the kernel becomes a path only if it is a plain file name.

use crate::model::DevNo;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

/// The directory of device nodes.
pub(in crate::linux) const DEV: &str = "/dev";

/// The path of a name below `/dev/mapper`; `None` if the name is not a plain file name, or is that
/// of the driver's control node.
pub(in crate::linux) fn path_of(dev: &Path, name: &str) -> Option<PathBuf> {
    let plain =
        !name.is_empty() && !name.contains(['/', '\0']) && !matches!(name, "." | ".." | "control");
    plain.then(|| dev.join("mapper").join(name))
}

/// Makes the name lead to this device, unless it does already.
pub(in crate::linux) fn ensure(dev: &Path, name: &str, number: DevNo) -> io::Result<()> {
    let Some(path) = path_of(dev, name) else {
        return Ok(());
    };
    if leads_to(&path, number) {
        return Ok(());
    }
    fs::create_dir_all(dev.join("mapper"))?;
    // It is created under another name and then renamed: the name is never missing and never leads
    // to something incomplete.
    let fresh = dev
        .join("mapper")
        .join(format!(".breakoff-{}", std::process::id()));
    let _ = fs::remove_file(&fresh);
    make(dev, &fresh, number)?;
    fs::rename(&fresh, &path).inspect_err(|_| drop(fs::remove_file(&fresh)))
}

/// Makes a link to the kernel's own node, as udev does, or a node if there is none (a static
/// `/dev`).
fn make(dev: &Path, path: &Path, number: DevNo) -> io::Result<()> {
    let kernels = format!("dm-{}", number.minor);
    if leads_to(&dev.join(&kernels), number) {
        return symlink(Path::new("..").join(kernels), path);
    }
    let mode = nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR;
    let device = nix::sys::stat::makedev(number.major.into(), number.minor.into());
    Ok(nix::sys::stat::mknod(
        path,
        nix::sys::stat::SFlag::S_IFBLK,
        mode,
        device,
    )?)
}

/// Removes the name of a device that is gone or was renamed, if the name is a link or a node.
pub(in crate::linux) fn forget(dev: &Path, name: &str) {
    let Some(path) = path_of(dev, name) else {
        return;
    };
    if fs::symlink_metadata(&path)
        .is_ok_and(|meta| meta.is_symlink() || meta.file_type().is_block_device())
    {
        let _ = fs::remove_file(path);
    }
}

/// Whether this path is, or is a link to, the block device with this number.
pub(in crate::linux) fn leads_to(path: &Path, number: DevNo) -> bool {
    fs::metadata(path)
        .is_ok_and(|meta| meta.file_type().is_block_device() && devno(meta.rdev()) == number)
}

/// The device number in a `stat` result.
pub(in crate::linux) fn devno(rdev: u64) -> DevNo {
    let fits = |part: u64| u32::try_from(part).unwrap_or(u32::MAX);
    DevNo {
        major: fits(nix::sys::stat::major(rdev)),
        minor: fits(nix::sys::stat::minor(rdev)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_become_paths() {
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "/etc/passwd",
            "../sda",
            "control",
            "a\0b",
        ] {
            assert_eq!(path_of(Path::new(DEV), bad), None, "{bad:?}");
        }
        assert_eq!(
            path_of(Path::new(DEV), "g-v").unwrap(),
            Path::new("/dev/mapper/g-v")
        );
    }

    #[test]
    fn strangers_are_not_removed() {
        let dev = tempfile::tempdir().unwrap();
        fs::create_dir(dev.path().join("mapper")).unwrap();
        let (file, link) = (
            dev.path().join("mapper/file"),
            dev.path().join("mapper/link"),
        );
        fs::write(&file, "x").unwrap();
        symlink("../dm-7", &link).unwrap();
        for name in ["file", "link", "missing", "../mapper"] {
            forget(dev.path(), name);
        }
        assert!(file.exists());
        assert!(fs::symlink_metadata(&link).is_err());
    }

    #[test]
    fn a_node_of_another_number_does_not_count() {
        let dev = tempfile::tempdir().unwrap();
        assert!(!leads_to(
            &dev.path().join("missing"),
            DevNo {
                major: 253,
                minor: 1
            }
        ));
        assert!(
            !leads_to(Path::new("/dev/null"), DevNo { major: 1, minor: 3 }),
            "a character device"
        );
    }
}

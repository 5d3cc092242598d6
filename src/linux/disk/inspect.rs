//! The objections to making a device a breakoff disk: what uses it, and what is on it.
//!
//! `blkid` looks for signatures on the device itself, bypassing udev's database and every cache,
//! because data that is overwritten after a stale answer cannot be restored. Signatures can be
//! overruled; a device that is in use cannot.

use crate::error::{Error, Result};
use crate::linux::disk::above::{self, Sight as _};
use crate::linux::disk::openers::openers;
use crate::linux::disk::sysfs::{self, Block, printable};
use crate::linux::dm::nodes::leads_to;
use crate::linux::process::{fork, tools};
use crate::model::{DevNo, device::UUID_PREFIX};
use crate::sys::disk::{BlockDevice, Inspection, Objection};
use crate::sys::filesystem::Filesystem;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

/// Finds a device, without opening it. Fails if it is not a block device.
pub fn find(path: &Path) -> Result<BlockDevice> {
    let (block, dev) = block(path)?;
    Ok(described(&block, dev, path))
}

fn block(path: &Path) -> Result<(Block, DevNo)> {
    let shown = path.display();
    let meta = fs::metadata(path).map_err(|err| match err.kind() {
        io::ErrorKind::NotFound => {
            Error::not_found(format!("there is no device '{shown}'")).on(&shown)
        }
        _ => Error::io(format!("cannot look at '{shown}'"), &err).on(&shown),
    })?;
    if !meta.file_type().is_block_device() {
        return Err(Error::usage(format!("'{shown}' is not a block device")).on(&shown));
    }
    let dev = crate::linux::dm::nodes::devno(meta.rdev());
    let block = Block::numbered(dev).ok_or_else(|| {
        Error::not_found(format!("the kernel has no device '{shown}' ({dev})")).on(&shown)
    })?;
    Ok((block, dev))
}

fn described(block: &Block, dev: DevNo, path: &Path) -> BlockDevice {
    BlockDevice {
        path: block.path().unwrap_or_else(|| path.to_owned()),
        dev,
        size: block.size(),
        logical_block: block.logical_block(),
        partitions: block.partitions().iter().filter_map(Block::path).collect(),
        whole: block.disk().and_then(|disk| disk.path()),
    }
}

/// Inspects a device and its contents. Fails if it is not a block device, and if it does not
/// answer.
pub fn inspect(path: &Path) -> Result<Inspection> {
    let (block, dev) = block(path)?;
    let device = described(&block, dev, path);
    let mut found = uses(&block, dev, &device.path);
    // A suspended device would not answer until it is resumed.
    if block.is_suspended() {
        found.push(Objection::final_(format!(
            "'{}' is suspended",
            device.path.display()
        )));
    } else {
        found.extend(busy(&device.path, dev, !found.is_empty())?);
        found.extend(signatures(&device.path)?);
    }
    Ok(Inspection::new(device, found))
}

/// The uses of the device or one of its partitions, and what makes it unusable.
fn uses(block: &Block, dev: DevNo, path: &Path) -> Vec<Objection> {
    let shown = path.display();
    let mut found = Vec::new();
    if block
        .dm_uuid()
        .is_some_and(|uuid| uuid.starts_with(UUID_PREFIX))
    {
        found.push(format!(
            "'{shown}' is a volume of breakoff, or a part of one"
        ));
    }
    if block.number("ro").is_some_and(|flag| flag != 0) {
        found.push(format!("'{shown}' is read-only"));
    }
    let mounts = sysfs::mounts("self");
    let swaps = sysfs::swaps();
    let parts = block.partitions();
    let own = [(path.to_owned(), dev, block)];
    let parts = parts
        .iter()
        .filter_map(|part| Some((part.path()?, part.dev()?, part)));
    for (path, dev, block) in own.into_iter().chain(parts) {
        let shown = path.display();
        let points = mounts.iter().filter(|mount| mount.is_on(dev));
        found.extend(
            points.map(|mount| format!("'{shown}' is mounted on '{}'", printable(&mount.point))),
        );
        found.extend(
            swaps
                .iter()
                .filter(|swap| leads_to(swap, dev))
                .map(|_| format!("'{shown}' is used as swap")),
        );
        let holders = block.holders();
        found.extend(holders.iter().map(|name| {
            let title =
                Block::named(name).map_or_else(|| format!("'{name}'"), |holder| holder.title());
            format!("'{shown}' is used by device {title}")
        }));
    }
    found.into_iter().map(Objection::final_).collect()
}

/// Whether something has the device open exclusively. This is reported only if nothing else has
/// explained it yet.
fn busy(path: &Path, dev: DevNo, explained: bool) -> Result<Option<Objection>> {
    let shown = path.display();
    let Some(opened) = opens(path, Instant::now() + DISK_ANSWERS) else {
        return Err(silent(path, DISK_ANSWERS));
    };
    match opened.map_err(|err| (err.raw_os_error(), err)) {
        Ok(_) => Ok(None),
        Err((Some(libc::EBUSY), _)) if explained => Ok(None),
        Err((Some(libc::EBUSY), _)) => {
            let who = openers(dev);
            let who = if who.is_empty() {
                String::new()
            } else {
                format!(" ({})", who.join(", "))
            };
            Ok(Some(Objection::final_(format!("'{shown}' is in use{who}"))))
        }
        Err((Some(libc::EACCES | libc::EPERM), err)) => {
            Err(Error::failed(format!("cannot open '{shown}': {err}"))
                .on(&shown)
                .hint("run it as root"))
        }
        Err((_, err)) => Err(Error::io(format!("cannot open '{shown}'"), &err).on(&shown)),
    }
}

/// Whether a device can be opened exclusively; `None` if that is not known in time. A child tries it:
/// the first opener of a disk may have to wait until its partition table has been read.
fn opens(path: &Path, until: Instant) -> Option<io::Result<()>> {
    let open = || {
        let mut options = fs::File::options();
        let flags = libc::O_EXCL | libc::O_NONBLOCK;
        options.read(true).custom_flags(flags).open(path).map(drop)
    };
    let tell = |mouth: &mut fs::File| {
        let number = open().map_or_else(|err| err.raw_os_error().unwrap_or(libc::EIO), |()| 0);
        drop(mouth.write_all(&number.to_le_bytes()));
    };
    let Ok(heard) = fork::hears_by(until, tell) else {
        return Some(open());
    };
    match heard?
        .first_chunk()
        .map(|number| i32::from_le_bytes(*number))
    {
        Some(0) => Some(Ok(())),
        Some(number) => Some(Err(io::Error::from_raw_os_error(number))),
        None => Some(open()),
    }
}

/// How long a volume may take to answer.
const ANSWERS: Duration = Duration::from_secs(5);
/// How long a disk that is going to be used may take to answer: it may have to spin up first.
const DISK_ANSWERS: Duration = Duration::from_secs(10);

/// The output of `blkid` for the device itself, bypassing udev's database and every cache.
fn blkid(path: &Path, patience: Duration) -> Result<Output> {
    let missing = || {
        Error::unsupported("'blkid' is missing, so the contents of a device cannot be identified")
            .hint("install util-linux")
    };
    let not_run = |err| Error::io("cannot run 'blkid'", &err);
    let mut command = tools::command("blkid").ok_or_else(missing)?;
    command
        .args(["-p", "-o", "export", "--"])
        .arg(path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(not_run)?;
    if !tools::done_by(Instant::now() + patience, Some(&mut child)) {
        return Err(silent(path, patience));
    }
    // The process has ended, so all of its output has fitted into the pipes.
    child.wait_with_output().map_err(not_run)
}

fn silent(path: &Path, patience: Duration) -> Error {
    let shown = path.display();
    let why = format!(
        "'{shown}' did not answer within {} s, so its contents cannot be identified",
        patience.as_secs()
    );
    Error::timed_out(why).on(shown)
}

/// The smallest pieces, in bytes, that the contents of a device are read and written in: those of a
/// filesystem, and the device's sectors where a partition table counts in them. `None` if there is
/// neither, if `blkid` does not know, and if the device does not answer.
pub fn block_size(path: &Path) -> Option<u32> {
    let output = blkid(path, ANSWERS).ok()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let sectors = has_partition_table(&said)
        .then(|| find(path).ok().map(|device| device.logical_block))
        .flatten();
    block_size_in(&said).into_iter().chain(sectors).min()
}

/// The filesystem on a device itself, or what else is on it.
pub fn filesystem(dev: DevNo, path: &Path) -> Option<Filesystem> {
    if let Some(found) = above::Here::look_around().filesystem(dev) {
        return Some(Filesystem {
            is_elsewhere: found.on != [dev],
            mounted: found.directory(),
            kind: found.kind,
        });
    }
    let output = blkid(path, ANSWERS).ok()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let kind = value_in(&said, "TYPE").or(value_in(&said, "PTTYPE"))?;
    Some(Filesystem {
        kind: printable(&plain(kind)),
        mounted: None,
        is_elsewhere: false,
    })
}

fn block_size_in(export: &str) -> Option<u32> {
    value_in(export, "BLOCK_SIZE")?.trim().parse().ok()
}

/// Whether there is a partition table. A GPT for other sectors is seen as its protective MBR alone,
/// which does not count.
fn has_partition_table(export: &str) -> bool {
    value_in(export, "PTTYPE").is_some_and(|kind| kind != "PMBR")
}

fn value_in<'e>(export: &'e str, wanted: &str) -> Option<&'e str> {
    export
        .lines()
        .filter_map(|line| line.split_once('='))
        .find_map(|(key, value)| (key == wanted).then_some(value))
}

/// The signatures that `blkid` finds on the device itself.
pub(crate) fn signatures(path: &Path) -> Result<Vec<Objection>> {
    let output = blkid(path, DISK_ANSWERS)?;
    let shown = path.display().to_string();
    match output.status.code() {
        Some(0) => Ok(describe(&shown, &String::from_utf8_lossy(&output.stdout))),
        // Nothing was found, and there is nothing to complain about.
        Some(2) if output.stderr.is_empty() => Ok(Vec::new()),
        Some(8) => Ok(vec![Objection::forcible(format!(
            "'{shown}' holds several signatures (see 'wipefs --no-act {shown}')"
        ))]),
        _ => {
            let why = printable(String::from_utf8_lossy(&output.stderr).trim());
            Err(
                Error::device(format!("cannot identify the contents of '{shown}': {why}"))
                    .on(&shown),
            )
        }
    }
}

/// Describes what `blkid -o export` printed. It also prints that a device is a partition, which
/// says nothing about its contents.
fn describe(shown: &str, export: &str) -> Vec<Objection> {
    let value = |wanted: &str| {
        value_in(export, wanted)
            .map(|value| printable(&plain(value)))
            .filter(|value| !value.is_empty())
    };
    let mut found = Vec::new();
    if let Some(kind) = value("TYPE") {
        let noun = match value("USAGE").as_deref() {
            Some("filesystem") => "filesystem",
            Some("raid") => "member of a RAID or volume group",
            Some("crypto") => "encrypted volume",
            _ => "signature",
        };
        let label = value("LABEL")
            .map(|label| format!(" labelled '{label}'"))
            .unwrap_or_default();
        found.push(format!(
            "'{shown}' holds {} {kind} {noun}{label}",
            article(&kind)
        ));
    }
    if let Some(kind) = value("PTTYPE") {
        found.push(format!(
            "'{shown}' has {} {kind} partition table",
            article(&kind)
        ));
    }
    found.into_iter().map(Objection::forcible).collect()
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'A', 'E', 'I', 'O', 'L', 'x']) {
        "an"
    } else {
        "a"
    }
}

/// Removes the escapes that protect a value from a shell.
fn plain(value: &str) -> String {
    let mut escaped = false;
    let keep = |c: &char| {
        escaped = *c == '\\' && !escaped;
        !escaped
    };
    value.chars().filter(keep).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn texts(export: &str) -> Vec<String> {
        describe("/dev/sdb", export)
            .into_iter()
            .inspect(|o| assert!(o.forcible))
            .map(|o| o.text)
            .collect()
    }

    #[test]
    fn an_open_that_hangs_is_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let there = directory.path().join("there");
        fs::write(&there, "").unwrap();
        let soon = || Instant::now() + Duration::from_secs(20);
        assert!(opens(&there, soon()).unwrap().is_ok());
        let missing = opens(&directory.path().join("missing"), soon()).unwrap();
        assert_eq!(missing.unwrap_err().raw_os_error(), Some(libc::ENOENT));
        assert!(opens(&there, Instant::now() - Duration::from_secs(1)).is_none());
    }

    #[test]
    fn signatures_are_named() {
        let ext4 = "DEVNAME=/dev/sdb\nLABEL=my\\ data\nUUID=1\nVERSION=1.0\nBLOCK_SIZE=4096\nTYPE=ext4\nUSAGE=filesystem\n";
        assert_eq!(
            texts(ext4),
            ["'/dev/sdb' holds an ext4 filesystem labelled 'my data'"]
        );
        assert_eq!(
            (
                block_size_in(ext4),
                block_size_in("TYPE=swap\n"),
                block_size_in("BLOCK_SIZE=-\n")
            ),
            (Some(4096), None, None)
        );
        assert!(
            has_partition_table("PTUUID=1\nPTTYPE=gpt\n")
                && !has_partition_table("PTTYPE=PMBR\n")
                && !has_partition_table(ext4)
        );
        assert_eq!(
            texts("TYPE=LVM2_member\nUSAGE=raid\n"),
            ["'/dev/sdb' holds an LVM2_member member of a RAID or volume group"]
        );
        assert_eq!(
            texts("DEVNAME=/dev/sdb\nPTUUID=1\nPTTYPE=gpt\n"),
            ["'/dev/sdb' has a gpt partition table"]
        );
        assert_eq!(
            texts("TYPE=swap\nUSAGE=other\n"),
            ["'/dev/sdb' holds a swap signature"]
        );
        assert_eq!(
            texts("DEVNAME=/dev/sdb1\nPART_ENTRY_SCHEME=gpt\nPART_ENTRY_NUMBER=1\n"),
            Vec::<String>::new()
        );
        assert_eq!(
            texts("LABEL=\u{1b}[2J\nTYPE=xfs\nUSAGE=filesystem\n"),
            ["'/dev/sdb' holds an xfs filesystem labelled '?[2J'"]
        );
    }

    /// `blkid` takes files, so a fresh filesystem can be looked at without a device.
    #[test]
    fn a_filesystem_in_a_file_is_found() {
        let (Some(mkfs), Some(_)) = (tools::find("mkfs.ext4"), tools::find("blkid")) else {
            return;
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(8 << 20).unwrap();
        assert_eq!(signatures(file.path()).unwrap(), []);
        let made = std::process::Command::new(mkfs)
            .args(["-q", "-F", "-L", "two words"])
            .arg(file.path())
            .status()
            .unwrap();
        assert!(made.success());
        let found = signatures(file.path()).unwrap();
        assert!(
            found[0]
                .text
                .ends_with("holds an ext4 filesystem labelled 'two words'"),
            "{found:?}"
        );
    }

    #[test]
    fn only_block_devices_are_inspected() {
        for (path, kind) in [
            ("/dev/null", Kind::Usage),
            ("/etc/passwd", Kind::Usage),
            ("/dev/nonexistent", Kind::NotFound),
        ] {
            assert_eq!(inspect(Path::new(path)).unwrap_err().kind(), kind);
            assert_eq!(find(Path::new(path)).unwrap_err().kind(), kind);
        }
    }
}

//! The witness: which configuration of each group this machine has seen last, in one small file for
//! each group on its root filesystem.
//!
//! Half of a group's disks cannot tell whether the other half has continued without them. The
//! machine that the group belongs to can: when these disks hold what it has seen last, nothing was
//! done here without them; when it has seen something newer, they are old. To make this certain, a
//! configuration is noted before it is written. Until its outcome is known, the previous one may be
//! old. A file that is missing or not valid says nothing.
//!
//! An initramfs has a copy of the files, made when it was made. What was seen then is a bound and no
//! more: older disks are refused, and no disks are taken for the newest. The file [`COPY`] says so.

use super::history::{Digest, Stamp};
use crate::error::{Error, Result};
use crate::model::{Generation, GroupId, Name, Testimony};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The version of the file's fields.
const VERSION: u32 = 1;
/// The most bytes of a file. The rest is not read, so that a larger file is not valid.
const MOST: u64 = 4096;
/// The time limit for an access to the files. A repair must not wait any longer for a root
/// filesystem that does not answer, because writers wait for the repair.
const DEADLINE: Duration = Duration::from_secs(5);

/// The stack size of the thread that accesses the files. It is small, because the monitor locks its
/// memory.
const STACK: usize = 128 << 10;

/// The file in the directory that says that what is here is a copy, which may be out of date.
const COPY: &str = "copy";

/// The directory that holds the files.
#[derive(Debug, Clone)]
pub struct Witness(PathBuf);

/// What this machine has seen of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// The configuration that was in force.
    pub newest: Stamp,
    /// The configuration that was going to follow it, and of which nothing is known.
    pub next: Option<Stamp>,
}

impl Sighting {
    /// Whether `stamp` is one of these two configurations, unless others may have followed.
    pub fn is_of(&self, stamp: Stamp) -> bool {
        let is_bound = *self == self.perhaps_followed();
        !is_bound && (self.newest == stamp || self.next == Some(stamp))
    }

    /// The same, when others may have followed since: `next` is one that no disk holds.
    fn perhaps_followed(self) -> Sighting {
        let next = Stamp {
            generation: self.newest.generation,
            digest: Digest::of(b"not known"),
        };
        Sighting {
            next: Some(next),
            ..self
        }
    }

    /// What the witness says about the configuration `here`.
    pub fn on(&self, here: Stamp) -> Testimony {
        match self.next {
            Some(next) if next == here => Testimony::Newest,
            None if self.newest == here => Testimony::Newest,
            _ if self.newest.generation > here.generation => {
                Testimony::Older(self.newest.generation)
            }
            _ => Testimony::None,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    version: u32,
    /// The name of the group, for people only.
    name: String,
    newest: StampRecord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<StampRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StampRecord {
    generation: u64,
    digest: String,
}

impl StampRecord {
    fn of(stamp: Stamp) -> StampRecord {
        StampRecord {
            generation: stamp.generation.get(),
            digest: stamp.digest.to_string(),
        }
    }

    fn stamp(&self) -> Option<Stamp> {
        Some(Stamp {
            generation: Generation::new(self.generation),
            digest: Digest::parse(&self.digest)?,
        })
    }
}

impl Witness {
    /// The witness whose files are in this directory.
    pub fn at(dir: PathBuf) -> Witness {
        Witness(dir)
    }

    fn file(&self, group: GroupId) -> PathBuf {
        self.0.join(format!("{group}.json"))
    }

    /// What was last seen of a group; `None` when there is no valid file.
    pub fn seen(&self, group: GroupId) -> Option<Sighting> {
        let (file, copy) = (self.file(group), self.0.join(COPY));
        let look = move || {
            let seen = read(&file);
            Ok(if copy.exists() {
                seen.map(Sighting::perhaps_followed)
            } else {
                seen
            })
        };
        within(DEADLINE, look).ok().flatten()
    }

    /// The groups that have a file; `None` when that cannot be told.
    pub fn groups(&self) -> Option<Vec<GroupId>> {
        let dir = self.0.clone();
        let list = move || -> io::Result<Vec<GroupId>> {
            let names = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name()));
            let names: Vec<_> = names.collect::<io::Result<_>>()?;
            let id = |name: &OsString| GroupId::parse(name.to_str()?.strip_suffix(".json")?);
            Ok(names.iter().filter_map(id).collect())
        };
        within(DEADLINE, list).ok()
    }

    /// Records what was seen, atomically and durably. On a read-only root filesystem nothing is
    /// recorded, which is not an error.
    pub fn note(&self, group: GroupId, name: &Name, seen: Sighting) -> Result<()> {
        self.write(group, name, seen, move |before| before != Some(seen))
    }

    /// Records that the configuration `next` is about to follow `newest`, which is in force.
    /// Nothing is recorded for a group that was never seen.
    pub fn expect(&self, group: GroupId, name: &Name, newest: Stamp, next: Stamp) -> Result<()> {
        let next = Some(next);
        let seen = Sighting { newest, next };
        self.write(group, name, seen, move |before| {
            before.is_some_and(|before| before != seen)
        })
    }

    /// Writes the file, if that is wanted after what it holds.
    fn write(
        &self,
        group: GroupId,
        name: &Name,
        seen: Sighting,
        is_wanted: impl Fn(Option<Sighting>) -> bool + Send + 'static,
    ) -> Result<()> {
        let (newest, next) = (StampRecord::of(seen.newest), seen.next.map(StampRecord::of));
        let text = super::pretty::to_string(&Record {
            version: VERSION,
            name: name.to_string(),
            newest,
            next,
        })?;
        let (dir, file) = (self.0.clone(), self.file(group));
        let temporary = self.0.join(format!("{group}.{}", std::process::id()));
        let write = move || {
            if !is_wanted(read(&file)) {
                return Ok(());
            }
            let written = DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&dir)
                .and_then(|()| File::create(&temporary))
                .and_then(|mut file| {
                    file.write_all(text.as_bytes())
                        .and_then(|()| file.sync_all())
                })
                .and_then(|()| fs::rename(&temporary, &file))
                .and_then(|()| File::open(&dir)?.sync_all());
            written.inspect_err(|_| drop(fs::remove_file(&temporary)))
        };
        unless_read_only(within(DEADLINE, write)).map_err(|err| {
            Error::io(
                format_args!("writing '{}'", self.file(group).display()),
                &err,
            )
        })
    }

    /// Removes the file of a group that is gone.
    pub fn forget(&self, group: GroupId) -> Result<()> {
        let file = self.file(group);
        let removed = match within(DEADLINE, move || fs::remove_file(file)) {
            Err(err) if err.kind() == ErrorKind::NotFound => Ok(()),
            removed => unless_read_only(removed),
        };
        removed.map_err(|err| {
            Error::io(
                format_args!("removing '{}'", self.file(group).display()),
                &err,
            )
        })
    }
}

/// What a file holds; `None` when it is missing or not valid.
fn read(file: &Path) -> Option<Sighting> {
    let mut text = String::new();
    File::open(file)
        .ok()?
        .take(MOST)
        .read_to_string(&mut text)
        .ok()?;
    let record: Record = serde_json::from_str(&text)
        .ok()
        .filter(|record: &Record| record.version == VERSION)?;
    let next = match &record.next {
        Some(next) => Some(next.stamp()?),
        None => None,
    };
    Some(Sighting {
        newest: record.newest.stamp()?,
        next,
    })
}

/// Ignores the error of a read-only root filesystem: there is no witness then, which is not a
/// fault.
fn unless_read_only(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|err| {
        if err.kind() == ErrorKind::ReadOnlyFilesystem {
            Ok(())
        } else {
            Err(err)
        }
    })
}

/// Runs `act` in a thread, which is left behind when it takes too long.
fn within<T: Send + 'static>(
    deadline: Duration,
    act: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (done, result) = mpsc::channel();
    thread::Builder::new()
        .stack_size(STACK)
        .spawn(move || drop(done.send(act())))?;
    result
        .recv_timeout(deadline)
        .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn stamp(generation: u64) -> Stamp {
        Stamp {
            generation: Generation::new(generation),
            digest: Digest::of(&generation.to_le_bytes()),
        }
    }

    fn sighting(newest: u64, next: Option<u64>) -> Sighting {
        Sighting {
            newest: stamp(newest),
            next: next.map(stamp),
        }
    }

    #[test]
    fn what_was_noted_is_seen_until_it_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let (witness, id, name) = (
            Witness::at(dir.path().join("a/b")),
            GroupId::random(),
            Name::parse("g").unwrap(),
        );
        witness.expect(id, &name, stamp(1), stamp(2)).unwrap();
        assert_eq!(witness.seen(id), None);
        for seen in [
            sighting(3, None),
            sighting(4, Some(5)),
            sighting(4, Some(5)),
            sighting(4, None),
            sighting(2, None),
        ] {
            witness.note(id, &name, seen).unwrap();
            assert_eq!(witness.seen(id), Some(seen));
        }
        witness.expect(id, &name, stamp(2), stamp(9)).unwrap();
        assert_eq!(witness.seen(id), Some(sighting(2, Some(9))));
        assert_eq!(
            fs::read_dir(dir.path().join("a/b")).unwrap().count(),
            1,
            "nothing temporary is left"
        );
        assert_eq!(witness.seen(GroupId::random()), None);
        witness.forget(id).unwrap();
        witness.forget(id).unwrap();
        assert_eq!(witness.seen(id), None);
    }

    #[test]
    fn a_copy_refuses_what_is_older_and_takes_nothing_for_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let (witness, id, name) = (
            Witness::at(dir.path().to_owned()),
            GroupId::random(),
            Name::parse("g").unwrap(),
        );
        let says = |here| witness.seen(id).unwrap().on(stamp(here));
        for seen in [sighting(7, None), sighting(7, Some(8))] {
            witness.note(id, &name, seen).unwrap();
            let newest = seen.next.map_or(7, |_| 8);
            assert_eq!(says(newest), Testimony::Newest);
            assert!(witness.seen(id).unwrap().is_of(stamp(7)));
            fs::write(dir.path().join(COPY), "").unwrap();
            assert_eq!(says(newest), Testimony::None);
            assert_eq!(says(7), Testimony::None);
            assert_eq!(says(6), Testimony::Older(Generation::new(7)));
            assert!(!witness.seen(id).unwrap().is_of(stamp(7)));
            assert_eq!(says(9), Testimony::None);
            fs::remove_file(dir.path().join(COPY)).unwrap();
        }
    }

    #[test]
    fn a_file_that_makes_no_sense_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (witness, id, name) = (
            Witness::at(dir.path().to_owned()),
            GroupId::random(),
            Name::parse("g").unwrap(),
        );
        witness.note(id, &name, sighting(7, Some(8))).unwrap();
        let good = fs::read_to_string(witness.file(id)).unwrap();
        let (digest, next) = (stamp(7).digest.to_string(), stamp(8).digest.to_string());
        let bad = [
            String::new(),
            good[..good.len() / 2].to_owned(),
            good.replace("\"version\": 1", "\"version\": 2"),
            good.replace(&digest, &digest[1..]),
            good.replace(&next, "x"),
            good.replace(": 7", ": -7"),
            good.replace(": 7", ": 7, \"more\": 1"),
            " ".repeat(5000) + &good,
        ];
        for text in bad {
            assert_ne!(text, good);
            fs::write(witness.file(id), &text).unwrap();
            assert_eq!(witness.seen(id), None, "{text}");
        }
    }

    #[test]
    fn nobody_waits_for_what_does_not_answer() {
        let (keep, answer) = mpsc::channel::<()>();
        let late = within(Duration::from_millis(20), move || Ok(answer.recv().is_ok()));
        assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
        drop(keep);
        assert_eq!(within(DEADLINE, || Ok(7)).unwrap(), 7);
    }

    #[test]
    fn what_cannot_be_written_is_an_error_and_a_read_only_root_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let (witness, id, name) = (
            Witness::at(file.join("below")),
            GroupId::random(),
            Name::parse("g").unwrap(),
        );
        assert!(
            witness
                .note(id, &name, sighting(1, None))
                .unwrap_err()
                .message()
                .contains("below")
        );
        assert_eq!(witness.seen(id), None);
        assert!(unless_read_only(Err(ErrorKind::ReadOnlyFilesystem.into())).is_ok());
        assert!(unless_read_only(Err(ErrorKind::StorageFull.into())).is_err());
    }

    #[test]
    fn only_what_is_known_to_be_the_last_is_the_newest() {
        let on = |newest, next, here| sighting(newest, next).on(stamp(here));
        assert_eq!(on(5, None, 5), Testimony::Newest);
        assert_eq!(on(5, Some(6), 6), Testimony::Newest);
        assert_eq!(
            on(5, Some(6), 5),
            Testimony::None,
            "6 may be on a disk that is not here"
        );
        assert_eq!(on(4, None, 5), Testimony::None);
        assert_eq!(on(6, None, 5), Testimony::Older(Generation::new(6)));
        assert_eq!(on(6, Some(7), 5), Testimony::Older(Generation::new(6)));
        // The same generation, written elsewhere.
        assert_eq!(
            sighting(5, None).on(Stamp {
                digest: Digest::of(b"elsewhere"),
                ..stamp(5)
            }),
            Testimony::None
        );
    }
}

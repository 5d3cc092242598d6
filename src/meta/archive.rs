//! Earlier configurations as readable files, with which an administrator can see what a group was
//! before a command. This program never reads them.
//!
//! Each commit is followed by a new file
//! `<group>_<generation>_<first 8 digits of the group's uuid>.json`. Old files are removed when a
//! group has too many of them, or all files together too many bytes. Nothing here can make a
//! command fail.

use super::record::GroupRecord;
use crate::error::{Error, Result};
use crate::model::{Generation, Group};
use serde::Serialize;
use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The directory of earlier configurations and its bounds.
#[derive(Debug, Clone)]
pub struct Archive {
    /// The directory that holds the files.
    pub dir: PathBuf,
    /// The most files of one group.
    pub files: usize,
    /// The most bytes of all files; the newest file stays even when it alone is larger.
    pub bytes: u64,
}

/// The contents of a file: the command, and the configuration that it made.
#[derive(Serialize)]
struct Entry<'a> {
    command: &'a str,
    configuration: GroupRecord,
}

impl Archive {
    /// The archive in a machine's state directory: 100 files for each group, 16 MiB in all.
    pub fn below(state_dir: &Path) -> Archive {
        Archive {
            dir: state_dir.join("archive"),
            files: 100,
            bytes: 16 << 20,
        }
    }

    /// Keeps a configuration that was committed, with the command that made it. Returns a warning
    /// when that failed.
    pub fn keep(&self, group: &Group, generation: Generation, command: &str) -> Option<String> {
        let kept = self
            .write(group, generation, command)
            .and_then(|newest| self.prune(&newest).and_then(|()| self.sweep(&newest)));
        kept.err().map(|err| {
            format!(
                "archiving the configuration in '{}' failed: {}",
                self.dir.display(),
                err.message()
            )
        })
    }

    /// Writes one file, atomically; returns its name.
    fn write(&self, group: &Group, generation: Generation, command: &str) -> Result<Kept> {
        let text = super::pretty::to_string(&Entry {
            command,
            configuration: GroupRecord::of(group, generation, None)?,
        })?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
            .map_err(|err| Error::io("creating it", &err))?;
        let kept = Kept::new(group, generation);
        let name = kept.file_name();
        let temporary = self.dir.join(kept.temporary());
        let written = File::create(&temporary)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())
                    .and_then(|()| file.sync_data())
            })
            .and_then(|()| fs::rename(&temporary, self.dir.join(&name)));
        written.map_err(|err| {
            drop(fs::remove_file(&temporary));
            Error::io(format_args!("writing '{name}'"), &err)
        })?;
        Ok(kept)
    }

    /// Removes the oldest files beyond the bounds, never the newest.
    fn prune(&self, newest: &Kept) -> Result<()> {
        let (mut mine, mut others): (Vec<_>, Vec<_>) = self
            .archived()?
            .into_iter()
            .filter(|file| file.kept != *newest)
            .partition(|file| file.kept.uuid == newest.uuid);
        mine.sort_by_key(|file| file.kept.generation);
        for file in mine.drain(..(mine.len() + 1).saturating_sub(self.files.max(1))) {
            self.remove(&file)?;
        }
        // Generations of different groups cannot be compared, so the time of writing decides.
        others.append(&mut mine);
        others.sort_by_key(|file| (file.written, file.kept.generation));
        let mut room = self.bytes.saturating_sub(newest.length(&self.dir));
        for file in others.iter().rev() {
            match room.checked_sub(file.bytes) {
                Some(left) => room = left,
                None => {
                    room = 0;
                    self.remove(file)?;
                }
            }
        }
        Ok(())
    }

    /// Removes what a crash has left of a group's earlier writes.
    fn sweep(&self, newest: &Kept) -> Result<()> {
        let entries = fs::read_dir(&self.dir).map_err(|err| Error::io("reading it", &err))?;
        for name in entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
        {
            let unfinished = name
                .strip_prefix('.')
                .and_then(|name| name.strip_suffix(".tmp"))
                .and_then(Kept::parse);
            if unfinished
                .is_some_and(|kept| kept.uuid == newest.uuid && kept.generation < newest.generation)
            {
                drop(fs::remove_file(self.dir.join(name)));
            }
        }
        Ok(())
    }

    /// The files that belong to the archive by their names; others are left alone.
    fn archived(&self) -> Result<Vec<Archived>> {
        let read = |err: std::io::Error| Error::io("reading it", &err);
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(read)? {
            let entry = entry.map_err(read)?;
            let Some(kept) = entry.file_name().to_str().and_then(Kept::parse) else {
                continue;
            };
            // Another process may have removed it meanwhile.
            let Ok(about) = entry.metadata() else {
                continue;
            };
            files.push(Archived {
                kept,
                bytes: about.len(),
                written: about.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            });
        }
        Ok(files)
    }

    fn remove(&self, file: &Archived) -> Result<()> {
        let name = file.kept.file_name();
        match fs::remove_file(self.dir.join(&name)) {
            Err(err) if err.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(format_args!("removing '{name}'"), &err))
            }
            _ => Ok(()),
        }
    }
}

struct Archived {
    kept: Kept,
    bytes: u64,
    written: SystemTime,
}

/// The name of a file, split into its parts.
#[derive(Debug, PartialEq, Eq)]
struct Kept {
    group: String,
    generation: Generation,
    uuid: String,
}

impl Kept {
    fn new(group: &Group, generation: Generation) -> Kept {
        let uuid = group.id.simple().chars().take(8).collect();
        Kept {
            group: group.name.to_string(),
            generation,
            uuid,
        }
    }

    /// The bytes of the file; zero when it does not exist.
    fn length(&self, dir: &Path) -> u64 {
        fs::metadata(dir.join(self.file_name())).map_or(0, |about| about.len())
    }

    fn file_name(&self) -> String {
        format!("{}_{}_{}.json", self.group, self.generation, self.uuid)
    }

    fn temporary(&self) -> String {
        format!(".{}.tmp", self.file_name())
    }

    /// Splits the name from the right, because a group's name may contain `_` and `.` itself.
    fn parse(name: &str) -> Option<Kept> {
        let (rest, uuid) = name.strip_suffix(".json")?.rsplit_once('_')?;
        let (group, generation) = rest.rsplit_once('_')?;
        let kept = Kept {
            group: group.into(),
            generation: Generation::new(generation.parse().ok()?),
            uuid: uuid.into(),
        };
        (kept.file_name() == name && uuid.len() == 8 && uuid.bytes().all(|b| b.is_ascii_hexdigit()))
            .then_some(kept)
    }
}

//! What has been done about disks that have appeared, in one small file for each group, in a directory
//! that does not outlive the boot.

use crate::error::{Error, Result};
use crate::model::{DiskId, GroupId, Handled, VolumeId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The directory that holds the files.
#[derive(Debug, Clone)]
pub struct HandledFiles(PathBuf);

/// The disks with the numbers of their appearances, and the volumes that wait, by their UUIDs.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Record {
    disks: BTreeMap<String, u64>,
    waiting: Vec<String>,
}

impl HandledFiles {
    /// The files in this directory.
    pub fn at(dir: PathBuf) -> HandledFiles {
        HandledFiles(dir)
    }

    fn file(&self, group: GroupId) -> PathBuf {
        self.0.join(format!("{group}.json"))
    }

    /// What has been done for a group. A file that is missing or not valid says that nothing was: then
    /// volumes are started that need not, as at boot.
    pub fn read(&self, group: GroupId) -> Handled {
        let text = fs::read(self.file(group)).ok();
        let record: Record = text
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        let disks = record.disks.into_iter();
        let waiting = record.waiting.iter();
        Handled {
            disks: disks
                .filter_map(|(id, number)| Some((DiskId::parse(&id)?, number)))
                .collect(),
            waiting: waiting.filter_map(|id| VolumeId::parse(id)).collect(),
        }
    }

    /// Records what has been done for a group. The file is replaced: nobody reads a part of it.
    pub fn write(&self, group: GroupId, handled: &Handled) -> Result<()> {
        let file = self.file(group);
        replace(&file, handled)
            .map_err(|err| Error::device(format!("'{}' cannot be written: {err}", file.display())))
    }

    /// Forgets what has been done, for all groups.
    pub fn forget(&self) {
        // What cannot be removed starts too little the next time.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn replace(file: &Path, handled: &Handled) -> io::Result<()> {
    let disks = handled.disks.iter();
    let record = Record {
        disks: disks
            .map(|(id, number)| (id.to_string(), *number))
            .collect(),
        waiting: handled.waiting.iter().map(ToString::to_string).collect(),
    };
    let text = serde_json::to_vec(&record)?;
    if fs::read(file).is_ok_and(|before| before == text) {
        return Ok(());
    }
    let dir = file.parent().ok_or(ErrorKind::NotFound)?;
    fs::create_dir_all(dir)?;
    let new = file.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(new, file)
}

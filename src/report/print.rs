//! The text of `print`: VxVM's hierarchy of one-line records. Used by `text`.

use super::columns::Columns;
use super::view::{DiskView, GroupView, LogView, OwnerView, PlexView, SubdiskView, VolumeView};
use crate::model::units::{SECTOR, human_bytes};
use std::collections::BTreeSet;

const HEADING: [&str; 10] = [
    "TY", "NAME", "ASSOC", "KSTATE", "LENGTH", "PLOFFS", "STATE", "TUTIL0", "PUTIL0", "SECSIZE",
];
const EXACT: [&str; 4] = ["SECTORS", "PLSECTOR", "DKSECTOR", "OWNER"];

/// One record. A field that does not apply stays empty and is shown as `-`.
#[derive(Default)]
struct Record<'a> {
    kind: &'static str,
    name: &'a str,
    assoc: &'a str,
    kstate: &'a str,
    length: Option<u64>,
    plex_offset: Option<u64>,
    disk_offset: Option<u64>,
    state: &'a str,
    tutil: String,
    sector_size: Option<u32>,
    owner: String,
}

/// The records of these groups. `whole` is false when only some volumes were requested: then groups
/// and disks are left out.
pub(super) fn text(groups: &[GroupView], whole: bool, exact: bool) -> String {
    if groups.is_empty() {
        return "no groups\n".to_owned();
    }
    let heading = if exact {
        [&HEADING[..], &EXACT[..]].concat()
    } else {
        HEADING.to_vec()
    };
    let mut out = Printer {
        columns: Columns::with_heading(&heading),
        exact,
        missing: BTreeSet::new(),
    };
    for group in groups {
        out.missing = group
            .disks
            .iter()
            .filter(|disk| disk.device.is_none())
            .map(|disk| disk.media.as_str())
            .collect();
        if whole {
            out.group(group);
        }
        group.volumes.iter().for_each(|volume| out.volume(volume));
    }
    out.columns.text()
}

struct Printer<'a> {
    columns: Columns,
    exact: bool,
    /// Disks of the present group that are missing.
    missing: BTreeSet<&'a str>,
}

impl<'a> Printer<'a> {
    fn put(&mut self, record: Record<'_>) {
        let human = |bytes: Option<u64>| bytes.map(human_bytes).unwrap_or_default();
        let mut cells: Vec<String> = [record.kind, record.name, record.assoc, record.kstate]
            .map(str::to_owned)
            .into();
        cells.extend([
            human(record.length),
            human(record.plex_offset),
            record.state.to_owned(),
            record.tutil,
            String::new(),
        ]);
        cells.extend([record
            .sector_size
            .map(|bytes| bytes.to_string())
            .unwrap_or_default()]);
        if self.exact {
            let offsets = [record.length, record.plex_offset, record.disk_offset];
            cells.extend(
                offsets.map(|bytes| bytes.map(|b| (b / SECTOR).to_string()).unwrap_or_default()),
            );
            cells.push(record.owner);
        }
        self.columns.row(cells);
    }

    fn group(&mut self, group: &'a GroupView) {
        self.columns.gap();
        self.put(Record {
            kind: "dg",
            name: &group.name,
            assoc: &group.name,
            ..Record::default()
        });
        group.disks.iter().for_each(|disk| self.disk(disk));
    }

    fn disk(&mut self, disk: &DiskView) {
        let (assoc, state) = (
            disk.device.as_deref().unwrap_or_default(),
            self.presence(&disk.media),
        );
        self.put(Record {
            kind: "dm",
            name: &disk.media,
            assoc,
            length: Some(disk.size),
            state,
            sector_size: disk.sector_size,
            ..Record::default()
        });
    }

    fn volume(&mut self, volume: &VolumeView) {
        self.columns.gap();
        let VolumeView {
            name,
            kstate,
            state,
            size,
            sector_size,
            ..
        } = volume;
        let tutil = volume
            .resync
            .map(|sync| format!("{}%", sync.percent()))
            .unwrap_or_default();
        let (length, sector_size) = (Some(*size), *sector_size);
        self.put(Record {
            kind: "v",
            name,
            assoc: "fsgen",
            kstate,
            length,
            state,
            tutil,
            sector_size,
            owner: volume.owner.as_ref().map(owner).unwrap_or_default(),
            ..Record::default()
        });
        volume
            .plexes
            .iter()
            .for_each(|plex| self.plex(volume, plex));
        volume.log.iter().for_each(|log| self.log(volume, log));
        volume
            .snapshots
            .iter()
            .chain(&volume.snapshot_of)
            .for_each(|peer| self.relation(volume, peer));
    }

    fn plex(&mut self, volume: &VolumeView, plex: &PlexView) {
        let PlexView {
            name,
            kstate,
            state,
            ..
        } = plex;
        let length = Some(plex.subdisks.iter().map(|s| s.length).sum());
        let tutil = percent(plex);
        self.put(Record {
            kind: "pl",
            name,
            assoc: &volume.name,
            kstate,
            length,
            state,
            tutil,
            ..Record::default()
        });
        plex.subdisks
            .iter()
            .for_each(|subdisk| self.subdisk(subdisk, name, kstate));
    }

    fn log(&mut self, volume: &VolumeView, log: &LogView) {
        let (name, length) = (format!("{}_log", volume.name), Some(log.subdisk.length));
        self.put(Record {
            kind: "lg",
            name: &name,
            assoc: &volume.name,
            kstate: log.kstate,
            length,
            state: "LOG",
            ..Record::default()
        });
        self.subdisk(&log.subdisk, &name, log.kstate);
    }

    fn subdisk(&mut self, subdisk: &SubdiskView, assoc: &str, kstate: &str) {
        self.put(Record {
            kind: "sd",
            name: &subdisk.name,
            assoc,
            kstate,
            length: Some(subdisk.length),
            plex_offset: Some(subdisk.plex_offset),
            disk_offset: Some(subdisk.disk_offset),
            state: self.presence(&subdisk.media),
            ..Record::default()
        });
    }

    fn presence(&self, media: &str) -> &'static str {
        if self.missing.contains(media) {
            "NODEVICE"
        } else {
            ""
        }
    }

    /// A link to the volume at the other end of the relation, named after it.
    fn relation(&mut self, volume: &VolumeView, peer: &str) {
        self.put(Record {
            kind: "sp",
            name: &format!("{peer}_snp"),
            assoc: &volume.name,
            ..Record::default()
        });
    }
}

/// Who may use a device, as one word such as `oracle:dba:0640`.
fn owner(owner: &OwnerView) -> String {
    let word = |word: &Option<String>| word.clone().unwrap_or_else(|| "-".to_owned());
    [&owner.user, &owner.group, &owner.mode].map(word).join(":")
}

/// How far the copy to a plex has come, as text; empty while there is no copy.
fn percent(plex: &PlexView) -> String {
    match plex.state {
        "SNAPATT" | "ATTACHING" | "REVIVING" => format!("{}%", plex.sync.percent()),
        _ => String::new(),
    }
}

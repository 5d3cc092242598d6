//! The records of a group, in the order in which they are printed: what belongs to a record follows
//! it. Made from the same view as `print`, so that the two agree, and here its words become VxVM's.

use super::record::{Kind, Record, Value};
use crate::model::{Disk, Sectors, Volume};
use crate::plan::world::World;
use crate::report::layout;
use crate::report::view::{DiskView, GroupView, LogView, PlexView, SubdiskView, VolumeView};
use std::collections::HashMap;

/// The version of a disk group. Scripts want at least 90, the first with cross-platform disks; this
/// one is of the releases whose snapshots ours follow.
pub(super) const VERSION: &str = "140";
/// The alignment of a cross-platform disk group in bytes and in sectors. Ours is finer; a size that
/// is a multiple of this one is right for both.
const ALIGNMENT: (&str, &str) = ("8192", "16");
/// The usage type of all volumes.
const USAGE: &str = "fsgen";

/// All records of a group.
pub(super) fn records(world: &World) -> Vec<Record> {
    let view = layout::group(world, None, &[]);
    let disks = view.disks.iter().zip(&world.group.disks);
    let mut maker = Maker {
        group: &view.name,
        disks: disks
            .map(|(view, disk)| (view.media.as_str(), (view, disk)))
            .collect(),
        records: Vec::new(),
    };
    maker.records.push(group(&view));
    for disk in &world.group.disks {
        maker.disk(disk);
    }
    // Volumes are sorted by name, as VxVM's manual says.
    let mut volumes: Vec<_> = view.volumes.iter().zip(&world.group.volumes).collect();
    volumes.sort_by_key(|(_, volume)| &volume.name);
    for (view, volume) in volumes {
        maker.volume(view, volume, world.is_open(volume));
    }
    maker.records
}

fn group(view: &GroupView) -> Record {
    Record::new(Kind::Dg, &view.name, &view.name)
        .text("assoc", &view.name)
        .text("dgid", &view.uuid)
        .text("version", VERSION)
        .text("align", ALIGNMENT.1)
        .text("align_bytes", ALIGNMENT.0)
        .text("nconfig", "default")
        .text("nlog", "default")
        .text("base_minor", "0")
}

/// The records in the making.
struct Maker<'v> {
    group: &'v str,
    /// The disks by their media names.
    disks: HashMap<&'v str, (&'v DiskView, &'v Disk)>,
    records: Vec<Record>,
}

impl Maker<'_> {
    fn put(&mut self, kind: Kind, name: &str, fill: impl FnOnce(Record) -> Record) {
        self.records.push(fill(Record::new(kind, name, self.group)));
    }

    fn disk(&mut self, disk: &Disk) {
        let access = self.access_name(disk.media.as_str());
        let state = self.presence(disk.media.as_str());
        self.put(Kind::Dm, disk.media.as_str(), |record| {
            record
                .text("assoc", &access)
                .text("state", state)
                .text("dm_name", disk.media.as_str())
                .text("da_name", &access)
                .text("device_tag", &access)
                .text("da_type", "auto")
                .text("diskid", &disk.id.to_string())
                .length("len", disk.size)
                .length("publen", disk.size)
                .length("privlen", disk.data_start)
                .flag("reserve", false)
                .flag("spare", false)
        });
    }

    fn volume(&mut self, view: &VolumeView, volume: &Volume, open: bool) {
        let log = view.log.as_ref();
        let (dco, log_name) = (dco_name(view), format!("{}_log", view.name));
        let plexes = view.plexes.iter().map(|plex| plex.name.clone());
        let plexes = plexes.chain(log.map(|_| log_name.clone())).collect();
        self.put(Kind::V, &view.name, |record| {
            record
                .text("assoc", USAGE)
                .text("usetype", USAGE)
                .text("kstate", kernel_state(view.kstate))
                .text("state", volume_state(view.state))
                .length("len", volume.size)
                .text("readpol", "SELECT")
                .with("plexes", Value::Words(plexes))
                .flag("open", open)
                .text("openness", if open { "open" } else { "closed" })
                .flag("fastresync", view.fast_resync)
                .flag("hasdcolog", !dco.is_empty())
                .text("dco_name", &dco)
                .text("logtype", if log.is_some() { "REGION" } else { "NONE" })
                .length(
                    "loglen",
                    log.map_or(Sectors::ZERO, |log| length(&log.subdisk)),
                )
                .flag(
                    "restore",
                    volume.plexes.iter().any(|plex| plex.serves_restore),
                )
        });
        for (plex, recorded) in view.plexes.iter().zip(&volume.plexes) {
            self.plex(view, plex, plex_words(plex, recorded.serves_restore));
        }
        if let Some(log) = log {
            self.log(view, log, &log_name);
        }
        self.links(view, &dco);
    }

    fn plex(&mut self, volume: &VolumeView, plex: &PlexView, words: Words) {
        let Words { state, tutil, mode } = words;
        // A plex without its disks is of no use, whatever is recorded of it.
        let is_here = |subdisk: &SubdiskView| self.presence(&subdisk.media).is_empty();
        let (state, kstate) = if plex.subdisks.iter().all(is_here) {
            (state, plex.kstate)
        } else {
            ("NODEVICE", "DISABLED")
        };
        let total: Sectors = plex.subdisks.iter().map(length).sum();
        self.put(Kind::Pl, &plex.name, |record| {
            let record = of_volume(record, volume, kstate, state)
                .length("len", total)
                .text("mode", mode)
                .text("tutil0", tutil);
            of_subdisks(record, &plex.subdisks)
        });
        for subdisk in &plex.subdisks {
            let offset = Value::Length(Sectors::from_bytes_floor(subdisk.plex_offset));
            self.subdisk(volume, (&plex.name, kstate), subdisk, offset);
        }
    }

    /// The dirty region log: in VxVM a plex that has nothing but a log subdisk.
    fn log(&mut self, volume: &VolumeView, log: &LogView, name: &str) {
        let subdisk = &log.subdisk;
        self.put(Kind::Pl, name, |record| {
            let record = of_volume(record, volume, log.kstate, "LOG")
                .text("len", "LOGONLY")
                .text("mode", "RW");
            of_subdisks(record, std::slice::from_ref(subdisk))
        });
        self.subdisk(
            volume,
            (name, log.kstate),
            subdisk,
            Value::Text("LOG".into()),
        );
    }

    fn subdisk(
        &mut self,
        volume: &VolumeView,
        (plex, kstate): (&str, &str),
        subdisk: &SubdiskView,
        offset: Value,
    ) {
        let state = self.presence(&subdisk.media);
        let access = self.access_name(&subdisk.media);
        let data_start = self
            .disks
            .get(subdisk.media.as_str())
            .map_or(Sectors::ZERO, |(_, disk)| disk.data_start);
        // VxVM counts from the start of the public region.
        let on_disk = Sectors::from_bytes_floor(subdisk.disk_offset).saturating_sub(data_start);
        self.put(Kind::Sd, &subdisk.name, |record| {
            record
                .text("assoc", plex)
                .text("usetype", USAGE)
                .text("vol", &volume.name)
                .text("plex", plex)
                .text("kstate", kstate)
                .text("state", state)
                .length("len", length(subdisk))
                .with("pl_offset", offset)
                .text("dm_name", &subdisk.media)
                .length("dm_offset", on_disk)
                .text("da_name", &access)
                .text("mode", if state.is_empty() { "ENA" } else { "NDEV" })
        });
    }

    /// The data change object and the snap objects.
    fn links(&mut self, volume: &VolumeView, dco: &str) {
        if !dco.is_empty() {
            self.put(Kind::Dc, dco, |record| {
                record
                    .text("assoc", &volume.name)
                    .text("vol", &volume.name)
                    .text("log_vol", &format!("{}_dcl", volume.name))
                    .flag("badlog", false)
                    .text("version", "0")
            });
        }
        for peer in volume.snapshots.iter().chain(&volume.snapshot_of) {
            self.put(Kind::Sp, &format!("{peer}_snp"), |record| {
                record
                    .text("assoc", &volume.name)
                    .text("vol", &volume.name)
                    .text("dco_name", dco)
            });
        }
    }

    /// The name of a disk's device without `/dev/`; empty when the disk is missing.
    fn access_name(&self, media: &str) -> String {
        let device = self
            .disks
            .get(media)
            .and_then(|(view, _)| view.device.as_deref())
            .unwrap_or_default();
        device.strip_prefix("/dev/").unwrap_or(device).to_owned()
    }

    /// The state of a disk, and of what lies on it: empty when it is present.
    fn presence(&self, media: &str) -> &'static str {
        let present = self
            .disks
            .get(media)
            .is_some_and(|(view, _)| view.device.is_some());
        if present { "" } else { "NODEVICE" }
    }
}

/// The fields that a plex has of its volume and for its state.
fn of_volume(record: Record, volume: &VolumeView, kstate: &str, state: &str) -> Record {
    record
        .text("assoc", &volume.name)
        .text("usetype", USAGE)
        .text("vol", &volume.name)
        .text("kstate", kstate)
        .text("state", state)
        .text("layout", "CONCAT")
}

/// The fields that a plex has of its subdisks: their names, and the disks that they lie on.
fn of_subdisks(record: Record, subdisks: &[SubdiskView]) -> Record {
    let mut disks: Vec<String> = Vec::new();
    for subdisk in subdisks {
        if !disks.contains(&subdisk.media) {
            disks.push(subdisk.media.clone());
        }
    }
    let names = subdisks.iter().map(|subdisk| subdisk.name.clone());
    record
        .with("sd", Value::Words(names.collect()))
        .with("dm_name", Value::Words(disks))
}

fn length(subdisk: &SubdiskView) -> Sectors {
    Sectors::from_bytes_floor(subdisk.length)
}

/// The data change object that a volume's changes are tracked in; empty when they are not.
fn dco_name(volume: &VolumeView) -> String {
    if volume.fast_resync {
        format!("{}_dco", volume.name)
    } else {
        String::new()
    }
}

/// VxVM has no word for a volume that is suspended, which it is for a moment only.
fn kernel_state(word: &'static str) -> &'static str {
    match word {
        "SUSPENDED" => "ENABLED",
        other => other,
    }
}

/// VxVM shows only at its plexes that a volume has lost one.
fn volume_state(word: &'static str) -> &'static str {
    match word {
        "DEGRADED" => "ACTIVE",
        other => other,
    }
}

/// What VxVM says of a plex.
struct Words {
    state: &'static str,
    /// `TUTIL0`: that the plex is being attached.
    tutil: &'static str,
    /// `RW`, or `WO` for a plex that no read goes to.
    mode: &'static str,
}

/// VxVM names three of our states otherwise: a new plex that is being filled is temporary, one that
/// is being brought up to date is stale until it is, and one that failed is named after its I/O.
/// `restores`: the volume is being restored from this plex, so it is read.
fn plex_words(plex: &PlexView, restores: bool) -> Words {
    let (state, filling) = match plex.state {
        "ATTACHING" => ("TEMPRM", true),
        "REVIVING" => ("STALE", true),
        "SNAPATT" => ("SNAPATT", true),
        "FAILED" => ("IOFAIL", false),
        other => (other, false),
    };
    let unread = filling || plex.role == "snap";
    Words {
        state,
        tutil: if filling { "ATT1" } else { "" },
        mode: if unread && !restores { "WO" } else { "RW" },
    }
}

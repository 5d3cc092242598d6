//! `metrics`: Prometheus' text format (version 0.0.4), and the same as JSON.
//!
//! [`FAMILIES`] is the table of all metrics; `docs/metrics.md` is made from it. A family is printed
//! in the order of the table, once, and only if it has a sample; samples are sorted by their labels.

use super::layout;
use super::view::{DiskView, GroupView, PlexView, VolumeView};
use crate::app::{Counted, Measured, Metrics};
use crate::model::{Origin, PlexState, Tracking, Volume, ranges};
use crate::plan::finding;
use crate::plan::snapback;
use crate::table::era;
use crate::table::status::LegHealth;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// A metric: what it is called, and what it says.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// The name, by Prometheus' conventions: base units, and `_total` for counters.
    pub name: &'static str,
    /// `gauge` or `counter`.
    pub kind: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

macro_rules! families {
    ($($id:ident $kind:literal $name:literal [$($label:literal)*] $help:literal;)*) => {
        /// The place of a metric in the table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        enum Id { $($id),* }

        /// All metrics, in the order in which they are printed.
        pub const FAMILIES: &[Family] = &[$(Family {
            name: $name,
            kind: $kind,
            labels: &[$($label),*],
            help: $help,
        }),*];
    };
}

families! {
    Up "gauge" "breakoff_up" [] "Whether everything could be read: 0 when a group could not, or no disk could be looked for.";
    BuildInfo "gauge" "breakoff_build_info" ["version"] "The version of breakoff; always 1.";
    Duration "gauge" "breakoff_scrape_duration_seconds" [] "How long it took to find out all of this.";
    Monitor "gauge" "breakoff_monitor_running" [] "Whether a monitor runs, which takes failed legs out.";
    Unreadable "gauge" "breakoff_unreadable_disks" [] "Breakoff disks that cannot be read.";
    Unanswered "gauge" "breakoff_unanswered_devices" [] "Devices that did not answer in time and may be breakoff disks.";

    GroupUp "gauge" "breakoff_group_up" ["group"] "Whether the group could be read; at 0 it has no other metric.";
    GroupInfo "gauge" "breakoff_group_info" ["group" "uuid"] "The identity of the group; always 1.";
    GroupGeneration "gauge" "breakoff_group_generation" ["group"] "The number of the configuration, one higher with each change.";
    GroupFindings "gauge" "breakoff_group_findings" ["group"] "What 'breakoff status' says of the group, in lines: 0 when nothing needs attention.";
    GroupMirrors "gauge" "breakoff_group_mirrors" ["group"] "Mirrors in the kernel; where there is one, a monitor has to run.";
    GroupSize "gauge" "breakoff_group_size_bytes" ["group"] "The space for volumes on all disks of the group.";
    GroupFree "gauge" "breakoff_group_free_bytes" ["group"] "The space for volumes that is not in use, also that of missing disks.";
    MetadataUsed "gauge" "breakoff_group_metadata_used_bytes" ["group"] "What the configuration takes of the metadata area.";
    MetadataSize "gauge" "breakoff_group_metadata_size_bytes" ["group"] "What fits into the metadata area of the disk that has the smallest.";

    DiskInfo "gauge" "breakoff_disk_info" ["group" "disk" "device" "uuid"] "The device of a disk, empty when it is missing; always 1.";
    DiskState "gauge" "breakoff_disk_state" ["group" "disk" "state"] "1 for the state that the disk is in: online or missing.";
    DiskOutdated "gauge" "breakoff_disk_outdated" ["group" "disk"] "Whether the disk has an old copy of the configuration, which the next change replaces.";
    DiskSize "gauge" "breakoff_disk_size_bytes" ["group" "disk"] "The space for volumes on the disk.";
    DiskFree "gauge" "breakoff_disk_free_bytes" ["group" "disk"] "The space for volumes that is not in use.";
    DiskReads "counter" "breakoff_disk_reads_completed_total" ["group" "disk"] "Reads of the disk, by whomever, as the kernel counts them.";
    DiskRead "counter" "breakoff_disk_read_bytes_total" ["group" "disk"] "Bytes that these reads have read.";
    DiskReadTime "counter" "breakoff_disk_read_time_seconds_total" ["group" "disk"] "How long they took, all added up.";
    DiskWrites "counter" "breakoff_disk_writes_completed_total" ["group" "disk"] "Writes to the disk, by whomever, as the kernel counts them.";
    DiskWritten "counter" "breakoff_disk_written_bytes_total" ["group" "disk"] "Bytes that these writes have written.";
    DiskWriteTime "counter" "breakoff_disk_write_time_seconds_total" ["group" "disk"] "How long they took, all added up.";

    VolumeInfo "gauge" "breakoff_volume_info" ["group" "volume" "uuid" "device" "snapshot_of"] "The device of a volume, empty when it is not started, and the original of a snapshot; always 1.";
    VolumeSize "gauge" "breakoff_volume_size_bytes" ["group" "volume"] "The usable size.";
    VolumeStarted "gauge" "breakoff_volume_started" ["group" "volume"] "Whether the volume is started.";
    VolumeState "gauge" "breakoff_volume_state" ["group" "volume" "state"] "1 for the state that the volume is in, as 'breakoff print --json' names it.";
    VolumeSuspended "gauge" "breakoff_volume_suspended" ["group" "volume"] "Whether the kernel holds all I/O of the volume at this moment.";
    VolumeSynced "gauge" "breakoff_volume_synced_bytes" ["group" "volume"] "How much of the volume is equal on all its complete plexes.";
    VolumeFailed "gauge" "breakoff_volume_failed_plexes" ["group" "volume"] "Plexes that are FAILED or STALE, or on which the kernel has seen an error.";
    VolumeLost "gauge" "breakoff_volume_snapshot_leg_lost" ["group" "volume"] "Whether the last snapshot leg failed while it was filled, until another one is attached.";
    VolumeLog "gauge" "breakoff_volume_log_present" ["group" "volume"] "Whether the volume has a dirty region log.";
    VolumeLogUsed "gauge" "breakoff_volume_log_enabled" ["group" "volume"] "Whether the kernel uses it now.";
    VolumeLogMissing "gauge" "breakoff_volume_log_missing" ["group" "volume"] "Whether the mirror lacks a dirty region log that it should have.";
    VolumeReads "counter" "breakoff_volume_reads_completed_total" ["group" "volume"] "Reads of the volume since it was started.";
    VolumeRead "counter" "breakoff_volume_read_bytes_total" ["group" "volume"] "Bytes that these reads have read.";
    VolumeReadTime "counter" "breakoff_volume_read_time_seconds_total" ["group" "volume"] "How long they took, all added up.";
    VolumeWrites "counter" "breakoff_volume_writes_completed_total" ["group" "volume"] "Writes to the volume since it was started.";
    VolumeWritten "counter" "breakoff_volume_written_bytes_total" ["group" "volume"] "Bytes that these writes have written.";
    VolumeWriteTime "counter" "breakoff_volume_write_time_seconds_total" ["group" "volume"] "How long they took, all added up.";

    PlexInfo "gauge" "breakoff_plex_info" ["group" "volume" "plex" "role" "disks"] "What the plex is for (data or snap), and its disks with commas; always 1.";
    PlexStates "gauge" "breakoff_plex_state" ["group" "volume" "plex" "state"] "1 for the state that the plex is in, as 'breakoff print --json' names it.";
    PlexHealth "gauge" "breakoff_plex_health" ["group" "volume" "plex" "health"] "1 for what the kernel says of a leg of a mirror: alive, or the first error that it has seen.";
    PlexSize "gauge" "breakoff_plex_size_bytes" ["group" "volume" "plex"] "What has to be equal to the volume.";
    PlexSynced "gauge" "breakoff_plex_synced_bytes" ["group" "volume" "plex"] "How much of it is.";
    PlexReads "counter" "breakoff_plex_reads_completed_total" ["group" "volume" "plex"] "Reads of the plex since its device was made, those of a copy included.";
    PlexRead "counter" "breakoff_plex_read_bytes_total" ["group" "volume" "plex"] "Bytes that these reads have read.";
    PlexReadTime "counter" "breakoff_plex_read_time_seconds_total" ["group" "volume" "plex"] "How long they took, all added up.";
    PlexWrites "counter" "breakoff_plex_writes_completed_total" ["group" "volume" "plex"] "Writes to the plex since its device was made, those of a copy included.";
    PlexWritten "counter" "breakoff_plex_written_bytes_total" ["group" "volume" "plex"] "Bytes that these writes have written.";
    PlexWriteTime "counter" "breakoff_plex_write_time_seconds_total" ["group" "volume" "plex"] "How long they took, all added up.";

    Regions "gauge" "breakoff_mirror_regions" ["group" "device"] "Regions of a mirror in the kernel. A volume may have several: while a leg is filled, and for its map of changes.";
    RegionsSynced "gauge" "breakoff_mirror_synced_regions" ["group" "device"] "Regions that are equal on all its legs.";
    MirrorFailed "gauge" "breakoff_mirror_failed_legs" ["group" "device"] "Legs on which the kernel has seen an error and that are not taken out yet: writes may wait.";
    MirrorLogFailed "gauge" "breakoff_mirror_log_failed" ["group" "device"] "Whether the log has failed and is not taken out yet: writes may wait.";

    SnapshotInfo "gauge" "breakoff_snapshot_info" ["group" "snapshot" "original" "consistency"] "The original of a snapshot, empty when it is gone, and whether it is frozen or crash; always 1.";
    Taken "gauge" "breakoff_snapshot_taken_timestamp_seconds" ["group" "snapshot"] "When the snapshot was split off, in seconds since 1970.";
    Stall "gauge" "breakoff_snapshot_stall_seconds" ["group" "snapshot"] "How long the split kept the original's I/O waiting.";
    Tracked "gauge" "breakoff_snapshot_tracked" ["group" "snapshot"] "Whether changes since the split are tracked, so that only they are copied back.";
    Changed "gauge" "breakoff_snapshot_changed_bytes" ["group" "snapshot" "side"] "What has changed since the split on one side: original or snapshot. Only with --changes.";
    ToCopy "gauge" "breakoff_snapshot_differing_bytes" ["group" "snapshot"] "What has changed on either side, which a snapback copies. Only with --changes.";
    MapUsed "gauge" "breakoff_change_map_used_bytes" ["group" "volume"] "What is in use of the space that changes of the volume are recorded in.";
    MapSize "gauge" "breakoff_change_map_size_bytes" ["group" "volume"] "All of that space.";
}

/// A value, exactly.
#[derive(Debug, Clone, Copy)]
enum Value {
    Count(u64),
    Micros(u64),
}

impl Value {
    fn text(self) -> String {
        match self {
            Value::Count(count) => count.to_string(),
            Value::Micros(micros) => {
                let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
        }
    }
}

/// The samples of each family by the values of their labels.
#[derive(Default)]
struct Samples(BTreeMap<Id, BTreeMap<Vec<String>, Value>>);

impl Samples {
    fn put(&mut self, id: Id, labels: &[&str], value: Value) {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        self.0.entry(id).or_default().insert(labels, value);
    }

    fn count(&mut self, id: Id, labels: &[&str], count: usize) {
        self.number(id, labels, u64::try_from(count).unwrap_or(u64::MAX));
    }

    fn number(&mut self, id: Id, labels: &[&str], number: u64) {
        self.put(id, labels, Value::Count(number));
    }

    fn flag(&mut self, id: Id, labels: &[&str], is_so: bool) {
        self.number(id, labels, u64::from(is_so));
    }

    fn micros(&mut self, id: Id, labels: &[&str], micros: u64) {
        self.put(id, labels, Value::Micros(micros));
    }

    /// One sample for each state, of which one is 1.
    fn state(&mut self, id: Id, labels: &[&str], states: &[&str], now: &str) {
        for state in states {
            self.flag(id, &[labels, &[state]].concat(), *state == now);
        }
    }
}

const DISK_STATES: [&str; 2] = ["online", "missing"];
const VOLUME_STATES: [&str; 5] = ["ACTIVE", "CLEAN", "NEEDSYNC", "SYNC", "DEGRADED"];
const PLEX_STATES: [&str; 8] = [
    "ACTIVE",
    "CLEAN",
    "ATTACHING",
    "REVIVING",
    "STALE",
    "FAILED",
    "SNAPATT",
    "SNAPDONE",
];
const HEALTH: [&str; 6] = [
    "alive",
    "write-failed",
    "sync-failed",
    "read-failed",
    "flush-failed",
    "unknown",
];

fn samples(found: &Metrics) -> Samples {
    let mut all = Samples::default();
    all.flag(Id::Up, &[], found.is_complete);
    all.number(Id::BuildInfo, &[env!("CARGO_PKG_VERSION")], 1);
    let took = u64::try_from(found.took.as_micros()).unwrap_or(u64::MAX);
    all.micros(Id::Duration, &[], took);
    if let Some(runs) = found.monitor {
        all.flag(Id::Monitor, &[], runs);
    }
    all.count(Id::Unreadable, &[], found.unreadable);
    all.count(Id::Unanswered, &[], found.unanswered);
    for word in &found.down {
        all.flag(Id::GroupUp, &[word], false);
    }
    for (word, measured) in &found.groups {
        of_group(&mut all, word, measured);
    }
    all
}

fn of_group(all: &mut Samples, word: &str, measured: &Measured) {
    let world = &measured.world;
    let view = layout::group(world, measured.fill, &[]);
    let group = [word];
    all.flag(Id::GroupUp, &group, true);
    all.number(Id::GroupInfo, &[word, &view.uuid], 1);
    all.number(Id::GroupGeneration, &group, view.generation);
    all.count(Id::GroupFindings, &group, measured.findings);
    let sum = |of: fn(&DiskView) -> u64| view.disks.iter().map(of).fold(0, u64::saturating_add);
    all.number(Id::GroupSize, &group, sum(|disk| disk.size));
    all.number(Id::GroupFree, &group, sum(|disk| disk.free));
    if let Some(metadata) = view.metadata {
        all.number(Id::MetadataUsed, &group, metadata.used);
        all.number(Id::MetadataSize, &group, metadata.capacity);
    }
    of_disks(all, word, measured, &view);
    of_mirrors(all, word, measured);
    let volumes = world.group.volumes.iter().zip(&view.volumes);
    for (volume, shown) in volumes {
        of_volume(all, word, shown);
        let labels = [word, shown.name.as_str()];
        all.flag(Id::VolumeLost, &labels, volume.lost_leg.is_some());
        let lacks_log = finding::lacks_log(world, volume);
        all.flag(Id::VolumeLogMissing, &labels, lacks_log);
        if let Some(origin) = &volume.origin {
            of_snapshot(all, word, measured, (volume, origin));
        }
        if let Some(fill) = measured.maps.get(&volume.id) {
            let bytes = |blocks: u64| blocks.saturating_mul(era::BLOCK as u64);
            all.number(Id::MapUsed, &labels, bytes(fill.used));
            all.number(Id::MapSize, &labels, bytes(fill.total));
        }
    }
    of_counters(all, word, measured);
}

fn of_disks(all: &mut Samples, word: &str, measured: &Measured, view: &GroupView) {
    for (disk, shown) in measured.world.group.disks.iter().zip(&view.disks) {
        let labels = [word, shown.media.as_str()];
        let device = shown.device.as_deref().unwrap_or_default();
        all.number(Id::DiskInfo, &[word, &shown.media, device, &shown.uuid], 1);
        all.state(Id::DiskState, &labels, &DISK_STATES, shown.state);
        let is_outdated = measured.outdated.contains(&disk.id);
        all.flag(Id::DiskOutdated, &labels, is_outdated);
        all.number(Id::DiskSize, &labels, shown.size);
        all.number(Id::DiskFree, &labels, shown.free);
    }
}

fn of_mirrors(all: &mut Samples, word: &str, measured: &Measured) {
    let mut count = 0;
    for device in measured.world.devices.values() {
        let Some(mirror) = &device.mirror else {
            continue;
        };
        count += 1;
        let name = device.name.to_string();
        let labels = [word, name.as_str()];
        all.number(Id::Regions, &labels, mirror.total);
        all.number(Id::RegionsSynced, &labels, mirror.done);
        let failed = mirror.legs.iter().filter(|(_, h)| *h != LegHealth::Alive);
        all.count(Id::MirrorFailed, &labels, failed.count());
        all.flag(Id::MirrorLogFailed, &labels, mirror.log_failed);
    }
    all.number(Id::GroupMirrors, &[word], count);
}

fn of_volume(all: &mut Samples, word: &str, volume: &VolumeView) {
    let name = volume.name.as_str();
    let labels = [word, name];
    let device = volume.device.as_deref().unwrap_or_default();
    let original = volume.snapshot_of.as_deref().unwrap_or_default();
    all.number(
        Id::VolumeInfo,
        &[word, name, &volume.uuid, device, original],
        1,
    );
    all.number(Id::VolumeSize, &labels, volume.size);
    all.flag(Id::VolumeStarted, &labels, volume.device.is_some());
    all.state(Id::VolumeState, &labels, &VOLUME_STATES, volume.state);
    let is_suspended = volume.kstate == "SUSPENDED";
    all.flag(Id::VolumeSuspended, &labels, is_suspended);
    let synced = volume.resync.map_or(volume.size, |resync| resync.done);
    all.number(Id::VolumeSynced, &labels, synced);
    let failed = volume.plexes.iter().filter(|plex| has_failed(plex));
    all.count(Id::VolumeFailed, &labels, failed.count());
    let log = volume.log.as_ref();
    all.flag(Id::VolumeLog, &labels, log.is_some());
    let is_used = log.is_some_and(|log| log.kstate == "ENABLED");
    all.flag(Id::VolumeLogUsed, &labels, is_used);
    for plex in &volume.plexes {
        of_plex(all, &labels, plex);
    }
}

fn has_failed(plex: &PlexView) -> bool {
    let states = [PlexState::Failed.word(), PlexState::Stale.word()];
    states.contains(&plex.state) || plex.health.is_some_and(|health| health != HEALTH[0])
}

fn of_plex(all: &mut Samples, volume: &[&str], plex: &PlexView) {
    let labels = [volume, &[plex.name.as_str()]].concat();
    let disks: BTreeSet<&str> = plex.subdisks.iter().map(|s| s.media.as_str()).collect();
    let disks = disks.into_iter().collect::<Vec<_>>().join(",");
    let info = [labels.as_slice(), &[plex.role, &disks]].concat();
    all.number(Id::PlexInfo, &info, 1);
    all.state(Id::PlexStates, &labels, &PLEX_STATES, plex.state);
    if let Some(health) = plex.health {
        all.state(Id::PlexHealth, &labels, &HEALTH, health);
    }
    all.number(Id::PlexSize, &labels, plex.sync.total);
    all.number(Id::PlexSynced, &labels, plex.sync.done);
}

fn of_snapshot(
    all: &mut Samples,
    word: &str,
    measured: &Measured,
    (snapshot, origin): (&Volume, &Origin),
) {
    let world = &measured.world;
    let name = snapshot.name.as_str();
    let labels = [word, name];
    let original = world.group.volume(origin.original);
    let original = original.map_or("", |volume| volume.name.as_str());
    let consistency = if origin.crash.is_none() {
        "frozen"
    } else {
        "crash"
    };
    all.number(Id::SnapshotInfo, &[word, name, original, consistency], 1);
    let taken = origin.taken_at.millis().saturating_mul(1000);
    all.micros(Id::Taken, &labels, taken);
    all.micros(Id::Stall, &labels, origin.freeze_us);
    let is_tracked = matches!(origin.tracking, Tracking::Since(_));
    all.flag(Id::Tracked, &labels, is_tracked);
    if let Ok(changed) = snapback::differences(world, snapshot) {
        let sides = [
            ("original", &changed.original),
            ("snapshot", &changed.snapshot),
        ];
        for (side, ranges) in sides {
            let bytes = ranges::length(ranges).bytes();
            all.number(Id::Changed, &[word, name, side], bytes);
        }
        let bytes = ranges::length(&changed.either).bytes();
        all.number(Id::ToCopy, &labels, bytes);
    }
}

/// The families of the kernel's counts: of reads, then of writes, each their number, their bytes and
/// their time.
const OF_VOLUMES: [Id; 6] = [
    Id::VolumeReads,
    Id::VolumeRead,
    Id::VolumeReadTime,
    Id::VolumeWrites,
    Id::VolumeWritten,
    Id::VolumeWriteTime,
];
const OF_PLEXES: [Id; 6] = [
    Id::PlexReads,
    Id::PlexRead,
    Id::PlexReadTime,
    Id::PlexWrites,
    Id::PlexWritten,
    Id::PlexWriteTime,
];
const OF_DISKS: [Id; 6] = [
    Id::DiskReads,
    Id::DiskRead,
    Id::DiskReadTime,
    Id::DiskWrites,
    Id::DiskWritten,
    Id::DiskWriteTime,
];

fn of_counters(all: &mut Samples, word: &str, measured: &Measured) {
    for line in &measured.counters {
        let (families, labels) = match &line.of {
            Counted::Volume(volume) => (OF_VOLUMES, vec![word, volume.as_str()]),
            Counted::Plex(volume, plex) => (OF_PLEXES, vec![word, volume.as_str(), plex.as_str()]),
            Counted::Disk(media) => (OF_DISKS, vec![word, media.as_str()]),
        };
        let counted = &line.counters;
        let values = [
            Value::Count(counted.reads),
            Value::Count(counted.sectors_read.saturating_mul(512)),
            Value::Micros(counted.read_ms.saturating_mul(1000)),
            Value::Count(counted.writes),
            Value::Count(counted.sectors_written.saturating_mul(512)),
            Value::Micros(counted.write_ms.saturating_mul(1000)),
        ];
        for (family, value) in families.into_iter().zip(values) {
            all.put(family, &labels, value);
        }
    }
}

fn family(id: Id) -> &'static Family {
    &FAMILIES[id as usize]
}

/// The text that a scrape gets.
pub fn text(found: &Metrics) -> String {
    let mut text = String::new();
    for (id, samples) in samples(found).0 {
        let Family {
            name,
            kind,
            labels,
            help,
        } = family(id);
        // Writing to a string does not fail.
        let _ = writeln!(text, "# HELP {name} {}", escaped(help, false));
        let _ = writeln!(text, "# TYPE {name} {kind}");
        for (values, value) in samples {
            let pairs: Vec<String> = labels
                .iter()
                .zip(&values)
                .map(|(label, value)| format!("{label}=\"{}\"", escaped(value, true)))
                .collect();
            let labels = if pairs.is_empty() {
                String::new()
            } else {
                format!("{{{}}}", pairs.join(","))
            };
            let _ = writeln!(text, "{name}{labels} {}", value.text());
        }
    }
    text
}

/// Text without a newline, and within quotes without a quote: a backslash stands before what would
/// mean something else.
fn escaped(text: &str, quoted: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if quoted {
        text.replace('"', "\\\"")
    } else {
        text
    }
}

/// A metric in `metrics --json`.
#[derive(Serialize)]
pub(super) struct FamilyView {
    name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    help: &'static str,
    samples: Vec<SampleView>,
}

/// A sample of it.
#[derive(Serialize)]
struct SampleView {
    labels: BTreeMap<&'static str, String>,
    value: serde_json::Number,
}

pub(super) fn views(found: &Metrics) -> Vec<FamilyView> {
    let of = |(id, samples): (Id, BTreeMap<Vec<String>, Value>)| {
        let family = family(id);
        let sample = |(values, value): (Vec<String>, Value)| SampleView {
            labels: family.labels.iter().copied().zip(values).collect(),
            value: number(value),
        };
        FamilyView {
            name: family.name,
            kind: family.kind,
            help: family.help,
            samples: samples.into_iter().map(sample).collect(),
        }
    };
    samples(found).0.into_iter().map(of).collect()
}

fn number(value: Value) -> serde_json::Number {
    match value {
        Value::Count(count) => count.into(),
        Value::Micros(_) => {
            let seconds = value.text().parse().ok();
            seconds
                .and_then(serde_json::Number::from_f64)
                .unwrap_or_else(|| 0.into())
        }
    }
}

//! The payload: a group's configuration as compressed JSON, and the way back from untrusted bytes.
//!
//! The structs here are separate from the model on purpose: the model may change its shape with the
//! program, but a disk keeps what was once written to it. A change here needs a new `VERSION` and a
//! converter from the old one. Unknown fields are refused, because a field that is not understood
//! may mean that the rest must not be used as it is.
//!
//! Sizes and offsets are in sectors of 512 bytes, and identities are 32 hex digits. An extent is
//! `[disk, start, length]`: the index of the disk in `disks`, and the start counted from the start
//! of the disk's space for volumes.

use super::history::{Digest, History, Known, Past, Stamp};
use super::layout::{self, GENERATION_MAX, PAYLOAD_MAX};
use super::sound::{self, refused};
use crate::error::{Error, Kind, Result};
use crate::model::{
    Account, Apart, AtBoot, Away, BootId, ChangeLog, CrashReason, Dco, Disk, DiskId, Extent,
    Generation, Group, GroupId, Handover, HandoverId, HostId, Lanes, Log, LostLeg, Name, NodeMode,
    NodeOwner, Origin, Places, Plex, PlexState, Returning, SectorSize, Sectors, Standing,
    Timestamp, Tracking, Untracked, Volume, VolumeId,
};
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};

/// The version of the fields below. Whatever is written has this version.
const VERSION: u32 = 5;
/// The oldest version that is still read. Version 1 lacks the fields of `fast-resync`, version 2
/// those that came with 3, version 3 the restore at boot, version 4 what was handed over to other
/// groups. Each of these fields has a default here.
const OLDEST: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupRecord {
    breakoff: u32,
    generation: u64,
    group: String,
    uuid: String,
    host: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    destroyed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    history: Option<HistoryRecord>,
    disks: Vec<DiskRecord>,
    volumes: Vec<VolumeRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    handovers: Vec<HandoverRecord>,
}

/// Disks and volumes that were handed over to another group. The extents count the disks here.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HandoverRecord {
    uuid: String,
    generation: u64,
    /// The group that received them.
    group: String,
    to: String,
    host: Option<String>,
    begins: bool,
    disks: Vec<DiskRecord>,
    volumes: Vec<VolumeRecord>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DiskRecord {
    media: String,
    uuid: String,
    data_start: u64,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    standing: Option<StandingRecord>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    away: bool,
    /// Omitted when the disk held the configuration that this one follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    past: Option<PastRecord>,
}

/// Generation and digest of a configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct StampRecord(u64, String);

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    follows: Option<StampRecord>,
    written_at_ms: u64,
    others: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    removed: Vec<RemovedRecord>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RemovedRecord {
    uuid: String,
    past: PastRecord,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PastRecord {
    before: u64,
    holds: Vec<StampRecord>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StandingRecord {
    Joining,
    GivenUp,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct VolumeRecord {
    name: String,
    uuid: String,
    size: u64,
    synced: u64,
    copied: bool,
    log_wanted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    running: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log: Option<LogRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<OriginRecord>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    fast_resync: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dco: Option<DcoRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    returning: Option<ReturningRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sector_size: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lost_leg: Option<LostLegRecord>,
    /// Omitted when it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lanes: Option<u64>,
    /// Omitted when the device node is as the system has it by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<OwnerRecord>,
    /// Snapshots that are in other groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    away: Vec<AwayRecord>,
    plexes: Vec<PlexRecord>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AwayRecord {
    snapshot: String,
    name: String,
    group: String,
    group_name: String,
    origin: OriginRecord,
}

/// The owner of a device node. What is as the system has it is omitted.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnerRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    /// Octal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LostLegRecord {
    plex: String,
    media: Vec<String>,
    at_ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlexRecord {
    number: u16,
    name: String,
    state: StateRecord,
    subdisks: Vec<Piece>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dco: Option<DcoRecord>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    lent: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DcoRecord {
    copies: Vec<Piece>,
    live: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReturningRecord {
    log: ChangeLogRecord,
    region: u64,
    since: u32,
    exact: bool,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ChangeLogRecord {
    A,
    B,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TrackingRecord {
    Since(u32),
    Untracked(UntrackedRecord),
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum UntrackedRecord {
    Off,
    NoSpace,
    NoTarget,
    MapLost,
    OldKernel,
    Restored,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogRecord {
    extent: Piece,
    region: u64,
    live: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OriginRecord {
    original: String,
    taken_at_ms: u64,
    frozen: bool,
    freeze_us: u64,
    /// Why the snapshot was not frozen; omitted when it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crash: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tracking: Option<TrackingRecord>,
    /// How the original is restored from it when the machine boots; omitted when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_boot: Option<AtBootRecord>,
    /// Where the original is; omitted when it is in the same group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    apart: Option<ApartRecord>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApartRecord {
    group: String,
    group_name: String,
    original: String,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AtBootRecord {
    Overwrite,
    Keep,
}

/// An extent: index of the disk, start, length.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Piece(u32, u64, u64);

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StateRecord {
    Active,
    Attaching,
    Reviving,
    Stale,
    Failed,
    SnapAtt,
    SnapDone,
}

/// The contents of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// The group that the payload describes.
    pub group: Group,
    /// The generation of the configuration.
    pub generation: Generation,
    /// The history of the configuration; `None` when a version before 3 wrote it.
    pub history: Option<History>,
}

/// Encodes a configuration as a payload. The payload is decoded again and compared: what could not
/// be read back is never written.
pub fn encode(group: &Group, generation: Generation, history: Option<&History>) -> Result<Vec<u8>> {
    let broken = |why: &str| {
        Error::failed(format!(
            "the configuration of group '{}' cannot be stored: {why}",
            group.name
        ))
        .on(&group.name)
    };
    let payload = pack(group, generation, history)?;
    let again = decode_all(&payload).map_err(|err| broken(err.message()))?;
    let same = again.group == *group
        && again.generation == generation
        && again.history.as_ref() == history;
    if same {
        Ok(payload)
    } else {
        Err(broken("it reads back differently"))
    }
}

fn pack(group: &Group, generation: Generation, history: Option<&History>) -> Result<Vec<u8>> {
    let broken = |err: &dyn std::fmt::Display| {
        Error::failed(format!("the configuration cannot be packed: {err}")).on(&group.name)
    };
    let json = serde_json::to_vec(&GroupRecord::of(group, generation, history)?)
        .map_err(|err| broken(&err))?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&json)
        .and_then(|()| gzip.finish())
        .map_err(|err| broken(&err))
}

/// Decodes a payload into the group that it describes and its generation; see [`decode_all`].
pub fn decode(payload: &[u8]) -> Result<(Group, Generation)> {
    decode_all(payload).map(|all| (all.group, all.generation))
}

/// Decodes a payload and checks every rule of the model. A payload is refused with
/// [`Kind::Unsafe`], or with [`Kind::Unsupported`] when a newer version wrote it.
pub fn decode_all(payload: &[u8]) -> Result<Configuration> {
    let json = unpack(payload)?;
    let record: GroupRecord = serde_json::from_slice(&json).map_err(|err| not_ours(&json, &err))?;
    if !(OLDEST..=VERSION).contains(&record.breakoff) {
        return Err(wrong_version(record.breakoff));
    }
    let all = record.into_model()?;
    sound::refuse_unsound(&all.group)?;
    Ok(all)
}

/// The configuration as JSON for people: volumes field by field, each plex on one line.
pub fn dump(group: &Group, generation: Generation) -> Result<String> {
    super::pretty::to_string(&GroupRecord::of(group, generation, None)?)
}

/// The same as [`dump`], with the history.
pub fn dump_all(all: &Configuration) -> Result<String> {
    super::pretty::to_string(&GroupRecord::of(
        &all.group,
        all.generation,
        all.history.as_ref(),
    )?)
}

/// How full the metadata area of a group is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// Bytes that the present configuration takes.
    pub used: u64,
    /// Bytes that fit on the disk with the smallest private area.
    pub capacity: u64,
}

/// How full a private area of this size is with this configuration.
pub fn fill(group: &Group, area: Sectors) -> Result<Fill> {
    let used = pack(group, Generation::new(1), None)?.len() as u64;
    Ok(Fill {
        used,
        capacity: layout::capacity(area),
    })
}

/// Decompresses a payload to at most [`PAYLOAD_MAX`] bytes.
fn unpack(payload: &[u8]) -> Result<Vec<u8>> {
    let mut json = Vec::new();
    let mut gzip = GzDecoder::new(payload);
    gzip.by_ref()
        .take(PAYLOAD_MAX + 1)
        .read_to_end(&mut json)
        .map_err(|err| refused(format!("it does not decompress: {err}")))?;
    if json.len() as u64 > PAYLOAD_MAX {
        return Err(refused(format!(
            "it decompresses to more than {PAYLOAD_MAX} bytes"
        )));
    }
    if !gzip.into_inner().is_empty() {
        return Err(refused("something follows the compressed data"));
    }
    Ok(json)
}

/// The error for JSON that is not a record: it has another version, or makes no sense.
fn not_ours(json: &[u8], err: &serde_json::Error) -> Error {
    #[derive(Deserialize)]
    struct Tag {
        breakoff: u32,
    }
    match serde_json::from_slice::<Tag>(json) {
        Ok(tag) if !(OLDEST..=VERSION).contains(&tag.breakoff) => wrong_version(tag.breakoff),
        _ => refused(plain(&err.to_string())),
    }
}

fn wrong_version(version: u32) -> Error {
    if version < VERSION {
        return refused(format!("its version {version} does not exist"));
    }
    Error::unsupported(format!(
        "the configuration has version {version}, this program knows {VERSION}"
    ))
    .hint("use the version of breakoff that wrote it, or a newer one")
}

/// Makes untrusted text safe to show: short, and without control characters.
fn plain(text: &str) -> String {
    const SHOWN: usize = 160;
    let mut shown: String = text
        .chars()
        .take(SHOWN)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

impl GroupRecord {
    /// The record of a group. Fails when an extent lies on a disk that the group does not have.
    pub(super) fn of(
        group: &Group,
        generation: Generation,
        history: Option<&History>,
    ) -> Result<GroupRecord> {
        let index = DiskIndex::of(group);
        Ok(GroupRecord {
            breakoff: VERSION,
            generation: generation.get(),
            group: group.name.to_string(),
            uuid: group.id.simple(),
            host: group.host.map(HostId::simple),
            destroyed: group.destroyed,
            history: history.map(HistoryRecord::of),
            disks: group
                .disks
                .iter()
                .map(|disk| DiskRecord::of(disk, group, history))
                .collect(),
            volumes: group
                .volumes
                .iter()
                .map(|v| VolumeRecord::of(v, &index))
                .collect::<Result<_>>()?,
            handovers: group
                .handovers
                .iter()
                .map(HandoverRecord::of)
                .collect::<Result<_>>()?,
        })
    }

    fn into_model(self) -> Result<Configuration> {
        let generation = Generation::new(self.generation);
        if generation == Generation::ZERO || generation > GENERATION_MAX {
            return Err(refused(format!(
                "a group cannot be at generation {generation}"
            )));
        }
        sound::refuse_too_many(self.disks.len(), self.volumes.len())?;
        let mut history = self
            .history
            .map(|history| history.into_model(generation))
            .transpose()?;
        let (mut disks, mut standing) = (Vec::with_capacity(self.disks.len()), BTreeMap::new());
        for mut record in self.disks {
            let known = record.known(history.as_ref(), generation)?;
            let counts = record.standing.map(StandingRecord::into_model);
            let disk = record.into_model()?;
            standing.extend(counts.map(|counts| (disk.id, counts)));
            history
                .iter_mut()
                .for_each(|history| drop(history.disks.insert(disk.id, known.clone())));
            disks.push(disk);
        }
        let volumes = self
            .volumes
            .into_iter()
            .map(|v| v.into_model(&disks))
            .collect::<Result<_>>()?;
        let host = self.host.map(|host| id(&host, HostId::parse)).transpose()?;
        sound::refuse_too_many(self.handovers.len(), 0)?;
        let handovers = self.handovers.into_iter();
        let handovers = handovers
            .map(|handover| handover.into_model(generation))
            .collect::<Result<_>>()?;
        let group = Group {
            id: id(&self.uuid, GroupId::parse)?,
            name: name(&self.group)?,
            host,
            destroyed: self.destroyed,
            disks,
            standing,
            volumes,
            handovers,
            places: Places::default(),
        };
        Ok(Configuration {
            group,
            generation,
            history,
        })
    }
}

impl HandoverRecord {
    fn of(handover: &Handover) -> Result<HandoverRecord> {
        let to = &handover.to;
        let index = DiskIndex::of(to);
        let disks = to.disks.iter();
        let volumes = to.volumes.iter();
        Ok(HandoverRecord {
            uuid: handover.id.simple(),
            generation: handover.generation.get(),
            group: to.name.to_string(),
            to: to.id.simple(),
            host: to.host.map(HostId::simple),
            begins: handover.begins,
            disks: disks.map(|disk| DiskRecord::of(disk, to, None)).collect(),
            volumes: volumes
                .map(|v| VolumeRecord::of(v, &index))
                .collect::<Result<_>>()?,
        })
    }

    fn into_model(self, of: Generation) -> Result<Handover> {
        sound::refuse_too_many(self.disks.len(), self.volumes.len())?;
        let generation = older(self.generation, of)?;
        if generation == Generation::ZERO {
            return Err(refused("a handover cannot be at generation 0"));
        }
        let disks = self.disks.into_iter().map(DiskRecord::into_model);
        let disks: Vec<Disk> = disks.collect::<Result<_>>()?;
        let volumes = self.volumes.into_iter();
        let volumes = volumes
            .map(|v| v.into_model(&disks))
            .collect::<Result<_>>()?;
        let host = self.host.map(|host| id(&host, HostId::parse)).transpose()?;
        Ok(Handover {
            id: id(&self.uuid, HandoverId::parse)?,
            generation,
            begins: self.begins,
            to: Group {
                disks,
                volumes,
                ..Group::empty(id(&self.to, GroupId::parse)?, name(&self.group)?, host)
            },
        })
    }
}

impl AwayRecord {
    fn of(away: &Away) -> AwayRecord {
        AwayRecord {
            snapshot: away.snapshot.simple(),
            name: away.name.to_string(),
            group: away.group.simple(),
            group_name: away.group_name.to_string(),
            origin: OriginRecord::of(&away.origin),
        }
    }

    fn into_model(self) -> Result<Away> {
        Ok(Away {
            snapshot: id(&self.snapshot, VolumeId::parse)?,
            name: name(&self.name)?,
            group: id(&self.group, GroupId::parse)?,
            group_name: name(&self.group_name)?,
            origin: self.origin.into_model()?,
        })
    }
}

impl ApartRecord {
    fn of(apart: &Apart) -> ApartRecord {
        ApartRecord {
            group: apart.group.simple(),
            group_name: apart.group_name.to_string(),
            original: apart.original.to_string(),
        }
    }

    fn into_model(self) -> Result<Apart> {
        Ok(Apart {
            group: id(&self.group, GroupId::parse)?,
            group_name: name(&self.group_name)?,
            original: name(&self.original)?,
        })
    }
}

impl DiskRecord {
    fn of(disk: &Disk, group: &Group, history: Option<&History>) -> DiskRecord {
        let standing = group
            .standing
            .get(&disk.id)
            .copied()
            .map(StandingRecord::of);
        let (media, uuid, (data_start, size)) = (
            disk.media.to_string(),
            disk.id.simple(),
            (disk.data_start.get(), disk.size.get()),
        );
        let usual = history.map(usual_past);
        let known = history.and_then(|history| history.disks.get(&disk.id));
        let past = known
            .filter(|known| Some(&known.past) != usual.as_ref())
            .map(|known| PastRecord::of(&known.past));
        DiskRecord {
            media,
            uuid,
            data_start,
            size,
            standing,
            away: known.is_some_and(|known| !known.here),
            past,
        }
    }

    /// What the configuration of this generation records of the disk's past.
    fn known(&mut self, history: Option<&History>, generation: Generation) -> Result<Known> {
        let past = self
            .past
            .take()
            .map(|past| past.into_model(generation))
            .transpose()?;
        Ok(Known {
            here: !self.away,
            past: past.or_else(|| history.map(usual_past)).unwrap_or_default(),
        })
    }

    fn into_model(self) -> Result<Disk> {
        Ok(Disk {
            id: id(&self.uuid, DiskId::parse)?,
            media: name(&self.media)?,
            data_start: sectors(self.data_start)?,
            size: sectors(self.size)?,
        })
    }
}

/// What most disks held before: the configuration that this one follows.
fn usual_past(history: &History) -> Past {
    history.follows.map(Past::seen).unwrap_or_default()
}

impl HistoryRecord {
    fn of(history: &History) -> HistoryRecord {
        let removed = |(id, past): &(DiskId, Past)| RemovedRecord {
            uuid: id.simple(),
            past: PastRecord::of(past),
        };
        HistoryRecord {
            follows: history.follows.map(StampRecord::of),
            written_at_ms: history.written_at.millis(),
            others: history.others.get(),
            removed: history.removed.iter().map(removed).collect(),
        }
    }

    /// Converts all but the disks, which hold their own part of the history.
    fn into_model(self, of: Generation) -> Result<History> {
        sound::refuse_too_many_removed(self.removed.len())?;
        let removed = |record: RemovedRecord| {
            Ok((
                id(&record.uuid, DiskId::parse)?,
                record.past.into_model(of)?,
            ))
        };
        let follows = self.follows.map(|stamp| stamp.into_model(of)).transpose()?;
        let removed = self
            .removed
            .into_iter()
            .map(removed)
            .collect::<Result<_>>()?;
        let others = older(self.others, of)?;
        Ok(History {
            follows,
            written_at: Timestamp::from_millis(self.written_at_ms),
            disks: BTreeMap::new(),
            removed,
            others,
        })
    }
}

impl PastRecord {
    fn of(past: &Past) -> PastRecord {
        PastRecord {
            before: past.before.get(),
            holds: past.holds.iter().copied().map(StampRecord::of).collect(),
        }
    }

    fn into_model(self, of: Generation) -> Result<Past> {
        sound::refuse_too_many_held(self.holds.len())?;
        let holds = self
            .holds
            .into_iter()
            .map(|stamp| stamp.into_model(of))
            .collect::<Result<_>>()?;
        Ok(Past {
            before: older(self.before, of)?,
            holds,
        })
    }
}

impl StampRecord {
    fn of(stamp: Stamp) -> StampRecord {
        StampRecord(stamp.generation.get(), stamp.digest.to_string())
    }

    /// Refuses a configuration that is not older than the one that mentions it.
    fn into_model(self, of: Generation) -> Result<Stamp> {
        let generation = older(self.0, of)?;
        if generation == of || generation == Generation::ZERO {
            return Err(refused(format!(
                "it refers to generation {generation}, which is not before it"
            )));
        }
        let digest = Digest::parse(&self.1)
            .ok_or_else(|| refused(format!("'{}' is not a digest", plain(&self.1))))?;
        Ok(Stamp { generation, digest })
    }
}

/// Refuses a generation that is newer than the configuration that mentions it.
fn older(generation: u64, of: Generation) -> Result<Generation> {
    let generation = Generation::new(generation);
    if generation > of {
        Err(refused(format!(
            "it speaks of generation {generation}, which is newer"
        )))
    } else {
        Ok(generation)
    }
}

impl StandingRecord {
    fn of(standing: Standing) -> StandingRecord {
        match standing {
            Standing::Joining => StandingRecord::Joining,
            Standing::GivenUp => StandingRecord::GivenUp,
        }
    }

    fn into_model(self) -> Standing {
        match self {
            StandingRecord::Joining => Standing::Joining,
            StandingRecord::GivenUp => Standing::GivenUp,
        }
    }
}

impl VolumeRecord {
    fn of(volume: &Volume, disks: &DiskIndex) -> Result<VolumeRecord> {
        Ok(VolumeRecord {
            name: volume.name.to_string(),
            uuid: volume.id.simple(),
            size: volume.size.get(),
            synced: volume.synced.get(),
            copied: volume.copied,
            log_wanted: volume.log_wanted,
            running: volume.running.map(BootId::simple),
            log: volume
                .log
                .as_ref()
                .map(|log| LogRecord::of(log, disks))
                .transpose()?,
            origin: volume.origin.as_ref().map(OriginRecord::of),
            fast_resync: volume.fast_resync,
            dco: volume
                .dco
                .as_ref()
                .map(|dco| DcoRecord::of(dco, disks))
                .transpose()?,
            returning: volume.returning.as_ref().map(ReturningRecord::of),
            sector_size: volume.sector_size.map(SectorSize::bytes),
            lost_leg: volume.lost_leg.as_ref().map(LostLegRecord::of),
            lanes: (volume.lanes != Lanes::ONE).then(|| volume.lanes.get()),
            owner: OwnerRecord::of(&volume.owner),
            away: volume.away.iter().map(AwayRecord::of).collect(),
            plexes: volume
                .plexes
                .iter()
                .map(|plex| PlexRecord::of(plex, disks))
                .collect::<Result<_>>()?,
        })
    }

    fn into_model(self, disks: &[Disk]) -> Result<Volume> {
        let name = name(&self.name)?;
        let within = |err: Error| refused(format!("volume '{name}': {}", err.message()));
        sound::refuse_too_many_plexes(self.plexes.len()).map_err(within)?;
        let plexes = self
            .plexes
            .into_iter()
            .map(|plex| plex.into_model(disks))
            .collect::<Result<_>>()
            .map_err(within)?;
        let log = self
            .log
            .map(|log| log.into_model(disks))
            .transpose()
            .map_err(within)?;
        Ok(Volume {
            id: id(&self.uuid, VolumeId::parse)?,
            size: sectors(self.size)?,
            plexes,
            log,
            log_wanted: self.log_wanted,
            running: self
                .running
                .map(|boot| id(&boot, BootId::parse))
                .transpose()?,
            synced: sectors(self.synced)?,
            origin: self.origin.map(OriginRecord::into_model).transpose()?,
            fast_resync: self.fast_resync,
            dco: self
                .dco
                .map(|dco| dco.into_model(disks))
                .transpose()
                .map_err(within)?,
            returning: self
                .returning
                .map(ReturningRecord::into_model)
                .transpose()
                .map_err(within)?,
            sector_size: self
                .sector_size
                .map(sector_size)
                .transpose()
                .map_err(within)?,
            lost_leg: self
                .lost_leg
                .map(LostLegRecord::into_model)
                .transpose()
                .map_err(within)?,
            lanes: lanes(self.lanes).map_err(within)?,
            owner: self
                .owner
                .map(OwnerRecord::into_model)
                .transpose()
                .map_err(within)?
                .unwrap_or_default(),
            away: away(self.away).map_err(within)?,
            copied: self.copied,
            name,
        })
    }
}

impl LostLegRecord {
    fn of(lost: &LostLeg) -> LostLegRecord {
        let media = lost.media.iter().map(Name::to_string).collect();
        LostLegRecord {
            plex: lost.plex.to_string(),
            media,
            at_ms: lost.at.millis(),
        }
    }

    fn into_model(self) -> Result<LostLeg> {
        sound::refuse_too_many(self.media.len(), 0)?;
        let media = self
            .media
            .iter()
            .map(|media| name(media))
            .collect::<Result<_>>()?;
        Ok(LostLeg {
            plex: name(&self.plex)?,
            media,
            at: Timestamp::from_millis(self.at_ms),
        })
    }
}

impl OwnerRecord {
    fn of(owner: &NodeOwner) -> Option<OwnerRecord> {
        let word = |account: &Option<Account>| account.as_ref().map(ToString::to_string);
        (!owner.is_default()).then(|| OwnerRecord {
            user: word(&owner.user),
            group: word(&owner.group),
            mode: owner.mode.as_ref().map(ToString::to_string),
        })
    }

    fn into_model(self) -> Result<NodeOwner> {
        let impossible = |err: Error| refused(plain(err.message()));
        let account = |word: Option<String>| {
            let account = word.map(|word| Account::parse(&word)).transpose();
            account.map_err(impossible)
        };
        let mode = self.mode.map(|mode| NodeMode::parse(&mode)).transpose();
        let owner = NodeOwner {
            user: account(self.user)?,
            group: account(self.group)?,
            mode: mode.map_err(impossible)?,
        };
        if owner.is_default() {
            return Err(refused("an owner is recorded that says nothing"));
        }
        Ok(owner)
    }
}

impl PlexRecord {
    fn of(plex: &Plex, disks: &DiskIndex) -> Result<PlexRecord> {
        let subdisks = plex
            .subdisks
            .iter()
            .map(|extent| disks.piece(extent))
            .collect::<Result<_>>()?;
        let dco = plex
            .dco
            .as_ref()
            .map(|dco| DcoRecord::of(dco, disks))
            .transpose()?;
        let (number, name, state) = (
            plex.number,
            plex.name.to_string(),
            StateRecord::of(plex.state),
        );
        Ok(PlexRecord {
            number,
            name,
            state,
            subdisks,
            dco,
            lent: plex.serves_restore,
        })
    }

    fn into_model(self, disks: &[Disk]) -> Result<Plex> {
        let subdisks = self
            .subdisks
            .into_iter()
            .map(|piece| piece.into_model(disks))
            .collect::<Result<_>>()?;
        let dco = self.dco.map(|dco| dco.into_model(disks)).transpose()?;
        let (number, state, lent) = (self.number, self.state.into_model(), self.lent);
        Ok(Plex {
            number,
            name: name(&self.name)?,
            state,
            subdisks,
            dco,
            serves_restore: lent,
        })
    }
}

impl DcoRecord {
    fn of(dco: &Dco, disks: &DiskIndex) -> Result<DcoRecord> {
        Ok(DcoRecord {
            copies: dco
                .copies
                .iter()
                .map(|copy| disks.piece(copy))
                .collect::<Result<_>>()?,
            live: dco.live,
        })
    }

    fn into_model(self, disks: &[Disk]) -> Result<Dco> {
        Ok(Dco {
            copies: self
                .copies
                .into_iter()
                .map(|piece| piece.into_model(disks))
                .collect::<Result<_>>()?,
            live: self.live,
        })
    }
}

impl ReturningRecord {
    fn of(returning: &Returning) -> ReturningRecord {
        let log = match returning.log {
            ChangeLog::A => ChangeLogRecord::A,
            ChangeLog::B => ChangeLogRecord::B,
        };
        ReturningRecord {
            log,
            region: returning.region.get(),
            since: returning.since,
            exact: returning.exact,
        }
    }

    fn into_model(self) -> Result<Returning> {
        let log = match self.log {
            ChangeLogRecord::A => ChangeLog::A,
            ChangeLogRecord::B => ChangeLog::B,
        };
        Ok(Returning {
            log,
            region: sectors(self.region)?,
            since: self.since,
            exact: self.exact,
        })
    }
}

impl TrackingRecord {
    fn of(tracking: Tracking) -> TrackingRecord {
        match tracking {
            Tracking::Since(era) => TrackingRecord::Since(era),
            Tracking::Untracked(why) => TrackingRecord::Untracked(match why {
                Untracked::Off => UntrackedRecord::Off,
                Untracked::NoSpace => UntrackedRecord::NoSpace,
                Untracked::NoTarget => UntrackedRecord::NoTarget,
                Untracked::MapLost => UntrackedRecord::MapLost,
                Untracked::OldKernel => UntrackedRecord::OldKernel,
                Untracked::Restored => UntrackedRecord::Restored,
            }),
        }
    }

    fn into_model(self) -> Tracking {
        match self {
            TrackingRecord::Since(era) => Tracking::Since(era),
            TrackingRecord::Untracked(why) => Tracking::Untracked(match why {
                UntrackedRecord::Off => Untracked::Off,
                UntrackedRecord::NoSpace => Untracked::NoSpace,
                UntrackedRecord::NoTarget => Untracked::NoTarget,
                UntrackedRecord::MapLost => Untracked::MapLost,
                UntrackedRecord::OldKernel => Untracked::OldKernel,
                UntrackedRecord::Restored => Untracked::Restored,
            }),
        }
    }
}

impl LogRecord {
    fn of(log: &Log, disks: &DiskIndex) -> Result<LogRecord> {
        Ok(LogRecord {
            extent: disks.piece(&log.extent)?,
            region: log.region.get(),
            live: log.live,
        })
    }

    fn into_model(self, disks: &[Disk]) -> Result<Log> {
        Ok(Log {
            extent: self.extent.into_model(disks)?,
            region: sectors(self.region)?,
            live: self.live,
        })
    }
}

impl OriginRecord {
    fn of(origin: &Origin) -> OriginRecord {
        OriginRecord {
            original: origin.original.simple(),
            taken_at_ms: origin.taken_at.millis(),
            frozen: origin.crash.is_none(),
            freeze_us: origin.freeze_us,
            crash: origin
                .crash
                .as_ref()
                .map(|reason| reason.as_str().to_owned()),
            tracking: Some(TrackingRecord::of(origin.tracking)),
            at_boot: origin.at_boot.map(|how| match how {
                AtBoot::Overwrite => AtBootRecord::Overwrite,
                AtBoot::Keep => AtBootRecord::Keep,
            }),
            apart: origin.apart.as_ref().map(ApartRecord::of),
        }
    }

    fn into_model(self) -> Result<Origin> {
        Ok(Origin {
            original: id(&self.original, VolumeId::parse)?,
            taken_at: Timestamp::from_millis(self.taken_at_ms),
            crash: crash(self.frozen, self.crash)?,
            freeze_us: self.freeze_us,
            tracking: self.tracking.map_or(
                Tracking::Untracked(Untracked::Off),
                TrackingRecord::into_model,
            ),
            at_boot: self.at_boot.map(|how| match how {
                AtBootRecord::Overwrite => AtBoot::Overwrite,
                AtBootRecord::Keep => AtBoot::Keep,
            }),
            apart: self.apart.map(ApartRecord::into_model).transpose()?,
        })
    }
}

/// Why a snapshot is not frozen. Versions before 3 did not record a reason.
fn crash(frozen: bool, reason: Option<String>) -> Result<Option<CrashReason>> {
    match (frozen, reason) {
        (true, None) => Ok(None),
        (true, Some(_)) => Err(refused(
            "a snapshot is recorded as frozen, with a reason why it is not",
        )),
        (false, None) => Ok(Some(CrashReason::new(CrashReason::UNKNOWN))),
        (false, Some(text)) => {
            let reason = CrashReason::parse(&text);
            reason.map(Some).ok_or_else(|| {
                refused(format!(
                    "'{}' is not a reason why a snapshot is not frozen",
                    plain(&text)
                ))
            })
        }
    }
}

impl Piece {
    fn into_model(self, disks: &[Disk]) -> Result<Extent> {
        let Piece(index, start, length) = self;
        let disk = usize::try_from(index)
            .ok()
            .and_then(|index| disks.get(index));
        let disk = disk.ok_or_else(|| refused(format!("there is no disk number {index}")))?;
        Ok(Extent {
            disk: disk.id,
            start: sectors(start)?,
            length: sectors(length)?,
        })
    }
}

impl StateRecord {
    fn of(state: PlexState) -> StateRecord {
        match state {
            PlexState::Active => StateRecord::Active,
            PlexState::Attaching => StateRecord::Attaching,
            PlexState::Reviving => StateRecord::Reviving,
            PlexState::Stale => StateRecord::Stale,
            PlexState::Failed => StateRecord::Failed,
            PlexState::SnapAtt => StateRecord::SnapAtt,
            PlexState::SnapDone => StateRecord::SnapDone,
        }
    }

    fn into_model(self) -> PlexState {
        match self {
            StateRecord::Active => PlexState::Active,
            StateRecord::Attaching => PlexState::Attaching,
            StateRecord::Reviving => PlexState::Reviving,
            StateRecord::Stale => PlexState::Stale,
            StateRecord::Failed => PlexState::Failed,
            StateRecord::SnapAtt => PlexState::SnapAtt,
            StateRecord::SnapDone => PlexState::SnapDone,
        }
    }
}

/// The index of each disk of a group, by its identity.
struct DiskIndex(HashMap<DiskId, u32>);

impl DiskIndex {
    fn of(group: &Group) -> DiskIndex {
        DiskIndex(group.disks.iter().map(|disk| disk.id).zip(0..).collect())
    }

    fn piece(&self, extent: &Extent) -> Result<Piece> {
        let index = self
            .0
            .get(&extent.disk)
            .ok_or_else(|| Error::failed(format!("no disk {} in this group", extent.disk)))?;
        Ok(Piece(*index, extent.start.get(), extent.length.get()))
    }
}

/// Parses a name. The message shows no more of a wrong one than [`plain`] does.
fn name(word: &str) -> Result<Name> {
    Name::parse(word).map_err(|_| refused(format!("'{}' cannot be a name", plain(word))))
}

/// Parses an identity, in exactly the form in which it is written, and never the nil one.
fn id<T>(text: &str, parse: fn(&str) -> Option<T>) -> Result<T> {
    let form = text.len() == 32
        && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        && text.bytes().any(|b| b != b'0');
    form.then(|| parse(text))
        .flatten()
        .ok_or_else(|| refused(format!("'{}' is not an identity", plain(text))))
}

fn sectors(count: u64) -> Result<Sectors> {
    Sectors::new(count)
        .ok_or_else(|| refused(format!("{count} sectors are more than any device can hold")))
}

fn lanes(count: Option<u64>) -> Result<Lanes> {
    let Some(count) = count else {
        return Ok(Lanes::ONE);
    };
    Lanes::new(count).ok_or_else(|| refused(format!("legs cannot be filled in {count} lanes")))
}

fn away(records: Vec<AwayRecord>) -> Result<Vec<Away>> {
    sound::refuse_too_many(0, records.len())?;
    records.into_iter().map(AwayRecord::into_model).collect()
}

fn sector_size(bytes: u32) -> Result<SectorSize> {
    SectorSize::new(bytes).ok_or_else(|| refused(format!("{bytes} bytes are no sector size")))
}

/// Whether a payload was refused because a newer version wrote it.
pub(super) fn is_newer(err: &Error) -> bool {
    err.kind() == Kind::Unsupported
}

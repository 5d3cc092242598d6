//! Finds all breakoff disks on this machine, and the groups that they form.

use super::{DiskLine, Env};
use crate::advice::{Advised, Hint, Import};
use crate::error::{Error, Kind, Result};
use crate::meta::{self, Chosen, Guide, Label, Member, Side, Sighting, Witness};
use crate::model::{
    DevNo, DiskId, DmName, Group, GroupId, HostId, Name, Sectors, Testimony, UNFINISHED, Volume,
    VolumeId,
};
use crate::plan::world::{PresentDisk, disks_beneath};
use crate::sys::disk::{Access, Candidate, Found, GROUP_PROPERTY, MEMBER_TYPE, Which};
use crate::sys::machine::Machine;
use crate::sys::{Kernel, Media};
use crate::table::DmDevice;
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The disks of one scan, sorted by what their labels say.
pub struct Scan {
    candidates: Vec<Candidate>,
    labels: Vec<(String, Label)>,
    broken: Vec<(Candidate, Error)>,
    bare: Bare,
    /// The devices that did not answer in time; any of them may be a breakoff disk.
    unanswered: Vec<Error>,
    here: Option<HostId>,
    witness: Option<Witness>,
    kernel: Box<dyn Kernel>,
    /// Breakoff's devices in the kernel, once they were asked for.
    devices: OnceCell<Vec<DmDevice>>,
    silent: OnceCell<Vec<Silent>>,
    /// The answers of the witness and the configurations chosen by them, kept because a scan is
    /// queried often and must give the same answer each time.
    heard: RefCell<BTreeMap<GroupId, Option<Sighting>>>,
    chosen: RefCell<BTreeMap<GroupId, Result<Chosen>>>,
}

/// Devices without a label. One of them may be a breakoff disk that has lost its label.
#[derive(Debug, Clone, Default)]
pub struct Bare {
    /// The devices without a label.
    pub devices: Vec<Candidate>,
    /// The disks that any labelled device in sight claims to be, whether or not its label is
    /// trusted.
    pub claimed: BTreeSet<DiskId>,
}

/// A group that runs on this machine while no readable label names it.
#[derive(Debug, Clone)]
struct Silent {
    id: GroupId,
    /// Its name, taken from the names of its dm devices.
    name: Option<Name>,
    /// The dm names of its volumes.
    volumes: Vec<DmName>,
    /// The numbers of the disks beneath its devices.
    disks: BTreeSet<DevNo>,
}

/// Looks a device up and returns what the plan needs to know of a present disk.
pub fn present_disk(machine: &dyn Machine, path: &Path) -> Result<PresentDisk> {
    let found = machine.find(path)?;
    Ok(PresentDisk {
        path: found.path,
        dev: found.dev,
        size: found.size,
        logical_block: found.logical_block,
    })
}

impl Scan {
    /// Finds the disks and reads their labels; writes nothing. A disk on which another breakoff
    /// disk lies is left out: the upper device is used.
    pub fn new(machine: &dyn Machine) -> Result<Scan> {
        let mut scan = Scan::read(machine, Which::All)?;
        scan.keep_uppermost();
        scan.hand_over();
        Ok(scan)
    }

    /// Reads what a look at few disks shows, for who needs names soon and decides nothing by them: the
    /// disks that udev has marked and those beneath breakoff's devices, and all others only where none
    /// of these has a label.
    pub fn at_a_glance(machine: &dyn Machine) -> Result<Scan> {
        let devices = machine.kernel()?.devices()?;
        let mapped = disks_beneath(devices.iter(), &|_| true);
        let mut scan = Scan::read(machine, Which::Marked(&mapped))?;
        if scan.labels.is_empty() {
            scan = Scan::read(machine, Which::All)?;
        }
        scan.keep_uppermost();
        scan.hand_over();
        Ok(scan)
    }

    /// Leaves out disks on which another one lies.
    fn keep_uppermost(&mut self) {
        let upper: Vec<Candidate> = self
            .candidates
            .iter()
            .chain(self.broken.iter().map(|(candidate, _)| candidate))
            .cloned()
            .collect();
        self.retain(&|candidate, _| !upper.iter().any(|other| other.lies_on(candidate)));
    }

    /// Scans for the disks of a group: only those that udev has marked and those beneath breakoff's
    /// devices, if every group on them is whole and beyond doubt, and if this one runs here: its
    /// tables tell its disks from copies of them. Else for all disks, as [`Scan::new`] does.
    pub fn for_group(machine: &dyn Machine, name: &str) -> Result<Scan> {
        match Scan::marked(machine)? {
            Some(scan) if scan.group_named(name).is_ok_and(|id| scan.runs(id)) => Ok(scan),
            _ => Scan::new(machine),
        }
    }

    /// Scans for all groups of this machine: only the disks that [`Scan::for_group`] begins with, if
    /// every group on them is whole and beyond doubt, and every group that this machine has seen is
    /// among them. Else for all disks.
    pub fn sparing(machine: &dyn Machine) -> Result<Scan> {
        match Scan::marked(machine)? {
            Some(scan) if scan.has_all_seen() => Ok(scan),
            _ => Scan::new(machine),
        }
    }

    /// Whether the labels name all groups that this machine's witness knows. Without a witness that is
    /// not known.
    fn has_all_seen(&self) -> bool {
        let here = meta::groups(&self.labels);
        let seen = self.witness.as_ref().and_then(Witness::groups);
        seen.is_some_and(|seen| !seen.is_empty() && seen.iter().all(|id| here.contains(id)))
    }

    /// Whether a group has devices in the kernel.
    fn runs(&self, id: GroupId) -> bool {
        let devices = self.devices().unwrap_or_default();
        devices.iter().any(|device| device.uuid.group() == Some(id))
    }

    /// The marked disks, unless anything about them calls for a look at all devices.
    fn marked(machine: &dyn Machine) -> Result<Option<Scan>> {
        let devices = machine.kernel()?.devices()?;
        let mapped = disks_beneath(devices.iter(), &|_| true);
        let mut scan = Scan::read(machine, Which::Marked(&mapped))?;
        scan.keep_uppermost();
        scan.hand_over();
        scan.devices = OnceCell::from(devices);
        // Another disk may have the configuration that this machine has seen.
        let is_newest = |chosen: &Chosen| match (scan.seen(chosen.group.id), chosen.lineage.newest)
        {
            (Some(seen), Some(here)) => !matches!(seen.on(here), Testimony::Older(_)),
            _ => true,
        };
        let is_whole = |id: &GroupId| {
            let chosen = scan.choose(*id);
            chosen.is_ok_and(|chosen| chosen.is_beyond_doubt() && is_newest(&chosen))
        };
        let sound = scan.broken.is_empty() && scan.unanswered.is_empty();
        let whole = sound
            && meta::groups(&scan.labels).iter().all(is_whole)
            && scan.running_in_silence().is_empty();
        Ok(whole.then_some(scan))
    }

    /// Scans only for the disks of a running group, as its live tables name them: what other disks
    /// say, or fail to say, must not delay the group's held writes. A copy of one of its disks is
    /// left out, even when the disk itself is dead and the duplicate cannot be seen. Copies of a
    /// disk that no table names are left out too, since it is not known which of them is the disk.
    pub fn of_running(machine: &dyn Machine, group: GroupId) -> Result<Scan> {
        let devices = machine.kernel()?.devices()?;
        let mapped = mapped_by(&devices, group);
        let mut scan = Scan::read(machine, Which::Running(group, &mapped))?;
        let is_mapped = |candidate: &Candidate| mapped.contains(&candidate.dev);
        let all: Vec<(Candidate, DiskId)> = scan
            .candidates
            .iter()
            .cloned()
            .zip(scan.labels.iter().map(|(_, label)| label.disk()))
            .collect();
        scan.retain(&|candidate, disk| {
            let same = |(other, id): &&(Candidate, DiskId)| {
                other.dev != candidate.dev && disk.is_some_and(|disk| *id == disk)
            };
            let mut copies = all.iter().filter(same);
            let beneath = all
                .iter()
                .any(|(other, _)| is_mapped(other) && other.lies_on(candidate));
            if is_mapped(candidate) {
                !copies.any(|(other, _)| is_mapped(other))
            } else {
                !beneath && copies.next().is_none()
            }
        });
        scan.hand_over();
        // A disk beneath a running volume must be mapped by a live table; any other device with its
        // identity is a copy.
        let Ok(Chosen {
            group: configuration,
            ..
        }) = scan.choose(group)
        else {
            return Ok(scan);
        };
        scan.retain(&|candidate, disk| {
            is_mapped(candidate) || disk.is_none_or(|disk| is_idle(&configuration, &devices, disk))
        });
        Ok(scan)
    }

    fn read(machine: &dyn Machine, which: Which<'_>) -> Result<Scan> {
        let mut scan = Scan {
            candidates: Vec::new(),
            labels: Vec::new(),
            broken: Vec::new(),
            bare: Bare::default(),
            unanswered: Vec::new(),
            here: machine.host_id().ok(),
            witness: machine.witness_dir().map(Witness::at),
            kernel: machine.kernel()?,
            devices: OnceCell::new(),
            silent: OnceCell::new(),
            heard: RefCell::default(),
            chosen: RefCell::default(),
        };
        let reading = |media: &dyn Media| drop(meta::read_disk(media));
        for Found {
            candidate,
            is_known,
            media,
        } in machine.members(which, &reading)?
        {
            let is_ours = is_known
                || media
                    .as_ref()
                    .is_ok_and(|media| meta::is_ours(media.as_ref()));
            match media.and_then(|media| meta::read_disk(media.as_ref())) {
                Ok(Some(label)) => {
                    scan.bare.claimed.insert(label.disk());
                    scan.labels
                        .push((candidate.path.display().to_string(), label));
                    scan.candidates.push(candidate);
                }
                Ok(None) => scan.bare.devices.push(candidate),
                Err(error) if error.kind() == Kind::TimedOut && !is_known => {
                    scan.unanswered.push(error);
                }
                Err(error) if is_ours => scan.broken.push((candidate, error)),
                Err(_) => {}
            }
        }
        Ok(scan)
    }

    /// All disks with a label that can be read: each device, and its label.
    pub fn labelled(&self) -> impl Iterator<Item = (&Candidate, &Label)> {
        let labels = self.labels.iter().map(|(_, label)| label);
        self.candidates.iter().zip(labels)
    }

    /// The identity of this machine, if it has one.
    pub fn here(&self) -> Option<HostId> {
        self.here
    }

    /// The numbers of the disks beneath the devices of a group that runs here.
    pub fn beneath(&self, id: GroupId) -> Result<BTreeSet<DevNo>> {
        Ok(mapped_by(self.devices()?, id))
    }

    /// Drops the disks that `keep` rejects. A disk without a readable label is passed without an
    /// identity.
    fn retain(&mut self, keep: &dyn Fn(&Candidate, Option<DiskId>) -> bool) {
        let labelled = std::mem::take(&mut self.candidates)
            .into_iter()
            .zip(std::mem::take(&mut self.labels));
        let kept = labelled.filter(|(candidate, (_, label))| keep(candidate, Some(label.disk())));
        (self.candidates, self.labels) = kept.unzip();
        self.broken.retain(|(candidate, _)| keep(candidate, None));
        self.chosen.get_mut().clear();
    }

    /// Takes disks that were handed over from one group to another for disks of the other one.
    fn hand_over(&mut self) {
        let mut labels = std::mem::take(&mut self.labels);
        self.chosen.get_mut().clear();
        let by_labels = |found: &[(String, Label)], id| {
            let seen = self.seen(id);
            meta::choose_by(id, found, &Guide { seen, side: None })
        };
        let known: BTreeMap<GroupId, Result<Chosen>> = meta::groups(&labels)
            .into_iter()
            .map(|id| (id, by_labels(&labels, id)))
            .collect();
        let receivers = meta::hand_over(&mut labels, &known);
        self.labels = labels;
        let as_before = known.into_iter().filter(|(id, _)| !receivers.contains(id));
        self.chosen = RefCell::new(as_before.collect());
    }

    /// The devices that did not answer in time; whether they are breakoff disks is not known.
    pub fn unanswered(&self) -> &[Error] {
        &self.unanswered
    }

    /// Breakoff's disks that were waited for in vain.
    fn late(&self) -> Vec<Error> {
        let mut late = self.unreadable();
        late.retain(|error| error.kind() == Kind::TimedOut);
        late
    }

    /// Those of which a command on this group, or on all of them, would say nothing: disks of other
    /// groups, which have delayed it, too. Where a disk of the group is missing, all that cannot be
    /// read is told with it.
    pub fn late_beside(&self, group: Option<&str>) -> Vec<Error> {
        let misses = |id: GroupId| self.choose(id).is_ok_and(|it| !it.missing.is_empty());
        let is_told = match group {
            Some(name) => self.group_named(name).is_ok_and(misses),
            None => meta::groups(&self.labels).into_iter().any(misses),
        };
        if is_told { Vec::new() } else { self.late() }
    }

    /// Tells which disks were waited for in vain, and what a command on this group does not tell.
    pub fn tell_unanswered(&self, group: Option<&str>, env: Env<'_>) {
        let late = self.late_beside(group);
        let told = self.unanswered.iter().chain(&late);
        told.for_each(|error| env.ui.warn(error.message()));
    }

    /// The same, for a command that tells of no disk that is missing.
    pub fn tell_late(&self, env: Env<'_>) {
        let late = self.late();
        let told = self.unanswered.iter().chain(&late);
        told.for_each(|error| env.ui.warn(error.message()));
    }

    /// The devices without a label.
    pub fn bare(&self) -> &Bare {
        &self.bare
    }

    /// Breakoff's devices in the kernel, as they were when they were first asked for.
    pub fn devices(&self) -> Result<&[DmDevice]> {
        if let Some(devices) = self.devices.get() {
            return Ok(devices);
        }
        let devices = self.kernel.devices()?;
        Ok(self.devices.get_or_init(|| devices))
    }

    /// Describes the disks that look like breakoff's and cannot be read.
    pub fn unreadable(&self) -> Vec<Error> {
        let told = |(candidate, error): &(Candidate, Error)| {
            let shown = candidate.path.display();
            Error::new(
                error.kind(),
                format!("disk '{shown}' cannot be read: {error}"),
            )
            .on(shown)
        };
        self.broken.iter().map(told).collect()
    }

    /// The groups that [`Scan::silent`] describes, in the same order, with their names as far as they
    /// are known.
    pub fn silent_groups(&self) -> Vec<(GroupId, Option<Name>)> {
        self.running_in_silence()
            .iter()
            .map(|silent| (silent.id, silent.name.clone()))
            .collect()
    }

    /// Describes the groups that run here while none of their labels can be read: the kernel
    /// continues with them, but nothing can be recorded.
    pub fn silent(&self) -> Vec<Error> {
        self.running_in_silence()
            .iter()
            .map(|silent| self.described_silent(silent))
            .collect()
    }

    /// Describes the group among these with this name or UUID, if there is one.
    fn silent_named(&self, word: &str) -> Option<Error> {
        let is_it = |silent: &&Silent| {
            silent
                .name
                .as_ref()
                .is_some_and(|name| name.as_str() == word)
                || GroupId::parse(word) == Some(silent.id)
        };
        self.running_in_silence()
            .iter()
            .find(is_it)
            .map(|silent| self.described_silent(silent))
    }

    fn running_in_silence(&self) -> &[Silent] {
        self.silent.get_or_init(|| {
            let known = meta::groups(&self.labels);
            let devices = self.devices().unwrap_or_default();
            let ids: BTreeSet<GroupId> = devices
                .iter()
                .filter_map(|d| d.uuid.group())
                .filter(|id| !known.contains(id))
                .collect();
            ids.into_iter().map(|id| Silent::of(id, devices)).collect()
        })
    }

    fn described_silent(&self, silent: &Silent) -> Error {
        let path = |dev: &DevNo| {
            let broken = self
                .broken
                .iter()
                .find(|(candidate, _)| candidate.dev == *dev);
            broken.map_or_else(
                || dev.to_string(),
                |(candidate, error)| format!("{}: {error}", candidate.path.display()),
            )
        };
        let disks: Vec<String> = silent.disks.iter().map(path).collect();
        let volumes: Vec<String> = silent
            .volumes
            .iter()
            .map(|name| format!("/dev/mapper/{name}"))
            .collect();
        let name = silent
            .name
            .as_ref()
            .map_or_else(|| silent.id.to_string(), Name::to_string);
        let message = format!(
            "group '{name}' runs on this machine ({}), but none of its labels can be read; its disks are {}",
            volumes.join(", "),
            if disks.is_empty() {
                "not known".to_owned()
            } else {
                disks.join(", ")
            }
        );
        Error::device(message).on(name).hint(
            Hint::from("its volumes continue as far as their disks work, but nothing can be changed; when a disk answers again, ")
                .line(Advised::Recover)
                .and(" goes on"),
        )
    }

    /// The groups that the labels name, without destroyed ones.
    pub fn groups(&self) -> BTreeSet<GroupId> {
        meta::groups(&self.labels)
            .into_iter()
            .filter(|id| !self.is_destroyed(*id))
            .collect()
    }

    fn is_destroyed(&self, id: GroupId) -> bool {
        self.choose(id).is_ok_and(|chosen| chosen.group.destroyed)
    }

    /// The paths of disks whose labels are left over from a destroyed group.
    pub fn leftovers(&self) -> Vec<&Path> {
        let gone = |label: &Label| label.group().is_some_and(|id| self.is_destroyed(id));
        self.labels
            .iter()
            .filter(|(_, label)| gone(label))
            .map(|(path, _)| Path::new(path.as_str()))
            .collect()
    }

    /// Chooses the configuration in force of a group from the copies on its disks.
    pub fn choose(&self, id: GroupId) -> Result<Chosen> {
        if let Some(chosen) = self.chosen.borrow().get(&id) {
            return chosen.clone();
        }
        let chosen = meta::choose_by(
            id,
            &self.labels,
            &Guide {
                seen: self.seen(id),
                ..Guide::default()
            },
        );
        self.chosen.borrow_mut().insert(id, chosen.clone());
        chosen
    }

    /// What this machine's witness recorded last of a group.
    pub fn seen(&self, id: GroupId) -> Option<Sighting> {
        *self
            .heard
            .borrow_mut()
            .entry(id)
            .or_insert_with(|| self.witness.as_ref().and_then(|witness| witness.seen(id)))
    }

    /// Like [`Scan::choose`], for a scan of a running group: since the group runs it must have
    /// disks, so if none is found the error says why they cannot be read.
    pub fn choose_running(&self, id: GroupId) -> Result<Chosen> {
        self.choose(id).map_err(|error| {
            if error.kind() != Kind::NotFound {
                return error;
            }
            let why = self
                .unreadable()
                .iter()
                .map(|error| error.message().to_owned())
                .collect::<Vec<_>>()
                .join("; ");
            let lost = Error::device("none of its disks has a readable label")
                .hint(Hint::from("see the kernel's log, and ").line(Advised::DiskList));
            if why.is_empty() {
                lost
            } else {
                lost.because(why)
            }
        })
    }

    /// Whether no disk is left that could name a running group. A disk that did not answer in time
    /// may still do so.
    pub fn is_lost(&self, id: GroupId) -> bool {
        let is_its = |label: &Label| label.group() == Some(id);
        let silent = self
            .broken
            .iter()
            .any(|(_, error)| error.kind() == Kind::TimedOut);
        !silent && !self.labels.iter().any(|(_, label)| is_its(label))
    }

    /// The sides of a group: one, unless its disks were changed independently of each other.
    pub fn sides(&self, id: GroupId) -> Result<Vec<Side>> {
        meta::sides(id, &self.labels)
    }

    /// Chooses the configuration of one side of a group.
    pub fn choose_side(&self, id: GroupId, side: &Side) -> Result<Chosen> {
        meta::choose_by(
            id,
            &self.labels,
            &Guide {
                side: Some(side.stamp.digest),
                ..Guide::default()
            },
        )
    }

    /// The name of a group, even if the group is refused.
    pub fn name_of(&self, id: GroupId) -> Option<Name> {
        if let Ok(chosen) = self.choose(id) {
            return Some(chosen.group.name);
        }
        let labels = self
            .labels
            .iter()
            .filter(|(_, label)| label.group() == Some(id));
        labels
            .flat_map(|(_, label)| label.copies())
            .find_map(|copy| copy.decode(id).ok())
            .map(|group| group.name)
    }

    /// Finds the group with this name or UUID. Among several groups with the same name the one
    /// imported by this machine is taken; among several of those, the one with more than half of
    /// its disks present, since the others are leftovers. The rest are found by UUID.
    pub fn group_named(&self, name: &str) -> Result<GroupId> {
        let all = self.groups();
        if let Some(id) = GroupId::parse(name).filter(|id| all.contains(id)) {
            return Ok(id);
        }
        let called: Vec<GroupId> = all
            .into_iter()
            .filter(|id| self.name_of(*id).is_some_and(|n| n.as_str() == name))
            .collect();
        match called.as_slice() {
            [only] => Ok(*only),
            [] => Err(self.silent_named(name).unwrap_or_else(|| {
                Error::not_found(format!("there is no disk group '{name}'"))
                    .on(name)
                    .hint(Hint::from(Advised::GroupList).and(" shows the groups on this machine"))
            })),
            many => self
                .preferred(many)
                .ok_or_else(|| self.ambiguous(name, many)),
        }
    }

    fn preferred(&self, called: &[GroupId]) -> Option<GroupId> {
        let chosen = called.iter().filter_map(|id| self.choose(*id).ok());
        let own: Vec<Chosen> = chosen
            .filter(|c| c.group.host.is_some() && c.group.host == self.here)
            .collect();
        let whole: Vec<GroupId> = own
            .iter()
            .filter(|c| c.present.len() > c.missing.len())
            .map(|c| c.group.id)
            .collect();
        match (own.as_slice(), whole.as_slice()) {
            ([only], _) => Some(only.group.id),
            (_, [only]) => Some(*only),
            _ => None,
        }
    }

    fn ambiguous(&self, name: &str, called: &[GroupId]) -> Error {
        let each: Vec<String> = called.iter().map(|id| self.described(*id)).collect();
        Error::unsafe_(format!(
            "more than one group is called '{name}': {}",
            each.join("; ")
        ))
        .on(name)
        .hint(
            Hint::from("use the UUID of the intended one in place of the name; ")
                .line(Advised::GroupImport {
                    group: "UUID".to_owned(),
                    how: Import::Renamed,
                })
                .and(" renames one"),
        )
    }

    /// Describes a group with its UUID, its host and its present disks.
    fn described(&self, id: GroupId) -> String {
        let labels = self
            .labels
            .iter()
            .filter(|(_, label)| label.group() == Some(id));
        let devices: Vec<&str> = labels.map(|(path, _)| path.as_str()).collect();
        let devices = devices.join(", ");
        match self.choose(id) {
            Ok(Chosen { group, present, .. }) => {
                let whose = match group.host {
                    None => "deported".to_owned(),
                    Some(UNFINISHED) => "a clone that was not finished".to_owned(),
                    host if host == self.here => "imported here".to_owned(),
                    Some(other) => format!("imported by machine {other}"),
                };
                format!(
                    "{id} ({whose}, {} of {} disks: {devices})",
                    present.len(),
                    group.disks.len()
                )
            }
            Err(_) => format!("{id} (refused, on {devices})"),
        }
    }

    /// Describes the other groups with the same name.
    pub fn namesakes(&self, group: &Group) -> Vec<String> {
        let same = |id: &GroupId| {
            *id != group.id && self.name_of(*id).is_some_and(|name| name == group.name)
        };
        self.groups()
            .into_iter()
            .filter(same)
            .map(|id| self.described(id))
            .collect()
    }

    /// The word by which commands find a group: its name or, if the name means another group, its
    /// UUID.
    pub fn word(&self, group: &Group) -> Name {
        let found = self.group_named(group.name.as_str());
        if found.is_ok_and(|id| id == group.id) {
            group.name.clone()
        } else {
            Name::of_group(group.id)
        }
    }

    /// The configurations of the groups that can be read and trusted.
    pub fn readable_groups(&self) -> Vec<Group> {
        self.groups()
            .into_iter()
            .filter_map(|id| self.choose(id).ok())
            .map(|chosen| chosen.group)
            .collect()
    }

    /// The readable groups that this machine has imported.
    pub fn own_groups(&self, machine: &dyn Machine) -> Result<Vec<Group>> {
        let here = machine.host_id()?;
        Ok(self
            .readable_groups()
            .into_iter()
            .filter(|group| group.host == Some(here))
            .collect())
    }

    /// The names or UUIDs ([`Scan::word`]) of the groups that this machine has imported, first those
    /// that have handed something over: what they have left undone others wait for.
    pub fn own_words(&self, machine: &dyn Machine) -> Result<Vec<Name>> {
        let mut own = self.own_groups(machine)?;
        own.sort_by_key(|group| group.handovers.is_empty());
        Ok(own.iter().map(|group| self.word(group)).collect())
    }

    /// Describes as text how a disk relates to the group that its label names; `None` if it names
    /// none.
    pub fn belonging(&self, label: &Label) -> Option<String> {
        let id = label.group()?;
        let name = self.name_of(id).map_or_else(
            || format!("a disk group ({id})"),
            |name| format!("disk group '{name}'"),
        );
        let chosen = self.choose(id).ok();
        let was_removed = chosen
            .as_ref()
            .is_some_and(|c| c.group.disk(label.disk()).is_none());
        let waits = chosen.as_ref().and_then(|chosen| waits(chosen, label));
        Some(match chosen {
            Some(chosen) if chosen.group.destroyed => {
                format!("is left over from {name}, which was destroyed")
            }
            _ if let Some(waits) = waits => format!("{waits}, by {name}"),
            _ if was_removed => format!("was removed from {name} while it was away"),
            _ => format!("belongs to {name}"),
        })
    }

    /// Whether a disk is in the configuration of a group that this machine has imported. False for
    /// a disk of the smaller part of a group, which may be left over from long ago (see
    /// `plan::quorum`), and when both a disk and its copy are present: such a disk may be given up.
    pub fn is_imported(&self, label: &Label) -> bool {
        let chosen = label
            .group()
            .and_then(|id| self.choose(id).ok())
            .filter(|chosen| !chosen.group.destroyed);
        let is_whole = |chosen: &Chosen| chosen.present.len() > chosen.missing.len();
        let is_own =
            |chosen: &Chosen| chosen.group.host.is_some() && chosen.group.host == self.here;
        chosen.is_some_and(|chosen| {
            let is_member = is_whole(&chosen) && chosen.group.disk(label.disk()).is_some();
            is_own(&chosen) && (is_member || waits(&chosen, label).is_some())
        })
    }

    /// The groups that are refused, each with the reason as text and its kind.
    pub fn refused(&self) -> Vec<(GroupId, String, Kind)> {
        let refusal = |id: GroupId| {
            let error = self.choose(id).err()?;
            let name = self
                .name_of(id)
                .map_or_else(|| id.to_string(), |n| n.to_string());
            Some((
                id,
                format!("group '{name}' is refused: {error}"),
                error.kind(),
            ))
        };
        self.groups().into_iter().filter_map(refusal).collect()
    }

    /// The groups that have devices in the kernel but no usable configuration on the disks in
    /// sight. Their running part is repaired all the same (see [`Scan::of_running`]), except for
    /// groups that no readable label names.
    pub fn running_all_the_same(&self, machine: &dyn Machine) -> Result<BTreeSet<GroupId>> {
        let running: BTreeSet<GroupId> = self
            .kernel
            .devices()?
            .into_iter()
            .filter_map(|device| device.uuid.group())
            .collect();
        let is_silent = |id: GroupId| {
            self.running_in_silence()
                .iter()
                .any(|silent| silent.id == id)
        };
        let speaks = |id: GroupId| {
            !is_silent(id)
                || Scan::of_running(machine, id).is_ok_and(|scan| scan.choose(id).is_ok())
        };
        Ok(running
            .into_iter()
            .filter(|id| self.choose(*id).is_err() && speaks(*id))
            .collect())
    }

    /// Returns the disks of a chosen group, for the plan, and opens them as members for commits.
    /// Warns about each disk that cannot be opened.
    pub fn members(
        &self,
        chosen: &Chosen,
        env: Env<'_>,
    ) -> Result<(BTreeMap<DiskId, PresentDisk>, Vec<Member>)> {
        let mut disks = BTreeMap::new();
        let mut members = Vec::new();
        let here = chosen.present.iter().filter_map(|(id, index)| {
            let (path, label) = self.labels.get(*index)?;
            Some((*id, self.candidates.get(*index)?, (path, label)))
        });
        let here: Vec<(DiskId, &Candidate, (&String, &Label))> = here.collect();
        let paths: Vec<&Path> = here
            .iter()
            .map(|(_, candidate, _)| candidate.path.as_path())
            .collect();
        let opened = env.machine.all_media(&paths);
        for ((id, candidate, (path, label)), opened) in here.into_iter().zip(opened) {
            let opened = opened.and_then(|media| match label.is_the_only_record() {
                false => Ok(media),
                true => Err(Error::not_ready(
                    "the group that has handed it over has to record that on its own disks first",
                )),
            });
            let media_name = chosen
                .group
                .disk(id)
                .map_or_else(|| id.to_string(), |d| d.media.to_string());
            match opened {
                Ok(media) => members.push(Member {
                    disk: id,
                    name: format!("{media_name} ({path})"),
                    media,
                    label: label.clone(),
                }),
                Err(error) => env
                    .ui
                    .warn(&format!("disk '{media_name}' cannot be opened: {error}")),
            }
            let present = PresentDisk {
                path: candidate.path.clone(),
                dev: candidate.dev,
                size: candidate.size,
                logical_block: candidate.logical_block,
            };
            disks.insert(id, present);
        }
        Ok((disks, members))
    }

    /// Lists every breakoff disk, for `disk list`.
    pub fn disk_lines(&self) -> Vec<DiskLine> {
        let chosen: BTreeMap<GroupId, Result<Chosen>> = self
            .groups()
            .into_iter()
            .map(|id| (id, self.choose(id)))
            .collect();
        let mut lines: Vec<DiskLine> = self
            .labels
            .iter()
            .zip(&self.candidates)
            .map(|(label, candidate)| self.line(label, candidate, &chosen))
            .collect();
        lines.extend(self.broken.iter().map(|(candidate, error)| DiskLine {
            device: Some(candidate.path.clone()),
            id: None,
            media: None,
            group: None,
            group_id: None,
            state: "error",
            size: Some(candidate.size),
            data_start: None,
            sector_size: Some(candidate.logical_block),
            remark: Some(error.to_string()),
        }));
        for chosen in chosen.values().flatten() {
            let missing = chosen
                .missing
                .iter()
                .filter_map(|id| chosen.group.disk(*id));
            lines.extend(missing.map(|disk| DiskLine {
                device: None,
                id: Some(disk.id),
                media: Some(disk.media.clone()),
                group: Some(chosen.group.name.to_string()),
                group_id: Some(chosen.group.id),
                state: "missing",
                size: Some(disk.size),
                data_start: Some(disk.data_start),
                sector_size: None,
                remark: None,
            }));
        }
        lines
    }

    fn line(
        &self,
        (path, label): &(String, Label),
        candidate: &Candidate,
        chosen: &BTreeMap<GroupId, Result<Chosen>>,
    ) -> DiskLine {
        let group = label.group();
        let config = group
            .and_then(|id| chosen.get(&id))
            .and_then(|c| c.as_ref().ok());
        let disk = config.and_then(|c| c.group.disk(label.disk()));
        let twice = self
            .labels
            .iter()
            .filter(|(_, other)| other.disk() == label.disk())
            .count()
            > 1;
        let gone = group.is_some_and(|id| self.is_destroyed(id));
        let waits = config.and_then(|config| waits(config, label));
        let stranger = group.is_some() && config.is_some() && disk.is_none();
        DiskLine {
            device: Some(path.into()),
            id: Some(label.disk()),
            media: disk.map(|d| d.media.clone()),
            group: group.map(|id| {
                self.name_of(id)
                    .map_or_else(|| id.to_string(), |n| n.to_string())
            }),
            group_id: group,
            state: match (twice, group) {
                (true, _) => "duplicate",
                (false, _) if gone => "free",
                (false, None) => "free",
                (false, Some(_)) if waits.is_some() => "waiting",
                (false, Some(_)) if stranger => "removed",
                (false, Some(_)) => "online",
            },
            size: Some(label.geometry().data_size()),
            data_start: Some(label.geometry().data_start()),
            sector_size: Some(candidate.logical_block),
            remark: if gone {
                Some(
                    "its group was destroyed; 'breakoff recover' erases what is left of it"
                        .to_owned(),
                )
            } else if waits.is_some() {
                waits
            } else if stranger {
                Some(format!(
                    "removed from its group while it was away; 'breakoff disk init --force {path}' makes it free"
                ))
            } else {
                label
                    .warnings()
                    .first()
                    .cloned()
                    .or_else(|| grown(label, candidate, disk.map(|d| &d.media)))
            },
        }
    }
}

/// That a disk was handed over to a group that is not here, as text, if it was.
fn waits(chosen: &Chosen, label: &Label) -> Option<String> {
    let handover = chosen.group.handover_of(label.disk())?;
    let to = &handover.to.name;
    Some(format!(
        "was handed over to group '{to}', which is not here"
    ))
}

/// The remark that a disk has more space than its label states.
fn grown(label: &Label, candidate: &Candidate, media: Option<&Name>) -> Option<String> {
    let by = label
        .geometry()
        .grown(candidate.size.bytes())?
        .data_size()
        .saturating_sub(label.geometry().data_size());
    let media = media.filter(|_| by >= Sectors::MIB)?;
    Some(format!(
        "has grown by {by}; 'breakoff disk resize {media}' takes it"
    ))
}

impl Silent {
    fn of(id: GroupId, devices: &[DmDevice]) -> Silent {
        let ours: Vec<&DmDevice> = devices
            .iter()
            .filter(|d| d.uuid.group() == Some(id))
            .collect();
        let volumes: Vec<DmName> = ours
            .iter()
            .filter(|d| d.uuid.is_volume())
            .map(|d| d.name.clone())
            .collect();
        let name = volumes
            .first()
            .and_then(DmName::split)
            .map(|(group, _)| group);
        Silent {
            id,
            name,
            volumes,
            disks: mapped_by(devices, id),
        }
    }
}

/// Whether a disk of a group is free of running volumes: none of the volumes that these devices
/// belong to has a plex, a log or a map on it.
pub fn is_idle<'d>(
    group: &Group,
    devices: impl IntoIterator<Item = &'d DmDevice>,
    disk: DiskId,
) -> bool {
    let of_the_group = devices
        .into_iter()
        .filter(|device| device.uuid.group() == Some(group.id));
    let running: BTreeSet<VolumeId> = of_the_group
        .filter_map(|device| device.uuid.volume())
        .collect();
    let volumes = group
        .volumes
        .iter()
        .filter(|volume| running.contains(&volume.id));
    !volumes
        .flat_map(Volume::extents)
        .any(|extent| extent.disk == disk)
}

/// The device numbers of the disks that the live tables of a group name.
fn mapped_by(devices: &[DmDevice], group: GroupId) -> BTreeSet<DevNo> {
    disks_beneath(
        devices
            .iter()
            .filter(|device| device.uuid.group() == Some(group)),
        &|_| true,
    )
}

fn read_label(machine: &dyn Machine, path: &Path) -> Result<Option<Label>> {
    meta::read_disk(machine.media(path, Access::ReadOnly)?.as_ref())
}

/// Returns the udev properties of a breakoff disk, for its udev rule; empty for any other device.
pub fn udev_probe(machine: &dyn Machine, path: &Path) -> Result<Vec<(String, String)>> {
    let Some(label) = read_label(machine, path)? else {
        return Ok(Vec::new());
    };
    let mut properties = vec![
        ("ID_FS_TYPE".to_owned(), MEMBER_TYPE.to_owned()),
        ("ID_FS_USAGE".to_owned(), "raid".to_owned()),
        ("ID_FS_UUID".to_owned(), label.disk().to_string()),
        ("BREAKOFF_DISK_UUID".to_owned(), label.disk().to_string()),
    ];
    properties.extend(
        label
            .group()
            .map(|id| (GROUP_PROPERTY.to_owned(), id.to_string())),
    );
    Ok(properties)
}

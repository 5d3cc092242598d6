//! A group as read from its disks and observed in the kernel.

use super::closing::Closing;
use super::{Lock, Session};
use crate::advice::{Advised, Hint, Import};
use crate::app::Env;
use crate::app::scan::{Bare, Scan};
use crate::error::{Error, Result};
use crate::exec;
use crate::meta::{self, Chosen, Fill, Lineage, Member, Sighting, Stamp};
use crate::model::{
    DiskId, DmUuid, Extent, Generation, Group, GroupId, HostId, Name, Role, Sectors, Volume,
    VolumeId,
};
use crate::plan::Refusal;
use crate::plan::evidence::{Evidence, Situation};
use crate::plan::finding;
use crate::plan::refusal::Clones;
use crate::plan::request::Finding;
use crate::plan::step::Plan;
use crate::plan::world::{PresentDisk, World};
use crate::sys::Kernel;
use crate::table::status::MirrorStatus;
use crate::table::{DmDevice, dco, era};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A read-only view of a group. It does not depend on the lock, so it may be out of date.
pub struct View<'u> {
    /// The machine and the user interface of the command.
    pub env: Env<'u>,
    /// The device-mapper interface of this machine.
    pub kernel: Box<dyn Kernel>,
    /// The configuration, the disks and the kernel state as observed last.
    pub world: Situation,
    /// The copies of the configuration on the group's disks.
    pub(super) copies: Copies,
    /// The devices in sight without a label.
    pub(in crate::app) bare: Bare,
}

/// How long a disk may take to tell whether its configuration has changed, while writes may wait for
/// a repair. A disk that is late is left out of the next commit, as one that does not answer.
const ANSWERS: Duration = Duration::from_secs(2);

/// A view without the command that it was made for, kept for a later one: what a group is, with its
/// disks ready to be written.
pub struct Kept {
    kernel: Box<dyn Kernel>,
    world: Situation,
    copies: Copies,
    bare: Bare,
}

impl Kept {
    /// The configuration as it was read or written last.
    pub fn group(&self) -> &Group {
        &self.world.group
    }

    /// Whether the disks hold what is kept, and nothing newer. Without a disk that says so, nothing
    /// is known.
    pub(super) fn is_current(&mut self) -> bool {
        let begin = |member: &Member| meta::begin_check(member.media.as_ref(), ANSWERS);
        let begun: Vec<bool> = self.copies.members.iter().map(begin).collect();
        let asked = self.copies.members.iter().zip(begun);
        let said: Vec<(DiskId, Option<bool>)> = asked
            .map(|(member, begun)| {
                let said = begun.then(|| meta::is_current(member.media.as_ref(), &member.label));
                (member.disk, said.flatten())
            })
            .collect();
        // A disk that cannot be read says nothing and is left out, as when the group is read anew.
        for (disk, _) in said.iter().filter(|(_, said)| said.is_none()) {
            self.world.disks.remove(disk);
            self.copies.members.retain(|member| member.disk != *disk);
        }
        let mut heard = said.iter().filter_map(|(_, said)| *said).peekable();
        heard.peek().is_some() && heard.all(|is_current| is_current)
    }

    /// The view as of now.
    pub(super) fn view<'u>(self, env: Env<'u>) -> Result<View<'u>> {
        let mut view = View {
            env,
            kernel: self.kernel,
            world: self.world,
            copies: self.copies,
            bare: self.bare,
        };
        view.observe()?;
        Ok(view)
    }
}

/// The copies of a group's configuration: what the next commit needs.
pub(super) struct Copies {
    pub members: Vec<Member>,
    pub next: Generation,
    /// Disks whose copy is older than the configuration in force.
    pub outdated: Vec<DiskId>,
    /// Disks that another group has handed over, whose labels do not say so yet.
    pub handed: Vec<DiskId>,
    /// Those of them that no disk of this group has recorded yet.
    pub newcomers: Vec<DiskId>,
    /// The history of the configuration and of what each disk holds.
    pub lineage: Lineage,
    /// A configuration that may be on a disk without being known to be in force.
    pub pending: Option<Stamp>,
    /// Disks that did not take a write; the next command tries them again.
    pub silent: Vec<DiskId>,
}

impl<'u> View<'u> {
    /// Reads a running group without its lock, only from the disks that its live tables name or
    /// udev knows to be its own.
    pub fn look_running(id: GroupId, env: Env<'u>) -> Result<View<'u>> {
        let scan = Scan::of_running(env.machine, id)?;
        scan.unreadable()
            .iter()
            .for_each(|error| env.ui.warn(error.message()));
        let chosen = scan.choose_running(id)?;
        View::of(&scan, chosen, env)
    }

    /// Reads a group without taking its lock, either for a read-only command or because the caller
    /// holds the lock.
    pub fn look(name: &Name, env: Env<'u>) -> Result<View<'u>> {
        let scan = Scan::for_group(env.machine, name.as_str())?;
        scan.tell_unanswered(Some(name.as_str()), env);
        View::look_in(&scan, name, env)
    }

    /// Reads a group from a scan that was just made, without taking its lock.
    pub fn look_in(scan: &Scan, name: &Name, env: Env<'u>) -> Result<View<'u>> {
        let chosen = scan.choose(scan.group_named(name.as_str())?)?;
        View::chosen(scan, chosen, env)
    }

    /// Builds the view of a chosen configuration and warns about missing disks and about other
    /// groups of the same name.
    pub fn chosen(scan: &Scan, chosen: Chosen, env: Env<'u>) -> Result<View<'u>> {
        for disk in chosen
            .missing
            .iter()
            .filter_map(|id| chosen.group.disk(*id))
        {
            env.ui.warn(&format!(
                "disk '{}' of group '{}' is missing, or its label cannot be read",
                disk.media, chosen.group.name
            ));
        }
        if !chosen.missing.is_empty() {
            scan.unreadable()
                .iter()
                .for_each(|error| env.ui.warn(error.message()));
        }
        for other in scan.namesakes(&chosen.group) {
            env.ui.warn(&format!(
                "another group has the name '{}' too and is not used: {other}",
                chosen.group.name
            ));
        }
        View::of(scan, chosen, env)
    }

    /// Reads a group while its disks are appearing one after the other: that some are missing is not
    /// worth a warning yet.
    pub fn look_for_hotplug(scan: &Scan, id: GroupId, env: Env<'u>) -> Result<View<'u>> {
        View::of(scan, scan.choose(id)?, env)
    }

    fn of(scan: &Scan, chosen: Chosen, env: Env<'u>) -> Result<View<'u>> {
        chosen
            .warnings
            .iter()
            .for_each(|warning| env.ui.warn(warning));
        let seen = scan.seen(chosen.group.id);
        let (disks, members) = scan.members(&chosen, env)?;
        let handed = members.iter().filter(|m| m.label.is_handed_over());
        let copies = Copies {
            handed: handed.map(|member| member.disk).collect(),
            newcomers: chosen.newcomers,
            members,
            next: chosen.next,
            outdated: chosen.outdated,
            lineage: chosen.lineage,
            pending: None,
            silent: Vec::new(),
        };
        let mut view = View::unobserved(chosen.group, chosen.generation, disks, copies, env)?;
        view.bare = scan.bare().clone();
        view.hear_witness(seen);
        view.observed(scan.devices()?.iter().cloned())?;
        view.leave_out_copies();
        Ok(view)
    }

    /// Keeps the view for a later command, with its disks closed and ready; `None` if a disk is not.
    pub fn keep(mut self) -> Option<Kept> {
        let testimony = self.world.evidence.testimony;
        self.world.evidence = Evidence {
            testimony,
            ..Evidence::default()
        };
        for member in &self.copies.members {
            member.media.brace();
            if !member.media.rest() {
                return None;
            }
        }
        let is_complete = self.copies.outdated.is_empty()
            && self.copies.silent.is_empty()
            && self.copies.pending.is_none()
            && self.copies.handed.is_empty();
        is_complete.then_some(Kept {
            kernel: self.kernel,
            world: self.world,
            copies: self.copies,
            bare: self.bare,
        })
    }

    /// Builds the view of a group that is to be created; it has no disks yet.
    pub fn of_new(name: Name, env: Env<'u>) -> Result<View<'u>> {
        let group = Group::new(name, env.machine.host_id()?);
        let copies = Copies {
            members: Vec::new(),
            next: Generation::new(1),
            outdated: Vec::new(),
            handed: Vec::new(),
            newcomers: Vec::new(),
            lineage: Lineage::default(),
            pending: None,
            silent: Vec::new(),
        };
        View::unobserved(group, Generation::ZERO, BTreeMap::new(), copies, env)
    }

    fn unobserved(
        group: Group,
        generation: Generation,
        disks: BTreeMap<DiskId, PresentDisk>,
        mut copies: Copies,
        env: Env<'u>,
    ) -> Result<View<'u>> {
        let world = World {
            group,
            generation,
            devices: BTreeMap::new(),
            taken_names: BTreeSet::new(),
            disks,
            boot: env.machine.boot_id()?,
            host: env.machine.host_id().ok(),
            now: env.machine.now(),
            elsewhere: BTreeMap::new(),
        };
        copies.lineage.now = world.now;
        Ok(View {
            env,
            kernel: env.machine.kernel()?,
            world: Situation::new(world),
            copies,
            bare: Bare::default(),
        })
    }

    /// Turns the view into a session, the only way to make a change. The group has to have been
    /// read under this lock.
    ///
    /// This is for a group that is not yet this machine's in this form: one that is being created,
    /// imported or chosen. The witness hears of it from the commit on.
    pub fn with_lock(self, lock: Lock) -> Session<'u> {
        Session {
            closing: Closing::with(lock, self.env),
            view: self,
        }
    }

    /// Leaves a disk out of later commits and returns its member.
    pub fn drop_member(&mut self, disk: DiskId) -> Option<Member> {
        let at = self.copies.members.iter().position(|m| m.disk == disk)?;
        Some(self.copies.members.remove(at))
    }

    /// Applies what this machine's witness recorded, if the group is imported here.
    fn hear_witness(&mut self, seen: Option<Sighting>) {
        let here = self.env.machine.host_id().ok();
        let (Some(seen), Some(stamp)) = (seen, self.copies.lineage.newest) else {
            return;
        };
        if self.world.group.host.is_some() && self.world.group.host == here {
            self.world.evidence.testimony = seen.on(stamp);
        }
    }

    /// The machine and kernel on which plans are executed.
    pub(super) fn on(&self) -> exec::On<'_> {
        exec::On {
            machine: self.env.machine,
            kernel: self.kernel.as_ref(),
        }
    }

    /// Refuses a request on these volumes that would wait for a disk that hangs.
    pub fn refuse_silent(&self, which: &dyn Fn(&Volume) -> bool) -> Result<()> {
        let volumes = self
            .world
            .group
            .volumes
            .iter()
            .filter(|volume| which(volume))
            .map(|volume| volume.id)
            .collect();
        exec::refuse_silent(self.on(), &self.world, &volumes)
    }

    /// Observes the kernel again: the group's devices, the names in use, and the time.
    pub fn observe(&mut self) -> Result<()> {
        let devices = self.kernel.devices()?;
        self.observed(devices.into_iter())
    }

    /// Takes over what the kernel has.
    fn observed(&mut self, devices: impl Iterator<Item = DmDevice>) -> Result<()> {
        let group = self.world.group.id;
        let ours = devices.filter(|d| d.uuid.group() == Some(group));
        self.world.devices = ours.map(|d| (d.uuid.clone(), d)).collect();
        self.world.taken_names = self.kernel.names()?.into_iter().collect();
        self.world.now = self.env.machine.now();
        Ok(())
    }

    /// Whether a mirror has a failed leg or log that is not taken out yet.
    pub fn has_failed_mirror(&self) -> bool {
        self.world
            .devices
            .values()
            .filter_map(|d| d.mirror.as_ref())
            .any(MirrorStatus::has_failed)
    }

    /// Returns the most urgent repair to make without a request, or `None` when there is none.
    pub fn next_repair(&self) -> Result<Option<Plan>> {
        let mut findings = finding::findings(&self.world);
        // A command that has not read the map leaves this finding to the next one.
        let unread = |f: &Finding| matches!(f, Finding::Inexact(id) if self.world.evidence.maps.get(id).is_none_or(|map| map.left.is_none()));
        findings.retain(|f| !unread(f));
        if let Some(failed) = findings.iter().find(|f| matches!(f, Finding::Failed(..))) {
            return Ok(finding::plan(&self.world, failed).map(Some)?);
        }
        if let Some(held) = finding::unhold(&self.world) {
            return Ok(Some(held));
        }
        let converge = finding::converge(&self.world);
        if converge.has_steps() {
            return Ok(Some(converge));
        }
        for found in &findings {
            match finding::plan(&self.world, found) {
                // This one waits for a device that another process has open; the others go on.
                Err(refusal) if refusal.is_for_openers() => {}
                plan => return Ok(plan.map(Some)?),
            }
        }
        Ok(None)
    }

    /// Whether any disk of the group is not among those that changes are written to.
    pub fn lacks_disks(&self) -> bool {
        self.world
            .group
            .disks
            .iter()
            .any(|disk| !self.world.disks.contains_key(&disk.id))
    }

    /// Turns a refusal of the planner into an error. If a device is open, names its openers.
    pub fn name_openers(&self, refusal: Refusal) -> Error {
        let volume = |id| DmUuid::new(self.world.group.id, id, &Role::Volume);
        let uuid = refusal
            .open()
            .map(volume)
            .or_else(|| refusal.held().cloned());
        let error = Error::from(refusal);
        match uuid.map(|uuid| self.openers(&uuid)).as_deref() {
            None | Some([]) => error,
            Some(who) => error.because(who.join(", ")),
        }
    }

    /// Describes each device that is no longer needed and that other processes still have open.
    pub fn held_open(&self) -> Vec<String> {
        let group = &self.world.group;
        let line = |d: &DmDevice| {
            let volume = d
                .uuid
                .volume()
                .and_then(|id| group.volume(id))
                .map(|v| format!(" of '{}'", group.path(&v.name)));
            let role = d
                .uuid
                .role()
                .map_or_else(|| "device".to_owned(), |role| role.to_string());
            let who = self.env.machine.openers(d.dev);
            let who = if who.is_empty() {
                "by a process that cannot be found".to_owned()
            } else {
                format!("({})", who.join(", "))
            };
            let of =
                volume.unwrap_or_else(|| format!(" of a former volume of group '{}'", group.name));
            format!(
                "device '{}', formerly {role}{of}, is held open {who}: nothing can be read or written through it, and it is removed when it is closed",
                d.name
            )
        };
        self.world
            .devices
            .values()
            .filter(|d| d.waits_to_be_closed())
            .map(line)
            .collect()
    }

    /// Describes the processes that have a device open; empty if none is found.
    pub(super) fn openers(&self, uuid: &DmUuid) -> Vec<String> {
        self.world
            .devices
            .get(uuid)
            .map(|device| self.env.machine.openers(device.dev))
            .unwrap_or_default()
    }

    /// The largest private area among the group's disks, used to initialise further disks.
    pub fn area(&self) -> Option<Sectors> {
        self.copies
            .members
            .iter()
            .map(|m| m.label.geometry().area())
            .max()
    }

    /// The size of the smallest private area of the group's disks: what the configuration has to fit.
    pub fn smallest_area(&self) -> Option<Sectors> {
        let members = self.copies.members.iter();
        members.map(|m| m.label.geometry().area()).min()
    }

    /// The geometry that a disk would have with all of its device used, if that is more than its
    /// label states.
    pub fn grown(&self, disk: DiskId) -> Option<meta::Geometry> {
        let member = self.copies.members.iter().find(|m| m.disk == disk)?;
        member.label.geometry().grown(member.media.size())
    }

    /// The space for volumes on a disk according to its label.
    pub fn labelled_size(&self, disk: DiskId) -> Option<Sectors> {
        Some(
            self.copies
                .members
                .iter()
                .find(|m| m.disk == disk)?
                .label
                .geometry()
                .data_size(),
        )
    }

    /// How full the smallest metadata area is.
    pub fn fill(&self) -> Option<Fill> {
        let smallest = self
            .copies
            .members
            .iter()
            .map(|m| m.label.geometry().area())
            .min()?;
        meta::fill(&self.world.group, smallest).ok()
    }

    /// How full the maps of changes are that are in use, as of the kernel's last commit. Their disks
    /// are read for it: the kernel must not be asked without the group's lock (K7). A disk that does
    /// not answer is waited for once.
    pub fn map_fills(&self) -> BTreeMap<VolumeId, era::Fill> {
        let mut silent = BTreeSet::new();
        let mut read = |copy: &Extent, size: Sectors| {
            let member = self.copies.members.iter().find(|m| m.disk == copy.disk)?;
            let disk = self.world.group.disk(copy.disk)?;
            let start = dco::map(copy, size).start;
            let offset = disk.data_start.saturating_add(start).bytes();
            let mut superblock = vec![0; era::BLOCK];
            if silent.contains(&copy.disk) {
                return None;
            }
            let media = &member.media;
            let done = media
                .begin_read(offset, superblock.len(), ANSWERS)
                .and_then(|()| media.end_read(offset, &mut superblock));
            if done.is_err() {
                silent.insert(copy.disk);
                return None;
            }
            era::fill(&superblock)
        };
        let volumes = self.world.group.volumes.iter();
        let fill = |volume: &Volume| {
            let mut copies = volume.live_dco()?.copies.iter();
            Some((volume.id, copies.find_map(|copy| read(copy, volume.size))?))
        };
        volumes.filter_map(fill).collect()
    }

    /// Disks whose copy of the configuration is older than the one in force.
    pub fn outdated(&self) -> &[DiskId] {
        &self.copies.outdated
    }
}

/// Refuses a group that is deported or imported by another machine; `word` is the name or UUID from
/// the command line, for the hint.
pub fn refuse_foreign(group: &Group, word: &Name, here: HostId) -> Result<()> {
    let name = &group.name;
    let import = |how| Advised::GroupImport {
        group: word.to_string(),
        how,
    };
    match group.host {
        Some(host) if host == here => Ok(()),
        _ if group.is_unfinished() => Err(Refusal::from(Clones::Unfinished {
            group: name.clone(),
        })
        .into()),
        Some(other) => Err(Error::unsafe_(format!(
            "group '{name}' is imported by another machine ({other})"
        ))
        .on(name)
        .hint(
            Hint::from("deport it there; if that machine is gone for good: ")
                .line(import(Import::FromElsewhere)),
        )),
        None => Err(Error::not_ready(format!("group '{name}' is deported"))
            .on(name)
            .hint(import(Import::Plain))),
    }
}

//! `group import --clone`: copies of a group's disks become a group of their own.

use super::super::session::View;
use crate::app::scan::Scan;
use crate::app::{Env, Options, Outcome, appeared};
use crate::error::{Error, Result};
use crate::meta::{self, Chosen, CloneLabel, Label, Turned};
use crate::model::{DevNo, DiskId, Generation, Group, GroupId, HostId, Name};
use crate::plan::clone::{CloneRequest, Cloning, Copies, Identities, clone as plan_clone};
use crate::plan::refusal::{Clones, Groups};
use crate::plan::step::LabelStep;
use crate::plan::world::{PresentDisk, World};
use crate::plan::{Refusal, render};
use crate::sys::disk::Candidate;
use crate::sys::lock;
use crate::sys::machine::Machine;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// `group import --clone`.
pub fn clone(
    options: &Options,
    group: &str,
    request: &CloneRequest,
    env: Env<'_>,
) -> Result<Outcome> {
    let disks = super::lock_group(lock::DISKS, options.timeout, env)?;
    let locked = super::lock_group(request.name.as_str(), options.timeout, env)?;
    let found = Found::look(group, request, env)?;
    let Cloning { begun, plan } = plan_clone(&found.copies, request)?;
    let mut changed = Vec::new();
    let turned = found.turn(&begun, &plan.labels, &mut changed, env);
    if let Err(error) = turned {
        env.machine
            .announce(&changed)
            .iter()
            .for_each(|warning| env.ui.warn(warning));
        return Err(error);
    }
    let scan = Scan::new(env.machine)?;
    let view = View::chosen(&scan, scan.choose(begun.id)?, env)?;
    let mut session = view.with_lock(locked);
    let all = session.world.disks.values().map(|disk| disk.path.clone());
    for device in all.collect::<Vec<_>>() {
        session.relabelled(device);
    }
    let report = session.carry_out(&plan)?;
    appeared::note_labelled(&session.world, env);
    drop((session, disks));
    Ok(Outcome::Done(report))
}

/// Plans it, for `--dry-run`.
pub fn rehearse(group: &str, request: &CloneRequest, env: Env<'_>) -> Result<Outcome> {
    let found = Found::look(group, request, env)?;
    let Cloning { begun, plan } = plan_clone(&found.copies, request)?;
    let world = World {
        group: begun,
        generation: found.generation(),
        devices: BTreeMap::new(),
        taken_names: BTreeSet::new(),
        disks: found.copies.turned.clone(),
        boot: env.machine.boot_id()?,
        host: Some(found.copies.here),
        now: env.machine.now(),
        elsewhere: BTreeMap::new(),
    };
    Ok(Outcome::Planned(render::view(
        &world,
        &plan,
        env.ui.language(),
    )))
}

/// A device with a label.
type Labelled<'s> = (&'s Candidate, &'s Label);

/// The copies that a clone is made of.
struct Found {
    copies: Copies,
    /// The configuration that was chosen from the copies that are not turned yet.
    source: Option<Chosen>,
    /// Their labels.
    labels: BTreeMap<DiskId, Label>,
    /// What an interrupted command has written to the others.
    continued: Option<CloneLabel>,
}

impl Found {
    /// Finds the copies that are named, or else those that can be told from the disks themselves.
    fn look(group: &str, request: &CloneRequest, env: Env<'_>) -> Result<Found> {
        let machine = env.machine;
        let here = machine.host_id()?;
        let scan = Scan::new(machine)?;
        let all: Vec<Labelled<'_>> = scan.labelled().collect();
        let meant = if request.devices.is_empty() {
            unnamed(group, request, &scan, &all)?
        } else {
            named(group, request, &all, machine)?
        };
        let (turned, rest): (Vec<Labelled<'_>>, Vec<Labelled<'_>>) = meant
            .iter()
            .copied()
            .partition(|(_, label)| unfinished(label).is_some());
        let source = source(group, request, &rest, here)?;
        let begun = begun(request, &turned)?;
        if let (Some(source), Some(begun)) = (&source, &begun) {
            refuse_other_source(source, begun, &rest, &turned)?;
        }
        let Some(copied) = source.as_ref().or(begun.as_ref()) else {
            return Err(
                Error::not_found(format!("no copy of a disk of group '{group}' is here")).on(group),
            );
        };
        copied
            .warnings
            .iter()
            .for_each(|warning| env.ui.warn(warning));
        refuse_originals(&scan, &copied.group, &meant)?;
        let is_meant = |dev: DevNo| meant.iter().any(|(candidate, _)| candidate.dev == dev);
        let elsewhere = |disk: DiskId| {
            let mut others = all.iter().filter(|(candidate, _)| !is_meant(candidate.dev));
            others.any(|(_, label)| label.disk() == disk)
        };
        let seen_twice = rest
            .iter()
            .map(|(_, label)| label.disk())
            .filter(|disk| elsewhere(*disk));
        let identities = match &begun {
            Some(begun) => Identities::given(&copied.group, &begun.group),
            None => Identities::draw(&copied.group),
        };
        let uses = meant
            .iter()
            .map(|(candidate, _)| Ok((candidate.path.clone(), uses(machine, &candidate.path)?)));
        let mut copied_group = copied.group.clone();
        if let (None, Ok(name)) = (&source, Name::parse(group)) {
            // All copies are turned, and none has the name any more.
            copied_group.name = name;
        }
        let copies = Copies {
            group: copied_group,
            found: present(&rest),
            turned: present(&turned),
            seen_twice: seen_twice.collect(),
            older: source
                .as_ref()
                .map_or_else(Vec::new, |source| source.outdated.clone()),
            uses: uses.collect::<Result<_>>()?,
            is_taken: is_taken(
                &scan,
                &request.name,
                &is_meant,
                begun.as_ref().map(|b| b.group.id),
            ),
            identities,
            here,
            begun: begun.map(|begun| begun.group),
        };
        Ok(Found {
            copies,
            source,
            labels: rest
                .iter()
                .map(|(_, label)| (label.disk(), (*label).clone()))
                .collect(),
            continued: turned
                .iter()
                .find_map(|(_, label)| CloneLabel::continued(label)),
        })
    }

    /// The generation of the first configuration of the clone.
    fn generation(&self) -> Generation {
        let continued = self.continued.as_ref().map(CloneLabel::generation);
        let next = self.source.as_ref().map(|source| source.next);
        continued.or(next).unwrap_or_default()
    }

    /// Turns the copies that are not turned yet. The path of each device that is written to is added
    /// to `changed`.
    fn turn(
        &self,
        begun: &Group,
        steps: &[LabelStep],
        changed: &mut Vec<PathBuf>,
        env: Env<'_>,
    ) -> Result<()> {
        let turns = steps.iter().filter_map(|step| match step {
            LabelStep::Turn { from, to, found } => Some((*from, *to, found)),
            LabelStep::Write(_)
            | LabelStep::Keep { .. }
            | LabelStep::Restore { .. }
            | LabelStep::Grow { .. } => None,
        });
        let turns: Vec<(DiskId, DiskId, &PresentDisk)> = turns.collect();
        let paths: Vec<&Path> = turns.iter().map(|(.., found)| &*found.path).collect();
        let media: Vec<_> = env
            .machine
            .all_media(&paths)
            .into_iter()
            .collect::<Result<_>>()?;
        let mut copies = Vec::new();
        for ((from, to, found), media) in turns.iter().zip(&media) {
            let shown = found.path.display().to_string();
            let label = meta::read_disk(media.as_ref())?;
            let seen = self.labels.get(from);
            let label = label
                .filter(|label| seen.is_some_and(|seen| is_same(seen, label)))
                .ok_or_else(|| {
                    Error::device(format!("the label of '{shown}' has changed just now"))
                        .on(&shown)
                        .hint("try again")
                })?;
            copies.push(Turned {
                name: shown,
                media: media.as_ref(),
                label,
                disk: *to,
            });
        }
        let will_be = |disk| {
            self.copies.turned.contains_key(&disk) || turns.iter().any(|(_, to, _)| *to == disk)
        };
        let first = match (&self.continued, &self.source) {
            (Some(_), _) => None,
            (None, Some(source)) => {
                Some(CloneLabel::new(begun, source, &will_be, env.machine.now())?)
            }
            (None, None) => return Ok(()),
        };
        let Some(first) = first.as_ref().or(self.continued.as_ref()) else {
            return Ok(());
        };
        changed.extend(paths.iter().map(|path| path.to_path_buf()));
        first.write(&copies)
    }
}

/// Whether a label says what it said when it was looked at.
fn is_same(seen: &Label, now: &Label) -> bool {
    (seen.disk(), seen.group(), seen.highest()) == (now.disk(), now.group(), now.highest())
}

/// The first configuration of a clone that was not finished, if a label has that.
fn unfinished(label: &Label) -> Option<Group> {
    let group = label.group()?;
    let mut copies = label.copies().iter();
    copies
        .find_map(|copy| copy.decode(group).ok())
        .filter(Group::is_unfinished)
}

fn present(copies: &[Labelled<'_>]) -> BTreeMap<DiskId, PresentDisk> {
    let disk = |(candidate, label): &Labelled<'_>| {
        let found = PresentDisk {
            path: candidate.path.clone(),
            dev: candidate.dev,
            size: candidate.size,
            logical_block: candidate.logical_block,
        };
        (label.disk(), found)
    };
    copies.iter().map(disk).collect()
}

fn paths(copies: &[Labelled<'_>]) -> Vec<PathBuf> {
    copies
        .iter()
        .map(|(candidate, _)| candidate.path.clone())
        .collect()
}

fn refusal<T>(why: impl Into<Refusal>) -> Result<T> {
    Err(Error::from(why.into()))
}

/// The devices that the request names.
fn named<'s>(
    group: &str,
    request: &CloneRequest,
    all: &[Labelled<'s>],
    machine: &dyn Machine,
) -> Result<Vec<Labelled<'s>>> {
    let mut meant: Vec<(&Path, Labelled<'s>)> = Vec::new();
    for device in &request.devices {
        let found = machine.find(device)?;
        let Some(labelled) = all.iter().find(|(candidate, _)| candidate.dev == found.dev) else {
            let (device, group) = (device.clone(), group.to_owned());
            return refusal(Clones::NotACopy { device, group });
        };
        if let Some((one, _)) = meant.iter().find(|(_, (known, _))| known.dev == found.dev) {
            let (one, other) = (one.to_path_buf(), device.clone());
            return refusal(Groups::SameDevice { one, other });
        }
        if let Some((one, _)) = meant
            .iter()
            .find(|(_, (_, known))| known.disk() == labelled.1.disk())
        {
            let (one, other) = (one.to_path_buf(), device.clone());
            return refusal(Clones::Twice { one, other });
        }
        meant.push((device, *labelled));
    }
    Ok(meant.into_iter().map(|(_, labelled)| labelled).collect())
}

/// The devices that are copies without being named. While the group runs here, its tables name the
/// disks themselves; the other devices with their identities are copies. Else there must be one
/// device for each disk, of a group that this machine does not have.
fn unnamed<'s>(
    group: &str,
    request: &CloneRequest,
    scan: &Scan,
    all: &[Labelled<'s>],
) -> Result<Vec<Labelled<'s>>> {
    let is_begun =
        |label: &Label| unfinished(label).is_some_and(|clone| clone.name == request.name);
    let begun = all.iter().filter(|(_, label)| is_begun(label)).copied();
    let mut meant: Vec<Labelled<'s>> = begun.collect();
    let id = match scan.group_named(group) {
        Ok(id) if meant.iter().any(|(_, label)| label.group() == Some(id)) => return Ok(meant),
        Ok(id) => id,
        Err(_) if !meant.is_empty() => return Ok(meant),
        Err(error) => return Err(error),
    };
    let own = all
        .iter()
        .filter(|(_, label)| label.group() == Some(id))
        .copied();
    let own: Vec<Labelled<'s>> = own.collect();
    let beneath = scan.beneath(id)?;
    let (originals, copies): (Vec<Labelled<'s>>, Vec<Labelled<'s>>) = own
        .iter()
        .copied()
        .partition(|(candidate, _)| beneath.contains(&candidate.dev));
    let disks: BTreeSet<DiskId> = copies.iter().map(|(_, label)| label.disk()).collect();
    let is_original = |disk: &DiskId| originals.iter().any(|(_, label)| label.disk() == *disk);
    let is_ours = || {
        scan.choose(id)
            .is_ok_and(|chosen| chosen.group.host == scan.here())
    };
    let is_clear = disks.len() == copies.len()
        && if originals.is_empty() {
            !is_ours() && beneath.is_empty()
        } else {
            disks.iter().all(is_original)
        };
    if !is_clear {
        return refusal(Clones::WhichAre {
            group: scan.name_of(id).unwrap_or_else(|| Name::of_group(id)),
            devices: paths(&own),
        });
    }
    meant.extend(copies);
    Ok(meant)
}

/// The configuration of the group that was copied, from the copies alone; `None` without a copy.
fn source(
    group: &str,
    request: &CloneRequest,
    rest: &[Labelled<'_>],
    here: HostId,
) -> Result<Option<Chosen>> {
    let Some((first, label)) = rest.first() else {
        return Ok(None);
    };
    let is_called = |chosen: &Chosen| {
        chosen.group.name.as_str() == group || GroupId::parse(group) == Some(chosen.group.id)
    };
    let not_a_copy = |device: &Candidate| {
        let (device, group) = (device.path.clone(), group.to_owned());
        refusal(Clones::NotACopy { device, group })
    };
    let Some(id) = label.group() else {
        return not_a_copy(first);
    };
    if let Some((other, _)) = rest.iter().find(|(_, label)| label.group() != Some(id)) {
        return not_a_copy(other);
    }
    let chosen = choose(id, rest)?;
    // It was finished before.
    if chosen.group.name == request.name && chosen.group.host == Some(here) && !is_called(&chosen) {
        let group = request.name.clone();
        return refusal(Groups::Exists { group });
    }
    if !is_called(&chosen) {
        return not_a_copy(first);
    }
    let is_its = |label: &Label| chosen.group.disk(label.disk()).is_some();
    match rest.iter().find(|(_, label)| !is_its(label)) {
        Some((stranger, _)) => not_a_copy(stranger),
        None if chosen.group.destroyed => not_a_copy(first),
        None => Ok(Some(chosen)),
    }
}

fn choose(id: GroupId, copies: &[Labelled<'_>]) -> Result<Chosen> {
    let labels: Vec<(String, Label)> = copies
        .iter()
        .map(|(candidate, label)| (candidate.path.display().to_string(), (*label).clone()))
        .collect();
    meta::choose(id, &labels)
}

/// The clone that an interrupted command has begun, which has to be the one that is requested.
fn begun(request: &CloneRequest, turned: &[Labelled<'_>]) -> Result<Option<Chosen>> {
    let Some((_, label)) = turned.first() else {
        return Ok(None);
    };
    for (candidate, other) in turned {
        let clone = unfinished(other).map(|clone| clone.name);
        if other.group() != label.group() || clone.as_ref() != Some(&request.name) {
            return refusal(Clones::Begun {
                device: candidate.path.clone(),
                clone: clone.unwrap_or_else(|| request.name.clone()),
            });
        }
    }
    label.group().map(|id| choose(id, turned)).transpose()
}

/// Refuses to continue a clone with copies of something else than those it was begun with.
fn refuse_other_source(
    source: &Chosen,
    begun: &Chosen,
    rest: &[Labelled<'_>],
    turned: &[Labelled<'_>],
) -> Result<()> {
    let history = begun.whole.history.as_ref();
    let is_same = |label: &Label| {
        let known = source.group.disk(label.disk());
        let is_listed = known.is_some_and(|old| {
            begun.group.disks.iter().any(|new| {
                (&new.media, new.data_start, new.size) == (&old.media, old.data_start, old.size)
            })
        });
        let mut copies = label.copies().iter();
        let was_known = |stamp| history.is_some_and(|history| history.accepts(label.disk(), stamp));
        is_listed && copies.next().is_none_or(|copy| was_known(copy.stamp()))
    };
    match (rest.iter().all(|(_, label)| is_same(label)), turned.first()) {
        (false, Some((candidate, _))) => refusal(Clones::Begun {
            device: candidate.path.clone(),
            clone: begun.group.name.clone(),
        }),
        _ => Ok(()),
    }
}

/// Refuses disks that lie beneath the running volumes of the group.
fn refuse_originals(scan: &Scan, group: &Group, meant: &[Labelled<'_>]) -> Result<()> {
    let beneath = scan.beneath(group.id)?;
    match meant
        .iter()
        .find(|(candidate, _)| beneath.contains(&candidate.dev))
    {
        None => Ok(()),
        Some((candidate, _)) => refusal(Clones::Original {
            device: candidate.path.clone(),
            group: group.name.clone(),
        }),
    }
}

/// What uses a device or one of its partitions.
fn uses(machine: &dyn Machine, device: &Path) -> Result<Vec<String>> {
    let found = machine.inspect(device)?;
    let mut objections = found.objections(meta::AREA_MIN);
    for partition in &found.device.partitions {
        objections.extend(machine.inspect(partition)?.objections(meta::AREA_MIN));
    }
    let standing = objections
        .into_iter()
        .filter(|objection| !objection.forcible);
    Ok(standing.map(|objection| objection.text).collect())
}

/// Whether a group that this machine has, or one that is refused, has a name. What only the copies
/// say does not count.
fn is_taken(
    scan: &Scan,
    name: &Name,
    is_meant: &dyn Fn(DevNo) -> bool,
    begun: Option<GroupId>,
) -> bool {
    let has_others = |id: GroupId| {
        let mut own = scan
            .labelled()
            .filter(|(_, label)| label.group() == Some(id));
        own.any(|(candidate, _)| !is_meant(candidate.dev))
    };
    let is_own = |id: GroupId| {
        let chosen = scan.choose(id);
        chosen.is_ok_and(|chosen| chosen.group.host == scan.here()) || scan.choose(id).is_err()
    };
    let on_disks = scan.groups().into_iter().any(|id| {
        Some(id) != begun && scan.name_of(id).as_ref() == Some(name) && has_others(id) && is_own(id)
    });
    let silent = scan.silent_groups();
    on_disks
        || silent
            .iter()
            .any(|(_, silent)| silent.as_ref() == Some(name))
}

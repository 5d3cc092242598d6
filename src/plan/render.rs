//! Renders a plan as text, for `--dry-run`.

use super::change::{Change, Event, Object};
use super::groups::Initialisation;
use super::step::{CommitPoint, Finish, LabelStep, LostLabel, NewLabel, OldLabel, Plan, Prepare};
use super::view::{PlanView, StepView};
use super::world::World;
use crate::advice::Language;
use crate::model::{Disk, DiskId, DmName, DmUuid, Extent, Group, Name, Role, VolumeId};
use crate::table::{DevRef, SuspendMode, Table, TargetLine};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The plan as plain data, with notes in the language of a front end.
pub fn view(world: &World, plan: &Plan, language: &dyn Language) -> PlanView {
    let names = Names::of(world, plan);
    PlanView {
        group: world.group.name.to_string(),
        changes: foreseen(&plan.changes, &plan.labels, &plan.group),
        notes: plan
            .announced
            .iter()
            .cloned()
            .chain(plan.notes.iter().map(|note| note.text(language)))
            .chain(
                plan.failures
                    .iter()
                    .map(|refusal| format!("left out: {refusal}")),
            )
            .collect(),
        prepare: labels(&plan.labels, &plan.group)
            .chain(prepare(&names, world, plan))
            .collect(),
        window: window(&names, world, plan),
        finish: plan
            .finish
            .iter()
            .map(|step| finish(&names, step))
            .chain(plan.erase.iter().map(erase))
            .collect(),
    }
}

/// The plan of `disk init` as plain data.
pub fn initialisation(plan: &Initialisation) -> PlanView {
    let change = |change: &Change| Change {
        object: change.object.clone(),
        event: Event::Initialised(None),
    };
    PlanView {
        changes: plan.changes.iter().map(change).collect(),
        prepare: plan.labels.iter().map(|step| label(step, None)).collect(),
        ..PlanView::default()
    }
}

/// The plan of `disk erase` as plain data.
pub fn erasure(labels: &[LostLabel]) -> PlanView {
    let label = |label: &LostLabel| {
        let whose = label.said.map(|said| said.disk).map_or_else(
            || "a damaged label".to_owned(),
            |disk| format!("label of disk {disk}"),
        );
        step("erase", label.found.path.display(), vec![whose])
    };
    PlanView {
        changes: labels.iter().map(super::erase::change).collect(),
        finish: labels.iter().map(label).collect(),
        ..PlanView::default()
    }
}

/// The changes of a plan, without what is drawn anew when the plan is carried out: the identities
/// of a new group and of new disks. A new disk is shown by its device.
fn foreseen(changes: &[Change], labels: &[LabelStep], group: &Group) -> Vec<Change> {
    let device = |media: &Name| {
        let new = group.disks.iter().find(|disk| disk.media == *media)?;
        labels.iter().find_map(|step| match step {
            LabelStep::Write(NewLabel { found, space, .. }) if space.id == new.id => Some(found),
            LabelStep::Keep { id, found } if *id == new.id => Some(found),
            _ => None,
        })
    };
    let shown = |change: &Change| match (&change.event, &change.object) {
        (Event::GroupCreated { .. }, _) => None,
        (Event::DiskAdded { media, .. }, Object::Disk(group, _)) => {
            let event = Event::DeviceToBeAdded {
                group: group.clone(),
            };
            Some(Change::device(&device(media)?.path, event))
        }
        _ => Some(change.clone()),
    };
    changes.iter().filter_map(shown).collect()
}

fn labels<'p>(
    steps: &'p [LabelStep],
    group: &'p Group,
) -> impl Iterator<Item = StepView> + use<'p> {
    steps.iter().map(|step| label(step, Some(group)))
}

fn label(label: &LabelStep, group: Option<&Group>) -> StepView {
    let disk = |id| {
        let disk = group.and_then(|group| group.disk(id));
        let text = |disk: &Disk| format!("disk '{}', {} for volumes", disk.media, disk.size);
        disk.map(text)
    };
    match label {
        LabelStep::Write(NewLabel { found, space, area }) => {
            let size = || format!("{} for volumes", space.size);
            let detail = vec![
                "what is on it is destroyed".to_owned(),
                disk(space.id).unwrap_or_else(size),
                format!("{area} private area"),
            ];
            step("label", found.path.display(), detail)
        }
        LabelStep::Keep { id, found } => {
            let detail = ["it is initialised already".to_owned()];
            let detail = detail.into_iter().chain(disk(*id)).collect();
            step("use", found.path.display(), detail)
        }
        LabelStep::Turn { to: id, found, .. } | LabelStep::Restore { disk: id, found } => {
            let detail = ["what is on it stays".to_owned()];
            let detail = detail.into_iter().chain(disk(*id)).collect();
            step("label", found.path.display(), detail)
        }
        LabelStep::Grow { media, size, .. } => {
            step("label", media, vec![format!("{size} for volumes")])
        }
    }
}

fn erase(old: &OldLabel) -> StepView {
    let detail = vec![format!("label of disk '{}'", old.media)];
    step("erase", old.path.display(), detail)
}

fn step(verb: &'static str, object: impl ToString, detail: Vec<String>) -> StepView {
    StepView {
        verb,
        object: object.to_string(),
        detail,
    }
}

fn prepare(names: &Names, world: &World, plan: &Plan) -> Vec<StepView> {
    let mut steps: Vec<StepView> = plan
        .prepare
        .iter()
        .map(|s| prepare_step(names, world, s))
        .collect();
    if plan.commits(&world.group) {
        let next = world
            .generation
            .next()
            .map_or_else(String::new, |g| g.to_string());
        steps.push(step(
            "write",
            format!("configuration, generation {next}"),
            vec!["not yet valid, on every disk of the group".to_owned()],
        ));
        if plan.window.commit == CommitPoint::First {
            steps.push(commit());
        }
    }
    steps
}

fn commit() -> StepView {
    step(
        "commit",
        "configuration",
        vec!["one header on every disk of the group".to_owned()],
    )
}

fn prepare_step(names: &Names, world: &World, prepare: &Prepare) -> StepView {
    let device = |uuid| names.device(uuid);
    let (verb, object) = match prepare {
        Prepare::Wipe(_) => ("wipe", "old signatures".to_owned()),
        Prepare::WriteLog { .. } => ("write", "dirty region log".to_owned()),
        Prepare::WriteChanges { .. } => ("write", "log of what has changed".to_owned()),
        Prepare::Blank(_) => ("blank", "new map of changes".to_owned()),
        Prepare::CopyMap { .. } => ("copy", "map of changes".to_owned()),
        Prepare::Create { name, .. } => ("create", name.to_string()),
        Prepare::Load { uuid, .. } | Prepare::LoadRaw { uuid, .. } => ("load", device(uuid)),
        Prepare::EndEra(uuid) | Prepare::Unwritten { uuid, .. } => ("suspend", device(uuid)),
        Prepare::Activate(uuid) => ("resume", device(uuid)),
        Prepare::Clear(uuid) => ("clear", device(uuid)),
        Prepare::Remove(uuid) | Prepare::Retire(uuid) => ("remove", device(uuid)),
    };
    step(verb, object, prepare_details(names, world, prepare))
}

fn prepare_details(names: &Names, world: &World, prepare: &Prepare) -> Vec<String> {
    match prepare {
        Prepare::Wipe(extents) | Prepare::Blank(extents) => {
            extents.iter().map(|extent| place(world, extent)).collect()
        }
        Prepare::WriteLog { extent, clean, .. } => {
            let regions = if *clean { "clean" } else { "dirty" };
            vec![place(world, extent), format!("all regions {regions}")]
        }
        Prepare::WriteChanges { extent, dirty, .. } => {
            let regions: u64 = dirty.iter().map(|range| range.end - range.start).sum();
            vec![place(world, extent), format!("{regions} regions to copy")]
        }
        Prepare::EndEra(_) => vec!["the map is written".to_owned()],
        Prepare::Unwritten { .. } => vec!["nothing written since the listing".to_owned()],
        Prepare::CopyMap { from, to } => [from]
            .into_iter()
            .chain(to)
            .map(|extent| place(world, extent))
            .collect(),
        Prepare::Load { volume, table, .. } => names.table(world, *volume, table),
        Prepare::LoadRaw { lines, .. } => lines.iter().map(line).collect(),
        Prepare::Create { .. }
        | Prepare::Activate(_)
        | Prepare::Clear(_)
        | Prepare::Remove(_)
        | Prepare::Retire(_) => Vec::new(),
    }
}

/// A description of a device for people: its role and the volume it belongs to. The device need not
/// exist yet.
pub fn title(world: &World, new: &Group, uuid: &DmUuid) -> String {
    let found = |group| {
        Some((
            group,
            uuid.volume().and_then(|id| Group::volume(group, id))?,
        ))
    };
    let Some((group, volume)) = found(&world.group).or_else(|| found(new)) else {
        let name = world
            .devices
            .get(uuid)
            .map_or_else(|| uuid.to_string(), |device| device.name.to_string());
        return format!("device '{name}'");
    };
    let path = group.path(&volume.name);
    match uuid.role() {
        Some(Role::Volume) => format!("'{path}'"),
        Some(Role::Plex(number)) => match volume.plex(number) {
            Some(plex) => format!("plex '{}' of '{path}'", plex.name),
            None => format!("plex {number} of '{path}'"),
        },
        Some(Role::Log) => format!("the dirty region log of '{path}'"),
        Some(Role::Layer(_)) => format!("a layer of the mirror '{path}'"),
        Some(Role::Data) => format!("the data of '{path}'"),
        Some(Role::Map | Role::Sink | Role::Formatter) => format!("the map of changes of '{path}'"),
        Some(Role::Changes(_)) => format!("the change log of '{path}'"),
        None => format!("a device of '{path}'"),
    }
}

/// The volume that a device belongs to, as `g/v`, or the device itself if there is no such volume.
pub fn object(world: &World, new: &Group, uuid: &DmUuid) -> String {
    let path = |group: &Group| {
        uuid.volume()
            .and_then(|id| group.volume(id))
            .map(|volume| group.path(&volume.name))
    };
    path(&world.group).or_else(|| path(new)).unwrap_or_else(|| {
        world
            .devices
            .get(uuid)
            .map_or_else(|| uuid.to_string(), |d| d.name.to_string())
    })
}

/// The location of an extent as text: disk, start and length.
pub fn place(world: &World, extent: &Extent) -> String {
    let media = world
        .group
        .disk(extent.disk)
        .map_or_else(|| extent.disk.to_string(), |d| d.media.to_string());
    format!("{media} at {} for {}", extent.start, extent.length)
}

fn line(line: &TargetLine) -> String {
    format!(
        "{} {} {} {}",
        line.start.get(),
        line.length.get(),
        line.target,
        line.params
    )
}

fn window(names: &Names, world: &World, plan: &Plan) -> Vec<StepView> {
    let words = |mode: &SuspendMode| match mode {
        SuspendMode::Freeze => "flush, freeze the mounted filesystem",
        SuspendMode::Flush => "flush",
        SuspendMode::NoFlush => "no flush, no freeze",
    };
    let suspend = plan
        .window
        .suspend
        .iter()
        .map(|(uuid, mode)| step("suspend", names.device(uuid), vec![words(mode).to_owned()]));
    let check = plan.window.check.iter().map(|uuid| {
        step(
            "check",
            names.device(uuid),
            vec!["in sync, every leg alive".to_owned()],
        )
    });
    let closed = plan.window.closed.iter().map(|uuid| {
        step(
            "check",
            names.device(uuid),
            vec!["not open in any process".to_owned()],
        )
    });
    let flip =
        (plan.commits(&world.group) && plan.window.commit == CommitPoint::Suspended).then(commit);
    let resume = plan
        .window
        .resume
        .iter()
        .map(|(uuid, _)| step("resume", names.device(uuid), Vec::new()));
    suspend
        .chain(check)
        .chain(closed)
        .chain(flip)
        .chain(resume)
        .collect()
}

fn finish(names: &Names, finish: &Finish) -> StepView {
    match finish {
        Finish::Activate { uuid, .. } => step("resume", names.device(uuid), Vec::new()),
        Finish::Retire(uuid) => step("remove", names.device(uuid), Vec::new()),
        Finish::Rename { uuid, to } => step("rename", names.device(uuid), vec![format!("to {to}")]),
        Finish::Clear(uuid) => step("clear", names.device(uuid), Vec::new()),
    }
}

/// The names of devices and disks, including those that are new.
struct Names {
    devices: BTreeMap<DmUuid, DmName>,
    /// The paths of the disks.
    paths: BTreeMap<DiskId, PathBuf>,
}

impl Names {
    fn of(world: &World, plan: &Plan) -> Names {
        let now = world
            .devices
            .values()
            .map(|d| (d.uuid.clone(), d.name.clone()));
        let new = plan.prepare.iter().filter_map(|step| match step {
            Prepare::Create { name, uuid } => Some((uuid.clone(), name.clone())),
            _ => None,
        });
        let present = world
            .disks
            .iter()
            .map(|(id, found)| (*id, found.path.clone()));
        let labelled = plan.labels.iter().filter_map(|step| match step {
            LabelStep::Write(NewLabel { found, space, .. }) => Some((space.id, found.path.clone())),
            LabelStep::Keep { id, found } => Some((*id, found.path.clone())),
            LabelStep::Turn { to: id, found, .. } | LabelStep::Restore { disk: id, found } => {
                Some((*id, found.path.clone()))
            }
            LabelStep::Grow { .. } => None,
        });
        Names {
            devices: now.chain(new).collect(),
            paths: present.chain(labelled).collect(),
        }
    }

    fn device(&self, uuid: &DmUuid) -> String {
        self.devices
            .get(uuid)
            .map_or_else(|| uuid.to_string(), DmName::to_string)
    }

    /// The lines of a table, with names in place of device numbers.
    fn table(&self, world: &World, volume: VolumeId, table: &Table) -> Vec<String> {
        let number = |what: &DevRef| {
            Some(match what {
                DevRef::Disk(id) => self
                    .paths
                    .get(id)
                    .map_or_else(|| id.to_string(), |path| path.display().to_string()),
                DevRef::Device(role) => format!(
                    "/dev/mapper/{}",
                    self.device(&DmUuid::new(world.group.id, volume, role))
                ),
            })
        };
        table
            .render(&number)
            .unwrap_or_default()
            .iter()
            .map(line)
            .collect()
    }
}

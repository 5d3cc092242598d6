//! Commands on disks and groups: those that change the disks' labels and not volumes.

use super::scan::{Scan, present_disk};
use super::session::lock_group;
use super::wait;
use super::which::open;
use super::{Change, Command, DiskLine, Env, GroupLine, NamedDevice, Options, Outcome, Report};
use crate::advice::{Advised, Hint, Import, Of};
use crate::app::session::View;
use crate::app::which::Opened;
use crate::error::{Error, Result};
use crate::exec::disks;
use crate::meta::{self, Member, Side};
use crate::model::{DevNo, Disk, DiskId, Group, HostId, Name, Sectors};
use crate::plan::change::{Event, SideChosen};
use crate::plan::view::PlanView;
use crate::plan::world::{PresentDisk, World};
use crate::plan::{self, quorum, step::Plan};
use crate::sys::disk::{Access, Objection};
use crate::sys::lock;
use crate::sys::machine::Machine;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Initialised disks: their entries in the configuration, their members for commits, and what the
/// plan needs to know of them.
type Ready = (Vec<Disk>, Vec<Member>, BTreeMap<DiskId, PresentDisk>);

/// Runs a command on groups or disks.
pub fn run(options: &Options, command: &Command, env: Env<'_>) -> Result<Outcome> {
    match command {
        Command::GroupList => {
            Ok(Outcome::Groups(list(env.machine)?).lacking(Scan::new(env.machine)?.silent()))
        }
        Command::GroupShow(name) => show(name, env),
        Command::GroupDump(name) => {
            let scan = Scan::new(env.machine)?;
            meta::dump_all(&scan.choose(scan.group_named(name.as_str())?)?.whole).map(Outcome::Dump)
        }
        Command::DiskList => {
            let scan = Scan::new(env.machine)?;
            Ok(Outcome::Disks(scan.disk_lines()).lacking(scan.silent()))
        }
        _ => change(options, command, env).map(|report| match options.dry_run {
            true => Outcome::Planned(PlanView {
                changes: report.changes,
                notes: report.notes,
                ..PlanView::default()
            }),
            false => Outcome::Done(report),
        }),
    }
}

fn change(options: &Options, command: &Command, env: Env<'_>) -> Result<Report> {
    match command {
        Command::GroupCreate {
            name,
            disks,
            force,
            area,
        } => create(options, name, disks, *force, *area, env),
        Command::GroupAdd { name, disks, force } => add(options, name, disks, *force, env),
        Command::GroupRemoveDisk { name, media } => remove_disk(options, name, media, env),
        Command::GroupReplaceDisk {
            name,
            media,
            device,
            force,
        } => replace_disk(options, name, media, device, *force, env),
        Command::GroupDestroy(name) => destroy(options, name, env),
        Command::GroupImport {
            name,
            new_name,
            force,
        } => import(options, name, new_name.as_ref(), *force, env),
        Command::GroupDeport(name) => deport(options, name, env),
        Command::GroupChoose { name, side } => choose(options, name, side, env),
        Command::DiskInit {
            devices,
            force,
            area,
        } => init(
            options,
            devices.iter().map(PathBuf::as_path),
            *force,
            *area,
            env,
        ),
        Command::DiskResize(media) => super::resize::resize(options, media, env),
        _ => Err(Error::failed("this is not a verb on groups or disks")),
    }
}

fn create(
    options: &Options,
    name: &Name,
    devices: &[NamedDevice],
    force: bool,
    area: Option<Sectors>,
    env: Env<'_>,
) -> Result<Report> {
    let _disks = lock_group(lock::DISKS, options.timeout, env)?;
    let lock = lock_group(name.as_str(), options.timeout, env)?;
    if Scan::new(env.machine)?.knows(name) {
        return Err(Error::exists(format!("there is a group '{name}' already"))
            .on(name)
            .hint(
                Hint::from("choose another name; ")
                    .line(Advised::GroupList)
                    .and(" shows them all"),
            ));
    }
    let mut group = Group::new(name.clone(), env.machine.host_id()?);
    if options.dry_run {
        return Ok(Report {
            changes: planned(env.machine, &group, devices, force)?,
            ..Report::default()
        });
    }
    let (disks, members, present) = make_ready(env.machine, &group, devices, force, area)?;
    group.disks.extend(disks);
    let devices: Vec<PathBuf> = present.values().map(|p| p.path.clone()).collect();
    let mut session = View::of_new(group.clone(), members, present, env)?.with_lock(lock);
    let mut plan = Plan::nothing(group);
    let created = Event::GroupCreated {
        uuid: plan.group.id,
    };
    plan.changes = vec![Change::group(&plan.group.name, created)];
    plan.changes.extend(added(&plan.group, &plan.group.disks));
    let report = session.carry_out(&plan)?;
    drop(session);
    announce(&devices, env);
    Ok(report)
}

fn added(group: &Group, disks: &[Disk]) -> Vec<Change> {
    let added = |disk: &Disk| {
        let event = Event::DiskAdded {
            media: disk.media.clone(),
            size: disk.size,
        };
        Change::disk(&group.name, &disk.media, event)
    };
    disks.iter().map(added).collect()
}

/// Returns the changes that would be made, for `--dry-run`. Refuses what the real command would
/// refuse.
fn planned(
    machine: &dyn Machine,
    group: &Group,
    devices: &[NamedDevice],
    force: bool,
) -> Result<Vec<Change>> {
    refuse_twice(machine, devices.iter().map(|d| d.device.as_path()))?;
    devices
        .iter()
        .try_for_each(|d| refuse_unfit(machine, &d.device, force))?;
    let device = |d: &NamedDevice| {
        let group = group.name.clone();
        Change::device(&d.device, Event::DeviceToBeAdded { group })
    };
    Ok(devices.iter().map(device).collect())
}

fn add(
    options: &Options,
    name: &Name,
    devices: &[NamedDevice],
    force: bool,
    env: Env<'_>,
) -> Result<Report> {
    let _disks = lock_group(lock::DISKS, options.timeout, env)?;
    let opened = open_for_change(options, name, env)?;
    let mut session = match opened {
        Opened::Locked(session) => *session,
        Opened::Looked(view) => {
            return Ok(Report {
                changes: planned(env.machine, &view.world.group, devices, force)?,
                ..Report::default()
            });
        }
    };
    let area = session.area();
    let (disks, members, present) =
        make_ready(env.machine, &session.world.group, devices, force, area)?;
    let devices: Vec<PathBuf> = present.values().map(|p| p.path.clone()).collect();
    session.add_members(members, present);
    let mut plan = Plan::nothing(session.world.group.clone());
    plan.changes = added(&plan.group, &disks);
    plan.group.disks.extend(disks);
    let report = session.carry_out(&plan)?;
    drop(session);
    announce(&devices, env);
    Ok(report)
}

/// Has udev probe disks whose label has changed, so that its database does not show the old
/// contents.
fn announce(devices: &[PathBuf], env: Env<'_>) {
    if let Some(warning) = env.machine.announce(devices) {
        env.ui.warn(&warning);
    }
}

/// Initialises the devices, each under the name that was given or the next free `diskNN`.
fn make_ready(
    machine: &dyn Machine,
    group: &Group,
    devices: &[NamedDevice],
    force: bool,
    area: Option<Sectors>,
) -> Result<Ready> {
    if devices.is_empty() {
        return Err(Error::usage("a group needs at least one disk"));
    }
    refuse_twice(machine, devices.iter().map(|d| d.device.as_path()))?;
    let names = media_names(group, devices)?;
    let paths: Vec<&Path> = devices
        .iter()
        .map(|device| device.device.as_path())
        .collect();
    let opened = machine.all_media(&paths);
    let mut labelled = Vec::new();
    for device in devices {
        labelled.push(usable_label(machine, &device.device, force)?);
    }
    let mut ready: Ready = (Vec::new(), Vec::new(), BTreeMap::new());
    for (((device, media_name), free), media) in devices.iter().zip(names).zip(labelled).zip(opened)
    {
        let media = media?;
        let label = match free {
            Some(label) if area.is_none() => label,
            _ => {
                wipe(machine, &device.device)?;
                meta::format_disk(
                    media.as_ref(),
                    DiskId::random(),
                    area.unwrap_or(meta::AREA_DEFAULT),
                )?
            }
        };
        let (id, geometry) = (label.disk(), label.geometry());
        ready.0.push(Disk {
            id,
            media: media_name.clone(),
            data_start: geometry.data_start(),
            size: geometry.data_size(),
        });
        ready.2.insert(id, present_disk(machine, &device.device)?);
        ready.1.push(Member {
            disk: id,
            name: format!("{media_name} ({})", device.device.display()),
            media,
            label,
        });
    }
    Ok(ready)
}

/// Refuses a device that is named twice, by whatever paths: it would become two disks of the
/// configuration, one of them missing from the start.
fn refuse_twice<'a>(machine: &dyn Machine, devices: impl Iterator<Item = &'a Path>) -> Result<()> {
    let mut seen: Vec<(DevNo, &Path)> = Vec::new();
    for device in devices {
        let dev = machine.find(device)?.dev;
        if let Some((_, before)) = seen.iter().find(|(other, _)| *other == dev) {
            let (one, other) = (before.display(), device.display());
            let text = if before == &device {
                format!("'{one}' is named twice")
            } else {
                format!("'{one}' and '{other}' are one device")
            };
            return Err(Error::usage(text).on(other).hint("name each device once"));
        }
        seen.push((dev, device));
    }
    Ok(())
}

fn media_names(group: &Group, devices: &[NamedDevice]) -> Result<Vec<Name>> {
    let mut taken: Vec<Name> = group.disks.iter().map(|d| d.media.clone()).collect();
    let mut names = Vec::new();
    for device in devices {
        let name = match &device.media {
            Some(name) if taken.contains(name) => {
                return Err(Error::exists(format!(
                    "group '{}' has a disk '{name}' already",
                    group.name
                ))
                .on(name)
                .hint("choose another media name"));
            }
            Some(name) => name.clone(),
            None => next_media(&taken)?,
        };
        taken.push(name.clone());
        names.push(name);
    }
    Ok(names)
}

fn next_media(taken: &[Name]) -> Result<Name> {
    let numbered = (1..=u32::MAX).map(|n| Name::parse(&format!("disk{n:02}")));
    let free = |name: &Result<Name>| name.as_ref().is_ok_and(|n| !taken.contains(n));
    numbered
        .into_iter()
        .find(free)
        .unwrap_or_else(|| Err(Error::no_space("no media name is left")))
}

/// Returns the label of a disk that is initialised and in no group, or `None` for a device that has
/// to be initialised.
fn usable_label(machine: &dyn Machine, device: &Path, force: bool) -> Result<Option<meta::Label>> {
    refuse_unfit(machine, device, force)?;
    let media = machine.media(device, Access::ReadOnly)?;
    Ok(meta::read_disk(media.as_ref())
        .ok()
        .flatten()
        .filter(|label| label.group().is_none() && label.warnings().is_empty()))
}

/// Refuses a device that is in use and, without `force`, one that has contents. Names what was
/// found, also on its partitions and on the disk that it is a partition of, since these are the
/// same bytes.
fn refuse_unfit(machine: &dyn Machine, device: &Path, force: bool) -> Result<()> {
    let shown = device.display().to_string();
    let found = machine.inspect(device)?;
    let mut objections = carried(machine, &shown, device, found.objections(meta::AREA_MIN))?;
    for partition in &found.device.partitions {
        let inside = machine.inspect(partition)?;
        objections.extend(carried(
            machine,
            &partition.display().to_string(),
            partition,
            inside.objections(Sectors::ZERO),
        )?);
    }
    if let Some(whole) = &found.device.whole {
        objections.extend(carried(
            machine,
            &whole.display().to_string(),
            whole,
            Vec::new(),
        )?);
    }
    let mut seen = BTreeSet::new();
    objections.retain(|objection| seen.insert(objection.clone()));
    let standing: Vec<String> = objections
        .iter()
        .filter(|(_, forcible)| !(force && *forcible))
        .map(|(text, _)| text.clone())
        .collect();
    if standing.is_empty() {
        return Ok(());
    }
    let error = Error::in_use(standing.join("; ")).on(&shown);
    let hard = objections.iter().any(|(_, forcible)| !forcible);
    Err(if hard {
        error.hint(
            Hint::from("take it out of use first (a disk of ours by ")
                .line(Advised::GroupRemoveDisk)
                .and(" or ")
                .line(Advised::GroupDestroy {
                    group: "GROUP".to_owned(),
                })
                .and(")"),
        )
    } else {
        error.hint("if nothing on it is needed any more, repeat with --force")
    })
}

/// Returns the objections to overwriting a device, those from its own label included, each with
/// whether `--force` overrules it. That the device is a disk of a group that this machine has
/// imported cannot be overruled.
fn carried(
    machine: &dyn Machine,
    shown: &str,
    device: &Path,
    found: Vec<Objection>,
) -> Result<Vec<(String, bool)>> {
    let media = machine.media(device, Access::ReadOnly)?;
    let mut objections: Vec<(String, bool)> =
        found.into_iter().map(|o| (o.text, o.forcible)).collect();
    match meta::read_disk(media.as_ref()) {
        Ok(Some(label)) => {
            // udev reports the signature of the label too; the text below says more.
            objections.retain(|(_, forcible)| !forcible);
            if label.group().is_some() {
                let scan = Scan::new(machine)?;
                let is_ours = scan.is_imported(&label);
                objections.extend(scan.belonging(&label).map(|belonging| {
                    let text = format!("'{shown}' {belonging}");
                    if is_ours {
                        (format!("{text}, which this machine has imported"), false)
                    } else {
                        (text, true)
                    }
                }));
            }
        }
        Ok(None) => {}
        Err(damaged) => objections.push((
            format!("'{shown}' has a damaged label of ours: {damaged}"),
            true,
        )),
    }
    Ok(objections)
}

/// Erases the signatures of the device and its partitions, so that nothing announces them any more.
fn wipe(machine: &dyn Machine, device: &Path) -> Result<()> {
    let found = machine.find(device)?;
    let partitions = found
        .partitions
        .iter()
        .map(|partition| machine.find(partition))
        .collect::<Result<Vec<_>>>()?;
    let had_any = !partitions.is_empty();
    for whole in partitions.into_iter().chain([found]) {
        disks::wipe_signatures(
            machine,
            &[disks::Piece {
                path: whole.path,
                start: Sectors::ZERO,
                length: whole.size,
            }],
        )?;
    }
    if had_any {
        machine.forget_partitions(device)
    } else {
        Ok(())
    }
}

fn init<'a>(
    options: &Options,
    devices: impl Iterator<Item = &'a Path>,
    force: bool,
    area: Option<Sectors>,
    env: Env<'_>,
) -> Result<Report> {
    let _disks = lock_group(lock::DISKS, options.timeout, env)?;
    let devices: Vec<&Path> = devices.collect();
    refuse_twice(env.machine, devices.iter().copied())?;
    devices
        .iter()
        .try_for_each(|d| refuse_unfit(env.machine, d, force))?;
    let mut ready = Vec::new();
    let mut report = Report::default();
    for device in devices {
        if options.dry_run {
            report
                .changes
                .push(Change::device(device, Event::Initialised(None)));
            continue;
        }
        let media = env.machine.media(device, Access::ReadWrite)?;
        wipe(env.machine, device)?;
        let label = meta::format_disk(
            media.as_ref(),
            DiskId::random(),
            area.unwrap_or(meta::AREA_DEFAULT),
        )?;
        let initialised = Event::Initialised(Some((label.disk(), label.geometry().data_size())));
        report.changes.push(Change::device(device, initialised));
        ready.push(
            env.machine
                .find(device)
                .map_or_else(|_| device.to_owned(), |found| found.path),
        );
    }
    announce(&ready, env);
    Ok(report)
}

/// Opens a group to change its disks, and checks the quorum before anything is written to a new
/// disk.
fn open_for_change<'u>(options: &Options, name: &Name, env: Env<'u>) -> Result<Opened<'u>> {
    let opened = open(options, name, env)?;
    quorum::refuse_minority(&opened.world)?;
    Ok(opened)
}

fn remove_disk(options: &Options, name: &Name, media: &Name, env: Env<'_>) -> Result<Report> {
    let opened = open_for_change(options, name, env)?;
    let disk = opened.world.group.disk_named(media)?.id;
    let plan = plan::disks::remove(&opened.world, media)?;
    let Some(mut session) = opened.for_change() else {
        return Ok(plan.into());
    };
    let device: Vec<PathBuf> = session
        .world
        .disks
        .get(&disk)
        .map(|p| p.path.clone())
        .into_iter()
        .collect();
    let gone = session.drop_member(disk);
    let report = session.carry_out(&plan)?;
    // The configuration no longer has the disk. A label that cannot be erased is reported; every
    // command ignores it from now on.
    match gone.map(|member| meta::wipe_disk(member.media.as_ref())) {
        Some(Err(error)) => env.ui.warn(&format!(
            "the label of '{media}' could not be erased: {error}"
        )),
        None => env.ui.note(&format!(
            "disk '{media}' is missing; should it come back, it is not of this group any more"
        )),
        Some(Ok(())) => announce(&device, env),
    }
    Ok(report)
}

/// Replaces a lost disk, or one that is to be removed, by a new one. Returns when the new disk is
/// filled.
fn replace_disk(
    options: &Options,
    name: &Name,
    media: &Name,
    device: &Path,
    force: bool,
    env: Env<'_>,
) -> Result<Report> {
    let _disks = lock_group(lock::DISKS, options.timeout, env)?;
    let mut opened = open_for_change(options, name, env)?;
    let old = opened.world.group.disk_named(media)?.id;
    let named = [NamedDevice {
        media: None,
        device: device.to_owned(),
    }];
    opened.learn_contents();
    // Plan first, so that a refusal comes before the new disk is written to.
    let tried = try_replacement(&opened, media, device, env.machine)?;
    let Some(mut session) = opened.for_change() else {
        refuse_unfit(env.machine, device, force)?;
        return Ok(tried.into());
    };
    let group = &session.world.group;
    let (mut disks, members, present) =
        make_ready(env.machine, group, &named, force, session.area())?;
    let none = || Error::failed("the new disk was not initialised");
    let new = disks.pop().ok_or_else(none)?;
    let mut devices: Vec<PathBuf> = present.values().map(|p| p.path.clone()).collect();
    session.add_members(members, present);
    let plan = plan::disks::replace(&session.world, media, &new)?;
    let legs = wait::new_legs(&session.world, &plan.group);
    let was = session.world.disks.get(&old).map(|disk| disk.path.clone());
    let gone = session.drop_member(old);
    let mut report = session.carry_out(&plan)?;
    // If the old disk is present, it belongs to no group from now on.
    match gone.map(|member| meta::wipe_disk(member.media.as_ref())) {
        Some(Err(error)) => env.ui.warn(&format!(
            "the label of the old '{media}' could not be erased: {error}"
        )),
        Some(Ok(())) => devices.extend(was),
        None => {}
    }
    drop(session);
    announce(&devices, env);
    if !legs.is_empty() {
        super::monitor::ensure(env);
        if !options.background {
            let filled = wait::for_legs(options, name, &legs, &[], env)?;
            report.changes.extend(filled);
        }
    }
    Ok(report)
}

/// Plans the replacement with the geometry that the device would get.
fn try_replacement(
    view: &View<'_>,
    media: &Name,
    device: &Path,
    machine: &dyn Machine,
) -> Result<Plan> {
    let found = present_disk(machine, device)?;
    let geometry = meta::Geometry::divide(
        view.area().unwrap_or(meta::AREA_DEFAULT),
        found.size.bytes(),
    )?;
    let id = DiskId::random();
    let new = Disk {
        id,
        media: media.clone(),
        data_start: geometry.data_start(),
        size: geometry.data_size(),
    };
    let mut world = view.world.clone();
    world.disks.insert(id, found);
    Ok(plan::disks::replace(&world, media, &new)?)
}

fn destroy(options: &Options, name: &Name, env: Env<'_>) -> Result<Report> {
    let opened = open_for_change(options, name, env)?;
    let plan = plan_destruction(options, &opened, name, env)?;
    let Some(mut session) = opened.for_change() else {
        return Ok(plan.into());
    };
    let present = session.world.disks.values();
    let devices: Vec<PathBuf> = present.map(|disk| disk.path.clone()).collect();
    let report = session.carry_out(&plan)?;
    // The group is gone even if a label cannot be erased; the next 'recover' erases what is left.
    for member in session.into_members() {
        if let Err(error) = meta::wipe_disk(member.media.as_ref()) {
            env.ui.warn(&format!(
                "the label of {} could not be erased: {error}; 'breakoff recover' tries again",
                member.name
            ));
        }
    }
    announce(&devices, env);
    Ok(report)
}

fn plan_destruction(options: &Options, view: &View<'_>, name: &Name, env: Env<'_>) -> Result<Plan> {
    let group = &view.world.group;
    let mut plan = Plan::nothing(group.clone());
    if !group.volumes.is_empty() {
        let names: Vec<Name> = group.volumes.iter().map(|v| v.name.clone()).collect();
        plan =
            plan::volumes::remove(&view.world, &names, true).map_err(|e| view.name_openers(e))?;
        let shown: Vec<&str> = names.iter().map(Name::as_str).collect();
        let shown = shown.join(", ");
        let question = format!("destroy group '{name}' with {shown}?");
        if !options.yes && !options.dry_run && !env.ui.confirm(&question) {
            return Err(
                Error::in_use(format!("group '{name}' has volumes: {shown}"))
                    .on(name)
                    .hint("remove them first, or repeat with -y to destroy them with the group"),
            );
        }
    }
    plan.group.destroyed = true;
    for disk in &group.disks {
        if !view.world.disks.contains_key(&disk.id) {
            plan.notes.push(format!(
                "disk '{}' is missing; should it come back it still says that it is of '{name}'",
                disk.media
            ));
        }
    }
    plan.changes.push(Change::group(name, Event::Destroyed));
    Ok(plan)
}

/// Imports a group, under a new name if its own is taken here or another is wanted. A group that
/// this machine has imported already can be renamed in this way, as long as none of its volumes is
/// started.
fn import(
    options: &Options,
    word: &str,
    new_name: Option<&Name>,
    force: bool,
    env: Env<'_>,
) -> Result<Report> {
    let here = env.machine.host_id()?;
    let _disks = lock_group(lock::DISKS, options.timeout, env)?;
    let scan = Scan::new(env.machine)?;
    let old = scan.choose(scan.group_named(word)?)?.group;
    let name = new_name.unwrap_or(&old.name).clone();
    let lock = lock_group(old.name.as_str(), options.timeout, env)?;
    let _new = (name != old.name)
        .then(|| lock_group(name.as_str(), options.timeout, env))
        .transpose()?;
    let view = View::look(&Name::of_group(old.id), env)?;
    let group = view.world.group.clone();
    // A forced import gives up the missing disks, so that those present may speak for the group
    // from then on.
    let gives_up = force && quorum::refuse_minority(&view.world).is_err();
    if group.host == Some(here) && group.name == name && !gives_up {
        return Ok(Report::default());
    }
    if group.host == Some(here) {
        refuse_started(&view.world)?;
    }
    refuse_taken(&scan, &group, &name, env.machine)?;
    if !force {
        refuse_not_ready(&view.world, here)?;
    }
    let mut plan = Plan::nothing(group);
    plan.group.host = Some(here);
    plan.group.name = name.clone();
    plan.forced = force;
    if gives_up {
        quorum::give_up_missing(&view.world, &mut plan.group);
    }
    let imported = Event::Imported {
        disks: plan.group.disks.len(),
        was: (name != old.name).then(|| old.name.clone()),
    };
    plan.changes.push(Change::group(&name, imported));
    plan.notes.push(format!(
        "its volumes are not started: 'breakoff -g {name} start --all'"
    ));
    match Opened::of(options, view, lock).for_change() {
        Some(mut session) => Ok(session.carry_out(&plan)?),
        None => Ok(plan.into()),
    }
}

/// Refuses a name that another group of this machine has: a name identifies one group of those
/// imported here.
fn refuse_taken(scan: &Scan, group: &Group, name: &Name, machine: &dyn Machine) -> Result<()> {
    let own = scan.own_groups(machine)?;
    let Some(other) = own
        .iter()
        .find(|other| other.id != group.id && other.name == *name)
    else {
        return Ok(());
    };
    Err(Error::exists(format!(
        "this machine has a group '{name}' already: {}",
        other.id
    ))
    .on(name)
    .hint(
        Hint::from(Advised::GroupImport {
            group: group.id.to_string(),
            how: Import::Renamed,
        })
        .and(" imports the other one under a new name"),
    ))
}

/// Refuses a group that another machine has imported, or of which at least half of the disks are
/// missing. Fewer missing disks only cost a warning, which was given when the group was read.
fn refuse_not_ready(world: &World, here: HostId) -> Result<()> {
    let name = &world.group.name;
    if let Some(other) = world.group.host.filter(|host| *host != here) {
        return Err(Error::unsafe_(format!(
            "group '{name}' is imported by another machine ({other}), which may be writing to it"
        ))
        .on(name)
        .hint("deport it there; if that machine is gone for good, repeat with --force"));
    }
    let hint = "plug in the rest, or repeat with --force if it is lost for good";
    quorum::refuse_minority(world).map_err(|refusal| Error::from(refusal).hint(hint))
}

fn refuse_started(world: &World) -> Result<()> {
    let name = &world.group.name;
    let started: Vec<&str> = world
        .group
        .volumes
        .iter()
        .filter(|v| v.running == Some(world.boot))
        .map(|v| v.name.as_str())
        .collect();
    if started.is_empty() {
        return Ok(());
    }
    Err(Error::in_use(format!(
        "group '{name}' has started volumes: {}",
        started.join(", ")
    ))
    .on(name)
    .hint(Advised::StopAll(Of::group(name))))
}

fn deport(options: &Options, name: &Name, env: Env<'_>) -> Result<Report> {
    let opened = open_for_change(options, name, env)?;
    refuse_started(&opened.world)?;
    let mut plan = Plan::nothing(opened.world.group.clone());
    plan.group.host = None;
    plan.changes.push(Change::group(name, Event::Deported));
    match opened.for_change() {
        Some(mut session) => Ok(session.carry_out(&plan)?),
        None => Ok(plan.into()),
    }
}

/// Resolves a split brain in favour of one side. Gives up what only the other sides have; the
/// contents of their disks are written anew.
fn choose(options: &Options, word: &str, side: &str, env: Env<'_>) -> Result<Report> {
    let _disks = lock_group(lock::DISKS, options.timeout, env)?;
    let scan = Scan::new(env.machine)?;
    let id = scan.group_named(word)?;
    let sides = scan.sides(id)?;
    let chosen = scan.choose_side(id, meant(&sides, side, word)?)?;
    let name = chosen.group.name.clone();
    let lock = lock_group(name.as_str(), options.timeout, env)?;
    if sides.len() == 1 {
        return Ok(Report::default());
    }
    let lost = only_elsewhere(&chosen, &sides);
    let parted = chosen.parted.clone();
    let view = View::chosen(scan, chosen, env)?;
    refuse_running_otherwise(&view.world)?;
    let mut plan = plan::disks::distrust(&view.world, &parted)?;
    let chosen = Event::SideChosen(SideChosen {
        side: side.to_owned(),
        disks_of_others: parted.len(),
        volumes_given_up: lost.clone(),
    });
    plan.changes.insert(0, Change::group(&name, chosen));
    let Some(mut session) = Opened::of(options, view, lock).for_change() else {
        return Ok(plan.into());
    };
    let what = if lost.is_empty() {
        "what the others wrote".to_owned()
    } else {
        format!("{} and what else the others wrote", lost.join(", "))
    };
    if !options.yes && !env.ui.confirm(&format!("give up {what}?")) {
        return Err(Error::unsafe_(format!(
            "going on with one side gives up {what}; nothing was changed"
        ))
        .on(&name)
        .hint("say -y when that is what you want"));
    }
    Ok(session.carry_out(&plan)?)
}

/// Returns the side that a word means: the start of its digest, or one of its devices.
fn meant<'s>(sides: &'s [Side], word: &str, group: &str) -> Result<&'s Side> {
    let is_it = |side: &&Side| {
        side.stamp.digest.to_string().starts_with(word)
            || side.devices.iter().any(|device| device == word)
    };
    let meant: Vec<&Side> = sides.iter().filter(is_it).collect();
    match meant.as_slice() {
        [only] => Ok(only),
        found => {
            let all: Vec<String> = sides
                .iter()
                .map(|s| format!("{} on {}", s.stamp.digest.short(), s.devices.join(", ")))
                .collect();
            let many = if found.is_empty() {
                "no side"
            } else {
                "more than one side"
            };
            Err(Error::not_found(format!(
                "{many} of group '{group}' is meant by '{word}': {}",
                all.join("; ")
            ))
            .on(group))
        }
    }
}

/// Returns the names of the volumes that the chosen side lacks.
fn only_elsewhere(chosen: &meta::Chosen, sides: &[Side]) -> Vec<String> {
    let all = sides.iter().flat_map(|side| &side.says.group.volumes);
    let mut lost: Vec<String> = all
        .filter(|v| chosen.group.volume(v.id).is_none())
        .map(|v| v.name.to_string())
        .collect();
    lost.sort_unstable();
    lost.dedup();
    lost
}

/// Refuses if a device runs here according to another side's configuration: it cannot be brought in
/// line with the chosen one.
fn refuse_running_otherwise(world: &World) -> Result<()> {
    let runs = |id| {
        world
            .group
            .volume(id)
            .is_some_and(|v| v.running == Some(world.boot))
    };
    let other = world
        .devices
        .values()
        .find(|d| d.uuid.volume().is_none_or(|id| !runs(id)));
    other.map_or(Ok(()), |device| {
        Err(Error::in_use(format!("'{}' runs by what another side of the group says", device.name))
            .on(&world.group.name)
            .hint(
                Hint::from("choose that side, or stop its volumes first: disconnect the disks of the side to be chosen, ")
                    .line(Advised::StopAll(Of::verb()))
                    .and(", connect them again"),
            ))
    })
}

fn list(machine: &dyn Machine) -> Result<Vec<GroupLine>> {
    let here = machine.host_id().ok();
    let scan = Scan::new(machine)?;
    let mut lines = Vec::new();
    for id in scan.groups() {
        lines.push(match scan.choose(id) {
            Ok(chosen) => GroupLine {
                name: chosen.group.name.to_string(),
                id,
                state: match chosen.group.host {
                    None => "deported",
                    host if host == here => "imported",
                    Some(_) => "foreign",
                },
                generation: Some(chosen.generation.get()),
                disks: (chosen.present.len(), chosen.group.disks.len()),
                volumes: chosen.group.volumes.len(),
                remark: chosen.warnings.first().cloned(),
            },
            Err(error) => GroupLine {
                name: scan
                    .name_of(id)
                    .map_or_else(|| "-".to_owned(), |n| n.to_string()),
                id,
                state: "refused",
                generation: None,
                disks: (0, 0),
                volumes: 0,
                remark: Some(error.to_string()),
            },
        });
    }
    Ok(lines)
}

fn show(name: &Name, env: Env<'_>) -> Result<Outcome> {
    let view = View::look(name, env)?;
    let group = &view.world.group;
    let line = |disk: &Disk| {
        let present = view.world.disks.get(&disk.id);
        DiskLine {
            device: present.map(|p| p.path.clone()),
            id: Some(disk.id),
            media: Some(disk.media.clone()),
            group: Some(group.name.to_string()),
            state: if present.is_some() {
                "online"
            } else {
                "missing"
            },
            size: Some(disk.size),
            sector_size: present.map(|p| p.logical_block),
            remark: view
                .outdated()
                .contains(&disk.id)
                .then(|| "its copy of the configuration is old".to_owned()),
        }
    };
    let lines = group.disks.iter().map(line).collect();
    Ok(Outcome::Group(
        Box::new(view.world.clone()),
        lines,
        view.fill(),
    ))
}

//! Carries a plan out: the steps before the commit, the window around it, and what follows.
//!
//! An error from [`execute`] means that the old configuration is in force. The kernel may then
//! still have what the steps before the commit made; the caller converges
//! (`plan::finding::converge`) from what is observed. After the commit no error fails the command:
//! an unfinished step is a warning, and the next command converges.

pub mod disks;
mod failed;
mod in_process;
pub mod labels;
mod many;
mod retire;
mod window;

pub use failed::{Cause, Done, Failed};
pub use window::helper_devices;

use crate::advice::{Advised, Hint, Of};
use crate::error::{Error, Kind, Result};
use crate::meta::Prepared;
use crate::model::{DiskId, DmUuid, Extent, Group, GroupId, Role, Sectors, VolumeId};
use crate::plan::step::{CommitPoint, Finish, Plan, Prepare};
use crate::plan::world::World;
use crate::plan::{render, transition};
use crate::sys::disk::Access;
use crate::sys::helper::{Helper, HelperDevice, Task};
use crate::sys::machine::Machine;
use crate::sys::{Errno, Kernel, failpoint};
use crate::table::status::MirrorStatus;
use crate::table::{DevRef, Links, SuspendMode, Table, era, log};
use in_process::InProcess;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long udev may take to process the events of one command.
const SETTLE: Duration = Duration::from_secs(15);

/// How long the resume of a volume with a map may take, and after what time the mirrors beneath it
/// are checked for the first time, and how often at last.
const ACTIVATES: Duration = Duration::from_secs(30);
const LOOK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(200));

/// How many bytes of a map must be zero so that dm-era formats it: its superblock (4 KiB), with a
/// margin.
const BLANK: usize = 64 * 1024;

/// The machine and the kernel that a plan is carried out on.
#[derive(Clone, Copy)]
pub struct On<'a> {
    /// The machine with its disks.
    pub machine: &'a dyn Machine,
    /// Its device-mapper.
    pub kernel: &'a dyn Kernel,
}

/// The result of a plan that was committed.
#[derive(Debug, Clone, Default)]
pub struct Executed {
    /// How long volumes were suspended.
    pub held: Duration,
    /// Unfinished steps and other things that the administrator should know, as text.
    pub warnings: Vec<String>,
    /// Whether a step after the commit failed, so that the kernel does not match the configuration
    /// yet.
    pub unfinished: bool,
    /// Whether another process thawed a filesystem before its volume was split.
    pub thawed: bool,
    /// Volumes that the kernel refused to resume with their map of changes.
    pub refused: Vec<DmUuid>,
}

/// Carries a plan out. `commit` is the configuration on the disks that becomes valid; `None` when
/// it does not change. Without a helper process the window's calls are made in this one.
pub fn execute(
    on: On<'_>,
    world: &World,
    plan: &Plan,
    commit: Option<&mut Prepared<'_>>,
    helper: Option<&mut dyn Helper>,
) -> Done<Executed> {
    let On { kernel, .. } = on;
    if plan.has_steps() {
        take_cookie(kernel, plan)?;
    }
    let done = steps(on, world, plan, commit, helper);
    // Another leg may have failed, for which writes are held.
    let late = (plan.window.commit != CommitPoint::First).then(|| settle(kernel));
    let mut executed = done?;
    executed.warnings.extend(late.flatten());
    Ok(executed)
}

/// Waits for udev to process what was changed, which [`execute`] leaves to its caller after the
/// repair of a failed leg. Returns a warning if that takes too long.
pub fn settle(kernel: &dyn Kernel) -> Option<String> {
    kernel.settle(SETTLE)
}

/// Without a semaphore the command cannot wait for udev, so it does not begin. A repair goes on
/// without one: writes are held until the failed leg is out.
fn take_cookie(kernel: &dyn Kernel, plan: &Plan) -> Result<()> {
    match kernel.take_cookie() {
        Err(error) if plan.window.commit != CommitPoint::First => Err(error),
        _ => Ok(()),
    }
}

fn steps(
    on: On<'_>,
    world: &World,
    plan: &Plan,
    commit: Option<&mut Prepared<'_>>,
    helper: Option<&mut dyn Helper>,
) -> Done<Executed> {
    // A repair must not be interrupted, since writes are held until it is done. A plan without
    // steps is over at once.
    let may_stop = commit.is_some() && plan.has_steps() && plan.window.commit != CommitPoint::First;
    let mut after = After::default();
    let mut rest = plan.prepare.as_slice();
    while let Some((step, behind)) = rest.split_first() {
        heed_interrupt(on, may_stop)?;
        let (run, behind_run) = rest.split_at(many::prepared(rest));
        if run.is_empty() {
            prepare(on, world, step, &mut after)?;
            rest = behind;
        } else {
            many::prepare(on.kernel, world, run)?;
            rest = behind_run;
        }
    }
    refuse_silent_disks(on, world, plan)?;
    heed_interrupt(on, may_stop)?;
    let armed = window::Armed::new(on, world, plan)?;
    let passed = match helper {
        Some(helper) => armed.run(commit, helper)?,
        None => {
            let mut here = InProcess::new(on, helper_devices(&plan.window))?;
            armed.run(commit, &mut here)?
        }
    };
    let unfinished = !passed.asleep.is_empty();
    let mut executed = Executed {
        held: passed.held,
        unfinished,
        warnings: passed.warnings,
        thawed: passed.thawed,
        refused: passed.refused,
    };
    executed.warnings.extend(passed.asleep);
    let mut rest = plan.finish.as_slice();
    while let Some((step, behind)) = rest.split_first() {
        let (run, behind_run) = rest.split_at(many::finished(rest));
        let errors = if run.is_empty() {
            let left = (&plan.group, &mut after, &mut executed.refused);
            rest = behind;
            let failed = finish(on, world, step, left).err();
            if let (Finish::Activate { uuid, .. }, Some(_)) = (step, &failed) {
                after.down.extend(uuid.volume());
            }
            Vec::from_iter(failed)
        } else {
            rest = behind_run;
            let leads_into = |uuid: &DmUuid| after.leads_into(&plan.group, uuid);
            let failed = many::finish(on.kernel, run, &after.down, &leads_into);
            after
                .down
                .extend(failed.iter().filter_map(|(volume, _)| *volume));
            failed.into_iter().map(|(_, error)| error).collect()
        };
        executed.unfinished |= !errors.is_empty();
        let errors = errors.iter().map(ToString::to_string);
        executed.warnings.extend(errors);
    }
    for open in &after.open {
        let told = retire::part(on, open);
        executed
            .warnings
            .push(told.unwrap_or_else(|error| error.to_string()));
    }
    Ok(executed)
}

/// What the steps leave to be done after them.
#[derive(Default)]
struct After {
    /// Devices with an `error` table that another process still has open.
    open: Vec<retire::Open>,
    /// The space of devices that could not be given an `error` table, with the volume that each
    /// belonged to.
    led_to: Vec<(Option<VolumeId>, Extent)>,
    /// Volumes of which a device could not be activated.
    down: BTreeSet<VolumeId>,
}

impl After {
    /// Whether a volume lies on space that a former device of another volume still maps.
    fn leads_into(&self, group: &Group, uuid: &DmUuid) -> bool {
        let Some(volume) = uuid.volume().and_then(|id| group.volume(id)) else {
            return false;
        };
        let others = || self.led_to.iter().filter(|(of, _)| *of != Some(volume.id));
        volume
            .plexes
            .iter()
            .flat_map(|p| &p.subdisks)
            .any(|s| others().any(|(_, extent)| s.overlaps(extent)))
    }
}

/// Ctrl-C ends a command between two steps before the commit. After the commit the command is
/// carried through.
fn heed_interrupt(on: On<'_>, may_stop: bool) -> Result<()> {
    if may_stop && on.machine.is_interrupted() {
        return Err(Error::failed("interrupted; nothing was changed"));
    }
    Ok(())
}

/// A suspend waits for every disk beneath it, and so do all users of the other volumes in the same
/// window. A repair does not check: it suspends devices that wait for a dead disk, without a flush.
fn refuse_silent_disks(on: On<'_>, world: &World, plan: &Plan) -> Result<()> {
    let waits = |mode: &SuspendMode| matches!(mode, SuspendMode::Freeze | SuspendMode::Flush);
    if plan.window.commit == CommitPoint::First
        || !plan.window.suspend.iter().any(|(_, mode)| waits(mode))
    {
        return Ok(());
    }
    refuse_silent(
        on,
        world,
        &plan
            .window
            .suspend
            .iter()
            .filter_map(|(uuid, _)| uuid.volume())
            .collect(),
    )
}

/// Fails if a disk beneath these volumes does not answer a read, before any I/O is held for it.
pub fn refuse_silent(on: On<'_>, world: &World, volumes: &BTreeSet<VolumeId>) -> Result<()> {
    let Some(silent) = on
        .machine
        .silent(&world.numbers_beneath(volumes))
        .into_iter()
        .next()
    else {
        return Ok(());
    };
    let disk = world
        .group
        .disks
        .iter()
        .find(|disk| world.number(disk.id) == Some(silent));
    let media = disk.map_or_else(
        || format!("with number {silent}"),
        |disk| format!("'{}'", disk.media),
    );
    let lies_on = |id: &&VolumeId| {
        world
            .numbers_beneath(&BTreeSet::from([**id]))
            .contains(&silent)
    };
    let volume = volumes
        .iter()
        .find(lies_on)
        .and_then(|id| world.group.volume(*id));
    let path = volume.map_or_else(
        || world.group.name.to_string(),
        |volume| world.group.path(&volume.name),
    );
    Err(Error::timed_out(format!(
        "disk {media} beneath '{path}' does not answer; nothing was changed, and no I/O was held"
    ))
    .on(path)
    .hint(
        Hint::from("see the kernel's log; try again when the disk answers, or take it out with ")
            .line(Advised::PlexDetach(Of::verb())),
    ))
}

fn prepare(on: On<'_>, world: &World, step: &Prepare, after: &mut After) -> Done<()> {
    let On { kernel, .. } = on;
    let of = |uuid: &DmUuid, done: Result<()>| done.map_err(|error| Failed::on(uuid, error));
    failpoint::step();
    match step {
        Prepare::Wipe(extents) => Ok(wipe(on, world, extents)?),
        Prepare::WriteLog {
            extent,
            size,
            region,
            clean,
        } => Ok(write_extent(
            on,
            world,
            extent,
            &log::image(*size, *region, *clean),
        )?),
        Prepare::WriteChanges {
            extent,
            size,
            region,
            dirty,
        } => Ok(write_extent(
            on,
            world,
            extent,
            &log::image_of(*size, *region, dirty),
        )?),
        Prepare::EndEra(uuid) => Ok(wait_for_map(
            on,
            world,
            Task::Suspend(0),
            uuid,
            Links::Hidden,
        )?),
        Prepare::Unwritten { uuid, writes } => refuse_written(on, world, uuid, *writes),
        Prepare::Blank(extents) => Ok(extents
            .iter()
            .try_for_each(|extent| blank(on, world, extent))?),
        Prepare::CopyMap { from, to } => copy_map(on, world, from, to),
        Prepare::Create { .. }
        | Prepare::Load { .. }
        | Prepare::Activate(_)
        | Prepare::Remove(_) => many::one(kernel, world, step),
        Prepare::LoadRaw { uuid, lines } => of(uuid, kernel.load(uuid, lines)),
        Prepare::Clear(uuid) => of(uuid, kernel.clear(uuid)),
        Prepare::Retire(uuid) => of(
            uuid,
            retire::retire(on, world, uuid).map(|open| after.open.extend(open)),
        ),
    }
}

fn finish(
    on: On<'_>,
    world: &World,
    step: &Finish,
    left: (&Group, &mut After, &mut Vec<DmUuid>),
) -> Result<()> {
    let On { kernel, .. } = on;
    let (group, after, refused) = left;
    failpoint::step();
    match step {
        // A process that has the old device open would write into the new one.
        Finish::Activate { uuid, .. } if after.leads_into(group, uuid) => Err(not_activated(uuid)),
        // What lies on a device without a table is not made live. The next command goes on.
        Finish::Activate { uuid, .. }
            if uuid.volume().is_some_and(|id| after.down.contains(&id)) =>
        {
            Ok(())
        }
        Finish::Activate {
            uuid,
            links,
            tracked: true,
        } => {
            let came = ask_its_map(on, world, Task::Activate(0), uuid, *links)?;
            refused.extend(
                came.is_err_and(|errno| errno.is_some())
                    .then(|| uuid.clone()),
            );
            came.map_err(|errno| no_answer(world, uuid, "resumed", errno))
        }
        Finish::Activate {
            uuid,
            links,
            tracked: false,
        } => kernel.resume(uuid, *links),
        Finish::Retire(uuid) => {
            let led_to = world
                .devices
                .get(uuid)
                .map(|device| world.mapped(device))
                .unwrap_or_default();
            let retired = retire::retire(on, world, uuid);
            let open = retired.inspect_err(|_| {
                after
                    .led_to
                    .extend(led_to.into_iter().map(|extent| (uuid.volume(), extent)));
            })?;
            after.open.extend(open);
            Ok(())
        }
        Finish::Rename { uuid, to } => kernel.rename(uuid, to),
        Finish::Clear(uuid) => kernel.clear(uuid),
    }
}

fn not_activated(uuid: &DmUuid) -> Error {
    Error::in_use(format!(
        "device {uuid} is not activated while an old device still maps its space"
    ))
}

/// A write that is not in the listing would stay on the leg that comes back. So the kernel's count
/// of writes is compared once the volume is suspended and nothing more can be written.
fn refuse_written(on: On<'_>, world: &World, uuid: &DmUuid, writes: u64) -> Done<()> {
    wait_for_map(on, world, Task::Suspend(0), uuid, Links::Hidden)?;
    let device = on.kernel.device(uuid)?.ok_or_else(|| {
        Error::not_found(format!(
            "{} is gone",
            render::title(world, &world.group, uuid)
        ))
    })?;
    if on.machine.writes(device.dev)? == writes {
        return Ok(());
    }
    let error = Error::in_use(format!(
        "'{}' was written to just now; nothing was changed",
        device.name
    ));
    Err(Failed::on(
        uuid,
        error.hint("stop its users, then try again"),
    ))
}

/// Suspends a tracked volume, or makes it live. Both commit the map and block until it is written.
/// The helper does it: if a disk of the map dies meanwhile, the next repair takes it out, and the
/// helper goes on.
fn wait_for_map(on: On<'_>, world: &World, act: Task, uuid: &DmUuid, links: Links) -> Result<()> {
    let doing = if matches!(act, Task::Suspend(_)) {
        "suspended"
    } else {
        "resumed"
    };
    ask_its_map(on, world, act, uuid, links)?.map_err(|errno| no_answer(world, uuid, doing, errno))
}

/// As [`wait_for_map`], with the kernel's answer; `Err(None)` when a disk beneath does not answer.
fn ask_its_map(
    on: On<'_>,
    world: &World,
    act: Task,
    uuid: &DmUuid,
    links: Links,
) -> Result<std::result::Result<(), Option<Errno>>> {
    let device = HelperDevice {
        uuid: uuid.clone(),
        mode: SuspendMode::NoFlush,
        links,
    };
    let mut helper = on.machine.helper(world.group.id, &[device])?;
    Ok(ask(on.kernel, helper.as_mut(), act, uuid).map(drop))
}

fn no_answer(world: &World, uuid: &DmUuid, doing: &str, errno: Option<Errno>) -> Error {
    let title = render::title(world, &world.group, uuid);
    Error::device(match errno {
        Some(errno) => format!(
            "{title} cannot be {doing}: {}",
            std::io::Error::from_raw_os_error(errno.0)
        ),
        None => format!("{title} cannot be {doing} while a disk beneath it does not accept writes"),
    })
    .on(render::object(world, &world.group, uuid))
    .hint("see the kernel's log")
}

/// Has a helper do something to a tracked volume and watches the volume's mirrors meanwhile.
/// `Err(None)`: a disk has failed, and the helper blocks until a repair takes it out.
pub fn ask(
    kernel: &dyn Kernel,
    helper: &mut dyn Helper,
    act: Task,
    uuid: &DmUuid,
) -> std::result::Result<u32, Option<Errno>> {
    helper.begin(act).map_err(Some)?;
    let (until, mut pause) = (Instant::now() + ACTIVATES, LOOK.0);
    loop {
        if let Some(done) = helper.wait(pause) {
            return done.map_err(Some);
        }
        pause = LOOK.1.min(pause * 2);
        let devices = kernel.devices().map_err(|_| None)?;
        let mirrors = devices
            .iter()
            .filter(|d| d.uuid.volume() == uuid.volume())
            .filter_map(|d| d.mirror.as_ref());
        if mirrors.clone().any(MirrorStatus::has_failed) || Instant::now() > until {
            return Err(None);
        }
    }
}

/// Returns the writes that the mirrors of a group hold to the writers, as errors: a suspend with a
/// flush does that (K2). Works from the bottom up, since the mirror above sees such an error as a
/// failed leg. `known` is the configuration as it was read last, if it was. Returns what was done
/// or went wrong, as text.
pub fn fail_held(kernel: &dyn Kernel, id: GroupId, known: Option<&Group>) -> Vec<String> {
    let (mut told, mut seen) = (Vec::new(), BTreeSet::new());
    loop {
        let devices = match kernel.devices() {
            Ok(devices) => devices,
            Err(error) => return vec![error.to_string()],
        };
        let ours = devices
            .iter()
            .filter(|d| d.uuid.group() == Some(id) && !seen.contains(&d.uuid));
        let failed = ours.filter(|d| d.mirror.as_ref().is_some_and(MirrorStatus::has_failed));
        let Some(lowest) = failed.max_by_key(|d| transition::rank(&d.uuid)) else {
            return told;
        };
        told.push(match give_back(kernel, known, &lowest.uuid) {
            Ok(()) => format!("no disk takes the record of what failed beneath '{}': writes to it end with an error", lowest.name),
            Err(error) => format!("the writes that '{}' holds cannot be failed: {error}", lowest.name),
        });
        seen.insert(lowest.uuid.clone());
    }
}

fn give_back(kernel: &dyn Kernel, known: Option<&Group>, uuid: &DmUuid) -> Result<()> {
    let volume = known
        .zip(uuid.volume())
        .and_then(|(group, id)| group.volume(id));
    let role = uuid.role().unwrap_or(Role::Volume);
    let unknown = if uuid.is_volume() {
        Links::NoContent
    } else {
        Links::Hidden
    };
    // A loaded table would become live with the resume.
    kernel.clear(uuid)?;
    let given = kernel.suspend(uuid, SuspendMode::Flush);
    kernel
        .resume(
            uuid,
            volume.map_or(unknown, |volume| transition::links(volume, &role)),
        )
        .and(given)
}

/// Loads a table with the current numbers of its devices. Where `forgo` allows it, extents on a
/// missing disk that the kernel does not know any more become `error` targets.
fn load(
    kernel: &dyn Kernel,
    world: &World,
    (uuid, volume): (&DmUuid, VolumeId),
    table: &Table,
    forgo: bool,
) -> Done<()> {
    let device = |role: &Role| {
        kernel
            .device(&DmUuid::new(world.group.id, volume, role))
            .ok()
            .flatten()
            .map(|d| d.dev)
    };
    let number = |what: &DevRef| {
        let dev = match what {
            DevRef::Disk(id) => world.number(*id),
            DevRef::Device(role) => device(role),
        };
        dev.map(|dev| dev.to_string())
    };
    let lost: Vec<DiskId> = table
        .disks()
        .into_iter()
        .filter(|disk| !world.disks.contains_key(disk))
        .collect();
    let kind = if lost.is_empty() {
        Kind::Device
    } else {
        Kind::NotFound
    };
    let unknown = || {
        let title = render::title(world, &world.group, uuid);
        Error::new(
            kind,
            format!("a disk that the table of {title} refers to is missing"),
        )
        .on(uuid)
    };
    let of = |done: Result<()>| done.map_err(|error| Failed::on(uuid, error));
    match table
        .render(&number)
        .ok_or_else(unknown)
        .and_then(|lines| kernel.load(uuid, &lines))
    {
        Err(error) if error.kind() == Kind::NotFound && !lost.is_empty() => {
            match table.render_without(&lost, &number) {
                Some(rest) if forgo => of(kernel.load(uuid, &rest)),
                _ => Err(world
                    .group
                    .volume(volume)
                    .map_or(error, |volume| {
                        transition::missing(&world.group, volume, &lost).into()
                    })
                    .into()),
            }
        }
        loaded => of(loaded),
    }
}

fn wipe(on: On<'_>, world: &World, extents: &[Extent]) -> Result<()> {
    let pieces = extents.iter().map(|extent| {
        let (path, start) = place(world, extent)?;
        Ok(disks::Piece {
            path,
            start,
            length: extent.length,
        })
    });
    disks::wipe_signatures(on.machine, &pieces.collect::<Result<Vec<_>>>()?)
}

fn write_extent(on: On<'_>, world: &World, extent: &Extent, bytes: &[u8]) -> Result<()> {
    let (path, start) = place(world, extent)?;
    disks::write_extent(on.machine, &path, start, bytes)
}

/// Zeroes the beginning of a map, so that dm-era formats it.
pub fn blank(on: On<'_>, world: &World, extent: &Extent) -> Result<()> {
    write_extent(on, world, extent, &[0; BLANK])
}

/// Copies the map at `from` to other places. Each copy gets its superblock last: an incomplete copy
/// is never taken for a map.
fn copy_map(on: On<'_>, world: &World, from: &Extent, to: &[Extent]) -> Done<()> {
    let lost = |extent: &Extent, error: Error| {
        Failed::new(error.on(render::place(world, extent)), Cause::Map(*extent))
    };
    let too_large = || Error::device("the map of changes is too large");
    let mut map = vec![0; usize::try_from(from.length.bytes()).map_err(|_| too_large())?];
    read_extent(on, world, from, &mut map).map_err(|error| lost(from, error))?;
    let (superblock, rest) = map.split_at_checked(era::BLOCK).ok_or_else(too_large)?;
    let behind = Sectors::from_bytes_floor(era::BLOCK as u64);
    to.iter().try_for_each(|extent| {
        let rest_of_it = Extent {
            start: extent.start.saturating_add(behind),
            ..*extent
        };
        let copied =
            blank(on, world, extent).and_then(|()| write_extent(on, world, &rest_of_it, rest));
        copied
            .and_then(|()| write_extent(on, world, extent, superblock))
            .map_err(|error| lost(extent, error))
    })
}

/// Reads the beginning of an extent; `bytes` must not be longer than it.
fn read_extent(on: On<'_>, world: &World, extent: &Extent, bytes: &mut [u8]) -> Result<()> {
    let (path, start) = place(world, extent)?;
    let media = on.machine.media(&path, Access::ReadOnly)?;
    media
        .read_at(start.bytes(), bytes)
        .map_err(|err| Error::io(format!("cannot read from '{}'", path.display()), &err))
}

/// Where a plan writes dirty region logs.
pub fn logs(plan: &Plan) -> Vec<Extent> {
    let extent = |step: &Prepare| {
        if let Prepare::WriteLog { extent, .. } = step {
            Some(*extent)
        } else {
            None
        }
    };
    plan.prepare.iter().filter_map(extent).collect()
}

/// Where an extent is on its device.
fn place(world: &World, extent: &Extent) -> Result<(PathBuf, Sectors)> {
    let disk = world
        .group
        .disk(extent.disk)
        .zip(world.disks.get(&extent.disk));
    let (disk, present) =
        disk.ok_or_else(|| Error::device(format!("disk {} is missing", extent.disk)))?;
    Ok((
        present.path.clone(),
        disk.data_start.saturating_add(extent.start),
    ))
}

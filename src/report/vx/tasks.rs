//! `vxtask list`: the copies that the kernel makes.

use super::row::row;
use crate::error::{Error, Result};
use crate::model::{DmUuid, Name, PlexState, Role, Sectors, Volume};
use crate::plan::world::World;
use crate::report::layout;
use crate::report::view::{PlexView, SyncView, VolumeView};
use std::fmt::Write;

/// A copy that is being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its number.
    pub id: u32,
    /// The group of its volume.
    pub group: Name,
    /// The volume.
    pub volume: Name,
    /// What is copied.
    pub kind: TaskKind,
    /// What VxVM calls the operation.
    operation: &'static str,
    /// How far it has come, in sectors.
    done: u64,
    /// The whole, in sectors.
    total: u64,
}

/// What is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskKind {
    /// The contents of the volume, to this plex.
    Fill(Name),
    /// From one complete plex to the others, after a crash.
    Resync,
}

/// Which tasks are listed, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskForm {
    /// Whether the columns have a heading.
    pub heading: bool,
    /// Whether each is a block of facts.
    pub long: bool,
    /// Only the tasks with these numbers, or all if empty.
    pub tasks: Vec<u32>,
}

/// The tasks of these groups.
pub fn tasks(worlds: &[World]) -> Vec<Task> {
    let of_world = |world| {
        let view = layout::group(world, None, &[]);
        let volumes = world.group.volumes.iter().zip(view.volumes);
        let running = volumes.filter(move |(volume, _)| world.started(volume).is_some());
        running.flat_map(move |(volume, view)| of_volume(world, volume, &view))
    };
    worlds.iter().flat_map(of_world).collect()
}

fn of_volume(world: &World, volume: &Volume, view: &VolumeView) -> Vec<Task> {
    let minor = |role: &Role| {
        let device = DmUuid::new(world.group.id, volume.id, role);
        world.devices.get(&device).map(|device| device.dev.minor)
    };
    let task = |id, kind, operation, sync: SyncView| Task {
        id,
        group: world.group.name.clone(),
        volume: volume.name.clone(),
        kind,
        operation,
        done: Sectors::from_bytes_floor(sync.done).get(),
        total: Sectors::from_bytes_floor(sync.total).get(),
    };
    let fill = |(plex, shown): (&crate::model::Plex, &PlexView)| {
        let operation = match plex.state {
            PlexState::SnapAtt => "PLXSNAP",
            PlexState::Attaching | PlexState::Reviving => "PLXATT",
            _ => return None,
        };
        let id = minor(&Role::Plex(plex.number))?;
        let kind = TaskKind::Fill(plex.name.clone());
        Some(task(id, kind, operation, shown.sync))
    };
    let mut tasks: Vec<Task> = volume
        .plexes
        .iter()
        .zip(&view.plexes)
        .filter_map(fill)
        .collect();
    if let (Some(sync), Some(id)) = (view.resync, minor(&Role::Volume)) {
        tasks.push(task(id, TaskKind::Resync, "VOLSTART", sync));
    }
    tasks
}

/// The list of tasks. If nothing runs, it is the heading alone.
pub fn tasks_text(tasks: &[Task], form: &TaskForm) -> Result<String> {
    refuse_unknown(tasks, &form.tasks)?;
    let chosen = |task: &&Task| form.tasks.is_empty() || form.tasks.contains(&task.id);
    let chosen = tasks.iter().filter(chosen);
    if form.long {
        return Ok(chosen.map(block).collect::<Vec<_>>().join("\n"));
    }
    let mut text = if form.heading {
        task_heading()
    } else {
        String::new()
    };
    text.extend(chosen.map(task_line));
    Ok(text)
}

const WIDTHS: [usize; 4] = [6, 5, 10, 7];

/// The heading above tasks.
pub fn task_heading() -> String {
    row(
        &WIDTHS,
        &["TASKID", "PTID", "TYPE/STATE", "PCT", "PROGRESS"],
    )
}

/// A task as one line.
pub fn task_line(task: &Task) -> String {
    line(task, "R")
}

/// A task that has ended, as one line.
pub fn task_ended(task: &Task) -> String {
    line(task, "X")
}

fn line(task: &Task, state: &str) -> String {
    let id = task.id.to_string();
    let kind = format!("{}/{state}", kind(task));
    let percent = percent(task);
    row(&WIDTHS, &[&id, "-", &kind, &percent, &progress(task)])
}

fn kind(task: &Task) -> &'static str {
    match task.kind {
        TaskKind::Fill(_) => "ATCOPY",
        TaskKind::Resync => "RDWRBACK",
    }
}

/// With two decimals, rounded down: 100 only when nothing is left.
fn percent(task: &Task) -> String {
    let hundredths = u128::from(task.done) * 10_000 / u128::from(task.total.max(1));
    format!("{:02}.{:02}%", hundredths / 100, hundredths % 100)
}

fn progress(task: &Task) -> String {
    let mut text = format!(
        "0/{}/{} {} {}",
        task.total, task.done, task.operation, task.volume
    );
    if let TaskKind::Fill(plex) = &task.kind {
        let _ = write!(text, " {plex}");
    }
    let _ = write!(text, " {}", task.group);
    text
}

fn block(task: &Task) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "Task:     {} RUNNING", task.id);
    let _ = writeln!(text, "Type:     {}", kind(task));
    let _ = writeln!(text, "Operation: {} {}", task.operation, progress(task));
    let _ = writeln!(
        text,
        "Progress: {} {} of {} Blocks",
        percent(task),
        task.done,
        task.total
    );
    text
}

/// Refuses numbers that no task has.
pub fn refuse_unknown(tasks: &[Task], ids: &[u32]) -> Result<()> {
    match ids
        .iter()
        .find(|id| !tasks.iter().any(|task| task.id == **id))
    {
        None => Ok(()),
        Some(id) => Err(Error::not_found(format!("there is no task {id}"))
            .on(id)
            .hint("'vxtask list' shows what runs")),
    }
}

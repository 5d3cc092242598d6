//! `group list`, `group show`, `disk list`: tables and their JSON shapes. Sizes are bytes.

use super::columns::Columns;
use super::view::MetadataView;
use crate::app::{DiskLine, GroupLine};
use crate::meta::Fill;
use crate::model::units::human_bytes;
use crate::model::{Extent, Name, Sectors};
use crate::plan::handover::Closure;
use crate::plan::world::World;
use serde::Serialize;

/// What has to go to another group together, in `group split --list --json`.
#[derive(Serialize)]
pub(super) struct Together<'a> {
    disks: Vec<&'a str>,
    volumes: Vec<&'a str>,
    beyond: Vec<&'a str>,
}

impl<'a> Together<'a> {
    pub(super) fn new(closure: &'a Closure) -> Together<'a> {
        let all = |names: &'a [Name]| names.iter().map(Name::as_str).collect();
        Together {
            disks: all(&closure.disks),
            volumes: all(&closure.volumes),
            beyond: all(&closure.beyond),
        }
    }
}

/// The same for people: one object a line; what was not asked for is marked.
pub(super) fn together_text(closure: &Closure) -> String {
    let line = |kind: &str, name: &Name| {
        let beyond = closure.beyond.contains(name);
        let mark = if beyond { "  (not asked for)" } else { "" };
        format!("{kind} {name}{mark}\n")
    };
    let disks = closure.disks.iter().map(|name| line("disk  ", name));
    let volumes = closure.volumes.iter().map(|name| line("volume", name));
    disks.chain(volumes).collect()
}

/// A group in `group list --json`.
#[derive(Serialize)]
pub(super) struct GroupView<'a> {
    name: &'a str,
    uuid: String,
    state: &'static str,
    generation: Option<u64>,
    disks: Present,
    volumes: usize,
    remark: Option<&'a str>,
}

/// How many disks of a group are present.
#[derive(Serialize)]
struct Present {
    present: usize,
    total: usize,
}

impl<'a> GroupView<'a> {
    pub(super) fn new(line: &'a GroupLine) -> GroupView<'a> {
        GroupView {
            name: &line.name,
            uuid: line.id.to_string(),
            state: line.state,
            generation: line.generation,
            disks: Present {
                present: line.disks.0,
                total: line.disks.1,
            },
            volumes: line.volumes,
            remark: line.remark.as_deref(),
        }
    }
}

/// A disk in `disk list --json` and `group show --json`.
#[derive(Serialize)]
pub(super) struct DiskView<'a> {
    device: Option<String>,
    media: Option<String>,
    group: Option<&'a str>,
    uuid: Option<String>,
    state: &'static str,
    size: Option<u64>,
    sector_size: Option<u32>,
    remark: Option<&'a str>,
}

impl<'a> DiskView<'a> {
    pub(super) fn new(line: &'a DiskLine) -> DiskView<'a> {
        DiskView {
            device: device(line),
            media: line.media.as_ref().map(ToString::to_string),
            group: line.group.as_deref(),
            uuid: line.id.map(|id| id.to_string()),
            state: line.state,
            size: line.size.map(Sectors::bytes),
            sector_size: line.sector_size,
            remark: line.remark.as_deref(),
        }
    }
}

/// A group with its disks in `group show --json`.
#[derive(Serialize)]
pub(super) struct GroupShow<'a> {
    name: String,
    uuid: String,
    generation: u64,
    host: Option<String>,
    volumes: usize,
    metadata: Option<MetadataView>,
    disks: Vec<DiskWithFree<'a>>,
}

/// A disk, and how much of it is not in use.
#[derive(Serialize)]
struct DiskWithFree<'a> {
    #[serde(flatten)]
    disk: DiskView<'a>,
    free: Option<u64>,
}

impl<'a> GroupShow<'a> {
    pub(super) fn new(world: &World, disks: &'a [DiskLine], fill: Option<Fill>) -> GroupShow<'a> {
        let with_free = |line: &'a DiskLine| DiskWithFree {
            disk: DiskView {
                size: size(world, line).map(Sectors::bytes),
                ..DiskView::new(line)
            },
            free: free(world, line).map(Sectors::bytes),
        };
        GroupShow {
            name: world.group.name.to_string(),
            uuid: world.group.id.to_string(),
            generation: world.generation.get(),
            host: world.group.host.map(|host| host.to_string()),
            volumes: world.group.volumes.len(),
            metadata: fill.map(|fill| MetadataView {
                used: fill.used,
                capacity: fill.capacity,
            }),
            disks: disks.iter().map(with_free).collect(),
        }
    }
}

/// The table of `group list`.
pub(super) fn groups_text(lines: &[GroupLine]) -> String {
    if lines.is_empty() {
        return "no groups\n".to_owned();
    }
    let mut columns = Columns::with_heading(&[
        "NAME",
        "STATE",
        "GENERATION",
        "DISKS",
        "VOLUMES",
        "UUID",
        "REMARK",
    ]);
    for line in lines {
        let (present, total) = line.disks;
        columns.row(vec![
            line.name.clone(),
            line.state.to_owned(),
            line.generation.map(|g| g.to_string()).unwrap_or_default(),
            if present == total {
                total.to_string()
            } else {
                format!("{present} of {total}")
            },
            line.volumes.to_string(),
            line.id.to_string(),
            line.remark.clone().unwrap_or_default(),
        ]);
    }
    columns.text()
}

/// The table of `disk list`.
pub(super) fn disks_text(lines: &[DiskLine]) -> String {
    if lines.is_empty() {
        return "no disks\n".to_owned();
    }
    let mut columns = Columns::with_heading(&[
        "DEVICE", "DISK", "GROUP", "STATE", "SIZE", "SECTOR", "UUID", "REMARK",
    ]);
    for line in lines {
        columns.row(vec![
            device(line).unwrap_or_default(),
            text(line.media.as_ref()),
            text(line.group.as_ref()),
            line.state.to_owned(),
            text(line.size.as_ref()),
            text(line.sector_size.as_ref()),
            text(line.id.as_ref()),
            text(line.remark.as_ref()),
        ]);
    }
    columns.text()
}

/// The facts and the disks of `group show`.
pub(super) fn group_text(world: &World, lines: &[DiskLine], fill: Option<Fill>) -> String {
    let group = &world.group;
    let host = group
        .host
        .map_or_else(|| "none (deported)".to_owned(), |host| host.to_string());
    let mut facts = vec![
        ("group", group.name.to_string()),
        ("uuid", group.id.to_string()),
        ("host", host),
        ("generation", world.generation.to_string()),
        ("volumes", group.volumes.len().to_string()),
    ];
    facts.extend(fill.map(|fill| ("metadata", fill_text(fill))));
    let facts: String = facts
        .into_iter()
        .map(|(name, value)| format!("{name:<11} {value}\n"))
        .collect();
    format!("{facts}\n{}", members_text(world, lines))
}

fn members_text(world: &World, lines: &[DiskLine]) -> String {
    let mut columns = Columns::with_heading(&[
        "DISK", "DEVICE", "STATE", "SIZE", "FREE", "SECTOR", "UUID", "REMARK",
    ]);
    for line in lines {
        columns.row(vec![
            text(line.media.as_ref()),
            device(line).unwrap_or_default(),
            line.state.to_owned(),
            text(size(world, line).as_ref()),
            text(free(world, line).as_ref()),
            text(line.sector_size.as_ref()),
            text(line.id.as_ref()),
            text(line.remark.as_ref()),
        ]);
    }
    columns.text()
}

/// Used and capacity, with a percentage that is never zero while something is used.
fn fill_text(fill: Fill) -> String {
    let percent = (u128::from(fill.used) * 100).div_ceil(u128::from(fill.capacity.max(1)));
    format!(
        "{} of {} ({percent}%)",
        human_bytes(fill.used),
        human_bytes(fill.capacity)
    )
}

/// The observed size of a disk, or the configured one when the disk is missing.
fn size(world: &World, line: &DiskLine) -> Option<Sectors> {
    line.size
        .or_else(|| world.group.disk(line.id?).map(|disk| disk.size))
}

fn free(world: &World, line: &DiskLine) -> Option<Sectors> {
    let disk = world.group.disk(line.id?)?;
    let used = |extent: &&Extent| extent.disk == disk.id;
    Some(
        disk.size.saturating_sub(
            world
                .group
                .extents()
                .filter(used)
                .map(|extent| extent.length)
                .sum(),
        ),
    )
}

fn device(line: &DiskLine) -> Option<String> {
    line.device.as_ref().map(|path| path.display().to_string())
}

fn text(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

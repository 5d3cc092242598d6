//! `vxdg list`, `vxdg list DG` and `vxdg free`. Lengths are sectors.

use super::access_name;
use super::row::row;
use super::world::VERSION;
use crate::app::GroupLine;
use crate::error::{Error, Result};
use crate::meta::Fill;
use crate::model::{Disk, Group, Name, Sectors};
use crate::plan::world::World;
use std::fmt::Write;

/// The groups that are imported: exactly three words for each.
pub fn groups(lines: &[GroupLine], heading: bool) -> String {
    let mut text = String::new();
    if heading {
        text += &row(&[12, 16], &["NAME", "STATE", "ID"]);
    }
    for line in lines.iter().filter(|line| line.state == "imported") {
        text += &row(
            &[12, 16],
            &[&line.name, "enabled,cds", &line.id.to_string()],
        );
    }
    text
}

/// All about one group.
pub fn group(world: &World, fill: Option<Fill>) -> String {
    let group = &world.group;
    let (used, capacity) = fill.map_or((0, 0), |fill| (fill.used, fill.capacity));
    let free = capacity.saturating_sub(used);
    let copies = group.disks.len();
    let facts = [
        ("Group:", group.name.to_string()),
        ("dgid:", group.id.to_string()),
        ("import-id:", "1024.1".to_owned()),
        ("flags:", "cds".to_owned()),
        ("version:", VERSION.to_owned()),
        ("alignment:", "8192 (bytes)".to_owned()),
        ("ssb:", "on".to_owned()),
        ("detach-policy:", "global".to_owned()),
        ("copies:", format!("nconfig={copies} nlog=0")),
        (
            "config:",
            format!(
                "seqno={} permlen={capacity} free={free} templen=0 loglen=0",
                world.generation
            ),
        ),
    ];
    let mut text = String::new();
    for (name, value) in facts {
        let _ = writeln!(text, "{name:<14} {value}");
    }
    for disk in &group.disks {
        let device = access_name(world, disk.id);
        let state = if device == "-" { "failed" } else { "enabled" };
        let _ = writeln!(
            text,
            "config disk {device} copy 1 len={capacity} state={state}"
        );
    }
    text
}

/// The extents that are not in use, a line for each: of these disks, or of all. With several groups
/// the first column is the group.
pub fn free(worlds: &[World], disks: &[Name], of_all: bool, heading: bool) -> Result<String> {
    let is_member = |name: &Name| {
        let mut all = worlds.iter().flat_map(|world| &world.group.disks);
        all.any(|disk| disk.media == *name)
    };
    if let Some(unknown) = disks.iter().find(|name| !is_member(name)) {
        return Err(Error::not_found(format!("no group has a disk '{unknown}'"))
            .on(unknown)
            .hint("'vxdisk list' shows all disks"));
    }
    let widths = [12, 12, 12, 8, 9, 9];
    let line = |group: &str, words: [&str; 6]| {
        if of_all {
            let words: Vec<&str> = std::iter::once(group).chain(words).collect();
            row(&[&[12], &widths[..]].concat(), &words)
        } else {
            row(&widths, &words)
        }
    };
    let mut text = String::new();
    if heading {
        let words = ["DISK", "DEVICE", "TAG", "OFFSET", "LENGTH", "FLAGS"];
        text += &line("GROUP", words);
    }
    for world in worlds {
        let is_here = |disk: &Disk| world.disks.contains_key(&disk.id);
        let chosen =
            |disk: &&Disk| is_here(disk) && (disks.is_empty() || disks.contains(&disk.media));
        for disk in world.group.disks.iter().filter(chosen) {
            let device = access_name(world, disk.id);
            for (start, length) in gaps(&world.group, disk) {
                let (start, length) = (start.get().to_string(), length.get().to_string());
                let words = [disk.media.as_str(), &device, &device, &start, &length, "-"];
                text += &line(world.group.name.as_str(), words);
            }
        }
    }
    Ok(text)
}

/// The pieces of a disk that are not in use, by where they begin and how long they are.
fn gaps(group: &Group, disk: &Disk) -> Vec<(Sectors, Sectors)> {
    let used = group.extents().filter(|extent| extent.disk == disk.id);
    let mut used: Vec<(Sectors, Sectors)> = used.map(|e| (e.start, e.end())).collect();
    used.sort_unstable();
    used.push((disk.size, disk.size));
    let mut at = Sectors::ZERO;
    let mut gaps = Vec::new();
    for (start, end) in used {
        let length = start.saturating_sub(at);
        if !length.is_zero() {
            gaps.push((at, length));
        }
        at = at.max(end);
    }
    gaps
}

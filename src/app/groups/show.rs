//! Lists and shows groups and disks.

use crate::app::scan::Scan;
use crate::app::session::View;
use crate::app::{DiskLine, Env, GroupLine, Outcome};
use crate::error::Result;
use crate::meta;
use crate::model::{Disk, Name, UNFINISHED};
use crate::sys::disk::Stranger;
use crate::sys::machine::Machine;
use std::collections::BTreeSet;
use std::path::Path;

/// `group list`.
pub fn groups(env: Env<'_>) -> Result<Outcome> {
    let scan = Scan::new(env.machine)?;
    scan.tell_late(env);
    Ok(Outcome::Groups(list(&scan, env.machine)?).lacking(scan.silent()))
}

/// `group dump`.
pub fn dump(name: &Name, env: Env<'_>) -> Result<Outcome> {
    let scan = Scan::new(env.machine)?;
    scan.tell_late(env);
    meta::dump_all(&scan.choose(scan.group_named(name.as_str())?)?.whole).map(Outcome::Dump)
}

/// `disk list`.
pub fn disks(env: Env<'_>) -> Result<Outcome> {
    let scan = Scan::new(env.machine)?;
    Ok(Outcome::Disks(scan.disk_lines()).lacking(scan.silent()))
}

/// `disk list --all`.
pub fn all_disks(env: Env<'_>) -> Result<Outcome> {
    let scan = Scan::new(env.machine)?;
    let mut lines = scan.disk_lines();
    let known: BTreeSet<&Path> = lines
        .iter()
        .filter_map(|line| line.device.as_deref())
        .collect();
    let strangers = env.machine.whole_disks()?;
    let others: Vec<DiskLine> = strangers
        .into_iter()
        .filter(|stranger| !known.contains(stranger.candidate.path.as_path()))
        .map(other_disk)
        .collect();
    lines.extend(others);
    Ok(Outcome::Disks(lines).lacking(scan.silent()))
}

fn other_disk(stranger: Stranger) -> DiskLine {
    DiskLine {
        device: Some(stranger.candidate.path),
        id: None,
        media: None,
        group: None,
        group_id: None,
        state: "other",
        size: Some(stranger.candidate.size),
        data_start: None,
        sector_size: Some(stranger.candidate.logical_block),
        remark: stranger.content,
    }
}

fn list(scan: &Scan, machine: &dyn Machine) -> Result<Vec<GroupLine>> {
    let here = machine.host_id().ok();
    let mut lines = Vec::new();
    for id in scan.groups() {
        lines.push(match scan.choose(id) {
            Ok(chosen) => GroupLine {
                name: chosen.group.name.to_string(),
                id,
                state: match chosen.group.host {
                    None => "deported",
                    Some(UNFINISHED) => "unfinished",
                    host if host == here => "imported",
                    Some(_) => "foreign",
                },
                host: chosen.group.host,
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
                host: None,
                generation: None,
                disks: (0, 0),
                volumes: 0,
                remark: Some(error.to_string()),
            },
        });
    }
    Ok(lines)
}

/// `group show`.
pub fn show(name: &Name, env: Env<'_>) -> Result<Outcome> {
    let view = View::look(name, env)?;
    let group = &view.world.group;
    let line = |disk: &Disk| {
        let present = view.world.disks.get(&disk.id);
        DiskLine {
            device: present.map(|p| p.path.clone()),
            id: Some(disk.id),
            media: Some(disk.media.clone()),
            group: Some(group.name.to_string()),
            group_id: Some(group.id),
            state: if present.is_some() {
                "online"
            } else {
                "missing"
            },
            size: Some(disk.size),
            data_start: Some(disk.data_start),
            sector_size: present.map(|p| p.logical_block),
            remark: view
                .outdated()
                .contains(&disk.id)
                .then(|| "its copy of the configuration is old".to_owned()),
        }
    };
    let lines = group.disks.iter().map(line).collect();
    Ok(Outcome::Group(
        Box::new(view.world.state.clone()),
        lines,
        view.fill(),
    ))
}

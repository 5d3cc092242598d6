//! `vxdisk list` in its forms: a line for each disk, a block for each, and all about one.

use super::row::row;
use crate::app::{DiskLine, GroupLine};
use crate::error::{Error, Result};
use crate::model::Sectors;
use std::fmt::Write;

/// Which disks are listed, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskForm {
    /// The form of the list.
    pub shape: DiskShape,
    /// Whether columns have a heading.
    pub heading: bool,
    /// Only disks of this group, by name or UUID.
    pub group: Option<String>,
    /// Whether the groups are shown, in brackets, that are not imported here.
    pub all_groups: bool,
}

/// The form of a list of disks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskShape {
    /// A line for each.
    Lines,
    /// The same with the system's name of the disk.
    More,
    /// A line for each path to each disk.
    Paths,
    /// A block for each of these, or for all.
    Blocks(Vec<String>),
}

const WIDTHS: [usize; 4] = [12, 15, 12, 12];

/// A disk, in the words of VxVM.
struct Disk<'a> {
    line: &'a DiskLine,
    /// Its group, whoever has it.
    group: Option<&'a GroupLine>,
    /// The same, if it is imported here; else `None`.
    imported: Option<&'a GroupLine>,
}

impl<'a> Disk<'a> {
    fn new(line: &'a DiskLine, groups: &'a [GroupLine]) -> Disk<'a> {
        let is_member = !matches!(line.state, "free" | "removed");
        let group = groups
            .iter()
            .find(|group| is_member && Some(group.id) == line.group_id);
        Disk {
            line,
            group,
            imported: group.filter(|group| group.state == "imported"),
        }
    }

    /// The machine that has its group, by the identity of that machine.
    fn host(&self) -> String {
        let host = self.group.and_then(|group| group.host);
        host.map(|host| host.to_string()).unwrap_or_default()
    }

    /// The name of its device without the directory, as in commands; `-` if it is missing.
    fn access_name(&self) -> String {
        let device = self.line.device.as_ref();
        device.map_or_else(dash, |path| {
            path.strip_prefix("/dev")
                .unwrap_or(path)
                .display()
                .to_string()
        })
    }

    /// What the system calls the disk: one word, without the directory.
    fn native_name(&self) -> String {
        let device = self.line.device.as_ref().and_then(|path| path.file_name());
        device.map_or_else(dash, |name| name.to_string_lossy().into_owned())
    }

    fn kind(&self) -> String {
        match self.line.state {
            "missing" => dash(),
            "other" if self.is_lvm() => "auto:LVM".to_owned(),
            "other" | "error" => "auto:none".to_owned(),
            _ => "auto:cdsdisk".to_owned(),
        }
    }

    fn is_lvm(&self) -> bool {
        self.line.remark.as_deref() == Some("LVM2_member")
    }

    fn media(&self) -> String {
        let media = self.line.media.as_ref();
        let media = media.filter(|_| self.imported.is_some());
        media.map_or_else(dash, ToString::to_string)
    }

    fn group(&self, all_groups: bool) -> String {
        match (self.imported, &self.line.group) {
            (Some(group), _) => group.name.clone(),
            (None, Some(group)) if all_groups && self.line.state != "free" => {
                format!("({group})")
            }
            (None, _) => dash(),
        }
    }

    /// May have several words.
    fn status(&self) -> &'static str {
        match self.line.state {
            "missing" => "failed",
            "other" if self.is_lvm() => "LVM",
            "other" => "online invalid",
            "error" => "error",
            "duplicate" => "online udid_mismatch",
            _ => "online",
        }
    }

    /// Whether a word names it: its device, by name or path, or its media name.
    fn is_called(&self, word: &str) -> bool {
        let path = self.line.device.as_ref();
        self.access_name() == word
            || self.native_name() == word
            || path.is_some_and(|path| path.as_os_str() == word)
            || (self.imported.is_some()
                && self.line.media.as_ref().is_some_and(|m| m.as_str() == word))
    }

    fn is_of(&self, group: &str) -> bool {
        let named = |line: &GroupLine| line.name == group || line.id.to_string() == group;
        self.imported.is_some_and(named)
    }
}

fn dash() -> String {
    "-".to_owned()
}

/// A list of disks. Those that a group has lost come last, as in VxVM.
pub fn disks(lines: &[DiskLine], groups: &[GroupLine], form: &DiskForm) -> Result<String> {
    let all = lines.iter().map(|line| Disk::new(line, groups));
    // A disk that is missing from a group of another machine is none of this one's.
    let shown = all.filter(|disk| disk.line.device.is_some() || disk.imported.is_some());
    let mut shown: Vec<Disk<'_>> = match &form.group {
        Some(name) => {
            let named = |line: &&GroupLine| line.name == *name || line.id.to_string() == *name;
            if !groups
                .iter()
                .any(|line| line.state == "imported" && named(&line))
            {
                return Err(
                    Error::not_found(format!("Disk group {name}: No such disk group")).on(name),
                );
            }
            shown.filter(|disk| disk.is_of(name)).collect()
        }
        None => shown.collect(),
    };
    shown.sort_by_key(|disk| (disk.line.device.is_none(), disk.line.device.clone()));
    match &form.shape {
        DiskShape::Lines | DiskShape::More => Ok(table(&shown, form)),
        DiskShape::Paths => Ok(paths(&shown, form)),
        DiskShape::Blocks(names) => {
            let blocks = chosen(&shown, names)?;
            let blocks = blocks.into_iter().map(block);
            Ok(blocks.collect::<Vec<_>>().join("\n"))
        }
    }
}

fn table(disks: &[Disk<'_>], form: &DiskForm) -> String {
    let more = form.shape == DiskShape::More;
    let mut text = String::new();
    if form.heading {
        let words = ["DEVICE", "TYPE", "DISK", "GROUP", "STATUS"];
        text += &if more {
            row(
                &[&WIDTHS[..], &[20, 16]].concat(),
                &[&words[..], &["OS_NATIVE_NAME", "ATTR"]].concat(),
            )
        } else {
            row(&WIDTHS, &words)
        };
    }
    for disk in disks {
        let status = match (disk.line.state, more) {
            // A status of one word, so that the columns behind it can be counted.
            (_, true) => disk.status().replace(' ', "-"),
            ("missing", false) => format!("failed was:{}", disk.native_name()),
            (_, false) => disk.status().to_owned(),
        };
        let (access, kind) = (disk.access_name(), disk.kind());
        let (media, group) = (disk.media(), disk.group(form.all_groups));
        let words = [&access, &kind, &media, &group, &status].map(String::as_str);
        text += &if more {
            let native = disk.native_name();
            row(
                &[&WIDTHS[..], &[20, 16]].concat(),
                &[&words[..], &[&native, "-"]].concat(),
            )
        } else {
            row(&WIDTHS, &words)
        };
    }
    text
}

fn paths(disks: &[Disk<'_>], form: &DiskForm) -> String {
    let widths = [20, 20, 12, 12];
    let mut text = String::new();
    if form.heading {
        text += &row(&widths, &["SUBPATH", "DANAME", "DMNAME", "GROUP", "STATE"]);
    }
    for disk in disks.iter().filter(|disk| disk.line.device.is_some()) {
        let (native, access) = (disk.native_name(), disk.access_name());
        let (media, group) = (disk.media(), disk.group(form.all_groups));
        text += &row(&widths, &[&native, &access, &media, &group, "ENABLED"]);
    }
    text
}

fn chosen<'d, 'a>(disks: &'d [Disk<'a>], names: &[String]) -> Result<Vec<&'d Disk<'a>>> {
    if names.is_empty() {
        return Ok(disks.iter().collect());
    }
    let find = |name: &String| {
        let called: Vec<&Disk<'_>> = disks.iter().filter(|disk| disk.is_called(name)).collect();
        match called.as_slice() {
            [only] => Ok(*only),
            [] => Err(Error::not_found(format!("Device {name}: no such disk"))
                .on(name)
                .hint("'vxdisk list' shows all disks")),
            _ => Err(Error::usage(format!("several groups have a disk '{name}'"))
                .hint("choose one with -g")),
        }
    };
    names.iter().map(find).collect()
}

/// The facts of `-s list`.
fn block(disk: &Disk<'_>) -> String {
    let mut text = String::new();
    let line = disk.line;
    let group = line.group.as_ref();
    let _ = writeln!(text, "Disk:   {}", disk.access_name());
    let _ = writeln!(text, "type:   {}", disk.kind());
    let _ = writeln!(text, "flags:  {}", flags(disk));
    let id = line.id.map_or_else(dash, |id| id.to_string());
    let _ = writeln!(text, "diskid: {id}");
    if let Some(group) = group.filter(|_| line.state != "free") {
        let _ = writeln!(text, "dgname: {group}");
        let id = disk.group.map_or_else(dash, |group| group.id.to_string());
        let _ = writeln!(text, "dgid:   {id}");
        let _ = writeln!(text, "hostid: {}", disk.host());
    }
    text
}

fn flags(disk: &Disk<'_>) -> &'static str {
    match (disk.line.state, disk.imported) {
        ("online", Some(_)) => "online ready private autoconfig noautoimport imported",
        ("online" | "free" | "removed" | "duplicate", _) => "online ready private autoconfig",
        ("missing", _) => "failed",
        ("error", _) => "error private autoconfig",
        _ => "online invalid",
    }
}

/// All about these disks; of the group `only`, if one is given.
pub fn disks_shown(
    lines: &[DiskLine],
    groups: &[GroupLine],
    names: &[String],
    only: Option<&str>,
) -> Result<String> {
    let all = lines.iter().map(|line| Disk::new(line, groups));
    let all: Vec<Disk<'_>> = all
        .filter(|disk| only.is_none_or(|group| disk.is_of(group)))
        .collect();
    let all = chosen(&all, names)?.into_iter().map(all_about);
    Ok(all.collect::<Vec<_>>().join("\n"))
}

fn all_about(disk: &Disk<'_>) -> String {
    let line = disk.line;
    let access = disk.access_name();
    let id = line.id.map_or_else(dash, |id| id.to_string());
    let mut text = String::new();
    let mut fact = |name: &str, value: &str| {
        let _ = writeln!(text, "{}", format!("{name:<11}{value}").trim_end());
    };
    fact("Device:", &access);
    fact("devicetag:", &access);
    fact("type:", "auto");
    fact("hostid:", &disk.host());
    let group = disk.group(false);
    let media = disk.media();
    if disk.imported.is_some() {
        fact("disk:", &format!("name={media} id={id}"));
        let group_id = disk
            .imported
            .map_or_else(dash, |group| group.id.to_string());
        fact("group:", &format!("name={group} id={group_id}"));
    } else {
        fact("disk:", &format!("name= id={id}"));
        let name = line.group.as_deref().unwrap_or_default();
        fact("group:", &format!("name={name} id="));
    }
    let private = line.data_start.unwrap_or(Sectors::ZERO).get();
    let is_ours = !matches!(line.state, "other" | "error");
    if is_ours {
        fact("info:", "format=cdsdisk,privoffset=0");
    } else {
        fact("info:", "format=none");
    }
    fact("flags:", flags(disk));
    if let Some(path) = &line.device {
        let path = path.display();
        fact("pubpaths:", &format!("block={path} char={path}"));
    }
    fact("guid:", &id);
    fact("udid:", &id);
    if is_ours {
        let public = line.size.unwrap_or(Sectors::ZERO).get();
        fact(
            "public:",
            &format!("slice=0 offset={private} len={public} disk_offset=0"),
        );
        fact(
            "private:",
            &format!("slice=0 offset=0 len={private} disk_offset=0"),
        );
    }
    fact("Multipathing information:", "");
    if line.device.is_some() {
        let _ = writeln!(
            text,
            "numpaths:   1\n{:<15} state=enabled",
            disk.native_name()
        );
    } else {
        let _ = writeln!(text, "numpaths:   0");
    }
    text
}

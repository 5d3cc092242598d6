//! Advice in VxVM's words.

use crate::advice::{Advised, Choice, Import, Language, Of};
use crate::cli::native::hints::Native;

/// Advice in VxVM's words; in the native ones where VxVM has none.
pub struct Vx;

impl Language for Vx {
    fn line(&self, advised: &Advised) -> String {
        words(advised).unwrap_or_else(|| Native.line(advised))
    }

    fn choice(&self, choice: Choice) -> String {
        let words = match choice {
            // Disks are operands.
            Choice::NamedDisks => "behind the volume",
            Choice::WithoutLog => "layout=mirror,nolog",
            Choice::Recursive => "-f (vxassist) or -r (vxedit)",
            Choice::Force => "with -f",
            Choice::TakeOver => "with -C",
            // Only this utility overwrites what is on a disk.
            Choice::Expand => "with -o expand",
            Choice::Wipe => "after 'vxdisksetup -i -f'",
        };
        words.to_owned()
    }
}

/// The line; `None` if VxVM has no such words.
fn words(advised: &Advised) -> Option<String> {
    let line = match advised {
        Advised::Remove(of) => on(of, "vxassist", "remove volume"),
        Advised::Mirror { of, avoid } => {
            let avoid = avoid.as_ref().map(|disk| format!(" !{disk}"));
            on(of, "vxassist", "mirror") + &avoid.unwrap_or_default()
        }
        Advised::Start { of, force: false } => on(of, "vxvol", "start"),
        Advised::Start { of, force: true } => on(of, "vxvol", "-f start"),
        Advised::Stop(of) => on(of, "vxvol", "stop"),
        Advised::StopAll(of) => on(of, "vxvol", "stopall"),
        Advised::StartAll(of) => on(of, "vxvol", "startall"),
        // `vxplex att` needs the volume, too.
        Advised::PlexAttach(of) => on(of, "vxmend", "on"),
        Advised::Print(of) => on(of, "vxprint", ""),
        Advised::SnapStart(of) => on(of, "vxassist", "snapstart"),
        Advised::SnapWait(of) => on(of, "vxassist", "snapwait"),
        Advised::Snapshot { of, plex: None } => on(of, "vxassist", "snapshot"),
        Advised::Snapshot {
            of,
            plex: Some(plex),
        } => on(of, "vxassist", &format!("snapshot plex={plex}")),
        Advised::SnapAbort(of) => on(of, "vxassist", "snapabort"),
        Advised::SnapClear { of, all: false } => on(of, "vxassist", "snapclear"),
        Advised::SnapPrint(of) => on(of, "vxassist", "snapprint"),
        Advised::ToActive(of) => convert(of, "ACTIVE"),
        Advised::ToSnapDone(of) => convert(of, "SNAPDONE"),
        Advised::PlexRemove(of) => on(of, "vxplex", "-o rm dis"),
        Advised::PlexDetach(of) => on(of, "vxplex", "det"),
        // It shows the groups that are not imported, too.
        Advised::GroupList | Advised::DiskList => "vxdisk -o alldgs list".to_owned(),
        Advised::GroupCreate => "vxdg init NAME DEVICE…".to_owned(),
        Advised::GroupShow { group } => format!("vxdg list {group}"),
        Advised::GroupAdd { group: None } => "vxdg adddisk".to_owned(),
        Advised::GroupAdd { group: Some(group) } => format!("vxdg -g {group} adddisk DEVICE"),
        Advised::GroupDestroy { group } => format!("vxdg destroy {group}"),
        Advised::GroupJoin { group, to } => format!("vxdg join {group} {to}"),
        Advised::GroupRemoveDisk => "vxdg rmdisk".to_owned(),
        Advised::GroupImport { group, how } => import(group, how),
        Advised::GroupReplaceDisk { group, disk } => {
            format!("vxdg -g {group} -k adddisk {disk}=DEVICE")
        }
        Advised::DiskInit { devices } => devices
            .iter()
            .fold("vxdisksetup -i -f".to_owned(), |line, device| {
                line + " " + device
            }),
        Advised::Make { .. }
        | Advised::SnapClear { all: true, .. }
        | Advised::Recover
        | Advised::GroupChoose { .. } => return None,
    };
    Some(line)
}

/// A line of a utility on an object.
fn on(of: &Of, utility: &str, words: &str) -> String {
    let group = of.group.as_ref().map(|group| format!("-g {group}"));
    let words = Some(words.to_owned()).filter(|words| !words.is_empty());
    let parts = [Some(utility.to_owned()), group, words, of.name.clone()];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn convert(of: &Of, state: &str) -> String {
    let plex = of.name.as_deref().unwrap_or("PLEX");
    let of = Of {
        group: of.group.clone(),
        name: Some(plex.to_owned()),
    };
    on(&of, "vxplex", &format!("convert state={state}"))
}

fn import(group: &str, how: &Import) -> String {
    match how {
        Import::Plain => format!("vxdg import {group}"),
        Import::Incomplete => format!("vxdg -f import {group}"),
        Import::FromElsewhere => format!("vxdg -C import {group}"),
        Import::Renamed => format!("vxdg -n NEW import {group}"),
        Import::Cloned(name) => {
            format!("vxdg -o useclonedev=on -o updateid -n {name} import {group}")
        }
    }
}

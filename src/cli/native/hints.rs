//! Advice in the words of the native command line.

use crate::advice::{Advised, Choice, Import, Language, Of};

/// The native words. VxVM's front end uses them, too, for what it has no verb for.
pub struct Native;

impl Language for Native {
    fn line(&self, advised: &Advised) -> String {
        format!("breakoff {}", words(advised))
    }

    fn choice(&self, choice: Choice) -> String {
        let words = match choice {
            Choice::NamedDisks => "with --on",
            Choice::WithoutLog => "--no-log",
            Choice::Recursive => "--recursive",
            Choice::Expand => "with --expand",
            Choice::Force | Choice::TakeOver | Choice::Wipe => "with --force",
        };
        words.to_owned()
    }
}

fn words(advised: &Advised) -> String {
    match advised {
        Advised::Make { sector_size } => format!("make --sector-size {sector_size}"),
        Advised::Remove(of) => verb("remove", of),
        Advised::Mirror { of, avoid } => {
            verb("mirror", of) + &option(" --avoid ", avoid.as_deref())
        }
        Advised::Start { of, force: false } => verb("start", of),
        Advised::Start { of, force: true } => verb("start --force", of),
        Advised::Stop(of) => verb("stop", of),
        Advised::StopAll(of) => verb("stop --all", of),
        Advised::StartAll(of) => verb("start --all", of),
        Advised::PlexAttach(of) => verb("plex attach", of),
        Advised::Recover => "recover".to_owned(),
        Advised::Print(of) => verb("print", of),
        Advised::SnapStart(of) => verb("snapstart", of),
        Advised::SnapWait(of) => verb("snapwait", of),
        Advised::Snapshot { of, plex } => {
            verb("snapshot", of) + &option(" --plex ", plex.as_deref())
        }
        Advised::SnapAbort(of) => verb("snapabort", of),
        Advised::SnapClear { of, all: false } => verb("snapclear", of),
        Advised::SnapClear { of, all: true } => verb("snapclear --all", of),
        Advised::SnapPrint(of) => verb("snapprint", of),
        Advised::ToActive(of) => convert("active", of),
        Advised::ToSnapDone(of) => convert("snapdone", of),
        Advised::PlexRemove(of) => verb("plex remove", of),
        Advised::PlexDetach(of) => verb("plex detach", of),
        Advised::GroupList => "group list".to_owned(),
        Advised::GroupCreate => "group create NAME DEVICE…".to_owned(),
        Advised::GroupShow { group } => format!("group show {group}"),
        Advised::GroupAdd { group: None } => "group add".to_owned(),
        Advised::GroupAdd { group: Some(group) } => format!("group add {group} DEVICE"),
        Advised::GroupDestroy { group } => format!("group destroy {group}"),
        Advised::GroupRemoveDisk => "group remove-disk".to_owned(),
        Advised::GroupJoin { group, to } => format!("group join {group} {to}"),
        Advised::GroupImport { group, how } => import(group, how),
        Advised::GroupChoose { group, side } => format!("group choose {group} {side}"),
        Advised::GroupReplaceDisk { group, disk } => {
            format!("group replace-disk {group} {disk} DEVICE")
        }
        Advised::DiskList => "disk list".to_owned(),
        Advised::DiskInit { devices } => devices
            .iter()
            .fold("disk init --force".to_owned(), |line, device| {
                line + " " + device
            }),
    }
}

fn import(group: &str, how: &Import) -> String {
    match how {
        Import::Plain => format!("group import {group}"),
        Import::Incomplete => format!("group import --force {group}"),
        // The line that was typed, and a word more.
        Import::FromElsewhere => format!("group import {group} --force"),
        Import::Renamed => format!("group import {group} --name NEW"),
        Import::Cloned(name) => format!("group import {group} --clone {name} DEVICE…"),
    }
}

/// `-g GROUP VERB NAME`.
fn verb(verb: &str, of: &Of) -> String {
    let group = of
        .group
        .as_ref()
        .map_or_else(String::new, |group| format!("-g {group} "));
    format!("{group}{verb}{}", option(" ", of.name.as_deref()))
}

/// A conversion always says what is converted.
fn convert(to: &str, of: &Of) -> String {
    let plex = of.name.as_deref().unwrap_or("PLEX");
    let of = Of {
        group: of.group.clone(),
        name: Some(plex.to_owned()),
    };
    verb(&format!("plex convert --to {to}"), &of)
}

fn option(before: &str, value: Option<&str>) -> String {
    value.map_or_else(String::new, |value| format!("{before}{value}"))
}

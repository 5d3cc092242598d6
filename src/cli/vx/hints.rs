//! Advice in the syntax of `vxassist`, as far as it has a verb (see `assist`).

use crate::advice::{Advised, Choice, Language, Of};
use crate::cli::native::hints::Native;

/// Advice in VxVM's syntax; in the native one where `vxassist` has no verb.
pub struct Vx;

impl Language for Vx {
    fn line(&self, advised: &Advised) -> String {
        words(advised).map_or_else(
            || Native.line(advised),
            |(of, words)| {
                let group = of.group.as_ref();
                let group = group.map_or_else(String::new, |group| format!(" -g {group}"));
                format!("vxassist{group} {}", words.join(" "))
            },
        )
    }

    fn choice(&self, choice: Choice) -> String {
        let words = match choice {
            // `vxassist` takes disks as operands.
            Choice::NamedDisks => "behind the volume",
            Choice::WithoutLog => "layout=mirror,nolog",
            Choice::Recursive => "-f",
        };
        words.to_owned()
    }
}

/// Returns the object of the line, and its words after the group; `None` if `vxassist` has no such
/// verb.
fn words<'a>(advised: &'a Advised) -> Option<(&'a Of, Vec<String>)> {
    let line = |of: &'a Of, before: &[&str], after: Option<String>| {
        let name = of.name.clone().into_iter().chain(after);
        let words = before.iter().map(|word| (*word).to_owned()).chain(name);
        Some((of, words.collect()))
    };
    match advised {
        Advised::Remove(of) => line(of, &["remove", "volume"], None),
        Advised::Mirror { of, avoid } => line(
            of,
            &["mirror"],
            avoid.as_ref().map(|disk| format!("!{disk}")),
        ),
        Advised::SnapStart(of) => line(of, &["snapstart"], None),
        Advised::SnapWait(of) => line(of, &["snapwait"], None),
        Advised::Snapshot { of, plex: None } => line(of, &["snapshot"], None),
        Advised::Snapshot {
            of,
            plex: Some(plex),
        } => line(of, &["snapshot", &format!("plex={plex}")], None),
        Advised::SnapAbort(of) => line(of, &["snapabort"], None),
        Advised::SnapClear { of, all: false } => line(of, &["snapclear"], None),
        Advised::SnapPrint(of) => line(of, &["snapprint"], None),
        // `vxassist` has no syntax for a sector size, nor for all relations.
        Advised::Make { .. } | Advised::SnapClear { all: true, .. } => None,
        // Other VxVM utilities do these, and are not supported here.
        Advised::Start { .. }
        | Advised::Stop(_)
        | Advised::StopAll(_)
        | Advised::StartAll(_)
        | Advised::PlexAttach(_)
        | Advised::Recover
        | Advised::Print(_)
        | Advised::ToActive(_)
        | Advised::ToSnapDone(_)
        | Advised::PlexRemove(_)
        | Advised::PlexDetach(_)
        | Advised::GroupList
        | Advised::GroupCreate
        | Advised::GroupShow { .. }
        | Advised::GroupAdd { .. }
        | Advised::GroupDestroy { .. }
        | Advised::GroupRemoveDisk
        | Advised::GroupImport { .. }
        | Advised::GroupChoose { .. }
        | Advised::GroupReplaceDisk { .. }
        | Advised::DiskList
        | Advised::DiskInit { .. } => None,
    }
}

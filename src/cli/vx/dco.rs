//! `vxdco`, and the words of `vxsnap` that concern traditional snapshots. A volume's map of changes
//! is made when FastResync is switched on, and needs no care.

use super::{Job, Utility, each, refused, vol};
use crate::app::{Command, Query};
use crate::cli::vx::words::{Syntax, Words};
use crate::error::{Error, Result};
use crate::model::Name;
use crate::plan::request::Request;

pub(super) const UTILITY: Utility = Utility {
    syntax: Syntax {
        utility: "vxdco",
        valued: "",
        flags: "fV",
        keyword: true,
    },
    read,
};

pub(super) const SNAP: Utility = Utility {
    syntax: Syntax {
        utility: "vxsnap",
        valued: "d",
        flags: "bfqvV",
        keyword: true,
    },
    read: snap,
};

fn read(words: &mut Words) -> Result<Job> {
    match words.keyword()?.as_str() {
        "dis" => {
            words.uses("rm");
            let objects = words.some_names("a DCO")?;
            switch(volumes_of(&objects)?, false)
        }
        // A map that cannot be trusted is given up at once, and a new one is made with the next
        // snapshot: none is ever marked as bad.
        "enable" => {
            words.uses("force");
            let volumes = volumes_of(&words.some_names("a DCO")?)?;
            // Fails if one of them is not there.
            Ok(Job::Each(vec![Command::Show(Query::Print(volumes))]))
        }
        other => Err(refused(words, other)),
    }
}

/// A DCO is named after its volume.
fn volumes_of(objects: &[Name]) -> Result<Vec<Name>> {
    let volume = |object: &Name| match object.as_str().strip_suffix("_dco") {
        Some(volume) => Name::parse(volume),
        None => Err(Error::not_found(format!("there is no DCO '{object}'"))
            .on(object)
            .hint("the DCO of a volume is called VOLUME_dco")),
    };
    objects.iter().map(volume).collect()
}

fn snap(words: &mut Words) -> Result<Job> {
    match words.keyword()?.as_str() {
        // How large the map is and where it lies is chosen with the leg that needs it.
        keyword @ ("prepare" | "addmap") => {
            for without_effect in ["regionsize", "ndcomirs", "ndcomirror", "drl", "dcoversion"] {
                words.attribute(without_effect);
            }
            vol::fast_resync(words)?;
            let volume = words.name(&format!("a volume to {keyword}"))?;
            words.placement()?;
            switch(vec![volume], true)
        }
        "unprepare" => switch(words.some_names("a volume")?, false),
        other => Err(refused(words, other)),
    }
}

fn switch(volumes: Vec<Name>, on: bool) -> Result<Job> {
    let set = |volume| Command::Change(Request::FastResync { volume, on });
    Ok(each(volumes.into_iter().map(set)))
}

//! `grow --resizefs`: the filesystem on a volume grows with it, by the filesystem's own program.
//!
//! Whether it can is found out before the volume grows. The program runs afterwards and without the
//! group's lock: it writes to the volume, and blocks while a leg that has failed is not taken out.

use super::paths;
use super::session::View;
use super::{Env, Report};
use crate::error::{Error, Result};
use crate::model::Name;
use crate::sys::filesystem::{Filesystem, Program};
use std::ffi::OsString;
use std::path::Path;

/// A filesystem that can grow.
pub struct Resize {
    /// Its volume, as `g/v`.
    volume: String,
    /// Its type.
    kind: String,
    program: Program,
}

impl Resize {
    /// Finds the filesystem on a volume. Fails if it cannot grow.
    pub fn of(view: &View<'_>, name: &Name) -> Result<Resize> {
        let (world, machine) = (&view.world, view.env.machine);
        let volume = world.group.volume_named(name)?;
        let path = world.group.path(name);
        let device = world.started(volume);
        let node = paths::of(world, volume, view.env);
        let Some((device, node)) = device.zip(node) else {
            let down = format!("'{path}' is not started, so no filesystem on it can grow");
            return Err(Error::not_ready(down).on(path));
        };
        let found = machine.filesystem(device.dev, &node).ok_or_else(|| {
            Error::not_ready(format!("there is no filesystem on '{path}'")).on(&path)
        })?;
        let program = program(&path, &found, &node)?;
        if !machine.has_program(program.name) {
            let missing = format!(
                "'{}' is missing, which makes the filesystem on '{path}' ({}) larger",
                program.name, found.kind
            );
            let hint = format!("install {}", program.package);
            return Err(Error::unsupported(missing).on(path).hint(hint));
        }
        Ok(Resize {
            volume: path,
            kind: found.kind,
            program,
        })
    }

    /// Makes the filesystem as large as its volume, which has grown by now. What goes wrong is a
    /// failure in the report: the volume stays larger.
    pub fn carry_out(&self, report: &mut Report, env: Env<'_>) {
        let Resize {
            volume,
            kind,
            program,
        } = self;
        match env.machine.run_program(program) {
            Ok(()) => report.notes.push(format!(
                "the filesystem on '{volume}' ({kind}) is as large as the volume"
            )),
            Err(error) => report.failures.push(
                error
                    .context(format!(
                        "'{volume}' has grown, but not its filesystem ({kind})"
                    ))
                    .on(volume)
                    .hint(format!("when that is mended, type '{program}'")),
            ),
        }
    }
}

/// The program for a filesystem, which has to be mounted.
fn program(path: &str, found: &Filesystem, device: &Path) -> Result<Program> {
    let kind = found.kind.as_str();
    let (name, package) = match kind {
        "ext3" | "ext4" => ("resize2fs", "e2fsprogs"),
        "xfs" => ("xfs_growfs", "xfsprogs"),
        "btrfs" => ("btrfs", "btrfs-progs"),
        _ => {
            let other =
                format!("what is on '{path}' ({kind}) cannot be made larger together with it");
            let hint = "grow the volume alone, then what is on it by its own tool";
            return Err(Error::unsupported(other).on(path).hint(hint));
        }
    };
    let Some(point) = &found.mounted else {
        let idle = format!("the filesystem on '{path}' ({kind}) is not mounted here");
        let shown = device.display();
        let hint = match kind {
            "xfs" | "btrfs" => "mount it first".to_owned(),
            _ => format!(
                "mount it first; or, if it is mounted nowhere, grow the volume alone and type 'e2fsck -f {shown}' and 'resize2fs {shown}'"
            ),
        };
        return Err(Error::not_ready(idle).on(path).hint(hint));
    };
    if found.is_elsewhere && kind == "btrfs" {
        let several = format!("the filesystem on '{path}' ({kind}) lies on other devices, too");
        let hint = "grow the volume alone, then use 'btrfs filesystem resize DEVID:max'";
        return Err(Error::unsupported(several).on(path).hint(hint));
    }
    let point = OsString::from(point);
    let args = match kind {
        "btrfs" => ["filesystem", "resize", "max"]
            .map(OsString::from)
            .into_iter()
            .chain([point])
            .collect(),
        "xfs" => vec![point],
        _ => vec![device.into()],
    };
    Ok(Program {
        name,
        package,
        args,
    })
}

//! What the utilities of VxVM print. Nothing outside this module knows of their forms; `cli` turns
//! the words of a command line into the name of a form, such as [`Form`].
//!
//! `vxprint` shows the configuration as records. Each of its forms is made from the same
//! records and asks them for fields by name, so that no two forms disagree.
//!
//! What is promised: lines of columns have as many words as their heading, a value that is missing is
//! `-`, words are never cut, and lengths are bare sectors.

mod blocks;
mod disks;
mod expr;
mod form;
mod format;
mod groups;
mod info;
mod lines;
mod pairs;
mod print;
mod record;
mod room;
mod row;
mod select;
mod snapprint;
mod stat;
mod summary;
mod tasks;
mod unit;
mod world;

pub use disks::{DiskForm, DiskShape, disks, disks_shown};
pub use expr::Expr;
pub use form::{Form, Shape};
pub use format::Format;
pub use groups::{free, group, groups};
pub use info::info;
pub use print::text;
pub use record::Kind;
pub use room::room;
pub use snapprint::snapprint;
pub use stat::{StatUnit, stat, stat_rows};
pub use tasks::{
    Task, TaskForm, TaskKind, refuse_unknown, task_ended, task_heading, task_line, tasks,
    tasks_text,
};
pub use unit::Unit;

use crate::model::{DiskId, Name};
use crate::plan::world::World;

/// The access name of a disk: its device without the directory; `-` if it is missing.
fn access_name(world: &World, disk: DiskId) -> String {
    let found = world.disks.get(&disk);
    found.map_or_else(
        || "-".to_owned(),
        |found| {
            let path = found.path.as_path();
            path.strip_prefix("/dev")
                .unwrap_or(path)
                .display()
                .to_string()
        },
    )
}

/// The object of a message about something that is not there: in the only group that was looked at.
pub fn place(worlds: &[World], name: &Name) -> String {
    match worlds {
        [only] => only.group.path(name),
        _ => name.to_string(),
    }
}

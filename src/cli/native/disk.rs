//! `disk …`: disks, in a group or not.

use super::words;
use crate::app::{Command, Query};
use crate::model::{Name, Sectors};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Disks: list, init, erase, resize
#[derive(Subcommand)]
pub(super) enum Disk {
    List(List),
    Init(Init),
    Erase(Erase),
    Resize(Resize),
}

/// List the disks of ours, in a group or free
#[derive(Args)]
pub(super) struct List {
    /// Also the other disks of this machine, with what is on them
    #[arg(long)]
    all: bool,
}

/// Initialise disks without putting them into a group
///
/// A disk that carries a filesystem, a partition table or anything else that can be recognised is
/// refused, and so is one that is in use.
#[derive(Args)]
pub(super) struct Init {
    /// The disks
    #[arg(required = true, value_name = "DEV")]
    devices: Vec<PathBuf>,
    /// Take them although they carry a signature, which is wiped
    #[arg(long)]
    force: bool,
    /// Size of the private area, for very large configurations
    #[arg(long, value_name = "SIZE", value_parser = words::size)]
    area: Option<Sectors>,
}

/// Erase the labels of disks that are in no group: they are breakoff's no more
///
/// A disk of a group is refused, whichever machine has the group: take the disk out of it first. A
/// device that is in use is refused, too. What else is on the disk stays.
#[derive(Args)]
pub(super) struct Erase {
    /// The disks
    #[arg(required = true, value_name = "DEV")]
    devices: Vec<PathBuf>,
    /// Also erase a damaged label, and that of a group of which no configuration can be read
    #[arg(long)]
    force: bool,
}

/// Take the space of a disk that has become larger
///
/// Its volumes may be in use. A disk cannot become smaller: one that has is refused.
#[derive(Args)]
pub(super) struct Resize {
    /// The disk's media name
    #[arg(value_name = "MEDIA", value_parser = Name::parse)]
    media: Name,
}

impl Disk {
    pub(super) fn command(self) -> Command {
        match self {
            Disk::List(List { all: false }) => Command::Show(Query::Disks),
            Disk::List(List { all: true }) => Command::Show(Query::AllDisks),
            Disk::Resize(Resize { media }) => Command::DiskResize(media),
            Disk::Erase(Erase { devices, force }) => Command::DiskErase { devices, force },
            Disk::Init(Init {
                devices,
                force,
                area,
            }) => Command::DiskInit {
                devices,
                force,
                area,
            },
        }
    }
}

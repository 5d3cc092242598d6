//! `make`

use super::names::Names;
use super::owner::Access;
use super::words::{self, Where};
use crate::app::Command;
use crate::model::{Name, SectorSize, Sectors};
use crate::plan::request::Request;
use clap::{ArgAction, Args};

/// Make a volume
///
/// Its device is /dev/breakoff/GROUP/VOL. With --mirrors its contents are kept on so many plexes,
/// no two of them on one disk.
#[derive(Args)]
pub(super) struct Make {
    /// Name of the new volume
    #[arg(value_name = "VOL", value_parser = Name::parse, add = Names::New)]
    volume: Name,
    /// Its size: bytes, or with a suffix s (sectors of 512 bytes), k, m, g or t
    #[arg(value_parser = words::size)]
    size: Sectors,
    /// Number of plexes
    #[arg(long, value_name = "N", default_value = "1", value_parser = words::count)]
    mirrors: usize,
    #[command(flatten)]
    place: Where,
    /// Keep no dirty region log: after a crash the whole mirror is resynchronised
    #[arg(long)]
    no_log: bool,
    /// Track changes while snapshots are out, so that snapback copies only those
    #[arg(long, value_name = "on|off", default_value = "on", action = ArgAction::Set, value_parser = words::switch)]
    fast_resync: bool,
    /// Let its plexes lie on disks with sectors of so many bytes at most (512 to 4096); by default
    /// as large as those of its first disks
    ///
    /// The volume of a plex on a disk with sectors of 4096 bytes has such sectors itself, and a
    /// filesystem with smaller ones cannot be used on it. So a plex is refused on a disk with
    /// larger sectors than the volume was made for. With 4096 it may lie on any disk; give it a
    /// filesystem that can (mkfs.xfs -s size=4096, mkfs.ext4 -b 4096).
    #[arg(long, value_name = "BYTES", value_parser = words::sector_size)]
    sector_size: Option<SectorSize>,
    #[command(flatten)]
    access: Access,
}

impl Make {
    pub(super) fn command(self) -> Command {
        Command::Change(Request::Make {
            volume: self.volume,
            size: self.size,
            mirrors: self.mirrors,
            placement: self.place.placement(),
            log: !self.no_log,
            fast_resync: self.fast_resync,
            sector_size: self.sector_size,
            owner: self.access.node_owner(),
        })
    }
}

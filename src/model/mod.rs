//! The model of a disk group: pure data and its rules. Nothing here knows of a kernel, file, clock
//! or environment.

pub mod check;
pub mod device;
pub mod disk;
pub mod distinct;
pub mod group;
pub mod handled;
pub mod handover;
pub mod ids;
pub mod name;
pub mod owner;
pub mod platform;
pub mod ranges;
pub mod space;
pub mod state;
pub mod units;
pub mod volume;

pub use device::{DmName, DmUuid, Role};
pub use disk::{Disk, Extent, Standing, Testimony};
pub use distinct::distinct;
pub use group::{Group, Handover, Places, UNFINISHED};
pub use handled::Handled;
pub use ids::{
    BootId, DevNo, DiskId, Generation, GroupId, HandoverId, HostId, Timestamp, VolumeId,
};
pub use name::Name;
pub use owner::{Account, NodeMode, NodeOwner};
pub use platform::Platform;
pub use state::{Next, PlexEvent, PlexState};
pub use units::{SectorSize, Sectors};
pub use volume::{
    Apart, AtBoot, Away, ChangeLog, CrashReason, Dco, Lanes, Log, LostLeg, Origin, Plex, Returning,
    Tracking, Untracked, Volume,
};

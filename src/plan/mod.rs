//! The planner: `plan(&Situation, &Request) -> Result<Plan>`. It is pure: it reads its input and has no
//! side effects. A refusal is data too ([`Refusal`]).
//!
//! A verb changes a copy of the configuration. The steps follow from the difference between that
//! copy and what was observed.

pub mod activate;
pub mod attach;
pub mod change;
pub mod clone;
pub mod disks;
pub mod draft;
pub mod erase;
pub mod evidence;
pub mod finding;
pub mod found;
pub mod groups;
pub mod handover;
pub mod hotplug;
pub mod lacking;
pub mod log;
mod needs;
pub mod plexes;
mod prospect;
pub mod quorum;
pub mod refusal;
pub mod relabel;
pub mod relations;
pub mod render;
pub mod request;
pub mod room;
pub mod sectors;
pub mod snapback;
pub mod snapshot;
pub mod step;
pub mod tracking;
pub mod transition;
pub mod view;
pub mod volumes;
pub mod world;

use evidence::Situation;
pub use needs::{Need, group_needs, needs};
pub use refusal::{Refusal, Result};
use request::Request;
use step::Plan;

/// Plans a request. Refuses to change a group whose present disks have no quorum.
pub fn plan(world: &Situation, request: &Request) -> Result<Plan> {
    match decide(world, request) {
        // If disks are missing and there is no quorum, that is why there is no space: report it.
        Err(full @ Refusal::Space(_)) => Err(quorum::refuse_minority(world).err().unwrap_or(full)),
        planned => planned.and_then(|plan| quorum::refuse_change(world, &plan).map(|()| plan)),
    }
}

fn decide(world: &Situation, request: &Request) -> Result<Plan> {
    match request {
        Request::Make {
            volume,
            size,
            mirrors,
            placement,
            log,
            fast_resync,
            sector_size,
            owner,
        } => volumes::make(
            world,
            &volumes::Make {
                volume,
                size: *size,
                mirrors: *mirrors,
                placement,
                log: *log,
                fast_resync: *fast_resync,
                sector_size: *sector_size,
                owner,
            },
        ),
        Request::Remove { volumes, recursive } => volumes::remove(world, volumes, *recursive),
        Request::Rename { volume, to } => volumes::rename(world, volume, to),
        Request::Owner { volumes, change } => volumes::owner(world, volumes, change),
        Request::Grow {
            volume,
            to,
            placement,
            filesystem,
        } => volumes::grow(world, volume, *to, (placement, *filesystem)),
        Request::Mirror {
            volume,
            placement,
            lanes,
        } => attach::mirror(world, volume, placement, *lanes),
        Request::LogAdd { volume, placement } => log::add(world, volume, placement),
        Request::LogRemove(volume) => log::remove(world, volume),
        Request::Start { volumes, force } => activate::start(world, volumes, *force),
        Request::Stop(which) => activate::stop(world, which),
        Request::SnapStart {
            volumes,
            mirrors,
            placement,
            lanes,
        } => attach::snapstart(world, volumes, *mirrors, placement, *lanes),
        Request::Snapshot {
            splits,
            legs,
            pattern,
            require_frozen,
        } => snapshot::snapshot(world, splits, legs, pattern.as_deref(), *require_frozen),
        Request::SnapAbort { volume, count } => snapshot::snapabort(world, volume, *count),
        Request::SnapClear { volume, which } => snapshot::snapclear(world, volume, which),
        Request::AtBoot { snapshots, how } => snapback::at_boot(world, snapshots, *how),
        Request::SnapBack {
            snapshots,
            mirrors,
            from,
            keep,
            lanes,
        } => {
            let how = snapback::How {
                mirrors: *mirrors,
                from: *from,
                keep: *keep,
                lanes: *lanes,
            };
            snapback::snapback(world, snapshots, &how)
        }
        Request::FastResync { volume, on } => tracking::fast_resync(world, volume, *on),
        Request::PlexConvert { plex, to } => plexes::convert(world, plex, *to),
        Request::PlexDetach(plex) => plexes::detach(world, plex),
        Request::PlexAttach { plex, lanes } => attach::reattach(world, plex, *lanes),
        Request::PlexRemove(plex) => plexes::remove(world, plex),
        Request::PlexAbort(plex) => plexes::abort(world, plex),
    }
}

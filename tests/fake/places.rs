//! Where the live tables lead to, and where the configuration says that the data lies.

use super::State;
use super::dm::Placed;
use breakoff::model::{Extent, Group, Role, Sectors, Volume};
use breakoff::table::stack::change_log;

impl State {
    /// The lines of live tables that lead to other sectors than those of a plex or log of their
    /// volume.
    pub fn misplaced(&self, group: &Group) -> Vec<String> {
        let mut wrong = Vec::new();
        for device in self.dm.all() {
            let Some(volume) = device.uuid.volume().and_then(|id| group.volume(id)) else {
                continue;
            };
            let role = device.uuid.role().unwrap_or(Role::Volume);
            for line in device.on_disks() {
                let right = self.places(group, volume, &role);
                if !right.is_empty() && !right.contains(&line) {
                    wrong.push(format!(
                        "'{}' leads to {line:?}, its volume lies on {right:?}",
                        device.name
                    ));
                }
            }
        }
        wrong
    }

    /// Where a device may lead to; nothing for what the configuration has no more.
    fn places(&self, group: &Group, volume: &Volume, role: &Role) -> Vec<Placed> {
        let place = |start: Sectors, extent: &Extent| {
            let disk = group.disk(extent.disk)?;
            let offset = disk.data_start.get() + extent.start.get();
            Some(Placed {
                start: start.get(),
                length: extent.length.get(),
                disk: self.disk_of(disk.id)?,
                offset,
            })
        };
        let plexes = volume
            .plexes
            .iter()
            .filter(|p| [Role::Volume, Role::Data, Role::Plex(p.number)].contains(role));
        let plexes = plexes
            .flat_map(breakoff::model::Plex::layout)
            .filter_map(|(start, extent)| place(start, extent));
        let changes =
            change_log(volume).filter(|(returning, _)| *role == Role::Changes(returning.log));
        let changes = changes.and_then(|(_, extent)| place(Sectors::ZERO, &extent));
        let log = volume
            .log
            .iter()
            .filter(|_| *role == Role::Log)
            .filter_map(|log| place(Sectors::ZERO, &log.extent));
        plexes.chain(log).chain(changes).collect()
    }
}

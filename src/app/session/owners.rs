//! Who may use the device nodes of volumes. udev's rule is told of a volume before its device comes
//! up, and as long as it is up; a volume that nobody has given an owner is not mentioned.
//!
//! A command that is killed leaves the rule with what was recorded before or after it. The next
//! command and `recover` tell it again, and set the nodes.

use super::Session;
use crate::model::{DmUuid, Role, Volume};
use crate::plan::step::Plan;
use crate::sys::failpoint;
use crate::sys::nodes::{Nodes, Told};
use crate::table::DmDevice;

/// What is done about names of owners that this machine did not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// They stand for the default, as they did.
    AsKnown,
    /// They are looked up again.
    LookUp,
}

impl Session<'_> {
    /// Tells udev's rule of the volumes that a plan brings up. Warns of users and groups that this
    /// machine does not know.
    pub(super) fn tell_owners_of(&mut self, plan: &Plan) {
        let nodes = self.env.machine.nodes();
        let mut warnings = Vec::new();
        for volume in &plan.group.volumes {
            let comes_up = volume.running.is_some() && self.world.started(volume).is_none();
            let before = self.world.group.volume(volume.id);
            let changes = before.is_none_or(|before| before.owner != volume.owner);
            if volume.owner.is_default() || !(comes_up || changes) {
                continue;
            }
            let (told, unknown) = nodes.resolve(&volume.owner);
            let path = plan.group.path(&volume.name);
            let warn =
                |why| format!("'{path}': {why}; its device has the default until the next start");
            warnings.extend(unknown.into_iter().map(warn));
            if comes_up {
                failpoint::step();
                let done = nodes.tell(&self.uuid_of(volume), Some(&told));
                warnings.extend(done.err().map(|error| error.to_string()));
            }
        }
        self.closing.warnings.extend(warnings);
    }

    /// Makes the nodes of the volumes that are up be as it is recorded, and udev's rule keep them
    /// so. Names that were not known are looked up again only if `names` says so: the group is locked
    /// meanwhile. What goes wrong is a warning.
    pub fn agree_owners(&mut self, names: Names) {
        let nodes = self.env.machine.nodes();
        let group = self.world.group.id;
        let mut told = nodes.told();
        told.retain(|uuid, _| uuid.group() == Some(group));
        let mut warnings = Vec::new();
        for volume in &self.world.group.volumes {
            let Some(device) = self.world.started(volume) else {
                continue;
            };
            let known = told.remove(&device.uuid);
            if volume.owner.is_default() && known.is_none() {
                continue;
            }
            let done = agree(nodes.as_ref(), volume, device, known, names);
            warnings.extend(done.err().map(|error| error.to_string()));
        }
        // These are not up any more, or not in the group.
        for uuid in told.keys() {
            failpoint::step();
            let done = nodes.tell(uuid, None);
            warnings.extend(done.err().map(|error| error.to_string()));
        }
        self.closing.warnings.extend(warnings);
    }

    fn uuid_of(&self, volume: &Volume) -> DmUuid {
        DmUuid::new(self.world.group.id, volume.id, &Role::Volume)
    }
}

/// Makes the node of a volume be as it is recorded.
fn agree(
    nodes: &dyn Nodes,
    volume: &Volume,
    device: &DmDevice,
    known: Option<Told>,
    names: Names,
) -> crate::error::Result<()> {
    let is_current = |told: &Told| {
        told.owner.as_ref() == Some(&volume.owner) && (told.is_known || names == Names::AsKnown)
    };
    let wanted = match known.clone().filter(is_current) {
        Some(told) => told,
        None => nodes.resolve(&volume.owner).0,
    };
    if nodes.permissions(device) != Some(wanted.permissions) {
        failpoint::step();
        nodes.set(device, wanted.permissions)?;
    }
    if known.as_ref() != Some(&wanted) {
        failpoint::step();
        nodes.tell(&device.uuid, Some(&wanted))?;
    }
    if known.is_none_or(|known| known.permissions != wanted.permissions) {
        nodes.process_again(device);
    }
    Ok(())
}

//! The nodes of volumes in memory, and a udev that does at once what its rule is told.

use super::{Fake, State, io};
use breakoff::error::{Error, Result};
use breakoff::model::{Account, DmUuid, Group, NodeMode, NodeOwner, Role};
use breakoff::sys::nodes::{Nodes, Permissions, Told};
use breakoff::table::DmDevice;
use std::collections::BTreeMap;

/// What a node has that nobody was told of.
pub const DEFAULT: Permissions = Permissions {
    user: 0,
    group: 6,
    mode: 0o660,
};

pub struct FakeNodes(pub Fake);

/// The users and groups of this machine have the lengths of their names as numbers, but for
/// `nobody-here`.
fn number(account: &Account) -> Option<u32> {
    let known = || u32::try_from(account.as_str().len()).ok();
    let is_known = account.as_str() != "nobody-here";
    account.id().or_else(|| known().filter(|_| is_known))
}

fn resolve(owner: &NodeOwner) -> (Told, Vec<String>) {
    let given = [&owner.user, &owner.group];
    let [user, group] = given.map(|account| account.as_ref().and_then(number));
    let permissions = Permissions {
        user: user.unwrap_or(DEFAULT.user),
        group: group.unwrap_or(DEFAULT.group),
        mode: owner.mode.map_or(DEFAULT.mode, NodeMode::bits),
    };
    let unknown: Vec<String> = given
        .into_iter()
        .flatten()
        .filter(|account| number(account).is_none())
        .map(|account| format!("there is no '{account}'"))
        .collect();
    let told = Told {
        permissions,
        owner: Some(owner.clone()),
        is_known: unknown.is_empty(),
    };
    (told, unknown)
}

impl Nodes for FakeNodes {
    fn resolve(&self, owner: &NodeOwner) -> (Told, Vec<String>) {
        resolve(owner)
    }

    fn told(&self) -> BTreeMap<DmUuid, Told> {
        self.0.0.borrow().told.clone()
    }

    fn tell(&self, volume: &DmUuid, what: Option<&Told>) -> Result<()> {
        self.0
            .change(|| format!("tell udev of {volume}: {what:?}"))
            .map_err(|errno| Error::io("cannot tell udev", &io(errno)))?;
        let told = &mut self.0.0.borrow_mut().told;
        match what {
            Some(what) => drop(told.insert(volume.clone(), what.clone())),
            None => drop(told.remove(volume)),
        }
        Ok(())
    }

    fn permissions(&self, device: &DmDevice) -> Option<Permissions> {
        self.0.0.borrow().dm.node(device.dev.minor).copied()
    }

    fn set(&self, device: &DmDevice, permissions: Permissions) -> Result<()> {
        self.0
            .change(|| format!("set the node of {}: {permissions:?}", device.name))
            .map_err(|errno| Error::io("cannot set a node", &io(errno)))?;
        let state = &mut *self.0.0.borrow_mut();
        let node = state.dm.node_mut(device.dev.minor);
        node.into_iter().for_each(|node| *node = permissions);
        Ok(())
    }

    fn process_again(&self, device: &DmDevice) {
        self.0.0.borrow_mut().udev_processes(&device.uuid);
    }
}

impl State {
    /// An event of a device: its node gets what the rule is told. Without a word nothing of it is
    /// taken back.
    pub fn udev_processes(&mut self, uuid: &DmUuid) {
        let Some(minor) = self.dm.minor_of(uuid) else {
            return;
        };
        if let Some(told) = self.told.get(uuid) {
            let permissions = told.permissions;
            let node = self.dm.node_mut(minor);
            node.into_iter().for_each(|node| *node = permissions);
        }
    }

    /// What is not with the nodes of a group as it is recorded, in words.
    pub fn wrong_nodes(&self, group: &Group) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut told = self.told.clone();
        told.retain(|uuid, _| uuid.group() == Some(group.id));
        for volume in &group.volumes {
            let uuid = DmUuid::new(group.id, volume.id, &Role::Volume);
            let wanted = resolve(&volume.owner).0;
            let minor = self.dm.minor_of(&uuid);
            let node = minor.and_then(|minor| self.dm.node(minor));
            let known = told.remove(&uuid);
            if node.is_some_and(|node| *node != wanted.permissions) {
                wrong.push(format!("'{}' has {node:?}, not {wanted:?}", volume.name));
            }
            if node.is_none() && known.is_some() {
                wrong.push(format!("udev is told of '{}', which is down", volume.name));
            }
            let is_wrong = |known: &Told| known.permissions != wanted.permissions;
            if known.as_ref().map_or(!volume.owner.is_default(), is_wrong) && node.is_some() {
                wrong.push(format!("udev is told {known:?} of '{}'", volume.name));
            }
        }
        wrong.extend(told.keys().map(|uuid| format!("udev is told of {uuid}")));
        wrong
    }
}

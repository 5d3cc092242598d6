//! The permissions of the device nodes of volumes.
//!
//! udev gives a node its permissions with each event, by its rules, so breakoff's rule is told of
//! them. The node itself is set too, for a machine on which udev does not run.

use crate::error::Result;
use crate::model::{DmUuid, NodeOwner};
use crate::table::DmDevice;
use std::collections::BTreeMap;

/// The permissions of a device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permissions {
    /// The number of its user.
    pub user: u32,
    /// The number of its group.
    pub group: u32,
    /// Its permission bits.
    pub mode: u16,
}

/// What udev's rule is told of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What it gives the node.
    pub permissions: Permissions,
    /// The recorded owner that they stand for; `None` if what the rule is told makes no sense.
    pub owner: Option<NodeOwner>,
    /// Whether all of its names were known then.
    pub is_known: bool,
}

/// The nodes of volumes on one machine.
pub trait Nodes {
    /// What the rule is to be told for a recorded owner. What is not recorded, or is not known to
    /// this machine, is as the system has it by default. Returns a text for each name that is not
    /// known. May ask a server for names.
    fn resolve(&self, owner: &NodeOwner) -> (Told, Vec<String>);
    /// What the rule is told, for each volume of which it is told anything.
    fn told(&self) -> BTreeMap<DmUuid, Told>;
    /// Tells the rule of a volume, or nothing of it any more.
    fn tell(&self, volume: &DmUuid, what: Option<&Told>) -> Result<()>;
    /// The permissions of the node of a device, if there is one.
    fn permissions(&self, device: &DmDevice) -> Option<Permissions>;
    /// Sets them.
    fn set(&self, device: &DmDevice, permissions: Permissions) -> Result<()>;
    /// Has udev process a device once more, and does not wait for it: what it is just processing
    /// may have begun with what the rule was told before.
    fn process_again(&self, device: &DmDevice);
}

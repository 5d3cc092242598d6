//! `owner`, and the options of `make` for the same.

use super::words;
use crate::app::Command;
use crate::error::{Error, Result};
use crate::model::{Account, Name, NodeMode, NodeOwner};
use crate::plan::request::{OwnerChange, Request};
use clap::Args;

/// Say who may use the device of a volume
///
/// It is recorded on the volume and holds at once, at each start and on each machine that has the
/// group. Names are looked up where the volume is started; what is not known there is as if it were
/// not recorded, with a warning. What is not given stays as it is; what was never given is as the
/// system has it (root, group disk, 0660). A snapshot inherits nothing: give it an owner of its
/// own.
#[derive(Args)]
pub(super) struct Owner {
    /// The volumes
    #[arg(value_name = "VOL", required = true, value_parser = Name::parse)]
    volumes: Vec<Name>,
    #[command(flatten)]
    access: Access,
    /// Forget what was given
    #[arg(long, conflicts_with_all = ["owner", "mode"])]
    default: bool,
}

/// Who may use the device of a volume.
#[derive(Args)]
pub(super) struct Access {
    /// The user, the group or both that own its device, by name or number
    #[arg(long, value_name = "[USER][:GROUP]", value_parser = words::accounts)]
    owner: Option<(Option<Account>, Option<Account>)>,
    /// The permissions of its device, such as 0660
    #[arg(long, value_name = "MODE", value_parser = NodeMode::parse)]
    mode: Option<NodeMode>,
}

impl Access {
    pub(super) fn node_owner(self) -> NodeOwner {
        let (user, group) = self.owner.unwrap_or_default();
        NodeOwner {
            user,
            group,
            mode: self.mode,
        }
    }
}

impl Owner {
    pub(super) fn command(self) -> Result<Command> {
        let owner = self.access.node_owner();
        let change = match (self.default, owner.is_default()) {
            (true, _) => OwnerChange::Default,
            (false, false) => OwnerChange::Set(owner),
            (false, true) => {
                return Err(Error::usage("nothing says who the owner is to be")
                    .hint("give --owner, --mode or --default"));
            }
        };
        Ok(Command::Change(Request::Owner {
            volumes: self.volumes,
            change,
        }))
    }
}

//! Findings in the kernel, and the plans that follow from them. The first process that sees a
//! finding records it.

mod act;
mod record;
mod see;

use act::give_up;
pub use act::{converge, unhold};
pub use record::{add_copies, add_log};
use record::{record_attached, record_resynced};
pub use see::{findings, lacks_log, short_of_copies, unlogged};

use crate::plan::evidence::Situation;
use crate::plan::refusal::Result;
use crate::plan::request::Finding;
use crate::plan::snapback;
use crate::plan::step::Plan;

/// The plan that a finding asks for.
pub fn plan(world: &Situation, finding: &Finding) -> Result<Plan> {
    match finding {
        Finding::Attached(id) => record_attached(world, *id),
        Finding::Resynced(id) => record_resynced(world, *id),
        Finding::Failed(id, lost) => give_up(world, *id, lost),
        Finding::Inexact(id) => snapback::complete_log(world, *id),
    }
}

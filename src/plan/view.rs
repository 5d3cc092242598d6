//! A plan as plain data for `--dry-run`: what would be done, in order, in words.

use super::change::Change;

/// The whole plan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlanView {
    /// Group that it is for.
    pub group: String,
    /// What would change.
    pub changes: Vec<Change>,
    /// What to know or to do next.
    pub notes: Vec<String>,
    /// Steps before the commit; each can be undone.
    pub prepare: Vec<StepView>,
    /// Steps while volumes are suspended.
    pub window: Vec<StepView>,
    /// Steps after the commit; rolled forward.
    pub finish: Vec<StepView>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepView {
    /// The verb, such as `load`.
    pub verb: &'static str,
    /// The object: a dm name, a disk.
    pub object: String,
    /// Further lines, such as the table.
    pub detail: Vec<String>,
}

//! A plan as plain data for `--dry-run`: the steps in order, as text.

use super::change::Change;

/// A whole plan, as text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlanView {
    /// Name of the group.
    pub group: String,
    /// The changes that would be reported.
    pub changes: Vec<Change>,
    /// Messages on what to know or to do next.
    pub notes: Vec<String>,
    /// Steps before the commit. They leave the configuration as it is.
    pub prepare: Vec<StepView>,
    /// Steps while volumes are suspended.
    pub window: Vec<StepView>,
    /// Steps after the commit. After a crash they are rolled forward.
    pub finish: Vec<StepView>,
}

/// One step of a plan, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepView {
    /// The verb, such as `load`.
    pub verb: &'static str,
    /// The object of the step, such as a dm name or a disk.
    pub object: String,
    /// Further lines, such as the table.
    pub detail: Vec<String>,
}

//! The plan of `--dry-run`, as text for people and as JSON.

use super::changes;
use crate::plan::view::{PlanView, StepView};
use serde::Serialize;

/// The documented JSON shape of a plan.
#[derive(Serialize)]
pub(super) struct View<'a> {
    dry_run: bool,
    group: &'a str,
    #[serde(flatten)]
    changes: changes::View<'a>,
    prepare: Vec<Step<'a>>,
    window: Vec<Step<'a>>,
    finish: Vec<Step<'a>>,
}

#[derive(Serialize)]
struct Step<'a> {
    verb: &'static str,
    object: &'a str,
    detail: &'a [String],
}

impl<'a> View<'a> {
    pub(super) fn new(plan: &'a PlanView) -> View<'a> {
        let PlanView {
            group,
            changes,
            notes,
            prepare,
            window,
            finish,
        } = plan;
        let changes = changes::View::of(changes, notes);
        View {
            dry_run: true,
            group,
            changes,
            prepare: steps(prepare),
            window: steps(window),
            finish: steps(finish),
        }
    }
}

fn steps(steps: &[StepView]) -> Vec<Step<'_>> {
    steps
        .iter()
        .map(|step| Step {
            verb: step.verb,
            object: &step.object,
            detail: &step.detail,
        })
        .collect()
}

/// What would change, then the steps of each phase.
pub(super) fn text(plan: &PlanView) -> String {
    let mut lines: Vec<String> = plan
        .changes
        .iter()
        .map(|change| format!("planned: {change}"))
        .collect();
    lines.extend(plan.notes.iter().map(|note| format!("note: {note}")));
    if plan.changes.is_empty()
        && plan.prepare.is_empty()
        && plan.window.is_empty()
        && plan.finish.is_empty()
    {
        lines.push("nothing to do".to_owned());
    }
    lines.extend(phase("prepare (not committed)", &plan.prepare));
    lines.extend(phase("window (I/O waits)", &plan.window));
    lines.extend(phase("finish (committed)", &plan.finish));
    lines.into_iter().map(|line| line + "\n").collect()
}

/// A phase with its steps, as lines; no lines when it has no steps.
fn phase(title: &str, steps: &[StepView]) -> Vec<String> {
    let heading = (!steps.is_empty()).then(|| format!("{title}:"));
    heading
        .into_iter()
        .chain(steps.iter().flat_map(step))
        .collect()
}

fn step(step: &StepView) -> Vec<String> {
    let head = format!("  {} {}", step.verb, step.object);
    std::iter::once(head)
        .chain(step.detail.iter().map(|line| format!("      {line}")))
        .collect()
}

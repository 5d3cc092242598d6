//! A kernel that lacks a target of device-mapper: a group is created all the same, and what will not
//! work is said at once.

use crate::fake::{Fake, Words};
use breakoff::app::{Outcome, Report};
use breakoff::report::{json, text};
use serde_json::Value;

fn report(outcome: Outcome) -> Report {
    match outcome {
        Outcome::Done(report) => report,
        other => panic!("{other:?}"),
    }
}

/// A machine whose kernel lacks these targets, with a group.
fn created(lacks: &[&'static str]) -> (Fake, Outcome) {
    let fake = Fake::new(&[64, 64]);
    fake.0.borrow_mut().lacks = lacks.to_vec();
    let outcome = fake.ok("group create g /dev/fake1 /dev/fake2");
    (fake, outcome)
}

const UNTRACKED: &str = "this kernel 6.8.0-31-generic lacks the device-mapper target 'era': changes are not tracked, and every snapback \
    copies everything; Ubuntu has the module in the package linux-modules-6.8.0-31-generic";

#[test]
fn without_era_a_group_is_created_and_it_is_said_that_nothing_is_tracked() {
    let (fake, outcome) = created(&["era"]);
    assert!(fake.group().is_some(), "the group is there");
    let printed = json::success(Some("group create"), &outcome).unwrap();
    let printed: Value = serde_json::from_str(&printed).unwrap();
    let notes = &printed["result"]["notes"];
    assert_eq!(notes.as_array().map(Vec::len), Some(1), "{printed}");
    assert_eq!(notes[0].as_str(), Some(UNTRACKED));
    assert_eq!(report(outcome).notes, [UNTRACKED]);
}

#[test]
fn a_kernel_with_everything_is_not_spoken_of() {
    let (_, outcome) = created(&[]);
    assert_eq!(report(outcome).notes, Vec::<String>::new());
}

#[test]
fn it_is_said_before_a_group_is_created_and_when_one_is_imported() {
    let fake = Fake::new(&[64]);
    fake.0.borrow_mut().lacks = vec!["mirror"];
    let planned = fake.ok("--dry-run group create g /dev/fake1");
    let shown = text::outcome(&planned, false);
    assert!(
        shown.contains("lacks the device-mapper target 'mirror': volumes can have one plex only"),
        "{shown}"
    );
    assert!(fake.group().is_none());

    let (fake, _) = created(&["era", "zero"]);
    fake.ok("group deport g");
    let notes = report(fake.ok("group import g")).notes;
    let said = |note: &String| note.contains("targets 'era' and 'zero': changes are not tracked");
    assert!(notes.iter().any(said), "{notes:?}");
}

#[test]
fn without_mirror_a_mirror_is_refused() {
    let (fake, _) = created(&["mirror"]);
    fake.ok("-g g make v 4m");
    let refused = fake.run(&Words::parse("-g g make m 4m --mirrors 2"));
    let error = refused.unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "this kernel lacks the device-mapper target 'mirror'"
    );
}

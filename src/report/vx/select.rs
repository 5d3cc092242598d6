//! Which records of a group are printed: by kind, by name, by expression, and with what belongs to
//! them.
//!
//! Kinds, names and the expression select together. Without any of them all records are selected, in
//! each shape. `-h` adds what is below a selected record, whatever its kind.

use super::form::{Form, Shape};
use super::record::{Kind, Record};
use crate::model::Name;
use std::collections::{BTreeSet, HashSet};

/// What is printed of a group.
pub(super) struct Selection {
    /// The name of the group.
    pub(super) name: String,
    /// The records, in the order of the hierarchy.
    pub(super) records: Vec<Record>,
    /// The kinds that these records can have, which is what `-t` prints headings for.
    pub(super) kinds: BTreeSet<Kind>,
    /// Those of the names asked for that are in the group.
    pub(super) names: HashSet<String>,
}

/// Selects among the records of a group.
pub(super) fn of(group: &Name, records: Vec<Record>, names: &[String], form: &Form) -> Selection {
    let asked = Asked::new(&records, names, form);
    let (mut roots, mut beneath, mut chosen) = (BTreeSet::new(), None, Vec::new());
    for record in &records {
        let below = beneath.is_some_and(|depth| record.kind.depth() > depth);
        let root = !below && asked.selects(record);
        if root {
            roots.insert(record.kind);
        }
        if !below {
            beneath = (root && form.shows_below()).then(|| record.kind.depth());
        }
        chosen.push((root || below) && is_of_format(record, form));
    }
    let kept = records.into_iter().zip(chosen).filter(|(_, keep)| *keep);
    Selection {
        name: group.to_string(),
        records: kept.map(|(record, _)| record).collect(),
        kinds: kinds(form, names, roots),
        names: asked.found,
    }
}

/// What a command line asks for in one group.
struct Asked<'f> {
    form: &'f Form,
    /// Whether names are given at all.
    named: bool,
    /// The names that are in the group.
    found: HashSet<String>,
    /// The names that more than the group itself has.
    others: HashSet<String>,
}

impl<'f> Asked<'f> {
    fn new(records: &[Record], names: &[String], form: &'f Form) -> Asked<'f> {
        let wanted: HashSet<&String> = names.iter().collect();
        let hits: Vec<(Kind, String)> = records
            .iter()
            .filter(|record| is_of_kind(record, form))
            .map(|record| (record.kind, record.show("name", None)))
            .filter(|(_, name)| wanted.contains(name))
            .collect();
        let others = hits.iter().filter(|(kind, _)| *kind != Kind::Dg);
        Asked {
            form,
            named: !names.is_empty(),
            others: others.map(|(_, name)| name.clone()).collect(),
            found: hits.into_iter().map(|(_, name)| name).collect(),
        }
    }

    fn selects(&self, record: &Record) -> bool {
        let holds = self
            .form
            .only
            .as_ref()
            .is_none_or(|only| only.holds(record));
        is_of_kind(record, self.form) && self.is_named(record) && holds
    }

    /// Whether the record is asked for by its name. Often a volume is called as its group is; then
    /// the volume is meant.
    fn is_named(&self, record: &Record) -> bool {
        if !self.named {
            return true;
        }
        let name = record.show("name", None);
        let shadowed = record.kind == Kind::Dg && self.others.contains(&name);
        self.found.contains(&name) && !shadowed
    }
}

fn is_of_kind(record: &Record, form: &Form) -> bool {
    form.kinds.is_empty() || form.kinds.contains(&record.kind)
}

/// Whether a format with a kind before it (`-F v:…`) prints this record.
fn is_of_format(record: &Record, form: &Form) -> bool {
    match &form.shape {
        Shape::Format(format) => format.kind().is_none_or(|kind| kind == record.kind),
        _ => true,
    }
}

/// The kinds that were asked for, or that were found by name or expression, and those below them.
fn kinds(form: &Form, names: &[String], roots: BTreeSet<Kind>) -> BTreeSet<Kind> {
    let asked = if !form.kinds.is_empty() {
        form.kinds.clone()
    } else if names.is_empty() && form.only.is_none() {
        Kind::ALL.into()
    } else {
        roots
    };
    let below = asked.iter().filter(|_| form.shows_below());
    let below: BTreeSet<Kind> = below.flat_map(|kind| kind.below()).copied().collect();
    asked.union(&below).copied().collect()
}

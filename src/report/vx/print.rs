//! What `vxprint` prints: the records of groups, selected and in one of its forms.

use super::form::{Form, Shape};
use super::record::Kind;
use super::select::{self, Selection};
use super::{blocks, lines, pairs, summary, world};
use crate::error::{Error, Result};
use crate::meta::Fill;
use crate::plan::world::World;

/// The output of `vxprint` for these groups. Fails with `NotFound` when one of the names is not
/// there, or when nothing matches; only a machine without groups has nothing to print and no error.
pub fn text(worlds: &[(World, Option<Fill>)], names: &[String], form: &Form) -> Result<String> {
    let groups: Vec<Selection> = worlds
        .iter()
        .map(|(world, _)| select::of(&world.group.name, world::records(world), names, form))
        .collect();
    let found = |name: &&String| groups.iter().any(|group| group.names.contains(*name));
    if let Some(lacking) = names.iter().find(|name| !found(name)) {
        return Err(Error::not_found(format!(
            "there is no{} '{lacking}' in {}",
            kind(form),
            place(worlds)
        ))
        .on(lacking));
    }
    let parts: Vec<String> = groups
        .iter()
        .filter(|group| !group.records.is_empty())
        .map(|group| part(group, form))
        .collect();
    if parts.is_empty() && !(worlds.is_empty() && form.takes_all()) {
        return Err(Error::not_found(format!(
            "nothing that was asked for is in {}",
            place(worlds)
        )));
    }
    let apart = form.names_groups() || form.shape.has_gaps();
    Ok(parts.join(if apart { "\n" } else { "" }))
}

/// What was looked for, for messages: the kind, where it is one.
fn kind(form: &Form) -> &'static str {
    let mut kinds = form.kinds.iter();
    match (kinds.next(), kinds.next()) {
        (Some(Kind::Dg), None) => " group",
        (Some(Kind::Dm), None) => " disk",
        (Some(Kind::V), None) => " volume",
        (Some(Kind::Pl), None) => " plex",
        (Some(Kind::Sd), None) => " subdisk",
        (Some(Kind::Dc | Kind::Sp) | None, None) | (_, Some(_)) => "",
    }
}

/// Where was looked, for messages.
fn place(worlds: &[(World, Option<Fill>)]) -> String {
    match worlds {
        [(world, _)] => format!("group '{}'", world.group.name),
        _ => "any imported group".to_owned(),
    }
}

/// What is printed of one group.
fn part(group: &Selection, form: &Form) -> String {
    let records = &group.records;
    let body = match &form.shape {
        Shape::Default => lines::plain(records, form),
        Shape::Types => lines::by_kind(records, &group.kinds, form),
        Shape::Long => blocks::text(records, form.unit),
        Shape::Pairs => pairs::indented(records, form.unit),
        Shape::PairsOnOneLine => pairs::on_one_line(records, form.unit),
        Shape::Names => records
            .iter()
            .map(|r| r.show("name", None) + "\n")
            .collect(),
        Shape::Format(format) => records.iter().map(|r| format.line(r, form.unit)).collect(),
        Shape::Summary => summary::text(records, form.headings),
    };
    if form.names_groups() {
        format!("Disk group: {}\n\n{body}", group.name)
    } else {
        body
    }
}

//! One line for each record: the default form, where all kinds share nine columns, and the `-t`
//! form, where each kind has its own.
//!
//! Columns are padded and never cut, with one blank between them; a row has as many words as its
//! heading.

use super::form::Form;
use super::record::{Kind, Record};
use super::row::row;
use std::collections::BTreeSet;

/// Words of a heading, each with the field that stands below it.
type Columns = &'static [(&'static str, &'static str)];

/// The columns of the default form behind the kind.
const PLAIN: Columns = &[
    ("NAME", "name"),
    ("ASSOC", "assoc"),
    ("KSTATE", "kstate"),
    ("LENGTH", "len"),
    ("PLOFFS", "pl_offset"),
    ("STATE", "state"),
    ("TUTIL0", "tutil0"),
    ("PUTIL0", "putil0"),
];

/// The widths of all columns but the last, which ends its line.
const WIDTHS: [usize; 8] = [2, 12, 12, 8, 8, 8, 8, 7];
/// The same for the `-t` form.
const WIDTHS_BY_KIND: [usize; 8] = [2, 12, 12, 8, 8, 8, 9, 8];

/// The columns of a kind in the `-t` form behind the kind itself.
fn columns(kind: Kind) -> Columns {
    match kind {
        Kind::Dg => &[
            ("NAME", "name"),
            ("NCONFIG", "nconfig"),
            ("NLOG", "nlog"),
            ("MINORS", "base_minor"),
            ("GROUP-ID", "dgid"),
        ],
        Kind::Dm => &[
            ("NAME", "name"),
            ("DEVICE", "da_name"),
            ("TYPE", "da_type"),
            ("PRIVLEN", "privlen"),
            ("PUBLEN", "publen"),
            ("STATE", "state"),
        ],
        Kind::V => &[
            ("NAME", "name"),
            ("RVG/VSET/CO", "rvg"),
            ("KSTATE", "kstate"),
            ("STATE", "state"),
            ("LENGTH", "len"),
            ("READPOL", "readpol"),
            ("PREFPLEX", "prefplex"),
            ("UTYPE", "usetype"),
        ],
        Kind::Pl => &[
            ("NAME", "name"),
            ("VOLUME", "vol"),
            ("KSTATE", "kstate"),
            ("STATE", "state"),
            ("LENGTH", "len"),
            ("LAYOUT", "layout"),
            ("NCOL/WID", "ncol"),
            ("MODE", "mode"),
        ],
        Kind::Sd => &[
            ("NAME", "name"),
            ("PLEX", "plex"),
            ("DISK", "dm_name"),
            ("DISKOFFS", "dm_offset"),
            ("LENGTH", "len"),
            ("[COL/]OFF", "pl_offset"),
            ("DEVICE", "da_name"),
            ("MODE", "mode"),
        ],
        Kind::Dc => &[
            ("NAME", "name"),
            ("PARENTVOL", "vol"),
            ("LOGVOL", "log_vol"),
        ],
        Kind::Sp => &[("NAME", "name"), ("SNAPVOL", "vol"), ("DCO", "dco_name")],
    }
}

/// The default form.
pub(super) fn plain(records: &[Record], form: &Form) -> String {
    let mut text = String::new();
    if form.headings {
        text += &line(
            &WIDTHS,
            "TY",
            PLAIN.iter().map(|(word, _)| (*word).to_owned()),
        );
    }
    text + &rows(records, form, &WIDTHS, |_| PLAIN)
}

/// The `-t` form: a heading for each of these kinds, an empty line, and the rows.
pub(super) fn by_kind(records: &[Record], kinds: &BTreeSet<Kind>, form: &Form) -> String {
    let heading = |kind: &Kind| {
        let words = columns(*kind).iter().map(|(word, _)| (*word).to_owned());
        line(&WIDTHS_BY_KIND, &kind.word().to_ascii_uppercase(), words)
    };
    let rows = rows(records, form, &WIDTHS_BY_KIND, columns);
    if form.headings {
        let headings: String = kinds.iter().map(heading).collect();
        format!("{headings}\n{rows}")
    } else {
        rows
    }
}

fn rows(
    records: &[Record],
    form: &Form,
    widths: &[usize],
    columns: impl Fn(Kind) -> Columns,
) -> String {
    let mut text = String::new();
    let mut previous = None;
    for record in records {
        if previous.is_some_and(|previous| is_apart(previous, record.kind)) {
            text.push('\n');
        }
        let fields = columns(record.kind).iter();
        let words = fields.map(|(_, field)| record.show(field, form.unit));
        text += &line(widths, record.kind.word(), words);
        previous = Some(record.kind);
    }
    text
}

/// Whether an empty line parts two records: the group, its disks and each hierarchy stand alone.
/// Volumes without what is below them are a plain list.
fn is_apart(previous: Kind, next: Kind) -> bool {
    let begins = matches!(next, Kind::Dm | Kind::V) || matches!(previous, Kind::Dg | Kind::Dm);
    previous != next && begins
}

/// A line: the kind and the words.
fn line(widths: &[usize], kind: &str, words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    let words = words.iter().map(String::as_str);
    row(
        widths,
        &std::iter::once(kind).chain(words).collect::<Vec<_>>(),
    )
}

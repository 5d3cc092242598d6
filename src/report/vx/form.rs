//! What a command line of `vxprint` asks for, as `cli` has understood it. Only values: what they
//! mean for the records is in `select`, and how the records are printed in the files of the shapes.

use super::expr::Expr;
use super::format::Format;
use super::record::Kind;
use super::unit::Unit;
use std::collections::BTreeSet;

/// What a `vxprint` command line asks for. The default is a command line without options and names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// Whether headings are printed (no `-q`).
    pub headings: bool,
    /// Whether the lines `Disk group:` are printed where there are several groups (no `-Q`).
    pub group_lines: bool,
    /// How a record is printed.
    pub shape: Shape,
    /// Whether the records below each selected one are printed, too (`-h`, `-r`). The default shape
    /// implies it when nothing but names is given.
    pub hierarchy: bool,
    /// The kinds that are selected (`-v`, `-p`, `-s`, `-d`, `-G`; `-c`: `dc` and `sp`). Empty: all.
    pub kinds: BTreeSet<Kind>,
    /// The unit of lengths (`-u`); without one they are bare sectors.
    pub unit: Option<Unit>,
    /// Only the records for which it holds are selected (`-e`).
    pub only: Option<Expr>,
    /// Whether all groups are asked for (`-A`, or neither `-g` nor a name).
    pub all_groups: bool,
}

impl Default for Form {
    fn default() -> Form {
        Form {
            headings: true,
            group_lines: true,
            shape: Shape::Default,
            hierarchy: false,
            kinds: BTreeSet::new(),
            unit: None,
            only: None,
            all_groups: true,
        }
    }
}

impl Form {
    /// Whether a selected record is followed by what belongs to it.
    pub(super) fn shows_below(&self) -> bool {
        let plain = self.shape == Shape::Default && self.takes_all();
        self.hierarchy || plain
    }

    /// Whether neither a kind nor an expression selects among the records.
    pub(super) fn takes_all(&self) -> bool {
        self.kinds.is_empty() && self.only.is_none()
    }

    /// Whether the name of each group precedes its records.
    pub(super) fn names_groups(&self) -> bool {
        self.all_groups && self.group_lines
    }
}

/// How records are printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// One line for each record, with the same nine columns for all kinds.
    Default,
    /// One line for each record, with columns that suit its kind (`-t`).
    Types,
    /// A block of lines for each record (`-l`).
    Long,
    /// All fields of each record, one a line (`-m`).
    Pairs,
    /// All fields of each record on one line (`-a`).
    PairsOnOneLine,
    /// Only the name of each record (`-n`).
    Names,
    /// A line of the caller's own for each record (`-F`).
    Format(Format),
    /// How many records there are (`-S`).
    Summary,
}

impl Shape {
    /// Whether empty lines set the groups apart, also where their names are not printed.
    pub(super) fn has_gaps(&self) -> bool {
        match self {
            Shape::Default | Shape::Types | Shape::Long | Shape::Summary => true,
            Shape::Pairs | Shape::PairsOnOneLine | Shape::Names | Shape::Format(_) => false,
        }
    }
}

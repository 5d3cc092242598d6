//! `room`: one line, and its JSON shape. Sizes are bytes.

use crate::model::{Name, Sectors};
use serde::Serialize;

/// The largest size that a new volume can have, or that a volume can grow to.
#[derive(Serialize)]
pub(super) struct View<'a> {
    group: &'a str,
    volume: Option<&'a str>,
    size: u64,
    grows_by: Option<u64>,
}

impl<'a> View<'a> {
    /// `present` is the size of a volume that is to grow.
    pub(super) fn new(
        group: &'a Name,
        volume: Option<&'a Name>,
        size: Sectors,
        present: Option<Sectors>,
    ) -> View<'a> {
        View {
            group: group.as_str(),
            volume: volume.map(Name::as_str),
            size: size.bytes(),
            grows_by: present.map(|present| size.saturating_sub(present).bytes()),
        }
    }
}

/// The sizes for people, and as exactly as `make` and `grow` take them.
pub(super) fn text(
    group: &Name,
    volume: Option<&Name>,
    size: Sectors,
    present: Option<Sectors>,
) -> String {
    let exact = |size: Sectors| format!("{}s ({size})", size.get());
    let by = size.saturating_sub(present.unwrap_or_default());
    match volume {
        None if size.is_zero() => format!("group '{group}' has no room for such a volume\n"),
        None => format!("group '{group}' has room for a volume of {}\n", exact(size)),
        Some(volume) if by.is_zero() => {
            format!("'{group}/{volume}' has {} and cannot grow\n", exact(size))
        }
        Some(volume) => format!(
            "'{group}/{volume}' can grow to {}, by {}\n",
            exact(size),
            exact(by)
        ),
    }
}

//! `layout=` and `nmirror=` of `vxassist make`. Called by `assist` only.

use crate::error::{Error, Result};

/// The parsed value of `layout=`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// `mirror` or `nomirror`, if either was given.
    mirror: Option<bool>,
    /// `nolog`: a mirror gets no dirty region log. By default it gets one.
    no_log: bool,
}

impl Layout {
    /// Reads a comma list such as `mirror,nolog`; a later word overrides an earlier one.
    pub(super) fn parse(list: &str) -> Result<Layout> {
        let mut layout = Layout::default();
        for word in list.split(',') {
            match word {
                // Plexes are always concatenated, of several pieces where space is fragmented.
                "concat" | "nostripe" | "span" | "nocontig" => {}
                "mirror" | "mirror-concat" => layout.mirror = Some(true),
                "nomirror" => layout.mirror = Some(false),
                "log" => layout.no_log = false,
                "nolog" => layout.no_log = true,
                other => return Err(refused(other)),
            }
        }
        Ok(layout)
    }

    /// The number of plexes: `nmirror=` if given, else two for a mirror.
    pub(super) fn mirrors(&self, nmirror: Option<usize>) -> Result<usize> {
        match (self.mirror, nmirror) {
            (Some(false), Some(n)) if n > 1 => Err(Error::usage(format!(
                "'layout=nomirror' and 'nmirror={n}' contradict each other"
            ))),
            (_, Some(n)) => Ok(n),
            (Some(true), None) => Ok(2),
            (Some(false) | None, None) => Ok(1),
        }
    }

    /// Whether a mirror is to have a dirty region log.
    pub(super) fn log(&self) -> bool {
        !self.no_log
    }
}

fn refused(word: &str) -> Error {
    Error::usage(format!("'layout={word}' is not supported"))
        .hint("there are concat, mirror, mirror-concat, nomirror, log and nolog")
}

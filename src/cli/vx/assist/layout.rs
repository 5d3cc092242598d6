//! `layout=` and `nmirror=` of `vxassist make`. Called by the verbs of `vxassist` only.

use crate::error::{Error, Result};

/// The parsed value of `layout=`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// `mirror` or `nomirror`, if either was given.
    mirror: Option<bool>,
    /// `log` or `nolog`, if either was given. By default a mirror gets a dirty region log.
    log: Option<bool>,
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
                "log" => layout.log = Some(true),
                "nolog" => layout.log = Some(false),
                other => return Err(refused(other)),
            }
        }
        Ok(layout)
    }

    /// The number of plexes: `nmirror=` if given, else two for a mirror. `log` is whether a log is
    /// asked for apart from the layout. One that a single plex would have is refused: there is
    /// nothing that it could make equal.
    pub(super) fn mirrors(&self, nmirror: Option<usize>, log: bool) -> Result<usize> {
        let mirrors = self.count(nmirror)?;
        if mirrors < 2 && (log || self.log == Some(true)) {
            return Err(Error::usage("a volume of one plex cannot have a log")
                .hint("'layout=mirror,log' makes a mirror; a second plex comes with a log"));
        }
        Ok(mirrors)
    }

    fn count(&self, nmirror: Option<usize>) -> Result<usize> {
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
        self.log.unwrap_or(true)
    }
}

fn refused(word: &str) -> Error {
    Error::usage(format!("'layout={word}' is not supported"))
        .hint("there are concat, mirror, mirror-concat, nomirror, log and nolog")
}

/// What `vxassist help layout` explains.
pub(super) const HELP: &str = "\
layout= is a list of words, separated by commas; a later one overrides an earlier one.
  concat, span, nostripe, nocontig   plexes are concatenated, of several pieces where space is fragmented
  mirror, mirror-concat              two plexes, or as many as nmirror= says
  nomirror                           one plex
  log, nolog                         a mirror has a dirty region log, or none
stripe, raid5, mirror-stripe, concat-mirror and stripe-mirror are not supported.
";

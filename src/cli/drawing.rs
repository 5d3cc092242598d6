//! What the terminal can show, and pictures in files.
//!
//! The width is `$COLUMNS`, or what the terminal says, or 80. There are colours on a terminal whose
//! `$TERM` is not `dumb`, unless `$NO_COLOR` is set and not empty; `--color` decides otherwise.
//! Characters beyond ASCII are written where the locale's encoding is UTF-8.

use super::output;
use crate::error::Error;
use crate::report::canvas::{Canvas, Colors};
use clap::{Args, ValueEnum};
use std::fs::{self, File, Permissions};
use std::io::{IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// When colours are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum When {
    /// Never.
    Never,
    /// Always, also into a pipe.
    Always,
    /// On a terminal that has colours, unless the environment says otherwise.
    #[default]
    Auto,
}

/// The option of all commands that draw.
#[derive(Args, Debug, Clone, Copy)]
pub(super) struct Coloring {
    /// Use colours; 'auto' uses them on a terminal, unless NO_COLOR is set or TERM is 'dumb'
    #[arg(long, value_name = "WHEN", default_value = "auto", value_enum)]
    pub(super) color: When,
}

/// The environment as far as it decides on drawings.
#[derive(Debug, Default)]
struct Surroundings {
    is_terminal: bool,
    /// As the terminal has it.
    columns: Option<usize>,
    /// `$COLUMNS`
    wanted_columns: Option<String>,
    no_color: Option<String>,
    term: Option<String>,
    color_term: Option<String>,
    /// `$LC_ALL`, `$LC_CTYPE`, `$LANG`
    locale: [Option<String>; 3],
}

/// The widest line that is drawn.
const WIDEST: usize = 1000;

impl Surroundings {
    fn of_stdout() -> Surroundings {
        let get = |key| std::env::var_os(key).map(|value| value.to_string_lossy().into_owned());
        Surroundings {
            is_terminal: std::io::stdout().is_terminal(),
            columns: terminal_size::terminal_size_of(std::io::stdout())
                .map(|(width, _)| usize::from(width.0)),
            wanted_columns: get("COLUMNS"),
            no_color: get("NO_COLOR"),
            term: get("TERM"),
            color_term: get("COLORTERM"),
            locale: ["LC_ALL", "LC_CTYPE", "LANG"].map(get),
        }
    }

    fn width(&self) -> usize {
        let wanted = self
            .wanted_columns
            .as_ref()
            .and_then(|text| text.parse().ok());
        let known = wanted.or(self.columns).filter(|columns| *columns > 0);
        known.unwrap_or(80).min(WIDEST)
    }

    /// By the first of the variables that is not empty, as the C library has it.
    fn is_unicode(&self) -> bool {
        let mut set = self.locale.iter().flatten().filter(|text| !text.is_empty());
        set.next().is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        })
    }

    fn colors(&self, when: When) -> Colors {
        let term = self.term.as_deref().unwrap_or_default();
        let has_none = term.is_empty() || term == "dumb" || term.starts_with("vt");
        let is_refused = self.no_color.as_ref().is_some_and(|text| !text.is_empty());
        let wanted = match when {
            When::Never => false,
            When::Always => true,
            When::Auto => self.is_terminal && !is_refused && !has_none,
        };
        let depth = self.color_term.as_deref().unwrap_or_default();
        match depth {
            _ if !wanted => Colors::None,
            "truecolor" | "24bit" => Colors::Full,
            _ if term.contains("256") => Colors::Palette,
            _ => Colors::Eight,
        }
    }

    fn canvas(&self, when: When) -> Canvas {
        Canvas {
            width: self.width(),
            unicode: self.is_unicode(),
            colors: self.colors(when),
        }
    }
}

/// What stdout can show.
pub(super) fn canvas(when: When) -> Canvas {
    Surroundings::of_stdout().canvas(when)
}

/// Writes a picture to a file, whole or not at all; `-` is stdout. What is no plain file, such as a
/// pipe, is written to as it is.
pub(super) fn write_picture(file: &Path, picture: &str) -> anyhow::Result<()> {
    if file.as_os_str() == "-" {
        return Ok(output::result(picture)?);
    }
    let written = match fs::metadata(file) {
        Ok(there) if !there.is_file() => File::options()
            .write(true)
            .open(file)
            .and_then(|mut open| open.write_all(picture.as_bytes())),
        there => replace(file, picture, there.ok().map(|there| there.permissions())),
    };
    written.map_err(|err| picture_failed(file, &err).into())
}

fn picture_failed(file: &Path, err: &std::io::Error) -> Error {
    Error::failed(format!(
        "the picture cannot be written to '{}': {err}; what was there is unchanged",
        file.display()
    ))
}

/// Writes a new file beside the old one, and puts it into its place.
fn replace(file: &Path, text: &str, old: Option<Permissions>) -> std::io::Result<()> {
    // A link stays a link.
    let file: PathBuf = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // The umask takes away from this, as from what any program writes.
    let mode = old.unwrap_or_else(|| Permissions::from_mode(0o666));
    let mut new = tempfile::Builder::new()
        .prefix(".breakoff-")
        .permissions(mode)
        .tempfile_in(directory)?;
    new.write_all(text.as_bytes())?;
    new.as_file().sync_all()?;
    new.persist(&file).map_err(|err| err.error)?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn terminal(term: &str) -> Surroundings {
        Surroundings {
            is_terminal: true,
            columns: Some(132),
            term: Some(term.to_owned()),
            ..Surroundings::default()
        }
    }

    #[test]
    fn colours_are_for_terminals_that_have_them_unless_told_otherwise() {
        let of = |around: &Surroundings| around.colors(When::Auto);
        assert_eq!(of(&terminal("xterm-256color")), Colors::Palette);
        assert_eq!(of(&terminal("linux")), Colors::Eight);
        assert_eq!(of(&terminal("dumb")), Colors::None);
        assert_eq!(of(&terminal("vt100")), Colors::None);
        assert_eq!(of(&terminal("")), Colors::None);
        let refused = |text: &str| Surroundings {
            no_color: Some(text.to_owned()),
            ..terminal("xterm")
        };
        assert_eq!(of(&refused("1")), Colors::None);
        assert_eq!(of(&refused("")), Colors::Eight);
        assert_eq!(refused("1").colors(When::Always), Colors::Eight);
        assert_eq!(terminal("xterm").colors(When::Never), Colors::None);
        let full = Surroundings {
            color_term: Some("truecolor".to_owned()),
            ..terminal("xterm")
        };
        assert_eq!(of(&full), Colors::Full);
        let pipe = Surroundings {
            is_terminal: false,
            ..terminal("xterm")
        };
        assert_eq!(of(&pipe), Colors::None);
        assert_eq!(pipe.colors(When::Always), Colors::Eight);
    }

    #[test]
    fn the_width_is_columns_or_the_terminals_or_eighty() {
        let with = |wanted: Option<&str>, columns| Surroundings {
            wanted_columns: wanted.map(str::to_owned),
            columns,
            ..Surroundings::default()
        };
        assert_eq!(with(Some("200"), Some(132)).width(), 200);
        assert_eq!(with(Some("x"), Some(132)).width(), 132);
        assert_eq!(with(Some("0"), Some(132)).width(), 80);
        assert_eq!(with(None, None).width(), 80);
        assert_eq!(with(Some("99999999"), None).width(), WIDEST);
    }

    #[test]
    fn the_first_variable_that_is_not_empty_is_the_locale() {
        let with = |all: [&str; 3]| Surroundings {
            locale: all.map(|text| Some(text.to_owned())),
            ..Surroundings::default()
        };
        assert!(with(["", "", "de_DE.UTF-8"]).is_unicode());
        assert!(with(["C.utf8", "C", "C"]).is_unicode());
        assert!(!with(["C", "", "de_DE.UTF-8"]).is_unicode());
        assert!(!Surroundings::default().is_unicode());
    }

    #[test]
    fn a_picture_is_written_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("map.svg");
        write_picture(&file, "<svg/>").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "<svg/>");
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o600,
            0o600
        );
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        write_picture(&link, "<svg>2</svg>").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "<svg>2</svg>");
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o640
        );
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
        let err = write_picture(&directory.path().join("no/map.svg"), "x").unwrap_err();
        assert!(err.to_string().contains("no/map.svg"), "{err}");
    }
}

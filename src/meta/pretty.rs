//! JSON for people: near the top one field on each line, and each plex with all that is in it on
//! one line. Only the layout is special; any JSON parser reads it.

use crate::error::{Error, Result};
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;
use std::io::{self, Write};

/// Values nested deeper than this stay on one line. The group, its volumes, a volume and its plexes
/// have a line for each field; a plex does not.
const OPENED: usize = 4;

/// The value as JSON text with a final newline.
pub(super) fn to_string(value: &impl Serialize) -> Result<String> {
    let mut text = Vec::new();
    let wrong = |err: &dyn std::fmt::Display| {
        Error::failed(format!("the configuration cannot be shown: {err}"))
    };
    value
        .serialize(&mut Serializer::with_formatter(&mut text, Lines::default()))
        .map_err(|err| wrong(&err))?;
    text.push(b'\n');
    String::from_utf8(text).map_err(|err| wrong(&err))
}

#[derive(Default)]
struct Lines {
    depth: usize,
    filled: bool,
}

impl Lines {
    fn open<W: Write + ?Sized>(&mut self, out: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.filled = false;
        out.write_all(bracket)
    }

    fn item<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        match (first, self.depth <= OPENED) {
            (first, true) => {
                out.write_all(if first { b"\n" } else { b",\n" })?;
                self.indent(out)
            }
            (false, false) => out.write_all(b", "),
            (true, false) => Ok(()),
        }
    }

    fn close<W: Write + ?Sized>(&mut self, out: &mut W, bracket: &[u8]) -> io::Result<()> {
        let opened = self.depth <= OPENED;
        self.depth = self.depth.saturating_sub(1);
        if opened && self.filled {
            out.write_all(b"\n")?;
            self.indent(out)?;
        }
        self.filled = true;
        out.write_all(bracket)
    }

    fn indent<W: Write + ?Sized>(&self, out: &mut W) -> io::Result<()> {
        (0..self.depth).try_for_each(|_| out.write_all(b"  "))
    }
}

impl Formatter for Lines {
    fn begin_array<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.open(out, b"[")
    }

    fn begin_array_value<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.item(out, first)
    }

    fn end_array_value<W: Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }

    fn end_array<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.close(out, b"]")
    }

    fn begin_object<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.open(out, b"{")
    }

    fn begin_object_key<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.item(out, first)
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn end_object_value<W: Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }

    fn end_object<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.close(out, b"}")
    }
}

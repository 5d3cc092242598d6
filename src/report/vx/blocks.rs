//! `-l`: a block of labelled lines for each record, with an empty line between blocks.

use super::record::{Kind, Record};
use super::unit::Unit;

/// A line of a block: its label, and words of text, each followed by a field of the record. An empty
/// field is none.
type Line = (&'static str, &'static [(&'static str, &'static str)]);

/// The lines of a block.
fn lines(kind: Kind) -> &'static [Line] {
    match kind {
        Kind::Dg => &[
            ("Group:", &[("", "name")]),
            ("info:", &[("dgid=", "dgid")]),
            ("version:", &[("", "version")]),
            ("alignment:", &[("", "align_bytes"), (" (bytes)", "")]),
            ("copies:", &[("nconfig=", "nconfig"), (" nlog=", "nlog")]),
            ("minors:", &[(">=", "base_minor")]),
        ],
        Kind::Dm => &[
            ("Disk:", &[("", "name")]),
            ("info:", &[("diskid=", "diskid")]),
            ("assoc:", &[("device=", "da_name"), (" type=", "da_type")]),
            ("flags:", &[("autoconfig", "")]),
            ("state:", &[("", "state")]),
            (
                "devinfo:",
                &[("publen=", "publen"), (" privlen=", "privlen")],
            ),
        ],
        Kind::V => &[
            ("Volume:", &[("", "name")]),
            ("info:", &[("len=", "len")]),
            ("type:", &[("usetype=", "usetype")]),
            ("state:", &[("state=", "state"), (" kernel=", "kstate")]),
            ("assoc:", &[("plexes=", "plexes")]),
            ("policies:", &[("read=", "readpol")]),
            ("flags:", &[("", "openness")]),
            ("logging:", &[("type=", "logtype"), (" loglen=", "loglen")]),
            (
                "tracking:",
                &[("fastresync=", "fastresync"), (" dco=", "dco_name")],
            ),
        ],
        Kind::Pl => &[
            ("Plex:", &[("", "name")]),
            ("info:", &[("len=", "len")]),
            ("type:", &[("layout=", "layout")]),
            (
                "state:",
                &[
                    ("state=", "state"),
                    (" kernel=", "kstate"),
                    (" io=", "mode"),
                ],
            ),
            ("assoc:", &[("vol=", "vol"), (" sd=", "sd")]),
        ],
        Kind::Sd => &[
            ("Subdisk:", &[("", "name")]),
            (
                "info:",
                &[
                    ("disk=", "dm_name"),
                    (" offset=", "dm_offset"),
                    (" len=", "len"),
                ],
            ),
            (
                "assoc:",
                &[
                    ("vol=", "vol"),
                    (" plex=", "plex"),
                    (" (offset=", "pl_offset"),
                    (")", ""),
                ],
            ),
            ("flags:", &[("", "mode")]),
            ("device:", &[("device=", "da_name")]),
        ],
        Kind::Dc => &[
            ("DCO:", &[("", "name")]),
            ("info:", &[("version=", "version"), (" badlog=", "badlog")]),
            (
                "assoc:",
                &[("parent_vol=", "vol"), (" log_vol=", "log_vol")],
            ),
        ],
        Kind::Sp => &[
            ("Snap:", &[("", "name")]),
            ("assoc:", &[("vol=", "vol"), (" dco=", "dco_name")]),
        ],
    }
}

/// The blocks of these records.
pub(super) fn text(records: &[Record], unit: Option<Unit>) -> String {
    let blocks: Vec<String> = records.iter().map(|record| block(record, unit)).collect();
    blocks.join("\n")
}

fn block(record: &Record, unit: Option<Unit>) -> String {
    let piece = |(text, field): &(&str, &str)| match *field {
        "" => (*text).to_owned(),
        field => format!("{text}{}", record.show(field, unit)),
    };
    lines(record.kind)
        .iter()
        .map(|(label, pieces)| {
            let rest: String = pieces.iter().map(piece).collect();
            format!("{label:<10} {rest}\n")
        })
        .collect()
}

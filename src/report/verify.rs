//! `verify`: what was compared and what differs, as text and in its JSON shape. Sizes are bytes.

use super::columns::Columns;
use crate::app::{Differing, LeftOut, Pair, Place, Verified};
use crate::model::{Name, Sectors, ranges};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;

/// One volume.
#[derive(Serialize)]
pub(super) struct View<'a> {
    group: &'a str,
    volume: &'a str,
    size: u64,
    pairs: Vec<PairView<'a>>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct PairView<'a> {
    plexes: [PlexView<'a>; 2],
    bytes: u64,
    differing_bytes: u64,
    left_out: Vec<LeftOutView>,
    differing: Vec<DifferingView<'a>>,
    unreadable: Vec<UnreadView<'a>>,
}

#[derive(Serialize)]
struct PlexView<'a> {
    volume: &'a str,
    plex: &'a str,
}

#[derive(Serialize)]
struct LeftOutView {
    offset: u64,
    length: u64,
    reason: &'static str,
}

#[derive(Serialize)]
struct DifferingView<'a> {
    offset: u64,
    length: u64,
    perhaps_discarded: bool,
    in_use: Option<bool>,
    proven: bool,
    places: [PlaceView<'a>; 2],
}

#[derive(Serialize)]
struct PlaceView<'a> {
    plex: &'a str,
    media: &'a str,
    device: String,
    disk_offset: u64,
    zeros: bool,
}

#[derive(Serialize)]
struct UnreadView<'a> {
    offset: u64,
    length: u64,
    plex: &'a str,
    media: &'a str,
    device: String,
    disk_offset: u64,
}

fn bytes(sectors: u64) -> u64 {
    sectors.saturating_mul(512)
}

/// Offset and length in bytes.
fn in_bytes(range: &Range<u64>) -> (u64, u64) {
    (bytes(range.start), bytes(range.end - range.start))
}

impl<'a> View<'a> {
    pub(super) fn new(found: &'a Verified) -> View<'a> {
        View {
            group: found.group.as_str(),
            volume: found.volume.as_str(),
            size: found.size.bytes(),
            pairs: found.pairs.iter().map(pair).collect(),
            notes: &found.notes,
        }
    }
}

fn pair(pair: &Pair) -> PairView<'_> {
    let plex = |at: usize| PlexView {
        volume: pair.sides[at].volume.as_str(),
        plex: pair.sides[at].plex.as_str(),
    };
    let left_out = |(range, why): &(Range<u64>, LeftOut)| {
        let (offset, length) = in_bytes(range);
        LeftOutView {
            offset,
            length,
            reason: why.word(),
        }
    };
    PairView {
        plexes: [plex(0), plex(1)],
        bytes: pair.compared.bytes(),
        differing_bytes: differing(pair).bytes(),
        left_out: pair.left_out.iter().map(left_out).collect(),
        differing: pair.differing.iter().map(|d| difference(pair, d)).collect(),
        unreadable: pair.unread.iter().map(unread).collect(),
    }
}

fn difference<'a>(pair: &'a Pair, differing: &'a Differing) -> DifferingView<'a> {
    let (offset, length) = in_bytes(differing.range());
    let place = |at: usize| {
        let place = &differing.places[at];
        PlaceView {
            plex: pair.sides[at].plex.as_str(),
            media: place.media.as_str(),
            device: place.device.display().to_string(),
            disk_offset: bytes(place.begins),
            zeros: differing.zeros[at],
        }
    };
    DifferingView {
        offset,
        length,
        perhaps_discarded: differing.perhaps_discarded,
        in_use: differing.in_use,
        proven: differing.proven,
        places: [place(0), place(1)],
    }
}

fn unread((plex, place): &(Name, Place)) -> UnreadView<'_> {
    let (offset, length) = in_bytes(&place.range);
    UnreadView {
        offset,
        length,
        plex: plex.as_str(),
        media: place.media.as_str(),
        device: place.device.display().to_string(),
        disk_offset: bytes(place.begins),
    }
}

fn differing(pair: &Pair) -> Sectors {
    amount(pair, |_| true)
}

fn amount(pair: &Pair, which: impl Fn(&&Differing) -> bool) -> Sectors {
    let chosen = pair.differing.iter().filter(which);
    ranges::length(&chosen.map(|d| d.range().clone()).collect::<Vec<_>>())
}

/// For each pair a line with what was compared, and below it what differs, with offsets and lengths
/// in bytes.
pub(super) fn text(volumes: &[Verified]) -> String {
    volumes.iter().map(of_volume).collect()
}

fn of_volume(found: &Verified) -> String {
    let notes = found.notes.iter().map(|note| format!("  {note}\n"));
    let pairs = found.pairs.iter().map(|pair| of_pair(found, pair));
    pairs.chain(notes).collect()
}

fn of_pair(found: &Verified, pair: &Pair) -> String {
    let [one, other] = &pair.sides;
    let shown = |at: usize| {
        let side = &pair.sides[at];
        if one.volume == other.volume {
            side.plex.to_string()
        } else {
            format!("{} of {}", side.plex, side.volume)
        }
    };
    let differ = amount(pair, |d| !d.is_allowed());
    let allowed = amount(pair, |d| d.is_allowed());
    let mut verdict = match (differ.is_zero(), pair.unread.is_empty()) {
        (true, true) => "equal".to_owned(),
        (true, false) => "equal where both can be read".to_owned(),
        (false, _) => format!("{differ} differ"),
    };
    if !allowed.is_zero() {
        verdict += &format!(" (but {allowed} that are not in use and perhaps discarded)");
    }
    let mut text = format!(
        "{}/{}: {} and {}: {verdict}, {} compared\n",
        found.group,
        found.volume,
        shown(0),
        shown(1),
        pair.compared
    );
    let mut left_out: BTreeMap<LeftOut, Vec<Range<u64>>> = BTreeMap::new();
    for (range, why) in &pair.left_out {
        left_out.entry(*why).or_default().push(range.clone());
    }
    for (why, left) in left_out {
        let length = ranges::length(&left);
        text += &format!("  {length} not compared: {}\n", why.words());
    }
    text + &table(pair)
}

fn table(pair: &Pair) -> String {
    if pair.differing.is_empty() && pair.unread.is_empty() {
        return String::new();
    }
    let [one, other] = &pair.sides;
    let mut columns = Columns::with_heading(&[
        "OFFSET",
        "LENGTH",
        one.plex.as_str(),
        other.plex.as_str(),
        "REMARK",
    ]);
    let place = |place: &Place| format!("{}+{}", place.media, bytes(place.begins));
    for differing in &pair.differing {
        let (offset, length) = in_bytes(differing.range());
        columns.row(vec![
            offset.to_string(),
            length.to_string(),
            place(&differing.places[0]),
            place(&differing.places[1]),
            remark(differing),
        ]);
    }
    for (plex, unread) in &pair.unread {
        let (offset, length) = in_bytes(&unread.range);
        let at = |side: &Name| {
            if side == plex {
                place(unread)
            } else {
                String::new()
            }
        };
        columns.row(vec![
            offset.to_string(),
            length.to_string(),
            at(&one.plex),
            at(&other.plex),
            "cannot be read".to_owned(),
        ]);
    }
    columns.text()
}

fn remark(differing: &Differing) -> String {
    let mut words = vec![if differing.perhaps_discarded {
        "differs, perhaps discarded".to_owned()
    } else {
        "differs".to_owned()
    }];
    match differing.in_use {
        Some(true) => words.push("in use".to_owned()),
        Some(false) => words.push("not in use".to_owned()),
        None => {}
    }
    let zeros = differing.places.iter().zip(differing.zeros);
    words.extend(
        zeros
            .filter(|(_, zeros)| *zeros)
            .map(|(place, _)| format!("zeros on {}", place.media)),
    );
    if !differing.proven {
        words.push("not seen at rest".to_owned());
    }
    words.join("; ")
}

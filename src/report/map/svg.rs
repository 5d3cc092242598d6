//! A map as a picture (SVG): what the text shows, with the exact numbers as titles. It refers to
//! nothing outside of itself, and the same map gives the same bytes.

use super::{DiskMap, Kind, MEANINGS, MapView, Piece, Shown};
use crate::model::units::human_bytes;
use crate::report::canvas::{HUES, divide};
use std::collections::BTreeSet;
use svg::Document;
use svg::node::element::{Definitions, Group, Path, Pattern, Rectangle, Style, Text, Title};

/// The width of the largest disk's bar, unless its pieces need more.
const BAR: usize = 920;
/// The height of a bar.
const HEIGHT: usize = 30;
/// The space around everything.
const MARGIN: usize = 20;
/// From one line of text to the next.
const LINE: usize = 20;
/// The least width of what belongs to a volume: its letter can be read.
const LEAST: usize = 14;
/// About how wide a letter is.
const LETTER: usize = 8;

const LOOKS: &str = "text { font: 13px sans-serif; fill: #000 } .head { font-weight: bold } \
                     .in { font-size: 12px } .faint { fill: #444 } .light { fill: #fff }";

/// The picture of some groups.
pub fn picture(maps: &[MapView]) -> String {
    let bar = maps
        .iter()
        .flat_map(|map| &map.disks)
        .map(|disk| 2 * disk.pieces.iter().map(minimum).sum::<usize>())
        .fold(BAR, usize::max);
    let mut page = Page {
        y: MARGIN,
        bar,
        nodes: Group::new(),
    };
    for map in maps {
        page.group(map);
    }
    if maps.is_empty() {
        page.line("no groups", "head");
    }
    let (width, height) = (bar + 2 * MARGIN, page.y + MARGIN);
    let names: Vec<&str> = maps.iter().map(|map| map.name.as_str()).collect();
    let document = Document::new()
        .set("viewBox", (0, 0, width, height))
        .set("width", width)
        .set("height", height)
        .set("role", "img")
        .add(Title::new(format!("Map of {}", names.join(", "))))
        .add(Style::new(LOOKS))
        .add(patterns())
        .add(
            Rectangle::new()
                .set("width", width)
                .set("height", height)
                .set("fill", "#fff"),
        )
        .add(page.nodes);
    format!("{document}\n")
}

/// The lines of a kind, which are drawn over its volume's colour.
fn lines(kind: Kind) -> Option<(&'static str, &'static str)> {
    match kind {
        Kind::Leg => Some(("leg", "M-2,2 L2,-2 M0,8 L8,0 M6,10 L10,6")),
        Kind::Filling => Some(("filling", "M1,0 L5,4 L1,8")),
        Kind::Snapshot => Some(("snapshot", "M0,4 L8,4 M4,0 L4,8")),
        Kind::Bad => Some(("bad", "M0,0 L8,8 M8,0 L0,8")),
        Kind::Log => Some(("log", "M0,2 L8,2 M0,6 L8,6")),
        Kind::Changes => Some(("changes", "M2,0 L2,8 M6,0 L6,8")),
        Kind::Other => Some(("other", "M0,8 L8,0")),
        Kind::Held => Some(("held", "M0,0 L8,8")),
        Kind::Beyond => Some(("beyond", "M4,2 L4,6 M2,4 L6,4")),
        Kind::Private | Kind::Data | Kind::Free => None,
    }
}

fn patterns() -> Definitions {
    MEANINGS
        .iter()
        .filter_map(|(kind, _)| lines(*kind))
        .map(|(id, path)| {
            Pattern::new()
                .set("id", id)
                .set("width", 8)
                .set("height", 8)
                .set("patternUnits", "userSpaceOnUse")
                .add(
                    Path::new()
                        .set("d", path)
                        .set("fill", "none")
                        .set("stroke", "#000")
                        .set("stroke-opacity", "0.45"),
                )
        })
        .fold(Definitions::new(), Definitions::add)
}

/// The fewest units of a piece's width.
fn minimum(piece: &Piece) -> usize {
    if piece.kind.is_owned() { LEAST } else { 3 }
}

/// The ground of a piece: its volume's colour.
fn ground(kind: Kind, of: Option<usize>) -> String {
    let [red, green, blue] = match (of, kind) {
        (Some(at), _) => HUES[at % HUES.len()].rgb,
        (None, Kind::Private) => [0x99; 3],
        (None, Kind::Other) => [0xcc; 3],
        (None, _) => [0xf4; 3],
    };
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// A picture in the making.
struct Page {
    /// Where the next line begins.
    y: usize,
    bar: usize,
    nodes: Group,
}

impl Page {
    fn put(&mut self, node: impl Into<Box<dyn svg::Node>>) {
        self.nodes = std::mem::take(&mut self.nodes).add(node);
    }

    fn text(&mut self, x: usize, y: usize, text: &str, class: &str) {
        let node = Text::new(text).set("x", x).set("y", y).set("class", class);
        self.put(node);
    }

    fn line(&mut self, text: &str, class: &str) {
        self.y += LINE;
        self.text(MARGIN, self.y - 6, text, class);
    }

    fn group(&mut self, map: &MapView) {
        self.line(&format!("group {}", map.name), "head");
        let largest = map.disks.iter().map(|disk| disk.size).max().unwrap_or(0);
        for disk in &map.disks {
            self.disk(map, disk, largest);
        }
        self.legend(map);
    }

    fn disk(&mut self, map: &MapView, disk: &DiskMap, largest: u64) {
        let device = disk.device.as_deref().unwrap_or("-");
        let (size, free) = (human_bytes(disk.size), human_bytes(disk.free));
        let remark = disk
            .remark()
            .map_or_else(String::new, |word| format!(", {word}"));
        self.y += 6;
        self.line(
            &format!("{}, {device}, {size}, {free} free{remark}", disk.media),
            "",
        );
        let sizes: Vec<u64> = disk.pieces.iter().map(|piece| piece.length).collect();
        let minimums: Vec<usize> = disk.pieces.iter().map(minimum).collect();
        let rest = largest.saturating_sub(disk.size);
        let width = divide(&[disk.size, rest], &[1, 0], self.bar)
            .first()
            .copied()
            .unwrap_or(1);
        let mut x = MARGIN;
        for (piece, width) in disk.pieces.iter().zip(divide(&sizes, &minimums, width)) {
            self.piece(map, disk, piece, (x, width));
            x += width;
        }
        self.frame(disk, x - MARGIN);
        self.y += HEIGHT;
    }

    /// The outline of a disk: dashed when it is missing.
    fn frame(&mut self, disk: &DiskMap, width: usize) {
        let frame = Rectangle::new()
            .set("x", MARGIN)
            .set("y", self.y)
            .set("width", width)
            .set("height", HEIGHT)
            .set("fill", "none")
            .set("stroke", if disk.is_here() { "#000" } else { "#d55e00" })
            .set("stroke-width", if disk.is_here() { 1 } else { 3 });
        self.put(if disk.is_here() {
            frame
        } else {
            frame.set("stroke-dasharray", "6 4")
        });
    }

    fn piece(&mut self, map: &MapView, disk: &DiskMap, piece: &Piece, (x, width): (usize, usize)) {
        let kind = disk.drawn(piece);
        let area = |fill: &str| {
            Rectangle::new()
                .set("x", x)
                .set("y", self.y)
                .set("width", width)
                .set("height", HEIGHT)
                .set("fill", fill)
        };
        let base = area(&ground(kind, piece.of)).set("stroke", "#000");
        let base = if piece.leaving {
            base.set("stroke-dasharray", "3 3")
                .set("fill-opacity", "0.4")
        } else {
            base.set("stroke-width", "0.5")
        };
        let mut node = Group::new()
            .add(Title::new(title(disk, piece, kind)))
            .add(base);
        if let Some((id, _)) = lines(kind) {
            node = node.add(area(&format!("url(#{id})")));
        }
        let volume = piece.of.and_then(|at| map.volumes.get(at));
        if let Some(volume) = volume {
            let is_dark = piece.of.is_some_and(|at| HUES[at % HUES.len()].is_dark);
            let class = if is_dark && !piece.leaving {
                "in light"
            } else {
                "in"
            };
            node = node.add(
                Text::new(label(volume, piece, width))
                    .set("x", x + 3)
                    .set("y", self.y + 19)
                    .set("class", class),
            );
        }
        self.put(node);
    }

    fn legend(&mut self, map: &MapView) {
        self.y += 10;
        for (at, volume) in map.volumes.iter().enumerate() {
            self.swatch(&ground(Kind::Data, Some(at)), None);
            let class = if HUES[at % HUES.len()].is_dark {
                "in light"
            } else {
                "in"
            };
            self.text(
                MARGIN + 9,
                self.y + LINE - 6,
                &volume.letter.to_string(),
                class,
            );
            self.entry(&described(volume));
        }
        let pieces = |disk: &DiskMap| -> Vec<Kind> {
            disk.pieces.iter().map(|piece| disk.drawn(piece)).collect()
        };
        let drawn: BTreeSet<Kind> = map.disks.iter().flat_map(pieces).collect();
        for (kind, meaning) in MEANINGS.iter().filter(|(kind, _)| drawn.contains(kind)) {
            let ground = match kind {
                kind if kind.is_owned() => "#ddd".to_owned(),
                kind => ground(*kind, None),
            };
            self.swatch(&ground, lines(*kind).map(|(id, _)| id));
            self.entry(meaning);
        }
        if map
            .disks
            .iter()
            .flat_map(|disk| &disk.pieces)
            .any(|piece| piece.leaving)
        {
            let pale = Rectangle::new()
                .set("x", MARGIN)
                .set("y", self.y + 2)
                .set("width", 26)
                .set("height", LINE - 4)
                .set("fill", "#f4f4f4")
                .set("stroke", "#000")
                .set("stroke-dasharray", "3 3");
            self.put(pale);
            self.entry("pale, with a dashed edge: about to be released");
        }
        self.y += 10;
    }

    fn swatch(&mut self, ground: &str, pattern: Option<&str>) {
        let area = |fill: &str| {
            Rectangle::new()
                .set("x", MARGIN)
                .set("y", self.y + 2)
                .set("width", 26)
                .set("height", LINE - 4)
                .set("fill", fill)
        };
        let base = area(ground)
            .set("stroke", "#000")
            .set("stroke-width", "0.5");
        let over = pattern.map(|id| area(&format!("url(#{id})")));
        self.put(base);
        if let Some(over) = over {
            self.put(over);
        }
    }

    fn entry(&mut self, text: &str) {
        self.y += LINE;
        self.text(MARGIN + 34, self.y - 6, text, "");
    }
}

/// What fits into a piece: its volume's letter, and its plex's name.
fn label(volume: &Shown, piece: &Piece, width: usize) -> String {
    if !piece.kind.is_plex() {
        return volume.letter.to_ascii_lowercase().to_string();
    }
    let long = piece
        .plex
        .as_ref()
        .map(|plex| format!("{} {plex}", volume.letter));
    long.filter(|long| (long.chars().count() + 1) * LETTER <= width)
        .unwrap_or_else(|| volume.letter.to_string())
}

/// What a reader is told who points at a piece.
fn title(disk: &DiskMap, piece: &Piece, kind: Kind) -> String {
    let what = MEANINGS
        .iter()
        .find(|(known, _)| *known == kind)
        .map_or("", |(_, meaning)| *meaning);
    let of = piece
        .plex
        .as_ref()
        .or(piece.volume.as_ref())
        .map_or_else(String::new, |name| format!("{name}: "));
    let state = piece
        .state
        .map_or_else(String::new, |state| format!(" ({state})"));
    let leaving = if piece.leaving {
        ", about to be released"
    } else {
        ""
    };
    format!(
        "{of}{what}{state}{leaving}; {} at {} of {}",
        human_bytes(piece.length),
        human_bytes(piece.offset),
        disk.media
    )
}

fn described(volume: &Shown) -> String {
    let original = volume
        .snapshot_of
        .as_ref()
        .map_or_else(String::new, |original| format!(", snapshot of {original}"));
    let plexes: Vec<String> = volume
        .plexes
        .iter()
        .map(|plex| format!("{} {}", plex.name, plex.state))
        .collect();
    format!(
        "{}, {}, {}{original}: {}",
        volume.name,
        human_bytes(volume.size),
        volume.condition(),
        plexes.join(", ")
    )
}

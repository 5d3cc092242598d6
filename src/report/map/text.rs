//! A map as text: a bar for each disk, to scale, and a legend.
//!
//! Every piece that belongs to a volume has at least two cells, its letter and the pattern of its
//! kind; everything else has at least one. Where that makes a bar longer than a line, it goes on in
//! the next one.

use super::{DiskMap, Kind, MEANINGS, MapView, Piece, Shown};
use crate::model::units::human_bytes;
use crate::report::canvas::{Canvas, Cell, Ink, divide};
use std::collections::BTreeSet;

/// The most lines that the largest disk gets for the sake of its smallest pieces.
const MOST_ROWS: usize = 3;
/// On narrower lines the legend has no columns.
const ROOMY: usize = 60;
/// The narrowest bar that is drawn, however narrow the terminal.
const NARROWEST: usize = 16;

/// The pattern of a kind: beyond ASCII, and in ASCII.
fn pattern(kind: Kind) -> (char, char) {
    match kind {
        Kind::Private => ('▒', '#'),
        Kind::Data => ('━', '='),
        Kind::Filling => ('»', '>'),
        Kind::Leg => ('┅', '+'),
        Kind::Snapshot => ('═', '*'),
        Kind::Bad => ('×', 'x'),
        Kind::Log => ('─', '-'),
        Kind::Changes => ('∷', ':'),
        Kind::Other => ('░', '%'),
        Kind::Held => ('?', '?'),
        Kind::Free => ('·', '.'),
        Kind::Beyond => ('_', '_'),
    }
}

/// The pattern of what is going to be released, in place of that of its kind.
const LEAVING: char = '~';

fn fill(kind: Kind, canvas: &Canvas) -> char {
    let (beyond, ascii) = pattern(kind);
    if canvas.unicode { beyond } else { ascii }
}

/// The maps of some groups.
pub(in crate::report) fn text(maps: &[MapView], canvas: &Canvas) -> String {
    if maps.is_empty() {
        return "no groups\n".to_owned();
    }
    let all: Vec<String> = maps.iter().map(|map| group(map, canvas)).collect();
    all.join("\n")
}

fn group(map: &MapView, canvas: &Canvas) -> String {
    let scale = Scale::of(map, canvas);
    let size: u64 = map.disks.iter().map(|disk| disk.size).sum();
    let free: u64 = map.disks.iter().map(|disk| disk.free).sum();
    let count = map.disks.len();
    let mut text = format!(
        "{}  {count} {}, {}, {} free\n",
        canvas.paint(&format!("group {}", map.name), Ink::Strong),
        if count == 1 { "disk" } else { "disks" },
        human_bytes(size),
        human_bytes(free)
    );
    for disk in &map.disks {
        text.push('\n');
        text.push_str(&heading(disk, canvas));
        text.push_str(&bar(map, disk, &scale, canvas));
    }
    text + "\n" + &legend(map, &scale, canvas)
}

fn heading(disk: &DiskMap, canvas: &Canvas) -> String {
    let (size, free) = (human_bytes(disk.size), human_bytes(disk.free));
    let device = disk.device.as_deref().unwrap_or("-");
    let remark = disk
        .remark()
        .map(|word| format!("  {}", canvas.paint(word, Ink::Strong)))
        .unwrap_or_default();
    format!(
        "{}  {device}  {size}, {free} free{remark}\n",
        canvas.paint(&disk.media, Ink::Strong)
    )
}

/// What a cell of the bars of a group stands for.
struct Scale {
    /// How many cells fit on a line between the ends of a bar.
    line: usize,
    /// The size of the largest disk.
    largest: u64,
    /// How many cells the largest disk has.
    cells: usize,
}

impl Scale {
    fn of(map: &MapView, canvas: &Canvas) -> Scale {
        let line = canvas.width.saturating_sub(2).max(NARROWEST);
        let largest = map.disks.iter().map(|disk| disk.size).max().unwrap_or(0);
        let with = |rows| Scale {
            line,
            largest,
            cells: line * rows,
        };
        // With more cells for all, less is drawn larger than it is.
        let is_roomy = |scale: &Scale| {
            map.disks
                .iter()
                .all(|disk| 2 * least(disk) <= scale.proportional(disk))
        };
        (1..MOST_ROWS)
            .map(with)
            .find(is_roomy)
            .unwrap_or(with(MOST_ROWS))
    }

    /// The cells of a disk by its size alone.
    fn proportional(&self, disk: &DiskMap) -> usize {
        divide(
            &[disk.size, self.largest.saturating_sub(disk.size)],
            &[1, 0],
            self.cells,
        )
        .first()
        .copied()
        .unwrap_or(1)
    }

    /// How many cells each piece of a disk has.
    fn cells(&self, disk: &DiskMap) -> Vec<usize> {
        let sizes: Vec<u64> = disk.pieces.iter().map(|piece| piece.length).collect();
        let minimums: Vec<usize> = disk.pieces.iter().map(minimum).collect();
        divide(&sizes, &minimums, self.proportional(disk))
    }
}

/// The fewest cells of a piece.
fn minimum(piece: &Piece) -> usize {
    if piece.kind.is_owned() { 2 } else { 1 }
}

fn least(disk: &DiskMap) -> usize {
    disk.pieces.iter().map(minimum).sum()
}

/// The bar of a disk, in as many lines as it takes.
fn bar(map: &MapView, disk: &DiskMap, scale: &Scale, canvas: &Canvas) -> String {
    let shares = scale.cells(disk);
    let pieces = disk.pieces.iter().zip(shares);
    let cells: Vec<Cell> = pieces
        .flat_map(|(piece, count)| cells(map, disk, piece, count, canvas))
        .collect();
    let end = match (disk.is_here(), canvas.unicode) {
        (false, _) => '!',
        (true, true) => '│',
        (true, false) => '|',
    };
    let line = |row: &[Cell]| format!("{end}{}{end}\n", canvas.row(row));
    cells.chunks(scale.line).map(line).collect()
}

/// The cells of a piece: its letter, and as far as there is room its name, on its pattern.
fn cells(map: &MapView, disk: &DiskMap, piece: &Piece, count: usize, canvas: &Canvas) -> Vec<Cell> {
    let kind = disk.drawn(piece);
    let pattern = if piece.leaving {
        LEAVING
    } else {
        fill(kind, canvas)
    };
    let ink = match (piece.of, kind) {
        (Some(at), _) => Ink::On(at),
        (None, Kind::Private | Kind::Other) => Ink::Neutral,
        (None, _) => Ink::Faint,
    };
    let shown = piece.of.and_then(|at| map.volumes.get(at));
    let mut label = shown.map_or_else(String::new, |volume| letter(volume, piece).to_string());
    let name = piece.plex.as_deref().filter(|_| piece.kind.is_plex());
    // The letter, the pattern, the name, the pattern.
    if let Some(name) = name.filter(|name| name.chars().count() + 3 <= count) {
        label.push(pattern);
        label.push_str(name);
    }
    let rest = std::iter::repeat(pattern);
    let letters = label.chars().chain(rest).take(count);
    letters.map(|letter| (letter, ink)).collect()
}

/// The letter of a volume; a small one for what it has beside its plexes.
fn letter(volume: &Shown, piece: &Piece) -> char {
    if piece.kind.is_plex() {
        volume.letter
    } else {
        volume.letter.to_ascii_lowercase()
    }
}

fn legend(map: &MapView, scale: &Scale, canvas: &Canvas) -> String {
    let longest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
    let name = longest(&mut map.volumes.iter().map(|v| v.name.chars().count()));
    let size = longest(&mut map.volumes.iter().map(|v| human_bytes(v.size).len()));
    let mut text = String::new();
    for (at, volume) in map.volumes.iter().enumerate() {
        let letter = canvas.paint(&format!(" {} ", volume.letter), Ink::On(at));
        let human = human_bytes(volume.size);
        let (first, indent) = if canvas.width < ROOMY {
            (format!("{}  {human}  ", volume.name), 2)
        } else {
            let first = format!("{:name$}  {human:>size$}  ", volume.name);
            let indent = first.chars().count();
            (first, indent)
        };
        // The letter's codes take no room.
        let narrower = Canvas {
            width: canvas.width.saturating_sub(5),
            ..*canvas
        };
        let words = narrower.wrap(&first, &described(volume), indent);
        let words = words.trim_end().replace('\n', "\n     ");
        text.push_str(&format!("{letter}  {words}\n"));
    }
    if !map.volumes.is_empty() {
        text.push('\n');
    }
    text.push_str(&canvas.wrap("", &kinds(map, canvas), 0));
    let cell = human_bytes(scale.largest / (scale.cells as u64).max(1));
    let words = format!("a cell is {cell}; whatever belongs to a volume has at least two");
    let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
    text.push_str(&canvas.wrap("", &words, 0));
    text
}

/// A volume's state, its original, and its plexes, as phrases that are not broken.
fn described(volume: &Shown) -> Vec<String> {
    let mut words = vec![volume.condition()];
    words.extend(
        volume
            .snapshot_of
            .iter()
            .map(|original| format!("snapshot of {original}")),
    );
    words.extend(volume.plexes.iter().map(|plex| {
        let percent = match plex.state {
            "SNAPATT" | "ATTACHING" | "REVIVING" => format!(" {}%", plex.percent),
            _ => String::new(),
        };
        format!(
            "{} {}{percent} ({})",
            plex.name,
            plex.state,
            plex.disks.join(",")
        )
    }));
    let last = words.len().saturating_sub(1);
    words
        .into_iter()
        .enumerate()
        .map(|(at, word)| if at == last { word } else { word + "," })
        .collect()
}

/// The patterns that occur, with what they mean.
fn kinds(map: &MapView, canvas: &Canvas) -> Vec<String> {
    let drawn: BTreeSet<Kind> = map
        .disks
        .iter()
        .flat_map(|disk| disk.pieces.iter().map(|piece| disk.drawn(piece)))
        .collect();
    let mut words: Vec<String> = MEANINGS
        .iter()
        .filter(|(kind, _)| drawn.contains(kind))
        .map(|(kind, meaning)| format!("{} {meaning}", fill(*kind, canvas)))
        .collect();
    let mut pieces = map.disks.iter().flat_map(|disk| &disk.pieces);
    if pieces.any(|piece| piece.leaving) {
        words.push(format!("{LEAVING} about to be released"));
    }
    let last = words.len().saturating_sub(1);
    let mut words: Vec<String> = words
        .into_iter()
        .enumerate()
        .map(|(at, word)| if at == last { word } else { word + " " })
        .collect();
    if map.disks.iter().any(|disk| !disk.is_here()) {
        if let Some(last) = words.last_mut() {
            last.push_str("  ");
        }
        words.push("! missing disk !".to_owned());
    }
    words
}

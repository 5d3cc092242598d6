//! `map` and `snapprint --map`: what is drawn, on canvases of several kinds.

use crate::cli_support::golden;
use crate::cli_support::world::{full, name, piece, tracked};
use crate::fake::{Fake, Words};
use crate::pure::{anywhere, carry_out, snapstart, sync, world};
use breakoff::app::{ChangedRanges, Mapped, Outcome};
use breakoff::error::Kind;
use breakoff::model::{Extent, Sectors, ranges};
use breakoff::plan::evidence::Situation;
use breakoff::plan::plan;
use breakoff::plan::room::RoomFor;
use breakoff::plan::snapback::differences;
use breakoff::report::canvas::{Canvas, Colors};
use breakoff::report::map::{Kind as Piece, MapView, svg, views};
use breakoff::report::{json, text};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeSet;

fn canvas(width: usize, unicode: bool, colors: Colors) -> Canvas {
    Canvas {
        width,
        unicode,
        colors,
    }
}

fn mapped(world: Situation, leaving: &[Extent], held: &[Extent]) -> Mapped {
    Mapped {
        world: world.state,
        leaving: leaving.iter().copied().collect(),
        held: held.to_vec(),
    }
}

/// The group with everything in it: a leg of `mail` is about to go, and a device still leads to a
/// place where nothing is.
fn everything() -> Outcome {
    let one = mapped(full(), &[piece(3, 300, 10)], &[piece(2, 700, 30)]);
    Outcome::Map(vec![one], Vec::new())
}

fn pretty(document: &str) -> String {
    serde_json::to_string_pretty(&serde_json::from_str::<Value>(document).unwrap()).unwrap() + "\n"
}

/// Without what colours add to a text.
fn bare(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.map(|part| part.split_once('m').map_or("", |(_, text)| text));
    first + &rest.collect::<String>()
}

#[test]
fn a_map_is_drawn_for_every_kind_of_terminal() {
    let outcome = everything();
    let on = |canvas: Canvas| text::on(&canvas, &outcome, false);
    let plain = on(canvas(80, true, Colors::None));
    golden("map.txt", &plain);
    golden("map-ascii.txt", &on(canvas(80, false, Colors::None)));
    golden("map-wide.txt", &on(canvas(200, true, Colors::None)));
    golden("map-narrow.txt", &on(canvas(40, false, Colors::None)));
    golden("map-colors.txt", &on(canvas(80, true, Colors::Palette)));
    for colors in [Colors::Eight, Colors::Palette, Colors::Full] {
        assert_eq!(bare(&on(canvas(80, true, colors))), plain, "{colors:?}");
    }
    assert!(on(canvas(80, false, Colors::None)).is_ascii());
    for width in [40, 80, 200] {
        let drawn = on(canvas(width, true, Colors::None));
        let longest = drawn.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(width), "{longest:?} of {width}");
    }
    let document = json::success(Some("map"), &outcome).unwrap();
    golden("map.json", &pretty(&document));
}

#[test]
fn a_picture_is_a_whole_document_and_the_same_each_time() {
    let Outcome::Map(maps, only) = everything() else {
        panic!("no map");
    };
    let picture = svg::picture(&views(&maps, &only));
    assert_eq!(picture, svg::picture(&views(&maps, &only)));
    golden("map.svg", &picture);
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
    let outside = picture.replace("http://www.w3.org/2000/svg", "");
    assert!(!outside.contains("http") && !outside.contains("href"));
    for view in views(&maps, &only) {
        let pieces: usize = view.disks.iter().map(|disk| disk.pieces.len()).sum();
        // One more for the picture as a whole.
        assert_eq!(picture.matches("<title>").count(), pieces + 1);
    }
}

#[test]
fn named_volumes_are_told_apart_from_the_others() {
    let one = mapped(full(), &[], &[]);
    let outcome = Outcome::Map(vec![one], vec![name("home"), name("SNAP-paydb")]);
    golden("map-named.txt", &text::outcome(&outcome, false));
    assert_eq!(
        text::outcome(&Outcome::Map(Vec::new(), Vec::new()), false),
        "no groups\n"
    );
}

/// A volume that may be made: its size in units of 4 KiB, its plexes, whether a snapshot leg is
/// added to it, and whether it is removed again and leaves a gap.
type Volume = (u32, usize, bool, bool);

fn used(disks: u8, volumes: &[Volume]) -> Situation {
    let mut w = world(disks);
    let called = |n: usize| name(&format!("u{n}"));
    for (n, (units, mirrors, leg, _)) in volumes.iter().enumerate() {
        let room = RoomFor::New {
            mirrors: *mirrors,
            placement: anywhere(),
            log: true,
        };
        let request = room.request(&called(n), Sectors::of(*units * 8));
        let Ok(planned) = plan(&w, &request) else {
            continue;
        };
        carry_out(&mut w, &planned);
        sync(&mut w);
        if let Ok(planned) = plan(&w, &snapstart(called(n).as_str()))
            && *leg
        {
            carry_out(&mut w, &planned);
        }
    }
    for (n, (.., goes)) in volumes.iter().enumerate() {
        if *goes && w.group.volume_named(&called(n)).is_ok() {
            let remove = breakoff::plan::request::Request::Remove {
                volumes: vec![called(n)],
                recursive: true,
            };
            if let Ok(planned) = plan(&w, &remove) {
                carry_out(&mut w, &planned);
            }
        }
    }
    w
}

/// The length of each run of cells of the bars in a text: its letters.
fn letters(text: &str) -> BTreeSet<char> {
    let bars = text
        .lines()
        .filter(|line| line.starts_with(['|', '!']) && line.len() > 2);
    bars.flat_map(str::chars)
        .filter(char::is_ascii_alphabetic)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn pieces_and_cells_add_up_and_nothing_disappears(
        disks in 1..6_u8,
        volumes in vec((1..6000_u32, 1..3_usize, any::<bool>(), any::<bool>()), 0..12),
        width in 20..220_usize,
    ) {
        let w = used(disks, &volumes);
        let maps = [mapped(w.clone(), &[], &[])];
        let view: &MapView = &views(&maps, &[])[0];
        prop_assert_eq!(view.disks.len(), usize::from(disks));
        let mut owned = 0;
        for disk in &view.disks {
            let mut at = 0;
            for piece in &disk.pieces {
                prop_assert_eq!(piece.offset, at);
                prop_assert!(piece.length > 0);
                at += piece.length;
                owned += usize::from(piece.volume.is_some());
            }
            prop_assert_eq!(at, disk.size);
        }
        prop_assert_eq!(owned, w.group.extents().count());
        let free: u64 = view.disks.iter().map(|disk| disk.free).sum();
        let used: u64 = w.group.extents().map(|extent| extent.length.bytes()).sum();
        let all: u64 = w.group.disks.iter().map(|disk| disk.size.bytes()).sum();
        prop_assert_eq!(free + used, all);
        // Every volume's letter is in a bar, and bars of equal disks are equally long unless their
        // pieces need more.
        let drawn = text::on(&canvas(width, false, Colors::None), &Outcome::Map(maps.to_vec(), Vec::new()), false);
        for volume in &view.volumes {
            prop_assert!(letters(&drawn).contains(&volume.letter), "{}: {drawn}", volume.name);
        }
        // In the picture as well.
        let picture = svg::picture(&views(&maps, &[]));
        for extent in w.group.extents() {
            let size = breakoff::model::units::human_bytes(extent.length.bytes());
            let title = format!("; {size} at ");
            prop_assert!(picture.contains(&title), "{title}");
        }
    }
}

#[test]
fn groups_and_volumes_are_found_by_their_names() {
    let fake = Fake::new(&[24, 24, 24]);
    fake.ok("group create g /dev/fake1 /dev/fake2");
    fake.ok("make v 8m --on disk01");
    fake.ok("make w 8m --on disk02");
    let before = fake.0.borrow().changes;
    let disks = |words: &str| -> Vec<(String, Vec<String>)> {
        let Outcome::Map(maps, only) = fake.ok(words) else {
            panic!("{words} is no map");
        };
        let of = |view: &MapView| {
            let disks = view.disks.iter().map(|disk| disk.media.clone()).collect();
            (view.name.clone(), disks)
        };
        views(&maps, &only).iter().map(of).collect()
    };
    let both = [(
        "g".to_owned(),
        vec!["disk01".to_owned(), "disk02".to_owned()],
    )];
    let second = [("g".to_owned(), vec!["disk02".to_owned()])];
    assert_eq!(disks("map"), both);
    assert_eq!(disks("map g"), both);
    assert_eq!(disks("-g g map"), both);
    assert_eq!(disks("map v w"), both);
    assert_eq!(disks("map w"), second);
    assert_eq!(disks("-g g map w"), second);
    assert_eq!(disks("--dry-run map w"), second);
    for words in ["map nosuch", "-g g map g", "map g w"] {
        let refused = fake.run(&Words::parse(words)).unwrap().unwrap_err();
        assert_eq!(refused.kind(), Kind::NotFound, "{words}: {refused}");
    }
    assert_eq!(fake.0.borrow().changes, before);
    // A volume that has the name of a group is reached with -g.
    fake.ok("make g 8m --on disk02");
    assert_eq!(disks("map g"), both);
    assert_eq!(disks("-g g map g"), second);
}

#[test]
fn what_goes_at_the_next_start_is_marked() {
    let fake = Fake::new(&[24, 24, 24]);
    fake.ok("group create g /dev/fake1 /dev/fake2 /dev/fake3");
    fake.ok("make v 8m");
    fake.ok("snapstart -b v");
    let leaving = |words: &str| -> Vec<String> {
        let Outcome::Map(maps, only) = fake.ok(words) else {
            panic!("{words} is no map");
        };
        let all = views(&maps, &only);
        let pieces = all.iter().flat_map(|v| &v.disks).flat_map(|d| &d.pieces);
        let leaving = pieces.filter(|piece| piece.leaving);
        let told = leaving.map(|piece| format!("{:?} {:?}", piece.kind, piece.plex));
        told.collect::<BTreeSet<String>>().into_iter().collect()
    };
    assert_eq!(leaving("map"), Vec::<String>::new());
    fake.power_cut(&mut |sector| sector.versions);
    assert_eq!(
        leaving("map"),
        [
            format!("{:?} {:?}", Piece::Changes, Some("v-02")),
            format!("{:?} {:?}", Piece::Filling, Some("v-02"))
        ]
    );
    fake.ok("start v");
    assert_eq!(leaving("map"), Vec::<String>::new());
}

fn changed() -> ChangedRanges {
    let world = tracked();
    let snapshot = world.group.volume_named(&name("SNAP-paydb")).unwrap();
    let found = differences(&world, snapshot).unwrap();
    ChangedRanges {
        group: name("pay"),
        original: name("paydb"),
        snapshot: name("SNAP-paydb"),
        size: snapshot.size,
        block: Sectors::of(128),
        ranges: found.either,
        on_original: found.original,
        on_snapshot: found.snapshot,
    }
}

#[test]
fn changes_are_drawn_to_scale_with_their_numbers() {
    let outcome = Outcome::ChangeMap(changed());
    let on = |canvas: Canvas| text::on(&canvas, &outcome, false);
    let plain = on(canvas(80, true, Colors::None));
    golden("change-map.txt", &plain);
    golden("change-map-ascii.txt", &on(canvas(80, false, Colors::None)));
    golden("change-map-wide.txt", &on(canvas(200, true, Colors::None)));
    golden("change-map-colors.txt", &on(canvas(80, true, Colors::Full)));
    assert_eq!(bare(&on(canvas(80, true, Colors::Eight))), plain);
    let document = json::success(Some("snapprint"), &outcome).unwrap();
    golden("change-map.json", &pretty(&document));
    let none = ChangedRanges {
        ranges: Vec::new(),
        on_original: Vec::new(),
        on_snapshot: Vec::new(),
        ..changed()
    };
    assert_eq!(ranges::length(&none.ranges), Sectors::ZERO);
    let unchanged = text::outcome(&Outcome::ChangeMap(none), false);
    let strip = unchanged.lines().nth(1).unwrap();
    assert!(
        !strip.contains(|c: char| c.is_ascii_alphabetic()),
        "{strip}"
    );
}

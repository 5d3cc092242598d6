//! `room`: what it names can be made, and nothing larger.

use crate::fake::{Fake, Words};
use crate::pure::{anywhere, carry_out, done, name, snapstart, sync, world};
use breakoff::error::Kind;
use breakoff::model::volume::SIZE_UNIT;
use breakoff::model::{Name, Sectors};
use breakoff::plan::evidence::Situation;
use breakoff::plan::plan;
use breakoff::plan::request::{Placement, Request};
use breakoff::plan::room::{RoomFor, room};
use breakoff::report::{json, text};
use proptest::collection::vec;
use proptest::prelude::*;

/// A volume that may be made: its size in units of 4 KiB, its plexes, whether it has a log, and
/// whether it is removed again and leaves a gap.
type Volume = (u32, usize, bool, bool);

fn volume() -> impl Strategy<Value = Volume> {
    (1..8000_u32, 1..4_usize, any::<bool>(), any::<bool>())
}

/// A group that these volumes were made in, as far as there was room.
fn used(disks: u8, volumes: &[Volume]) -> Situation {
    let mut w = world(disks);
    let called = |n: usize| name(&format!("u{n}"));
    for (n, (units, mirrors, log, _)) in volumes.iter().enumerate() {
        let request = new(*mirrors, *log, anywhere());
        let size = Sectors::of(*units * 8);
        if let Ok(plan) = plan(&w, &request.request(&called(n), size)) {
            carry_out(&mut w, &plan);
        }
    }
    sync(&mut w);
    for (n, (.., goes)) in volumes.iter().enumerate() {
        if *goes && w.group.volume_named(&called(n)).is_ok() {
            let remove = Request::Remove {
                volumes: vec![called(n)],
                recursive: false,
            };
            done(&mut w, &remove);
        }
    }
    w
}

fn new(mirrors: usize, log: bool, placement: Placement) -> RoomFor {
    RoomFor::New {
        mirrors,
        placement,
        log,
    }
}

/// The named size is planned, and one unit more is not.
fn is_the_largest(w: &Situation, what: &RoomFor, present: Sectors) -> Result<(), TestCaseError> {
    let size = room(w, what).unwrap();
    let asked = |size| plan(w, &what.request(&name("new"), size));
    prop_assert!(size >= present);
    if size > present {
        prop_assert!(asked(size).is_ok(), "{what:?}: {size}");
    }
    let refused = asked(size.saturating_add(SIZE_UNIT)).map(drop).unwrap_err();
    prop_assert_eq!(refused.kind(), Kind::NoSpace);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_there_is_room_for_can_be_made_and_nothing_larger(
        disks in 1..6_u8,
        volumes in vec(volume(), 0..6),
        mirrors in 1..4_usize,
        log: bool,
        kept_off in vec(1..6_u8, 0..3),
    ) {
        let w = used(disks, &volumes);
        let some: Vec<Name> = (kept_off.iter().filter(|n| **n <= disks))
            .map(|n| name(&format!("disk{n:02}")))
            .collect();
        let avoid = Placement { on: Vec::new(), avoid: some.clone() };
        let on = Placement { on: some, avoid: Vec::new() };
        for placement in [anywhere(), avoid, on] {
            is_the_largest(&w, &new(mirrors, log, placement.clone()), Sectors::ZERO)?;
            for volume in &w.group.volumes {
                let what = RoomFor::Growing {
                    volume: volume.name.clone(),
                    placement: placement.clone(),
                };
                is_the_largest(&w, &what, volume.size)?;
            }
        }
    }
}

#[test]
fn what_is_in_the_way_of_the_verb_is_in_the_way_of_the_question() {
    let mut w = world(3);
    done(
        &mut w,
        &new(1, true, anywhere()).request(&name("v"), Sectors::mib(8)),
    );
    let grow = |volume: &str| RoomFor::Growing {
        volume: name(volume),
        placement: anywhere(),
    };
    assert_eq!(
        room(&w, &grow("nosuch")).unwrap_err().kind(),
        Kind::NotFound
    );
    let on = Placement {
        on: vec![name("nosuch")],
        avoid: Vec::new(),
    };
    let refused = room(&w, &new(1, true, on)).unwrap_err();
    assert_eq!(refused.kind(), Kind::NotFound);
    done(&mut w, &snapstart("v"));
    let refused = room(&w, &grow("v")).unwrap_err();
    assert_eq!(refused.kind(), Kind::NotReady);
    // The name of a volume that is there is in nobody's way.
    for n in 0..3 {
        let request = new(1, true, anywhere()).request(&name(&format!("v{n}")), Sectors::MIB);
        done(&mut w, &request);
    }
    assert!(room(&w, &new(1, true, anywhere())).unwrap() > Sectors::ZERO);
}

#[test]
fn a_question_changes_nothing_and_is_right() {
    let fake = Fake::new(&[24, 24, 24]);
    fake.ok("group create g /dev/fake1 /dev/fake2 /dev/fake3");
    fake.ok("make v 8m");
    let before = fake.0.borrow().changes;
    let ask = |words: &str| {
        let outcome = fake.ok(words);
        assert_eq!(fake.0.borrow().changes, before, "{words}");
        outcome
    };
    let says = |words: &str, line: &str, document: &str| {
        let outcome = ask(words);
        assert_eq!(text::outcome(&outcome, false), line, "{words}");
        let told = json::success(Some("room"), &outcome).unwrap();
        assert!(told.contains(document), "{words}: {told}");
    };
    says(
        "room",
        "group 'g' has room for a volume of 106496s (52m)\n",
        r#""result":{"room":{"group":"g","volume":null,"size":54525952,"grows_by":null}}"#,
    );
    says(
        "room --mirrors 2 --avoid disk01",
        "group 'g' has room for a volume of 38912s (19m)\n",
        r#""size":19922944,"grows_by":null"#,
    );
    says(
        "room --mirrors 2 --avoid disk01 --no-log",
        "group 'g' has room for a volume of 40960s (20m)\n",
        r#""size":20971520,"grows_by":null"#,
    );
    says(
        "room v --on disk01",
        "'g/v' can grow to 40960s (20m), by 24576s (12m)\n",
        r#""volume":"v","size":20971520,"grows_by":12582912"#,
    );
    says(
        "room --mirrors 2 --on disk01",
        "group 'g' has no room for such a volume\n",
        r#""size":0,"grows_by":null"#,
    );
    let more = Words::parse("make a 38920s --mirrors 2 --avoid disk01");
    let refused = fake.run(&more).unwrap().unwrap_err();
    assert_eq!(refused.kind(), Kind::NoSpace, "{refused}");
    fake.ok("make a 38912s --mirrors 2 --avoid disk01");
    fake.ok("grow v 20m");
    fake.ok("--dry-run room");
    let full = fake.ok("room v --on disk01");
    assert_eq!(
        text::outcome(&full, false),
        "'g/v' has 40960s (20m) and cannot grow\n"
    );
}

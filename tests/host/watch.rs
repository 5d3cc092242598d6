//! `status --watch`: what each look shows, and what is told of the time between two of them.

use crate::cli_support::golden;
use crate::cli_support::world::{full, name};
use crate::fake::Fake;
use crate::fake::script::sync;
use breakoff::app::{Env, Mute, Options, Overlooked, Overview, Progress, overview};
use breakoff::cli::FrontEnd;
use breakoff::error::Error;
use breakoff::model::{LostLeg, Sectors, Timestamp};
use breakoff::plan::evidence::Situation;
use breakoff::report::json;
use breakoff::report::watch::text::lines;
use breakoff::report::watch::{Memory, View};
use serde_json::Value;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn copy(done: u32) -> Progress {
    Progress {
        object: "pay/home".into(),
        legs: vec![name("home-02")],
        done: Sectors::mib(done),
        total: Sectors::mib(10_000),
    }
}

fn of(world: Situation, copies: Vec<Progress>) -> Overview {
    let findings = vec!["disk 'disk04' of group 'pay' is missing".to_owned()];
    Overview {
        at: Timestamp::from_millis(1_790_000_000_000),
        groups: vec![Overlooked {
            world: world.state,
            copies,
            findings,
        }],
        unread: Vec::new(),
        findings: Vec::new(),
    }
}

fn text(view: &View, memory: &Memory) -> String {
    let lines = lines(view, memory.events());
    lines.into_iter().map(|line| line.text + "\n").collect()
}

fn pretty(document: &str) -> String {
    assert_eq!(document.matches('\n').count(), 1);
    serde_json::to_string_pretty(&serde_json::from_str::<Value>(document).unwrap()).unwrap() + "\n"
}

fn told(view: &View) -> Vec<&str> {
    view.events
        .iter()
        .map(|event| event.text.as_str())
        .collect()
}

#[test]
fn a_look_shows_everything_and_then_what_has_changed() {
    let mut memory = Memory::default();
    let mut world = full();
    let lost = LostLeg {
        plex: name("home-03"),
        media: vec![name("disk04")],
        at: Timestamp::from_millis(1_789_999_500_000),
    };
    let id = world.group.volume_named(&name("home")).unwrap().id;
    world.group.volume_mut(id).unwrap().lost_leg = Some(lost);
    memory.take(&of(world, vec![copy(1000)]), SECOND);
    let mut later = full();
    let disk = later.group.disks[2].id;
    later.disks.remove(&disk);
    let idle = later.group.volume_named(&name("idle")).unwrap().id;
    later.group.volumes.retain(|volume| volume.id != idle);
    let view = memory.take(&of(later, vec![copy(1300)]), SECOND * 4);
    golden("watch.txt", &text(&view, &memory));
    let document = json::watched(Some("status"), &view).unwrap();
    golden("watch.json", &pretty(&document));
}

#[test]
fn a_rate_needs_two_looks_and_begins_again_with_the_copy() {
    let mut memory = Memory::default();
    let mut look = |done: Option<u32>, secs: u64| {
        let copies = done.map(copy).into_iter().collect();
        let view = memory.take(&of(full(), copies), Duration::from_secs(secs));
        view.copies.first().map(|copy| (copy.rate, copy.left_secs))
    };
    let mib = |n: u64| Some(n << 20);
    assert_eq!(look(Some(0), 0), Some((None, None)));
    assert_eq!(look(Some(100), 1), Some((mib(100), Some(99))));
    assert_eq!(look(Some(400), 4), Some((mib(100), Some(96))));
    // Nothing moves: the rate goes down, and then there is no end in sight.
    assert_eq!(look(Some(400), 8), Some((mib(50), Some(192))));
    assert_eq!(look(Some(400), 100), Some((mib(0), None)));
    assert_eq!(look(Some(10), 101), Some((None, None)));
    assert_eq!(look(None, 102), None);
    assert_eq!(look(Some(500), 103), Some((None, None)));
}

#[test]
fn a_group_that_cannot_be_read_for_once_is_not_gone() {
    let mut memory = Memory::default();
    memory.take(&of(full(), Vec::new()), SECOND);
    let unread = Overview {
        groups: Vec::new(),
        unread: vec![("pay".to_owned(), Error::device("no answer"))],
        ..of(full(), Vec::new())
    };
    let view = memory.take(&unread, SECOND * 2);
    assert_eq!(told(&view), Vec::<&str>::new());
    assert_eq!(view.findings, ["group 'pay' cannot be read: no answer"]);
    assert_eq!(
        told(&memory.take(&of(full(), Vec::new()), SECOND * 3)),
        Vec::<&str>::new()
    );
    let nothing = Overview {
        unread: Vec::new(),
        ..unread
    };
    let view = memory.take(&nothing, SECOND * 4);
    assert!(told(&view).contains(&"group 'pay' is gone"), "{view:?}");
}

/// A machine with a group, and what looks at it again and again show.
struct Watched {
    fake: Fake,
    memory: Memory,
    looks: u32,
}

impl Watched {
    fn look(&mut self, options: &Options) -> View {
        let ui = Mute(FrontEnd::Native.language());
        let env = Env {
            machine: &self.fake,
            ui: &ui,
        };
        let before = self.fake.0.borrow().changes;
        let seen = overview(options, false, env).unwrap();
        assert_eq!(
            self.fake.0.borrow().changes,
            before,
            "a look changes nothing"
        );
        self.looks += 1;
        self.memory.take(&seen, SECOND * self.looks)
    }
}

#[test]
fn what_commands_do_is_seen_as_it_comes_and_no_lock_is_needed() {
    let fake = Fake::new(&[64, 64, 64]);
    fake.ok("group create g /dev/fake1 /dev/fake2 /dev/fake3");
    fake.ok("make v 8m");
    let mut watched = Watched {
        fake: fake.clone(),
        memory: Memory::default(),
        looks: 0,
    };
    let all = Options::default();
    let view = watched.look(&all);
    assert_eq!(told(&view), Vec::<&str>::new());
    assert_eq!(view.groups[0].volumes, [("ACTIVE", 1)].into());
    fake.ok("snapstart -b v");
    // Another command holds the lock of the group.
    let ui = Mute(FrontEnd::Native.language());
    let env = Env {
        machine: &fake,
        ui: &ui,
    };
    let lock = env.machine.lock("g", None, &|_| ()).unwrap();
    let view = watched.look(&all);
    assert_eq!(told(&view), ["plex 'g/v-02' is new: SNAPATT"]);
    assert_eq!((view.copies.len(), view.legs.len()), (1, 1));
    assert_eq!(view.copies[0].object, "g/v");
    drop(lock);
    sync(&fake);
    fake.ok("print");
    let view = watched.look(&all);
    assert_eq!(told(&view), ["plex 'g/v-02' is SNAPDONE, was SNAPATT"]);
    assert!(view.copies.is_empty());
    fake.ok("snapshot v --name s");
    let view = watched.look(&all);
    let expected = [
        "plex 'g/v-02' is ACTIVE, was SNAPDONE",
        "volume 'g/s' is new: ACTIVE, snapshot of 'v'",
    ];
    assert_eq!(told(&view), expected);
    assert_eq!(view.splits[0].object, "g/s");
    fake.0.borrow_mut().disks[2].dead = true;
    let view = watched.look(&all);
    assert!(!view.findings.is_empty(), "{view:?}");
    let other = Options {
        group: Some(name("nosuch")),
        ..Options::default()
    };
    let view = watched.look(&other);
    assert_eq!(view.groups.len(), 0);
    assert!(
        view.findings.iter().any(|f| f.contains("nosuch")),
        "{view:?}"
    );
}

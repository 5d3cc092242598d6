//! What `stat` shows, on the machine in memory.

use crate::fake::Fake;
use crate::fake::script::{World, sync};
use breakoff::app::{Counted, CounterLine, Outcome};

fn stat(fake: &Fake, command: &str) -> Vec<CounterLine> {
    match fake.ok(command) {
        Outcome::Counters(lines) => lines,
        other => panic!("{command}: {other:?}"),
    }
}

/// The objects in their order, each with the number of its device.
fn shown(fake: &Fake, command: &str) -> Vec<(String, u64)> {
    let word = |of: &Counted| match of {
        Counted::Volume(name) => format!("v {name}"),
        Counted::Plex(volume, name) => format!("pl {volume} {name}"),
        Counted::Disk(media) => format!("dm {media}"),
    };
    let lines = stat(fake, command);
    assert!(lines.iter().all(|line| line.group.as_str() == "g"));
    let pair = |line: &CounterLine| (word(&line.of), line.counters.reads);
    lines.iter().map(pair).collect()
}

fn words(shown: &[(String, u64)]) -> Vec<&str> {
    shown.iter().map(|(word, _)| word.as_str()).collect()
}

#[test]
fn what_is_started_is_counted_and_so_are_the_disks() {
    let script = [
        "group create g /dev/fake1 /dev/fake2 /dev/fake3",
        "make v 8m",
        "make w 8m --mirrors 2",
        "make x 4m",
        "stop x",
    ];
    let fake = World::new("counted", 3, &script).fake;
    let all = shown(&fake, "stat");
    assert_eq!(
        words(&all),
        [
            "v v",
            "pl v v-01",
            "v w",
            "pl w w-01",
            "pl w w-02",
            "dm disk01",
            "dm disk02",
            "dm disk03"
        ]
    );
    assert_eq!(all[0].1, all[1].1, "the only plex is the volume");
    assert!(all[2].1 != all[3].1 && all[3].1 != all[4].1);
    assert_eq!(words(&shown(&fake, "-g g stat v")), ["v v", "pl v v-01"]);
    assert!(shown(&fake, "stat x").is_empty());

    // A leg that is filled has a device, and so has the plex that it is filled from.
    fake.ok("snapstart -b v");
    let both = ["v v", "pl v v-01", "pl v v-02"];
    assert_eq!(words(&shown(&fake, "stat v")), both);
    sync(&fake);
    fake.ok("snapshot v --name s");
    let alone = ["v v", "pl v v-01", "v s", "pl s v-02"];
    assert_eq!(words(&shown(&fake, "stat v s")), alone);
}

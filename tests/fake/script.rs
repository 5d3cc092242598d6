//! Every crash point of a command: killed, or the power cut, before each of its changes; recovered;
//! looked at; recovered again.

pub use super::disk::Unsynced;
use super::{Fake, Trap, Words};
use crate::support::sample;
use breakoff::app::Outcome;
use breakoff::model::{Group, Name, Plex, Sectors, Volume, check};
use breakoff::table::stack::stack;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// What was enumerated.
#[derive(Debug, Clone, Copy, Default)]
pub struct Count {
    pub commands: u64,
    pub kills: u64,
    pub cuts: u64,
    pub errors: u64,
    pub deaths: u64,
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Count) {
        self.commands += other.commands;
        self.kills += other.kills;
        self.cuts += other.cuts;
        self.errors += other.errors;
        self.deaths += other.deaths;
    }
}

/// A configuration without what differs from run to run: identities, times, the boot.
pub fn essence(group: Option<&Group>) -> String {
    let Some(group) = group else {
        return "no group".into();
    };
    let mut text = format!("group {} host {}\n", group.name, group.host.is_some());
    let media = |id| group.disk(id).map_or("?", |d| d.media.as_str());
    let place = |e: &breakoff::model::Extent| {
        format!("{}+{}:{}", media(e.disk), e.start.get(), e.length.get())
    };
    for disk in &group.disks {
        let _ = writeln!(text, "disk {} {}", disk.media, disk.size.get());
    }
    let mut volumes: Vec<_> = group.volumes.iter().collect();
    volumes.sort_by_key(|v| v.name.as_str());
    for v in volumes {
        let origin = v.origin.as_ref().map(|o| {
            (
                group.volume(o.original).map_or("?", |v| v.name.as_str()),
                o.at_boot,
            )
        });
        let log = v
            .log
            .as_ref()
            .map(|l| format!("{} live {}", place(&l.extent), l.live));
        let log = (log, if v.log_wanted { "wanted" } else { "unwanted" });
        let _ = writeln!(
            text,
            "volume {} {} running {} synced {} of {origin:?} copied {} owner {:?} log {log:?}",
            v.name,
            v.size.get(),
            v.running.is_some(),
            v.is_synced(),
            v.copied,
            (!v.owner.is_default()).then_some(&v.owner)
        );
        for p in &v.plexes {
            let space: Vec<String> = p.subdisks.iter().map(place).collect();
            let _ = writeln!(
                text,
                "  {} {} {} {}",
                p.number,
                p.name,
                p.state,
                space.join(" ")
            );
        }
    }
    text
}

/// The same without where things lie: a disk that could not be read for a moment may have been
/// avoided.
fn outline(essence: &str) -> String {
    let plex = |line: &str| line.split(' ').take(5).collect::<Vec<_>>().join(" ");
    let line = |line: &str| {
        if line.starts_with("  ") {
            plex(line)
        } else {
            line.split(" log ").next().unwrap_or_default().to_owned()
        }
    };
    essence.lines().map(|text| line(text) + "\n").collect()
}

/// A machine in a state from which commands are tried.
pub struct World {
    pub name: &'static str,
    pub fake: Fake,
}

impl World {
    /// Disks of 64 MiB and what these commands make of them. `sync` lets the kernel finish its
    /// copies; `region` only one region.
    #[track_caller]
    pub fn new(name: &'static str, disks: usize, script: &[&str]) -> World {
        let fake = Fake::new(&vec![64; disks]);
        for line in script {
            match *line {
                "sync" => sync(&fake),
                "region" => drop(fake.0.borrow_mut().tick()),
                // A disk dies under its writers, and nobody has looked yet.
                "die1" | "die2" | "die3" => {
                    let disk: usize = line[3..].parse().unwrap_or(1);
                    fake.0.borrow_mut().disks[disk - 1].dead = true;
                    (0..8).for_each(|_| fake.0.borrow_mut().writers_write());
                    continue;
                }
                // Nobody has the snapshot open any more.
                "close" => {
                    fake.0.borrow_mut().data.closed.insert("g-s".to_owned());
                    continue;
                }
                // The writers change this and that.
                "write" => {
                    (0..24).for_each(|_| fake.0.borrow_mut().writers_write());
                    continue;
                }
                // All copies of the map of `v` are blank, the first one is, or the kernel finds it
                // damaged where nobody else looks.
                "blank" | "blank1" | "rot" => {
                    if let Some((group, _)) = fake.group() {
                        fake.0.borrow_mut().spoil_map(&group, line);
                    }
                    continue;
                }
                // The label of a disk is gone, and everything else of its private area.
                "bare2" => {
                    fake.0.borrow_mut().disks[1].lose_label();
                    continue;
                }
                // A disk is gone, and nobody finds it any more.
                "unplug2" => {
                    fake.0.borrow_mut().disks[1].unplugged = true;
                    continue;
                }
                "larger1" => {
                    fake.0.borrow_mut().disks[0].enlarge(Sectors::mib(16));
                    continue;
                }
                // Only this disk is plugged in, or all are.
                "only1" | "only2" | "all" => {
                    let only = line.strip_prefix("only").map(|at| at.parse() == Ok(1));
                    let mut state = fake.0.borrow_mut();
                    for (at, disk) in state.disks.iter_mut().enumerate() {
                        disk.unplugged = only.is_some_and(|first| first != (at == 0));
                    }
                    state.may_be_split = only.is_none();
                    continue;
                }
                "cut" => {
                    fake.power_cut(&mut |sector| sector.versions);
                    fake.ok("start --auto");
                }
                // Somebody opens one of our devices and keeps it open.
                line if line.starts_with("hold ") => {
                    hold(&fake, &line[5..]);
                    continue;
                }
                line => drop(fake.ok(line)),
            }
            settle_writers(&fake);
        }
        World { name, fake }
    }

    /// Crashes the command everywhere.
    #[track_caller]
    pub fn crash(&self, command: &str) -> Count {
        let mut case = self.case(command);
        case.enumerate()
    }

    /// The same for a repair with a dead disk: killed anywhere, the next one finishes it, and no
    /// write is lost or stuck.
    #[track_caller]
    pub fn crash_repair(&self, command: &str, disk: usize) -> Count {
        let words = Words::parse(command);
        let before = (String::new(), String::new());
        let whole = self.fake.copy();
        whole.set_trap(Trap::None);
        whole.run(&words);
        whole.print_trace(&words.text);
        let changes = whole.0.borrow().changes;
        let safe_after = vec![safe_volumes(&whole, disk); disk + 1];
        let case = Case {
            world: self,
            words,
            before,
            after: String::new(),
            after_cut: String::new(),
            watches: true,
            safe_after,
            between: Vec::new(),
        };
        let mut count = Count {
            commands: 1,
            ..Count::default()
        };
        for at in 1..=changes {
            let fake = case.fresh(Trap::Kill(at));
            fake.run(&case.words);
            fake.set_trap(Trap::None);
            let what = format!("with disk {} dead, killed before change {at}", disk + 1);
            case.survives(&fake, &what, &case.safe_after[disk]);
            count.kills += 1;
        }
        count
    }

    /// The same for a command that waits, or records what the kernel does: each thing that it
    /// records is one of its own, so that it is judged by what it comes to in the end.
    #[track_caller]
    pub fn crash_watching(&self, command: &str) -> Count {
        let mut case = Case {
            watches: true,
            ..self.case(command)
        };
        case.enumerate()
    }

    /// The same for a command that is carried out in parts: what the commands of `parts` leave, each
    /// after the one before, may be left, too.
    #[track_caller]
    pub fn crash_in_parts(&self, command: &str, parts: &[&str]) -> Count {
        let so_far = self.fake.copy();
        let after = |part: &&str| {
            so_far.ok(part);
            self.outcomes(&so_far).0
        };
        let mut case = Case {
            between: parts.iter().map(after).collect(),
            ..self.case(command)
        };
        case.enumerate()
    }

    fn case(&self, command: &str) -> Case<'_> {
        Case {
            world: self,
            words: Words::parse(command),
            before: self.outcomes(&self.fake),
            after: String::new(),
            after_cut: String::new(),
            watches: false,
            between: Vec::new(),
            safe_after: Vec::new(),
        }
    }

    /// What the configuration is as it stands, and what it is after the power was cut and the
    /// volumes were started.
    fn outcomes(&self, fake: &Fake) -> (String, String) {
        let now = essence(fake.group().map(|(g, _)| g).as_ref());
        let cut = fake.copy();
        cut.set_trap(Trap::None);
        cut.power_cut(&mut |sector| sector.versions);
        cut.ok("start --auto");
        sync(&cut);
        (now, essence(cut.group().map(|(g, _)| g).as_ref()))
    }
}

/// The kernel finishes its copies and somebody records it.
#[track_caller]
pub fn sync(fake: &Fake) {
    for _ in 0..64 {
        while fake.0.borrow_mut().tick() {}
        if fake.group().is_none() || nothing_changes(&fake.ok("recover")) {
            return;
        }
    }
    panic!("it does not come to an end");
}

fn nothing_changes(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Done(report) if report.changes.is_empty())
}

/// Opens a device for somebody.
#[track_caller]
pub fn hold(fake: &Fake, name: &str) {
    let state = &mut *fake.0.borrow_mut();
    let minor = state
        .dm
        .all()
        .find(|d| d.name.as_str() == name)
        .map(|d| d.minor);
    state.dm.hold(
        minor.unwrap_or_else(|| panic!("there is no device '{name}'")),
        true,
    );
}

/// Whoever has something open that is ours closes it.
pub fn release(fake: &Fake) {
    let state = &mut *fake.0.borrow_mut();
    for minor in state.dm.held().iter().map(|d| d.minor).collect::<Vec<_>>() {
        state.dm.hold(minor, false);
    }
}

/// Devices that no stack of the configuration has, in words; those that wait to be closed are as
/// they have to be.
pub fn needless(fake: &Fake, group: &Group) -> Vec<String> {
    let state = fake.0.borrow();
    let running = group.volumes.iter().filter(|v| v.running.is_some());
    let needed: BTreeSet<_> = running
        .flat_map(|v| stack(group, v).unwrap_or_default())
        .map(|d| d.uuid)
        .collect();
    let seen = state.dm.all().filter(|d| !needed.contains(&d.uuid));
    let wrong = seen.filter(|d| {
        !(state.dm.held().iter().any(|h| h.uuid == d.uuid)
            && state.dm.reaches(d.minor).is_empty()
            && d.is_clean())
    });
    wrong.map(|d| format!("'{}' is left", d.name)).collect()
}

/// Volumes that are new are written to from now on.
fn settle_writers(fake: &Fake) {
    if let Some((group, _)) = fake.group() {
        fake.0.borrow_mut().know_volumes(&group);
    }
}

struct Case<'w> {
    world: &'w World,
    words: Words,
    before: (String, String),
    after: String,
    after_cut: String,
    watches: bool,
    /// What a command that is carried out in parts may leave between them.
    between: Vec<String>,
    /// By disk that dies: the volumes that survive it also after the command.
    safe_after: Vec<Vec<Name>>,
}

impl Case<'_> {
    #[track_caller]
    fn enumerate(&mut self) -> Count {
        let whole = self.fresh(Trap::None);
        let came = whole.run(&self.words);
        whole.print_trace(&self.words.text);
        assert!(
            matches!(came, Some(Ok(_))),
            "{} '{}': {came:?}",
            self.world.name,
            self.words.text
        );
        let (changes, calls) = (whole.0.borrow().changes, whole.0.borrow().calls);
        (self.after, self.after_cut) = self.world.outcomes(&whole);
        self.check(&whole, "after the command", &[&self.after]);
        if self.watches {
            sync(&whole);
            self.after = self.world.outcomes(&whole).0;
            let unchanged = self.fresh(Trap::None);
            sync(&unchanged);
            self.before.0 = self.world.outcomes(&unchanged).0;
        }
        let mut count = Count {
            commands: 1,
            ..Count::default()
        };
        // What was reported as done is done, whatever the disks' caches lose now.
        self.cut(
            &whole,
            "power cut after the command",
            &[&self.after_cut],
            &mut count,
        );
        for at in (1..=changes).filter(|at| self.takes("killed", *at, 0)) {
            self.killed(at, &mut count);
        }
        let disks = self.world.fake.0.borrow().disks.len();
        self.safe_after = (0..disks).map(|disk| safe_volumes(&whole, disk)).collect();
        for at in 1..=changes {
            for disk in (0..disks).filter(|disk| self.takes("dying", at, *disk)) {
                self.dying(at, disk, &mut count);
            }
        }
        for at in (1..=calls).filter(|at| self.takes("failing", *at, 0)) {
            self.failing(Trap::Fail(at), &mut count);
            self.failing(Trap::FailFrom(at), &mut count);
        }
        count
    }

    /// Whether this point is in the sample.
    fn takes(&self, what: &str, at: u64, disk: usize) -> bool {
        sample::takes((self.world.name, &self.words.text, what, at, disk))
    }

    fn fresh(&self, trap: Trap) -> Fake {
        let fake = self.world.fake.copy();
        fake.set_trap(trap);
        fake
    }

    fn place(&self, what: &str) -> String {
        format!(
            "world '{}', command '{}', {what}",
            self.world.name, self.words.text
        )
    }

    /// Killed before a change; and the power cut at that instant, with every way in which the
    /// disks' caches may come out of it.
    #[track_caller]
    fn killed(&self, at: u64, count: &mut Count) {
        let dead = self.fresh(Trap::Kill(at));
        assert!(
            dead.run(&self.words).is_none(),
            "{}",
            self.place(&format!("was not killed before change {at}"))
        );
        dead.set_trap(Trap::None);

        let killed = dead.copy();
        self.recover(
            &killed,
            "recover",
            &format!("killed before change {at}"),
            &[&self.before.0, &self.after],
        );
        count.kills += 1;

        self.cut(
            &dead,
            &format!("power cut before change {at}"),
            &[&self.before.1, &self.after_cut],
            count,
        );
    }

    #[track_caller]
    fn cut(&self, alive: &Fake, what: &str, allowed: &[&str], count: &mut Count) {
        let mut seen = BTreeSet::new();
        for kept in ways(alive) {
            let cut = alive.copy();
            let mut nth = 0;
            cut.power_cut(&mut |sector| {
                nth += 1;
                kept(nth - 1, sector)
            });
            // What the labels say decides everything that follows; equal ones are looked at once.
            count.cuts += 1;
            if seen.insert(cut.fingerprint()) {
                cut.ok("start --auto");
                self.check_data(&cut, what);
                // A mirror may be equal at once, or have a region to copy.
                sync(&cut);
                self.recover(&cut, "recover", what, allowed);
            }
        }
    }

    /// A disk dies before a change: no write is lost or held for ever, and what counts as complete
    /// is.
    #[track_caller]
    fn dying(&self, at: u64, disk: usize, count: &mut Count) {
        count.deaths += 1;
        let what = format!("disk {} dies before change {at}", disk + 1);
        let place = self.place(&what);
        let fake = self.fresh(Trap::Die(at, disk));
        let mirrored: Vec<Name> = safe_volumes(&self.world.fake, disk)
            .into_iter()
            .filter(|v| self.safe_after[disk].contains(v))
            .collect();
        let came = fake.run(&self.words);
        if std::env::var("CRASH_CASE").is_ok_and(|case| case == what) {
            fake.print_trace(&place);
            println!("{place}: {came:?}");
        }
        assert!(came.is_some(), "{place}");
        let stuck = matches!(&came, Some(Err(error)) if error.message() == super::STUCK);
        assert!(!stuck, "{place}: it waits for ever");
        fake.set_trap(Trap::None);
        fake.0.borrow_mut().disks[disk].dead = true;
        self.survives(&fake, &what, &mirrored);
    }

    /// With a dead disk somebody looks until nothing is left to be done.
    #[track_caller]
    fn survives(&self, fake: &Fake, what: &str, safe: &[Name]) {
        let place = self.place(what);
        for round in 0..16 {
            // The monitor, which looks until nothing is left to be done.
            match fake.run(&Words::parse("recover")) {
                Some(Ok(outcome)) if round > 2 && nothing_changes(&outcome) => break,
                Some(Ok(_)) => {}
                other => panic!("{place}: {other:?}"),
            }
            fake.0.borrow_mut().writers_write();
        }
        let again = fake.ok("recover");
        assert!(
            nothing_changes(&again),
            "{place}: it does not come to rest: {again:?}"
        );
        let Some((mut group, _)) = fake.group() else {
            return;
        };
        assert_eq!(check::violations(&group), Vec::<String>::new(), "{place}");
        let mut state = fake.0.borrow_mut();
        assert_eq!(
            state.data.in_freeze, 0,
            "{place}: a freeze met a write that was held"
        );
        assert!(
            state.data.frozen_filesystems.is_empty(),
            "{place}: a filesystem stays frozen"
        );
        let dirty: Vec<&str> = state
            .dm
            .all()
            .filter(|d| !d.is_clean())
            .map(|d| d.name.as_str())
            .collect();
        assert!(
            dirty.is_empty(),
            "{place}: left suspended or half loaded: {dirty:?}"
        );
        assert!(
            state.data.nothing_queued(),
            "{place}: a write is held for ever"
        );
        assert_eq!(state.misplaced(&group), Vec::<String>::new(), "{place}");
        state.know_volumes(&group);
        let dead = state.labels_of_dead();
        group.volumes.retain(|v| {
            v.is_synced()
                || !v
                    .complete()
                    .first()
                    .is_some_and(|p| dead.iter().any(|d| p.subdisks.iter().any(|s| s.disk == *d)))
        });
        let group = group;
        let on_it = |p: &Plex| {
            p.subdisks
                .iter()
                .any(|s| !group.disks.iter().any(|d| d.id == s.disk) || dead.contains(&s.disk))
        };
        for volume in &group.volumes {
            let safe = safe.contains(&volume.name);
            assert!(
                !safe || !state.data.errors.contains_key(&volume.id),
                "{place}: a write to '{}' was lost",
                volume.name
            );
            assert!(
                !safe || volume.complete().iter().any(|p| !on_it(p)),
                "{place}: '{}' has nothing left",
                volume.name
            );
        }
        let wrong: Vec<String> = state.wrong_data_beside(&group, &on_it);
        assert!(
            wrong.is_empty(),
            "{place}: {wrong:#?}\n{}",
            essence(Some(&group))
        );
    }

    /// A call fails, once or from then on: the command tells the truth, and `recover` mends what it
    /// could not.
    #[track_caller]
    fn failing(&self, trap: Trap, count: &mut Count) {
        count.errors += 1;
        let fake = self.fresh(trap);
        let came = fake.run(&self.words);
        fake.set_trap(Trap::None);
        let what = format!("with {trap:?}");
        let told = match &came {
            Some(Ok(_)) => &self.after,
            Some(Err(_)) => &self.before.0,
            None => panic!("{}", self.place("nobody killed it")),
        };
        let what = format!(
            "{what}, which ended with {:?}",
            came.as_ref().and_then(|came| came.as_ref().err())
        );
        let found = essence(fake.group().map(|(g, _)| g).as_ref());
        if self.watches {
            self.recover(&fake, "recover", &what, &[]);
            return;
        }
        if came.as_ref().is_some_and(|came| {
            came.as_ref()
                .is_err_and(|error| error.message().contains("is not known"))
        }) {
            // All disks are silent: what they hold shows when they answer again, and is carried
            // through.
            self.recover(&fake, "recover", &what, &[&self.before.0, &self.after]);
            return;
        }
        // What it said holds at once; after the repair it still does.
        if matches!(&came, Some(Ok(Outcome::Done(report))) if !report.failures.is_empty()) {
            // It said itself that a part was not done.
            self.recover(&fake, "recover", &what, &[&found]);
            return;
        }
        // A side is one disk here: when its newest superblock cannot be read, the command warns of
        // that, and the side is what the other superblock says.
        if self.words.text.starts_with("group choose") && matches!(came, Some(Ok(_))) {
            self.recover(&fake, "recover", &what, &[&found]);
            return;
        }
        // A disk that could not be read while its group was destroyed knows nothing of that, and
        // says so when it is back.
        if self.words.text.starts_with("group destroy") && matches!(came, Some(Ok(_))) {
            self.recover(&fake, "recover", &what, &[&found]);
            return;
        }
        // Without a disk that could not be read a volume may have been started on the others.
        let degraded = self.words.text.starts_with("start") || found.contains("FAILED");
        let shape = |text: &str| {
            outline(text)
                .lines()
                .filter(|line| !(degraded && line.starts_with("  ")))
                .collect::<Vec<_>>()
                .join("\n")
        };
        assert_eq!(shape(&found), shape(told), "{}", self.place(&what));
        self.recover(&fake, "recover", &what, &[&found]);
    }

    #[track_caller]
    fn recover(&self, fake: &Fake, how: &str, what: &str, allowed: &[&str]) {
        let place = self.place(what);
        if fake.group().is_some() {
            match fake.run(&Words::parse(how)) {
                Some(Ok(_)) => {}
                other => panic!("{place}: '{how}' fails: {other:?}"),
            }
        }
        if self.watches {
            self.check_data(fake, what);
            sync(fake);
            self.check(
                fake,
                what,
                &[&self.before.0, &self.after, &self.before.1, &self.after_cut],
            );
        } else {
            self.check(fake, what, allowed);
        }
        fake.set_trap(Trap::None);
        if fake.group().is_some() {
            let again = fake.ok("recover");
            assert!(
                nothing_changes(&again),
                "{place}: a second 'recover' does something: {again:?}"
            );
            assert_eq!(
                fake.0.borrow().changes,
                0,
                "{place}: a second 'recover' changes something"
            );
        }
        // Life goes on: the copies end, and all that counts as equal is. What others have open goes
        // with them.
        sync(fake);
        if !fake.0.borrow().dm.held().is_empty() {
            release(fake);
            fake.ok("recover");
            let left = fake
                .group()
                .map(|(group, _)| needless(fake, &group))
                .unwrap_or_default();
            assert_eq!(
                left,
                Vec::<String>::new(),
                "{place}: closed, and still there"
            );
        }
        self.check_data(fake, &format!("{what}, later"));
    }

    #[track_caller]
    fn check(&self, fake: &Fake, what: &str, allowed: &[&str]) {
        let place = self.place(what);
        let group = fake.group().map(|(g, _)| g);
        let now = essence(group.as_ref());
        let is_one = allowed.contains(&now.as_str())
            || self.between.contains(&now)
            || (self.watches && allowed.iter().any(|text| outline(text) == outline(&now)));
        assert!(
            is_one,
            "{place}: it is\n{now}\nallowed is\n{}",
            allowed.join("\nor\n")
        );
        if let Some(group) = &group {
            assert_eq!(check::violations(group), Vec::<String>::new(), "{place}");
        }
        let state = fake.0.borrow();
        let dirty: Vec<&str> = state
            .dm
            .all()
            .filter(|d| !d.is_clean())
            .map(|d| d.name.as_str())
            .collect();
        assert!(
            dirty.is_empty(),
            "{place}: left suspended or half loaded: {dirty:?}"
        );
        assert!(
            state.data.nothing_queued(),
            "{place}: a write is still held"
        );
        assert_eq!(state.data.intruders, Vec::<String>::new(), "{place}");
        let left = group
            .as_ref()
            .map(|group| needless(fake, group))
            .unwrap_or_default();
        assert_eq!(left, Vec::<String>::new(), "{place}");
        let misplaced = group
            .as_ref()
            .map(|group| state.misplaced(group))
            .unwrap_or_default();
        assert_eq!(misplaced, Vec::<String>::new(), "{place}");
        let nodes = group
            .as_ref()
            .map(|group| state.wrong_nodes(group))
            .unwrap_or_default();
        assert_eq!(nodes, Vec::<String>::new(), "{place}");
        let errors: Vec<_> = group
            .iter()
            .flat_map(|g| &g.volumes)
            .filter(|v| state.data.errors.contains_key(&v.id))
            .collect();
        assert!(
            errors.is_empty(),
            "{place}: a write came back as an error: {errors:?}"
        );
        drop(state);
        self.check_data(fake, what);
    }

    #[track_caller]
    fn check_data(&self, fake: &Fake, what: &str) {
        let Some((group, _)) = fake.group() else {
            return;
        };
        fake.0.borrow_mut().know_volumes(&group);
        let wrong = fake.0.borrow().wrong_data(&group);
        assert!(
            wrong.is_empty(),
            "{}: {wrong:#?}\n{}",
            self.place(what),
            essence(Some(&group))
        );
    }
}

/// The volumes that have a complete plex elsewhere than on this disk, and so survive it.
fn safe_volumes(fake: &Fake, disk: usize) -> Vec<Name> {
    let Some((group, _)) = fake.group() else {
        return Vec::new();
    };
    let id = fake
        .0
        .borrow()
        .labels
        .iter()
        .find(|(_, at)| *at == disk)
        .map(|(id, _)| *id);
    let elsewhere = |p: &&Plex| p.subdisks.iter().all(|s| Some(s.disk) != id);
    let safe = |v: &&Volume| v.is_synced() && v.complete().iter().any(elsewhere);
    group
        .volumes
        .iter()
        .filter(safe)
        .map(|v| v.name.clone())
        .collect()
}

pub type Way = Box<dyn Fn(usize, Unsynced) -> usize>;

/// The ways in which unsynced sectors may come out of a power cut: up to ten of them in every
/// combination, of more the ends and each prefix, which is how far a disk came.
pub fn ways(fake: &Fake) -> Vec<Way> {
    let state = fake.0.borrow();
    let unsynced: Vec<Unsynced> = state
        .disks
        .iter()
        .enumerate()
        .flat_map(|(at, disk)| disk.unsynced(at))
        .collect();
    let count = unsynced.len();
    if count <= 10 {
        return (0..1usize << count)
            .map(|set| {
                Box::new(
                    move |n: usize, s: Unsynced| if set >> n & 1 == 1 { s.versions } else { 0 },
                ) as Way
            })
            .collect();
    }
    (0..=count)
        .map(|until| Box::new(move |n, s: Unsynced| if n < until { s.versions } else { 0 }) as Way)
        .collect()
}

impl Fake {
    /// What the labels of all disks say, in short.
    fn fingerprint(&self) -> String {
        let disks = self.0.borrow().disks.len();
        let read = |at| breakoff::meta::read_disk(&super::disk::FakeMedia(self.clone(), at));
        let said: Vec<String> = (0..disks)
            .map(|at| match read(at) {
                Ok(Some(label)) => {
                    let copies: Vec<String> = label
                        .copies()
                        .iter()
                        .map(|c| c.generation().to_string())
                        .collect();
                    format!(
                        "{:?} {} [{}] {:?}",
                        label.group(),
                        label.highest(),
                        copies.join(" "),
                        label.warnings()
                    )
                }
                Ok(None) => "none".into(),
                Err(error) => error.to_string(),
            })
            .collect();
        said.join("\n")
    }
}

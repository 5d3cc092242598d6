//! One boot: what the last cut has left is checked, and then writers and random commands, failing
//! disks and kills go on until the power goes.

use super::book::{Book, Entry};
use crate::support::block;
use crate::support::child::{DEADLINE, Output, program, start};
use crate::support::dice::Dice;
use crate::support::disk::Fault;
use crate::support::lab::{Lab, until};
use crate::support::machine::{cut_the_power, maybe_noted, note, noted};
use crate::support::plexes;
use crate::support::stamp::newest;
use crate::support::view::{Group, Plex, Volume};
use crate::support::writer::{Style, Writer};
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// The disks of the machine.
pub const DISKS: [&str; 4] = ["/dev/vda", "/dev/vdb", "/dev/vdc", "/dev/vdd"];
/// What there is at first, and again when it has been removed.
const ORIGINALS: [(&str, &str); 2] = [("a", "make a 8m --mirrors 2"), ("b", "make b 8m")];
const DURABLE: Style = Style {
    dsync: true,
    pause: Duration::from_millis(2),
};
const KILLED: i32 = 128 + libc::SIGKILL;
/// Few commands have more changes.
const CHANGES: u64 = 20;

/// V stands for a volume, and P for a plex, of those that there are.
const COMMANDS: [&str; 25] = [
    "snapstart -b V",
    "snapstart V",
    "snapstart a b",
    "snapstart a",
    "snapstart b",
    "snapwait V",
    "snapshot V",
    "snapshot a",
    "snapshot b",
    "snapshot a b",
    "snapshot --all",
    "snapabort V",
    "snapclear V",
    "remove V",
    "remove --recursive V",
    "mirror -b V",
    "mirror V",
    "grow V +1m",
    "plex detach P",
    "plex attach P",
    "plex attach -b P",
    "plex convert --to snapdone P",
    "plex convert --to active P",
    "stop V",
    "start --all",
];

/// What the thread that cuts the power sees, too.
#[derive(Default)]
struct Shared {
    book: Book,
    live: BTreeMap<String, Writer>,
}

impl Shared {
    /// Looks how far the writers are.
    fn look(&mut self) {
        for (uuid, writer) in &self.live {
            if let Some(entry) = self.book.volumes.get_mut(uuid) {
                (entry.acked, entry.issued) = (writer.fork().acked, u64::MAX);
            }
        }
    }

    /// Tells the outside what is known now.
    fn tell(&mut self) {
        self.look();
        note("book", &self.book);
    }

    /// What was split off a volume since the last command began.
    fn split(&self, original: &str) -> Entry {
        let entry = self.book.volumes[original].split();
        self.live.get(original).map_or(entry, |writer| Entry {
            issued: writer.fork().issued,
            ..entry
        })
    }
}

struct Load {
    lab: Lab,
    dice: Dice,
    /// As it was when a command had changed it last.
    group: Group,
    shared: Arc<Mutex<Shared>>,
}

/// See the module.
pub fn run() {
    let (seed, boot): (u64, u64) = (noted("seed"), noted("boot"));
    let lab = Lab::over("guest", &["mirror", "error", "flakey"], &DISKS).unwrap();
    let book: Option<Book> = maybe_noted("book");
    if book.is_none() {
        lab.fill_with_noise();
        lab.create_group("g");
    }
    lab.wait_for_nodes();
    let shared = Shared {
        book: book.unwrap_or_default(),
        live: BTreeMap::new(),
    };
    let dice = Dice::new(block::mix(seed) ^ block::mix(boot << 32));
    let mut load = Load {
        group: lab.print("g"),
        lab,
        dice,
        shared: Arc::new(Mutex::new(shared)),
    };
    load.check();
    load.make_originals();
    load.start_writers();
    load.wind_up_the_clock(noted("longest"));
    loop {
        load.step();
    }
}

impl Load {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }

    // ----------------------------------------------------------------------- what the cut has left

    /// Everything that was acknowledged is there: on the volumes at once, and on each complete plex
    /// as soon as they are equal.
    fn check(&mut self) {
        self.lab.cli("start --auto").ok();
        let group = self.lab.print("g");
        self.know(&group);
        for volume in &group.volumes {
            assert_eq!(volume.kstate, "ENABLED", "{volume:?}");
            self.entry(volume)
                .expectation()
                .verify(self.lab.device("g", &volume.name));
        }
        let mut group = group;
        until("all plexes are equal", || {
            group = self.lab.print("g");
            group.volumes.iter().all(is_settled)
        });
        group
            .volumes
            .iter()
            .for_each(|volume| self.check_plexes(&group, volume));
        self.lab
            .cli("-g g recover --check")
            .ok()
            .says("nothing needs attention");
        self.shared().tell();
    }

    fn make_originals(&mut self) {
        self.look_again();
        for (name, words) in ORIGINALS {
            if !self.group.names().contains(&name) {
                self.lab.cli(&format!("-g g {words}"));
                self.look_again();
            }
        }
    }

    fn check_plexes(&self, group: &Group, volume: &Volume) {
        let mut entry = self.entry(volume);
        let complete = volume
            .plexes
            .iter()
            .filter(|p| p.state == "ACTIVE" || p.state == "SNAPDONE");
        let contents: Vec<(&str, Vec<u8>)> = complete
            .map(|p| (p.name.as_str(), plexes::bytes(&self.lab, group, p)))
            .collect();
        let Some((first, bytes)) = contents.first() else {
            panic!("no complete plex in {volume:?}")
        };
        for (name, other) in &contents {
            plexes::assert_same(first, bytes, name, other);
        }
        let found = entry.area().found_in(bytes);
        let wrong = entry.expectation().compare(&found);
        assert!(wrong.is_empty(), "{entry:?} on {first}: {wrong:?}");
        entry.acked = newest(&found);
        entry.issued = entry.acked;
        let mut shared = self.shared();
        shared.book.counts.verified +=
            entry.acked.min(entry.area().blocks) * (contents.len() as u64 + 1);
        shared.book.volumes.insert(volume.uuid.clone(), entry);
    }

    fn entry(&self, volume: &Volume) -> Entry {
        self.shared().book.volumes[&volume.uuid]
    }

    fn look_again(&mut self) {
        self.group = self.lab.print("g");
        self.know(&self.group);
    }

    /// Takes note of what the commands have made and removed.
    fn know(&self, group: &Group) {
        let mut shared = self.shared();
        for volume in &group.volumes {
            if shared.book.volumes.contains_key(&volume.uuid) {
                continue;
            }
            let entry = match &volume.snapshot_of {
                Some(original) => shared.split(&group.volume(original).uuid),
                None => shared.book.new_writer(),
            };
            shared.book.volumes.insert(volume.uuid.clone(), entry);
        }
        shared
            .book
            .volumes
            .retain(|uuid, _| group.volumes.iter().any(|v| v.uuid == *uuid));
    }

    // ------------------------------------------------------------------------------------ the load

    /// On originals, and on some snapshots.
    fn start_writers(&mut self) {
        for volume in &self.group.volumes {
            if volume.snapshot_of.is_none() || self.dice.roll(2) == 0 {
                let entry = self.entry(volume);
                let writer = Writer::go_on_after(
                    self.lab.device("g", &volume.name),
                    entry.area(),
                    entry.acked,
                    DURABLE,
                );
                self.shared().live.insert(volume.uuid.clone(), writer);
            }
        }
    }

    /// The power goes at some moment within so many seconds and two.
    fn wind_up_the_clock(&mut self, seconds: u64) {
        let after = Duration::from_millis(2000 + self.dice.roll(1000 * seconds));
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            thread::sleep(after);
            let mut shared = shared.lock().unwrap();
            shared.book.counts.cuts += 1;
            shared.tell();
            cut_the_power();
        });
    }

    fn step(&mut self) {
        match self.dice.roll(10) {
            0..5 => self.command(None),
            5 | 6 => {
                let at = 1 + self.dice.roll(CHANGES);
                self.command(Some(at));
            }
            7 => self.kill_the_monitor(),
            _ => self.fail_a_disk(),
        }
    }

    /// A random command, which may kill itself before one of its changes.
    fn command(&mut self, kill_at: Option<u64>) {
        let words = self.words();
        if words.starts_with("stop") || words.starts_with("remove") {
            self.stop_writer(words.split(' ').next_back().unwrap_or_default());
        }
        self.remember_the_floor();
        let output = run_killed(kill_at, &format!("-y -g g {words}"));
        let killed = output.status == KILLED && kill_at.is_some();
        {
            let counts = &mut self.shared().book.counts;
            match output.status {
                0 => counts.commands += 1,
                _ if killed => counts.killed += 1,
                1..=8 => counts.refused += 1,
                _ => panic!("{output}"),
            }
        }
        if killed {
            self.lab.cli("-g g recover").ok();
        }
        // One that fails in the middle may have done it nevertheless.
        if killed || [0, 1, 7, 8].contains(&output.status) {
            self.look_again();
        }
    }

    fn words(&mut self) -> String {
        if self.group.volumes.is_empty() {
            return ORIGINALS[0].1.to_owned();
        }
        // Some of those that will be refused are tried, too.
        let mut tries = 4;
        loop {
            let words = self.dice.one(&COMMANDS);
            let volume =
                &self.group.volumes[self.dice.roll(self.group.volumes.len() as u64) as usize];
            let plex = &volume.plexes[self.dice.roll(volume.plexes.len() as u64) as usize];
            tries -= 1;
            if tries == 0 || is_promising(words, volume, plex) {
                return words
                    .replace('V', &volume.name)
                    .replace(" P", &format!(" {}", plex.name));
            }
        }
    }

    /// What the next command splits off holds at least what is acknowledged now.
    fn remember_the_floor(&self) {
        let mut shared = self.shared();
        shared.look();
        shared
            .book
            .volumes
            .values_mut()
            .for_each(|entry| entry.floor = entry.acked);
        shared.tell();
    }

    fn stop_writer(&self, volume: &str) {
        let Some(uuid) = self
            .group
            .volumes
            .iter()
            .find(|v| v.name == volume)
            .map(|v| v.uuid.clone())
        else {
            return;
        };
        let writer = {
            let mut shared = self.shared();
            shared.look();
            shared.live.remove(&uuid)
        };
        if let Some(mut writer) = writer {
            let end = writer.halt();
            let mut shared = self.shared();
            if let Some(entry) = shared.book.volumes.get_mut(&uuid) {
                (entry.acked, entry.issued) = (end.acked, end.issued);
            }
        }
    }

    fn kill_the_monitor(&self) {
        for pid in monitors() {
            // SAFETY: plain system call.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            self.shared().book.counts.monitors += 1;
        }
    }

    /// A disk fails for a while, under commands; whatever has another complete plex goes on. Its
    /// old contents come back.
    fn fail_a_disk(&mut self) {
        let group = self.lab.print("g");
        let may_fail = |media: &String| {
            !group
                .volumes
                .iter()
                .any(|volume| may_not_lose(volume, media))
        };
        let disks: Vec<String> = (1..=DISKS.len())
            .map(|n| format!("disk{n:02}"))
            .filter(may_fail)
            .collect();
        if disks.is_empty() {
            return self.command(None);
        }
        let media = disks[self.dice.roll(disks.len() as u64) as usize].clone();
        let disk = self.lab.index(&media);
        let on = group
            .volumes
            .iter()
            .filter(|v| v.plexes.iter().any(|p| p.media().contains(&media.as_str())));
        self.shared().book.counts.failures += on.count() as u64;
        let fault = if self.dice.roll(2) == 0 {
            Fault::Fail
        } else {
            Fault::FailWrites
        };
        self.lab.fault(disk, fault);
        let go_on: Vec<&Volume> = group
            .volumes
            .iter()
            .filter(|v| has_another(v, &media))
            .collect();
        for _ in 0..self.dice.roll(3) {
            self.command(None);
        }
        // Without a monitor they wait until somebody looks.
        self.lab.cli("-g g recover");
        go_on.iter().for_each(|volume| self.goes_on(volume));
        self.lab.heal(disk);
        self.lab.cli("-g g recover");
        self.give_up_broken_writers();
        if self.dice.roll(2) == 0 {
            self.attach_what_failed();
        }
    }

    fn goes_on(&self, volume: &Volume) {
        let mark = |shared: &Shared| {
            shared
                .live
                .get(&volume.uuid)
                .map(|writer| (writer.fork().acked, writer.error()))
        };
        let Some((before, _)) = mark(&self.shared()) else {
            return;
        };
        until(&format!("{} goes on", volume.name), || {
            match mark(&self.shared()) {
                None => true,
                Some((acked, error)) => {
                    assert_eq!(error, None, "a write to {volume:?} failed");
                    acked > before + 5
                }
            }
        });
    }

    /// Those of volumes that had no other plex have met an error; what they have acknowledged is
    /// there nevertheless.
    fn give_up_broken_writers(&self) {
        let mut shared = self.shared();
        shared.look();
        shared.live.retain(|_, writer| writer.error().is_none());
    }

    fn attach_what_failed(&self) {
        for volume in self.lab.print("g").volumes {
            for plex in volume.in_state("FAILED") {
                self.lab.cli(&format!("-g g plex attach -b {}", plex.name));
            }
        }
    }
}

/// Nothing is being copied.
fn is_settled(volume: &Volume) -> bool {
    let copied = |state: &str| !["SNAPATT", "ATTACHING", "REVIVING"].contains(&state);
    volume.state != "SYNC"
        && volume.resync.is_none()
        && volume.plexes.iter().all(|p| copied(&p.state))
}

/// Whether a command for this volume or plex has a chance.
fn is_promising(words: &str, volume: &Volume, plex: &Plex) -> bool {
    let has = |state: &str| !volume.in_state(state).is_empty();
    match words {
        "snapshot V" => has("SNAPDONE"),
        "snapwait V" | "snapabort V" => has("SNAPDONE") || has("SNAPATT"),
        "snapclear V" => volume.snapshot_of.is_some(),
        "plex attach P" | "plex attach -b P" => ["FAILED", "STALE"].contains(&plex.state.as_str()),
        "plex convert --to active P" => plex.state == "SNAPDONE",
        "plex detach P" | "plex convert --to snapdone P" => {
            plex.state == "ACTIVE" && volume.in_state("ACTIVE").len() > 1
        }
        _ => true,
    }
}

/// Whether a volume has a complete plex that is not on this disk.
fn has_another(volume: &Volume, media: &str) -> bool {
    let complete = |state: &str| state == "ACTIVE" || state == "SNAPDONE";
    volume
        .plexes
        .iter()
        .any(|p| complete(&p.state) && !p.media().contains(&media))
}

/// A mirror whose only whole copy is on this disk while another one is filled, is made equal or has
/// failed: that this one dies as well is more than a mirror stands. A volume of one plex just waits
/// for its disk.
fn may_not_lose(volume: &Volume, media: &str) -> bool {
    let data_here = volume
        .in_state("ACTIVE")
        .iter()
        .any(|p| p.media().contains(&media));
    let equal = volume.state != "SYNC" && volume.resync.is_none();
    volume.plexes.len() > 1 && data_here && !(has_another(volume, media) && equal)
}

fn run_killed(kill_at: Option<u64>, words: &str) -> Output {
    let mut command = Command::new(program());
    if let Some(at) = kill_at {
        command.env("BREAKOFF_KILL_AT", at.to_string());
    }
    start(
        command,
        "breakoff",
        &words.split_whitespace().collect::<Vec<_>>(),
    )
    .wait(DEADLINE)
}

/// The processes that are `breakoff monitor`.
fn monitors() -> Vec<i32> {
    let processes = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|p| p.file_name().to_str()?.parse().ok());
    let is_one = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|b| *b == 0).nth(1) == Some(b"monitor")
    };
    processes.filter(is_one).collect()
}

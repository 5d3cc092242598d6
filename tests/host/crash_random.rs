//! Long random histories on the machine in memory: commands, copies, kills, power cuts and failing
//! calls in any order, from a seed that is printed. After each step the configuration is sound,
//! nothing is suspended or held, and the data is what was acknowledged.
//!
//! `BREAKOFF_SEED=N` begins with another seed than 1; `BREAKOFF_HISTORIES=N` runs so many (100 by
//! default, 1 with a seed, 1000 of `scripts/test --thorough`).

use crate::fake::script::sync;
use crate::fake::{Fake, STUCK, Trap, Words};
use crate::support::dice::Dice;
use crate::support::sample;
use breakoff::model::check;

struct History {
    fake: Fake,
    dice: Dice,
    seed: u64,
    steps: Vec<String>,
    done: Done,
}

#[derive(Default)]
struct Done {
    commands: u64,
    /// Those of them that brought a snapshot back.
    returns: u64,
    refused: u64,
    kills: u64,
    cuts: u64,
    errors: u64,
}

const COMMANDS: [&str; 33] = [
    "make V 4m",
    "make V 8m --mirrors 2",
    "make V 6m --no-log --mirrors 2",
    "remove V",
    "remove --recursive V",
    "rename V W",
    "grow V +2m",
    "mirror -b V",
    "start V",
    "start --all",
    "stop V",
    "stop --all",
    "snapstart -b V",
    "snapstart -b --mirrors 2 V",
    "snapstart -b V W",
    "snapshot V",
    "snapshot V W",
    "snapshot --all",
    "snapshot --mirrors 2 V",
    "snapabort V",
    "snapclear V",
    "snapback -b SNAP-a",
    "snapback -b SNAP-a SNAP-b",
    "snapback -b --all-plexes V",
    "snapback -b SNAP-b",
    "fast-resync off V",
    "owner --owner oracle:dba V",
    "owner --default V",
    "plex detach V-02",
    "plex attach -b V-02",
    "plex remove V-02",
    "plex convert --to active V-02",
    "plex convert --to snapdone V-02",
];

impl History {
    fn new(seed: u64) -> History {
        let fake = Fake::new(&[64; 5]);
        fake.ok("group create g /dev/fake1 /dev/fake2 /dev/fake3 /dev/fake4 /dev/fake5");
        // Many begin where snapshots are out: chance alone hardly gets there.
        let out: &[&str] = if seed.is_multiple_of(2) {
            &[
                "make a 8m",
                "make b 8m --mirrors 2",
                "sync",
                "snapstart -b a",
                "snapstart -b b",
                "sync",
                "snapshot a b",
                "sync",
            ]
        } else {
            &[]
        };
        for words in out {
            if *words == "sync" {
                sync(&fake);
            } else {
                fake.ok(words);
            }
        }
        let steps = out.iter().map(ToString::to_string).collect();
        History {
            fake,
            dice: Dice::new(seed),
            seed,
            steps,
            done: Done::default(),
        }
    }

    fn command(&mut self) -> Words {
        let volumes = ["a", "b", "c", "SNAP-a", "SNAP-b"];
        let (v, w) = (self.dice.one(&volumes), self.dice.one(&volumes));
        let text = self.dice.one(&COMMANDS).replace('V', v).replace('W', w);
        Words::parse(&text)
    }

    fn step(&mut self) {
        let words = self.command();
        match self.dice.roll(12) {
            0..6 => self.run(&words, Trap::None),
            6 | 7 => {
                let at = 1 + self.dice.roll(40);
                self.run(&words, Trap::Kill(at));
            }
            8 => {
                let at = 1 + self.dice.roll(150);
                self.run(&words, Trap::Fail(at));
            }
            9 => self.cut(&words),
            10 => {
                self.steps.push("the kernel copies some regions".into());
                for _ in 0..self.dice.roll(4) {
                    self.fake.0.borrow_mut().tick();
                }
            }
            _ => {
                self.steps.push("the kernel copies everything".into());
                sync(&self.fake);
            }
        }
        self.fake.set_trap(Trap::None);
        let recovered = self.fake.run(&Words::parse("recover"));
        assert!(
            matches!(recovered, Some(Ok(_))),
            "{}recover: {recovered:?}",
            self.told()
        );
        self.check();
    }

    fn run(&mut self, words: &Words, trap: Trap) {
        self.steps.push(format!("{} ({trap:?})", words.text));
        self.fake.set_trap(trap);
        match self.fake.run(words) {
            None => self.done.kills += 1,
            Some(Ok(_)) => {
                self.done.commands += 1;
                self.done.returns += u64::from(words.text.starts_with("snapback"));
            }
            Some(Err(error)) => {
                assert!(error.message() != STUCK, "{}", self.told());
                if trap == Trap::None {
                    self.done.refused += 1;
                } else {
                    self.done.errors += 1;
                }
            }
        }
    }

    /// The power goes in the middle of a command; which unsynced sectors stay is chance.
    fn cut(&mut self, words: &Words) {
        let at = 1 + self.dice.roll(40);
        self.run(words, Trap::Kill(at));
        self.steps.push("power cut".into());
        self.fake.set_trap(Trap::None);
        let dice = &mut self.dice;
        self.fake
            .power_cut(&mut |sector| dice.roll(sector.versions as u64 + 1) as usize);
        self.done.cuts += 1;
        let started = self.fake.run(&Words::parse("start --auto"));
        assert!(
            matches!(started, Some(Ok(_))),
            "{}start --auto: {started:?}",
            self.told()
        );
    }

    fn check(&self) {
        let (group, _) = self.fake.group().unwrap();
        assert_eq!(
            check::violations(&group),
            Vec::<String>::new(),
            "{}",
            self.told()
        );
        let mut state = self.fake.0.borrow_mut();
        state.know_volumes(&group);
        let dirty: Vec<&str> = state
            .dm
            .all()
            .filter(|d| !d.is_clean())
            .map(|d| d.name.as_str())
            .collect();
        assert!(
            dirty.is_empty(),
            "{}left suspended or half loaded: {dirty:?}",
            self.told()
        );
        assert!(
            state.data.nothing_queued(),
            "{}a write is still held",
            self.told()
        );
        assert!(
            state.data.errors.is_empty(),
            "{}a write was lost",
            self.told()
        );
        let wrong = state.wrong_data(&group);
        assert!(wrong.is_empty(), "{}{wrong:#?}", self.told());
    }

    fn told(&self) -> String {
        format!(
            "history with BREAKOFF_SEED={}:\n  {}\n",
            self.seed,
            self.steps.join("\n  ")
        )
    }
}

#[test]
fn random_histories_lose_nothing() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|value| value.parse::<u64>().ok())
    };
    let fixed = number("BREAKOFF_SEED");
    // The same histories on every run, so that a change is judged by them and not by luck; other
    // seeds are for long runs.
    let first = fixed.unwrap_or(1);
    let usual = if sample::thorough() { 1000 } else { 100 };
    let count = number("BREAKOFF_HISTORIES").unwrap_or(if fixed.is_some() { 1 } else { usual });
    println!("BREAKOFF_SEED={first} and the {count} seeds from there");
    let mut all = Done::default();
    for seed in first..first + count {
        let mut history = History::new(seed);
        for _ in 0..60 {
            history.step();
        }
        let done = history.done;
        all = Done {
            commands: all.commands + done.commands,
            returns: all.returns + done.returns,
            refused: all.refused + done.refused,
            kills: all.kills + done.kills,
            cuts: all.cuts + done.cuts,
            errors: all.errors + done.errors,
        };
    }
    println!(
        "{count} random histories of 60 steps: {} commands ({} snapbacks), {} refused, {} killed, {} power cuts, {} failing calls: nothing lost",
        all.commands, all.returns, all.refused, all.kills, all.cuts, all.errors
    );
    assert!(
        fixed.is_some()
            || (all.commands > all.kills && all.kills > 0 && all.cuts > 0 && all.returns > 0)
    );
}

//! Disks that neither answer nor fail: an NBD disk whose server is stopped, one behind a `delay` of
//! more than ten minutes, and a suspended linear device, all three at once. They keep nobody waiting
//! but their own volumes: what has nothing to do with them goes on, and they are named.

use crate::support::child::{Output, Running};
use crate::support::disk::Fault;
use crate::support::lab::{Lab, until};
use crate::support::nbd::{self, Nbd};
use crate::support::writer::{Style, Writer};
use crate::support::{MIB, udev};
use std::time::{Duration, Instant};

/// What a command may take: the ten seconds of a disk, those of a suspend that is given up, and what
/// several commands beside each other take on a slow day. All of it has to be over before the kernel
/// reports what has been waiting for two minutes.
const SOON: Duration = Duration::from_secs(60);

/// Disks that hang, with one that does not, in the group `h`; `a`, `c` and one more disk have nothing
/// to do with them.
///
/// The remote disk answers again, with errors, before anything else is cleared away.
struct Hanging {
    remote: Nbd,
    lab: Lab,
    /// On volumes of which one leg each hangs.
    held: Vec<(String, Writer)>,
}

const LATE: usize = 4;
const SUSPENDED: usize = 5;
const SPARE: usize = 6;

impl Hanging {
    fn new(lab: Lab) -> Hanging {
        lab.fill_with_noise();
        let remote = Nbd::new(40 * MIB, None).unwrap();
        let word = |disk: usize| lab.disks[disk].word();
        for line in [
            format!("group create a disk01={} disk02={}", word(0), word(1)),
            format!("group create c disk03={}", word(2)),
            format!(
                "group create h good={} late={} held={} nbd={}",
                word(3),
                word(LATE),
                word(SUSPENDED),
                remote.word()
            ),
            "-g a make va 4m --mirrors 2 --on disk01,disk02".to_owned(),
            "-g a make wa 2m --on disk01".to_owned(),
            "-g a snapstart wa --on disk02".to_owned(),
            "-g c make vc 2m".to_owned(),
            "-g h make well 2m --on good".to_owned(),
            "-g h make lone 2m --on nbd".to_owned(),
        ] {
            lab.cli(&line).ok();
        }
        let mut held = Vec::new();
        for disk in ["late", "held", "nbd"] {
            let volume = format!("m{disk}");
            lab.cli(&format!("-g h make {volume} 4m --on good")).ok();
            lab.cli(&format!("-g h snapstart {volume} --on {disk}"))
                .ok();
            let writer = Writer::start_filled(lab.device("h", &volume), 0, 64, Style::default());
            held.push((volume, writer));
        }
        lab.wait_synced("a", "va");
        Hanging { lab, remote, held }
    }

    fn hang(&mut self) {
        self.remote.stop();
        self.lab.fault(LATE, Fault::Paused);
        let suspended = &self.lab.disks[SUSPENDED].name;
        println!("{suspended} is suspended");
        self.lab.dm.suspend(suspended).unwrap();
        for (_, writer) in &self.held {
            writer.wait_until_held();
        }
    }

    fn answer(&mut self) {
        self.remote.go_on();
        self.lab.heal(LATE);
        self.lab.dm.resume(&self.lab.disks[SUSPENDED].name).unwrap();
        for (_, writer) in &self.held {
            writer.goes_on(10);
        }
        udev::settle();
    }

    /// Runs commands beside each other, which take as long as the slowest of them. Each must end,
    /// with its exit status, and name all three disks.
    #[track_caller]
    fn end_soon(&self, lines: &[(&str, i32)]) -> Vec<Output> {
        let spawn = |(line, _): &(&str, i32)| match line.split_once(' ') {
            Some(("vxprint", words)) => crate::support::child::start_as("vxprint", &[words]),
            _ => self.lab.spawn(line),
        };
        let mut running: Vec<Running> = lines.iter().map(spawn).collect();
        let end = Instant::now() + SOON;
        let mut wait = |command: &mut Running| {
            command.wait_at_most(end.saturating_duration_since(Instant::now()))
        };
        let ended: Vec<Option<Output>> = running.iter_mut().map(&mut wait).collect();
        let (mut outputs, mut wrong) = (Vec::new(), Vec::new());
        for ((line, status), output) in lines.iter().zip(ended) {
            match output {
                None => wrong.push(format!("'{line}' does not end within {SOON:?}")),
                Some(output) => {
                    if output.status != *status {
                        wrong.push(format!("not {status}:\n{output}"));
                    }
                    let unnamed = self.unnamed(&output);
                    if !unnamed.is_empty() {
                        wrong.push(format!("{unnamed:?} are not named:\n{output}"));
                    }
                    outputs.push(output);
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        outputs
    }

    /// Those of the disks that hang of which it says nothing.
    fn unnamed(&self, output: &Output) -> Vec<String> {
        let disks = [
            self.lab.disks[LATE].word(),
            self.lab.disks[SUSPENDED].word(),
            self.remote.word(),
        ];
        let is_unnamed = |disk: &String| {
            ![&output.stdout, &output.stderr]
                .iter()
                .any(|said| said.contains(disk))
        };
        disks.into_iter().filter(is_unnamed).collect()
    }
}

#[test]
fn disks_that_hang_keep_no_command_and_no_repair_of_others_waiting() {
    let lab = lab!(["mirror", "delay", "error"], [40, 40, 40, 40, 40, 40, 40]);
    if !nbd::is_there() {
        println!(
            "SKIP hangs::disks_that_hang_keep_no_command_and_no_repair_of_others_waiting: this kernel has no nbd"
        );
        return;
    }
    let mut all = Hanging::new(lab);
    let load = Writer::start_filled(all.lab.device("a", "va"), 0, 64, Style::default());
    all.hang();

    // Who asks, about all groups, theirs or another one.
    all.end_soon(&[
        ("status", 0),
        ("group list", 0),
        ("disk list", 0),
        ("print", 0),
        ("snapprint", 0),
        ("map", 0),
        ("stat", 0),
        ("vxprint -h", 0),
        ("group show h", 0),
        ("group dump h", 0),
        ("-g h room", 0),
        ("-g h print", 0),
        ("-g a print", 0),
        ("-g a status", 0),
        ("-g h recover --dry-run", 0),
    ]);

    // Who changes something else.
    let spare = format!("group create d {}", all.lab.disks[SPARE].word());
    load.forget_stalls();
    all.end_soon(&[
        ("-g a snapshot wa", 0),
        ("-g c stop vc", 0),
        (&spare, 0),
        ("-g h stop lone", 0),
    ]);
    // Who wants something of them is refused before any I/O is held.
    let outputs = all.end_soon(&[
        ("-g a snapback SNAP-wa", 0),
        ("-g c start vc", 0),
        ("-g d make vd 1m", 0),
        // The volume that was stopped lies on one of them.
        ("start --auto", 8),
        ("-g h snapshot mheld", 7),
    ]);
    let refused = outputs.into_iter().next_back().unwrap();
    refused
        .says("'held' beneath 'h/mheld' does not answer")
        .says("no I/O was held");
    assert!(
        load.longest_stall() < Duration::from_secs(5),
        "writes to 'va' were held for {:?}",
        load.longest_stall()
    );

    // The monitor takes out a leg that fails meanwhile.
    load.forget_stalls();
    all.lab.fault(1, Fault::Fail);
    load.goes_on(50);
    assert!(
        load.longest_stall() < Duration::from_secs(10),
        "writes were held for {:?}",
        load.longest_stall()
    );

    all.answer();
    until("it is recorded", || {
        all.lab.print("a").volume("va").states() == ["ACTIVE", "FAILED"]
    });
    all.lab.heal(1);
    // Nothing was lost, and all of it is as useful as before.
    for (volume, writer) in std::mem::take(&mut all.held) {
        let split = || drop(all.lab.cli(&format!("-g h snapshot {volume}")).ok());
        let expected = writer.fork_during(split);
        expected.verify(all.lab.device("h", &format!("SNAP-{volume}")));
        writer.stop().verify(all.lab.device("h", &volume));
    }
    load.stop().verify(all.lab.device("a", "va"));
    let Hanging { lab, remote, .. } = all;
    lab.remove_everything();
    drop(remote);
    lab.finish();
}

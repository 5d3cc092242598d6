//! A test's own little machine: disks that can fail, the program with a deadline on every call, and
//! nothing left behind.

use super::child::{DEADLINE, Output, Running, start_as};
use super::disk::{Disk, Fault};
use super::dm::Dm;
use super::view::{self, Group};
use super::{MIB, block, disk, leaks, sample, udev};
use serde_json::Value;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// See the module.
pub struct Lab {
    pub dm: Dm,
    pub disks: Vec<Disk>,
    name: String,
    prefix: String,
    finished: bool,
    _watch: Watchdog,
}

impl Lab {
    /// Cleans up after tests that died and makes disks of so many MiB. `None` (and a word why)
    /// outside a test kernel.
    pub fn new(name: &str, targets: &[&str], sizes: &[u64]) -> Option<Lab> {
        let mut lab = Lab::bare(name, targets)?;
        for size in sizes {
            lab.add_disk(size * MIB, 512);
        }
        lab.wait_for_nodes();
        Some(lab)
    }

    /// The same over disks of the machine, which have the same names after a reboot.
    pub fn over(name: &str, targets: &[&str], devices: &[&str]) -> Option<Lab> {
        let mut lab = Lab::bare(name, targets)?;
        devices
            .iter()
            .for_each(|device| lab.add_disk_over(Path::new(device)));
        lab.wait_for_nodes();
        Some(lab)
    }

    fn bare(name: &str, targets: &[&str]) -> Option<Lab> {
        let dm = match ready(targets) {
            Ok(dm) => dm,
            Err(why) => {
                println!("SKIP {name}: {why}");
                return None;
            }
        };
        let foreign = leaks::foreign(&dm);
        assert!(
            foreign.is_empty(),
            "this machine has volumes of its own, tests would disturb them: {foreign:?}"
        );
        leaks::sweep(&dm);
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let prefix = format!("t{}disk", NEXT.fetch_add(1, SeqCst));
        let watch = Watchdog::start(name);
        Some(Lab {
            dm,
            disks: Vec::new(),
            name: name.into(),
            prefix,
            finished: false,
            _watch: watch,
        })
    }

    fn next_disk(&self) -> String {
        format!("{}{}", self.prefix, self.disks.len() + 1)
    }

    /// One more disk; its index in `disks`.
    #[track_caller]
    pub fn add_disk(&mut self, size: u64, sector: u32) -> usize {
        let name = self.next_disk();
        let disk = Disk::new(&self.dm, &name, size, sector)
            .unwrap_or_else(|err| panic!("the disk {name} cannot be made: {err}"));
        self.disks.push(disk);
        self.disks.len() - 1
    }

    /// One more disk, over another device.
    #[track_caller]
    pub fn add_disk_over(&mut self, device: &Path) {
        let disk = Disk::over(&self.dm, &self.next_disk(), device);
        self.disks
            .push(disk.unwrap_or_else(|err| panic!("no disk over {}: {err}", device.display())));
    }

    /// Waits until udev has made the disks' links, and has no event left: on Linux 7.2 a link that
    /// was there has been seen to be gone again a moment later.
    #[track_caller]
    pub fn wait_for_nodes(&self) {
        let wait = || {
            for disk in &self.disks {
                until(&format!("udev makes {}", disk.word()), || {
                    disk.path().exists()
                });
            }
        };
        wait();
        udev::settle();
        wait();
    }

    // --------------------------------------------------------------------------------- the program

    /// Runs the program with these words.
    #[track_caller]
    pub fn cli(&self, words: &str) -> Output {
        self.spawn(words).wait(DEADLINE)
    }

    /// Runs the program as `vxassist`, `vxprint` and so on: the first word is the name.
    #[track_caller]
    pub fn vx(&self, words: &str) -> Output {
        let words: Vec<&str> = words.split_whitespace().collect();
        start_as(words[0], &words[1..]).wait(DEADLINE)
    }

    /// Starts the program and returns.
    #[track_caller]
    pub fn spawn(&self, words: &str) -> Running {
        start_as("breakoff", &words.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs the program with `--json`; what it says is the result of a success.
    #[track_caller]
    pub fn json(&self, words: &str) -> Value {
        view::result(&self.cli(&format!("--json {words}")))
    }

    /// Runs the program with `--json`; it must be refused with this exit status.
    #[track_caller]
    pub fn refuses(&self, status: i32, words: &str) -> view::Refusal {
        let output = self.cli(&format!("--json {words}"));
        assert_eq!(
            output.status, status,
            "it should have been refused with {status}:\n{output}"
        );
        view::refusal(&output)
    }

    /// The groups that are imported.
    #[track_caller]
    pub fn groups(&self) -> Vec<Group> {
        let mut result = self.json("print");
        serde_json::from_value(result["groups"].take())
            .unwrap_or_else(|err| panic!("print --json: {err}"))
    }

    /// The layout of a group.
    #[track_caller]
    pub fn print(&self, group: &str) -> Group {
        let mut result = self.json(&format!("-g {group} print"));
        let group: Vec<Group> = serde_json::from_value(result["groups"].take())
            .unwrap_or_else(|err| panic!("print --json: {err}"));
        group
            .into_iter()
            .next()
            .unwrap_or_else(|| panic!("print shows no group"))
    }

    // --------------------------------------------------------------------------------- the objects

    /// `group create`, with all disks as `disk01`, `disk02` …
    #[track_caller]
    pub fn create_group(&self, group: &str) {
        self.create_group_of(group, 0..self.disks.len());
    }

    /// `group create` with some of the disks.
    #[track_caller]
    pub fn create_group_of(&self, group: &str, disks: Range<usize>) {
        let words: Vec<String> = disks
            .map(|i| format!("disk{:02}={}", i + 1, self.disks[i].word()))
            .collect();
        self.cli(&format!("group create {group} {}", words.join(" ")))
            .ok();
    }

    /// Where a volume is.
    pub fn device(&self, group: &str, volume: &str) -> PathBuf {
        PathBuf::from("/dev/mapper").join(dm_name(group, volume))
    }

    /// Waits until the kernel has all legs of a volume in sync.
    #[track_caller]
    pub fn wait_synced(&self, group: &str, volume: &str) {
        let name = dm_name(group, volume);
        until(&format!("{name} is in sync"), || {
            let mirrors = self.dm.mirrors(&self.carrier(&name));
            !mirrors.is_empty() && mirrors.iter().all(super::dm::MirrorStatus::in_sync)
        });
        // Until it is recorded too, the configuration is still going to change by itself.
        until("it is recorded that the plexes are equal", || {
            self.print(group).volume(volume).state == "ACTIVE"
        });
    }

    /// The device whose table maps a volume's plexes: the volume's own, or the one under it while
    /// its changes are tracked.
    fn carrier(&self, name: &str) -> String {
        let under = format!("{name}_data--");
        let mut devices = self.dm.list().into_iter().map(|info| info.name);
        devices
            .find(|n| n.starts_with(&under))
            .unwrap_or_else(|| name.to_owned())
    }

    /// The test disk that the program calls by this media name.
    #[track_caller]
    pub fn disk_behind(&self, view: &view::Disk) -> &Disk {
        let path = view
            .device
            .as_ref()
            .unwrap_or_else(|| panic!("disk {} has no device", view.media));
        let number = block::number(path).unwrap_or_else(|err| panic!("{path}: {err}"));
        let behind = self
            .disks
            .iter()
            .find(|d| self.dm.info(&d.name).is_ok_and(|i| i.dev == number));
        behind.unwrap_or_else(|| panic!("{path} is none of the test's disks"))
    }

    /// Fills disks with noise, so that bytes are never equal by accident; for before they are in a
    /// group.
    pub fn fill_with_noise(&self) {
        for (disk, seed) in self.disks.iter().zip(1u64..) {
            let pattern = block::noise(seed, MIB as usize);
            for at in (MIB..disk.size).step_by(MIB as usize) {
                disk.raw_write(at, &pattern);
            }
        }
    }

    /// Lets a disk (by index) fail or be slow as a whole.
    #[track_caller]
    pub fn fault(&mut self, disk: usize, fault: Fault) {
        println!("disk {} from now on: {fault:?}", disk + 1);
        self.disks[disk].set_all(&self.dm, fault);
    }

    /// Lets a range of a disk fail or be slow.
    #[track_caller]
    pub fn fault_in(&mut self, disk: usize, range: Range<u64>, fault: Fault) {
        println!("disk {} from now on in {range:?}: {fault:?}", disk + 1);
        self.disks[disk].set(&self.dm, range, fault);
    }

    /// Lets a piece near the end of a leg wait that is going to be put on this empty disk, so that
    /// its sync cannot end; returns the disk.
    ///
    /// It is the last MiB but one: the program wipes the last one before it puts the leg there.
    #[track_caller]
    pub fn pause_end_of_leg(&mut self, group: &str, media: &str, leg: u64) -> usize {
        let space = self.print(group).disk(media).size;
        let disk = self.index(media);
        let end = self.disks[disk].size - space + leg;
        self.fault_in(disk, end - 2 * MIB..end - MIB, Fault::Paused);
        disk
    }

    /// Lets a disk work again.
    #[track_caller]
    pub fn heal(&mut self, disk: usize) {
        self.disks[disk].heal(&self.dm);
    }

    fn heal_all(&mut self) {
        for disk in &mut self.disks {
            disk.heal(&self.dm);
        }
    }

    /// The index of the disk with this media name, when the group was made by `create_group`.
    pub fn index(&self, media: &str) -> usize {
        media
            .trim_start_matches("disk")
            .parse::<usize>()
            .map_or(0, |n| n - 1)
    }

    // ------------------------------------------------------------------------------------- the end

    /// Removes what the test has made with the program's own commands, and fails the test when
    /// anything stays.
    #[track_caller]
    pub fn finish(mut self) {
        self.heal_all();
        self.remove_everything();
        self.assert_no_leaks();
        self.remove_disks();
        self.finished = true;
    }

    /// The same for a test that leaves a group that cannot be removed by commands.
    #[track_caller]
    pub fn finish_by_force(mut self) {
        self.heal_all();
        leaks::remove_all(&self.dm, |i| i.uuid.starts_with(leaks::OURS));
        self.assert_no_leaks();
        self.remove_disks();
        self.finished = true;
    }

    #[track_caller]
    pub fn remove_everything(&self) {
        for group in self.groups() {
            if !group.volumes.is_empty() {
                self.cli(&format!(
                    "-y -g {} remove {} --recursive",
                    group.name,
                    group.names().join(" ")
                ))
                .ok();
            }
            self.cli(&format!("-y group destroy {}", group.name)).ok();
        }
    }

    #[track_caller]
    pub fn assert_no_leaks(&self) {
        let leaks = leaks::found_after_a_while(&self.dm);
        assert!(
            leaks.is_empty(),
            "the program leaves behind: {leaks:#?}\n{}",
            self.dm.dump()
        );
    }

    #[track_caller]
    fn remove_disks(&mut self) {
        leaks::remove_all(&self.dm, |i| i.uuid.starts_with(disk::UUID));
        for disk in self.disks.drain(..) {
            disk.clear()
                .unwrap_or_else(|err| panic!("the loop device of {}: {err}", disk.name));
        }
        until("all loop devices are gone", || {
            super::loops::ours().is_empty()
        });
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        if thread::panicking() {
            println!("{} fails; the devices are:\n{}", self.name, self.dm.dump());
            println!("semaphores: {:x?}", leaks::cookies());
            println!("{}", leaks::stuck_processes().join("\n"));
        }
        self.heal_all();
        leaks::sweep(&self.dm);
    }
}

/// Ends the whole test program, with what can be said about it, when a test hangs where nothing can
/// interrupt it.
struct Watchdog(Arc<AtomicBool>);

/// No test takes that long; those that try every step may take several times that.
const TEST_DEADLINE: Duration = Duration::from_secs(900);
const TEST_DEADLINE_THOROUGH: Duration = Duration::from_secs(5400);

impl Watchdog {
    fn start(name: &str) -> Watchdog {
        let (over, name) = (Arc::new(AtomicBool::new(false)), name.to_owned());
        let watched = Arc::clone(&over);
        thread::spawn(move || {
            let end = Instant::now()
                + if sample::thorough() {
                    TEST_DEADLINE_THOROUGH
                } else {
                    TEST_DEADLINE
                };
            while Instant::now() < end && !watched.load(SeqCst) {
                thread::sleep(Duration::from_millis(500));
            }
            if !watched.load(SeqCst) {
                let dump = Dm::open().map(|dm| dm.dump()).unwrap_or_default();
                // Past libtest, which would keep it.
                let _ = writeln!(
                    std::io::stderr(),
                    "{name} hangs\n{dump}\n{}",
                    leaks::stuck_processes().join("\n")
                );
                std::process::exit(99);
            }
        });
        Watchdog(over)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// The dm name of a volume: each `-` inside a name is doubled.
pub fn dm_name(group: &str, volume: &str) -> String {
    format!("{}-{}", group.replace('-', "--"), volume.replace('-', "--"))
}

/// The control device, or why a kernel test cannot run here.
fn ready(targets: &[&str]) -> Result<Dm, String> {
    if std::env::var_os("BREAKOFF_KERNEL_TESTS").is_none() {
        return Err("not on a test kernel".into());
    }
    let dm = Dm::open().map_err(|err| format!("/dev/mapper/control: {err}"))?;
    match targets.iter().find(|t| !dm.has_target(t)) {
        Some(missing) => Err(format!("this kernel has no dm target '{missing}'")),
        None => Ok(dm),
    }
}

/// Waits for something that has to happen; fails the test when it does not.
#[track_caller]
pub fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !happened() {
        assert!(Instant::now() < end, "it does not happen: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

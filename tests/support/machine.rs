//! A machine that is booted again and again on the same disks, for tests that run outside of it:
//! `scripts/vm`, with this very test program inside as its guest side.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use tempfile::TempDir;

/// Names the part of the guest side that a boot runs.
const PHASE: &str = "BREAKOFF_GUEST";
/// The test of each module that is its guest side.
const GUEST: &str = "guest_side";
/// The line at which the power is cut.
const CUT: &str = "cut the power now";
/// `/etc/machine-id` of all boots.
const MACHINE_ID: &str = "0123456789abcdef0123456789abcdef\n";
/// What the lines start with by which one boot leaves word for the next.
const NOTE: &str = "note ";

/// Disks that survive, and what the boots before have noted.
pub struct Machine {
    guest: String,
    dir: TempDir,
    disks: usize,
    unplugged: Vec<usize>,
    notes: BTreeMap<String, String>,
    kept: BTreeMap<String, String>,
}

/// A test of two boots on so many disks, with a power cut in between; nothing where no VM is
/// wanted.
#[track_caller]
pub fn over_a_power_cut(test: &str, disks: usize, [before, after]: [&str; 2]) {
    let Some(mut machine) = Machine::new(test, disks) else {
        return;
    };
    machine.boot_until_power_cut(before);
    machine.boot(after);
}

impl Machine {
    /// A machine with so many disks of 64 MiB, with the guest side of the module that calls this;
    /// `None` (and a word why) where no VM is wanted.
    #[track_caller]
    pub fn new(test: &str, disks: usize) -> Option<Machine> {
        if std::env::var_os("BREAKOFF_VM").is_none() {
            println!("SKIP {test}: it boots VMs (BREAKOFF_VM=1)");
            return None;
        }
        let dir = TempDir::new().unwrap_or_else(|err| panic!("no temporary directory: {err}"));
        let module = Path::new(Location::caller().file())
            .file_stem()
            .unwrap_or_default()
            .display()
            .to_string();
        Some(Machine {
            guest: format!("{module}::{GUEST}"),
            dir,
            disks,
            unplugged: Vec::new(),
            notes: BTreeMap::new(),
            kept: BTreeMap::new(),
        })
    }

    /// Boots, runs a part of the guest side, and shuts down in order.
    #[track_caller]
    pub fn boot(&mut self, phase: &str) {
        drop(self.run(phase, &[]));
    }

    /// Boots, runs a part of the guest side, and cuts the power where that says so.
    #[track_caller]
    pub fn boot_until_power_cut(&mut self, phase: &str) {
        drop(self.run(phase, &["--power-cut-on", CUT]));
    }

    /// The same; why the boot failed, if it did, is left to the caller.
    pub fn try_until_power_cut(&mut self, phase: &str) -> Result<(), String> {
        self.try_run(phase, &["--power-cut-on", CUT]).map(drop)
    }

    /// Boots systemd on a machine where the program is installed and its units are enabled, runs a
    /// part of the guest side when all of this `/etc/fstab` is mounted, and shuts down; systemd's
    /// journal of all that. Masked units are as if they were not installed.
    #[track_caller]
    pub fn boot_with_systemd(&mut self, phase: &str, fstab: &str, masked: &[&str]) -> String {
        let root = self.install(fstab);
        for unit in masked {
            done(
                Command::new("systemctl")
                    .arg("--root")
                    .arg(&root)
                    .args(["mask", unit]),
            );
        }
        self.run(
            phase,
            // LVM finds its own devices at shutdown by the links of its rules.
            &[
                "--systemd",
                "--lvm",
                "--dir",
                &format!("{}:/", root.display()),
            ],
        )
    }

    /// What `scripts/install` and the administrator put on such a machine, in a directory.
    #[track_caller]
    fn install(&self, fstab: &str) -> PathBuf {
        let root = self.dir.path().join("root");
        if root.exists() {
            std::fs::remove_dir_all(&root)
                .unwrap_or_else(|err| panic!("{}: {err}", root.display()));
        }
        let install = repository().join("scripts/install");
        done(
            Command::new(install)
                .arg(env!("CARGO_BIN_EXE_breakoff"))
                .env("DESTDIR", &root),
        );
        done(Command::new("systemctl").arg("--root").arg(&root).args([
            "enable",
            "breakoff-monitor",
            "breakoff-start",
        ]));
        for (file, text) in [("fstab", fstab), ("machine-id", MACHINE_ID)] {
            std::fs::write(root.join("etc").join(file), text)
                .unwrap_or_else(|err| panic!("/etc/{file}: {err}"));
        }
        for (file, text) in &self.kept {
            let path = root.join(file);
            std::fs::create_dir_all(path.parent().unwrap_or(&root))
                .unwrap_or_else(|err| panic!("{file}: {err}"));
            std::fs::write(&path, text).unwrap_or_else(|err| panic!("{file}: {err}"));
        }
        root
    }

    /// Has a file on the root filesystem of the boots with systemd to come, as if it had been kept
    /// there.
    pub fn keep(&mut self, file: String, text: String) {
        self.kept.insert(file, text);
    }

    /// Pulls a disk (counted from 0) out, and those behind it move up; or plugs all of them in
    /// again.
    pub fn without(&mut self, disks: &[usize]) {
        self.unplugged = disks.to_vec();
    }

    /// Notes something for the boots to come.
    pub fn tell(&mut self, name: &str, value: impl Display) {
        self.notes.insert(name.into(), value.to_string());
    }

    /// What the boots so far have noted last.
    pub fn noted(&self, name: &str) -> Option<&str> {
        self.notes.get(name).map(String::as_str)
    }

    #[track_caller]
    fn run(&mut self, phase: &str, options: &[&str]) -> String {
        self.try_run(phase, options)
            .unwrap_or_else(|why| panic!("{why}"))
    }

    /// What it says on stderr.
    fn try_run(&mut self, phase: &str, options: &[&str]) -> Result<String, String> {
        println!("---- boot: {phase}");
        let output = self
            .command(phase, options)
            .output()
            .map_err(|err| format!("scripts/vm: {err}"))?;
        let (stdout, stderr) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        // Marked, so that a test of the guest is not counted as one of this machine.
        for line in stdout.lines().chain(stderr.lines()) {
            println!("| {line}");
        }
        let notes = stdout
            .lines()
            .filter_map(|line| line.trim_end().strip_prefix(NOTE)?.split_once('='));
        self.notes
            .extend(notes.map(|(name, value)| (name.to_owned(), value.to_owned())));
        if !output.status.success() {
            return Err(format!("boot '{phase}' fails: {}", output.status));
        }
        let ran = stdout.contains(&format!("test {} ... ", self.guest));
        if ran {
            Ok(stderr.into_owned())
        } else {
            Err(format!("boot '{phase}': there is no test {}", self.guest))
        }
    }

    fn command(&self, phase: &str, options: &[&str]) -> Command {
        let this =
            std::env::current_exe().unwrap_or_else(|err| panic!("where is this program: {err}"));
        let mut command = Command::new(repository().join("scripts/vm"));
        // A guest with one processor takes less of ours; races are what the kernel tests have
        // another one for.
        command
            .args(["--memory", "1024", "--cpus", "1", "--timeout", "600"])
            .args(options);
        for disk in (0..self.disks).filter(|disk| !self.unplugged.contains(disk)) {
            command.arg("--disk").arg(format!(
                "{}/disk{}.img:64M",
                self.dir.path().display(),
                disk + 1
            ));
        }
        command
            .arg("--file")
            .arg(format!("{}:/root/guest", this.display()));
        command.arg("--file").arg(format!(
            "{}:/usr/bin/breakoff",
            env!("CARGO_BIN_EXE_breakoff")
        ));
        command.args([
            "--env",
            "BREAKOFF_KERNEL_TESTS=1",
            "--env",
            &format!("{PHASE}={phase}"),
        ]);
        for (name, value) in &self.notes {
            command.args(["--env", &format!("NOTE_{name}={value}")]);
        }
        command.args([
            "--",
            "/root/guest",
            "--exact",
            &self.guest,
            "--nocapture",
            "--test-threads=1",
        ]);
        command
    }
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a command of this machine to its end.
#[track_caller]
fn done(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|err| panic!("{command:?}: {err}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Which part of the guest side is to be run; `None` outside of the VM.
///
/// The VM is another machine at each boot, as far as `/etc/machine-id` says; these boots are of
/// one.
pub fn phase() -> Option<String> {
    let phase = std::env::var(PHASE).ok()?;
    std::fs::write("/etc/machine-id", MACHINE_ID)
        .unwrap_or_else(|err| panic!("/etc/machine-id: {err}"));
    Some(phase)
}

/// This boot is of another machine than the others.
pub fn as_another_machine() {
    let id = "fedcba9876543210fedcba9876543210\n";
    std::fs::write("/etc/machine-id", id).unwrap_or_else(|err| panic!("/etc/machine-id: {err}"));
}

/// Leaves word for the next boots: it is outside when this returns, so that no power cut loses it.
pub fn note(name: &str, value: impl Display) {
    println!("\n{NOTE}{name}={value}");
}

/// What an earlier boot has noted; of several the last.
#[track_caller]
pub fn noted<T: FromStr<Err: Display>>(name: &str) -> T {
    maybe_noted(name).unwrap_or_else(|| panic!("no boot has noted '{name}'"))
}

/// The same, where there may be nothing yet.
#[track_caller]
pub fn maybe_noted<T: FromStr<Err: Display>>(name: &str) -> Option<T> {
    let value = std::env::var(format!("NOTE_{name}")).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|err| panic!("{name}={value}: {err}")),
    )
}

/// Says that the power may be cut, and waits for it, while other threads go on.
pub fn cut_the_power() -> ! {
    println!("\n{CUT}");
    loop {
        std::thread::park();
    }
}

//! Child processes with a deadline: one that hangs is reported and left behind, for a held write
//! makes it unkillable (K2).

use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// No command of a test needs longer, even on a slow day.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// The exit status of what was killed.
pub const KILLED: i32 = 128 + libc::SIGKILL;

/// What a process has left.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command line.
    pub command: String,
    /// Exit status; 128 + number when a signal ended it.
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Output {
    /// Fails the test unless the command did.
    #[track_caller]
    pub fn ok(self) -> Output {
        assert_eq!(self.status, 0, "it should have worked:\n{self}");
        self
    }

    /// Fails the test unless the exit status is this one, and a refusal says why.
    #[track_caller]
    pub fn exits(self, status: i32) -> Output {
        assert_eq!(
            self.status, status,
            "the exit status should have been {status}:\n{self}"
        );
        assert!(
            status == 0 || !self.stderr.trim().is_empty(),
            "it failed without a word:\n{self}"
        );
        self
    }

    /// Fails the test unless stdout or stderr has this text.
    #[track_caller]
    pub fn says(self, text: &str) -> Output {
        assert!(
            self.stdout.contains(text) || self.stderr.contains(text),
            "it does not say '{text}':\n{self}"
        );
        self
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "$ {}\n  status {} after {} ms",
            self.command,
            self.status,
            self.took.as_millis()
        )?;
        for line in self.stdout.lines() {
            writeln!(f, "  {line}")?;
        }
        for line in self.stderr.lines() {
            writeln!(f, "  ! {line}")?;
        }
        Ok(())
    }
}

/// A running process.
pub struct Running {
    child: Child,
    command: String,
    stdout: File,
    stderr: File,
    started: Instant,
}

/// The program under test.
pub fn program() -> String {
    std::env::var("BREAKOFF_BIN").unwrap_or_else(|_| "breakoff".into())
}

/// Another program with these words.
#[track_caller]
pub fn tool(program: &str, args: &[&str]) -> Output {
    start(Command::new(program), program, args).wait(DEADLINE)
}

/// Starts the program under test, called by `name`.
pub fn start_as(name: &str, args: &[&str]) -> Running {
    let mut command = Command::new(program());
    command.arg0(name);
    start(command, name, args)
}

/// Runs the program under test, which kills itself before its n-th change (`sys::failpoint`).
pub fn killed_at(n: u64, words: &str) -> Output {
    start_with("BREAKOFF_KILL_AT", n, words).wait(DEADLINE)
}

/// Starts the program under test, which stops itself before its n-th change.
pub fn stopped_at(n: u64, words: &str) -> Running {
    start_with("BREAKOFF_STOP_AT", n, words)
}

/// Starts the program under test, which stops itself before each of its changes from the n-th on.
pub fn stopped_from(n: u64, words: &str) -> Running {
    start_with("BREAKOFF_STOP_FROM", n, words)
}

fn start_with(failpoint: &str, n: u64, words: &str) -> Running {
    let mut command = Command::new(program());
    command.env(failpoint, n.to_string());
    start(
        command,
        "breakoff",
        &words.split_whitespace().collect::<Vec<_>>(),
    )
}

/// Starts a process with its output in files, so that nobody has to read along.
pub fn start(mut command: Command, name: &str, args: &[&str]) -> Running {
    command.args(args);
    let line = [&[name], args].concat().join(" ");
    let (stdout, stderr) = (scratch(), scratch());
    let child = command
        .stdin(Stdio::null())
        .stdout(dup(&stdout))
        .stderr(dup(&stderr))
        .spawn();
    let child = child.unwrap_or_else(|err| panic!("'{line}' cannot be started: {err}"));
    Running {
        child,
        command: line,
        stdout,
        stderr,
        started: Instant::now(),
    }
}

fn scratch() -> File {
    tempfile::tempfile().unwrap_or_else(|err| panic!("no temporary file: {err}"))
}

fn dup(file: &File) -> Stdio {
    file.try_clone().map_or_else(
        |err| panic!("a file cannot be opened twice: {err}"),
        Stdio::from,
    )
}

impl Running {
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it has written to stdout and stderr so far.
    pub fn so_far(&self) -> (String, String) {
        (contents(&self.stdout), contents(&self.stderr))
    }

    /// Waits until it, or its helper for it, waits in the kernel for good, where no signal reaches
    /// it, or is over.
    #[track_caller]
    pub fn until_it_waits_in_the_kernel(&mut self) {
        let end = Instant::now() + DEADLINE;
        let mut waits = 0;
        while waits < 10 && self.runs() {
            assert!(
                Instant::now() < end,
                "'{}' does not come to wait in the kernel",
                self.command
            );
            std::thread::sleep(Duration::from_millis(50));
            let stuck = [self.pid()]
                .into_iter()
                .chain(self.children())
                .flat_map(threads)
                .any(|thread| state(thread) == Some('D'));
            waits = if stuck { waits + 1 } else { 0 };
        }
    }

    /// Waits until it has stopped (SIGSTOP); `false` when it is over instead.
    #[track_caller]
    pub fn stops(&mut self) -> bool {
        let end = Instant::now() + DEADLINE;
        while self.runs() {
            assert!(
                Instant::now() < end,
                "'{}' neither stops nor ends",
                self.command
            );
            if state(self.pid()) == Some('T') {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// Lets it go on after it has stopped, up to where it stops again; `false` when it is over
    /// instead.
    #[track_caller]
    pub fn goes_on_and_stops(&mut self) -> bool {
        self.signal(libc::SIGCONT);
        // SIGCONT takes effect before kill(2) returns, so a stop that is seen from here on is
        // another one.
        self.stops()
    }

    /// The processes that it has started and that still run, its helper among them.
    pub fn children(&self) -> Vec<i32> {
        let processes = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|e| e.file_name().to_str()?.parse().ok());
        processes
            .filter(|pid| {
                stat(*pid).and_then(|words| words.get(1)?.parse().ok()) == Some(self.pid())
            })
            .collect()
    }

    /// Kills it and the processes that it has started, these first: they would clear up after it.
    pub fn kill_with_children(&self) {
        for child in self.children() {
            // SAFETY: plain system call.
            unsafe { libc::kill(child, libc::SIGKILL) };
        }
        self.signal(libc::SIGKILL);
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: plain system call on a child of ours that has not been waited for.
        unsafe { libc::kill(self.pid(), signal) };
    }

    /// Waits for its end; fails the test when it does not come in time.
    #[track_caller]
    pub fn wait(mut self, deadline: Duration) -> Output {
        match self.wait_at_most(deadline) {
            Some(output) => output,
            None => {
                let why = self.autopsy();
                panic!("'{}' does not end:\n{why}", self.command)
            }
        }
    }

    /// Waits for its end, at most so long.
    pub fn wait_at_most(&mut self, deadline: Duration) -> Option<Output> {
        use std::os::unix::process::ExitStatusExt;
        let end = Instant::now() + deadline;
        let mut pause = Duration::from_millis(1);
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => {
                    let status = status
                        .code()
                        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
                    return Some(self.output(status));
                }
                Ok(None) if Instant::now() < end => std::thread::sleep(pause),
                Ok(None) => return None,
                Err(err) => panic!("waiting for '{}': {err}", self.command),
            }
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    fn output(&self, status: i32) -> Output {
        let (stdout, stderr) = self.so_far();
        let output = Output {
            command: self.command.clone(),
            status,
            stdout,
            stderr,
            took: self.started.elapsed(),
        };
        println!(
            "$ {}  → {} after {} ms",
            output.command,
            output.status,
            output.took.as_millis()
        );
        output
            .stderr
            .lines()
            .for_each(|line| println!("  ! {line}"));
        output
    }

    /// Where a process hangs. It is killed, which a held write makes impossible.
    fn autopsy(&mut self) -> String {
        let mut text = String::new();
        for file in ["wchan", "stack", "syscall"] {
            let read =
                fs::read_to_string(format!("/proc/{}/{file}", self.pid())).unwrap_or_default();
            let _ = writeln!(text, "{file}: {read}");
        }
        let (stdout, stderr) = self.so_far();
        let _ = writeln!(text, "stdout so far: {stdout}\nstderr so far: {stderr}");
        self.signal(libc::SIGKILL);
        if self.wait_at_most(Duration::from_secs(5)).is_none() {
            let _ = writeln!(text, "and it cannot be killed");
        }
        text
    }
}

/// What `/proc` says of a process behind its name: its state, its parent, …
fn stat(pid: i32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(
        stat.rsplit_once(')')?
            .1
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect(),
    )
}

/// The threads of a process, which are called like processes.
fn threads(pid: i32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    tasks
        .filter_map(|task| task.file_name().to_str()?.parse().ok())
        .collect()
}

/// The letter that `ps` shows.
fn state(pid: i32) -> Option<char> {
    stat(pid)?.first()?.chars().next()
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.runs() {
            self.signal(libc::SIGKILL);
            let _ = self.wait_at_most(Duration::from_secs(5));
        }
    }
}

/// What is in a file, without moving the offset, which the process shares.
fn contents(file: &File) -> String {
    let mut bytes = vec![0; file.metadata().map_or(0, |meta| meta.len() as usize)];
    let read = file.read_at(&mut bytes, 0).unwrap_or_default();
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

//! The few external programs that are started here. They are looked up in the directories of the
//! system and never through `PATH`.

use crate::error::{Error, Result};
use crate::linux::disk::sysfs::printable;
use crate::sys::filesystem::Program;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The directories of system programs.
const DIRECTORIES: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The path of the program with this name, if it is installed.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    DIRECTORIES
        .iter()
        .map(|directory| PathBuf::from(directory).join(name))
        .find(|path| path.is_file())
}

/// A command for the program, with output in the C locale and nothing on stdin. It inherits the
/// environment.
pub(in crate::linux) fn command(name: &str) -> Option<Command> {
    let mut command = Command::new(find(name)?);
    command.env("LC_ALL", "C").stdin(Stdio::null());
    Some(command)
}

/// Runs a program to its end, however long it takes. Fails with the end of what it said.
pub(in crate::linux) fn run(program: &Program) -> Result<()> {
    let name = program.name;
    let mut command =
        command(name).ok_or_else(|| Error::unsupported(format!("'{name}' is missing")))?;
    let output = command
        .args(&program.args)
        .output()
        .map_err(|err| Error::io(format!("cannot run '{name}'"), &err))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let last = said.trim().lines().rev().take(LINES).collect::<Vec<_>>();
    let said: Vec<String> = last.into_iter().rev().map(printable).collect();
    Err(Error::device(format!("{name}: {}", said.join("; "))))
}

/// How many lines of a program's complaint are shown.
const LINES: usize = 6;

/// The interval in which a process that is waited for is polled.
const LOOK: Duration = Duration::from_millis(5);

/// Whether the process has ended in time; one that could not be started counts as ended. A process
/// that has not is killed. How it ended is for the caller to find out.
pub(in crate::linux) fn done_by(until: Instant, child: Option<&mut Child>) -> bool {
    let Some(child) = child else { return true };
    loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < until => std::thread::sleep(LOOK),
            Ok(None) => {
                // It may be stuck in the kernel, where a signal does not reach it, so it is not
                // waited for.
                let _ = child.kill();
                return false;
            }
            _ => return true,
        }
    }
}

/// Loads a kernel module. Returns whether `modprobe` succeeded. Errors are not reported; callers
/// check for what the module provides.
pub(in crate::linux) fn load_module(module: &str) -> bool {
    let run = |mut command: Command| {
        command
            .args(["-q", "--", module])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .ok()
    };
    command("modprobe")
        .and_then(run)
        .is_some_and(|status| status.success())
}

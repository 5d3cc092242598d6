//! Starts this program once more, on its own: it outlives the command that started it and its terminal.

use nix::unistd::setsid;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// Runs this very program with these words and environment in a session of its own. Its messages go nowhere.
pub fn spawn_detached(words: &[&str], environment: &[(&str, &str)]) -> io::Result<()> {
    detached(words)?.envs(environment.iter().copied()).stdin(Stdio::null()).spawn().map(drop)
}

fn detached(words: &[&str]) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(words).current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: between fork and exec only setsid is called, which is async-signal-safe.
    unsafe { command.pre_exec(|| setsid().map(drop).map_err(io::Error::from)) };
    Ok(command)
}

/// Runs this very program beside us, with pipes to it.
pub fn spawn_beside(words: &[&str]) -> io::Result<Child> {
    // A test that kills us must not kill it at the same step.
    detached(words)?.env_remove("BREAKOFF_KILL_AT").env_remove("BREAKOFF_STOP_AT").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
}

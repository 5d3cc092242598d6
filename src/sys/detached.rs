//! Starts this program once more, on its own: it outlives the command that started it and its terminal.

use nix::unistd::setsid;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Runs this very program with these words and environment in a session of its own. Its messages go nowhere.
pub fn spawn_detached(words: &[&str], environment: &[(&str, &str)]) -> io::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(words).envs(environment.iter().copied()).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: between fork and exec only setsid is called, which is async-signal-safe.
    unsafe { command.pre_exec(|| setsid().map(drop).map_err(io::Error::from)) };
    command.spawn().map(drop)
}

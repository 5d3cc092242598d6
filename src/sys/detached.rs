//! Starts this program once more, on its own: it outlives the command that started it and its terminal.

use nix::unistd::setsid;
use std::io::{self, Write};
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

/// A process that waits for us on a pipe: it reads a byte when this is dropped, and the end of the pipe when we die before.
#[derive(Debug)]
pub struct Guard(Child);

impl Guard {
    /// Starts it.
    pub fn start(words: &[&str]) -> io::Result<Guard> {
        // A test that kills us must not kill the guard at the same step.
        detached(words)?.env_remove("BREAKOFF_KILL_AT").stdin(Stdio::piped()).spawn().map(Guard)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let told = self.0.stdin.take().map(|mut pipe| pipe.write_all(b"."));
        if told.is_none_or(|told| told.is_err()) {
            let _ = self.0.kill();
        }
        let _ = self.0.wait();
    }
}

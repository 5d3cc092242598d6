//! Processes beside this one that outlive it and its terminal: this program started again, or a
//! child that continues with a part of the work.

use crate::linux::process::{fork, signal};
use crate::sys::failpoint;
use nix::fcntl::OFlag;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, pipe2, setsid};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// A file that the root filesystem of an initrd has and no other (systemd's INITRD_INTERFACE).
const INITRD: &str = "/etc/initrd-release";
/// The name of a process that systemd leaves alone when it goes from an initrd to the real root
/// filesystem: it begins with `@` (systemd's ROOT_STORAGE_DAEMONS).
const SPARED: &str = "@breakoff";

/// Runs this program with these arguments and environment variables, in a session of its own. Its
/// messages are discarded. In an initrd it lives on when that is left: the root filesystem may lie
/// on what it looks after.
pub fn spawn_detached(words: &[&str], environment: &[(&str, &str)]) -> io::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    if Path::new(INITRD).exists() {
        command.arg0(SPARED);
    }
    command
        .args(words)
        .envs(environment.iter().copied())
        .current_dir("/");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // SAFETY: between fork and exec only setsid is called, which is async-signal-safe.
    unsafe { command.pre_exec(|| setsid().map(drop).map_err(io::Error::from)) };
    command.spawn().map(drop)
}

/// Reaps children that nothing waits for. The other children of this process live no longer than
/// the call that started them, or are those that keep disks ready, which end when they are told to.
pub fn reap() {
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            return;
        }
    }
}

/// Forks a process with a pipe to it and a pipe from it, in a session of its own, so that it does
/// not receive signals of the terminal.
pub fn fork_beside(body: impl FnOnce(File, File)) -> io::Result<(Pid, File, File)> {
    let (requests, ours_to_ask) = pipe2(OFlag::O_CLOEXEC)?;
    let (ours_to_hear, answers) = pipe2(OFlag::O_CLOEXEC)?;
    let kept = [requests.as_raw_fd(), answers.as_raw_fd()];
    let child = fork::child(&kept, || {
        let _ = setsid();
        // SAFETY: prctl reads a string that ends with a NUL. `ps -e` shows it as the name of the
        // process.
        unsafe { libc::prctl(libc::PR_SET_NAME, c"breakoff-helper".as_ptr()) };
        // A test that kills the command must not kill the helper at the same step, and an interrupt
        // of the command is not meant for the helper.
        failpoint::disarm();
        signal::forget();
        body(File::from(requests), File::from(answers));
    })?;
    Ok((child, File::from(ours_to_ask), File::from(ours_to_hear)))
}

//! The command's end of its helper (`sys::helper`), which is a separate process.

use crate::model::GroupId;
use crate::sys::Errno;
use crate::sys::helper::{Helper, HelperDevice, LONGEST, Task, Tasks};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

/// The body of a helper process: it does the tasks on these devices of a group.
pub type Serve = fn(GroupId, &[HelperDevice], Tasks<File, File>);

/// The command's end of a helper process.
#[derive(Debug)]
pub struct HelperProcess {
    process: Pid,
    /// The pipe is open for as long as there may be another request.
    requests: Option<File>,
    answers: File,
    busy: bool,
}

impl HelperProcess {
    /// Takes over a process with the pipes to it and from it, and waits until it is ready. Kills
    /// the process if it is not ready within `deadline`.
    pub fn new(
        (process, requests, answers): (Pid, File, File),
        deadline: Duration,
    ) -> io::Result<HelperProcess> {
        let mut beside = HelperProcess {
            process,
            requests: Some(requests),
            answers,
            busy: true,
        };
        match beside.wait(deadline) {
            Some(Ok(_)) => Ok(beside),
            Some(Err(Errno(errno))) => Err(io::Error::from_raw_os_error(errno)),
            None => {
                let _ = kill(process, Signal::SIGKILL);
                Err(ErrorKind::TimedOut.into())
            }
        }
    }
}

impl Helper for HelperProcess {
    fn begin(&mut self, act: Task) -> Result<(), Errno> {
        let requests = self.requests.as_mut().ok_or(Errno(libc::EPIPE))?;
        requests
            .write_all(&act.to_bytes())
            .map_err(|err| errno(&err))?;
        self.busy = true;
        Ok(())
    }

    fn wait(&mut self, patience: Duration) -> Option<Result<u32, Errno>> {
        let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        let mut ready = [PollFd::new(self.answers.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, timeout) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => return None,
            Ok(_) => {}
            Err(err) => return Some(Err(Errno(err as i32))),
        }
        self.busy = false;
        let mut answer = [0; 4];
        Some(
            match self
                .answers
                .read_exact(&mut answer)
                .map(|()| i32::from_le_bytes(answer))
            {
                Ok(number @ 1..) => Err(Errno(number)),
                Ok(number) => Ok(number.unsigned_abs()),
                // The helper is dead.
                Err(_) => Err(Errno(libc::EPIPE)),
            },
        )
    }

    fn is_busy(&self) -> bool {
        self.busy
    }

    fn reason(&mut self, entry: u16, patience: Duration) -> Option<String> {
        self.begin(Task::Reason(entry)).ok()?;
        let length = self
            .wait(patience)?
            .ok()
            .filter(|length| (1..=LONGEST).contains(length))?;
        let mut text = vec![0; usize::try_from(length).ok()?];
        self.answers.read_exact(&mut text).ok()?;
        String::from_utf8(text).ok()
    }
}

impl Drop for HelperProcess {
    fn drop(&mut self) {
        // A helper that is still blocked finds the end of the pipe when its task has finished, and
        // cleans up by itself.
        if !self.busy && self.begin(Task::Done).is_ok() {
            self.requests = None;
            let _ = waitpid(self.process, None);
        }
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno(error.raw_os_error().unwrap_or(libc::EIO))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::fd::OwnedFd;
    use std::process::{Command, Stdio};

    fn shell(script: &str) -> io::Result<HelperProcess> {
        let mut process = Command::new("/bin/sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let pipes = (
            OwnedFd::from(process.stdin.take().unwrap()),
            OwnedFd::from(process.stdout.take().unwrap()),
        );
        let id = Pid::from_raw(process.id().try_into().unwrap());
        HelperProcess::new(
            (id, pipes.0.into(), pipes.1.into()),
            Duration::from_secs(60),
        )
    }

    #[test]
    fn what_was_asked_for_comes_back() {
        let mut beside =
            shell("printf '\\0\\0\\0\\0\\371\\377\\377\\377'; cat >/dev/null").unwrap();
        beside.begin(Task::Era(0)).unwrap();
        assert_eq!(beside.wait(Duration::from_secs(60)), Some(Ok(7)));
    }

    #[test]
    fn a_reason_follows_its_length() {
        let mut answers = Vec::new();
        Tasks(io::empty(), &mut answers).answer_text(Some("used as swap"));
        let octal: String = answers.iter().map(|byte| format!("\\{byte:03o}")).collect();
        let mut beside = shell(&format!(
            "printf '\\0\\0\\0\\0{octal}\\0\\0\\0\\0'; cat >/dev/null"
        ))
        .unwrap();
        assert_eq!(
            beside.reason(3, Duration::from_secs(60)).as_deref(),
            Some("used as swap")
        );
        assert_eq!(beside.reason(4, Duration::from_secs(60)), None);
    }

    #[test]
    fn one_that_waits_keeps_nobody_waiting() {
        let mut beside = shell("printf '\\0\\0\\0\\0'; head -c 3 >/dev/null; sleep 0.3; printf '\\5\\0\\0\\0'; cat >/dev/null").unwrap();
        assert!(!beside.is_busy());
        beside.begin(Task::Suspend(0)).unwrap();
        assert_eq!(beside.wait(Duration::from_millis(1)), None);
        assert!(beside.is_busy());
        assert_eq!(beside.wait(Duration::from_secs(60)), Some(Err(Errno(5))));
        assert!(!beside.is_busy());
    }

    #[test]
    fn one_that_dies_is_noticed() {
        assert_eq!(
            shell("exit 1").unwrap_err().raw_os_error(),
            Some(libc::EPIPE)
        );
        let mut beside = shell("printf '\\0\\0\\0\\0'").unwrap();
        let asked = beside.begin(Task::Thaw);
        assert!(
            asked.is_err() || beside.wait(Duration::from_secs(60)) == Some(Err(Errno(libc::EPIPE)))
        );
    }
}

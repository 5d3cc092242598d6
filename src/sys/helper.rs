//! The calls of a window that may wait for a disk, made by a process of its own.
//!
//! A freeze writes to the disks, and a suspend waits for all I/O in flight. A leg that dies in that
//! moment lets them wait until it is taken out, in the kernel, unkillably; who waits there cannot
//! take it out. So the helper (`app::guard`) waits, and the command looks after the legs meanwhile.
//! Should the command die, the helper sees the end of its pipe and undoes or finishes the window.
//! It is a fork of the command: there is no program that would have to be read from a disk, and it
//! is there within milliseconds.
//!
//! What an era is told or asked waits for its map in the same way, and is done by a helper, too.
//!
//! A request is three bytes (what, which entry), an answer is four: an error number, or what was
//! asked for as 0 or less. Nothing is allocated for either. A reason in words follows its answer,
//! which is its length; it is asked for when nothing is suspended.

use super::Errno;
use crate::model::{DmUuid, GroupId};
use crate::table::{Links, SuspendMode};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

/// What a helper is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Writes back what is in memory of the n-th device and the filesystem on it, so that a freeze
    /// finds little to do.
    WriteBack(u16),
    /// Freezes the filesystems that rest on the n-th device; answers with 0 when nothing more is
    /// written to it, else with 1.
    Freeze(u16),
    /// Suspends the n-th device.
    Suspend(u16),
    /// Resumes the n-th device.
    Resume(u16),
    /// Makes the n-th device live, and waits for udev.
    Activate(u16),
    /// Has the n-th device hold a state of its map for a listing; answers with the era that begins
    /// with it.
    Hold(u16),
    /// Has it let go of that.
    Release(u16),
    /// Answers with the era that the n-th device is in.
    Era(u16),
    /// Thaws whatever it has frozen; answers with 0 when all of it was frozen until now, else with
    /// 1.
    Thaw,
    /// Answers with why the n-th device is not frozen, or was not until the thaw.
    Reason(u16),
    /// It is not needed any more, and leaves everything as it is.
    Done,
}

impl Act {
    fn to_bytes(self) -> [u8; 3] {
        let with = |what: u8, entry: u16| {
            let [low, high] = entry.to_le_bytes();
            [what, low, high]
        };
        match self {
            Act::WriteBack(entry) => with(b'w', entry),
            Act::Freeze(entry) => with(b'f', entry),
            Act::Suspend(entry) => with(b's', entry),
            Act::Resume(entry) => with(b'r', entry),
            Act::Activate(entry) => with(b'a', entry),
            Act::Hold(entry) => with(b'h', entry),
            Act::Release(entry) => with(b'l', entry),
            Act::Era(entry) => with(b'e', entry),
            Act::Reason(entry) => with(b'y', entry),
            Act::Thaw => with(b't', 0),
            Act::Done => with(b'.', 0),
        }
    }

    fn from_bytes([what, low, high]: [u8; 3]) -> Option<Act> {
        let entry = u16::from_le_bytes([low, high]);
        match what {
            b'w' => Some(Act::WriteBack(entry)),
            b'f' => Some(Act::Freeze(entry)),
            b's' => Some(Act::Suspend(entry)),
            b'r' => Some(Act::Resume(entry)),
            b'a' => Some(Act::Activate(entry)),
            b'h' => Some(Act::Hold(entry)),
            b'l' => Some(Act::Release(entry)),
            b'e' => Some(Act::Era(entry)),
            b'y' => Some(Act::Reason(entry)),
            b't' => Some(Act::Thaw),
            b'.' => Some(Act::Done),
            _ => None,
        }
    }
}

/// Beside a window. One act at a time; **`begin` and `wait` allocate nothing and never wait longer
/// than they are told.**
pub trait Helper {
    /// Asks for an act.
    fn begin(&mut self, act: Act) -> Result<(), Errno>;
    /// Waits for what has begun; `None`: it still waits itself. The number is what was asked for,
    /// or 0.
    fn wait(&mut self, patience: Duration) -> Option<Result<u32, Errno>>;
    /// Whether something has begun and is not through.
    fn is_busy(&self) -> bool;
    /// Why the n-th device is not frozen, or was not until the thaw. Allocates: not to be asked
    /// while something is suspended.
    fn reason(&mut self, entry: u16, patience: Duration) -> Option<String>;
}

/// The most devices that one helper takes: its requests count them in two bytes.
pub const MOST: usize = 10_000;
/// No reason is longer.
const LONGEST: u32 = 4096;

/// A device that a helper may be asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// Which.
    pub uuid: DmUuid,
    /// How it is suspended.
    pub mode: SuspendMode,
    /// Which links udev makes for it when it is resumed.
    pub links: Links,
}

/// What a helper does: for a group, answers requests about these devices.
pub type Serve = fn(GroupId, &[Charge], Requests<File, File>);

/// The command's end.
#[derive(Debug)]
pub struct Beside {
    process: Pid,
    /// Open as long as there may be another request.
    requests: Option<File>,
    answers: File,
    busy: bool,
}

impl Beside {
    /// Takes over a process with the pipes to it and from it, and waits until it is ready.
    pub fn new(
        (process, requests, answers): (Pid, File, File),
        deadline: Duration,
    ) -> io::Result<Beside> {
        let mut beside = Beside {
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

impl Helper for Beside {
    fn begin(&mut self, act: Act) -> Result<(), Errno> {
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
                // It is dead.
                Err(_) => Err(Errno(libc::EPIPE)),
            },
        )
    }

    fn is_busy(&self) -> bool {
        self.busy
    }

    fn reason(&mut self, entry: u16, patience: Duration) -> Option<String> {
        self.begin(Act::Reason(entry)).ok()?;
        let length = self
            .wait(patience)?
            .ok()
            .filter(|length| (1..=LONGEST).contains(length))?;
        let mut text = vec![0; usize::try_from(length).ok()?];
        self.answers.read_exact(&mut text).ok()?;
        String::from_utf8(text).ok()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // One that still waits finds the end of the pipe when it is through, and clears up by
        // itself.
        if !self.busy && self.begin(Act::Done).is_ok() {
            self.requests = None;
            let _ = waitpid(self.process, None);
        }
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno(error.raw_os_error().unwrap_or(libc::EIO))
}

/// The helper's end.
#[derive(Debug)]
pub struct Requests<R, W>(pub R, pub W);

impl<R: Read, W: Write> Requests<R, W> {
    /// The next request; `None` at the end of the pipe: the command is dead.
    pub fn read(&mut self) -> Option<Act> {
        let mut bytes = [0; 3];
        self.0.read_exact(&mut bytes).ok()?;
        Act::from_bytes(bytes)
    }

    /// Answers it. Whether anybody hears that shows at the next request.
    pub fn answer(&mut self, came: Result<u32, Errno>) {
        let number = came.map_or_else(
            |Errno(number)| number,
            |number| i32::try_from(number).map_or(i32::MIN, i32::wrapping_neg),
        );
        let _ = self
            .1
            .write_all(&number.to_le_bytes())
            .and_then(|()| self.1.flush());
    }

    /// Answers with a text, or that there is none.
    pub fn answer_text(&mut self, text: Option<&str>) {
        let text = text.unwrap_or_default();
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        if length > LONGEST {
            return self.answer(Ok(0));
        }
        self.answer(Ok(length));
        let _ = self
            .1
            .write_all(text.as_bytes())
            .and_then(|()| self.1.flush());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::fd::OwnedFd;
    use std::process::{Command, Stdio};

    fn shell(script: &str) -> io::Result<Beside> {
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
        Beside::new(
            (id, pipes.0.into(), pipes.1.into()),
            Duration::from_secs(60),
        )
    }

    #[test]
    fn acts_are_three_bytes_each_way() {
        let with_entry = [
            Act::WriteBack,
            Act::Freeze,
            Act::Suspend,
            Act::Resume,
            Act::Activate,
            Act::Hold,
            Act::Release,
            Act::Era,
            Act::Reason,
        ];
        let all = with_entry
            .iter()
            .zip([1, 0, 7, 3, 255, 9, 4, 256, 40_000])
            .map(|(act, entry)| act(entry));
        for act in all.chain([Act::Thaw, Act::Done]) {
            assert_eq!(Act::from_bytes(act.to_bytes()), Some(act));
        }
        let asked: Vec<u8> = [Act::Suspend(3), Act::Done]
            .iter()
            .flat_map(|act| act.to_bytes())
            .collect();
        let mut requests = Requests(&asked[..], Vec::new());
        assert_eq!(requests.read(), Some(Act::Suspend(3)));
        requests.answer(Err(Errno(5)));
        requests.answer(Ok(0));
        requests.answer(Ok(7));
        assert_eq!(requests.read(), Some(Act::Done));
        assert_eq!(requests.read(), None);
        assert_eq!(requests.1, [5, 0, 0, 0, 0, 0, 0, 0, 0xf9, 0xff, 0xff, 0xff]);
    }

    #[test]
    fn what_was_asked_for_comes_back() {
        let mut beside =
            shell("printf '\\0\\0\\0\\0\\371\\377\\377\\377'; cat >/dev/null").unwrap();
        beside.begin(Act::Era(0)).unwrap();
        assert_eq!(beside.wait(Duration::from_secs(60)), Some(Ok(7)));
    }

    #[test]
    fn a_reason_follows_its_length() {
        let mut answers = Vec::new();
        Requests(io::empty(), &mut answers).answer_text(Some("used as swap"));
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
        beside.begin(Act::Suspend(0)).unwrap();
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
        let asked = beside.begin(Act::Thaw);
        assert!(
            asked.is_err() || beside.wait(Duration::from_secs(60)) == Some(Err(Errno(libc::EPIPE)))
        );
    }
}

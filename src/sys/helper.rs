//! The calls of a window that may wait for a disk, made by a process of its own.
//!
//! A freeze writes to the disks, and a suspend waits for all I/O in flight. A leg that dies in that
//! moment lets them wait until it is taken out, in the kernel, unkillably; who waits there cannot
//! take it out. So the helper (`app::helper`) waits, and the command looks after the legs meanwhile.
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
use crate::model::DmUuid;
use crate::table::{Links, SuspendMode};
use std::io::{Read, Write};
use std::time::Duration;

/// What a helper is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
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

impl Task {
    /// As it is sent.
    pub fn to_bytes(self) -> [u8; 3] {
        let with = |what: u8, entry: u16| {
            let [low, high] = entry.to_le_bytes();
            [what, low, high]
        };
        match self {
            Task::WriteBack(entry) => with(b'w', entry),
            Task::Freeze(entry) => with(b'f', entry),
            Task::Suspend(entry) => with(b's', entry),
            Task::Resume(entry) => with(b'r', entry),
            Task::Activate(entry) => with(b'a', entry),
            Task::Hold(entry) => with(b'h', entry),
            Task::Release(entry) => with(b'l', entry),
            Task::Era(entry) => with(b'e', entry),
            Task::Reason(entry) => with(b'y', entry),
            Task::Thaw => with(b't', 0),
            Task::Done => with(b'.', 0),
        }
    }

    /// As it comes.
    pub fn from_bytes([what, low, high]: [u8; 3]) -> Option<Task> {
        let entry = u16::from_le_bytes([low, high]);
        match what {
            b'w' => Some(Task::WriteBack(entry)),
            b'f' => Some(Task::Freeze(entry)),
            b's' => Some(Task::Suspend(entry)),
            b'r' => Some(Task::Resume(entry)),
            b'a' => Some(Task::Activate(entry)),
            b'h' => Some(Task::Hold(entry)),
            b'l' => Some(Task::Release(entry)),
            b'e' => Some(Task::Era(entry)),
            b'y' => Some(Task::Reason(entry)),
            b't' => Some(Task::Thaw),
            b'.' => Some(Task::Done),
            _ => None,
        }
    }
}

/// The helper of a window. One task at a time; **`begin` and `wait` allocate nothing and never wait longer
/// than they are told.**
pub trait Helper {
    /// Asks for an act.
    fn begin(&mut self, act: Task) -> Result<(), Errno>;
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
pub const LONGEST: u32 = 4096;

/// A device that a helper may be asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelperDevice {
    /// Which.
    pub uuid: DmUuid,
    /// How it is suspended.
    pub mode: SuspendMode,
    /// Which links udev makes for it when it is resumed.
    pub links: Links,
}

/// The helper's end.
#[derive(Debug)]
pub struct Tasks<R, W>(pub R, pub W);

impl<R: Read, W: Write> Tasks<R, W> {
    /// The next request; `None` at the end of the pipe: the command is dead.
    pub fn read(&mut self) -> Option<Task> {
        let mut bytes = [0; 3];
        self.0.read_exact(&mut bytes).ok()?;
        Task::from_bytes(bytes)
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
mod tests {
    use super::*;

    #[test]
    fn acts_are_three_bytes_each_way() {
        let with_entry = [
            Task::WriteBack,
            Task::Freeze,
            Task::Suspend,
            Task::Resume,
            Task::Activate,
            Task::Hold,
            Task::Release,
            Task::Era,
            Task::Reason,
        ];
        let all = with_entry
            .iter()
            .zip([1, 0, 7, 3, 255, 9, 4, 256, 40_000])
            .map(|(act, entry)| act(entry));
        for act in all.chain([Task::Thaw, Task::Done]) {
            assert_eq!(Task::from_bytes(act.to_bytes()), Some(act));
        }
        let asked: Vec<u8> = [Task::Suspend(3), Task::Done]
            .iter()
            .flat_map(|act| act.to_bytes())
            .collect();
        let mut requests = Tasks(&asked[..], Vec::new());
        assert_eq!(requests.read(), Some(Task::Suspend(3)));
        requests.answer(Err(Errno(5)));
        requests.answer(Ok(0));
        requests.answer(Ok(7));
        assert_eq!(requests.read(), Some(Task::Done));
        assert_eq!(requests.read(), None);
        assert_eq!(requests.1, [5, 0, 0, 0, 0, 0, 0, 0, 0xf9, 0xff, 0xff, 0xff]);
    }
}

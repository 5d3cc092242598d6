//! The calls of a window that may block on a disk, made by a separate process.
//!
//! A freeze writes to the disks, and a suspend waits for all I/O in flight. If a leg fails
//! meanwhile, both block in the kernel, unkillably, until the leg is taken out, which a blocked
//! process cannot do. So the helper (`app::helper`) makes these calls, and the command watches the
//! legs meanwhile. If the command dies, the helper reads the end of its pipe and undoes or finishes
//! the window. The helper is forked from the command: no program has to be read from a disk, and it
//! is ready within milliseconds.
//!
//! Messages to an era target and queries of its status can block on its map in the same way. A
//! helper makes them, too.
//!
//! A request is three bytes: the task, and the index of the device (16 bits, little endian). An
//! answer is four bytes, a number in little endian: an error number if it is positive, otherwise
//! the negated result. Neither needs an allocation. A reason as text follows its answer, which is
//! its length; reasons are requested only while nothing is suspended.

use super::Errno;
use crate::model::DmUuid;
use crate::table::{Links, SuspendMode};
use std::io::{Read, Write};
use std::time::Duration;

/// A task for a helper. Its number is the index of the device among those that the helper was
/// given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Writes back the dirty data of the n-th device and of what rests on it, so that a freeze has
    /// little left to write.
    WriteBack(u16),
    /// Freezes the filesystems that rest on the n-th device. The answer is 0 if nothing writes to
    /// the device any more, else 1.
    Freeze(u16),
    /// Suspends the n-th device.
    Suspend(u16),
    /// Resumes the n-th device.
    Resume(u16),
    /// Resumes the n-th device, which makes its inactive table live, and waits for udev.
    Activate(u16),
    /// Takes a metadata snapshot of the n-th device's map, to be read. The answer is the era that
    /// begins with it.
    Hold(u16),
    /// Drops the metadata snapshot of the n-th device's map.
    Release(u16),
    /// Answers with the current era of the n-th device.
    Era(u16),
    /// Thaws everything that the helper has frozen. The answer is 0 if all of it was frozen until
    /// now, else 1.
    Thaw,
    /// Answers with the reason why the n-th device is not frozen, or did not stay frozen until the
    /// thaw.
    Reason(u16),
    /// Ends the helper, which leaves everything as it is.
    Done,
}

impl Task {
    /// The request as it is sent: a letter for the task, then the index in little endian.
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

    /// Reads a request as it was sent; `None` for an unknown task.
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

/// The helper of a window. It does one task at a time. **`begin` and `wait` allocate nothing and
/// never block for longer than the time that they are given.**
pub trait Helper {
    /// Starts a task; [`Helper::wait`] returns its result.
    fn begin(&mut self, act: Task) -> Result<(), Errno>;
    /// Waits for the task that has begun, at most for `patience`. Returns the number that was
    /// requested, or 0; `None` if the task has not finished.
    fn wait(&mut self, patience: Duration) -> Option<Result<u32, Errno>>;
    /// Whether a task has begun and has not finished.
    fn is_busy(&self) -> bool;
    /// The reason why the n-th device is not frozen, or did not stay frozen until the thaw. `None`
    /// if there is none, or no answer. Allocates, so it must not be called while anything is
    /// suspended.
    fn reason(&mut self, entry: u16, patience: Duration) -> Option<String>;
}

/// The maximum number of devices of one helper; requests encode the index of a device in two bytes.
pub const MOST: usize = 10_000;
/// The maximum length of a reason, in bytes.
pub const LONGEST: u32 = 4096;

/// A device that a helper is given tasks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelperDevice {
    /// The UUID of the device.
    pub uuid: DmUuid,
    /// How the device is suspended.
    pub mode: SuspendMode,
    /// Which links udev makes for the device when it is resumed.
    pub links: Links,
}

/// The helper's end of the pipes: requests are read from the first, answers are written to the
/// second.
#[derive(Debug)]
pub struct Tasks<R, W>(pub R, pub W);

impl<R: Read, W: Write> Tasks<R, W> {
    /// Reads the next request. `None` at the end of the pipe, which means that the command is dead,
    /// and for an unknown request.
    pub fn read(&mut self) -> Option<Task> {
        let mut bytes = [0; 3];
        self.0.read_exact(&mut bytes).ok()?;
        Task::from_bytes(bytes)
    }

    /// Answers a request. Errors are ignored: if the command is gone, the next read shows it.
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

    /// Answers with the length of a text and the text. The length is 0 if there is none, or if it
    /// is longer than [`LONGEST`].
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

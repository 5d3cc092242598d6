//! Reading from disks that may not answer: all of them in parallel, in a separate process, with a
//! deadline.
//!
//! A read that a disk does not answer blocks in the kernel, unkillably, and with it the whole
//! process: even in a thread it would keep the command from ending. So a child reads the disks,
//! with a thread for each, and reports what it has read. What has not arrived by the deadline is
//! not waited for. The child is forked and starts no program: a program might have to be read from
//! the very disks that hang. The child has none of the command's descriptors open, so that it holds
//! neither a lock nor the terminal when it is stuck.

use crate::error::{Error, Result};
use crate::linux::disk::media::{self, BlockMedia, open_error};
use crate::linux::disk::writing;
use crate::linux::process::fork;
use crate::sys::Media;
use crate::sys::disk::{Access, Reading};
use crate::table::dco::Pace;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, pipe};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many disks are read at once: each needs a thread of the child.
const AT_ONCE: usize = 128;
/// The stack size of such a thread; it holds two blocks of a label and little else.
const STACK: usize = 256 << 10;
/// For how long a disk that did not answer is given less time when this process reads it again, and
/// how much time that is.
const DISTRUSTED: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(1));
/// Stands for an error without a number: the end of the disk.
const NO_NUMBER: i32 = -1;

/// The disks that did not answer, and when.
static SILENT: Mutex<Vec<(PathBuf, Instant)>> = Mutex::new(Vec::new());

/// Has each disk read by `reading`. The result for a disk holds exactly what was read; `TimedOut`
/// if it did not answer in time.
pub fn read_each(disks: &[(&Path, Duration)], reading: Reading<'_>) -> Vec<Result<Box<dyn Media>>> {
    let disks: Vec<(&Path, Duration)> = disks
        .iter()
        .map(|(path, patience)| (*path, patience_with(path, *patience)))
        .collect();
    disks
        .chunks(AT_ONCE)
        .flat_map(|some| read_some(some, reading))
        .collect()
}

fn read_some(disks: &[(&Path, Duration)], reading: Reading<'_>) -> Vec<Result<Box<dyn Media>>> {
    let read = |path: &Path| Answer::read(path, reading);
    let answers = ask_child(disks, &read).unwrap_or_else(|_| vec![Heard::Lost; disks.len()]);
    let each = disks
        .iter()
        .zip(answers)
        .map(|((path, patience), heard)| match heard {
            Heard::Answer(answer) => {
                note(path, true);
                answer.media(path)
            }
            Heard::Nothing => {
                note(path, false);
                let shown = path.display();
                Err(Error::timed_out(format!(
                    "'{shown}' did not answer within {} s",
                    patience.as_secs_f32()
                ))
                .on(shown)
                .hint("see the kernel's log; a disk that hangs is not used until it answers"))
            }
            // Without a child, a read that may block is better than none.
            Heard::Lost => Answer::read(path, reading).media(path),
        });
    each.collect()
}

/// Measures how fast disks are, all at once. `None` for a disk that does not answer in time, or
/// cannot be measured.
pub fn pace_each(disks: &[&Path], patience: Duration) -> Vec<Option<Pace>> {
    let disks: Vec<(&Path, Duration)> = disks.iter().map(|path| (*path, patience)).collect();
    let paces = disks.chunks(AT_ONCE).flat_map(|some| {
        let heard = ask_child(some, &Answer::pace);
        heard.unwrap_or_else(|_| vec![Heard::Lost; some.len()])
    });
    let of_answer = |heard: Heard| match heard {
        Heard::Answer(answer) => answer.as_pace(),
        Heard::Nothing | Heard::Lost => None,
    };
    paces.map(of_answer).collect()
}

/// The time that a disk gets. A command that opens a group several times does not wait that often
/// for the same disk.
fn patience_with(path: &Path, patience: Duration) -> Duration {
    let mut silent = SILENT.lock().unwrap_or_else(PoisonError::into_inner);
    silent.retain(|(_, since)| since.elapsed() < DISTRUSTED.0);
    if silent.iter().any(|(known, _)| known == path) {
        patience.min(DISTRUSTED.1)
    } else {
        patience
    }
}

fn note(path: &Path, answers: bool) {
    let mut silent = SILENT.lock().unwrap_or_else(PoisonError::into_inner);
    silent.retain(|(known, _)| known != path);
    if !answers {
        silent.push((path.to_owned(), Instant::now()));
    }
}

/// The answer of a disk: what was read, or an error number.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer(std::result::Result<Recorded, i32>);

impl Answer {
    fn read(path: &Path, reading: Reading<'_>) -> Answer {
        Answer(
            BlockMedia::try_open(path, Access::ReadOnly)
                .map_err(|err| number(&err))
                .map(|media| {
                    // Writes that an earlier command has begun are waited for, too.
                    media
                        .number()
                        .into_iter()
                        .for_each(writing::wait_for_writer);
                    let recorder = Recorder {
                        media,
                        reads: Mutex::default(),
                    };
                    reading(&recorder);
                    Recorded {
                        size: recorder.media.size(),
                        reads: recorder
                            .reads
                            .into_inner()
                            .unwrap_or_else(PoisonError::into_inner),
                    }
                }),
        )
    }

    /// The pace of a disk, in the place of bytes that were read.
    fn pace(path: &Path) -> Answer {
        let opened = BlockMedia::try_open(path, Access::ReadOnly);
        Answer::of_pace(opened.and_then(|media| media::pace(&media)))
    }

    fn of_pace(measured: io::Result<Pace>) -> Answer {
        let recorded = |pace: Pace| {
            let numbers = [pace.answer, pace.transfer, pace.flush];
            let data: Vec<u8> = numbers.into_iter().flat_map(u64::to_le_bytes).collect();
            Recorded {
                size: 0,
                reads: vec![Piece {
                    offset: 0,
                    length: data.len(),
                    came: Ok(data),
                }],
            }
        };
        Answer(measured.map(recorded).map_err(|err| number(&err)))
    }

    fn as_pace(&self) -> Option<Pace> {
        let piece = self.0.as_ref().ok()?.reads.first()?;
        let bytes = &mut piece.came.as_deref().ok()?;
        Some(Pace {
            answer: u64::from_le_bytes(take(bytes)?),
            transfer: u64::from_le_bytes(take(bytes)?),
            flush: u64::from_le_bytes(take(bytes)?),
        })
    }

    fn media(self, path: &Path) -> Result<Box<dyn Media>> {
        match self.0 {
            Ok(recorded) => Ok(Box::new(recorded)),
            Err(number) => Err(open_error(path, &error(number))),
        }
    }

    /// The answer in its form for the pipe: an error number and, if that is 0, the size and each
    /// read with its offset, length, error number and bytes.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let recorded = match &self.0 {
            Ok(recorded) => recorded,
            Err(number) => return number.to_le_bytes().to_vec(),
        };
        bytes.extend(0i32.to_le_bytes());
        bytes.extend(recorded.size.to_le_bytes());
        for Piece {
            offset,
            length,
            came,
        } in &recorded.reads
        {
            bytes.extend(offset.to_le_bytes());
            bytes.extend((*length as u64).to_le_bytes());
            bytes.extend(came.as_ref().err().copied().unwrap_or(0).to_le_bytes());
            came.iter().for_each(|data| bytes.extend(data));
        }
        bytes
    }

    fn decode(mut bytes: &[u8]) -> Option<Answer> {
        let bytes = &mut bytes;
        let number = i32::from_le_bytes(take(bytes)?);
        if number != 0 {
            return Some(Answer(Err(number)));
        }
        let mut recorded = Recorded {
            size: u64::from_le_bytes(take(bytes)?),
            reads: Vec::new(),
        };
        while !bytes.is_empty() {
            let (offset, length) = (
                u64::from_le_bytes(take(bytes)?),
                usize::try_from(u64::from_le_bytes(take(bytes)?)).ok()?,
            );
            let came = match i32::from_le_bytes(take(bytes)?) {
                0 => {
                    let (data, rest) = bytes.split_at_checked(length)?;
                    *bytes = rest;
                    Ok(data.to_vec())
                }
                number => Err(number),
            };
            recorded.reads.push(Piece {
                offset,
                length,
                came,
            });
        }
        Some(Answer(Ok(recorded)))
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

fn number(err: &io::Error) -> i32 {
    err.raw_os_error().unwrap_or(NO_NUMBER)
}

fn error(number: i32) -> io::Error {
    if number == NO_NUMBER {
        ErrorKind::UnexpectedEof.into()
    } else {
        io::Error::from_raw_os_error(number)
    }
}

/// What was received from a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Heard {
    /// The answer of the disk.
    Answer(Answer),
    /// No answer within the time that the disk had.
    Nothing,
    /// No answer, because the child does not exist (any more).
    Lost,
}

/// One read of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    offset: u64,
    length: usize,
    came: std::result::Result<Vec<u8>, i32>,
}

/// Records what is read from a disk.
struct Recorder<M> {
    media: M,
    reads: Mutex<Vec<Piece>>,
}

impl<M: Media> Media for Recorder<M> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let read = self.media.read_at(offset, buf);
        let came = read.as_ref().map(|()| buf.to_vec()).map_err(number);
        self.reads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Piece {
                offset,
                length: buf.len(),
                came,
            });
        read
    }

    fn write_at(&self, _offset: u64, _buf: &[u8]) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&self) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    fn size(&self) -> u64 {
        self.media.size()
    }
}

/// What was read from a disk: the same reads get the same answers, others fail.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Recorded {
    size: u64,
    reads: Vec<Piece>,
}

impl Media for Recorded {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let piece = self
            .reads
            .iter()
            .find(|piece| (piece.offset, piece.length) == (offset, buf.len()));
        match piece.map(|piece| &piece.came) {
            Some(Ok(data)) => buf.copy_from_slice(data),
            Some(Err(number)) => return Err(error(*number)),
            None => return Err(ErrorKind::Unsupported.into()),
        }
        Ok(())
    }

    fn write_at(&self, _offset: u64, _buf: &[u8]) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&self) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    fn size(&self) -> u64 {
        self.size
    }
}

/// What is done with each disk.
type Asking<'a> = &'a (dyn Fn(&Path) -> Answer + Sync);

/// Has a child ask the disks, and listens until all of them have answered or their time is up.
fn ask_child(disks: &[(&Path, Duration)], ask: Asking<'_>) -> io::Result<Vec<Heard>> {
    let (ear, mouth) = pipe()?;
    let child = fork::child(&[mouth.as_raw_fd()], || {
        tell_all(disks, ask, File::from(mouth));
    })?;
    let heard = listen(File::from(ear), disks);
    let all = !heard.contains(&Heard::Nothing);
    part_from(child, all);
    Ok(heard)
}

/// Kills a child and, if it has finished, reaps it. One that is stuck is left to the kernel, and to
/// whatever reaps the children of this process.
fn part_from(child: Pid, is_through: bool) {
    let _ = kill(child, Signal::SIGKILL);
    let _ = waitpid(child, (!is_through).then_some(WaitPidFlag::WNOHANG));
}

/// In the child: reads all disks in parallel and reports each.
fn tell_all(disks: &[(&Path, Duration)], ask: Asking<'_>, mouth: File) {
    // SAFETY: prctl with these arguments takes no pointers. Without this call a child that is stuck
    // would stay until its disk answers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
    let mouth = &Mutex::new(mouth);
    std::thread::scope(|scope| {
        for (at, (path, _)) in disks.iter().enumerate() {
            let read = move || tell(mouth, at, &ask(path));
            if let Err(err) = std::thread::Builder::new()
                .stack_size(STACK)
                .spawn_scoped(scope, read)
            {
                tell(mouth, at, &Answer(Err(number(&err))));
            }
        }
    });
}

/// One message: the index of the disk, the number of bytes, and the answer.
fn tell(mouth: &Mutex<File>, at: usize, answer: &Answer) {
    let bytes = answer.encode();
    let head = [at as u64, bytes.len() as u64]
        .map(u64::to_le_bytes)
        .concat();
    let mut mouth = mouth.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = mouth
        .write_all(&head)
        .and_then(|()| mouth.write_all(&bytes));
}

fn listen(mut ear: File, disks: &[(&Path, Duration)]) -> Vec<Heard> {
    let begun = Instant::now();
    let mut heard = vec![Heard::Nothing; disks.len()];
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; 64 << 10]);
    // While a disk has time left.
    while let Some(patience) = waits_for(&heard, disks) {
        let left = patience.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return heard;
        }
        // Rounded up, so that the last millisecond is not a busy loop.
        let timeout =
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(ear.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => continue,
            Ok(_) => {}
            Err(_) => break,
        }
        match ear.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => bytes.extend(&chunk[..count]),
            Err(err) if err.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
        while let Some((at, answer)) = message(&mut bytes) {
            if let (Some(place), Some(answer)) = (heard.get_mut(at), answer) {
                *place = Heard::Answer(answer);
            }
        }
    }
    // The child has died, or sent something that makes no sense.
    heard
        .iter_mut()
        .filter(|heard| **heard == Heard::Nothing)
        .for_each(|heard| *heard = Heard::Lost);
    heard
}

/// The longest time that a disk without an answer has; `None` if all have answered.
fn waits_for(heard: &[Heard], disks: &[(&Path, Duration)]) -> Option<Duration> {
    heard
        .iter()
        .zip(disks)
        .filter(|(heard, _)| **heard == Heard::Nothing)
        .map(|(_, (_, patience))| *patience)
        .max()
}

/// Takes the next message out of the received bytes, if it is complete.
fn message(bytes: &mut Vec<u8>) -> Option<(usize, Option<Answer>)> {
    let (head, rest) = bytes.split_first_chunk::<16>()?;
    let word = |at: usize| {
        head[at..at + 8]
            .try_into()
            .ok()
            .map(u64::from_le_bytes)
            .and_then(|word| usize::try_from(word).ok())
    };
    let (at, length) = (word(0)?, word(8)?);
    let answer = Answer::decode(rest.get(..length)?);
    bytes.drain(..16 + length);
    Some((at, answer))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::error::Kind;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn disk(byte: u8) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![byte; 64 << 10]).unwrap();
        file
    }

    fn blocks(media: &dyn Media) {
        let mut block = [0; 4096];
        let _ = media.read_at(0, &mut block);
        let _ = media.read_at(8192, &mut [0; 8192]);
        let _ = media.read_at(64 << 10, &mut block);
    }

    #[test]
    fn disks_are_measured_apart() {
        let disk = tempfile::NamedTempFile::new().unwrap();
        disk.as_file().set_len(8 << 20).unwrap();
        let paths = [disk.path(), Path::new("/nonexistent/disk")];
        let paces = pace_each(&paths, Duration::from_secs(30));
        assert!(paces[0].is_some() && paces[1].is_none(), "{paces:?}");
        let pace = Pace {
            answer: 1,
            transfer: 2,
            flush: u64::MAX,
        };
        let answer = Answer::of_pace(Ok(pace));
        let back = Answer::decode(&answer.encode()).unwrap();
        assert_eq!(back.as_pace(), Some(pace));
    }

    #[test]
    fn what_was_read_is_there_and_nothing_else() {
        let (one, two) = (disk(1), disk(2));
        let missing = Path::new("/nonexistent/disk");
        let found = read_each(
            &[
                (one.path(), PATIENCE),
                (missing, PATIENCE),
                (two.path(), PATIENCE),
            ],
            &blocks,
        );
        for (at, byte) in [(0, 1), (2, 2)] {
            let media = found[at].as_ref().unwrap_or_else(|error| panic!("{error}"));
            let mut block = [0; 8192];
            media.read_at(8192, &mut block).unwrap();
            assert!(block.iter().all(|b| *b == byte));
            assert_eq!(media.size(), 64 << 10);
            assert_eq!(
                media.read_at(64 << 10, &mut [0; 4096]).unwrap_err().kind(),
                ErrorKind::UnexpectedEof
            );
            assert_eq!(
                media.read_at(4096, &mut [0; 4096]).unwrap_err().kind(),
                ErrorKind::Unsupported
            );
            assert!(media.write_at(0, &[0; 4096]).is_err() && media.flush().is_err());
        }
        assert_eq!(found[1].as_ref().err().unwrap().kind(), Kind::NotFound);
    }

    /// A FIFO without a writer blocks its opener, as a disk that hangs does.
    #[test]
    fn one_that_does_not_answer_keeps_the_others_waiting_for_its_time_and_no_longer() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("hangs");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let good = disk(3);
        let begun = Instant::now();
        let found = read_each(
            &[(&fifo, Duration::from_millis(300)), (good.path(), PATIENCE)],
            &blocks,
        );
        let error = found[0].as_ref().err().unwrap();
        assert_eq!(error.kind(), Kind::TimedOut);
        assert!(
            error
                .message()
                .contains("hangs' did not answer within 0.3 s"),
            "{error}"
        );
        assert!(found[1].is_ok());
        assert!(begun.elapsed() >= Duration::from_millis(300));
        // The second time, this process gives the disk less time.
        let begun = Instant::now();
        let found = read_each(&[(&fifo, PATIENCE), (good.path(), PATIENCE)], &blocks);
        assert!(
            found[0]
                .as_ref()
                .is_err_and(|error| error.message().contains("did not answer within 1 s"))
        );
        assert!(found[1].is_ok() && begun.elapsed() < PATIENCE);
    }

    /// A child that is stuck must hold nothing of its parent.
    #[test]
    fn a_lock_goes_although_a_child_is_stuck() {
        use nix::fcntl::{Flock, FlockArg};
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("hangs");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let file = directory.path().join("lock");
        let take = || {
            Flock::lock(
                File::create(&file).unwrap(),
                FlockArg::LockExclusiveNonblock,
            )
            .ok()
        };
        let lock = take().unwrap();
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let waits =
                scope.spawn(|| read_each(&[(&fifo, Duration::from_secs(2))], &blocks).len());
            // The child holds the lock from the fork on, until it has closed the file.
            std::thread::sleep(Duration::from_millis(200));
            drop(lock);
            while take().is_none() {
                assert!(
                    begun.elapsed() < Duration::from_millis(1900),
                    "the child keeps the lock"
                );
                std::thread::sleep(Duration::from_millis(5));
            }
            waits.join().unwrap();
        });
    }

    #[test]
    fn answers_survive_the_pipe() {
        let pieces = vec![
            Piece {
                offset: 0,
                length: 3,
                came: Ok(vec![1, 2, 3]),
            },
            Piece {
                offset: 4096,
                length: 4096,
                came: Err(libc::EIO),
            },
            Piece {
                offset: 9,
                length: 0,
                came: Ok(Vec::new()),
            },
        ];
        for answer in [
            Answer(Err(libc::ENXIO)),
            Answer(Ok(Recorded {
                size: 7,
                reads: pieces,
            })),
        ] {
            assert_eq!(Answer::decode(&answer.encode()), Some(answer.clone()));
            let cut = answer.encode();
            assert_ne!(Answer::decode(&cut[..cut.len() - 1]), Some(answer));
        }
        assert_eq!(message(&mut vec![0; 15]), None);
    }
}

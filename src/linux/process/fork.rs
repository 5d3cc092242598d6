//! Child processes that start no program: a program might have to be read from the very disks that
//! hang, and takes longer to start.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{ForkResult, Pid, chdir, fork, pipe};
use std::cell::Cell;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

thread_local! {
    /// How many forks lie between this process and the program that was started.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Tells a process from its parents and its children, without asking the kernel.
pub(in crate::linux) fn depth() -> u32 {
    DEPTH.get()
}

/// Forks a child that runs `body` and ends. It keeps none of the parent's descriptors open but
/// `kept`, and leaves the parent's working directory, so that a child that is stuck holds neither a
/// lock nor the terminal nor a mount.
pub(in crate::linux) fn child(kept: &[RawFd], body: impl FnOnce()) -> nix::Result<Pid> {
    // SAFETY: the child continues with the memory that is mapped here and never returns. A command
    // has no other threads in its process; where there are some (in a test), glibc keeps the
    // allocator usable in the child.
    match unsafe { fork() }? {
        ForkResult::Child => {
            DEPTH.set(DEPTH.get() + 1);
            leave_all_but(kept);
            let _ = chdir("/");
            // The child must not return into the code of its parent, not even by a panic.
            let _ = catch_unwind(AssertUnwindSafe(body));
            // SAFETY: _exit only ends the process; data in its buffers belongs to the parent.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => Ok(child),
    }
}

/// Runs `body`, which may block in the kernel for ever, in a child. Returns whether it has ended in
/// time. A body that cannot be run counts as ended.
pub(in crate::linux) fn ends_by(until: Instant, body: impl FnOnce()) -> bool {
    !matches!(hears_by(until, |_| body()), Ok(None))
}

/// Runs `body`, which may block for ever, in a child, and returns what it has written by the time
/// that it ends; `None` if it has not ended in time. A child that has not is killed and not waited
/// for: it may be where a signal does not reach it.
pub(in crate::linux) fn hears_by(
    until: Instant,
    body: impl FnOnce(&mut File),
) -> nix::Result<Option<Vec<u8>>> {
    // The child has the other end, which is closed when it ends.
    let (ear, mouth) = pipe()?;
    let mut mouth = File::from(mouth);
    let process = child(&[mouth.as_raw_fd()], || body(&mut mouth))?;
    drop(mouth);
    let heard = listen(File::from(ear), until);
    if heard.is_none() {
        let _ = kill(process, Signal::SIGKILL);
    }
    let _ = waitpid(process, heard.is_none().then_some(WaitPidFlag::WNOHANG));
    Ok(heard)
}

/// What arrives until the other end is closed; `None` if that is not in time.
fn listen(mut ear: File, until: Instant) -> Option<Vec<u8>> {
    let (mut heard, mut part) = (Vec::new(), [0; 512]);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut ready = [PollFd::new(ear.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, timeout) {
            Err(Errno::EINTR) => continue,
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
        match ear.read(&mut part) {
            Ok(0) => return Some(heard),
            Ok(length) => heard.extend(&part[..length]),
            Err(err) if err.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// Closes every descriptor of the parent except these. Standard input, output and error become
/// `/dev/null` unless they are among these.
fn leave_all_but(kept: &[RawFd]) {
    if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        for standard in (0..3).filter(|standard| !kept.contains(standard)) {
            // SAFETY: both are descriptors; the parent's own standard descriptors are not affected.
            unsafe { libc::dup2(null.as_raw_fd(), standard) };
        }
        if null.as_raw_fd() > 2 {
            drop(null);
        } else {
            std::mem::forget(null);
        }
    }
    let mut kept: Vec<RawFd> = kept
        .iter()
        .copied()
        .filter(|descriptor| *descriptor > 2)
        .collect();
    kept.sort_unstable();
    let mut first = 3;
    for descriptor in kept {
        close_between(first, descriptor - 1);
        first = descriptor + 1;
    }
    close_between(first, RawFd::MAX);
}

fn close_between(first: RawFd, last: RawFd) {
    if first > last {
        return;
    }
    // SAFETY: nothing else in this process uses these descriptors: it has just been forked, and
    // runs only the code that is written here.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if closed != 0 {
        // Kernels before 5.9 do not have close_range.
        for descriptor in first..=last.min(4096) {
            // SAFETY: as above.
            unsafe { libc::close(descriptor) };
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::time::Duration;

    /// The descriptor that is kept lies between others that are not, and standard input and output
    /// are replaced.
    #[test]
    fn a_child_has_nothing_but_what_is_kept() {
        let before = File::open("/etc/passwd").unwrap();
        let (ear, mouth) = pipe().unwrap();
        let behind = File::open("/etc/passwd").unwrap();
        let say = || {
            let leads =
                |descriptor: RawFd| std::fs::read_link(format!("/proc/self/fd/{descriptor}")).ok();
            let gone = [&before, &behind].map(|file| leads(file.as_raw_fd()).is_none());
            let null = (0..3).all(|standard| {
                leads(standard).is_some_and(|path| path.as_os_str() == "/dev/null")
            });
            let told = format!(
                "{gone:?} {null} {}",
                std::env::current_dir().unwrap().display()
            );
            File::from(mouth.try_clone().unwrap())
                .write_all(told.as_bytes())
                .unwrap();
        };
        let process = child(&[mouth.as_raw_fd()], say).unwrap();
        drop(mouth);
        let mut told = String::new();
        File::from(ear).read_to_string(&mut told).unwrap();
        waitpid(process, None).unwrap();
        assert_eq!(told, "[true, true] true /");
    }

    #[test]
    fn a_body_that_hangs_is_given_up() {
        let started = Instant::now();
        let hangs = || std::thread::sleep(Duration::from_secs(60));
        assert!(!ends_by(started + Duration::from_millis(30), hangs));
        assert!(started.elapsed() < Duration::from_secs(30));
        assert!(ends_by(started + Duration::from_secs(60), || {}));
        assert_eq!(hears_by(started, |_| hangs()), Ok(None));
        let says = |mouth: &mut File| mouth.write_all(b"done").unwrap();
        let heard = hears_by(started + Duration::from_secs(60), says);
        assert_eq!(heard, Ok(Some(b"done".to_vec())));
        // One that has ended is found in time, whenever that was.
        assert!(ends_by(
            Instant::now() + Duration::from_secs(60),
            || panic!()
        ));
    }
}

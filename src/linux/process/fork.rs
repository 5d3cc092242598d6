//! Children of this process that start no program: that might have to be read from the very disks
//! that hang, and takes longer.

use nix::unistd::{ForkResult, Pid, chdir, fork};
use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Has a child do this and nothing else. It has nothing of ours open but `kept` and is in no
/// directory of ours, so that what is stuck in it holds neither a lock nor the terminal nor a
/// mount.
pub(in crate::linux) fn child(kept: &[RawFd], body: impl FnOnce()) -> nix::Result<Pid> {
    // SAFETY: the child goes on with what is mapped here and never comes back. A command is the
    // only thread of its process; where it is not (a test), glibc keeps the allocator usable in the
    // child.
    match unsafe { fork() }? {
        ForkResult::Child => {
            leave_all_but(kept);
            let _ = chdir("/");
            let _ = catch_unwind(AssertUnwindSafe(body));
            // SAFETY: _exit only ends the process; what is buffered in it belongs to the parent.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => Ok(child),
    }
}

/// Closes everything that the parent has open but these.
fn leave_all_but(kept: &[RawFd]) {
    if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        for standard in (0..3).filter(|standard| !kept.contains(standard)) {
            // SAFETY: both are descriptors; whoever had the standard one in the parent has it
            // still.
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
    // SAFETY: in this process nobody else uses these descriptors: it has just been forked, and does
    // nothing but what is written here.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if closed != 0 {
        // Before Linux 5.9.
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
    use nix::sys::wait::waitpid;
    use nix::unistd::pipe;
    use std::io::{Read, Write};

    /// What is kept lies between things that are not, and standard input and output are other
    /// files.
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
}

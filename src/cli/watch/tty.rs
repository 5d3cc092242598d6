//! The terminal of `status --watch`: keys come one by one and unseen while this lives, and whatever
//! happens it is afterwards as it was before.
//!
//! `nix` has all that is needed, and is here anyway. What brings its own screen (crossterm) counts
//! on an xterm and would add eight crates, and console's keys cannot be waited for with a limit.

use super::super::output;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};
use nix::sys::termios::{
    LocalFlags, SetArg, SpecialCharacterIndices as Special, Termios, tcgetattr, tcsetattr,
};
use std::io;
use std::os::fd::AsFd;
use std::panic;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What a terminal is to be told at the end, and its former state. The hook that runs in a panic
/// has no other way to it.
static FORMER: Mutex<Option<Former>> = Mutex::new(None);

#[derive(Clone)]
struct Former {
    modes: Termios,
    leave: String,
}

/// A terminal that shows screens.
pub(super) struct Tty {
    enter: String,
    leave: String,
}

/// What a wait for keys has ended with.
pub(super) enum Input {
    Bytes(Vec<u8>),
    Nothing,
    /// The terminal is gone.
    End,
}

impl Tty {
    /// Takes the terminal over. `has_more` says that it can do more than a VT100: it has a second
    /// screen, so that what stands on it now comes back at the end.
    pub(super) fn open(has_more: bool) -> io::Result<Tty> {
        let (enter, leave) = if has_more {
            ("\u{1b}[?1049h\u{1b}[?25l", "\u{1b}[?25h\u{1b}[?1049l")
        } else {
            ("", "\u{1b}[999;1H\r\n")
        };
        let tty = Tty {
            enter: enter.to_owned(),
            leave: leave.to_owned(),
        };
        tty.take()?;
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // Else the words of the panic would vanish with the screen.
            give_back();
            before(info);
        }));
        Ok(tty)
    }

    fn take(&self) -> io::Result<()> {
        let modes = tcgetattr(io::stdin())?;
        let mut new = modes.clone();
        new.local_flags
            .remove(LocalFlags::ICANON | LocalFlags::ECHO);
        new.control_chars[Special::VMIN as usize] = 1;
        new.control_chars[Special::VTIME as usize] = 0;
        // Ctrl-Z comes as a key: the terminal is given back first.
        new.control_chars[Special::VSUSP as usize] = 0;
        tcsetattr(io::stdin(), SetArg::TCSADRAIN, &new)?;
        *FORMER.lock().unwrap_or_else(PoisonError::into_inner) = Some(Former {
            modes,
            leave: self.leave.clone(),
        });
        output::result(&self.enter)
    }

    /// Stops this process as Ctrl-Z does, with the terminal as it was before.
    pub(super) fn suspend(&self) -> io::Result<()> {
        give_back();
        raise(Signal::SIGSTOP)?;
        self.take()
    }

    /// Waits for keys, no longer than this.
    pub(super) fn read(&self, most: Duration) -> io::Result<Input> {
        let stdin = io::stdin();
        let mut waits = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        let most = PollTimeout::try_from(most).unwrap_or(PollTimeout::ZERO);
        match poll(&mut waits, most) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => return Ok(Input::Nothing),
            Ok(_) => {}
            Err(err) => return Err(err.into()),
        }
        let mut bytes = [0; 64];
        match nix::unistd::read(stdin.as_fd(), &mut bytes) {
            Ok(0) | Err(nix::errno::Errno::EIO) => Ok(Input::End),
            Ok(count) => Ok(Input::Bytes(bytes[..count].to_vec())),
            Err(nix::errno::Errno::EINTR) => Ok(Input::Nothing),
            Err(err) => Err(err.into()),
        }
    }
}

/// Puts the terminal back into its former state, if that has not been done yet.
fn give_back() {
    let former = FORMER.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(former) = former {
        let _ = output::result(&former.leave);
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &former.modes);
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        give_back();
    }
}

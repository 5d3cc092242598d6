//! The program on a terminal: what a person sees, and answers.

use super::child::program;
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A command on a terminal of its own.
pub struct OnTerminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl OnTerminal {
    /// Starts the program with these words.
    #[track_caller]
    pub fn start(words: &str) -> OnTerminal {
        OnTerminal::start_on("vt100", words)
    }

    /// The same on a terminal of this type.
    #[track_caller]
    pub fn start_on(term: &str, words: &str) -> OnTerminal {
        let pty =
            openpty(Some(&size(120, 25)), None).unwrap_or_else(|err| panic!("no terminal: {err}"));
        let (keyboard, end) = (File::from(pty.master), File::from(pty.slave));
        let copy = || {
            end.try_clone()
                .unwrap_or_else(|err| panic!("a terminal cannot be opened twice: {err}"))
        };
        let mut command = Command::new(program());
        command
            .args(words.split_whitespace())
            .env("TERM", term)
            .stdin(copy())
            .stdout(copy())
            .stderr(copy());
        // SAFETY: setsid and ioctl may be called between fork and exec.
        unsafe { command.pre_exec(take_terminal) };
        let child = command
            .spawn()
            .unwrap_or_else(|err| panic!("'{words}' cannot be started: {err}"));
        let screen = Arc::new(Mutex::new(Vec::new()));
        watch(
            keyboard.try_clone().unwrap_or_else(|err| panic!("{err}")),
            Arc::clone(&screen),
        );
        OnTerminal {
            child,
            keyboard,
            screen,
        }
    }

    /// What has been on the screen so far.
    pub fn screen(&self) -> String {
        let bytes = self
            .screen
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until the screen has shown this.
    #[track_caller]
    pub fn shows(&self, text: &str) -> &OnTerminal {
        super::lab::until(
            &format!("the terminal shows '{text}', it has: {}", self.screen()),
            || self.screen().contains(text),
        );
        self
    }

    /// Types a line.
    #[track_caller]
    pub fn types(&mut self, line: &str) {
        self.keyboard
            .write_all(format!("{line}\n").as_bytes())
            .unwrap_or_else(|err| panic!("the terminal takes no '{line}': {err}"));
    }

    /// Presses keys.
    #[track_caller]
    pub fn presses(&mut self, keys: &str) {
        self.keyboard
            .write_all(keys.as_bytes())
            .unwrap_or_else(|err| panic!("the terminal takes no {keys:?}: {err}"));
    }

    /// Gets another size.
    #[track_caller]
    pub fn resizes(&self, columns: u16, rows: u16) {
        let size = size(columns, rows);
        // SAFETY: TIOCSWINSZ reads a window size.
        let done = unsafe { libc::ioctl(self.keyboard.as_raw_fd(), libc::TIOCSWINSZ, &size) };
        assert_eq!(done, 0, "{}", io::Error::last_os_error());
    }

    /// Whether keys come by lines and are shown, as a shell expects it.
    pub fn is_cooked(&self) -> bool {
        let modes = tcgetattr(&self.keyboard).unwrap_or_else(|err| panic!("no terminal: {err}"));
        let flags = LocalFlags::ICANON | LocalFlags::ECHO;
        modes.local_flags.contains(flags)
    }

    /// Sends the command a signal.
    #[track_caller]
    pub fn signals(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, signal).unwrap_or_else(|err| panic!("{signal}: {err}"));
    }

    /// Presses Ctrl-C.
    #[track_caller]
    pub fn interrupts(&mut self) {
        self.keyboard
            .write_all(b"\x03")
            .unwrap_or_else(|err| panic!("the terminal takes no Ctrl-C: {err}"));
    }

    /// Waits for its end; the exit status.
    #[track_caller]
    pub fn ends(&mut self) -> Option<i32> {
        let end = Instant::now() + super::child::DEADLINE;
        while Instant::now() < end {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code();
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!(
            "the command does not end; the terminal shows: {}",
            self.screen()
        );
    }
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

/// Makes stdin the terminal of a new session, so that Ctrl-C reaches the command and `/dev/tty` is
/// it.
fn take_terminal() -> io::Result<()> {
    nix::unistd::setsid()?;
    // SAFETY: TIOCSCTTY takes a number.
    match unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn watch(mut from: File, screen: Arc<Mutex<Vec<u8>>>) {
    thread::spawn(move || {
        let mut some = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut some) {
            screen
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .extend(&some[..count]);
        }
    });
}

//! What is expected of a system service: to report to systemd that it is ready and alive, and to be
//! available when memory is short.
//!
//! The protocol (sd_notify(3)) is a datagram of a few words, and it is implemented here: the send
//! of the crate `sd-notify` (0.5) blocks while systemd does not read, and a monitor that is blocked
//! repairs nothing.

use crate::linux::process::critical;
use crate::sys::process::{Service, UNTIL_IDLE};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// What has started this process: systemd (sd_notify(3)), a command, or something else.
#[derive(Debug)]
pub struct Started {
    /// A socket of this process, and the address of systemd's; `None` outside a service.
    to: Option<(UnixDatagram, SocketAddr)>,
    /// The interval in which systemd expects to hear that this process is alive.
    watchdog: Option<Duration>,
    until_idle: bool,
}

impl Started {
    /// Reads the environment: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, [`UNTIL_IDLE`].
    pub fn from_environment() -> Started {
        let to = std::env::var_os("NOTIFY_SOCKET").and_then(|name| connect(&name).ok());
        let micros = std::env::var("WATCHDOG_USEC")
            .ok()
            .and_then(|text| text.parse().ok());
        Started {
            watchdog: micros.filter(|_| to.is_some()).map(Duration::from_micros),
            to,
            until_idle: std::env::var_os(UNTIL_IDLE).is_some(),
        }
    }

    /// Sends a report without blocking; a receiver that does not read is not waited for.
    fn tell(&self, text: &str) {
        if let Some((socket, to)) = &self.to {
            let _ = socket.send_to_addr(text.as_bytes(), to);
        }
    }
}

impl Service for Started {
    fn is_supervised(&self) -> bool {
        self.to.is_some()
    }

    fn is_until_idle(&self) -> bool {
        self.until_idle
    }

    fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    fn status(&self, text: &str) {
        self.tell(&format!("STATUS={text}"));
    }

    fn stopping(&self, status: &str) {
        self.tell(&format!("STOPPING=1\nSTATUS={status}"));
    }

    fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    fn at_most(&self, wanted: Duration) -> Duration {
        self.watchdog
            .map_or(wanted, |watchdog| wanted.min(watchdog / 2))
    }
}

fn connect(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let to = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, to))
}

/// From here on nothing of this process has to be read from a disk again, and the kernel does not
/// kill it when memory runs out: it may be the only process that can let held writes continue.
/// Returns what failed, one text for each.
pub fn stay_resident() -> Vec<String> {
    critical::lock_memory_for_good()
        .into_iter()
        .chain(critical::never_killed_for_memory())
        .collect()
}

/// Asks a process to end if it is a monitor that a command has started. What it is at work on is
/// finished first: the signal is recorded (see [`Interrupts`](crate::sys::process::Interrupts)).
///
/// The environment alone does not tell: what such a monitor starts has inherited it.
pub fn relieve_monitor(pid: u32) -> bool {
    let of = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let Ok(raw) = i32::try_from(pid) else {
        return false;
    };
    is_monitor_of_a_command(&of("cmdline"), &of("environ"))
        && kill(Pid::from_raw(raw), Signal::SIGTERM).is_ok()
}

/// `cmdline` and `environ` as `/proc` has them: texts that each end with a NUL.
fn is_monitor_of_a_command(cmdline: &[u8], environ: &[u8]) -> bool {
    let mut words = cmdline.split(|byte| *byte == 0);
    let is_monitor = words.nth(1) == Some(b"monitor");
    let mut settings = environ.split(|byte| *byte == 0);
    is_monitor
        && settings.any(|setting| {
            let rest = setting.strip_prefix(UNTIL_IDLE.as_bytes());
            rest.is_some_and(|rest| rest.starts_with(b"="))
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_a_monitor_that_a_command_has_started_is_asked_to_end() {
        let started = b"HOME=/\0BREAKOFF_MONITOR_UNTIL_IDLE=1\0";
        let asked = is_monitor_of_a_command;
        assert!(asked(b"/usr/bin/breakoff\0monitor\0", started));
        assert!(asked(b"@breakoff\0monitor\0", started));
        assert!(!asked(b"/usr/bin/breakoff\0-q\0recover\0", started));
        assert!(!asked(b"/usr/bin/breakoff\0monitor\0", b"HOME=/\0"));
        assert!(!asked(
            b"breakoff\0monitor\0",
            b"BREAKOFF_MONITOR_UNTIL_IDLES=1\0"
        ));
        assert!(!asked(b"", b""));
        // This process is none, and lives on.
        assert!(!relieve_monitor(std::process::id()));
    }

    #[test]
    fn a_socket_with_a_path_and_one_without_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("breakoff-test-{}", std::process::id());
        let unnamed =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        for (socket, named) in [
            (by_path, path.into_os_string()),
            (unnamed, format!("@{name}").into()),
        ] {
            let service = Started {
                to: Some(connect(&named).unwrap()),
                watchdog: Some(Duration::from_secs(4)),
                until_idle: false,
            };
            let mut text = [0; 64];
            service.ready("well");
            let length = socket.recv(&mut text).unwrap();
            assert_eq!(&text[..length], b"READY=1\nSTATUS=well");
            service.status("better");
            let length = socket.recv(&mut text).unwrap();
            assert_eq!(&text[..length], b"STATUS=better");
            service.stopping("at its end");
            let length = socket.recv(&mut text).unwrap();
            assert_eq!(&text[..length], b"STOPPING=1\nSTATUS=at its end");
            service.alive();
            let length = socket.recv(&mut text).unwrap();
            assert_eq!(&text[..length], b"WATCHDOG=1");
            assert_eq!(
                service.at_most(Duration::from_secs(10)),
                Duration::from_secs(2)
            );
            assert_eq!(
                service.at_most(Duration::from_secs(1)),
                Duration::from_secs(1)
            );
        }
        let nobody = Started {
            to: None,
            watchdog: None,
            until_idle: false,
        };
        nobody.ready("well");
        assert!(!nobody.is_supervised());
        assert_eq!(
            nobody.at_most(Duration::from_secs(10)),
            Duration::from_secs(10)
        );
    }
}

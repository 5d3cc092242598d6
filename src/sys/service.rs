//! What a service owes the machine: word to systemd that it is ready and alive, and to be there
//! when memory is short.

use super::critical;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// systemd's end of the service, if it has started us (sd_notify(3)).
#[derive(Debug)]
pub struct Service {
    to: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear that we are alive.
    watchdog: Option<Duration>,
}

impl Service {
    /// As the environment says: `NOTIFY_SOCKET`, `WATCHDOG_USEC`.
    pub fn from_environment() -> Service {
        let to = std::env::var_os("NOTIFY_SOCKET").and_then(|name| connect(&name).ok());
        let micros = std::env::var("WATCHDOG_USEC")
            .ok()
            .and_then(|text| text.parse().ok());
        Service {
            watchdog: micros.filter(|_| to.is_some()).map(Duration::from_micros),
            to,
        }
    }

    /// Whether somebody listens.
    pub fn is_supervised(&self) -> bool {
        self.to.is_some()
    }

    /// That it is ready, with a word about its state.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// That it is alive.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// At most this long, so that it is heard of twice as often as is asked for.
    pub fn at_most(&self, wanted: Duration) -> Duration {
        self.watchdog
            .map_or(wanted, |watchdog| wanted.min(watchdog / 2))
    }

    /// Who does not listen is not waited for.
    fn tell(&self, text: &str) {
        if let Some((socket, to)) = &self.to {
            let _ = socket.send_to_addr(text.as_bytes(), to);
        }
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
/// kill it for memory: it may be the only one who can let the disks' writes flow. What could not be
/// had, in words.
pub fn stay_resident() -> Vec<String> {
    critical::lock_memory_for_good()
        .into_iter()
        .chain(critical::never_killed_for_memory())
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

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
            let service = Service {
                to: Some(connect(&named).unwrap()),
                watchdog: Some(Duration::from_secs(4)),
            };
            service.ready("well");
            service.alive();
            let mut text = [0; 64];
            let length = socket.recv(&mut text).unwrap();
            assert_eq!(&text[..length], b"READY=1\nSTATUS=well");
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
        let nobody = Service {
            to: None,
            watchdog: None,
        };
        nobody.ready("well");
        assert!(!nobody.is_supervised());
        assert_eq!(
            nobody.at_most(Duration::from_secs(10)),
            Duration::from_secs(10)
        );
    }
}

//! Reports of a failed disk: to the journal, with fields to search by, and to the administrator's
//! own program.
//!
//! Nothing here may delay a repair or make it fail: a report that cannot be made is a warning.

use crate::linux::disk::sysfs::printable;
use crate::sys::notice::Notice;
use std::fs;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The socket on which systemd's journal accepts messages with fields.
const JOURNAL: &str = "/run/systemd/journal/socket";
/// The priority of an error, as syslog counts.
const PRIORITY: &str = "3";

/// A key of the configuration file, or a variable in a hook's environment; `breakoff.conf(5)` is made
/// of these.
#[derive(Debug, Clone, Copy)]
pub struct Described {
    /// Its name.
    pub name: &'static str,
    /// A value that it can have.
    pub example: &'static str,
    /// What it means, in one paragraph.
    pub meaning: &'static str,
}

/// The program that is told of failures.
const HOOK: Described = Described {
    name: "hook",
    example: "/path/to/program",
    meaning: "The program that is started when a plex of a volume has failed, by its whole path. \
              Without this key none is.",
};

/// All keys of the configuration file.
pub const KEYS: [Described; 1] = [HOOK];

/// What a hook finds in its environment, some of it only where it is known.
pub const VARIABLES: [Described; 8] = [
    Described {
        name: "BREAKOFF_EVENT",
        example: "plex-failed",
        meaning: "What has happened: plex-failed, plex-state (a plex is recorded as failed later), log-failed.",
    },
    Described {
        name: "BREAKOFF_MESSAGE",
        example: "data/home plex failed: plex home-02",
        meaning: "The same as a line of text.",
    },
    Described {
        name: "BREAKOFF_GROUP",
        example: "data",
        meaning: "The group of the volume.",
    },
    Described {
        name: "BREAKOFF_VOLUME",
        example: "home",
        meaning: "The volume.",
    },
    Described {
        name: "BREAKOFF_PLEX",
        example: "home-02",
        meaning: "The plex that has failed.",
    },
    Described {
        name: "BREAKOFF_STATE",
        example: "FAILED",
        meaning: "The state of that plex now; removed if it is gone.",
    },
    Described {
        name: "BREAKOFF_DISK",
        example: "disk02",
        meaning: "The media names of the disks that it lies on.",
    },
    Described {
        name: "BREAKOFF_DEVICE",
        example: "/dev/sdc",
        meaning: "The paths of these disks.",
    },
];

/// `BREAKOFF_EVENT` and so on: the environment of a hook, and the fields in the journal.
fn fields(notice: &Notice) -> Vec<(String, String)> {
    let event = [("EVENT", notice.kind.event.to_owned())];
    let about = notice
        .about
        .iter()
        .map(|(name, value)| (*name, printable(value)));
    event
        .into_iter()
        .chain(about)
        .map(|(name, value)| (format!("BREAKOFF_{name}"), value))
        .collect()
}

/// The message in the form that the journal's socket accepts: one line for each field.
fn datagram(notice: &Notice) -> Vec<u8> {
    let plain = [
        ("MESSAGE", printable(&notice.message)),
        ("PRIORITY", PRIORITY.to_owned()),
        ("MESSAGE_ID", notice.kind.id.to_owned()),
        ("SYSLOG_IDENTIFIER", "breakoff".to_owned()),
    ];
    let own = fields(notice);
    let plain = plain
        .iter()
        .map(|(name, value)| format!("{name}={value}\n"));
    plain
        .chain(own.iter().map(|(name, value)| format!("{name}={value}\n")))
        .collect::<String>()
        .into_bytes()
}
/// The path of the configuration file; `BREAKOFF_CONFIG` overrides it.
fn config() -> PathBuf {
    std::env::var_os("BREAKOFF_CONFIG")
        .filter(|path| !path.is_empty())
        .map_or_else(|| "/etc/breakoff.conf".into(), PathBuf::from)
}

/// Reports a failure to the journal and to the administrator's program. Returns what went wrong,
/// one text for each.
pub fn tell(notice: &Notice) -> Vec<String> {
    let mut wrong = Vec::new();
    // Without systemd there is no journal, which is not an error.
    if Path::new(JOURNAL).exists()
        && let Err(err) = send(&datagram(notice))
    {
        wrong.push(format!("the journal cannot be written: {err}"));
    }
    match hook(&config()) {
        Ok(None) => {}
        Ok(Some(program)) => {
            if let Err(err) = run(&program, notice) {
                wrong.push(format!(
                    "the hook '{}' cannot be run: {err}",
                    program.display()
                ));
            }
        }
        Err(why) => wrong.push(why),
    }
    wrong
}

/// Sends a message without blocking: a journal that does not accept it at once, perhaps because its
/// disk hangs, is not waited for.
fn send(datagram: &[u8]) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to(datagram, JOURNAL).map(drop)
}

/// The program that a configuration file names, if it names one.
fn hook(config: &Path) -> Result<Option<PathBuf>, String> {
    let shown = config.display();
    match fs::read_to_string(config) {
        Ok(text) => {
            hook_in(&text).map_err(|line| format!("'{shown}' has an invalid line: '{line}'"))
        }
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(format!("'{shown}' cannot be read: {err}")),
    }
}

/// The program in the text of a configuration file: `hook = /path/to/program`, the last one counts.
/// Fails with the first line that is not understood, safe to show.
pub fn hook_in(text: &str) -> Result<Option<PathBuf>, String> {
    let mut found = None;
    for line in text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        match line
            .split_once('=')
            .map(|(key, value)| (key.trim(), value.trim()))
        {
            Some((key, program))
                if key == HOOK.name
                    && program.starts_with('/')
                    && !program.contains(char::is_control) =>
            {
                found = Some(PathBuf::from(program));
            }
            _ => return Err(printable(line)),
        }
    }
    Ok(found)
}

/// Starts the program and does not wait for it; how it ends is not checked.
fn run(program: &Path, notice: &Notice) -> io::Result<()> {
    let mut command = Command::new(program);
    command
        .envs(fields(notice))
        .env("BREAKOFF_MESSAGE", printable(&notice.message))
        .current_dir("/");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    command.spawn().map(drop)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::sys::notice::PLEX_FAILED;
    use std::io::Write;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn a_configuration_names_a_hook_or_none() {
        let named = |text: &str| hook(file(text).path());
        assert_eq!(named("# nothing\n\n"), Ok(None));
        assert_eq!(
            named("hook = /usr/local/sbin/told\n"),
            Ok(Some("/usr/local/sbin/told".into()))
        );
        assert_eq!(named(" hook=/a b \n#x"), Ok(Some("/a b".into())));
        for bad in [
            "hook = told",
            "hook",
            "mail = root",
            "hook =\u{1b}[2J/x",
            "hook = /x\u{1b}[2J",
        ] {
            assert!(
                named(bad).unwrap_err().contains("has an invalid line"),
                "{bad}"
            );
        }
        assert_eq!(hook(Path::new("/does/not/exist")), Ok(None));
    }

    #[test]
    fn the_journal_gets_one_line_for_each_field() {
        let about = vec![
            ("GROUP", "g".to_owned()),
            ("DEVICE", "/dev/x\nPRIORITY=7".to_owned()),
        ];
        let notice = Notice {
            kind: &PLEX_FAILED,
            message: "plex 'v-02' failed".to_owned(),
            about,
        };
        let text = String::from_utf8(datagram(&notice)).unwrap();
        assert_eq!(text.lines().count(), 7, "{text}");
        let id = format!("MESSAGE_ID={}", PLEX_FAILED.id);
        assert!(text.lines().any(|line| line == id), "{text}");
        assert!(
            text.starts_with("MESSAGE=plex 'v-02' failed\nPRIORITY=3\n"),
            "{text}"
        );
        assert!(
            text.contains("BREAKOFF_EVENT=plex-failed\nBREAKOFF_GROUP=g\n"),
            "{text}"
        );
    }
}

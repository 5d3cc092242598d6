//! The permissions of volumes' device nodes, for udev's rule and without it.
//!
//! The rule reads one file for each volume, named after its dm UUID, with each event of the volume:
//! no program is started for that and no disk is read. The numbers are in it, so that udev does not
//! have to know the names. The files lie in `/run`, since they are written again with each start.

use super::{cookie, nodes};
use crate::error::{Error, Result};
use crate::linux::process::fork;
use crate::linux::process::lock::{make_private_dir, run_dir};
use crate::model::{Account, DmUuid, NodeMode, NodeOwner};
use crate::sys::nodes::{Nodes, Permissions, Told};
use crate::table::DmDevice;
use nix::unistd::{Gid, Group, Uid, User, chown};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What udev's own rules give a block device: `root`, the group `disk`, read and write for both.
const DEFAULT_USER: u32 = 0;
const DEFAULT_GROUP: &str = "disk";
const DEFAULT_MODE: u16 = 0o660;

/// The nodes of this machine.
pub struct Owners {
    /// The directory of the files.
    told: PathBuf,
    /// The directory of device nodes.
    dev: PathBuf,
}

impl Default for Owners {
    fn default() -> Owners {
        Owners {
            told: run_dir().join("owner"),
            dev: PathBuf::from(nodes::DEV),
        }
    }
}

impl Owners {
    /// The node of a device: the kernel's own, or where there is none (a static `/dev`) that below
    /// `/dev/mapper`.
    fn node(&self, device: &DmDevice) -> Option<PathBuf> {
        let own = self.dev.join(format!("dm-{}", device.dev.minor));
        let mapped = nodes::path_of(&self.dev, device.name.as_str());
        let mut candidates = std::iter::once(own).chain(mapped);
        candidates.find(|path| nodes::leads_to(path, device.dev))
    }
}

impl Nodes for Owners {
    fn resolve(&self, owner: &NodeOwner) -> (Told, Vec<String>) {
        let mut unknown = Vec::new();
        let mut number = |account: &Option<Account>, kind: &str, find: &dyn Fn(&str) -> Found| {
            let account = account.as_ref()?;
            let found = account
                .id()
                .map_or_else(|| find(account.as_str()), |id| Ok(Some(id)));
            match found {
                Ok(Some(id)) => return Some(id),
                Ok(None) => unknown.push(format!("there is no {kind} '{account}'")),
                Err(err) => unknown.push(format!("{kind} '{account}' cannot be looked up: {err}")),
            }
            None
        };
        let user = number(&owner.user, "user", &user_number);
        let group = number(&owner.group, "group", &group_number);
        let default_group = || {
            group_number(DEFAULT_GROUP)
                .ok()
                .flatten()
                .unwrap_or_default()
        };
        let permissions = Permissions {
            user: user.unwrap_or(DEFAULT_USER),
            group: group.unwrap_or_else(default_group),
            mode: owner.mode.map_or(DEFAULT_MODE, NodeMode::bits),
        };
        let told = Told {
            permissions,
            owner: Some(owner.clone()),
            is_known: unknown.is_empty(),
        };
        (told, unknown)
    }

    fn told(&self) -> BTreeMap<DmUuid, Told> {
        let files = fs::read_dir(&self.told).into_iter().flatten().flatten();
        let read = |file: fs::DirEntry| {
            let volume = DmUuid::from_kernel(file.file_name().to_str()?)?;
            let text = fs::read_to_string(file.path()).ok()?;
            // A file that makes no sense is written again.
            let told = parse(&text).unwrap_or(Told {
                permissions: Permissions {
                    user: 0,
                    group: 0,
                    mode: 0,
                },
                owner: None,
                is_known: false,
            });
            Some((volume, told))
        };
        files.filter_map(read).collect()
    }

    fn tell(&self, volume: &DmUuid, what: Option<&Told>) -> Result<()> {
        let path = self.told.join(volume.as_str());
        let done = match what {
            Some(told) => {
                make_private_dir(&self.told).and_then(|()| write(&self.told, &path, &render(told)))
            }
            None => fs::remove_file(&path).or_else(unless_missing),
        };
        done.map_err(|err| Error::io(format!("cannot write '{}'", path.display()), &err))
    }

    fn permissions(&self, device: &DmDevice) -> Option<Permissions> {
        let about = fs::metadata(self.node(device)?).ok()?;
        Some(Permissions {
            user: about.uid(),
            group: about.gid(),
            mode: u16::try_from(about.mode() & 0o777).unwrap_or_default(),
        })
    }

    fn set(&self, device: &DmDevice, permissions: Permissions) -> Result<()> {
        let Permissions { user, group, mode } = permissions;
        let Some(path) = self.node(device) else {
            return Ok(());
        };
        // First the owner: the bits that a former owner had are not given to the new one.
        let done = chown(&path, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))
            .map_err(io::Error::from)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode.into())));
        done.map_err(|err| {
            Error::io(
                format!("cannot change the owner of '{}'", path.display()),
                &err,
            )
        })
    }

    fn process_again(&self, device: &DmDevice) {
        if cookie::udev_running() {
            // Without it the rule is read with the next event.
            let _ = fs::write(format!("/sys/dev/block/{}/uevent", device.dev), "change");
        }
    }
}

/// The number of a user or a group, if there is one of that name, or why that is not known.
type Found = std::result::Result<Option<u32>, String>;

fn user_number(name: &str) -> Found {
    look_up("user", name, &|name| {
        Ok(User::from_name(name)?.map(|user| user.uid.as_raw()))
    })
}

fn group_number(name: &str) -> Found {
    look_up("group", name, &|name| {
        Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()))
    })
}

/// How long a lookup of a name may take: it may ask a server, and that may lie on the very volume.
const PATIENCE: Duration = Duration::from_secs(3);

/// The names that were looked up, each once: thousands of volumes can have the same owner.
static LOOKED_UP: Mutex<BTreeMap<(&'static str, String), Found>> = Mutex::new(BTreeMap::new());

/// Looks a name up in a child, with a deadline. Once one was not answered in time, no other is looked
/// up by this process.
fn look_up(
    kind: &'static str,
    name: &str,
    ask: &dyn Fn(&str) -> nix::Result<Option<u32>>,
) -> Found {
    let mut known = LOOKED_UP.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (kind, name.to_owned());
    if let Some(found) = known.get(&key) {
        return found.clone();
    }
    let found = if known.values().any(|found| *found == late(PATIENCE)) {
        late(PATIENCE)
    } else {
        ask_within(PATIENCE, &|| ask(name))
    };
    known.insert(key, found.clone());
    found
}

fn late(patience: Duration) -> Found {
    Err(format!("no answer within {} s", patience.as_secs()))
}

/// Asks in a child, which is given up when it has not answered in time.
fn ask_within(patience: Duration, ask: &dyn Fn() -> nix::Result<Option<u32>>) -> Found {
    let tell = |mouth: &mut File| {
        let answer = match ask() {
            Ok(Some(id)) => format!("is {id}"),
            Ok(None) => "none".to_owned(),
            Err(err) => format!("why {err}"),
        };
        let _ = mouth.write_all(answer.as_bytes());
    };
    match fork::hears_by(Instant::now() + patience, tell) {
        Ok(None) => late(patience),
        Ok(Some(heard)) => understood(&String::from_utf8_lossy(&heard)),
        Err(err) => Err(err.to_string()),
    }
}

fn understood(answer: &str) -> Found {
    match answer.split_once(' ') {
        Some(("is", id)) => id.parse().map(Some).map_err(|_| answer.to_owned()),
        Some(("why", err)) => Err(err.to_owned()),
        _ if answer == "none" => Ok(None),
        _ => Err("the lookup has ended without an answer".to_owned()),
    }
}

/// Writes a file under another name and renames it: the rule never reads a part of it.
fn write(directory: &Path, path: &Path, text: &str) -> io::Result<()> {
    let fresh = directory.join(format!(".{}", std::process::id()));
    fs::write(&fresh, text)?;
    fs::rename(&fresh, path).inspect_err(|_| drop(fs::remove_file(&fresh)))
}

fn unless_missing(err: io::Error) -> io::Result<()> {
    if err.kind() == io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(err)
    }
}

/// The file for udev's rule: properties, and in a comment the recorded owner.
fn render(told: &Told) -> String {
    let Permissions { user, group, mode } = told.permissions;
    let word = |word: Option<String>| word.unwrap_or_else(|| "-".to_owned());
    let recorded = told.owner.as_ref().map(|owner| {
        let user = word(owner.user.as_ref().map(ToString::to_string));
        let group = word(owner.group.as_ref().map(ToString::to_string));
        let mode = word(owner.mode.as_ref().map(ToString::to_string));
        let doubt = if told.is_known { "" } else { " ?" };
        format!("# {user} {group} {mode}{doubt}\n")
    });
    let recorded = recorded.unwrap_or_default();
    format!("{recorded}BREAKOFF_OWNER={user}\nBREAKOFF_GROUP={group}\nBREAKOFF_MODE={mode:04o}\n")
}

/// Reads what [`render`] has written.
fn parse(text: &str) -> Option<Told> {
    let value = |key: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        lines.find_map(|(known, value)| (known == key).then_some(value))
    };
    let permissions = Permissions {
        user: value("BREAKOFF_OWNER")?.parse().ok()?,
        group: value("BREAKOFF_GROUP")?.parse().ok()?,
        mode: u16::from_str_radix(value("BREAKOFF_MODE")?, 8).ok()?,
    };
    let comment = text.lines().find_map(|line| line.strip_prefix("# "));
    let certain = comment.map(|words| words.strip_suffix(" ?").unwrap_or(words));
    Some(Told {
        permissions,
        owner: certain.and_then(recorded),
        is_known: certain == comment,
    })
}

/// The recorded owner in three words.
fn recorded(words: &str) -> Option<NodeOwner> {
    let words: Vec<&str> = words.split(' ').collect();
    let [user, group, mode] = words.try_into().ok()?;
    let account = |word: &str| match word {
        "-" => Some(None),
        word => Account::parse(word).ok().map(Some),
    };
    Some(NodeOwner {
        user: account(user)?,
        group: account(group)?,
        mode: match mode {
            "-" => None,
            mode => Some(NodeMode::parse(mode).ok()?),
        },
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::{GroupId, Role, VolumeId};

    fn owner(user: Option<&str>, group: Option<&str>, mode: Option<u16>) -> NodeOwner {
        let account = |word: Option<&str>| word.map(|word| Account::parse(word).unwrap());
        NodeOwner {
            user: account(user),
            group: account(group),
            mode: mode.and_then(NodeMode::new),
        }
    }

    fn volume(n: u8) -> DmUuid {
        let (group, volume) = (GroupId::from_bytes([1; 16]), VolumeId::from_bytes([n; 16]));
        DmUuid::new(group, volume, &Role::Volume)
    }

    #[test]
    fn a_name_that_nobody_answers_for_is_given_up() {
        let patience = Duration::from_secs(1);
        assert_eq!(ask_within(patience, &|| Ok(Some(29))), Ok(Some(29)));
        assert_eq!(ask_within(patience, &|| Ok(None)), Ok(None));
        let refused = ask_within(patience, &|| Err(nix::Error::EIO));
        assert_eq!(refused, Err("EIO: I/O error".to_owned()));

        let asked = Instant::now();
        let silent = ask_within(patience, &|| loop {
            std::thread::sleep(Duration::from_secs(3600));
        });
        assert_eq!(silent, Err("no answer within 1 s".to_owned()));
        assert!(asked.elapsed() < Duration::from_secs(1800));
    }

    #[test]
    fn what_the_rule_is_told_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let owners = Owners {
            told: dir.path().join("owner"),
            dev: dir.path().to_owned(),
        };
        assert!(owners.told().is_empty());
        let (told, unknown) = owners.resolve(&owner(Some("4711"), Some("root"), Some(0o640)));
        assert_eq!(unknown, Vec::<String>::new());
        let (user, group, mode) = (4711, 0, 0o640);
        assert_eq!(told.permissions, Permissions { user, group, mode });
        owners.tell(&volume(1), Some(&told)).unwrap();
        let path = owners.told.join(volume(1).as_str());
        let text = fs::read_to_string(path).unwrap();
        assert_eq!(
            text,
            "# 4711 root 0640\nBREAKOFF_OWNER=4711\nBREAKOFF_GROUP=0\nBREAKOFF_MODE=0640\n"
        );
        assert_eq!(owners.told(), BTreeMap::from([(volume(1), told)]));

        // Torn or foreign: it is there, and stands for nothing.
        fs::write(owners.told.join(volume(2).as_str()), "BREAKOFF_OWNER=x\n").unwrap();
        fs::write(owners.told.join("README"), "x").unwrap();
        assert_eq!(owners.told()[&volume(2)].owner, None);
        for n in [1, 2, 2] {
            owners.tell(&volume(n), None).unwrap();
        }
        assert!(owners.told().is_empty());
    }

    #[test]
    fn a_name_that_is_not_known_is_named_and_the_default_stands_for_it() {
        let owners = Owners::default();
        let wanted = owner(Some("no-such-user"), Some("no-such-group"), None);
        let (told, unknown) = owners.resolve(&wanted);
        assert_eq!(
            unknown,
            [
                "there is no user 'no-such-user'",
                "there is no group 'no-such-group'"
            ]
        );
        assert_eq!((told.permissions.user, told.permissions.mode), (0, 0o660));
        assert_eq!((&told.owner, told.is_known), (&Some(wanted), false));
        let (default, unknown) = owners.resolve(&NodeOwner::default());
        assert_eq!(default.permissions, told.permissions);
        assert_eq!(default.owner, Some(NodeOwner::default()));
        assert!(unknown.is_empty());
        assert_eq!(parse(&render(&default)), Some(default));
        assert_eq!(parse(&render(&told)), Some(told));
    }
}

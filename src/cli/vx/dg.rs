//! `vxdg`: disk groups.

use super::engine::{Answer, Engine};
use super::{Utility, device, refused};
use crate::advice::{Advised, Hint, Import};
use crate::app::{CloneRequest, Command, GroupLine, Outcome, Query};
use crate::cli::vx::words::{Syntax, Words};
use crate::error::{Error, Kind, Result};
use crate::model::Name;
use crate::plan::refusal::{Groups, Refusal};
use crate::plan::request::{GroupRequest, NamedDevice, Receiver, Request, Selection, What};
use crate::report::vx;
use std::path::PathBuf;

pub(super) const UTILITY: Utility = Utility {
    syntax: Syntax {
        utility: "vxdg",
        valued: "hn",
        flags: "Cfkqstv",
        keyword: true,
    },
    read,
};

/// What is more than one command of the application.
#[derive(Debug, Clone)]
pub enum Job {
    /// `list`: with a heading, or without.
    List {
        /// Whether the columns have a heading.
        heading: bool,
    },
    /// `list DG…`.
    Show(Vec<Name>),
    /// `free`, of these disks, or of all.
    Free {
        /// The media names.
        disks: Vec<Name>,
        /// Whether the columns have a heading.
        heading: bool,
    },
    /// `init`.
    Init(Command, Name),
    /// `import`.
    Import(Command, Name),
    /// `-o useclonedev=on -o updateid import`: the clone gets this name.
    Clone(Command, Name),
    /// `deport`: the groups, none of whose volumes is open.
    Deport(Vec<Name>),
    /// `-k adddisk`: gives records of this group new devices.
    Replace(Name, Vec<(Name, PathBuf)>),
    /// `upgrade`.
    Upgrade(Vec<Name>),
    /// `rmdisk`.
    RemoveDisks(Vec<Name>),
    /// `destroy`.
    Destroy(Vec<Name>),
    /// `listmove`: the disks that go, with what cannot stay behind or not.
    ListMove(Name, What, bool),
}

fn read(words: &mut Words) -> Result<super::Job> {
    let job = match words.keyword()?.as_str() {
        "list" => list(words)?,
        "free" => Job::Free {
            disks: words.names()?,
            heading: !words.flag('q'),
        },
        "init" => init(words)?,
        "adddisk" => return add(words),
        "rmdisk" if words.flag('k') => {
            return Err(Error::usage(
                "'rmdisk -k' is not supported: a disk leaves its group with its record",
            )
            .hint("'vxdg -k adddisk MEDIA=DEVICE' gives the record of a dead disk a new device"));
        }
        "rmdisk" => Job::RemoveDisks(words.some_names("a disk")?),
        "import" => import(words)?,
        "deport" => deport(words)?,
        "destroy" => Job::Destroy(words.some_names("a disk group")?),
        "split" => return hand_over(words, Receiver::New),
        "move" => return hand_over(words, Receiver::Existing),
        "join" => return join(words),
        "listmove" => list_move(words)?,
        "upgrade" => Job::Upgrade(words.some_names("a disk group")?),
        "bootdg" | "defaultdg" => return Ok(super::Job::Say("nodg\n".to_owned())),
        other => return Err(refused(words, other)),
    };
    Ok(super::Job::Dg(job))
}

fn list(words: &mut Words) -> Result<Job> {
    // `-o alldgs` of vxdisk; groups that are not imported are never listed by vxdg.
    let groups = words.names()?;
    if groups.is_empty() {
        let heading = !words.flag('q');
        return Ok(match &words.group {
            Some(group) => Job::Show(vec![group.clone()]),
            None => Job::List { heading },
        });
    }
    words.without_effect("q");
    Ok(Job::Show(groups))
}

/// `split SOURCE NEW OBJECT…`, `move SOURCE TARGET OBJECT…`. What is moved is stopped afterwards.
fn hand_over(words: &mut Words, to: fn(Name) -> Receiver) -> Result<super::Job> {
    let expand = takes_expand(words);
    let source = words.name("a disk group")?;
    let to = to(words.name("the other disk group")?);
    let what = What::These(words.some_names("a disk or a volume")?);
    Ok(super::Job::Do(Command::Group {
        group: source.to_string(),
        request: GroupRequest::HandOver {
            to,
            what,
            expand,
            start: false,
        },
    }))
}

/// `join SOURCE TARGET`.
fn join(words: &mut Words) -> Result<super::Job> {
    takes_expand(words);
    let source = words.name("a disk group")?;
    let target = words.name("the other disk group")?;
    Ok(super::Job::Do(Command::Group {
        group: source.to_string(),
        request: GroupRequest::HandOver {
            to: Receiver::Existing(target),
            what: What::All,
            expand: false,
            start: false,
        },
    }))
}

/// `listmove SOURCE TARGET OBJECT…`. The target is not looked at.
fn list_move(words: &mut Words) -> Result<Job> {
    let expand = takes_expand(words);
    let source = words.name("a disk group")?;
    words.name("the other disk group")?;
    let what = What::These(words.some_names("a disk or a volume")?);
    Ok(Job::ListMove(source, what, expand))
}

/// Takes `-o expand`. All is verified, and nothing overrules that.
fn takes_expand(words: &mut Words) -> bool {
    words.uses("verify");
    words.uses("override");
    words.uses("expand")
}

/// `init DG [MEDIA=]DEVICE…`. Each disk of a group has a copy of the configuration, all groups can
/// be used by machines of every kind, and minor numbers are the kernel's.
fn init(words: &mut Words) -> Result<Job> {
    for without_effect in ["cds", "nconfig", "nlog", "minor", "init"] {
        words.attribute(without_effect);
    }
    refuse_shared(words)?;
    let group = words.name("a disk group")?;
    let disks = devices(words)?;
    let command = Command::Group {
        group: group.to_string(),
        request: GroupRequest::Create {
            disks,
            force: false,
            area: None,
        },
    };
    Ok(Job::Init(command, group))
}

fn refuse_shared(words: &mut Words) -> Result<()> {
    if words.flag('s') {
        return Err(Error::usage(
            "'-s' is not supported: a group belongs to one machine at a time",
        ));
    }
    Ok(())
}

fn add(words: &mut Words) -> Result<super::Job> {
    let replace = words.flag('k');
    // What is on a disk is never overwritten for it: `vxdisksetup -i -f` does that.
    words.without_effect("f");
    let group = group(words)?;
    let disks = devices(words)?;
    if !replace {
        return Ok(super::Job::Do(Command::Group {
            group: group.to_string(),
            request: GroupRequest::Add {
                disks,
                force: false,
            },
        }));
    }
    let with_media = |disk: NamedDevice| match disk.media {
        Some(media) => Ok((media, disk.device)),
        None => Err(Error::usage("'-k adddisk' needs 'MEDIA=DEVICE'")),
    };
    let disks: Result<Vec<(Name, PathBuf)>> = disks.into_iter().map(with_media).collect();
    Ok(super::Job::Dg(Job::Replace(group, disks?)))
}

/// The group of `-g`, which has to be given.
fn group(words: &Words) -> Result<Name> {
    words
        .group
        .clone()
        .ok_or_else(|| Error::usage("a disk group is needed: '-g DG'"))
}

/// Takes `[MEDIA=]DEVICE…`.
fn devices(words: &mut Words) -> Result<Vec<NamedDevice>> {
    let disk = |(media, word): (Option<String>, String)| {
        Ok(NamedDevice {
            media: media.map(|media| Name::parse(&media)).transpose()?,
            device: device(&word),
        })
    };
    let disks: Result<Vec<NamedDevice>> = words.pairs().into_iter().map(disk).collect();
    match disks? {
        none if none.is_empty() => Err(Error::usage("a disk is missing").hint(words.see_help())),
        disks => Ok(disks),
    }
}

fn import(words: &mut Words) -> Result<Job> {
    refuse_shared(words)?;
    if words.uses("clearreserve") {
        return Err(Error::usage("'-o clearreserve' is not supported"));
    }
    let clones = words
        .uses_value("useclonedev")
        .is_some_and(|on| on != "off");
    let clone = match (clones, words.uses("updateid")) {
        (false, false) => false,
        (true, true) => true,
        (true, false) => {
            return Err(Error::usage("'-o useclonedev=on' needs '-o updateid'")
                .hint("a clone always gets identities of its own"));
        }
        (false, true) => {
            return Err(Error::usage("'-o updateid' needs '-o useclonedev=on'"));
        }
    };
    // A group is imported until it is deported. At boot it is started by what the system starts.
    words.without_effect("t");
    // `-C` clears the mark of the machine that has the group, `-f` does without missing disks.
    let (foreign, missing) = (words.flag('C'), words.flag('f'));
    let name = words.value('n').map(|new| Name::parse(&new)).transpose()?;
    let group = words.name("a disk group")?;
    if clone {
        let name = name.unwrap_or_else(|| group.clone());
        let command = Command::Clone {
            group: group.to_string(),
            request: CloneRequest {
                name: name.clone(),
                devices: Vec::new(),
                foreign,
                missing,
            },
        };
        return Ok(Job::Clone(command, name));
    }
    let command = Command::Group {
        group: group.to_string(),
        request: GroupRequest::Import {
            name,
            foreign,
            missing,
        },
    };
    Ok(Job::Import(command, group))
}

fn deport(words: &mut Words) -> Result<Job> {
    for (option, instead) in [
        ('n', "'vxdg -n NEW import' renames a group"),
        (
            'h',
            "'vxdg import' on the other machine takes a deported group over",
        ),
    ] {
        if words.value(option).is_some() {
            return Err(
                Error::usage(format!("'-{option}' is not supported for 'deport'")).hint(instead),
            );
        }
    }
    Ok(Job::Deport(words.some_names("a disk group")?))
}

impl Job {
    pub(super) fn run(&self, engine: &Engine<'_>) -> Result<Answer> {
        match self {
            Job::List { heading } => {
                let (groups, failures) = groups(engine)?;
                let text = vx::groups(&groups, *heading);
                Ok(Answer { text, failures })
            }
            Job::Show(names) => show(engine, names),
            Job::Free { disks, heading } => {
                let (worlds, failures) = engine.worlds()?;
                let of_all = engine.options.group.is_none();
                let text = vx::free(&worlds, disks, of_all, *heading)?;
                Ok(Answer { text, failures })
            }
            Job::Init(command, group) => match standing(engine, group)? {
                Standing::Imported => Err(exists(group)),
                Standing::Elsewhere => Err(is_elsewhere(group)),
                Standing::Unknown => engine.act(command).map(|()| Answer::default()),
            },
            Job::Import(command, group) => match standing(engine, group)? {
                Standing::Imported => Err(exists(group)),
                Standing::Elsewhere | Standing::Unknown => {
                    engine.act(command).map(|()| Answer::default())
                }
            },
            Job::Clone(command, name) => match standing(engine, name)? {
                Standing::Imported => Err(exists(name)),
                Standing::Elsewhere | Standing::Unknown => {
                    engine.act(command).map(|()| Answer::default())
                }
            },
            Job::Deport(groups) => {
                let deported = groups.iter().map(|group| deport_one(engine, group));
                Ok(Answer::silent(deported.filter_map(Result::err).collect()))
            }
            Job::Replace(group, disks) => replace(engine, group, disks),
            // There is one version of the configuration, and it is the newest.
            Job::Upgrade(groups) => {
                let missing = groups.iter().map(|group| require_imported(engine, group));
                Ok(Answer::silent(missing.filter_map(Result::err).collect()))
            }
            Job::RemoveDisks(disks) => remove_disks(engine, disks),
            Job::ListMove(group, what, expand) => list_moved(engine, group, what, *expand),
            Job::Destroy(groups) => {
                let destroyed = groups.iter().map(|group| destroy(engine, group));
                Ok(Answer::silent(destroyed.filter_map(Result::err).collect()))
            }
        }
    }
}

/// Each disk that goes, and its device, all on one line.
fn list_moved(engine: &Engine<'_>, group: &Name, what: &What, expand: bool) -> Result<Answer> {
    let engine = engine.on(group);
    let (outcome, failures) = engine.ask(Query::Together(group.clone(), what.clone()))?;
    let Outcome::Together(together) = outcome else {
        return Ok(Answer::silent(failures));
    };
    if !together.beyond.is_empty() && !expand {
        return Err(Error::from(Refusal::from(Groups::NotClosed {
            group: group.clone(),
            beyond: together.beyond,
        })));
    }
    let (worlds, _) = engine.worlds()?;
    let device = |media: &Name| {
        let world = worlds.first()?;
        let disk = world.group.disk_named(media).ok()?;
        let path = &world.disks.get(&disk.id)?.path;
        Some(path.file_name()?.to_string_lossy().into_owned())
    };
    let pair = |media: &Name| {
        let device = device(media).unwrap_or_else(|| "-".to_owned());
        format!("{media} {device}")
    };
    let pairs: Vec<String> = together.disks.iter().map(pair).collect();
    let text = format!("{}\n", pairs.join(" "));
    Ok(Answer { text, failures })
}

fn groups(engine: &Engine<'_>) -> Result<(Vec<GroupLine>, Vec<Error>)> {
    let (outcome, failures) = engine.ask(Query::Groups)?;
    match outcome {
        Outcome::Groups(lines) => Ok((lines, failures)),
        _ => Ok((Vec::new(), failures)),
    }
}

/// Whether a word names this group.
fn is_called(line: &GroupLine, group: &Name) -> bool {
    line.name == group.as_str() || line.id.to_string() == group.as_str()
}

/// Where a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// On this machine.
    Imported,
    /// Deported, another machine's, or refused.
    Elsewhere,
    /// Nowhere that this machine can see.
    Unknown,
}

pub(super) fn standing(engine: &Engine<'_>, group: &Name) -> Result<Standing> {
    let (lines, _) = groups(engine)?;
    Ok(standing_in(&lines, group))
}

fn standing_in(lines: &[GroupLine], group: &Name) -> Standing {
    let called = || lines.iter().filter(|line| is_called(line, group));
    match called().any(|line| line.state == "imported") {
        true => Standing::Imported,
        false if called().next().is_some() => Standing::Elsewhere,
        false => Standing::Unknown,
    }
}

/// VxVM refuses to make or to import a group that is imported in words that scripts look for.
fn exists(group: &Name) -> Error {
    Error::new(
        Kind::Exists,
        format!("Disk group {group}: Disk group exists and is imported"),
    )
    .on(group)
}

/// A group that is not imported is there, but not as a script takes "exists" to mean.
fn is_elsewhere(group: &Name) -> Error {
    Error::not_ready(format!(
        "Disk group {group}: there is one of this name that is not imported"
    ))
    .on(group)
    .hint(Hint::from(Advised::GroupImport {
        group: group.to_string(),
        how: Import::Plain,
    }))
}

/// Fails unless the group is imported.
fn require_imported(engine: &Engine<'_>, group: &Name) -> Result<()> {
    match standing(engine, group)? {
        Standing::Imported => Ok(()),
        Standing::Elsewhere | Standing::Unknown => Err(no_such_group(group)),
    }
}

/// Shows groups that are imported: whether one is there is what scripts want to know.
fn show(engine: &Engine<'_>, names: &[Name]) -> Result<Answer> {
    let (lines, _) = groups(engine)?;
    let mut answer = Answer::default();
    for name in names {
        if standing_in(&lines, name) != Standing::Imported {
            answer.failures.push(no_such_group(name));
            continue;
        }
        let (outcome, lacking) = engine.ask(Query::Group(name.clone()))?;
        answer.failures.extend(lacking);
        if let Outcome::Group(world, _, fill) = outcome {
            if !answer.text.is_empty() {
                answer.text.push('\n');
            }
            answer.text += &vx::group(&world, fill);
        }
    }
    Ok(answer)
}

pub(super) fn no_such_group(name: &Name) -> Error {
    Error::not_found(format!("Disk group {name}: No such disk group"))
        .on(name)
        .hint("'vxdg list' shows the groups that are imported, 'vxdisk -o alldgs list' all")
}

/// Volumes that nobody has open are stopped; if one is open, none is.
fn deport_one(engine: &Engine<'_>, group: &Name) -> Result<()> {
    require_imported(engine, group)?;
    let engine = engine.on(group);
    let (worlds, _) = engine.worlds()?;
    let volumes = worlds.iter().flat_map(|world| {
        let volumes = world.group.volumes.iter();
        volumes.filter(|volume| world.is_open(volume))
    });
    let open: Vec<String> = volumes.map(|volume| format!("'{}'", volume.name)).collect();
    if !open.is_empty() {
        return Err(Error::in_use(format!(
            "Disk group {group}: Some volumes in the disk group are in use: {}",
            open.join(", ")
        ))
        .on(group));
    }
    engine.act(&Command::Change(Request::Stop(Selection::All)))?;
    engine.act(&Command::Group {
        group: group.to_string(),
        request: GroupRequest::Deport,
    })
}

/// A record gets a new device only when it has lost its own.
fn replace(engine: &Engine<'_>, group: &Name, disks: &[(Name, PathBuf)]) -> Result<Answer> {
    let (worlds, _) = engine.worlds()?;
    let world = worlds.first().ok_or_else(|| no_such_group(group))?;
    let mut failures = Vec::new();
    for (media, device) in disks {
        let disk = world.group.disk_named(media)?.id;
        let replaced = match world.disks.get(&disk) {
            None => engine.act(&Command::Group {
                group: group.to_string(),
                request: GroupRequest::ReplaceDisk {
                    media: media.clone(),
                    device: device.clone(),
                    force: false,
                },
            }),
            Some(here) => Err(Error::in_use(format!(
                "Disk {media}: its device is here: {}",
                here.path.display()
            ))
            .on(world.group.path(media))
            .hint(Hint::from(Advised::GroupRemoveDisk).and(" takes a disk out that is here"))),
        };
        failures.extend(replaced.err());
    }
    Ok(Answer::silent(failures))
}

fn destroy(engine: &Engine<'_>, group: &Name) -> Result<()> {
    let (outcome, _) = engine.ask(Query::Group(group.clone()))?;
    let disks: Vec<PathBuf> = match &outcome {
        Outcome::Group(world, ..) => world.disks.values().map(|disk| disk.path.clone()).collect(),
        _ => Vec::new(),
    };
    engine.act(&Command::Group {
        group: group.to_string(),
        request: GroupRequest::Destroy,
    })?;
    stay_set_up(engine, disks);
    Ok(())
}

/// What has left its group is a disk of VxVM still, until `vxdiskunsetup` says otherwise; here its
/// label is erased at first.
fn stay_set_up(engine: &Engine<'_>, devices: Vec<PathBuf>) {
    if devices.is_empty() {
        return;
    }
    let initialised = engine.act(&Command::DiskInit {
        devices,
        force: false,
        area: None,
    });
    if let Err(error) = initialised {
        let ui = engine.env.ui;
        ui.warn(&format!("'vxdisksetup -i' would set it up again: {error}"));
    }
}

fn remove_disks(engine: &Engine<'_>, disks: &[Name]) -> Result<Answer> {
    let first = disks.first().map(Name::as_str).unwrap_or_default();
    let world = engine.world_of(first, |world| {
        world
            .group
            .disks
            .iter()
            .any(|disk| disk.media.as_str() == first)
    })?;
    let group = world.group.name.to_string();
    let mut left = world.group.disks.len();
    let mut failures = Vec::new();
    for media in disks {
        let disk = world.group.disk_named(media)?.id;
        let removed = if left > 1 {
            engine.act(&Command::Group {
                group: group.clone(),
                request: GroupRequest::RemoveDisk(media.clone()),
            })
        } else {
            Err(Error::not_ready(format!(
                "Disk {media}: Cannot remove last disk in disk group '{group}'"
            ))
            .on(world.group.path(media))
            .hint(format!("'vxdg destroy {group}' destroys the group")))
        };
        if removed.is_ok() {
            left -= 1;
            let device = world.disks.get(&disk).map(|disk| disk.path.clone());
            stay_set_up(engine, device.into_iter().collect());
        }
        failures.extend(removed.err());
    }
    Ok(Answer::silent(failures))
}

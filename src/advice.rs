//! What to do next, as data: text, and in it command lines that are put into words by whoever
//! prints them. The same advice is `breakoff -g g snapwait v` to one administrator and
//! `vxassist -g g snapwait v` to another, who typed VxVM's word.
//!
//! Names are plain text: this is beneath `model`, whose errors advise, too.

/// What to do next, in one line. Made of its first part, and added to:
/// `Hint::from("wait with ").line(Advised::SnapWait(of))`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint(Vec<Part>);

/// A piece of a hint.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// As it is, whoever reads it.
    Text(String),
    /// A command line.
    Line(Advised),
    /// How something is said within a command line that was typed.
    Choice(Choice),
}

/// Which object a command line is for. What is `None` is not said: the line is then only the name
/// of a verb, for an object that is known from the message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Of {
    /// The group, as `-g` takes it.
    pub group: Option<String>,
    /// The volume or plex.
    pub name: Option<String>,
}

impl Of {
    /// A volume or plex of a group.
    pub fn both(group: impl ToString, name: impl ToString) -> Of {
        Of {
            group: Some(group.to_string()),
            name: Some(name.to_string()),
        }
    }

    /// A whole group.
    pub fn group(group: impl ToString) -> Of {
        Of {
            group: Some(group.to_string()),
            name: None,
        }
    }

    /// An object whose name tells the group, too.
    pub fn name(name: impl ToString) -> Of {
        Of {
            group: None,
            name: Some(name.to_string()),
        }
    }

    /// The verb alone is named.
    pub fn verb() -> Of {
        Of::default()
    }
}

/// A command line that is advised, by what it does. Words of the native front end name the variants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advised {
    /// `make` with sectors of so many bytes.
    Make {
        /// 512 or 4096.
        sector_size: u32,
    },
    /// `remove` a volume.
    Remove(Of),
    /// `mirror`: one more data plex.
    Mirror {
        /// Of which volume.
        of: Of,
        /// A disk, by media name, that it must not lie on.
        avoid: Option<String>,
    },
    /// `start` a volume.
    Start {
        /// Which.
        of: Of,
        /// Although what was written last is not here.
        force: bool,
    },
    /// `stop` a volume.
    Stop(Of),
    /// `print` a group, or a volume of it.
    Print(Of),
    /// `snapstart`: a new snapshot leg.
    SnapStart(Of),
    /// `snapwait`: until the legs of a volume are complete.
    SnapWait(Of),
    /// `snapshot`: a leg is split off.
    Snapshot {
        /// From which volume.
        of: Of,
        /// This leg, by the name of its plex.
        plex: Option<String>,
    },
    /// `snapabort`: legs are given up.
    SnapAbort(Of),
    /// `snapclear`: the relation of a snapshot ends.
    SnapClear {
        /// The snapshot, or the original.
        of: Of,
        /// All relations of an original.
        all: bool,
    },
    /// `snapprint`: the relations of a group.
    SnapPrint(Of),
    /// `plex convert --to active`: a snapshot leg becomes a data plex.
    ToActive(Of),
    /// `plex convert --to snapdone`: a data plex becomes a snapshot leg.
    ToSnapDone(Of),
    /// `plex remove`.
    PlexRemove(Of),
    /// `group show`.
    GroupShow {
        /// Its name.
        group: String,
    },
    /// `group add` with a device that the reader chooses.
    GroupAdd {
        /// Its name.
        group: Option<String>,
    },
    /// `group destroy`.
    GroupDestroy {
        /// Its name.
        group: String,
    },
    /// `group import --force`: goes on without the disks that are missing.
    GroupImport {
        /// Its name or UUID.
        group: String,
    },
    /// `group replace-disk` with a device that the reader chooses.
    GroupReplaceDisk {
        /// The group's name.
        group: String,
        /// The media name of the disk that goes.
        disk: String,
    },
    /// `disk init --force`: what was on them is not needed any more.
    DiskInit {
        /// Paths of devices.
        devices: Vec<String>,
    },
}

/// How to say something that the front ends have different words for, in the command line that was
/// refused. It reads on in a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The disks that may be used are named.
    NamedDisks,
    /// A mirror without a dirty region log.
    WithoutLog,
    /// A volume is removed with its snapshot legs, and without its snapshots.
    Recursive,
}

/// The words of a front end.
pub trait Language {
    /// A command line, without quotes.
    fn line(&self, advised: &Advised) -> String;

    /// Words within one.
    fn choice(&self, choice: Choice) -> String;
}

impl Hint {
    /// Adds text.
    #[must_use]
    pub fn and(mut self, text: impl Into<String>) -> Hint {
        self.0.push(Part::Text(text.into()));
        self
    }

    /// Adds a command line.
    #[must_use]
    pub fn line(mut self, advised: Advised) -> Hint {
        self.0.push(Part::Line(advised));
        self
    }

    /// Adds words for something within the line that was typed.
    #[must_use]
    pub fn choice(mut self, choice: Choice) -> Hint {
        self.0.push(Part::Choice(choice));
        self
    }

    /// The hint in words; command lines are in single quotes.
    pub fn text(&self, language: &dyn Language) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Line(advised) => format!("'{}'", language.line(advised)),
            Part::Choice(choice) => language.choice(*choice),
        });
        parts.collect()
    }
}

impl From<&str> for Hint {
    fn from(text: &str) -> Hint {
        Hint(vec![Part::Text(text.to_owned())])
    }
}

impl From<String> for Hint {
    fn from(text: String) -> Hint {
        Hint(vec![Part::Text(text)])
    }
}

impl From<Advised> for Hint {
    fn from(advised: Advised) -> Hint {
        Hint(vec![Part::Line(advised)])
    }
}

impl From<Choice> for Hint {
    fn from(choice: Choice) -> Hint {
        Hint(vec![Part::Choice(choice)])
    }
}

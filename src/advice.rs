//! Advice on what to do next, as data: text with embedded command lines, which the front end
//! renders in its own language. The same advice is `breakoff -g g snapwait v` from the native front
//! end and `vxassist -g g snapwait v` from the VxVM front end.
//!
//! Names are plain text, because this module lies below `model`, whose errors contain advice too.

/// What to do next, in one line. A hint is created from its first part and extended:
/// `Hint::from("wait with ").line(Advised::SnapWait(of))`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint(Vec<Part>);

/// A piece of a hint.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Text, the same in every front end.
    Text(String),
    /// A command line.
    Line(Advised),
    /// An option or operand to add to the refused command line.
    Choice(Choice),
}

/// The object of an advised command line. A field that is `None` is left out. If both are, the line
/// is only the name of a verb, and the object is known from the message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Of {
    /// The group, in the form that `-g` takes.
    pub group: Option<String>,
    /// The name of the volume or plex.
    pub name: Option<String>,
}

impl Of {
    /// A volume or plex, with its group.
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

    /// An object whose name identifies the group too.
    pub fn name(name: impl ToString) -> Of {
        Of {
            group: None,
            name: Some(name.to_string()),
        }
    }

    /// No object: only the verb is named.
    pub fn verb() -> Of {
        Of::default()
    }
}

/// An advised command line, by its effect. The variants are named after the verbs of the native
/// front end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advised {
    /// `make` with this sector size.
    Make {
        /// The sector size in bytes: 512 or 4096.
        sector_size: u32,
    },
    /// `remove` a volume.
    Remove(Of),
    /// `mirror`: one more data plex.
    Mirror {
        /// The volume that gets the plex.
        of: Of,
        /// The media name of a disk that the plex must not lie on.
        avoid: Option<String>,
    },
    /// `start` a volume.
    Start {
        /// The volume to start.
        of: Of,
        /// Whether to start it even though the data written last is not present.
        force: bool,
    },
    /// `stop` a volume.
    Stop(Of),
    /// `stop --all` of a group, or of all that there are.
    StopAll(Of),
    /// `start --all` of a group.
    StartAll(Of),
    /// `plex attach`: fills a detached or failed data plex again.
    PlexAttach(Of),
    /// `recover`: everything that is to be recorded or repaired on this machine.
    Recover,
    /// `print` a group, or a volume of it.
    Print(Of),
    /// `snapstart`: a new snapshot leg.
    SnapStart(Of),
    /// `snapwait`: waits until the snapshot legs of a volume are complete.
    SnapWait(Of),
    /// `snapshot`: splits a leg off.
    Snapshot {
        /// The volume that the leg is split off.
        of: Of,
        /// The name of the leg's plex, if a particular leg is meant.
        plex: Option<String>,
    },
    /// `snapabort`: removes snapshot legs.
    SnapAbort(Of),
    /// `snapclear`: ends the relation between a snapshot and its original.
    SnapClear {
        /// The snapshot, or the original.
        of: Of,
        /// Whether to end all relations of the original.
        all: bool,
    },
    /// `snapprint`: lists the relations of a group.
    SnapPrint(Of),
    /// `plex convert --to active`: turns a snapshot leg into a data plex.
    ToActive(Of),
    /// `plex convert --to snapdone`: turns a data plex into a snapshot leg.
    ToSnapDone(Of),
    /// `plex remove`: removes a plex and releases its space.
    PlexRemove(Of),
    /// `plex detach`: takes a data plex out of use.
    PlexDetach(Of),
    /// `group list`: lists all groups.
    GroupList,
    /// `group create` with a name and devices that the reader chooses.
    GroupCreate,
    /// `group show`: describes a group.
    GroupShow {
        /// Name of the group.
        group: String,
    },
    /// `group add` with a device that the reader chooses.
    GroupAdd {
        /// Name of the group.
        group: Option<String>,
    },
    /// `group destroy`: destroys a group.
    GroupDestroy {
        /// Name of the group.
        group: String,
    },
    /// `group remove-disk`, as the name of a verb.
    GroupRemoveDisk,
    /// `group import`: takes a group over.
    GroupImport {
        /// Name or UUID of the group.
        group: String,
        /// The terms of the import.
        how: Import,
    },
    /// `group join`: one group gets all that another one has.
    GroupJoin {
        /// The group that goes.
        group: String,
        /// The group that gets its disks.
        to: String,
    },
    /// `group choose`: continues with one side of a group whose disks were changed apart.
    GroupChoose {
        /// Name of the group.
        group: String,
        /// The side, by the short form of its digest.
        side: String,
    },
    /// `group replace-disk` with a device that the reader chooses.
    GroupReplaceDisk {
        /// Name of the group.
        group: String,
        /// The media name of the disk to replace.
        disk: String,
    },
    /// `disk list`: lists all disks.
    DiskList,
    /// `disk init --force`: initialises devices whose contents are no longer needed.
    DiskInit {
        /// The paths of the devices; none if the message names them.
        devices: Vec<String>,
    },
}

/// The terms on which a group is imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Import {
    /// Unconditionally: the group was deported and all of it is here.
    Plain,
    /// Without the disks that are missing.
    Incomplete,
    /// Although another machine has imported it, which is gone for good.
    FromElsewhere,
    /// Under a new name, which the reader chooses.
    Renamed,
    /// Copies of its disks as a group of its own, of this name.
    Cloned(String),
}

/// A change to the refused command line that the front ends express with different words. It is
/// rendered as part of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Name the disks that may be used.
    NamedDisks,
    /// Make a mirror without a dirty region log.
    WithoutLog,
    /// Remove a volume with its snapshot legs, but not its snapshots.
    Recursive,
    /// Give up the disks that are missing.
    Force,
    /// Take a group from the machine that has it.
    TakeOver,
    /// Overwrite what is on a device.
    Wipe,
    /// Have what cannot stay behind go to the other group, too.
    Expand,
}

/// How a front end renders advice.
pub trait Language {
    /// Renders a command line, without quotes.
    fn line(&self, advised: &Advised) -> String;

    /// Renders a change to a command line, as part of a sentence.
    fn choice(&self, choice: Choice) -> String;
}

impl Hint {
    /// Appends text.
    #[must_use]
    pub fn and(mut self, text: impl Into<String>) -> Hint {
        self.0.push(Part::Text(text.into()));
        self
    }

    /// Appends a command line.
    #[must_use]
    pub fn line(mut self, advised: Advised) -> Hint {
        self.0.push(Part::Line(advised));
        self
    }

    /// Appends a change to the command line that was refused.
    #[must_use]
    pub fn choice(mut self, choice: Choice) -> Hint {
        self.0.push(Part::Choice(choice));
        self
    }

    /// The hint as text, in the language of a front end. Command lines are in single quotes.
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

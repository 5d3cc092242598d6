//! What each argument names, and which of the names that there are fit it: shells complete them.
//!
//! Most arguments say it by the name of their value (`VOL`, `SNAP`, `PLEX`, `MEDIA`, `GROUP`). One
//! that takes only some of these, or a name that is new, says so in its definition:
//! `#[arg(add = Names::New)]`. Nothing here asks the machine.

use super::parser;
use crate::app::names::{DiskName, GroupNames, Part, PlexName, Standing, VolumeNames};
use clap::builder::{ArgExt, StyledStr};
use clap::{Arg, ArgMatches, Command};
use clap_complete::{ArgValueCandidates, CompletionCandidate};
use std::ffi::OsString;
use std::sync::{Arc, OnceLock};

/// What an argument names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Something that does not exist yet.
    New,
    /// A group of this machine.
    Group,
    /// Any group.
    AnyGroup,
    /// A group that this machine does not have.
    GroupElsewhere,
    /// A group that is refused.
    GroupRefused,
    /// A disk, by its media name.
    Media,
    /// A volume or a snapshot.
    Volume,
    /// A volume, or a disk by its media name.
    VolumeOrMedia,
    /// A volume with snapshot legs, complete or not.
    VolumeWithLeg,
    /// A volume with a dirty region log.
    VolumeWithLog,
    /// A mirror without one.
    VolumeWithoutLog,
    /// A group of this machine, or a volume.
    GroupOrVolume,
    /// A snapshot or a volume that has snapshots.
    Related,
    /// A snapshot.
    Snapshot,
    /// A plex.
    Plex,
    /// A complete data plex.
    DataPlex,
    /// A plex that was detached or has failed.
    DetachedPlex,
    /// A plex that is being filled, also a snapshot leg.
    FillingPlex,
    /// A complete snapshot leg.
    Leg,
    /// A complete plex, data plex or leg.
    CompletePlex,
}

impl ArgExt for Names {}

impl Names {
    /// What an argument names: as its definition says, or by the name of its value. `None` for
    /// sizes, devices and the like.
    pub fn of(arg: &Arg) -> Option<Names> {
        let by_value = || match arg.get_value_names()?.first()?.as_str() {
            "VOL" => Some(Names::Volume),
            "SNAP" => Some(Names::Snapshot),
            "PLEX" => Some(Names::Plex),
            "MEDIA" => Some(Names::Media),
            "GROUP" => Some(Names::Group),
            "NEW" => Some(Names::New),
            _ => None,
        };
        arg.get::<Names>().copied().or_else(by_value)
    }

    fn is_of_group(self) -> bool {
        matches!(
            self,
            Names::Group | Names::AnyGroup | Names::GroupElsewhere | Names::GroupRefused
        )
    }

    fn fits_group(self, group: &GroupNames) -> bool {
        match self {
            Names::Group => group.standing == Standing::Own,
            Names::GroupElsewhere => group.standing == Standing::Elsewhere,
            Names::GroupRefused => group.standing == Standing::Refused,
            Names::AnyGroup => true,
            _ => false,
        }
    }

    fn fits_volume(self, volume: &VolumeNames) -> bool {
        let has = |part: Part| volume.plexes.iter().any(|plex| plex.part == part);
        let data = || volume.plexes.iter().filter(|plex| plex.part == Part::Data);
        match self {
            Names::Volume => true,
            Names::VolumeWithLeg => has(Part::Leg) || has(Part::FillingLeg),
            Names::VolumeWithLog => volume.has_log,
            Names::VolumeWithoutLog => !volume.has_log && data().count() > 1,
            Names::Related => volume.original.is_some() || volume.has_snapshots,
            Names::Snapshot => volume.original.is_some(),
            _ => false,
        }
    }

    fn fits_plex(self, plex: &PlexName) -> bool {
        match self {
            Names::Plex => true,
            Names::DataPlex => plex.part == Part::Data,
            Names::DetachedPlex => plex.part == Part::Detached,
            Names::FillingPlex => matches!(plex.part, Part::Filling | Part::FillingLeg),
            Names::Leg => plex.part == Part::Leg,
            Names::CompletePlex => matches!(plex.part, Part::Data | Part::Leg),
            _ => false,
        }
    }
}

/// What has been typed besides the word that is to be completed.
#[derive(Debug, Default)]
struct Typed {
    groups: Vec<String>,
    /// Volumes and plexes.
    objects: Vec<String>,
    media: Vec<String>,
    /// What stands before the last comma of the word itself.
    listed: Vec<String>,
}

impl Typed {
    /// Understands as much as can be of a command line without its word at `at`.
    fn read(words: &[OsString], at: usize) -> Typed {
        let others = words.iter().enumerate().filter(|(place, _)| *place != at);
        let parsed = parser()
            .ignore_errors(true)
            .try_get_matches_from(others.map(|(_, word)| word));
        let word = words.get(at).and_then(|word| word.to_str());
        let value = word.map(|word| word.split_once('=').map_or(word, |(_, value)| value));
        let before = value.and_then(|value| value.rsplit_once(','));
        let listed = before.map_or("", |(before, _)| before).split(',');
        let mut typed = Typed {
            listed: listed.map(str::to_owned).collect(),
            ..Typed::default()
        };
        if let Ok(matches) = parsed {
            typed.add(&parser(), &matches);
        }
        typed
    }

    fn add(&mut self, command: &Command, matches: &ArgMatches) {
        for arg in command.get_arguments() {
            let Some(kind) = Names::of(arg) else { continue };
            let values = matches.try_get_raw(arg.get_id().as_str()).ok().flatten();
            let values = values
                .into_iter()
                .flatten()
                .filter_map(|word| word.to_str());
            let place = match kind {
                Names::New => continue,
                Names::Media => &mut self.media,
                kind if kind.is_of_group() => &mut self.groups,
                _ => &mut self.objects,
            };
            place.extend(values.map(str::to_owned));
        }
        if let Some((verb, inner)) = matches.subcommand()
            && let Some(command) = command.find_subcommand(verb)
        {
            self.add(command, inner);
        }
    }

    /// Whether a name is in a list of what was typed, or in the word itself.
    fn is_among(&self, list: &[String], name: &String) -> bool {
        list.contains(name) || self.listed.contains(name)
    }

    /// The groups that may be meant: those that were named; else those that hold everything that
    /// was named, this machine's before others.
    fn groups<'n>(&self, all: &'n [GroupNames]) -> Vec<&'n GroupNames> {
        let named: Vec<&GroupNames> = all
            .iter()
            .filter(|group| self.groups.contains(&group.name))
            .collect();
        if !self.groups.is_empty() {
            return named;
        }
        let holds = |group: &&GroupNames| self.objects.iter().all(|object| has(group, object));
        let is_own = |group: &&GroupNames| group.standing == Standing::Own;
        let holding: Vec<&GroupNames> = all.iter().filter(holds).collect();
        let own: Vec<&GroupNames> = holding.iter().copied().filter(is_own).collect();
        if own.is_empty() { holding } else { own }
    }
}

/// Whether a volume or a plex of the group has this name.
fn has(group: &GroupNames, object: &str) -> bool {
    let is_it = |volume: &VolumeNames| {
        volume.name == object || volume.plexes.iter().any(|plex| plex.name == object)
    };
    group.volumes.iter().any(is_it)
}

/// What fits an argument of this kind beside what was typed.
fn fitting(kind: Names, typed: &Typed, all: &[GroupNames]) -> Vec<CompletionCandidate> {
    let either = match kind {
        Names::GroupOrVolume => Some([Names::Group, Names::Volume]),
        Names::VolumeOrMedia => Some([Names::Volume, Names::Media]),
        _ => None,
    };
    if let Some(either) = either {
        let either = either.into_iter();
        return either.flat_map(|kind| fitting(kind, typed, all)).collect();
    }
    if kind.is_of_group() {
        let groups = all.iter().filter(|group| kind.fits_group(group));
        return groups
            .map(|group| candidate(&group.name, summary(group)))
            .collect();
    }
    let groups = typed.groups(all);
    let within = |text: String, group: &GroupNames| match groups.len() {
        1 => text,
        _ => format!("{text}, in {}", group.name),
    };
    let mut found = Vec::new();
    for group in &groups {
        if kind == Names::Media {
            let disks = group
                .disks
                .iter()
                .filter(|disk| !typed.is_among(&typed.media, &disk.media));
            found.extend(disks.map(|DiskName { media, size }| {
                candidate(media, within(format!("disk, {size}"), group))
            }));
        }
        for volume in &group.volumes {
            if kind.fits_volume(volume) && !typed.is_among(&typed.objects, &volume.name) {
                found.push(candidate(&volume.name, within(described(volume), group)));
            }
            let plexes = volume
                .plexes
                .iter()
                .filter(|plex| kind.fits_plex(plex) && !typed.is_among(&typed.objects, &plex.name));
            found.extend(plexes.map(|PlexName { name, state, .. }| {
                candidate(name, within(format!("{state}, of {}", volume.name), group))
            }));
        }
    }
    found
}

fn candidate(name: &str, help: String) -> CompletionCandidate {
    CompletionCandidate::new(name).help(Some(StyledStr::from(help)))
}

fn summary(group: &GroupNames) -> String {
    match group.standing {
        Standing::Refused => "refused".to_owned(),
        Standing::Own | Standing::Elsewhere => {
            let (disks, volumes) = (group.disks.len(), group.volumes.len());
            format!("disks: {disks}, volumes: {volumes}")
        }
    }
}

fn described(volume: &VolumeNames) -> String {
    let size = &volume.size;
    match volume.original.as_deref() {
        None => format!("volume, {size}"),
        Some("") => format!("snapshot, {size}"),
        Some(original) => format!("snapshot of {original}, {size}"),
    }
}

/// The words of a value whose name lists them, such as `on|off`.
fn listed(arg: &Arg) -> Option<Vec<String>> {
    let name = arg.get_value_names()?.first()?;
    let words: Vec<String> = name.split('|').map(str::to_owned).collect();
    let is_word = |word: &String| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
    (words.len() > 1 && words.iter().all(is_word)).then_some(words)
}

/// The parser with what shells need to complete the word at `at` of a command line. `source` is
/// asked for the names that there are once at most, and only if one is needed. Options are offered
/// where one is begun, or where nothing else can follow.
pub fn completing(
    words: &[OsString],
    at: usize,
    source: impl Fn() -> Vec<GroupNames> + Send + Sync + 'static,
) -> Command {
    let typed = Arc::new(Typed::read(words, at));
    let (source, names) = (Arc::new(source), Arc::new(OnceLock::new()));
    let is_option = (words.get(at)).is_some_and(|word| word.as_encoded_bytes().starts_with(b"-"));
    let with_names = |arg: Arg| match (Names::of(&arg), listed(&arg)) {
        (None, Some(words)) => {
            let all = move || words.iter().map(CompletionCandidate::new).collect();
            arg.add(ArgValueCandidates::new(all))
        }
        (None, None) => arg,
        (Some(Names::New), _) => arg.add(ArgValueCandidates::new(Vec::new)),
        (Some(kind), _) => {
            let (typed, source, names) = (typed.clone(), source.clone(), names.clone());
            arg.add(ArgValueCandidates::new(move || {
                fitting(kind, &typed, names.get_or_init(|| source()))
            }))
        }
    };
    let offering = |arg: Arg| {
        let is_hidden = arg.is_hide_set() || !(is_option || arg.is_positional());
        with_names(arg).hide(is_hidden)
    };
    changed(parser(), &|command| {
        command
            .mut_args(&offering)
            .disable_help_flag(!is_option)
            .disable_version_flag(!is_option)
    })
}

/// The command and all below it, changed in the same way.
fn changed(command: Command, change: &dyn Fn(Command) -> Command) -> Command {
    change(command).mut_subcommands(|inner| changed(inner, change))
}

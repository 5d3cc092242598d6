//! Chooses the configuration of a group from the copies on all its disks. Pure: labels in, one
//! configuration or a refusal out.
//!
//! The configuration that knows all others wins ([`super::history`]). Configurations of earlier
//! versions do not say what they follow; of these the newest generation wins. Nothing is ever
//! guessed from a clock or from a count of disks.

use super::history::{Digest, History, Lineage, Stamp};
use super::layout::GENERATION_MAX;
use super::record::{self, Configuration};
use super::sound;
use super::store::{Copy, Label};
use super::witness::Sighting;
use crate::advice::{Advised, Hint, Import};
use crate::error::{Error, Kind, Result};
use crate::model::{Disk, DiskId, Generation, Group, GroupId, Handover, Volume};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The configuration of a group, and which of the disks that were read belong to it.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The configuration that was chosen.
    pub group: Group,
    /// The generation of this configuration.
    pub generation: Generation,
    /// The generation for the next commit: newer than any on any of the disks, readable or not.
    pub next: Generation,
    /// The disks of the configuration that are present, each with its index in the argument of
    /// [`choose`].
    pub present: Vec<(DiskId, usize)>,
    /// The disks of the configuration that are not present.
    pub missing: Vec<DiskId>,
    /// Disks that are present, but whose newest good copy is older. The next commit writes them
    /// again.
    pub outdated: Vec<DiskId>,
    /// Disks that name this group but are not in its configuration, because they were removed while
    /// they were away. They are never written to.
    pub strangers: Vec<DiskId>,
    /// Disks that another group has handed over to this one, which no disk of this group has
    /// recorded yet.
    pub newcomers: Vec<DiskId>,
    /// Disks that are present and were changed independently of this configuration, which the
    /// administrator chose. What they hold is given up.
    pub parted: Vec<DiskId>,
    /// The configuration with its history.
    pub whole: Configuration,
    /// What the next commit has to record about earlier configurations.
    pub lineage: Lineage,
    /// Warnings for an administrator, as text that names the devices.
    pub warnings: Vec<String>,
}

impl Chosen {
    /// Whether all its disks are present and up to date, and nothing about it is remarkable.
    pub fn is_beyond_doubt(&self) -> bool {
        self.missing.is_empty()
            && self.outdated.is_empty()
            && self.strangers.is_empty()
            && self.parted.is_empty()
            && self.warnings.is_empty()
    }
}

/// The groups that the disks name.
pub fn groups(found: &[(String, Label)]) -> BTreeSet<GroupId> {
    found
        .iter()
        .filter_map(|(_, label)| label.group())
        .collect()
}

/// Chooses the configuration of a group from the labels of **all** breakoff disks on this machine,
/// each with its device's name for messages.
///
/// Labels of free disks matter, too: a disk that was being added when the machine went down is in
/// the configuration, but its own label does not show that yet.
///
/// Errors: `NotFound` when no disk names the group; `Unsafe` for a split brain, a disk that is
/// there twice, or when nothing decodes; `Unsupported` when a newer version wrote the newest
/// configuration.
pub fn choose(id: GroupId, found: &[(String, Label)]) -> Result<Chosen> {
    choose_by(id, found, &Guide::default())
}

/// What is known of a group apart from what its disks say.
#[derive(Debug, Clone, Copy, Default)]
pub struct Guide {
    /// The side that the administrator has chosen, for a group that has several.
    pub side: Option<Digest>,
    /// What this machine has seen last, according to its witness.
    pub seen: Option<Sighting>,
}

/// The same as [`choose`], with what is known apart from the labels.
pub fn choose_by(id: GroupId, found: &[(String, Label)], guide: &Guide) -> Result<Chosen> {
    let ours: Vec<Seen<'_>> = Seen::all(found)
        .filter(|seen| seen.label.group() == Some(id))
        .collect();
    if ours.is_empty() {
        return Err(Error::not_found(format!("no disk belongs to a group {id}")));
    }
    refuse_duplicates(&ours)?;
    refuse_newer(&ours)?;
    let mut warnings = warnings_of(&ours);
    let heads = Heads::of(id, &ours, &mut warnings)?;
    let verdict = match heads.all_old() {
        true => {
            let (group, generation) = newest(id, &ours, &mut warnings)?;
            heads.verdict_on(&group, generation)?
        }
        false => heads.verdict(guide)?,
    };
    let whole = verdict.chosen.says.clone();
    let (mut group, generation) = (whole.group.clone(), whole.generation);
    let mut lineage = heads.lineage(&verdict);
    let newcomers = receive(&mut group, &mut lineage, &ours, &mut warnings);
    forget_handovers(&mut group, found);
    if let ([], [given, ..]) = (group.disks.as_slice(), group.handovers.as_slice()) {
        warnings.push(format!(
            "all of group '{}' was handed over to group '{}', which is not here: its disks wait for that",
            group.name, given.to.name
        ));
    }
    let parted = verdict
        .parted
        .iter()
        .flat_map(|side| side.on.iter().map(|seen| seen.label.disk()))
        .collect();
    let next = generation_after(&ours, generation).ok_or_else(|| {
        Error::unsafe_(format!(
            "group '{}' is at the last possible generation",
            group.name
        ))
    })?;
    let (present, missing, outdated, strangers) = Default::default();
    let mut chosen = Chosen {
        group,
        generation,
        next,
        present,
        missing,
        outdated,
        strangers,
        newcomers,
        parted,
        whole,
        lineage,
        warnings,
    };
    chosen.find_disks(found)?;
    chosen.find_strangers(&ours);
    Ok(chosen)
}

/// Adds what other groups have handed over to this one. Returns the disks.
fn receive(
    group: &mut Group,
    lineage: &mut Lineage,
    ours: &[Seen<'_>],
    warnings: &mut Vec<String>,
) -> Vec<DiskId> {
    let mut received = BTreeSet::new();
    let mut newcomers = Vec::new();
    let handed = ours.iter().filter_map(|seen| seen.label.handed.as_ref());
    for handed in handed {
        let given = handed.given.as_ref().filter(|given| !given.begins);
        let Some(given) = given.filter(|given| received.insert(given.id)) else {
            continue;
        };
        if let Err(clash) = given.received_by(group) {
            warnings.push(format!(
                "group '{}' has not taken the disks yet that were handed over to it, because it has a {clash} of its own",
                group.name
            ));
            continue;
        }
        // What had gone from here before is here again.
        let is_here = |id: DiskId| given.to.disk(id).is_some();
        let is_back = |other: &Handover| other.to.disks.iter().any(|disk| is_here(disk.id));
        group.handovers.retain(|other| !is_back(other));
        for (disk, past) in handed.pasts.iter() {
            lineage.receive(*disk, past.clone());
            newcomers.push(*disk);
        }
    }
    newcomers
}

/// Forgets handovers that are complete: all disks are here and have the labels of other groups.
fn forget_handovers(group: &mut Group, found: &[(String, Label)]) {
    let id = group.id;
    let elsewhere: BTreeSet<DiskId> = found
        .iter()
        .filter(|(_, label)| !label.is_handed_over())
        .filter(|(_, label)| label.group().is_some_and(|other| other != id))
        .map(|(_, label)| label.disk())
        .collect();
    group.handovers.retain(|given| {
        let mut disks = given.to.disks.iter();
        !disks.all(|disk| elsewhere.contains(&disk.id))
    });
}

fn warnings_of(labels: &[Seen<'_>]) -> Vec<String> {
    let of = |seen: &Seen<'_>, warning: &String| format!("{}: {warning}", seen.device);
    labels
        .iter()
        .flat_map(|seen| seen.label.warnings().iter().map(move |text| of(seen, text)))
        .collect()
}

/// The first generation that no disk has seen, not even in a commit that failed.
fn generation_after(labels: &[Seen<'_>], chosen: Generation) -> Option<Generation> {
    let highest = labels.iter().map(|seen| seen.label.highest()).max();
    highest
        .unwrap_or(chosen)
        .max(chosen)
        .next()
        .filter(|next| *next <= GENERATION_MAX)
}

/// A label with its device's name and its index in the argument.
#[derive(Clone, Copy)]
struct Seen<'a> {
    index: usize,
    device: &'a str,
    label: &'a Label,
}

impl<'a> Seen<'a> {
    /// The word for its group in advice: the name as far as it can be read, else the UUID.
    fn group(&self) -> String {
        let Some(id) = self.label.group() else {
            return "GROUP".to_owned();
        };
        let mut copies = self.label.copies().iter();
        let known = copies.find_map(|copy| copy.believed(id).ok());
        known.map_or_else(|| id.to_string(), |group| group.name.to_string())
    }

    fn all(found: &'a [(String, Label)]) -> impl Iterator<Item = Seen<'a>> {
        found
            .iter()
            .enumerate()
            .map(|(index, (device, label))| Seen {
                index,
                device,
                label,
            })
    }
}

fn refuse_duplicates(seen: &[Seen<'_>]) -> Result<()> {
    let mut devices: HashMap<DiskId, &str> = HashMap::new();
    for disk in seen {
        if let Some(first) = devices.insert(disk.label.disk(), disk.device) {
            return Err(Error::unsafe_(format!(
                "'{first}' and '{}' are the same disk {}: one is a copy of the other, or both are paths to one device",
                disk.device,
                disk.label.disk()
            ))
            .on(disk.device)
            .hint(
                Hint::from("if it is a copy, disconnect it, or make it a separate disk with ")
                    .line(Advised::DiskInit {
                        devices: vec!["COPY".to_owned()],
                    })
                    .and(
                        ", which gives up its contents; if all disks of the group were copied, ",
                    )
                    .line(Advised::GroupImport {
                        group: disk.group(),
                        how: Import::Cloned("NEW".to_owned()),
                    })
                    .and(
                        " makes a group of its own of the copies; if they are two paths, initialise neither, but let \
                         multipath make one device of them, or remove one",
                    ),
            ));
        }
    }
    Ok(())
}

fn refuse_newer(seen: &[Seen<'_>]) -> Result<()> {
    let newer = seen
        .iter()
        .find_map(|disk| disk.label.written_by_newer().map(|why| (disk.device, why)));
    newer.map_or(Ok(()), |(device, why)| {
        Err(Error::unsupported(format!(
            "a newer version of breakoff wrote the label of '{device}': {why}"
        ))
        .on(device)
        .hint("use that version, or a later one"))
    })
}

/// A configuration that is the newest usable one on one disk or several.
struct Head<'a> {
    stamp: Stamp,
    says: &'a Configuration,
    on: Vec<Seen<'a>>,
}

/// All heads, the newest first.
struct Heads<'a>(Vec<Head<'a>>);

/// The head that is in force, and the heads that it does not know and that are given up for it.
struct Verdict<'h, 'a> {
    chosen: &'h Head<'a>,
    /// Unfinished commits: no caller was told of them.
    unfinished: Vec<&'h Head<'a>>,
    /// The heads of sides that were not chosen.
    parted: Vec<&'h Head<'a>>,
}

impl<'a> Heads<'a> {
    /// Finds the head of each disk. A disk without a usable copy has none.
    fn of(id: GroupId, ours: &[Seen<'a>], warnings: &mut Vec<String>) -> Result<Heads<'a>> {
        let mut heads: Vec<Head<'_>> = Vec::new();
        let mut known: Vec<&Copy> = Vec::new();
        let mut refusals = Vec::new();
        for seen in ours {
            for copy in seen.label.copies() {
                match known.iter().find(|other| other.payload == copy.payload) {
                    Some(same) => copy.says_the_same_as(same),
                    None => known.push(copy),
                }
                let says = match copy.configuration(id) {
                    Ok(says) => says,
                    Err(err) => {
                        refusals.push((*seen, copy.generation(), err));
                        continue;
                    }
                };
                match heads.iter_mut().find(|head| head.stamp == copy.stamp()) {
                    Some(head) => head.on.push(*seen),
                    None => heads.push(Head {
                        stamp: copy.stamp(),
                        says,
                        on: vec![*seen],
                    }),
                }
                break;
            }
        }
        heads.sort_by_key(|head| std::cmp::Reverse(head.stamp));
        let newest = heads.first().map(|head| head.stamp.generation);
        if newest.is_some() && heads.iter().any(|head| head.says.history.is_some()) {
            for (seen, generation, err) in refusals {
                if record::is_newer(&err) && Some(generation) >= newest {
                    return Err(err.context(seen.device).on(seen.device));
                }
                warnings.push(format!(
                    "{}: generation {generation}: {}",
                    seen.device,
                    err.message()
                ));
            }
        }
        Ok(Heads(heads))
    }

    /// Whether no configuration has a history: then only the generation can decide.
    fn all_old(&self) -> bool {
        self.0.iter().all(|head| head.says.history.is_none())
    }

    /// The head that was chosen from the same copies by its generation.
    fn verdict_on(&self, group: &Group, generation: Generation) -> Result<Verdict<'_, 'a>> {
        let chosen = self
            .0
            .iter()
            .find(|head| head.stamp.generation == generation && head.says.group == *group);
        let chosen = chosen.ok_or_else(|| {
            Error::unsafe_(format!(
                "generation {generation} of group '{}' is on no disk",
                group.name
            ))
        })?;
        Ok(Verdict {
            chosen,
            unfinished: Vec::new(),
            parted: Vec::new(),
        })
    }

    fn held(&self, disk: DiskId) -> Option<Stamp> {
        self.0
            .iter()
            .find(|head| head.on.iter().any(|seen| seen.label.disk() == disk))
            .map(|head| head.stamp)
    }

    /// Whether a group that continues with `head` knows everything that the disks of `other` hold.
    fn knows(&self, head: &Head<'_>, other: &Head<'_>) -> bool {
        match (&head.says.history, &other.says.history) {
            (Some(history), _) => other
                .on
                .iter()
                .all(|seen| history.accepts(seen.label.disk(), other.stamp)),
            (None, None) => other.stamp.generation < head.stamp.generation,
            (None, Some(_)) => false,
        }
    }

    fn is_unfinished(&self, other: &Head<'_>, head: &Head<'_>) -> bool {
        let (Some(own), Some(history)) = (&other.says.history, &head.says.history) else {
            return false;
        };
        own.is_unfinished(other.stamp, (history, head.stamp), &|disk| self.held(disk))
    }

    /// The heads that this one does not know: first unfinished commits, then all others.
    fn unknown_to(&self, head: &Head<'a>) -> (Vec<&Head<'a>>, Vec<&Head<'a>>) {
        let others = self
            .0
            .iter()
            .filter(|other| other.stamp != head.stamp && !self.knows(head, other));
        others.partition(|other| self.is_unfinished(other, head))
    }

    /// The side that the administrator has chosen, if any. Otherwise the head that knows all
    /// others, else the newest one that knows all others except unfinished commits. Else the group
    /// is refused.
    fn verdict(&self, guide: &Guide) -> Result<Verdict<'_, 'a>> {
        let all = || self.0.iter().map(move |head| (head, self.unknown_to(head)));
        let sound = || all().filter(|(_, (_, parted))| parted.is_empty());
        let whole = sound().find(|(_, (unfinished, _))| unfinished.is_empty());
        let chosen = match guide.side {
            Some(side) => all().find(|(head, _)| head.stamp.digest == side),
            None => whole.or_else(|| sound().next()),
        };
        let (chosen, (unfinished, parted)) =
            chosen.ok_or_else(|| went_apart(&self.sides(), guide.seen))?;
        Ok(Verdict {
            chosen,
            unfinished,
            parted,
        })
    }

    /// The heads that no other head knows.
    fn sides(&self) -> Vec<Side> {
        let tops = self.0.iter().filter(|head| {
            !self
                .0
                .iter()
                .any(|other| other.stamp != head.stamp && self.knows(other, head))
        });
        let side = |head: &Head<'_>| {
            let mut devices: Vec<String> =
                head.on.iter().map(|seen| seen.device.to_owned()).collect();
            // Disks of the same side that lag behind.
            let behind = self
                .0
                .iter()
                .filter(|other| other.stamp != head.stamp && self.knows(head, other));
            devices.extend(
                behind.flat_map(|other| other.on.iter().map(|seen| seen.device.to_owned())),
            );
            Side {
                stamp: head.stamp,
                devices,
                says: head.says.clone(),
            }
        };
        tops.map(side).collect()
    }

    fn lineage(&self, verdict: &Verdict<'_, 'a>) -> Lineage {
        let chosen = verdict.chosen;
        let dismissed: Vec<(Stamp, &History)> = verdict
            .unfinished
            .iter()
            .chain(&verdict.parted)
            .filter_map(|head| Some((head.stamp, head.says.history.as_ref()?)))
            .collect();
        let given_up = verdict.unfinished.iter().chain(&verdict.parted);
        let strangers: Vec<(DiskId, Stamp)> = given_up
            .flat_map(|head| head.on.iter().map(|seen| (seen.label.disk(), head.stamp)))
            .filter(|(disk, _)| chosen.says.group.disk(*disk).is_none())
            .collect();
        let (group, history) = (&chosen.says.group, chosen.says.history.as_ref());
        Lineage::of(
            group,
            chosen.stamp,
            history,
            &dismissed,
            &|disk| self.held(disk),
            &strangers,
        )
    }
}

/// One side of a group whose disks were changed independently of each other.
#[derive(Debug, Clone)]
pub struct Side {
    /// Generation and digest of its configuration.
    pub stamp: Stamp,
    /// The devices that hold it, or an older one that it knows.
    pub devices: Vec<String>,
    /// The configuration with its history.
    pub says: Configuration,
}

/// The sides of a group: one, unless its disks were changed independently of each other.
pub fn sides(id: GroupId, found: &[(String, Label)]) -> Result<Vec<Side>> {
    let ours: Vec<Seen<'_>> = Seen::all(found)
        .filter(|seen| seen.label.group() == Some(id))
        .collect();
    Heads::of(id, &ours, &mut Vec::new()).map(|heads| heads.sides())
}

/// The refusal of a group that has several sides, with what each one has.
fn went_apart(sides: &[Side], seen: Option<Sighting>) -> Error {
    let name = sides
        .first()
        .map_or_else(String::new, |side| side.says.group.name.to_string());
    let each: Vec<String> = sides
        .iter()
        .map(|side| describe(side, sides, seen))
        .collect();
    let keep = sides
        .first()
        .map_or_else(String::new, |side| side.stamp.digest.short());
    Error::unsafe_(format!(
        "the disks of group '{name}' were changed independently of each other and have {} configurations: {}",
        sides.len(),
        each.join("; ")
    ))
    .on(&name)
    .hint(
        Hint::from("nothing is written until you choose: disconnect the disks of all sides but one to look at it, then ")
            .line(Advised::GroupChoose {
                group: name,
                side: keep,
            })
            .and(" (or another side) goes on with that one and gives up what only the others have"),
    )
}

fn describe(side: &Side, all: &[Side], seen: Option<Sighting>) -> String {
    let group = &side.says.group;
    let elsewhere = |v: &Volume| {
        all.iter()
            .filter(|other| other.stamp != side.stamp)
            .all(|other| other.says.group.volume(v.id).is_some())
    };
    let own: Vec<&str> = group
        .volumes
        .iter()
        .filter(|v| !elsewhere(v))
        .map(|v| v.name.as_str())
        .collect();
    let own = if own.is_empty() {
        "no volume that the others lack".to_owned()
    } else {
        format!("alone has {}", own.join(", "))
    };
    let host = group
        .host
        .map_or_else(|| "deported".to_owned(), |host| format!("machine {host}"));
    let at = side
        .says
        .history
        .as_ref()
        .map_or_else(String::new, |history| {
            format!(" written at {}", history.written_at)
        });
    format!(
        "side {} on {} (generation {}{at}, {host}, {} volumes, {own}{})",
        side.stamp.digest.short(),
        side.devices.join(", "),
        side.stamp.generation,
        group.volumes.len(),
        if seen.is_some_and(|seen| seen.is_of(side.stamp)) {
            "; this machine had it last"
        } else {
            ""
        }
    )
}

/// A copy and the disk that it is on.
type Held<'a> = (Seen<'a>, &'a Copy);

/// The newest configuration that decodes. Every generation is checked for contradictions, not only
/// the one that wins.
fn newest(
    id: GroupId,
    ours: &[Seen<'_>],
    warnings: &mut Vec<String>,
) -> Result<(Group, Generation)> {
    let mut by_generation: BTreeMap<Generation, Vec<Held<'_>>> = BTreeMap::new();
    for seen in ours {
        for copy in seen.label.copies() {
            by_generation
                .entry(copy.generation())
                .or_default()
                .push((*seen, copy));
        }
    }
    let mut chosen = None;
    for (generation, copies) in by_generation.into_iter().rev() {
        let contents = distinct(&copies);
        if chosen.is_none() || contents.len() > 1 {
            let group = agreed(id, generation, &contents, warnings, chosen.is_none())?;
            chosen = chosen.or(group.map(|group| (group, generation)));
        }
    }
    chosen.ok_or_else(|| {
        let devices: Vec<String> = ours
            .iter()
            .map(|seen| format!("'{}'", seen.device))
            .collect();
        Error::unsafe_(format!(
            "no configuration of group {id} on {} can be trusted: {}",
            devices.join(", "),
            warnings.join("; ")
        ))
    })
}

/// Sorts the copies of one generation by content: those with the same bytes together.
fn distinct<'a>(copies: &[Held<'a>]) -> Vec<Vec<Held<'a>>> {
    let mut contents: Vec<Vec<Held<'_>>> = Vec::new();
    for held in copies {
        match contents
            .iter_mut()
            .find(|same| same.iter().all(|(_, copy)| copy.payload == held.1.payload))
        {
            Some(same) => same.push(*held),
            None => contents.push(vec![*held]),
        }
    }
    contents
}

/// The configuration that all copies of a generation agree on; `None` when none of them decodes.
/// Refuses a split brain.
fn agreed(
    id: GroupId,
    generation: Generation,
    contents: &[Vec<Held<'_>>],
    warnings: &mut Vec<String>,
    needed: bool,
) -> Result<Option<Group>> {
    let mut agreed: Option<(&Group, &str)> = None;
    for same in contents {
        let Some((first, _)) = same.first() else {
            continue;
        };
        match (believed(id, same), agreed) {
            (Ok(group), None) => agreed = Some((group, first.device)),
            (Ok(group), Some((other, device))) if group != other => {
                return Err(split_brain(
                    generation,
                    (other, device),
                    (group, first.device),
                ));
            }
            (Ok(_), Some(_)) => {}
            (Err(err), _) if record::is_newer(&err) && needed => {
                return Err(err.context(first.device).on(first.device));
            }
            (Err(err), _) => warnings.push(format!(
                "{}: generation {generation}: {}",
                first.device,
                err.message()
            )),
        }
    }
    Ok(agreed.map(|(group, _)| group.clone()))
}

/// The group that one content describes. Equal bytes are decoded only once; they are believed when
/// the copy on at least one of the disks is believable.
fn believed<'a>(id: GroupId, holders: &[Held<'a>]) -> Result<&'a Group> {
    let mut refusal = sound::refused("it is on no disk");
    for (n, (_, copy)) in holders.iter().enumerate() {
        let belief = copy.believed(id);
        if n == 0 {
            holders
                .iter()
                .for_each(|(_, other)| other.says_the_same_as(copy));
        }
        match belief {
            Ok(group) => return Ok(group),
            Err(err) => refusal = err,
        }
    }
    Err(refusal)
}

fn split_brain(generation: Generation, one: (&Group, &str), other: (&Group, &str)) -> Error {
    let names = if one.0.name == other.0.name {
        format!("'{}'", one.0.name)
    } else {
        format!("'{}' / '{}'", one.0.name, other.0.name)
    };
    Error::unsafe_(format!(
        "group {names} has two configurations: generation {generation} on '{}' ({} volumes) and on '{}' ({} volumes) have different contents",
        one.1,
        one.0.volumes.len(),
        other.1,
        other.0.volumes.len()
    ))
    .on(&one.0.name)
    .hint("its disks were changed independently of each other: disconnect those of the unwanted side and try again")
}

impl Chosen {
    /// Finds the disks of the configuration among all labels.
    fn find_disks(&mut self, found: &[(String, Label)]) -> Result<()> {
        let here: Vec<Seen<'_>> = Seen::all(found)
            .filter(|seen| self.group.disk(seen.label.disk()).is_some())
            .collect();
        refuse_duplicates(&here)?;
        let by_id: HashMap<DiskId, Seen<'_>> = here
            .into_iter()
            .map(|seen| (seen.label.disk(), seen))
            .collect();
        for disk in &self.group.disks {
            match by_id.get(&disk.id) {
                None => self.missing.push(disk.id),
                Some(seen)
                    if seen
                        .label
                        .group()
                        .is_some_and(|other| other != self.group.id) =>
                {
                    self.missing.push(disk.id);
                    self.warnings.push(format!(
                        "{}: disk '{}' of group '{}' is in another group now",
                        seen.device, disk.media, self.group.name
                    ));
                }
                Some(seen) => {
                    refuse_geometry(disk, seen)?;
                    self.present.push((disk.id, seen.index));
                    let generation = seen
                        .label
                        .copies()
                        .iter()
                        .find(|copy| copy.believed(self.group.id).is_ok())
                        .map(Copy::generation);
                    if seen.label.is_handed_over() {
                        self.outdated.push(disk.id);
                    } else if generation < Some(self.generation) {
                        self.outdated.push(disk.id);
                        self.warnings.push(outdated(
                            disk,
                            seen.device,
                            generation,
                            self.generation,
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    fn find_strangers(&mut self, ours: &[Seen<'_>]) {
        for seen in ours
            .iter()
            .filter(|seen| !self.group.is_held_by(seen.label.disk()))
            .filter(|seen| !seen.label.is_handed_over())
        {
            self.strangers.push(seen.label.disk());
            self.warnings.push(format!(
                "{0}: the disk was removed from group '{1}' while it was away; it is not used ('breakoff disk init --force {0}' makes it free)",
                seen.device, self.group.name
            ));
        }
    }
}

fn outdated(disk: &Disk, device: &str, has: Option<Generation>, newest: Generation) -> String {
    let has = has.map_or_else(
        || "no good copy of the configuration".to_owned(),
        |generation| format!("generation {generation}"),
    );
    format!(
        "{device}: disk '{}' has {has}, the group is at {newest}; the next change writes it again",
        disk.media
    )
}

/// Refuses a disk whose space for volumes is somewhere else in the configuration than in the disk's
/// own label: I/O would go to the wrong place.
fn refuse_geometry(disk: &Disk, seen: &Seen<'_>) -> Result<()> {
    let label = seen.label.geometry();
    if disk.data_start == label.data_start() && disk.size <= label.data_size() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Unsafe,
        format!(
            "the configuration and the label of disk '{}' on '{}' divide the disk differently",
            disk.media, seen.device
        ),
    )
    .on(seen.device))
}

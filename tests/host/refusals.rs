//! Every reason to refuse something: its words, for whoever used the native command line and for
//! whoever used `vxassist`.

use crate::cli_support::golden;
use crate::pure::{done, make, name, refused, snapstart, sync, world};
use breakoff::advice::Language;
use breakoff::cli::FrontEnd;
use breakoff::cli::native::hints::Native;
use breakoff::cli::vx::hints::Vx;
use breakoff::error::Error;
use breakoff::model::{
    DevNo, DiskId, DmName, DmUuid, Generation, GroupId, HostId, Name, PlexState, Role, SectorSize,
    Sectors, VolumeId,
};
use breakoff::plan::Refusal;
use breakoff::plan::found::Whose;
use breakoff::plan::refusal::{
    Asked, Bug, Clones, Counted, Devices, Disks, Groups, InGroup, Labels, NoHelp, NotAllThere,
    Plexes, Repeated, Room, Shown, Snapshots, Space, Verb, Volumes,
};
use breakoff::plan::request::{Legs, Request, Split, Splits};
use breakoff::report::text;
use breakoff::table::status::{LegHealth, MirrorStatus};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;

/// Which reasons there are, as numbers. Who adds one adds an example of it, too: this does not
/// compile without.
fn place(refusal: &Refusal) -> usize {
    match refusal {
        Refusal::Asked(why) => match why.as_ref() {
            Asked::Nothing(_) => 0,
            Asked::Twice { .. } => 1,
            Asked::KeptWithoutRestore => 2,
            Asked::RestoredTwice { .. } => 3,
            Asked::ConstantPattern { .. } => 4,
            Asked::PatternUsedUp { .. } => 5,
            Asked::NoVolumes { .. } => 6,
            Asked::Shape { .. } => 7,
            Asked::TooLarge { .. } => 8,
            Asked::Smaller { .. } => 9,
            Asked::PlexOfAnother { .. } => 10,
            Asked::WhichRelation { .. } => 11,
        },
        Refusal::Volume(why) => match why.as_ref() {
            Volumes::NameTaken { .. } => 12,
            Volumes::NameCollides { .. } => 13,
            Volumes::NotStarted { .. } => 14,
            Volumes::Open { .. } => 15,
            Volumes::HasLegs { .. } => 16,
            Volumes::HasSnapshots { .. } => 17,
            Volumes::Tracked { .. } => 18,
            Volumes::SplitWhileUnequal { .. } => 19,
            Volumes::ExchangeWhileUnequal { .. } => 20,
            Volumes::LegsReturning { .. } => 21,
            Volumes::CannotStart { .. } => 22,
            Volumes::SourceMissing { .. } => 23,
            Volumes::DisksMissing { .. } => 24,
            Volumes::HasLog { .. } => 80,
            Volumes::NoMirror { .. } => 81,
        },
        Refusal::Plex(why) => match why.as_ref() {
            Plexes::Returning { .. } => 25,
            Plexes::BeingAttached { .. } => 26,
            Plexes::NotInState { .. } => 27,
            Plexes::DiskMissing { .. } => 28,
            Plexes::NotComplete { .. } => 29,
            Plexes::SnapshotLeg { .. } => 30,
            Plexes::Log { .. } => 31,
            Plexes::LastComplete { .. } => 32,
            Plexes::NotDone { .. } => 33,
            Plexes::NotInSync { .. } => 34,
        },
        Refusal::Snapshot(why) => match why.as_ref() {
            Snapshots::NoOriginal { .. } => 35,
            Snapshots::OriginalGone { .. } => 36,
            Snapshots::OriginalApart { .. } => 104,
            Snapshots::SizesDiffer { .. } => 37,
            Snapshots::TooFewComplete { .. } => 38,
            Snapshots::IsOriginal { .. } => 39,
            Snapshots::NotFrozen { .. } => 40,
            Snapshots::NotEnough { .. } => 41,
            Snapshots::LegsElsewhere { .. } => 42,
            Snapshots::TooFewLegs { .. } => 43,
            Snapshots::NoRelation { .. } => 44,
            Snapshots::Unrelated { .. } => 45,
        },
        Refusal::Disk(why) => match why.as_ref() {
            Disks::Missing { .. } => 46,
            Disks::HoldsVolumes { .. } => 47,
            Disks::Last { .. } => 48,
            Disks::HoldsPlex { .. } => 49,
            Disks::HoldsOnlyPlex { .. } => 50,
            Disks::LossWhileStarted { .. } => 51,
            Disks::LargerSectors { .. } => 52,
            Disks::Unreadable { .. } => 65,
        },
        Refusal::Group(why) => match why.as_ref() {
            Groups::Exists { .. } => 66,
            Groups::NoDisks => 67,
            Groups::SameDevice { .. } => 68,
            Groups::MediaTaken { .. } => 69,
            Groups::Unfit { .. } => 70,
            Groups::Started { .. } => 71,
            Groups::HasVolumes { .. } => 72,
            Groups::ImportedElsewhere { .. } => 73,
            Groups::NameTaken { .. } => 74,
            Groups::GivesUp { .. } => 75,
            Groups::RunsOtherwise { .. } => 76,
            Groups::OneSide { .. } => 77,
            Groups::NoLabel { .. } => 78,
            Groups::Member { .. } => 79,
            Groups::NotClosed { .. } => 98,
            Groups::NoObject { .. } => 99,
            Groups::NothingStays { .. } => 100,
            Groups::Itself { .. } => 101,
            Groups::NoReceiver { .. } => 102,
            Groups::NamesClash { .. } => 103,
        },
        Refusal::Clone(why) => match why.as_ref() {
            Clones::NotACopy { .. } => 82,
            Clones::InUse { .. } => 83,
            Clones::Original { .. } => 84,
            Clones::Twice { .. } => 85,
            Clones::WhichAre { .. } => 86,
            Clones::Unproven { .. } => 87,
            Clones::Incomplete { .. } => 88,
            Clones::Apart { .. } => 89,
            Clones::Begun { .. } => 90,
            Clones::Unfinished { .. } => 91,
        },
        Refusal::Label(why) => match why.as_ref() {
            Labels::Present { .. } => 92,
            Labels::InUse { .. } => 93,
            Labels::NotIt { .. } => 94,
            Labels::Odd { .. } => 95,
            Labels::OnlyCopy { .. } => 96,
            Labels::GoneOn { .. } => 97,
        },
        Refusal::Space(why) => match why.as_ref() {
            Space::NoRoom { .. } => 53,
            Space::NoRoomForMap { .. } => 54,
            Space::TooManyPlexes { .. } => 55,
            Space::NumbersUsedUp { .. } => 56,
            Space::DiskTooSmall { .. } => 57,
        },
        Refusal::Device(why) => match why.as_ref() {
            Devices::NameTaken { .. } => 58,
            Devices::Occupied { .. } => 59,
        },
        Refusal::NotAllThere(_) => 60,
        Refusal::Bug(why) => match why.as_ref() {
            Bug::LostWhilePlanning { .. } => 61,
            Bug::LostWhileRecording => 62,
            Bug::Rule { .. } => 63,
        },
        Refusal::Other(_) => 64,
    }
}
const COUNT: usize = 105;

fn of(word: &str) -> InGroup {
    InGroup::new(&name("g"), &name(word))
}

fn v() -> InGroup {
    of("v")
}

fn names<const N: usize>(words: [&str; N]) -> Vec<Name> {
    words.map(name).to_vec()
}

const ID: VolumeId = VolumeId::from_bytes([7; 16]);

fn asked() -> Vec<Refusal> {
    let twice = |what| Asked::Twice {
        what,
        name: name("v"),
    };
    let pattern = || "same".to_owned();
    let all = [
        Asked::Nothing(Counted::NewLegs),
        Asked::Nothing(Counted::SplitLegs),
        Asked::Nothing(Counted::ReturningPlexes),
        twice(Repeated::Volume),
        twice(Repeated::Snapshot),
        Asked::KeptWithoutRestore,
        Asked::RestoredTwice { original: v() },
        Asked::ConstantPattern { pattern: pattern() },
        Asked::PatternUsedUp { pattern: pattern() },
        Asked::NoVolumes { group: name("g") },
        Asked::Shape { volume: v() },
        Asked::TooLarge { volume: v() },
        Asked::Smaller {
            volume: v(),
            size: Sectors::mib(8),
        },
        Asked::PlexOfAnother {
            plex: name("v-02"),
            volume: v(),
        },
        Asked::WhichRelation {
            original: v(),
            snapshots: names(["s", "t"]),
        },
    ];
    all.map(Refusal::from).to_vec()
}

fn volumes() -> Vec<Refusal> {
    let taken = |by_pattern| Volumes::NameTaken {
        volume: v(),
        by_pattern,
    };
    let start = |lost, leg| Volumes::CannotStart {
        volume: v(),
        lost,
        leg,
    };
    let all = [
        taken(false),
        taken(true),
        Volumes::NameCollides {
            volume: of("v_log"),
            other: name("v"),
        },
        Volumes::NotStarted { volume: v() },
        Volumes::HasLog { volume: v() },
        Volumes::NoMirror { volume: v() },
        Volumes::HasLegs {
            volume: v(),
            legs: names(["v-02", "v-03"]),
        },
        Volumes::HasSnapshots {
            volume: v(),
            snapshots: names(["s", "t"]),
        },
        Volumes::Tracked { volume: v() },
        Volumes::SplitWhileUnequal { volume: v() },
        Volumes::ExchangeWhileUnequal { original: v() },
        Volumes::LegsReturning { volume: v() },
        start(Vec::new(), None),
        start(names(["disk01", "disk02"]), Some(name("v-03"))),
        Volumes::SourceMissing {
            volume: v(),
            source: name("v-01"),
            disk: name("disk01"),
        },
        Volumes::DisksMissing {
            volume: v(),
            disks: names(["disk01", "disk02"]),
        },
    ];
    let open = [
        Verb::Stopped,
        Verb::Removed,
        Verb::BroughtBack,
        Verb::Restored,
    ]
    .map(|verb| Volumes::Open {
        id: ID,
        volume: v(),
        verb,
    });
    all.into_iter().chain(open).map(Refusal::from).collect()
}

fn plexes() -> Vec<Refusal> {
    let plex = || name("v-02");
    let attached = |of_snapshot| Plexes::BeingAttached {
        volume: v(),
        plex: plex(),
        of_snapshot,
    };
    let (alive, dead) = (LegHealth::Alive, LegHealth::WriteFailed);
    let leg = |minor, health| (DevNo { major: 7, minor }, health);
    let status = MirrorStatus {
        legs: vec![leg(1, alive), leg(2, dead)],
        done: 3,
        total: 4,
        log_failed: false,
    };
    let in_sync = |status| Plexes::NotInSync {
        volume: v(),
        leg: plex(),
        status,
    };
    let lies_on = |disk| Plexes::DiskMissing { plex: plex(), disk };
    let mut all = vec![
        Plexes::Returning {
            volume: v(),
            plex: plex(),
        },
        attached(false),
        attached(true),
        lies_on(Some(name("disk01"))),
        lies_on(None),
        Plexes::NotComplete {
            volume: v(),
            plex: plex(),
        },
        Plexes::SnapshotLeg {
            volume: v(),
            plex: plex(),
            state: PlexState::SnapDone,
        },
        Plexes::Log {
            volume: v(),
            log: name("v_log"),
        },
        Plexes::LastComplete {
            volume: v(),
            plex: plex(),
            away: Vec::new(),
        },
        Plexes::LastComplete {
            volume: v(),
            plex: plex(),
            away: vec![Shown::Media(name("disk02"))],
        },
        in_sync(None),
        in_sync(Some(status)),
    ];
    let verbs = [
        Verb::Attached,
        Verb::Converted,
        Verb::Detached,
        Verb::Aborted,
    ];
    all.extend(verbs.map(|verb| Plexes::NotInState {
        volume: v(),
        plex: plex(),
        state: PlexState::SnapAtt,
        verb,
    }));
    let states = [PlexState::SnapAtt, PlexState::Active, PlexState::Stale];
    all.extend(states.map(|state| Plexes::NotDone {
        volume: v(),
        plex: plex(),
        state,
    }));
    all.into_iter().map(Refusal::from).collect()
}

fn snapshots() -> Vec<Refusal> {
    let few = |attaching| Snapshots::NotEnough {
        volume: v(),
        wanted: 2,
        done: 0,
        attaching,
    };
    let all = [
        Snapshots::NoOriginal { volume: v() },
        Snapshots::OriginalApart {
            snapshot: of("s"),
            original: InGroup::new(&name("h"), &name("v")),
        },
        Snapshots::OriginalGone { snapshot: of("s") },
        Snapshots::SizesDiffer {
            snapshot: of("s"),
            size: Sectors::mib(8),
            original: v(),
            original_size: Sectors::mib(9),
        },
        Snapshots::TooFewComplete {
            snapshot: of("s"),
            complete: 1,
            wanted: 2,
        },
        Snapshots::IsOriginal {
            snapshot: of("s"),
            of: names(["t", "u"]),
        },
        Snapshots::NotFrozen {
            volume: v(),
            reason: "swap is on it".to_owned(),
        },
        few(0),
        few(1),
        Snapshots::LegsElsewhere {
            volume: v(),
            wanted: 2,
            there: 1,
            disks: names(["disk01", "disk02"]),
            legs: vec![
                (name("v-02"), vec![Shown::Media(name("disk02"))]),
                (
                    name("v-03"),
                    names(["disk03", "disk04"])
                        .into_iter()
                        .map(Shown::Media)
                        .collect(),
                ),
            ],
        },
        Snapshots::TooFewLegs {
            volume: v(),
            legs: 1,
            wanted: 2,
        },
        Snapshots::NoRelation { volume: v() },
        Snapshots::Unrelated {
            volume: v(),
            peer: of("s"),
        },
    ];
    all.map(Refusal::from).to_vec()
}

fn disks() -> Vec<Refusal> {
    let disk = || of("disk01");
    let holds = |another| Disks::HoldsPlex {
        disk: disk(),
        plex: name("v-02"),
        volume: v(),
        another,
    };
    let larger = |disk, by_contents| Disks::LargerSectors {
        volume: v(),
        disk,
        sectors: SectorSize::LARGEST,
        limit: SectorSize::SMALLEST,
        by_contents,
    };
    let all = [
        Disks::Missing {
            disk: name("disk01"),
        },
        Disks::Unreadable { disk: disk() },
        Disks::HoldsVolumes {
            disk: disk(),
            volumes: names(["v", "w"]),
        },
        Disks::Last { disk: disk() },
        holds(true),
        holds(false),
        Disks::HoldsOnlyPlex {
            disk: name("disk01"),
            volume: v(),
        },
        Disks::LossWhileStarted {
            disk: name("disk01"),
            volume: v(),
        },
        larger(Shown::Media(name("disk01")), false),
        larger(Shown::Device("/dev/sdb".into()), true),
        larger(Shown::Id(DiskId::from_bytes([1; 16])), false),
    ];
    all.map(Refusal::from).to_vec()
}

fn groups() -> Vec<Refusal> {
    let group = || name("g");
    let same = |other: &str| Groups::SameDevice {
        one: "/dev/sdb".into(),
        other: other.into(),
    };
    let unfit = |objections: &[&str], forcible| Groups::Unfit {
        device: "/dev/sdb".into(),
        objections: objections.iter().map(|text| (*text).to_owned()).collect(),
        forcible,
    };
    let member = |whose| Groups::Member {
        device: "/dev/sdb".into(),
        group: group(),
        media: name("disk01"),
        whose,
    };
    let all = [
        Groups::NoLabel {
            device: "/dev/sdb".into(),
        },
        member(Whose::Ours),
        member(Whose::Nobodys),
        member(Whose::Anothers),
        Groups::Exists { group: group() },
        Groups::NoDisks,
        same("/dev/sdb"),
        same("/dev/disk/by-id/b"),
        Groups::MediaTaken {
            group: group(),
            media: name("disk01"),
        },
        unfit(&["'/dev/sdb' has a filesystem (ext4)"], true),
        unfit(&["'/dev/sdb' is mounted", "'/dev/sdb1' is swap"], false),
        Groups::Started {
            group: group(),
            volumes: names(["v", "w"]),
        },
        Groups::HasVolumes {
            group: group(),
            volumes: names(["v", "w"]),
        },
        Groups::ImportedElsewhere {
            group: group(),
            host: HostId::from_bytes([8; 16]),
        },
        Groups::NameTaken {
            name: group(),
            by: GroupId::from_bytes([1; 16]),
            group: GroupId::from_bytes([2; 16]),
        },
        Groups::GivesUp {
            group: group(),
            what: "v and what the other sides wrote".to_owned(),
        },
        Groups::OneSide {
            group: group(),
            missing: names(["disk01", "disk02"]),
        },
        Groups::RunsOtherwise {
            group: group(),
            device: DmName::from_kernel("g-v"),
        },
        Groups::NotClosed {
            group: group(),
            beyond: names(["v", "disk03"]),
        },
        Groups::NoObject { object: v() },
        Groups::NothingStays { group: group() },
        Groups::Itself { group: group() },
        Groups::NoReceiver { group: group() },
        Groups::NamesClash {
            group: group(),
            taken: vec!["disk 'disk01'".to_owned(), "volume 'v'".to_owned()],
        },
    ];
    all.map(Refusal::from).to_vec()
}

fn clones() -> Vec<Refusal> {
    let (group, device) = (|| name("g"), || PathBuf::from("/dev/sdb"));
    let devices = || vec![device(), "/dev/sdc".into()];
    let unproven = |host| Clones::Unproven {
        group: group(),
        devices: devices(),
        host,
    };
    let apart = |older| Clones::Apart {
        group: group(),
        older,
    };
    let all = [
        Clones::NotACopy {
            device: device(),
            group: "g".to_owned(),
        },
        Clones::InUse {
            device: device(),
            uses: vec!["'/dev/sdb' is mounted".to_owned()],
        },
        Clones::Original {
            device: device(),
            group: group(),
        },
        Clones::Twice {
            one: device(),
            other: "/dev/sdc".into(),
        },
        Clones::WhichAre {
            group: group(),
            devices: devices(),
        },
        unproven(None),
        unproven(Some(HostId::from_bytes([8; 16]))),
        Clones::Incomplete {
            group: group(),
            missing: names(["disk02", "disk03"]),
        },
        apart(names(["disk02"])),
        apart(names(["disk02", "disk03"])),
        Clones::Begun {
            device: device(),
            clone: name("c"),
        },
        Clones::Unfinished { group: name("c") },
    ];
    all.map(Refusal::from).to_vec()
}

fn labels() -> Vec<Refusal> {
    let disk = || of("disk02");
    let all = [
        Labels::Present {
            disk: disk(),
            device: "/dev/sdb".into(),
        },
        Labels::InUse { disk: disk() },
        Labels::NotIt {
            device: "/dev/sdb".into(),
            objections: vec!["'/dev/sdb' has a filesystem (ext4)".to_owned()],
        },
        Labels::Odd {
            disk: disk(),
            device: "/dev/sdb".into(),
            what: vec!["the dirty region log of 'g/v' is not there".to_owned()],
        },
        Labels::OnlyCopy {
            disk: disk(),
            volumes: names(["v", "w"]),
        },
        Labels::GoneOn {
            plex: name("v-02"),
            volume: v(),
        },
    ];
    all.map(Refusal::from).to_vec()
}

fn space() -> Vec<Refusal> {
    let free = Sectors::mib(1);
    let reasons = [
        NoHelp::Missing,
        NoHelp::Excluded,
        NoHelp::LargerSectors(free, SectorSize::LARGEST),
        NoHelp::HoldsPlex(free),
        NoHelp::Full(free),
    ];
    let room = |room| Space::NoRoom {
        volume: v(),
        room,
        length: Sectors::mib(8),
        disks: names(["a", "b", "c", "d", "e"])
            .into_iter()
            .zip(reasons)
            .collect(),
    };
    let all = [
        room(Room::Plex),
        room(Room::PlexApart),
        room(Room::PlexOfSmallSectors),
        room(Room::Log),
        room(Room::LogAlone),
        Space::NoRoomForMap {
            volume: v(),
            length: Sectors::mib(8),
        },
        Space::TooManyPlexes { volume: v() },
        Space::NumbersUsedUp { volume: name("v") },
        Space::DiskTooSmall {
            disk: of("disk01"),
            has: Sectors::mib(8),
            needed: Sectors::mib(9),
        },
    ];
    all.map(Refusal::from).to_vec()
}

fn others() -> Vec<Refusal> {
    let group = || name("g");
    let dm = DmName::from_kernel;
    let all_there = |seen| NotAllThere {
        group: group(),
        id: GroupId::from_bytes([6; 16]),
        missing: names(["disk01", "disk02"]),
        here: 2,
        of: 4,
        generation: Generation::new(5),
        seen,
        devices: vec!["/dev/sdb".into(), "/dev/sdc".into()],
    };
    vec![
        Devices::NameTaken { name: dm("g-v") }.into(),
        Devices::Occupied {
            new: dm("g-v_log"),
            held: dm("breakoff-0_held"),
            uuid: DmUuid::new(GroupId::from_bytes([6; 16]), ID, &Role::Log),
        }
        .into(),
        all_there(None).into(),
        all_there(Some(Generation::new(6))).into(),
        Bug::LostWhilePlanning { group: group() }.into(),
        Bug::LostWhileRecording.into(),
        Bug::Rule {
            group: group(),
            rule: "two volumes are called 'v'".to_owned(),
        }
        .into(),
        Error::not_found("group 'g' has no volume 'v'")
            .on("g/v")
            .hint("see what there is")
            .into(),
    ]
}

fn all() -> Vec<Refusal> {
    [
        asked(),
        volumes(),
        plexes(),
        snapshots(),
        disks(),
        groups(),
        clones(),
        labels(),
        space(),
        others(),
    ]
    .concat()
}

#[test]
fn every_refusal_says_what_it_always_did() {
    let places: BTreeSet<usize> = all().iter().map(place).collect();
    assert_eq!(places, (0..COUNT).collect());
    let mut text = String::new();
    for refusal in all() {
        let error = Error::from(refusal.clone());
        assert_eq!(
            (error.kind(), error.object().map(str::to_owned)),
            (refusal.kind(), refusal.object())
        );
        assert_eq!(error.message(), refusal.message());
        let object = error.object().unwrap_or("-");
        writeln!(text, "{} {object}: {error}", error.kind().word()).unwrap();
        let hint = |language: &dyn Language| error.hint_text(language);
        let (native, vx) = (hint(&Native), hint(&Vx));
        for line in native.iter().chain(vx.iter().filter(|_| vx != native)) {
            writeln!(text, "    {line}").unwrap();
        }
    }
    golden("refusals.txt", &text);
}

#[test]
fn only_what_somebody_has_open_waits_for_openers() {
    for refusal in all() {
        let is_open = [15, 59].contains(&place(&refusal));
        assert_eq!(refusal.is_for_openers(), is_open, "{refusal}");
        assert_eq!(refusal.open().is_some(), place(&refusal) == 15);
        assert_eq!(refusal.held().is_some(), place(&refusal) == 59);
    }
}

#[test]
fn who_typed_vxassist_is_told_to_type_vxassist() {
    let mut w = world(4);
    done(&mut w, &make("v", 8, 1));
    let split = Request::Snapshot {
        splits: Splits::These(vec![Split {
            volume: name("v"),
            name: None,
        }]),
        legs: Legs::Count(1),
        pattern: None,
        require_frozen: false,
    };
    let told =
        |error: &Error, front_end: FrontEnd| text::failure("vxassist", error, front_end.language());
    let none = refused(&w, &split);
    assert_eq!(
        told(&none, FrontEnd::Vx),
        "vxassist: error: not enough snapshot legs in 'g/v': 1 wanted, 0 SNAPDONE\n  \
         hint: begin with 'vxassist -g g snapstart v'\n"
    );
    assert!(told(&none, FrontEnd::Native).contains("begin with 'breakoff -g g snapstart v'"));
    done(&mut w, &snapstart("v"));
    let attaching = refused(&w, &split);
    assert!(
        told(&attaching, FrontEnd::Vx).contains("hint: wait with 'vxassist -g g snapwait v'"),
        "{attaching:?}"
    );
    sync(&mut w);
    let remove = Request::Remove {
        volumes: vec![name("v")],
        recursive: false,
    };
    assert!(
        told(&refused(&w, &remove), FrontEnd::Vx)
            .contains("hint: give them up with 'vxassist snapabort', or remove them with it by -f")
    );
}

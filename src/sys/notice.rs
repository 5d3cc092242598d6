//! Reports of failures, in addition to the output of a command.

/// A failure, described for programs and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What happened.
    pub kind: &'static Kind,
    /// The failure as a text for people.
    pub message: String,
    /// The objects that the failure is about, such as (`PLEX`, `v-02`).
    pub about: Vec<(&'static str, String)>,
}

/// A kind of failure: an event in the journal.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// The event as a word, such as `plex-failed`.
    pub event: &'static str,
    /// Its `MESSAGE_ID`: 128 bits in hexadecimal, which never change.
    pub id: &'static str,
    /// When it is reported.
    pub when: &'static str,
    /// Its fields besides those that every event has.
    pub fields: &'static [Field],
}

/// A field of an event, without `BREAKOFF_` before its name.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// The name.
    pub name: &'static str,
    /// Whether no event of the kind lacks it.
    pub always: bool,
    /// What it holds.
    pub holds: &'static str,
}

const fn always(name: &'static str, holds: &'static str) -> Field {
    Field {
        name,
        always: true,
        holds,
    }
}

const fn if_known(name: &'static str, holds: &'static str) -> Field {
    Field {
        name,
        always: false,
        holds,
    }
}

const GROUP: Field = always("GROUP", "the group, by name");
const VOLUME: Field = always("VOLUME", "the volume");
const PLEX: Field = always("PLEX", "the plex");

/// A leg has failed and was taken out.
pub const PLEX_FAILED: Kind = Kind {
    event: "plex-failed",
    id: "93349b00a0f6499f9b9dd3073f01109a",
    when: "A plex of a started volume could not be written any more and was taken out of its mirror.",
    fields: &[
        GROUP,
        VOLUME,
        PLEX,
        always(
            "STATE",
            "`FAILED`: the plex stays and is not used; `removed`: it was not complete, or a snapshot leg, and is gone",
        ),
        if_known(
            "DISK",
            "the disks of the plex that have failed, with commas",
        ),
        if_known("DEVICE", "the devices of these disks, in the same order"),
    ],
};

/// A plex cannot be used when its volume is started.
pub const PLEX_STATE: Kind = Kind {
    event: "plex-state",
    id: "1c20cdbf110b4a29b93fee6186e277a2",
    when: "A volume was started without a plex whose disks are missing.",
    fields: &[GROUP, VOLUME, PLEX, always("STATE", "`FAILED`")],
};

/// A dirty region log has failed.
pub const LOG_FAILED: Kind = Kind {
    event: "log-failed",
    id: "27b1f51f01894ff6979e3a09b2447377",
    when: "The dirty region log of a started volume could not be written any more and was given up.",
    fields: &[GROUP, VOLUME],
};

/// All kinds. `docs/journal.md` is made from this table, and `dist/catalog/breakoff.catalog` explains
/// each of them.
pub const KINDS: [&Kind; 3] = [&PLEX_FAILED, &PLEX_STATE, &LOG_FAILED];

//! The states of a plex and the only table of transitions between them.

use std::fmt;

/// The recorded state of a plex. Whether the kernel has it in sync right now is an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PlexState {
    /// A complete data plex; every write to the volume reaches it.
    Active,
    /// A new data plex that is being filled (`mirror`). The copy begins again from the start when
    /// the volume is started.
    Attaching,
    /// A data plex that is being brought up to date again (`plex attach`, a new disk). The copy
    /// continues when the volume is started.
    Reviving,
    /// A data plex that missed writes (`plex detach`); its space is kept.
    Stale,
    /// A data plex whose disk failed; its space is kept, but its contents must not be used.
    Failed,
    /// A snapshot leg that is being filled (`snapstart`). It is removed when the volume is started.
    SnapAtt,
    /// A complete snapshot leg, which every write to the volume reaches, ready to be split off.
    SnapDone,
}

/// Defines the events together with the list of all events, so that the two cannot differ.
macro_rules! plex_events {
    ($($(#[$doc:meta])* $event:ident,)*) => {
        /// An event that can happen to a plex.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum PlexEvent {
            $($(#[$doc])* $event,)*
        }

        impl PlexEvent {
            /// All events, for exhaustive tests.
            pub const ALL: &'static [PlexEvent] = &[$(PlexEvent::$event),*];
        }
    };
}

plex_events! {
    /// The kernel has finished copying to the plex.
    Synced,
    /// A write to the plex failed, or its disk is gone.
    Failed,
    /// The administrator gives up the attach or the leg (`snapabort`, `plex remove`).
    Removed,
    /// The volume is being started, after a clean stop or after anything else.
    Started,
    /// `snapshot`: the plex becomes the only plex, or one of the plexes, of the new volume.
    SplitOff,
    /// `plex convert --to snapdone`: a data plex becomes a snapshot leg.
    ToSnapdone,
    /// `plex convert --to active`: a snapshot leg becomes a data plex.
    ToActive,
    /// `plex detach`: the plex receives no more writes, and keeps its space.
    Detached,
    /// `plex attach`: the plex is brought up to date again.
    Reattached,
    /// The volume is restored from a snapshot: what the plex holds no longer counts.
    Superseded,
}

/// The result of an event for a plex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Next {
    /// The plex has this state now.
    State(PlexState),
    /// The plex is removed and its space released.
    Gone,
    /// The event is not legal in this state.
    Refused,
}

impl PlexState {
    /// All states, for exhaustive tests.
    pub const ALL: [PlexState; 7] = [
        PlexState::Active,
        PlexState::Attaching,
        PlexState::Reviving,
        PlexState::Stale,
        PlexState::Failed,
        PlexState::SnapAtt,
        PlexState::SnapDone,
    ];

    /// The transition table: the result of `event` for a plex in this state.
    pub fn on(self, event: PlexEvent) -> Next {
        use Next::{Gone, Refused, State};
        use PlexEvent as E;
        use PlexState as S;
        match (self, event) {
            (S::Active, E::Synced | E::Started) => State(S::Active),
            (S::Active, E::Failed) => State(S::Failed),
            (S::Active, E::ToSnapdone) => State(S::SnapDone),
            (S::Active, E::Detached) => State(S::Stale),
            (S::Active, E::Removed) => Gone,
            (S::Active, E::Superseded) => State(S::Reviving),
            (S::Active, E::SplitOff | E::ToActive | E::Reattached) => Refused,

            (S::Attaching, E::Synced) => State(S::Active),
            (S::Attaching, E::Started) => State(S::Attaching),
            (S::Attaching, E::Failed | E::Removed) => Gone,
            (
                S::Attaching,
                E::SplitOff
                | E::ToSnapdone
                | E::ToActive
                | E::Detached
                | E::Reattached
                | E::Superseded,
            ) => Refused,

            (S::Reviving, E::Synced) => State(S::Active),
            (S::Reviving, E::Started) => State(S::Reviving),
            (S::Reviving, E::Detached) => State(S::Stale),
            (S::Reviving, E::Failed) => State(S::Failed),
            (S::Reviving, E::Removed) => Gone,
            (
                S::Reviving,
                E::SplitOff | E::ToSnapdone | E::ToActive | E::Reattached | E::Superseded,
            ) => Refused,

            (S::Stale, E::Started) => State(S::Stale),
            (S::Stale, E::Failed) => State(S::Failed),
            (S::Stale, E::Reattached) => State(S::Reviving),
            (S::Stale, E::Removed) => Gone,
            (
                S::Stale,
                E::Synced | E::SplitOff | E::ToSnapdone | E::ToActive | E::Detached | E::Superseded,
            ) => Refused,

            (S::Failed, E::Started | E::Failed) => State(S::Failed),
            (S::Failed, E::Reattached) => State(S::Reviving),
            (S::Failed, E::Removed) => Gone,
            (
                S::Failed,
                E::Synced | E::SplitOff | E::ToSnapdone | E::ToActive | E::Detached | E::Superseded,
            ) => Refused,

            (S::SnapAtt, E::Synced) => State(S::SnapDone),
            (S::SnapAtt, E::Failed | E::Removed | E::Started) => Gone,
            (
                S::SnapAtt,
                E::SplitOff
                | E::ToSnapdone
                | E::ToActive
                | E::Detached
                | E::Reattached
                | E::Superseded,
            ) => Refused,

            (S::SnapDone, E::Synced | E::Started) => State(S::SnapDone),
            (S::SnapDone, E::SplitOff | E::ToActive) => State(S::Active),
            (S::SnapDone, E::Failed | E::Removed) => Gone,
            (S::SnapDone, E::Superseded) => State(S::SnapAtt),
            (S::SnapDone, E::ToSnapdone | E::Detached | E::Reattached) => Refused,
        }
    }

    /// Whether a plex in this state holds everything that was written to the volume.
    pub fn is_complete(self) -> bool {
        match self {
            PlexState::Active | PlexState::SnapDone => true,
            PlexState::Attaching
            | PlexState::Reviving
            | PlexState::Stale
            | PlexState::Failed
            | PlexState::SnapAtt => false,
        }
    }

    /// Whether the kernel is filling a plex in this state.
    pub fn is_attaching(self) -> bool {
        match self {
            PlexState::Attaching | PlexState::Reviving | PlexState::SnapAtt => true,
            PlexState::Active | PlexState::Stale | PlexState::Failed | PlexState::SnapDone => false,
        }
    }

    /// Whether this is the state of a snapshot leg (write-only) and not of a data plex.
    pub fn is_snapshot_leg(self) -> bool {
        match self {
            PlexState::SnapAtt | PlexState::SnapDone => true,
            PlexState::Active
            | PlexState::Attaching
            | PlexState::Reviving
            | PlexState::Stale
            | PlexState::Failed => false,
        }
    }

    /// The state as the word that is shown to people and used in JSON.
    pub fn word(self) -> &'static str {
        match self {
            PlexState::Active => "ACTIVE",
            PlexState::Attaching => "ATTACHING",
            PlexState::Reviving => "REVIVING",
            PlexState::Stale => "STALE",
            PlexState::Failed => "FAILED",
            PlexState::SnapAtt => "SNAPATT",
            PlexState::SnapDone => "SNAPDONE",
        }
    }
}

impl fmt::Display for PlexState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole table: one row for each state, with the events in the order of `PlexEvent::ALL`;
    /// `-` is refused, `x` is gone.
    const TABLE: [(&str, &str); 7] = [
        (
            "ACTIVE",
            "ACTIVE FAILED x ACTIVE - SNAPDONE - STALE - REVIVING",
        ),
        ("ATTACHING", "ACTIVE x x ATTACHING - - - - - -"),
        ("REVIVING", "ACTIVE FAILED x REVIVING - - - STALE - -"),
        ("STALE", "- FAILED x STALE - - - - REVIVING -"),
        ("FAILED", "- FAILED x FAILED - - - - REVIVING -"),
        ("SNAPATT", "SNAPDONE x x x - - - - - -"),
        (
            "SNAPDONE",
            "SNAPDONE x x SNAPDONE ACTIVE - ACTIVE - - SNAPATT",
        ),
    ];

    #[test]
    fn every_state_answers_every_event_as_documented() {
        let word = |next| match next {
            Next::State(state) => state.word(),
            Next::Gone => "x",
            Next::Refused => "-",
        };
        for (state, (name, row)) in PlexState::ALL.iter().zip(TABLE) {
            assert_eq!(state.word(), name);
            let now: Vec<&str> = PlexEvent::ALL
                .iter()
                .map(|event| word(state.on(*event)))
                .collect();
            assert_eq!(now.join(" "), row, "{name}");
        }
    }

    #[test]
    fn no_state_is_complete_and_attaching() {
        for state in PlexState::ALL {
            assert!(!(state.is_complete() && state.is_attaching()), "{state}");
        }
        assert_eq!(PlexState::ALL.iter().filter(|s| s.is_complete()).count(), 2);
    }

    #[test]
    fn a_start_takes_away_nothing_but_legs_on_their_way() {
        for state in PlexState::ALL {
            let expected = if state == PlexState::SnapAtt {
                Next::Gone
            } else {
                Next::State(state)
            };
            assert_eq!(state.on(PlexEvent::Started), expected);
        }
    }
}

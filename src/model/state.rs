//! Plex states and the one table of transitions between them.

use std::fmt;

/// The state of a plex as recorded. Whether the kernel has it in sync right now is an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PlexState {
    /// A complete data plex, written by the volume.
    Active,
    /// A new data plex being filled (`mirror`); filled again from the beginning when the volume is
    /// started.
    Attaching,
    /// A data plex being brought up to date again (`plex attach`, a new disk); the copy goes on
    /// when the volume is started.
    Reviving,
    /// A data plex that missed writes (`plex detach`); its space is kept.
    Stale,
    /// A data plex whose disk failed; its space is kept, its contents are not to be used.
    Failed,
    /// A snapshot leg being filled (`snapstart`); removed when the volume is started.
    SnapAtt,
    /// A complete snapshot leg, written by the volume, ready to be split off.
    SnapDone,
}

/// Makes the enum of events together with the list of all of them, so that neither can lack one
/// that the other has.
macro_rules! plex_events {
    ($($(#[$doc:meta])* $event:ident,)*) => {
        /// What can happen to a plex.
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
    /// The kernel has finished copying.
    Synced,
    /// A write to it failed, or its disk is gone.
    Failed,
    /// The administrator gives up the attach or the leg (`snapabort`, `plex remove`).
    Removed,
    /// The volume is being started after anything but a clean stop, or after a clean one.
    Started,
    /// `snapshot`: it becomes the only or one of the plexes of the new volume.
    SplitOff,
    /// `plex convert --to snapdone`.
    ToSnapdone,
    /// `plex convert --to active`.
    ToActive,
    /// `plex detach`.
    Detached,
    /// `plex attach`.
    Reattached,
    /// The volume is restored from a snapshot: what it holds counts no more.
    Outdated,
}

/// What becomes of a plex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Next {
    /// It has this state now.
    State(PlexState),
    /// It is removed and its space released.
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

    /// The transition table.
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
            (S::Active, E::Outdated) => State(S::Reviving),
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
                | E::Outdated,
            ) => Refused,

            (S::Reviving, E::Synced) => State(S::Active),
            (S::Reviving, E::Started) => State(S::Reviving),
            (S::Reviving, E::Detached) => State(S::Stale),
            (S::Reviving, E::Failed) => State(S::Failed),
            (S::Reviving, E::Removed) => Gone,
            (
                S::Reviving,
                E::SplitOff | E::ToSnapdone | E::ToActive | E::Reattached | E::Outdated,
            ) => Refused,

            (S::Stale, E::Started) => State(S::Stale),
            (S::Stale, E::Failed) => State(S::Failed),
            (S::Stale, E::Reattached) => State(S::Reviving),
            (S::Stale, E::Removed) => Gone,
            (
                S::Stale,
                E::Synced | E::SplitOff | E::ToSnapdone | E::ToActive | E::Detached | E::Outdated,
            ) => Refused,

            (S::Failed, E::Started | E::Failed) => State(S::Failed),
            (S::Failed, E::Reattached) => State(S::Reviving),
            (S::Failed, E::Removed) => Gone,
            (
                S::Failed,
                E::Synced | E::SplitOff | E::ToSnapdone | E::ToActive | E::Detached | E::Outdated,
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
                | E::Outdated,
            ) => Refused,

            (S::SnapDone, E::Synced | E::Started) => State(S::SnapDone),
            (S::SnapDone, E::SplitOff | E::ToActive) => State(S::Active),
            (S::SnapDone, E::Failed | E::Removed) => Gone,
            (S::SnapDone, E::Outdated) => State(S::SnapAtt),
            (S::SnapDone, E::ToSnapdone | E::Detached | E::Reattached) => Refused,
        }
    }

    /// Whether it holds everything that was written to the volume.
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

    /// Whether the kernel is filling it.
    pub fn is_attaching(self) -> bool {
        match self {
            PlexState::Attaching | PlexState::Reviving | PlexState::SnapAtt => true,
            PlexState::Active | PlexState::Stale | PlexState::Failed | PlexState::SnapDone => false,
        }
    }

    /// Whether it is a snapshot leg (write-only) and not a data plex.
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

    /// The word shown to people and in JSON.
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

    /// The whole table, a row a state; `-` refused, `x` gone. In the order of `PlexEvent::ALL`.
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

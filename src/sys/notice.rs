//! Reports of failures, in addition to the output of a command.

/// A failure, described for programs and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What happened, such as `plex-failed`.
    pub event: &'static str,
    /// The failure as a text for people.
    pub message: String,
    /// The objects that the failure is about, such as (`PLEX`, `v-02`).
    pub about: Vec<(&'static str, String)>,
}

//! What is told of failures, beyond the answer of a command.

/// A failure, for machines and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What happened, such as `plex-failed`.
    pub event: &'static str,
    /// In words.
    pub message: String,
    /// What it is about, such as (`PLEX`, `v-02`).
    pub about: Vec<(&'static str, String)>,
}

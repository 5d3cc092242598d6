//! The configuration of a group on its disks: its layout, how it is written, and which copy of it
//! is believed.
//!
//! `layout` (superblock) and `record` (payload) convert between untrusted bytes and verified types,
//! purely; `choose` picks one configuration from the labels of all disks, and `history` says which
//! of them know each other; `store` and `commit` do the reading and writing through
//! [`crate::sys::Media`]; `archive` keeps earlier configurations as files for people.

pub mod archive;
mod choose;
mod clone;
mod commit;
mod handled;
mod handover;
mod history;
pub mod layout;
mod pretty;
pub mod record;
mod sound;
mod store;
mod witness;

pub use archive::Archive;
pub use choose::{Chosen, Guide, Side, choose, choose_by, groups, sides};
pub use clone::{CloneLabel, Turned};
pub use commit::{CommitOutcome, FlipResult, Member, Observed, Prepared, prepare};
pub use handled::HandledFiles;
pub use handover::hand_over;
pub use history::{Digest, History, Known, Lineage, Past, Stamp};
pub use layout::{AREA_DEFAULT, AREA_MAX, AREA_MIN, Geometry};
pub use record::{Configuration, Fill, decode, decode_all, dump, dump_all, encode, fill};
pub use sound::{MAX_DISKS, MAX_VOLUMES};
pub use store::{
    Copy, Label, begin_check, format_disk, is_current, is_ours, is_unlabelled, read_disk, wipe_disk,
};
pub use witness::{Sighting, Witness};

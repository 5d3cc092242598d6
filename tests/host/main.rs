//! All tests that need nothing but this machine, in one program: one link step, and all cores have
//! work until the end.
//!
//! What needs a kernel with device-mapper is in `tests/kernel`, what needs a machine that can be
//! rebooted in `tests/reboot`. The modules beside these folders are helpers that the programs
//! share.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../cli_support/mod.rs"]
mod cli_support;
#[path = "../conformance/mod.rs"]
mod conformance;
#[path = "../fake/mod.rs"]
mod fake;
#[path = "../meta_common/mod.rs"]
mod meta_common;
#[path = "../pure/mod.rs"]
mod pure;
#[path = "../support/mod.rs"]
mod support;

mod advice;
mod app_refusals;
mod at_boot;
mod cli_binary;
mod cli_parse;
mod cli_report;
mod clone;
mod completion;
mod counters;
mod crash_points;
mod crash_random;
mod dm_tables;
mod dry_runs;
mod erase;
mod events;
mod fake_conformance;
mod handover;
mod histories;
mod hotplug;
mod install;
mod journal;
mod lacking;
mod lanes;
mod layers;
mod man;
mod many_volumes;
mod map;
mod marked;
mod meta_archive;
mod meta_commit;
mod meta_flip;
mod meta_layout;
mod meta_record;
mod meta_store;
mod metrics;
mod missing;
mod package;
mod plan_golden;
mod plan_groups;
mod plan_refusals;
mod programs;
mod refusals;
mod relabel;
mod room;
mod rules;
mod support_selftest;
mod verify;
mod vx;
mod vxprint;
mod watch;

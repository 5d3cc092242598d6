//! `dm-tables/`: the tables of every situation, byte for byte. `kernel::dm_tables` loads the same
//! files into a real kernel.

use crate::pure::golden::assert_golden;
use crate::pure::{anywhere, done, list, make, name, on, snapstart, split_off, sync, world};
use breakoff::model::{DmUuid, NodeOwner, Sectors};
use breakoff::plan::evidence::Situation;
use breakoff::plan::request::{GrowTo, Legs, Request, Split, Splits, Winner};
use breakoff::table::DevRef;
use breakoff::table::stack::stack;

/// The devices of all volumes, from the bottom up, with names in place of numbers.
fn tables(world: &Situation) -> String {
    let mut text = String::new();
    for volume in &world.group.volumes {
        for device in stack(&world.group, volume).expect("a stack") {
            let number = |what: &DevRef| match what {
                DevRef::Disk(id) => world.group.disk(*id).map(|d| d.media.to_string()),
                DevRef::Device(role) => world
                    .devices
                    .get(&DmUuid::new(world.group.id, volume.id, role))
                    .map(|d| format!("/dev/mapper/{}", d.name)),
            };
            text += &format!("\n[{}]\n", device.name);
            for line in device.table.render(&number).expect("a table without gaps") {
                let words = format!(
                    "{} {} {} {}",
                    line.start.get(),
                    line.length.get(),
                    line.target,
                    line.params
                );
                text += &format!("{}\n", words.trim_end());
            }
        }
    }
    text
}

/// Compares a situation with its file; `kernel::dm_tables` has to know the file too.
fn situation(file: &str, words: &[&str], world: &Situation) {
    let comment: String = words.iter().map(|line| format!("# {line}\n")).collect();
    assert_golden(&format!("dm-tables/{file}"), &(comment + &tables(world)));
}

fn snapshot(volumes: &[&str], mirrors: usize) -> Request {
    let these = volumes
        .iter()
        .map(|v| Split {
            volume: name(v),
            name: None,
        })
        .collect();
    Request::Snapshot {
        splits: Splits::These(these),
        legs: Legs::Count(mirrors),
        pattern: None,
        require_frozen: false,
    }
}

#[test]
fn linear_volume() {
    let mut w = world(1);
    done(&mut w, &make("v", 64, 1));
    situation(
        "01-linear-volume",
        &[
            "A volume with one plex: linear straight onto the disk, nothing else exists.",
            "Offsets count from the start of the disk; the first 4 MiB are the private area.",
        ],
        &w,
    );
}

#[test]
fn linear_volume_in_pieces() {
    let mut w = world(2);
    done(&mut w, &make("v", 150, 1));
    situation(
        "02-linear-volume-in-pieces",
        &["A plex that does not fit on one disk is concatenated: one line for each subdisk."],
        &w,
    );
}

#[test]
fn mirrored_volume() {
    let mut w = world(2);
    done(&mut w, &make("v", 64, 2));
    situation(
        "03-mirrored-volume",
        &[
            "Two plexes, each a hidden linear device, and a mirror over them.",
            "K1: always handle_errors, or a leg that fails every write is reported as alive and in sync.",
            "K6: the disk log decides what is in sync; a new one is written all dirty, so that everything is copied.",
            "K15: reads go to the first leg.",
        ],
        &w,
    );
}

#[test]
fn mirrored_volume_without_log() {
    let mut w = world(2);
    done(
        &mut w,
        &Request::Make {
            volume: name("v"),
            size: Sectors::mib(64),
            mirrors: 2,
            placement: anywhere(),
            log: false,
            fast_resync: false,
            sector_size: None,
            owner: NodeOwner::default(),
        },
    );
    situation(
        "04-mirrored-volume-without-log",
        &[
            "Made with --no-log: the core log begins with nothing in sync, so everything is copied.",
            "K1: handle_errors.",
        ],
        &w,
    );
    sync(&mut w);
    situation(
        "05-mirrored-volume-without-log-in-sync",
        &[
            "The same after a clean stop and start: the plexes are known to be equal, nothing is copied (nosync).",
            "Only a suspend or a clean stop proves that; after a crash it is 04 again.",
        ],
        &w,
    );
}

#[test]
fn snapstart_in_progress_and_done() {
    let mut w = world(2);
    done(&mut w, &make("v", 64, 1));
    done(&mut w, &snapstart("v"));
    situation(
        "06-snapstart-in-progress",
        &[
            "A snapshot leg (v-02, SNAPATT) joins a plain volume: the kernel copies v-01 to it, region by region (K4).",
            "K17: the leg's mirror has a log of its own in memory, which knows nothing to be in sync.",
            "K10: a suspend waits for the region in flight, so regions are 2 MiB and not more.",
            "K1: handle_errors, so that a leg that fails a write never becomes SNAPDONE.",
        ],
        &w,
    );
    sync(&mut w);
    situation(
        "07-in-sync",
        &[
            "The same leg as SNAPDONE, as it is loaded at the next start after a clean stop (nosync).",
            "Live, it is still 06: sync and nosync matter only at the moment of loading, so nothing is reloaded.",
        ],
        &w,
    );
}

#[test]
fn second_snapstart_is_layered_and_collapses() {
    let mut w = world(3);
    done(&mut w, &make("v", 64, 1));
    done(&mut w, &snapstart("v"));
    sync(&mut w);
    done(&mut w, &snapstart("v"));
    situation(
        "08-layered-second-snapstart",
        &[
            "A second leg (v-03) while v-02 is SNAPDONE: never a third leg of the same mirror.",
            "K3: sync state is one bit a region for a whole mirror; in a flat one v-02 would miss every write to a region",
            "not yet copied. Layered, it gets all of them: the volume is mirror(layer 1, v-03), layer 1 the old mirror.",
            "K19: layer 1 goes live while the volume is suspended, its legs equal (nosync).",
        ],
        &w,
    );
    sync(&mut w);
    situation(
        "09-collapsed",
        &[
            "The same when v-03 is in sync too: one flat mirror of equal legs, loaded while suspended and checked.",
        ],
        &w,
    );
}

#[test]
fn snapstart_on_a_mirrored_volume() {
    let mut w = world(4);
    done(&mut w, &make("v", 64, 2));
    sync(&mut w);
    done(&mut w, &snapstart("v"));
    situation(
        "10-snapstart-on-a-mirror",
        &[
            "A leg on a mirrored volume: the mirror with its dirty region log becomes layer 1, the leg joins on top.",
            "K17: the log of layer 1 is all clean, and a leg that met it would count as in sync at once; so it does not.",
            "K19: the log is live only once: the volume is suspended while layer 1 takes it over.",
        ],
        &w,
    );
    sync(&mut w);
    situation(
        "11-mirror-with-leg-in-sync",
        &[
            "The same in sync: three equal legs under one log; after a crash only dirty regions are copied.",
        ],
        &w,
    );
    done(&mut w, &snapshot(&["v"], 1));
    situation(
        "12-after-the-split-of-a-mirror",
        &[
            "After the split: the volume as in 03, and the leg is the snapshot, linear straight onto its disk.",
        ],
        &w,
    );
}

#[test]
fn after_the_split() {
    let mut w = world(2);
    done(&mut w, &make("v", 64, 1));
    done(&mut w, &snapstart("v"));
    sync(&mut w);
    done(&mut w, &snapshot(&["v"], 1));
    situation(
        "13-after-the-split",
        &["Both are plain volumes again. The plex keeps its name in the snapshot."],
        &w,
    );
}

#[test]
fn mirrored_snapshot() {
    let mut w = world(3);
    done(&mut w, &make("v", 64, 1));
    done(
        &mut w,
        &Request::SnapStart {
            volumes: vec![name("v")],
            mirrors: 2,
            placement: anywhere(),
            lanes: None,
        },
    );
    situation(
        "14-two-legs-at-once",
        &[
            "snapstart --mirrors 2: legs that begin together share one mirror, since none of them is in sync yet.",
        ],
        &w,
    );
    sync(&mut w);
    done(&mut w, &snapshot(&["v"], 2));
    situation(
        "15-mirrored-snapshot",
        &[
            "snapshot --mirrors 2: the snapshot is itself a mirror, of legs that were equal at the instant of the split. Its log, written",
            "beforehand, says so: all regions are clean (K17). Without space for one the mirror says nosync.",
        ],
        &w,
    );
}

#[test]
fn grown_mirror() {
    let mut w = world(2);
    done(
        &mut w,
        &Request::Make {
            volume: name("v"),
            size: Sectors::mib(32),
            mirrors: 2,
            placement: anywhere(),
            log: false,
            fast_resync: false,
            sector_size: None,
            owner: NodeOwner::default(),
        },
    );
    sync(&mut w);
    done(
        &mut w,
        &Request::Grow {
            volume: name("v"),
            to: GrowTo::By(Sectors::mib(32)),
            placement: anywhere(),
            filesystem: false,
        },
    );
    situation(
        "16-grown-mirror-without-log",
        &[
            "What was in sync stays so (nosync), the new part is copied: two segments say exactly that.",
            "When all is in sync it is one segment again.",
        ],
        &w,
    );
}

#[test]
fn more_than_nine_plexes() {
    let mut w = world(11);
    done(&mut w, &make("v", 8, 1));
    done(
        &mut w,
        &Request::SnapStart {
            volumes: vec![name("v")],
            mirrors: 10,
            placement: on(&[]),
            lanes: None,
        },
    );
    sync(&mut w);
    situation(
        "17-more-than-nine-plexes",
        &[
            "dm-raid1 takes nine legs in one mirror, VxVM's volumes 32 plexes: what does not fit forms further levels on top.",
        ],
        &w,
    );
}

#[test]
fn several_lanes() {
    let mut w = world(4);
    w.evidence.seekless = w.disks.keys().copied().collect();
    done(&mut w, &make("v", 150, 1));
    done(&mut w, &snapstart("v"));
    situation(
        "22-several-lanes",
        &[
            "A snapshot leg on disks without heads: mirrors side by side, because each copies one region at a time (K4).",
            "Each has a log of its own. The borders follow the leg: where it goes on, on another disk, then in the middle.",
            "K5: more segments make fsync dearer; when the leg is complete there is one again (07-in-sync).",
        ],
        &w,
    );
}

/// A volume whose changes are tracked, and its snapshot `s`.
fn tracked(disks: u8, mirrors: usize) -> Situation {
    let mut w = world(disks);
    split_off(&mut w, 16, mirrors);
    w
}

/// Brings `s` back when both maps have been listed.
fn snapback(mut world: Situation, from: Winner) -> Situation {
    list(
        &mut world,
        vec![0..128, 1024..1152],
        vec![1024..1152, 4096..4224],
    );
    done(
        &mut world,
        &Request::SnapBack {
            snapshots: vec![name("s")],
            mirrors: Some(1),
            from,
            keep: false,
            lanes: None,
        },
    );
    world
}

#[test]
fn tracked_snapshot() {
    let w = tracked(2, 1);
    situation(
        "18-tracked-snapshot",
        &[
            "While a tracked snapshot is out, era lies on top of the original and of the snapshot and notes the blocks that are written.",
            "K7: a resume begins the next era; the split resumes both, so that whatever is written from then on is in an era of its own.",
            "K16: the map is formatted before, through an era that is gone by then; this table is loaded once and never over itself.",
            "A map lies on two disks, which hold the same before it comes up (nosync). Its last leg takes everything and",
            "keeps nothing: with it, writes to a map whose last disk dies are held (K2) and do not fail, which the volume would.",
        ],
        &w,
    );
    let w = tracked(3, 2);
    situation(
        "19-tracked-mirror",
        &[
            "The same for a mirrored volume: what the volume would be, a mirror with its dirty region log, lies beneath the era.",
        ],
        &w,
    );
}

#[test]
fn snapback_in_progress() {
    situation(
        "20-leg-that-returns",
        &[
            "snapback: the leg (v-02, SNAPATT) is back, beneath the era, and the kernel copies what the change log does not call clean.",
            "K6: that log is written beforehand; it lies in the first copy of the DCO, and there are two of them.",
            "K16: the table of the era stays as it is; only what is beneath it changes. It stays until the leg is complete: what was",
            "written between the listing and this table is in the map alone, and the second window loads the other log with it.",
        ],
        &snapback(tracked(2, 1), Winner::Original),
    );
}

#[test]
fn restore_in_progress() {
    situation(
        "21-restore-in-progress",
        &[
            "snapback --from snapshot: the snapshot's plex (v-03) is the first leg, from which everything is read, and what the original",
            "held counts no more: both plexes of it are filled, where the change log does not call them clean.",
            "K17: the volume's own dirty region log is not in use until all legs are equal.",
        ],
        &snapback(tracked(3, 2), Winner::Snapshot),
    );
}

#[test]
fn the_kernel_test_loads_every_file() {
    let loaded = include_str!("../kernel/dm_tables.rs");
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("dm-tables");
    for file in std::fs::read_dir(folder).expect("dm-tables") {
        let name = file
            .expect("a file")
            .file_name()
            .into_string()
            .expect("a name");
        assert!(
            name == "README.md" || loaded.contains(&format!("\"{name}\"")),
            "{name} is not loaded into a kernel"
        );
    }
}

//! What the other kernel tests stand on, tried without the program: faults, held writes, what is
//! found to leak.

use crate::support::MIB;
use crate::support::block;
use crate::support::child::tool;
use crate::support::disk::Fault;
use crate::support::dm::Line;
use crate::support::lab::{Lab, until};
use crate::support::leaks;
use crate::support::plexes;
use crate::support::writer::{Style, Writer};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

const SECTORS: u64 = 16 * 2048;
const BLOCKS: u64 = 256;

/// A two-leg mirror over the first two disks, as the program would make it; the name has no
/// meaning.
fn mirror(lab: &Lab, options: &str) -> std::path::PathBuf {
    let legs: Vec<String> = lab.disks[..2]
        .iter()
        .map(|d| format!("{} 0", d.word()))
        .collect();
    let params = format!("core 1 1024 2 {} {options}", legs.join(" "));
    lab.dm.create("botest-mirror", "BREAKOFF-test").unwrap();
    lab.dm
        .load("botest-mirror", &[Line::new(0, SECTORS, "mirror", params)])
        .unwrap();
    lab.dm.resume("botest-mirror").unwrap();
    let path = std::path::PathBuf::from("/dev/mapper/botest-mirror");
    until("udev makes the mirror", || path.exists());
    path
}

#[test]
fn faults_are_put_into_ranges_and_taken_away_again() {
    let mut lab = lab!(["error", "flakey", "delay"], [8]);
    let path = lab.disks[0].path();
    lab.fault_in(0, 4096..8192, Fault::Fail);
    lab.fault_in(0, 8192..12288, Fault::FailWrites);
    let page = block::noise(1, 4096);

    assert!(block::read_direct(&path, 0, 4096).is_ok());
    assert!(block::read_direct(&path, 4096, 4096).is_err());
    assert!(block::write_direct(&path, 4096, &page).is_err());
    assert!(block::read_direct(&path, 8192, 4096).is_ok());
    assert!(block::write_direct(&path, 8192, &page).is_err());

    lab.heal(0);
    block::write_direct(&path, 8192, &page).unwrap();
    assert_eq!(lab.disks[0].raw(8192, 4096), page);
    lab.fault(
        0,
        Fault::Slow {
            read: 300,
            write: 0,
        },
    );
    let started = std::time::Instant::now();
    block::read_direct(&path, 0, 4096).unwrap();
    assert!(started.elapsed() >= Duration::from_millis(250));
    lab.finish_by_force();
}

#[test]
fn a_write_is_held_when_a_leg_dies_and_goes_on_when_the_leg_is_replaced() {
    let mut lab = lab!(["mirror", "flakey"], [16, 16]);
    let path = mirror(&lab, "1 handle_errors");
    until("the mirror is in sync", || {
        lab.dm.mirrors("botest-mirror")[0].in_sync()
    });
    let writer = Writer::start_filled(&path, 0, BLOCKS, Style::default());

    lab.fault(1, Fault::FailWrites);
    writer.wait_until_held();
    assert_eq!(lab.dm.mirrors("botest-mirror")[0].letters, "AD");
    let table = [Line::new(
        0,
        SECTORS,
        "linear",
        format!("{} 0", lab.disks[0].word()),
    )];
    lab.dm.swap("botest-mirror", &table).unwrap();

    writer.goes_on(50);
    writer.stop().verify(&path);
    lab.finish_by_force();
}

/// K47: newer kernels do not mark a leg as failed that refuses a write as invalid. On no kernel is the
/// write acknowledged.
#[test]
fn a_write_that_a_leg_refuses_is_not_acknowledged_even_where_the_leg_is_not_marked() {
    let mut lab = lab!(["mirror"], [16, 16]);
    let larger = lab.add_disk(16 * MIB, 4096);
    lab.wait_for_nodes();
    let on = |at: usize| {
        let params = format!("{} 0", lab.disks[at].word());
        [Line::new(0, SECTORS, "linear", params)]
    };
    // A loop device that takes 512 bytes lies on a device that does not any more.
    let under = Path::new("/dev/mapper/botest-under");
    lab.dm.create("botest-under", "BREAKOFF-under").unwrap();
    lab.dm.load("botest-under", &on(1)).unwrap();
    lab.dm.resume("botest-under").unwrap();
    until("udev makes it", || under.exists());
    let words = "--find --show --direct-io=on --sector-size 512 /dev/mapper/botest-under";
    let made = tool("losetup", &words.split(' ').collect::<Vec<_>>());
    let leg = made.ok().stdout.trim().to_owned();
    lab.dm.swap("botest-under", &on(larger)).unwrap();
    let params = format!(
        "core 2 1024 nosync 2 {} 0 {leg} 0 1 handle_errors",
        lab.disks[0].word()
    );
    lab.dm.create("botest-mirror", "BREAKOFF-test").unwrap();
    lab.dm
        .load("botest-mirror", &[Line::new(0, SECTORS, "mirror", params)])
        .unwrap();
    lab.dm.resume("botest-mirror").unwrap();
    let path = Path::new("/dev/mapper/botest-mirror");
    until("udev makes the mirror", || path.exists());

    let (said, answer) = mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = block::Aligned::new(4096);
        buffer.bytes_mut().fill(0x51);
        let file = block::open_direct(path, false);
        said.send(file.and_then(|file| file.write_all_at(&buffer.bytes()[..512], 4096 + 512)))
    });
    let answered = answer.recv_timeout(Duration::from_secs(5));
    let status = &lab.dm.mirrors("botest-mirror")[0];
    if let Ok(written) = answered {
        let error = written.expect_err("acknowledged, and only one leg has it");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        assert!(status.in_sync(), "{}", status.letters);
    } else {
        assert_eq!(status.letters, "AD");
    }
    let has_it = |disk: usize| lab.disks[disk].raw(4096 + 512, 512) == [0x51; 512];
    assert_eq!((has_it(0), has_it(larger)), (true, false));
    // Where it is held, it goes on.
    lab.dm.swap("botest-mirror", &on(0)).unwrap();
    until("the mirror is closed and goes", || {
        lab.dm.remove("botest-mirror").is_ok()
    });
    tool("losetup", &["--detach", &leg]).ok();
    until("the device under the leg is closed and goes", || {
        lab.dm.remove("botest-under").is_ok()
    });
    lab.finish_by_force();
}

#[test]
fn without_handle_errors_a_leg_that_fails_every_write_counts_as_in_sync() {
    let mut lab = lab!(["mirror", "flakey"], [16, 16]);
    lab.fill_with_noise();
    lab.fault(1, Fault::FailWrites);
    mirror(&lab, "");
    until("the kernel says that it is in sync", || {
        lab.dm.mirrors("botest-mirror")[0].in_sync()
    });
    let (a, b) = (
        lab.disks[0].raw(0, SECTORS * 512),
        lab.disks[1].raw(0, SECTORS * 512),
    );
    assert_ne!(a, b, "K1 does not hold on this kernel any more");
    lab.finish_by_force();
}

#[test]
fn a_mirror_resynchronises_the_second_leg_from_the_first() {
    let lab = lab!(["mirror"], [16, 16]);
    lab.fill_with_noise();
    mirror(&lab, "1 handle_errors");
    until("the mirror is in sync", || {
        lab.dm.mirrors("botest-mirror")[0].in_sync()
    });
    let (a, b) = (
        lab.disks[0].raw(0, SECTORS * 512),
        lab.disks[1].raw(0, SECTORS * 512),
    );
    plexes::assert_same("first leg", &a, "second leg", &b);
    lab.finish_by_force();
}

#[test]
fn a_mirror_takes_nine_legs_and_not_ten() {
    let lab = lab!(["mirror"], [2; 10]);
    let table = |legs: usize| {
        let legs: Vec<String> = lab.disks[..legs]
            .iter()
            .map(|d| format!("{} 0", d.word()))
            .collect();
        [Line::new(
            0,
            2048,
            "mirror",
            format!(
                "core 1 1024 {} {} 1 handle_errors",
                legs.len(),
                legs.join(" ")
            ),
        )]
    };
    lab.dm.create("botest-mirror", "BREAKOFF-test").unwrap();
    assert!(lab.dm.load("botest-mirror", &table(9)).is_ok());
    assert!(lab.dm.load("botest-mirror", &table(10)).is_err());
    lab.finish_by_force();
}

#[test]
fn what_leaks_is_found() {
    let lab = lab!(["linear"], [8]);
    assert_eq!(leaks::found(&lab.dm), [""; 0]);
    lab.dm.create("botest-leak", "BREAKOFF-test").unwrap();
    lab.dm
        .load(
            "botest-leak",
            &[Line::new(
                0,
                8,
                "linear",
                format!("{} 0", lab.disks[0].word()),
            )],
        )
        .unwrap();
    lab.dm.resume("botest-leak").unwrap();
    lab.dm.suspend("botest-leak").unwrap();
    let found = leaks::found(&lab.dm);
    assert_eq!(found.len(), 2, "{found:?}");
    // SAFETY: makes one semaphore; its number is all there is to it.
    let semaphore = unsafe { libc::semget(0x0d4d_1234, 1, libc::IPC_CREAT | 0o600) };
    assert_eq!(leaks::found(&lab.dm).len(), 3);
    // SAFETY: removes it again.
    unsafe { libc::semctl(semaphore, 0, libc::IPC_RMID) };
    leaks::sweep(&lab.dm);
    assert!(
        lab.dm
            .list()
            .iter()
            .all(|i| !i.uuid.starts_with("BREAKOFF") && !i.uuid.starts_with("BOTEST"))
    );
    assert_eq!(leaks::found(&lab.dm), [""; 0]);
}

#[test]
fn a_paused_range_holds_a_sync_until_the_disk_is_healed() {
    let mut lab = lab!(["mirror", "delay"], [16, 16]);
    lab.fault_in(1, (12 << 20)..(16 << 20), Fault::Paused);
    let path = mirror(&lab, "1 handle_errors");
    until("the sync has come to the paused range", || {
        lab.dm.mirrors("botest-mirror")[0].done >= 24
    });
    let writer = Writer::start_filled(&path, 0, BLOCKS, Style::default());
    std::thread::sleep(Duration::from_secs(1));
    assert!(!lab.dm.mirrors("botest-mirror")[0].in_sync());
    lab.heal(1);
    until("the mirror is in sync", || {
        lab.dm.mirrors("botest-mirror")[0].in_sync()
    });
    writer.stop().verify(&path);
    lab.finish_by_force();
}

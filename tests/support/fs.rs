//! Filesystems on volumes: make, mount, load with files, and look whether they are sound.

use super::child::{Output, start, tool};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Where mount points of tests are, by which leftovers are known.
pub const MOUNTS: &str = "/tmp/botest-mnt-";

#[track_caller]
pub fn mkfs_ext4(device: &Path) {
    tool(
        "mkfs.ext4",
        &[
            "-q",
            "-F",
            "-E",
            "nodiscard,lazy_itable_init=0",
            &device.display().to_string(),
        ],
    )
    .ok();
}

/// Makes a small XFS, which `mkfs.xfs` allows to filesystem tests only: they are known by these
/// variables.
#[track_caller]
pub fn mkfs_xfs(device: &Path) {
    let mut command = Command::new("mkfs.xfs");
    command
        .env("TEST_DIR", "/tmp")
        .env("TEST_DEV", "/dev/null")
        .env("QA_CHECK_FS", "1");
    start(
        command,
        "mkfs.xfs",
        &["-q", "-f", "-K", &device.display().to_string()],
    )
    .wait(super::child::DEADLINE)
    .ok();
}

/// The UUID of the filesystem on a device, as blkid reads it now.
#[track_caller]
pub fn uuid(device: &Path) -> String {
    tool(
        "blkid",
        &[
            "-p",
            "-o",
            "value",
            "-s",
            "UUID",
            &device.display().to_string(),
        ],
    )
    .ok()
    .stdout
    .trim()
    .to_owned()
}

/// Whether an ext4 would have to replay its journal when it is mounted.
#[track_caller]
pub fn needs_recovery(device: &Path) -> bool {
    tool("dumpe2fs", &["-h", &device.display().to_string()])
        .ok()
        .stdout
        .contains("needs_recovery")
}

/// `e2fsck` that changes nothing.
pub fn e2fsck(device: &Path) -> Output {
    tool("e2fsck", &["-fn", &device.display().to_string()])
}

/// A mounted filesystem, unmounted at the end of its life.
pub struct Mounted {
    pub at: PathBuf,
}

impl Mounted {
    #[track_caller]
    pub fn new(device: &Path, kind: &str, flags: MsFlags, data: Option<&str>) -> Mounted {
        Mounted::try_new(device, kind, flags, data)
            .unwrap_or_else(|err| panic!("mounting {}: {err}", device.display()))
    }

    pub fn try_new(
        device: &Path,
        kind: &str,
        flags: MsFlags,
        data: Option<&str>,
    ) -> nix::Result<Mounted> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let at = PathBuf::from(format!("{MOUNTS}{}", NEXT.fetch_add(1, SeqCst)));
        fs::create_dir_all(&at).map_err(|_| nix::Error::EIO)?;
        mount(Some(device), &at, Some(kind), flags, data)
            .inspect_err(|_| drop(fs::remove_dir(&at)))?;
        Ok(Mounted { at })
    }

    #[track_caller]
    pub fn ext4(device: &Path) -> Mounted {
        Mounted::new(device, "ext4", MsFlags::empty(), None)
    }

    /// Unmounts it now.
    #[track_caller]
    pub fn unmount(self) {
        umount2(&self.at, MntFlags::empty())
            .unwrap_or_else(|err| panic!("unmounting {}: {err}", self.at.display()));
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&self.at, MntFlags::MNT_DETACH);
        let _ = fs::remove_dir(&self.at);
    }
}

/// Unmounts what tests that died have left.
pub fn unmount_leftovers() {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for at in mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|at| at.starts_with(MOUNTS))
    {
        let _ = umount2(at, MntFlags::MNT_DETACH);
        let _ = fs::remove_dir(at);
    }
}

/// A thread that makes, fills, syncs, renames and removes files.
pub struct FileLoad {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl FileLoad {
    pub fn start(dir: &Path) -> FileLoad {
        let (stop, rounds) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (inner_stop, inner_rounds, dir) =
            (Arc::clone(&stop), Arc::clone(&rounds), dir.to_owned());
        let thread = thread::spawn(move || churn(&dir, &inner_stop, &inner_rounds));
        FileLoad {
            stop,
            rounds,
            thread: Some(thread),
        }
    }

    /// Waits for so many further files.
    #[track_caller]
    pub fn goes_on(&self, files: u64) {
        let (goal, end) = (
            self.rounds.load(SeqCst) + files,
            Instant::now() + Duration::from_secs(120),
        );
        while self.rounds.load(SeqCst) < goal {
            assert!(Instant::now() < end, "the file load is stuck");
            assert!(
                self.thread.as_ref().is_some_and(|t| !t.is_finished()),
                "the file load has met an error"
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[track_caller]
    pub fn stop(mut self) {
        self.stop.store(true, SeqCst);
        let end = Instant::now() + Duration::from_secs(120);
        while self.thread.as_ref().is_some_and(|t| !t.is_finished()) {
            assert!(Instant::now() < end, "the file load is stuck");
            thread::sleep(Duration::from_millis(5));
        }
        let result = self.thread.take().map(JoinHandle::join);
        assert!(
            matches!(result, Some(Ok(Ok(())))),
            "the file load: {result:?}"
        );
    }
}

impl Drop for FileLoad {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
    }
}

fn churn(dir: &Path, stop: &AtomicBool, rounds: &AtomicU64) -> std::io::Result<()> {
    for n in 0u64.. {
        if stop.load(SeqCst) {
            break;
        }
        let (fresh, kept) = (dir.join("fresh"), dir.join(format!("file{}", n % 20)));
        let mut file = fs::File::create(&fresh)?;
        file.write_all(&super::block::noise(n, 4096 * (1 + n as usize % 16)))?;
        if n % 3 == 0 {
            file.sync_all()?;
        }
        fs::rename(&fresh, &kept)?;
        if n % 7 == 0 {
            fs::remove_file(&kept)?;
        }
        rounds.store(n + 1, SeqCst);
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

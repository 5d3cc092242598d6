//! What device-mapper does, as one script that runs on the real kernel and on the fake one: both
//! have to come to the same notes, so that the fake cannot lie about what the crash tests build on.

use breakoff::error::Result;
use breakoff::model::{DevNo, DmName, DmUuid, GroupId, Role, Sectors, VolumeId};
use breakoff::sys::{Errno, Kernel, MirrorHealth};
use breakoff::table::{Links, SuspendMode, TargetLine, log};

/// What came of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    Done,
    Waits,
    Failed,
}

/// A kernel with two disks of at least 40 MiB.
pub trait Bench {
    fn kernel(&self) -> &dyn Kernel;
    fn disk(&self, n: usize) -> DevNo;
    /// Writes a number at a MiB of a device. A write that waits goes on waiting.
    fn write(&mut self, device: &DmUuid, mib: u64, number: u64) -> Write;
    /// What became of the writes that waited.
    fn waited(&mut self) -> Vec<Write>;
    /// Reads a number from a MiB of a disk, past everything.
    fn disk_read(&self, n: usize, mib: u64) -> u64;
    /// Writes bytes at a MiB of a disk, past everything.
    fn disk_write(&mut self, n: usize, mib: u64, bytes: &[u8]);
    /// All I/O of a disk fails from now on, or works again.
    fn set_dead(&mut self, n: usize, dead: bool);
    /// Another process opens a device to write to it.
    fn hold(&mut self, device: &DmUuid);
    /// It writes a number at a MiB of what it has open.
    fn held_write(&mut self, mib: u64, number: u64) -> Write;
    /// It closes it.
    fn release(&mut self);
    /// Lets the kernel copy until a mirror is in sync.
    fn copy_all(&mut self, mirror: &DmUuid);
}

const SIZE: Sectors = Sectors::mib(16);
const REGION: u64 = 4096;

struct Script<'b> {
    bench: &'b mut dyn Bench,
    group: GroupId,
    volume: VolumeId,
    notes: Vec<String>,
}

/// Runs the script; what is seen, in words.
pub fn run(bench: &mut dyn Bench) -> Vec<String> {
    let group = GroupId::from_bytes([0xc0; 16]);
    let mut script = Script {
        bench,
        group,
        volume: VolumeId::from_bytes([0xc1; 16]),
        notes: Vec::new(),
    };
    script.devices();
    script.mirrors();
    script.logs();
    script.failures();
    script.sinks();
    script.eras();
    script.open_devices();
    script.remove_all();
    script.notes
}

impl Script<'_> {
    fn uuid(&self, role: &Role) -> DmUuid {
        DmUuid::new(self.group, self.volume, role)
    }

    fn kernel(&self) -> &dyn Kernel {
        self.bench.kernel()
    }

    fn dev(&self, role: &Role) -> DevNo {
        self.kernel()
            .device(&self.uuid(role))
            .ok()
            .flatten()
            .map_or(DevNo { major: 0, minor: 0 }, |d| d.dev)
    }

    fn note(&mut self, what: &str, came: impl std::fmt::Debug) {
        self.notes.push(format!("{what}: {came:?}"));
    }

    fn done<T>(&mut self, what: &str, came: Result<T>) {
        self.note(what, came.map(drop).map_err(|error| error.kind()));
    }

    fn lines(target: &str, length: Sectors, params: String) -> Vec<TargetLine> {
        vec![TargetLine {
            start: Sectors::ZERO,
            length,
            target: target.to_owned(),
            params,
        }]
    }

    fn load(&self, role: &Role, target: &str, length: Sectors, params: String) -> Result<()> {
        self.kernel()
            .load(&self.uuid(role), &Self::lines(target, length, params))
    }

    fn linear(&self, role: &Role, disk: usize, mib: u64, length: Sectors) -> Result<()> {
        self.load(
            role,
            "linear",
            length,
            format!("{} {}", self.bench.disk(disk), mib * 2048),
        )
    }

    /// `mirror` of the first two plexes with this log.
    fn mirror(&self, log: &str) -> Result<()> {
        let (one, two) = (self.dev(&Role::Plex(1)), self.dev(&Role::Plex(2)));
        self.load(
            &Role::Volume,
            "mirror",
            SIZE,
            format!("{log} 2 {one} 0 {two} 0 1 handle_errors"),
        )
    }

    fn create(&self, role: &Role, name: &str) -> Result<DevNo> {
        self.kernel()
            .create(&DmName::from_kernel(name), &self.uuid(role))
    }

    fn resume(&self, role: &Role) -> Result<()> {
        self.kernel().resume(&self.uuid(role), Links::Hidden)
    }

    fn suspend(&self, role: &Role, mode: SuspendMode) -> Result<()> {
        self.kernel().suspend(&self.uuid(role), mode)
    }

    fn health(&self, role: &Role) -> std::result::Result<MirrorHealth, Errno> {
        self.kernel()
            .arm(&self.uuid(role), Links::Hidden)
            .map_err(|_| Errno(0))?
            .health()
    }

    fn write(&mut self, what: &str, role: &Role, mib: u64, number: u64) {
        let came = self.bench.write(&self.uuid(role), mib, number);
        self.note(what, came);
    }

    /// A device as it is seen, without what differs from machine to machine.
    fn look(&mut self, role: &Role) {
        let seen = self.kernel().device(&self.uuid(role)).ok().flatten();
        let words = seen.map(|d| {
            let targets: Vec<_> = d
                .table
                .iter()
                .map(|l| format!("{} {}", l.target, l.length.get()))
                .collect();
            let mirror = d
                .mirror
                .map(|m| format!("{}/{} {}", m.done, m.total, m.letters()));
            // A write that waits has the volume open on one machine and not on the other.
            let open = (*role != Role::Volume).then_some(d.open_count);
            (
                d.name.to_string(),
                d.suspended,
                d.has_inactive,
                open,
                targets,
                mirror,
            )
        });
        self.note(&format!("{role:?} is"), words);
    }

    fn devices(&mut self) {
        let (one, two) = (Role::Plex(1), Role::Plex(2));
        let made = self.create(&one, "c-one");
        self.done("create", made);
        self.look(&one);
        let came = self.create(&two, "c-one");
        self.done("create with a name that is taken", came);
        let came = self.create(&one, "c-other");
        self.done("create with a UUID that is taken", came);
        let came = self.resume(&one);
        self.done("resume without a table", came);
        let came = self.load(&one, "linear", SIZE, "4000:77 0".into());
        self.done("load over a device that is not there", came);
        let came = self.linear(&one, 0, 8, SIZE);
        self.done("load", came);
        self.look(&one);
        let came = self.kernel().clear(&self.uuid(&one));
        self.done("clear", came);
        self.look(&one);
        let came = self
            .linear(&one, 0, 8, SIZE)
            .and_then(|()| self.resume(&one));
        self.done("load and resume", came);
        self.look(&one);
        let came = self.resume(&one);
        self.done("resume what is not suspended", came);
        self.write("write", &one, 1, 11);
        self.note("is on the disk", self.bench.disk_read(0, 9));

        let came = self
            .suspend(&one, SuspendMode::Flush)
            .and_then(|()| self.suspend(&one, SuspendMode::Flush));
        self.done("suspend twice", came);
        self.look(&one);
        self.write("write to what is suspended", &one, 2, 12);
        let came = self.linear(&one, 0, 9, SIZE);
        self.done("load under a suspended device", came);
        let came = self.resume(&one);
        self.done("resume with the new table", came);
        let came = self.bench.waited();
        self.note("the write that waited", came);
        self.note(
            "it is where the new table says",
            (self.bench.disk_read(0, 10), self.bench.disk_read(0, 11)),
        );

        let came = self
            .create(&two, "c-two")
            .and_then(|_| self.linear(&two, 1, 8, SIZE))
            .and_then(|()| self.resume(&two));
        self.done("a second one", came);
        let came = self
            .kernel()
            .rename(&self.uuid(&two), &DmName::from_kernel("c-one"));
        self.done("rename to a name that is taken", came);
        let came = self
            .kernel()
            .rename(&self.uuid(&two), &DmName::from_kernel("c-zwei"));
        self.done("rename", came);
        self.look(&two);
        let came = self.linear(&one, 0, 100_000, SIZE);
        self.done("load beyond the end of the disk", came);
        let came = self
            .suspend(&one, SuspendMode::Flush)
            .and_then(|()| self.resume(&one));
        self.done("and resume", came);
        self.look(&one);
        let came = self
            .kernel()
            .clear(&self.uuid(&one))
            .and_then(|()| self.resume(&one));
        self.done("clear and resume", came);
        self.look(&one);
        let came = self.kernel().remove(&self.uuid(&Role::Log));
        self.done("remove what is not there", came);
    }

    fn mirrors(&mut self) {
        let (one, two, top) = (Role::Plex(1), Role::Plex(2), Role::Volume);
        let came = self
            .linear(&one, 0, 8, SIZE)
            .and_then(|()| self.suspend(&one, SuspendMode::Flush))
            .and_then(|()| self.resume(&one));
        self.done("the first leg", came);
        for mib in 0..16 {
            self.bench
                .disk_write(0, 8 + mib, &(100 + mib).to_le_bytes());
            self.bench
                .disk_write(1, 8 + mib, &(200 + mib).to_le_bytes());
        }
        let came = self
            .create(&top, "c-top")
            .and_then(|_| self.mirror(&format!("core 1 {REGION}")));
        self.done("load a mirror", came);
        self.look(&one);
        let came = self.resume(&top);
        self.done("resume it", came);
        self.bench.copy_all(&self.uuid(&top));
        self.look(&top);
        self.note("its health", self.health(&top));
        let legs: Vec<u64> = (8..24).map(|mib| self.bench.disk_read(1, mib)).collect();
        self.note("the second leg has been filled from the first", legs);
        self.write("write", &top, 3, 33);
        self.note(
            "it is on both",
            (self.bench.disk_read(0, 11), self.bench.disk_read(1, 11)),
        );
        let came = self.kernel().remove(&self.uuid(&two));
        self.done("remove a leg", came);
        let came = self.suspend(&top, SuspendMode::Freeze);
        self.done("suspend", came);
        self.note("its health", self.health(&top));
        self.look(&top);
        let came = self
            .mirror(&format!("core 2 {REGION} nosync"))
            .and_then(|()| self.resume(&top));
        self.done("swap for nosync", came);
        self.look(&top);
        self.note("health of a linear", self.health(&one));
    }

    fn logs(&mut self) {
        let (top, log) = (Role::Volume, Role::Log);
        let image = log::image(SIZE, Sectors::new(REGION).unwrap_or_default(), true);
        // Regions 1 and 6 are not clean.
        let mut some = image.clone();
        some[1024] &= !0b0100_0010;
        self.bench.disk_write(0, 30, &some);
        let came = self
            .create(&log, "c-log")
            .and_then(|_| self.linear(&log, 0, 30, Sectors::MIB));
        self.done("a log", came);
        let dev = self.dev(&log);
        let came = self.mirror(&format!("disk 2 {dev} {REGION}"));
        self.done("K22: a mirror over a log that is not live", came);
        let came = self
            .resume(&log)
            .and_then(|()| self.mirror(&format!("disk 2 {dev} {REGION}")));
        self.done("over one that is", came);
        for mib in 0..16 {
            self.bench
                .disk_write(0, 8 + mib, &(300 + mib).to_le_bytes());
            self.bench
                .disk_write(1, 8 + mib, &(400 + mib).to_le_bytes());
        }
        let came = self
            .suspend(&top, SuspendMode::NoFlush)
            .and_then(|()| self.resume(&top));
        self.done("swap it in", came);
        self.bench.copy_all(&self.uuid(&top));
        self.look(&top);
        let legs: Vec<u64> = (8..24).map(|mib| self.bench.disk_read(1, mib)).collect();
        self.note("K6: only the regions that were not clean are copied", legs);
        // K17: all clean, and a blank leg counts as in sync at once.
        self.bench.disk_write(0, 30, &image);
        let came = self
            .mirror(&format!("disk 2 {dev} {REGION}"))
            .and_then(|()| self.suspend(&top, SuspendMode::NoFlush))
            .and_then(|()| self.resume(&top));
        self.done("K17: an all clean log", came);
        self.look(&top);
        let came = self
            .mirror(&format!("core 2 {REGION} nosync"))
            .and_then(|()| self.suspend(&top, SuspendMode::NoFlush))
            .and_then(|()| self.resume(&top));
        self.done("without it again", came);
        let came = self.kernel().remove(&self.uuid(&log));
        self.done("remove the log", came);
    }

    fn failures(&mut self) {
        let (one, top) = (Role::Plex(1), Role::Volume);
        self.bench.set_dead(1, true);
        self.write("K2: a write when a leg has died", &top, 5, 55);
        self.note("its health", self.health(&top));
        self.look(&top);
        self.write("the next write", &top, 6, 66);
        let came = self.load(&top, "linear", SIZE, format!("{} 0", self.dev(&one)));
        self.done("the table without the leg", came);
        let came = self
            .suspend(&top, SuspendMode::NoFlush)
            .and_then(|()| self.resume(&top));
        self.done("swapped in without a flush", came);
        let came = self.bench.waited();
        self.note("the writes that were held", came);
        self.note(
            "they are on the first leg",
            (self.bench.disk_read(0, 13), self.bench.disk_read(0, 14)),
        );

        self.bench.set_dead(1, false);
        let came = self
            .mirror(&format!("core 2 {REGION} nosync"))
            .and_then(|()| self.suspend(&top, SuspendMode::NoFlush))
            .and_then(|()| self.resume(&top));
        self.done("the mirror again", came);
        self.bench.set_dead(1, true);
        self.write("a write when a leg has died", &top, 7, 77);
        let came = self
            .load(&top, "linear", SIZE, format!("{} 0", self.dev(&one)))
            .and_then(|()| self.suspend(&top, SuspendMode::Flush))
            .and_then(|()| self.resume(&top));
        self.done("swapped with a flush", came);
        let came = self.bench.waited();
        self.note("the write that was held is lost", came);
        self.bench.set_dead(1, false);

        // K23: what is not in sync is written on the first leg alone.
        self.bench.disk_write(1, 8 + 15, &999u64.to_le_bytes());
        self.bench.set_dead(0, true);
        self.write("a plain device on a dead disk", &top, 1, 1);
        self.bench.set_dead(0, false);
        self.write("and when it works again", &top, 1, 2);
    }

    /// `mirror` of a linear device on the first disk and a sink.
    fn over_sink(&self, role: &Role, first: &Role, length: Sectors) -> Result<()> {
        let (first, sink) = (self.dev(first), self.dev(&Role::Sink));
        self.load(
            role,
            "mirror",
            length,
            format!("core 2 512 nosync 2 {first} 0 {sink} 0 1 handle_errors"),
        )
    }

    fn swap(&self, role: &Role, mode: SuspendMode) -> Result<()> {
        self.suspend(role, mode).and_then(|()| self.resume(role))
    }

    fn sinks(&mut self) {
        let (one, top) = (Role::Plex(1), Role::Volume);
        let came = self
            .mirror(&format!("core 2 {REGION} nosync"))
            .and_then(|()| self.swap(&top, SuspendMode::NoFlush));
        self.done("the mirror once more", came);
        self.bench.set_dead(0, true);
        self.bench.set_dead(1, true);
        self.write("a write when all legs have died", &top, 8, 88);
        self.bench.set_dead(0, false);
        self.bench.set_dead(1, false);

        let came = self
            .create(&Role::Sink, "c-sink")
            .and_then(|_| self.load(&Role::Sink, "zero", SIZE, String::new()));
        self.done("a sink", came.and_then(|()| self.resume(&Role::Sink)));
        let came = self
            .over_sink(&top, &one, SIZE)
            .and_then(|()| self.swap(&top, SuspendMode::NoFlush));
        self.done("a mirror whose last leg it is", came);
        self.look(&top);
        self.write("write", &top, 9, 99);
        self.note("is on the disk", self.bench.disk_read(0, 17));
        self.bench.set_dead(0, true);
        self.write("a write when all legs but the sink have died", &top, 9, 100);
        self.note("its health", self.health(&top));
        let came = self
            .load(&top, "zero", SIZE, String::new())
            .and_then(|()| self.swap(&top, SuspendMode::NoFlush));
        self.done("a sink in its place", came);
        let came = self.bench.waited();
        self.note("the write that was held", came);
        self.bench.set_dead(0, false);
        self.note("it went nowhere", self.bench.disk_read(0, 17));
        let came = self.kernel().remove(&self.uuid(&top));
        self.done("remove it", came);
    }

    /// The data is on the second disk, the map on the first.
    fn eras(&mut self) {
        let (data, map, first, top) = (Role::Plex(2), Role::Map, Role::Data, Role::Volume);
        let era = format!("{} {}", self.dev(&data), 128);
        let came = self
            .create(&first, "c-first")
            .and_then(|_| self.linear(&first, 0, 34, Sectors::MIB))
            .and_then(|()| self.resume(&first));
        self.done("space for a map", came);
        let came = self
            .create(&map, "c-map")
            .and_then(|_| self.over_sink(&map, &first, Sectors::MIB))
            .and_then(|()| self.resume(&map));
        self.done("a map", came);
        let came = self
            .create(&top, "c-era")
            .and_then(|_| self.load(&top, "era", SIZE, format!("{} {era}", self.dev(&map))));
        self.done("load an era over what is empty", came);
        let came = self.resume(&top);
        self.done("resume it", came);
        self.look(&top);
        self.era("the first era", &top);
        self.write("write", &top, 1, 21);
        self.note("is on the disk", self.bench.disk_read(1, 9));
        let came = self.swap(&top, SuspendMode::Flush);
        self.done("K7: a suspend and a resume wait for nothing", came);
        self.era("and begin the next era", &top);
        self.message("drop what is not held", &top, "drop_metadata_snap");
        self.message("hold the map for a listing", &top, "take_metadata_snap");
        self.era("which begins an era, too", &top);
        self.message("hold it twice", &top, "take_metadata_snap");
        let came = self.swap(&top, SuspendMode::Flush);
        self.done("a suspend and a resume while it is held", came);
        self.message("drop it", &top, "drop_metadata_snap");
        self.era("the era after that", &top);
        let came = self.kernel().remove(&self.uuid(&top));
        self.done("remove it", came);
        let came = self
            .create(&top, "c-era")
            .and_then(|_| self.load(&top, "era", SIZE, format!("{} {era}", self.dev(&map))));
        self.done(
            "and once more over the same map",
            came.and_then(|()| self.resume(&top)),
        );
        self.era("it goes on where it was", &top);

        self.bench.set_dead(0, true);
        self.write("a write that cannot be noted", &top, 2, 22);
        self.note("it has not reached the disk", self.bench.disk_read(1, 10));
        let came = self
            .load(&map, "zero", Sectors::MIB, String::new())
            .and_then(|()| self.swap(&map, SuspendMode::NoFlush));
        self.done("a sink in place of the map", came);
        let came = self.bench.waited();
        self.note("the write that was held", came);
        self.note("it is on the disk", self.bench.disk_read(1, 10));
        self.write("the next write", &top, 3, 23);
        self.bench.set_dead(0, false);
        let came = self.swap(&top, SuspendMode::Flush);
        self.done("a suspend and a resume", came);
        for role in [top, map, first, Role::Sink] {
            let came = self.kernel().remove(&self.uuid(&role));
            self.done(&format!("remove {role:?}"), came);
        }
    }

    fn era(&mut self, what: &str, role: &Role) {
        let came = self.kernel().era(&self.uuid(role));
        self.note(what, came.map_err(|error| error.kind()));
    }

    fn message(&mut self, what: &str, role: &Role, message: &str) {
        let came = self.kernel().message(&self.uuid(role), message);
        self.done(what, came);
    }

    /// K44: what is open stays, with its table; `error` in its place, and it goes when it is
    /// closed.
    fn open_devices(&mut self) {
        let (one, uuid) = (Role::Plex(1), self.uuid(&Role::Plex(1)));
        self.bench.hold(&uuid);
        let came = self.bench.held_write(12, 111);
        self.note("who has it open writes", came);
        let came = self.kernel().remove(&uuid);
        self.done("remove what is open", came);
        let came = self.bench.held_write(12, 112);
        self.note("who has it open writes on", came);
        self.note("it is on the disk", self.bench.disk_read(0, 20));
        let came = self
            .load(&one, "error", SIZE, String::new())
            .and_then(|()| self.swap(&one, SuspendMode::NoFlush));
        self.done("error in its place", came);
        let came = self.bench.held_write(12, 113);
        self.note("who has it open writes", came);
        self.note("it is not on the disk", self.bench.disk_read(0, 20));
        let came = self.kernel().remove_when_closed(&uuid);
        self.done("remove it when it is closed", came);
        let came = self.kernel().rename(&uuid, &DmName::from_kernel("c-held"));
        self.done("rename it", came);
        self.look(&one);
        let came = self.create(&one, "c-one");
        self.done("its UUID is taken as long as it is there", came);
        let came = self
            .create(&Role::Log, "c-one")
            .and_then(|_| self.kernel().remove(&self.uuid(&Role::Log)));
        self.done("its name is not", came);
        self.bench.release();
        self.look(&one);
        let came = self
            .create(&one, "c-one")
            .and_then(|_| self.kernel().remove_when_closed(&uuid));
        self.done("what is closed goes at once", came);
        self.look(&one);
    }

    fn remove_all(&mut self) {
        for role in [Role::Plex(1), Role::Plex(2)] {
            let came = self.kernel().remove(&self.uuid(&role));
            self.done(&format!("remove {role:?}"), came);
        }
        let left = self.kernel().devices().map_or(99, |all| all.len());
        self.note("devices left", left);
    }
}

/// Compares the notes with what the real kernel was seen to do. `BREAKOFF_BLESS=1` on the fake
/// writes them anew: only for a script that has changed, and the real kernel has the last word.
#[track_caller]
pub fn compare(notes: &[String]) {
    let text: String = notes.iter().map(|note| format!("{note}\n")).collect();
    if std::env::var_os("BREAKOFF_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/notes.txt"),
            &text,
        )
        .unwrap();
        return;
    }
    let expected = include_str!("notes.txt");
    for (at, (seen, known)) in text.lines().zip(expected.lines()).enumerate() {
        assert_eq!(seen, known, "note {} differs", at + 1);
    }
    assert_eq!(text.lines().count(), expected.lines().count());
}

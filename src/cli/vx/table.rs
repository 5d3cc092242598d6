//! What each utility does with VxVM's words: the source of the help and of `docs/vxvm.md`. A test
//! parses each example, so that neither promises what is not so.

use std::fmt::Write;

/// A form of a command line.
#[derive(Debug)]
pub struct Entry {
    /// The utility.
    pub utility: &'static str,
    /// The form, without the utility and `-g`; empty if it is the whole utility.
    pub form: &'static str,
    /// A command line of that form, without the utility.
    pub example: &'static str,
    /// How certain it is that VxVM has that form.
    pub source: Source,
    /// What becomes of it.
    pub fate: Fate,
}

/// How certain it is that VxVM has a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// It is used in public scripts.
    Script,
    /// It is in the vendor's documents.
    Document,
    /// It is known from use of the product, and was not looked up.
    Knowledge,
}

/// What becomes of a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It does what it does in VxVM.
    Works,
    /// It works, but for this.
    Differs(&'static str),
    /// It is refused by name; this is what to use instead.
    Refused(&'static str),
}

use Fate::{Differs, Refused, Works};
use Source::{Document, Knowledge, Script};

const fn entry(
    utility: &'static str,
    form: &'static str,
    example: &'static str,
    source: Source,
    fate: Fate,
) -> Entry {
    Entry {
        utility,
        form,
        example,
        source,
        fate,
    }
}

/// Everything that is known of VxVM's words, a line for each form.
#[rustfmt::skip]
pub const ENTRIES: &[Entry] = &[
    // vxassist
    entry("vxassist", "make VOL LENGTH [layout=LAYOUT] [nmirror=N] [DISK...] [!DISK...]", "make v 1g layout=mirror !disk01", Script, Differs("FastResync is on unless fastresync=off; a mirror gets a log unless layout=nolog")),
    entry("vxassist", "make VOL LENGTH user=USER group=GROUP mode=MODE", "make v 1g user=oracle group=dba mode=0660", Script, Works),
    entry("vxassist", "make VOL LENGTH init=active", "make v 1g init=active", Script, Differs("a mirror is made equal nevertheless, in the background")),
    entry("vxassist", "make VOL LENGTH layout=stripe|raid5|concat-mirror|mirror-stripe", "make v 1g layout=stripe", Script, Refused("plexes are concatenated: layout=concat or layout=mirror")),
    entry("vxassist", "mirror VOL [DISK...] [!DISK...]", "mirror v disk02", Script, Works),
    entry("vxassist", "-o iosize=SIZE|slow[=MS] mirror VOL", "-o iosize=500k mirror v", Script, Differs("the kernel chooses the pace of a copy")),
    entry("vxassist", "growto|growby VOL LENGTH [DISK...] [!DISK...]", "growby v 100m", Script, Works),
    entry("vxassist", "maxsize [layout=LAYOUT] [nmirror=N] [DISK...]", "maxsize layout=mirror", Script, Works),
    entry("vxassist", "maxgrow VOL", "maxgrow v", Script, Works),
    entry("vxassist", "[-f] remove volume VOL", "remove volume v", Script, Works),
    entry("vxassist", "remove mirror VOL [DISK|!DISK]", "remove mirror v !disk01", Script, Works),
    entry("vxassist", "remove log VOL [logtype=drl|dco]", "remove log v", Document, Works),
    entry("vxassist", "addlog VOL [logtype=drl] [DISK...]", "addlog v logtype=drl", Document, Differs("one log at most: the kernel's mirror has one")),
    entry("vxassist", "addlog VOL logtype=dco", "addlog v logtype=dco", Document, Differs("switches FastResync on; the map has its space when a snapshot needs it")),
    entry("vxassist", "[-b] snapstart [nmirror=N] VOL [DISK...] [!DISK...]", "-b snapstart v", Script, Works),
    entry("vxassist", "snapwait [nmirror=N] VOL", "snapwait v", Script, Differs("fails at once if no snapshot plex is being attached")),
    entry("vxassist", "snapshot [nmirror=N] VOL [SNAPVOL]", "snapshot v s", Script, Works),
    entry("vxassist", "[-o name=PATTERN] snapshot VOL...", "-o name=%v.%d snapshot v w", Document, Works),
    entry("vxassist", "[-o name=PATTERN] -o allvols snapshot", "-g g -o allvols snapshot", Document, Works),
    entry("vxassist", "[-o allplexes] [-o resyncfromreplica|resyncfromoriginal] snapback [nmirror=N] SNAPVOL", "-o resyncfromreplica snapback s", Script, Works),
    entry("vxassist", "[-o allplexes] snapabort [nmirror=N] VOL", "snapabort v", Document, Works),
    entry("vxassist", "snapclear SNAPVOL | VOL [SNAPOBJ]", "snapclear v s_snp", Script, Works),
    entry("vxassist", "snapprint [VOL]", "snapprint v", Document, Works),
    entry("vxassist", "help [layout|alloc|showattrs|space|usage]", "help layout", Document, Works),
    entry("vxassist", "shrinkto|shrinkby VOL LENGTH", "shrinkto v 1g", Document, Refused("a volume cannot be made smaller: make another one and copy")),
    entry("vxassist", "relayout VOL layout=LAYOUT", "relayout v layout=stripe", Document, Refused("plexes are always concatenated")),
    entry("vxassist", "convert VOL layout=LAYOUT", "convert v layout=mirror", Document, Refused("plexes are always concatenated")),
    entry("vxassist", "transform VOL layout=LAYOUT", "transform v layout=mirror", Knowledge, Refused("plexes are always concatenated")),
    entry("vxassist", "move VOL !DISK [DISK...]", "move v !disk01 disk02", Document, Refused("'vxassist mirror VOL DISK', then 'vxassist remove mirror VOL !DISK'")),
    entry("vxassist", "evacuate !DISK", "evacuate disk01", Knowledge, Refused("'vxassist mirror VOL DISK', then 'vxassist remove mirror VOL !DISK', for each volume")),
    entry("vxassist", "settag VOL TAG", "settag v t", Document, Refused("volumes have no tags")),
    entry("vxassist", "removetag VOL TAG", "removetag v t", Document, Refused("volumes have no tags")),
    entry("vxassist", "listtag VOL", "listtag v", Document, Refused("volumes have no tags")),
    entry("vxassist", "list [tag=TAG]", "list tag=t", Document, Refused("volumes have no tags; 'vxprint -v' lists volumes")),
    entry("vxassist", "intent ...", "intent x", Knowledge, Refused("there are no storage classes; name the disks")),
    // vxprint
    entry("vxprint", "[-AfhqQr] [-vpsdGc] [NAME...]", "-htg g", Script, Works),
    entry("vxprint", "-t", "-ht", Script, Works),
    entry("vxprint", "-l [NAME...]", "-l v", Script, Works),
    entry("vxprint", "-m | -a", "-m", Script, Works),
    entry("vxprint", "-n", "-vn", Script, Works),
    entry("vxprint", "-F [TYPE:]FORMAT", "-g g -F %kstate v", Script, Works),
    entry("vxprint", "-e EXPRESSION", "-v -e v_open -n", Script, Works),
    entry("vxprint", "-u UNIT", "-u m", Script, Works),
    entry("vxprint", "-S", "-S", Document, Works),
    entry("vxprint", "-D DATABASE", "-D -", Document, Refused("the configuration is read from the disks of the group")),
    // vxdg
    entry("vxdg", "[-q] list", "-q list", Script, Works),
    entry("vxdg", "list DG...", "list g", Script, Works),
    entry("vxdg", "[-q] free [DISK...]", "-g g free", Script, Works),
    entry("vxdg", "init DG [MEDIA=]DEVICE... [cds=on] [nconfig=N] [nlog=N] [minor=N]", "init g disk01=sdb sdc cds=on", Script, Differs("a disk that was not set up is set up")),
    entry("vxdg", "[-f] adddisk [MEDIA=]DEVICE...", "-g g adddisk disk02=sdc", Script, Differs("a disk that was not set up is set up; what is on it is never overwritten, with -f or without it")),
    entry("vxdg", "-k adddisk MEDIA=DEVICE", "-g g -k adddisk disk02=sdc", Script, Differs("only for a record without a device; the plexes on it are filled at once")),
    entry("vxdg", "rmdisk MEDIA...", "-g g rmdisk disk02", Script, Works),
    entry("vxdg", "-k rmdisk MEDIA...", "-g g -k rmdisk disk02", Script, Refused("'vxdg -k adddisk MEDIA=DEVICE' gives the record of a dead disk a new device")),
    entry("vxdg", "[-Cft] [-n NEW] import DG", "-tCf import g", Script, Differs("a group stays imported over a boot; '-n' renames it for good")),
    entry("vxdg", "deport DG...", "deport g", Script, Differs("volumes that nobody has open are stopped; if one is open, none is")),
    entry("vxdg", "-o useclonedev=on -o updateid [-Cf] [-n NEW] import DG", "-o useclonedev=on -o updateid -n new import g", Document, Differs("the copies are told from the disks while these are in use, or when nobody has the group; else 'breakoff group import --clone' names them")),
    entry("vxdg", "-n NEW deport DG", "-n new deport g", Document, Refused("'vxdg -n NEW import' renames a group")),
    entry("vxdg", "-h HOST deport DG", "-h other deport g", Document, Refused("'vxdg import' on the other machine takes a deported group over")),
    entry("vxdg", "destroy DG...", "destroy g", Script, Works),
    entry("vxdg", "upgrade DG", "upgrade g", Document, Differs("nothing to do: there is one version")),
    entry("vxdg", "bootdg | defaultdg", "bootdg", Script, Differs("always nodg")),
    entry("vxdg", "[-o expand] listmove SOURCE TARGET OBJECT...", "listmove a b v", Document, Works),
    entry("vxdg", "[-o expand] split SOURCE NEW OBJECT...", "split a b v", Document, Works),
    entry("vxdg", "[-o expand] move SOURCE TARGET OBJECT...", "move a b v", Document, Works),
    entry("vxdg", "join SOURCE TARGET", "join a b", Document, Works),
    entry("vxdg", "set activation=MODE|autoimport=no|cds=on", "-g g set activation=sw", Script, Refused("a group belongs to one machine, is started at boot, and can be used by machines of every kind")),
    entry("vxdg", "nohotuse ...", "nohotuse", Knowledge, Refused("no disk is a spare")),
    entry("vxdg", "flush DG", "flush g", Document, Refused("each change is on the disks when the command ends")),
    entry("vxdg", "recover DG", "recover g", Knowledge, Refused("'breakoff recover' repairs what is left of interrupted commands")),
    entry("vxdg", "repldisk ...", "repldisk a=b", Knowledge, Refused("'vxdg -k adddisk MEDIA=DEVICE' gives a record a new device")),
    // vxdisk
    entry("vxdisk", "[-q] list", "list", Script, Works),
    entry("vxdisk", "-o alldgs list", "-o alldgs list", Script, Works),
    entry("vxdisk", "-e list", "list -o alldgs -e", Script, Works),
    entry("vxdisk", "-s list [DEVICE...]", "-s list", Script, Works),
    entry("vxdisk", "list DEVICE|MEDIA...", "list sdb", Script, Works),
    entry("vxdisk", "-g DG list", "list -g g", Script, Works),
    entry("vxdisk", "path", "path", Document, Differs("one path for each disk: multipath is the kernel's")),
    entry("vxdisk", "scandisks [new|fabric|...]", "scandisks new", Script, Differs("nothing to do: udev knows the disks")),
    entry("vxdisk", "[-f] init DEVICE... [format=cdsdisk] [privlen=LENGTH]", "init sdb", Script, Differs("the private area has the size that a group needs")),
    entry("vxdisk", "[-f] rm DEVICE...", "rm sdb", Script, Differs("the label is erased, as by vxdiskunsetup")),
    entry("vxdisk", "resize MEDIA...", "-g g resize disk01", Document, Works),
    entry("vxdisk", "set DEVICE NAME=VALUE...", "set sdb clone=off", Document, Refused("a disk has nothing to be set")),
    entry("vxdisk", "online DEVICE...", "online sdb", Knowledge, Refused("a disk is looked at by each command; 'vxdisk list' shows it")),
    entry("vxdisk", "offline DEVICE...", "offline sdb", Knowledge, Refused("'vxdg rmdisk' takes a disk out of its group")),
    entry("vxdisk", "clearimport DEVICE...", "clearimport sdb", Document, Refused("'vxdg -C import' takes a group over")),
    entry("vxdisk", "updateudid DEVICE...", "updateudid sdb", Document, Refused("a disk is known by its label; 'vxdg -o useclonedev=on -o updateid import' gives copies new ones")),
    entry("vxdisk", "flush DEVICE...", "flush sdb", Knowledge, Refused("each change is on the disks when the command ends")),
    entry("vxdisksetup", "-i [-f] DEVICE... [format=cdsdisk] [privlen=LENGTH]", "-i sdb privlen=2048", Script, Differs("the private area has the size that a group needs")),
    entry("vxdiskunsetup", "[-C] [-f] DEVICE...", "-C sdb", Script, Works),
    // vxvol
    entry("vxvol", "[-f] start VOL...", "start -g g v", Script, Works),
    entry("vxvol", "[-f] startall", "-g g startall", Script, Differs("-f overrules nothing: a volume that lacks what was written last is started by 'vxvol -f start VOL'")),
    entry("vxvol", "stop VOL...", "-g g stop v", Script, Works),
    entry("vxvol", "[-f] stopall", "-g g -f stopall", Script, Differs("a volume that is open is never stopped, with -f or without it")),
    entry("vxvol", "set fastresync=on|off VOL...", "-g g set fastresync=on v", Document, Works),
    entry("vxvol", "set len=LENGTH|rdpol=POLICY|... VOL", "-g g set len=2048 v", Script, Refused("'vxassist growto' sets a length; dm-raid1 chooses the plex that is read")),
    entry("vxvol", "recover|resync VOL...", "-g g resync v", Script, Differs("what is out of sync is resynchronised by the kernel from the start on; this records and repairs what is left")),
    entry("vxvol", "init active|clean|zero VOL", "-g g init active v", Script, Refused("'vxassist make' makes a volume that is ready")),
    entry("vxvol", "maint VOL", "-g g maint v", Knowledge, Refused("'vxvol stop' stops a volume")),
    entry("vxvol", "rdpol POLICY VOL", "-g g rdpol round v", Document, Refused("dm-raid1 chooses the plex that is read")),
    // vxplex and vxmend
    entry("vxplex", "-o rm dis PLEX...", "-g g -o rm dis v-02", Script, Works),
    entry("vxplex", "dis PLEX...", "-g g dis v-02", Script, Refused("'vxplex -o rm dis' removes it; 'vxassist snapshot' makes a volume of a snapshot plex")),
    entry("vxplex", "det PLEX...", "-g g det v-02", Script, Works),
    entry("vxplex", "att VOL PLEX...", "-g g att v v-02", Script, Works),
    entry("vxplex", "convert state=SNAPDONE|ACTIVE PLEX...", "-g g convert state=SNAPDONE v-02", Document, Works),
    entry("vxplex", "snapshot PLEX [VOL]...", "-g g snapshot v-02 s", Document, Works),
    entry("vxplex", "snapback VOL PLEX...", "-g g snapback v v-02", Document, Differs("only a snapshot of one plex")),
    entry("vxplex", "snapabort PLEX...", "-g g snapabort v-02", Document, Works),
    entry("vxplex", "snapstart VOL PLEX...", "-g g snapstart v v-02", Document, Refused("'vxassist snapstart' makes a plex and attaches it")),
    entry("vxplex", "cp VOL PLEX...", "-g g cp v p", Knowledge, Refused("'vxassist snapstart' and 'snapshot' copy a volume")),
    entry("vxplex", "mv OLD NEW", "-g g mv a b", Knowledge, Refused("'vxassist mirror VOL DISK', then 'vxplex -o rm dis OLD'")),
    entry("vxmend", "off PLEX...", "-g g off v-02", Script, Differs("as 'vxplex det': the plex is STALE, so vxrecover fills it, too")),
    entry("vxmend", "on PLEX...", "-g g on v-02", Script, Differs("it is filled at once, in the background")),
    entry("vxmend", "fix clean PLEX...", "-g g fix clean v-01", Script, Differs("the volume is started, if it would be started from that plex")),
    entry("vxmend", "clear ...", "-g g clear v", Knowledge, Refused("no state is left behind that would have to be cleared")),
    // vxedit
    entry("vxedit", "[-r] [-f] rm VOL...", "-g g -rf rm v", Script, Works),
    entry("vxedit", "rename OLD NEW", "-g g rename v w", Script, Differs("only volumes are renamed")),
    entry("vxedit", "set user=USER group=GROUP mode=MODE VOL...", "-g g set user=oracle group=dba mode=660 v", Script, Works),
    entry("vxedit", "set spare=on|nohotuse=on|reserve=on DISK", "-g g set spare=on disk01", Script, Refused("no disk is a spare")),
    entry("vxedit", "set comment=TEXT RECORD", "-g g set comment=x v", Knowledge, Refused("records have no comments")),
    // vxtask
    entry("vxtask", "[-lhq] list [TASK...]", "list", Script, Differs("a task's number is the minor number of the device that is filled")),
    entry("vxtask", "monitor [TASK...]", "monitor", Script, Works),
    entry("vxtask", "abort TASK...", "abort 12", Document, Differs("a new plex is removed, one that is filled again is STALE; the resync of a volume cannot be aborted")),
    entry("vxtask", "pause TASK...", "pause 12", Document, Refused("the kernel's copy cannot be paused")),
    entry("vxtask", "resume TASK...", "resume 12", Document, Refused("the kernel's copy cannot be paused")),
    entry("vxtask", "set slow=MS TASK...", "set slow=10 12", Document, Refused("the kernel chooses the pace of a copy")),
    // the rest
    entry("vxinfo", "[-p] [VOL...]", "-g g -p", Script, Works),
    entry("vxrecover", "[-s] [-b] [-n] [-m] [VOL...|DISK...]", "-g g -sb", Script, Works),
    entry("vxresize", "[-b] [-F TYPE] VOL [+]LENGTH [DISK...]", "-F ext4 -g g v +1g", Script, Differs("the filesystem is looked at, whatever -F says")),
    entry("vxresize", "VOL -LENGTH", "-g g v 1g -s", Script, Refused("a volume cannot be made smaller")),
    entry("vxstat", "[-vdp] [VOL...]", "-g g -v", Script, Differs("the counts since the devices were made; intervals begin with them, too")),
    entry("vxdctl", "mode | -c mode", "mode", Script, Works),
    entry("vxdctl", "enable", "enable", Script, Differs("nothing to do: udev knows the disks")),
    entry("vxdctl", "license", "license", Script, Differs("no licence is needed")),
    entry("vxdctl", "init|stop|list|disable ...", "stop", Knowledge, Refused("there is no daemon")),
    entry("vxdctl", "list", "list", Script, Refused("there is no daemon")),
    entry("vxdctl", "init", "init", Script, Refused("there is no daemon")),
    entry("vxlicrep", "[-e]", "-e", Script, Differs("no licence is needed")),
    entry("vxdco", "[-o rm] dis DCO...", "-g g dis v_dco", Document, Differs("switches FastResync off")),
    entry("vxdco", "[-o force] enable DCO...", "-g g -o force enable v_dco", Document, Differs("nothing to do: no map is ever marked as bad")),
    entry("vxdco", "att VOL DCO", "-g g att v v_dco", Document, Refused("'vxvol set fastresync=on' makes the map")),
    entry("vxdco", "attlogvol DCO VOL", "-g g attlogvol d v", Document, Refused("'vxvol set fastresync=on' makes the map")),
    entry("vxdco", "dislogvol DCO", "-g g dislogvol d", Document, Refused("'vxvol set fastresync=off' removes the map")),
    entry("vxsnap", "prepare|addmap VOL", "-g g prepare v", Document, Differs("switches FastResync on, for traditional snapshots")),
    entry("vxsnap", "unprepare VOL...", "-g g unprepare v", Document, Differs("switches FastResync off")),
    entry("vxsnap", "make source=VOL/...", "-g g make source=v/newvol=s", Script, Refused("instant snapshots are not supported; 'vxassist snapstart' and 'snapshot' make a traditional one")),
    entry("vxsnap", "addmir VOL", "-g g addmir v", Document, Refused("'vxassist snapstart' attaches a snapshot plex")),
    entry("vxsnap", "refresh SNAPVOL source=VOL", "-g g refresh s source=v", Script, Refused("'vxassist snapback' and 'snapshot' bring a snapshot up to date, copying what has changed")),
    entry("vxsnap", "reattach SNAPVOL source=VOL", "-g g reattach s source=v", Script, Refused("'vxassist snapback SNAPVOL' brings it back")),
    entry("vxsnap", "restore VOL source=SNAPVOL", "-g g restore v source=s", Document, Refused("'vxassist -o resyncfromreplica snapback SNAPVOL' restores")),
    entry("vxsnap", "dis SNAPVOL", "-g g dis s", Document, Refused("'vxassist snapclear SNAPVOL' ends the relation")),
    entry("vxsnap", "split SNAPVOL", "-g g split s", Document, Refused("a snapshot is whole from the start")),
    entry("vxsnap", "syncwait SNAPVOL", "-g g syncwait s", Document, Refused("a snapshot is whole from the start; 'vxassist snapwait VOL' waits for a plex")),
    entry("vxsnap", "print [VOL]", "-g g print", Document, Refused("'vxassist snapprint' shows the relations")),
    entry("vxsnap", "list [VOL]", "-g g list", Document, Refused("'vxassist snapprint' shows the relations")),
    entry("vxmake", "", "vol v plex=p", Script, Refused("'vxassist make' makes a volume with all its parts")),
    entry("vxsd", "", "-g g assoc p s", Script, Refused("subdisks are no objects of their own; 'vxassist mirror VOL DISK' and 'vxassist remove mirror VOL !DISK' move what lies on a disk")),
    entry("vxevac", "", "-g g disk01", Script, Refused("'vxassist mirror VOL DISK', then 'vxassist remove mirror VOL !DISK', for each volume on the disk")),
    entry("vxmirror", "", "-g g disk01 disk02", Document, Refused("'vxassist mirror VOL DISK' for each volume")),
    entry("vxrelayout", "", "-g g status v", Document, Refused("plexes are always concatenated")),
    entry("vxunreloc", "", "-g g disk01", Document, Refused("nothing is relocated: 'vxdg -k adddisk MEDIA=DEVICE' replaces a disk")),
    entry("vxcache", "", "-g g stop c", Document, Refused("instant snapshots are not supported")),
    entry("vxrvg", "", "-g g snapprint r", Document, Refused("there is no replication")),
    entry("vxconfigbackup", "", "g", Document, Refused("'breakoff group dump GROUP' prints the configuration; each disk has a copy")),
    entry("vxconfigrestore", "", "-p g", Document, Refused("each disk has a copy of the configuration")),
    entry("vxnotify", "", "-f", Document, Refused("failures are in the system's journal")),
    entry("vxdmpadm", "", "listctlr", Script, Refused("multipath is the kernel's: see 'multipath -ll'")),
    entry("vxddladm", "", "list", Document, Refused("udev finds the disks")),
    entry("vxlist", "", "", Document, Refused("'vxprint' and 'vxdisk list' show what there is")),
    entry("vxconfigd", "", "-k", Document, Refused("there is no daemon")),
    entry("vxiod", "", "set 10", Document, Refused("the kernel does the I/O")),
];

/// The entries of a utility.
fn of(utility: &str) -> impl Iterator<Item = &'static Entry> + use<'_> {
    ENTRIES.iter().filter(move |entry| entry.utility == utility)
}

/// Why a whole utility is refused, and what to use instead.
pub(super) fn instead(utility: &str) -> Option<(&'static str, &'static str)> {
    of(utility).find_map(|entry| match entry.fate {
        Refused(instead) if entry.form.is_empty() => Some(("breakoff does without it", instead)),
        _ => None,
    })
}

/// What to use instead of a keyword that is refused.
pub(super) fn refusal(utility: &str, keyword: &str) -> Option<&'static str> {
    of(utility).find_map(|entry| match entry.fate {
        Refused(instead) if entry.has_keyword(keyword) => Some(instead),
        _ => None,
    })
}

impl Entry {
    /// Whether the form begins with this keyword, or has it as one of several.
    fn has_keyword(&self, keyword: &str) -> bool {
        let first = self.form.split(' ').next().unwrap_or_default();
        first.split('|').any(|word| word == keyword)
    }
}

/// The help of a utility: what works, what differs, what is refused.
pub(super) fn help(utility: &str) -> String {
    let mut text = format!("{utility}: VxVM's words for what 'breakoff' does.\n\nUsage:\n");
    for entry in of(utility) {
        match entry.fate {
            Works => {
                let _ = writeln!(text, "  {utility} [-g dg] {}", entry.form);
            }
            Differs(how) => {
                let _ = writeln!(text, "  {utility} [-g dg] {}\n      {how}", entry.form);
            }
            Refused(_) => {}
        }
    }
    let refused: Vec<&Entry> = of(utility)
        .filter(|entry| matches!(entry.fate, Refused(_)))
        .collect();
    if !refused.is_empty() {
        text += "\nNot supported:\n";
    }
    for entry in refused {
        if let Refused(instead) = entry.fate {
            let _ = writeln!(text, "  {utility} {}\n      {instead}", entry.form);
        }
    }
    text += "\nA length without a suffix is in sectors of 512 bytes; k, m, g and t are binary multiples.\n\
             Exit status: 0 done, 1 usage, 9 no such group, 11 not found (a group: vxdg, vxprint),\n\
             12 exists, 21 device or kernel, 24 cannot be started, 31 in use, 4 and 65 and above: other failures.\n";
    text
}

/// The table as `docs/vxvm.md` shows it.
pub fn markdown() -> String {
    let mut text = String::from("| command line | here | source |\n|---|---|---|\n");
    for entry in ENTRIES {
        let line = format!("{} {}", entry.utility, entry.form);
        let line = line.trim_end().replace('|', "\\|");
        let fate = match entry.fate {
            Works => "works".to_owned(),
            Differs(how) => format!("**differs**: {how}"),
            Refused(instead) => format!("**refused**: {instead}"),
        };
        let source = match entry.source {
            Script => "scripts",
            Document => "documents",
            Knowledge => "knowledge",
        };
        let fate = fate.replace('|', "\\|");
        let _ = writeln!(text, "| `{line}` | {fate} | {source} |");
    }
    text
}

//! Disks on another machine by NVMe over TCP and by iSCSI: the kernel's own targets and initiators on
//! this one, with a relay between them that stands for the network.
//!
//! ```text
//! file in /tmp ── nvmet or LIO (configfs) ── TCP ── relay (a process) ── TCP ── /dev/nvmeXnY or /dev/sdX
//! ```
//!
//! The relay is what a test stops (nothing arrives any more, and nobody is told), kills (the
//! connections are reset and new ones refused) and starts again.

use super::child::tool;
use super::lab::until;
use super::nbd::bring_up_loopback;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// A way to a server that can be interrupted.
pub struct Relay {
    /// Where clients connect.
    pub port: u16,
    to: u16,
    process: Option<Pid>,
}

impl Relay {
    /// Opens a way to this port of this machine.
    pub fn to(port: u16) -> io::Result<Relay> {
        bring_up_loopback()?;
        let mut relay = Relay {
            port: 0,
            to: port,
            process: None,
        };
        relay.open()?;
        Ok(relay)
    }

    /// Opens it again, at the same port.
    pub fn open(&mut self) -> io::Result<()> {
        if let Some(process) = self.process {
            signal(process, libc::SIGCONT);
            return Ok(());
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port))?;
        self.port = listener.local_addr()?.port();
        // SAFETY: the child continues with the memory that is mapped here, in which glibc keeps the
        // allocator usable, and never returns.
        match unsafe { libc::fork() } {
            0 => {
                // SAFETY: plain system calls; nothing but the listener stays open.
                unsafe {
                    libc::dup2(listener.as_raw_fd(), 3);
                    libc::syscall(libc::SYS_close_range, 4, u32::MAX, 0);
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
                }
                std::mem::forget(listener);
                relay(self.to);
                // SAFETY: ends the process.
                unsafe { libc::_exit(0) }
            }
            child if child < 0 => Err(io::Error::last_os_error()),
            child => {
                self.process = Some(Pid::from_raw(child));
                Ok(())
            }
        }
    }

    /// From now on nothing arrives, and nobody is told.
    pub fn stop(&self) {
        println!("the network is silent");
        self.process
            .iter()
            .for_each(|process| signal(*process, libc::SIGSTOP));
    }

    /// Resets all connections; new ones are refused.
    pub fn cut(&mut self) {
        println!("the connections are reset");
        if let Some(process) = self.process.take() {
            signal(process, libc::SIGKILL);
            let _ = waitpid(process, None);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.cut();
    }
}

fn signal(process: Pid, signal: i32) {
    // SAFETY: plain system call on a child that has not been waited for.
    unsafe { libc::kill(process.as_raw(), signal) };
}

/// Passes on what arrives on descriptor 3, until this process is killed.
fn relay(to: u16) {
    // SAFETY: the descriptor is the listener, and nobody else's.
    let listener: TcpListener = unsafe { std::os::fd::FromRawFd::from_raw_fd(3) };
    for client in listener.incoming().flatten() {
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)) else {
            continue;
        };
        for (from, to) in [(&client, &server), (&server, &client)] {
            let _ = from.set_nodelay(true);
            if let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) {
                std::thread::spawn(move || {
                    let mut part = vec![0; 64 << 10];
                    while let Ok(length @ 1..) = from.read(&mut part) {
                        if to.write_all(&part[..length]).is_err() {
                            break;
                        }
                    }
                    let _ = from.shutdown(Shutdown::Both);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        }
    }
}

// ------------------------------------------------------------------------------------------- NVMe

const CONFIG: &str = "/sys/kernel/config";
const NQN: &str = "nqn.2026-12.test:botest";
/// Where the target listens; the relay's port is another one.
const PORT: u16 = 14420;

/// A disk by NVMe over TCP.
pub struct Nvme {
    pub path: PathBuf,
    pub relay: Relay,
    controller: String,
    _target: NvmeTarget,
}

/// The file behind a target. No device of this machine has the same bytes: that would be a second
/// path to the disk.
fn backing(size: u64) -> io::Result<NamedTempFile> {
    let file = tempfile::Builder::new()
        .prefix("botest-")
        .tempfile_in("/tmp")?;
    file.as_file().set_len(size)?;
    Ok(file)
}

/// What the kernel has of a target; it goes with it.
struct NvmeTarget {
    _disk: NamedTempFile,
}

impl NvmeTarget {
    fn new(size: u64) -> io::Result<NvmeTarget> {
        let disk = backing(size)?;
        let subsystem = Path::new(CONFIG).join("nvmet/subsystems").join(NQN);
        let namespace = subsystem.join("namespaces/1");
        let port = Path::new(CONFIG).join("nvmet/ports/1");
        fs::create_dir(&subsystem)?;
        fs::write(subsystem.join("attr_allow_any_host"), "1")?;
        fs::create_dir(&namespace)?;
        fs::write(
            namespace.join("device_path"),
            disk.path().display().to_string(),
        )?;
        fs::write(namespace.join("buffered_io"), "1")?;
        fs::write(namespace.join("enable"), "1")?;
        fs::create_dir(&port)?;
        for (name, value) in [
            ("addr_trtype", "tcp"),
            ("addr_adrfam", "ipv4"),
            ("addr_traddr", "127.0.0.1"),
            ("addr_trsvcid", &PORT.to_string()),
        ] {
            fs::write(port.join(name), value)?;
        }
        std::os::unix::fs::symlink(&subsystem, port.join("subsystems").join(NQN))?;
        Ok(NvmeTarget { _disk: disk })
    }
}

impl Drop for NvmeTarget {
    fn drop(&mut self) {
        let root = Path::new(CONFIG).join("nvmet");
        let subsystem = root.join("subsystems").join(NQN);
        let port = root.join("ports/1");
        let _ = fs::remove_file(port.join("subsystems").join(NQN));
        let _ = fs::remove_dir(port);
        let _ = fs::write(subsystem.join("namespaces/1/enable"), "0");
        let _ = fs::remove_dir(subsystem.join("namespaces/1"));
        let _ = fs::remove_dir(subsystem);
    }
}

impl Nvme {
    /// Connects to a new target with a disk of `size` bytes, with these options of the kernel's
    /// `/dev/nvme-fabrics`, such as `ctrl_loss_tmo=5`.
    pub fn new(size: u64, options: &str) -> io::Result<Nvme> {
        let target = NvmeTarget::new(size)?;
        let relay = Relay::to(PORT)?;
        let mut fabrics = File::options()
            .read(true)
            .write(true)
            .open("/dev/nvme-fabrics")?;
        let port = relay.port;
        // All of it in one write.
        let options = format!(
            "nqn={NQN},transport=tcp,traddr=127.0.0.1,trsvcid={port},nr_io_queues=1,{options}"
        );
        fabrics.write_all(options.as_bytes())?;
        let mut said = [0; 128];
        let length = fabrics.read(&mut said)?;
        let said = String::from_utf8_lossy(&said[..length]).into_owned();
        let instance = said
            .split(['=', ','])
            .nth(1)
            .ok_or_else(|| io::Error::other(said.clone()))?;
        let controller = format!("nvme{instance}");
        let mut path = None;
        until("the namespace appears", || {
            path = namespace(&controller);
            path.as_ref().is_some_and(|path| path.exists())
        });
        super::udev::settle();
        Ok(Nvme {
            path: path.unwrap_or_default(),
            relay,
            controller,
            _target: target,
        })
    }

    /// `live`, `connecting` and so on; `None` when the kernel has given it up.
    pub fn state(&self) -> Option<String> {
        let state = Path::new("/sys/class/nvme")
            .join(&self.controller)
            .join("state");
        Some(fs::read_to_string(state).ok()?.trim().to_owned())
    }
}

impl Drop for Nvme {
    fn drop(&mut self) {
        // With the connections reset, nothing is waited for.
        self.relay.cut();
        let delete = Path::new("/sys/class/nvme")
            .join(&self.controller)
            .join("delete_controller");
        let _ = fs::write(delete, "1");
    }
}

/// The device of a controller's namespace. Where the kernel joins several paths, the one of the path
/// is hidden and says which.
fn namespace(controller: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(Path::new("/sys/class/nvme").join(controller)).ok()?;
    let mut names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let name = names.find(|name| name.starts_with("nvme") && name.contains('n'))?;
    let joined = match name.split_once('c') {
        Some((subsystem, rest)) => format!("{subsystem}{}", &rest[rest.find('n')?..]),
        None => name,
    };
    Some(Path::new("/dev").join(joined))
}

/// Whether this kernel has both ends; the modules are loaded.
pub fn has_nvme() -> bool {
    let modules = ["configfs", "nvmet", "nvmet-tcp", "nvme-tcp"];
    let loaded = modules
        .iter()
        .all(|module| tool("modprobe", &[module]).status == 0);
    if loaded && !Path::new(CONFIG).join("nvmet").exists() {
        tool("mount", &["-t", "configfs", "none", CONFIG]);
    }
    loaded && Path::new(CONFIG).join("nvmet").exists() && Path::new("/dev/nvme-fabrics").exists()
}

// ------------------------------------------------------------------------------------------- iSCSI

const IQN: &str = "iqn.2026-12.test:botest";
const ISCSI_PORT: u16 = 13260;

/// A disk by iSCSI: the kernel's own target (LIO), and open-iscsi with the kernel's initiator.
pub struct Iscsi {
    pub path: PathBuf,
    pub relay: Relay,
    daemon: std::process::Child,
    _target: IscsiTarget,
}

/// What the kernel has of a target; it goes with it.
struct IscsiTarget {
    _disk: NamedTempFile,
}

impl IscsiTarget {
    fn new(size: u64) -> io::Result<IscsiTarget> {
        let disk = backing(size)?;
        let root = Path::new(CONFIG).join("target");
        let store = root.join("core/fileio_0/botest");
        fs::create_dir_all(&store)?;
        let control = format!("fd_dev_name={},fd_dev_size={size}", disk.path().display());
        fs::write(store.join("control"), control)?;
        fs::write(store.join("enable"), "1")?;
        fs::create_dir_all(root.join("iscsi"))?;
        let group = root.join("iscsi").join(IQN).join("tpgt_1");
        fs::create_dir_all(&group)?;
        let lun = group.join("lun/lun_0");
        fs::create_dir(&lun)?;
        std::os::unix::fs::symlink(&store, lun.join("botest"))?;
        fs::create_dir(group.join(format!("np/127.0.0.1:{ISCSI_PORT}")))?;
        for (name, value) in [
            ("attrib/generate_node_acls", "1"),
            ("attrib/demo_mode_write_protect", "0"),
            ("attrib/authentication", "0"),
            ("enable", "1"),
        ] {
            fs::write(group.join(name), value)?;
        }
        Ok(IscsiTarget { _disk: disk })
    }
}

impl Drop for IscsiTarget {
    fn drop(&mut self) {
        let root = Path::new(CONFIG).join("target");
        let name = root.join("iscsi").join(IQN);
        let group = name.join("tpgt_1");
        let _ = fs::write(group.join("enable"), "0");
        let _ = fs::remove_file(group.join("lun/lun_0/botest"));
        for directory in [
            group.join("lun/lun_0"),
            group.join(format!("np/127.0.0.1:{ISCSI_PORT}")),
            group,
            name,
            root.join("core/fileio_0/botest"),
            root.join("core/fileio_0"),
        ] {
            let _ = fs::remove_dir(directory);
        }
    }
}

impl Iscsi {
    /// Logs in to a new target with a disk of `size` bytes, with these settings of open-iscsi, such
    /// as `("node.session.timeo.replacement_timeout", "5")`.
    pub fn new(size: u64, settings: &[(&str, &str)]) -> io::Result<Iscsi> {
        let target = IscsiTarget::new(size)?;
        let relay = Relay::to(ISCSI_PORT)?;
        fs::create_dir_all("/etc/iscsi")?;
        fs::create_dir_all("/run/lock/iscsi")?;
        fs::write(
            "/etc/iscsi/initiatorname.iscsi",
            format!("InitiatorName={IQN}-client\n"),
        )?;
        let daemon = std::process::Command::new("iscsid").arg("-f").spawn()?;
        let portal = format!("127.0.0.1:{}", relay.port);
        let node = ["-m", "node", "-T", IQN, "-p", &portal];
        let admin = |words: &[&str]| tool("iscsiadm", &[&node[..], words].concat());
        until("iscsid knows the node", || {
            admin(&["-o", "new"]).status == 0
        });
        for (name, value) in settings {
            admin(&["-o", "update", "-n", name, "-v", value]).ok();
        }
        admin(&["--login"]).ok();
        let mut path = None;
        until("the disk appears", || {
            path = lio_disk();
            path.as_ref().is_some_and(|path| path.exists())
        });
        super::udev::settle();
        Ok(Iscsi {
            path: path.unwrap_or_default(),
            relay,
            daemon,
            _target: target,
        })
    }

    /// Whether the kernel passes on what it is asked.
    pub fn is_running(&self) -> bool {
        let state = self
            .path
            .file_name()
            .map(|name| Path::new("/sys/block").join(name).join("device/state"));
        state.is_some_and(|state| {
            fs::read_to_string(state).is_ok_and(|state| state.trim() == "running")
        })
    }
}

impl Drop for Iscsi {
    fn drop(&mut self) {
        let _ = self.relay.open();
        tool("iscsiadm", &["-m", "node", "--logout"]);
        tool("iscsiadm", &["-m", "node", "-o", "delete"]);
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// The disk that LIO has made.
fn lio_disk() -> Option<PathBuf> {
    let mut disks = fs::read_dir("/sys/block").ok()?.flatten();
    let disk = disks.find(|disk| {
        fs::read_to_string(disk.path().join("device/vendor"))
            .is_ok_and(|vendor| vendor.trim() == "LIO-ORG")
    })?;
    Some(Path::new("/dev").join(disk.file_name()))
}

/// Whether this machine has both ends; the modules are loaded.
pub fn has_iscsi() -> bool {
    let modules = [
        "configfs",
        "target_core_mod",
        "target_core_file",
        "iscsi_target_mod",
        "iscsi_tcp",
        "sd_mod",
    ];
    let loaded = modules
        .iter()
        .all(|module| tool("modprobe", &[module]).status == 0);
    if loaded && !Path::new(CONFIG).join("target").exists() {
        tool("mount", &["-t", "configfs", "none", CONFIG]);
    }
    loaded && Path::new(CONFIG).join("target").exists()
}

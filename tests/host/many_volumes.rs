//! Steps of many volumes, which the kernel may carry out in any order among the volumes. The machine
//! in memory takes the last volume first.

use crate::fake::Fake;
use crate::fake::script::World;
use breakoff::model::Role;
use breakoff::sys::machine::Machine;
use breakoff::table::DmDevice;

const GROUP: &str = "group create g /dev/fake1 /dev/fake2 /dev/fake3 /dev/fake4";

/// Five volumes of eleven plexes. A mirror takes nine legs, so each has a layer beneath its own
/// device. Nobody has any of them open.
fn layered() -> Fake {
    let machine = Fake::new(&[64; 11]);
    let disks: Vec<String> = (1..=11).map(|n| format!("/dev/fake{n}")).collect();
    machine.ok(&format!("group create g {}", disks.join(" ")));
    for n in 1..=5 {
        let name = format!("g-v{n}");
        machine.0.borrow_mut().data.closed.insert(name);
        machine.ok(&format!("make v{n} 1m --mirrors 11"));
    }
    machine
}

fn devices(machine: &Fake) -> Vec<DmDevice> {
    machine.kernel().unwrap().devices().unwrap()
}

fn layers(devices: &[DmDevice]) -> usize {
    let is_layer = |d: &&DmDevice| matches!(d.uuid.role(), Some(Role::Layer(_)));
    devices.iter().filter(is_layer).count()
}

/// A device that is made live before what it lies on ends the machine in memory.
#[test]
fn the_devices_of_each_are_started_from_the_bottom_up() {
    let machine = layered();
    let before = devices(&machine);
    assert_eq!(
        layers(&before),
        5,
        "each has a layer beneath its own device"
    );
    machine.ok("stop --all");
    assert_eq!(devices(&machine), []);
    machine.ok("start --all");
    let after = devices(&machine);
    assert_eq!(layers(&after), 5);
    let names = |devices: &[DmDevice]| {
        let mut names: Vec<String> = devices.iter().map(|d| d.name.to_string()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&after), names(&before));
    assert!(after.iter().all(|d| !d.suspended && !d.table.is_empty()));
}

#[test]
fn crash_points_of_starting_and_stopping_many() {
    let plain = [
        GROUP,
        "make a 2m",
        "make b 2m",
        "make c 2m",
        "make d 2m",
        "make e 2m",
    ];
    let started = World::new("many", 4, &plain);
    let names = ["a", "b", "c", "d", "e"].map(|name| format!("g-{name}"));
    started.fake.0.borrow_mut().data.closed.extend(names);
    started.crash("stop --all");
    started.fake.ok("stop --all");
    started.crash("start --all");
}

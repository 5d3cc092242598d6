//! Steps of many volumes, which the kernel may carry out in any order among the volumes. The machine
//! in memory takes the last volume first.

use crate::fake::Fake;
use crate::fake::script::World;
use crate::pure::{done, make, name, world};
use breakoff::model::{Group, Role, Volume};
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

/// Each call fails in turn. Nothing of a volume comes up above what has not.
#[test]
fn crash_points_of_starting_many_with_layers() {
    let disks: Vec<String> = (1..=10).map(|n| format!("/dev/fake{n}")).collect();
    let group = format!("group create g {}", disks.join(" "));
    let volumes = ["a", "b", "c", "d"];
    let made = volumes.map(|name| format!("make {name} 1m --mirrors 10"));
    let script: Vec<&str> = std::iter::once(&group)
        .chain(&made)
        .map(String::as_str)
        .collect();
    let started = World::new("many with layers", 10, &script);
    let names = volumes.map(|name| format!("g-{name}"));
    started.fake.0.borrow_mut().data.closed.extend(names);
    started.fake.ok("stop --all");
    started.crash("start --all");
}

#[test]
fn volumes_are_found_however_the_list_has_changed() {
    let mut w = world(1);
    for volume in ["a", "b", "c", "d"] {
        done(&mut w, &make(volume, 1, 1));
    }
    let [a, b, c, d]: [Volume; 4] = w.group.volumes.clone().try_into().unwrap();
    let ids = [&a, &b, &c, &d].map(|volume| volume.id);
    let found =
        |group: &Group| ids.map(|id| group.volume(id).map(|volume| volume.name.to_string()));
    let named = |names: [&str; 4]| names.map(|n| (!n.is_empty()).then(|| n.to_owned()));
    let mut group = w.group.clone();
    group.volumes = vec![a.clone(), b, c];
    assert_eq!(found(&group), named(["a", "b", "c", ""]));
    group.volumes.remove(0);
    assert_eq!(found(&group), named(["", "b", "c", ""]), "moved");
    group.volumes.push(d);
    group.volumes.push(a);
    assert_eq!(found(&group), named(["a", "b", "c", "d"]), "added");
    group.volumes.swap(0, 1);
    group.volume_mut(ids[1]).unwrap().name = name("x");
    assert_eq!(found(&group), named(["a", "x", "c", "d"]), "changed");
    let copy = group.clone();
    assert!(copy == group && found(&copy) == found(&group));
}

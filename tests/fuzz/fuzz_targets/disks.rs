//! Whole disks: up to four, each with two superblocks and two slots, read, chosen from, and written
//! again.
//!
//! The superblocks begin as real ones; some of their bytes are replaced and the checksum is made
//! right again, or not.
#![no_main]

use breakoff::meta::layout::*;
use breakoff::meta::{self, Chosen, Guide, Label, Member};
use breakoff::model::{
    DiskId, Extent, Generation, Group, GroupId, HostId, Lanes, Name, NodeOwner, Plex, PlexState,
    Sectors, Volume, VolumeId,
};
use breakoff::sys::Media;
use breakoff_fuzz::media::{self, Ram};
use breakoff_fuzz::{check_error, check_group, check_message, memory};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;

const AREA: Sectors = AREA_MIN;
const SIZES: [u64; 4] = [8 << 20, 64 << 20, 1 << 20, 4 << 30];
/// No payload here is larger than a slot, and no slot is larger than a quarter of what is kept of a
/// disk.
const KEPT: usize = 128 << 10;

fuzz_target!(|data: &[u8]| {
    let Ok(disks) = disks(&mut Unstructured::new(data)) else {
        return;
    };
    let mut found = Vec::new();
    for (n, disk) in disks.iter().enumerate() {
        // A superblock may claim a payload of PAYLOAD_MAX where the device is that large; it is not
        // there to be read.
        let limit = PAYLOAD_MAX.min(disk.size()) as usize + KEPT;
        match memory::bounded(limit, || meta::read_disk(disk)) {
            Ok(Some(label)) => {
                check_label(&label, disk);
                found.push((n, label));
            }
            Ok(None) => {}
            Err(err) => check_error(&err),
        }
    }
    let labels: Vec<(String, Label)> = found
        .iter()
        .map(|(n, label)| (format!("/dev/sd{n}"), label.clone()))
        .collect();
    for id in meta::groups(&labels) {
        match meta::choose(id, &labels) {
            Ok(chosen) => {
                check_chosen(id, &chosen, &labels);
                write_again(&chosen, &found, &disks);
            }
            Err(err) => check_error(&err),
        }
        for side in meta::sides(id, &labels).into_iter().flatten() {
            check_group(&side.says.group);
            let guide = Guide {
                side: Some(side.stamp.digest),
                ..Guide::default()
            };
            match meta::choose_by(id, &labels, &guide) {
                Ok(chosen) => {
                    check_chosen(id, &chosen, &labels);
                    write_again(&chosen, &found, &disks);
                }
                Err(err) => check_error(&err),
            }
        }
    }
});

fn check_label(label: &Label, disk: &Ram) {
    assert!(
        label.copies().len() <= 2
            && label
                .copies()
                .is_sorted_by(|a, b| a.generation() >= b.generation())
    );
    assert!(
        label
            .copies()
            .iter()
            .all(|copy| copy.generation() <= label.highest())
    );
    assert!(
        label.geometry().data_start().bytes() + label.geometry().data_size().bytes() <= disk.size()
    );
    label
        .warnings()
        .iter()
        .map(String::as_str)
        .chain(label.written_by_newer())
        .for_each(check_message);
    assert!(meta::is_ours(disk));
}

fn check_chosen(id: GroupId, chosen: &Chosen, labels: &[(String, Label)]) {
    check_group(&chosen.group);
    chosen
        .warnings
        .iter()
        .for_each(|warning| check_message(warning));
    assert_eq!(chosen.group.id, id);
    assert!(
        labels
            .iter()
            .filter(|(_, label)| label.group() == Some(id))
            .all(|(_, label)| label.highest() < chosen.next)
    );
    assert!(chosen.generation < chosen.next && chosen.next <= GENERATION_MAX);
    assert_eq!(
        chosen.present.len() + chosen.missing.len(),
        chosen.group.disks.len()
    );
    for (disk, index) in &chosen.present {
        let (label, disk) = (
            &labels[*index].1,
            chosen
                .group
                .disk(*disk)
                .expect("a present disk is one of the group"),
        );
        assert_eq!(
            (label.disk(), label.geometry().data_start()),
            (disk.id, disk.data_start)
        );
        assert!(disk.size <= label.geometry().data_size());
    }
    assert!(
        chosen
            .strangers
            .iter()
            .all(|disk| chosen.group.disk(*disk).is_none())
    );
    assert!(
        chosen
            .outdated
            .iter()
            .all(|disk| chosen.present.iter().any(|(id, _)| id == disk))
    );
}

/// The next commit is what everybody reads from then on.
fn write_again(chosen: &Chosen, found: &[(usize, Label)], disks: &[Ram]) {
    let member = |(disk, index): &(DiskId, usize)| {
        let (n, label) = &found[*index];
        Member {
            disk: *disk,
            name: format!("/dev/sd{n}"),
            media: Box::new(disks[*n].writable()),
            label: label.clone(),
        }
    };
    let mut members: Vec<Member> = chosen.present.iter().map(member).collect();
    let committed = match meta::prepare(&mut members, &chosen.group, chosen.next, &chosen.lineage) {
        Ok(mut prepared) => prepared.flip().committed(),
        Err(err) => return check_error(&err),
    };
    let read =
        |(n, disk): (usize, &Ram)| Some((format!("/dev/sd{n}"), meta::read_disk(disk).ok()??));
    let labels: Vec<(String, Label)> = disks.iter().enumerate().filter_map(read).collect();
    if committed {
        let again =
            meta::choose(chosen.group.id, &labels).expect("what was committed can be chosen");
        assert_eq!(
            (&again.group, again.generation),
            (&chosen.group, chosen.next)
        );
    }
}

fn disks(u: &mut Unstructured) -> Result<Vec<Ram>> {
    let count = u.int_in_range(1..=4)?;
    (0..count).map(|n| disk(u, n)).collect()
}

fn disk(u: &mut Unstructured, n: u8) -> Result<Ram> {
    let size = if u.ratio(7, 8)? {
        SIZES[0]
    } else {
        *u.choose(&SIZES)?
    };
    let ram = Ram::new(KEPT.min(size as usize), size);
    let Ok(geometry) = Geometry::divide(AREA, SIZES[0]) else {
        return Ok(ram);
    };
    let identity = if u.ratio(15, 16)? {
        n
    } else {
        u.int_in_range(0..=4)?
    };
    for position in Position::ALL {
        if u.ratio(1, 8)? {
            continue;
        }
        let slot = if (position == Position::A) == u.ratio(7, 8)? {
            Slot::First
        } else {
            Slot::Second
        };
        let (payload, generation) = payload(u)?;
        let offset = geometry.slot(slot).start;
        ram.put(offset, &payload);
        let at = PayloadAt {
            slot,
            offset,
            length: payload.len() as u64,
            checksum: crc32c::crc32c(&payload),
        };
        let member = Membership {
            group: GroupId::from_bytes([u.int_in_range(1..=2)?; 16]),
            generation,
            payload: at,
        };
        let member = Some(member).filter(|_| u.ratio(15, 16).unwrap_or(true));
        let mut block = Superblock {
            position,
            disk: disk_id(identity),
            geometry,
            member,
        }
        .encode();
        damage(u, &mut block)?;
        ram.put(position.offset(), &block);
    }
    Ok(ram)
}

/// Replaces some bytes; mostly the checksum is made right again.
fn damage(u: &mut Unstructured, block: &mut [u8]) -> Result<()> {
    for _ in 0..u.int_in_range(0..=3u8)? {
        let at = u.int_in_range(16..=128usize)?;
        block[at] = u.arbitrary()?;
    }
    if u.ratio(15, 16)? {
        media::seal(block);
    }
    Ok(())
}

/// A payload, mostly a good one, and the generation that the superblock says.
fn payload(u: &mut Unstructured) -> Result<(Vec<u8>, Generation)> {
    let number: u64 = u.int_in_range(1..=4)?;
    let says = if u.ratio(15, 16)? {
        number
    } else {
        *u.choose(&[0, 5, (1 << 48) - 1, 1 << 48, u64::MAX])?
    };
    let payload = match u.int_in_range(0..=15u8)? {
        0 => u.bytes(8)?.to_vec(),
        1 => media::pack(br#"{"breakoff":4}"#),
        _ => media::pack(
            meta::dump(&group(u)?, Generation::new(number))
                .unwrap_or_default()
                .as_bytes(),
        ),
    };
    Ok((payload, Generation::new(says)))
}

fn disk_id(n: u8) -> DiskId {
    DiskId::from_bytes([n + 1; 16])
}

/// One of a few groups that differ a little.
fn group(u: &mut Unstructured) -> Result<Group> {
    let name = |word: &str| Name::parse(word).expect("it is a name");
    let mut group = Group::new(name("g"), HostId::from_bytes([9; 16]));
    group.id = GroupId::from_bytes([u.int_in_range(1..=2)?; 16]);
    for n in 0..u.int_in_range(1..=4)? {
        let size = if u.ratio(15, 16)? {
            Sectors::mib(7)
        } else {
            Sectors::of(u.int_in_range(8..=1 << 20)?)
        };
        let data_start = if u.ratio(15, 16)? {
            Sectors::MIB
        } else {
            Sectors::mib(2)
        };
        group.disks.push(breakoff::model::Disk {
            id: disk_id(n),
            media: name(&format!("disk{n}")),
            data_start,
            size,
        });
    }
    for n in 0..u.int_in_range(0..=2u8)? {
        let subdisks = vec![Extent {
            disk: disk_id(0),
            start: Sectors::of(u32::from(n) * 8),
            length: Sectors::of(8),
        }];
        let plex = Plex {
            number: 1,
            name: name(&format!("v{n}-01")),
            state: PlexState::Active,
            subdisks,
            dco: None,
            serves_restore: false,
        };
        group.volumes.push(Volume {
            id: VolumeId::from_bytes([n + 1; 16]),
            name: name(&format!("v{n}")),
            size: Sectors::of(8),
            plexes: vec![plex],
            log: None,
            log_wanted: u.arbitrary()?,
            fast_resync: u.arbitrary()?,
            dco: None,
            returning: None,
            sector_size: None,
            lost_leg: None,
            lanes: Lanes::ONE,
            owner: NodeOwner::default(),
            running: None,
            synced: Sectors::of(8),
            origin: None,
            away: Vec::new(),
            copied: false,
        });
    }
    Ok(group)
}

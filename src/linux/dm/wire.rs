//! The kernel's answers to dm ioctls: the records behind the header, read with every offset
//! checked. What a window asks (`health`) is read without allocating.
//!
//! Names, target types and statuses come from the kernel, but originate from whatever created the
//! device. Nothing here trusts them.

use crate::model::Sectors;
use crate::sys::{Errno, MirrorHealth};
use crate::table::TargetLine;

/// A table or status line within a reply (`struct dm_target_spec` and the text behind it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::linux) struct Spec<'a> {
    start: u64,
    length: u64,
    target: &'a [u8],
    params: &'a [u8],
}

/// Size of `struct dm_target_spec`; the parameters follow it.
const SPEC: usize = 40;
/// The offsets of its fields: start, length, (status), next, target type.
const SPEC_LENGTH: usize = 8;
const SPEC_NEXT: usize = 20;
const SPEC_TYPE: usize = 24;

/// The lines of a table or status reply. Yields `None` once and ends if the reply is malformed.
pub(in crate::linux) struct Specs<'a> {
    data: &'a [u8],
    at: usize,
    left: u32,
}

/// Reads `count` lines from the data behind the header.
pub(in crate::linux) fn specs(data: &[u8], count: u32) -> Specs<'_> {
    Specs {
        data,
        at: 0,
        left: count,
    }
}

impl<'a> Specs<'a> {
    fn read(&mut self) -> Option<Spec<'a>> {
        let spec = self.data.get(self.at..)?;
        let (start, length) = (u64_at(spec, 0)?, u64_at(spec, SPEC_LENGTH)?);
        let next = usize::try_from(u32_at(spec, SPEC_NEXT)?).ok()?;
        let target = until_nul(spec.get(SPEC_TYPE..SPEC)?);
        // In a reply "next" counts from the first record, so the text ends there at the latest.
        let end = if next > self.at {
            next - self.at
        } else {
            spec.len()
        };
        let params = terminated(spec.get(SPEC..end.min(spec.len()))?)?;
        self.left -= 1;
        if self.left > 0 && next <= self.at {
            return None;
        }
        self.at = next;
        Some(Spec {
            start,
            length,
            target,
            params,
        })
    }
}

impl<'a> Iterator for Specs<'a> {
    type Item = Option<Spec<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let spec = self.read();
        if spec.is_none() {
            self.left = 0;
        }
        Some(spec)
    }
}

/// The lines in the form that the rest of the program uses; `None` if the reply is malformed.
pub fn target_lines(data: &[u8], count: u32) -> Option<Vec<TargetLine>> {
    specs(data, count)
        .map(|spec| {
            let spec = spec?;
            Some(TargetLine {
                start: Sectors::new(spec.start)?,
                length: Sectors::new(spec.length)?,
                target: String::from_utf8_lossy(spec.target).into_owned(),
                params: String::from_utf8_lossy(spec.params).trim_end().to_owned(),
            })
        })
        .collect()
}

/// Whether there are lines, and all of them are mirrors. Allocates nothing.
pub fn all_mirrors(data: &[u8], count: u32) -> bool {
    count > 0 && specs(data, count).all(|spec| spec.is_some_and(|spec| spec.target == b"mirror"))
}

/// Reads the state of a mirror from a status reply, without allocating: it is queried while I/O is
/// held. Fails with `EINVAL` if there is anything else than mirrors, or nothing at all, and with
/// `EBADMSG` if the reply is malformed.
pub fn health(data: &[u8], count: u32) -> Result<MirrorHealth, Errno> {
    let mut all = None;
    for spec in specs(data, count) {
        let spec = spec.ok_or(Errno(libc::EBADMSG))?;
        if spec.target != b"mirror" {
            return Err(Errno(libc::EINVAL));
        }
        let one = mirror_health(spec.params).ok_or(Errno(libc::EBADMSG))?;
        all = match (one, all) {
            (MirrorHealth::Failed, _) | (_, Some(MirrorHealth::Failed)) => {
                Some(MirrorHealth::Failed)
            }
            (MirrorHealth::Copying, _) | (_, Some(MirrorHealth::Copying)) => {
                Some(MirrorHealth::Copying)
            }
            (MirrorHealth::InSync, _) => Some(MirrorHealth::InSync),
        };
    }
    all.ok_or(Errno(libc::EINVAL))
}

/// One status line of a mirror:
/// `<legs> <dev>… <done>/<total> 1 <letters> <n> <log type> [<log dev> <letter>]`.
///
/// `None` unless it has exactly this form.
fn mirror_health(params: &[u8]) -> Option<MirrorHealth> {
    let mut words = params
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty());
    let legs = usize::try_from(number(words.next()?)?)
        .ok()
        .filter(|legs| (2..=crate::table::status::MAX_LEGS).contains(legs))?;
    for _ in 0..legs {
        device(words.next()?)?;
    }
    let (done, total) = pair(words.next()?, b'/')?;
    if done > total || total == 0 || words.next()? != b"1" {
        return None;
    }
    let letters = words
        .next()
        .filter(|letters| letters.len() == legs && letters.iter().all(u8::is_ascii_uppercase))?;
    let log = match (words.next()?, words.next()?) {
        (b"1", b"core") => true,
        (b"3", b"disk") => {
            device(words.next()?)?;
            words.next()? == b"A"
        }
        _ => return None,
    };
    if words.next().is_some() {
        return None;
    }
    Some(match log && letters.iter().all(|letter| *letter == b'A') {
        true if done == total => MirrorHealth::InSync,
        true => MirrorHealth::Copying,
        false => MirrorHealth::Failed,
    })
}

/// Checks that a word is a device number: two numbers of 32 bits.
fn device(word: &[u8]) -> Option<()> {
    let (major, minor) = pair(word, b':')?;
    u32::try_from(major)
        .and(u32::try_from(minor))
        .ok()
        .map(drop)
}

/// Two numbers that are separated by this byte.
fn pair(word: &[u8], between: u8) -> Option<(u64, u64)> {
    let at = word.iter().position(|byte| *byte == between)?;
    Some((number(word.get(..at)?)?, number(word.get(at + 1..)?)?))
}

/// A plain decimal number.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// A device in the kernel's list (`struct dm_name_list`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The device number as the kernel encodes it.
    pub dev: u64,
    /// The name, with invalid UTF-8 replaced.
    pub name: String,
    /// The UUID, empty if the device has none; `None` if this kernel (before 5.13) does not list
    /// UUIDs.
    pub uuid: Option<String>,
}

/// The offset of the name in a record: behind the device number and the offset of the next record.
const LIST_NEXT: usize = 8;
const LIST_NAME: usize = 12;

/// The devices in a list reply; `None` if it is malformed.
pub fn listed(data: &[u8]) -> Option<Vec<Listed>> {
    let (mut devices, mut at) = (Vec::new(), 0usize);
    // If there is no device, the kernel sends one record of zeros, or no data at all.
    if data.len() < 8 || u64_at(data, 0)? == 0 {
        return Some(devices);
    }
    loop {
        let record = data.get(at..)?;
        let next = usize::try_from(u32_at(record, LIST_NEXT)?).ok()?;
        let name = terminated(record.get(LIST_NAME..)?)?;
        let uuid = uuid_behind(record, LIST_NAME + name.len() + 1);
        devices.push(Listed {
            dev: u64_at(record, 0)?,
            name: String::from_utf8_lossy(name).into_owned(),
            uuid,
        });
        if next == 0 {
            return Some(devices);
        }
        // Records that overlap would add up to far more than there is.
        if next <= LIST_NAME + name.len() {
            return None;
        }
        at = at.checked_add(next)?;
    }
}

/// The UUID behind the event number and the flags that follow a name.
fn uuid_behind(record: &[u8], name_end: usize) -> Option<String> {
    let at = name_end.next_multiple_of(8);
    match u32_at(record, at + 4)? {
        devicemapper_sys::DM_NAME_LIST_FLAG_HAS_UUID => {
            Some(String::from_utf8_lossy(terminated(record.get(at + 8..)?)?).into_owned())
        }
        devicemapper_sys::DM_NAME_LIST_FLAG_DOESNT_HAVE_UUID => Some(String::new()),
        _ => None,
    }
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(
        bytes.get(at..at.checked_add(8)?)?.try_into().ok()?,
    ))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(
        bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
    ))
}

/// The bytes before the first NUL, or all of them.
pub(in crate::linux) fn until_nul(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len())]
}

/// The bytes before the first NUL; `None` when there is none.
fn terminated(bytes: &[u8]) -> Option<&[u8]> {
    bytes
        .iter()
        .position(|byte| *byte == 0)
        .map(|end| &bytes[..end])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A reply as the kernel writes it: each record padded to 8 bytes, `next` from the start of the
    /// data.
    fn reply(lines: &[(&str, &str)]) -> Vec<u8> {
        let mut data = Vec::new();
        for (target, params) in lines {
            let end = (data.len() + SPEC + params.len() + 1).next_multiple_of(8);
            data.extend(0u64.to_ne_bytes());
            data.extend(2048u64.to_ne_bytes());
            data.extend(0u32.to_ne_bytes());
            data.extend(u32::try_from(end).unwrap().to_ne_bytes());
            data.extend(target.as_bytes());
            data.resize(data.len() + 16 - target.len(), 0);
            data.extend(params.as_bytes());
            data.resize(end, 0);
        }
        data
    }

    const MALFORMED: Result<MirrorHealth, Errno> = Err(Errno(libc::EBADMSG));
    const NO_MIRROR: Result<MirrorHealth, Errno> = Err(Errno(libc::EINVAL));

    fn sync(params: &[&str]) -> Result<MirrorHealth, Errno> {
        let lines: Vec<_> = params.iter().map(|params| ("mirror", *params)).collect();
        health(&reply(&lines), u32::try_from(lines.len()).unwrap())
    }

    #[test]
    fn in_sync_is_every_region_every_leg_and_the_log() {
        for good in [
            "2 253:3 253:4 64/64 1 AA 1 core",
            "2 253:3 253:4 128/128 1 AA 3 disk 253:5 A",
            "3 253:3 253:4 8:16 1/1 1 AAA 1 core",
            "9 1:1 1:2 1:3 1:4 1:5 1:6 1:7 1:8 1:9 5/5 1 AAAAAAAAA 1 core ",
        ] {
            assert_eq!(sync(&[good]), Ok(MirrorHealth::InSync), "{good}");
            assert_eq!(
                sync(&[good, good, good]),
                Ok(MirrorHealth::InSync),
                "{good}"
            );
        }
        let good = "2 253:3 253:4 64/64 1 AA 1 core";
        for copying in [
            "2 253:3 253:4 63/64 1 AA 1 core",
            "2 253:3 253:4 0/64 1 AA 1 core",
        ] {
            assert_eq!(sync(&[copying]), Ok(MirrorHealth::Copying), "{copying}");
            assert_eq!(
                sync(&[good, copying]),
                Ok(MirrorHealth::Copying),
                "{copying}"
            );
            assert_eq!(
                sync(&["2 253:3 253:4 64/64 1 AD 1 core", copying]),
                Ok(MirrorHealth::Failed),
                "{copying}"
            );
        }
        for bad in [
            "2 253:3 253:4 1/64 1 AD 1 core",
            "2 253:3 253:4 64/64 1 AD 1 core",
            "2 253:3 253:4 64/64 1 RA 1 core",
            "2 253:3 253:4 64/64 1 AS 1 core",
            "2 253:3 253:4 64/64 1 UA 1 core",
            "2 253:3 253:4 64/64 1 AF 1 core",
            "2 253:3 253:4 128/128 1 AA 3 disk 253:5 D",
            "2 253:3 253:4 128/128 1 AA 3 disk 253:5 F",
        ] {
            assert_eq!(sync(&[bad]), Ok(MirrorHealth::Failed), "{bad}");
            assert_eq!(sync(&[good, bad]), Ok(MirrorHealth::Failed), "{bad}");
            assert_eq!(sync(&[bad, good]), Ok(MirrorHealth::Failed), "{bad}");
        }
    }

    #[test]
    fn malformed_status_is_never_in_sync() {
        for bad in [
            "",
            " ",
            "2",
            "1 253:3 64/64 1 A 1 core",
            "0 64/64 1  1 core",
            "10 1:1 1:2 1:3 1:4 1:5 1:6 1:7 1:8 1:9 1:10 5/5 1 AAAAAAAAAA 1 core",
            "2 253:3 64/64 1 AA 1 core",
            "2 253:3 253:4 253:5 64/64 1 AA 1 core",
            "2 253:3 2534 64/64 1 AA 1 core",
            "2 253:3 253: 64/64 1 AA 1 core",
            "2 253:3 4294967296:4 64/64 1 AA 1 core",
            "2 253:3 253:4 64/64 1 AA 3 disk 253:4294967296 A",
            "2 253:3 253:4 64 1 AA 1 core",
            "2 253:3 253:4 /64 1 AA 1 core",
            "2 253:3 253:4 0/0 1 AA 1 core",
            "2 253:3 253:4 65/64 1 AA 1 core",
            "2 253:3 253:4 -64/64 1 AA 1 core",
            "2 253:3 253:4 +64/64 1 AA 1 core",
            "2 253:3 253:4 64/99999999999999999999999 1 AA 1 core",
            "2 253:3 253:4 64/64 2 AA 1 core",
            "2 253:3 253:4 64/64 1 A 1 core",
            "2 253:3 253:4 64/64 1 AAA 1 core",
            "2 253:3 253:4 64/64 1 aa 1 core",
            "2 253:3 253:4 64/64 1 AA",
            "2 253:3 253:4 64/64 1 AA 1",
            "2 253:3 253:4 64/64 1 AA 1 core x",
            "2 253:3 253:4 64/64 1 AA 2 core",
            "2 253:3 253:4 64/64 1 AA 1 disk",
            "2 253:3 253:4 64/64 1 AA 3 disk 253:5",
            "2 253:3 253:4 64/64 1 AA 3 disk A",
            "2 253:3 253:4 64/64 1 AA 3 disk 253:5 A A",
            "2 253:3 253:4 64/64 1 AA 3 userspace 253:5 A",
            "2\t253:3 253:4 64/64 1 AA 1 core",
        ] {
            assert_eq!(sync(&[bad]), MALFORMED, "{bad:?}");
            let good = "2 253:3 253:4 64/64 1 AA 1 core";
            assert_eq!(sync(&[good, bad]), MALFORMED, "{bad:?}");
        }
    }

    #[test]
    fn something_else_is_no_mirror() {
        assert_eq!(health(&[], 0), NO_MIRROR);
        assert_eq!(health(&reply(&[("linear", "")]), 1), NO_MIRROR);
        let mixed = reply(&[
            ("mirror", "2 253:3 253:4 64/64 1 AA 1 core"),
            ("linear", ""),
        ]);
        assert_eq!(health(&mixed, 2), NO_MIRROR);
    }

    /// Cut anywhere, with any offset, the reply gives an answer, never a panic, and never "in sync"
    /// for less than the whole.
    #[test]
    fn broken_replies_are_refused() {
        let good = reply(&[
            ("mirror", "2 253:3 253:4 64/64 1 AA 1 core"),
            ("mirror", "2 253:3 253:4 64/64 1 AA 1 core"),
        ]);
        assert_eq!(health(&good, 2), Ok(MirrorHealth::InSync));
        let text_end = good.len() - 1;
        for cut in 0..text_end - 8 {
            assert_ne!(health(&good[..cut], 2), Ok(MirrorHealth::InSync), "{cut}");
        }
        assert_eq!(health(&good, 3), MALFORMED);
        for next in [0u32, 1, 8, 39, 40, 41, u32::MAX, u32::MAX - 7] {
            let mut bent = good.clone();
            bent[SPEC_NEXT..SPEC_NEXT + 4].copy_from_slice(&next.to_ne_bytes());
            assert_ne!(health(&bent, 2), Ok(MirrorHealth::InSync), "{next}");
        }
    }

    #[test]
    fn lines_come_out_as_they_went_in() {
        let data = reply(&[
            ("linear", "8:0 2048"),
            ("mirror", "core 1 4096 2 253:1 0 253:2 0 1 handle_errors "),
        ]);
        let lines = target_lines(&data, 2).unwrap();
        assert_eq!(
            (
                lines[0].target.as_str(),
                lines[0].params.as_str(),
                lines[0].length.get()
            ),
            ("linear", "8:0 2048", 2048)
        );
        assert_eq!(
            lines[1].params,
            "core 1 4096 2 253:1 0 253:2 0 1 handle_errors"
        );
        assert_eq!(target_lines(&data, 0), Some(vec![]));
        assert_eq!(target_lines(&data[..60], 2), None);
    }

    fn record(dev: u64, next: u32, name: &[u8], flags: u32, uuid: &[u8]) -> Vec<u8> {
        let mut data = [&dev.to_ne_bytes()[..], &next.to_ne_bytes(), name, b"\0"].concat();
        data.resize(data.len().next_multiple_of(8), 0);
        data.extend(7u32.to_ne_bytes());
        data.extend(flags.to_ne_bytes());
        data.extend(uuid);
        data.resize((data.len() + 1).next_multiple_of(8), 0);
        data
    }

    #[test]
    fn the_list_of_devices_may_hold_any_name() {
        let first = record(0xfd00, 0, b"\xff/../x", 1, b"LVM-1");
        let length = u32::try_from(first.len()).unwrap();
        let data = [
            record(0xfd00, length, b"\xff/../x", 1, b"LVM-1"),
            record(0xfd01, 0, b"g-v", 2, b""),
        ]
        .concat();
        let devices = listed(&data).unwrap();
        assert_eq!(
            devices[0],
            Listed {
                dev: 0xfd00,
                name: "\u{fffd}/../x".to_owned(),
                uuid: Some("LVM-1".to_owned())
            }
        );
        assert_eq!(
            (devices[1].name.as_str(), devices[1].uuid.as_deref()),
            ("g-v", Some(""))
        );
        let old = record(0xfd00, 0, b"g-v", 0, b"");
        assert_eq!(listed(&old).unwrap()[0].uuid, None);
        assert_eq!(listed(&[]), Some(vec![]));
        assert_eq!(listed(&[0; 40]), Some(vec![]));
        let overlapping = record(0xfd00, 8, b"a-long-name", 1, b"");
        assert_eq!(listed(&[overlapping.clone(), overlapping].concat()), None);
        for cut in 8..16 {
            assert_eq!(listed(&data[..cut]), None, "{cut}");
        }
    }
}

//! The configuration of a group again, made from numbers: nearly everything parses, and what is
//! left to be wrong are the values.
#![no_main]

use breakoff_fuzz::{check_error, check_group, media};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(json) = group(&mut Unstructured::new(data)) else {
        return;
    };
    match breakoff::meta::decode_all(&media::pack(json.as_bytes())) {
        Ok(all) => {
            check_group(&all.group);
            let again = breakoff::meta::encode(&all.group, all.generation, all.history.as_ref())
                .expect("what was read can be written");
            assert_eq!(breakoff::meta::decode_all(&again), Ok(all));
        }
        Err(err) => check_error(&err),
    }
});

fn group(u: &mut Unstructured) -> Result<String> {
    let disks = list(u, 4, disk)?;
    let volumes = list(u, 6, volume)?;
    let (name, uuid, host) = (name(u)?, uuid(u)?, uuid(u)?);
    let destroyed = u.ratio(1, 8)?;
    let generation = number(u, 9)?;
    let history = if u.ratio(3, 4)? {
        history(u)?
    } else {
        String::new()
    };
    let version = if u.ratio(7, 8)? { 3 } else { number(u, 3)? };
    Ok(format!(
        r#"{{"breakoff":{version},"generation":{generation},{history}"group":"{name}","uuid":"{uuid}","host":"{host}","destroyed":{destroyed},"disks":[{disks}],"volumes":[{volumes}]}}"#
    ))
}

fn disk(u: &mut Unstructured, n: usize) -> Result<String> {
    let media = if u.ratio(7, 8)? {
        format!("disk{n}")
    } else {
        name(u)?
    };
    let uuid = if u.ratio(7, 8)? {
        format!("{:032x}", n + 1)
    } else {
        uuid(u)?
    };
    let past = if u.ratio(1, 2)? {
        format!(r#","away":{},"past":{}"#, u.arbitrary::<bool>()?, past(u)?)
    } else {
        String::new()
    };
    Ok(format!(
        r#"{{"media":"{media}","uuid":"{uuid}","data_start":{},"size":{}{past}}}"#,
        number(u, 2048)?,
        number(u, 1 << 20)?
    ))
}

/// Where the configuration comes from.
fn history(u: &mut Unstructured) -> Result<String> {
    let follows = if u.ratio(3, 4)? {
        format!(r#""follows":{},"#, stamp(u)?)
    } else {
        String::new()
    };
    let removed = list(u, 3, |u, _| {
        Ok(format!(r#"{{"uuid":"{}","past":{}}}"#, uuid(u)?, past(u)?))
    })?;
    let (written, others) = (number(u, 7)?, number(u, 5)?);
    Ok(format!(
        r#""history":{{{follows}"written_at_ms":{written},"others":{others},"removed":[{removed}]}},"#
    ))
}

fn past(u: &mut Unstructured) -> Result<String> {
    Ok(format!(
        r#"{{"before":{},"holds":[{}]}}"#,
        number(u, 6)?,
        list(u, 3, |u, _| stamp(u))?
    ))
}

fn stamp(u: &mut Unstructured) -> Result<String> {
    let digest = if u.ratio(7, 8)? {
        format!("{:032x}", u.int_in_range(0..=9u8)?)
    } else {
        name(u)?
    };
    Ok(format!(r#"[{},"{digest}"]"#, number(u, 8)?))
}

fn volume(u: &mut Unstructured, n: usize) -> Result<String> {
    let size = if u.ratio(7, 8)? {
        8 * u.int_in_range(1..=64u64)?
    } else {
        number(u, 64)?
    };
    let name = if u.ratio(3, 4)? {
        format!("v{n}")
    } else {
        name(u)?
    };
    let uuid = if u.ratio(7, 8)? {
        format!("{:032x}", n + 1)
    } else {
        uuid(u)?
    };
    let synced = if u.ratio(3, 4)? {
        size
    } else {
        number(u, size)?
    };
    let plexes = list(u, 12, |u, plex| self::plex(u, n, plex, size))?;
    let log = if u.ratio(1, 4)? {
        format!(
            r#""log":{{"extent":{},"region":{},"live":{}}},"#,
            piece(u, 2048)?,
            number(u, 4096)?,
            u.arbitrary::<bool>()?
        )
    } else {
        String::new()
    };
    let origin = if u.ratio(1, 4)? {
        let original = if u.ratio(7, 8)? {
            format!("{:032x}", u.int_in_range(1..=7)?)
        } else {
            self::uuid(u)?
        };
        let (taken, frozen) = (number(u, 1)?, u.arbitrary::<bool>()?);
        format!(
            r#""origin":{{"original":"{original}","taken_at_ms":{taken},"frozen":{frozen},"freeze_us":7}},"#
        )
    } else {
        String::new()
    };
    let lost = if u.ratio(1, 8)? {
        let media = list(u, 3, |u, _| Ok(format!(r#""{}""#, self::name(u)?)))?;
        format!(
            r#""lost_leg":{{"plex":"{}","media":[{media}],"at_ms":{}}},"#,
            self::name(u)?,
            number(u, 1)?
        )
    } else {
        String::new()
    };
    let lanes = if u.ratio(1, 4)? {
        format!(r#""lanes":{},"#, number(u, 4)?)
    } else {
        String::new()
    };
    Ok(format!(
        r#"{{"name":"{name}","uuid":"{uuid}","size":{size},"synced":{synced},"copied":false,"log_wanted":true,{log}{origin}{lost}{lanes}"plexes":[{plexes}]}}"#
    ))
}

fn plex(u: &mut Unstructured, volume: usize, n: usize, size: u64) -> Result<String> {
    let state = u.choose(&[
        "active",
        "active",
        "active",
        "attaching",
        "reviving",
        "stale",
        "failed",
        "snapatt",
        "snapdone",
    ])?;
    let number = if u.ratio(7, 8)? {
        n as u64 + 1
    } else {
        number(u, 65535)?
    };
    let name = if u.ratio(7, 8)? {
        format!("v{volume}-{n:02}")
    } else {
        name(u)?
    };
    // Where plexes lie one behind the other nothing overlaps.
    let start = (volume * 16 + n) as u64 * 512;
    let subdisks = match u.int_in_range(0..=7u8)? {
        0 => list(u, 3, |u, _| piece(u, size))?,
        1 | 2 if size >= 16 => format!("[0,{start},8],[0,{},{}]", start + 8, size - 8),
        _ => format!("[0,{start},{size}]"),
    };
    Ok(format!(
        r#"{{"number":{number},"name":"{name}","state":"{state}","subdisks":[{subdisks}]}}"#
    ))
}

fn piece(u: &mut Unstructured, length: u64) -> Result<String> {
    Ok(format!(
        "[{},{},{}]",
        u.int_in_range(0..=4u32)?,
        number(u, 1 << 19)?,
        number(u, length)?
    ))
}

fn list(
    u: &mut Unstructured,
    most: usize,
    mut one: impl FnMut(&mut Unstructured, usize) -> Result<String>,
) -> Result<String> {
    let count = u.int_in_range(0..=most)?;
    Ok((0..count)
        .map(|n| one(u, n))
        .collect::<Result<Vec<_>>>()?
        .join(","))
}

/// The usual one, one at a border, or any.
fn number(u: &mut Unstructured, usual: u64) -> Result<u64> {
    Ok(match u.int_in_range(0..=7u8)? {
        0 => *u.choose(&[
            0,
            1,
            7,
            8,
            2047,
            2048,
            1 << 32,
            (1 << 48) + 1,
            (1 << 54) - 1,
            1 << 54,
            1 << 63,
            u64::MAX,
        ])?,
        1 => u.arbitrary()?,
        2 => usual.wrapping_add_signed(u.int_in_range(-9..=9)?),
        _ => usual,
    })
}

fn name(u: &mut Unstructured) -> Result<String> {
    const LONG: &str = "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn";
    const DASHED: &str = "a-------------------------------------------------------------a";
    Ok(match u.int_in_range(0..=3u8)? {
        0 => String::from_utf8_lossy(u.bytes(4)?)
            .escape_default()
            .to_string()
            .replace('\\', "\\\\")
            .replace('"', "/"),
        1 => (*u.choose(&[
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "-a",
            "a b",
            "a\\n",
            "\\u0000",
            "\\u001b[2J",
            LONG,
            DASHED,
        ])?)
        .to_owned(),
        _ => (*u.choose(&[
            "g",
            "v0",
            "v1",
            "v0_log",
            "v0_l1",
            "v0_v0-01",
            "v1_1-0",
            "disk0",
            "v0-",
            "v0_",
            "v0_l",
            "v0_v0--01",
        ])?)
        .to_owned(),
    })
}

fn uuid(u: &mut Unstructured) -> Result<String> {
    Ok(match u.int_in_range(0..=3u8)? {
        0 => format!("{:032x}", u.arbitrary::<u128>()?),
        1 => (*u.choose(&[
            "",
            "00000000000000000000000000000000",
            "AB000000000000000000000000000000",
            "01010101-0101-0101-0101-010101010101",
        ])?)
        .to_owned(),
        _ => format!("{:032x}", u.int_in_range(1..=9u8)?),
    })
}

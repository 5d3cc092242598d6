//! Words that several verbs share: disks, sizes, seconds, counts. Raw text is checked here and
//! nowhere behind.

use crate::app::NamedDevice;
use crate::cli::watch::SHORTEST;
use crate::error::{Error, Result};
use crate::model::units::{DefaultUnit, parse_size};
use crate::model::volume::MAX_PLEXES;
use crate::model::{Account, Lanes, Name, SectorSize, Sectors};
use crate::plan::request::Placement;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// Where space is taken from.
#[derive(Args, Debug)]
pub(super) struct Where {
    /// Take space from these disks only, even where they hold another plex of the volume
    #[arg(long, value_name = "MEDIA", value_delimiter = ',', value_parser = Name::parse)]
    on: Vec<Name>,
    /// Take no space from these disks
    #[arg(long, value_name = "MEDIA", value_delimiter = ',', value_parser = Name::parse)]
    avoid: Vec<Name>,
}

impl Where {
    pub(super) fn placement(self) -> Placement {
        Placement {
            on: self.on,
            avoid: self.avoid,
        }
    }
}

/// A size, in bytes unless it says otherwise; nothing at all is no size.
pub(super) fn size(word: &str) -> Result<Sectors> {
    match parse_size(word, DefaultUnit::Bytes)? {
        size if size.is_zero() => Err(Error::usage(format!("'{word}' is no size to ask for"))),
        size => Ok(size),
    }
}

/// Bytes of a sector.
pub(super) fn sector_size(word: &str) -> Result<SectorSize> {
    let bytes: Option<u32> = match word.strip_suffix(['k', 'K']) {
        Some(number) => number.parse().ok().and_then(|n: u32| n.checked_mul(1024)),
        None => word.parse().ok(),
    };
    bytes.and_then(SectorSize::new).ok_or_else(|| {
        Error::usage(format!("'{word}' is no sector size"))
            .hint("512 or 4096; 1024 and 2048 are rare")
    })
}

/// `on` or `off`.
pub(super) fn switch(word: &str) -> Result<bool> {
    match word {
        "on" => Ok(true),
        "off" => Ok(false),
        other => Err(Error::usage(format!("'{other}' is neither 'on' nor 'off'"))),
    }
}

/// Seconds with a fraction.
pub(super) fn seconds(word: &str) -> Result<Duration> {
    word.parse()
        .ok()
        .and_then(|secs| Duration::try_from_secs_f64(secs).ok())
        .ok_or_else(|| Error::usage(format!("'{word}' is not a number of seconds")))
}

/// The seconds between two looks: not less than a tenth.
pub(super) fn delay(word: &str) -> Result<Duration> {
    seconds(word).map(|delay| delay.max(SHORTEST))
}

/// How many plexes or legs: at least one, at most what a volume can have.
pub(super) fn count(word: &str) -> Result<usize> {
    word.parse()
        .ok()
        .filter(|n| (1..=MAX_PLEXES).contains(n))
        .ok_or_else(|| Error::usage(format!("'{word}' is not a number from 1 to {MAX_PLEXES}")))
}

/// In how many lanes legs are filled.
pub(super) fn lanes(word: &str) -> Result<Lanes> {
    let most = Lanes::MOST;
    let lanes = word.parse().ok().and_then(Lanes::new);
    lanes.ok_or_else(|| Error::usage(format!("'{word}' is not a number from 1 to {most}")))
}

/// `USER`, `USER:GROUP` or `:GROUP`.
pub(super) fn accounts(word: &str) -> Result<(Option<Account>, Option<Account>)> {
    match word.split_once(':') {
        Some(("", group)) => Ok((None, Some(Account::parse(group)?))),
        Some((user, group)) => Ok((Some(Account::parse(user)?), Some(Account::parse(group)?))),
        None => Ok((Some(Account::parse(word)?), None)),
    }
}

/// `[MEDIA=]DEVICE`. A `=` behind a slash belongs to the device's path.
pub(super) fn named_device(word: &str) -> Result<NamedDevice> {
    let (media, device) = match word
        .split_once('=')
        .filter(|(media, _)| !media.contains('/'))
    {
        Some((media, device)) => (Some(Name::parse(media)?), device),
        None => (None, word),
    };
    if device.is_empty() {
        return Err(Error::usage(format!("'{word}' names no device")));
    }
    Ok(NamedDevice {
        media,
        device: PathBuf::from(device),
    })
}

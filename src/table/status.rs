//! The status line of dm's `mirror` target, read strictly (kernel rules K1 and K15).

/// What the kernel says of one leg. The letters are dm-raid1's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LegHealth {
    /// `A`: alive.
    Alive,
    /// `D`: a write failed.
    WriteFailed,
    /// `S`: resynchronisation failed.
    SyncFailed,
    /// `R`: a read failed.
    ReadFailed,
    /// `F`: a flush failed.
    FlushFailed,
    /// `U`, or a letter that we do not know.
    Unknown,
}

impl LegHealth {
    /// From the kernel's letter.
    pub fn from_letter(letter: u8) -> LegHealth {
        match letter {
            b'A' => LegHealth::Alive,
            b'D' => LegHealth::WriteFailed,
            b'S' => LegHealth::SyncFailed,
            b'R' => LegHealth::ReadFailed,
            b'F' => LegHealth::FlushFailed,
            _ => LegHealth::Unknown,
        }
    }

    /// The kernel's letter.
    pub fn letter(self) -> char {
        match self {
            LegHealth::Alive => 'A',
            LegHealth::WriteFailed => 'D',
            LegHealth::SyncFailed => 'S',
            LegHealth::ReadFailed => 'R',
            LegHealth::FlushFailed => 'F',
            LegHealth::Unknown => 'U',
        }
    }

    /// What it means, in words.
    pub fn words(self) -> &'static str {
        match self {
            LegHealth::Alive => "alive",
            LegHealth::WriteFailed => "a write failed",
            LegHealth::SyncFailed => "resynchronisation failed",
            LegHealth::ReadFailed => "a read failed",
            LegHealth::FlushFailed => "a flush failed",
            LegHealth::Unknown => "unknown",
        }
    }
}

/// The status of all segments of one mirror device together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorStatus {
    /// The device numbers of the legs, in table order.
    pub legs: Vec<(crate::model::DevNo, LegHealth)>,
    /// Regions that are in sync.
    pub done: u64,
    /// All regions.
    pub total: u64,
    /// Whether the log failed.
    pub log_failed: bool,
}

impl MirrorStatus {
    /// In sync is: every region, every letter `A`, and the log alive. Nothing less.
    pub fn in_sync(&self) -> bool {
        self.done == self.total && !self.log_failed && self.legs.iter().all(|(_, health)| *health == LegHealth::Alive)
    }
}

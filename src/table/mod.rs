//! Device-mapper tables and status lines: rendered and read here and nowhere else. Pure.

pub mod status;

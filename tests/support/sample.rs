//! Which of all steps of a command are tried: all of them takes hours on the real kernel, and
//! minutes on the fake one.
//!
//! `scripts/test` makes up `BREAKOFF_SAMPLE=N`, from which the choice follows, and prints it;
//! `scripts/test --thorough` sets `BREAKOFF_EVERY_STEP`, and there is nothing to choose.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Whether all steps are tried.
pub fn thorough() -> bool {
    std::env::var_os("BREAKOFF_EVERY_STEP").is_some()
}

/// The sample that is asked for.
fn number() -> Option<u64> {
    let word = std::env::var("BREAKOFF_SAMPLE").ok()?;
    Some(
        word.parse()
            .unwrap_or_else(|_| panic!("BREAKOFF_SAMPLE={word} is no number")),
    )
}

/// Before which steps something is killed or dies on the real kernel, where each takes seconds:
/// before `first`, and then before every so many; which ones is up to the sample.
pub fn steps(first: u64, every: u64) -> impl Iterator<Item = u64> {
    if thorough() {
        steps_of(0, first, 1)
    } else {
        steps_of(number().unwrap_or(0), first, every)
    }
}

/// Those of a sample.
pub fn steps_of(sample: u64, first: u64, every: u64) -> impl Iterator<Item = u64> {
    std::iter::once(first).chain((first + 1 + sample % every..).step_by(every as usize))
}

/// Whether one of many cases on the fake kernel is tried: all are, unless a sample is asked for.
pub fn takes(case: impl Hash) -> bool {
    thorough() || number().is_none_or(|sample| is_in(sample, case))
}

/// Whether it is in a sample, which has a sixth of them.
pub fn is_in(sample: u64, case: impl Hash) -> bool {
    let mut hasher = DefaultHasher::new();
    (sample, case).hash(&mut hasher);
    hasher.finish().is_multiple_of(6)
}

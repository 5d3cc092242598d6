//! Command lines of VxVM's utilities, a word on each line: the first is the utility.
#![no_main]

use breakoff::cli::{Why, vx};
use breakoff_fuzz::words::{check_invocation, words};
use libfuzzer_sys::fuzz_target;

/// The words are wrong, or name a DCO that no volume can have.
const USAGE_OR_ABSENT: [u8; 2] = [1, 11];

fuzz_target!(|data: &[u8]| {
    let mut words = words(data);
    if words.is_empty() {
        return;
    }
    let utility = words.remove(0).to_string_lossy().into_owned();
    match vx::parse(&utility, &words) {
        Ok(invocation) => {
            check_invocation(&invocation);
            assert!(invocation.options.yes, "{invocation:?}");
        }
        Err(stopped) => assert!(
            !matches!(&stopped.why, Why::Wrong(err) if !USAGE_OR_ABSENT.contains(&vx::exit::status(&utility, None, None, err))),
            "{stopped:?}"
        ),
    }
});

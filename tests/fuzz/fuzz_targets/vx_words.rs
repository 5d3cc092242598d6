//! Command lines of `vxassist`, a word on each line.
#![no_main]

use breakoff::cli::{Why, vx};
use breakoff_fuzz::words::{check_invocation, words};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| match vx::parse("vxassist", &words(data)) {
    Ok(invocation) => {
        check_invocation(&invocation);
        assert!(
            invocation.options.yes && invocation.style.verb.is_some(),
            "{invocation:?}"
        );
    }
    Err(stopped) => assert!(
        !matches!(&stopped.why, Why::Wrong(err) if err.kind().exit_status() != 2),
        "{stopped:?}"
    ),
});

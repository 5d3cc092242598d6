//! Command lines of `breakoff`, a word on each line.
#![no_main]

use breakoff::cli::{Why, native};
use breakoff_fuzz::words::{check_invocation, words};
use libfuzzer_sys::fuzz_target;
use std::ffi::OsString;

fuzz_target!(|data: &[u8]| {
    let args: Vec<OsString> = std::iter::once(OsString::from("breakoff"))
        .chain(words(data))
        .collect();
    match native::parse(&args) {
        Ok(invocation) => check_invocation(&invocation),
        Err(stopped) => assert!(
            !matches!(&stopped.why, Why::Wrong(err) if err.kind().exit_status() != 2),
            "{stopped:?}"
        ),
    }
});

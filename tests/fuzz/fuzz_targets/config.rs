//! `/etc/breakoff.conf`.
#![no_main]

use breakoff::linux::process::notice::hook_in;
use breakoff_fuzz::text;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| match hook_in(&text(data)) {
    Ok(Some(program)) => {
        assert!(program.is_absolute(), "{program:?}");
        let shown = program.to_str().expect("it was text");
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
        assert_eq!(
            hook_in(&format!("# again\n\n  hook={shown} ")),
            Ok(Some(program.clone()))
        );
    }
    Ok(None) => {}
    Err(line) => assert!(
        !line.chars().any(char::is_control) && !line.is_empty(),
        "{line:?}"
    ),
});

//! The configuration of a group: JSON that is compressed here, or with the magic of gzip in front a
//! payload as it is.
#![no_main]

use breakoff::meta::layout::PAYLOAD_MAX;
use breakoff_fuzz::{check_error, check_group, media, memory};
use libfuzzer_sys::fuzz_target;

/// Decompressing doubles a buffer until all is there.
const LIMIT: usize = 2 * PAYLOAD_MAX as usize + 4096;

fuzz_target!(|data: &[u8]| {
    let payload = if data.starts_with(&[0x1f, 0x8b]) {
        data.to_vec()
    } else {
        media::pack(data)
    };
    match memory::bounded(LIMIT, || breakoff::meta::decode(&payload)) {
        Ok((group, generation)) => {
            check_group(&group);
            let again = breakoff::meta::encode(&group, generation, None)
                .expect("what was read can be written");
            assert_eq!(
                breakoff::meta::decode(&again),
                Ok((group.clone(), generation))
            );
            let shown =
                breakoff::meta::dump(&group, generation).expect("what was read can be shown");
            assert_eq!(
                breakoff::meta::decode(&media::pack(shown.as_bytes())),
                Ok((group, generation))
            );
        }
        Err(err) => check_error(&err),
    }
});

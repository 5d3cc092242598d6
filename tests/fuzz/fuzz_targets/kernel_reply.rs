//! What the kernel answers to ioctls: 4 bytes for the number of lines, then the data behind the
//! header.
#![no_main]

use breakoff::linux::dm::wire;
use breakoff_fuzz::{memory, reply};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((count, data)) = data.split_first_chunk::<4>() else {
        return;
    };
    let count = u32::from_le_bytes(*count);
    let limit = 4096 + 16 * data.len();
    memory::bounded(0, || wire::health(data, count)).ok();
    if let Some(lines) = memory::bounded(limit, || wire::target_lines(data, count)) {
        assert_eq!(lines.len(), count as usize);
        // What is not text becomes three bytes for one.
        assert!(lines.iter().map(|line| line.params.len()).sum::<usize>() <= 3 * data.len());
        if lines.iter().all(|line| line.target.len() <= reply::TARGET) {
            let (again, count) = reply::encode(&lines);
            assert_eq!(
                wire::target_lines(&again, count),
                Some(lines),
                "it reads differently once it is written"
            );
        }
    }
    if let Some(devices) = memory::bounded(limit, || wire::listed(data)) {
        let text: usize = devices
            .iter()
            .map(|device| device.name.len() + device.uuid.as_ref().map_or(0, String::len))
            .sum();
        assert!(
            text <= 3 * data.len(),
            "{} devices with {text} bytes of names in {} bytes",
            devices.len(),
            data.len()
        );
    }
});

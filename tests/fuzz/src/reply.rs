//! Replies to dm ioctls as the kernel writes them.

use breakoff::table::TargetLine;

/// Size of `struct dm_target_spec`.
const SPEC: usize = 40;
/// The longest target type.
pub const TARGET: usize = 16;

/// Table or status lines, and how many there are: each record padded to 8 bytes, with the end of
/// each from the start of the data.
pub fn encode(lines: &[TargetLine]) -> (Vec<u8>, u32) {
    let mut data = Vec::new();
    for line in lines {
        let end = (data.len() + SPEC + line.params.len() + 1).next_multiple_of(8);
        let mut target = [0; TARGET];
        let fits = line.target.len().min(target.len());
        target[..fits].copy_from_slice(&line.target.as_bytes()[..fits]);
        data.extend(line.start.get().to_ne_bytes());
        data.extend(line.length.get().to_ne_bytes());
        data.extend(0u32.to_ne_bytes());
        data.extend(u32::try_from(end).unwrap_or(u32::MAX).to_ne_bytes());
        data.extend(target);
        data.extend(line.params.as_bytes());
        data.resize(end, 0);
    }
    (data, u32::try_from(lines.len()).unwrap_or(u32::MAX))
}

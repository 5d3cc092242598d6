//! Removal of duplicates. `Vec::dedup` joins neighbours only, and what was requested or observed
//! comes in any order.

/// Keeps the first of several equal elements, in the order of appearance.
pub fn distinct<T: PartialEq>(all: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut seen: Vec<T> = Vec::new();
    for one in all {
        if !seen.contains(&one) {
            seen.push(one);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::distinct;

    #[test]
    fn equal_things_that_are_no_neighbours_are_one() {
        assert_eq!(distinct([2, 1, 2, 2, 3, 1]), [2, 1, 3]);
    }
}

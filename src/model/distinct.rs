//! One of each. `Vec::dedup` joins neighbours only; what was asked for or observed comes in any
//! order.

/// The first of each of several equal things, in the order of appearance.
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

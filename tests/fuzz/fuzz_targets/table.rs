//! Live tables: lines such as `mirror core 1 …`; an empty line ends the first of two. The first
//! byte says what is taken out.
#![no_main]

use breakoff::model::Sectors;
use breakoff::table::status::parse_devno;
use breakoff::table::{TargetLine, Without, same_mapping, without};
use breakoff_fuzz::{memory, text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((gone, rest)) = data.split_first() else {
        return;
    };
    let text = text(rest);
    let (one, other) = text.split_once("\n\n").unwrap_or((&text, ""));
    let (one, other) = (table(one), table(other));
    assert!(same_mapping(&one, &one));
    assert_eq!(same_mapping(&one, &other), same_mapping(&other, &one));
    let legs: Vec<usize> = (0..4).filter(|bit| gone & 1 << bit != 0).collect();
    let (log, equal) = (gone & 16 != 0, gone & 32 != 0);
    let left = memory::bounded(4096 + 64 * text.len(), || {
        without(&one, Without { legs: &legs, log }, equal)
    });
    if let Some(left) = left {
        assert_eq!(left.len(), one.len());
        one.iter()
            .zip(&left)
            .for_each(|(before, after)| check_line(before, after, &legs, log));
    }
    for word in text.split_ascii_whitespace() {
        if let Some(dev) = parse_devno(word) {
            assert_eq!(parse_devno(&dev.to_string()), Some(dev), "{word:?}");
        }
    }
});

fn table(text: &str) -> Vec<TargetLine> {
    let line = |line: &str| {
        let (target, params) = line.split_once(' ').unwrap_or((line, ""));
        TargetLine {
            start: Sectors::ZERO,
            length: Sectors::MIB,
            target: target.to_owned(),
            params: params.to_owned(),
        }
    };
    text.lines().take(4).map(line).collect()
}

/// Exactly the survivors are left, in their order, each a device and an offset, and the kernel is
/// told as much as there is.
fn check_line(before: &TargetLine, after: &TargetLine, gone: &[usize], log: bool) {
    assert_eq!(
        (before.start, before.length, before.target.as_str()),
        (after.start, after.length, "mirror")
    );
    let kept: Vec<String> = legs(before)
        .into_iter()
        .enumerate()
        .filter(|(n, _)| !gone.contains(n))
        .map(|(_, leg)| leg)
        .collect();
    if after.target == "linear" {
        assert_eq!(kept, std::slice::from_ref(&after.params));
    } else {
        assert_eq!(legs(after), kept);
        assert!(
            kept.len() > 1 && after.params.ends_with(" 1 handle_errors"),
            "{after:?}"
        );
        assert!(!(log && after.params.starts_with("disk ")), "{after:?}");
    }
    for leg in &kept {
        let (dev, offset) = leg.split_once(' ').expect("a leg has two words");
        assert!(
            parse_devno(dev).is_some() && offset.parse::<u64>().is_ok(),
            "{leg:?} of {before:?}"
        );
    }
}

/// The legs that a mirror's parameters name.
fn legs(line: &TargetLine) -> Vec<String> {
    let words: Vec<&str> = line.params.split_ascii_whitespace().collect();
    let number = |at: usize| {
        words
            .get(at)
            .and_then(|word| word.parse::<usize>().ok())
            .expect("a mirror that was understood has its counts")
    };
    let at = number(1) + 2;
    let count = number(at);
    assert!(
        at + 2 * count < words.len(),
        "{count} legs are not there: {line:?}"
    );
    words[at + 1..at + 1 + 2 * count]
        .chunks(2)
        .map(|leg| leg.join(" "))
        .collect()
}

//! Every file of `dm-tables/` is loaded into the kernel and read back: what is reviewed is what the
//! kernel takes.

use crate::support::dm::Line;
use crate::support::lab::Lab;
use crate::support::udev;

macro_rules! files {
    ($($name:literal),* $(,)?) => { [$(($name, include_str!(concat!("../../dm-tables/", $name)))),*] };
}

const FILES: [(&str, &str); 22] = files![
    "01-linear-volume",
    "02-linear-volume-in-pieces",
    "03-mirrored-volume",
    "04-mirrored-volume-without-log",
    "05-mirrored-volume-without-log-in-sync",
    "06-snapstart-in-progress",
    "07-in-sync",
    "08-layered-second-snapstart",
    "09-collapsed",
    "10-snapstart-on-a-mirror",
    "11-mirror-with-leg-in-sync",
    "12-after-the-split-of-a-mirror",
    "13-after-the-split",
    "14-two-legs-at-once",
    "15-mirrored-snapshot",
    "16-grown-mirror-without-log",
    "17-more-than-nine-plexes",
    "18-tracked-snapshot",
    "19-tracked-mirror",
    "20-leg-that-returns",
    "21-restore-in-progress",
    "22-several-lanes",
];

/// The devices of a file, from the bottom up, with their lines.
fn devices(text: &str) -> Vec<(String, Vec<String>)> {
    let mut devices: Vec<(String, Vec<String>)> = Vec::new();
    for line in text
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
    {
        match line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            Some(name) => devices.push((name.to_owned(), Vec::new())),
            None => devices
                .last_mut()
                .expect("a device before its lines")
                .1
                .push(line.to_owned()),
        }
    }
    devices
}

/// A line with the kernel's numbers in place of the names of disks and devices.
fn with_numbers(lab: &Lab, line: &str) -> String {
    let number = |word: &str| {
        if let Some(device) = word.strip_prefix("/dev/mapper/") {
            return lab.dm.info(device).unwrap().number();
        }
        match word
            .strip_prefix("disk")
            .and_then(|n| n.parse::<usize>().ok())
        {
            Some(n) => lab
                .dm
                .info(
                    lab.disks[n - 1]
                        .word()
                        .strip_prefix("/dev/mapper/")
                        .unwrap(),
                )
                .unwrap()
                .number(),
            None => word.to_owned(),
        }
    };
    line.split(' ').map(number).collect::<Vec<_>>().join(" ")
}

fn parsed(line: &str) -> Line {
    let mut words = line.splitn(4, ' ');
    let mut next = || words.next().unwrap_or_default();
    Line::new(
        next().parse().unwrap(),
        next().parse().unwrap(),
        next(),
        next(),
    )
}

fn shown(line: &Line) -> String {
    format!(
        "{} {} {} {}",
        line.start, line.length, line.target, line.params
    )
    .trim_end()
    .to_owned()
}

#[test]
fn every_reviewed_table_is_taken_by_the_kernel_and_read_back_equal() {
    let lab = lab!(["linear", "mirror", "era", "zero"], [100; 11]);
    for (file, text) in FILES {
        let devices = devices(text);
        assert!(!devices.is_empty(), "{file}");
        for (name, lines) in &devices {
            let wanted: Vec<String> = lines.iter().map(|line| with_numbers(&lab, line)).collect();
            lab.dm
                .create(name, &format!("BREAKOFF-test-{name}"))
                .unwrap();
            lab.dm
                .load(name, &wanted.iter().map(|l| parsed(l)).collect::<Vec<_>>())
                .unwrap_or_else(|e| panic!("{file}: {name}: {e}"));
            lab.dm
                .resume(name)
                .unwrap_or_else(|e| panic!("{file}: {name}: {e}"));
            let got: Vec<String> = lab.dm.table(name).unwrap().iter().map(shown).collect();
            assert_eq!(got, wanted, "{file}: {name}");
        }
        for (name, _) in devices.iter().rev() {
            lab.dm
                .remove(name)
                .unwrap_or_else(|e| panic!("{file}: {name} cannot be removed: {e}"));
        }
    }
    lab.finish();
    // What udev still does for all these devices would take the links of the next test's disks,
    // which get the same numbers.
    udev::settle();
}

//! VxVM's utilities on the real kernel: a long session of command lines from public scripts and
//! documents, compared word by word, and whole procedures as scripts.

use crate::support::child::tool;
use crate::support::disk::Fault;
use crate::support::lab::Lab;
use crate::support::udev;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// The names of the utilities, as links to the program. They go with the machine.
fn link_utilities() {
    let names = include_str!("../../dist/vx-names");
    fs::create_dir_all("/etc/vx/bin").unwrap();
    for (directory, names) in [
        ("/usr/bin", names),
        ("/etc/vx/bin", "vxdisksetup\nvxdiskunsetup\n"),
    ] {
        for name in names.lines() {
            let link = Path::new(directory).join(name);
            if fs::symlink_metadata(&link).is_err() {
                symlink("/usr/bin/breakoff", &link).unwrap();
            }
        }
    }
}

/// What a shell line prints on stdout, and its exit status.
fn shell(line: &str) -> (String, i32) {
    let output = tool("sh", &["-c", line]);
    (output.stdout.clone(), output.status)
}

/// Whether the words of a line are these; `*` is any word.
fn is_like(line: &str, expected: &str) -> bool {
    let (words, expected) = (line.split_whitespace(), expected.split_whitespace());
    let (words, expected): (Vec<&str>, Vec<&str>) = (words.collect(), expected.collect());
    words.len() == expected.len()
        && words
            .iter()
            .zip(&expected)
            .all(|(word, expected)| *expected == "*" || word == expected)
}

/// Whether lines are these; `...` is any number of lines.
fn are_like(lines: &[&str], expected: &[&str]) -> bool {
    match expected.split_first() {
        None => lines.is_empty(),
        Some((&"...", rest)) => (0..=lines.len()).any(|at| are_like(&lines[at..], rest)),
        Some((first, rest)) => lines
            .split_first()
            .is_some_and(|(line, others)| is_like(line, first) && are_like(others, rest)),
    }
}

#[test]
fn a_comparison_of_lines_can_fail() {
    assert!(are_like(&["a b", "c"], &["a *", "c"]));
    assert!(are_like(&["x", "a b", "c"], &["...", "a  b", "..."]));
    assert!(!are_like(&["a b"], &["a b c"]));
    assert!(!are_like(&["a b c"], &["a *"]));
    assert!(!are_like(&[], &["a"]));
}

#[test]
fn command_lines_of_public_scripts_are_answered_word_by_word() {
    let lab = lab!(["mirror", "era"], [64, 64, 64, 64]);
    link_utilities();
    let mut wrong = Vec::new();
    let mut count = 0;
    let text = include_str!("vx-session.txt");
    let access = |text: &str| {
        (1..=4).fold(text.to_owned(), |text, n| {
            let name = lab.disks[n - 1].word();
            let name = name.strip_prefix("/dev/").unwrap_or(&name).to_owned();
            text.replace(&format!("@{n}"), &name)
        })
    };
    let mut sections = text.split("\n$ ");
    sections.next();
    for section in sections {
        let section = access(section);
        let mut lines = section.lines();
        let line = lines.next().unwrap();
        let mut expected: Vec<&str> = lines.take_while(|line| !line.starts_with("# ")).collect();
        while expected.last().is_some_and(|line| line.is_empty()) {
            expected.pop();
        }
        let status = expected.last().and_then(|line| line.strip_prefix("= "));
        let status = status.map_or(0, |status| status.parse::<i32>().unwrap());
        if status != 0 {
            expected.pop();
        }
        let (out, ended) = shell(line);
        udev::settle();
        let lines: Vec<&str> = out.lines().collect();
        if ended != status || !are_like(&lines, &expected) {
            wrong.push(format!(
                "$ {line}\n{out}= {ended}\nshould be:\n{}\n= {status}\n",
                expected.join("\n")
            ));
        }
        count += 1;
    }
    assert!(count > 140, "only {count} lines were read");
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    lab.finish();
}

/// A group `mydg` with an ext4 filesystem on the volume `home`.
fn mydg(lab: &Lab) {
    link_utilities();
    let disks: Vec<String> = (0..lab.disks.len())
        .map(|n| format!("mydg{:02}={}", n + 1, lab.disks[n].word()))
        .collect();
    let (_, status) = shell(&format!("vxdg init mydg {}", disks.join(" ")));
    assert_eq!(status, 0);
    let (out, status) = shell(
        "set -e; vxassist -g mydg make home 24m mydg01; mkfs.ext4 -q /dev/vx/dsk/mydg/home; \
         mkdir -p /mnt/home; mount /dev/vx/dsk/mydg/home /mnt/home; echo precious >/mnt/home/file",
    );
    assert_eq!((out.as_str(), status), ("", 0));
}

/// Runs a script, which has to end well, and returns what it prints on stdout and stderr.
#[track_caller]
fn script(text: &str) -> String {
    let output = tool("sh", &["-c", &format!("exec 2>&1\n{text}")]);
    assert_eq!(output.status, 0, "{output}");
    output.stdout.clone()
}

#[test]
fn the_procedures_of_administrators_run_as_they_are_written() {
    let mut lab = lab!(["mirror", "era"], [64, 64]);
    mydg(&lab);
    let in_archive = |file: &str| shell(&format!("tar -xOf {file} ./file")).0;

    // The backup of the guides: silent from beginning to end, and the space is free afterwards.
    assert_eq!(script(include_str!("../vx/online-backup.sh")), "");
    assert_eq!(in_archive("/tmp/home.tar"), "precious\n");
    assert_eq!(lab.print("mydg").names(), ["home"]);

    // A nightly job, twice: the second night has what was written in between.
    assert_eq!(script(include_str!("../vx/nightly.sh")), "");
    assert_eq!(in_archive("/tmp/night.tar"), "precious\n");
    assert_eq!(shell("echo new >/mnt/home/file; sync").1, 0);
    assert_eq!(
        script(include_str!("../vx/find-snapdone.sh")),
        "home home-02\n"
    );
    assert_eq!(script(include_str!("../vx/nightly.sh")), "");
    assert_eq!(in_archive("/tmp/night.tar"), "new\n");

    // What waits for copies, and what counts plexes that are not active. The disk is slow, so that
    // there is something to wait for.
    lab.fault(1, Fault::Slow { read: 0, write: 60 });
    assert_eq!(shell("vxassist -g mydg -b mirror home mydg02").1, 0);
    let (tasks, _) = shell("vxtask list");
    let words: Vec<&str> = tasks.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(words[1..3], ["-", "ATCOPY/R"], "{tasks}");
    assert!(words[3].ends_with('%'), "{tasks}");
    assert_eq!(words[5..], ["PLXATT", "home", "home-03", "mydg"], "{tasks}");
    let (line, _) = shell("vxprint -g mydg -p -F '%name %state %tutil0' home-03");
    assert!(
        line.starts_with("home-03 ") && line.ends_with(" ATT1\n"),
        "{line}"
    );
    lab.heal(1);
    assert_eq!(
        script(include_str!("../vx/wait-for-tasks.sh")),
        "1 ENABLEDLOG\n1 ENABLEDSNAPDONE\n"
    );

    // A copy that is aborted leaves nothing behind.
    assert_eq!(shell("vxassist -g mydg snapabort home").1, 0);
    let plexes = shell("vxprint -g mydg -pn").0;
    lab.fault(
        1,
        Fault::Slow {
            read: 0,
            write: 400,
        },
    );
    assert_eq!(shell("vxassist -g mydg -b snapstart home mydg02").1, 0);
    let abort = "vxtask abort $(vxtask -q list | awk '{print $1}')";
    assert_eq!(shell(abort).1, 0);
    lab.heal(1);
    assert_eq!(shell("vxtask -q list").0, "");
    assert_eq!(shell("vxprint -g mydg -pn").0, plexes);

    // What a collector makes of it.
    let seen = script(include_str!("../vx/inventory.sh"));
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines[0], "group mydg imported", "{seen}");
    assert!(lines.contains(&"disks 120"), "{seen}");
    assert!(lines.contains(&"disk mydg01 mydg online"), "{seen}");
    assert!(lines.contains(&"disk mydg02 mydg online"), "{seen}");

    assert_eq!(shell("umount /mnt/home").1, 0);
    lab.finish();
}

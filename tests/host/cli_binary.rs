//! The program itself: exit status, what goes to stdout and what to stderr, and pipes that nobody
//! reads.

use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

fn called(name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_breakoff"));
    command.arg0(name).stdin(Stdio::null());
    command
}

fn run(line: &str) -> Output {
    let mut words = line.split_whitespace();
    called(words.next().unwrap()).args(words).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn usage_errors_exit_2_and_leave_stdout_alone() {
    for line in ["breakoff", "breakoff frobnicate", "breakoff make v"] {
        let output = run(line);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert_eq!(text(&output.stdout), "", "{line}");
        assert!(text(&output.stderr).contains(": error: "), "{line}");
    }
}

#[test]
fn usage_errors_of_a_vx_name_exit_1_with_a_line_that_scripts_know() {
    for line in [
        "vxassist",
        "/usr/sbin/vxassist make v",
        "vxsnap make v",
        "vxcache -g mydg stop v",
    ] {
        let output = run(line);
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert_eq!(text(&output.stdout), "", "{line}");
        let errors = text(&output.stderr);
        assert!(errors.starts_with("VxVM vx"), "{line}: {errors}");
        assert!(errors.contains(" ERROR V-5-1-"), "{line}: {errors}");
    }
}

#[test]
fn usage_errors_with_json_are_one_document_and_nothing_else() {
    for line in [
        "breakoff --json",
        "breakoff frobnicate --json",
        "breakoff --json make v x",
        "breakoff --json group create g",
    ] {
        let output = run(line);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert_eq!(text(&output.stderr), "", "{line}");
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (&document["ok"], &document["error"]["kind"]),
            (&false.into(), &"usage".into()),
            "{line}"
        );
    }
}

#[test]
fn help_and_version_are_results() {
    for line in [
        "breakoff --help",
        "breakoff help snapshot",
        "breakoff --version",
        "vxassist help",
    ] {
        let output = run(line);
        assert_eq!(
            (output.status.code(), text(&output.stderr)),
            (Some(0), ""),
            "{line}"
        );
        assert!(!output.stdout.is_empty(), "{line}");
    }
}

#[test]
fn help_with_json_is_a_document_too() {
    let document: serde_json::Value =
        serde_json::from_slice(&run("breakoff --json snapwait --help").stdout).unwrap();
    assert!(
        document["result"]["text"]
            .as_str()
            .unwrap()
            .contains("Usage:")
    );
}

#[test]
fn udev_name_takes_volumes_apart() {
    let output = run("breakoff udev-name pay--1-db--2");
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(0), "pay-1/db-2\n")
    );
    let output = run("breakoff udev-name plain");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
}

#[test]
fn a_pipe_that_nobody_reads_is_success() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = called("breakoff")
        .arg("--help")
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
}

#[test]
fn a_stderr_that_nobody_reads_changes_nothing() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(
        called("breakoff")
            .arg("frobnicate")
            .stderr(writer)
            .status()
            .unwrap()
            .code(),
        Some(2)
    );
}

#[test]
fn a_full_disk_under_stdout_is_a_failure() {
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = called("breakoff")
        .arg("--help")
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("could not be written: No space left on device"));
}

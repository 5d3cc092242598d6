//! A shell completes words with the names of a real group: bash, with the script that is installed.

use crate::support::child::{DEADLINE, Output, stopped_at, tool};
use crate::support::disk::Fault;
use std::fs;
use std::time::Duration;
use tempfile::TempDir;

const SCRIPT: &str = include_str!("../../dist/completions/breakoff.bash");
/// Bash's answer to a word, as readline asks for it.
const ASK: &str = r#"
    . "$1"; shift
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_TYPE=9
    _clap_complete_breakoff breakoff "${COMP_WORDS[COMP_CWORD]}" ""
    printf '%s\n' "${COMPREPLY[@]}"
"#;
/// The program waits for 2 s; the rest is starting processes under emulation.
const SOON: Duration = Duration::from_secs(10);

struct Bash {
    directory: TempDir,
}

impl Bash {
    fn new() -> Bash {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("script"), SCRIPT).unwrap();
        Bash { directory }
    }

    fn ask(&self, line: &str) -> Output {
        let script = self.directory.path().join("script");
        let mut words = vec!["-c", ASK, "bash", script.to_str().unwrap()];
        words.extend(line.split(' '));
        let output = tool("bash", &words).ok();
        assert_eq!(output.stderr, "", "{output}");
        output
    }

    /// What is offered, without options.
    #[track_caller]
    fn offers(&self, line: &str) -> Vec<String> {
        let output = self.ask(line);
        assert!(output.took < SOON, "{output}");
        let words = output.stdout.lines().map(str::to_owned);
        let mut words: Vec<String> = words
            .filter(|word| !word.starts_with('-') && !word.is_empty())
            .collect();
        words.sort();
        words
    }
}

#[test]
fn a_shell_completes_the_names_that_there_are() {
    let mut lab = lab!(["mirror", "era", "zero"], [32, 32, 32]);
    lab.create_group("g");
    lab.cli("-g g make home 4m").ok();
    lab.cli("-g g make mail 4m").ok();
    lab.cli("-g g snapstart home").ok();
    lab.cli("-g g snapshot home").ok();
    lab.cli("-g g snapstart mail").ok();
    let bash = Bash::new();
    let before = lab.print("g").generation;
    assert_eq!(bash.offers("breakoff -g "), ["g"]);
    assert_eq!(bash.offers("breakoff -g g snapback "), ["SNAP-home"]);
    assert_eq!(bash.offers("breakoff snapshot "), ["mail"]);
    assert_eq!(bash.offers("breakoff print m"), ["mail"]);
    assert_eq!(
        bash.offers("breakoff snapstart home --on "),
        ["disk01", "disk02", "disk03"]
    );
    assert_eq!(
        bash.offers("breakoff snapstart home --on = disk03"),
        ["disk03"]
    );
    assert_eq!(
        bash.offers("breakoff group replace-disk g disk02"),
        ["disk02"]
    );
    assert_eq!(bash.offers("breakoff snapshot mail --plex "), ["mail-02"]);
    assert_eq!(lab.print("g").generation, before, "nothing was written");

    // A command that has the group's lock is not waited for.
    let mut holder = stopped_at(1, "-g g make new 4m");
    assert!(holder.stops());
    assert_eq!(bash.offers("breakoff snapback "), ["SNAP-home"]);
    holder.signal(libc::SIGCONT);
    holder.wait(DEADLINE).ok();

    // Nor is a disk that hangs: the others know as much.
    lab.fault(1, Fault::Paused);
    assert_eq!(bash.offers("breakoff snapback "), ["SNAP-home"]);
    // And where none answers the shell gets its prompt back.
    lab.fault(0, Fault::Paused);
    lab.fault(2, Fault::Paused);
    assert!(bash.offers("breakoff snapback ").is_empty());
    (0..3).for_each(|disk| lab.heal(disk));
    assert_eq!(bash.offers("breakoff snapback "), ["SNAP-home"]);
    lab.finish();
}

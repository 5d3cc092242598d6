//! Which words become which command, for both front ends, and what is said to words that do not
//! fit.
//!
//! The command lines are in the golden files; a test answers each of them again.

use crate::cli_support::{transcript, words};
use breakoff::app::Options;
use breakoff::cli::drawing::When;
use breakoff::cli::{Action, Invocation, Stopped, Why, native, vx};
use breakoff::error::Kind;
use breakoff::report::text;
use std::ffi::OsString;

fn parse(args: &[OsString]) -> Result<Invocation, Box<Stopped>> {
    let program = args[0].to_str().unwrap();
    if vx::is_ours(program) {
        vx::parse(program, &args[1..])
    } else {
        native::parse(args)
    }
}

fn answer(args: &[OsString]) -> String {
    match parse(args) {
        Ok(Invocation {
            options,
            action,
            style,
        }) => {
            let action = match action {
                Action::App(command) => short(&format!("{command:?}")),
                Action::Rehearse(command) => {
                    format!("dry run of {}", short(&format!("{command:?}")))
                }
                Action::ToFile(command, file) => {
                    format!("{} to {file:?}", short(&format!("{command:?}")))
                }
                Action::Watch { every, only_look } => {
                    let dry = if only_look { "dry run of " } else { "" };
                    format!("{dry}Watch every {every:?}")
                }
                Action::Vx(job) => short(&format!("{job:?}")),
                Action::UdevProbe(_) | Action::UdevName(_) => format!("{action:?}"),
            };
            let flags = [
                (style.json, "json"),
                (style.quiet, "quiet"),
                (style.verbose, "verbose"),
                (style.color == When::Always, "colours"),
                (style.color == When::Never, "no colours"),
            ];
            let flags = flags
                .iter()
                .filter(|(set, _)| *set)
                .map(|(_, word)| (*word).to_owned());
            let picture = style.picture.iter();
            let picture = picture.map(|file| format!("a picture in {}", file.display()));
            let flags = flags.chain(picture);
            let with: Vec<String> = given(&options).into_iter().chain(flags).collect();
            if with.is_empty() {
                action
            } else {
                format!("{action}\nwith {}", with.join(", "))
            }
        }
        Err(stopped) => match stopped.why {
            Why::Help(text) => format!("help: {}", text.lines().next().unwrap_or_default()),
            Why::Wrong(err) => {
                assert_eq!(err.kind(), Kind::Usage);
                text::failure(
                    &stopped.style.program,
                    &err,
                    stopped.style.front_end.language(),
                )
            }
        },
    }
}

/// The options that differ from their defaults.
fn given(options: &Options) -> Vec<String> {
    let flags = [(options.yes, "yes"), (options.background, "background")];
    let group = options.group.iter().map(|group| format!("group {group}"));
    let timeout = options
        .timeout
        .iter()
        .map(|timeout| format!("timeout {timeout:?}"));
    group
        .chain(timeout)
        .chain(
            flags
                .iter()
                .filter(|(set, _)| *set)
                .map(|(_, word)| (*word).to_owned()),
        )
        .collect()
}

/// Names and sizes without their types around them.
fn short(debug: &str) -> String {
    let mut text = debug.to_owned();
    for wrapper in ["Name(\"", "Sectors("] {
        while let Some(at) = text.find(wrapper) {
            let end = at + text[at..].find(')').unwrap();
            let inner = text[at + wrapper.len()..end]
                .trim_end_matches('"')
                .to_owned();
            text.replace_range(at..=end, &inner);
        }
    }
    text
}

#[test]
fn native_words() {
    transcript("cli-native.txt", answer);
}

#[test]
fn native_words_that_do_not_fit() {
    transcript("cli-native-errors.txt", answer);
}

#[test]
fn vxassist_words() {
    transcript("cli-vxassist.txt", answer);
}

#[test]
fn vxassist_words_that_do_not_fit() {
    transcript("cli-vxassist-errors.txt", answer);
}

#[test]
fn the_verb_of_wrong_words_is_still_known() {
    let verb = |line: &str| parse(&words(line)).unwrap_err().style.verb;
    assert_eq!(
        verb("breakoff -g print --json group create").as_deref(),
        Some("group create")
    );
    assert_eq!(
        verb("breakoff --timeout 5 plex convert x").as_deref(),
        Some("plex convert")
    );
    assert_eq!(
        verb("breakoff snapshot --name a b c").as_deref(),
        Some("snapshot")
    );
    assert_eq!(verb("breakoff frobnicate"), None);
    assert_eq!(verb("vxassist make v"), Some("make".to_owned()));
}

#[test]
fn json_is_known_of_wrong_words() {
    let json = |line: &str| parse(&words(line)).unwrap_err().style.json;
    assert!(json("breakoff make v --json"));
    assert!(json("breakoff --json frobnicate"));
    assert!(!json("breakoff make v -- --json x y"));
}

/// Every verb with the verbs below it, as words.
fn verbs(command: &clap::Command, above: &[String]) -> Vec<Vec<String>> {
    let below = command.get_subcommands().filter(|c| c.get_name() != "help");
    let paths = below.flat_map(|c| {
        let path: Vec<String> = above
            .iter()
            .cloned()
            .chain([c.get_name().to_owned()])
            .collect();
        std::iter::once(path.clone())
            .chain(verbs(c, &path))
            .collect::<Vec<_>>()
    });
    paths.collect()
}

#[test]
fn the_help_of_every_verb_names_the_exit_status() {
    native::parser().debug_assert();
    let all = verbs(&native::parser(), &[]);
    assert!(all.len() > 30, "{}", all.len());
    for verb in all {
        for option in ["-h", "--help"] {
            let line = format!("breakoff {} {option}", verb.join(" "));
            match parse(&words(&line)).unwrap_err().why {
                Why::Help(text) => assert!(
                    text.contains("Exit status:") && text.contains("Usage:"),
                    "{line}"
                ),
                Why::Wrong(err) => panic!("{line}: {err}"),
            }
        }
    }
}

#[test]
fn every_verb_has_a_one_line_summary() {
    fn check(command: &clap::Command) {
        let about = command
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(
            !about.is_empty() && about.len() < 100 && !about.ends_with('.'),
            "{}: {about:?}",
            command.get_name()
        );
        command.get_subcommands().for_each(check);
    }
    check(&native::parser());
}

#[cfg(unix)]
#[test]
fn words_that_are_not_text_are_refused() {
    use std::os::unix::ffi::OsStringExt;
    let bad = OsString::from_vec(vec![b'v', 0xff]);
    for program in ["breakoff", "vxassist"] {
        let args = [
            OsString::from(program),
            OsString::from("snapabort"),
            bad.clone(),
        ];
        assert!(
            matches!(parse(&args).unwrap_err().why, Why::Wrong(err) if err.kind() == Kind::Usage)
        );
    }
}

proptest::proptest! {
    /// Whatever is typed, the answer is a command or a usage error.
    #[test]
    fn no_words_make_it_panic(line in proptest::collection::vec(proptest::sample::select(WORDS), 0..8)) {
        for program in ["breakoff", "vxassist"] {
            let args: Vec<OsString> = std::iter::once(program).chain(line.iter().copied()).map(OsString::from).collect();
            answer(&args);
        }
    }
}

const WORDS: &[&str] = &[
    "snapshot",
    "snapstart",
    "snapabort",
    "make",
    "remove",
    "volume",
    "group",
    "create",
    "plex",
    "convert",
    "print",
    "grow",
    "v",
    "w",
    "10g",
    "+1g",
    "0",
    "disk01",
    "!disk01",
    "!",
    "=",
    "==",
    "a=b",
    "=x",
    "nmirror=2",
    "nmirror=",
    "layout=mirror",
    "layout=",
    "alloc=a,!b,,",
    "-g",
    "-",
    "--",
    "-o",
    "allvols",
    "name=%v",
    "-o,",
    "-ü",
    "-bqg",
    "--json",
    "--all",
    "--mirrors",
    "--on",
    "--on=",
    "--name",
    "--pattern",
    "%v",
    "--timeout=1e300",
    "--help",
    "",
    " ",
    "ü",
    "ctlr:c1",
];

//! The manual pages of `dist/man` are made here: from the parser, the tables of exit statuses, of
//! configuration keys and of VxVM's words, and from the prose in `dist/man/prose`, which has what no
//! code says. `BREAKOFF_BLESS=1` writes them; otherwise they are compared.
//!
//! A file of prose is named after its page and has sections as the `man` macros mark them. Each
//! line of it that begins with `# breakoff` or `# vxassist` is parsed as a command.

use breakoff::cli::native::parser;
use breakoff::cli::vx::table::{ENTRIES, Entry, Fate};
use breakoff::cli::{Why, native, vx};
use breakoff::error::{Kind, STATUSES};
use breakoff::linux::process::notice::{self, Described};
use clap::Command;
use clap_mangen::Man;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The heading of the options that all verbs share.
const GLOBAL: &str = "Global options";
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn directory() -> PathBuf {
    root().join("dist/man")
}

/// The prose of a page, empty if it has none.
fn prose(page: &str) -> String {
    let path = directory().join("prose").join(format!("{page}.man"));
    fs::read_to_string(path).unwrap_or_default()
}

/// Text as roff reads it, with words that are quoted made bold.
fn text(plain: &str) -> String {
    let escaped = plain
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('…', "...");
    let made = quoted_bold(&escaped, '\'');
    let lines = made.lines().map(|line| {
        if line.starts_with('.') {
            format!("\\&{line}")
        } else {
            line.to_owned()
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What stands between two marks becomes bold. A mark within a word, or behind one when nothing is
/// open, is an apostrophe.
fn quoted_bold(text: &str, mark: char) -> String {
    let mut parts = text.split(mark);
    let mut made = parts.next().unwrap_or_default().to_owned();
    let mut open = false;
    for part in parts {
        if !open && made.ends_with(|c: char| c.is_alphanumeric()) {
            made += "\\(aq";
        } else {
            made += if open { "\\fR" } else { "\\fB" };
            open = !open;
        }
        made += part;
    }
    assert!(!open, "a quote is not closed: {text}");
    made
}

/// The argument of a macro.
fn argument(plain: &str) -> String {
    format!("\"{}\"", text(plain).replace('"', "\\(dq"))
}

/// A page with its title and the line by which it is found.
fn page(name: &str, section: u8, about: &str, body: &str) -> String {
    let comment = ".\\\" Made by tests/host/man.rs: BREAKOFF_BLESS=1 writes it again.";
    format!(
        "{comment}\n.TH {} {section} \"\" {} {}\n.SH NAME\n{} \\- {}\n{body}",
        argument(&name.to_uppercase()),
        argument(&format!("breakoff {VERSION}")),
        argument("breakoff"),
        text(name),
        text(about),
    )
}

/// Paragraphs of a help text.
fn paragraphs(help: &str) -> String {
    let all = help.split("\n\n").map(|paragraph| {
        let end = if paragraph.ends_with(['.', ':', '!', '?']) {
            ""
        } else {
            "."
        };
        text(&format!("{paragraph}{end}"))
    });
    all.collect::<Vec<_>>().join("\n.PP\n") + "\n"
}

/// A term with what it means.
fn term(roff: &str, meaning: &str) -> String {
    format!(".TP\n{roff}\n{}\n", text(meaning))
}

/// `breakoff make [OPTIONS] <VOL> <SIZE>`, what is typed as it stands in bold.
fn synopsis(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim().strip_prefix("Usage: ").unwrap_or_default();
    let lines = usage.lines().map(|line| {
        let words = line.split_whitespace().map(|word| {
            let stands = word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
            match stands {
                true => format!("\\fB{}\\fR", text(word)),
                false => text(word),
            }
        });
        words.collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n.br\n") + "\n"
}

/// The options and operands, as clap_mangen writes them.
fn options(command: &Command) -> String {
    let mut made = Vec::new();
    Man::new(command.clone())
        .render_options_section(&mut made)
        .unwrap();
    let made = String::from_utf8(made).unwrap();
    // What begins a document of its own is left out, and so are the double quotes' strings.
    let lines = made
        .lines()
        .skip_while(|line| !line.starts_with(".SH") && !line.starts_with(".TP"));
    let mut made = String::new();
    for line in lines {
        let line = quoted_bold(&line.replace("\\*(Aq", "'"), '\'');
        // A paragraph within a help.
        if line.is_empty() {
            made += ".sp\n";
        } else {
            let _ = writeln!(made, "{line}");
        }
    }
    made.replace(".br\n.sp\n.br\n", ".sp\n")
}

/// The command with only the options under this heading (`None`: those under none), and only if they
/// are shown.
fn with_options(command: &Command, heading: Option<&str>) -> Command {
    command.clone().mut_args(|arg| {
        let is_help = ["help", "version"].contains(&arg.get_id().as_str());
        let wanted = arg.get_help_heading() == heading && !is_help;
        let hidden = arg.is_hide_set() || !wanted;
        arg.hide(hidden)
    })
}

fn has_options(command: &Command) -> bool {
    command.get_arguments().any(|arg| !arg.is_hide_set())
}

/// The verbs with the verbs below them, hidden ones left out, each with its words.
fn verbs(command: &Command, above: &[String]) -> Vec<(Vec<String>, Command)> {
    let mut found = Vec::new();
    for verb in command.get_subcommands() {
        if verb.is_hide_set() || verb.get_name() == "help" {
            continue;
        }
        let mut words = above.to_vec();
        words.push(verb.get_name().to_owned());
        found.push((words.clone(), verb.clone()));
        found.extend(verbs(verb, &words));
    }
    found
}

fn all_verbs() -> Vec<(Vec<String>, Command)> {
    let mut command = parser();
    command.build();
    verbs(&command, &[])
}

fn page_of(words: &[String]) -> String {
    format!("breakoff-{}", words.join("-"))
}

/// `breakoff-make(8)` in bold and roman.
fn reference(page: &str, section: u8) -> String {
    format!("\\fB{}\\fR({section})", text(page))
}

/// The list of verbs, each with its line.
fn list(verbs: &[(Vec<String>, Command)]) -> String {
    let line = |(words, verb): &(Vec<String>, Command)| {
        let about = verb.get_about().map(ToString::to_string);
        term(
            &reference(&page_of(words), 8),
            &format!("{}.", about.unwrap_or_default()),
        )
    };
    verbs.iter().map(line).collect()
}

fn exit_statuses() -> String {
    let line =
        |(status, meaning): &(u8, &str)| term(&format!("\\fB{status}\\fR"), &format!("{meaning}."));
    format!(
        ".SH EXIT STATUS\n{}",
        STATUSES.iter().map(line).collect::<String>()
    )
}

fn see_also(pages: impl IntoIterator<Item = (String, u8)>) -> String {
    let all: BTreeSet<(u8, String)> = pages
        .into_iter()
        .map(|(page, section)| (section, page))
        .collect();
    let all: Vec<String> = all
        .iter()
        .map(|(section, page)| reference(page, *section))
        .collect();
    format!(".SH SEE ALSO\n{}\n", all.join(",\n"))
}

/// `breakoff(8)`.
fn overview() -> String {
    let mut command = parser();
    command.build();
    let all = all_verbs();
    let (first, rest) = sections(&prose("breakoff"), ".SH EXAMPLES");
    let global = options(&with_options(&command, Some(GLOBAL)));
    let body = format!(
        ".SH SYNOPSIS\n{}{first}.SH VERBS\n\
         .B breakoff\n.I VERB\n.B \\-\\-help\nsays the same as the verb\\(aqs page.\n{}{global}{}{rest}{}",
        synopsis(&command),
        list(&all),
        exit_statuses(),
        see_also([
            ("breakoff.conf".to_owned(), 5),
            ("breakoff-kernel".to_owned(), 7),
            ("vxassist".to_owned(), 8),
            ("dmsetup".to_owned(), 8),
        ]),
    );
    page("breakoff", 8, "third-mirror break-off snapshots", &body)
}

/// The prose before a section, and from it on.
fn sections(prose: &str, heading: &str) -> (String, String) {
    let at = prose.find(heading).unwrap_or(prose.len());
    (prose[..at].to_owned(), prose[at..].to_owned())
}

/// The page of a verb.
fn of_verb(words: &[String], verb: &Command, all: &[(Vec<String>, Command)]) -> String {
    let name = page_of(words);
    let about = verb
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    let long = verb.get_long_about().map(ToString::to_string);
    let long = long.unwrap_or_else(|| about.clone());
    let below: Vec<(Vec<String>, Command)> = all
        .iter()
        .filter(|(other, _)| other.len() == words.len() + 1 && other.starts_with(words))
        .cloned()
        .collect();
    let mut body = format!(
        ".SH SYNOPSIS\n{}.SH DESCRIPTION\n{}",
        synopsis(verb),
        paragraphs(&long)
    );
    if !below.is_empty() {
        body += ".SH VERBS\n";
        body += &list(&below);
    }
    let own = with_options(verb, None);
    if has_options(&own) {
        body += &options(&own);
    }
    body += ".SH GLOBAL OPTIONS\nThe options that all verbs take are in\n";
    let _ = writeln!(body, "{}.", reference("breakoff", 8));
    let global = verb
        .get_arguments()
        .filter(|arg| arg.get_help_heading() == Some(GLOBAL));
    let global = global.map(|arg| {
        let long = arg
            .get_long()
            .map(|long| format!("\\fB\\-\\-{}\\fR", text(long)));
        let short = arg.get_short().map(|short| format!("\\fB\\-{short}\\fR"));
        short.into_iter().chain(long).collect::<Vec<_>>().join(", ")
    });
    let _ = writeln!(
        body,
        "They are:\n{}.",
        global.collect::<Vec<_>>().join("; ")
    );
    let prose = prose(&name);
    body += &prose;
    let _ = writeln!(
        body,
        ".SH EXIT STATUS\n0 when it is done; the others are in\n{}.",
        reference("breakoff", 8)
    );
    // The verb above and those below it, those beside a verb that has one above, and what is named.
    let said = format!("{long}\n{prose}");
    let is_near = |other: &[String]| {
        let same = other == words;
        let above = words.starts_with(other) || other.starts_with(words);
        let beside = words.len() > 1 && other[..other.len() - 1] == words[..words.len() - 1];
        let named = said.contains(&format!("'{}'", other.join(" ")))
            || said.contains(&format!("# breakoff {} ", other.join(" ")));
        !same && (above || beside || named)
    };
    let near = all.iter().filter(|(other, _)| is_near(other));
    let near = near.map(|(other, _)| (page_of(other), 8));
    body += &see_also(near.chain([("breakoff".to_owned(), 8)]));
    page(&name, 8, &about, &body)
}

/// `breakoff.conf(5)`.
fn configuration() -> String {
    let key = |key: &Described| {
        let form = format!("\\fB{}\\fR = \\fI{}\\fR", text(key.name), text(key.example));
        term(&form, key.meaning)
    };
    let variable = |variable: &Described| {
        let meaning = format!("{} Such as '{}'.", variable.meaning, variable.example);
        term(&format!("\\fB{}\\fR", text(variable.name)), &meaning)
    };
    let prose = prose("breakoff.conf")
        .replace(
            ".\\\" KEYS\n",
            &notice::KEYS.iter().map(key).collect::<String>(),
        )
        .replace(
            ".\\\" VARIABLES\n",
            &notice::VARIABLES.iter().map(variable).collect::<String>(),
        );
    let see = see_also([
        ("breakoff".to_owned(), 8),
        ("breakoff-monitor".to_owned(), 8),
    ]);
    page(
        "breakoff.conf",
        5,
        "configuration file of breakoff",
        &format!("{prose}{see}"),
    )
}

/// `breakoff-kernel(7)`.
fn kernel() -> String {
    let see = see_also([("breakoff".to_owned(), 8), ("dmsetup".to_owned(), 8)]);
    let body = format!("{}{see}", prose("breakoff-kernel"));
    page(
        "breakoff-kernel",
        7,
        "what breakoff needs of the kernel",
        &body,
    )
}

/// The utilities of VxVM's of which something works, and those that are refused.
fn utilities() -> (Vec<&'static str>, Vec<&'static Entry>) {
    let mut works: Vec<&str> = Vec::new();
    for entry in ENTRIES {
        if !entry.form.is_empty() && !works.contains(&entry.utility) {
            works.push(entry.utility);
        }
    }
    let refused = ENTRIES
        .iter()
        .filter(|entry| !works.contains(&entry.utility))
        .collect();
    (works, refused)
}

/// The exit statuses of VxVM's utilities, as `docs/vxvm.md` lists them.
fn exit_statuses_of_vx() -> String {
    let page = fs::read_to_string(root().join("docs/vxvm.md")).unwrap();
    let (_, rest) = page.split_once("## Exit status\n").unwrap();
    let (section, _) = rest.split_once("\n## ").unwrap();
    let rows = section.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let status: u8 = cells.next()?.parse().ok()?;
        Some((status, cells.next()?.replace('`', "'")))
    });
    let rows: Vec<(u8, String)> = rows.collect();
    assert!(rows.len() > 8, "{rows:?}");
    let line = |(status, meaning): &(u8, String)| {
        term(&format!("\\fB{status}\\fR"), &format!("{meaning}."))
    };
    rows.iter().map(line).collect()
}

/// The page of one of VxVM's utilities.
fn of_utility(utility: &str, refused: &[&Entry]) -> String {
    let forms = |kind: fn(Fate) -> bool| {
        let own = ENTRIES.iter().filter(move |entry| entry.utility == utility);
        let of_kind = own.filter(move |entry| kind(entry.fate));
        of_kind.map(|entry| {
            let form = format!("\\fB{}\\fR {}", text(utility), text(entry.form));
            match entry.fate {
                Fate::Works => term(&form, "As in VxVM."),
                Fate::Differs(how) => term(&form, &format!("As in VxVM, but: {how}.")),
                Fate::Refused(instead) => term(&form, &format!("Instead: {instead}.")),
            }
        })
    };
    let works: String = forms(|fate| !matches!(fate, Fate::Refused(_))).collect();
    let not: String = forms(|fate| matches!(fate, Fate::Refused(_))).collect();
    let mut body = format!(
        ".SH SYNOPSIS\n\\fB{0}\\fR [\\fB\\-g\\fR \\fIGROUP\\fR] ...\n.br\n\\fB{0} help\\fR\n",
        text(utility)
    );
    if utility == "vxassist" {
        body += &prose(utility);
    } else {
        let _ = writeln!(
            body,
            ".SH DESCRIPTION\nWhat all utilities have in common is in\n{}.",
            reference("vxassist", 8)
        );
    }
    if !works.is_empty() {
        let _ = write!(body, ".SH FORMS\n{works}");
    }
    if !not.is_empty() {
        let _ = write!(body, ".SH NOT SUPPORTED\n{not}");
    }
    if utility == "vxassist" {
        body += ".SH OTHER UTILITIES\nThese are refused as a whole:\n";
        for entry in refused {
            if let Fate::Refused(instead) = entry.fate {
                body += &term(
                    &format!("\\fB{}\\fR", text(entry.utility)),
                    &format!("Instead: {instead}."),
                );
            }
        }
        let _ = write!(body, ".SH EXIT STATUS\n{}", exit_statuses_of_vx());
        let others = utilities().0.into_iter().filter(|other| *other != utility);
        body += &see_also(
            others
                .map(|other| (other.to_owned(), 8))
                .chain([("breakoff".to_owned(), 8)]),
        );
    } else {
        body += &see_also([("vxassist".to_owned(), 8), ("breakoff".to_owned(), 8)]);
    }
    page(utility, 8, "VxVM's utility, as breakoff has it", &body)
}

/// All pages by the names of their files.
fn pages() -> BTreeMap<String, String> {
    let all = all_verbs();
    let verbs = all
        .iter()
        .map(|(words, verb)| (format!("{}.8", page_of(words)), of_verb(words, verb, &all)));
    let (works, refused) = utilities();
    let utilities = works
        .into_iter()
        .map(|utility| (format!("{utility}.8"), of_utility(utility, &refused)));
    let others = [
        ("breakoff.8".to_owned(), overview()),
        ("breakoff.conf.5".to_owned(), configuration()),
        ("breakoff-kernel.7".to_owned(), kernel()),
    ];
    verbs.chain(utilities).chain(others).collect()
}

/// The files of pages that are there.
fn files() -> BTreeMap<String, String> {
    let entries = fs::read_dir(directory()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let pages = paths.filter(|path| path.is_file());
    let named = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    pages.map(named).collect()
}

#[test]
fn the_pages_are_what_the_program_says() {
    let made = pages();
    if std::env::var_os("BREAKOFF_BLESS").is_some_and(|value| value == "1") {
        for name in files().keys().filter(|name| !made.contains_key(*name)) {
            fs::remove_file(directory().join(name)).unwrap();
        }
        for (name, text) in &made {
            fs::write(directory().join(name), text).unwrap();
        }
    }
    let there = files();
    let differ: Vec<&String> = made
        .iter()
        .filter(|(name, text)| there.get(*name) != Some(text))
        .map(|(name, _)| name)
        .chain(there.keys().filter(|name| !made.contains_key(*name)))
        .collect();
    assert!(
        differ.is_empty(),
        "in dist/man these are not what the program says; BREAKOFF_BLESS=1 writes them: {differ:?}"
    );
}

#[test]
fn each_verb_has_a_page_and_no_hidden_one_has() {
    let names: BTreeSet<String> = pages().into_keys().collect();
    for page in [
        "breakoff.8",
        "breakoff-snapstart.8",
        "breakoff-group-create.8",
        "vxassist.8",
    ] {
        assert!(names.contains(page), "{page}");
    }
    assert!(!names.iter().any(|name| name.contains("udev")), "{names:?}");
    assert!(!names.iter().any(|name| name.contains("help")), "{names:?}");
    assert!(all_verbs().len() > 40);
}

#[test]
fn prose_is_of_a_page_and_its_examples_are_commands() {
    let made = pages();
    let sections = ["5", "7", "8"];
    let mut examples = 0;
    for entry in fs::read_dir(directory().join("prose")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let has_page = sections
            .iter()
            .any(|section| made.contains_key(&format!("{name}.{section}")));
        assert!(has_page, "{} is of no page", path.display());
        for line in fs::read_to_string(&path).unwrap().lines() {
            let Some(command) = line.strip_prefix("# ") else {
                continue;
            };
            let words: Vec<OsString> = command.split_whitespace().map(OsString::from).collect();
            let parsed = match words[0].to_str().unwrap() {
                "breakoff" => native::parse(&words),
                called if called.starts_with("vx") => vx::parse(called, &words[1..]),
                _ => continue,
            };
            if let Err(stopped) = parsed {
                match stopped.why {
                    Why::Help(_) => {}
                    Why::Wrong(err) => panic!("{}: '{line}' is no command: {err}", path.display()),
                }
            }
            examples += 1;
        }
    }
    assert!(examples > 20, "{examples} examples");
}

#[test]
fn the_verbs_of_every_day_have_examples() {
    for verb in ["make", "group-create", "snapstart", "snapshot", "snapback"] {
        let page = &pages()[&format!("breakoff-{verb}.8")];
        assert!(page.contains(".SH EXAMPLES\n"), "{verb}");
    }
}

#[test]
fn each_exit_status_is_described_once_and_the_same_everywhere() {
    let known: Vec<u8> = STATUSES.iter().map(|(status, _)| *status).collect();
    let expected: Vec<u8> = (0..=10).collect();
    assert_eq!(known, expected);
    let of_kinds: BTreeSet<u8> = Kind::ALL.iter().map(|kind| kind.exit_status()).collect();
    assert_eq!(of_kinds, (1..=10).collect());
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for (status, meaning) in STATUSES {
        let row = format!("| {status} | {meaning} |\n");
        assert!(readme.contains(&row), "README.md lacks '{row}'");
    }
}

#[test]
fn every_key_is_read_and_no_other() {
    for key in notice::KEYS {
        let line = format!("{} = {}\n", key.name, key.example);
        assert!(notice::hook_in(&line).unwrap().is_some(), "{line}");
    }
    assert!(notice::hook_in("hooks = /x\n").is_err());
    assert!(pages()["breakoff.conf.5"].contains("\\fBhook\\fR = "));
}

/// What the program puts into a hook's environment, and asks its own environment for.
#[test]
fn the_variables_are_those_of_the_code() {
    let between = |text: &str, before: &str| {
        let after = text.split(before).skip(1);
        let names = after.filter_map(|rest| rest.split_once('"').map(|(name, _)| name.to_owned()));
        names.collect::<BTreeSet<String>>()
    };
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let closing = between(&read("src/app/session/closing.rs"), "(\"");
    let fields = closing
        .iter()
        .filter(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase()));
    let fields: BTreeSet<String> = fields.map(|name| format!("BREAKOFF_{name}")).collect();
    assert!(fields.len() > 4, "{fields:?}");
    let own = ["BREAKOFF_EVENT", "BREAKOFF_MESSAGE"].map(str::to_owned);
    let described = notice::VARIABLES.map(|variable| variable.name.to_owned());
    assert_eq!(
        fields.into_iter().chain(own).collect::<BTreeSet<_>>(),
        BTreeSet::from(described)
    );

    // Between the program and its own processes, or from udev to itself.
    const INTERNAL: [&str; 9] = [
        "BREAKOFF_KILL_AT",
        "BREAKOFF_STOP_AT",
        "BREAKOFF_STOP_FROM",
        "BREAKOFF_MONITOR_UNTIL_IDLE",
        "BREAKOFF_DISK_UUID",
        "BREAKOFF_GROUP_UUID",
        "BREAKOFF_OWNER",
        "BREAKOFF_GROUP",
        "BREAKOFF_MODE",
    ];
    let mut asked = BTreeSet::new();
    let mut waiting = vec![root().join("src")];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if !path.ends_with("notice.rs") {
            let text = fs::read_to_string(&path).unwrap();
            asked.extend(
                between(&text, "\"BREAKOFF_")
                    .iter()
                    .map(|name| format!("BREAKOFF_{name}")),
            );
        }
    }
    // notice.rs has the table above, and asks for one itself.
    asked.insert("BREAKOFF_CONFIG".to_owned());
    let is_name = |name: &&String| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    let asked: BTreeSet<&String> = asked
        .iter()
        .filter(is_name)
        .filter(|name| !INTERNAL.contains(&name.as_str()))
        .collect();
    let prose = prose("breakoff");
    let (_, section) = prose.split_once(".SH ENVIRONMENT\n").unwrap();
    let said: BTreeSet<String> = section
        .lines()
        .filter_map(|line| line.strip_prefix(".B BREAKOFF_"))
        .map(|name| format!("BREAKOFF_{name}"))
        .collect();
    assert_eq!(said.iter().collect::<BTreeSet<_>>(), asked);
}

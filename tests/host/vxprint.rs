//! What `vxprint` prints: each form as a golden file, and the ways in which scripts take it apart.
//! All of it pure.

use crate::cli_support::golden;
use crate::cli_support::world::{empty, full, name};
use breakoff::error::{Error, Kind as ErrorKind};
use breakoff::meta::Fill;
use breakoff::model::{DmUuid, PlexState, Role};
use breakoff::plan::world::World;
use breakoff::report::vx::{self, Expr, Form, Format, Kind, Shape, Unit};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The group with everything in it; two of its volumes are tracked and two are open.
fn world() -> World {
    let mut world = full().state;
    for word in ["paydb", "SNAP-paydb"] {
        let id = world.group.volume_named(&name(word)).unwrap().id;
        world.group.volume_mut(id).unwrap().fast_resync = true;
    }
    for word in ["paydb", "home"] {
        let id = world.group.volume_named(&name(word)).unwrap().id;
        let uuid = DmUuid::new(world.group.id, id, &Role::Volume);
        world.devices.get_mut(&uuid).unwrap().open_count = 1;
    }
    world
}

/// A second group, without volumes.
fn spare() -> World {
    let mut world = empty().state;
    world.group.name = name("spare");
    world
}

/// The form that a cluster of option letters asks for, with `-g` unless there is an `A`.
fn form(letters: &str) -> Form {
    let mut form = Form {
        all_groups: false,
        ..Form::default()
    };
    for letter in letters.chars() {
        match letter {
            'A' => form.all_groups = true,
            'q' => form.headings = false,
            'Q' => form.group_lines = false,
            'h' | 'r' => form.hierarchy = true,
            't' => form.shape = Shape::Types,
            'l' => form.shape = Shape::Long,
            'm' => form.shape = Shape::Pairs,
            'a' => form.shape = Shape::PairsOnOneLine,
            'n' => form.shape = Shape::Names,
            'S' => form.shape = Shape::Summary,
            'G' => form.kinds.extend([Kind::Dg]),
            'd' => form.kinds.extend([Kind::Dm]),
            'v' => form.kinds.extend([Kind::V]),
            'p' => form.kinds.extend([Kind::Pl]),
            's' => form.kinds.extend([Kind::Sd]),
            'c' => form.kinds.extend([Kind::Dc, Kind::Sp]),
            other => panic!("'{other}' is no option"),
        }
    }
    form
}

fn only(letters: &str, expression: &str) -> Form {
    Form {
        only: Some(expression.parse().unwrap()),
        ..form(letters)
    }
}

fn formatted(letters: &str, format: &str) -> Form {
    Form {
        shape: Shape::Format(format.parse().unwrap()),
        ..form(letters)
    }
}

fn print_of(worlds: Vec<World>, names: &[&str], form: &Form) -> Result<String, Error> {
    let fill = Fill {
        used: 1,
        capacity: 2,
    };
    let worlds: Vec<_> = worlds.into_iter().map(|w| (w, Some(fill))).collect();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    vx::text(&worlds, &names, form)
}

/// What is printed of the group.
fn print(form: &Form, names: &[&str]) -> String {
    print_of(vec![world()], names, form).unwrap()
}

fn printed(letters: &str, names: &[&str]) -> String {
    print(&form(letters), names)
}

/// A word of each line that begins with one of these words, counted from 1 as in awk.
fn column(text: &str, kinds: &[&str], number: usize) -> Vec<String> {
    text.lines()
        .map(words)
        .filter(|words| words.first().is_some_and(|word| kinds.contains(word)))
        .map(|words| words[number - 1].to_owned())
        .collect()
}

fn words(line: &str) -> Vec<&str> {
    line.split_ascii_whitespace().collect()
}

const VOLUMES: [&str; 9] = [
    "SNAP-old",
    "SNAP-paydb",
    "down",
    "home",
    "idle",
    "logs",
    "mail",
    "paydb",
    "work",
];

#[test]
fn every_form_is_as_it_was_looked_at() {
    let all = print_of(vec![world(), spare()], &[], &form("A")).unwrap();
    golden("vxprint-default.txt", &all);
    let all = print_of(vec![world(), spare()], &[], &form("Aht")).unwrap();
    golden("vxprint-types.txt", &all);
    let some = ["pay", "disk01", "disk04"];
    golden("vxprint-long.txt", &printed("l", &some));
    golden("vxprint-long-below.txt", &printed("lh", &["paydb", "work"]));
    golden("vxprint-pairs.txt", &printed("m", &some));
    golden("vxprint-pairs-below.txt", &printed("mh", &["paydb"]));
    golden("vxprint-pairs-on-one-line.txt", &printed("ah", &["work"]));
    golden("vxprint-names.txt", &printed("nhv", &[]));
    golden(
        "vxprint-format.txt",
        &print(
            &formatted(
                "",
                r"%type\t%{name} %dgname %state,%kstate %len %nothing 100%%",
            ),
            &[],
        ),
    );
    let in_mib = Form {
        unit: Some("m".parse::<Unit>().unwrap()),
        ..form("ht")
    };
    golden("vxprint-unit.txt", &print(&in_mib, &["paydb"]));
    let summary = print_of(vec![world(), spare()], &[], &form("AS")).unwrap();
    golden("vxprint-summary.txt", &summary);
}

#[test]
fn a_group_that_is_chosen_has_no_line_of_its_own() {
    let (chosen, all) = (printed("", &[]), printed("A", &[]));
    assert_eq!(format!("Disk group: pay\n\n{chosen}"), all);
    assert_eq!(printed("AQ", &[]), chosen);
    assert!(chosen.starts_with(
        "TY NAME         ASSOC        KSTATE   LENGTH   PLOFFS   STATE    TUTIL0  PUTIL0\ndg pay "
    ));
}

/// What a script takes for granted in each line of each form.
#[test]
fn a_row_has_as_many_words_as_its_heading() {
    for letters in ["", "h", "v", "d", "ps", "hvc", "Gdvpsc"] {
        for line in printed(letters, &[]).lines().filter(|l| !l.is_empty()) {
            assert_eq!(words(line).len(), 9, "{letters}: {line}");
        }
    }
    check_types(&printed("ht", &[]));
}

/// Each row of the `-t` form has the words of the heading of its kind; lines end in no blank.
fn check_types(text: &str) {
    let heading = |kind: &str| {
        let kind = kind.to_ascii_uppercase();
        let heading = text
            .lines()
            .find(|line| words(line).first() == Some(&kind.as_str()));
        words(heading.unwrap_or_else(|| panic!("{kind} has no heading"))).len()
    };
    for line in text.lines().filter(|line| !line.is_empty()) {
        assert_eq!(words(line).len(), heading(words(line)[0]), "{line}");
        assert_eq!(line, line.trim_end());
    }
}

#[test]
fn long_names_and_odd_paths_shift_columns_but_add_no_words() {
    for length in [1, 11, 12, 13, 63] {
        let mut world = world();
        let mut count = 0;
        let mut long = || {
            count += 1;
            name(&format!("{count:x<length$}"))
        };
        for volume in &mut world.group.volumes {
            volume.name = long();
            volume.plexes.iter_mut().for_each(|plex| plex.name = long());
        }
        world
            .group
            .disks
            .iter_mut()
            .for_each(|disk| disk.media = long());
        for disk in world.disks.values_mut() {
            disk.path = PathBuf::from("/dev/odd name\twith\u{a0}blanks");
        }
        let of = |letters: &str| print_of(vec![world.clone()], &[], &form(letters)).unwrap();
        for line in of("").lines().filter(|line| !line.is_empty()) {
            assert_eq!(words(line).len(), 9, "{line}");
        }
        check_types(&of("ht"));
        let same = |text: &str| text.split_whitespace().count();
        assert_eq!(same(&of("m")), same(&printed("m", &[])));
        assert_eq!(same(&of("a")), same(&printed("a", &[])));
        assert_eq!(same(&of("l")), same(&printed("l", &[])));
        let line = Form {
            shape: formatted("", "%da_name %name %nothing").shape,
            ..form("")
        };
        for line in print_of(vec![world], &[], &line).unwrap().lines() {
            assert_eq!(line.split_whitespace().count(), 3, "{line}");
        }
    }
}

/// `vxprint -g DG -ht | grep "^v" | awk '{print $2}'`: nothing but volumes begins with a `v`.
#[test]
fn lines_that_begin_with_v_are_the_volumes() {
    for letters in ["ht", "", "htv", "t", "v", "h", "qht"] {
        let text = printed(letters, &[]);
        let names: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with('v'))
            .map(|line| words(line)[1])
            .collect();
        assert_eq!(names, VOLUMES, "{letters}");
    }
    assert!(printed("", &[]).contains("\nv  home "));
    let names = printed("vn", &[]);
    assert_eq!(names.lines().collect::<Vec<_>>(), VOLUMES);
}

/// `vxprint -ht | egrep "^v|^pl" | awk '{print $4$5}' | grep -v ENABLEDACTIVE`, and word 4 of the
/// default form.
#[test]
fn states_stand_where_scripts_look_for_them() {
    let text = printed("ht", &[]);
    let odd: BTreeSet<String> = text
        .lines()
        .filter(|line| line.starts_with('v') || line.starts_with("pl"))
        .map(|line| words(line)[3..5].concat())
        .filter(|states| states != "ENABLEDACTIVE")
        .collect();
    let expected = [
        "DETACHEDSTALE",
        "DISABLEDACTIVE",
        "DISABLEDCLEAN",
        "DISABLEDNODEVICE",
        "ENABLEDLOG",
        "ENABLEDSNAPATT",
        "ENABLEDSNAPDONE",
        "ENABLEDSYNC",
    ];
    assert_eq!(odd.iter().collect::<Vec<_>>(), expected);
    let kstates: BTreeSet<String> = column(&printed("", &[]), &["v"], 4).into_iter().collect();
    assert_eq!(
        kstates.into_iter().collect::<Vec<_>>(),
        ["DISABLED", "ENABLED"]
    );
    let of = |volume: &str| print(&formatted("", "%kstate"), &[volume]);
    assert_eq!([of("home"), of("idle")], ["ENABLED\n", "DISABLED\n"]);
    let missing: Vec<String> = printed("Ath", &[])
        .lines()
        .filter(|line| line.contains("NODEVICE"))
        .map(|line| words(line)[1].to_owned())
        .collect();
    assert_eq!(missing, ["disk04", "work-02"]);
}

#[test]
fn plexes_that_are_filled_have_words_that_vxvm_knows() {
    let row = |state: PlexState, restores: bool| {
        let mut world = world();
        let id = world.group.volume_named(&name("home")).unwrap().id;
        let plex = &mut world.group.volume_mut(id).unwrap().plexes[1];
        (plex.state, plex.serves_restore) = (state, restores);
        let form = formatted("", "%state %tutil0 %mode");
        print_of(vec![world], &["home-02"], &form).unwrap()
    };
    assert_eq!(row(PlexState::Attaching, false), "TEMPRM ATT1 WO\n");
    assert_eq!(row(PlexState::Reviving, false), "STALE ATT1 WO\n");
    assert_eq!(row(PlexState::SnapAtt, false), "SNAPATT ATT1 WO\n");
    assert_eq!(row(PlexState::SnapDone, false), "SNAPDONE - WO\n");
    assert_eq!(row(PlexState::SnapDone, true), "SNAPDONE - RW\n");
    assert_eq!(row(PlexState::Stale, false), "STALE - RW\n");
    assert_eq!(row(PlexState::Failed, false), "IOFAIL - RW\n");
    assert_eq!(row(PlexState::Active, false), "ACTIVE - RW\n");
}

/// `egrep "^v *VOL " | awk '{print $5}'`, and `-q -d … | awk '{sum += $5}'`: bare sectors.
#[test]
fn lengths_are_digits() {
    assert_eq!(column(&printed("", &[]), &["v"], 5)[3], "20480");
    let disks = printed("qd", &[]);
    let rows: Vec<&str> = disks.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(rows.len(), 4);
    assert!(
        rows.iter()
            .all(|row| row.starts_with("dm ") && words(row)[4] == "2097152")
    );
    let mib = Form {
        unit: Some("m".parse().unwrap()),
        ..form("v")
    };
    assert_eq!(column(&print(&mib, &[]), &["v"], 5)[3], "10m");
    assert!("x".parse::<Unit>().is_err() && "".parse::<Unit>().is_err());
}

#[test]
fn subdisks_name_their_disks() {
    let names = column(&printed("", &["home"]), &["sd"], 2);
    assert_eq!(names, ["disk01-04", "disk02-02"]);
    // vxprint -ht -v VOL | grep sd | awk '{print $8}'
    assert_eq!(
        column(&printed("hvt", &["home"]), &["sd"], 8),
        ["sdb", "sdc"]
    );
    assert_eq!(column(&printed("", &[]), &["dm"], 2)[0], "disk01");
    assert_eq!(
        column(&printed("", &[]), &["dm"], 3),
        ["sdb", "sdc", "sdd", "-"]
    );
    let lost = printed("ts", &["disk04-01"]);
    assert_eq!(column(&lost, &["sd"], 8), ["-"]);
    assert_eq!(column(&lost, &["sd"], 9), ["NDEV"]);
}

#[test]
fn snap_objects_and_logs_have_lines_of_their_own() {
    let text = printed("", &[]);
    // vxprint -g DG | grep -e '^sp SNAP'
    assert_eq!(
        text.lines()
            .filter(|line| line.starts_with("sp SNAP"))
            .count(),
        1
    );
    assert_eq!(column(&text, &["dc"], 2), ["SNAP-paydb_dco", "paydb_dco"]);
    assert_eq!(
        column(&printed("tc", &[]), &["dc"], 4),
        ["SNAP-paydb_dcl", "paydb_dcl"]
    );
    assert_eq!(
        column(&printed("t", &["paydb_log"]), &["pl"], 6),
        ["LOGONLY"]
    );
    assert_eq!(column(&printed("hts", &["disk01-02"]), &["sd"], 7), ["LOG"]);
    assert_eq!(column(&printed("", &["paydb_log"]), &["sd"], 6), ["LOG"]);
    assert!(!text.contains("_dcl "));
}

#[test]
fn kinds_and_names_select_together() {
    let kinds = |letters: &str, names: &[&str]| -> Vec<String> {
        let text = printed(letters, names);
        let firsts: BTreeSet<&str> = text
            .lines()
            .filter_map(|l| words(l).first().copied())
            .collect();
        firsts.into_iter().map(str::to_owned).collect()
    };
    assert_eq!(kinds("q", &["home"]), ["pl", "sd", "v"]);
    assert_eq!(kinds("qt", &["home"]), ["v"]);
    assert_eq!(kinds("qd", &[]), ["dm"]);
    assert_eq!(kinds("qps", &[]), ["pl", "sd"]);
    assert_eq!(kinds("qhp", &["home-01"]), ["pl", "sd"]);
    assert_eq!(kinds("qc", &[]), ["dc", "sp"]);
    assert_eq!(kinds("qG", &[]), ["dg"]);
    assert_eq!(kinds("qhG", &[]), ["dc", "dg", "dm", "pl", "sd", "sp", "v"]);
    assert_eq!(kinds("t", &["home"]), ["V", "v"]);
    assert_eq!(kinds("tv", &[]), ["V", "v"]);
    assert_eq!(
        kinds("htv", &["home"]),
        ["DC", "PL", "SD", "SP", "V", "pl", "sd", "v"]
    );
    assert_eq!(kinds("td", &["disk01"]), ["DM", "dm"]);
}

/// A volume is often called as its group is.
#[test]
fn a_volume_with_the_name_of_its_group_is_meant() {
    let mut world = world();
    world.group.name = name("home");
    let of = |form: &Form| print_of(vec![world.clone()], &["home"], form).unwrap();
    assert_eq!(of(&formatted("", "%type %kstate")), "v ENABLED\n");
    assert_eq!(of(&formatted("G", "%type")), "dg\n");
}

#[test]
fn what_is_not_there_is_not_found() {
    let kind = |letters: &str, names: &[&str]| {
        print_of(vec![world()], names, &form(letters)).map_err(|err| err.kind())
    };
    let not_found = Err(ErrorKind::NotFound);
    assert_eq!(kind("", &["nosuch"]), not_found);
    assert_eq!(kind("", &["home", "nosuch"]), not_found);
    assert_eq!(kind("v", &["home-01"]), not_found);
    assert!(kind("p", &["home-01"]).is_ok());
    let empty = |form: &Form| print_of(vec![spare()], &[], form).map_err(|err| err.kind());
    assert_eq!(empty(&form("v")), not_found);
    assert_eq!(empty(&formatted("", "v:%name")), not_found);
    assert_eq!(empty(&only("", "v_open")), not_found);
    assert!(empty(&form("")).is_ok());
    let nothing =
        |form: &Form, names: &[&str]| print_of(Vec::new(), names, form).map_err(|err| err.kind());
    assert_eq!(nothing(&form("A"), &[]), Ok(String::new()));
    assert_eq!(nothing(&form("A"), &["home"]), not_found);
    assert_eq!(nothing(&form("Av"), &[]), not_found);
    let err = print_of(vec![world()], &["nosuch"], &form("v")).unwrap_err();
    assert_eq!(err.message(), "there is no volume 'nosuch' in group 'pay'");
}

#[test]
fn expressions_select() {
    let names = |letters: &str, expression: &str| -> Vec<String> {
        let names: &[&str] = &[];
        print_of(vec![world()], names, &only(letters, expression))
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(names("qQn", "v_open"), ["home", "paydb"]);
    assert_eq!(names("n", "v_fastresync=on && !v_open"), ["SNAP-paydb"]);
    assert_eq!(names("nv", "!v_hasdcolog && v_open == on"), ["home"]);
    assert_eq!(
        names("n", r#"sd_dm_name == "disk03""#),
        ["disk03-02", "disk03-04", "disk03-03", "disk03-01"]
    );
    assert_eq!(names("n", "pl_sd.sd_dm_name = 'disk04'"), ["work-02"]);
    let home = ["disk01-04", "disk02-02"];
    assert_eq!(names("n", "sd_pl_name.pl_volume == home"), home);
    assert_eq!(names("n", r#"as.as="home""#), home);
    assert_eq!(
        names("n", "(as.as=home || as.as=idle) && sd_dm_name != disk02"),
        ["disk01-04"]
    );
    // What is below comes along only where it is asked for.
    assert_eq!(
        names("nh", "v_open && !v_fastresync"),
        ["home", "home-01", "disk01-04", "home-02", "disk02-02"]
    );
    // A negation says nothing of records that have no such field.
    assert_eq!(names("n", "!v_open").len(), VOLUMES.len() - 2);
}

#[test]
fn formats_that_scripts_use() {
    let of =
        |letters: &str, format: &str, names: &[&str]| print(&formatted(letters, format), names);
    assert_eq!(of("d", "%publen", &["disk01"]), "2097152\n");
    assert_eq!(
        of("d", "%pub_len %dm_name %device_tag %da_type", &["disk01"]),
        "2097152 disk01 sdb auto\n"
    );
    assert_eq!(
        of("", "%vol %plex %disk %dm %da_name", &["disk01-04"]),
        "home home-01 disk01 disk01 sdb\n"
    );
    assert_eq!(of("G", "%align %name", &[]), "16 pay\n");
    assert_eq!(
        of("v", "%type %dgname %name %state %kstate", &["home"]),
        "v pay home ACTIVE ENABLED\n"
    );
    assert_eq!(
        of("", "%fastresync %hasdcolog %dco_name", &["paydb"]),
        "on on paydb_dco\n"
    );
    assert_eq!(
        of("c", "%badlog %version %log_vol", &["paydb_dco"]),
        "off 0 paydb_dcl\n"
    );
    assert_eq!(
        of("h", "dm:%{name}", &[]),
        "disk01\ndisk02\ndisk03\ndisk04\n"
    );
    assert_eq!(of("", "name: %name", &["home"]), "name: home\n");
    assert_eq!(
        of("", r#"  "%name"\t50%%\q"#, &["home"]),
        "  \"home\"\t50%\\q\n"
    );
    assert_eq!(
        of("", "%name", &[]).lines().count(),
        printed("n", &[]).lines().count()
    );
    assert_eq!(of("AQ", "%dgname", &["home"]), "pay\n");
}

#[test]
fn bad_formats_and_expressions_are_refused() {
    for format in ["", "v:", "%", "a%", "% name", "%{name", "%{}", "%-3name"] {
        let err = format.parse::<Format>().unwrap_err();
        assert_eq!(err.kind(), ErrorKind::Usage, "{format}");
    }
    let deep = "!".repeat(10_000) + "v_open";
    let parens = "(".repeat(10_000) + "v_open";
    for expression in [
        "",
        " ",
        "v_open &&",
        "&& v_open",
        "v_open v_open",
        "(v_open",
        "v_open)",
        "v_open = ",
        "v_open == &&",
        "v_open & v_open",
        "v_open | v_open",
        "sd_dm_name == \"disk01",
        "v_open=yes",
        "\"v_open\"",
        "v_open < 3",
        "()",
        "!",
        &deep,
        &parens,
    ] {
        let err = expression.parse::<Expr>().unwrap_err();
        assert_eq!(err.kind(), ErrorKind::Usage, "{expression}");
        assert!(!err.message().contains('\n'));
    }
    let err = "v_open || v_len > 3".parse::<Expr>().unwrap_err();
    assert!(
        err.message().contains("v_len") || err.message().contains("'>'"),
        "{err}"
    );
    let err = "v_layout == on".parse::<Expr>().unwrap_err();
    assert_eq!(
        err.message(),
        "the expression of -e cannot be read: the field 'v_layout' is not supported"
    );
}

const PIECES: &[&str] = &[
    "v_open",
    "sd_dm_name",
    "as.as",
    "v_nosuch",
    "=",
    "==",
    "!=",
    "!",
    "&&",
    "||",
    "&",
    "|",
    "(",
    ")",
    "\"",
    "'",
    "on",
    "disk01",
    " ",
    "%",
    "%name",
    "%{",
    "}",
    "%%",
    "\\",
    "\\t",
    "v:",
    "pl:",
    ":",
    "ü",
    "\0",
    "\n",
];

proptest! {
    /// Whatever is typed, it is understood or refused, and what is understood can be printed.
    #[test]
    fn no_format_or_expression_makes_it_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..40),
        pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..12),
    ) {
        let world = world();
        for text in [String::from_utf8_lossy(&bytes).into_owned(), pieces.concat()] {
            match text.parse::<Format>() {
                Ok(format) => {
                    let form = Form { shape: Shape::Format(format), ..form("") };
                    let _ = print_of(vec![world.clone()], &[], &form);
                }
                Err(err) => prop_assert_eq!(err.kind(), ErrorKind::Usage),
            }
            match text.parse::<Expr>() {
                Ok(expr) => {
                    let form = Form { only: Some(expr), ..form("n") };
                    let _ = print_of(vec![world.clone()], &[], &form);
                }
                Err(err) => prop_assert_eq!(err.kind(), ErrorKind::Usage),
            }
        }
    }
}

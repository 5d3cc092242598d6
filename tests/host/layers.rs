//! The drawing in `lib.rs` and `docs/architecture.md` is true: no layer of `src` uses one that is not
//! beneath it, and no file uses one that uses it.
//!
//! Only paths are read (`use` and others that begin with `crate` or `super`), tests within the files
//! excepted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each layer may use.
const BENEATH: [(&str, &[&str]); 12] = [
    ("advice", &[]),
    ("error", &["advice"]),
    ("model", &["advice", "error"]),
    ("table", &["advice", "error", "model"]),
    ("plan", &["advice", "error", "model", "table"]),
    ("sys", &["error", "model", "table"]),
    ("linux", &["error", "model", "table", "sys"]),
    ("meta", &["advice", "error", "model", "table", "sys"]),
    (
        "exec",
        &["advice", "error", "model", "table", "plan", "sys", "meta"],
    ),
    (
        "app",
        &[
            "advice", "error", "model", "table", "plan", "sys", "meta", "exec",
        ],
    ),
    (
        "report",
        &["advice", "error", "model", "table", "plan", "meta", "app"],
    ),
    (
        "cli",
        &[
            "advice", "error", "model", "plan", "sys", "linux", "app", "report",
        ],
    ),
];

/// A module as its path, such as `["sys", "dm"]`.
type Module = Vec<String>;

/// Every module, with those that it uses.
fn modules() -> BTreeMap<Module, BTreeSet<Module>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources: BTreeMap<Module, (String, bool)> = BTreeMap::new();
    for path in files(&root) {
        let parts = path.strip_prefix(&root).unwrap().with_extension("");
        let mut module: Module = parts
            .iter()
            .map(|part| part.to_str().unwrap().to_owned())
            .collect();
        let has_children = module.last().is_some_and(|last| last == "mod");
        if has_children {
            module.pop();
        }
        if !["lib", "main"].contains(&module[0].as_str()) {
            sources.insert(
                module,
                (code(&fs::read_to_string(path).unwrap()), has_children),
            );
        }
    }
    let used = |(module, (text, has_children)): (&Module, &(String, bool))| {
        let targets = paths(text)
            .into_iter()
            .filter_map(|path| resolve(module, *has_children, &path))
            .filter_map(|path| {
                let is_module = |length: &usize| sources.contains_key(&path[..*length]);
                let length = (1..=path.len()).rev().find(is_module)?;
                Some(path[..length].to_vec())
            })
            .filter(|target| target != module)
            .collect();
        (module.clone(), targets)
    };
    sources.iter().map(used).collect()
}

/// All files in a directory and those beneath it.
fn files(directory: &Path) -> Vec<PathBuf> {
    let (mut found, mut waiting) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            waiting.extend(entries.map(|entry| entry.unwrap().path()));
        } else {
            found.push(path);
        }
    }
    found
}

/// The text without comments and without the tests at its end.
fn code(text: &str) -> String {
    let mut lines = Vec::new();
    let mut all = text.lines().peekable();
    while let Some(line) = all.next() {
        let begins_tests = line == "#[cfg(test)]"
            && all
                .clone()
                .take_while(|next| next.starts_with("#[") || next.starts_with("mod tests"))
                .any(|next| next.starts_with("mod tests"));
        if begins_tests {
            break;
        }
        lines.push(line.split("//").next().unwrap_or_default());
    }
    lines.join("\n")
}

/// Every path in it that begins with `crate` or `super`, and in a `use` any, its braces expanded.
fn paths(code: &str) -> Vec<Module> {
    let mut found = Vec::new();
    for statement in code.split(';') {
        let is_use = |at: &usize| {
            let before = statement[..*at].chars().next_back();
            !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let mut places = statement.match_indices("use ").map(|(at, _)| at);
        if let Some(at) = places.find(is_use) {
            expand(&[], &statement[at + 4..], &mut found);
        }
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    for word in code.split(|c: char| !is_part(c)) {
        if word.starts_with("crate::") || word.starts_with("super::") {
            expand(&[], word, &mut found);
        }
    }
    found
}

/// `a::{b, c::d}` as `a::b` and `a::c::d`.
fn expand(prefix: &[String], tree: &str, found: &mut Vec<Module>) {
    let tree = tree.trim();
    let Some((head, body)) = tree.split_once('{') else {
        let name = tree.split(" as ").next().unwrap_or_default();
        let parts = name.split("::").map(str::trim);
        let parts = parts.filter(|part| !part.is_empty() && *part != "self");
        found.push(
            prefix
                .iter()
                .cloned()
                .chain(parts.map(str::to_owned))
                .collect(),
        );
        return;
    };
    let head = head
        .split("::")
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let prefix: Module = prefix
        .iter()
        .cloned()
        .chain(head.map(str::to_owned))
        .collect();
    let body = body.rsplit_once('}').map_or(body, |(body, _)| body);
    let (mut depth, mut begin) = (0, 0);
    for (at, c) in body.char_indices().chain([(body.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !body[begin..at].trim().is_empty() {
                    expand(&prefix, &body[begin..at], found);
                }
                begin = at + 1;
            }
            _ => {}
        }
    }
}

/// A path as the crate's root has it; `None` for other crates and for what a file says of itself.
fn resolve(module: &[String], has_children: bool, path: &[String]) -> Option<Module> {
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "super" => {
            let up = path.iter().take_while(|part| *part == "super").count();
            let rest = path[up..].iter().cloned();
            let from = module.get(..module.len().checked_sub(up)?)?;
            Some(from.iter().cloned().chain(rest).collect())
        }
        _ if has_children => Some(module.iter().chain(path).cloned().collect()),
        _ => None,
    }
}

#[test]
fn no_layer_uses_one_that_is_not_beneath_it() {
    let beneath: BTreeMap<&str, &[&str]> = BENEATH.into_iter().collect();
    let modules = modules();
    assert!(modules.len() > 100, "{} modules are found", modules.len());
    let mut arrows = BTreeSet::new();
    for (module, used) in &modules {
        let layer = module[0].as_str();
        let may = beneath
            .get(layer)
            .unwrap_or_else(|| panic!("'{layer}' is no layer"));
        for target in used.iter().filter(|target| target[0] != layer) {
            let other = target[0].as_str();
            assert!(
                may.contains(&other),
                "{} uses {}: '{other}' is not beneath '{layer}'",
                module.join("::"),
                target.join("::")
            );
            arrows.insert((layer, other));
        }
    }
    let stated: BTreeSet<_> = BENEATH
        .into_iter()
        .flat_map(|(layer, may)| may.iter().map(move |other| (layer, *other)))
        .collect();
    let needless: Vec<_> = stated.difference(&arrows).collect();
    assert!(needless.is_empty(), "nothing needs {needless:?}");
}

#[test]
fn what_decides_asks_the_machine_through_sys_alone() {
    // Error numbers are values.
    const OUTSIDE: [&str; 7] = [
        "std::env",
        "std::fs",
        "std::os",
        "std::net",
        "std::process",
        "nix::",
        "libc::",
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut looked_at = 0;
    let layers = ["model", "table", "plan", "exec", "app", "report"];
    let in_layers = layers.iter().flat_map(|layer| files(&root.join(layer)));
    for path in in_layers.chain([root.join("advice.rs")]) {
        let text = code(&fs::read_to_string(&path).unwrap()).replace("libc::E", "E");
        for word in OUTSIDE {
            assert!(!text.contains(word), "{} uses '{word}'", path.display());
        }
        looked_at += 1;
    }
    assert!(looked_at > 60, "{looked_at} files were looked at");
}

#[test]
fn no_file_uses_one_that_uses_it() {
    let modules = modules();
    // A module that has its children in files may use them: it is what they are for.
    let uses = |module: &Module| -> Vec<Module> {
        let all = modules[module].iter();
        all.filter(|target| !target.starts_with(module))
            .cloned()
            .collect()
    };
    for begin in modules.keys() {
        let mut seen = BTreeSet::new();
        let mut waiting: Vec<(Module, Vec<String>)> = vec![(begin.clone(), Vec::new())];
        while let Some((module, mut way)) = waiting.pop() {
            way.push(module.join("::"));
            for target in uses(&module) {
                assert!(target != *begin, "{} use each other", way.join(" → "));
                if seen.insert(target.clone()) {
                    waiting.push((target, way.clone()));
                }
            }
        }
    }
}

#[test]
fn paths_are_read_however_they_are_written() {
    let text = "use super::{a, b::{self, c}};\nfn f() -> crate::d::E { super::super::g::h() }\n\
                // use crate::no;\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n use crate::tests_only;\n}\n";
    let module = ["x".to_owned(), "y".to_owned()];
    let found: BTreeSet<String> = paths(&code(text))
        .iter()
        .filter_map(|path| Some(resolve(&module, false, path)?.join("::")))
        .collect();
    let expected = ["d::E", "g::h", "x::a", "x::b", "x::b::c"];
    assert!(
        expected.iter().all(|path| found.contains(*path)),
        "{found:?}"
    );
    assert!(
        !found
            .iter()
            .any(|path| path.contains("no") || path.contains("tests"))
    );
}

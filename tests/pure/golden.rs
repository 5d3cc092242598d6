//! Texts that are compared with reviewed files. `BREAKOFF_BLESS=1` writes them anew.

use std::path::Path;

/// Compares a text with a file below the package's root.
pub fn assert_golden(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("BREAKOFF_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder"))
            .expect("the folder of golden files");
        std::fs::write(&path, text).expect("a golden file");
        return;
    }
    let expected = std::fs::read_to_string(&path)
        .unwrap_or_else(|e| panic!("{file}: {e}; BREAKOFF_BLESS=1 writes it"));
    assert!(
        expected == text,
        "{file} differs.\n--- expected\n{expected}\n--- now\n{text}"
    );
}

/// Compares the part of a file between `<!-- WORD: made by a test -->` and `<!-- end of WORD -->`.
pub fn assert_section(file: &str, word: &str, part: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{file}: {e}"));
    let begin = format!("<!-- {word}: made by a test -->\n");
    let end = format!("<!-- end of {word} -->\n");
    let (before, rest) = text.split_once(&begin).expect("the part's beginning");
    let (_, after) = rest.split_once(&end).expect("the part's end");
    assert_golden(file, &format!("{before}{begin}{part}{end}{after}"));
}

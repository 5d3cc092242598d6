//! A line of columns, padded and never cut, with one blank between two words: scripts count words.

/// A line of these words; the last of `widths` is that of the last column but one.
pub(super) fn row(widths: &[usize], words: &[&str]) -> String {
    let widths = widths.iter().copied().chain(std::iter::repeat(0));
    let mut text = String::new();
    for (word, width) in words.iter().zip(widths) {
        let word = if word.is_empty() { "-" } else { word };
        text += &format!("{word:<width$} ");
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

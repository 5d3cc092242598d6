//! Aligned columns, with two blanks between them and none at the end of a line. Used by the other
//! files of `report`.

use comfy_table::{Table, presets};

/// Rows of cells; a row without cells is an empty line.
#[derive(Default)]
pub(super) struct Columns {
    rows: Vec<Vec<String>>,
}

impl Columns {
    /// Columns that begin with a row of these headings.
    pub(super) fn with_heading(words: &[&str]) -> Columns {
        let mut columns = Columns::default();
        columns.heading(words);
        columns
    }

    /// Appends a row of words.
    pub(super) fn heading(&mut self, words: &[&str]) {
        self.row(words.iter().map(|word| (*word).to_owned()).collect());
    }

    /// Appends a row; an empty cell is shown as `-`.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(
            cells
                .into_iter()
                .map(|cell| {
                    if cell.is_empty() {
                        "-".to_owned()
                    } else {
                        cell
                    }
                })
                .collect(),
        );
    }

    /// Appends an empty line.
    pub(super) fn gap(&mut self) {
        self.rows.push(Vec::new());
    }

    /// The text, ending in a newline.
    pub(super) fn text(self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).add_rows(self.rows);
        table.column_iter_mut().for_each(|column| {
            column.set_padding((0, 2));
        });
        table
            .lines()
            .map(|line| format!("{}\n", line.trim_end()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_aligned_and_lines_end_where_their_text_does() {
        let mut columns = Columns::with_heading(&["A", "LONG"]);
        columns.row(vec!["wide one".into(), String::new()]);
        columns.gap();
        columns.row(vec!["x".into(), "y z".into()]);
        assert_eq!(
            columns.text(),
            "A         LONG\nwide one  -\n\nx         y z\n"
        );
    }
}

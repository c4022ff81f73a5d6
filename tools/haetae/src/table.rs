//! Tables for people: one line per thing, cells in tones, no cell cut or wrapped, so that what is copied is whole.

use comfy_table::{Cell, ContentArrangement, Table, TableComponent, presets::UTF8_HORIZONTAL_ONLY};

use crate::show::{Look, Tone};

/// A table that is being filled.
pub(crate) struct Rows {
    table: Table,
    colour: bool,
}

impl Rows {
    /// A table with these columns.
    pub(crate) fn new(look: &Look, columns: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_preset(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Disabled);
        if look.colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(columns);
        Self { table, colour: look.colour }
    }

    /// A table of many short rows, without lines between them.
    pub(crate) fn dense(look: &Look, columns: &[&str]) -> Self {
        let mut rows = Self::new(look, columns);
        rows.table.remove_style(TableComponent::HorizontalLines);
        rows.table.remove_style(TableComponent::MiddleIntersections);
        rows
    }

    /// One more row: a text and its tone per column.
    pub(crate) fn row<const N: usize>(&mut self, cells: [(Tone, String); N]) {
        let cells = cells.map(|(tone, text)| match tone.in_table() {
            Some(colour) if self.colour => Cell::new(text).fg(colour),
            _ => Cell::new(text),
        });
        self.table.add_row(cells);
    }

    /// The table as text, each line without trailing spaces.
    pub(crate) fn print(&self) -> String {
        self.table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}

/// A cell in no particular tone.
pub(crate) fn plain(text: impl Into<String>) -> (Tone, String) {
    (Tone::Plain, text.into())
}

/// Names and values, one a line, the values under one another; those without a value are left out.
pub(crate) fn facts(facts: &[(&str, String)]) -> String {
    let given = || facts.iter().filter(|(_, value)| !value.is_empty());
    let width = given().map(|(name, _)| name.len()).max().unwrap_or(0);
    given().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_line_for_each_thing_and_no_colour_unless_asked_for() {
        let mut rows = Rows::new(&Look::default(), &["exchange", "answer"]);
        rows.row([plain("upbit"), (Tone::Good, "HELD".into())]);
        rows.row([plain("korbit"), (Tone::Quiet, "NOT_HELD".into())]);
        assert_eq!(
            rows.print(),
            "─────────────────────\n exchange   answer\n═════════════════════\n upbit      HELD\n\
             ─────────────────────\n korbit     NOT_HELD\n─────────────────────\n"
        );
    }

    #[test]
    fn colours_are_there_when_asked_for_even_if_nobody_is_at_the_terminal() {
        let mut rows = Rows::new(&Look { colour: true, ..Look::default() }, &["answer"]);
        rows.row([(Tone::Good, "HELD".into())]);
        assert!(rows.print().contains("\u{1b}["));
    }

    #[test]
    fn facts_stand_under_one_another_and_empty_ones_are_left_out() {
        assert_eq!(
            facts(&[("id", "1".into()), ("watch", String::new()), ("state", "done".into())]),
            "id     1\nstate  done\n"
        );
    }
}

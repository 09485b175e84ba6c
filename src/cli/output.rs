//! What commands print: answers to standard output, complaints to standard error, colour only where a person looks.
//!
//! An answer that could not be written is kept in mind, and nothing more is written after it, so that no answer has a hole
//! in the middle. What a command does goes on; its ending then says so ([`delivered`]), and what it has changed by then.

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Write as _},
    sync::{Mutex, OnceLock, PoisonError},
};

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, TableStyle};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use serde::Serialize;

use super::{CliFault, Ending};

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: aligned columns
    #[default]
    Table,
    /// For programs: JSON
    Json,
}

/// Prints an answer and a line end.
pub fn say(answer: impl Display) {
    if UNWRITTEN.get().is_none() {
        keep_in_mind(writeln!(io::stdout().lock(), "{answer}"));
    }
}

/// `1 entry`, `7 entries`
pub fn entries(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

/// Keeps in mind what a command has changed, before it answers: that stays so, whether the answer arrives or not.
pub fn changed(what: impl Display) {
    CHANGED.lock().unwrap_or_else(PoisonError::into_inner).push(what.to_string());
}

/// How a command ends that has done and said all. INVARIANT: a yes that was not written is no yes; a no remains one; and
/// nobody takes what was done for undone because it was not told of.
pub fn delivered(ended: Result<Ending, CliFault>) -> Result<Ending, CliFault> {
    let written = written();
    if written.is_err() {
        for what in CHANGED.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            remark(format_args!("done: {what}. Only the answer could not be written."));
        }
    }
    match ended {
        Ok(Ending::Yes) => written.map(|()| Ending::Yes),
        Ok(Ending::No) => {
            written.unwrap_or_else(|fault| complain(&fault));
            Ok(Ending::No)
        }
        Err(fault) => Err(fault),
    }
}

/// Whether all that was said is where standard output leads.
pub fn written() -> Result<(), CliFault> {
    keep_in_mind(io::stdout().flush());
    UNWRITTEN.get().map_or(Ok(()), |fault| Err(unwritten(fault)))
}

/// What becomes of a command that cannot write to standard output.
pub fn unwritten(fault: &io::Error) -> CliFault {
    match fault.kind() {
        io::ErrorKind::BrokenPipe => CliFault::ReaderGone,
        _ => CliFault::could_not_look(format_args!("could not write: {fault}")),
    }
}

/// Prints a remark that is not part of the answer.
pub fn remark(remark: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{remark}");
}

/// Prints a value as JSON.
pub fn say_json(value: &impl Serialize) -> Result<(), CliFault> {
    say(serde_json::to_string_pretty(value).map_err(CliFault::failed)?);
    Ok(())
}

/// Prints aligned columns; nothing at all, not even headers, when there are no rows.
pub fn say_table(headers: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let table = table(headers, rows);
    if !table.is_empty() {
        say(table);
    }
}

/// Prints what went wrong, with the source underlined where it is known. Who has stopped reading knows.
pub fn complain(fault: &CliFault) {
    if matches!(fault, CliFault::ReaderGone) {
        return;
    }
    if let CliFault::Configuration(mistakes) = fault {
        mistakes.iter().for_each(|mistake| complain_about(mistake));
    }
    remark(format_args!("{} {fault}", paint(Paint::Red, "error:")));
}

/// Prints one mistake: in full for a person, as `place: message` for a program.
pub fn complain_about(mistake: &dyn Diagnostic) {
    let theme = if io::stderr().is_terminal() { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let printer = GraphicalReportHandler::new_themed(theme).with_links(false);
    let mut page = String::new();
    match printer.render_report(&mut page, mistake) {
        Ok(()) => remark(page.trim_end()),
        Err(_) => remark(mistake),
    }
}

/// A colour with a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Wrong, denied.
    Red,
    /// Right, allowed.
    Green,
    /// Beside the point.
    Dim,
}

/// `text` in a colour, where standard error is a terminal.
pub fn paint(paint: Paint, text: &str) -> String {
    if !io::stderr().is_terminal() {
        return text.to_owned();
    }
    let code = match paint {
        Paint::Red => "31",
        Paint::Green => "32",
        Paint::Dim => "2",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

fn table(headers: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::new()).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headers.iter().map(|header| header.to_uppercase()));
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)));
    }
    if table.is_empty() {
        return String::new();
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

fn keep_in_mind(written: io::Result<()>) {
    if let Err(fault) = written {
        // The first one tells; those that follow from it do not.
        let _ = UNWRITTEN.set(fault);
    }
}

/// Why something that was said is not where standard output leads.
static UNWRITTEN: OnceLock<io::Error> = OnceLock::new();

/// What was changed.
static CHANGED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Names come from others: a control character must not speak to the terminal.
fn printable(cell: &str) -> String {
    cell.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_end_where_the_text_ends() {
        let rows = [vec!["alice".to_owned(), "5m".to_owned()], vec!["bo".to_owned(), "12m".to_owned()]];
        assert_eq!(table(&["person", "age"], rows), "PERSON  AGE\nalice   5m\nbo      12m");
    }

    #[test]
    fn nothing_is_printed_for_nothing() {
        assert_eq!(table(&["person"], []), "");
    }

    #[test]
    fn a_name_cannot_speak_to_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}

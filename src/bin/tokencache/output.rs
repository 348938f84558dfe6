//! What is printed, and where.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use crate::Failure;

/// Writes to standard output, with no buffer in between that would keep a secret.
pub fn write(bytes: &[u8]) -> Result<(), Failure> {
    let standard = io::stdout().as_fd().try_clone_to_owned().map(File::from);
    let written = standard.and_then(|mut output| output.write_all(bytes));
    written.map_err(|error| Failure::unusable(format!("Standard output cannot be written ({error}).")))
}

/// Prints a text.
pub fn say(text: &str) -> Result<(), Failure> {
    write(text.as_bytes())
}

/// Prints a sentence beside the output.
pub fn note(sentence: &str) {
    // Where nobody listens there is nobody to tell.
    let _ = writeln!(io::stderr(), "tokencache: {sentence}");
}

/// How a word looks at a terminal.
#[derive(Clone, Copy)]
pub enum Look {
    Good,
    Fair,
    Bad,
}

/// `text` in its colour, where somebody sees it.
pub fn paint(text: &str, look: Look) -> String {
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb")
        || !io::stdout().is_terminal();
    if is_plain {
        return text.to_owned();
    }
    let colour = match look {
        Look::Good => 32,
        Look::Fair => 33,
        Look::Bad => 31,
    };
    format!("\x1b[{colour}m{text}\x1b[0m")
}

/// `rows` in columns, each as wide as its widest cell. The cells of column `painted` have the colour of their row.
pub fn table(rows: &[(Option<Look>, Vec<String>)], painted: usize) -> String {
    let count = rows.iter().map(|(_, row)| row.len()).max().unwrap_or(0);
    let cells = |column: usize| rows.iter().filter_map(move |(_, row)| row.get(column));
    let widths: Vec<usize> =
        (0..count).map(|column| cells(column).map(|cell| cell.chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for (look, row) in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let padding = " ".repeat(widths[column] - cell.chars().count() + 2);
            let shown = match look {
                Some(look) if column == painted => paint(cell, *look),
                _ => cell.clone(),
            };
            line.push_str(&shown);
            line.push_str(&padding);
        }
        text.push_str("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

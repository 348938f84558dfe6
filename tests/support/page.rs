//! The blocks of code of a page of the documentation, and what is needed to run them.

#![allow(dead_code)]

use std::fs;
use std::path::Path;

/// A fenced block.
#[derive(Debug)]
pub struct Block {
    /// What stands behind the fence.
    pub language: String,
    /// Where it begins.
    pub line: usize,
    /// The last heading before it, and the last paragraph below that which begins with words in bold.
    pub sections: [String; 2],
    /// The file that it is, where the line before it says so: "`hello.c`:".
    pub file: Option<String>,
    /// Why it is not run, where a comment before it says so: `<!-- not run: … -->`.
    pub excuse: Option<String>,
    /// What is in it.
    pub text: String,
}

impl Block {
    /// Whether it is in the section that begins so.
    pub fn is_in(&self, section: &str) -> bool {
        self.sections.iter().any(|above| above.starts_with(section))
    }
}

/// Those of the page at `path`, below the project.
pub fn blocks(path: &str) -> Vec<Block> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path);
    let (mut found, mut open) = (Vec::<Block>::new(), None::<Block>);
    let (mut sections, mut before) = ([String::new(), String::new()], "");
    for (number, line) in page.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some(_)) => {
                found.extend(open.take());
                before = "";
            }
            (Some(block), None) => block.text += &format!("{line}\n"),
            (None, Some(language)) => {
                let (language, sections) = (language.to_owned(), sections.clone());
                let (file, excuse) = (file_named(before), excuse(before));
                open =
                    Some(Block { language, line: number + 1, sections, file, excuse, text: String::new() });
            }
            (None, None) => {
                if line.starts_with('#') {
                    sections = [line.to_owned(), String::new()];
                } else if line.starts_with("**") {
                    sections[1] = line.to_owned();
                }
                if !line.is_empty() {
                    before = line;
                }
            }
        }
    }
    found
}

fn file_named(line: &str) -> Option<String> {
    line.strip_prefix('`')?.strip_suffix("`:").map(str::to_owned)
}

fn excuse(line: &str) -> Option<String> {
    line.strip_prefix("<!-- not run: ")?.strip_suffix(" -->").map(str::to_owned)
}

/// The commands of a block `console`, behind `$`, each with what it says.
pub fn commands(block: &Block) -> Vec<(&str, String)> {
    let mut found: Vec<(&str, String)> = Vec::new();
    for line in block.text.lines() {
        match (line.strip_prefix("$ "), found.last_mut()) {
            (Some(command), _) => found.push((command, String::new())),
            (None, Some((_, said))) => *said += &format!("{line}\n"),
            (None, None) => panic!("line {}: a block of commands begins with one", block.line),
        }
    }
    found
}

/// Whether `said` is what the page promises, in which `…` stands for anything.
pub fn is_as_promised(said: &str, promised: &str) -> bool {
    let parts: Vec<&str> = promised.trim().split('…').collect();
    let (first, rest) = parts.split_first().expect("one part at least");
    let Some(mut said) = said.trim().strip_prefix(first) else { return false };
    let Some((last, between)) = rest.split_last() else { return said.is_empty() };
    for part in between {
        match said.find(part) {
            Some(at) => said = &said[at + part.len()..],
            None => return false,
        }
    }
    said.ends_with(last)
}

//! The two lists of faults that were promised to be met, `security-reliability.md` §4 and §5.3: each row, and the tests
//! that hold it. A test that is named here and does not exist is missed here.

#[path = "promised_rows/inputs.rs"]
mod inputs;
#[path = "promised_rows/outages.rs"]
mod outages;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The number of a row, the fault, and its tests: a test of Rust as `file: name`, one of another language by the path of
/// its file, and a row of tests/bad_inputs.rs by its number.
type Row = (u32, &'static str, &'static [&'static str]);

/// Files as they were read.
#[derive(Default)]
struct Files(BTreeMap<String, Option<String>>);

impl Files {
    fn text(&mut self, path: &str) -> Option<&str> {
        let read = || fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).ok();
        self.0.entry(path.to_owned()).or_insert_with(read).as_deref()
    }

    /// What is wrong with the name of a test, if it is not there.
    fn miss(&mut self, named: &str) -> Option<String> {
        let Some((file, name)) = named.split_once(": ") else { return Some("no file is named".into()) };
        let is_path = file.contains('/');
        let path = if is_path { file.to_owned() } else { format!("tests/{file}.rs") };
        let Some(text) = self.text(&path) else { return Some(format!("there is no {path}")) };
        let is_there = if file == "bad_inputs" {
            text.contains(&format!("\n    ({name}, \""))
        } else if path.ends_with(".rs") {
            is_test(text, name)
        } else {
            text.lines().any(|line| defines(line, name))
        };
        (!is_there).then(|| format!("{path} has no test of this name"))
    }
}

/// Whether `text` has a test of Rust called `name`.
fn is_test(text: &str, name: &str) -> bool {
    let Some((before, _)) = text.split_once(&format!("fn {name}()")) else { return false };
    let mut above = before.trim_end().lines().rev().take_while(|line| line.trim_start().starts_with("#["));
    above.any(|line| line.trim() == "#[test]")
}

/// Whether `line` begins a function called `name`, in C, C++, C# or Python.
fn defines(line: &str, name: &str) -> bool {
    let Some((before, _)) = line.split_once(&format!("{name}(")) else { return false };
    let kinds = ["static void ", "void ", "public void ", "public async Task ", "def "];
    kinds.iter().any(|kind| before.trim_start() == *kind)
}

fn check(list: &str, rows: &[Row], last: u32, left_out: &[(u32, &str)]) {
    let mut files = Files::default();
    let mut complaints = Vec::new();
    println!("{list}");
    for (number, fault, tests) in rows {
        println!("{number:>3}  {fault}");
        tests.iter().for_each(|test| println!("       {test}"));
        let missed =
            tests.iter().filter_map(|test| Some(format!("row {number}, {test}: {}", files.miss(test)?)));
        complaints.extend(missed);
        if tests.is_empty() {
            complaints.push(format!("row {number}, {fault}: no test is named"));
        }
    }
    for (number, why) in left_out {
        println!("{number:>3}  left out: {why}");
    }
    let mut numbers: Vec<_> =
        rows.iter().map(|row| row.0).chain(left_out.iter().map(|(number, _)| *number)).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=last).collect::<Vec<_>>(), "each row stands here once");
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn each_bad_input_has_its_tests() {
    check("Bad inputs and faults of the host", inputs::ROWS, 45, inputs::LEFT_OUT);
}

#[test]
fn each_outage_has_its_tests() {
    check("Outages", outages::ROWS, 25, outages::LEFT_OUT);
}

#[test]
fn what_is_missing_is_missed() {
    let mut files = Files::default();
    for test in [
        "promised_rows",
        "promised_rows: nothing_of_the_kind",
        "promised_rows: check",
        "nowhere: each_outage_has_its_tests",
        "bad_inputs: 46",
        "tests/c/callbacks.c: nothing",
    ] {
        assert!(files.miss(test).is_some(), "{test}");
    }
    for test in ["promised_rows: each_outage_has_its_tests", "bad_inputs: 45", "tests/c/callbacks.c: heard"] {
        assert_eq!(files.miss(test), None, "{test}");
    }
}

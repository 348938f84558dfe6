//! The script as the driver reads it: its steps, and the answers expected of them.

use std::fs;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/script.txt");
/// Bytes beyond which an answer shows a hash.
const MANY: usize = 64;

pub struct Script {
    pub steps: Vec<Step>,
}

pub struct Step {
    line: usize,
    text: String,
    /// For whom (`""` for all), and what.
    answers: Vec<(String, String)>,
}

impl Script {
    pub fn read() -> Script {
        let mut steps: Vec<Step> = Vec::new();
        let text = fs::read_to_string(PATH).unwrap();
        for (line, text) in (1..).zip(text.lines()) {
            let answer = match text.chars().next() {
                None | Some('#') => continue,
                Some('=') => text.strip_prefix("= ").map(|answer| ("", answer)),
                Some('@') => text[1..].split_once(' '),
                _ => {
                    steps.push(Step { line, text: text.to_owned(), answers: Vec::new() });
                    continue;
                }
            };
            let (whom, answer) =
                answer.unwrap_or_else(|| panic!("script.txt:{line}: an answer is = or @NAME"));
            let step = steps.last_mut().expect("a step before its answer");
            step.answers.push((whom.to_owned(), canonical(answer)));
        }
        Script { steps }
    }

    /// The first step of which `output` answers something else than what is expected on `backend`.
    pub fn difference(&self, backend: &str, output: &str) -> Option<String> {
        let mut answers = output.lines();
        for step in &self.steps {
            let (expected, given) = (step.answer(backend), answers.next());
            if !given.is_some_and(|given| fits(expected, given)) {
                let given = given.unwrap_or("nothing: it ended");
                let Step { line, text, .. } = step;
                return Some(format!(
                    "script.txt:{line}: {text}\n  expected: {expected}\n  answered: {given}"
                ));
            }
        }
        answers.next().map(|more| format!("script.txt: an answer too many: {more}"))
    }
}

impl Step {
    /// The most particular one for `backend`.
    pub fn answer(&self, backend: &str) -> &str {
        let shared = if backend == "l1" { "" } else { "shared" };
        let find = |name: &str| self.answers.iter().find(|(whom, _)| whom == name);
        let answer = [backend, shared, ""].into_iter().find_map(find);
        let Some((_, answer)) = answer else {
            panic!("script.txt:{}: {}: no answer on {backend}", self.line, self.text)
        };
        answer
    }
}

/// Whether an answer is the expected one, field by field; `*` stands for anything.
fn fits(expected: &str, given: &str) -> bool {
    let fits = |(expected, given): (&str, &str)| match expected.strip_suffix('*') {
        Some(name) if name.ends_with('=') => given.starts_with(name),
        _ => given == expected,
    };
    expected.split(' ').count() == given.split(' ').count()
        && expected.split(' ').zip(given.split(' ')).all(fits)
}

/// An answer as a runner prints it.
fn canonical(answer: &str) -> String {
    let fields = answer.split(' ').map(|field| match field.strip_prefix("value=") {
        Some(bytes) => format!("value={}", encode(&decode(bytes))),
        None => field.to_owned(),
    });
    fields.collect::<Vec<_>>().join(" ")
}

fn decode(field: &str) -> Vec<u8> {
    if field == "-" {
        return Vec::new();
    }
    if let Some(hex) = field.strip_prefix("x:") {
        return from_hex(hex);
    }
    match field.split_once('*').map(|(length, pattern)| (length.parse(), pattern)) {
        Some((Ok(length), pattern)) => from_hex(pattern).into_iter().cycle().take(length).collect(),
        _ => field.as_bytes().to_vec(),
    }
}

fn from_hex(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn encode(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    if bytes.len() <= MANY {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        return format!("x:{digits}");
    }
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{}#{hash:016x}", bytes.len())
}

//! Commands of .NET services as MONITOR showed them: tests/fixtures/redis and tests/fixtures/identity-web.

use redis::{Cmd, cmd};
use tokencache::clock;

/// .NET ticks at Unix time 0.
pub const UNIX_EPOCH_TICKS: i64 = 621_355_968_000_000_000;
/// Fixed dates of the recordings; all others count from the moment of the call.
const FIXED_TICKS: i64 = 662_065_056_000_000_000;
const TICKS_PER_MS: i64 = 10_000;

/// One command that names a key.
pub struct Recorded {
    words: Vec<String>,
    /// For how long the command after it lets the key live.
    ttl_s: Option<i64>,
}

/// Those of a file below tests/fixtures, but for what a connection begins with.
pub fn recorded(file: &str) -> Vec<Recorded> {
    let path = format!("{}/tests/fixtures/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("a fixture");
    let lines = text.lines().filter_map(|line| line.strip_prefix("  \"")?.strip_suffix('"'));
    let words = lines.map(|line| line.split("\" \"").map(str::to_owned).collect::<Vec<_>>());
    let all: Vec<_> = words.filter(|words| words.get(1).is_some_and(|key| key.contains(':'))).collect();
    let next = |at: usize| all.get(at + 1).filter(|next| next[0] == "EXPIRE" && next[1] == all[at][1]);
    let ttl_s = |at| next(at).map(|next: &Vec<String>| next[2].parse().expect("a number"));
    all.iter().enumerate().map(|(at, words)| Recorded { words: words.clone(), ttl_s: ttl_s(at) }).collect()
}

impl Recorded {
    pub fn name(&self) -> &str {
        &self.words[0]
    }

    /// As Redis knows it.
    pub fn redis_key(&self) -> &str {
        &self.words[1]
    }

    /// Whether it leaves the key so little time that its end may come at any moment.
    pub fn is_brief(&self) -> bool {
        self.name() == "EXPIRE" && self.words[2] == "1"
    }

    /// The command as it would be sent now. What it stores is what was recorded and, if there is one, a `mark`.
    pub fn command(&self, mark: Option<usize>) -> Cmd {
        let mut command = cmd(&self.words[0]);
        let mut member = "";
        for word in &self.words[1..] {
            match (self.name(), member) {
                ("HMSET", "absexp") => command.arg(self.absexp(word)),
                ("HMSET", "data") => command.arg(data(word, mark)),
                _ => command.arg(word),
            };
            member = word;
        }
        command
    }

    fn absexp(&self, recorded: &str) -> i64 {
        let recorded = recorded.parse().expect("a number");
        if recorded == -1 || recorded == FIXED_TICKS {
            return recorded;
        }
        // A moment later than its TTL says, which was cut to whole seconds.
        let lives_ms = self.ttl_s.expect("it ends") * 1_000 + 999;
        (clock::unix_ms() + lives_ms) * TICKS_PER_MS + UNIX_EPOCH_TICKS
    }
}

/// A long value was recorded as its size.
fn data(recorded: &str, mark: Option<usize>) -> Vec<u8> {
    let size = recorded.strip_prefix('<').and_then(|rest| rest.strip_suffix(" bytes>"));
    let mut data = match size {
        Some(size) => vec![b'e'; size.parse().expect("a number")],
        None => recorded.as_bytes().to_vec(),
    };
    let mark = mark.map(|mark| mark.to_string()).unwrap_or_default();
    let kept = if size.is_some() { data.len() - mark.len() } else { data.len() };
    data.truncate(kept);
    data.extend(mark.bytes());
    data
}

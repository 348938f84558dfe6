//! A journal file that somebody else has had in his hands: bytes changed, rows written, an end cut off.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use arbitrary::{Arbitrary, Result, Unstructured};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use tempfile::TempDir;
use tokencache::clock;
use tokencache::entry::{Lifetime, Secret};
use tokencache::journal::{Change, Journal, Known, Record, Settings};
use tokencache::l2::Attempt;

const IDENTITY: &str = "redis cache:6379/0 orders:";
/// Longer than anything that is done with a file that small.
const LONG: Duration = Duration::from_secs(10);

/// A file as the library makes it, with a set and a removal.
static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = folder();
    let path = folder.path().join("owed.db");
    let journal = open(&path).expect("a journal");
    journal.owe(b"a", record(Some(b"token")), soon()).expect("owed");
    journal.owe(b"b", record(None), soon()).expect("owed");
    drop(journal);
    let connection = Connection::open(&path).expect("the file");
    connection.execute_batch("PRAGMA journal_mode = DELETE").expect("one file");
    drop(connection);
    fs::read(path).expect("the file")
});

/// A row of `owed`, of whatever types.
#[derive(Arbitrary)]
struct Row {
    key: Cell,
    clock: Cell,
    known: Cell,
    written_at_ms: Cell,
    expires_at_ms: Cell,
    sliding_ms: Cell,
    value: Cell,
}

#[derive(Arbitrary)]
enum Cell {
    Null,
    Integer(i64),
    Small(i8),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl From<Cell> for Value {
    fn from(cell: Cell) -> Value {
        match cell {
            Cell::Null => Value::Null,
            Cell::Integer(number) => number.into(),
            Cell::Small(number) => i64::from(number).into(),
            Cell::Real(number) => number.into(),
            Cell::Text(text) => text.into(),
            Cell::Blob(bytes) => bytes.into(),
        }
    }
}

pub fn run(bytes: &[u8]) {
    let folder = folder();
    let path = folder.path().join("owed.db");
    if damage(&mut Unstructured::new(bytes), &path).is_ok() {
        use_it(&path);
    }
}

/// Makes a file at `path` that is not as the library left it.
fn damage(input: &mut Unstructured<'_>, path: &Path) -> Result<()> {
    if input.arbitrary()? {
        let mut file = WHOLE.clone();
        for _ in 0..input.int_in_range(1..=8)? {
            let at = input.choose_index(file.len())?;
            let patch: Vec<u8> = input.arbitrary()?;
            file.iter_mut().skip(at).zip(patch).for_each(|(byte, patch)| *byte = patch);
        }
        if input.arbitrary()? {
            file.truncate(input.choose_index(file.len())?);
        }
        fs::write(path, file).expect("written");
        return Ok(());
    }
    fs::write(path, &*WHOLE).expect("written");
    let connection = Connection::open(path).expect("the file");
    let (entries, sum, last): (Cell, Cell, Cell) = input.arbitrary()?;
    let state = [entries, sum, last].map(Value::from);
    // What its own constraints refuse stays away.
    let _ = connection
        .execute("UPDATE journal SET entries = ?1, bytes = ?2, last_sequence = ?3", params_from_iter(state));
    for _ in 0..input.int_in_range(0..=6)? {
        let row: Row = input.arbitrary()?;
        let Row { key, clock, known, written_at_ms, expires_at_ms, sliding_ms, value } = row;
        let cells = [key, clock, known, written_at_ms, expires_at_ms, sliding_ms, value].map(Value::from);
        let sql =
            "INSERT OR REPLACE INTO owed (key, clock, known, written_at_ms, expires_at_ms, sliding_ms, value)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let _ = connection.execute(sql, params_from_iter(cells));
    }
    Ok(())
}

/// All that a cache does with a journal. It may refuse anything; what it takes it has.
fn use_it(path: &Path) {
    let Ok(journal) = open(path) else { return };
    let _ = journal.find(b"a", soon());
    let _ = journal.owed(soon());
    if journal.owe(b"c", record(Some(b"kept")), soon()).is_ok() {
        if let Ok(found) = journal.find(b"c", soon()) {
            let found = found.expect("what was taken is there");
            assert_eq!(found.record.change.value().map(|(bytes, _)| bytes), Some(&b"kept"[..]));
        }
    }
    if let Ok(Some(turn)) = journal.claim_replay() {
        let mut after = 0;
        while let Ok(batch) = turn.batch(clock::unix_ms(), after, 4, soon()) {
            let Some(last) = batch.last() else { break };
            assert!(last.sequence > after, "the batches come to an end");
            after = last.sequence;
            for due in batch {
                let _ = journal.settle(&due.key, due.sequence, soon());
            }
        }
    }
    let _ = journal.bury_ended(soon());
    let _ = journal.is_empty(soon());
    let _ = journal.close(soon());
}

fn open(path: &Path) -> tokencache::error::Result<Journal> {
    let settings = Settings { path: Some(path.into()), max_bytes: 1 << 20, max_entries: 100 };
    Journal::open(&settings, IDENTITY, soon())
}

fn record(value: Option<&[u8]>) -> Record {
    let change = value.map_or(Change::Remove, |value| Change::Set {
        bytes: Secret::copy(value).expect("memory"),
        lifetime: Lifetime::default(),
    });
    Record {
        change,
        clock: 1 << 16,
        written_at_ms: 1,
        known: Known::Nothing,
        base: None,
        over: None,
        link: None,
    }
}

fn soon() -> Attempt<'static> {
    Attempt { deadline: Instant::now() + LONG, is_closing: &|| false }
}

/// In memory, where there is such a place.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")
}

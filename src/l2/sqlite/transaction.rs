//! All or nothing, with the statements that begin and end it prepared once.

#![forbid(unsafe_code)]

use rusqlite::{Connection, Result};

use super::pause::Limit;

/// Runs `work` between `begin` and a commit; a failure, or a panic, rolls back.
pub(super) fn run<T>(connection: &Connection, begin: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    connection.prepare_cached(begin)?.execute(())?;
    let _open = Open(connection);
    let answer = work()?;
    let mut commit = connection.prepare_cached("COMMIT")?;
    Limit::lifted(|| commit.execute(()))?;
    Ok(answer)
}

struct Open<'a>(&'a Connection);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        // SQLite has rolled back by itself after some failures, such as a full disk.
        if !self.0.is_autocommit() {
            let _ = self.0.execute_batch("ROLLBACK");
        }
    }
}

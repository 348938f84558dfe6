//! All or nothing, with the statements that begin and end it prepared once.

#![forbid(unsafe_code)]

use rusqlite::{Connection, Result};

use super::pause::Limit;

/// Runs `work` between `begin` and a commit; a failure, or a panic, rolls back.
pub(super) fn run<T>(connection: &Connection, begin: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    // First, because SQLite may say that it ended early what it has begun.
    let _open = Open(connection);
    connection.prepare_cached(begin)?.execute(())?;
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// SQLite asks after each step whether it is to go on, the last one of a commit included.
    #[test]
    fn a_commit_is_not_told_to_have_ended_early() {
        let mut connection = Connection::open_in_memory().expect("memory");
        connection.execute_batch("CREATE TABLE t (n)").expect("a table");
        connection.progress_handler(1, Some(Limit::is_over)).expect("a handler");
        run(&connection, "BEGIN IMMEDIATE", || {
            connection.execute("INSERT INTO t VALUES (1)", ())?;
            // The deadline passes here.
            std::mem::forget(Limit::until(Instant::now()));
            Ok(())
        })
        .expect("it is made");
        assert!(Limit::is_over(), "and counts again");
        drop(Limit::until(Instant::now()));
        let count: i64 =
            connection.query_row("SELECT count(*) FROM t", (), |row| row.get(0)).expect("a count");
        assert_eq!(count, 1);
    }
}

//! The connections of one database. Readers take one each; writers take turns, so that those of one process wait in
//! a queue and not on the file's lock.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use super::connection::{Identity, Link, Opened};
use super::diagnosis::{diagnose, spoils};
use super::fork;
use super::pause::{self, Limit, Pauses};
use super::registry::{self, CHANGED, Entry};
use super::schema::Schema;
use super::sidecar::at_home;
use crate::defect;
use crate::l2::sleeper::Sleeper;
use crate::l2::{Attempt, Class, Failure};

/// A database file and the connections to it, opened when they are needed.
pub struct Pool {
    id: u64,
    path: PathBuf,
    schema: &'static Schema,
    /// Connections to it may be in use.
    last_opened: Mutex<Option<Opened>>,
}

impl Pool {
    /// A pool for the database at `path`, which it does not touch yet.
    #[must_use]
    pub fn new(path: PathBuf, schema: &'static Schema) -> Pool {
        let path = at_home(path);
        Pool { id: registry::lock().add(), path, schema, last_opened: Mutex::default() }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many connections lie idle.
    #[must_use]
    pub fn idle(&self) -> usize {
        registry::lock().idle(self.id)
    }

    /// Runs `work`, again and again while others hold the file's lock. It must be a single statement or transaction.
    pub fn read<T>(
        &self,
        attempt: Attempt<'_>,
        mut work: impl FnMut(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Failure> {
        let mut pauses = Pauses::default();
        loop {
            match self.try_once(attempt, &mut work) {
                Err(failure) if failure.class == Class::Busy => {
                    if !pauses.pause(attempt)? {
                        return Err(failure);
                    }
                }
                answer => return answer,
            }
        }
    }

    /// As [`Pool::read`], in one transaction that writes, when its turn has come.
    pub fn write<T>(
        &self,
        attempt: Attempt<'_>,
        mut work: impl FnMut(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Failure> {
        let _turn = Turn::wait(self, attempt)?;
        self.read(attempt, |connection| {
            super::transaction::run(connection, "BEGIN IMMEDIATE", || work(connection))
        })
    }

    /// Whether the log beside the file was taken away from open connections, or its index. Then all of this process are
    /// closed, because SQLite has them share the index. To be called now and then, outside of any other call.
    pub fn was_cut(&self) -> bool {
        let opened = registry::lock().opened(self.id);
        let is_cut = opened.is_some_and(|opened| opened.is_cut(&self.path));
        if is_cut {
            fork::before_fork();
            fork::after_fork_in_parent();
        }
        is_cut
    }

    /// Closes the connections, and those in use when their calls end. Later calls fail.
    pub fn close(&self) {
        let links = registry::lock().close(self.id);
        drop(links);
        registry::lock().leave();
    }

    fn try_once<T>(
        &self,
        attempt: Attempt<'_>,
        work: &mut impl FnMut(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Failure> {
        let mut visit = Visit::begin(self, attempt)?;
        let _limit = Limit::until(attempt.deadline);
        let link = visit.link()?;
        defect::point("sqlite");
        let answer = work(&link.connection).map_err(|error| diagnose(&self.path, &error));
        if answer.as_ref().is_err_and(|failure| spoils(failure.class)) {
            visit.link = None;
        }
        answer
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
        registry::lock().remove(self.id);
    }
}

/// A call inside SQLite, which a fork waits for.
struct Visit<'a> {
    pool: &'a Pool,
    link: Option<Link>,
}

impl<'a> Visit<'a> {
    fn begin(pool: &'a Pool, attempt: Attempt<'_>) -> Result<Visit<'a>, Failure> {
        let mut registry = registry::lock();
        loop {
            match registry.enter(pool.id) {
                Entry::Admitted => return Ok(Visit { pool, link: None }),
                Entry::Closed => return Err(pause::closed()),
                Entry::CutOff => return Err(cut_off(&pool.path)),
                Entry::Later => {
                    // Somebody else's code: not under our lock.
                    drop(registry);
                    let left = pause::glance(attempt)?.ok_or_else(|| forking(&pool.path))?;
                    registry = registry::lock();
                    if registry.forks > 0 {
                        let waited = CHANGED.wait_timeout(registry, left);
                        registry = waited.unwrap_or_else(PoisonError::into_inner).0;
                    }
                }
            }
        }
    }

    /// A connection to the file that the path stands for now.
    fn link(&mut self) -> Result<&Link, Failure> {
        let identity = Identity::of(&self.pool.path).ok();
        let (link, stale) = registry::lock().take(self.pool.id, identity);
        let link =
            link.map_or_else(|| Link::open(&self.pool.path, self.pool.schema, &self.pool.last_opened), Ok);
        // Not before the new one is open: while they are, no other file gets the number of theirs, or of their log.
        stale.into_iter().for_each(Link::close_without_checkpoint);
        Ok(self.link.insert(link?))
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let link = self.link.take();
        let refused = link.and_then(|link| registry::lock().keep(self.pool.id, link));
        drop(refused);
        registry::lock().leave();
    }
}

/// The right to write, first come first served.
struct Turn<'a> {
    pool: &'a Pool,
    ticket: u64,
}

impl<'a> Turn<'a> {
    fn wait(pool: &'a Pool, attempt: Attempt<'_>) -> Result<Turn<'a>, Failure> {
        let sleeper = Arc::new(Sleeper::default());
        let ticket = registry::lock().queue(pool.id, Arc::clone(&sleeper));
        let turn = Turn { pool, ticket };
        while !registry::lock().is_first(pool.id, ticket) {
            let left = pause::glance(attempt)?.ok_or_else(|| crowded(&pool.path))?;
            sleeper.sleep(left);
        }
        Ok(turn)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        registry::lock().unqueue(self.pool.id, self.ticket);
    }
}

fn cut_off(path: &Path) -> Failure {
    let why = "this process was forked while another thread was using a database, and SQLite cannot be used in it; \
               start a new program (exec) or fork before the cache is in use.";
    Failure::new(Class::Unreachable, format!("The database {} cannot be opened: {why}", path.display()))
}

fn forking(path: &Path) -> Failure {
    let path = path.display();
    Failure::new(
        Class::Timeout,
        format!("The database {path} could not be used in time: the process was forking."),
    )
}

fn crowded(path: &Path) -> Failure {
    let path = path.display();
    let why = "threads of this process that came before it have not written yet; see whether another process locks the \
               file, else allow a longer deadline or write less at once.";
    Failure::new(Class::Busy, format!("A write to the database {path} did not get its turn in time: {why}"))
}

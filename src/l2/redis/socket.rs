//! The sockets of this process, which a forked child closes before it does anything else: a connection belongs to the
//! process that made it, and ends when that one lets it go. A child that kept its copy would keep the server from
//! seeing that. Nothing is sent on it: what the client and TLS say at a parting is the parent's to say.

#![forbid(unsafe_code)]

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::runtime::lock;

static OPEN: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());

thread_local! {
    // Without a destructor: a thread that is ending, or a process at exit, may still fork.
    static HELD: Cell<Option<ManuallyDrop<MutexGuard<'static, Vec<RawFd>>>>> = const { Cell::new(None) };
}

/// Holds the list over a fork. This and the next belong into `pthread_atfork`; both run on the forking thread.
pub fn before_fork() {
    HELD.set(Some(ManuallyDrop::new(lock(&OPEN))));
}

/// Lets go of the list; the child closes what is on it. Its objects for them are never dropped: they belong to a runtime
/// that does not run there.
pub fn after_fork(is_child: bool) {
    let Some(mut open) = HELD.take().map(ManuallyDrop::into_inner) else { return };
    if is_child {
        for descriptor in open.drain(..) {
            let _ = nix::unistd::close(descriptor);
        }
    }
}

/// A socket that no child keeps.
pub(super) struct Socket<S> {
    // Dropped first: a number on the list is open.
    _listed: Listed,
    stream: S,
}

struct Listed(RawFd);

impl Drop for Listed {
    fn drop(&mut self) {
        lock(&OPEN).retain(|descriptor| *descriptor != self.0);
    }
}

impl<S: AsRawFd> Socket<S> {
    pub fn new(stream: S) -> Socket<S> {
        let descriptor = stream.as_raw_fd();
        lock(&OPEN).push(descriptor);
        Socket { _listed: Listed(descriptor), stream }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

//! A stream that remembers its first error. The client forgets one that comes while no answer is expected, and TLS 1.3
//! tells only after the handshake that a certificate was turned down.

#![forbid(unsafe_code)]

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use super::diagnosis::of_io;
use super::heartbeat::Pulse;
use super::wait::closed;
use crate::config::redis::Address;
use crate::l2::Failure;
use crate::runtime::lock;

/// Where the first error of a stream is remembered.
#[derive(Clone, Default)]
pub(super) struct FirstError(Arc<Remembered>);

#[derive(Default)]
struct Remembered {
    failure: Mutex<Option<Failure>>,
    news: Notify,
}

impl FirstError {
    /// What `work` answers; or the first error of the stream, also where `work` never hears of it.
    pub async fn ends<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let answer = match select(pin!(work), pin!(self.0.news.notified())).await {
            Either::Left((answer, _)) => answer,
            Either::Right(((), work)) => work.now_or_never().unwrap_or_else(|| Err(closed())),
        };
        answer.map_err(|failure| lock(&self.0.failure).clone().unwrap_or(failure))
    }

    fn remember(&self, failure: impl FnOnce() -> Failure) {
        lock(&self.0.failure).get_or_insert_with(failure);
        self.0.news.notify_one();
    }
}

/// A stream to `address` whose first error goes into `first`.
pub(super) struct Watched<S> {
    pub stream: S,
    pub address: Address,
    pub first: FirstError,
    /// Is told when bytes come.
    pub pulse: Pulse,
}

impl<S> Watched<S> {
    fn look<T>(&self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &polled {
            self.first.remember(|| of_io(&self.address, error));
        }
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.pulse.beat();
        }
        self.look(polled)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.look(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.look(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.look(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

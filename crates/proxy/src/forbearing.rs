//! A connection on which the other side may stop to listen and still be heard.
//!
//! A daemon that refuses an upload may answer and close before it has read everything. Writing then fails, and a client
//! that gives up at once never reads the answer that is already there.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Forgives writes that nobody reads: from the first on, what is written is thrown away. The end of what there is to
/// read then ends the exchange.
#[derive(Debug)]
pub(crate) struct Forbearing<S> {
    inner: S,
    is_unheard: bool,
}

impl<S> Forbearing<S> {
    /// Wraps a connection that is listened to.
    pub(crate) const fn new(inner: S) -> Self {
        Self { inner, is_unheard: false }
    }

    /// Takes note when a write failed because nobody reads; then it has succeeded with this instead.
    fn forgive<T>(&mut self, outcome: Poll<io::Result<T>>, instead: T) -> Poll<io::Result<T>> {
        let is_over = |error: &io::Error| {
            matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
        };
        match outcome {
            Poll::Ready(Err(error)) if is_over(&error) => {
                self.is_unheard = true;
                Poll::Ready(Ok(instead))
            }
            outcome => outcome,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Forbearing<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Forbearing<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_unheard {
            return Poll::Ready(Ok(bytes.len()));
        }
        let outcome = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.forgive(outcome, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        if self.is_unheard {
            return Poll::Ready(Ok(length));
        }
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.forgive(outcome, length)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(context);
        self.forgive(outcome, ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_shutdown(context);
        self.forgive(outcome, ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;

    #[tokio::test]
    async fn what_was_said_before_the_end_is_read() {
        let (mut theirs, ours) = UnixStream::pair().unwrap();
        theirs.write_all(b"refused").await.unwrap();
        drop(theirs);
        let mut ours = Forbearing::new(ours);
        ours.write_all(&vec![0; 1 << 20]).await.unwrap();
        assert!(ours.is_unheard);
        let mut heard = Vec::new();
        ours.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"refused");
    }
}

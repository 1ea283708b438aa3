//! A connection's bytes are written once for each turn of its task, however many frames the turn made.
//!
//! `h2` flushes after every DATA frame of 256 bytes or more, which is one system call (and one TLS
//! record) a call. Here `poll_flush` writes nothing; whoever drives the connection calls
//! [`Coal::write_out`] at the end of each poll. Only that one task may use the two handles.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are held before more of them must wait for the socket.
const HIGH: usize = 256 * 1024;
/// A buffer that is larger than this is given back once it is empty.
const KEEP: usize = 64 * 1024;

struct Inner<T> {
    io: T,
    buffer: BytesMut,
    /// Whether `io` may hold bytes itself that are not on the wire: TLS takes in what the socket does not.
    unflushed: bool,
    read: u64,
    written: u64,
}

/// One handle of the connection; clones are the same connection.
pub(super) struct Coal<T>(Arc<Mutex<Inner<T>>>);

impl<T> Clone for Coal<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: AsyncWrite + Unpin> Inner<T> {
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.buffer.is_empty() {
            let n = ready!(Pin::new(&mut self.io).poll_write(cx, &self.buffer))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.buffer.advance(n);
            self.unflushed = true;
            self.written += n as u64;
        }
        if self.buffer.capacity() > KEEP {
            self.buffer = BytesMut::new();
        }
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    /// Waits until there is room for more.
    fn room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.buffer.len() < HIGH { Poll::Ready(Ok(())) } else { self.drain(cx) }
    }
}

impl<T> Coal<T> {
    pub(super) fn new(io: T) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            io,
            buffer: BytesMut::new(),
            unflushed: false,
            read: 0,
            written: 0,
        })))
    }

    // A panic in the middle of a write leaves a broken connection, which the peer notices.
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that came from the peer so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.lock().read
    }

    /// Bytes that the connection below took so far.
    pub(super) fn bytes_written(&self) -> u64 {
        self.lock().written
    }

    /// Gives the empty buffer of a quiet connection back.
    pub(super) fn shrink(&self) {
        let mut inner = self.lock();
        if inner.buffer.is_empty() {
            inner.buffer = BytesMut::new();
        }
    }
}

impl<T: AsyncWrite + Unpin> Coal<T> {
    /// Writes what is held; pending while the socket is full.
    pub(super) fn write_out(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        if inner.buffer.is_empty() && !inner.unflushed { Poll::Ready(Ok(())) } else { inner.drain(cx) }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Coal<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        let mut inner = self.lock();
        ready!(Pin::new(&mut inner.io).poll_read(cx, out))?;
        inner.read += (out.filled().len() - before) as u64;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Coal<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut inner = self.lock();
        ready!(inner.room(cx))?;
        inner.buffer.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.lock();
        ready!(inner.room(cx))?;
        for slice in slices {
            inner.buffer.extend_from_slice(slice);
        }
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        ready!(inner.drain(cx))?;
        Pin::new(&mut inner.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn nothing_is_written_before_the_turn_ends_and_then_all_in_order() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let mut coal = Coal::new(ours);
        coal.write_all(b"one ").await.expect("buffered");
        coal.flush().await.expect("the trait's flush only buffers");
        coal.write_all(b"two").await.expect("buffered");
        let mut got = [0; 7];
        let none = poll_fn(|cx| {
            let mut buf = ReadBuf::new(&mut got);
            Poll::Ready(Pin::new(&mut theirs).poll_read(cx, &mut buf).is_pending())
        });
        assert!(none.await, "written too early");
        poll_fn(|cx| coal.write_out(cx)).await.expect("written");
        theirs.read_exact(&mut got).await.expect("all of it");
        assert_eq!(&got, b"one two");
    }

    #[tokio::test]
    async fn what_the_connection_below_still_holds_is_written_too() {
        // Takes everything at once, as TLS does, and passes on four bytes at a time.
        let (ours, mut theirs) = tokio::io::duplex(4);
        let mut coal = Coal::new(tokio::io::BufWriter::with_capacity(1 << 10, ours));
        coal.write_all(b"the end of an answer").await.expect("buffered");
        let full = poll_fn(|cx| Poll::Ready(coal.write_out(cx).is_pending())).await;
        assert!(full, "the socket takes four bytes");
        let mut got = [0; 20];
        let written = async {
            poll_fn(|cx| coal.write_out(cx)).await.expect("written");
            assert_eq!(coal.bytes_written(), 20);
        };
        let (read, ()) = tokio::join!(theirs.read_exact(&mut got), written);
        assert_eq!((read.expect("all of it"), &got), (20, b"the end of an answer"));
    }

    #[tokio::test]
    async fn a_full_socket_pushes_back_and_loses_nothing() {
        let (ours, mut theirs) = tokio::io::duplex(1000);
        let mut coal = Coal::new(ours);
        let sent: Vec<u8> = (0..3 * HIGH).map(|n| (n % 251) as u8).collect();
        let copy = sent.clone();
        let writing = async move {
            for piece in copy.chunks(10_000) {
                coal.write_all(piece).await.expect("room comes");
                assert!(coal.lock().buffer.len() <= HIGH + 10_000);
                assert!(coal.lock().buffer.capacity() <= 4 * HIGH, "what is written makes room");
            }
            coal.shutdown().await.expect("all is written");
        };
        let mut got = Vec::new();
        let (read, ()) = tokio::join!(theirs.read_to_end(&mut got), writing);
        assert_eq!(read.expect("to the end"), sent.len());
        assert!(got == sent);
    }
}

//! Who is asked to go and has begun one more call by then loses none of those that were taken.
//!
//! `h2` asks a client to go with a GOAWAY and a PING, whose ACK is the client's answer: no stream that is
//! begun after it is taken. What comes on those `h2` ignores, as RFC 9113, section 6.8, lets it, but for
//! WINDOW_UPDATE, for which it ends the connection and every call on it (0.4.20, `recv_window_update`).
//! grpc-core sends such a call in one piece with its answer. So these frames are taken out here, before `h2`
//! reads them. Until the client has answered, all goes through as it is, and only heads are looked at.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that a client sends before its first frame.
const PREFACE: usize = 24;
/// RFC 9113, section 4.1: three bytes of length, type, flags, and four of stream.
const HEAD: usize = 9;
const HEADERS: u8 = 1;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
/// What `h2` asks with whether the order to go has arrived (`SHUTDOWN_PAYLOAD` of its `frame::ping`).
const SHUTDOWN: [u8; 8] = [0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54];

/// A server's connection, from its first byte on.
pub(crate) struct LateFrames<T> {
    io: T,
    leaving: Arc<AtomicBool>,
    frames: Frames,
    /// Whether the client has answered the order to go.
    answered: bool,
    /// What may be read and was not yet, once the client has answered.
    kept: BytesMut,
}

/// Says that the client is asked to go.
pub(crate) struct Leaving(Arc<AtomicBool>);

impl Leaving {
    /// To be called before `graceful_shutdown`, by the task that reads.
    pub(crate) fn begin(&self) {
        self.0.store(true, Relaxed);
    }
}

impl<T> LateFrames<T> {
    pub(crate) fn new(io: T) -> (Self, Leaving) {
        let leaving = Arc::new(AtomicBool::new(false));
        let frames = Frames { left: PREFACE, ..Frames::default() };
        let guarded =
            Self { io, leaving: Arc::clone(&leaving), frames, answered: false, kept: BytesMut::new() };
        (guarded, Leaving(leaving))
    }
}

impl<T: AsyncRead + Unpin> LateFrames<T> {
    /// Reads until something is kept, or the end has come.
    fn poll_kept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.kept.is_empty() {
            let mut space = [0; 4096];
            let mut read = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                self.frames.end(&mut self.kept);
                break;
            }
            self.frames.sift(read.filled(), &mut self.kept);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for LateFrames<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = &mut *self;
        if me.answered {
            ready!(me.poll_kept(cx))?;
            let n = me.kept.len().min(out.remaining());
            out.put_slice(&me.kept[..n]);
            me.kept.advance(n);
            return Poll::Ready(Ok(()));
        }
        let before = out.filled().len();
        ready!(Pin::new(&mut me.io).poll_read(cx, out))?;
        if let Some(n) = me.frames.pass(&out.filled()[before..], me.leaving.load(Relaxed)) {
            me.answered = true;
            me.frames.sift(&out.filled()[before + n..], &mut me.kept);
            out.set_filled(before + n);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for LateFrames<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Where in its frames what a client sends has come to.
#[derive(Default)]
struct Frames {
    /// What came of a head, and of the payload of a PING, by which it is known.
    head: [u8; HEAD + SHUTDOWN.len()],
    have: usize,
    /// Bytes that still come before the next head.
    left: usize,
    /// Whether those are of a frame that is taken out.
    dropped: bool,
    /// The highest stream that was begun; once the client has answered, the last that is taken.
    last: u32,
}

impl Frames {
    /// Looks at what goes through; returns where the answer to the order to go ends, if one was given.
    fn pass(&mut self, bytes: &[u8], leaving: bool) -> Option<usize> {
        let mut rest = bytes;
        loop {
            self.skip(&mut rest);
            if !self.fill(&mut rest) {
                return None;
            }
            match self.head[3] {
                HEADERS => self.last = self.last.max(self.stream()),
                PING if leaving && self.head[4] & ACK != 0 && self.head[HEAD..self.have] == SHUTDOWN => {
                    self.have = 0;
                    return Some(bytes.len() - rest.len());
                }
                _ => {}
            }
            self.have = 0;
        }
    }

    /// Keeps what came after the answer, but for what widens the window of a stream that is not taken. Of a
    /// head nothing is kept before it is whole.
    fn sift(&mut self, mut bytes: &[u8], kept: &mut BytesMut) {
        loop {
            let payload = self.skip(&mut bytes);
            if !self.dropped {
                kept.extend_from_slice(payload);
            }
            if !self.fill(&mut bytes) {
                return;
            }
            self.dropped = self.head[3] == WINDOW_UPDATE && self.stream() > self.last;
            if !self.dropped {
                kept.extend_from_slice(&self.head[..self.have]);
            }
            self.have = 0;
        }
    }

    /// Keeps what came of a head that will never be whole.
    fn end(&mut self, kept: &mut BytesMut) {
        kept.extend_from_slice(&self.head[..std::mem::take(&mut self.have)]);
    }

    /// Takes what still belongs before the next head.
    fn skip<'b>(&mut self, bytes: &mut &'b [u8]) -> &'b [u8] {
        let (payload, rest) = bytes.split_at(self.left.min(bytes.len()));
        self.left -= payload.len();
        *bytes = rest;
        payload
    }

    /// Takes what belongs to the head; whether it is whole now. If so, `left` is what comes after it.
    fn fill(&mut self, bytes: &mut &[u8]) -> bool {
        if !self.fill_to(HEAD, bytes) {
            return false;
        }
        let [a, b, c, kind, ..] = self.head;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        if kind == PING && length == SHUTDOWN.len() {
            return self.fill_to(HEAD + length, bytes);
        }
        self.left = length;
        true
    }

    fn fill_to(&mut self, want: usize, bytes: &mut &[u8]) -> bool {
        let (more, rest) = bytes.split_at(want.saturating_sub(self.have).min(bytes.len()));
        self.head[self.have..self.have + more.len()].copy_from_slice(more);
        self.have += more.len();
        *bytes = rest;
        self.have >= want
    }

    fn stream(&self) -> u32 {
        let [.., a, b, c, d] = *self.head.first_chunk::<HEAD>().expect("longer than a head");
        u32::from_be_bytes([a, b, c, d]) & (u32::MAX >> 1)
    }
}

#[cfg(test)]
#[path = "late_frames_tests.rs"]
mod tests;

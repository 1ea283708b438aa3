//! One direction of a call: DATA and trailers go on unread, and no more is taken in than the other side
//! takes.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderName};

use crate::crash::{self, Point};

/// Where a gRPC call says how it ended.
pub(super) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Bytes that pass before the other side is waited for. Less than that is given back by `h2` itself when
/// the stream ends, so that a small call never asks.
pub(super) const OWED: usize = 32 * 1024;

/// The same for a stream that is quiet at the moment: what many long streams hold together stays small
/// against the connection's window, which they share.
const OWED_QUIET: usize = 4 * 1024;

/// What stands before the first message, as far as it came: whether it is compressed, and its length.
///
/// Source: gRPC over HTTP/2, Length-Prefixed-Message.
#[derive(Debug, Default)]
struct Prefix {
    bytes: [u8; 5],
    come: usize,
}

impl Prefix {
    /// Takes in what belongs to it of the next bytes.
    fn read(&mut self, data: &[u8]) {
        for (place, byte) in self.bytes[self.come..].iter_mut().zip(data) {
            *place = *byte;
            self.come += 1;
        }
    }

    /// Bytes of the first message with what stands before it; `None` while that is not all here.
    fn message(&self) -> Option<u64> {
        let [_, length @ ..] = self.bytes;
        let all = self.bytes.len() as u64 + u64::from(u32::from_be_bytes(length));
        (self.come == self.bytes.len()).then_some(all)
    }
}

/// Why the direction ended early.
#[derive(Debug)]
pub(super) enum Cut {
    /// The side that sends broke off.
    Source(h2::Error),
    /// The side that receives wants no more.
    Sink,
}

/// How the direction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Passed {
    /// The `grpc-status` of the trailers, if there was one.
    pub(super) status: Option<u8>,
}

/// One direction of a call.
pub(super) struct Pump {
    rx: RecvStream,
    tx: SendStream<Bytes>,
    owed: usize,
    bytes: u64,
    prefix: Prefix,
    data_done: bool,
    blocked: bool,
}

impl Pump {
    pub(super) fn new(rx: RecvStream, tx: SendStream<Bytes>) -> Self {
        Self { rx, tx, owed: 0, bytes: 0, prefix: Prefix::default(), data_done: false, blocked: false }
    }

    /// Bytes of DATA that went through.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether a whole message went through.
    pub(super) fn has_message(&self) -> bool {
        self.prefix.message().is_some_and(|bytes| self.bytes >= bytes)
    }

    /// Whether the last poll waited for the side that receives.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// The side that receives, to be told of an end that the other side did not send.
    pub(super) fn sink(&mut self) -> &mut SendStream<Bytes> {
        &mut self.tx
    }

    /// Gives back the side that sends; only right while nothing has gone through, or all.
    pub(super) fn into_source(self) -> RecvStream {
        self.rx
    }

    /// Moves what there is.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Passed, Cut>> {
        loop {
            ready!(self.poll_room(OWED, cx))?;
            if !self.data_done {
                let Poll::Ready(data) = self.rx.poll_data(cx) else {
                    let _ = self.poll_room(OWED_QUIET, cx)?;
                    return Poll::Pending;
                };
                match data {
                    Some(data) => {
                        let data = data.map_err(Cut::Source)?;
                        self.prefix.read(&data);
                        self.owed += data.len();
                        self.bytes += data.len() as u64;
                        let end = self.rx.is_end_stream();
                        self.tx.send_data(data, end).map_err(|_| Cut::Sink)?;
                        if self.bytes > OWED as u64 {
                            crash::point(Point::RelayMidStream);
                        }
                        if end {
                            return Poll::Ready(Ok(Passed { status: None }));
                        }
                        continue;
                    }
                    None => self.data_done = true,
                }
            }
            // Until there is room for all of it nobody is done: who reads nothing is to wait in its own name.
            if self.owed > 0 {
                ready!(self.poll_sink(cx))?;
            }
            let trailers = ready!(self.rx.poll_trailers(cx)).map_err(Cut::Source)?;
            let status = trailers.as_ref().and_then(grpc_status);
            let sent = match trailers {
                Some(trailers) => self.tx.send_trailers(trailers),
                None => self.tx.send_data(Bytes::new(), true),
            };
            return Poll::Ready(sent.map(|()| Passed { status }).map_err(|_| Cut::Sink));
        }
    }

    /// Gives the window back to the side that sends, as soon as the other side has room.
    fn poll_room(&mut self, owed_min: usize, cx: &mut Context<'_>) -> Poll<Result<(), Cut>> {
        if self.owed < owed_min {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_sink(cx))?;
        // It fails only for more than was received, and every byte counted here was.
        let _ = self.rx.flow_control().release_capacity(self.owed);
        self.owed = 0;
        Poll::Ready(Ok(()))
    }

    /// Waits until the side that receives has room for all that it was given, and more.
    fn poll_sink(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Cut>> {
        self.tx.reserve_capacity(1);
        while self.tx.capacity() == 0 {
            match self.tx.poll_capacity(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Err(Cut::Sink)),
                Poll::Pending => {
                    self.blocked = true;
                    return Poll::Pending;
                }
            }
        }
        self.blocked = false;
        Poll::Ready(Ok(()))
    }
}

/// Returns the status that headers or trailers name.
pub(super) fn grpc_status(headers: &HeaderMap) -> Option<u8> {
    headers.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_message_is_as_long_as_it_says_however_it_comes() {
        for pieces in [&[&[0, 0, 0, 1, 2, 9][..]][..], &[&[0], &[0, 0], &[], &[1, 2, 7, 7], &[0; 300]]] {
            let mut prefix = Prefix::default();
            assert_eq!(prefix.message(), None);
            pieces.iter().for_each(|piece| prefix.read(piece));
            assert_eq!(prefix.message(), Some(5 + 258));
        }
    }
}

//! A peer that is gone is noticed: a connection on which nothing comes is asked, and must answer in time. One
//! that does not answer soon is silent until it does.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use h2::{Ping, PingPong};
use tokio::time::{Instant, Sleep, sleep};

/// What a poll found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beat {
    /// The peer answered a ping.
    Pong,
    /// Nothing came for a while; the peer is asked.
    Quiet,
    /// The peer did not answer in time.
    Dead,
}

/// Asks a quiet peer whether it lives.
pub(super) struct KeepAlive {
    ping: PingPong,
    every: Duration,
    answer: Duration,
    soon: Duration,
    timer: Pin<Box<Sleep>>,
    asked: Option<Instant>,
    silent: bool,
    bytes_seen: u64,
}

impl KeepAlive {
    pub(super) fn new(ping: PingPong, every: Duration, answer: Duration) -> Self {
        let timer = Box::pin(sleep(every));
        Self { ping, every, answer, soon: answer, timer, asked: None, silent: false, bytes_seen: 0 }
    }

    /// The same, with a peer that is silent when it has not answered within `soon`.
    pub(super) fn answered_soon(self, soon: Duration) -> Self {
        Self { soon: soon.min(self.answer), ..self }
    }

    /// Whether the peer was asked, and nothing has come from it soon enough. `bytes_read` is what came from
    /// it so far.
    pub(super) fn is_silent(&self, bytes_read: u64) -> bool {
        self.silent && self.bytes_seen == bytes_read
    }

    /// Whether an answer is awaited.
    pub(super) fn is_asking(&self) -> bool {
        self.asked.is_some()
    }

    /// Asks now, unless a ping is under way already.
    pub(super) fn ask(&mut self) {
        // It fails when a ping is under way or the connection is gone; the latter shows elsewhere.
        if self.asked.is_some() || self.ping.send_ping(Ping::opaque()).is_err() {
            return;
        }
        let now = Instant::now();
        self.asked = Some(now);
        self.timer.as_mut().reset(now + self.soon);
    }

    /// Says what happened. `bytes_read` is what came from the peer so far.
    pub(super) fn poll(&mut self, bytes_read: u64, cx: &mut Context<'_>) -> Poll<Beat> {
        if self.asked.is_some() {
            match self.ping.poll_pong(cx) {
                Poll::Ready(Ok(_)) => {
                    (self.asked, self.silent) = (None, false);
                    self.bytes_seen = bytes_read;
                    self.timer.as_mut().reset(Instant::now() + self.every);
                    return Poll::Ready(Beat::Pong);
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Beat::Dead),
                Poll::Pending => {}
            }
        }
        if self.silent && self.bytes_seen != bytes_read {
            (self.silent, self.bytes_seen) = (false, bytes_read);
            self.timer.as_mut().reset(Instant::now() + self.soon);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            let quiet = self.bytes_seen == bytes_read;
            self.bytes_seen = bytes_read;
            let now = Instant::now();
            if self.asked.is_none() {
                self.timer.as_mut().reset(now + self.every);
                if quiet {
                    self.ask();
                    return Poll::Ready(Beat::Quiet);
                }
            } else if !quiet {
                // It is busy sending, and its answer comes behind all that.
                self.timer.as_mut().reset(now + self.soon);
            } else if self.silent || self.soon == self.answer {
                return Poll::Ready(Beat::Dead);
            } else {
                self.silent = true;
                self.timer.as_mut().reset(now + (self.answer - self.soon));
            }
        }
        Poll::Pending
    }
}

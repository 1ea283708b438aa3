//! What became of a call since it was last looked at, in both directions.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use h2::{RecvStream, client::ResponseFuture, server::SendResponse};
use http::{Response, request::Parts};

use crate::wire;

use super::{
    pump::{Cut, Pump},
    upstream::Slot,
};

/// Sent to an issuer that has not answered yet.
pub(super) struct Asked {
    pub(super) slot: Slot,
    pub(super) up: Option<Pump>,
    pub(super) answer: ResponseFuture,
    /// What is needed to send it again, as long as that would be right.
    pub(super) kept: Option<Box<Parts>>,
}

/// What a look at a call brought.
pub(super) enum Look {
    Headers(Response<RecvStream>),
    Answered(Option<u8>),
    Broken(h2::Error),
    /// The client is gone; whether it broke this call off, or lost its connection.
    ClientGone {
        reset: bool,
    },
}

impl Asked {
    /// Whether it is its caller that is waited for, who owes the end of its request, or of a stream the first
    /// message: the others may follow only when that is answered.
    pub(super) fn is_owed(&self, path: &str) -> bool {
        let waits = |up: &Pump| up.is_blocked() || up.has_message() && wire::streams(path).request;
        self.up.as_ref().is_some_and(|up| !waits(up))
    }

    pub(super) fn look(
        &mut self,
        respond: &mut SendResponse<Bytes>,
        bytes_up: &mut u64,
        cx: &mut Context<'_>,
    ) -> Poll<Look> {
        if let Some(gone) = push(&mut self.up, bytes_up, cx) {
            return Poll::Ready(gone);
        }
        match Pin::new(&mut self.answer).poll(cx) {
            Poll::Ready(Ok(response)) => Poll::Ready(Look::Headers(response)),
            Poll::Ready(Err(error)) => Poll::Ready(Look::Broken(error)),
            Poll::Pending => respond.poll_reset(cx).map(|gone| Look::ClientGone { reset: gone.is_ok() }),
        }
    }
}

/// Moves the request on; `Some` if the client broke off.
fn push(up: &mut Option<Pump>, bytes_up: &mut u64, cx: &mut Context<'_>) -> Option<Look> {
    let pump = up.as_mut()?;
    match pump.poll(cx) {
        Poll::Pending => None,
        Poll::Ready(Err(Cut::Source(error))) => {
            Some(Look::ClientGone { reset: error.is_reset() && error.is_remote() })
        }
        // All is sent, or the issuer wants no more of it, which is no failure: its answer counts.
        Poll::Ready(Ok(_) | Err(Cut::Sink)) => {
            *bytes_up += pump.bytes();
            *up = None;
            None
        }
    }
}

/// Looks at both directions of a call whose answer has begun.
pub(super) fn look(
    up: &mut Option<Pump>,
    down: &mut Pump,
    bytes_up: &mut u64,
    cx: &mut Context<'_>,
) -> Poll<Look> {
    if let Some(gone) = push(up, bytes_up, cx) {
        return Poll::Ready(gone);
    }
    match down.poll(cx) {
        Poll::Ready(Ok(passed)) => Poll::Ready(Look::Answered(passed.status)),
        Poll::Ready(Err(Cut::Source(error))) => Poll::Ready(Look::Broken(error)),
        Poll::Ready(Err(Cut::Sink)) => {
            let reset = matches!(down.sink().poll_reset(cx), Poll::Ready(Ok(_)));
            Poll::Ready(Look::ClientGone { reset })
        }
        Poll::Pending => down.sink().poll_reset(cx).map(|gone| Look::ClientGone { reset: gone.is_ok() }),
    }
}

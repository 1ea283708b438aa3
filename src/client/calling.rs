//! One call on its way: an attempt that fails, or is older than usual, is sent again over another relay; the
//! first answer counts, and the other attempt is broken off.
//!
//! An attempt that is only slow is not given up: over a system that has become slower it would be asked for
//! ever. At most two are on their way at a time, and what is sent beside the first costs of the budget like
//! any retry.
//!
//! Source: J. Dean, L. A. Barroso, "The tail at scale", CACM 56(2), 2013 (hedged and tied requests).

use std::{future::Future, sync::Arc};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::{
    Code, Response, Status,
    metadata::{Ascii, MetadataValue},
};

use super::{
    calls::{Attempt, CallError, Caller, Weight},
    events::Event,
    heard::Heard,
    picker::Picked,
};
use crate::net::headers;

/// How many times as long as is usual an attempt is waited for in all.
const GIVEN_UP_AFTER: u32 = 2;

/// A call with what it has heard so far.
pub(super) struct Calling<'a, F> {
    caller: &'a Caller,
    method: &'static str,
    weight: Weight,
    send: &'a F,
    deadline: Instant,
    /// Until when it is tried: the deadline, or sooner once it was refused.
    until: Instant,
    heard: Heard,
    attempts: u32,
    previous: Option<MetadataValue<Ascii>>,
    told: Instant,
}

/// An attempt that was sent.
struct Sent {
    picked: Arc<Picked>,
    /// When it is older than usual, so that it is sent again beside.
    slow_at: Instant,
}

impl<'a, F> Calling<'a, F> {
    /// A call that is rather for others than the relays in `beside`.
    pub(super) fn new(
        caller: &'a Caller,
        beside: &[usize],
        (method, weight): (&'static str, Weight),
        send: &'a F,
    ) -> Self {
        let now = Instant::now();
        let deadline = now + caller.options().deadline;
        Self {
            caller,
            method,
            weight,
            send,
            deadline,
            until: deadline,
            heard: Heard::beside(beside),
            attempts: 0,
            previous: None,
            told: now,
        }
    }

    /// Makes attempts until one is answered, or the call is to end; says which relay the answer came over.
    pub(super) async fn end<T, Fut>(mut self) -> Result<(T, usize), CallError>
    where
        F: Fn(Attempt) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        loop {
            let mut flights = FuturesUnordered::new();
            let (first, flight) = self.set_out(self.pick());
            flights.push(flight);
            let mut is_alone = self.weight == Weight::Light;
            let error = loop {
                tokio::select! {
                    biased;
                    Some((picked, ended)) = flights.next() => match ended {
                        Ok(answer) => return Ok((answer, picked.index())),
                        Err(error) => {
                            let error = self.note(&picked, error)?;
                            if flights.is_empty() {
                                break error;
                            }
                        }
                    },
                    () = sleep_until(first.slow_at), if is_alone => {
                        is_alone = false;
                        if let Some(other) = self.another_for(&first) {
                            flights.push(self.set_out(other).1);
                        }
                    }
                }
            };
            self.pause(error).await?;
        }
    }

    fn pick(&self) -> Picked {
        let relays = self.caller.picker().relay_count();
        self.caller.picker().pick(&self.heard.avoid(relays), Instant::now())
    }

    /// Another relay for an attempt that is slow, if there is one and the budget has room at once.
    fn another_for(&mut self, slow: &Sent) -> Option<Picked> {
        slow.picked.failed(Instant::now());
        self.heard.slow(slow.picked.index());
        let other = Some(self.pick()).filter(|other| other.index() != slow.picked.index())?;
        if !self.caller.may_send_beside() {
            return None;
        }
        let name = slow.picked.name();
        self.previous = headers::previous_attempt(name, Code::DeadlineExceeded).parse().ok();
        tracing::debug!(self.method, "{} is sent beside {name}, which is slow", self.method);
        Some(other)
    }

    /// Makes an attempt over a relay; nothing is sent before the future is waited for.
    fn set_out<T, Fut>(
        &mut self,
        picked: Picked,
    ) -> (Sent, impl Future<Output = (Arc<Picked>, Result<T, CallError>)> + use<'a, T, F, Fut>)
    where
        F: Fn(Attempt) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let (caller, method, send, now) = (self.caller, self.method, self.send, Instant::now());
        let usual = caller.time_out(method, self.weight, self.attempts);
        let times = if self.weight == Weight::Light { GIVEN_UP_AFTER } else { 1 };
        let time_out = usual.saturating_mul(times).min(self.deadline - now);
        self.attempts += 1;
        let (picked, number) = (Arc::new(picked), self.attempts);
        let over = (picked.index(), caller.channel(&picked));
        let attempt = Attempt::new(over, time_out, self.previous.take());
        let sent = Sent { picked: Arc::clone(&picked), slow_at: now + usual };
        let flight = async move {
            let ended = caller.once(method, picked.name(), attempt, number, send).await;
            if ended.is_ok() {
                picked.answered(Instant::now());
            }
            (picked, ended)
        };
        (sent, flight)
    }

    /// Notes how an attempt failed; the error again, unless the call ends with it.
    fn note(&mut self, picked: &Picked, error: CallError) -> Result<CallError, CallError> {
        let error = CallError { attempts: self.attempts, ..error };
        let relays = self.caller.picker().relay_count();
        if self.heard.note(picked.index(), &error, relays) {
            return Err(self.caller.confirmed(std::mem::take(&mut self.heard).end(error)));
        }
        let now = Instant::now();
        if error.transient {
            picked.failed(now);
            self.heard.hold(picked.index(), error.fault.as_deref());
            self.previous = headers::previous_attempt(picked.name(), error.status.code()).parse().ok();
        } else {
            // Only to be heard over another relay.
            self.until = self.until.min(now + self.caller.options().opinion_max);
        }
        if self.told.elapsed() >= self.caller.options().tell_every {
            self.told = now;
            let (relay, code) = (picked.name(), error.status.code());
            let why = format!("{}: {relay}: {code:?}: {}", self.method, error.status.message());
            self.caller.tell(&Event::Waiting { why });
        }
        Ok(error)
    }

    /// Waits before the next attempt; the error that the call ends with, if there can be none.
    async fn pause(&mut self, error: CallError) -> Result<(), CallError> {
        let left = self.until.saturating_duration_since(Instant::now());
        // What is only to be heard over another relay costs nothing of the budget, and no time.
        let goes_on = if error.transient {
            let asked = self.heard.asked(self.caller.picker().relay_count());
            let wait = self.caller.back_off(self.attempts, asked);
            wait < left && {
                sleep(wait).await;
                self.turn(&error).await
            }
        } else {
            !left.is_zero()
        };
        // On a busy machine the wait is longer than it was to be: an attempt without time left says nothing.
        if !goes_on || Instant::now() >= self.deadline {
            return Err(std::mem::take(&mut self.heard).end(error));
        }
        let (method, code, attempts) = (self.method, error.status.code(), self.attempts);
        tracing::debug!(method, ?code, attempts, "sending {method} again");
        Ok(())
    }

    /// Waits for the turn to send again, as long as there is time, and says from time to time that it does.
    async fn turn(&mut self, error: &CallError) -> bool {
        let mut turn = std::pin::pin!(self.caller.turn(self.until));
        loop {
            match timeout(self.caller.options().tell_every, &mut turn).await {
                Ok(came) => return came,
                Err(_) => {
                    let (code, words) = (error.status.code(), error.status.message());
                    let why = format!("{}: {code:?}: {words}; it waits for its turn", self.method);
                    self.caller.tell(&Event::Waiting { why });
                    self.told = Instant::now();
                }
            }
        }
    }
}

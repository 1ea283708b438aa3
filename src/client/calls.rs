//! Unary calls over the relays. Every call here is idempotent by its own key, so an attempt that fails, hangs
//! or is slow is sent again over another relay, at this one layer, under one budget and one deadline.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::time::{Instant, timeout};
use tonic::{
    Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

pub use super::call_error::CallError;
use super::{
    calling::Calling,
    events::{Event, Tell},
    picker::{Picked, Picker, locked},
    refusals::{Own, is_transient},
    retry::{Dice, Latencies, wait_before},
    turns::Turns,
};
use crate::{
    net::headers,
    wire::{
        fault::Fault,
        pb::{
            application_service_client::ApplicationServiceClient, batch_service_client::BatchServiceClient,
            card_service_client::CardServiceClient, mail_service_client::MailServiceClient,
            production_service_client::ProductionServiceClient,
        },
        text::showable,
    },
};

/// The largest answer that is taken: a receipt is at most 2 MiB, a page of dispositions less.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Limits of calls.
#[derive(Debug, Clone)]
pub struct CallOptions {
    /// How long a call may take with all its attempts; default 60 s.
    pub deadline: Duration,
    /// The youngest age at which an attempt is taken for slow, and sent again over another relay beside; what
    /// is learnt is twice the 99th percentile of the last calls of its kind. It is given up at twice that
    /// age. Default 250 ms.
    pub attempt_floor: Duration,
    /// The oldest such age; default 10 s.
    pub attempt_cap: Duration,
    /// The age before anything was learnt; default 2 s.
    pub attempt_unknown: Duration,
    /// The first attempt time-out of calls that re-read a whole batch (open, seal), and not more than half of
    /// the deadline, so that a second relay is asked; default 25 s, as a seal may wait 20 s for its turn.
    pub attempt_heavy: Duration,
    /// How long another relay is asked again and again, to hear a refusal over it too; default 5 s, in which
    /// a relay has started again. Then the refusal is believed; an attempt that has begun has its own time.
    pub opinion_max: Duration,
    /// Ceiling of the first wait; default 50 ms.
    pub delay_base: Duration,
    /// Ceiling of any wait; default 3 s.
    pub delay_max: Duration,
    /// How often a call that is not answered is told of; default 5 s.
    pub tell_every: Duration,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(60),
            attempt_floor: Duration::from_millis(250),
            attempt_cap: Duration::from_secs(10),
            attempt_unknown: Duration::from_secs(2),
            attempt_heavy: Duration::from_secs(25),
            opinion_max: Duration::from_secs(5),
            delay_base: Duration::from_millis(50),
            delay_max: Duration::from_secs(3),
            tell_every: Duration::from_secs(5),
        }
    }
}

/// How long an attempt may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Answered at once; its time-out is learnt.
    Light,
    /// Works over a whole batch.
    Heavy,
}

/// What an attempt goes over.
#[derive(Debug, Clone)]
pub struct Attempt {
    relay: usize,
    channel: Channel,
    time_out: Duration,
    /// What became of the attempt before it, for the relay that this one goes over.
    previous: Option<MetadataValue<Ascii>>,
}

impl Attempt {
    pub(super) fn new(
        (relay, channel): (usize, Channel),
        time_out: Duration,
        previous: Option<MetadataValue<Ascii>>,
    ) -> Self {
        Self { relay, channel, time_out, previous }
    }

    /// The place of the attempt's relay among those that the caller was given, and those it learnt of later.
    #[must_use]
    pub fn relay(&self) -> usize {
        self.relay
    }

    /// The batch service over the attempt's relay.
    #[must_use]
    pub fn batches(&self) -> BatchServiceClient<Channel> {
        BatchServiceClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The card service over the attempt's relay.
    #[must_use]
    pub fn cards(&self) -> CardServiceClient<Channel> {
        CardServiceClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The mail service over the attempt's relay.
    #[must_use]
    pub fn mail(&self) -> MailServiceClient<Channel> {
        MailServiceClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The application service over the attempt's relay.
    #[must_use]
    pub fn applications(&self) -> ApplicationServiceClient<Channel> {
        ApplicationServiceClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The production service over the attempt's relay.
    #[must_use]
    pub fn production(&self) -> ProductionServiceClient<Channel> {
        ProductionServiceClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// A request that carries the attempt's deadline.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.time_out);
        if let Some(previous) = &self.previous {
            request.metadata_mut().insert(headers::PREVIOUS_ATTEMPT, previous.clone());
        }
        request
    }
}

/// Makes calls over the relays it was given.
#[derive(Clone)]
pub struct Caller {
    /// By the index of their relays; only ever added to.
    channels: Arc<ArcSwap<Vec<Channel>>>,
    picker: Picker,
    options: CallOptions,
    shared: Arc<Mutex<Shared>>,
    turns: Arc<Turns>,
    tell: Tell,
    own: Option<Arc<Own>>,
}

#[derive(Debug)]
struct Shared {
    latencies: HashMap<&'static str, Latencies>,
    dice: Dice,
}

impl Caller {
    /// Returns a caller over these named channels; `seed` is of the caller's own randomness.
    #[must_use]
    pub fn new(channels: Vec<(String, Channel)>, options: CallOptions, seed: u64) -> Self {
        let now = Instant::now();
        let (names, channels): (Vec<String>, Vec<Channel>) = channels.into_iter().unzip();
        let shared = Shared { latencies: HashMap::new(), dice: Dice::new(seed ^ 0x5EED) };
        Self {
            channels: Arc::new(ArcSwap::from_pointee(channels)),
            picker: Picker::new(names, seed, now),
            options,
            shared: Arc::new(Mutex::new(shared)),
            turns: Arc::new(Turns::new(now)),
            tell: Arc::new(|_| ()),
            own: None,
        }
    }

    /// The same caller; `tell` hears when a call takes long.
    #[must_use]
    pub fn telling(self, tell: Tell) -> Self {
        Self { tell, ..self }
    }

    /// The same caller, which shows this certificate.
    #[must_use]
    pub(crate) fn showing(self, own: Own) -> Self {
        Self { own: Some(Arc::new(own)), ..self }
    }

    /// What comes of a failure that every relay confirms: waiting helps nobody, unless they refuse our
    /// certificate and nothing is wrong with it by what we can see.
    pub(crate) fn confirmed(&self, error: CallError) -> CallError {
        let transient = self.own.as_ref().is_some_and(|own| own.is_refused_in_error(&error.status));
        CallError { transient, ..error }
    }

    /// Who chooses the relays.
    #[must_use]
    pub fn picker(&self) -> &Picker {
        &self.picker
    }

    /// The channel to a relay that was picked.
    #[must_use]
    pub fn channel(&self, picked: &Picked) -> Channel {
        self.channel_at(picked.index())
    }

    /// The channel to the relay of this index.
    pub(super) fn channel_at(&self, index: usize) -> Channel {
        self.channels.load()[index].clone()
    }

    /// Adds a relay, which is used for nothing until the picker is told otherwise.
    pub(super) fn add(&self, name: String, channel: &Channel) -> usize {
        // First the channel, so that whoever is picked has one. One task alone adds relays.
        self.channels.rcu(|channels| {
            let mut channels = Vec::clone(channels);
            channels.push(channel.clone());
            channels
        });
        self.picker.add(name, Instant::now())
    }

    /// Makes one call with as many attempts as it needs and may have.
    ///
    /// # Errors
    /// [`CallError`]: at once for a reason that sending again cannot mend, otherwise when the
    /// deadline is over.
    pub async fn call<T, F, Fut>(&self, method: &'static str, weight: Weight, send: F) -> Result<T, CallError>
    where
        F: Fn(Attempt) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        self.call_over(method, weight, send).await.map(|(answer, _)| answer)
    }

    /// Does the same, and says which relay the answer came over.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call_over<T, F, Fut>(
        &self,
        method: &'static str,
        weight: Weight,
        send: F,
    ) -> Result<(T, usize), CallError>
    where
        F: Fn(Attempt) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        self.call_beside(&[], method, weight, send).await
    }

    /// Does the same over a relay that is not in `heard`, as long as another one answers.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call_beside<T, F, Fut>(
        &self,
        heard: &[usize],
        method: &'static str,
        weight: Weight,
        send: F,
    ) -> Result<(T, usize), CallError>
    where
        F: Fn(Attempt) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        self.turns.call();
        Calling::new(self, heard, (method, weight), &send).end().await
    }

    // Makes one attempt over one relay.
    pub(super) async fn once<T, F, Fut>(
        &self,
        method: &'static str,
        relay: &str,
        attempt: Attempt,
        attempts: u32,
        send: &F,
    ) -> Result<T, CallError>
    where
        F: Fn(Attempt) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let (begun, time_out) = (Instant::now(), attempt.time_out);
        let status = match timeout(time_out, self.patiently(method, relay, send(attempt))).await {
            Ok(Ok(answer)) => {
                self.learn(method, begun.elapsed());
                self.turns.answered();
                return Ok(answer.into_inner());
            }
            Ok(Err(status)) => showable(status),
            Err(_) => Status::deadline_exceeded(format!("{relay} did not answer in {time_out:?}")),
        };
        let fault = Fault::from_status(&status);
        let transient = is_transient(&status, fault.as_ref());
        let fault = fault.map(Box::new);
        Err(CallError { method, status: Box::new(status), fault, attempts, transient })
    }

    // Waits for one answer and says from time to time that there is none yet.
    async fn patiently<T>(&self, method: &str, relay: &str, answer: impl Future<Output = T>) -> T {
        tokio::pin!(answer);
        let begun = Instant::now();
        loop {
            match timeout(self.options.tell_every, &mut answer).await {
                Ok(answer) => return answer,
                Err(_) => {
                    let why = format!("{method}: no answer over {relay} for {:.0?}", begun.elapsed());
                    (self.tell)(&Event::Waiting { why });
                }
            }
        }
    }

    /// Whether there is a token of the budget for an attempt beside another; it is taken.
    pub(super) fn may_send_beside(&self) -> bool {
        self.turns.at_once()
    }

    pub(super) fn options(&self) -> &CallOptions {
        &self.options
    }

    pub(super) fn tell(&self, event: &Event) {
        (self.tell)(event);
    }

    /// How long to wait before the next attempt, whatever is left of the budget.
    pub(super) fn back_off(&self, attempts: u32, asked: Duration) -> Duration {
        let CallOptions { delay_base, delay_max, .. } = self.options;
        wait_before(attempts, delay_base, delay_max, Some(asked), &mut locked(&self.shared).dice)
    }

    /// The same with the budget counted in; `None` if that is not before `left` is over.
    pub(super) fn wait(&self, attempts: u32, asked: Duration, left: Duration) -> Option<Duration> {
        let wait = Some(self.back_off(attempts, asked)).filter(|wait| *wait < left)?;
        Some(wait.max(self.turns.take(left)?))
    }

    /// Waits for the turn to send again; whether it came until then.
    pub(super) async fn turn(&self, until: Instant) -> bool {
        self.turns.wait(until).await
    }

    fn base_time_out(&self, method: &'static str, weight: Weight) -> Duration {
        if weight == Weight::Heavy {
            return self.options.attempt_heavy.min(self.options.deadline / 2);
        }
        let shared = locked(&self.shared);
        let CallOptions { attempt_floor, attempt_cap, attempt_unknown, .. } = self.options;
        shared.latencies.get(method).map_or(attempt_unknown, |latencies| {
            latencies.time_out(attempt_floor, attempt_cap, attempt_unknown)
        })
    }

    /// How old an attempt usually is at the most; each further one may take twice as long: a system that has
    /// become slower must not be asked for ever.
    pub(super) fn time_out(&self, method: &'static str, weight: Weight, earlier: u32) -> Duration {
        let base = self.base_time_out(method, weight);
        let cap = match weight {
            Weight::Light => self.options.attempt_cap.max(base),
            Weight::Heavy => self.options.deadline,
        };
        base.saturating_mul(1 << earlier.min(8)).min(cap)
    }

    fn learn(&self, method: &'static str, took: Duration) {
        locked(&self.shared).latencies.entry(method).or_default().add(took);
    }
}

#[cfg(test)]
#[path = "calls_tests.rs"]
mod tests;

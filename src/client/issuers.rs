//! Operators ask the issuers themselves, so that no relay stands between them and the pool: one after the
//! other, until one answers that can.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Request, Response, Status, transport::Channel};

use super::{
    calls::CallError,
    endpoints::Endpoints,
    error::Error,
    events::{Event, Tell},
    party::check_own,
    refusals::is_transient,
    retry::{Dice, wait_before},
    signer::Signer,
};
use crate::{
    domain::identity::Role,
    net::{
        channel::{ChannelOptions, connect},
        tls::{ClientTls, TlsFiles},
    },
    wire::{
        fault::{Fault, Reason},
        pb::pool_service_client::PoolServiceClient,
        text::showable,
    },
};

/// The largest answer that is taken: the explanation of a unit in a full pool is much less.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// How long one issuer may take, so that the next one is asked in time.
const ATTEMPT_MAX: Duration = Duration::from_secs(10);

/// Ceilings of the first wait and of any wait, after all issuers were asked in vain.
const DELAY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// How often one who waits is told of it.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// The service as it is asked.
pub type Pool = PoolServiceClient<Channel>;

/// The issuers of a system, for one operator or auditor.
pub struct Issuers {
    issuers: Vec<(String, Channel)>,
    /// Who answered as was wanted the last time, and is asked first.
    first: AtomicUsize,
    patience: Duration,
    dice: Mutex<Dice>,
    tell: Tell,
    /// Whether an attempt ended without a word on what became of it.
    unsure: AtomicBool,
}

impl Issuers {
    /// Reads certificate and key and prepares a channel to each issuer; nothing is sent yet. An answer is
    /// waited for until `patience` is over; `seed` is of the caller's own randomness.
    ///
    /// # Errors
    /// [`Error`] for anything that is wrong in a file.
    pub fn connect(
        endpoints: &Endpoints,
        caller: &str,
        patience: Duration,
        seed: u64,
        tell: Tell,
    ) -> Result<Self, Error> {
        let files = endpoints.client(caller)?;
        check_own(&files.cert, &Signer::load(&files)?, caller)?;
        let tls = TlsFiles { cert: files.cert, key: files.key, ca: endpoints.ca.clone(), crl: None };
        let tls = ClientTls::load_for(&tls, &endpoints.server_name, &[Role::Issuer]);
        let tls = tls.map_err(|error| Error::Setup(error.to_string()))?;
        let mut issuers = Vec::new();
        for issuer in &endpoints.issuers {
            let channel = connect(&issuer.address, &tls, &endpoints.server_name, ChannelOptions::default());
            let channel = channel.map_err(|error| Error::Setup(format!("{}: {error}", issuer.id)))?;
            issuers.push((issuer.id.clone(), channel));
        }
        if issuers.is_empty() {
            let words = "\"issuers\" is empty, and they are asked: add each with its id and address";
            return Err(Error::Setup(words.to_owned()));
        }
        let dice = Mutex::new(Dice::new(seed));
        let unsure = AtomicBool::new(false);
        Ok(Self { issuers, first: AtomicUsize::new(0), patience, dice, tell, unsure })
    }

    /// Each issuer alone, with its name: for what only that one can answer.
    #[must_use]
    pub fn each(&self) -> Vec<(String, Self)> {
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        let mut alone = |issuer: &(String, Channel)| Self {
            issuers: vec![issuer.clone()],
            first: AtomicUsize::new(0),
            patience: self.patience,
            dice: Mutex::new(Dice::new(dice.next())),
            tell: Arc::clone(&self.tell),
            unsure: AtomicBool::new(false),
        };
        self.issuers.iter().map(|issuer| (issuer.0.clone(), alone(issuer))).collect()
    }

    /// Whether anything that was asked may have been done without that having been answered.
    #[must_use]
    pub fn is_unsure(&self) -> bool {
        self.unsure.load(Relaxed)
    }

    /// Makes one call, with as many attempts as it needs: every call of the pool may be sent again.
    ///
    /// # Errors
    /// [`CallError`]: at once for a reason that sending again cannot mend, otherwise when the patience is
    /// over.
    pub async fn ask<M, T, F, Fut>(&self, method: &'static str, message: &M, send: F) -> Result<T, CallError>
    where
        M: Clone,
        F: Fn(Pool, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        self.prefer(method, message, send, |_| true).await
    }

    /// Does the same for an answer that `is_wanted`, if any issuer gives one now, and else for any answer.
    ///
    /// # Errors
    /// [`CallError`].
    ///
    /// # Panics
    /// Never: there is an issuer, and each answers or fails.
    pub async fn prefer<M, T, F, Fut>(
        &self,
        method: &'static str,
        message: &M,
        send: F,
        is_wanted: impl Fn(&T) -> bool,
    ) -> Result<T, CallError>
    where
        M: Clone,
        F: Fn(Pool, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let deadline = Instant::now() + self.patience;
        let (mut round, mut attempts, mut told) = (0, 0, Instant::now());
        let mut before: Option<CallError> = None;
        loop {
            round += 1;
            let (mut other, mut failed): (Option<T>, Option<CallError>) = (None, None);
            let (first, count) = (self.first.load(Relaxed), self.issuers.len());
            for at in (first..first + count).map(|at| at % count) {
                attempts += 1;
                match self.once(at, method, message, &send, deadline).await {
                    Ok(answer) if is_wanted(&answer) => {
                        self.first.store(at, Relaxed);
                        return Ok(answer);
                    }
                    Ok(answer) => other = other.or(Some(answer)),
                    Err(error) if error.transient => failed = Some(clearer(failed, error)),
                    Err(error) => return Err(CallError { attempts, ..error }),
                }
            }
            if let Some(answer) = other {
                return Ok(answer);
            }
            let failed = failed.expect("there is an issuer, and each answers or fails");
            let error = CallError { attempts, ..still(before.take(), failed) };
            before = Some(error.clone());
            let wait = self.wait(round, &error);
            if Instant::now() + wait >= deadline {
                return Err(error);
            }
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                (self.tell)(&Event::Waiting { why: format!("{method}: {}", error.status.message()) });
            }
            sleep(wait).await;
        }
    }

    async fn once<M, T, F, Fut>(
        &self,
        at: usize,
        method: &'static str,
        message: &M,
        send: &F,
        deadline: Instant,
    ) -> Result<T, CallError>
    where
        M: Clone,
        F: Fn(Pool, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let (name, channel) = &self.issuers[at];
        let time_out = ATTEMPT_MAX.min(deadline.saturating_duration_since(Instant::now()));
        let mut request = Request::new(message.clone());
        request.set_timeout(time_out);
        let pool = Pool::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
        let status = match timeout(time_out, send(pool, request)).await {
            Ok(Ok(answer)) => return Ok(answer.into_inner()),
            Ok(Err(status)) => showable(status),
            Err(_) => Status::deadline_exceeded(format!("{name} did not answer in {time_out:?}")),
        };
        let fault = Fault::from_status(&status);
        // A refusal was not carried out; whatever else failed on its way may have been.
        if fault.as_ref().is_none_or(|fault| fault.reason == Reason::OutcomeUnknown) {
            self.unsure.store(true, Relaxed);
        }
        let transient = is_transient(&status, fault.as_ref());
        let fault = fault.map(Box::new);
        Err(CallError { method, status: Box::new(status), fault, attempts: 0, transient })
    }

    fn wait(&self, round: u32, error: &CallError) -> Duration {
        let asked = error.fault.as_ref().and_then(|fault| fault.retry_after);
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        wait_before(round, DELAY.0, DELAY.1, asked, &mut dice)
    }
}

/// What is so still after another round in vain: one that only ran out of its time says nothing new.
fn still(before: Option<CallError>, now: CallError) -> CallError {
    let ran_out = matches!(now.status.code(), Code::DeadlineExceeded | Code::Cancelled);
    match before {
        Some(before) if ran_out && now.fault.is_none() => before,
        _ => now,
    }
}

/// Of two failures the one that says more: a word of ours rather than a connection that failed.
fn clearer(before: Option<CallError>, now: CallError) -> CallError {
    match before {
        Some(before) if before.fault.is_some() && now.fault.is_none() => before,
        _ => now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(status: Status) -> CallError {
        let fault = Fault::from_status(&status).map(Box::new);
        CallError { method: "Test", status: Box::new(status), fault, attempts: 1, transient: true }
    }

    #[test]
    fn one_that_runs_out_of_its_time_does_not_hide_what_is_the_matter() {
        let away = || failed(Fault::new(Reason::DatabaseAway, "the database is away").into());
        for ran_out in [Status::cancelled("Timeout expired"), Status::deadline_exceeded("no answer in 10s")] {
            assert!(still(Some(away()), failed(ran_out.clone())).is(Reason::DatabaseAway), "{ran_out}");
            assert!(still(None, failed(ran_out)).fault.is_none(), "nothing was said before");
        }
        let gone = failed(Status::unavailable("connection refused"));
        assert!(still(Some(away()), gone).fault.is_none(), "now something else is the matter");
        let full = failed(Fault::new(Reason::LaneFull, "wait").into());
        assert!(still(Some(away()), full).is(Reason::LaneFull));
    }
}

//! Municipalities that call all the time: small calls by our own client, a steady few a second each, with
//! every failure and every wait counted by who made the call.

use std::{sync::Arc, time::Duration};

use futures_util::{
    StreamExt as _,
    future::{join, join_all},
    stream::FuturesUnordered,
};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::super::{
    loads::seconds,
    narrator::{Narrator, figure},
    stage::Stage,
    trouble::Trouble,
};
use crate::{
    cli::{dev::CALLERS, municipal::Connect},
    client::session::Session,
};

/// Time between two calls of one municipality: with five, 20 calls a second in all.
const EVERY: Duration = Duration::from_millis(250);
/// A call that is not answered by then has failed, whatever was tried; half of what commands wait.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Calls of one municipality that wait at once.
const WAITING_MAX: usize = 150;
/// Fewer calls of a municipality show nothing.
const CALLS_MIN: u64 = 20;
/// A call that takes longer is told of.
const LONG: Duration = Duration::from_secs(1);

/// What became of the calls of all municipalities.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    callers: u64,
    made: u64,
    /// By the municipality that made the fewest.
    least: u64,
    failed: u64,
    /// Those of each municipality but its first.
    failed_again: u64,
    long: u64,
    longest: Duration,
    /// Why the first of them failed.
    why: Option<String>,
}

/// Has them call while the story goes on, each call for as long as `patience`, and counts.
///
/// # Errors
/// [`Trouble`] of the story, or if a municipality cannot call at all.
pub(crate) async fn during<T>(
    stage: &Stage,
    patience: Duration,
    story: impl Future<Output = Result<T, Trouble>>,
) -> Result<(Tally, T), Trouble> {
    let endpoints = stage.system.layout().endpoints();
    let municipalities = CALLERS.into_iter().filter(|caller| caller.starts_with("municipality/"));
    let connect = |caller: &str| Connect { endpoints: endpoints.clone(), caller: caller.to_owned() };
    let sessions: Vec<Session> = municipalities
        .map(|caller| connect(caller).session(patience, Arc::new(|_| ())))
        .collect::<Result<_, _>>()?;
    let stop = CancellationToken::new();
    let calling = join_all(sessions.iter().map(|session| call_on(session, &stop)));
    let story = async {
        let told = story.await;
        stop.cancel();
        told
    };
    let (tallies, told) = join(calling, story).await;
    Ok((tallies.into_iter().reduce(Tally::and).unwrap_or_default(), told?))
}

/// Calls as one municipality until told to stop, and then waits for what is under way.
async fn call_on(session: &Session, stop: &CancellationToken) -> Tally {
    let mut tally = Tally { callers: 1, ..Tally::default() };
    let (mut waiting, mut ticks) = (FuturesUnordered::new(), interval(EVERY));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick(), if waiting.len() < WAITING_MAX => waiting.push(call(session)),
            Some(done) = waiting.next() => tally.count(done),
        }
    }
    while let Some(done) = waiting.next().await {
        tally.count(done);
    }
    tally
}

/// One call: how long it took, and why it failed, if it did.
async fn call(session: &Session) -> (Duration, Option<String>) {
    let begun = Instant::now();
    let answer = session.list_batches("").await;
    (begun.elapsed(), answer.err().map(|error| error.to_string()))
}

impl Tally {
    fn count(&mut self, (took, failed): (Duration, Option<String>)) {
        self.made += 1;
        self.least += 1;
        self.long += u64::from(took > LONG);
        self.longest = self.longest.max(took);
        if failed.is_some() {
            self.failed_again += u64::from(self.failed > 0);
            self.failed += 1;
            self.why = self.why.take().or(failed);
        }
    }

    fn and(self, other: Tally) -> Tally {
        Tally {
            callers: self.callers + other.callers,
            made: self.made + other.made,
            least: self.least.min(other.least),
            failed: self.failed + other.failed,
            failed_again: self.failed_again + other.failed_again,
            long: self.long + other.long,
            longest: self.longest.max(other.longest),
            why: self.why.or(other.why),
        }
    }

    /// Says what became of them, and checks that all called at all.
    pub(crate) fn settle(&self, tale: &mut Narrator) {
        let why = self.why.as_ref().map(|why| format!(" (the first: {why})")).unwrap_or_default();
        tale.say(&format!(
            "Meanwhile {} municipalities made {} small calls: {} failed{why}, {} took over a second, the \
             longest {}.",
            self.callers,
            figure(self.made),
            figure(self.failed),
            figure(self.long),
            seconds(self.longest)
        ));
        let (least, went_on) = (figure(self.least), self.least >= CALLS_MIN);
        tale.holds("small calls of each municipality", "20 or more", &least, went_on);
    }

    /// Checks that no municipality saw a second failure.
    pub(crate) fn check_failures(&self, tale: &mut Narrator) {
        tale.same("calls that failed beyond the first of a municipality", 0, self.failed_again);
    }

    /// Checks that none saw any.
    pub(crate) fn check_none_failed(&self, tale: &mut Narrator) {
        tale.same("calls that failed", 0, self.failed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_beyond_the_first_are_counted_for_each_caller_by_itself() {
        let done = |failed: bool| (Duration::from_millis(10), failed.then(|| "away".to_owned()));
        let of = |outcomes: &[bool]| {
            let mut tally = Tally { callers: 1, ..Tally::default() };
            outcomes.iter().for_each(|failed| tally.count(done(*failed)));
            tally
        };
        let all = of(&[false, true]).and(of(&[true, true, true, false]));
        assert_eq!((all.callers, all.made, all.least, all.failed, all.failed_again), (2, 6, 2, 4, 2));
        let mut tale = Narrator::new(crate::cli::municipal::Output::Json);
        all.settle(&mut tale);
        all.check_failures(&mut tale);
        assert_eq!(tale.failed(), 2, "too few calls, and two that failed beyond the first");
    }
}

//! What one call, or one upload, has heard of its relays: no relay alone is believed that the issuer refuses,
//! or that waiting helps nobody, while there is another to ask.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    calls::CallError,
    refusals::{refused_certificate, server_not_believed, wants_second_opinion},
    retry::ASKED_MAX,
};
use crate::wire::fault::{Fault, Reason};

/// What one call has heard so far, of relays by their index.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Who has refused the call or our certificate, or is not believed to be a relay.
    against: BTreeSet<usize>,
    /// What the last of them said that refused the call.
    refusal: Option<CallError>,
    /// Who failed last.
    failed: Option<usize>,
    /// Who has failed at all.
    tried: BTreeSet<usize>,
    /// Who has answered the same before, so that another is rather asked.
    before: Vec<usize>,
    /// Who asked to be left alone, until when.
    held: BTreeMap<usize, Instant>,
    /// Until when all are to be left alone.
    all_held: Option<Instant>,
}

impl Heard {
    /// Nothing yet, of a call that is rather for others than the relays in `before`.
    pub(super) fn beside(before: &[usize]) -> Self {
        Self { before: before.to_vec(), ..Self::default() }
    }

    /// Whom the next attempt is not for: who is against it anyway, then who has just failed, then who has
    /// answered before, and who asked to be left alone, as long as that leaves one of `relays`. Beside those
    /// who have answered before, each of the others is asked once: a second opinion is not worth waiting for
    /// who is away.
    pub(super) fn avoid(&self, relays: usize) -> Vec<usize> {
        let avoid = self.avoid_whatever_they_ask(relays);
        let with_held: BTreeSet<usize> = avoid.iter().copied().chain(self.held()).collect();
        if with_held.len() < relays { Vec::from_iter(with_held) } else { avoid }
    }

    fn avoid_whatever_they_ask(&self, relays: usize) -> Vec<usize> {
        let failed = self.failed.filter(|_| self.against.len() + 1 < relays);
        let avoid: BTreeSet<usize> = self.against.iter().copied().chain(failed).collect();
        if self.before.is_empty() {
            return Vec::from_iter(avoid);
        }
        let others: BTreeSet<usize> = self.against.union(&self.tried).copied().collect();
        let beside: BTreeSet<usize> = others.iter().chain(&self.before).copied().collect();
        if beside.len() < relays {
            return Vec::from_iter(beside);
        }
        others.into_iter().filter(|relay| !self.before.contains(relay)).collect()
    }

    /// Notes what was said over one of `relays`; whether the call is to end with it.
    pub(super) fn note(&mut self, relay: usize, error: &CallError, relays: usize) -> bool {
        let refuses = !error.transient;
        if refuses && !wants_second_opinion(error.fault.as_deref()) {
            self.refusal = Some(error.clone());
            return true;
        }
        let status = &error.status;
        if !refuses && refused_certificate(status).is_none() && server_not_believed(status).is_none() {
            self.failed = Some(relay);
            self.tried.insert(relay);
            return false;
        }
        let second = self.against.insert(relay) && refuses && self.refusal.is_some();
        if refuses {
            self.refusal = Some(error.clone());
        }
        second || self.against.len() >= relays
    }

    /// Notes what a relay asked for that failed: to be left alone for so long. It holds for that relay alone,
    /// unless what is behind all of them says it, or the limit is one of the caller's.
    pub(super) fn hold(&mut self, relay: usize, fault: Option<&Fault>) {
        let Some((fault, asked)) = fault.and_then(|fault| Some((fault, fault.retry_after?))) else { return };
        let until = Instant::now() + asked.min(ASKED_MAX);
        match fault.reason {
            Reason::TenantRateLimit | Reason::TerminalLimit | Reason::DatabaseAway | Reason::ViewNotReady => {
                self.all_held = self.all_held.max(Some(until));
            }
            _ => drop(self.held.insert(relay, until)),
        }
    }

    /// How long to wait before anybody of `relays` may be asked again.
    pub(super) fn asked(&self, relays: usize) -> Duration {
        let now = Instant::now();
        let all = self.all_held.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        if self.closed().len() < relays {
            return all;
        }
        let first = self.held.values().filter(|until| **until > now).min();
        all.max(first.map_or(Duration::ZERO, |until| until.saturating_duration_since(now)))
    }

    /// Who asked to be left alone until later than now.
    fn held(&self) -> impl Iterator<Item = usize> {
        let now = Instant::now();
        self.held.iter().filter(move |(_, until)| **until > now).map(|(relay, _)| *relay)
    }

    /// Notes who is slow, so that another is rather asked.
    pub(super) fn slow(&mut self, relay: usize) {
        self.failed = Some(relay);
    }

    /// Who has refused, or is not believed, or asked to be left alone until later than now.
    pub(super) fn closed(&self) -> BTreeSet<usize> {
        self.held().chain(self.against.iter().copied()).collect()
    }

    /// Forgets what was noted of a relay that serves us now.
    pub(super) fn serves(&mut self, relay: usize) {
        self.against.remove(&relay);
    }

    /// What a call ends with that ends with `error`: rather a refusal, if there was one.
    pub(super) fn end(self, error: CallError) -> CallError {
        let attempts = error.attempts;
        CallError { attempts, ..self.refusal.unwrap_or(error) }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::*;

    fn refused(attempts: u32, reason: Reason) -> CallError {
        let fault = Fault::new(reason, "no");
        let status = Box::new(Status::from(fault.clone()));
        let transient = reason.safe_to_retry();
        CallError { method: "Test", status, fault: Some(Box::new(fault)), attempts, transient }
    }

    fn failed(attempts: u32) -> CallError {
        let status = Box::new(Status::unavailable("nobody is there"));
        CallError { method: "Test", status, fault: None, attempts, transient: true }
    }

    fn unbelieved(attempts: u32) -> CallError {
        let status = Box::new(Status::unavailable("invalid peer certificate: UnknownIssuer"));
        CallError { status, ..failed(attempts) }
    }

    #[test]
    fn a_refusal_is_believed_from_a_second_relay_and_not_from_the_first_again() {
        let mut heard = Heard::default();
        assert!(!heard.note(0, &refused(1, Reason::WrongRole), 3));
        assert!(!heard.note(1, &failed(2), 3));
        assert_eq!(heard.avoid(3), [0, 1], "only the third has not been heard");
        assert!(!heard.note(0, &refused(3, Reason::WrongRole), 3), "it has said so before");
        assert!(heard.note(2, &refused(4, Reason::WrongRole), 3));
        let end = heard.end(refused(4, Reason::WrongRole));
        assert!(end.is(Reason::WrongRole) && !end.transient && end.attempts == 4);
    }

    #[test]
    fn a_refusal_that_no_other_relay_could_confirm_is_what_the_call_ends_with() {
        let mut heard = Heard::default();
        assert!(!heard.note(0, &refused(1, Reason::WrongRole), 2));
        assert!(!heard.note(1, &failed(2), 2));
        assert_eq!(heard.avoid(2), [0], "rather who failed than who refused");
        let end = heard.end(failed(2));
        assert!(end.is(Reason::WrongRole) && !end.transient && end.attempts == 2);
    }

    #[test]
    fn who_has_answered_before_is_asked_again_only_if_nobody_else_answers() {
        let mut heard = Heard::beside(&[0]);
        assert_eq!(heard.avoid(3), [0]);
        assert!(!heard.note(1, &failed(1), 3));
        assert_eq!(heard.avoid(3), [0, 1]);
        assert!(!heard.note(2, &failed(2), 3));
        assert_eq!(heard.avoid(3), [1, 2], "each of the others was asked");
        assert_eq!(Heard::beside(&[0]).avoid(1), [0; 0], "the only one there is");
        let mut two = Heard::beside(&[0]);
        assert!(!two.note(1, &failed(1), 2));
        assert_eq!(two.avoid(2), [1]);
    }

    #[test]
    fn relays_are_counted_and_not_attempts() {
        let mut heard = Heard::default();
        assert!(!heard.note(1, &failed(1), 2));
        for attempts in 2..5 {
            assert!(!heard.note(0, &unbelieved(attempts), 2));
        }
        assert!(heard.note(1, &unbelieved(5), 2), "now none is left to ask");
        assert!(heard.end(unbelieved(5)).transient, "of a refusal nobody has heard");
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_relay_asks_for_holds_for_it_alone_until_all_have_asked() {
        let away = Fault::new(Reason::UpstreamUnavailable, "no issuer").after(Duration::from_secs(1));
        let mut heard = Heard::default();
        heard.hold(0, Some(&away));
        assert_eq!((heard.asked(3), heard.avoid(3)), (Duration::ZERO, vec![0]));
        assert_eq!(heard.asked(1), Duration::from_secs(1), "the only one there is");
        tokio::time::advance(Duration::from_millis(400)).await;
        heard.hold(1, Some(&away));
        heard.hold(2, Some(&Fault { retry_after: Some(Duration::from_secs(3_600)), ..away.clone() }));
        assert_eq!((heard.asked(3), heard.avoid(3)), (Duration::from_millis(600), vec![]));
        tokio::time::advance(Duration::from_millis(600)).await;
        assert_eq!((heard.asked(3), heard.avoid(3)), (Duration::ZERO, vec![1, 2]));
        tokio::time::advance(ASKED_MAX).await;
        assert_eq!(heard.avoid(3), [0; 0], "nobody is left alone for an hour");
        for reason in [Reason::TenantRateLimit, Reason::TerminalLimit] {
            let limit = Fault::new(reason, "too many").after(Duration::from_secs(1));
            heard.hold(0, Some(&limit));
            assert_eq!(heard.asked(3), Duration::from_secs(1), "that is the caller's, over whichever relay");
            tokio::time::advance(Duration::from_secs(1)).await;
        }
    }

    #[test]
    fn the_only_relay_and_a_usual_answer_are_believed_at_once() {
        assert!(Heard::default().note(0, &refused(1, Reason::WrongRole), 1));
        assert!(Heard::default().note(0, &refused(1, Reason::BatchHasGaps), 4));
        assert!(!Heard::default().note(0, &refused(1, Reason::Draining), 1), "that is no refusal");
    }
}

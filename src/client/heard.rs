//! What one call, or one upload, has heard of its relays: no relay alone is believed that the issuer refuses,
//! or that waiting helps nobody, while there is another to ask.

use std::collections::BTreeSet;

use super::{
    calls::CallError,
    refusals::{refused_certificate, server_not_believed, wants_second_opinion},
};

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
}

impl Heard {
    /// Nothing yet, of a call that is rather for others than the relays in `before`.
    pub(super) fn beside(before: &[usize]) -> Self {
        Self { before: before.to_vec(), ..Self::default() }
    }

    /// Whom the next attempt is not for: who is against it anyway, then who has just failed, then who has
    /// answered before, as long as that leaves one of `relays`. Beside those who have answered before, each
    /// of the others is asked once: a second opinion is not worth waiting for who is away.
    pub(super) fn avoid(&self, relays: usize) -> Vec<usize> {
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

    /// Notes who is slow, so that another is rather asked.
    pub(super) fn slow(&mut self, relay: usize) {
        self.failed = Some(relay);
    }

    /// Who has refused, or is not believed.
    pub(super) fn against(&self) -> impl Iterator<Item = &usize> {
        self.against.iter()
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
    use crate::wire::fault::{Fault, Reason};

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

    #[test]
    fn the_only_relay_and_a_usual_answer_are_believed_at_once() {
        assert!(Heard::default().note(0, &refused(1, Reason::WrongRole), 1));
        assert!(Heard::default().note(0, &refused(1, Reason::BatchHasGaps), 4));
        assert!(!Heard::default().note(0, &refused(1, Reason::Draining), 1), "that is no refusal");
    }
}

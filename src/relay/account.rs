//! A call stands once in the account of calls and bad ones, as soon as it is known which it is, and for or
//! against the issuer that it was sent to; in a relay of no pool it stands in no account.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{peer::Peer, seen::Outcome, upstream::Link};

/// A deadline of this is one that can be kept, whatever the threshold is: it is long before any is measured.
const PATIENCE: Duration = Duration::from_secs(1);
/// gRPC's number.
const RESOURCE_EXHAUSTED: u8 = 8;

/// What of a call was accounted for.
pub(super) struct Account {
    /// When it began; later by the time for which its caller kept it waiting.
    started: Instant,
    /// Since when its caller owes the rest of the request: what passes until it comes is not held against the
    /// relay, be it that the relay is slow to take it.
    owed: Option<Instant>,
    /// Whether an answer is waited for that counts.
    unanswered: bool,
    /// Whether nothing is to be counted any more.
    counted: bool,
    /// Whether it is a call of ours: any other may be made to fail at will, and is never bad.
    ours: bool,
    /// The nudge that it has followed.
    nudged: u32,
    /// The way to the issuer that it was sent to.
    link: Option<Arc<Link>>,
}

impl Account {
    /// A call began.
    pub(super) fn open(peer: &Peer, started: Instant) -> Self {
        let (counts, nudged) = (peer.shard.common().counts, peer.shard.bell().nudges());
        let (owed, ours, link) = (None, false, None);
        let account = Self { started, owed, unanswered: counts, counted: false, ours, nudged, link };
        account.wait(peer);
        account
    }

    fn began(&self, peer: &Peer) -> Duration {
        Duration::from_nanos(peer.shard.ns_at(self.started))
    }

    fn age(&self) -> Duration {
        self.owed.unwrap_or_else(Instant::now).saturating_duration_since(self.started)
    }

    fn is_old(&self, peer: &Peer) -> bool {
        self.age() > peer.shard.common().threshold()
    }

    fn is_waited_for(&self) -> bool {
        self.unanswered && self.owed.is_none()
    }

    fn wait(&self, peer: &Peer) {
        if self.is_waited_for() {
            peer.shard.seen().began(self.began(peer));
        }
    }

    fn wait_no_more(&self, peer: &Peer, after: Option<Duration>) {
        if self.is_waited_for() {
            peer.shard.seen().answered(self.began(peer), after);
        }
    }

    /// Its caller owes the rest of the request, or does not.
    pub(super) fn owes(&mut self, peer: &Peer, owes: bool) {
        if owes == self.owed.is_some() {
            return;
        }
        self.wait_no_more(peer, None);
        if let Some(since) = self.owed.take() {
            self.started += since.elapsed();
        } else {
            self.owed = Some(Instant::now());
        }
        self.wait(peer);
    }

    /// An issuer begins to answer.
    pub(super) fn answered(&mut self, peer: &Peer) {
        self.wait_no_more(peer, Some(self.age()));
        self.unanswered = false;
        if !self.counted && self.is_old(peer) {
            self.count(peer, Outcome::Bad);
        }
    }

    /// Looks how old the call is, if that was asked: one that waits for its answer too long is bad, whatever
    /// becomes of it.
    pub(super) fn look(&mut self, peer: &Peer) {
        let nudges = peer.shard.bell().nudges();
        if std::mem::replace(&mut self.nudged, nudges) != nudges && self.unanswered && self.is_old(peer) {
            self.count(peer, Outcome::Bad);
        }
    }

    /// The call is over. Whether something of its answer came counts only once an issuer began with it.
    pub(super) fn close(&mut self, peer: &Peer, status: Option<u8>, spoke: bool) {
        self.wait_no_more(peer, None);
        let answered = spoke && !self.unanswered;
        let old = self.is_old(peer) || self.age() >= PATIENCE;
        if status == Some(RESOURCE_EXHAUSTED)
            && let Some(link) = self.link.take()
        {
            link.was_full();
        }
        self.count(peer, Outcome::of(status, answered, old));
    }

    /// It is sent to an issuer, which it counts for or against as well.
    pub(super) fn asks(&mut self, link: &Arc<Link>) {
        self.link = Some(Arc::clone(link));
    }

    /// It was not looked at there, and is to be sent elsewhere.
    pub(super) fn asks_no_more(&mut self) {
        self.link = None;
    }

    /// Says whether it is a call of ours.
    pub(super) fn is_ours(&mut self, ours: bool) {
        self.ours = ours;
    }

    fn count(&mut self, peer: &Peer, outcome: Outcome) {
        if outcome == Outcome::Bad && !self.ours {
            return;
        }
        if outcome != Outcome::Nothing && !std::mem::replace(&mut self.counted, true) {
            let bad = outcome == Outcome::Bad;
            if peer.shard.common().counts {
                peer.count(bad);
            }
            if let Some(link) = self.link.take() {
                link.took(bad);
            }
        }
    }
}

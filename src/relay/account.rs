//! A call stands once in the account of calls and bad ones, as soon as it is known which it is; in a relay
//! of no pool it stands in none.

use std::time::Duration;

use tokio::time::Instant;

use super::{peer::Peer, seen::Outcome};

/// A deadline of this is one that can be kept, whatever the threshold is: it is long before any is measured.
const PATIENCE: Duration = Duration::from_secs(1);

/// What of a call was accounted for.
pub(super) struct Account {
    started: Instant,
    /// Whether an answer is waited for that counts.
    unanswered: bool,
    /// Whether nothing is to be counted any more.
    counted: bool,
    /// The nudge that it has followed.
    nudged: u32,
}

impl Account {
    /// A call began.
    pub(super) fn open(peer: &Peer, started: Instant) -> Self {
        let (counts, nudged) = (peer.shard.common().counts, peer.shard.bell().nudges());
        let account = Self { started, unanswered: counts, counted: !counts, nudged };
        if counts {
            peer.shard.seen().began(account.began(peer));
        }
        account
    }

    fn began(&self, peer: &Peer) -> Duration {
        Duration::from_nanos(peer.shard.ns_at(self.started))
    }

    fn is_old(&self, peer: &Peer) -> bool {
        self.started.elapsed() > peer.shard.common().threshold()
    }

    /// An issuer begins to answer.
    pub(super) fn answered(&mut self, peer: &Peer) {
        if std::mem::replace(&mut self.unanswered, false) {
            peer.shard.seen().answered(self.began(peer), Some(self.started.elapsed()));
        }
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

    /// The call is over, with or without something of its answer.
    pub(super) fn close(&mut self, peer: &Peer, status: Option<u8>, answered: bool) {
        if std::mem::replace(&mut self.unanswered, false) {
            peer.shard.seen().answered(self.began(peer), None);
        }
        let old = self.is_old(peer) || self.started.elapsed() >= PATIENCE;
        self.count(peer, Outcome::of(status, answered, old));
    }

    fn count(&mut self, peer: &Peer, outcome: Outcome) {
        if outcome != Outcome::Nothing && !std::mem::replace(&mut self.counted, true) {
            peer.count(outcome == Outcome::Bad);
        }
    }
}

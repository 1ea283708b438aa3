//! One unit of the pool: what it is, in which state, since when and why.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    bundles::Bundle,
    callers::{Callers, Lately},
    decision::Rule,
    description::Description,
    drills::Drills,
    order::{Intervention, Operator},
    peers::Row,
    probers::Probers,
    steer::Anew,
    takeover::Takeovers,
    trickle::Trickle,
};
use crate::pool::evidence::UnitId;

/// Where a unit stands.
///
/// `JOINING → HEALTHY → SUSPECT → DRAINING → EVICTED → PROBATION → RETURNING → HEALTHY`; beside it
/// `QUARANTINED` until two operators sign it off, and `DRAINED` by an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Known, and not yet proved.
    Joining,
    /// In full use.
    Healthy,
    /// New calls are steered away, but for a trickle.
    Suspect,
    /// No new calls; those that run may end.
    Draining,
    /// Out of use until its back-off ends.
    Evicted,
    /// Probed and nothing else.
    Probation,
    /// On its way back, with this share of a full one in per cent.
    Returning(u8),
    /// Out of use until two operators sign it off.
    Quarantined,
    /// Out of use by an operator's order.
    Drained,
}

impl State {
    /// Whether it takes callers' calls at all.
    #[must_use]
    pub fn serves(self) -> bool {
        self.is_full() || matches!(self, State::Returning(_))
    }

    /// Whether a lease of its generation is good; when that ends, the generation rises.
    #[must_use]
    pub fn is_leased(self) -> bool {
        self.serves() || matches!(self, State::Joining | State::Draining | State::Probation)
    }

    /// The names of all of them, in the order of the list above.
    pub const NAMES: [&str; 9] = [
        "JOINING",
        "HEALTHY",
        "SUSPECT",
        "DRAINING",
        "EVICTED",
        "PROBATION",
        "RETURNING",
        "QUARANTINED",
        "DRAINED",
    ];

    /// Its name, without a share.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::Joining => "JOINING",
            State::Healthy => "HEALTHY",
            State::Suspect => "SUSPECT",
            State::Draining => "DRAINING",
            State::Evicted => "EVICTED",
            State::Probation => "PROBATION",
            State::Returning(_) => "RETURNING",
            State::Quarantined => "QUARANTINED",
            State::Drained => "DRAINED",
        }
    }

    /// Whether it counts for the floor: it could carry a full share.
    #[must_use]
    pub fn is_full(self) -> bool {
        matches!(self, State::Healthy | State::Suspect)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Returning(percent) => write!(f, "RETURNING at {percent} %"),
            other => f.write_str(other.name()),
        }
    }
}

/// A unit's leave to serve, of its present generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Lease {
    /// The unit asks for it in time.
    Live,
    /// It did not, or never has.
    Lapsed,
    /// The unit gave it back.
    Released,
}

/// Why a unit is in its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Why {
    /// The rule that put it there.
    pub rule: Rule,
    /// In words.
    pub words: String,
}

/// What was seen of a unit since it came to its state.
/// Counts that another version wrote and this one does not know are left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Seconds that were judged; those in which the policy was frozen or away do not count.
    pub seconds: u64,
    /// Probes, or calls while those are counted: see [`Unit::counts_calls`].
    pub n: u32,
    /// Failed ones of them.
    pub failed: u32,
    /// Failed calls beyond those that its peers failed in the same seconds, in thousandths; what they failed
    /// and it did not is not made up for later.
    #[serde(default, skip_serializing_if = "is_no_excess")]
    pub excess_milli: u64,
    /// Deep probes that passed one after the other while it returns.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub probes: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_zero(probes: &u32) -> bool {
    *probes == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_no_excess(milli: &u64) -> bool {
    *milli == 0
}

impl Progress {
    /// Adds what was seen.
    pub(super) fn add(&mut self, n: u32, failed: u32) {
        self.n = self.n.saturating_add(n);
        self.failed = self.failed.saturating_add(failed.min(n));
    }

    /// Adds failed calls of seconds in which so many, in thousandths, would have failed as of its peers' did.
    pub(super) fn add_excess(&mut self, failed: u32, expected_milli: u64) {
        let more = self.excess_milli.saturating_add(1_000 * u64::from(failed));
        self.excess_milli = more.saturating_sub(expected_milli);
    }

    /// Adds deep probes of a unit that returns: one that failed lets those before it count for nothing.
    pub(super) fn add_probes(&mut self, n: u32, failed: u32) {
        self.probes = if failed > 0 { 0 } else { self.probes.saturating_add(n) };
    }
}

/// A first signature under a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Whose.
    pub by: Operator,
    /// What was changed and what that tests.
    pub intervention: Intervention,
}

/// One unit, as the policy knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// What was registered.
    pub about: Description,
    /// Rises each time that it loses its leave to serve, and when another process takes over from one that
    /// may run still: a lease of an older one is void.
    pub generation: u64,
    /// Where it stands.
    pub state: State,
    /// Since which second.
    pub since: u64,
    /// Why.
    pub why: Why,
    /// Evictions in a row, e: each doubles the back-off.
    pub evictions: u32,
    /// Until when it stays out at least.
    pub back_off_until: u64,
    /// Its lease of this generation.
    pub lease: Lease,
    /// Where the later of two processes is reached, which asks for its lease, if that is not where it is
    /// registered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub elsewhere: Option<String>,
    /// What was seen since it came to its state.
    pub progress: Progress,
    /// Whose calls those were, while they are counted.
    #[serde(skip_serializing_if = "Callers::is_empty", default)]
    pub callers: Callers,
    /// When a call of each of them failed last.
    #[serde(skip_serializing_if = "Lately::is_empty", default)]
    pub lately: Lately,
    /// Who saw what of the deep probes among it.
    #[serde(skip_serializing_if = "Probers::is_empty", default)]
    pub probers: Probers,
    /// Its calls that went as well as its peers', one after the other.
    #[serde(skip_serializing_if = "Row::is_empty", default)]
    pub row: Row,
    /// When a draining ends, and the state that it ends in.
    pub drain: Option<(u64, State)>,
    /// Nothing spoke against it when an operator had it drain.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub graced: bool,
    /// The state that an operator's undrain leads to.
    pub resume: State,
    /// Its traffic was red while its probes were green: green probes are no reason to trust it.
    pub traffic_red: bool,
    /// Its share while it is steered away from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trickle: Option<Trickle>,
    /// What was seen of it while it is steered away from, if its judge began anew meanwhile.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub anew: Option<Anew>,
    /// An operator let it back: it joins by its probes, in a pool that begins, too.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub undrained: bool,
    /// Where it stood when it was let in for want of any other, and when that was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub let_in_from: Option<(State, u64)>,
    /// Until when an operator's override holds.
    pub override_until: Option<u64>,
    /// Until when it is not probed.
    pub probes_paused_until: Option<u64>,
    /// The first of the two signatures that release it.
    pub approval: Option<Approval>,
    /// Those of other operators before it, with other words: either counts once another signs the same.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub other_approvals: Vec<Approval>,
    /// What was changed before its last release: a failure speaks against the hypothesis.
    pub intervention: Option<Intervention>,
    /// The processes that took its name from each other.
    #[serde(skip_serializing_if = "Takeovers::is_empty", default)]
    pub takeovers: Takeovers,
    /// The faults that it plays on purpose.
    #[serde(skip_serializing_if = "Drills::is_unknown", default)]
    pub drills: Drills,
    /// What it left before it drained, the newest last.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub bundles: Vec<Bundle>,
}

impl Unit {
    /// A unit that was just registered.
    #[must_use]
    pub(super) fn new(about: Description, second: u64, why: Why) -> Self {
        Self {
            about,
            generation: 1,
            state: State::Joining,
            since: second,
            why,
            evictions: 0,
            back_off_until: 0,
            lease: Lease::Lapsed,
            elsewhere: None,
            progress: Progress::default(),
            callers: Callers::default(),
            lately: Lately::default(),
            probers: Probers::default(),
            row: Row::default(),
            drain: None,
            graced: false,
            resume: State::Joining,
            traffic_red: false,
            trickle: None,
            anew: None,
            undrained: false,
            let_in_from: None,
            override_until: None,
            probes_paused_until: None,
            approval: None,
            other_approvals: Vec::new(),
            intervention: None,
            takeovers: Takeovers::default(),
            drills: Drills::default(),
            bundles: Vec::new(),
        }
    }

    /// Forgets what was seen so far.
    pub(super) fn begin_anew(&mut self) {
        (self.progress, self.callers, self.anew) = (Progress::default(), Callers::default(), None);
        (self.lately, self.row) = (Lately::default(), Row::default());
        if self.counts_probes() {
            self.probers.begin_anew();
        } else {
            self.probers = Probers::default();
        }
    }

    /// Whether its deep probes are counted: while they may let it in.
    #[must_use]
    pub fn counts_probes(&self) -> bool {
        matches!(self.state, State::Joining | State::Probation | State::Returning(_))
    }

    /// What was seen of it, without the deep probes of the observer that saw most of them fail.
    pub(super) fn probed(&self) -> Progress {
        let ((n, failed), all) = (self.probers.left_out(), self.progress);
        match self.state {
            State::Returning(_) => Progress { probes: all.probes.saturating_sub(n), ..all },
            _ => Progress { n: all.n.saturating_sub(n), failed: all.failed.saturating_sub(failed), ..all },
        }
    }

    /// The same, and while its calls are counted without the worst caller as well.
    pub(super) fn seen(&self) -> Progress {
        self.callers.without_the_worst(self.probed())
    }

    /// Who signed it off and waits for another, the newest last.
    pub fn signatures(&self) -> impl DoubleEndedIterator<Item = &Approval> {
        self.other_approvals.iter().chain(&self.approval)
    }

    /// Whether a process asks for its lease, and is no second one at another address.
    pub(super) fn is_there(&self) -> bool {
        self.lease == Lease::Live && self.elsewhere.is_none()
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &UnitId {
        &self.about.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_name_in_the_list_of_names() {
        let all = [
            State::Joining,
            State::Healthy,
            State::Suspect,
            State::Draining,
            State::Evicted,
            State::Probation,
            State::Returning(5),
            State::Quarantined,
            State::Drained,
        ];
        assert_eq!(all.map(State::name), State::NAMES);
    }
}

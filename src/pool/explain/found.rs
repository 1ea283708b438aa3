//! What is found of one unit among all that is known: its limits, votes, siblings, suspect attributes and
//! alarms.

use crate::pool::{
    evidence::{Observer, UnitId},
    judgement::{UnitJudgement, Verdict},
    policy::{Alarm, Kind, Lease, PROBED, Raised, Rule, State, Unit, units_are},
};

use super::{
    Discarded, Known, Limits, Sibling, Suspect, Told, Vote, rules,
    weighed::{left_out, nearest},
    words::{as_of_then, span, time_of},
};

impl Known<'_> {
    pub(super) fn limits(&self) -> Limits {
        let policy = self.policy.parameters();
        Limits {
            steer_at: self.rule.soft_at,
            back_below: self.rule.suspect_at,
            p0: self.judgement.p0,
            fast: (policy.fast_suppress, policy.fast_reuse),
            slow: policy.slow_quarantine,
            half_lives_s: (policy.fast_half_life_s, policy.slow_half_life_s),
        }
    }

    pub(super) fn rule_words(&self, named: Rule) -> String {
        rules::words(named, self.policy.parameters(), self.rule)
    }

    /// The rule that brought it where it stands, what that says, and why it applied: that it has drained is
    /// said behind what it drained for.
    pub(super) fn because(&self, unit: &Unit, decisions: &[Told]) -> (Rule, String, String) {
        let drained = unit.why.rule == Rule::D1;
        let drains = decisions.iter().find(|told| told.decision.to == Some(State::Draining));
        let (rule, why) = match drains.filter(|_| drained) {
            Some(Told { decision, .. }) => {
                let since = time_of(decision.second);
                let words = format!(
                    "It drained from {since} on, and calls still open at the end, if any, were cut off \
                     (reset)"
                );
                (decision.rule, format!("{}. {words}", decision.reason))
            }
            // Others are in use meanwhile.
            None if unit.why.rule == Rule::F2 && unit.state == State::Healthy => {
                let words =
                    "when it was let in, no other unit was in full use, and it was the best one with a lease";
                (Rule::F2, words.to_owned())
            }
            // Its trickle is another by now: the first line has it.
            None if unit.why.rule == Rule::S1 => {
                let words = "looks worse than its peers: new calls go elsewhere, but for a trickle";
                (Rule::S1, format!("{} {words}", unit.id()))
            }
            None if unit.why.rule == Rule::J1 => (Rule::J1, as_of_then(Rule::J1, &unit.why.words)),
            None => (unit.why.rule, unit.why.words.clone()),
        };
        (rule, self.rule_words(rule), why)
    }

    /// Whether its process has asked for a lease lately.
    pub(super) fn reports(&self) -> bool {
        let until = self.lease_until_ms.and_then(|ms| u64::try_from(ms / 1_000).ok());
        until.is_some_and(|until| until > self.now_s)
    }

    /// Everybody who saw the unit, and those who have no full vote whether they saw it or not.
    pub(super) fn votes(&self, evidence: Option<&UnitJudgement>) -> Vec<Vote> {
        let left_out = evidence.map_or(&[][..], |judged| left_out(&judged.bets));
        let mut seen = self.seen.clone();
        for observer in self.judgement.weak.keys().chain(left_out) {
            seen.entry(observer.clone()).or_default();
        }
        let vote = |(observer, (calls, bad)): (Observer, (u32, u32))| {
            let weight_percent = self.judgement.weak.get(&observer).copied().unwrap_or(100);
            let discarded = if weight_percent == 0 {
                Some(Discarded::Starved)
            } else {
                left_out.contains(&observer).then_some(Discarded::LeftOut)
            };
            Vote { observer, calls, bad, weight_percent, discarded }
        };
        seen.into_iter().map(vote).collect()
    }

    pub(super) fn siblings(&self, unit: &Unit) -> Vec<Sibling> {
        let shared = unit.about.shared();
        let others = self.policy.units().values().filter(|other| other.id() != unit.id());
        let of = |other: &Unit| {
            let all = other.about.shared().into_iter();
            let shares: Vec<String> = all.filter(|text| shared.contains(text)).collect();
            let judged = self.judgement.units.get(other.id()).filter(|_| other.state.serves());
            let (unit, state, s) = (other.id().clone(), other.state.name(), judged.map(|judged| judged.s));
            let nearest = judged.map(nearest);
            (!shares.is_empty()).then_some(Sibling { unit, state, s, nearest, shares })
        };
        others.filter_map(of).collect()
    }

    pub(super) fn suspects(&self, unit: &Unit) -> Vec<Suspect> {
        let history = self.policy.history();
        let of = |attribute: String| {
            let suspicion = history.suspects().get(&attribute)?.clone();
            Some(Suspect { attribute, suspicion })
        };
        let probed = history.suspects().get(PROBED).is_some_and(|held| held.units.contains(unit.id()));
        let probed = probed.then(|| PROBED.to_owned());
        history.suspects_of(&unit.about).into_iter().chain(probed).filter_map(of).collect()
    }

    /// What comes next for it; of one that is sick and kept for the floor, that.
    pub(super) fn next(&self, unit: &Unit) -> String {
        if self.issuer.frozen {
            return "nothing changes until the database is back".to_owned();
        }
        if self.must_be_kept(unit) {
            return format!(
                "it stays in use, though it is sick, until more than {} in full use, as so many are needed",
                units_are(self.policy.floor().needed)
            );
        }
        if self.fails_with_all(unit) {
            return "it stays in use, though it fails: while all fail alike nobody is evicted".to_owned();
        }
        let held = self.held_back(unit).map(|held| format!("its limit is reached: {held}"));
        held.or_else(|| self.policy.outlook(unit.id())).unwrap_or_default() + &self.forecast(unit)
    }

    /// When the evidence against a suspect one reaches its limit, if that is foreseen.
    fn forecast(&self, unit: &Unit) -> String {
        let waits = unit.state == State::Suspect && unit.lease == Lease::Live;
        let is_held = self.judgement.verdict == Verdict::Shared || self.is_raised(Alarm::FewObservers);
        let judged = self.judgement.units.get(unit.id()).filter(|_| waits && !is_held);
        let judged = judged.filter(|judged| judged.beyond < 0.0 && !judged.hearsay);
        match judged.and_then(|judged| judged.seconds_to_sick) {
            Some(seconds) => format!(", in {} if all goes on as now", span(seconds)),
            None => String::new(),
        }
    }

    /// What becomes of one whose evidence has reached its limit, and that is in use still.
    fn held_back(&self, unit: &Unit) -> Option<String> {
        let judged = self.judgement.units.get(unit.id()).filter(|_| unit.state.serves())?;
        if judged.beyond < 0.0 {
            return None;
        }
        let steered = match unit.state {
            State::Suspect => "calls are only steered away from it, until S falls",
            State::Returning(_) => "it only stays at this share, until S falls",
            _ => "it keeps its share, as no more may be steered away from",
        };
        let wait_s = self.policy.next_eviction_s(self.now_s);
        Some(if self.judgement.verdict == Verdict::Shared {
            "it stays in use while all fail alike, as then nobody is evicted".to_owned()
        } else if judged.hearsay {
            format!("callers' complaints alone evict nobody, and {steered}")
        } else if !judged.sick || self.is_raised(Alarm::FewObservers) {
            format!("too few observers have a vote to evict it, and {steered}")
        } else if wait_s > 0 {
            let gap_s = self.policy.parameters().eviction_gap_s;
            format!(
                "DRAINING, and then EVICTED, in {wait_s} s at the earliest: the worst goes first, and \
                 {gap_s} s lie between two evictions"
            )
        } else {
            "DRAINING at once if none is worse, and then EVICTED".to_owned()
        })
    }

    pub(super) fn is_raised(&self, alarm: Alarm) -> bool {
        self.policy.alarms().values().any(|raised| raised.kind == Kind::Alarm(alarm))
    }

    /// Whether it fails as all do.
    pub(super) fn fails_with_all(&self, unit: &Unit) -> bool {
        let judged = self.judgement.units.get(unit.id());
        self.judgement.verdict == Verdict::Shared
            && unit.state.serves()
            && judged.is_some_and(UnitJudgement::is_failing)
    }

    /// Whom there is evidence against, the most first.
    pub(super) fn held_against(&self) -> Vec<UnitId> {
        let judged = self.judgement.units.iter().filter(|(_, judged)| judged.suspect);
        let mut held: Vec<(&UnitId, f64)> = judged.map(|(id, judged)| (id, judged.s)).collect();
        held.sort_by(|a, b| b.1.total_cmp(&a.1));
        held.into_iter().map(|(id, _)| id.clone()).collect()
    }

    /// Whether it is sick, and the floor does not let it be taken out.
    pub(super) fn must_be_kept(&self, unit: &Unit) -> bool {
        let is_sick = |judged: &UnitJudgement| judged.sick || judged.is_failing();
        let sick = unit.state.serves() && self.judgement.units.get(unit.id()).is_some_and(is_sick);
        sick && !self.policy.floor().allows(unit.state)
    }

    pub(super) fn raised(&self, unit: &UnitId) -> Vec<Raised> {
        let alarms = self.policy.alarms().values();
        alarms.filter(|raised| raised.unit.as_ref().is_none_or(|of| of == unit)).cloned().collect()
    }
}

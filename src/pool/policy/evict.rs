//! Units are taken out: at once when their lease lapses, by evidence one at a time, never below the floor,
//! and never while all are sick alike.

use super::{
    Alarm, Key, Kind, Note, Parameters, Policy, Rule, Turn,
    decision::grouped,
    history::{Episode, Recurrence, Suspicion},
    unit::{Lease, State},
};
use crate::pool::{evidence::UnitId, judgement::UnitJudgement};

/// The seconds that a unit stays out after its e-th eviction: min(base · 2^(e−1), longest) ± jitter.
///
/// The jitter follows from seed, unit and e alone (FNV-1a, 64 bits), so that a replay draws it again, and
/// units that were evicted together do not come back together.
#[must_use]
pub fn back_off_s(parameters: &Parameters, unit: &UnitId, evictions: u32) -> u64 {
    let doublings = evictions.saturating_sub(1).min(32);
    let whole = parameters.back_off_base_s.saturating_mul(1 << doublings).min(parameters.back_off_max_s);
    let span = whole.saturating_mul(parameters.back_off_jitter_percent) / 100;
    let head = parameters.seed.to_le_bytes().into_iter().chain(evictions.to_le_bytes());
    let hash = head.chain(unit.as_str().bytes()).fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    // The low bits of FNV-1a mix least: fold the high ones in.
    let offset = (hash ^ (hash >> 32)) % span.saturating_mul(2).saturating_add(1);
    (whole - span.min(whole)).saturating_add(offset)
}

impl Policy {
    /// E4, and the orderly stops.
    pub(super) fn end_lapsed_leases(&mut self, turn: &mut Turn<'_>) {
        if turn.second < self.leases_believed_until {
            return;
        }
        self.end_all_leases(turn);
        for id in self.names(|unit| unit.lease == Lease::Lapsed && unit.state.serves()) {
            let reason =
                format!("{id} did not renew its lease: it no longer serves, whatever the evidence says");
            self.evict(turn, &id, Note::new(Kind::Evict, Rule::E4, reason));
        }
        for id in self.names(|unit| unit.lease == Lease::Lapsed && unit.state == State::Probation) {
            self.fail_probation(
                turn,
                &id,
                Rule::E4,
                format!("{id} did not renew its lease while on probation"),
            );
        }
        let left = |unit: &super::Unit| {
            unit.lease == Lease::Released && (unit.state.serves() || unit.state == State::Probation)
        };
        for id in self.names(left) {
            let to = if self.units[&id].state == State::Healthy { State::Joining } else { State::Evicted };
            let reason = format!("{id} gave its lease back by itself: no failure, no penalty");
            self.shift(turn, &id, to, Note::new(Kind::Leave, Rule::J2, reason));
        }
    }

    /// E5: leases that all lose at once, as when the power or the network of all is away.
    fn end_all_leases(&mut self, turn: &mut Turn<'_>) {
        if self.units.values().any(|unit| unit.lease == Lease::Live) {
            return;
        }
        let lost = |unit: &super::Unit| unit.state.serves() || unit.state == State::Probation;
        for id in self.names(|unit| unit.lease == Lease::Lapsed && lost(unit)) {
            let to = if self.units[&id].state == State::Healthy { State::Joining } else { State::Evicted };
            let reason =
                format!("{id} did not renew its lease, and no other unit did: that is held against none");
            self.shift(turn, &id, to, Note::new(Kind::Leave, Rule::E5, reason));
        }
    }

    /// Drains whose time is up: what is still open is reset.
    pub(super) fn end_drains(&mut self, turn: &mut Turn<'_>) {
        let over = self.names(|unit| unit.drain.is_some_and(|(until, _)| until <= turn.second));
        for id in over {
            let to = self.units[&id].drain.map_or(State::Evicted, |(_, to)| to);
            let note = if to == State::Quarantined {
                self.quarantine_note(&id)
            } else {
                let because = &self.units[&id].why.words;
                let reason =
                    format!("{id} has drained; what is still open on it is reset. Before: {because}");
                Note::new(Kind::Reset, Rule::D1, reason)
            };
            self.shift(turn, &id, to, note);
        }
    }

    /// E1 and E2: the worst first, one at a time.
    pub(super) fn evict_by_evidence(&mut self, turn: &mut Turn<'_>) {
        if turn.judgement.is_none() || turn.is_shared() {
            return;
        }
        let sick = if self.observers < self.parameters.observers_min {
            // Nobody could have reported yet to whoever took over.
            if turn.second >= self.waits_until {
                self.few_observers(turn);
            }
            Vec::new()
        } else {
            self.beyond(turn, |judged| judged.sick)
        };
        let burst = self.names(|unit| self.is_burst(unit));
        let found = sick.into_iter().map(|id| (id, Rule::E1));
        for (id, rule) in found.chain(burst.into_iter().map(|id| (id, Rule::E2))) {
            let state = self.units[&id].state;
            if !state.serves() {
                continue;
            }
            if !self.floor().allows(state) {
                turn.kept_sick.push(id);
            } else if self.may_evict_now(turn.second) {
                let note = self.evidence_note(turn, &id, rule);
                self.evict(turn, &id, note);
            }
        }
    }

    /// The units in use of whose judgement this holds, the worst first.
    fn beyond(&self, turn: &Turn<'_>, holds: impl Fn(&UnitJudgement) -> bool) -> Vec<UnitId> {
        let judged = |id: UnitId| {
            let beyond = turn.judged(&id).filter(|judged| holds(judged))?.beyond;
            Some((id, beyond))
        };
        let serving = self.names(|unit| unit.state.serves());
        let mut found: Vec<(UnitId, f64)> = serving.into_iter().filter_map(judged).collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        found.into_iter().map(|(id, _)| id).collect()
    }

    /// Whether the last eviction is long enough ago for all to have been judged anew.
    pub(super) fn may_evict_now(&self, second: u64) -> bool {
        self.last_eviction.is_none_or(|last| second.saturating_sub(last) >= self.parameters.eviction_gap_s)
    }

    /// Seconds until evidence may take a unit out again, as two evictions are never together.
    #[must_use]
    pub fn next_eviction_s(&self, second: u64) -> u64 {
        let from = self.last_eviction.map(|last| last.saturating_add(self.parameters.eviction_gap_s));
        from.unwrap_or(second).saturating_sub(second)
    }

    fn is_burst(&self, unit: &super::Unit) -> bool {
        matches!(unit.state, State::Returning(_)) && self.parameters.is_burst(unit.seen())
    }

    /// B2: what the evidence says is not acted upon, and somebody is told.
    fn few_observers(&mut self, turn: &mut Turn<'_>) {
        // By the evidence alone: the rule, too, calls nobody sick whom too few have seen.
        let units: Vec<String> =
            self.beyond(turn, |judged| judged.beyond >= 0.0).iter().map(ToString::to_string).collect();
        let Some(first) = units.first() else { return };
        let (seen, needed) = (self.observers, self.parameters.observers_min);
        let reason = format!(
            "{seen} observers have a vote, and {needed} are needed to evict {}: calls are only steered away. \
             `todoke pool explain {first}` says who has no vote; `todoke pool drain {first}` takes it out \
             by hand",
            units.join(", ")
        );
        let note = Note::new(Kind::Alarm(Alarm::FewObservers), Rule::B2, reason);
        let note = note.count("observers", seen).count("observers_min", needed);
        self.reword(None, &note);
        self.raise(turn, None, note);
    }

    fn evidence_note(&self, turn: &Turn<'_>, id: &UnitId, rule: Rule) -> Note {
        let floor = self.floor();
        let note = match turn.judged(id) {
            Some(judged) if rule == Rule::E1 => {
                let limit = judged.s - judged.beyond;
                let reason =
                    format!("{id} is worse than its peers: S = {:.1}, the limit is {limit:.1}", judged.s);
                Note::new(Kind::Evict, rule, reason).with("s", judged.s).with("limit", limit)
            }
            _ => {
                let unit = &self.units[id];
                let seen = unit.seen();
                let excess = seen.excess_milli as f64 / 1_000.0;
                let reason = format!(
                    "{id} failed {} of {} calls while it was {}, {excess:.1} more than its peers in the same \
                     seconds: it was let back in too early",
                    seen.failed, seen.n, unit.state
                );
                let note = Note::new(Kind::Evict, rule, reason).count("calls", seen.n);
                note.count("failed", seen.failed).with("excess", excess)
            }
        };
        note.count("floor", floor.needed).count("full", floor.full)
    }

    /// Takes a unit out, with all that follows from it: penalties, back-off, quarantine, suspicion.
    pub(super) fn evict(&mut self, turn: &mut Turn<'_>, id: &UnitId, note: Note) {
        let second = turn.second;
        let about = self.units[id].about.clone();
        let after = self.damping.charge(&Key::of(&about), second, &self.parameters);
        let unit = self.units.get_mut(id).expect("who is evicted is a unit");
        unit.evictions = unit.evictions.saturating_add(1);
        let back_off = back_off_s(&self.parameters, id, unit.evictions);
        unit.back_off_until = second.saturating_add(back_off);
        let held = after.quarantined || unit.override_until.take().is_some();
        let rest = if held { State::Quarantined } else { State::Evicted };
        let evictions = unit.evictions;
        let note = note
            .count("evictions", evictions)
            .count("back_off_s", back_off)
            .with("fast", after.fast)
            .with("slow", after.slow)
            .weighed(turn.weighed(id));
        let rule = note.rule;
        if rule == Rule::E4 {
            self.shift(turn, id, State::Evicted, note);
        } else {
            unit.drain = Some((second.saturating_add(self.parameters.drain_s), rest));
            self.shift(turn, id, State::Draining, note);
        }
        if held {
            self.damping.hold(&Key::of(&about));
        }
        if rule == Rule::E4 && held {
            let note = self.quarantine_note(id);
            self.shift(turn, id, State::Quarantined, note);
        }
        self.last_eviction = Some(second);
        self.learn(turn, id, Episode { second, rule, about });
    }

    fn quarantine_note(&self, id: &UnitId) -> Note {
        let slow = self.penalties(&self.units[id]).slow;
        let limit = f64::from(self.parameters.slow_quarantine);
        let reason = if slow < limit {
            format!("{id} failed under an override, with no cause found: two operators must sign it off")
        } else {
            let (slow, limit) = (grouped(slow), grouped(limit));
            format!(
                "{id} failed again too soon: its slow penalty, {slow}, reaches the limit of {limit}; two \
                 operators must sign it off"
            )
        };
        Note::new(Kind::Quarantine, Rule::Q1, reason).with("slow", slow).with("limit", limit)
    }

    /// What an eviction says of attributes: suspect, or ruled out.
    fn learn(&mut self, turn: &mut Turn<'_>, id: &UnitId, episode: Episode) {
        let (second, about) = (episode.second, &episode.about);
        let mut out = self.history.changed_since_last(about);
        let tested = self.units.get_mut(id).and_then(|unit| unit.intervention.take());
        for attribute in &out {
            self.history.rule_out(attribute, second);
        }
        if !out.is_empty() || tested.is_some() {
            let slot = &about.slot;
            let mut reason = format!("slot {slot} failed again");
            if !out.is_empty() {
                reason += &format!(" without {}: that is not the one cause", out.join(", "));
            }
            if let Some(tested) = tested {
                reason += &format!("; \"{}\" did not help: it is not {}", tested.changed, tested.hypothesis);
            }
            turn.say(
                Some(id),
                None,
                Note::new(Kind::RuleOut, Rule::V3, reason).about(std::mem::take(&mut out)),
            );
        }
        let found = self.history.recurrences(&episode, &self.units, &self.parameters);
        if let Some(first) = found.first() {
            let names: Vec<String> = found.iter().map(|one| one.attribute.clone()).collect();
            let words: Vec<String> = found.iter().map(Recurrence::words).collect();
            let reason = format!("SYSTEMIC_SUSPECT: {id} failed {}", words.join("; "));
            let note = Note::new(Kind::Systemic, Rule::V1, reason)
                .with("p", first.chance)
                .with("days", first.days)
                .with("failures_per_unit_year", self.parameters.failures_per_unit_year)
                .count("sharing", first.sharing);
            turn.say(Some(id), None, note.about(names));
        }
        for one in found {
            let chance_ppm = (one.chance * 1e6).round() as u32;
            let units = vec![one.before, id.clone()];
            let suspicion = Suspicion::new(second, Rule::V1, units, chance_ppm);
            self.history.suspect(&one.attribute, suspicion);
        }
        self.history.record(episode);
    }
}

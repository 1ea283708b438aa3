//! A unit comes in, or back, by proof: probes alone let it knock, and real calls, in rising shares, let it
//! in.

use super::{Kind, Note, Policy, Rule, Turn, evict, parameters::Enough, unit::State};
use crate::pool::evidence::UnitId;

impl Policy {
    /// J1: units that join. A pool that begins, or begins again after all were gone, takes whoever comes with
    /// the first: there is nobody to hold them against. Whom an operator had taken out is not of them.
    pub(super) fn let_joiners_in(&mut self, turn: &mut Turn<'_>) {
        for id in self.names(|unit| unit.state == State::Joining) {
            let Some(unit) = self.units.get_mut(&id) else { continue };
            let failed = unit.probed().failed > 0;
            if failed || !unit.is_there() {
                unit.begin_anew();
            }
            let n = unit.probed().n;
            let begins = self.begun.is_some_and(|begun| turn.second <= begun + self.parameters.lease_s);
            let begins = begins && !unit.undrained;
            if unit.is_there() && (begins && !failed || n >= self.parameters.join_probes) {
                let reason = match n >= self.parameters.join_probes {
                    true => format!("{id} joins: {n} deep probes passed, none failed"),
                    false => format!("{id} joins with the first, as the pool begins: it needs no probes"),
                };
                let note = Note::new(Kind::Admit, Rule::J1, reason).count("probes", n);
                self.shift(turn, &id, State::Healthy, note);
            }
        }
    }

    /// Back-off → probation → steps → full use.
    pub(super) fn bring_back(&mut self, turn: &mut Turn<'_>) {
        for id in self.names(|_| true) {
            match self.units[&id].state {
                State::Evicted => self.start_probation(turn, &id),
                State::Probation => self.probe_on(turn, &id),
                State::Returning(percent) => self.step_on(turn, &id, percent),
                State::Healthy | State::Suspect => self.forgive(turn.second, &id),
                State::Joining | State::Draining | State::Quarantined | State::Drained => {}
            }
        }
    }

    fn start_probation(&mut self, turn: &mut Turn<'_>, id: &UnitId) {
        let unit = &self.units[id];
        let penalties = self.penalties(unit);
        if turn.second < unit.back_off_until || !unit.is_there() || penalties.suppressed {
            return;
        }
        let mut reason = format!("{id} was out long enough: it is probed, without callers");
        if unit.traffic_red {
            reason += "; its traffic was red behind green probes, so its probes will not be enough";
        }
        let note = Note::new(Kind::StartProbation, Rule::R1, reason)
            .count("evictions", unit.evictions)
            .with("fast", penalties.fast)
            .with("slow", penalties.slow);
        self.shift(turn, id, State::Probation, note);
    }

    fn probe_on(&mut self, turn: &mut Turn<'_>, id: &UnitId) {
        let Some(unit) = self.units.get_mut(id) else { return };
        unit.progress.seconds += turn.elapsed;
        let seen = unit.probed();
        let parameters = &self.parameters;
        let failed = seen.failed > parameters.probation_failures_max;
        if failed && !unit.probers.may_be_more(seen.seconds) {
            let reason = format!("{id} failed {} of {} deep probes on probation", seen.failed, seen.n);
            return self.fail_probation(turn, id, Rule::R2, reason);
        }
        let enough = seen.n >= parameters.probation_probes && seen.seconds >= parameters.probation_s;
        if failed || !enough {
            return;
        }
        let passed = format!("{id} passed {} of {} deep probes", seen.n - seen.failed, seen.n);
        self.next_step(turn, id, 0, Rule::R2, &passed);
    }

    /// Back to EVICTED with a longer back-off, but without a penalty: no caller was hurt.
    pub(super) fn fail_probation(&mut self, turn: &mut Turn<'_>, id: &UnitId, rule: Rule, reason: String) {
        let Some(unit) = self.units.get_mut(id) else { return };
        unit.evictions = unit.evictions.saturating_add(1);
        let back_off = evict::back_off_s(&self.parameters, id, unit.evictions);
        unit.back_off_until = turn.second.saturating_add(back_off);
        let (evictions, seen) = (unit.evictions, unit.probed());
        let note = Note::new(Kind::FailProbation, rule, reason)
            .count("probes", seen.n)
            .count("failed", seen.failed)
            .count("evictions", evictions)
            .count("back_off_s", back_off);
        self.shift(turn, id, State::Evicted, note);
    }

    fn step_on(&mut self, turn: &mut Turn<'_>, id: &UnitId, percent: u8) {
        let shared = turn.is_shared();
        let doubted = turn.judged(id).is_some_and(|judged| judged.soft || judged.sick);
        let Some(unit) = self.units.get_mut(id) else { return };
        if shared {
            // What fails now fails everywhere, and says nothing of this unit.
            unit.begin_anew();
            self.recent.clear();
            return;
        }
        unit.progress.seconds += turn.elapsed;
        let (seen, all) = (unit.seen(), unit.probed());
        if doubted || self.parameters.is_burst(seen) {
            return;
        }
        let passed = match self.parameters.passes(unit) {
            None => return,
            Some(Enough::Calls) => {
                format!("{id} passed {} of {} calls at {percent} %", seen.n - seen.failed, seen.n)
            }
            Some(Enough::Probes) => {
                let probes = all.probes;
                let calls = match all.n {
                    0 => "while nobody called it,".to_owned(),
                    1 => "and its one call,".to_owned(),
                    n if all.failed > 0 => {
                        format!(
                            "and the last {} of its few calls, {n}, of which {} failed,",
                            unit.row.n, all.failed
                        )
                    }
                    n => format!("and all of its few calls, {n},"),
                };
                format!("{id} passed {probes} deep probes at {percent} %, {calls}")
            }
        };
        self.next_step(turn, id, percent, Rule::R3, &passed);
    }

    /// The step after a share; the last is full use.
    fn next_step(&mut self, turn: &mut Turn<'_>, id: &UnitId, after: u8, rule: Rule, passed: &str) {
        let next = self.parameters.steps_percent.iter().copied().find(|percent| *percent > after);
        let next = next.unwrap_or(100);
        let seen = self.units[id].probed();
        let (kind, to, words) = if next >= 100 {
            (Kind::Return, State::Healthy, "it is in full use again".to_owned())
        } else {
            (Kind::Step(next), State::Returning(next), format!("it gets {next} % of a full share"))
        };
        let note = Note::new(kind, rule, format!("{passed} in {} s: {words}", seen.seconds))
            .count("seconds", seen.seconds)
            .count("n", seen.n)
            .count("failed", seen.failed);
        self.shift(turn, id, to, note);
    }

    /// A unit that has been in use for long enough since its last back-off starts afresh.
    fn forgive(&mut self, second: u64, id: &UnitId) {
        let forgive_s = self.parameters.forgive_s;
        if let Some(unit) = self.units.get_mut(id)
            && unit.evictions > 0
            && second >= unit.back_off_until.saturating_add(forgive_s)
        {
            unit.evictions = 0;
        }
    }
}

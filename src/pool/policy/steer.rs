//! The soft step: new calls are steered away from a unit that looks worse than its peers, and come back;
//! never from more than half of the pool, nor from more than the rest can carry.

use serde::{Deserialize, Serialize};

use super::{Alarm, Kind, Note, Parameters, Policy, Rule, Turn, history::Suspicion, unit::State};
use crate::pool::{
    evidence::{Class, UnitId},
    judgement::{Bet, UnitJudgement},
};

/// The attribute that stands for being probed at all.
pub(in crate::pool) const PROBED: &str = "probe=deep";

/// Seconds without a step after which the rule knows nothing any more but what is usual: its memory of
/// callers.
pub(super) const FORGOTTEN_AFTER_S: u64 = 120;

/// What was seen of a unit that is steered away from since its judge began anew, or since its probes were
/// paused. Its S is 0 at first, or falls for want of evidence, which says nothing for the unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anew {
    /// Seconds in a row in which there was enough to judge it by, and nothing of it spoke against it.
    pub heard_s: u64,
    /// When there was enough last; before the first time, when the judge began or the pause did.
    pub last: u64,
}

/// Whether anything spoke against a unit in this second, on the short scale; `None` if there was too little
/// of it, or of its peers, to judge it by. While its probes are paused its traffic alone counts, which may be
/// thin, on both scales.
fn heard(judged: &UnitJudgement, is_probed: bool) -> Option<bool> {
    let short = judged.bets.iter().map(|bet| bet.scale).min();
    let counts = |bet: &Bet| match is_probed {
        true => Some(bet.scale) == short,
        false => bet.class == Some(Class::Traffic),
    };
    let mut played = judged.bets.iter().filter(|bet| bet.played && counts(bet)).peekable();
    played.peek()?;
    Some(played.any(|bet| bet.d > 0.0))
}

/// Whether shallow probes, and bad ones of them, say that a unit is well: more than half of them do.
#[must_use]
pub fn is_green((n, failed): (u32, u32)) -> bool {
    n > 0 && u64::from(failed) * 2 < u64::from(n)
}

/// Whether a unit's own traffic speaks against it.
fn is_traffic_red(judged: &UnitJudgement, parameters: &Parameters) -> bool {
    let of = |class: Class| judged.bets.iter().filter(move |bet| bet.class == Some(class));
    of(Class::Traffic).any(|bet| {
        let mut same_scale = of(Class::Traffic).filter(|other| other.scale == bet.scale);
        bet.played && same_scale.all(|other| other.s >= parameters.red_s)
    })
}

/// Whether a unit's probes are green while its traffic is red.
pub(super) fn is_red_behind_green(judged: &UnitJudgement, parameters: &Parameters) -> bool {
    is_traffic_red(judged, parameters) && is_probe_green(judged, parameters)
}

/// Whether a unit's deep probes speak for it.
pub(super) fn is_probe_green(judged: &UnitJudgement, parameters: &Parameters) -> bool {
    let mut probes = judged.bets.iter().filter(|bet| bet.class == Some(Class::Probe));
    // Where few probe it, too few are left without one observer, so that nothing is held against it for those
    // that fail: that is not green.
    let shown = |bet: &Bet| bet.own.1 > 0 && bet.own.0 * 2 < bet.own.1;
    let probed = probes.clone().any(|bet| bet.played);
    probed && probes.all(|bet| bet.s < parameters.green_s && (!bet.played || shown(bet)))
}

/// Whether anything of a unit's own traffic speaks against it.
pub(super) fn is_traffic_doubted(judged: &UnitJudgement, parameters: &Parameters) -> bool {
    let mut traffic = judged.bets.iter().filter(|bet| bet.class == Some(Class::Traffic));
    traffic.any(|bet| bet.played && bet.s >= parameters.green_s)
}

/// Whether nothing of a unit's own traffic is held against it any more.
fn is_traffic_quiet(judged: &UnitJudgement, parameters: &Parameters) -> bool {
    let mut traffic = judged.bets.iter().filter(|bet| bet.class == Some(Class::Traffic));
    traffic.all(|bet| bet.s < parameters.green_s)
}

impl Policy {
    pub(super) fn steer(&mut self, turn: &mut Turn<'_>) {
        self.note_red_traffic(turn);
        self.steer_back(turn);
        self.steer_away(turn);
        self.turn_trickles(turn);
    }

    fn steer_away(&mut self, turn: &mut Turn<'_>) {
        if turn.is_shared() {
            return;
        }
        let mut soft: Vec<(UnitId, f64)> = self
            .names(|unit| unit.state == State::Healthy)
            .into_iter()
            .filter_map(|id| turn.judged(&id).filter(|j| j.soft || j.sick).map(|judged| (id, judged.s)))
            .collect();
        soft.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        for (id, s) in soft {
            let (steered, serving) = self.steered();
            let floor = self.floor();
            let healthy = floor.full - steered;
            if 2 * (steered + 1) > serving || healthy <= floor.needed {
                return;
            }
            let trickle = self.first_trickle(turn, &id);
            let percent = trickle.percent;
            let reason =
                format!("{id} looks worse than its peers: new calls go elsewhere, but for {percent} %");
            let note = Note::new(Kind::SteerAway, Rule::S1, reason).with("s", s);
            let note =
                note.count("steered", steered + 1).count("serving", serving).count("floor", floor.needed);
            self.shift(turn, &id, State::Suspect, note);
            self.units.entry(id).and_modify(|unit| unit.trickle = Some(trickle));
        }
    }

    /// How many units are steered away from, and how many serve.
    pub(super) fn steered(&self) -> (usize, usize) {
        let count = |holds: &dyn Fn(State) -> bool| self.units.values().filter(|u| holds(u.state)).count();
        (count(&|state| state == State::Suspect), count(&State::serves))
    }

    fn note_red_traffic(&mut self, turn: &mut Turn<'_>) {
        for id in self.names(|unit| unit.state.serves()) {
            let Some(judged) = turn.judged(&id) else { continue };
            let reason = if is_red_behind_green(judged, &self.parameters) {
                self.units.entry(id.clone()).and_modify(|unit| unit.traffic_red = true);
                format!("{id} answers probes and fails callers: its green probes prove nothing")
            } else if is_traffic_red(judged, &self.parameters)
                && turn.health.get(&id).is_some_and(|seen| is_green(*seen))
            {
                // Its deep probes are red, too, and will tell when it is well again.
                format!("{id} says that it serves and fails callers: its green health proves nothing")
            } else {
                continue;
            };
            let note = Note::new(Kind::Alarm(Alarm::ProbeGreenTrafficRed), Rule::V5, reason);
            self.raise(turn, Some(&id), note);
        }
    }

    fn steer_back(&mut self, turn: &mut Turn<'_>) {
        for id in self.names(|unit| unit.state == State::Suspect) {
            self.hear(turn, &id);
            let Some(judged) = turn.judged(&id) else { continue };
            let unit = &self.units[&id];
            let proved = unit.row.n >= self.parameters.red_calls;
            let red = unit.is_by_calls() && !(proved && is_traffic_quiet(judged, &self.parameters));
            if judged.soft || judged.sick || red {
                continue;
            }
            let s = judged.s;
            let Some((reason, is_well)) = self.why_back(turn.second, &id, judged) else { continue };
            self.shift(turn, &id, State::Healthy, Note::new(Kind::SteerBack, Rule::S2, reason).with("s", s));
            if is_well && !self.may_probe(&id) {
                self.suspect_the_probe(turn, &id);
            }
        }
    }

    /// The judge began anew: what it knew against those that are steered away from is gone, and they are not
    /// well for that.
    pub(super) fn judge_began(&mut self, second: u64) {
        for unit in self.units.values_mut().filter(|unit| unit.state == State::Suspect) {
            unit.anew = Some(Anew { heard_s: 0, last: second });
        }
    }

    /// One more second in which a unit was heard of, if it was; what speaks against it begins them anew.
    fn hear(&mut self, turn: &Turn<'_>, id: &UnitId) {
        let is_probed = self.may_probe(id);
        let heard = turn.judged(id).and_then(|judged| heard(judged, is_probed));
        let Some(unit) = self.units.get_mut(id) else { return };
        if !is_probed && unit.anew.is_none() {
            unit.anew = Some(Anew { heard_s: 0, last: turn.second });
        }
        if let (Some(against), Some(anew)) = (heard, unit.anew.as_mut()) {
            anew.heard_s = if against { 0 } else { anew.heard_s.saturating_add(turn.elapsed) };
            anew.last = turn.second;
        }
    }

    /// Why a unit with this little against it is steered back, and whether it is for being well; `None` while
    /// too little was heard of it to tell.
    fn why_back(&self, second: u64, id: &UnitId, judged: &UnitJudgement) -> Option<(String, bool)> {
        let unit = self.units.get(id)?;
        let Some(Anew { heard_s, last }) = unit.anew else {
            return Some(match judged.bets.iter().any(|bet| bet.played) {
                true => (format!("the evidence against {id} is gone"), true),
                false => (format!("too little was heard of {id} to hold anything against it"), false),
            });
        };
        if judged.s >= self.parameters.green_s {
            return None;
        }
        if heard_s >= self.parameters.anew_s {
            let well = format!("{id} was as well as its peers for {heard_s} s on end");
            let since = match (self.may_probe(id), unit.probes_paused_until) {
                (false, _) => "in its callers' calls, while its probes are paused",
                (true, Some(until)) if until + FORGOTTEN_AFTER_S > second => "since its probes were paused",
                (true, _) => "since its judge began anew",
            };
            return Some((format!("{well}, {since}"), true));
        }
        // What is not probed on an operator's order is silent for that.
        let heard = last.max(unit.probes_paused_until.unwrap_or(0));
        let silence_s = second.saturating_sub(heard);
        let silent = silence_s >= self.parameters.anew_silence_s;
        let reason = format!("too little was heard of {id} for {silence_s} s to hold anything against it");
        silent.then_some((reason, false))
    }

    fn suspect_the_probe(&mut self, turn: &mut Turn<'_>, id: &UnitId) {
        let reason = format!("{id} got well while its probes were paused: {PROBED} is suspect");
        let note = Note::new(Kind::Alarm(Alarm::ProbeInduced), Rule::V6, reason);
        self.raise(turn, Some(id), note.about(vec![PROBED.to_owned()]));
        let units = vec![id.clone()];
        let suspicion = Suspicion::new(turn.second, Rule::V6, units, 0);
        self.history.suspect(PROBED, suspicion);
    }

    /// Steers back the least bad while more are steered away from than may be, as after a unit was lost.
    pub(super) fn balance(&mut self, turn: &mut Turn<'_>) {
        loop {
            let (steered, serving) = self.steered();
            let floor = self.floor();
            let fits = 2 * steered <= serving && floor.full - steered >= floor.needed;
            if steered == 0 || fits {
                return;
            }
            let suspects = self.names(|unit| unit.state == State::Suspect);
            let s = |id: &UnitId| turn.judged(id).map_or(0.0, |judged| judged.s);
            let Some(least) = suspects.into_iter().min_by(|a, b| s(a).total_cmp(&s(b))) else { return };
            let reason = format!(
                "{least} gets its calls back: {steered} of {serving} were steered away from, and the rest \
                 are too few"
            );
            let note = Note::new(Kind::SteerBack, Rule::S3, reason).with("s", s(&least));
            let note =
                note.count("steered", steered - 1).count("serving", serving).count("floor", floor.needed);
            self.shift(turn, &least, State::Healthy, note);
        }
    }
}

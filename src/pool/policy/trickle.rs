//! Who is steered away from keeps a trickle of calls: more of it where it is too little to judge the unit by,
//! so that a unit whose own traffic is all that speaks against it neither stays nor comes back unseen, and
//! less where it is more than that takes.
//!
//! What the simulation of the rule left out, and that of the whole pool found: where callers are few, a
//! trickle of 5 % is a call in minutes, three good ones in a row were taken for the unit's being well, and it
//! came back every 4 to 8 minutes.

use serde::{Deserialize, Serialize};

use super::{
    Parameters, Policy, Turn, Unit,
    steer::{is_probe_green, is_traffic_doubted},
    unit::State,
};
use crate::pool::{
    evidence::{Class, UnitId},
    judgement::UnitJudgement,
};

/// The share of a unit that is steered away from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trickle {
    /// In per cent of a full one.
    pub percent: u8,
    /// Since which second.
    pub since: u64,
    /// Only its calls spoke against it at some moment since, and so only they can speak for it.
    pub by_calls: bool,
}

impl Parameters {
    /// Calls on the shortest scale that are too few, and too many, and that scale.
    fn trickle_calls(&self, judged: &UnitJudgement) -> Option<(u64, [u64; 2], u64)> {
        let traffic = judged.bets.iter().filter(|bet| bet.class == Some(Class::Traffic));
        let short = traffic.min_by_key(|bet| bet.scale)?;
        let scale_s = u64::from(short.scale);
        let of = |calls: u32| u64::from(calls) * scale_s / 10;
        Some((short.own.1, [of(self.trickle_calls_min), of(self.trickle_calls_max)], scale_s))
    }

    /// The share of a unit that had a full one until now.
    fn first_trickle(&self, by_calls: bool, judged: Option<&UnitJudgement>) -> u8 {
        let Some((calls, [least, _], _)) = judged.and_then(|judged| self.trickle_calls(judged)) else {
            return self.trickle_percent;
        };
        let fits = (2 * 100 * least).checked_div(calls).unwrap_or(100).min(self.trickle_percent_max.into());
        let fits = u8::try_from(fits).unwrap_or(self.trickle_percent_max);
        if by_calls { fits.max(self.trickle_percent) } else { self.trickle_percent }
    }

    /// The share that fits better than this one.
    fn next_trickle(&self, percent: u8, calls: u64, [least, most]: [u64; 2], by_calls: bool) -> u8 {
        match calls {
            calls if calls > most => (percent / 2).max(1),
            calls if calls < least && by_calls => {
                percent.saturating_mul(2).min(self.trickle_percent_max).max(percent)
            }
            _ => percent,
        }
    }
}

impl Policy {
    /// The share of a unit that is steered away from, in per cent of a full one.
    pub(super) fn trickle(&self, unit: &Unit) -> u8 {
        unit.trickle.map_or(self.parameters.trickle_percent, |trickle| trickle.percent)
    }

    /// Of a unit that had a full share until now.
    pub(super) fn first_trickle(&self, turn: &Turn<'_>, id: &UnitId) -> Trickle {
        let judged = turn.judged(id);
        let by_calls = judged.is_some_and(|judged| is_probe_green(judged, &self.parameters));
        let percent = self.parameters.first_trickle(by_calls, judged);
        Trickle { percent, since: turn.second, by_calls }
    }

    pub(super) fn turn_trickles(&mut self, turn: &Turn<'_>) {
        for id in self.names(|unit| unit.state == State::Suspect) {
            let unit = &self.units[&id];
            let (Some(mut old), Some(judged)) = (unit.trickle, turn.judged(&id)) else { continue };
            let only_calls =
                is_probe_green(judged, &self.parameters) && is_traffic_doubted(judged, &self.parameters);
            if only_calls && !old.by_calls {
                old.by_calls = true;
                self.units.entry(id.clone()).and_modify(|unit| unit.trickle = Some(old));
            }
            let unit = &self.units[&id];
            let by_calls = unit.is_by_calls() || !self.may_probe(&id);
            let Some((calls, bounds, scale_s)) = self.parameters.trickle_calls(judged) else { continue };
            let percent = self.parameters.next_trickle(old.percent, calls, bounds, by_calls);
            // Until then, some of those calls came at the share of before.
            let is_seen = turn.second >= old.since.saturating_add(scale_s);
            if let Some(unit) = self.units.get_mut(&id).filter(|_| percent != old.percent && is_seen) {
                unit.trickle = Some(Trickle { percent, since: turn.second, ..old });
            }
        }
    }
}

impl Unit {
    /// Whether only its calls can show that it is well, while it is steered away from.
    pub(super) fn is_by_calls(&self) -> bool {
        self.traffic_red || self.trickle.is_some_and(|trickle| trickle.by_calls)
    }
}

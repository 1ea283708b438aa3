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

/// A unit's calls within the shortest scale, and from how many on they are enough, and too many.
struct Heard {
    calls: u64,
    enough: u64,
    most: u64,
    scale_s: u64,
}

impl Parameters {
    fn heard(&self, judged: &UnitJudgement) -> Option<Heard> {
        let traffic = judged.bets.iter().filter(|bet| bet.class == Some(Class::Traffic));
        let short = traffic.min_by_key(|bet| bet.scale)?;
        let scale_s = u64::from(short.scale);
        let of = |calls: u32| u64::from(calls) * scale_s / 10;
        let (enough, most) = (of(self.trickle_calls_min), of(self.trickle_calls_max));
        Some(Heard { calls: short.own.1, enough, most, scale_s })
    }

    /// The share of which twice enough calls come, of a unit to which these came at a full share.
    fn fitting(&self, heard: &Heard) -> u8 {
        let fits = (2 * 100 * heard.enough).checked_div(heard.calls).unwrap_or(100);
        let fits = u8::try_from(fits).unwrap_or(u8::MAX).min(self.trickle_percent_max);
        fits.max(self.trickle_percent)
    }

    /// The share that fits better than this one, at which these calls came.
    fn next_trickle(&self, percent: u8, heard: &Heard, by_calls: bool) -> u8 {
        if heard.calls > heard.most {
            (percent / 2).max(1)
        } else if !by_calls {
            percent.min(self.trickle_percent) // its probes tell
        } else if heard.calls < heard.enough {
            percent.saturating_mul(2).min(self.trickle_percent_max).max(percent)
        } else {
            percent
        }
    }
}

impl Policy {
    /// The share of a unit that is steered away from, in per cent of a full one.
    pub(super) fn trickle(&self, unit: &Unit) -> Trickle {
        let first = Trickle { percent: self.parameters.trickle_percent, since: unit.since, by_calls: false };
        unit.trickle.unwrap_or(first)
    }

    /// Of a unit that had a full share until now.
    pub(super) fn first_trickle(&self, turn: &Turn<'_>, id: &UnitId) -> Trickle {
        let (parameters, judged) = (&self.parameters, turn.judged(id));
        let by_calls = judged.is_some_and(|judged| is_probe_green(judged, parameters));
        let heard = judged.filter(|_| by_calls).and_then(|judged| parameters.heard(judged));
        let percent = heard.map_or(parameters.trickle_percent, |heard| parameters.fitting(&heard));
        Trickle { percent, since: turn.second, by_calls }
    }

    pub(super) fn turn_trickles(&mut self, turn: &Turn<'_>) {
        for id in self.names(|unit| unit.state == State::Suspect) {
            let (unit, Some(judged)) = (&self.units[&id], turn.judged(&id)) else { continue };
            let mut trickle = self.trickle(unit);
            let green = is_probe_green(judged, &self.parameters);
            trickle.by_calls |= green && is_traffic_doubted(judged, &self.parameters);
            let only_calls_tell = (trickle.by_calls || unit.traffic_red) && green || !self.may_probe(&id);
            // Until then, some of those calls came at the share of before.
            let heard = self.parameters.heard(judged);
            let heard = heard.filter(|heard| turn.second >= trickle.since.saturating_add(heard.scale_s));
            let percent = heard.map_or(trickle.percent, |heard| {
                self.parameters.next_trickle(trickle.percent, &heard, only_calls_tell)
            });
            if percent != trickle.percent {
                (trickle.percent, trickle.since) = (percent, turn.second);
            }
            self.units.entry(id).and_modify(|unit| unit.trickle = Some(trickle));
        }
    }
}

impl Unit {
    /// Whether only its calls can show that it is well, while it is steered away from.
    pub(super) fn is_by_calls(&self) -> bool {
        self.traffic_red || self.trickle.is_some_and(|trickle| trickle.by_calls)
    }
}

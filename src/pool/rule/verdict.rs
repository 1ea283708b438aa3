//! What kind of cause the evidence points to: it is named only when every other one is ruled out, and until
//! then the word is UNDECIDED.

use std::collections::BTreeMap;

use super::super::evidence::{Observer, UnitId};
use super::super::judgement::Verdict;
use super::doubts::Doubts;
use super::gone::Gone;
use super::left_out::{Set, alone};
use super::parameters::Parameters;
use super::roster::{Roster, group_of};
use super::unit::{Line, SHARES_S, Unit, scale_of};
use super::wealth::{Terms, Wealth};
use crate::domain::municipality::MunicipalityCode;

/// Voters without whom nobody is sick: with two, who of them is lying cannot be told.
const VOTERS_MIN: usize = 3;
/// What is added to a sum of shares, so that it bounds what it may really be: k + 2 + 1.5·√k, some two
/// standard errors of a count of k.
const BOUND: (f64, f64) = (2.0, 1.5);

/// All that a verdict is made of.
pub(super) struct Case<'a> {
    /// In the order of places; left out where none takes part.
    pub(super) units: Vec<(usize, &'a Unit)>,
    /// Who was sick when it left, a short while ago.
    pub(super) gone: &'a Gone,
    pub(super) roster: &'a Roster,
    pub(super) doubts: &'a Doubts,
    pub(super) caller_bets: &'a BTreeMap<MunicipalityCode, Wealth>,
    pub(super) voters: usize,
    pub(super) p0: f64,
    /// The terms of the bets that a unit is bad at all.
    pub(super) absolute: Terms,
    pub(super) parameters: &'a Parameters,
}

impl Case<'_> {
    /// The terms of one scale's bets.
    fn terms(&self, scale: u32) -> Terms {
        terms(self.p0, scale, self.parameters)
    }

    pub(super) fn is_sick(&self, unit: &Unit) -> bool {
        self.is_beyond(unit) && unit.witnessed
    }

    /// Whether its limit is passed, by the word of enough observers.
    pub(super) fn is_beyond(&self, unit: &Unit) -> bool {
        self.voters >= VOTERS_MIN && unit.beyond(self.parameters) >= 0.0
    }

    /// Seconds until a unit is sick if d stays as it is.
    pub(super) fn seconds_to_sick(&self, unit: &Unit) -> Option<u64> {
        let seconds = |(at, line): (usize, &Line)| {
            let terms = self.terms(scale_of(at, self.parameters));
            terms.seconds_to_limit(line.s_least(), line.least_look.d.get())
        };
        let least = unit.lines.iter().enumerate().filter_map(seconds).min();
        least.filter(|_| self.voters >= VOTERS_MIN && (unit.witnessed || unit.beyond(self.parameters) < 0.0))
    }

    /// Seconds until a unit is quiet if d stays as it is.
    fn seconds_to_quiet(&self, unit: &Unit) -> Option<u64> {
        let quiet = self.parameters.quiet_below;
        let seconds = unit.lines.iter().enumerate().map(|(at, line)| {
            let terms = self.terms(scale_of(at, self.parameters));
            terms.seconds_to_fall(line.s_least(), quiet, line.least_look.d.get())
        });
        seconds.collect::<Option<Vec<u64>>>().map(|all| all.into_iter().max().unwrap_or(0))
    }

    fn in_order(&self, keep: impl Fn(&Unit) -> bool) -> Vec<UnitId> {
        let kept = self.units.iter().filter(|(_, unit)| keep(unit));
        let mut ids: Vec<UnitId> = kept.map(|(_, unit)| unit.id.clone()).collect();
        ids.sort();
        ids
    }

    /// Who is sick, in order.
    pub(super) fn sick(&self) -> Vec<UnitId> {
        self.in_order(|unit| self.is_sick(unit))
    }

    /// The verdict.
    pub(super) fn verdict(&self) -> Verdict {
        let quiet = self.parameters.quiet_below;
        let sick = self.sick();
        if !sick.is_empty() {
            return self.of_sick(sick);
        }
        let alarmed = |unit: &Unit, level: f64| unit.absolute.s_least() >= level;
        if !self.units.is_empty() && self.units.iter().all(|(_, unit)| alarmed(unit, self.absolute.limit)) {
            return Verdict::Shared;
        }
        let restless: Vec<&Unit> =
            self.units.iter().map(|(_, unit)| *unit).filter(|unit| unit.s() >= quiet).collect();
        if !restless.is_empty() {
            return Verdict::Undecided { seconds: self.seconds_to_settle(&restless) };
        }
        if let Some(verdict) = self.of_caller().or_else(|| self.of_observer()) {
            return verdict;
        }
        if self.units.iter().any(|(_, unit)| alarmed(unit, self.parameters.alarm_at)) {
            return Verdict::Undecided { seconds: self.seconds_to_shared() };
        }
        Verdict::None
    }

    /// Seconds until the first of these is sick, or else until all are quiet.
    fn seconds_to_settle(&self, restless: &[&Unit]) -> Option<u64> {
        let sick = restless.iter().filter_map(|unit| self.seconds_to_sick(unit)).min();
        sick.or_else(|| {
            let quiet = restless.iter().map(|unit| self.seconds_to_quiet(unit));
            quiet.collect::<Option<Vec<u64>>>()?.into_iter().max()
        })
    }

    /// Seconds until all are known to be bad alike, if all go on as now.
    fn seconds_to_shared(&self) -> Option<u64> {
        let seconds = self.units.iter().map(|(_, unit)| {
            let line = &unit.absolute;
            self.absolute.seconds_to_limit(line.s_least(), line.least_look.d.get())
        });
        seconds.collect::<Option<Vec<u64>>>()?.into_iter().max()
    }

    /// Some are sick: the verdict waits until every other unit is shown to be well.
    fn of_sick(&self, sick: Vec<UnitId>) -> Verdict {
        let is_sick = |unit: &Unit| sick.contains(&unit.id);
        let share = |unit: &Unit| {
            let (sum, seconds) = unit.shares();
            sum / f64::from(seconds.max(1))
        };
        let of_sick = self.units.iter().filter(|(_, unit)| is_sick(unit));
        let least_share = of_sick.map(|(_, unit)| share(unit)).fold(f64::INFINITY, f64::min);
        let others = self.units.iter().filter(|(_, unit)| !is_sick(unit));
        let needed: Vec<Option<u64>> =
            others.map(|(_, unit)| self.seconds_to_clear(unit, least_share)).collect();
        if needed.iter().any(|seconds| *seconds != Some(0)) {
            let seconds = needed.into_iter().collect::<Option<Vec<u64>>>();
            return Verdict::Undecided { seconds: seconds.and_then(|all| all.into_iter().max()) };
        }
        // Of several with one cause the first is out before the next one's evidence is enough.
        let mut sick: Vec<UnitId> = sick.into_iter().chain(self.gone.units().cloned()).collect();
        sick.sort();
        if let [unit] = sick.as_slice() {
            return Verdict::Unit { unit: unit.clone() };
        }
        let attributes = self.attributes_of(&sick);
        if attributes.is_empty() {
            Verdict::Units { units: sick }
        } else {
            Verdict::Attribute { units: sick, attributes }
        }
    }

    /// Seconds without a bad call until a unit is shown to be well beside sick ones with this share; 0 if it
    /// is, `None` if it will not be within what is remembered.
    fn seconds_to_clear(&self, unit: &Unit, sick_share: f64) -> Option<u64> {
        let (k, seconds) = unit.shares();
        let bound = k + BOUND.0 + BOUND.1 * k.sqrt();
        let needed = (bound / (self.parameters.clear_share * sick_share)).floor() + 1.0;
        let needed = (needed as u64).max(self.parameters.clear_seconds_min.into());
        let more = needed.saturating_sub(seconds.into());
        let settled = self.seconds_to_quiet(unit)?.max(self.seconds_to_pass(unit, sick_share)?);
        (needed <= SHARES_S as u64).then(|| more.max(settled))
    }

    /// Seconds until a unit no longer fails for itself about as often as sick ones with this share: beside
    /// them it may look well for a while, as it is worse than nobody. 0 if it does not.
    fn seconds_to_pass(&self, unit: &Unit, sick_share: f64) -> Option<u64> {
        let (line, lasting) = (&unit.absolute, self.parameters.suspect_at);
        let now = line.least_look.d.get();
        if line.s_least() < lasting || now < self.parameters.clear_share * sick_share {
            return Some(0);
        }
        self.absolute.seconds_to_fall(line.s_least(), lasting, now)
    }

    /// What exactly these units have in common, and no other has.
    fn attributes_of(&self, sick: &[UnitId]) -> Vec<String> {
        let mut holders: BTreeMap<String, Vec<UnitId>> = BTreeMap::new();
        let present = self.units.iter().map(|(_, unit)| (&unit.id, &unit.attributes));
        for (id, attributes) in present.chain(self.gone.attributes()) {
            for text in attributes.texts() {
                holders.entry(text).or_default().push(id.clone());
            }
        }
        let same = |units: &mut Vec<UnitId>| {
            units.sort();
            units.as_slice() == sick
        };
        holders.into_iter().filter_map(|(text, mut units)| same(&mut units).then_some(text)).collect()
    }

    /// One caller's calls fail wherever they go, and without them all is well.
    fn of_caller(&self) -> Option<Verdict> {
        let mut worst: Option<(f64, MunicipalityCode)> = None;
        for (caller, wealth) in self.caller_bets {
            if wealth.s() >= self.absolute.limit && worst.is_none_or(|(s, _)| wealth.s() > s) {
                worst = Some((wealth.s(), *caller));
            }
        }
        let (_, caller) = worst?;
        let quiet = |unit: &Unit| unit.absolute.s_least() < self.parameters.quiet_below;
        let well = self.units.iter().all(|(_, unit)| quiet(unit));
        Some(if well { Verdict::Caller { caller } } else { Verdict::Undecided { seconds: None } })
    }

    /// One observer sees what the others do not see, and without its word all is well.
    fn of_observer(&self) -> Option<Verdict> {
        let mut worst: Option<(f64, usize, &Observer)> = None;
        for (place, observer) in self.roster.present() {
            let links = self.units.iter().map(|(unit, _)| self.doubts.of_link(*unit, place));
            let s = links.fold(self.doubts.of_observer(place), f64::max);
            if s >= self.absolute.limit && worst.is_none_or(|(most, ..)| s > most) {
                worst = Some((s, place, observer));
            }
        }
        let (_, place, observer) = worst?;
        let set: Set = alone(group_of(place));
        let level = self.parameters.quiet_below;
        let seen_bad: Vec<&Unit> = self
            .units
            .iter()
            .filter(|(unit, _)| self.doubts.of_link(*unit, place) >= level)
            .map(|(_, unit)| *unit)
            .collect();
        let link = match seen_bad.as_slice() {
            [one] if self.units.len() > 1 => Some(one.id.clone()),
            _ => None,
        };
        let well = |unit: &Unit| unit.absolute.s(set) < level;
        let is_well = match &link {
            Some(id) => self.units.iter().filter(|(_, unit)| unit.id == *id).all(|(_, unit)| well(unit)),
            None => self.units.iter().all(|(_, unit)| well(unit)),
        };
        Some(if is_well {
            Verdict::Observer { observer: observer.clone(), link }
        } else {
            Verdict::Undecided { seconds: None }
        })
    }
}

/// The terms of a bet on a scale.
pub(super) fn terms(p0: f64, scale: u32, parameters: &Parameters) -> Terms {
    let limit = parameters.limit(scale);
    Terms {
        p0,
        stake: parameters.stake,
        scale,
        limit,
        most: limit + parameters.surplus_max,
        silence_s: parameters.silence_s,
    }
}

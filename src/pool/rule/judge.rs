//! The judge takes evidence in any order and judges each second once, in turn; a judge that was written down
//! and read back goes on as if nothing had been.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::evidence::{Bucket, Latencies, Observer, UnitId};
use super::super::judgement::Judgement;
use super::callers::Callers;
use super::doubts::Doubts;
use super::fixed::Fixed;
use super::gone::Gone;
use super::history::{History, Said, Window};
use super::latency::{Waits, threshold_us};
use super::parameters::Parameters;
use super::roster::Roster;
use super::unit::{Attributes, Unit};
use super::usual::{Means, usual};
use super::verdict::{Case, terms};
use super::waiting::{Waiting, Word};

/// How far ahead of the last judged second evidence may be. A judge that is this far behind has to judge
/// before it can take more.
const AHEAD_MAX_S: u64 = 120;
/// Seconds by which an observer's clock may be ahead.
const SKEW_S: u64 = 1;

/// Why a bucket was not taken. None of these is worth another try with the same bucket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The observer's clock is ahead, or the judge is far behind.
    #[error("second {second} is in the future: {latest} is the latest that is taken")]
    Future {
        /// The bucket's.
        second: u64,
        /// The latest that is taken.
        latest: u64,
    },
    /// It came so late that no window holds its second any more.
    #[error("second {second} is over: {earliest} is the earliest that is still taken")]
    Past {
        /// The bucket's.
        second: u64,
        /// The earliest that is still taken.
        earliest: u64,
    },
    /// The unit takes no part: it is evicted, on probation or unknown.
    #[error("{0} takes no part")]
    NoPart(UnitId),
    /// More bad calls than calls.
    #[error("{bad} bad calls of {n}")]
    MoreBadThanCalls {
        /// Calls.
        n: u32,
        /// Bad ones.
        bad: u32,
    },
    /// Latencies of a single caller, or more places than there are.
    #[error("latencies are of all callers together and have {} places at most", Latencies::PLACES)]
    BadLatencies,
    /// More observers in one second, or more words of one, than are taken.
    #[error("too much is said of this second")]
    Crowded,
}

/// The rule with all that it knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judge {
    pub(super) parameters: Parameters,
    /// The last second that was judged.
    pub(super) judged: u64,
    /// Units have places; a place is empty after its unit left.
    pub(super) units: Vec<Option<Unit>>,
    pub(super) roster: Roster,
    pub(super) waiting: BTreeMap<u64, Waiting>,
    pub(super) history: History,
    /// By scale.
    pub(super) windows: [Window; 2],
    pub(super) callers: Callers,
    pub(super) waits: Waits,
    pub(super) doubts: Doubts,
    #[serde(default)]
    pub(super) gone: Gone,
    pub(super) voters: usize,
    pub(super) p0: Fixed,
    /// The p0 of the bets that a unit is bad at all.
    pub(super) p0_absolute: Fixed,
    pub(super) late_count: u64,
}

impl Judge {
    /// A judge that knows nothing yet, in the second `now`.
    ///
    /// Parameters with [`faults`](Parameters::faults) make judgements that mean nothing, and nothing worse.
    #[must_use]
    pub fn new(parameters: Parameters, now: u64) -> Self {
        let start = Fixed::of(parameters.p0_start);
        Self {
            judged: now.saturating_sub(u64::from(parameters.lag_s) + 1),
            units: Vec::new(),
            roster: Roster::default(),
            waiting: BTreeMap::new(),
            history: History::default(),
            windows: parameters.scales.map(Window::new),
            callers: Callers::default(),
            waits: Waits::default(),
            doubts: Doubts::default(),
            gone: Gone::default(),
            voters: 0,
            p0: start,
            p0_absolute: start,
            late_count: 0,
            parameters,
        }
    }

    /// The numbers that it judges by.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Sets which units take part, with their attributes. Who is no longer among them (evicted, on probation)
    /// leaves everyone's peers, and all that was held against it is forgotten; who comes back starts anew.
    /// Only that it was sick when it left is remembered for a while, for the verdict on others.
    ///
    /// No more take part than the limit: those that do already, and then the first ones by name.
    pub fn units(&mut self, units: &BTreeMap<UnitId, Attributes>) {
        let sick = self.case().sick();
        for place in 0..self.units.len() {
            if let Some(unit) = self.units[place].as_ref().filter(|unit| !units.contains_key(&unit.id)) {
                if sick.contains(&unit.id) {
                    self.gone.note(unit, self.judged);
                }
                self.forget_unit(place);
            }
        }
        self.gone.settle(self.judged, units);
        for (id, attributes) in units {
            match self.find(id) {
                Some(place) => {
                    let unit = self.units[place].as_mut().expect("it was found there");
                    unit.attributes = attributes.clone();
                }
                None => self.join(id, attributes),
            }
        }
    }

    /// A newcomer is taken to be as usual as the others are.
    fn join(&mut self, id: &UnitId, attributes: &Attributes) {
        let place = self.units.iter().position(Option::is_none).unwrap_or(self.units.len());
        if place >= self.parameters.units_max {
            return;
        }
        let start = self.parameters.p0_start / self.parameters.p0_factor;
        let means = |of: fn(&Unit) -> Means| self.units.iter().flatten().map(of).collect::<Vec<_>>();
        let excess = usual(&means(|unit| unit.excess)).unwrap_or(start);
        let share = usual(&means(|unit| unit.share)).unwrap_or(start);
        let unit = Unit::new(id.clone(), attributes.clone(), excess, share, self.threshold_us(id));
        if place == self.units.len() {
            self.units.push(None);
        }
        self.units[place] = Some(unit);
    }

    fn forget_unit(&mut self, place: usize) {
        self.units[place] = None;
        let place = u8::try_from(place).expect("there are at most 64 places");
        for waiting in self.waiting.values_mut() {
            waiting.forget_unit(place);
        }
        for window in &mut self.windows {
            window.forget_unit(place);
        }
        self.history.forget_unit(place);
        self.callers.forget_unit(place);
        self.waits.forget_unit(place);
        self.doubts.forget_unit(place);
    }

    pub(super) fn find(&self, id: &UnitId) -> Option<usize> {
        self.units.iter().position(|unit| unit.as_ref().is_some_and(|unit| unit.id == *id))
    }

    /// T: the age at which a call on a unit is bad, in microseconds; also of a unit that takes no part,
    /// against those that do.
    #[must_use]
    pub fn threshold_us(&self, id: &UnitId) -> u64 {
        match self.find(id).and_then(|place| self.units[place].as_ref()) {
            Some(unit) => unit.threshold_us,
            None => {
                let places = self.units.iter().enumerate().filter(|(_, unit)| unit.is_some());
                let least = self.parameters.latency_count_min;
                let p99_us = places.filter_map(|(place, _)| self.waits.p99_us(place, least)).collect();
                threshold_us(p99_us, &self.parameters).unwrap_or(self.parameters.threshold_start_us)
            }
        }
    }

    /// Sets how much an observer's word counts, in per cent, from now on and for all that still counts of it:
    /// one that misses its own timers loses weight, and with 0 its vote.
    ///
    /// Source: A. Dadgar, J. Phillips, J. Currey, "Lifeguard: local health awareness for more accurate
    /// failure detection", 2018.
    ///
    /// No more weak observers are remembered than the limit of observers; one more keeps its weight.
    pub fn weigh(&mut self, observer: &Observer, weight: u8) {
        self.roster.weigh(observer, weight, self.parameters.observers_max);
    }

    /// Takes a bucket, at the second `now` of the receiver's clock. Buckets of one second may come in any
    /// order and on both sides of its judgement; late ones count in every window that holds their second.
    /// Buckets on the same (second, observer, unit, class, caller) are added up, so a report that is sent
    /// twice has to be dropped by its receiver.
    ///
    /// # Errors
    /// [`Refused`]; nothing of the bucket is kept then.
    pub fn take(&mut self, bucket: &Bucket, now: u64) -> Result<(), Refused> {
        let taken = self.admit(bucket, now).and_then(|word| {
            let was_judged = bucket.second <= self.judged;
            let held = if was_judged { self.take_late(bucket, &word) } else { self.take_early(bucket, word) };
            self.late_count += u64::from(was_judged && held.is_ok());
            held
        });
        match &taken {
            Ok(()) => self.take_latencies(bucket),
            Err(Refused::NoPart(_)) => {}
            Err(_) => self.late_count += 1,
        }
        taken
    }

    /// Checks a bucket by itself and its second.
    fn admit(&self, bucket: &Bucket, now: u64) -> Result<Word, Refused> {
        let Bucket { second, class, caller, n, bad, .. } = *bucket;
        let unit = self.find(&bucket.unit).ok_or_else(|| Refused::NoPart(bucket.unit.clone()))?;
        if bad > n {
            return Err(Refused::MoreBadThanCalls { n, bad });
        }
        if let Some(latencies) = &bucket.latencies
            && (caller.is_some() || latencies.0.len() > Latencies::PLACES)
        {
            return Err(Refused::BadLatencies);
        }
        let latest = (now + SKEW_S).min(self.judged + AHEAD_MAX_S);
        if second > latest {
            return Err(Refused::Future { second, latest });
        }
        let earliest = (self.judged + 1).saturating_sub(self.parameters.longest().into());
        if second < earliest {
            return Err(Refused::Past { second, earliest });
        }
        let unit = u8::try_from(unit).expect("there are at most 64 places");
        Ok(Word { unit, class, caller, n, bad })
    }

    fn take_early(&mut self, bucket: &Bucket, word: Word) -> Result<(), Refused> {
        let waiting = self.waiting.entry(bucket.second).or_default();
        let taken = waiting.add(&bucket.observer, word, self.parameters.observers_max);
        taken.then_some(()).ok_or(Refused::Crowded)
    }

    fn take_late(&mut self, bucket: &Bucket, word: &Word) -> Result<(), Refused> {
        let (second, age) = (bucket.second, self.judged - bucket.second);
        let Parameters { observers_max, observer_cap, callers_max, .. } = self.parameters;
        let Some(held) = self.history.back_mut(age) else {
            return Err(Refused::Past { second, earliest: self.judged + 1 });
        };
        let groups = self.roster.groups();
        let place =
            self.roster.take_place(&bucket.observer, second, observers_max).ok_or(Refused::Crowded)?;
        let windows = self.windows.iter_mut().filter(|window| age < window.scale.into());
        let mut windows: Vec<&mut Window> = windows.collect();
        for window in &mut windows {
            window.take(held.said_of(word.unit, word.class));
        }
        let said = Said::new(place, word);
        let kept = held.add(said, observer_cap, callers_max);
        for window in &mut windows {
            window.add(held.said_of(word.unit, word.class));
        }
        self.callers.add(&[kept]);
        self.open_groups(groups);
        Ok(())
    }

    fn take_latencies(&mut self, bucket: &Bucket) {
        let Some(latencies) = &bucket.latencies else { return };
        if self.roster.weight(&bucket.observer) > 0
            && let Some(place) = self.find(&bucket.unit)
        {
            self.waits.add(place, bucket.second, latencies);
        }
    }

    /// Judges every second up to `now` less the lag, each in turn and once, and says what is so after the
    /// last; asked again, or about the past, it says the same again.
    ///
    /// After a gap of more than the memory of callers, nothing is known any more but what is usual.
    pub fn judge(&mut self, now: u64) -> Judgement {
        let until = now.saturating_sub(self.parameters.lag_s.into());
        if until > self.judged + AHEAD_MAX_S {
            self.forget_all();
            self.judged = until - 1;
        }
        while self.judged < until {
            self.step();
        }
        self.judgement()
    }

    /// What is so after the last judged second.
    fn judgement(&self) -> Judgement {
        let case = self.case();
        Judgement {
            second: self.judged,
            units: case.units(),
            verdict: case.verdict(),
            p0: self.p0.get(),
            weak: self.roster.weak().clone(),
            late_count: self.late_count,
        }
    }

    fn case(&self) -> Case<'_> {
        let shorter = self.parameters.scales[0];
        Case {
            units: self.present(),
            gone: &self.gone,
            roster: &self.roster,
            doubts: &self.doubts,
            caller_bets: &self.callers.bets,
            voters: self.voters,
            p0: self.p0.get(),
            absolute: terms(self.p0_absolute.get(), shorter, &self.parameters),
            parameters: &self.parameters,
        }
    }

    pub(super) fn present(&self) -> Vec<(usize, &Unit)> {
        let units = self.units.iter().enumerate();
        units.filter_map(|(place, unit)| unit.as_ref().map(|unit| (place, unit))).collect()
    }
}

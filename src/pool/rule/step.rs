//! One second is judged: its evidence comes into the windows, what is too old leaves them, and every bet is
//! made once more.

use std::collections::BTreeMap;

use super::super::evidence::Class;
use super::callers::{Callers, parts_of};
use super::counts::{Counts, excess};
use super::doubts::{Doubts, bet_on_callers};
use super::fixed::Fixed;
use super::history::{History, Said, Second, Window};
use super::judge::Judge;
use super::latency::threshold_us;
use super::left_out::{GROUPS, ORDER, Parts, Sets, Split, place};
use super::roster::Words;
use super::unit::{Unit, View};
use super::usual::{Means, allowed};
use super::verdict::terms;
use crate::domain::municipality::MunicipalityCode;

/// What one window says, or of it one caller's calls: by unit, and of all units together.
struct Sums {
    units: Vec<Parts>,
    pool: Parts,
}

impl Sums {
    fn of(window: &Window, units: usize, words: &Words) -> Self {
        let mut sums = vec![Parts::default(); units];
        for (unit, parts) in sums.iter_mut().enumerate() {
            for (observer, cells) in window.of(unit).iter().enumerate() {
                let weight = words.weight(observer);
                for (class, cell) in [(Class::Traffic, cells[0]), (Class::Probe, cells[1])] {
                    if cell.n > 0 && weight > 0 {
                        parts.add(words.group(observer, unit), class, cell.weighed(weight));
                    }
                }
            }
        }
        Self::over(sums)
    }

    fn over(units: Vec<Parts>) -> Self {
        let pool = units.iter().fold(Parts::default(), Parts::plus);
        Self { units, pool }
    }

    /// A unit beside its peers, without one caller's calls.
    fn view(&self, unit: usize, left_out: Option<&Self>) -> View {
        let Some(calls) = left_out else {
            return View { own: self.units[unit], peers: self.pool.minus(&self.units[unit]) };
        };
        let own = self.units[unit].minus(&calls.units[unit]);
        View { own, peers: self.pool.minus(&calls.pool).minus(&own) }
    }
}

/// What a window says of each unit but by callers' complaints: of traffic, of probes, and of both.
fn witnessed(window: &Window, units: usize, words: &Words) -> Vec<Split> {
    let of = |unit: usize| {
        let mut split = Split::default();
        for (observer, cells) in window.of(unit).iter().enumerate() {
            let weight = words.weight(observer);
            let heard = if words.is_hearsay(observer, unit) { Counts::default() } else { cells[0] };
            for (class, cell) in [(Class::Traffic, heard), (Class::Probe, cells[1])] {
                split[place(Some(class))] += cell.weighed(weight);
                split[place(None)] += cell.weighed(weight);
            }
        }
        split
    };
    (0..units).map(of).collect()
}

impl Judge {
    /// Judges the next second.
    pub(super) fn step(&mut self) {
        self.judged += 1;
        self.turn_windows();
        self.turn_observers();
        let means = |of: fn(&Unit) -> Means| self.units.iter().flatten().map(of).collect::<Vec<_>>();
        self.p0 = Fixed::of(allowed(&means(|unit| unit.excess), &self.parameters));
        self.p0_absolute = Fixed::of(allowed(&means(|unit| unit.share), &self.parameters));
        self.bet_on_units();
        self.bet_on_others();
        if self.waits.turn(self.judged) {
            self.turn_thresholds();
        }
    }

    /// Lets the second's evidence in, and out what has become too old.
    fn turn_windows(&mut self) {
        let second = self.evidence();
        for window in &mut self.windows {
            window.add(second.said());
        }
        self.callers.add(second.said());
        self.history.push(second, self.parameters.caller_memory_s);
        if let Some(old) = self.history.back(self.parameters.caller_memory_s.into()) {
            self.callers.take(old.of_callers());
        }
        for window in &mut self.windows {
            if let Some(old) = self.history.back(window.scale.into()) {
                window.take(old.said());
            }
        }
        if let Some(old) = self.history.back_mut(self.parameters.longest().into()) {
            old.fade();
        }
    }

    /// What was said of the second, by place.
    fn evidence(&mut self) -> Second {
        let mut waiting = self.waiting.remove(&self.judged).unwrap_or_default();
        waiting.merge_callers(self.parameters.callers_max);
        let groups = self.roster.groups();
        let mut said = Vec::new();
        for (observer, words) in waiting.into_said() {
            match self.roster.take_place(&observer, self.judged, self.parameters.observers_max) {
                Some(place) => said.extend(words.iter().map(|word| Said::new(place, word))),
                None => self.late_count += words.len() as u64,
            }
        }
        self.open_groups(groups);
        Second::of(said, self.parameters.observer_cap)
    }

    /// Starts the bets without those groups that somebody is in now and nobody was in before.
    pub(super) fn open_groups(&mut self, before: u16) {
        let opened = self.roster.groups() & !before;
        for group in (0..GROUPS).filter(|group| opened & 1 << group != 0) {
            for unit in self.units.iter_mut().flatten() {
                unit.open_group(group);
            }
        }
    }

    /// Forgets the observers of whom nothing is remembered, and counts those that have a vote.
    fn turn_observers(&mut self) {
        let memory = u64::from(self.parameters.caller_memory_s);
        for place in self.roster.release(self.judged.saturating_sub(memory)) {
            self.doubts.forget_observer(place);
        }
        let since = (self.judged + 1).saturating_sub(self.parameters.longest().into());
        self.voters = self.roster.voters(since);
    }

    fn words(&self) -> Words {
        self.roster.words(self.units.iter().map(|unit| unit.as_ref().map(|unit| &unit.id)))
    }

    fn bet_on_units(&mut self) {
        let words = self.words();
        let sets = Sets::of(self.roster.groups(), self.voters);
        let places: Vec<usize> = self.present().into_iter().map(|(place, _)| place).collect();
        let worst: Vec<Option<MunicipalityCode>> =
            places.iter().map(|place| self.callers.worst(*place, self.parameters.caller_bad_min)).collect();
        let mut excess = vec![0.0; places.len()];
        for scale in 0..self.windows.len() {
            let window = &self.windows[scale];
            let sums = Sums::of(window, self.units.len(), &words);
            let mut calls: BTreeMap<MunicipalityCode, Sums> = BTreeMap::new();
            for (at, place) in places.iter().enumerate() {
                let left_out = worst[at].map(|caller| {
                    let look = || parts_of(caller, &self.history, window.scale, &words, self.units.len());
                    &*calls.entry(caller).or_insert_with(|| Sums::over(look()))
                });
                let view = sums.view(*place, left_out);
                let unit = self.units[*place].as_mut().expect("it is present");
                let peers = terms(self.p0.get(), window.scale, &self.parameters);
                let d = unit.bet(scale, &view, &sets, &peers, &self.parameters);
                if scale == 0 {
                    excess[at] = d;
                    let alone = terms(self.p0_absolute.get(), window.scale, &self.parameters);
                    unit.bet_alone(&view, &sets, &alone, &self.parameters);
                }
            }
        }
        self.hear_witnesses(&places, &words);
        self.conclude(&places, &worst, &excess);
    }

    /// Callers' complaints never count alone: whether a unit is worse than its peers by what others saw of
    /// it, too, on the longest scale.
    fn hear_witnesses(&mut self, places: &[usize], words: &Words) {
        let longest = self.windows.iter().max_by_key(|window| window.scale).expect("there are two scales");
        let seen = witnessed(longest, self.units.len(), words);
        let (calls_min, noise_factor) = (self.parameters.calls_min, self.parameters.noise_factor);
        for unit in places {
            let worse = |at: usize| {
                let own = seen[*unit][at];
                let peers = places.iter().filter(|peer| *peer != unit).map(|peer| seen[*peer][at]);
                let peers = peers.fold(Counts::default(), |sum, counts| sum + counts);
                own.is_enough(calls_min)
                    && peers.is_enough(calls_min)
                    && excess(own, peers, noise_factor) > self.p0.get()
            };
            let witnessed = (0..ORDER.len()).any(worse);
            self.units[*unit].as_mut().expect("it is present").witnessed = witnessed;
        }
    }

    /// Remembers what the second was like, after all bets on it are made.
    fn conclude(&mut self, places: &[usize], worst: &[Option<MunicipalityCode>], excess: &[f64]) {
        let words = self.words();
        for (at, place) in places.iter().enumerate() {
            let mut counts = Counts::default();
            if let Some(second) = self.history.back(0) {
                let unit = u8::try_from(*place).expect("there are at most 64 places");
                let said = [Class::Traffic, Class::Probe].map(|class| second.said_of(unit, class));
                let said = said.into_iter().flatten();
                for said in said.filter(|said| said.caller.is_none() || said.caller != worst[at]) {
                    counts += said.counted.weighed(words.weight(usize::from(said.observer)));
                }
            }
            let unit = self.units[*place].as_mut().expect("it is present");
            unit.left_out_caller = worst[at];
            unit.add_share(counts);
            unit.excess.add(excess[at]);
            unit.share.add(unit.absolute.least_look.d.get());
            unit.turn_soft(&self.parameters);
        }
    }

    /// The bets against observers, links and callers, on the shorter scale.
    fn bet_on_others(&mut self) {
        let words = self.words();
        let (window, both) = (&self.windows[0], place(None));
        let terms = terms(self.p0.get(), window.scale, &self.parameters);
        let (calls_min, noise_factor) = (self.parameters.calls_min, self.parameters.noise_factor);
        let weighed = |unit: usize| {
            let cells = window.of(unit).iter().enumerate();
            let counts = cells.map(|(at, cell)| (cell[0] + cell[1]).weighed(words.weight(at)));
            counts.collect::<Vec<Counts>>()
        };
        let seen: Vec<Vec<Counts>> = (0..self.units.len()).map(weighed).collect();
        self.doubts.step(&seen, &terms, calls_min, noise_factor);

        let totals = Sums::of(window, self.units.len(), &words);
        let totals: Vec<Counts> = totals.units.iter().map(|parts| parts.all(both)).collect();
        let heaviest = self.callers.heaviest(self.parameters.caller_bad_min, self.parameters.caller_bets_max);
        let calls: Vec<(MunicipalityCode, Vec<Counts>)> = heaviest
            .into_iter()
            .map(|caller| {
                let parts = parts_of(caller, &self.history, window.scale, &words, self.units.len());
                (caller, parts.iter().map(|parts| parts.all(both)).collect())
            })
            .collect();
        bet_on_callers(&mut self.callers.bets, &calls, &totals, &terms, (calls_min, noise_factor));
    }

    /// T of each unit: of the others' p99. Without any, it stays as it is.
    fn turn_thresholds(&mut self) {
        let least = self.parameters.latency_count_min;
        let p99_us: Vec<Option<u64>> = (0..self.units.len())
            .map(|place| self.units[place].as_ref().and_then(|_| self.waits.p99_us(place, least)))
            .collect();
        for (place, unit) in self.units.iter_mut().enumerate() {
            let others = p99_us.iter().enumerate().filter(|(other, _)| *other != place);
            let others = others.filter_map(|(_, p99)| *p99).collect();
            if let (Some(unit), Some(threshold)) = (unit, threshold_us(others, &self.parameters)) {
                unit.threshold_us = threshold;
            }
        }
    }

    /// After a gap all wealth and what it was made of is gone; what is usual stays.
    pub(super) fn forget_all(&mut self) {
        for unit in self.units.iter_mut().flatten() {
            unit.reset();
        }
        self.roster.release(u64::MAX);
        self.waiting.clear();
        self.history = History::default();
        self.windows = self.parameters.scales.map(Window::new);
        self.callers = Callers::default();
        self.doubts = Doubts::default();
        self.voters = 0;
    }
}

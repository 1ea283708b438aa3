//! All bets against one unit: what is read off a window, and what they are worth after the last second.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::super::evidence::UnitId;
use super::counts::{Counts, excess};
use super::fixed::Fixed;
use super::left_out::{NOBODY, ORDER, Parts, SETS, Set, Sets, members, without};
use super::parameters::Parameters;
use super::usual::Means;
use super::wealth::{Terms, Wealth};
use crate::domain::municipality::MunicipalityCode;

/// Seconds of shares that a unit is shown to be well by: what is not clear within them will not be.
pub(super) const SHARES_S: usize = 120;

/// What a unit is made of and where it stands, as `name=value`: what siblings share is looked for in these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attributes(
    /// Values by name.
    pub BTreeMap<String, String>,
);

impl Attributes {
    /// Each of them as `name=value`.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(name, value)| format!("{name}={value}"))
    }
}

/// What a bet looked at in the last second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Look {
    pub(super) own: Counts,
    pub(super) peers: Counts,
    pub(super) d: Fixed,
    pub(super) played: bool,
}

/// The bets of one class and scale: one for each set of observers that is left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Line {
    wealth: Vec<Wealth>,
    /// The set whose bet is least, of those that count.
    pub(super) least: Set,
    pub(super) least_look: Look,
    pub(super) nobody_look: Look,
}

impl Line {
    fn new() -> Self {
        Self {
            wealth: vec![Wealth::default(); SETS],
            least: NOBODY,
            least_look: Look::default(),
            nobody_look: Look::default(),
        }
    }

    /// S without a set.
    pub(super) fn s(&self, set: Set) -> f64 {
        self.wealth[set].s()
    }

    /// The least S of those that count.
    pub(super) fn s_least(&self) -> f64 {
        self.s(self.least)
    }

    /// Bets once more; returns the least d over the sets that count.
    pub(super) fn step(
        &mut self,
        sets: &Sets,
        terms: &Terms,
        clean: bool,
        look: impl Fn(Set) -> Look,
    ) -> f64 {
        self.nobody_look = look(NOBODY);
        let quiet = clean && sets.kept.iter().all(|set| self.wealth[*set].is_nothing());
        if quiet {
            // Nothing to win or lose: d is 0 whoever is left out.
            self.least = sets.counting.first().copied().unwrap_or(NOBODY);
            self.least_look = look(self.least);
            return 0.0;
        }
        // Most bets of most seconds have no excess: their logarithm is taken once.
        let lost = terms.gain(0.0);
        let mut least_d = f64::INFINITY;
        let mut least: Option<(Wealth, Set, Look)> = None;
        for &set in &sets.kept {
            let seen = if set == NOBODY { self.nobody_look } else { look(set) };
            let wealth = &mut self.wealth[set];
            if seen.played {
                let gain = if seen.d == Fixed::default() { lost } else { terms.gain(seen.d.get()) };
                wealth.play(gain, terms);
            } else {
                wealth.pass(terms);
            }
            if sets.counts(set) {
                least_d = least_d.min(seen.d.get());
                if least.is_none_or(|(other, ..)| wealth.s() < other.s()) {
                    least = Some((*wealth, set, seen));
                }
            }
        }
        if let Some((_, set, seen)) = least {
            (self.least, self.least_look) = (set, seen);
        }
        if least_d.is_finite() { least_d } else { 0.0 }
    }

    /// Somebody is in a group for the first time: without it everything is as it was.
    fn open_group(&mut self, group: usize) {
        for set in (0..SETS).filter(|set| members(*set) & 1 << group != 0) {
            self.wealth[set] = self.wealth[without(set, group)];
        }
    }
}

/// Own counts and those of the peers, without the caller that is left out.
pub(super) struct View {
    pub(super) own: Parts,
    pub(super) peers: Parts,
}

impl View {
    fn look(&self, set: Set, at: usize, parameters: &Parameters) -> Look {
        let (own, peers) = (self.own.left(set, at), self.peers.left(set, at));
        let played = own.is_enough(parameters.calls_min) && peers.is_enough(parameters.calls_min);
        let d = if played { excess(own, peers, parameters.noise_factor) } else { 0.0 };
        Look { own, peers, d: Fixed::of(d), played }
    }

    fn look_alone(&self, set: Set, parameters: &Parameters) -> Look {
        let own = self.own.left(set, 2);
        let played = own.is_enough(parameters.calls_min);
        let d = if played { own.share() } else { 0.0 };
        Look { own, peers: Counts::default(), d: Fixed::of(d), played }
    }
}

/// One unit that takes part, with all that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Unit {
    pub(super) id: UnitId,
    pub(super) attributes: Attributes,
    /// By scale, then by class.
    pub(super) lines: Vec<Line>,
    /// The bet that it is bad at all.
    pub(super) absolute: Line,
    pub(super) soft: bool,
    /// Whether it is worse than its peers by more than callers' complaints.
    #[serde(default)]
    pub(super) witnessed: bool,
    pub(super) left_out_caller: Option<MunicipalityCode>,
    pub(super) threshold_us: u64,
    /// The usual d.
    pub(super) excess: Means,
    /// The usual share of bad calls.
    pub(super) share: Means,
    /// Shares of bad calls of the last seconds, oldest first; `None` where there was no call.
    shares: VecDeque<Option<Fixed>>,
}

impl Unit {
    pub(super) fn new(
        id: UnitId,
        attributes: Attributes,
        excess: f64,
        share: f64,
        threshold_us: u64,
    ) -> Self {
        Self {
            id,
            attributes,
            lines: vec![Line::new(); ORDER.len() * 2],
            absolute: Line::new(),
            soft: false,
            witnessed: false,
            left_out_caller: None,
            threshold_us,
            excess: Means::of(excess),
            share: Means::of(share),
            shares: VecDeque::new(),
        }
    }

    /// The bets of one scale on what its window holds. Returns d of the scale: the largest over classes of
    /// the least over observers left out.
    pub(super) fn bet(
        &mut self,
        scale: usize,
        view: &View,
        sets: &Sets,
        terms: &Terms,
        p: &Parameters,
    ) -> f64 {
        let mut most = 0.0f64;
        for at in 0..ORDER.len() {
            let clean = view.own.all(at).bad == 0;
            let line = &mut self.lines[scale * ORDER.len() + at];
            most = most.max(line.step(sets, terms, clean, |set| view.look(set, at, p)));
        }
        most
    }

    /// The bet that it is bad at all.
    pub(super) fn bet_alone(&mut self, view: &View, sets: &Sets, terms: &Terms, parameters: &Parameters) {
        let clean = view.own.all(2).bad == 0;
        self.absolute.step(sets, terms, clean, |set| view.look_alone(set, parameters));
    }

    /// One more second's share of bad calls.
    pub(super) fn add_share(&mut self, counts: Counts) {
        self.shares.push_back((counts.n > 0).then(|| Fixed::of(counts.share())));
        if self.shares.len() > SHARES_S {
            self.shares.pop_front();
        }
    }

    /// The sum of the shares, and of how many seconds.
    pub(super) fn shares(&self) -> (f64, u32) {
        let known = self.shares.iter().flatten();
        known.fold((0.0, 0), |(sum, count), share| (sum + share.get(), count + 1))
    }

    /// S: the largest of all lines.
    pub(super) fn s(&self) -> f64 {
        self.lines.iter().map(Line::s_least).fold(0.0, f64::max)
    }

    /// How far S is beyond its limit on the line where it is most.
    pub(super) fn beyond(&self, parameters: &Parameters) -> f64 {
        let beyond = |(at, line): (usize, &Line)| line.s_least() - parameters.limit(scale_of(at, parameters));
        self.lines.iter().enumerate().map(beyond).fold(f64::NEG_INFINITY, f64::max)
    }

    /// Soft from S ≥ 5 until it is below 1 on every line.
    pub(super) fn turn_soft(&mut self, parameters: &Parameters) {
        let s = self.s();
        self.soft = s >= parameters.soft_at || self.soft && s >= parameters.suspect_at;
    }

    pub(super) fn open_group(&mut self, group: usize) {
        for line in self.lines.iter_mut().chain([&mut self.absolute]) {
            line.open_group(group);
        }
    }

    /// Forgets all wealth and what it was made of, not what is usual.
    pub(super) fn reset(&mut self) {
        self.lines = vec![Line::new(); self.lines.len()];
        self.absolute = Line::new();
        (self.soft, self.witnessed) = (false, false);
        self.left_out_caller = None;
        self.shares.clear();
    }
}

/// The scale of a line.
pub(super) fn scale_of(line: usize, parameters: &Parameters) -> u32 {
    parameters.scales[line / ORDER.len()]
}

//! Penalties of evictions, on a fast and a slow scale, kept for a slot with its box and its image: a restart,
//! or an order to forget the unit, does not clear them. Nor does that clear what it had yet to prove.
//!
//! Source: RFC 2439, "BGP Route Flap Damping", 1998: each flap adds a constant, which halves with time; above
//! one limit the route is suppressed until it has fallen below a lower one.

use serde::{Deserialize, Serialize};

use super::{
    description::Description,
    parameters::{PENALTIES_MAX, Parameters},
};

/// Whose penalties: all three together, so that one bad image does not quarantine a whole pool.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The place.
    pub slot: String,
    /// The box.
    pub serial: String,
    /// Its software.
    pub image: String,
}

impl Key {
    pub(super) fn of(about: &Description) -> Self {
        Self { slot: about.slot.clone(), serial: about.serial.clone(), image: about.image.clone() }
    }
}

/// Penalties as they were after the last eviction, in thousandths, so that they are read as they were
/// written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    key: Key,
    at: u64,
    fast_milli: u64,
    slow_milli: u64,
    suppressed: bool,
    quarantined: bool,
    /// How the unit stood that was forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unproved: Option<Unproved>,
}

/// How a unit stood when it was forgotten, beside its penalties: what it has to answer for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unproved {
    /// Evictions in a row, and probations that it failed.
    pub evictions: u32,
    /// Its traffic was red while its probes were green.
    pub traffic_red: bool,
    /// It was well: it would have joined by its probes alone.
    #[serde(default)]
    pub well: bool,
    /// The second from which on its evictions are forgiven after [`Parameters::forgive_s`]: the end of its
    /// back-off, and for one that was out not before it was forgotten.
    #[serde(default)]
    pub since: u64,
}

impl Unproved {
    /// What is left of it at a second. Time forgives evictions, and proves nothing.
    fn at(self, second: u64, parameters: &Parameters) -> Self {
        let forgiven = second >= self.since.saturating_add(parameters.forgive_s);
        Self { evictions: if forgiven { 0 } else { self.evictions }, ..self }
    }

    fn is_nothing(self) -> bool {
        self.well && self.evictions == 0 && !self.traffic_red
    }
}

/// Penalties at one second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Penalties {
    /// On the fast scale.
    pub fast: f64,
    /// On the slow one.
    pub slow: f64,
    /// The fast one has passed its limit, and is not yet down to where the unit may return.
    pub suppressed: bool,
    /// The slow one has passed its limit, and nobody has signed the unit off.
    pub quarantined: bool,
}

impl Penalties {
    /// As how many evictions they count now. The slow scale halves in the time after which evictions are
    /// forgiven.
    pub(super) fn evictions(self, parameters: &Parameters) -> u32 {
        (self.slow / f64::from(parameters.penalty.max(1))).round() as u32
    }
}

/// All penalties of a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Damping {
    records: Vec<Record>,
}

fn decayed(milli: u64, seconds: u64, half_life_s: u64) -> u64 {
    let halvings = seconds as f64 / half_life_s as f64;
    (milli as f64 * (-halvings).exp2()).round() as u64
}

impl Record {
    fn new(key: Key, at: u64) -> Self {
        Self { key, at, fast_milli: 0, slow_milli: 0, suppressed: false, quarantined: false, unproved: None }
    }

    fn at(&self, second: u64, parameters: &Parameters) -> Penalties {
        let age = second.saturating_sub(self.at);
        let fast = decayed(self.fast_milli, age, parameters.fast_half_life_s) as f64 / 1_000.0;
        let slow = decayed(self.slow_milli, age, parameters.slow_half_life_s) as f64 / 1_000.0;
        let suppressed = self.suppressed && fast > f64::from(parameters.fast_reuse);
        Penalties { fast, slow, suppressed, quarantined: self.quarantined }
    }

    /// What counts for whether it may go: a quarantine most, then penalties that still count as an eviction,
    /// then what is not proved.
    fn weight(&self, second: u64, parameters: &Parameters) -> (bool, bool, bool, u64) {
        let penalties = self.at(second, parameters);
        let unproved = self.unproved.map(|unproved| unproved.at(second, parameters));
        let slow_milli = (penalties.slow * 1_000.0).round() as u64;
        (
            self.quarantined,
            penalties.evictions(parameters) > 0,
            unproved.is_some_and(|unproved| !unproved.is_nothing()),
            slow_milli,
        )
    }

    fn charge(&mut self, second: u64, parameters: &Parameters) {
        let age = second.saturating_sub(self.at);
        self.suppressed = self.at(second, parameters).suppressed;
        let penalty = u64::from(parameters.penalty) * 1_000;
        self.fast_milli = decayed(self.fast_milli, age, parameters.fast_half_life_s).saturating_add(penalty);
        self.slow_milli = decayed(self.slow_milli, age, parameters.slow_half_life_s).saturating_add(penalty);
        self.at = self.at.max(second);
        self.suppressed |= self.fast_milli >= u64::from(parameters.fast_suppress) * 1_000;
        self.quarantined |= self.slow_milli >= u64::from(parameters.slow_quarantine) * 1_000;
    }
}

impl Damping {
    /// The penalties of a key at a second.
    #[must_use]
    pub fn at(&self, key: &Key, second: u64, parameters: &Parameters) -> Penalties {
        self.records
            .iter()
            .find(|r| r.key == *key)
            .map_or_else(Penalties::default, |r| r.at(second, parameters))
    }

    /// Adds one eviction.
    pub(super) fn charge(&mut self, key: &Key, second: u64, parameters: &Parameters) -> Penalties {
        let record = self.record(key, second, parameters);
        record.charge(second, parameters);
        record.at(second, parameters)
    }

    /// The record of a key; a new one, if there is none yet.
    fn record(&mut self, key: &Key, second: u64, parameters: &Parameters) -> &mut Record {
        let place = self.records.iter().position(|record| record.key == *key).unwrap_or_else(|| {
            self.make_room(second, parameters);
            self.records.push(Record::new(key.clone(), second));
            self.records.len() - 1
        });
        &mut self.records[place]
    }

    /// Keeps how a unit stands that is forgotten, unless nothing speaks against it.
    pub(super) fn leave(&mut self, key: &Key, unproved: Unproved, second: u64, parameters: &Parameters) {
        if !unproved.is_nothing() || self.records.iter().any(|record| record.key == *key) {
            self.record(key, second, parameters).unproved = Some(unproved);
        }
    }

    /// How the unit of this key stood when it was forgotten, with what time has forgiven since: it has to
    /// answer for it again.
    pub(super) fn take_unproved(
        &mut self,
        key: &Key,
        second: u64,
        parameters: &Parameters,
    ) -> Option<Unproved> {
        let record = self.records.iter_mut().find(|record| record.key == *key)?;
        record.unproved.take().map(|unproved| unproved.at(second, parameters))
    }

    /// Whether a slot or a box is in quarantine: another name for it changes nothing.
    #[must_use]
    pub fn quarantines(&self, about: &Description) -> bool {
        let mut held = self.records.iter().filter(|record| record.quarantined);
        held.any(|record| record.key.slot == about.slot || record.key.serial == about.serial)
    }

    /// Ends the quarantine of a slot and its box. The penalties stay: the next eviction counts on top of
    /// them.
    pub(super) fn release(&mut self, about: &Description) {
        for record in &mut self.records {
            if record.key.slot == about.slot || record.key.serial == about.serial {
                record.quarantined = false;
            }
        }
    }

    /// Puts the quarantine back that an override had lifted.
    pub(super) fn hold(&mut self, key: &Key) {
        for record in self.records.iter_mut().filter(|record| record.key == *key) {
            record.quarantined = true;
        }
    }

    /// Forgets the record that counts least, if there is no room: one in quarantine never before others.
    fn make_room(&mut self, second: u64, parameters: &Parameters) {
        if self.records.len() < PENALTIES_MAX {
            return;
        }
        let weight = |place: &usize| self.records[*place].weight(second, parameters);
        if let Some(place) = (0..self.records.len()).min_by_key(weight) {
            self.records.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600;

    fn key(slot: &str) -> Key {
        Key { slot: slot.to_owned(), serial: format!("S-{slot}"), image: "i1".to_owned() }
    }

    #[test]
    fn the_18th_and_the_19th_of_january_make_1_933() {
        let (mut damping, parameters) = (Damping::default(), Parameters::default());
        // From the 18th, 15:41, to the 19th, 08:31.
        let first = damping.charge(&key("2"), 0, &parameters);
        assert!((first.slow - 1_000.0).abs() < 1e-9 && !first.quarantined);
        let second = damping.charge(&key("2"), 16 * HOUR + 50 * 60, &parameters);
        assert_eq!(second.slow.round(), 1_933.0);
        assert!(second.quarantined, "{second:?}");
    }

    #[test]
    fn a_slow_penalty_below_its_limit_does_not_quarantine() {
        let parameters = Parameters::default();
        // 1000 · 2^(−t/7 d) + 1000 reaches 1800 at t = 7 d · log2(1.25) = 194,700 s.
        for (gap, quarantined) in [(194_690, true), (194_720, false)] {
            let mut damping = Damping::default();
            damping.charge(&key("2"), 0, &parameters);
            let after = damping.charge(&key("2"), gap, &parameters);
            assert_eq!(after.quarantined, quarantined, "{gap}: {after:?}");
        }
    }

    #[test]
    fn the_fast_penalty_suppresses_at_its_limit_and_until_it_may_be_used_again() {
        let parameters = Parameters { slow_quarantine: 1_000_000, ..Parameters::default() };
        let mut damping = Damping::default();
        for _ in 0..2 {
            assert!(!damping.charge(&key("2"), 0, &parameters).suppressed);
        }
        assert!(damping.charge(&key("2"), 0, &parameters).suppressed, "3,000 is the limit");
        // 3000 → 750 takes two half-lives: an hour.
        assert!(damping.at(&key("2"), HOUR - 1, &parameters).suppressed);
        assert!(!damping.at(&key("2"), HOUR, &parameters).suppressed);
        let mut below = Damping::default();
        for second in [0, 0, 1] {
            below.charge(&key("2"), second, &parameters);
        }
        assert!(!below.at(&key("2"), 1, &parameters).suppressed, "2,999 is below it");
    }

    #[test]
    fn the_records_are_bounded_and_a_quarantine_is_the_last_to_go() {
        let (mut damping, parameters) = (Damping::default(), Parameters::default());
        damping.charge(&key("held"), 0, &parameters);
        assert!(damping.charge(&key("held"), 0, &parameters).quarantined);
        for slot in 0..PENALTIES_MAX {
            damping.charge(&key(&slot.to_string()), 1_000_000, &parameters);
        }
        assert_eq!(damping.records.len(), PENALTIES_MAX);
        assert!(damping.at(&key("held"), 1_000_000, &parameters).quarantined);
        assert_eq!(damping.at(&key("0"), 1_000_000, &parameters), Penalties::default());
    }

    #[test]
    fn forgotten_boxes_push_out_no_penalty_that_counts_and_are_kept_before_those_that_do_not() {
        let (mut damping, parameters) = (Damping::default(), Parameters::default());
        let out = |since| Unproved { evictions: 5, since, ..Unproved::default() };
        damping.charge(&key("faded"), 0, &parameters);
        let second = 8 * 24 * HOUR;
        damping.charge(&key("live"), second, &parameters);
        for slot in 0..2 * PENALTIES_MAX {
            damping.leave(&key(&slot.to_string()), out(second), second, &parameters);
        }
        assert_eq!(damping.records.len(), PENALTIES_MAX);
        assert!(damping.at(&key("live"), second, &parameters).slow > 999.0, "it counts");
        assert_eq!(damping.at(&key("faded"), second, &parameters), Penalties::default());
        let last = (2 * PENALTIES_MAX - 1).to_string();
        assert_eq!(damping.take_unproved(&key(&last), second, &parameters), Some(out(second)));
    }
}

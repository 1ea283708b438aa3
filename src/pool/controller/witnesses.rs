//! Who saw what of which unit lately: the votes of the last minute that an explanation shows, the discarded
//! ones with them, and the health of the last seconds.

use std::collections::{BTreeMap, VecDeque};

use crate::pool::{
    evidence::{Observer, UnitId},
    notes::UNITS_MAX,
};

/// Seconds that are added up, and how many such sums make the minute.
const SLOT_S: u64 = 10;
const SLOTS: usize = 6;

/// Observers of one unit that are told apart: every relay, and some issuers.
const OBSERVERS_MAX: usize = 72;

/// Calls, and bad ones of them, by who saw them.
type Seen = BTreeMap<Observer, (u32, u32)>;

/// What was seen within the last slots, to within one.
#[derive(Debug)]
pub(super) struct Witnesses {
    /// Seconds of one slot, and how many there are.
    slot_s: u64,
    slots_max: usize,
    /// By the time of their coming, the oldest first.
    slots: VecDeque<(u64, BTreeMap<UnitId, Seen>)>,
}

fn add(sum: &mut (u32, u32), (n, bad): (u32, u32)) {
    *sum = (sum.0.saturating_add(n), sum.1.saturating_add(bad));
}

impl Witnesses {
    /// What is seen within a minute.
    pub(super) fn minute() -> Self {
        Self::of_slots(SLOT_S, SLOTS)
    }

    /// What is seen within so many slots of so many seconds.
    pub(super) fn of_slots(slot_s: u64, slots_max: usize) -> Self {
        Self { slot_s, slots_max, slots: VecDeque::new() }
    }

    /// Notes what an observer saw of a unit, calls and bad ones, and told at this second.
    pub(super) fn add(&mut self, now_s: u64, observer: &Observer, unit: &UnitId, calls: (u32, u32)) {
        let slot = now_s / self.slot_s;
        if self.slots.back().is_none_or(|(last, _)| *last < slot) {
            self.slots.push_back((slot, BTreeMap::new()));
        }
        while self.slots.len() > self.slots_max {
            self.slots.pop_front();
        }
        let Some((_, units)) = self.slots.back_mut() else { return };
        if units.len() >= UNITS_MAX && !units.contains_key(unit) {
            return;
        }
        let seen = units.entry(unit.clone()).or_default();
        if seen.len() < OBSERVERS_MAX || seen.contains_key(observer) {
            add(seen.entry(observer.clone()).or_default(), calls);
        }
    }

    /// What each observer saw of a unit in the time before this second.
    pub(super) fn of(&self, unit: &UnitId, now_s: u64) -> Seen {
        let first = (now_s / self.slot_s + 1).saturating_sub(self.slots_max as u64);
        let mut all = Seen::new();
        let slots = self.slots.iter().filter(|(slot, _)| *slot >= first);
        for (observer, seen) in slots.filter_map(|(_, units)| units.get(unit)).flatten() {
            add(all.entry(observer.clone()).or_default(), *seen);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(witnesses: &mut Witnesses, second: u64, (observer, unit): (&str, &str), calls: (u32, u32)) {
        let observer = Observer::try_from(observer.to_owned()).expect("an observer");
        witnesses.add(second, &observer, &unit.parse().expect("a name"), calls);
    }

    #[test]
    fn what_each_saw_is_added_up_and_forgotten_after_a_minute() {
        let mut witnesses = Witnesses::minute();
        for second in 100..160 {
            note(&mut witnesses, second, ("relay/relay-1", "relay-2"), (2, 1));
            note(&mut witnesses, second, ("issuer/issuer-1", "relay-2"), (1, 0));
        }
        let of = |unit: &str, second| {
            let seen = witnesses.of(&unit.parse().expect("a name"), second);
            seen.into_iter().map(|(observer, sum)| (observer.to_string(), sum)).collect::<Vec<_>>()
        };
        let whole = [("issuer/issuer-1".to_owned(), (60, 0)), ("relay/relay-1".to_owned(), (120, 60))];
        assert_eq!(of("relay-2", 159).len(), 2);
        let mut seen = of("relay-2", 159);
        seen.sort();
        assert_eq!(seen, whole);
        assert_eq!(of("relay-3", 159), []);
        let half = of("relay-2", 189);
        assert!(half.iter().any(|(_, sum)| *sum == (60, 30)), "{half:?}");
        assert_eq!(of("relay-2", 220), []);
    }

    #[test]
    fn no_more_units_and_observers_are_remembered_than_there_can_be() {
        let mut witnesses = Witnesses::minute();
        for n in 0..=UNITS_MAX {
            note(&mut witnesses, 0, ("issuer/i", &format!("relay-{n}")), (1, 0));
        }
        assert_eq!(witnesses.slots[0].1.len(), UNITS_MAX);
        for n in 0..=OBSERVERS_MAX {
            note(&mut witnesses, 0, (&format!("relay/relay-{n}"), "relay-0"), (1, 0));
        }
        assert_eq!(witnesses.of(&"relay-0".parse().expect("a name"), 0).len(), OBSERVERS_MAX);
        for second in 0..1_000 {
            note(&mut witnesses, second, ("issuer/i", "relay-0"), (1, 0));
        }
        assert_eq!(witnesses.slots.len(), SLOTS);
    }
}

//! Observers have places: who is heard takes the first free one, and it is given on only when nothing that
//! was said from it counts any more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::evidence::{Observer, UnitId};
use super::left_out::GROUPS;
use crate::domain::identity::Role;

/// Who observes, and how much each word counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Roster {
    places: Vec<Option<Seen>>,
    /// Weights below 100, in per cent; of observers that were not heard yet, too.
    weights: BTreeMap<Observer, u8>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Seen {
    observer: Observer,
    last: u64,
}

impl Roster {
    /// The place of an observer that spoke of a second; a new one takes the first that is free.
    pub(super) fn take_place(&mut self, observer: &Observer, second: u64, most: usize) -> Option<u8> {
        if let Some(at) = self.find(observer) {
            let seen = self.places[at].as_mut().expect("it was found there");
            seen.last = seen.last.max(second);
            return u8::try_from(at).ok();
        }
        let at = self.places.iter().position(Option::is_none).unwrap_or(self.places.len());
        if at >= most {
            return None;
        }
        if at == self.places.len() {
            self.places.push(None);
        }
        self.places[at] = Some(Seen { observer: observer.clone(), last: second });
        u8::try_from(at).ok()
    }

    fn find(&self, observer: &Observer) -> Option<usize> {
        self.places.iter().position(|seen| seen.as_ref().is_some_and(|seen| seen.observer == *observer))
    }

    /// Frees the places of those that were last heard before a second, and returns them.
    pub(super) fn release(&mut self, before: u64) -> Vec<usize> {
        let mut freed = Vec::new();
        for (at, place) in self.places.iter_mut().enumerate() {
            if place.as_ref().is_some_and(|seen| seen.last < before) {
                *place = None;
                freed.push(at);
            }
        }
        freed
    }

    /// Sets a weight in per cent; not that of one more weak observer than this.
    pub(super) fn weigh(&mut self, observer: &Observer, weight: u8, most: usize) {
        if weight >= 100 {
            self.weights.remove(observer);
        } else if self.weights.len() < most || self.weights.contains_key(observer) {
            self.weights.insert(observer.clone(), weight);
        }
    }

    pub(super) fn weight(&self, observer: &Observer) -> u8 {
        self.weights.get(observer).copied().unwrap_or(100)
    }

    pub(super) fn weak(&self) -> &BTreeMap<Observer, u8> {
        &self.weights
    }

    /// The weight of each place, in per cent, and the place that each of these units has as an observer.
    pub(super) fn words<'a>(&self, units: impl Iterator<Item = Option<&'a UnitId>>) -> Words {
        let weight = |seen: &Option<Seen>| seen.as_ref().map_or(0, |seen| self.weight(&seen.observer));
        let place =
            |unit: &UnitId| self.present().find(|(_, observer)| observer.is(unit)).map(|(place, _)| place);
        let relay = |seen: &Option<Seen>| {
            seen.as_ref().is_some_and(|seen| seen.observer.identity().role() == Role::Relay)
        };
        Words {
            weights: self.places.iter().map(weight).collect(),
            relays: self.places.iter().map(relay).collect(),
            own: units.map(|unit| unit.and_then(place)).collect(),
        }
    }

    /// Those that have a vote and were heard in this second or later.
    pub(super) fn voters(&self, since: u64) -> usize {
        let heard = self.places.iter().flatten().filter(|seen| seen.last >= since);
        heard.filter(|seen| self.weight(&seen.observer) > 0).count()
    }

    /// The groups that somebody is in, as bits.
    pub(super) fn groups(&self) -> u16 {
        let taken = self.places.iter().enumerate().filter(|(_, seen)| seen.is_some());
        taken.fold(0, |bits, (at, _)| bits | 1 << group_of(at))
    }

    /// Those that are there, by place.
    pub(super) fn present(&self) -> impl Iterator<Item = (usize, &Observer)> {
        self.places.iter().enumerate().filter_map(|(at, seen)| seen.as_ref().map(|seen| (at, &seen.observer)))
    }
}

/// How observers' words count.
pub(super) struct Words {
    weights: Vec<u8>,
    relays: Vec<bool>,
    own: Vec<Option<usize>>,
}

impl Words {
    /// How much the word of an observer counts, in per cent.
    pub(super) fn weight(&self, observer: usize) -> u8 {
        self.weights.get(observer).copied().unwrap_or(0)
    }

    /// The group by which an observer's word of a unit is left out; none, if it is the unit's own.
    pub(super) fn group(&self, observer: usize, unit: usize) -> Option<usize> {
        let own = self.own.get(unit).copied().flatten() == Some(observer);
        (!own).then(|| group_of(observer))
    }

    /// Whether what an observer says of calls on a unit is what callers told it: a relay sees its own alone.
    pub(super) fn is_hearsay(&self, observer: usize, unit: usize) -> bool {
        let is_relay = self.relays.get(observer).copied().unwrap_or(false);
        is_relay && self.group(observer, unit).is_some()
    }
}

/// The group by which the observer in a place is left out.
pub(super) fn group_of(place: usize) -> usize {
    place % GROUPS
}

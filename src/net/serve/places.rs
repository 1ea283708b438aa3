//! A connection holds its place until it ends, however it ends; there are only so many, in all and for one
//! identity.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use metrics::gauge;

use crate::{domain::identity::Identity, telemetry::names};

/// How many connections each identity has.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    taken: Arc<Mutex<HashMap<Identity, usize>>>,
}

/// One connection's place.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    identity: Identity,
}

impl Places {
    /// Takes a place, if this identity has fewer than `max`.
    pub(super) fn take(&self, identity: &Identity, max: usize) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(identity.clone()).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        gauge!(names::CONNECTIONS).increment(1.0);
        Some(Place { places: self.clone(), identity: identity.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.identity) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.identity);
            }
        }
        gauge!(names::CONNECTIONS).decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_gets_its_places_and_not_one_more_and_a_place_comes_back() {
        let places = Places::default();
        let (ward, other) =
            ("municipality/131229".parse().expect("legal"), "relay/r".parse().expect("legal"));
        let first = places.take(&ward, 2).expect("free");
        let _second = places.take(&ward, 2).expect("free");
        assert!(places.take(&ward, 2).is_none());
        assert!(places.take(&other, 2).is_some(), "another's are its own");
        drop(first);
        assert!(places.take(&ward, 2).is_some());
        assert_eq!(places.taken.lock().expect("nobody panicked").len(), 1, "nothing stays of who is gone");
    }
}

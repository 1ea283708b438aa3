//! That a relay may not register itself is said when the reason is new, and once a minute at most: it asks
//! each second.

use std::collections::BTreeMap;

use crate::pool::{evidence::UnitId, notes::UNITS_MAX};

/// Time between two refusals of one relay that are put on record, in ms, however its reasons change.
const SAID_EVERY_MS: i64 = 60_000;

/// How long a refusal is remembered that nobody asks about any more, in ms.
const REMEMBERED_MS: i64 = 600_000;

/// What was refused to whom. Of more relays than there can be units nothing is put on record.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<UnitId, Refused>);

#[derive(Debug)]
struct Refused {
    why: String,
    said_ms: i64,
    asked_ms: i64,
}

impl Refusals {
    /// A relay asks; returns whether that it is refused for this reason is to be put on record.
    pub(super) fn ask(&mut self, unit: &UnitId, why: &str, now_ms: i64) -> bool {
        // The clock may have been set back.
        self.0.retain(|_, refused| (now_ms - refused.asked_ms).abs() < REMEMBERED_MS);
        let room = self.0.len() < UNITS_MAX;
        let Some(refused) = self.0.get_mut(unit) else { return room };
        refused.asked_ms = now_ms;
        refused.why != why && (now_ms - refused.said_ms).abs() >= SAID_EVERY_MS
    }

    /// It was put on record.
    pub(super) fn note(&mut self, unit: &UnitId, why: String, now_ms: i64) {
        if self.0.len() < UNITS_MAX || self.0.contains_key(unit) {
            self.0.insert(unit.clone(), Refused { why, said_ms: now_ms, asked_ms: now_ms });
        }
    }

    /// Why a relay was refused last.
    pub(super) fn why(&self, unit: &UnitId) -> Option<&str> {
        self.0.get(unit).map(|refused| refused.why.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> UnitId {
        format!("relay-{n}").parse().expect("a name")
    }

    #[test]
    fn a_refusal_is_news_when_its_reason_changes_and_once_a_minute_at_most() {
        let mut refusals = Refusals::default();
        assert!(refusals.ask(&id(1), "a", 0));
        assert!(refusals.ask(&id(1), "a", 1_000), "it was not put on record yet");
        refusals.note(&id(1), "a".to_owned(), 1_000);
        for second in 2..3_600 {
            assert!(!refusals.ask(&id(1), "a", second * 1_000), "{second}");
        }
        assert!(refusals.ask(&id(1), "b", 3_600_000));
        refusals.note(&id(1), "b".to_owned(), 3_600_000);
        let news = |second: &i64| refusals.ask(&id(1), "c", second * 1_000);
        assert_eq!((3_601..3_700).find(news), Some(3_660));
        assert_eq!(refusals.why(&id(1)), Some("b"));
    }

    #[test]
    fn no_more_are_remembered_than_there_can_be_units_and_none_for_ever() {
        let mut refusals = Refusals::default();
        for n in 0..UNITS_MAX {
            refusals.note(&id(n), "a".to_owned(), 0);
        }
        assert!(!refusals.ask(&id(UNITS_MAX), "a", 1_000), "there is no room to remember it");
        refusals.note(&id(UNITS_MAX), "a".to_owned(), 1_000);
        assert_eq!(refusals.0.len(), UNITS_MAX);
        assert!(refusals.ask(&id(UNITS_MAX), "a", REMEMBERED_MS), "nobody asks any more");
        assert_eq!(refusals.0.len(), 0);
    }
}

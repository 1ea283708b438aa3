//! What the evictions of the past say of attributes: one that fails in two units sooner than chance would
//! have it is suspect, and what was changed between two failures is ruled out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    decision::Rule,
    description::{Description, UNKNOWN},
    parameters::{EPISODES_MAX, Parameters, SUSPECTS_MAX},
    unit::Approval,
};
use crate::pool::{evidence::UnitId, explain::span};

const DAY_S: f64 = 86_400.0;

/// Seconds within which several lapsed leases show what lies between the boxes and here, and nothing of the
/// boxes.
const TOGETHER_S: u64 = 60;

/// One eviction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Episode {
    /// When.
    pub second: u64,
    /// By which rule.
    pub rule: Rule,
    /// What the unit was then.
    pub about: Description,
}

/// Why an attribute is suspect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suspicion {
    /// Since when.
    pub since: u64,
    /// By which rule.
    pub rule: Rule,
    /// The units that failed with it.
    pub units: Vec<UnitId>,
    /// p of that by chance, in millionths; 0 where the verdict named it.
    pub chance_ppm: u32,
    /// Who signed that it is mended, and how: a second operator who signs the same absolves it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signed: Option<Approval>,
}

impl Suspicion {
    pub(super) fn new(second: u64, rule: Rule, units: Vec<UnitId>, chance_ppm: u32) -> Self {
        Self { since: second, rule, units, chance_ppm, signed: None }
    }
}

/// A recurrence that chance does not explain.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Recurrence {
    /// As `name=value`.
    pub(super) attribute: String,
    /// The unit that failed before.
    pub(super) before: UnitId,
    /// Units that share the attribute, m.
    pub(super) sharing: usize,
    /// Days between the two, T.
    pub(super) days: f64,
    /// p.
    pub(super) chance: f64,
}

impl Recurrence {
    /// How long after which other unit, and how likely that is by chance.
    pub(super) fn words(&self) -> String {
        let Self { attribute, before, sharing, days, chance } = self;
        let after = match *days {
            ..2.0 => span((days * DAY_S).round() as u64),
            _ => format!("{days:.1} days"),
        };
        let p = match chance * 100.0 {
            ..0.05 => "p < 0.1 %".to_owned(),
            p => format!("p = {p:.1} %"),
        };
        format!("{after} after {before}, both among the {sharing} with {attribute}: by chance {p}")
    }
}

/// Past evictions, suspect attributes, and those that are ruled out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    episodes: Vec<Episode>,
    suspects: BTreeMap<String, Suspicion>,
    ruled_out: BTreeMap<String, u64>,
}

/// The probability that one of the m − 1 other units of an attribute fails within T days by chance alone, at
/// λ failures a unit and year: p = 1 − exp(−λ(m−1)T/365).
#[must_use]
pub fn chance(failures_per_unit_year: f64, sharing: usize, days: f64) -> f64 {
    let others = sharing.saturating_sub(1) as f64;
    -(-failures_per_unit_year * others * days / 365.0).exp_m1()
}

impl History {
    /// Past evictions, the oldest first.
    #[must_use]
    pub fn episodes(&self) -> &[Episode] {
        &self.episodes
    }

    /// Suspect attributes, each as `name=value`.
    #[must_use]
    pub fn suspects(&self) -> &BTreeMap<String, Suspicion> {
        &self.suspects
    }

    /// Attributes that are ruled out as the one cause, with the second in which they were.
    #[must_use]
    pub fn ruled_out(&self) -> &BTreeMap<String, u64> {
        &self.ruled_out
    }

    /// The suspect attributes that a unit has.
    #[must_use]
    pub fn suspects_of(&self, about: &Description) -> Vec<String> {
        about.shared().into_iter().filter(|attribute| self.suspects.contains_key(attribute)).collect()
    }

    /// The recurrences that an eviction now would be, the least likely by chance first; those of attributes
    /// that are suspect already are left out.
    pub(super) fn recurrences(
        &self,
        now: &Episode,
        units: &BTreeMap<UnitId, super::unit::Unit>,
        parameters: &Parameters,
    ) -> Vec<Recurrence> {
        let Episode { second, about, .. } = now;
        let together = |past: &Episode| {
            past.rule == Rule::E4 && now.rule == Rule::E4 && second - past.second.min(*second) < TOGETHER_S
        };
        let shares = |other: &Description, attribute: &str| other.shared().iter().any(|a| a == attribute);
        let other = |episode: &&Episode| {
            episode.about.id != about.id
                && episode.about.serial != about.serial
                && episode.about.slot != about.slot
                && !together(episode)
        };
        let fresh = about.shared().into_iter().filter(|attribute| !self.suspects.contains_key(attribute));
        let mut found: Vec<Recurrence> = fresh
            .filter_map(|attribute| {
                let mut past = self.episodes.iter().rev().filter(other);
                let last = past.find(|episode| shares(&episode.about, &attribute))?;
                let sharing = units.values().filter(|unit| shares(&unit.about, &attribute)).count();
                let days = second.saturating_sub(last.second) as f64 / DAY_S;
                let chance = chance(parameters.failures_per_unit_year, sharing, days);
                let before = last.about.id.clone();
                Some(Recurrence { attribute, before, sharing, days, chance })
            })
            .filter(|found| found.sharing >= 2 && found.chance < parameters.chance_max)
            .collect();
        found.sort_by(|a, b| a.chance.total_cmp(&b.chance));
        found
    }

    /// What has changed in a slot since its last eviction, each as the old `name=value`: a failure now rules
    /// it out as the one cause.
    pub(super) fn changed_since_last(&self, about: &Description) -> Vec<String> {
        let Some(last) = self.episodes.iter().rev().find(|episode| episode.about.slot == about.slot) else {
            return Vec::new();
        };
        let mut changed = Vec::new();
        if last.about.serial != about.serial {
            changed.push(format!("serial={}", last.about.serial));
        }
        let now = about.named();
        let is_changed = |(name, before): &(String, String)| {
            let after = now.get(name).map(String::as_str);
            // Where nobody says what it is now, or what it was, it may be the same.
            before != UNKNOWN && after != Some(UNKNOWN) && after != Some(before.as_str())
        };
        let before = last.about.named().into_iter().filter(is_changed);
        changed.extend(before.map(|(name, value)| format!("{name}={value}")));
        changed
    }

    pub(super) fn record(&mut self, episode: Episode) {
        // Who signed that it was mended was wrong.
        let shared = episode.about.shared();
        self.suspects
            .iter_mut()
            .filter(|(name, _)| shared.contains(*name))
            .for_each(|(_, held)| held.signed = None);
        if self.episodes.len() >= EPISODES_MAX {
            self.episodes.remove(0);
        }
        self.episodes.push(episode);
    }

    pub(super) fn suspect(&mut self, attribute: &str, suspicion: Suspicion) {
        if self.suspects.len() >= SUSPECTS_MAX && !self.suspects.contains_key(attribute) {
            let oldest =
                self.suspects.iter().min_by_key(|(_, held)| held.since).map(|(name, _)| name.clone());
            oldest.map(|name| self.suspects.remove(&name));
        }
        self.suspects.insert(attribute.to_owned(), suspicion);
    }

    pub(super) fn sign(&mut self, attribute: &str, approval: Approval) {
        if let Some(suspicion) = self.suspects.get_mut(attribute) {
            suspicion.signed = Some(approval);
        }
    }

    pub(super) fn absolve(&mut self, attribute: &str) {
        self.suspects.remove(attribute);
    }

    pub(super) fn rule_out(&mut self, attribute: &str, second: u64) {
        if self.ruled_out.len() >= SUSPECTS_MAX && !self.ruled_out.contains_key(attribute) {
            let oldest = self.ruled_out.iter().min_by_key(|(_, at)| **at).map(|(name, _)| name.clone());
            oldest.map(|name| self.ruled_out.remove(&name));
        }
        self.ruled_out.insert(attribute.to_owned(), second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_13th_and_the_18th_of_january_have_a_chance_of_1_4_percent() {
        // From the 13th, 11:40, to the 18th, 15:40: 5 days and 4 hours.
        let p = chance(1.0, 2, 5.0 + 4.0 / 24.0);
        assert_eq!((p * 1_000.0).round(), 14.0, "{p}");
        assert_eq!((chance(1.0, 2, 5.0) * 1_000.0).round(), 14.0);
    }

    #[test]
    fn how_long_after_and_how_likely_is_said_in_numbers_that_are_not_0() {
        let words = |days: f64, chance: f64| {
            let (attribute, before) = ("image=r1".to_owned(), super::super::fixture::id(1));
            Recurrence { attribute, before, sharing: 4, days, chance }.words()
        };
        let said = |after: &str, p: &str| {
            format!("{after} after relay-1, both among the 4 with image=r1: by chance {p}")
        };
        assert_eq!(words(31.0 / 86_400.0, 0.000_003), said("31 s", "p < 0.1 %"));
        assert_eq!(words(0.5, 0.004), said("12 h", "p = 0.4 %"));
        assert_eq!(words(5.17, 0.014), said("5.2 days", "p = 1.4 %"));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_goes_first() {
        let mut history = History::default();
        for second in 0..=EPISODES_MAX as u64 {
            history.record(Episode { second, rule: Rule::E1, about: super::super::fixture::about(1) });
        }
        assert_eq!((history.episodes().len(), history.episodes()[0].second), (EPISODES_MAX, 1));
        for since in 0..=SUSPECTS_MAX as u64 {
            let suspicion = Suspicion::new(since, Rule::V1, Vec::new(), 1);
            history.suspect(&format!("model={since}"), suspicion);
            history.rule_out(&format!("serial={since}"), since);
        }
        assert_eq!((history.suspects().len(), history.ruled_out().len()), (SUSPECTS_MAX, SUSPECTS_MAX));
        assert!(!history.suspects().contains_key("model=0") && !history.ruled_out().contains_key("serial=0"));
    }

    #[test]
    fn a_unit_alone_never_recurs_in_others() {
        assert_eq!(chance(1.0, 1, 5.0), 0.0);
        assert_eq!(chance(1.0, 0, 5.0), 0.0);
        assert!(chance(1.0, 64, 3_650.0) <= 1.0);
    }
}

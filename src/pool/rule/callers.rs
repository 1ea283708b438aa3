//! One municipality can never evict a unit: the worst one is known by its bad calls of the last two minutes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::history::{History, Said, Second};
use super::left_out::Parts;
use super::roster::Words;
use super::wealth::Wealth;
use crate::domain::municipality::MunicipalityCode;

/// Bad calls of callers within the memory, and the bets against the callers with the most of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Callers {
    /// By unit.
    bad: BTreeMap<MunicipalityCode, Vec<u64>>,
    pub(super) bets: BTreeMap<MunicipalityCode, Wealth>,
}

impl Callers {
    pub(super) fn add(&mut self, said: &[Said]) {
        for said in said {
            let Some(caller) = said.caller.filter(|_| said.bad > 0) else { continue };
            let units = self.bad.entry(caller).or_default();
            let unit = usize::from(said.unit);
            if units.len() <= unit {
                units.resize(unit + 1, 0);
            }
            units[unit] += u64::from(said.bad);
        }
    }

    pub(super) fn take(&mut self, said: &[Said]) {
        for said in said {
            let Some(caller) = said.caller.filter(|_| said.bad > 0) else { continue };
            let Some(units) = self.bad.get_mut(&caller) else { continue };
            let bad = &mut units[usize::from(said.unit)];
            *bad = bad.saturating_sub(u64::from(said.bad));
            if units.iter().all(|bad| *bad == 0) {
                self.bad.remove(&caller);
            }
        }
    }

    pub(super) fn forget_unit(&mut self, unit: u8) {
        for units in self.bad.values_mut() {
            if let Some(bad) = units.get_mut(usize::from(unit)) {
                *bad = 0;
            }
        }
        self.bad.retain(|_, units| units.iter().any(|bad| *bad > 0));
    }

    /// The caller with the most bad calls on a unit, if they are so many; of equals the one with the lowest
    /// code.
    pub(super) fn worst(&self, unit: usize, bad_min: u32) -> Option<MunicipalityCode> {
        let mut worst: Option<(u64, MunicipalityCode)> = None;
        for (caller, units) in &self.bad {
            let bad = units.get(unit).copied().unwrap_or(0);
            if bad >= u64::from(bad_min) && worst.is_none_or(|(most, _)| bad > most) {
                worst = Some((bad, *caller));
            }
        }
        worst.map(|(_, caller)| caller)
    }

    /// The callers with the most bad calls on all units together, as many as are bet against.
    pub(super) fn heaviest(&self, bad_min: u32, most: usize) -> Vec<MunicipalityCode> {
        let totals = self.bad.iter().map(|(caller, units)| (units.iter().sum::<u64>(), *caller));
        let mut ranked: Vec<(u64, MunicipalityCode)> =
            totals.filter(|(bad, _)| *bad >= u64::from(bad_min)).collect();
        ranked.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        ranked.truncate(most);
        ranked.into_iter().map(|(_, caller)| caller).collect()
    }
}

/// One caller's calls within a window, by unit.
pub(super) fn parts_of(
    caller: MunicipalityCode,
    history: &History,
    scale: u32,
    words: &Words,
    units: usize,
) -> Vec<Parts> {
    let mut parts = vec![Parts::default(); units];
    for said in history.last(scale).flat_map(|second: &Second| second.of_caller(caller)) {
        let (observer, unit) = (usize::from(said.observer), usize::from(said.unit));
        let counts = said.counted.weighed(words.weight(observer));
        parts[unit].add(words.group(observer, unit), said.class, counts);
    }
    parts
}

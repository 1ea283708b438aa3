//! Judged seconds are kept for as long as a caller is remembered, and each call in them counts once in every
//! window that it is in, however late it was told.

use std::collections::VecDeque;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::super::evidence::Class;
use super::counts::Counts;
use super::waiting::Word;
use crate::domain::municipality::MunicipalityCode;

/// [`Said`] without the names of its fields, which would be most of a snapshot.
type Row = (u8, Class, u8, Option<MunicipalityCode>, u32, u32, u64, u64);

/// What one observer said of one unit, class and caller in one second, and what of it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Row", into = "Row")]
pub(super) struct Said {
    pub(super) unit: u8,
    pub(super) class: Class,
    pub(super) observer: u8,
    pub(super) caller: Option<MunicipalityCode>,
    n: u32,
    pub(super) bad: u32,
    /// After the cap on its observer's calls.
    pub(super) counted: Counts,
}

impl Said {
    pub(super) fn new(observer: u8, word: &Word) -> Self {
        let Word { unit, class, caller, n, bad } = *word;
        Self { unit, class, observer, caller, n, bad, counted: Counts::default() }
    }

    fn key(&self) -> (u8, Class, u8, Option<MunicipalityCode>) {
        (self.unit, self.class, self.observer, self.caller)
    }
}

impl From<Row> for Said {
    fn from((unit, class, observer, caller, n, bad, counted_n, counted_bad): Row) -> Self {
        let counted = Counts { n: counted_n, bad: counted_bad };
        Self { unit, class, observer, caller, n, bad, counted }
    }
}

impl From<Said> for Row {
    fn from(said: Said) -> Self {
        let Said { unit, class, observer, caller, n, bad, counted } = said;
        (unit, class, observer, caller, n, bad, counted.n, counted.bad)
    }
}

/// One judged second.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Second {
    /// In the order of unit, class, observer and caller.
    said: Vec<Said>,
    /// Those of them that name a caller, in the order of callers.
    of_callers: Vec<Said>,
}

impl Second {
    /// A second of all that was said in it.
    pub(super) fn of(mut said: Vec<Said>, observer_cap: u32) -> Self {
        said.sort_by_key(Said::key);
        let mut second = Self { said, of_callers: Vec::new() };
        let mut at = 0;
        while at < second.said.len() {
            let group = second.group(second.said[at].unit, second.said[at].class);
            at = group.end;
            cap(&mut second.said[group], observer_cap);
        }
        second.sort_callers();
        second
    }

    fn sort_callers(&mut self) {
        self.of_callers = self.said.iter().filter(|said| said.caller.is_some()).copied().collect();
        self.of_callers.sort_by_key(|said| (said.caller, said.key()));
    }

    fn group(&self, unit: u8, class: Class) -> Range<usize> {
        let first = self.said.partition_point(|said| (said.unit, said.class) < (unit, class));
        let end = self.said.partition_point(|said| (said.unit, said.class) <= (unit, class));
        first..end
    }

    /// All that was said.
    pub(super) fn said(&self) -> &[Said] {
        &self.said
    }

    /// All that was said of one unit and class.
    pub(super) fn said_of(&self, unit: u8, class: Class) -> &[Said] {
        &self.said[self.group(unit, class)]
    }

    /// What was said of calls whose callers are named.
    pub(super) fn of_callers(&self) -> &[Said] {
        &self.of_callers
    }

    /// What was said of one caller's calls.
    pub(super) fn of_caller(&self, caller: MunicipalityCode) -> &[Said] {
        let first = self.of_callers.partition_point(|said| said.caller < Some(caller));
        let end = self.of_callers.partition_point(|said| said.caller <= Some(caller));
        &self.of_callers[first..end]
    }

    /// Adds what was told late, and returns it: of nobody in particular if there are too many callers.
    pub(super) fn add(&mut self, mut late: Said, observer_cap: u32, callers_max: usize) -> Said {
        if let Some(caller) = late.caller {
            let mut callers: Vec<_> = self.of_callers.iter().map(|said| said.caller).collect();
            callers.dedup();
            if callers.len() >= callers_max && self.of_caller(caller).is_empty() {
                late.caller = None;
            }
        }
        match self.said.binary_search_by_key(&late.key(), Said::key) {
            Ok(at) => {
                self.said[at].n = self.said[at].n.saturating_add(late.n);
                self.said[at].bad = self.said[at].bad.saturating_add(late.bad);
            }
            Err(at) => self.said.insert(at, late),
        }
        let group = self.group(late.unit, late.class);
        let named = self.said[group.clone()].iter().any(|said| said.caller.is_some());
        cap(&mut self.said[group], observer_cap);
        if named {
            self.sort_callers();
        }
        late
    }

    /// Forgets what no window holds any more: all but the bad calls of callers.
    pub(super) fn fade(&mut self) {
        self.said = Vec::new();
        self.of_callers.retain(|said| said.bad > 0);
    }

    /// Forgets what was said of a unit.
    pub(super) fn forget_unit(&mut self, unit: u8) {
        self.said.retain(|said| said.unit != unit);
        self.of_callers.retain(|said| said.unit != unit);
    }
}

/// Counts what was said of one unit and class: of no observer more than so many times the median one's calls,
/// so that nobody outweighs all others by seeing, or inventing, more.
fn cap(group: &mut [Said], observer_cap: u32) {
    let mut totals: Vec<(u8, u64)> = Vec::new();
    for said in group.iter() {
        match totals.last_mut().filter(|(observer, _)| *observer == said.observer) {
            Some((_, total)) => *total += u64::from(said.n),
            None => totals.push((said.observer, u64::from(said.n))),
        }
    }
    let mut sizes: Vec<u64> = totals.iter().map(|(_, total)| *total).filter(|total| *total > 0).collect();
    sizes.sort_unstable();
    let median = sizes.get(sizes.len().saturating_sub(1) / 2).copied().unwrap_or(0);
    let most = median * u64::from(observer_cap);
    let mut at = 0;
    for said in group {
        if totals[at].0 != said.observer {
            at += 1;
        }
        let total = totals[at].1;
        said.counted = Counts::part(said.n, said.bad, total.min(most), total);
    }
}

/// The judged seconds, oldest first and without a hole.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct History {
    seconds: VecDeque<Second>,
}

impl History {
    /// Puts in the second that was judged last; the oldest one that is kept is so many seconds before it.
    pub(super) fn push(&mut self, second: Second, kept: u32) {
        self.seconds.push_back(second);
        if self.seconds.len() > kept as usize + 1 {
            self.seconds.pop_front();
        }
    }

    /// The second so many before the last one.
    pub(super) fn back(&self, age: u64) -> Option<&Second> {
        let last = self.seconds.len().checked_sub(1)?;
        self.seconds.get(last.checked_sub(usize::try_from(age).ok()?)?)
    }

    pub(super) fn back_mut(&mut self, age: u64) -> Option<&mut Second> {
        let last = self.seconds.len().checked_sub(1)?;
        self.seconds.get_mut(last.checked_sub(usize::try_from(age).ok()?)?)
    }

    /// The last so many seconds, the newest first.
    pub(super) fn last(&self, count: u32) -> impl Iterator<Item = &Second> {
        self.seconds.iter().rev().take(count as usize)
    }

    pub(super) fn forget_unit(&mut self, unit: u8) {
        for second in &mut self.seconds {
            second.forget_unit(unit);
        }
    }
}

/// A window of the last τ seconds: counts by unit, observer and class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Window {
    pub(super) scale: u32,
    units: Vec<Vec<[Counts; 2]>>,
}

impl Window {
    pub(super) fn new(scale: u32) -> Self {
        Self { scale, units: Vec::new() }
    }

    pub(super) fn add(&mut self, said: &[Said]) {
        for said in said {
            *self.cell(said) += said.counted;
        }
    }

    pub(super) fn take(&mut self, said: &[Said]) {
        for said in said {
            *self.cell(said) -= said.counted;
        }
    }

    fn cell(&mut self, said: &Said) -> &mut Counts {
        let (unit, observer) = (usize::from(said.unit), usize::from(said.observer));
        if self.units.len() <= unit {
            self.units.resize(unit + 1, Vec::new());
        }
        if self.units[unit].len() <= observer {
            self.units[unit].resize(observer + 1, <[Counts; 2]>::default());
        }
        &mut self.units[unit][observer][usize::from(said.class == Class::Probe)]
    }

    /// What each observer said of a unit: of traffic and of probes.
    pub(super) fn of(&self, unit: usize) -> &[[Counts; 2]] {
        self.units.get(unit).map_or(&[], Vec::as_slice)
    }

    pub(super) fn forget_unit(&mut self, unit: u8) {
        if let Some(row) = self.units.get_mut(usize::from(unit)) {
            row.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::counts::CALL;
    use super::*;

    fn said(observer: u8, n: u32, bad: u32) -> Said {
        Said::new(observer, &Word { unit: 0, class: Class::Traffic, caller: None, n, bad })
    }

    #[test]
    fn nobody_counts_more_than_twice_the_median_observer() {
        let second = Second::of(vec![said(0, 1, 0), said(1, 3, 1), said(2, 40, 20)], 2);
        let counted: Vec<(u64, u64)> =
            second.said().iter().map(|said| (said.counted.n / CALL, said.counted.bad / CALL)).collect();
        assert_eq!(counted, [(1, 0), (3, 1), (6, 3)]);
    }

    #[test]
    fn what_is_told_late_is_counted_as_if_it_had_come_in_time() {
        let all = [said(0, 5, 2), said(1, 1, 0), said(2, 90, 90)];
        let mut second = Second::of(all[..2].to_vec(), 2);
        second.add(all[2], 2, 64);
        assert_eq!(second, Second::of(all.to_vec(), 2));
    }
}

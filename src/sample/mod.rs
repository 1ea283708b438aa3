//! Makes record files of people who do not exist: the same options give the same bytes, on any machine
//! and at any time, and a file without ordered faults is one that the issuer accepts whole.
//!
//! [`Plan`] counts first (without making a record), so that every number is known before the first line;
//! [`Lines`] then writes line after line in bounded memory. Individual numbers begin with 99 and order ids
//! with `S`, so that everybody sees that they were made up. A [`Chip`] behaves as that of a card would.

mod chip;
mod csv;
mod deal;
mod fixed;
mod household;
mod names;
mod places;
mod plan;
mod random;

pub use chip::{Chip, Refused, Statement};
pub use csv::{Encoding, Unwritable};
pub use plan::{Options, Plan, SampleError, Size};

use csv::{Row, cell_of};
use deal::Deal;
use household::{Household, Person};
use plan::{FaultKind, Layout};
use random::Random;

use crate::domain::record::Field;

/// A fault that was ordered, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line of the file, from 1; without a layout that is the header.
    pub line: u64,
    /// The record's own key.
    pub order_id: String,
    /// What is wrong with it.
    pub what: &'static str,
}

/// The lines of a file, one after the other; without a layout the first is the header.
pub struct Lines {
    plan: Plan,
    layout: Layout,
    faults: Deal<FaultKind>,
    luck: Random,
    household: Option<Household>,
    next_person: usize,
    records_made: u64,
    lines: u64,
    found: Vec<Fault>,
    row: Row,
}

impl Lines {
    pub(crate) fn new(plan: Plan) -> Self {
        let faults = plan.fault_deal();
        let luck = Random::of(plan.options().seed, "faults", 0);
        let (layout, row) = (plan.layout(), Row::new(plan.options().encoding));
        Self {
            plan,
            layout,
            faults,
            luck,
            household: None,
            next_person: 0,
            records_made: 0,
            lines: 0,
            found: Vec::new(),
            row,
        }
    }

    /// Appends the next line to `out`, or the next two where a record was ordered twice; false at the end.
    ///
    /// # Errors
    /// [`Unwritable`] if the encoding has no character for one of the plan's own districts, and if a text is
    /// longer than its column in a layout.
    pub fn next_into(&mut self, out: &mut Vec<u8>) -> Result<bool, Unwritable> {
        if self.lines == 0 && self.plan.options().layout.is_none() {
            self.row.header(Field::ALL.map(Field::as_str), out)?;
            self.lines = 1;
            return Ok(true);
        }
        let at_end = |household: &Household| self.next_person == household.people.len();
        if self.household.as_ref().is_none_or(at_end) && !self.next_household() {
            return Ok(false);
        }
        let Some(household) = &self.household else { return Ok(false) };
        let fault = self.faults.next(&mut self.luck);
        let mut person = household.people[self.next_person].clone();
        self.next_person += 1;
        if fault == Some(FaultKind::WrongCheckDigit) {
            person.spoil_check_digit();
        }
        if self.lines == 0 && self.plan.options().encoding == Encoding::Utf8Bom {
            out.extend_from_slice("\u{feff}".as_bytes());
        }
        let begin = out.len();
        let Options { encoding, layout, .. } = self.plan.options();
        match layout {
            None => self.row.record(household, &person, out)?,
            Some(layout) => fixed::line(layout, *encoding, |field| cell_of(household, &person, field), out)?,
        }
        self.lines += 1;
        if let Some(kind) = fault {
            self.spoil(kind, &person, begin, out);
        }
        Ok(true)
    }

    /// Every ordered fault that was written so far, in the order of lines.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.found
    }

    fn next_household(&mut self) -> bool {
        // What is left out of the file is counted and skipped, so that every other household stays the
        // same.
        for place in &mut self.layout {
            let first_person = self.records_made;
            self.records_made += u64::from(place.size);
            if self.plan.is_written(place.district) {
                self.household = Some(Household::new(&self.plan, place, first_person));
                self.next_person = 0;
                return true;
            }
        }
        false
    }

    fn spoil(&mut self, kind: FaultKind, person: &Person, begin: usize, out: &mut Vec<u8>) {
        let what = match kind {
            FaultKind::WrongCheckDigit => "the individual number's check digit is wrong",
            FaultKind::Duplicate => {
                out.extend_from_within(begin..);
                self.lines += 1;
                "the record of the line before stands here again"
            }
        };
        self.found.push(Fault { line: self.lines, order_id: person.order_id.clone(), what });
    }
}

#[cfg(test)]
#[path = "sample_tests.rs"]
mod tests;

//! A lot of blank cards: each is taken, scrapped or left, each that was sent has arrived, is under way or is
//! lost, and when none is left it says so.

use super::sums::{Difference, Line};

/// Why a lot does not do what it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LotRefusal {
    /// No blank card is left.
    #[error("the quota of {allocated} cards is used up: orders wait until more are allocated")]
    QuotaUsedUp {
        /// How many the lot had.
        allocated: u64,
    },
    /// Fewer are there than are asked for.
    #[error("only {there} cards are there for that: compare the report with what was reported before")]
    TooMany {
        /// How many could be.
        there: u64,
    },
}

/// The cards of a lot, counted. Whatever is done, its sums close.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lot {
    consumed: u64,
    scrapped: u64,
    remaining: u64,
    arrived: u64,
    in_transit: u64,
    lost: u64,
}

impl Lot {
    /// Returns a lot of so many blank cards.
    #[must_use]
    pub fn new(allocated: u64) -> Self {
        Self { remaining: allocated, ..Self::default() }
    }

    /// Adds blank cards.
    #[must_use]
    pub fn allocate(self, count: u64) -> Self {
        Self { remaining: self.remaining + count, ..self }
    }

    /// Takes blank cards for orders.
    ///
    /// # Errors
    /// [`LotRefusal::QuotaUsedUp`] if fewer are left: the orders wait.
    pub fn take(self, count: u64) -> Result<Self, LotRefusal> {
        let Some(remaining) = self.remaining.checked_sub(count) else {
            return Err(LotRefusal::QuotaUsedUp { allocated: self.allocated() });
        };
        Ok(Self { remaining, consumed: self.consumed + count, ..self })
    }

    /// Takes back blank cards that nothing was made of: their orders are made of another lot.
    ///
    /// # Errors
    /// [`LotRefusal::TooMany`] if fewer were taken and not sent.
    pub fn give_back(self, count: u64) -> Result<Self, LotRefusal> {
        let _ = less(self.consumed - self.shipped(), count)?;
        Ok(Self { consumed: self.consumed - count, remaining: self.remaining + count, ..self })
    }

    /// Scraps cards that were taken and not sent: their orders need others.
    ///
    /// # Errors
    /// [`LotRefusal::TooMany`] if fewer are there.
    pub fn scrap(self, count: u64) -> Result<Self, LotRefusal> {
        let _ = less(self.consumed - self.shipped(), count)?;
        Ok(Self { consumed: self.consumed - count, scrapped: self.scrapped + count, ..self })
    }

    /// Sends cards that were taken.
    ///
    /// # Errors
    /// [`LotRefusal::TooMany`] if fewer are there.
    pub fn ship(self, count: u64) -> Result<Self, LotRefusal> {
        let _ = less(self.consumed - self.shipped(), count)?;
        Ok(Self { in_transit: self.in_transit + count, ..self })
    }

    /// Cards that were sent arrive.
    ///
    /// # Errors
    /// [`LotRefusal::TooMany`] if fewer are under way.
    pub fn arrive(self, count: u64) -> Result<Self, LotRefusal> {
        let in_transit = less(self.in_transit, count)?;
        Ok(Self { in_transit, arrived: self.arrived + count, ..self })
    }

    /// Cards that were sent do not arrive.
    ///
    /// # Errors
    /// [`LotRefusal::TooMany`] if fewer are under way.
    pub fn lose(self, count: u64) -> Result<Self, LotRefusal> {
        let in_transit = less(self.in_transit, count)?;
        Ok(Self { in_transit, lost: self.lost + count, ..self })
    }

    /// Cards that did not arrive are there after all.
    ///
    /// # Errors
    /// [`LotRefusal::TooMany`] if fewer are lost.
    pub fn find(self, count: u64) -> Result<Self, LotRefusal> {
        let lost = less(self.lost, count)?;
        Ok(Self { lost, arrived: self.arrived + count, ..self })
    }

    /// How many blank cards it had.
    #[must_use]
    pub fn allocated(&self) -> u64 {
        self.consumed + self.scrapped + self.remaining
    }

    /// How many were sent.
    #[must_use]
    pub fn shipped(&self) -> u64 {
        self.arrived + self.in_transit + self.lost
    }

    /// How many blank cards are left.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The figures of this lot, as a producer's would be.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let Self { consumed, scrapped, remaining, arrived, in_transit, lost } = *self;
        let (allocated, shipped) = (self.allocated(), self.shipped());
        Figures { allocated, consumed, scrapped, remaining, shipped, arrived, in_transit, lost }
    }
}

fn less(there: u64, count: u64) -> Result<u64, LotRefusal> {
    there.checked_sub(count).ok_or(LotRefusal::TooMany { there })
}

/// The figures of a lot as somebody reports or counts them, which need not close.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Blank cards that the lot had.
    pub allocated: u64,
    /// Cards made of them.
    pub consumed: u64,
    /// Cards that were spoilt.
    pub scrapped: u64,
    /// Blank cards that are left.
    pub remaining: u64,
    /// Cards sent to municipalities.
    pub shipped: u64,
    /// Cards that a municipality has.
    pub arrived: u64,
    /// Cards that are under way.
    pub in_transit: u64,
    /// Cards that did not arrive.
    pub lost: u64,
}

impl Figures {
    /// The sums that do not close.
    #[must_use]
    pub fn differences(&self) -> Vec<Difference> {
        let lines = [
            Line::Allocated.difference(self.allocated, &[self.consumed, self.scrapped, self.remaining]),
            Line::Shipped.difference(self.shipped, &[self.arrived, self.in_transit, self.lost]),
        ];
        lines.into_iter().flatten().collect()
    }
}

#[cfg(test)]
#[path = "lot_tests.rs"]
mod tests;

//! Envelopes and cards are counted apart, each is somewhere, and what nobody can name has a line of its own.

use std::{collections::BTreeMap, num::NonZeroU32};

use super::{
    MailState,
    standing::{Milestone, Standing},
};
use crate::domain::life::sums::{Difference, Line};

/// What became of what was ordered, up to the post.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Production {
    /// Ordered.
    pub ordered: u64,
    /// Not printed yet.
    pub waiting: u64,
    /// Never to be printed.
    pub scrapped: u64,
    /// Printed.
    pub printed: u64,
    /// Printed, and not in an envelope yet.
    pub waiting_for_insertion: u64,
    /// Printed, and never to be put into an envelope.
    pub spoiled: u64,
    /// In an envelope.
    pub inserted: u64,
    /// In an envelope, and not posted.
    pub held: u64,
    /// Posted.
    pub posted: u64,
}

impl Production {
    /// The sums that do not close.
    #[must_use]
    pub fn differences(&self) -> Vec<Difference> {
        let printed = [self.inserted, self.waiting_for_insertion, self.spoiled];
        let lines = [
            Line::Ordered.difference(self.ordered, &[self.printed, self.waiting, self.scrapped]),
            Line::Printed.difference(self.printed, &printed),
            Line::Inserted.difference(self.inserted, &[self.posted, self.held]),
        ];
        lines.into_iter().flatten().collect()
    }
}

/// What became of what was posted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Post {
    /// Posted.
    pub posted: u64,
    /// Delivered at the first attempt.
    pub delivered: u64,
    /// Brought back, once or more often.
    pub returned: u64,
    /// Under way.
    pub in_transit: u64,
    /// Delivered without a card, as the household says.
    pub lost: u64,
}

impl Post {
    /// The difference, if the sum does not close.
    #[must_use]
    pub fn difference(&self) -> Option<Difference> {
        let Self { posted, delivered, returned, in_transit, lost } = *self;
        Line::Posted.difference(posted, &[delivered, returned, in_transit, lost])
    }
}

/// What became of what was brought back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Office {
    /// Brought back, once or more often.
    pub returned: u64,
    /// Fetched by the household.
    pub handed_out: u64,
    /// Delivered at a later attempt.
    pub redelivered: u64,
    /// On its way again.
    pub redelivering: u64,
    /// Kept in an office.
    pub stored: u64,
    /// Destroyed.
    pub disposed: u64,
    /// Not found at a stocktake.
    pub missing: u64,
}

impl Office {
    /// The difference, if the sum does not close: what the post says it brought back, and no office says it
    /// has. It is 0 or it is published, and has no other line in which it could hide.
    #[must_use]
    pub fn difference(&self) -> Option<Difference> {
        let Self { returned, handed_out, redelivered, redelivering, stored, disposed, missing } = *self;
        Line::Returned
            .difference(returned, &[handed_out, redelivered, redelivering, stored, disposed, missing])
    }
}

/// Envelopes, or cards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many are in each state; none where a state is not in the map.
    pub states: BTreeMap<MailState, u64>,
    /// Up to the post.
    pub production: Production,
    /// From the post to the door.
    pub post: Post,
    /// From the office on.
    pub office: Office,
}

impl Tally {
    /// Every sum that does not close.
    #[must_use]
    pub fn differences(&self) -> Vec<Difference> {
        let later = [self.post.difference(), self.office.difference()];
        self.production.differences().into_iter().chain(later.into_iter().flatten()).collect()
    }

    fn add(&mut self, standing: &Standing, n: u64) {
        *self.states.entry(standing.state).or_default() += n;
        let voided = standing.state == MailState::Voided;
        let production = &mut self.production;
        production.ordered += n;
        match standing.furthest {
            Milestone::Ordered if voided => production.scrapped += n,
            Milestone::Ordered => production.waiting += n,
            Milestone::Printed if voided => production.spoiled += n,
            Milestone::Printed => production.waiting_for_insertion += n,
            Milestone::Inserted => production.held += n,
            Milestone::Posted => self.post.add(standing.state, n),
            Milestone::Returned | Milestone::HandedOut => self.office.add(standing, n),
        }
        let reached = |milestone| if standing.furthest >= milestone { n } else { 0 };
        production.printed += reached(Milestone::Printed);
        production.inserted += reached(Milestone::Inserted);
        production.posted += reached(Milestone::Posted);
        self.post.posted += reached(Milestone::Posted);
        self.post.returned += reached(Milestone::Returned);
        self.office.returned += reached(Milestone::Returned);
    }
}

impl Post {
    // Of what was posted and never came back.
    fn add(&mut self, state: MailState, n: u64) {
        match state {
            MailState::Delivered => self.delivered += n,
            MailState::EmptyEnvelopeClaimed => self.lost += n,
            _ => self.in_transit += n,
        }
    }
}

impl Office {
    // Of what came back at least once; what is RETURNED is nowhere yet, so it is what is unknown.
    fn add(&mut self, standing: &Standing, n: u64) {
        match standing.state {
            MailState::EmptyEnvelopeClaimed if standing.furthest < Milestone::HandedOut => {
                self.redelivered += n;
            }
            MailState::HandedOut | MailState::EmptyEnvelopeClaimed => self.handed_out += n,
            MailState::Delivered => self.redelivered += n,
            MailState::Redelivering => self.redelivering += n,
            MailState::Stored => self.stored += n,
            MailState::Disposed => self.disposed += n,
            MailState::Missing => self.missing += n,
            MailState::Ordered
            | MailState::Printed
            | MailState::Inserted
            | MailState::Posted
            | MailState::Returned
            | MailState::Voided => {}
        }
    }
}

/// How many envelopes and how many cards there are, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Envelopes, one for each household.
    pub envelopes: Tally,
    /// The cards in them.
    pub cards: Tally,
}

impl Counts {
    /// Counts an envelope with so many cards.
    pub fn add(&mut self, standing: &Standing, card_count: NonZeroU32) {
        self.envelopes.add(standing, 1);
        self.cards.add(standing, u64::from(card_count.get()));
    }
}

#[cfg(test)]
#[path = "counts_tests.rs"]
mod tests;

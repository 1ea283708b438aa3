//! Promise: the sums of envelopes and of cards close whatever happened, and what nobody can name shows in one
//! line, as the figures of 2016 must.

use proptest::prelude::*;
use uuid::Uuid;

use super::{
    super::{MailCommand, standing::MailEvent},
    *,
};

fn cards(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).expect("not 0")
}

#[test]
fn the_figures_of_january_2016_leave_130_000_that_nobody_could_name() {
    let post = Post { posted: 58_390_000, delivered: 52_480_000, returned: 5_910_000, ..Post::default() };
    assert_eq!(post.difference(), None);
    let office =
        Office { returned: post.returned, handed_out: 2_160_000, stored: 3_620_000, ..Office::default() };
    let open = Tally { post, office, ..Tally::default() }.differences();
    assert_eq!(open, [Difference { line: Line::Returned, whole: 5_910_000, unknown: 130_000 }]);
    assert_eq!(
        open[0].to_string(),
        "returned = handed out + redelivered + redelivering + stored + disposed + missing: of 5910000, \
         130000 are unknown"
    );
}

#[test]
fn the_figures_of_18_march_2016_close_only_if_what_was_fetched_counts_as_never_returned() {
    // Published were what was posted and what was undelivered on that day.
    let (posted, undelivered) = (58_760_000, 2_180_000);
    let post = Post { posted, delivered: posted - undelivered, returned: undelivered, ..Post::default() };
    let office = Office { returned: undelivered, stored: undelivered, ..Office::default() };
    assert_eq!((post.difference(), office.difference()), (None, None));
    // At least the 5.91 million of January had been returned by then.
    let ever_returned = Office { returned: 5_910_000, ..office };
    let open = ever_returned.difference().expect("nothing was said of the others");
    assert_eq!((open.line, open.unknown), (Line::Returned, 3_730_000));
    let fetched = Office { handed_out: 3_730_000, ..ever_returned };
    assert_eq!(fetched.difference(), None);
}

#[test]
fn each_sum_before_the_post_names_itself() {
    let good = Production {
        ordered: 10,
        waiting: 1,
        scrapped: 1,
        printed: 8,
        waiting_for_insertion: 1,
        spoiled: 1,
        inserted: 6,
        held: 2,
        posted: 4,
    };
    assert_eq!(good.differences(), []);
    let open = |production: Production| -> Vec<(Line, i128)> {
        production.differences().iter().map(|open| (open.line, open.unknown)).collect()
    };
    assert_eq!(open(Production { waiting: 0, ..good }), [(Line::Ordered, 1)]);
    assert_eq!(open(Production { spoiled: 4, ..good }), [(Line::Printed, -3)]);
    assert_eq!(open(Production { posted: 2, ..good }), [(Line::Inserted, 2)]);
    let post = Post { posted: 10, delivered: 4, returned: 3, in_transit: 2, lost: 1 };
    assert_eq!(post.difference(), None);
    let lost = Post { lost: 0, ..post }.difference().expect("one is unknown");
    assert_eq!((lost.line, lost.unknown), (Line::Posted, 1));
}

/// An envelope that came to this by these commands, one a second.
fn standing(commands: &[MailCommand]) -> Standing {
    let events = (1..).zip(commands).map(|(n, command): (u8, _)| MailEvent {
        id: Uuid::from_u128(n.into()),
        occurred_ms: i64::from(n) * 1000,
        command: command.clone(),
    });
    Standing::of(events.collect())
}

/// An envelope in each place, with 1, 2, … 14 cards.
fn one_in_each_place() -> Counts {
    use MailCommand as Do;
    let mut counts = Counts::default();
    let stored = [Do::Return, Do::Store];
    let with = |last: &[MailCommand]| standing(&[&stored[..], last].concat());
    let each: Vec<Standing> = vec![
        standing(&[]),
        standing(&[Do::Void]),
        standing(&[Do::Print]),
        standing(&[Do::Print, Do::Void]),
        standing(&[Do::Post]),
        standing(&[Do::Deliver]),
        standing(&[Do::ClaimEmptyEnvelope]),
        with(&[Do::HandOver]),
        with(&[Do::HandOver, Do::ClaimEmptyEnvelope]),
        with(&[Do::RequestRedelivery]),
        with(&[Do::RequestRedelivery, Do::Deliver]),
        with(&[Do::RequestRedelivery, Do::Deliver, Do::ClaimEmptyEnvelope]),
        with(&[Do::FindMissing]),
        with(&[]),
    ];
    for (cards_inside, standing) in (1..).zip(&each) {
        counts.add(standing, cards(cards_inside));
    }
    counts
}

#[test]
fn each_envelope_is_in_one_place_with_all_its_cards() {
    let counts = one_in_each_place();
    let production = Production {
        ordered: 14,
        waiting: 1,
        scrapped: 1,
        printed: 12,
        waiting_for_insertion: 1,
        spoiled: 1,
        inserted: 10,
        held: 0,
        posted: 10,
    };
    assert_eq!(counts.envelopes.production, production);
    let post = Post { posted: 10, delivered: 1, returned: 7, in_transit: 1, lost: 1 };
    assert_eq!(counts.envelopes.post, post);
    let office = Office {
        returned: 7,
        handed_out: 2,
        redelivered: 2,
        redelivering: 1,
        stored: 1,
        disposed: 0,
        missing: 1,
    };
    assert_eq!(counts.envelopes.office, office);
    let office = Office {
        returned: 8 + 9 + 10 + 11 + 12 + 13 + 14,
        handed_out: 8 + 9,
        redelivered: 11 + 12,
        redelivering: 10,
        stored: 14,
        disposed: 0,
        missing: 13,
    };
    assert_eq!(counts.cards.office, office);
    assert_eq!(counts.cards.states[&MailState::EmptyEnvelopeClaimed], 7 + 9 + 12);
    assert_eq!((counts.envelopes.differences(), counts.cards.differences()), (vec![], vec![]));
}

#[test]
fn what_the_post_brought_back_and_no_office_has_is_unknown() {
    let mut counts = Counts::default();
    counts.add(&standing(&[MailCommand::Return]), cards(4));
    counts.add(&standing(&[MailCommand::Return, MailCommand::Store]), cards(2));
    let unknown = |tally: &Tally| -> Vec<(Line, i128)> {
        tally.differences().iter().map(|open| (open.line, open.unknown)).collect()
    };
    assert_eq!(unknown(&counts.envelopes), [(Line::Returned, 1)]);
    assert_eq!(unknown(&counts.cards), [(Line::Returned, 4)]);
}

proptest! {
    #[test]
    fn whatever_happened_to_envelopes_only_what_no_office_has_is_unknown(
        all in prop::collection::vec(
            (1..6u32, prop::collection::vec(prop::sample::select(vec![
                MailCommand::Print, MailCommand::Post, MailCommand::Deliver, MailCommand::Return,
                MailCommand::Store, MailCommand::HandOver, MailCommand::RequestRedelivery,
                MailCommand::FindMissing, MailCommand::FindAgain, MailCommand::ClaimEmptyEnvelope,
                MailCommand::Void,
            ]), 0..9)),
            0..20,
        ),
    ) {
        let mut counts = Counts::default();
        for (inside, commands) in &all {
            counts.add(&standing(commands), cards(*inside));
        }
        let inside: u64 = all.iter().map(|(inside, _)| u64::from(*inside)).sum();
        for (tally, whole) in [(&counts.envelopes, all.len() as u64), (&counts.cards, inside)] {
            prop_assert_eq!(tally.production.ordered, whole);
            prop_assert_eq!(tally.states.values().sum::<u64>(), whole);
            let nowhere = tally.states.get(&MailState::Returned).copied().unwrap_or_default();
            let open: Vec<_> = tally.differences().iter().map(|open| (open.line, open.unknown)).collect();
            let expected = (nowhere > 0).then_some((Line::Returned, i128::from(nowhere)));
            prop_assert_eq!(open, Vec::from_iter(expected));
        }
    }
}

//! Promise: the sums of a lot close whatever is done with it, and at the end of its quota it says so.

use proptest::prelude::*;

use super::*;

#[test]
fn at_the_end_of_the_quota_orders_are_told_to_wait() {
    let mut lot = Lot::new(2);
    lot = lot.take(1).expect("two are left");
    assert_eq!(lot.take(2), Err(LotRefusal::QuotaUsedUp { allocated: 2 }));
    lot = lot.take(1).expect("one is left");
    let refused = lot.take(1).expect_err("none is left");
    assert_eq!(refused, LotRefusal::QuotaUsedUp { allocated: 2 });
    assert_eq!(refused.to_string(), "the quota of 2 cards is used up: orders wait until more are allocated");
    // A card that is scrapped gives no blank card back.
    lot = lot.scrap(1).expect("two were made");
    assert_eq!(lot.take(1), Err(LotRefusal::QuotaUsedUp { allocated: 2 }));
    assert_eq!(lot.allocate(1).take(1).map(|lot| lot.remaining()), Ok(0));
    assert_eq!(Lot::default().take(1), Err(LotRefusal::QuotaUsedUp { allocated: 0 }));
}

#[test]
fn nothing_is_scrapped_shipped_lost_or_found_that_is_not_there() {
    let made = Lot::new(10).take(3).expect("ten are there");
    assert_eq!(made.ship(4), Err(LotRefusal::TooMany { there: 3 }));
    let shipped = made.ship(3).expect("three were made");
    assert_eq!(shipped.scrap(1), Err(LotRefusal::TooMany { there: 0 }));
    assert_eq!(shipped.arrive(4), Err(LotRefusal::TooMany { there: 3 }));
    assert_eq!(shipped.lose(u64::MAX), Err(LotRefusal::TooMany { there: 3 }));
    let lost = shipped.lose(1).expect("three are under way");
    assert_eq!(lost.find(2), Err(LotRefusal::TooMany { there: 1 }));
    let found = lost.find(1).expect("one is lost");
    let figures = Figures {
        allocated: 10,
        consumed: 3,
        scrapped: 0,
        remaining: 7,
        shipped: 3,
        arrived: 1,
        in_transit: 2,
        lost: 0,
    };
    assert_eq!(found.figures(), figures);
}

#[test]
fn a_report_that_does_not_close_names_its_sum() {
    let good = Figures {
        allocated: 10,
        consumed: 6,
        scrapped: 1,
        remaining: 3,
        shipped: 6,
        arrived: 4,
        in_transit: 1,
        lost: 1,
    };
    assert_eq!(good.differences(), []);
    let open = |figures: Figures| -> Vec<(Line, i128)> {
        figures.differences().iter().map(|open| (open.line, open.unknown)).collect()
    };
    assert_eq!(open(Figures { scrapped: 0, ..good }), [(Line::Allocated, 1)]);
    assert_eq!(open(Figures { arrived: 6, ..good }), [(Line::Shipped, -2)]);
    let both = Figures { remaining: 0, lost: 0, ..good };
    assert_eq!(open(both), [(Line::Allocated, 3), (Line::Shipped, 1)]);
}

proptest! {
    #[test]
    fn whatever_is_done_with_a_lot_its_sums_close_and_nothing_is_made_of_nothing(
        allocated in prop_oneof![0..20u64, Just(u64::MAX)],
        steps in prop::collection::vec((0..7u8, prop_oneof![0..5u64, Just(u64::MAX)]), 0..60),
    ) {
        let mut lot = Lot::new(allocated);
        for (what, count) in steps {
            let after = match what {
                0 => lot.take(count),
                1 => lot.scrap(count),
                2 => lot.ship(count),
                3 => lot.arrive(count),
                4 => lot.lose(count),
                5 => lot.give_back(count),
                _ => lot.find(count),
            };
            lot = after.unwrap_or(lot);
            prop_assert_eq!(lot.allocated(), allocated);
            prop_assert_eq!(lot.figures().differences(), []);
            prop_assert!(lot.shipped() <= lot.figures().consumed);
            prop_assert_eq!(lot.remaining(), lot.figures().remaining);
        }
    }
}

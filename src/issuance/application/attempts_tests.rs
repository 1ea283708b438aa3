//! Promise: no more than so many tries are answered in a time, whatever is sent again, at once or by a clock
//! that jumps.

use super::*;

const DAY_MS: i64 = 86_400_000;
const MINUTE_MS: i64 = 60_000;

fn attempts() -> Attempts {
    Attempts::new(&Options::default())
}

fn at(code: &str, id: usize, request: usize, now_ms: i64) -> Try {
    let digest = |what: &str, n: usize| Digest::of(format!("{what} {n}").as_bytes());
    Try {
        municipality: code.parse().expect("a municipality"),
        id: digest("id", id).0,
        request: digest("request", request),
        now_ms,
    }
}

fn ward(id: usize, request: usize, now_ms: i64) -> Try {
    at("131229", id, request, now_ms)
}

fn wait_ms(refused: Result<(), Fault>) -> i64 {
    let fault = refused.expect_err("one above the limit");
    assert_eq!(fault.reason, Reason::LookupsLimited);
    ms(fault.retry_after.expect("it says how long"))
}

#[test]
fn an_id_takes_five_wrong_dates_a_day_and_says_when_the_next_is_taken() {
    let attempts = attempts();
    for n in 0..5 {
        attempts
            .begin(&ward(1, n, MINUTE_MS * 100 * i64::try_from(n).expect("small")))
            .expect("below the limit");
    }
    let now_ms = MINUTE_MS * 500;
    assert_eq!(wait_ms(attempts.begin(&ward(1, 5, now_ms))), DAY_MS - now_ms);
    attempts.begin(&ward(2, 6, now_ms)).expect("another ID is not touched");
    attempts.begin(&ward(1, 4, now_ms)).expect("the same request is answered again");
    assert_eq!(wait_ms(attempts.begin(&ward(1, 7, DAY_MS - 1))), 1000, "a second at the least");
    attempts.begin(&ward(1, 7, DAY_MS)).expect("the first has worn off");
    assert_eq!(wait_ms(attempts.begin(&ward(1, 8, DAY_MS))), 100 * MINUTE_MS, "and only that one");
}

#[test]
fn a_municipality_has_thirty_wrong_ones_in_ten_minutes_and_no_other_pays_for_it() {
    let attempts = attempts();
    for n in 0..30 {
        attempts.begin(&ward(n, n, 0)).expect("below the limit");
    }
    assert_eq!(wait_ms(attempts.begin(&ward(30, 30, MINUTE_MS))), 9 * MINUTE_MS);
    attempts.begin(&at("011002", 31, 31, MINUTE_MS)).expect("another municipality");
    attempts.begin(&ward(30, 30, 10 * MINUTE_MS)).expect("they have worn off");
}

#[test]
fn what_is_right_or_could_not_be_looked_up_counts_for_nothing_and_takes_no_other_away() {
    let attempts = attempts();
    for n in 0..200 {
        let one = ward(1, n, 0);
        attempts.begin(&one).expect("all before were right");
        attempts.take_back(&one);
    }
    assert!(attempts.counts.lock().expect("sound").ids.is_empty(), "nothing is kept of them");
    for n in 0..4 {
        attempts.begin(&ward(1, n, 0)).expect("below the limit");
    }
    let right = ward(1, 4, 0);
    attempts.begin(&right).expect("the fifth");
    attempts.begin(&ward(1, 5, 0)).expect_err("it counts while it is looked up");
    attempts.take_back(&right);
    attempts.begin(&ward(1, 5, 0)).expect("the fifth");
    attempts.begin(&ward(1, 6, 0)).expect_err("the other four have stayed");
}

#[test]
fn a_clock_that_is_set_back_locks_nobody_out_for_longer() {
    let attempts = attempts();
    for n in 0..5 {
        attempts.begin(&ward(1, n, 3 * DAY_MS)).expect("below the limit");
    }
    let back_ms = 3 * DAY_MS - 60 * MINUTE_MS;
    assert_eq!(wait_ms(attempts.begin(&ward(1, 5, back_ms))), DAY_MS, "a day at the most");
    attempts.begin(&ward(1, 5, DAY_MS)).expect("by this clock they are of another time");
}

#[test]
fn memory_is_bounded_and_those_tried_last_are_kept() {
    let attempts = attempts();
    for n in 0..=IDS_MAX {
        let ms = i64::try_from(n).expect("small");
        attempts.begin(&at("131229", n, n, ms * MINUTE_MS)).expect("one of each");
    }
    let counts = attempts.counts.lock().expect("sound");
    assert!(counts.ids.len() <= IDS_MAX, "{}", counts.ids.len());
    assert!(counts.ids.contains_key(&ward(IDS_MAX, 0, 0).id) && !counts.ids.contains_key(&ward(0, 0, 0).id));
}

//! Promise: calls go where they are answered soon, and a relay that hangs or fails is left alone.

use std::{collections::BTreeSet, time::Duration};

use super::*;

fn four(now: Instant) -> Picker {
    Picker::new((1..=4).map(|n| format!("relay-{n}")), 42, now)
}

#[tokio::test(start_paused = true)]
async fn the_first_use_is_waited_for_and_may_have_been_before() {
    let picker = Picker::new(["a".to_owned()], 7, Instant::now());
    let waited = tokio::time::timeout(Duration::from_secs(9), picker.first_use()).await;
    assert!(waited.is_err(), "nothing was picked");
    drop(picker.pick(&[], Instant::now()));
    drop(picker.pick(&[], Instant::now()));
    picker.first_use().await;
}

#[test]
fn calls_spread_over_all_relays() {
    let now = Instant::now();
    let picker = four(now);
    let held: Vec<Picked> = (0..100).map(|_| picker.pick(&[], now)).collect();
    for relay in 0..4 {
        let share = held.iter().filter(|picked| picked.index() == relay).count();
        assert!((15..=35).contains(&share), "relay {relay} has {share} of 100");
    }
    drop(held);
    assert!(picker.relays.load().iter().all(|relay| relay.in_flight.load(Ordering::Relaxed) == 0));
}

#[test]
fn a_hanging_relay_is_left_alone_after_a_handful_of_calls() {
    let now = Instant::now();
    let picker = four(now);
    let mut hanging = Vec::new();
    for _ in 0..400 {
        let picked = picker.pick(&[], now);
        if picked.index() == 1 {
            hanging.push(picked); // never answered; the others answer at once
        }
    }
    assert!(hanging.len() <= 4, "{} of 400 calls hang", hanging.len());
}

#[test]
fn a_failing_relay_attracts_nothing_until_its_penalty_is_gone() {
    let now = Instant::now();
    let picker = four(now);
    let failing = loop {
        let picked = picker.pick(&[], now);
        if picked.index() == 2 {
            break picked;
        }
    };
    failing.failed(now);
    drop(failing);
    assert!((0..200).all(|_| picker.pick(&[], now).index() != 2));
    let later = now + Duration::from_secs(600);
    let back = (0..400).filter(|_| picker.pick(&[], later).index() == 2).count();
    assert!(back > 0, "a penalty is not for ever");
}

#[test]
fn a_relay_that_lied_is_taken_only_when_all_of_them_did() {
    let now = Instant::now();
    let picker = four(now);
    (0..3).for_each(|index| picker.distrust(index));
    assert_eq!(picker.relay_count(), 1);
    assert!((0..50).all(|_| picker.pick(&[3], now).index() == 3), "rather one to avoid than a liar");
    picker.distrust(3);
    assert_eq!(picker.relay_count(), 4);
    assert!((0..50).all(|_| picker.pick(&[3], now).index() != 3));
}

#[test]
fn a_relay_gets_its_share_of_calls_also_while_the_others_are_busy() {
    let now = Instant::now();
    for count in [2, 4] {
        let picker = Picker::new((1..=count).map(|n| format!("relay-{n}")), 42, now);
        picker.regard(1, Use::Share(5));
        assert_eq!((picker.relay_count(), picker.whole_count()), (count, count - 1));
        let busy: Vec<Picked> = (0..20).map(|_| picker.pick(&[1], now)).collect();
        let calls = (0..10_000).filter(|_| picker.pick(&[], now).index() == 1).count();
        // Of two it is the less loaded one each time that it takes part; of four half of the times.
        let expected = [500, 250][usize::from(count == 4)];
        assert!(calls.abs_diff(expected) < expected / 4, "{calls} of 10,000 calls to one of {count}");
        drop(busy);
    }
}

#[test]
fn a_relay_without_share_is_tried_only_when_all_others_have_just_failed_and_one_that_is_gone_never() {
    let now = Instant::now();
    let picker = four(now);
    picker.regard(0, Use::Share(0));
    picker.regard(1, Use::Gone);
    let seen = |avoid: &[usize], now| -> BTreeSet<usize> {
        (0..200).map(|_| picker.pick(avoid, now).index()).collect()
    };
    assert_eq!((seen(&[], now), picker.relay_count()), (BTreeSet::from([2, 3]), 2));
    assert_eq!(seen(&[2, 3], now), BTreeSet::from([2, 3]), "rather one to avoid");
    picker.pick(&[3], now).failed(now);
    assert_eq!(seen(&[], now), BTreeSet::from([3]));
    picker.pick(&[2], now).failed(now);
    assert_eq!(
        seen(&[], now + Duration::from_secs(1)),
        BTreeSet::from([2, 3]),
        "rather one that failed once"
    );
    (2..4).for_each(|index| picker.pick(&[0, 1, 5 - index], now).failed(now));
    assert!(seen(&[], now).contains(&0), "a view may be old");
    assert_eq!(seen(&[2, 3], now), BTreeSet::from([0]));
    let later = now + Duration::from_secs(60);
    assert_eq!(seen(&[], later), BTreeSet::from([2, 3]), "what they did is forgotten");
}

#[test]
fn a_relay_that_is_added_is_used_once_it_has_a_share() {
    let now = Instant::now();
    let picker = four(now);
    assert_eq!(picker.add("relay-5".to_owned(), now), 4);
    assert!((0..200).all(|_| picker.pick(&[], now).index() < 4));
    picker.regard(4, Use::Share(WHOLE));
    assert!((0..200).any(|_| picker.pick(&[], now).name() == "relay-5"));
    assert_eq!((picker.relay_count(), picker.all_count()), (5, 5));
}

#[test]
fn avoided_relays_are_taken_only_when_there_is_no_other() {
    let now = Instant::now();
    let picker = four(now);
    assert!((0..50).all(|_| picker.pick(&[0, 1, 3], now).index() == 2));
    assert!(picker.pick(&[0, 1, 2, 3], now).index() < 4);
}

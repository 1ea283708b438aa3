//! Promise: an explanation says what is weighed, who is left out of it and why, and forecasts nothing that
//! will not be acted upon.

use super::super::tests::{evicted, explained, explained_with, observer, text, undecided, whole};
use crate::pool::{
    explain::Known,
    judgement::{Bet, Judgement, Verdict},
    policy::{
        Kind, Parameters,
        fixture::{Pool, id},
    },
};

/// A pool whose unit 2 is steered away from, explained with these bets as the rule had made them.
fn with_bets(change: impl FnOnce(&mut Vec<Bet>)) -> String {
    let mut pool = Pool::of(4);
    pool.sick(2, 12.0);
    pool.run(3);
    let bets = |judgement: &mut Judgement| {
        undecided(judgement);
        change(&mut judgement.units.get_mut(&id(2)).expect("it is judged").bets);
    };
    whole(&explained(&pool, 2, 8, bets).text())
}

/// What is said of observers that are left out.
fn left_out(said: &str) -> [bool; 3] {
    ["WITHOUT OBSERVER", "left out of", "DISCARDED: left out of S"].map(|words| said.contains(words))
}

#[test]
fn an_observer_that_is_left_out_is_named_with_the_reason_and_nobody_is_where_that_changes_nothing() {
    let said = with_bets(|_| ());
    let why =
        "relay/relay-3 is left out of S: it says most against relay-2, and no observer alone may evict.";
    assert!(said.contains(why) && left_out(&said) == [true; 3], "{said}");
    assert!(said.contains("18.3 21.4 33 of 40 0 of 120 80.2 % nobody; not counted"), "{said}");
    assert_eq!(said.matches("not counted").count(), 1, "the others have nobody to leave out: {said}");
    let same = with_bets(|bets| bets[1].s = bets[0].s);
    assert_eq!(left_out(&same), [false; 3], "{same}");
    let two = with_bets(|bets| bets[0].left_out.push(observer("relay/relay-4")));
    let why = "relay/relay-3, relay/relay-4 are left out of S: they say most against relay-2, and no two \
               observers together may evict.";
    assert!(two.contains(why), "{two}");
    let elsewhere = with_bets(|bets| {
        let slow = Bet { s: 1.0, left_out: bets[0].left_out.clone(), ..bets[3].clone() };
        bets.insert(3, slow);
        bets[1].s = bets[0].s;
    });
    let why = "Whoever stands under WITHOUT OBSERVER is left out of that line: it says most against relay-2";
    assert!(elsewhere.contains(why) && left_out(&elsewhere) == [true, true, false], "{elsewhere}");
}

#[test]
fn who_was_left_out_when_a_unit_was_evicted_is_said_as_long_as_it_is_out() {
    let mut pool = evicted(Parameters::default());
    assert_eq!(left_out(&text(&pool, 2, 10)), [false; 3]);
    let bets = &mut pool.record[0].evidence.as_mut().expect("it was weighed").bets;
    let all = Bet { s: 25.0, ..bets[0].clone() };
    bets[0].left_out = vec![observer("relay/relay-3")];
    bets.insert(1, all);
    let said = whole(&text(&pool, 2, 10));
    assert!(said.contains("relay/relay-3 is left out of S: it says most against relay-2"), "{said}");
}

#[test]
fn one_that_has_just_come_back_is_not_said_to_be_without_callers() {
    let mut pool = evicted(Parameters::default());
    pool.until(&Kind::Step(1), 2, 300);
    let unjudged = |judgement: &mut Judgement| {
        judgement.units.remove(&id(2));
    };
    let said = explained(&pool, 2, 0, unjudged).text();
    assert!(said.contains("Evidence against it: none yet, as it has just come back into use"), "{said}");
}

#[test]
fn a_verdict_of_none_says_who_is_not_judged() {
    let said = |pool: &Pool, change: fn(&mut Judgement)| whole(&explained(pool, 2, 0, change).text());
    let none = "NONE: nothing is wrong that can be seen";
    assert!(said(&Pool::of(4), |_| ()).contains(&format!("Verdict on all units: {none} Siblings")));
    let nobody = said(&Pool::of(4), |judgement| judgement.units.clear());
    assert!(nobody.contains(&format!("{none}, as none is in use, and only")), "{nobody}");
    let mut pool = Pool::of(4);
    pool.gone.insert(id(2));
    pool.run(2);
    let out = said(&pool, |_| ());
    assert!(out.contains(&format!("{none}; those that are out of use are not judged")), "{out}");
    assert!(
        out.contains(&format!("Verdict then: {none}. A lease that is not renewed is enough to evict")),
        "{out}"
    );
}

#[test]
fn while_the_database_is_away_nothing_is_forecast() {
    let mut pool = Pool::of(4);
    pool.sick(2, 12.0);
    pool.run(3);
    let forecast = |judgement: &mut Judgement| {
        judgement.verdict = Verdict::Undecided { seconds: Some(34) };
        for judged in judgement.units.values_mut() {
            judged.seconds_to_sick = Some(34);
        }
    };
    let text = |frozen| {
        let told = |known: &mut Known<'_>| known.issuer.frozen = frozen;
        whole(&explained_with(&pool, 2, 0, forecast, told).text())
    };
    let forecasts = ["in 34 s", "enough in 34 s", "as now", "and then EVICTED", "evicted at"];
    let seen = |said: &str| forecasts.map(|words| said.contains(words));
    assert_eq!((seen(&text(false)), seen(&text(true))), ([true; 5], [false; 5]), "{}", text(true));
    assert!(text(true).contains("Next: nothing changes until the database is back"));
}

#[test]
fn whom_there_is_too_little_evidence_against_is_named() {
    let mut pool = Pool::of(4);
    pool.sick(2, 12.0);
    pool.run(3);
    let undecided = |judgement: &mut Judgement| {
        judgement.verdict = Verdict::Undecided { seconds: Some(34) };
    };
    let said = whole(&explained(&pool, 3, 0, undecided).text());
    assert!(said.contains("enough in 34 s if all goes on as now. The evidence is against relay-2"), "{said}");
}

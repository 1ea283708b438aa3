//! Promise: a unit whose probes are paused is let back, and its probes are suspect, only once its callers'
//! calls were seen to be good: silence says nothing for it.

use super::{
    Alarm, Decision, Intervention, Kind, Request, State,
    fixture::{Pool, bet, id, intervention, order},
};
use crate::pool::{
    evidence::Class,
    judgement::{Judgement, Verdict},
};

/// A pool of 4 whose unit 2 is steered away from, and from now on not probed for so long.
fn paused(seconds: u64) -> Pool {
    let mut pool = Pool::of(4);
    pool.sick(2, 10.0);
    pool.run(1);
    assert_eq!(pool.state(2), State::Suspect);
    pool.tell(vec![order("alice", Request::PauseProbes { unit: id(2), seconds })]);
    assert!(!pool.policy.may_probe(&id(2)) && pool.policy.may_probe(&id(1)));
    pool
}

fn accusation(pool: &Pool) -> Option<&Decision> {
    pool.record.iter().find(|one| one.kind == Kind::Alarm(Alarm::ProbeInduced))
}

/// A second in which unit 2 had enough of these calls to be judged by them, worse than its peers' by d.
fn with_calls(pool: &Pool, class: Class, scale: u32, d: f64) -> Judgement {
    let mut judgement = pool.judgement();
    let judged = judgement.units.get_mut(&id(2)).expect("it is judged");
    let mut short = bet(Class::Traffic, 0.0, false);
    short.scale = 10;
    let mut calls = bet(class, 0.0, true);
    (calls.scale, calls.d) = (scale, d);
    judged.bets = vec![short, calls];
    judgement
}

#[test]
fn calls_that_are_good_for_half_a_minute_clear_it_and_accuse_its_probes() {
    let mut pool = paused(3_600);
    let refused = pool.tell(vec![order("bob", Request::PauseProbes { unit: id(2), seconds: 7_200 })]);
    assert!(refused[0].reason.contains("1 to 3600 s, not for 7200 s"), "{}", refused[0].reason);
    pool.well(2);
    pool.run(20);
    assert_eq!(pool.state(2), State::Suspect, "not yet");
    let back = pool.until(&Kind::SteerBack, 2, 30);
    let words = "relay-2 was as well as its peers for 30 s on end, in its callers' calls, while its probes";
    assert_eq!(back.reason, format!("{words} are paused"));
    assert_eq!(accusation(&pool).expect("it is said").attributes, ["probe=deep"]);
    pool.run(3_600);
    assert!(pool.policy.may_probe(&id(2)), "a pause ends by itself");
}

#[test]
fn who_hangs_on_unseen_is_not_let_back_and_its_probes_are_not_accused() {
    let mut pool = paused(240);
    pool.well(2);
    pool.unheard = true;
    pool.run(240 + 58);
    assert_eq!((pool.state(2), accusation(&pool)), (State::Suspect, None), "{:?}", pool.record);
    // What its probes say again speaks against it.
    pool.unheard = false;
    pool.sick(2, 6.0);
    pool.run(100);
    assert_eq!(pool.state(2), State::Suspect);
    pool.well(2);
    let reason = pool.until(&Kind::SteerBack, 2, 31).reason;
    assert_eq!(reason, "relay-2 was as well as its peers for 30 s on end, since its judge began anew");
    assert_eq!(accusation(&pool), None, "it was probed again");
}

#[test]
fn a_pause_that_is_ended_by_order_leaves_the_same_silence_behind() {
    let mut pool = paused(600);
    pool.well(2);
    pool.unheard = true;
    pool.run(90);
    pool.tell(vec![order("alice", Request::ResumeProbes { unit: id(2) })]);
    assert!(pool.policy.may_probe(&id(2)));
    pool.run(10);
    assert_eq!(pool.state(2), State::Suspect, "it was not heard of yet");
    pool.unheard = false;
    let reason = pool.until(&Kind::SteerBack, 2, 31).reason;
    assert_eq!(reason, "relay-2 was as well as its peers for 30 s on end, since its probes were paused");
    assert_eq!(accusation(&pool), None);
}

#[test]
fn thin_traffic_counts_on_the_long_scale_and_old_probes_do_not() {
    for (class, scale, d, is_back) in [
        (Class::Traffic, 60, 0.0, true),
        (Class::Traffic, 60, 0.1, false),
        (Class::Traffic, 10, 0.0, true),
        (Class::Probe, 10, 0.0, false),
        (Class::Probe, 60, 0.0, false),
    ] {
        let mut pool = paused(600);
        pool.well(2);
        for _ in 0..100 {
            pool.second += 1;
            let judgement = with_calls(&pool, class, scale, d);
            let decisions = pool.policy.step(pool.second, &judgement, &[]);
            pool.record.extend(decisions);
        }
        assert_eq!(pool.state(2) == State::Healthy, is_back, "{class:?} {scale} s, d = {d}");
        assert_eq!(accusation(&pool).is_some(), is_back, "{class:?} {scale} s, d = {d}");
    }
}

#[test]
fn without_a_pause_silence_is_not_said_to_be_health_either() {
    let mut pool = Pool::of(4);
    pool.sick(2, 10.0);
    pool.run(1);
    pool.well(2);
    pool.unheard = true;
    let reason = pool.until(&Kind::SteerBack, 2, 1).reason;
    assert_eq!(reason, "too little was heard of relay-2 to hold anything against it");
}

#[test]
fn two_operators_who_sign_the_same_say_that_the_probe_is_mended_and_nothing_less_does() {
    let mut pool = paused(300);
    pool.well(2);
    pool.until(&Kind::SteerBack, 2, 40);
    let is_suspect = |pool: &Pool| pool.policy.history().suspects().contains_key("probe=deep");
    let says = |pool: &mut Pool, by: &str, attribute: &str, intervention: Option<Intervention>| {
        let request = Request::Absolve { attribute: attribute.to_owned(), intervention };
        pool.tell(vec![order(by, request)]).remove(0)
    };
    let refused = |decision: Decision| match decision.kind {
        Kind::Refuse(_) => decision.reason,
        other => panic!("{other:?}: {}", decision.reason),
    };
    let other = says(&mut pool, "alice", "model=HSM-9", Some(intervention()));
    assert!(refused(other).ends_with("model=HSM-9 is not suspect; what is: probe=deep"));
    let half = Intervention { hypothesis: " ".to_owned(), ..intervention() };
    assert!(refused(says(&mut pool, "alice", "probe=deep", Some(half))).contains("both parts"));
    assert!(refused(says(&mut pool, "alice", "probe=deep", None)).contains("nobody has signed"));
    assert_eq!(says(&mut pool, "alice", "probe=deep", Some(intervention())).kind, Kind::SignOff);
    assert!(refused(says(&mut pool, "alice", "probe=deep", None)).contains("another operator's"));
    let fan = Intervention { changed: "a new fan".to_owned(), ..intervention() };
    let said = says(&mut pool, "bob", "probe=deep", Some(fan.clone()));
    assert!(said.reason.contains("operator/alice signed other words: driver 2.1"), "{}", said.reason);
    assert!(is_suspect(&pool), "they did not sign the same");
    let done = says(&mut pool, "alice", "probe=deep", Some(fan));
    assert_eq!((done.kind, done.attributes), (Kind::Absolve, vec!["probe=deep".to_owned()]));
    assert!(done.reason.starts_with("operator/bob and operator/alice take the suspicion"), "{}", done.reason);
    assert!(!is_suspect(&pool));
}

#[test]
fn a_signature_that_an_attribute_is_mended_is_void_once_a_unit_fails_with_it_again() {
    let mut pool = paused(300);
    pool.well(2);
    pool.until(&Kind::SteerBack, 2, 40);
    let says = |pool: &mut Pool, by: &str, intervention: Option<Intervention>| {
        let request = Request::Absolve { attribute: "model=HSM-7".to_owned(), intervention };
        pool.tell(vec![order(by, request)]).remove(0)
    };
    let again = |pool: &mut Pool, n: usize| {
        pool.sick(n, 30.0);
        pool.until(&Kind::Evict, n, 120);
        pool.well(n);
    };
    again(&mut pool, 2);
    again(&mut pool, 3);
    assert!(pool.policy.history().suspects().contains_key("model=HSM-7"), "two of a model in a minute");
    assert_eq!(says(&mut pool, "alice", Some(intervention())).kind, Kind::SignOff);
    pool.until(&Kind::Return, 2, 900);
    again(&mut pool, 4);
    let said = says(&mut pool, "bob", None);
    assert_eq!(said.kind, Kind::Refuse("absolve".to_owned()), "what alice signed did not help");
    assert!(said.reason.contains("nobody has signed that model=HSM-7 is mended"), "{}", said.reason);
    assert_eq!(says(&mut pool, "bob", Some(intervention())).kind, Kind::SignOff, "it is the first again");
    let attributes = vec!["model=HSM-7".to_owned()];
    pool.verdict = Verdict::Attribute { units: vec![id(1), id(2)], attributes };
    let said = says(&mut pool, "alice", None);
    assert_eq!(said.kind, Kind::Refuse("absolve".to_owned()), "it would be suspect again in this second");
    assert!(said.reason.contains("relay-1, relay-2 are sick now"), "{}", said.reason);
    pool.verdict = Verdict::None;
    assert_eq!(says(&mut pool, "alice", None).kind, Kind::Absolve);
}

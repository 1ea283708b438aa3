//! Promise: the first lines of an explanation say what is to be done and what comes by itself, and contradict
//! neither each other nor what stands below.

use super::super::tests::{evicted, explained, explained_with, observer, text, whole};
use crate::pool::{
    explain::Known,
    judgement::{Judgement, UnitJudgement, Verdict},
    policy::{
        Fact, Intervention, Kind, Lease, Parameters, Process, Request, State,
        fixture::{Pool, id, intervention, order},
    },
};

/// What is to be done about unit 2.
fn action(pool: &Pool) -> String {
    explained(pool, 2, 0, |_| ()).action
}

#[test]
fn what_is_to_be_done_is_said_of_each_state_on_the_way_out_and_back() {
    let mut pool = Pool::of(4);
    assert_eq!(action(&pool), "nothing");
    pool.sick(2, 10.0);
    pool.run(1);
    assert!(action(&pool).contains("`todoke pool drain relay-2 --reason …`"), "{}", action(&pool));
    assert!(explained(&pool, 2, 0, |_| ()).next.ends_with("its limit, in 65 s if all goes on as now"));
    let out = "nothing at once: it comes back by itself. Look for the cause before it fails again";
    pool.sick(2, 30.0);
    pool.until(&Kind::Evict, 2, 1);
    pool.well(2);
    assert_eq!((pool.state(2), action(&pool)), (State::Draining, out.to_owned()));
    pool.run(12);
    assert_eq!((pool.state(2), action(&pool)), (State::Evicted, out.to_owned()));
    pool.until(&Kind::StartProbation, 2, 60);
    assert_eq!(action(&pool), "nothing: it comes back by itself if its probes pass");
    pool.until(&Kind::Step(1), 2, 90);
    assert_eq!(action(&pool), "nothing: it comes back by itself if its calls go well");
}

#[test]
fn whoever_looks_for_the_cause_is_told_what_is_suspect() {
    let mut pool = evicted(Parameters::default());
    pool.run(30);
    pool.sick(3, 30.0);
    pool.until(&Kind::Evict, 3, 1);
    let said = explained(&pool, 3, 0, |_| ()).action;
    assert!(said.contains("Look for the cause (image=r1, model=HSM-7 is suspect)"), "{said}");
    let said = whole(&text(&pool, 3, 0));
    assert!(said.contains("relay-3 failed 31 s after relay-2, both among the 4 with"), "{said}");
    assert!(said.contains("by chance p < 0.1 %") && !said.contains("p = 0.0 %"), "{said}");
}

#[test]
fn one_that_asks_for_no_lease_needs_somebody_to_look_at_its_process() {
    let mut pool = Pool::of(4);
    pool.gone.insert(id(2));
    pool.run(2);
    assert_eq!((pool.state(2), pool.policy.units()[&id(2)].lease), (State::Evicted, Lease::Lapsed));
    assert!(action(&pool).starts_with("look whether its process runs"), "{}", action(&pool));
    let reports = |known: &mut Known<'_>| {
        known.lease_until_ms = i64::try_from(known.now_s * 1_000 + 1_000).ok();
    };
    let said = explained_with(&pool, 2, 0, |_| (), reports).action;
    assert!(said.starts_with("nothing at once"), "it reports, and asks for one in a second: {said}");
}

#[test]
fn what_waits_for_a_person_is_not_said_to_come_by_itself() {
    let mut pool = evicted(Parameters::default());
    pool.until(&Kind::StartProbation, 2, 60);
    pool.tell(vec![order("alice", Request::PauseProbes { unit: id(2), seconds: 600 })]);
    let resume = "`todoke pool pause-probes relay-2 --resume`: until ";
    assert!(action(&pool).starts_with(resume), "{}", action(&pool));
    for state in [State::Healthy, State::Draining] {
        let mut pool = if state == State::Healthy { Pool::of(4) } else { evicted(Parameters::default()) };
        let mut kept = serde_json::to_value(&pool.policy).expect("it has a JSON form");
        kept["units"]["relay-2"]["lease"] = serde_json::to_value(Lease::Released).expect("so has that");
        pool.policy = serde_json::from_value(kept).expect("it is read again");
        assert_eq!(pool.state(2), state);
        assert!(action(&pool).starts_with("start its process"), "{state}: {}", action(&pool));
        let next = explained(&pool, 2, 0, |_| ()).next;
        let begins = if state == State::Healthy { "JOINING at once" } else { "EVICTED in" };
        assert!(next.starts_with(begins), "{next}");
    }
}

#[test]
fn one_that_left_in_order_is_not_said_to_join_and_to_wait_for_nothing() {
    let mut pool = Pool::of(4);
    let generation = pool.policy.units()[&id(2)].generation;
    pool.gone.insert(id(2));
    pool.second += 1;
    let released = Fact::LeaseReleased { unit: id(2), generation };
    pool.policy.step(pool.second, &pool.judgement(), &[released]);
    assert_eq!((pool.state(2), pool.policy.units()[&id(2)].lease), (State::Joining, Lease::Released));
    let said = whole(&text(&pool, 2, 0));
    assert!(
        said.starts_with("relay-2 is JOINING (it left in order, and joins when it is back) since"),
        "{said}"
    );
    assert!(said.contains("Next: HEALTHY once it asks for a lease, and 10 deep probes pass"), "{said}");
}

#[test]
fn what_keeps_one_in_use_whose_limit_is_reached_is_said() {
    let mut pool = Pool::of(4);
    pool.sick(2, 30.0);
    let next = |pool: &Pool, n, change: fn(&mut Judgement)| {
        let said = explained(pool, n, 0, change);
        assert!(said.text().contains("That limit is reached"), "{}", said.text());
        assert!(!said.text().contains("that limit is not reached"), "{}", said.text());
        said.next
    };
    let held = "its limit is reached: ";
    assert_eq!(next(&pool, 2, |_| ()), format!("{held}DRAINING at once if none is worse, and then EVICTED"));
    let few = next(&pool, 2, |judgement| change(judgement, |judged| judged.sick = false));
    assert!(few.starts_with(&format!("{held}too few observers have a vote")), "{few}");
    let hearsay = |judged: &mut UnitJudgement| (judged.sick, judged.hearsay) = (false, true);
    let complaints = explained(&pool, 2, 0, |judgement| change(judgement, hearsay));
    assert!(whole(&complaints.text()).contains("Do: judge for yourself, as complaints alone"));
    let complaints = complaints.next;
    assert!(complaints.starts_with(&format!("{held}callers' complaints alone evict nobody")), "{complaints}");
    pool.until(&Kind::Evict, 2, 1);
    pool.sick(3, 30.0);
    let waits = "DRAINING, and then EVICTED, in 10 s at the earliest: the worst goes first";
    assert!(next(&pool, 3, |_| ()).starts_with(&format!("{held}{waits}")));
}

/// Changes what is said of the sick ones.
fn change(judgement: &mut Judgement, of: impl Fn(&mut UnitJudgement)) {
    judgement.units.values_mut().filter(|judged| judged.sick).for_each(of);
}

#[test]
fn a_drill_that_hurts_callers_is_to_be_ended_and_another_is_not() {
    let mut pool = Pool::of(4);
    let process = Process { incarnation: 1, drills: true };
    pool.tell(vec![Fact::Started { unit: id(2), process, address: None }]);
    let fault = "hang".parse().expect("a fault");
    pool.tell(vec![order("alice", Request::Drill { unit: id(2), fault, seconds: 60 })]);
    assert!(action(&pool).starts_with("nothing, if its drill is the cause"), "{}", action(&pool));
    (1..=4).for_each(|n| {
        pool.failing.insert(id(n));
    });
    pool.verdict = Verdict::Shared;
    assert!(action(&pool).starts_with("end its drill now"), "{}", action(&pool));
}

#[test]
fn what_an_issuer_does_not_know_and_what_is_so_already_is_not_said() {
    let mut pool = Pool::of(4);
    let address = pool.policy.units()[&id(2)].about.address.clone();
    let same = |known: &mut Known<'_>| known.reported_address = Some(address.parse().expect("an address"));
    let said = explained_with(&pool, 2, 0, |_| (), same).text();
    assert!(said.contains(&format!("Where: {address}\n")), "{said}");
    pool.gone.insert(id(2));
    let told = |known: &mut Known<'_>| (known.issuer.decides, known.lease_until_ms) = (false, None);
    let said = explained_with(&pool, 2, 0, |_| (), told).text();
    assert!(said.contains("Lease: not known here: ask the issuer that decides"), "{said}");
}

#[test]
fn who_has_to_sign_what_is_said_with_the_command_until_a_unit_is_released() {
    let mut pool = evicted(Parameters { slow_quarantine: 900, ..Parameters::default() });
    pool.run(12);
    let command = "`todoke pool sign-off relay-2 --changed … --hypothesis …`";
    assert!(action(&pool).contains(command), "{}", action(&pool));
    let by = |name, changed: &str| {
        let intervention = Intervention { changed: changed.to_owned(), ..intervention() };
        order(name, Request::SignOff { unit: id(2), intervention: Some(intervention) })
    };
    pool.tell(vec![by("alice", "a fan")]);
    assert_eq!(
        action(&pool),
        "an operator other than operator/alice must sign too: `todoke pool sign-off relay-2`"
    );
    pool.tell(vec![by("bob", "a disk")]);
    assert!(action(&pool).contains("the same as one of"), "{}", action(&pool));
}

#[test]
fn why_one_that_has_drained_is_out_is_said_first_and_by_which_rule() {
    let mut pool = evicted(Parameters::default());
    pool.run(12);
    let said = whole(&text(&pool, 2, 0));
    let why = "Why: relay-2 is worse than its peers: S = 21.6, the limit is 21.4. It drained from \
               1970-01-12T13:48:12Z on, and calls still open at the end, if any, were cut off (reset) Rule: \
               E1, evicted";
    assert!(said.contains(why), "{said}");
    let drained = "relay-2 is EVICTED since 1970-01-12T13:48:22Z";
    assert!(said.contains(drained), "it is out since its drain is over: {said}");
    let reason = "a new fan".to_owned();
    pool.tell(vec![order("alice", Request::Drain { unit: id(3), reason })]);
    pool.run(12);
    let said = whole(&text(&pool, 3, 0));
    assert!(said.contains("Why: operator/alice drains relay-3: a new fan. It drained from 1970-"), "{said}");
    assert!(said.contains("Rule: O1, an operator's order"), "{said}");
}

#[test]
fn one_that_is_in_use_only_for_a_while_is_not_said_to_stay() {
    let mut pool = evicted(Parameters { slow_quarantine: 900, ..Parameters::default() });
    pool.run(12);
    pool.tell(vec![order(
        "alice",
        Request::Override { unit: id(2), reason: "none".to_owned(), seconds: None },
    )]);
    pool.until(&Kind::Return, 2, 900);
    let (next, action) = (explained(&pool, 2, 0, |_| ()).next, action(&pool));
    assert!(next.starts_with("QUARANTINED again at "), "{next}");
    assert!(action.starts_with("find the cause: at ") && action.ends_with("it is QUARANTINED"), "{action}");
    let mut pool = Pool::of(2);
    pool.sick(2, 30.0);
    pool.until(&Kind::Evict, 2, 1);
    pool.well(2);
    pool.run(12);
    pool.gone.insert(id(1));
    pool.until(&Kind::Return, 2, 20);
    let next = explained(&pool, 2, 0, |_| ()).next;
    assert!(next.starts_with("EVICTED again once others are in full use"), "{next}");
}

#[test]
fn two_processes_are_told_of_once_and_what_to_end_is_said() {
    let mut pool = Pool::of(4);
    pool.tell(vec![Fact::Elsewhere { unit: id(2), address: Some("127.0.0.1:9".to_owned()) }]);
    let said = whole(&text(&pool, 2, 0));
    let head = said.split("Evidence against it").next().unwrap_or_default();
    assert_eq!(head.matches("two processes serve as relay-2").count(), 1, "{said}");
    assert!(
        head.contains("Why: as the alarm below says") && head.contains("Do: end one of the two"),
        "{said}"
    );
    assert_eq!(said.matches("End the later one").count(), 1, "{said}");
    assert_eq!(said.matches("as the alarm above says").count(), 2, "the alarm and the leave: {said}");
    pool.tell(vec![Fact::Elsewhere { unit: id(2), address: None }]);
    let said = whole(&text(&pool, 2, 0));
    assert!(!said.contains("End the later one") && !said.contains("todoke pool register"), "{said}");
    assert_eq!(said.matches("where the earlier one refuses every call").count(), 2, "{said}");
}

#[test]
fn a_trickle_that_has_changed_contradicts_nothing() {
    let mut pool = Pool::of(4);
    pool.sick(2, 10.0);
    pool.run(1);
    let said = text(&pool, 2, 0);
    let head = said.split("Evidence against it").next().unwrap_or_default();
    assert_eq!((head.matches("5 %").count(), head.matches("trickle").count()), (1, 1), "{said}");
}

#[test]
fn one_that_fails_as_all_do_is_not_said_to_stay_healthy() {
    let mut pool = Pool::of(4);
    (1..=4).for_each(|n| {
        pool.failing.insert(id(n));
    });
    pool.verdict = Verdict::Shared;
    let said = text(&pool, 2, 0);
    assert!(said.contains("Do:    look at what is behind all units"), "{said}");
    assert!(said.contains("while all fail alike nobody is evicted"), "{said}");
}

#[test]
fn that_the_database_is_away_or_another_issuer_decides_is_said_above_all_that_rests_on_it() {
    let pool = Pool::of(4);
    let second_line = |frozen: bool, decides: bool| {
        let told = |known: &mut Known<'_>| {
            (known.issuer.frozen, known.issuer.decides) = (frozen, decides);
        };
        explained_with(&pool, 2, 0, |_| (), told).text().lines().nth(1).unwrap_or_default().to_owned()
    };
    assert!(second_line(true, true).starts_with("FROZEN: "));
    assert!(second_line(false, false).starts_with("Told by issuer-1, which does not decide"));
    assert!(second_line(false, true).starts_with("Why: "));
    let frozen = |known: &mut Known<'_>| known.issuer.frozen = true;
    assert!(explained_with(&pool, 2, 0, |_| (), frozen).action.starts_with("bring the database back"));
}

#[test]
fn an_alarm_is_named_and_said_to_be_over_soon_once_its_cause_is_gone() {
    let mut pool = Pool::of(4);
    pool.failing.insert(id(1));
    pool.verdict = Verdict::Shared;
    pool.run(2);
    let alarm = |pool: &Pool| {
        let said = text(pool, 2, 0).replace("\n       ", " ");
        said.lines()
            .find(|line| line.starts_with("Alarm: SHARED_CAUSE since "))
            .unwrap_or_default()
            .to_owned()
    };
    assert!(alarm(&pool).ends_with("nobody is evicted"), "{}", alarm(&pool));
    assert!(action(&pool).ends_with("see the alarms below"), "{}", action(&pool));
    pool.verdict = Verdict::None;
    pool.failing.clear();
    pool.run(5);
    assert!(alarm(&pool).contains("nobody is evicted (not seen since "), "{}", alarm(&pool));
    let over = "Over:  an alarm whose cause is not seen any more is shown for 60 s of looking, and ends";
    assert_eq!(text(&pool, 2, 0).replace("\n       ", " ").matches(over).count(), 1);
}

#[test]
fn whom_to_look_at_is_said_while_one_observer_sees_what_nobody_else_does() {
    let mut pool = Pool::of(4);
    pool.verdict = Verdict::Observer { observer: observer("relay/relay-3"), link: None };
    pool.run(1);
    assert!(
        action(&pool).starts_with("look at relay/relay-3, its host and its network"),
        "{}",
        action(&pool)
    );
    pool.verdict = Verdict::Observer { observer: observer("relay/relay-3"), link: Some(id(2)) };
    assert!(
        action(&pool).starts_with("look at the way between relay/relay-3 and relay-2"),
        "{}",
        action(&pool)
    );
    pool.verdict = Verdict::None;
    assert!(action(&pool).ends_with("see the alarms below"), "{}", action(&pool));
}

#[test]
fn no_line_is_wider_than_a_terminal_and_no_command_is_broken() {
    let mut pool = evicted(Parameters { slow_quarantine: 900, ..Parameters::default() });
    pool.run(12);
    let reason = "long ".repeat(60);
    pool.tell(vec![order("alice", Request::Drain { unit: id(3), reason })]);
    let crowd = |judgement: &mut Judgement| {
        judgement.weak = (1..9).map(|n| (observer(&format!("relay/relay-{n}")), 0)).collect();
    };
    for n in 1..=4 {
        let said = explained(&pool, n, 3, crowd).text();
        let wide: Vec<&str> = said.lines().filter(|line| line.chars().count() > 110).collect();
        assert!(wide.is_empty(), "{wide:#?}");
        assert!(said.lines().all(|line| line.matches('`').count() % 2 == 0), "{said}");
    }
}

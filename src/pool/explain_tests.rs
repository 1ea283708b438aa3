//! Promise: whatever a unit's state, its explanation says in words where it stands, why, what it rests on and
//! what comes next, and the JSON holds the same.

use super::{
    super::{
        evidence::{Bucket, Class},
        other_tools::OtherTools,
        policy::{
            Fact, Parameters, Request, State,
            fixture::{Pool, about, id, intervention, order},
        },
    },
    *,
};

pub(super) fn observer(text: &str) -> Observer {
    Observer::try_from(text.to_owned()).expect("an observer")
}

/// Until when a unit was in use: when it was last evicted, or now.
fn in_use_until(pool: &Pool, n: usize) -> u64 {
    let evicted = |one: &&Decision| one.kind == Kind::Evict && one.unit.as_ref() == Some(&id(n));
    pool.record.iter().rev().find(evicted).map_or(pool.second, |decision| decision.second)
}

/// Ten calls and ten probes of each unit in each second since a minute before the end of one's use, of which
/// so many failed on that one until then; nobody uses it any more.
fn watched(pool: &Pool, n: usize, bad: u32) -> OtherTools {
    let mut elsewhere = OtherTools::new();
    let until = in_use_until(pool, n);
    for second in until - 60..pool.second {
        let bucket = |(unit, class)| {
            let (observer, unit_id) = (observer("issuer/issuer-1"), id(unit));
            let bad = if unit == n { bad } else { 0 };
            Bucket { second, observer, unit: unit_id, class, caller: None, n: 10, bad, latencies: None }
        };
        let used = (1..=4).filter(|unit| *unit != n || second < until);
        let seen = used.flat_map(|unit| [(unit, Class::Traffic), (unit, Class::Probe)]);
        elsewhere.second(second, &seen.map(bucket).collect::<Vec<_>>());
    }
    elsewhere
}

/// What was decided of a unit since the pool was made, newest first.
fn kept(pool: &Pool, n: usize) -> Vec<KeptDecision> {
    let rows = (1..).zip(&pool.record).map(|(number, decision)| KeptDecision {
        number,
        epoch: 3,
        decided_ms: 0,
        unit: decision.unit.as_ref().map(ToString::to_string).unwrap_or_default(),
        kind: decision.kind.name().to_owned(),
        record: serde_json::to_string(decision).expect("plain data"),
    });
    let mut rows: Vec<KeptDecision> = rows.filter(|row| row.unit == id(n).as_str()).collect();
    rows.reverse();
    rows
}

/// Explains a unit of whose ten calls a second so many failed while it was in use.
pub(super) fn explained(pool: &Pool, n: usize, bad: u32, change: impl FnOnce(&mut Judgement)) -> Explanation {
    explained_with(pool, n, bad, change, |_| ())
}

pub(super) fn explained_with(
    pool: &Pool,
    n: usize,
    bad: u32,
    change: impl FnOnce(&mut Judgement),
    also: impl FnOnce(&mut Known<'_>),
) -> Explanation {
    let mut judgement = pool.judgement();
    change(&mut judgement);
    let until = in_use_until(pool, n);
    let bad_s = u32::try_from((until + 60).saturating_sub(pool.second)).expect("a minute at most");
    let witness = |name: &str| (observer(name), (120, 2 * bad_s * bad / 10));
    let decisions = kept(pool, n);
    let unit = &pool.policy.units()[&id(n)];
    let asks = unit.lease == Lease::Live && !pool.gone.contains(&id(n));
    let mut known = Known {
        policy: &pool.policy,
        judgement: &judgement,
        rule: &rule::Parameters::default(),
        seen: ["issuer/issuer-1", "relay/relay-3", "relay/relay-4"].map(witness).into(),
        health: (12, if bad > 0 && until == pool.second { 2 } else { 0 }),
        lease_until_ms: i64::try_from(pool.second * 1_000 + 15_000).ok().filter(|_| asks),
        reported_address: None,
        elsewhere: (watched(pool, n, bad).opinions(&id(n)), Some(until - 60)),
        decisions: &decisions,
        issuer: Issuer { name: "issuer-1".to_owned(), decides: true, epoch: 3, frozen: false },
        now_s: pool.second,
    };
    also(&mut known);
    Explanation::of(unit, &known)
}

pub(super) fn text(pool: &Pool, n: usize, bad: u32) -> String {
    explained(pool, n, bad, |_| ()).text()
}

/// A text as if its lines had no end: no word is looked for in vain where one is broken.
pub(super) fn whole(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A pool of 4 whose unit 2 was evicted by evidence and is well again.
pub(super) fn evicted(parameters: Parameters) -> Pool {
    let mut pool = Pool::with(4, parameters);
    pool.sick(2, 21.6);
    pool.until(&Kind::Evict, 2, 1);
    pool.well(2);
    pool
}

/// The parts of a text that say on what a unit was taken out.
fn on_what(text: &str) -> Vec<&str> {
    let begins =
        ["Last evicted by decision 1", "Verdict then: UNIT: relay-2", "Verdict on the units in use: NONE"];
    begins.into_iter().filter(|begin| text.lines().any(|line| line.trim_start().starts_with(begin))).collect()
}

#[test]
fn what_a_unit_was_evicted_on_is_said_as_long_as_it_is_out_and_of_an_old_decision_what_there_is() {
    let mut pool = evicted(Parameters::default());
    let mut seen = Vec::new();
    while pool.state(2) != State::Returning(1) {
        let said = text(&pool, 2, 0);
        assert_eq!(on_what(&said).len(), 3, "{said}");
        let row = said.lines().any(|line| {
            line.split_whitespace().take(8).eq(["*", "traffic", "10", "s", "21.6", "21.4", "20", "of"])
        });
        assert!(row, "{said}");
        seen.push(pool.state(2));
        pool.run(1);
    }
    seen.dedup();
    assert_eq!(seen, [State::Draining, State::Evicted, State::Probation]);
    let mut pool = evicted(Parameters::default());
    pool.record.iter_mut().for_each(|decision| decision.evidence = None);
    let said = text(&pool, 2, 0);
    assert!(said.contains("Verdict then") && !said.contains("in that second"), "{said}");
}

#[test]
fn no_words_of_anybody_break_a_line() {
    let mut pool = Pool::of(4);
    let reason = "two\nlines\u{1b}[31m".to_owned();
    pool.tell(vec![order("alice", Request::Drain { unit: id(2), reason })]);
    let said = text(&pool, 2, 0);
    assert!(said.contains("two\\nlines\\u{1b}[31m"), "{said}");
    assert!(!said.lines().any(|line| line.starts_with("lines")), "{said}");
}

#[test]
fn one_that_is_kept_for_the_floor_is_not_said_to_stay_healthy() {
    let mut pool = Pool::of(1);
    assert!(text(&pool, 1, 0).contains("Next:  it stays HEALTHY"));
    let kept = "Next:  it stays in use, though it is sick, until more than 1 unit is in full use";
    pool.failing.insert(id(1));
    pool.verdict = Verdict::Shared;
    let said = text(&pool, 1, 0);
    assert!(said.contains(kept) && said.contains("SHARED: the only unit in use fails"), "{said}");
    pool.failing.clear();
    pool.sick(1, 30.0);
    assert!(text(&pool, 1, 0).contains(kept));
}

#[test]
fn a_probe_that_is_accused_is_named_among_what_is_suspect_of_that_unit() {
    let mut pool = Pool::of(4);
    pool.sick(2, 10.0);
    pool.run(1);
    pool.tell(vec![order("alice", Request::PauseProbes { unit: id(2), seconds: 300 })]);
    pool.well(2);
    pool.until(&Kind::SteerBack, 2, 40);
    let suspects =
        |n| explained(&pool, n, 0, |_| ()).suspects.iter().any(|one| one.attribute == "probe=deep");
    assert_eq!([1, 2, 3].map(suspects), [false, true, false]);
}

#[test]
fn a_lone_process_that_says_another_address_is_told_of_with_a_remedy_and_not_held_to_be_wrong() {
    let mut pool = Pool::of(4);
    let said = |pool: &Pool, said: &str, health: (u32, u32)| {
        let at = |known: &mut Known<'_>| {
            (known.reported_address, known.health) = (Some(said.to_owned()), health);
        };
        let text = explained_with(pool, 2, 0, |_| (), at).text().replace("\n       ", " ");
        text.lines().find(|line| line.starts_with("Where: ")).expect("it is said").to_owned()
    };
    let remedy = "If it has moved there: drain it, and `todoke pool register relay-2 --address 127.0.0.1:9`";
    let green = said(&pool, "127.0.0.1:9", (12, 0));
    assert!(green.contains("as behind a translated address: then all is well. ") && green.ends_with(remedy));
    let red = said(&pool, "127.0.0.1:9", (12, 12));
    assert!(red.contains("It does not answer where it is registered. ") && red.ends_with(remedy), "{red}");
    let rubbish = said(&pool, "$(reboot)", (0, 0));
    assert!(!rubbish.contains("todoke pool register") && rubbish.contains("no address"), "{rubbish}");
    pool.tell(vec![Fact::Elsewhere { unit: id(2), address: Some("127.0.0.1:9".to_owned()) }]);
    let two = said(&pool, "127.0.0.1:9", (12, 0));
    assert!(two.ends_with("is reached at 127.0.0.1:9"), "the alarm says what to do then: {two}");
}

#[test]
fn siblings_do_not_share_what_nobody_knows_of_either() {
    let mut pool = Pool::of(4);
    for n in 1..=2 {
        let (model, image) = ("unknown".to_owned(), "unknown".to_owned());
        let about = Description { id: id(9 - n), model, image, ..about(9 - n) };
        pool.tell(vec![order("alice", Request::Register(Box::new(about)))]);
    }
    let of = |n: usize| explained(&pool, n, 0, |_| ()).siblings.len();
    assert_eq!((of(1), of(7)), (3, 0));
}

#[test]
fn one_that_joins_where_no_probe_is_needed_is_not_said_to_have_passed_some() {
    let mut pool = Pool::with(4, Parameters { join_probes: 0, ..Parameters::default() });
    pool.quiet = true;
    pool.tell(vec![order("alice", Request::Register(Box::new(about(5))))]);
    pool.until(&Kind::Admit, 5, 5);
    let said = text(&pool, 5, 0);
    assert_eq!(said.matches("relay-5 joins: no deep probe is needed").count(), 2, "{said}");
}

#[test]
fn healthy() {
    insta::assert_snapshot!(text(&Pool::of(4), 1, 0));
}

#[test]
fn suspect() {
    let mut pool = Pool::of(4);
    pool.sick(2, 7.2);
    pool.run(12);
    assert_eq!(pool.state(2), State::Suspect);
    insta::assert_snapshot!(text(&pool, 2, 3));
}

#[test]
fn evicted_by_evidence() {
    let mut pool = evicted(Parameters::default());
    pool.run(12);
    assert_eq!(pool.state(2), State::Evicted);
    insta::assert_snapshot!(text(&pool, 2, 10));
}

#[test]
fn evicted_by_its_lease() {
    let mut pool = Pool::of(4);
    pool.gone.insert(id(3));
    pool.run(2);
    assert_eq!(pool.state(3), State::Evicted);
    insta::assert_snapshot!(text(&pool, 3, 0));
}

#[test]
fn quarantined() {
    let mut pool = evicted(Parameters { slow_quarantine: 900, ..Parameters::default() });
    pool.run(12);
    assert_eq!(pool.state(2), State::Quarantined);
    let sign_off = Request::SignOff { unit: id(2), intervention: Some(intervention()) };
    pool.tell(vec![order("alice", sign_off)]);
    insta::assert_snapshot!(text(&pool, 2, 10));
}

#[test]
fn probation() {
    let mut pool = evicted(Parameters::default());
    pool.until(&Kind::StartProbation, 2, 60);
    pool.run(20);
    insta::assert_snapshot!(text(&pool, 2, 10));
}

#[test]
fn returning() {
    let mut pool = evicted(Parameters::default());
    pool.until(&Kind::Step(5), 2, 300);
    pool.run(20);
    assert_eq!(pool.state(2), State::Returning(5));
    insta::assert_snapshot!(text(&pool, 2, 10));
}

/// One observer is left out, one is starved, one counts less, and one municipality is left out.
pub(super) fn undecided(judgement: &mut Judgement) {
    let left_out = vec![observer("relay/relay-3")];
    let judged = judgement.units.get_mut(&id(2)).expect("it is judged");
    judged.seconds_to_sick = Some(34);
    judged.left_out_caller = "131229".parse().ok();
    let traffic =
        Bet { left_out, s: 12.0, d: 0.703, own: (15, 20), peers: (0, 60), ..judged.bets[0].clone() };
    let (own, peers) = ((33, 40), (0, 120));
    let nobody = Bet { left_out: Vec::new(), s: 18.3, d: 0.802, own, peers, ..traffic.clone() };
    let (own, peers) = ((1, 2), (0, 6));
    let thin = Bet { class: Some(Class::Probe), s: 0.0, d: 0.0, played: false, own, peers, ..nobody.clone() };
    let (own, peers) = ((179, 252), (0, 756));
    let slow = Bet { class: None, scale: 60, limit: 19.6, s: 2.0, d: 0.707, own, peers, ..nobody.clone() };
    judged.bets = vec![traffic, nobody, thin, slow];
    judgement.weak = [(observer("relay/relay-4"), 0), (observer("issuer/issuer-2"), 60)].into();
    judgement.verdict = Verdict::Undecided { seconds: Some(34) };
}

#[test]
fn what_is_undecided() {
    let mut pool = Pool::of(4);
    pool.sick(2, 12.0);
    pool.run(26);
    let seen = |known: &mut Known<'_>| {
        known.seen.insert(observer("relay/relay-3"), (120, 108));
        known.seen.insert(observer("issuer/issuer-1"), (120, 66));
    };
    insta::assert_snapshot!(explained_with(&pool, 2, 8, undecided, seen).text());
}

#[test]
fn the_json_holds_what_the_words_say() {
    let mut pool = Pool::of(4);
    pool.sick(2, 12.0);
    pool.run(3);
    let explanation = explained(&pool, 2, 3, undecided);
    let json = serde_json::to_value(&explanation).expect("plain data");
    assert_eq!((&json["unit"], &json["state"]), (&"relay-2".into(), &"SUSPECT".into()));
    assert_eq!(json["evidence"]["bets"][0]["left_out"][0], "relay/relay-3");
    assert_eq!(json["verdict"], serde_json::json!({"kind": "UNDECIDED", "seconds": 34}));
    let discarded: Vec<&serde_json::Value> = json["votes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|vote| vote.get("discarded").is_some())
        .collect();
    assert_eq!((discarded.len(), &discarded[0]["discarded"]), (2, &"LEFT_OUT".into()));
    assert_eq!(json["decisions"][0]["kind"], "steer_away");
    assert_eq!(json["siblings"].as_array().map(Vec::len), Some(3));
}

#[test]
fn the_bet_that_decides_is_the_nearest_to_its_own_limit() {
    let mut pool = Pool::of(4);
    pool.sick(2, 12.0);
    pool.run(3);
    let decides = |s: f64| {
        let explanation = explained(&pool, 2, 3, |judgement| {
            undecided(judgement);
            let judged = judgement.units.get_mut(&id(2)).expect("it is judged");
            judged.bets[3].s = s;
        });
        explanation.decisive().map(|bet| bet.scale)
    };
    // 12 of 21.4 is 9.4 short, and of a bet with nobody left out nothing is said that counts.
    assert_eq!((decides(10.1), decides(10.3)), (Some(10), Some(60)));
}

#[test]
fn a_verdict_has_the_word_that_stands_in_its_record() {
    let all = [
        Verdict::None,
        Verdict::Unit { unit: id(1) },
        Verdict::Units { units: vec![id(1)] },
        Verdict::Attribute { units: vec![id(1)], attributes: vec!["model=HSM-7".to_owned()] },
        Verdict::Shared,
        Verdict::Caller { caller: "131229".parse().expect("a code") },
        Verdict::Observer { observer: observer("relay/relay-1"), link: None },
        Verdict::Undecided { seconds: None },
    ];
    for (verdict, name) in all.iter().zip(Verdict::NAMES) {
        assert_eq!(serde_json::to_value(verdict).expect("plain data")["kind"], name);
        assert_eq!(verdict.name(), name);
        assert!(verdict_words(verdict, 4).starts_with(&format!("{name}: ")));
    }
}

//! Promise: a ledger that is run again gives the same decisions, and whatever was changed in it is named.

use std::collections::BTreeMap;

use super::{
    FORMAT, Judge, LINE_BYTES_MAX, LedgerError, Line, Report, Second, Start,
    fixture::{self, number, register, unit, written as text},
    replay,
};
use crate::pool::{
    evidence::{Bucket, Class, Observer, UnitId},
    judgement::{Judgement, UnitJudgement, Verdict},
    policy::{Fact, Kind, Parameters, Policy, Weighed},
    rule,
};

/// A rule for tests: S is the number of bad calls in the second.
fn judge(second: u64, buckets: &[Bucket], policy: &Policy) -> Judgement {
    let of = |unit: &UnitId| {
        let bad: u32 = buckets.iter().filter(|bucket| bucket.unit == *unit).map(|bucket| bucket.bad).sum();
        let s = f64::from(bad);
        UnitJudgement {
            s,
            beyond: s - 21.4,
            soft: s >= 5.0,
            sick: s >= 21.4,
            hearsay: false,
            suspect: s >= 1.0,
            seconds_to_sick: None,
            threshold_us: 1,
            left_out_caller: None,
            absolute: 0.0,
            bets: Vec::new(),
        }
    };
    Judgement {
        second,
        units: policy.judged().map(|unit| (unit.id().clone(), of(unit.id()))).collect(),
        verdict: Verdict::None,
        p0: 0.04,
        weak: BTreeMap::new(),
        late_count: 0,
    }
}

/// Three units, of which the second is sick from second 60 to 70, for 700 seconds; with a `start` in the
/// middle.
fn recorded() -> Vec<Line> {
    let mut policy = Policy::new(Parameters::default());
    let start = |policy: &Policy| {
        Line::Start(Box::new(Start { format: FORMAT, policy: policy.clone(), judge: None }))
    };
    let mut lines = vec![start(&policy)];
    for second in 1..=700 {
        if second == 300 {
            lines.push(start(&policy));
        }
        let mut facts = if second == 1 { vec![Fact::Observers { count: 4 }] } else { Vec::new() };
        let mut buckets = Vec::new();
        for n in 1..=3 {
            if second == 1 {
                facts.push(register(n));
                continue;
            }
            let generation = policy.units()[&unit(n)].generation;
            facts.push(Fact::LeaseRenewed { unit: unit(n), generation });
            facts.push(Fact::DeepProbes { unit: unit(n), n: 4, failed: 0, by: Vec::new() });
            facts.push(Fact::Traffic { unit: unit(n), calls: 1, failed: 0, callers: Vec::new() });
            let bad = if n == 2 && (60..70).contains(&second) { 30 } else { 0 };
            let observer = Observer::try_from("issuer/issuer-1".to_owned()).expect("an observer");
            let class = Class::Traffic;
            buckets.push(Bucket {
                second,
                observer,
                unit: unit(n),
                class,
                caller: None,
                n: 40,
                bad,
                latencies: None,
            });
        }
        let judgement = judge(second, &buckets, &policy);
        let decisions = policy.step(second, &judgement, &facts);
        lines.push(Line::Second(Second { second, weights: BTreeMap::new(), buckets, facts }));
        lines.extend(decisions.into_iter().map(|decision| Line::Decision(Box::new(decision))));
    }
    lines
}

fn run(lines: &[Line]) -> Report {
    replay(text(lines).as_bytes(), &mut judge).expect("every line is right")
}

fn decisions(lines: &[Line]) -> Vec<usize> {
    (0..lines.len()).filter(|at| matches!(lines[*at], Line::Decision(_))).collect()
}

#[test]
fn the_same_input_gives_the_same_decisions_again() {
    let lines = recorded();
    let report = run(&lines);
    assert_eq!(report.difference, None);
    assert_eq!((report.lines, report.steps), (text(&lines).lines().count(), 700));
    assert!(!report.cut);
    assert_eq!(report.same as usize, decisions(&lines).len());
    assert!(report.same > 12, "an eviction and a return by steps: {report:?}");
}

#[test]
fn a_changed_decision_is_found_wherever_it_stands() {
    let lines = recorded();
    for at in decisions(&lines) {
        let mut changed = lines.clone();
        if let Line::Decision(decision) = &mut changed[at] {
            decision.reason.push('!');
        }
        let difference = run(&changed).difference.expect("it differs");
        assert_eq!(difference.line, number(&lines, at));
        let words =
            |one: Option<crate::pool::policy::Decision>| one.map(|one| one.reason).unwrap_or_default();
        assert_eq!(words(difference.recorded), words(difference.replayed) + "!");
    }
}

#[test]
fn a_decision_that_was_left_out_or_added_is_found() {
    let lines = recorded();
    for at in decisions(&lines) {
        let mut less = lines.clone();
        less.remove(at);
        assert!(run(&less).difference.is_some(), "left out at {}", at + 1);
        let mut more = lines.clone();
        more.insert(at, lines[at].clone());
        let difference = run(&more).difference.expect("it differs");
        assert_eq!(difference.line, number(&more, at + 1), "the second of the two is too many");
    }
}

#[test]
fn what_was_cut_off_counts_for_nothing_with_its_second_wherever_it_was_cut() {
    let lines = recorded();
    let last = decisions(&lines)[7];
    let (whole, before) = (text(&lines[..=last]), text(&lines[..last]));
    for at in before.len() - 1_000..=whole.len() {
        let report = replay(&whole.as_bytes()[..at], &mut judge).expect("the rest is right");
        let left = &whole[..at];
        let is_check = |line: &str| line.starts_with("{\"check\"") && line.ends_with('\n');
        let kept = left.split_inclusive('\n').collect::<Vec<_>>().iter().rposition(|line| is_check(line));
        let kept = kept.expect("there are some") + 1;
        assert_eq!((report.lines, report.difference), (kept, None), "cut at {at}");
        assert_eq!(report.cut, left.lines().count() > kept, "cut at {at}");
    }
}

#[test]
fn each_byte_that_was_changed_is_found() {
    let lines = recorded();
    let fourth = |line: &Line| matches!(line, Line::Second(input) if input.second == 4);
    let right = text(&lines[..lines.iter().position(fourth).expect("it is there")]);
    for at in 0..right.len() {
        let mut bytes = right.clone().into_bytes();
        bytes[at] ^= 1 << (at % 8);
        let report = replay(bytes.as_slice(), &mut judge);
        let found = report.as_ref().map_or(true, |report| report.cut && at + 1 == right.len());
        assert!(found, "byte {at}: {report:?}");
    }
    let second = right.find("\"n\":40").expect("a bucket");
    let other = format!("{}9{}", &right[..second + 5], &right[second + 6..]);
    let error = replay(other.as_bytes(), &mut judge).expect_err("no decision hangs on it, and yet");
    assert!(matches!(error, LedgerError::Changed { .. }), "{error}");
    let words = error.to_string();
    assert!(words.starts_with("lines ") && error.remedy().contains("head -n"), "{words}: {}", error.remedy());
}

#[test]
fn seconds_that_were_taken_out_or_moved_are_found() {
    let right = text(&recorded()[..30]);
    let mut groups: Vec<&str> = right.split_inclusive("\"}\n").filter(|group| !group.is_empty()).collect();
    let changed = |groups: &[&str]| {
        let report = replay(groups.concat().as_bytes(), &mut judge);
        matches!(report, Err(LedgerError::Changed { .. } | LedgerError::Order { .. }))
    };
    assert!(!changed(&groups) && groups.len() > 10);
    let gone = groups.remove(7);
    assert!(changed(&groups), "one second is missing");
    groups.insert(9, gone);
    assert!(changed(&groups), "it was put elsewhere");
}

#[test]
fn a_changed_number_of_the_evidence_is_found() {
    let mut lines = recorded();
    let sick = |line: &mut Line| match line {
        Line::Second(input) => input.buckets.iter_mut().any(|bucket| {
            let found = bucket.bad == 30;
            bucket.bad = if found { 29 } else { bucket.bad };
            found
        }),
        _ => false,
    };
    assert!(lines.iter_mut().any(sick));
    assert!(run(&lines).difference.is_some());
}

#[test]
fn a_bad_line_is_named_by_number_and_field() {
    let right = text(&recorded());
    let mut lines: Vec<String> = right.lines().map(str::to_owned).collect();
    let second = lines.iter().position(|line| line.contains("\"second\":60,")).expect("it is there");
    let whole = lines[second].clone();
    for (from, to, field) in [
        ("\"bad\":30", "\"bad\":\"many\"", "second.buckets[1].bad"),
        ("\"bad\":30", "\"bad\":41", "second.buckets[1].bad"),
        ("\"n\":40,\"bad\":30", "\"bad\":30", "second.buckets[1]"),
        ("relay-3\",\"class\":\"traffic\"", "relay-3\",\"class\":\"gossip\"", "second.buckets[2].class"),
        ("\"second\":{", "\"second\":{\"colour\":1,", "second.colour"),
        ("\"second\":60,", "\"second\":-1,", "second.second"),
    ] {
        lines[second] = whole.replacen(from, to, 1);
        assert_ne!(lines[second], whole, "{from}");
        match replay(lines.join("\n").as_bytes(), &mut judge) {
            Err(LedgerError::Bad { line, field: named, .. }) => {
                assert_eq!((line, named.as_str()), (second + 1, field), "{to}");
            }
            other => panic!("{to}: {other:?}"),
        }
    }
}

#[test]
fn a_field_or_a_fact_that_is_not_known_may_be_of_a_newer_version_and_one_that_is_wrong_is_not() {
    let right = text(&recorded());
    let mut lines: Vec<String> = right.lines().map(str::to_owned).collect();
    let second = lines.iter().position(|line| line.contains("\"second\":60,")).expect("it is there");
    let whole = lines[second].clone();
    for (from, to, is_newer) in [
        ("\"second\":{", "\"second\":{\"colour\":1,", true),
        ("\"facts\":[", "\"facts\":[{\"sang\":{\"unit\":\"relay-1\"}},", true),
        ("\"second\":{", "\"thought\":{", true),
        ("\"bad\":30", "\"bad\":\"many\"", false),
    ] {
        lines[second] = whole.replacen(from, to, 1);
        assert_ne!(lines[second], whole, "{from}");
        let error = replay(lines.join("\n").as_bytes(), &mut judge).expect_err(to);
        let remedy = error.remedy();
        assert!(remedy.contains(&format!("`head -n {second}`")), "{error}: {remedy}");
        assert_eq!(remedy.contains("run it with the version that wrote it"), is_newer, "{error}: {remedy}");
    }
}

#[test]
fn what_is_too_long_out_of_order_or_of_another_format_is_refused() {
    let long = "x".repeat(LINE_BYTES_MAX + 1);
    assert!(matches!(replay(long.as_bytes(), &mut judge), Err(LedgerError::TooLong { line: 1 })));
    let lines = recorded();
    let headless = text(&lines[1..]);
    assert!(matches!(replay(headless.as_bytes(), &mut judge), Err(LedgerError::Order { line: 1, .. })));
    let newer = lines[0].text().replacen("\"format\":2", "\"format\":3", 1);
    let error = replay(newer.as_bytes(), &mut judge).expect_err("it is refused");
    assert_eq!(error.to_string(), "line 1, field start.format: format 3 is not read, only 1 to 2");
    let wrong = lines[0].text().replacen("\"observers_min\":3", "\"observers_min\":0", 1);
    let error = replay(wrong.as_bytes(), &mut judge).expect_err("it is refused");
    assert!(error.to_string().contains("start.policy.parameters.observers_min"), "{error}");
}

/// The report on lines that the rule itself judged.
fn run_by_the_rule(lines: &[Line]) -> Report {
    let mut judge = rule::Judge::new(rule::Parameters::default(), 0);
    replay(text(lines).as_bytes(), &mut judge).expect("every line is right")
}

/// The evidence that the evictions among these lines were decided on.
fn evidence(lines: &mut [Line]) -> Vec<&mut Option<Weighed>> {
    let of = |line| match line {
        &mut Line::Decision(ref mut decision) if decision.kind == Kind::Evict => Some(&mut decision.evidence),
        _ => None,
    };
    lines.iter_mut().filter_map(of).collect()
}

#[test]
fn the_evidence_of_an_eviction_is_made_again_and_a_change_of_it_is_found() {
    let mut lines = fixture::lines(300);
    let report = run_by_the_rule(&lines);
    assert_eq!(report.difference, None);
    let mut evicted = evidence(&mut lines);
    let [Some(kept)] = evicted.as_mut_slice() else {
        panic!("one is evicted, with its evidence: {evicted:?}")
    };
    assert!(kept.bets.iter().any(|bet| bet.s >= bet.limit && bet.own.0 > 0), "what decided: {kept:?}");
    kept.bets[0].own.0 += 1;
    let difference = run_by_the_rule(&lines).difference.expect("one bad call more is found");
    assert_eq!(difference.recorded.map(|one| one.kind), Some(Kind::Evict));
}

#[test]
fn a_ledger_of_before_evictions_had_their_evidence_gives_the_same_decisions_still() {
    let mut lines = fixture::lines(300);
    evidence(&mut lines).into_iter().for_each(|kept| *kept = None);
    let newer = run_by_the_rule(&lines).difference.expect("it belongs to this format");
    assert_eq!(newer.recorded.map(|one| one.kind), Some(Kind::Evict));
    if let Line::Start(start) = &mut lines[0] {
        start.format = 1;
    }
    let report = run_by_the_rule(&lines);
    assert_eq!((report.difference, report.steps), (None, 300));
    assert!(report.same >= 6, "its decisions are compared all the same: {}", report.same);
}

#[test]
fn a_judge_goes_on_from_what_it_had_kept() {
    struct Kept(bool);
    impl Judge for Kept {
        fn restore(&mut self, kept: Option<&serde_json::Value>) -> Result<(), String> {
            self.0 = kept.is_none_or(|kept| kept == "wealth");
            if self.0 { Ok(()) } else { Err("it is another's".to_owned()) }
        }

        fn judge(&mut self, input: &Second, policy: &Policy) -> Judgement {
            judge(input.second, &input.buckets, policy)
        }
    }
    let start = |kept: &str| {
        let judge = Some(kept.into());
        let policy = Policy::new(Parameters::default());
        text(&[Line::Start(Box::new(Start { format: FORMAT, policy, judge }))])
    };
    assert!(replay(start("wealth").as_bytes(), &mut Kept(false)).is_ok());
    let error = replay(start("words").as_bytes(), &mut Kept(false)).expect_err("it is refused");
    assert_eq!(error.to_string(), "line 1, field start.judge: it is another's");
}

//! Promise: the alert rules watch what the code exports, and nothing that it flags is without a rule.

use std::collections::BTreeSet;

use todoke::{
    domain::batch::FlagKind,
    issuance::SILENT_MAX,
    pool::policy::{Alarm, Kind, State},
    runtime::{OnDeath, Tasks},
    store::{Store, StoreOptions},
    telemetry::{
        names::{self, Metric},
        prometheus,
    },
};

const RULES: &str = include_str!("../../deploy/alerts.yml");

/// What promtool plays to each rule; `tests/run` has it do so.
const PLAYED: &str = include_str!("../data/alerts.yml");

/// What the label of a metric can say, of those that rules and panels ask for.
pub(crate) fn values(label: &str) -> Vec<String> {
    match label {
        names::FLAG => words(&FlagKind::ALL.map(FlagKind::as_str)),
        names::PART => words(&["own", "ca", "crl"]),
        "state" => words(&STATES.map(State::name)),
        "kind" => words(&KINDS.map(|kind| kind.name())),
        "alarm" => ALARMS.into_iter().map(alarm).chain(["DEGRADED".to_owned()]).collect(),
        "vote" => words(&["whole", "part", "starved"]),
        "outcome" => words(&["good", "bad", "given", "refused", "written", "failed"]),
        other => panic!("no rule or panel asked for a value of {other} so far: name its values here"),
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

const STATES: [State; 9] = [
    State::Joining,
    State::Healthy,
    State::Suspect,
    State::Draining,
    State::Evicted,
    State::Probation,
    State::Returning(1),
    State::Quarantined,
    State::Drained,
];

const KINDS: [Kind; 4] = [Kind::Evict, Kind::SteerAway, Kind::Quarantine, Kind::Systemic];

/// Those that a rule must be about; that the database is away, `todoke_pool_frozen` says.
const ALARMS: [Alarm; 9] = [
    Alarm::ProbeGreenTrafficRed,
    Alarm::SharedCause,
    Alarm::SickCaller,
    Alarm::SickObserver,
    Alarm::FewObservers,
    Alarm::ProbeInduced,
    Alarm::NothingServes,
    Alarm::Overridden,
    Alarm::Elsewhere,
];

/// The name of an alarm, as it stands in the record.
fn alarm(alarm: Alarm) -> String {
    let name = serde_json::to_value(alarm).expect("plain data");
    name.as_str().expect("a word").to_owned()
}

/// The expressions of all rules.
fn expressions() -> Vec<&'static str> {
    RULES.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect()
}

/// The metrics of an expression, each with the label and value that it asks for.
pub(crate) fn asked(expression: &str) -> Vec<(&str, Option<(&str, &str)>)> {
    let starts = expression.match_indices("todoke_").map(|(at, _)| &expression[at..]);
    starts
        .map(|rest| {
            let end = rest.find(|c: char| !(c.is_ascii_lowercase() || c == '_')).unwrap_or(rest.len());
            let label = rest[end..].strip_prefix('{').and_then(|label| label.split_once('}'));
            let label = label.and_then(|(label, _)| label.split_once('='));
            (&rest[..end], label.map(|(name, value)| (name, value.trim_matches('"'))))
        })
        .collect()
}

#[test]
fn every_rule_is_played_what_it_must_be_silent_about_and_what_it_must_tell() {
    let names = RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    for name in names {
        let mine = PLAYED.split("  - interval: ").find(|test| test.contains(&format!("    name: {name}\n")));
        let mine = mine.unwrap_or_else(|| panic!("tests/data/alerts.yml plays nothing to {name}"));
        let asked = format!("ALERTS{{alertname=\"{name}\", alertstate=\"firing\"}}");
        assert_eq!(mine.matches(&asked).count(), 2, "{name}: once silent, once firing");
        assert_eq!(
            (mine.matches("exp_samples: []").count(), mine.matches("value: 1").count()),
            (1, 1),
            "{name}"
        );
    }
}

#[test]
fn every_metric_and_label_of_a_rule_is_one_of_the_code() {
    let rules = RULES.matches("- alert: ").count();
    assert!(rules >= 15 && expressions().len() == rules, "each rule has one expression");
    assert_eq!(RULES.matches("summary: ").count(), rules, "and says what is wrong");
    assert_eq!(RULES.matches("action: ").count(), rules, "and what to do");
    for expression in expressions() {
        let asked = asked(expression);
        assert!(!asked.is_empty(), "{expression} watches nothing of ours");
        for (name, label) in asked {
            let metric = Metric::named(name).unwrap_or_else(|| panic!("there is no metric {name}"));
            if let Some((label, value)) = label {
                assert!(metric.labels.contains(&label), "{name} has no label {label}");
                assert!(values(label).iter().any(|known| known == value), "{name}: {label} is never {value}");
            }
        }
    }
}

#[test]
fn every_flag_every_end_of_a_certificate_and_the_sweeper_have_a_rule() {
    let all: BTreeSet<(&str, Option<(&str, &str)>)> = expressions().into_iter().flat_map(asked).collect();
    for flag in FlagKind::ALL {
        let flag = Some((names::FLAG, flag.as_str()));
        assert!(all.contains(&(names::FLAGS, flag)), "no rule for {flag:?}");
    }
    for part in ["own", "ca", "crl"] {
        assert!(all.contains(&(names::TLS_EXPIRES_IN, Some((names::PART, part)))), "no rule for {part}");
    }
    let about_the_sweeper = expressions();
    let heartbeat = format!("absent({})", names::SWEEP_HEARTBEAT);
    assert!(
        about_the_sweeper.contains(&heartbeat.as_str()),
        "a dead issuer exports nothing that could be old"
    );
    let silent = format!(" > {}", SILENT_MAX.as_secs());
    let age = format!("time() - {}", names::SWEEP_HEARTBEAT);
    let silent = |rule: &&str| rule.contains(&age) && rule.ends_with(&silent);
    assert!(about_the_sweeper.iter().any(silent), "a silent one does, and municipalities see it as soon");
}

#[test]
fn every_alarm_of_the_pool_and_every_state_that_needs_a_human_has_a_rule() {
    let all: BTreeSet<(&str, Option<(&str, &str)>)> = expressions().into_iter().flat_map(asked).collect();
    for name in values("alarm") {
        let raised = ("todoke_pool_alarms", Some(("alarm", name.as_str())));
        assert!(all.contains(&raised), "no rule for {name}");
    }
    for state in [State::Suspect, State::Evicted, State::Quarantined] {
        let is = ("todoke_pool_unit_state", Some(("state", state.name())));
        assert!(all.contains(&is), "no rule for {}", state.name());
    }
    for metric in [
        "todoke_pool_frozen",
        "todoke_pool_epoch",
        names::ADS_REFUSED,
        names::RELAY_EVIDENCE_LOST,
        names::POOL_LEDGER_FAILING,
    ] {
        assert!(all.contains(&(metric, None)), "no rule for {metric}");
    }
}

#[tokio::test]
async fn every_counter_whose_rise_is_alarmed_on_is_there_before_its_first() {
    let metrics = prometheus();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite:{}", folder.path().join("store.db").display());
    let _store = Store::open(&StoreOptions { url, ..StoreOptions::default() }).await.expect("it opens");
    Tasks::new().spawn("a task", OnDeath::Ignore, async {});
    let text = metrics.render();
    let rises: Vec<&str> =
        RULES.split("increase(").skip(1).filter_map(|rest| rest.split('[').next()).collect();
    assert!(rises.len() >= 4, "the rules are being read");
    // A relay that has a folder for bundles begins theirs: its own tests see it.
    for name in rises.into_iter().filter(|name| !name.starts_with(names::RELAY_BUNDLES)) {
        let is_sample = |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        assert!(text.lines().any(is_sample), "{name} appears with its first, which is no rise:\n{text}");
    }
}

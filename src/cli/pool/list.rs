//! `todoke pool list`: every unit with its state, share, evidence and penalties, and what all point to.

use clap::Args;
use serde_json::json;

use super::{
    asking::Asking,
    show::{drill, paused, state, table, time, unit_json},
};
use crate::{
    cli::municipal::{Output, many, say, say_event, say_result},
    client::error::Error,
    runtime::exit,
    wire::{pb, text::one_line},
};

/// Lists the units with state, share, evidence and penalties.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  \
    todoke pool list --endpoints dev/endpoints.json --as operator/alice")]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub(super) asking: Asking,
}

pub(super) async fn run(args: &ListArgs) -> Result<(), Error> {
    let issuers = args.asking.issuers()?;
    let message = pb::ListUnitsRequest {};
    let list = issuers
        .prefer(
            "ListUnits",
            &message,
            |mut pool, request| async move { pool.list_units(request).await },
            decides,
        )
        .await?;
    if args.asking.output == Output::Json {
        list.units.iter().for_each(|unit| say_event("unit", unit_json(unit)));
        say_result(exit::DONE, summary(&list));
    } else {
        lines(&list).iter().for_each(|line| say(line));
    }
    Ok(())
}

/// Whether the issuer that answers decides: it knows most.
pub(super) fn decides(list: &pb::ListUnitsResponse) -> bool {
    !list.controller.is_empty()
}

fn summary(list: &pb::ListUnitsResponse) -> serde_json::Value {
    json!({
        "units": list.units.len(),
        "verdict": list.verdict,
        "degraded": list.degraded,
        "floor": list.floor,
        "controller": list.controller,
        "controller_epoch": list.controller_epoch,
        "frozen": list.frozen,
        "view_version": list.view_version,
        "suspects": list.suspects.iter().map(suspect_json).collect::<Vec<_>>(),
    })
}

fn suspect_json(suspect: &pb::SuspectAttribute) -> serde_json::Value {
    json!({
        "attribute": suspect.attribute,
        "since": time(suspect.since_time.as_ref()),
        "units": suspect.units,
        "signed": suspect.signed,
    })
}

/// What is held against an attribute, and who says that it is mended.
fn suspect(suspect: &pb::SuspectAttribute) -> String {
    let pb::SuspectAttribute { attribute, since_time, units, signed } = suspect;
    let since = time(since_time.as_ref());
    let mended = match signed.as_str() {
        "" => String::new(),
        signed => format!("; said to be mended by {signed}; another operator must sign the same"),
    };
    one_line(&format!("Suspect: {attribute}, since {since}, as {} failed with it{mended}", units.join(", ")))
}

/// S and its limit; of a unit that takes no calls there is none.
fn evidence(unit: &pb::Unit) -> String {
    if unit.evidence_limit > 0.0 {
        format!("{:.1} of {:.1}", unit.evidence, unit.evidence_limit)
    } else {
        "-".to_owned()
    }
}

/// Whether it takes callers' calls, so that it is judged.
fn serves(unit: &pb::Unit) -> bool {
    matches!(unit.state(), pb::UnitState::Healthy | pb::UnitState::Suspect | pb::UnitState::Returning)
}

/// Why it is in its state, and what an operator has ordered beside it.
fn why(unit: &pb::Unit) -> String {
    let mut words = unit.why.clone();
    if !unit.why.contains(&unit.reported_address) {
        words += &format!(" (but it is reached at {})", unit.reported_address);
    }
    if unit.probes_paused {
        words += &format!(" ({})", paused(unit));
    }
    if !unit.drill.is_empty() {
        words += &format!(" ({})", drill(unit));
    }
    words
}

fn lines(list: &pb::ListUnitsResponse) -> Vec<String> {
    let row = |unit: &pb::Unit| {
        vec![
            unit.unit.clone(),
            state(unit).to_owned(),
            format!("{} %", unit.share_percent),
            evidence(unit),
            format!("{:.0}", unit.penalty_fast),
            format!("{:.0}", unit.penalty_slow),
            unit.eviction_count.to_string(),
            time(unit.state_since_time.as_ref()),
            why(unit),
        ]
    };
    let rows: Vec<Vec<String>> = list.units.iter().map(row).collect();
    let mut lines = if rows.is_empty() {
        vec!["no unit is known yet: its first report makes it so, or `todoke pool register`".to_owned()]
    } else {
        let header =
            ["UNIT", "STATE", "SHARE", "EVIDENCE S", "PENALTY FAST", "SLOW", "EVICTIONS", "SINCE", "WHY"];
        table(&header, &rows)
    };
    let whom = if list.units.iter().all(serves) { "all units" } else { "the units in use" };
    lines.push(format!("Verdict on {whom}: {}", list.verdict));
    let decided = match list.controller.as_str() {
        "" => "no issuer decides now: this is what one of them knows".to_owned(),
        name => format!("{name} decides, epoch {}", list.controller_epoch),
    };
    let needed = many(list.floor.into(), "unit");
    let view = list.view_version;
    lines.push(format!("Floor: {needed} must stay in full use. View: version {view}. {decided}"));
    lines.extend(list.suspects.iter().map(suspect));
    if list.degraded {
        lines.push(
            "DEGRADED: fewer units that are well are in full use than are needed: add one, or shed load"
                .to_owned(),
        );
    }
    if list.frozen {
        lines.push("FROZEN: the database is away, and nothing changes until it is back".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{explain::verdict_words, judgement::Verdict};

    #[test]
    fn the_list_says_of_each_unit_where_it_stands_and_why_and_of_the_pool_what_is_wrong() {
        let unit = |name: &str, state: pb::UnitState, share_percent, evidence, why: &str| pb::Unit {
            unit: name.to_owned(),
            state: state.into(),
            share_percent,
            evidence,
            evidence_limit: 21.4,
            state_since_time: Some(prost_types::Timestamp { seconds: 1_000_000, nanos: 0 }),
            why: format!("{name} {why}"),
            ..pb::Unit::default()
        };
        let joins = "joins: 10 deep probes passed, none failed";
        let steered = "looks worse than its peers: new calls go elsewhere, but for 5 %";
        let list = pb::ListUnitsResponse {
            units: vec![
                unit("relay-1", pb::UnitState::Healthy, 100, 0.0, joins),
                unit("relay-2", pb::UnitState::Suspect, 5, 7.25, steered),
                pb::Unit {
                    probes_paused: true,
                    probes_paused_until_time: Some(prost_types::Timestamp { seconds: 1_000_090, nanos: 0 }),
                    drill: "hang".to_owned(),
                    drill_until_time: Some(prost_types::Timestamp { seconds: 1_000_060, nanos: 0 }),
                    ..unit("relay-3", pb::UnitState::Healthy, 100, 0.0, joins)
                },
            ],
            verdict: verdict_words(&Verdict::Undecided { seconds: Some(81) }, 3),
            degraded: true,
            floor: 4,
            controller: "issuer-1".to_owned(),
            controller_epoch: 3,
            view_version: 17,
            ..pb::ListUnitsResponse::default()
        };
        insta::assert_snapshot!(lines(&list).join("\n"));
        let none = lines(&pb::ListUnitsResponse { frozen: true, ..pb::ListUnitsResponse::default() });
        assert!(none[0].contains("todoke pool register"), "{none:?}");
        assert!(none.iter().any(|line| line.contains("no issuer decides")), "{none:?}");
        assert!(none.iter().any(|line| line.starts_with("FROZEN")), "{none:?}");
    }

    #[test]
    fn what_is_suspect_is_listed_with_who_says_that_it_is_mended() {
        let suspect = |signed: &str| pb::SuspectAttribute {
            attribute: "probe=deep".to_owned(),
            since_time: Some(prost_types::Timestamp { seconds: 1_000_000, nanos: 0 }),
            units: vec!["relay-2".to_owned()],
            signed: signed.to_owned(),
        };
        let suspects = vec![suspect(""), suspect("operator/alice; changed: a fan; hypothesis: heat")];
        let list = pb::ListUnitsResponse { suspects, ..pb::ListUnitsResponse::default() };
        let said = lines(&list).into_iter().filter(|line| line.starts_with("Suspect: "));
        let plain = "Suspect: probe=deep, since 1970-01-12T13:46:40Z, as relay-2 failed with it";
        let signed = "; said to be mended by operator/alice; changed: a fan; hypothesis: heat; another \
                      operator must sign the same";
        assert_eq!(Vec::from_iter(said), [plain.to_owned(), format!("{plain}{signed}")]);
    }

    #[test]
    fn where_a_unit_is_reached_is_said_once() {
        let unit = |why: &str| pb::Unit {
            why: why.to_owned(),
            reported_address: "127.0.0.1:9".to_owned(),
            ..pb::Unit::default()
        };
        let whys = ["it is moved", "it is reached at 127.0.0.1:9"].map(unit);
        let words = ["it is moved (but it is reached at 127.0.0.1:9)", "it is reached at 127.0.0.1:9"];
        assert_eq!(whys.each_ref().map(why), words);
    }
}

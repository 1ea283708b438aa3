//! How units, decisions and tables are shown.

use serde_json::{Value, json};

use crate::{
    pool::{
        explain::time_of,
        policy::{Decision, State},
    },
    wire::{pb, text::one_line},
};

/// A time of the wire in UTC; empty if there is none.
pub(super) fn time(time: Option<&prost_types::Timestamp>) -> String {
    time.and_then(|time| u64::try_from(time.seconds).ok()).map(time_of).unwrap_or_default()
}

/// The name of a state, empty if there is none.
pub(super) fn state_name(state: pb::UnitState) -> &'static str {
    match state {
        pb::UnitState::Unspecified => "",
        known => known.as_str_name().trim_start_matches("UNIT_STATE_"),
    }
}

/// Where a unit stands.
pub(super) fn state(unit: &pb::Unit) -> &'static str {
    if unit.drained_by_operator { "DRAINED" } else { state_name(unit.state()) }
}

/// What a unit plays on purpose.
pub(super) fn drill(unit: &pb::Unit) -> String {
    format!("plays {} until {}: a drill", unit.drill, time(unit.drill_until_time.as_ref()))
}

/// That a unit is not probed, and until when.
pub(super) fn paused(unit: &pb::Unit) -> String {
    match time(unit.probes_paused_until_time.as_ref()) {
        until if until.is_empty() => "not probed".to_owned(),
        until => format!("not probed until {until}"),
    }
}

/// Lines of a table, its columns as wide as they need to be; the last one is left as it is.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let header: Vec<String> = header.iter().map(ToString::to_string).collect();
    let columns = header.len();
    let rows = rows.iter().map(|row| row.iter().map(|cell| one_line(cell)).collect());
    let all: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
    let width = |column: usize| {
        all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let last = row.len().saturating_sub(1);
        let cells = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(at, (cell, &width))| if at == last { cell.clone() } else { format!("{cell:width$}") });
        cells.collect::<Vec<_>>().join("  ")
    };
    all.iter().map(line).collect()
}

/// A unit for programs.
pub(super) fn unit_json(unit: &pb::Unit) -> Value {
    let about = unit.attributes.clone().unwrap_or_default();
    json!({
        "unit": unit.unit,
        "state": state(unit),
        "since": time(unit.state_since_time.as_ref()),
        "why": unit.why,
        "rule": unit.rule,
        "share_percent": unit.share_percent,
        "generation": unit.generation,
        "lease_until": time(unit.lease_until_time.as_ref()),
        "evidence": unit.evidence,
        "evidence_limit": unit.evidence_limit,
        "penalty_fast": unit.penalty_fast,
        "penalty_slow": unit.penalty_slow,
        "evictions": unit.eviction_count,
        "earliest_return": time(unit.earliest_return_time.as_ref()),
        "probes_paused": unit.probes_paused,
        "probes_paused_until": time(unit.probes_paused_until_time.as_ref()),
        "drill": unit.drill,
        "drill_until": time(unit.drill_until_time.as_ref()),
        "address": about.address,
        "reported_address": unit.reported_address,
        "slot": about.slot,
        "serial": about.serial,
        "model": about.model,
        "image": about.image,
        "attributes": about.others.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
    })
}

/// The columns of [`decision_row`].
pub(super) const DECISION: [&str; 7] = ["NUMBER", "TIME", "UNIT", "KIND", "RULE", "STATE", "WHY"];

/// The states before and after, as the record has them: it tells those apart that the wire does not, such as
/// DRAINING and DRAINED.
fn states(decision: &pb::Decision) -> (String, String) {
    let record: Option<Decision> = serde_json::from_str(&decision.record_json).ok();
    let name = |state: Option<State>, wire: pb::UnitState| {
        state.map_or_else(|| state_name(wire).to_owned(), |state| state.to_string())
    };
    let (from, to) = record.map(|record| (record.from, record.to)).unwrap_or_default();
    (name(from, decision.from_state()), name(to, decision.to_state()))
}

/// A decision for people.
pub(super) fn decision_row(decision: &pb::Decision) -> Vec<String> {
    let (from, to) = states(decision);
    let unit = if decision.unit.is_empty() { "-" } else { &decision.unit };
    vec![
        decision.number.to_string(),
        time(decision.time.as_ref()),
        unit.to_owned(),
        decision.kind.clone(),
        decision.rule.clone(),
        if from == to { to } else { format!("{from} to {to}") },
        one_line(&decision.why),
    ]
}

/// A decision for programs: its record, with what only the ledger knows of it.
pub(super) fn decision_json(decision: &pb::Decision) -> Value {
    json!({
        "number": decision.number,
        "time": time(decision.time.as_ref()),
        "epoch": decision.epoch,
        "unit": decision.unit,
        "kind": decision.kind,
        "rule": decision.rule,
        "why": decision.why,
        "from": state_name(decision.from_state()),
        "to": state_name(decision.to_state()),
        "record": serde_json::from_str::<Value>(&decision.record_json).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_the_last_is_left_alone() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let lines = table(&["UNIT", "S", "WHY"], &[row(["relay-1", "0.0", "x"]), row(["r", "21.4", ""])]);
        assert_eq!(lines, ["UNIT     S     WHY", "relay-1  0.0   x", "r        21.4  "]);
        let lines = table(&["UNIT", "S", "WHY"], &[row(["r", "0.0", "two\nlines"])]);
        assert_eq!(lines[1], "r     0.0  two\\nlines", "no text breaks the table");
    }

    #[test]
    fn a_unit_that_an_operator_took_out_is_not_said_to_drain() {
        let unit = |drained_by_operator| pb::Unit {
            state: pb::UnitState::Draining.into(),
            drained_by_operator,
            ..pb::Unit::default()
        };
        assert_eq!([state(&unit(false)), state(&unit(true))], ["DRAINING", "DRAINED"]);
    }
}

//! What the issuer tells a municipality beside its batches, in words: what never came, what is lost, and
//! whether anybody is looking.

use crate::{
    domain::date::{japan, utc},
    issuance::SILENT_MAX,
    wire::{convert::millis, pb},
};

/// Returns everything that needs somebody's eyes; empty if nothing does.
pub(crate) fn of(list: &pb::ListBatchesResponse) -> Vec<String> {
    let mut words = Vec::new();
    if list.reconcile_first {
        words.push(
            "RECONCILE FIRST: the issuer's database was restored from a backup, and takes nothing new before \
             `todoke reconcile --all FILES`, with every file that has a receipt"
                .to_owned(),
        );
    }
    for lost in &list.lost_batches {
        words.push(format!(
            "LOST at the issuer: batch {}, sequence {}, {} records: `todoke resume FILE` sends it again",
            lost.batch_id, lost.sequence, lost.record_count
        ));
    }
    if !list.sequence_holes.is_empty() {
        let holes: Vec<String> = list.sequence_holes.iter().map(ToString::to_string).collect();
        words.push(format!("HOLES in the sequence: {}: batches that never came", holes.join(", ")));
    }
    for missing in list.expected_batches.iter().filter(|expected| expected.missing) {
        let note = if missing.note.is_empty() { String::new() } else { format!(" ({})", missing.note) };
        let due = missing.due_time.as_ref().map(|time| japan(millis(time))).unwrap_or_default();
        words.push(format!(
            "MISSING: a batch{note} was due by {due}: import it, or say `todoke import --nothing-today`"
        ));
    }
    if let Some(silent_ms) = silent_ms(list) {
        words.push(format!(
            "NOBODY LOOKS: the issuer has not looked for batches that stall since {} s. Tell its operator",
            silent_ms / 1000
        ));
    }
    words
}

/// The same for programs.
pub(crate) fn json(list: &pb::ListBatchesResponse) -> serde_json::Value {
    let lost: Vec<serde_json::Value> = list
        .lost_batches
        .iter()
        .map(|lost| serde_json::json!({"batch_id": lost.batch_id, "sequence": lost.sequence}))
        .collect();
    let expected: Vec<serde_json::Value> = list
        .expected_batches
        .iter()
        .map(|one| serde_json::json!({"due": due(one), "missing": one.missing, "note": one.note}))
        .collect();
    serde_json::json!({
        "reconcile_first": list.reconcile_first,
        "lost_batches": lost,
        "sequence_holes": list.sequence_holes,
        "expected_batches": expected,
        "sweeper_silent_ms": silent_ms(list),
    })
}

/// Whether all is as it should be.
pub(crate) fn is_quiet(list: &pb::ListBatchesResponse) -> bool {
    of(list).is_empty()
}

fn due(expected: &pb::ExpectedBatch) -> String {
    expected.due_time.as_ref().map(|time| utc(millis(time))).unwrap_or_default()
}

// Both moments are of the issuer's clock, which may have been set back as well. An older issuer tells
// neither.
fn silent_ms(list: &pb::ListBatchesResponse) -> Option<i64> {
    let (answer, sweep) = (list.answer_time.as_ref()?, list.sweep_time.as_ref()?);
    let silent_ms = (millis(answer) - millis(sweep)).abs();
    (u128::from(silent_ms.unsigned_abs()) > SILENT_MAX.as_millis()).then_some(silent_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::convert::timestamp;

    #[test]
    fn a_municipality_is_told_when_nobody_looks() {
        let list = |sweep_ms| pb::ListBatchesResponse {
            sweep_time: Some(timestamp(sweep_ms)),
            answer_time: Some(timestamp(1_000_000)),
            ..Default::default()
        };
        assert_eq!(of(&list(940_000)), Vec::<String>::new());
        for sweep_ms in [939_999, 1_060_001] {
            assert!(of(&list(sweep_ms)).concat().starts_with("NOBODY LOOKS: "), "{sweep_ms}");
        }
        assert_eq!(of(&pb::ListBatchesResponse::default()), Vec::<String>::new(), "an older issuer");
    }
}

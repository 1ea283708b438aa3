//! Says how a run ended and what to do next, as text or as the last JSON line.

use std::path::Path;

use super::municipal::{Output, many, outcome_code, say, say_result};
use crate::client::{
    outcome::{Gaps, NotAccepted, Outcome},
    rejects::Listing,
};

/// How many ranges and districts are printed.
const SHOWN: usize = 50;

/// Shows an outcome and returns its exit code.
#[must_use]
pub(crate) fn show(outcome: &Outcome, file: &Path, output: Output) -> u8 {
    let code = outcome_code(outcome);
    if output == Output::Json {
        return say_result(code, outcome);
    }
    lines(outcome, file).iter().for_each(|line| say(line));
    code
}

fn lines(outcome: &Outcome, file: &Path) -> Vec<String> {
    let file = file.display();
    match outcome {
        Outcome::Receipted { .. } => receipted(outcome),
        Outcome::Gaps { batch_id, gaps } => {
            let mut lines = vec![format!("GAPS: batch {batch_id} is not complete")];
            lines.extend(gap_lines(gaps));
            lines.push(format!(
                "Next: `todoke resume {file}`; if the gaps stay, tell the operator of the issuer"
            ));
            lines
        }
        Outcome::TotalsDiffer { batch_id, differences } => {
            let mut lines = vec![match batch_id {
                None => "TOTALS DIFFER: nothing was sent".to_owned(),
                Some(id) => format!("TOTALS DIFFER: batch {id} is in quarantine"),
            }];
            lines.extend(differences.iter().map(|text| format!("  {text}")));
            lines.push("Next: find out which side is wrong, mend it, and import again".to_owned());
            lines
        }
        Outcome::TryAgain { batch_id, why, gaps } => {
            let mut lines = vec![format!("NOT DONE: batch {batch_id}: {why}")];
            lines.extend(gap_lines(gaps));
            lines.push(format!("Next: `todoke resume {file}` goes on from what is durable"));
            lines
        }
        Outcome::Refused { batch_id, reason, message, remedy } => {
            vec![format!("REFUSED: batch {batch_id}: {reason}: {message}"), format!("Next: {remedy}")]
        }
        Outcome::NotAccepted { batch_id, state, why, damaged, listing } => {
            let mut lines = vec![format!("{state}: batch {batch_id} has no receipt: {why}")];
            lines.extend(records(listing, batch_id));
            lines.push(match state.as_str() {
                "ABORTED" => {
                    "Next: `todoke import` instead of `resume` makes a new batch of the file".to_owned()
                }
                _ if *damaged => format!(
                    "Next: the file is whole: `todoke repair --batch {batch_id} --reason …`, then \
                     `todoke resume {file}` sends what was damaged again"
                ),
                // Worked off again, the same records are rejected again.
                _ if listing.is_rejected() => format!(
                    "Next: mend the file, give this batch up with \
                     `todoke abort --batch {batch_id} --reason …`, and import again"
                ),
                _ => format!(
                    "Next: mend the file and give this batch up with \
                     `todoke abort --batch {batch_id} --reason …`, or have it worked off again \
                     with `todoke repair --batch {batch_id} --reason …`"
                ),
            });
            lines
        }
    }
}

fn receipted(outcome: &Outcome) -> Vec<String> {
    let Outcome::Receipted {
        batch_id,
        sequence,
        receipt,
        digest,
        records: total,
        accepted,
        rejected,
        duplicate,
        again,
        listing,
    } = outcome
    else {
        return Vec::new();
    };
    let word = if *again { "DONE before, and proved again" } else { "DONE and proved" };
    let mut lines = vec![
        format!("{word}: batch {batch_id}, sequence {sequence}"),
        format!(
            "  {}: {accepted} accepted, {rejected} rejected, {duplicate} there already",
            many(*total, "record")
        ),
        format!("  receipt {receipt}, digest {digest}"),
    ];
    lines.extend(records(listing, batch_id));
    lines
}

fn records(listing: &Listing, batch_id: &str) -> Vec<String> {
    let one = |record: &NotAccepted| {
        let NotAccepted { index, line, place, order_id, disposition, code, field, what, remedy } = record;
        let mut text = if *line > 0 { format!("  line {line}") } else { format!("  record {index}") };
        if !place.is_empty() {
            text.push_str(&format!(", {place}"));
        }
        if !field.is_empty() {
            text.push_str(&format!(" ({field})"));
        }
        let code = if code.is_empty() { disposition.clone() } else { format!("{disposition} {code}") };
        format!("{text}: order {order_id}: {code}: {what}. {remedy}")
    };
    let mut lines: Vec<String> = listing.not_accepted.iter().map(one).collect();
    let more = listing.more_not_accepted.iter().map(|(kind, number)| format!("{number} more: {kind}"));
    let more: Vec<String> = more.collect();
    if !more.is_empty() {
        lines.push(format!("  and {}. All: `todoke rejects --batch {batch_id}`", more.join(", ")));
    }
    if let Some(why) = &listing.listing_broke {
        lines.push(format!("  this is not all: {why}. All: `todoke rejects --batch {batch_id}`"));
    }
    lines
}

/// The missing records as lines: their number, ranges and districts.
#[must_use]
pub(crate) fn gap_lines(gaps: &Gaps) -> Vec<String> {
    if gaps.missing_records == 0 {
        return Vec::new();
    }
    let missing = many(gaps.missing_records, "record");
    let mut lines = vec![match gaps.confirmed {
        true => format!("  missing: {missing}"),
        false => format!("  not known to be durable, as the issuer did not answer: {missing}"),
    }];
    let ranges = gaps.ranges.iter().take(SHOWN).map(|(first, last)| format!("  records {first} to {last}"));
    lines.extend(ranges);
    // Of an issuer's ranges there are only the first here.
    let lengths =
        gaps.ranges.iter().take(SHOWN).map(|(first, last)| last.saturating_sub(*first).saturating_add(1));
    let more = lengths.fold(gaps.missing_records, u64::saturating_sub);
    if more > 0 {
        lines.push(format!("  and {} in further ranges", many(more, "record")));
    }
    let districts = gaps.districts.iter().take(SHOWN);
    let word = if gaps.confirmed { "missing" } else { "not known to be durable" };
    lines.extend(districts.map(|(name, missing)| format!("  {name}: {} {word}", many(*missing, "record"))));
    if gaps.districts.len() > SHOWN {
        lines.push(format!("  and {} more districts", gaps.districts.len() - SHOWN));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_file_is_not_to_be_mended_because_the_issuer_lost_some_of_it() {
        let next_of = |damaged, listing| {
            let (batch_id, state) = ("b".to_owned(), "DISCREPANT".to_owned());
            let why = "chunk 1 is unreadable".to_owned();
            let outcome = Outcome::NotAccepted { batch_id, state, why, damaged, listing };
            lines(&outcome, Path::new("in.csv")).pop().unwrap_or_default()
        };
        let next = |damaged| next_of(damaged, Listing::default());
        assert!(next(false).contains("mend the file") && next(false).contains("todoke abort"));
        assert!(next(true).contains("todoke repair") && next(true).contains("todoke resume in.csv"));
        assert!(!next(true).contains("mend") && !next(true).contains("abort"), "{}", next(true));
        assert!(next(false).contains("todoke repair"), "{}", next(false));
        let more_not_accepted = std::collections::BTreeMap::from([("REJECTED".to_owned(), 1)]);
        let rejected = next_of(false, Listing { more_not_accepted, ..Listing::default() });
        assert!(rejected.contains("abort") && !rejected.contains("repair"), "{rejected}");
    }

    #[test]
    fn what_is_missing_beyond_the_ranges_that_are_shown_is_counted() {
        let of = |missing_records, ranges: u64| {
            let ranges = (0..ranges).map(|n| (3 * n, 3 * n + 1)).collect();
            gap_lines(&Gaps { missing_records, ranges, ..Gaps::default() })
        };
        let shown = SHOWN as u64;
        assert_eq!(of(2 * shown, shown).len(), 1 + SHOWN, "all are shown");
        // A page of the issuer's has a thousand ranges, and there may be more.
        let lines = of(9000, 1000);
        assert_eq!(lines.last().map(String::as_str), Some("  and 8900 records in further ranges"));
    }

    #[test]
    fn gaps_name_ranges_and_districts_and_the_next_step() {
        let gaps = Gaps {
            missing_records: 7,
            ranges: vec![(3, 9)],
            districts: vec![("白鳥".to_owned(), 5), ("亀有".to_owned(), 2)],
            confirmed: true,
        };
        let unknown = gap_lines(&Gaps { confirmed: false, ..gaps.clone() }).join("\n");
        assert!(unknown.contains("not known to be durable") && !unknown.contains("missing"), "{unknown}");
        let text = lines(&Outcome::Gaps { batch_id: "b".to_owned(), gaps }, Path::new("in.csv")).join("\n");
        for needle in ["missing: 7 records", "records 3 to 9", "白鳥: 5", "亀有: 2", "todoke resume in.csv"]
        {
            assert!(text.contains(needle), "{text:?} lacks {needle:?}");
        }
    }
}

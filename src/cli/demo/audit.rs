//! What is checked after every load: the receipt's figures, the cards and the dispositions are the file's
//! own records, each exactly once.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{command::Ended, extract::Extract, narrator::Narrator, stage::Stage, trouble::Trouble};
use crate::runtime::exit;

/// The whole number under a name; 0 if there is none, so it is for checks that expect more.
pub(crate) fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_default()
}

/// The text under a name.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// Where the receipt of a load is.
pub(crate) fn receipt_of(load: &Extract) -> PathBuf {
    beside(&load.file, "receipt")
}

/// A file's neighbour, such as `a.csv.receipt`.
pub(crate) fn beside(file: &Path, end: &str) -> PathBuf {
    PathBuf::from(format!("{}.{end}", file.display()))
}

/// How many records of a batch are anywhere but accepted; none if a figure of them is missing.
fn elsewhere(status: &Value) -> Option<u64> {
    let counts = ["missing", "stored", "rejected", "duplicate", "quarantined"];
    counts.iter().map(|name| status[name].as_u64()).sum()
}

/// Checks an import that ended, against the file that was loaded.
///
/// # Errors
/// [`Trouble`] if the system cannot be asked; the checks so far stand.
pub(crate) async fn settled(
    stage: &Stage,
    tale: &mut Narrator,
    load: &Extract,
    ended: &Ended,
) -> Result<(), Trouble> {
    tale.ends_with("the command ended with its receipt", exit::DONE, ended);
    let result = ended.said("result")?;
    let batch = text(result, "batch_id");
    let status = stage.status(batch).await?;
    let elsewhere = elsewhere(&status).unwrap_or(u64::MAX); // a figure that is not said is no 0
    let [declared, accepted] = ["records", "accepted"].map(|name| number(&status, name));
    let found = [declared, accepted, number(result, "accepted"), elsewhere];
    let all = load.records();
    tale.all_same("declared / accepted / on the receipt / elsewhere", &[all, all, all, 0], &found);
    let cards = stage.cards(Some(batch)).await?;
    let found = load.match_up(cards.iter().map(|card| text(card, "order_id")));
    let found = [found.once, found.again, found.foreign];
    tale.all_same("cards: once / twice / of no record", &[all, 0, 0], &found);
    let dispositions = stage.dispositions(batch).await?;
    let in_order = (0..).zip(&dispositions).all(|(at, (index, accepted))| at == *index && *accepted);
    let found = if in_order { dispositions.len() as u64 } else { 0 };
    tale.same("dispositions, one a record, all accepted", all, found);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_is_not_said_is_not_taken_for_none() {
        let mut status = serde_json::json!({
            "missing": 0, "stored": 1, "rejected": 0, "duplicate": 2, "quarantined": 0, "accepted": 9,
        });
        assert_eq!(elsewhere(&status), Some(3));
        status["duplicate"] = Value::Null;
        assert_eq!(elsewhere(&status), None);
    }
}

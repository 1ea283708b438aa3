//! Step (c): an upload is cut when 58 % is acknowledged; the issuer notices by itself, and the rest is
//! enough.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::{
    audit::{number, receipt_of, settled, text},
    cast::STALL_AFTER,
    loads::seconds,
    narrator::{Narrator, figure, percent},
    stage::{LOST, Stage},
    trouble::Trouble,
};

/// Where the upload is cut, in percent of the records that are acknowledged.
const CUT_AT: u64 = 58;
/// Records in a chunk: small, so that there is something to cut.
const CHUNK: u64 = 128;
/// The longest that the issuer may take to notice, by the design's own promise.
const NOTICED_WITHIN_S: u64 = 120;
/// The issuer counts from the last chunk it stored, which may be so much before the kill.
const SLACK: Duration = Duration::from_millis(500);

/// (c): cut, noticed, resumed.
///
/// # Errors
/// [`Trouble`].
pub(crate) async fn cut(stage: &Stage, tale: &mut Narrator) -> Result<(), Trouble> {
    let load = stage.sample("cut", 8, &[]).await?;
    let (records, chunk) = (load.records(), CHUNK.to_string());
    let before = stage.issuer().await?;
    tale.same("batches flagged before the cut", 0, before.flags("stalled"));
    let mut run = stage.import(&load, &["--chunk-records", &chunk])?;
    let far_enough = |event: &Value| number(event, "durable_records") * 100 >= records * CUT_AT;
    let seen = run.until("uploading", "58 % of its records were acknowledged", far_enough).await?;
    let killed_at = Instant::now();
    let batch = text(run.said("opened")?, "batch_id").to_owned();
    let killed = run.kill().await?;
    let acknowledged = number(&seen, "durable_records");
    tale.say(&format!(
        "The sender was killed with {} of {} records acknowledged ({}).",
        figure(acknowledged),
        figure(records),
        percent(acknowledged, records)
    ));
    let in_between = (records * CUT_AT..records * 100).contains(&(acknowledged * 100));
    tale.holds("acknowledged when it was cut", "58 % or more", &percent(acknowledged, records), in_between);
    let no_receipt = killed.code == -1 && !receipt_of(&load).exists();
    tale.holds("how the sender ended", "killed, no receipt", killed.how(), no_receipt);

    let status = noticed(stage, tale, &batch, killed_at).await?;
    let missing = gaps(tale, records, acknowledged, &status);
    let after = stage.issuer().await?;

    let resumed = stage.as_ward(&["resume", load.name(), "--patience", "30s"])?.end().await?;
    let opened = resumed.said("opened")?;
    tale.same(
        "records it found to be there already",
        number(&status, "stored"),
        number(opened, "durable_records"),
    );
    let end = stage.issuer().await?;
    let (sent, again) = (end.chunks("stored") - after.chunks("stored"), end.chunks("duplicate"));
    tale.same("chunks that resume sent: only the missing ones", missing, end.frames() - after.frames());
    tale.same("chunks that were stored twice over", before.chunks("duplicate"), again);
    let all = records.div_ceil(CHUNK);
    tale.same("chunks stored in both runs together", all, end.chunks("stored") - before.chunks("stored"));
    tale.say(&format!("`todoke resume` sent {} of {} chunks.", figure(sent), figure(all)));
    settled(stage, tale, &load, &resumed).await?;
    stage.until_flags("stalled", 0).await?;
    tale.say("The flag is down again.");
    Ok(())
}

// Waits until the issuer has noticed, and checks that it says so in its metrics, in the status and in its
// log.
async fn noticed(
    stage: &Stage,
    tale: &mut Narrator,
    batch: &str,
    killed_at: Instant,
) -> Result<Value, Trouble> {
    stage.until_flags("stalled", 1).await?;
    let took = killed_at.elapsed();
    let in_time = took.as_secs() < NOTICED_WITHIN_S && took + SLACK >= STALL_AFTER;
    tale.holds("the issuer flagged it by itself after", "2 s to 120 s", &seconds(took), in_time);
    let status = stage.status(batch).await?;
    let flags: Vec<&str> =
        status["flags"].as_array().into_iter().flatten().map(|one| text(one, "name")).collect();
    let flagged = flags == ["stalled"];
    tale.holds("flags in `todoke status`", "stalled", &flags.join(", "), flagged);
    let log = stage.log("issuer-1")?;
    let lines = log.lines().filter(|line| line.contains(batch) && line.contains("stalled")).count();
    tale.same("lines about it in the issuer's log", 1, lines as u64);
    let state = text(&status, "state");
    tale.holds("its state meanwhile", "RECEIVING", state, state == "RECEIVING");
    tale.say(&format!("{} later the issuer said by itself: stalled.", seconds(took)));
    Ok(status)
}

// Checks what is missing, and returns how many chunks that is.
fn gaps(tale: &mut Narrator, records: u64, acknowledged: u64, status: &Value) -> u64 {
    let stored = number(status, "stored");
    let kept = stored >= acknowledged;
    tale.holds(
        "acknowledged records that are stored",
        &figure(acknowledged),
        &figure(stored.min(acknowledged)),
        kept,
    );
    let (mut missing, mut chunks) = (0, 0);
    let ranges: Vec<(u64, u64)> =
        serde_json::from_value(status["gaps"]["ranges"].clone()).unwrap_or_default();
    for (first, last) in &ranges {
        missing += last + 1 - first;
        chunks += last / CHUNK - first / CHUNK + 1;
    }
    tale.same("records in the missing ranges", records - stored, missing);
    let districts: Vec<(String, u64)> =
        serde_json::from_value(status["gaps"]["districts"].clone()).unwrap_or_default();
    tale.same("records in the missing districts", missing, districts.iter().map(|(_, count)| count).sum());
    let lost = districts.iter().find(|(name, _)| name == LOST).map_or(0, |(_, count)| *count);
    tale.say(&format!(
        "Missing by its list: {} records of {} districts, {} of them of {LOST}; {}.",
        figure(missing),
        districts.len(),
        figure(lost),
        listed(&ranges)
    ));
    chunks
}

// The first ranges in words.
fn listed(ranges: &[(u64, u64)]) -> String {
    const SHOWN: usize = 3;
    let one = |(first, last): &(u64, u64)| format!("{} to {}", figure(*first), figure(*last));
    let mut words: Vec<String> = ranges.iter().take(SHOWN).map(one).collect();
    if ranges.len() > SHOWN {
        words.push(format!("{} more ranges", ranges.len() - SHOWN));
    }
    format!("records {}", words.join(", "))
}

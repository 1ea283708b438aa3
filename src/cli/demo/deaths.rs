//! Steps (d) and (e): the issuer dies while it works a batch off, a relay dies under an upload; nothing
//! is lost and nothing is there twice.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;

use super::{
    audit::{number, settled},
    loads::seconds,
    narrator::{Narrator, figure, percent},
    stage::Stage,
    trouble::Trouble,
};

/// A process that died is left dead for so long; one that is back earlier never died.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// What the sender has in flight at most, and so may have to send again.
const IN_FLIGHT_MAX: u64 = 8;

/// (d): the issuer is killed while it works the records off.
///
/// # Errors
/// [`Trouble`].
pub(crate) async fn of_the_issuer(stage: &Stage, tale: &mut Narrator) -> Result<(), Trouble> {
    let load = stage.sample("issuer-killed", 9, &[]).await?;
    let records = load.records();
    let mut run = stage.import(&load, &["--chunk-records", "64"])?;
    let at_work = |event: &Value| (records / 5..records).contains(&number(event, "worked_records"));
    let seen = run.until("working", "the issuer was seen in the midst of its work", at_work).await?;
    let worked = number(&seen, "worked_records");
    let (away, ended) = tokio::join!(stage.kill_and_see_back("issuer-1"), run.end());
    let (away, ended) = (away?, ended?);
    tale.say(&format!(
        "The issuer was killed with {} of {} records worked off ({}); it was back after {}.",
        figure(worked),
        figure(records),
        percent(worked, records),
        seconds(away)
    ));
    let by_service_manager = away >= RESTART_AFTER;
    tale.holds("the issuer was back after", "1 s or more", &seconds(away), by_service_manager);
    settled(stage, tale, &load, &ended).await?;
    // The new process counts from zero: what it accepted is the rest, and no record that was done before.
    let rest = stage.issuer().await?.records("accepted");
    let held = rest > 0 && rest <= records - worked;
    let most = format!("1 to {}", figure(records - worked));
    tale.holds("records that the next issuer process worked off", &most, &figure(rest), held);
    tale.say(&format!("The next one worked off the other {} and nothing again.", figure(rest)));
    Ok(())
}

/// (e): relay-2 is killed in the middle of an upload.
///
/// # Errors
/// [`Trouble`].
pub(crate) async fn of_a_relay(stage: &Stage, tale: &mut Narrator) -> Result<(), Trouble> {
    let load = stage.sample("relay-killed", 10, &[]).await?;
    let records = load.records();
    let before = stage.issuer().await?;
    let mut run = stage.import(&load, &["--chunk-records", "128", "--streams", "4"])?;
    let over_relay_2 = |event: &Value| {
        let relays = event["relays"].as_array();
        let over = relays.is_some_and(|relays| relays.iter().any(|relay| relay == "relay-2"));
        over && number(event, "durable_records") * 5 >= records
    };
    let seen = run.until("uploading", "a fifth of its records went, over relay-2 too", over_relay_2).await?;
    let sent = number(&seen, "durable_records");
    let (away, ended) = tokio::join!(stage.kill_and_see_back("relay-2"), run.end());
    let (away, ended) = (away?, ended?);
    tale.holds(
        "acknowledged when relay-2 was killed",
        "some, not all",
        &percent(sent, records),
        sent < records,
    );
    let left = ended.events.iter().filter(|event| event["event"] == "relay_left");
    let left: BTreeSet<&str> = left.filter_map(|event| event["relay"].as_str()).collect();
    let left = left.into_iter().collect::<Vec<_>>().join(", ");
    tale.holds("relays that the sender gave up", "relay-2", &left, left == "relay-2");
    settled(stage, tale, &load, &ended).await?;
    let after = stage.issuer().await?;
    let stored = after.chunks("stored") - before.chunks("stored");
    let again = after.chunks("duplicate") - before.chunks("duplicate");
    let in_flight = again <= IN_FLIGHT_MAX;
    tale.holds("chunks that came a second time", "0 to 8", &figure(again), in_flight);
    tale.same("chunks stored", records.div_ceil(128), stored);
    let by_service_manager = away >= RESTART_AFTER;
    tale.holds("relay-2 was back after", "1 s or more", &seconds(away), by_service_manager);
    tale.say(&format!(
        "relay-2 was killed at {}; the sender went on over the others, {} chunks came a second time and were \
         known. It was back after {}.",
        percent(sent, records),
        figure(again),
        seconds(away)
    ));
    Ok(())
}

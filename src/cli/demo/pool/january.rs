//! January 2016 again, with the pool of today: unit 1 hangs on the 13th and unit 2 from the 18th; what both
//! share is suspect on the 18th, and the reconnection of the 20th is refused.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::sleep;

use super::{
    super::{
        audit::text,
        cast::Cast,
        loads::seconds,
        narrator::{Narrator, figure},
        stage::Stage,
        theatre::Theatre,
        trouble::Trouble,
    },
    asks::{ALICE, BOB},
    crowd,
    hang::RELAYS,
    same_model::{MODEL, more},
    sick::{self, Course, EVICTED_MAX, Watch},
};
use crate::cli::municipal::now_ms;

/// The two units of then, of one model, and two of another beside them.
const MODELS: [(u16, &str); 4] = [(1, MODEL), (2, MODEL), (3, "HSM-9"), (4, "HSM-9")];
/// Unit 1.
const ONE: &str = "relay-1";
/// Unit 2.
const TWO: &str = "relay-2";

/// The return in small: in earnest 200 probes over 60 s, then five steps of 60 s and 50 calls each.
/// Everything else is as it is in earnest.
const SMALL_RETURN: &str = "[pool.policy]\nprobation_probes = 20\nprobation_s = 5\n\
                            steps_percent = [25, 100]\nstep_s = 5\nstep_calls = 10\n";

/// How long the pool is in use before a failure, so that it knows how long its calls take.
const IN_USE: Duration = Duration::from_secs(10);
/// How long a unit is looked at that is to be out of use.
const LOOKED_AT: Duration = Duration::from_secs(8);

/// 31 December 2015, 0:00, in seconds since 1970. The processes' clocks show the local time of the record.
const DAY_0_S: i64 = 1_451_520_000;

/// Plays 13 to 26 January.
///
/// # Errors
/// [`Trouble`].
pub(crate) async fn january(theatre: &Theatre, tale: &mut Narrator) -> Result<(), Trouble> {
    tale.say("January 2016, by the timetable of the record, with unit 1 as relay-1 and unit 2 as relay-2.");
    tale.say(
        "What is not as in earnest: the days between are skipped, by stopping every process and starting",
    );
    tale.say("it again with its clock set ahead; each failure lasts until it is evicted; a return takes 20");
    tale.say(
        "probes and two steps instead of 200 and five. Limits, windows, half-lives and probes are real.",
    );
    let day = |day, hour, minute| cast(day, hour, minute);
    tale.step('a', "13 January, 11:40: unit 1");
    theatre.play(&day(13, 11, 39), async |stage| Box::pin(the_13th(stage, tale)).await).await?;
    tale.step('b', "18 January, 15:40: unit 2");
    theatre.play(&day(18, 15, 39), async |stage| Box::pin(the_18th(stage, tale)).await).await?;
    tale.step('c', "19 January, 8:30: unit 2 again");
    theatre.play(&day(19, 8, 29), async |stage| Box::pin(the_19th(stage, tale)).await).await?;
    tale.step('d', "20 January, 10:00: unit 2 is to be reconnected, with no cause found");
    theatre.play(&day(20, 10, 0), async |stage| Box::pin(the_20th(stage, tale)).await).await?;
    tale.step('e', "21, 22 and 25 January: unit 2 would have failed three times more");
    for (d, hour, minute) in [(21, 18, 40), (22, 9, 40), (25, 10, 45)] {
        theatre.play(&day(d, hour, minute), async |stage| Box::pin(out_of_use(stage, tale, d)).await).await?;
    }
    tale.step('f', "26 January: the way back, and two more units");
    theatre.play(&day(26, 10, 0), async |stage| Box::pin(the_26th(stage, tale)).await).await
}

/// A stage on which it is then.
fn cast(day: i64, hour: i64, minute: i64) -> Cast {
    let then_ms = (DAY_0_S + day * 86_400 + hour * 3_600 + minute * 60) * 1_000;
    let mut cast = Cast { ahead_ms: then_ms - now_ms(), ..Cast::of_models(&MODELS) };
    cast.issuer.push_str(SMALL_RETURN);
    cast
}

/// A unit hangs until it is evicted; it ends in `rest`.
async fn hangs(stage: &Stage, tale: &mut Narrator, unit: &str, rest: &str) -> Result<Course, Trouble> {
    let story = async {
        let back = stage.until_state(&RELAYS, "HEALTHY").await?;
        sleep(IN_USE).await;
        let watch = stage.watch(EVICTED_MAX)?;
        let mut watch = Watch::new(watch, stage.drill(unit, "hang", "5m").await?);
        // Once it is out it says itself that it does not serve: it is asked while it hangs and is in use.
        watch.until_steered(unit).await?;
        let health = stage.health(unit).await?;
        let course = watch.until_evicted(&[unit]).await?;
        stage.end_drill(unit).await?;
        stage.until_state(&[unit], rest).await?;
        Ok((course, back, health))
    };
    let (tally, (course, back, health)) = crowd::during(stage, crowd::PATIENCE, story).await?;
    tale.say(&format!("All four relays were in use {} after the start.", seconds(back)));
    course.say(tale);
    tale.holds("its health check while it hung", "SERVING", &health, health == "SERVING");
    course.check(tale);
    tally.settle(tale);
    tally.check_failures(tale);
    let time = clock_of(&course);
    tale.say(&format!("By the clocks of the processes that was on {time}."));
    Ok(course)
}

/// When a unit was evicted, as its issuer's clock shows it.
fn clock_of(course: &Course) -> String {
    let second = course.record["second"].as_i64().unwrap_or_default();
    OffsetDateTime::from_unix_timestamp(second)
        .map_or_else(|_| "no day".to_owned(), |time| format!("{} {}", time.date(), time.time()))
}

/// The last decision of a kind, if there is one.
async fn last(stage: &Stage, kind: &str) -> Result<Option<serde_json::Value>, Trouble> {
    Ok(stage.decisions().await?.into_iter().rev().find(|one| one["kind"] == kind))
}

async fn the_13th(stage: &Stage, tale: &mut Narrator) -> Result<(), Trouble> {
    let course = hangs(stage, tale, ONE, "EVICTED").await?;
    let day = clock_of(&course);
    tale.holds("the day of the eviction", "2016-01-13", &day, day.starts_with("2016-01-13"));
    let suspected = sick::count(&stage.decisions().await?, "systemic");
    tale.same("suspect attributes: one failure shows nothing of a model", 0, suspected);
    Ok(())
}

async fn the_18th(stage: &Stage, tale: &mut Narrator) -> Result<(), Trouble> {
    hangs(stage, tale, TWO, "EVICTED").await?;
    let systemic = last(stage, "systemic").await?.unwrap_or_default();
    let why = text(&systemic, "why");
    tale.say(&format!("{why}."));
    let p = systemic["record"]["numbers"]["p"].as_f64().unwrap_or_default();
    let found = format!("{:.1} %", p * 100.0);
    let named = why.contains("SYSTEMIC_SUSPECT") && why.contains(&format!("model={MODEL}"));
    tale.holds("what both share is SYSTEMIC_SUSPECT", "yes", if named { "yes" } else { "no" }, named);
    tale.holds("p that this is chance", "1.4 %", &found, found == "1.4 %");
    Ok(())
}

async fn the_19th(stage: &Stage, tale: &mut Narrator) -> Result<(), Trouble> {
    hangs(stage, tale, TWO, "QUARANTINED").await?;
    let quarantine = last(stage, "quarantine").await?.unwrap_or_default();
    tale.say(&format!("QUARANTINED: {}.", text(&quarantine, "why")));
    let slow = quarantine["record"]["numbers"]["slow"].as_f64().unwrap_or_default();
    let found = figure(slow.round() as u64);
    tale.holds(
        "slow penalty of the 18th and the 19th, of 1,800",
        "1,933",
        &found,
        (1_932.0..1_935.0).contains(&slow),
    );
    Ok(())
}

async fn the_20th(stage: &Stage, tale: &mut Narrator) -> Result<(), Trouble> {
    let healthy = ["relay-1", "relay-3", "relay-4"];
    stage.until_state(&healthy, "HEALTHY").await?;
    for (what, args) in [("undrain", ["undrain", TWO]), ("sign-off", ["sign-off", TWO])] {
        let ended = stage.pool_as(ALICE, &args).await?;
        let why = text(ended.said("result")?, "error").to_owned();
        let refused = ended.code == 1 && why.contains("QUARANTINED") && why.contains("of 1,800");
        let found = if refused { "refused" } else { why.as_str() };
        tale.holds(&format!("`todoke pool {what} relay-2`"), "refused", found, refused);
        if what == "undrain" {
            tale.say(&format!("`todoke pool {what} relay-2`: {why}."));
        }
    }
    stage
        .explained(TWO, &["relay-2 is ", "Next:", "Penalties:"])
        .await?
        .iter()
        .for_each(|line| tale.say(line));
    Ok(())
}

async fn out_of_use(stage: &Stage, tale: &mut Narrator, day: i64) -> Result<(), Trouble> {
    stage.until_state(&["relay-1", "relay-3", "relay-4"], "HEALTHY").await?;
    let story = async {
        stage.drill(TWO, "hang", "1m").await?;
        sleep(LOOKED_AT).await;
        Ok(())
    };
    let (tally, ()) = crowd::during(stage, crowd::PATIENCE, story).await?;
    tally.settle(tale);
    tally.check_none_failed(tale);
    let (units, _) = stage.units().await?;
    let state = units.iter().find(|unit| text(unit, "unit") == TWO).map_or("", |unit| text(unit, "state"));
    tale.holds(&format!("unit 2 on {day} January"), "QUARANTINED", state, state == "QUARANTINED");
    Ok(())
}

async fn the_26th(stage: &Stage, tale: &mut Narrator) -> Result<(), Trouble> {
    stage.until_state(&["relay-1", "relay-3", "relay-4"], "HEALTHY").await?;
    let record =
        ["--changed", "the monitoring agent is off", "--hypothesis", "it conflicts with the crypto device"];
    let sign = [&["sign-off", TWO][..], &record].concat();
    let first = stage.pool_as(ALICE, &sign).await?.with_code(0)?;
    tale.say(&format!("Alice signs: {}.", text(first.said("result")?, "pending")));
    let again = stage.pool_as(ALICE, &["sign-off", TWO]).await?;
    tale.ends_with("Alice signs twice", 1, &again);
    stage.pool_as(BOB, &["sign-off", TWO]).await?.with_code(0)?;
    let release = last(stage, "release").await?.unwrap_or_default();
    tale.say(&format!("Bob signs: {}.", text(&release, "why")));
    tale.same("releases", 1, sick::count(&stage.decisions().await?, "release"));
    let (tally, back) = crowd::during(stage, crowd::PATIENCE, stage.until_state(&RELAYS, "HEALTHY")).await?;
    tale.say(&format!("By probes, then by steps, relay-2 was in full use again after {}.", seconds(back)));
    tally.settle(tale);
    tally.check_none_failed(tale);
    more(stage, tale, MODEL, true).await?;
    sick::only_evicted(stage, tale, &[ONE, TWO, TWO]).await
}

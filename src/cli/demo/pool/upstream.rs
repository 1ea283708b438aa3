//! What is behind all relays is away or fails: nobody is evicted for it, it is said to be shared, and all
//! goes on afterwards.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::{
    super::{
        audit::{settled, text},
        loads::seconds,
        narrator::Narrator,
        stage::Stage,
        trouble::Trouble,
    },
    crowd,
    hang::RELAYS,
    sick,
};

/// How long the issuer is stopped: longer than any lease lives (15 s).
const STOPPED: Duration = Duration::from_secs(20);
/// How long an import may take that waits for it meanwhile.
const IMPORTED_WITHIN: Duration = Duration::from_secs(150);
/// How long the pool is looked at after a disturbance: whatever it would decide falls into it.
const AFTERWARDS: Duration = Duration::from_secs(20);
/// The same after a short one.
const SOON: Duration = Duration::from_secs(10);
/// How long a call is tried here: nobody can answer while the issuer is stopped.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the upstream is gone for all relays, at most: the word SHARED needs as much as an eviction does.
const GONE_MAX: Duration = Duration::from_secs(150);
/// How often the verdict is asked for.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Stops and kills the issuer, then takes the upstream from all relays.
///
/// # Errors
/// [`Trouble`].
pub(crate) async fn upstream(stage: &Stage, tale: &mut Narrator) -> Result<(), Trouble> {
    stage.until_state(&RELAYS, "HEALTHY").await?;
    stopped(stage, tale).await?;
    killed(stage, tale).await?;
    gone(stage, tale).await
}

/// Nobody was evicted, and all are in use.
async fn unharmed(stage: &Stage, tale: &mut Narrator) -> Result<(), Trouble> {
    sick::only_evicted(stage, tale, &[]).await?;
    let (units, summary) = stage.units().await?;
    let states: Vec<&str> = units.iter().map(|unit| text(unit, "state")).collect();
    let held = states.iter().all(|state| *state == "HEALTHY") && states.len() == RELAYS.len();
    tale.holds("where the units stand", "all HEALTHY", &states.join(", "), held);
    tale.say(&format!("All are in use. What the pool says of it: {}.", text(&summary, "verdict")));
    Ok(())
}

async fn stopped(stage: &Stage, tale: &mut Narrator) -> Result<(), Trouble> {
    tale.step('a', "The issuer is stopped (SIGSTOP) for 20 s, longer than any lease lives");
    let load = stage.sample("issuer-stopped", 12, &[]).await?;
    let story = async {
        let import = stage.import(&load, &["--chunk-records", "64"])?;
        let mut import = import.within(IMPORTED_WITHIN);
        import.until("uploading", "it sent anything", |_| true).await?;
        stage.signal("issuer-1", Signal::STOP)?;
        sleep(STOPPED).await;
        stage.signal("issuer-1", Signal::CONT)?;
        let ended = import.end().await?;
        sleep(AFTERWARDS).await;
        Ok(ended)
    };
    let (tally, ended) = crowd::during(stage, PATIENCE, story).await?;
    settled(stage, tale, &load, &ended).await?;
    // Nobody can answer meanwhile, and a client sends only so many calls again: it says so to who made them.
    tally.settle(tale);
    unharmed(stage, tale).await?;
    goes_on(stage, tale).await
}

async fn killed(stage: &Stage, tale: &mut Narrator) -> Result<(), Trouble> {
    tale.step('b', "The issuer is killed (SIGKILL), and is started again");
    let story = async {
        let away = stage.kill_and_see_back("issuer-1").await?;
        sleep(SOON).await;
        Ok(away)
    };
    let (tally, away) = crowd::during(stage, PATIENCE, story).await?;
    tale.say(&format!("It was back after {}.", seconds(away)));
    tally.settle(tale);
    tally.check_none_failed(tale);
    unharmed(stage, tale).await
}

async fn gone(stage: &Stage, tale: &mut Narrator) -> Result<(), Trouble> {
    tale.step('c', "The upstream is gone for all four relays alike");
    let story = async {
        for relay in RELAYS {
            stage.drill(relay, "drop-upstream", "5m").await?;
        }
        tale.say("`todoke pool drill … --fault drop-upstream` on each: no call gets through, and no probe.");
        let begun = Instant::now();
        let verdict = loop {
            let (_, summary) = stage.units().await?;
            let verdict = text(&summary, "verdict").to_owned();
            if verdict.starts_with("SHARED") || begun.elapsed() > GONE_MAX {
                break verdict;
            }
            sleep(ASK_EVERY).await;
        };
        let took = begun.elapsed();
        for relay in RELAYS {
            stage.end_drill(relay).await?;
        }
        sleep(SOON).await;
        Ok((verdict, took))
    };
    // Calls fail here, whoever carries them.
    let (tally, (verdict, took)) = crowd::during(stage, crowd::PATIENCE, story).await?;
    tale.say(&format!("After {}: {verdict}.", seconds(took)));
    let word = verdict.split(':').next().unwrap_or_default();
    tale.holds("the verdict", "SHARED", word, word == "SHARED");
    tally.settle(tale);
    stage.until_state(&RELAYS, "HEALTHY").await?;
    unharmed(stage, tale).await?;
    goes_on(stage, tale).await
}

/// Calls go through as before.
async fn goes_on(stage: &Stage, tale: &mut Narrator) -> Result<(), Trouble> {
    let story = async {
        sleep(SOON).await;
        Ok(())
    };
    let (tally, ()) = crowd::during(stage, crowd::PATIENCE, story).await?;
    tally.settle(tale);
    tally.check_none_failed(tale);
    Ok(())
}

//! A relay hangs and answers health checks, as unit 2 did in January 2016: it is found from what becomes of
//! calls, taken out, and nobody's call fails.

use super::{
    super::{
        audit::settled, extract::Extract, loads::seconds, narrator::Narrator, stage::Stage, trouble::Trouble,
    },
    crowd,
    sick::{self, Course, EVICTED_MAX, Watch},
};

/// The unit of the story.
const UNIT: &str = "relay-2";
/// All relays.
pub(crate) const RELAYS: [&str; 4] = ["relay-1", "relay-2", "relay-3", "relay-4"];
/// How long the fault would last if nobody ended it.
const LASTS: &str = "5m";

/// What is shown of the explanation when the unit is out.
const OUT: [&str; 7] = ["relay-2 is ", "Why:", "Rule:", "Do:", "Next:", "Last evicted by", "Votes:"];

/// What was seen while it hung.
struct Seen {
    course: Course,
    /// What its health check said.
    health: String,
    /// The evidence when it was steered away from.
    evidence: Vec<String>,
}

/// Has relay-2 hang under an import and small calls.
///
/// # Errors
/// [`Trouble`].
pub(crate) async fn hang(stage: &Stage, tale: &mut Narrator) -> Result<(), Trouble> {
    played(stage, tale).await.map(drop)
}

/// The same, and what it rests on, what others would have done, and what comes next.
///
/// # Errors
/// [`Trouble`].
pub(crate) async fn told(stage: &Stage, tale: &mut Narrator) -> Result<(), Trouble> {
    tale.step('a', "relay-2 hangs, and looks well");
    let evidence = played(stage, tale).await?;
    tale.step(
        'b',
        "What that rests on, as `todoke pool explain relay-2` had it when calls were steered away",
    );
    evidence.iter().for_each(|line| tale.say(line));
    let bets = evidence.iter().filter(|line| line.contains(" of ") && line.contains(" s ")).count();
    tale.holds("bets that are shown", "some", &bets.to_string(), bets > 0);
    tale.step('c', "What the default rules of other tools would have done with the same evidence");
    let elsewhere = stage.explained(UNIT, &["Default rules elsewhere"]).await?;
    elsewhere.iter().for_each(|line| tale.say(line));
    let rules = |name: &str| elsewhere.iter().filter(|line| line.trim_start().starts_with(name)).count();
    let found = [rules("Envoy"), rules("gRPC"), rules("HAProxy")].map(|count| count as u64);
    tale.all_same("rules of Envoy / gRPC / HAProxy that were tried", &[2, 2, 2], &found);
    tale.step('d', "The fault is over");
    let waited = stage.until_state(&[UNIT], "PROBATION").await?;
    tale.say(&format!("{} later it is on probation: probes, and no callers.", seconds(waited)));
    let next = stage.explained(UNIT, &["Next:"]).await?;
    next.iter().for_each(|line| tale.say(line));
    Ok(())
}

/// Plays it, checks it, and returns the evidence of when it was steered away from.
async fn played(stage: &Stage, tale: &mut Narrator) -> Result<Vec<String>, Trouble> {
    let healthy = stage.until_state(&RELAYS, "HEALTHY");
    let (_, load) = tokio::try_join!(healthy, stage.sample("relay-hangs", 11, &[]))?;
    let (tally, seen) = crowd::during(stage, crowd::PATIENCE, under_load(stage, tale, &load)).await?;
    tale.say(&format!("Its health check said {} all the while.", seen.health));
    seen.course.say(tale);
    tale.holds("its health check while it hung", "SERVING", &seen.health, seen.health == "SERVING");
    seen.course.check(tale);
    tally.settle(tale);
    tally.check_failures(tale);
    sick::only_evicted(stage, tale, &[UNIT]).await?;
    tale.say("`todoke pool explain relay-2`, in part:");
    stage.explained(UNIT, &OUT).await?.iter().for_each(|line| tale.say(&format!("  {line}")));
    stage.end_drill(UNIT).await?;
    Ok(seen.evidence)
}

/// Makes it hang, imports and checks what was imported, and waits until it is out.
async fn under_load(stage: &Stage, tale: &mut Narrator, load: &Extract) -> Result<Seen, Trouble> {
    let watch = stage.watch(EVICTED_MAX)?;
    let mut watch = Watch::new(watch, stage.drill(UNIT, "hang", LASTS).await?);
    tale.say(
        "`todoke pool drill relay-2 --fault hang`: it answers no call any more, but every health check.",
    );
    let judged = async {
        watch.until_steered(UNIT).await?;
        let evidence = stage.explained(UNIT, &["Evidence against it"]).await?;
        let health = stage.health(UNIT).await?;
        Ok((evidence, health, watch.until_evicted(&[UNIT]).await?))
    };
    let imported = async {
        let import = stage.import(load, &["--chunk-records", "128", "--streams", "4"])?;
        let ended = import.within(EVICTED_MAX).end().await?;
        settled(stage, tale, load, &ended).await?;
        tale.say("An import of the ward over all relays went through meanwhile, and every card was listed.");
        Ok::<_, Trouble>(())
    };
    let ((evidence, health, course), ()) = tokio::try_join!(judged, imported)?;
    Ok(Seen { course, health, evidence })
}

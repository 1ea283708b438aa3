//! The failure of October 2016: a RAID, truly of one unit, which took 2 h 52 min to be noticed by hand. A
//! unit here loses its way to the issuer, and is found in less than a minute, as the one cause.

use super::{
    super::{narrator::Narrator, stage::Stage, trouble::Trouble},
    crowd,
    hang::RELAYS,
    sick::{self, EVICTED_MAX, Watch},
};

/// The unit of the story.
const UNIT: &str = "relay-3";

/// What is shown of the explanation when the unit is out.
const OUT: [&str; 6] =
    ["relay-3 is ", "Next:", "Last evicted by", "Siblings", "Floor:", "Default rules elsewhere"];

/// Has relay-3 lose its upstream.
///
/// # Errors
/// [`Trouble`].
pub(crate) async fn raid(stage: &Stage, tale: &mut Narrator) -> Result<(), Trouble> {
    tale.step('a', "relay-3 loses what is behind it, and no other does");
    stage.until_state(&RELAYS, "HEALTHY").await?;
    let failing = async {
        let watch = stage.watch(EVICTED_MAX)?;
        let mut watch = Watch::new(watch, stage.drill(UNIT, "drop-upstream", "5m").await?);
        tale.say("`todoke pool drill relay-3 --fault drop-upstream`: each of its calls fails at once.");
        watch.until_evicted(&[UNIT]).await
    };
    let (tally, course) = crowd::during(stage, crowd::PATIENCE, failing).await?;
    course.say(tale);
    course.check(tale);
    tally.settle(tale);
    tally.check_failures(tale);
    sick::only_evicted(stage, tale, &[UNIT]).await?;
    let suspected = sick::count(&stage.decisions().await?, "systemic");
    tale.same("attributes that are suspect: one unit shows nothing of a model", 0, suspected);
    tale.say("In October 2016 it took 2 h 52 min. `todoke pool explain relay-3`, in part:");
    stage.explained(UNIT, &OUT).await?.iter().for_each(|line| tale.say(&format!("  {line}")));
    stage.end_drill(UNIT).await
}

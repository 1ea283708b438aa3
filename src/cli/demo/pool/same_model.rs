//! Two relays of one model fail: what only they share is named and nothing less, and one more of that model
//! is said to add capacity and no diversity.

use serde_json::Value;

use super::{
    super::{loads::seconds, narrator::Narrator, stage::Stage, trouble::Trouble},
    crowd,
    hang::RELAYS,
    sick::{self, EVICTED_MAX, Watch},
};

/// The units that fail.
const UNITS: [&str; 2] = ["relay-2", "relay-3"];
/// The model of both, and of no other.
pub(crate) const MODEL: &str = "HSM-7";

/// Two relays of one model, and two of another.
pub(crate) const MODELS: [(u16, &str); 4] = [(1, "HSM-9"), (2, MODEL), (3, MODEL), (4, "HSM-9")];

/// Has both fail 30 % of their calls.
///
/// # Errors
/// [`Trouble`].
pub(crate) async fn same_model(stage: &Stage, tale: &mut Narrator) -> Result<(), Trouble> {
    tale.step('a', "The two relays of one model fail 30 % of their calls");
    stage.until_state(&RELAYS, "HEALTHY").await?;
    let failing = async {
        let watch = stage.watch(3 * EVICTED_MAX)?;
        let mut watch = Watch::new(watch, stage.drill(UNITS[0], "fail:0.3", "10m").await?);
        stage.drill(UNITS[1], "fail:0.3", "10m").await?;
        tale.say("`todoke pool drill relay-2 --fault fail:0.3`, and relay-3 the same; both are HSM-7.");
        let first = watch.until_evicted(&UNITS).await?;
        let other: Vec<&str> = UNITS.into_iter().filter(|unit| *unit != first.unit).collect();
        let second = watch.until_evicted(&other).await?;
        Ok([first, second])
    };
    let (tally, [first, second]) = crowd::during(stage, crowd::PATIENCE, failing).await?;
    first.say(tale);
    second.say(tale);
    let found = sick::verdict(&second.record["verdict"]);
    let expected = format!("ATTRIBUTE {} {} model={MODEL}", UNITS[0], UNITS[1]);
    tale.say(&format!("The verdict with the second one: {found}, after {}.", seconds(second.evicted)));
    tale.holds("the verdict when the second was evicted", &expected, &found, found == expected);
    tally.settle(tale);
    tally.check_failures(tale);
    let mut evicted = [first.unit.as_str(), second.unit.as_str()];
    sick::only_evicted(stage, tale, &evicted).await?;
    evicted.sort_unstable();
    tale.holds("the sick ones", &UNITS.join(", "), &evicted.join(", "), evicted == UNITS);
    let decisions = stage.decisions().await?;
    let suspect = format!("model={MODEL}");
    let named = decisions.iter().any(|one| {
        one["kind"] == "systemic"
            && one["record"]["attributes"]
                .as_array()
                .is_some_and(|all| all.contains(&suspect.as_str().into()))
    });
    tale.holds("attribute that is suspect", &suspect, if named { &suspect } else { "none" }, named);
    for unit in UNITS {
        stage.end_drill(unit).await?;
    }
    tale.step('b', "One more of that model");
    more(stage, tale, MODEL, true).await?;
    more(stage, tale, "HSM-11", false).await
}

/// Registers one more relay of a model, which is warned of or not.
///
/// # Errors
/// [`Trouble`].
pub(crate) async fn more(
    stage: &Stage,
    tale: &mut Narrator,
    model: &str,
    warned: bool,
) -> Result<(), Trouble> {
    let (unit, image) = (format!("relay-of-{}", model.to_lowercase()), format!("image of {model}"));
    // Nothing is there; no two relays may have one address.
    let address = format!("127.0.0.1:{}", model.trim_start_matches(|sign: char| !sign.is_ascii_digit()));
    let args = ["register", &unit, "--address", &address, "--model", model, "--image", &image];
    let ended = stage.pool(&args).await?;
    let warnings = ended.said("result")?["warnings"].clone();
    let words: Vec<&str> = warnings.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let says = |part: &str| words.iter().any(|words| words.contains(part));
    let held = if warned {
        says("adds capacity, not diversity") && says(&format!("model={model}"))
    } else {
        words.is_empty()
    };
    let expected = if warned { "adds capacity, not diversity" } else { "no warning" };
    let found = if words.is_empty() { "no warning".to_owned() } else { words.join("; ") };
    tale.say(&format!("`todoke pool register {unit} --model {model}`: {found}."));
    let found = if held { expected } else { &found };
    tale.holds(&format!("registering one more {model}"), expected, found, held);
    Ok(())
}

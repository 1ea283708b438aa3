//! What the pool does about a sick unit, as it is decided: when it is steered away from, when it is evicted,
//! and for which cause; all by the clock of whoever made it sick.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use tokio::time::Instant;

use super::super::{
    audit::text, command::Running, loads::seconds, narrator::Narrator, stage::Stage, trouble::Trouble,
};

/// How long a unit may take from its fault to the decision to evict it.
pub(crate) const EVICTED_MAX: Duration = Duration::from_secs(120);

/// The longest that a unit may be sick and in full use. By the design it is 20 s, and 60 s until it is out,
/// on a machine that has nothing else to do.
pub(crate) const STEERED_WITHIN: Duration = Duration::from_secs(40);
/// And in use at all.
pub(crate) const EVICTED_WITHIN: Duration = Duration::from_secs(90);

/// What was decided about a unit that became sick.
pub(crate) struct Course {
    /// The unit.
    pub(crate) unit: String,
    /// When new calls were steered away.
    pub(crate) steered: Option<Duration>,
    /// When it was evicted.
    pub(crate) evicted: Duration,
    /// That decision's record.
    pub(crate) record: Value,
}

/// Watches what is decided, and notes when.
pub(crate) struct Watch {
    running: Running,
    begun: Instant,
    steered: BTreeMap<String, Duration>,
}

impl Watch {
    /// A watch over units that have been sick since `begun`.
    pub(crate) fn new(running: Running, begun: Instant) -> Self {
        Self { running, begun, steered: BTreeMap::new() }
    }

    /// Watches until calls are steered away from a unit.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(crate) async fn until_steered(&mut self, unit: &str) -> Result<(), Trouble> {
        let what = format!("calls were steered away from {unit}");
        self.until(&what, |one| one["kind"] == "steer_away" && text(one, "unit") == unit).await.map(drop)
    }

    /// Watches until one of these units is evicted.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(crate) async fn until_evicted(&mut self, units: &[&str]) -> Result<Course, Trouble> {
        let what = format!("{} was evicted", units.join(" or "));
        let of_these = |one: &Value| one["kind"] == "evict" && units.contains(&text(one, "unit"));
        let decision = self.until(&what, of_these).await?;
        let (evicted, unit) = (self.begun.elapsed(), text(&decision, "unit").to_owned());
        let steered = self.steered.get(&unit).copied();
        Ok(Course { unit, steered, evicted, record: decision["record"].clone() })
    }

    async fn until(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Result<Value, Trouble> {
        let Self { running, begun, steered } = self;
        let noted = |decision: &Value| {
            if decision["kind"] == "steer_away" {
                let unit = text(decision, "unit").to_owned();
                steered.entry(unit).or_insert_with(|| begun.elapsed());
            }
            is_it(decision)
        };
        running.until("decision", what, noted).await
    }
}

/// How many decisions are of this kind.
pub(crate) fn count(decisions: &[Value], kind: &str) -> u64 {
    decisions.iter().filter(|one| one["kind"] == kind).count() as u64
}

/// A verdict in a word and those it names, such as `UNIT relay-2`.
pub(crate) fn verdict(verdict: &Value) -> String {
    let listed = |name: &str| -> Vec<&str> {
        verdict[name].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let names = [listed("units"), listed("attributes")].concat();
    let one = ["unit", "caller", "observer"].into_iter().filter_map(|name| verdict[name].as_str());
    let words: Vec<&str> = std::iter::once(text(verdict, "kind")).chain(one).chain(names).collect();
    words.join(" ")
}

impl Course {
    /// Says how it went.
    pub(crate) fn say(&self, tale: &Narrator) {
        let steered = self.steered.map_or_else(|| "never".to_owned(), seconds);
        tale.say(&format!(
            "New calls were steered away from {} after {steered}; it was evicted after {}: {}.",
            self.unit,
            seconds(self.evicted),
            text(&self.record, "reason")
        ));
    }

    /// Checks that it went in time, and for this unit as the one cause.
    pub(crate) fn check(&self, tale: &mut Narrator) {
        let steered = self.steered.map_or_else(|| "never".to_owned(), seconds);
        let soft = self.steered.is_some_and(|steered| steered < STEERED_WITHIN);
        tale.holds(&format!("{} steered away from", self.unit), "within 40 s", &steered, soft);
        let out = self.evicted < EVICTED_WITHIN;
        tale.holds(&format!("{} evicted", self.unit), "within 90 s", &seconds(self.evicted), out);
        let (expected, found) = (format!("UNIT {}", self.unit), verdict(&self.record["verdict"]));
        tale.holds("the verdict then", &expected, &found, expected == found);
    }
}

/// Checks which units were ever evicted.
///
/// # Errors
/// [`Trouble`].
pub(crate) async fn only_evicted(
    stage: &Stage,
    tale: &mut Narrator,
    expected: &[&str],
) -> Result<(), Trouble> {
    let decisions = stage.decisions().await?;
    let evicted: Vec<&str> =
        decisions.iter().filter(|one| one["kind"] == "evict").map(|one| text(one, "unit")).collect();
    let listed = |units: &[&str]| if units.is_empty() { "none".to_owned() } else { units.join(", ") };
    tale.holds("units that were evicted", &listed(expected), &listed(&evicted), evicted == expected);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_said_with_all_that_it_names() {
        let of = |value: Value| verdict(&value);
        assert_eq!(of(serde_json::json!({"kind": "UNIT", "unit": "relay-2"})), "UNIT relay-2");
        let both = serde_json::json!({"kind": "ATTRIBUTE", "units": ["a", "b"], "attributes": ["model=x"]});
        assert_eq!(of(both), "ATTRIBUTE a b model=x");
        assert_eq!(of(serde_json::json!({"kind": "UNDECIDED", "seconds": 3})), "UNDECIDED");
    }
}

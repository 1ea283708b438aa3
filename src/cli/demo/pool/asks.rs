//! What an operator asks of the pool and orders, each by `todoke pool` as a process of its own; beside it the
//! one question that health checks ask.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::super::{
    audit::text,
    command::{Ended, Running},
    stage::{Stage, WARD},
    trouble::Trouble,
};
use crate::{
    cli::municipal::Output,
    client::{endpoints::Endpoints, error::Error},
    net::{
        channel::{ChannelOptions, connect},
        tls::{ClientTls, TlsFiles},
    },
};

/// Who orders and asks.
pub(crate) const ALICE: &str = "operator/alice";
/// The second operator, whom a release needs.
pub(crate) const BOB: &str = "operator/bob";

/// How often the pool is asked while something is waited for.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How long the units may take to be where they are waited for.
const STATES_MAX: Duration = Duration::from_secs(180);
/// How long a health check is waited for, as the probes of relays do.
const HEALTH_MAX: Duration = Duration::from_millis(500);

impl Stage {
    /// Runs `todoke pool …` as Alice, to its end in order.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(crate) async fn pool(&self, args: &[&str]) -> Result<Ended, Trouble> {
        self.pool_as(ALICE, args).await?.with_code(0)
    }

    /// Runs it as anybody, to whatever end.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(crate) async fn pool_as(&self, who: &str, args: &[&str]) -> Result<Ended, Trouble> {
        self.as_caller(who, &[&["pool"], args].concat(), Output::Json)?.end().await
    }

    /// The decisions as they are made from here on, for so long.
    ///
    /// # Errors
    /// [`Trouble::Command`].
    pub(crate) fn watch(&self, limit: Duration) -> Result<Running, Trouble> {
        Ok(self.as_caller(ALICE, &["pool", "watch"], Output::Json)?.within(limit))
    }

    /// Every unit as `todoke pool list` shows it, and what it says of all of them.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(crate) async fn units(&self) -> Result<(Vec<Value>, Value), Trouble> {
        let ended = self.pool(&["list"]).await?;
        let summary = ended.said("result")?.clone();
        Ok((ended.events.into_iter().filter(|value| value["event"] == "unit").collect(), summary))
    }

    /// Waits until these units are in that state, and returns how long that took.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(crate) async fn until_state(&self, wanted: &[&str], state: &str) -> Result<Duration, Trouble> {
        let begun = Instant::now();
        while begun.elapsed() < STATES_MAX {
            let (units, _) = self.units().await?;
            let is_there =
                |id: &&str| units.iter().any(|unit| text(unit, "unit") == *id && unit["state"] == state);
            if wanted.iter().all(is_there) {
                return Ok(begun.elapsed());
            }
            sleep(ASK_EVERY).await;
        }
        let what = format!("{} to be {state}", wanted.join(", "));
        Err(Trouble::TooLong { what, seconds: STATES_MAX.as_secs() })
    }

    /// All decisions, the oldest first.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(crate) async fn decisions(&self) -> Result<Vec<Value>, Trouble> {
        let ended = self.pool(&["decisions", "--limit", "10000"]).await?;
        let mut all: Vec<Value> =
            ended.events.into_iter().filter(|value| value["event"] == "decision").collect();
        all.reverse();
        Ok(all)
    }

    /// What `todoke pool explain` says to people: those of its lines that begin so, whatever is indented
    /// below each with it.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(crate) async fn explained(&self, unit: &str, begins: &[&str]) -> Result<Vec<String>, Trouble> {
        let running = self.as_caller(ALICE, &["pool", "explain", unit], Output::Text)?;
        let ended = running.end().await?.with_code(0)?;
        let lines: Vec<&str> = ended.events.iter().filter_map(Value::as_str).collect();
        Ok(excerpt(&lines, begins))
    }

    /// Waits until a relay's log has said so this often.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(crate) async fn until_logged(&self, id: &str, words: &str, times: usize) -> Result<(), Trouble> {
        const LOG_MAX: Duration = Duration::from_secs(10);
        let begun = Instant::now();
        while begun.elapsed() < LOG_MAX {
            if self.log(id)?.matches(words).count() >= times {
                return Ok(());
            }
            sleep(super::super::stage::LOOK_EVERY).await;
        }
        let what = format!("{id} to say in its log: {words}");
        Err(Trouble::TooLong { what, seconds: LOG_MAX.as_secs() })
    }

    /// Has a unit play a fault, and returns once it does.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(crate) async fn drill(&self, unit: &str, fault: &str, lasts: &str) -> Result<Instant, Trouble> {
        let before = self.log(unit)?.matches(DRILL_BEGINS).count();
        self.pool(&["drill", unit, "--fault", fault, "--for", lasts]).await?;
        self.until_logged(unit, DRILL_BEGINS, before + 1).await?;
        Ok(Instant::now())
    }

    /// Ends what a unit plays.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(crate) async fn end_drill(&self, unit: &str) -> Result<(), Trouble> {
        self.pool(&["drill", unit, "--stop"]).await.map(drop)
    }

    /// Sends a signal to a process of the system.
    ///
    /// # Errors
    /// [`Trouble::NoNode`].
    pub(crate) fn signal(&self, id: &str, signal: Signal) -> Result<(), Trouble> {
        let place = self.system.places().get(id).copied();
        let pid = place.and_then(|place| Pid::from_raw(i32::try_from(place.pid).ok()?));
        let sent = pid.and_then(|pid| kill_process(pid, signal).ok());
        sent.ok_or_else(|| Trouble::NoNode(id.to_owned()))
    }

    /// What a health check hears from a relay, such as `SERVING`.
    ///
    /// # Errors
    /// [`Trouble::Asked`] if there is no way to ask at all.
    pub(crate) async fn health(&self, relay: &str) -> Result<String, Trouble> {
        let endpoints = Endpoints::load(&self.system.layout().endpoints()).map_err(Error::from)?;
        let files = endpoints.client(WARD).map_err(Error::from)?;
        let setup = |error: &dyn std::fmt::Display| Trouble::Asked(Error::Setup(error.to_string()));
        let tls = TlsFiles { cert: files.cert, key: files.key, ca: endpoints.ca.clone(), crl: None };
        let tls = ClientTls::load(&tls, &endpoints.server_name).map_err(|error| setup(&error))?;
        let node = endpoints.relays.iter().find(|node| node.id == relay);
        let address = &node.ok_or_else(|| Trouble::NoNode(relay.to_owned()))?.address;
        let channel = connect(address, &tls, &endpoints.server_name, ChannelOptions::default());
        let mut client = HealthClient::new(channel.map_err(|error| setup(&error))?);
        let asked = client.check(HealthCheckRequest { service: String::new() });
        Ok(match tokio::time::timeout(HEALTH_MAX, asked).await {
            Ok(Ok(answer)) => answer.into_inner().status().as_str_name().to_owned(),
            Ok(Err(status)) => format!("{:?}", status.code()),
            Err(_) => "no answer".to_owned(),
        })
    }
}

/// What a relay's log says when it begins to play a fault.
const DRILL_BEGINS: &str = "a drill begins";

/// The lines that begin so, each with what is indented more below it, in their order.
fn excerpt(lines: &[&str], begins: &[&str]) -> Vec<String> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut found = Vec::new();
    let mut below = None;
    for line in lines {
        let begun = begins.iter().any(|begin| line.trim_start().starts_with(begin));
        if begun {
            below = Some(indent(line));
        } else if below.is_some_and(|above| line.trim().is_empty() || indent(line) <= above) {
            below = None;
        }
        if below.is_some() {
            found.push((*line).to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_takes_a_line_with_what_stands_below_it_and_no_other() {
        let lines = ["a: 1", "  x", "", "b: 2", "  y", "  z", "c: 3", "  q y"];
        assert_eq!(excerpt(&lines, &["b:"]), ["b: 2", "  y", "  z"]);
        assert_eq!(excerpt(&lines, &["a:", "c:"]), ["a: 1", "  x", "c: 3", "  q y"]);
        assert_eq!(excerpt(&lines, &["z"]), ["  z"]);
        assert_eq!(excerpt(&lines, &["d"]), [""; 0]);
    }
}

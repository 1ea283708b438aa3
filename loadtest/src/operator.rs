//! Who calls a system, and who operates its pool.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use todoke::client::{calls::CallOptions, session::Session};

use crate::{
    failure::Failure,
    system::{self, System},
};

/// Those that `todoke dev` has certificates for.
pub(crate) const MUNICIPALITIES: [&str; 5] = ["131229", "131211", "131237", "011002", "271004"];
/// Longest time until all units are in full use.
const JOINED_MAX: Duration = Duration::from_secs(90);
const ASK_EVERY: Duration = Duration::from_millis(500);

/// The callers of a system, one of each municipality; a call fails after so long.
pub(crate) fn sessions(system: &System, deadline: Duration) -> Result<Vec<Arc<Session>>, Failure> {
    let session = |(seed, municipality): (u64, &&str)| {
        let options = CallOptions { deadline, ..CallOptions::default() };
        let caller = format!("municipality/{municipality}");
        let session = Session::connect(system.endpoints(), &caller, options, seed, Arc::new(|_| ()));
        session.map(Arc::new).map_err(Failure::while_doing("a caller"))
    };
    (1..).zip(&MUNICIPALITIES).map(session).collect()
}

/// `todoke pool …` as an operator.
pub(crate) struct Pool<'a> {
    pub(crate) todoke: &'a Path,
    pub(crate) endpoints: PathBuf,
}

impl Pool<'_> {
    /// Runs a command to its end, and returns the events that it says.
    pub(crate) async fn ask(&self, words: &[&str]) -> Result<Vec<Value>, Failure> {
        let (todoke, endpoints) = (self.todoke.to_owned(), self.endpoints.clone());
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let asked = tokio::task::spawn_blocking(move || {
            let mut arguments = vec![OsStr::new("pool")];
            arguments.extend(words.iter().map(OsStr::new));
            arguments.extend(["--as", "operator/alice", "--output", "json", "--endpoints"].map(OsStr::new));
            arguments.push(endpoints.as_os_str());
            system::run(&todoke, &arguments)
        });
        let said = asked.await.map_err(Failure::while_doing("todoke pool"))??;
        said.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// Waits until this holds of the units.
    pub(crate) async fn until(
        &self,
        limit: Duration,
        holds: impl Fn(&[Value]) -> bool,
    ) -> Result<(), Failure> {
        let begun = Instant::now();
        while begun.elapsed() < limit {
            let units = self.ask(&["list"]).await?;
            let units: Vec<Value> = units.into_iter().filter(|value| value["event"] == "unit").collect();
            if holds(&units) {
                return Ok(());
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        Err(Failure::new(format!("the pool was not as it should be after {limit:?}; look at `pool list`")))
    }

    /// Waits until so many units are there, and all of them in full use.
    pub(crate) async fn until_all_are_in_use(&self, count: usize) -> Result<(), Failure> {
        let are =
            |units: &[Value]| units.len() == count && units.iter().all(|unit| unit["state"] == "HEALTHY");
        self.until(JOINED_MAX, are).await
    }
}

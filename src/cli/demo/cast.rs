//! What a story is played with: four relays, an issuer and its database, and what is not as it would be in
//! earnest, so that the story can say it.

use std::{collections::BTreeMap, ffi::OsString, path::Path, time::Duration};

use super::trouble::Trouble;
use crate::cli::dev::{self, Layout};

/// The issuer's patience in the story; in earnest it is 60 s, and 10 s for the other two.
pub(crate) const STALL_AFTER: Duration = Duration::from_secs(2);
const SWEEP_EVERY: Duration = Duration::from_millis(500);
const LEASE: Duration = Duration::from_secs(2);

/// A pool that has had a quiet day believes a failure sooner than one that knows nothing of itself: its p0
/// has fallen from 4 % to 1 %. The demo cannot wait for that day.
pub(crate) const QUIET: &str = "[pool.rule]\np0_start = 0.01\n";

/// What is told to the processes of one story beside what all are told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cast {
    /// The issuer's configuration, TOML.
    pub(crate) issuer: String,
    /// Flags of single relays, by their number.
    pub(crate) relays: BTreeMap<u16, Vec<OsString>>,
    /// How far the clock of leases and decisions is ahead, in ms.
    pub(crate) ahead_ms: i64,
}

impl Cast {
    /// A pool that has had a quiet day.
    pub(crate) fn quiet() -> Self {
        Self { issuer: QUIET.to_owned(), ..Self::default() }
    }

    /// The same, in which relays are of these models.
    pub(crate) fn of_models(models: &[(u16, &str)]) -> Self {
        let flags = |model: &str| ["--model", model].map(OsString::from).to_vec();
        Self { relays: models.iter().map(|(n, model)| (*n, flags(model))).collect(), ..Self::quiet() }
    }

    /// How the system is started for it, with a file of its own if no database is named; the issuer's
    /// configuration is written beside the system.
    ///
    /// # Errors
    /// [`Trouble::File`].
    pub(crate) fn options(
        &self,
        dir: &Path,
        layout: &Layout,
        database: Option<&str>,
    ) -> Result<dev::Options, Trouble> {
        let config = dir.join("issuer.toml");
        std::fs::write(&config, &self.issuer).map_err(Trouble::file(&config))?;
        let ms = |time: Duration| OsString::from(format!("{}ms", time.as_millis()));
        let mut issuer_flags: Vec<OsString> = vec!["--config".into(), config.into()];
        for (flag, time) in
            [("--stall-after", STALL_AFTER), ("--sweep-every", SWEEP_EVERY), ("--lease", LEASE)]
        {
            issuer_flags.extend([flag.into(), ms(time)]);
        }
        let ahead = (self.ahead_ms != 0).then(|| format!("--clock-ahead={}", self.ahead_ms).into());
        Ok(dev::Options {
            relays: 4,
            issuers: 1,
            database: database
                .map_or_else(|| format!("sqlite:{}", layout.database().display()), str::to_owned),
            restart: true,
            drain: Duration::from_secs(5),
            flags: ahead.into_iter().collect(),
            issuer_flags,
            relay_flags: self.relays.clone(),
        })
    }
}

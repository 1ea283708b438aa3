//! The stage of the story: the system that runs, the folder the files lie in, and the questions that are
//! asked of both; each answer comes from a real process.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    cast::Cast,
    command::{Ended, Running},
    extract::Extract,
    trouble::Trouble,
};
use crate::{
    cli::{
        dev::{self, Layout, Notice, System, Tell},
        municipal::{Connect, Output},
    },
    client::calls::{Attempt, Weight},
    telemetry::names,
    wire::pb,
};

/// Who loads, everywhere in the story: Katsushika ward.
pub(crate) const WARD: &str = "municipality/131229";
/// Its code.
const CODE: &str = "131229";
/// The district that was lost in 2015.
pub(crate) const LOST: &str = "白鳥";
/// Its households.
pub(crate) const LOST_HOUSEHOLDS: u64 = 5_000;
/// All households of a load.
pub(crate) const HOUSEHOLDS: u64 = 12_000;

/// How often something is looked at that is waited for.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long anything is waited for.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// How long a page of dispositions is.
const PAGE: u32 = 5_000;

/// The stage.
pub(crate) struct Stage {
    /// The system.
    pub(crate) system: System,
    program: PathBuf,
    files: PathBuf,
    database: String,
    deaths: Deaths,
    commands: AtomicU32,
}

/// Counters and gauges of one process at one moment.
pub(crate) struct Metrics(String);

impl Metrics {
    fn whole(&self, name: &str, labels: &[String]) -> u64 {
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let sum = dev::sum(&self.0, name, &labels);
        // Counts of records and chunks; far below where a float skips whole numbers.
        format!("{sum:.0}").parse().unwrap_or_default()
    }

    /// Chunk frames that came out so, such as `stored`.
    pub(crate) fn chunks(&self, outcome: &str) -> u64 {
        self.whole(names::CHUNKS, &[format!("{}=\"{outcome}\"", names::OUTCOME)])
    }

    /// Chunk frames that arrived at all.
    pub(crate) fn frames(&self) -> u64 {
        self.whole(names::CHUNKS, &[])
    }

    /// Records that were worked off by this process and came out so, such as `accepted`.
    pub(crate) fn records(&self, disposition: &str) -> u64 {
        self.whole(names::RECORDS, &[format!("{}=\"{disposition}\"", names::DISPOSITION)])
    }

    /// Batches that are flagged so, such as `stalled`.
    pub(crate) fn flags(&self, flag: &str) -> u64 {
        self.whole(names::FLAGS, &[format!("{}=\"{flag}\"", names::FLAG)])
    }
}

impl Stage {
    /// Starts the system in `dir`, or goes on with what is there.
    ///
    /// # Errors
    /// [`Trouble::Dev`], [`Trouble::File`].
    pub(crate) async fn set(dir: &Path, cast: &Cast, database: Option<&str>) -> Result<Self, Trouble> {
        let layout = Layout::make(&dir.join("system"))?;
        let files = dir.join("files");
        std::fs::create_dir_all(&files).map_err(Trouble::file(&files))?;
        let options = cast.options(dir, &layout, database)?;
        let told = std::fs::read_dir(layout.logs()).map_err(Trouble::file(layout.logs()))?.count();
        let program = std::env::current_exe().map_err(Trouble::file("todoke"))?;
        let deaths = Deaths::default();
        let system = System::start(layout, &options, deaths.listener()).await?;
        // The logs of an earlier stage in this folder are kept.
        let commands = AtomicU32::new(u32::try_from(told).unwrap_or_default());
        Ok(Self { system, program, files, database: options.database, deaths, commands })
    }

    /// A file of the story.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.files.join(name)
    }

    /// The URL of the database.
    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    /// The issuer's public key.
    pub(crate) fn receipt_key(&self) -> String {
        self.system.layout().pki().join("receipt.pub").display().to_string()
    }

    /// Starts a command that needs no system.
    ///
    /// # Errors
    /// [`Trouble::Command`].
    pub(crate) fn offline(&self, args: &[&str]) -> Result<Running, Trouble> {
        self.start(args, Output::Json)
    }

    fn start(&self, args: &[&str], output: Output) -> Result<Running, Trouble> {
        let number = self.commands.fetch_add(1, Ordering::Relaxed) + 1;
        let name = args.first().copied().unwrap_or("none");
        let log = self.system.layout().logs().join(format!("command-{number:02}-{name}.log"));
        Running::start(&self.program, &self.files, args, output, log)
    }

    /// Starts a command of the ward.
    ///
    /// # Errors
    /// [`Trouble::Command`].
    pub(crate) fn as_ward(&self, args: &[&str]) -> Result<Running, Trouble> {
        self.as_caller(WARD, args, Output::Json)
    }

    /// Starts a command of any caller.
    ///
    /// # Errors
    /// [`Trouble::Command`].
    pub(crate) fn as_caller(&self, who: &str, args: &[&str], output: Output) -> Result<Running, Trouble> {
        let endpoints = self.system.layout().endpoints().display().to_string();
        self.start(&[args, &["--endpoints", &endpoints, "--as", who]].concat(), output)
    }

    /// Has a load made: all households, of which [`LOST`] has its own; `more` flags of `sample`.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(crate) async fn sample(&self, name: &str, seed: u32, more: &[&str]) -> Result<Extract, Trouble> {
        let (file, tally) = (format!("{name}.csv"), format!("{name}.tally.csv"));
        let (seed, households) = (seed.to_string(), HOUSEHOLDS.to_string());
        let district = format!("{LOST}={LOST_HOUSEHOLDS}");
        let args = [
            &["sample", "--municipality", CODE, "--seed", &seed, "--households", &households][..],
            &["--district", &district, "--out", &file, "--control-totals", &tally],
            more,
        ];
        self.offline(&args.concat())?.end().await?.with_code(0)?;
        Extract::count(&self.file(&file), &self.file(&tally))
    }

    /// Starts the import of a load against its control totals; `more` flags of `import`.
    ///
    /// # Errors
    /// [`Trouble::Command`].
    pub(crate) fn import(&self, load: &Extract, more: &[&str]) -> Result<Running, Trouble> {
        let tally = load.tally.display().to_string();
        let args = ["import", load.name(), "--control-totals", &tally, "--patience", "50s"];
        self.as_ward(&[&args, more].concat())
    }

    /// Imports a load where a listener of the demo's own stands in the place of all relays, and returns
    /// how the command ended and whether it tried to connect.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(crate) async fn import_to_nobody(&self, load: &Extract) -> Result<(Ended, bool), Trouble> {
        let real = self.system.layout().endpoints();
        let nobody = real.with_file_name("nobody.json");
        let failed = |source| Trouble::File { path: nobody.clone(), source };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let text = std::fs::read(&real).map_err(failed)?;
        let mut endpoints: Value = serde_json::from_slice(&text).map_err(|error| failed(error.into()))?;
        let address = listener.local_addr().map_err(failed)?.to_string();
        endpoints["relays"] = serde_json::json!([{"id": "nobody", "address": address}]);
        std::fs::write(&nobody, endpoints.to_string()).map_err(failed)?;
        let tally = load.tally.display().to_string();
        let args = ["import", load.name(), "--control-totals", &tally, "--patience", "5s"];
        let nobody = nobody.display().to_string();
        let to_nobody = ["--endpoints", &nobody, "--as", WARD];
        let ended = self.offline(&[&args[..], &to_nobody].concat())?.end().await?;
        // A connection that was asked for waits with the system until it is taken, whatever became of its
        // other end.
        Ok((ended, listener.accept().is_ok()))
    }

    /// What `todoke status` says of a batch.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(crate) async fn status(&self, batch: &str) -> Result<Value, Trouble> {
        let ended = self.as_ward(&["status", "--batch", batch])?.end().await?.with_code(0)?;
        ended.said("batch").cloned()
    }

    /// How many batches the issuer has of the ward.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(crate) async fn batch_count(&self) -> Result<u64, Trouble> {
        let ended = self.as_ward(&["status"])?.end().await?.with_code(0)?;
        Ok(ended.events.iter().filter(|value| value["event"] == "batch").count() as u64)
    }

    /// The cards that `todoke card list` shows of a batch, or of all.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(crate) async fn cards(&self, batch: Option<&str>) -> Result<Vec<Value>, Trouble> {
        let args = ["card", "list", "--limit", "10000000"];
        let of = batch.map_or(vec![], |batch| vec!["--batch", batch]);
        let ended = self.as_ward(&[&args[..], &of].concat())?.end().await?.with_code(0)?;
        Ok(ended.events.into_iter().filter(|value| value["event"] == "card").collect())
    }

    /// Every record's disposition: its index, and whether it is accepted.
    ///
    /// # Errors
    /// [`Trouble::Asked`].
    pub(crate) async fn dispositions(&self, batch: &str) -> Result<Vec<(u64, bool)>, Trouble> {
        let endpoints = self.system.layout().endpoints();
        let session = Connect { endpoints, caller: WARD.to_owned() }.quiet_session()?;
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let message = pb::ListDispositionsRequest {
                batch_id: batch.to_owned(),
                page_size: PAGE,
                page_token: token,
                only_not_accepted: false,
            };
            let send = |attempt: Attempt| {
                let request = attempt.request(message.clone());
                async move { attempt.batches().list_dispositions(request).await }
            };
            let page = session.caller.call("ListDispositions", Weight::Heavy, send).await;
            let page = page.map_err(|error| Trouble::Asked(error.into()))?;
            let accepted = |kind| kind == pb::DispositionKind::Accepted;
            all.extend(page.dispositions.iter().map(|one| (one.index, accepted(one.kind()))));
            token = page.next_page_token;
            if token.is_empty() {
                return Ok(all);
            }
        }
    }

    /// A process's metrics at this moment.
    ///
    /// # Errors
    /// [`Trouble::Ops`], [`Trouble::NoNode`].
    pub(crate) async fn metrics(&self, id: &str) -> Result<Metrics, Trouble> {
        let place = self.system.places().get(id).copied().ok_or_else(|| Trouble::NoNode(id.to_owned()))?;
        let got = dev::get(place.ports.ops, "/metrics").await;
        let text = got.map_err(|source| Trouble::Ops { id: id.to_owned(), source })?.1;
        Ok(Metrics(text))
    }

    /// The issuer's metrics at this moment.
    ///
    /// # Errors
    /// [`Trouble::Ops`].
    pub(crate) async fn issuer(&self) -> Result<Metrics, Trouble> {
        self.metrics("issuer-1").await
    }

    /// Waits until so many batches are flagged so, and returns how long that took.
    ///
    /// # Errors
    /// [`Trouble::TooLong`], [`Trouble::Ops`].
    pub(crate) async fn until_flags(&self, flag: &str, count: u64) -> Result<Duration, Trouble> {
        let begun = Instant::now();
        while begun.elapsed() < WAIT_MAX {
            if self.issuer().await?.flags(flag) == count {
                return Ok(begun.elapsed());
            }
            sleep(LOOK_EVERY).await;
        }
        let what = format!("the issuer to show {count} batches as {flag} in its metrics");
        Err(Trouble::TooLong { what, seconds: WAIT_MAX.as_secs() })
    }

    /// Kills a process with SIGKILL, runs `meanwhile`, waits until the process is back under another
    /// number, and returns how long it was away.
    ///
    /// # Errors
    /// [`Trouble::TooLong`], [`Trouble::NoNode`].
    pub(crate) async fn kill_and_see_back(&self, id: &str) -> Result<Duration, Trouble> {
        let mut watch = self.system.watch();
        let before = watch.borrow().get(id).copied().ok_or_else(|| Trouble::NoNode(id.to_owned()))?;
        let begun = Instant::now();
        self.system.kill(id).await;
        let back = watch
            .wait_for(|places| places.get(id).is_some_and(|place| place.alive && place.pid != before.pid));
        match tokio::time::timeout(WAIT_MAX, back).await {
            Ok(Ok(_)) => Ok(begun.elapsed()),
            _ => {
                let what = format!("{id} to come back after it was killed");
                Err(Trouble::TooLong { what, seconds: WAIT_MAX.as_secs() })
            }
        }
    }

    /// Who died so far, in order, and how if it was not by SIGKILL.
    pub(crate) fn deaths(&self) -> String {
        self.deaths.locked().join(", ")
    }

    /// A process's log.
    ///
    /// # Errors
    /// [`Trouble::File`].
    pub(crate) fn log(&self, id: &str) -> Result<String, Trouble> {
        let path = self.system.layout().log(id);
        std::fs::read_to_string(&path).map_err(Trouble::file(&path))
    }
}

/// Keeps count of the processes that died, to tell those that were killed from one that fell over by
/// itself.
#[derive(Debug, Clone, Default)]
struct Deaths(Arc<Mutex<Vec<String>>>);

impl Deaths {
    fn listener(&self) -> Tell {
        let deaths = self.clone();
        Arc::new(move |notice| {
            if let Notice::Died { id, how, .. } = notice {
                let killed = how == "killed by signal 9";
                deaths.locked().push(if killed { id.clone() } else { format!("{id} ({how})") });
            }
        })
    }

    fn locked(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! A controller for tests, with a database in memory, a record on disk, and a pool of three relays.

use std::{collections::BTreeMap, io::BufReader, sync::atomic::AtomicU64};

use tempfile::TempDir;

use super::*;
use crate::{
    domain::identity::{Identity, Role},
    net::{
        pki::Authority,
        tls::{ClientTls, TlsFiles},
    },
    pool::{
        keeper::{Holder, KeepError, Kept, KeptOrder, Step},
        ledger::{self, Report},
    },
    runtime::Tasks,
    wire::pb::{self, EvidenceBucket, EvidenceClass},
};

pub(super) const START_MS: i64 = 1_785_000_000_000;

/// A database in memory.
pub(super) struct Memory {
    pub(super) away: AtomicBool,
    /// Nothing can be written, and what was is read.
    full: AtomicBool,
    epoch: AtomicU64,
    pub(super) kept: Mutex<Option<Kept>>,
    /// The decisions that were kept.
    pub(super) rows: Mutex<Vec<KeptDecision>>,
    pub(super) orders: Mutex<BTreeMap<String, KeptOrder>>,
    /// The next steps' commits are not heard of: whether they were done.
    pub(super) unheard: Mutex<Option<bool>>,
    /// A step is kept only while this lets it.
    pub(super) open: tokio::sync::Semaphore,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            away: AtomicBool::default(),
            full: AtomicBool::default(),
            epoch: AtomicU64::default(),
            kept: Mutex::default(),
            rows: Mutex::default(),
            orders: Mutex::default(),
            unheard: Mutex::default(),
            open: tokio::sync::Semaphore::new(1),
        }
    }
}

impl Memory {
    fn there(&self) -> Result<(), KeepError> {
        let away = self.away.load(std::sync::atomic::Ordering::SeqCst);
        if away { Err(KeepError::Away("it was switched off".to_owned())) } else { Ok(()) }
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(std::sync::atomic::Ordering::SeqCst)
    }

    pub(super) fn set_away(&self, away: bool) {
        self.away.store(away, std::sync::atomic::Ordering::SeqCst);
    }

    pub(super) fn set_full(&self, full: bool) {
        self.full.store(full, std::sync::atomic::Ordering::SeqCst);
    }

    fn is_full(&self) -> bool {
        self.full.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// Another issuer has decided since.
    pub(super) fn steal(&self) {
        self.epoch.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

#[async_trait::async_trait]
impl Keeper for Memory {
    async fn take(&self, _: &str, held: u64, _: i64, _: i64) -> Result<Option<u64>, KeepError> {
        self.there()?;
        if self.is_full() {
            return Err(KeepError::Away("no space left".to_owned()));
        }
        if held != self.epoch() || held == 0 {
            self.steal();
        }
        Ok(Some(self.epoch()))
    }

    async fn give_up(&self, _: &str, _: u64, _: i64) -> Result<(), KeepError> {
        self.there()
    }

    async fn holder(&self) -> Result<Option<Holder>, KeepError> {
        let holder = || Holder { owner: "issuer-1".to_owned(), epoch: self.epoch(), until_ms: 0 };
        self.there().map(|()| Some(holder()))
    }

    async fn kept(&self) -> Result<Option<Kept>, KeepError> {
        self.there()?;
        Ok(self.kept.lock().expect("no panic").clone())
    }

    async fn keep(&self, step: &Step<'_>) -> Result<Option<u64>, KeepError> {
        self.there()?;
        // On a full disk the lease has run out, which can be read.
        if step.epoch != self.epoch() || self.is_full() {
            return Ok(None);
        }
        let _open = self.open.acquire().await.expect("it is never closed");
        let unheard = *self.unheard.lock().expect("no panic");
        if unheard == Some(false) {
            return Err(KeepError::Unknown("nobody answers".to_owned()));
        }
        if let Some(order) = step.order {
            let before =
                self.orders.lock().expect("no panic").insert(order.request_id.clone(), order.clone());
            assert_eq!(before, None, "it is the primary key");
        }
        self.rows.lock().expect("no panic").extend_from_slice(step.decisions);
        let (epoch, written_ms, state) = (step.epoch, step.now_ms, step.state.to_owned());
        *self.kept.lock().expect("no panic") = Some(Kept { epoch, written_ms, state });
        if unheard.is_some() {
            return Err(KeepError::Unknown("nobody answers".to_owned()));
        }
        Ok(Some(self.rows.lock().expect("no panic").len() as u64))
    }

    async fn before(&self, _: u64, limit: u32, unit: Option<&str>) -> Result<Vec<KeptDecision>, KeepError> {
        self.there()?;
        let rows = self.rows.lock().expect("no panic");
        let of_it = rows.iter().rev().filter(|row| unit.is_none_or(|unit| row.unit == unit));
        Ok(of_it.take(limit as usize).cloned().collect())
    }

    async fn after(&self, _: u64, _: u32) -> Result<Vec<KeptDecision>, KeepError> {
        Ok(Vec::new())
    }

    async fn order(&self, request_id: &str) -> Result<Option<KeptOrder>, KeepError> {
        self.there()?;
        Ok(self.orders.lock().expect("no panic").get(request_id).cloned())
    }
}

/// A controller with its pool of three, in which a second passes when it is told to.
pub(super) struct World {
    dir: TempDir,
    pub(super) clock: Clock,
    pub(super) keeper: Arc<Memory>,
    pub(super) controller: Controller,
    /// Of the next process.
    pub(super) options: Options,
    /// The relays that report.
    pub(super) relays: Vec<usize>,
    recorder: Recorder,
    tasks: Tasks,
    pub(super) second: i64,
}

impl World {
    pub(super) async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let pki = dir.path().join("pki");
        let authority = Authority::create(&pki, time::OffsetDateTime::now_utc()).expect("an authority");
        let identity = "issuer/issuer-1".parse().expect("legal");
        authority.issue(&identity, &[], Duration::from_secs(86_400)).expect("a certificate");
        let (tasks, clock, keeper) = (Tasks::new(), Clock::fixed(START_MS), Arc::new(Memory::default()));
        let options = Options::default();
        let (controller, recorder) = Self::process(&options, &dir, &clock, &keeper, &tasks);
        let (relays, second) = (vec![1, 2, 3], START_MS / 1000);
        Self { dir, clock, keeper, controller, options, relays, recorder, tasks, second }
    }

    /// An issuer's process that has just begun.
    fn process(
        options: &Options,
        dir: &TempDir,
        clock: &Clock,
        keeper: &Arc<Memory>,
        tasks: &Tasks,
    ) -> (Controller, Recorder) {
        let pki = dir.path().join("pki");
        let [cert, key, ca] = ["issuer-1.pem", "issuer-1.key", "ca.pem"].map(|name| pki.join(name));
        let files = TlsFiles { cert, key, ca, crl: None };
        let tls = ClientTls::load_for(&files, "todoke.internal", &[Role::Relay]).expect("a certificate");
        let folder = dir.path().join("ledger");
        let recorder = Recorder::into_folder(folder.clone(), 16 << 20, tasks);
        let controller = Controller::new(Parts {
            options: options.clone(),
            name: "issuer-1".to_owned(),
            keeper: Arc::clone(keeper) as Arc<dyn Keeper>,
            sign: Arc::new(|text| text.as_bytes().to_vec()),
            prober: Prober::new("issuer/issuer-1", tls, "todoke.internal", None),
            clock: clock.clone(),
            disk: Disk { folder: Some(folder), recorder: recorder.clone(), ..Disk::default() },
            tasks: tasks.clone(),
        });
        (controller, recorder)
    }

    /// The issuer is killed and started anew: it has what it kept, and what it left on disk.
    pub(super) async fn restart(&mut self) {
        let Self { options, dir, clock, keeper, tasks, .. } = &*self;
        (self.controller, self.recorder) = Self::process(options, dir, clock, keeper, tasks);
        self.controller.begin().await;
    }

    /// What a replay of each file of the ledger finds, after the last second.
    pub(super) async fn replayed(&self) -> Vec<Report> {
        self.tasks.soft().cancel();
        self.tasks.join(Duration::from_secs(10)).await;
        let pieces = ledger::list(&self.dir.path().join("ledger")).expect("it is there");
        let file = |piece: ledger::Piece| std::fs::File::open(piece.path).expect("it is there");
        pieces.into_iter().map(|piece| again(BufReader::new(file(piece)))).collect()
    }

    /// One second: three relays report, of which `relay-2` may fail, and the controller decides.
    pub(super) async fn second(&mut self, sick: bool) {
        self.pass(1);
        if self.second % 3 == 0 {
            self.controller.renew().await;
        }
        for n in self.relays.clone() {
            let relay: Identity = format!("relay/relay-{n}").parse().expect("legal");
            let of = |unit: usize, class: EvidenceClass| EvidenceBucket {
                second: self.second,
                unit: format!("relay-{unit}"),
                class: class.into(),
                caller: if unit == 1 { "131229".to_owned() } else { String::new() },
                call_count: 10,
                bad_count: if unit == 2 && sick { 8 } else { 0 },
                latencies: if unit == 1 { Vec::new() } else { vec![3, 5, 2] },
            };
            let others = (1..=3).filter(|other| *other != n);
            let mut buckets: Vec<_> = others.map(|other| of(other, EvidenceClass::Probe)).collect();
            buckets.push(of(n, EvidenceClass::Traffic));
            let timer_late_ms = if self.second % 40 == 0 { 700 } else { 3 };
            let attributes = Some(pb::UnitAttributes {
                address: format!("127.0.0.1:{n}"),
                model: "HSM-7".to_owned(),
                ..pb::UnitAttributes::default()
            });
            let request = pb::ReportRequest { buckets, timer_late_ms, attributes, ..Default::default() };
            let _ = self.controller.report(&relay, request).await;
        }
        let _ = self.controller.step(None).await;
        self.recorder.settled().await;
    }

    /// Waits until the record ends with the second that was decided last.
    pub(super) async fn written(&self) {
        let folder = self.folder();
        loop {
            let second = self.controller.core().policy.second();
            if ledger::resume(&folder, second, 0).is_ok() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// The record's folder.
    pub(super) fn folder(&self) -> PathBuf {
        self.dir.path().join("ledger")
    }

    /// Seconds in which nothing runs.
    pub(super) fn pass(&mut self, seconds: i64) {
        self.clock.advance(seconds * 1_000);
        self.second += seconds;
    }
}

pub(super) fn again(lines: impl std::io::BufRead) -> Report {
    let mut judge = Judge::new(rule::Parameters::default(), 0);
    ledger::replay(lines, &mut judge).expect("every line is right")
}

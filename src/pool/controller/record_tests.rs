//! Promise: whatever happens to the controller (evidence, orders, a database that is away, another issuer
//! that decides for a while), what it left on disk gives the same decisions again.

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
    wire::pb::{self, EvidenceBucket, EvidenceClass, order_unit_request::Order},
};

const START_MS: i64 = 1_785_000_000_000;

/// A database in memory.
pub(super) struct Memory {
    away: AtomicBool,
    /// Nothing can be written, and what was is read.
    full: AtomicBool,
    epoch: AtomicU64,
    kept: Mutex<Option<Kept>>,
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
    fn steal(&self) {
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
        self.there().map(|()| None)
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

    async fn before(&self, _: u64, limit: u32, _: Option<&str>) -> Result<Vec<KeptDecision>, KeepError> {
        self.there()?;
        let rows = self.rows.lock().expect("no panic");
        Ok(rows.iter().rev().take(limit as usize).cloned().collect())
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
    recorder: Recorder,
    tasks: Tasks,
    second: i64,
}

impl World {
    pub(super) async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let pki = dir.path().join("pki");
        let authority = Authority::create(&pki, time::OffsetDateTime::now_utc()).expect("an authority");
        let identity = "issuer/issuer-1".parse().expect("legal");
        authority.issue(&identity, &[], Duration::from_secs(86_400)).expect("a certificate");
        let (tasks, clock, keeper) = (Tasks::new(), Clock::fixed(START_MS), Arc::new(Memory::default()));
        let (controller, recorder) = Self::process(&dir, &clock, &keeper, &tasks);
        Self { dir, clock, keeper, controller, recorder, tasks, second: START_MS / 1000 }
    }

    /// An issuer's process that has just begun.
    fn process(dir: &TempDir, clock: &Clock, keeper: &Arc<Memory>, tasks: &Tasks) -> (Controller, Recorder) {
        let pki = dir.path().join("pki");
        let [cert, key, ca] = ["issuer-1.pem", "issuer-1.key", "ca.pem"].map(|name| pki.join(name));
        let files = TlsFiles { cert, key, ca, crl: None };
        let tls = ClientTls::load_for(&files, "todoke.internal", &[Role::Relay]).expect("a certificate");
        let folder = dir.path().join("ledger");
        let recorder = Recorder::into_folder(folder.clone(), 16 << 20, tasks);
        let controller = Controller::new(Parts {
            options: Options::default(),
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

    /// The issuer is killed and started anew: it has what it kept, and nothing that it had heard.
    pub(super) async fn restart(&mut self) {
        (self.controller, self.recorder) = Self::process(&self.dir, &self.clock, &self.keeper, &self.tasks);
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
        self.clock.advance(1_000);
        self.second += 1;
        if self.second % 3 == 0 {
            self.controller.renew().await;
        }
        for n in 1..=3 {
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

    async fn order(&self, id: &str, unit: &str, order: Order) {
        let operator = "operator/alice".parse().expect("legal");
        let (request_id, unit, order) = (id.to_owned(), unit.to_owned(), Some(order));
        let asked = pb::OrderUnitRequest { request_id, unit, order };
        self.controller.order(&operator, asked).await.expect("it is carried out");
    }

    /// Five minutes in which everything happens.
    async fn story(&mut self) {
        for n in 0..300 {
            if n == 60 {
                let why = "the rack is moved".to_owned();
                self.order("drain-1", "relay-3", Order::Drain(pb::DrainUnit { why })).await;
            }
            if n == 75 {
                let why = "it stands".to_owned();
                self.order("undrain-1", "relay-3", Order::Undrain(pb::UndrainUnit { why })).await;
            }
            let away = (200..215).contains(&n);
            self.keeper.away.store(away, std::sync::atomic::Ordering::SeqCst);
            if n == 250 {
                self.keeper.steal();
            }
            self.second((90..199).contains(&n)).await;
        }
    }
}

fn again(lines: impl std::io::BufRead) -> Report {
    let mut judge = Judge::new(rule::Parameters::default(), 0);
    ledger::replay(lines, &mut judge).expect("every line is right")
}

#[tokio::test]
async fn what_is_on_disk_and_what_is_exported_give_the_same_decisions_again() {
    let mut world = World::start().await;
    world.story().await;
    let asked = pb::ExportLedgerRequest::default();
    let mut export = world.controller.export(asked).await.expect("it is kept");
    let mut text = Vec::new();
    while let Some(lines) = export.read().expect("it is read") {
        text.extend(lines);
    }
    let (mut seconds, mut same, mut files) = (0, 0, 0);
    for report in world.replayed().await {
        assert_eq!(report.difference, None, "file {files}");
        (seconds, same, files) = (seconds + report.steps, same + report.same, files + 1);
    }
    let evicted = world.controller.core().policy.units().values().any(|unit| unit.evictions > 0);
    assert!(evicted, "one was evicted");
    assert!(files >= 2, "another issuer decided in between");
    assert!(seconds >= 290, "{seconds} steps, those without a database too");
    let kept = world.keeper.rows.lock().expect("no panic").len() as u64;
    assert!(kept > 10 && same >= kept, "{same} decisions, {kept} of them in the database");
    let exported = again(text.as_slice());
    assert_eq!((exported.difference, exported.same), (None, same), "the whole of it was exported");
}

#[tokio::test]
async fn that_the_database_was_away_is_on_record_from_its_beginning_to_its_end_once_it_is_back() {
    let mut world = World::start().await;
    let mut decided = world.controller.0.decided.subscribe();
    for n in 0..30 {
        world.keeper.away.store((10..17).contains(&n), std::sync::atomic::Ordering::SeqCst);
        world.second(false).await;
    }
    let about = |row: &KeptDecision| row.record.contains("DATABASE_AWAY");
    let kept = world.keeper.rows.lock().expect("no panic").clone();
    let rows: Vec<(&str, i64)> =
        kept.iter().filter(|row| about(row)).map(|row| (row.kind.as_str(), row.decided_ms)).collect();
    // It is noticed by the first step that has something to keep.
    assert_eq!(rows, [("alarm", START_MS + 13_000), ("alarm_over", START_MS + 18_000)]);
    let mut told = Vec::new();
    while let Ok(row) = decided.try_recv() {
        told.push(row.number);
    }
    assert!(told.iter().copied().eq(1..=kept.len() as u64), "each is told once, in order: {told:?}");
}

#[tokio::test]
async fn what_is_in_the_ledger_is_in_the_table_when_the_lease_ended_while_the_database_was_away_too() {
    let mut world = World::start().await;
    for n in 0..60 {
        world.keeper.set_away((10..21).contains(&n));
        if n == 21 {
            assert!(world.controller.standing().frozen);
            world.keeper.steal(); // the lease is over, as the next step finds; nobody else decided
        }
        world.second(false).await;
    }
    let kinds: Vec<String> = {
        let rows = world.keeper.rows.lock().expect("no panic");
        let about = rows.iter().filter(|row| row.record.contains("DATABASE_AWAY"));
        about.map(|row| row.kind.clone()).collect()
    };
    assert_eq!(kinds, ["alarm", "alarm_over"]);
    let kept = world.keeper.rows.lock().expect("no panic").len() as u64;
    let reports = world.replayed().await;
    assert!(reports.iter().all(|report| report.difference.is_none()), "{reports:?}");
    assert_eq!(reports.iter().map(|report| report.same).sum::<u64>(), kept);
}

#[tokio::test]
async fn what_was_kept_without_an_answer_is_on_record_once_when_the_lease_ended_then_too() {
    let mut world = World::start().await;
    for n in 0..60 {
        world.keeper.set_away((10..15).contains(&n));
        *world.keeper.unheard.lock().expect("no panic") = (n == 15).then_some(true);
        if n == 16 {
            world.keeper.steal(); // the lease is over, and is taken again before anything is decided
            assert!(world.controller.renew().await);
        }
        world.second(false).await;
    }
    let rows = world.keeper.rows.lock().expect("no panic").clone();
    let about = rows.iter().filter(|row| row.record.contains("DATABASE_AWAY"));
    assert_eq!(about.map(|row| row.kind.as_str()).collect::<Vec<_>>(), ["alarm", "alarm_over"]);
}

#[tokio::test]
async fn the_metric_of_degraded_says_what_the_list_says() {
    let mut world = World::start().await;
    let figure = |world: &World| {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || world.controller.core().show(0));
        let page = recorder.handle().render();
        page.contains("todoke_pool_alarms{alarm=\"DEGRADED\"} 1")
    };
    let (mut said, mut kept_up) = (Vec::new(), 0);
    for n in 0..150 {
        if (30..60).contains(&n) {
            world.clock.advance(1_000); // nobody reports
            world.controller.renew().await;
            let _ = world.controller.step(None).await;
        } else {
            world.second(false).await;
        }
        let list = world.controller.list().expect("it can be read");
        assert_eq!(figure(&world), list.degraded, "second {n}");
        let raised =
            world.controller.core().policy.alarms().values().any(|one| one.kind == policy::Kind::Degraded);
        kept_up += u32::from(raised && !list.degraded);
        if said.last() != Some(&list.degraded) {
            said.push(list.degraded);
        }
    }
    assert_eq!(said, [false, true, false]);
    assert!(kept_up > 10, "the alarm itself is kept up for longer: {kept_up} s");
}

#[tokio::test]
async fn what_is_not_kept_is_not_found() {
    let world = World::start().await;
    let reason = async |asked| world.controller.export(asked).await.err().map(|fault| fault.reason);
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    use crate::wire::fault::Reason;
    assert_eq!(reason(pb::ExportLedgerRequest::default()).await, Some(Reason::NotFound));
    let turned = pb::ExportLedgerRequest { from_time: at(9), to_time: at(8) };
    assert_eq!(reason(turned).await, Some(Reason::FieldInvalid));
}

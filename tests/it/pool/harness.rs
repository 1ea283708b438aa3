//! A real issuer that judges its relays, real relays in this process, and operators and municipalities before
//! them.

use std::{collections::BTreeMap, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use time::OffsetDateTime;
use todoke::{
    domain::identity::Role,
    net::{
        pki::Authority,
        tls::{ClientTls, ServerTls, TlsFiles},
    },
    pool::{
        controller::{Controller, Options, Parts},
        disk::Disk,
        prober::Prober,
    },
    relay,
    runtime::{Running, Tasks, clock::Clock},
    store::Store,
    vault::Vault,
    wire::{
        convert::timestamp,
        fault::{Fault, Reason},
        pb::{
            self, OrderUnitRequest, OrderUnitResponse, UnitAttributes, UnitState, order_unit_request::Order,
            pool_service_client::PoolServiceClient,
        },
    },
};
use tokio::{sync::watch, time::Instant};
use tonic::{Code, Response, Status, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::issuance::harness::{Issuer, Party, fault, files, id, issue};

/// The municipalities that call.
pub(super) const WARDS: [&str; 5] = [
    "municipality/131229",
    "municipality/131211",
    "municipality/131237",
    "municipality/011002",
    "municipality/271004",
];

/// How long anything is waited for: a lease lives 15 s, and evidence takes its time.
const LIMIT: Duration = Duration::from_secs(90);

/// Options under which a unit joins, drains and returns within seconds, and little evidence is enough.
pub(super) fn quick() -> Options {
    let mut options = Options::default();
    let rule = &mut options.rule;
    rule.budget_years = 0.01;
    rule.scales = [3, 60];
    rule.clear_seconds_min = 5;
    rule.threshold_min_us = 1_000_000; // the machine may be busy
    let policy = &mut options.policy;
    policy.join_probes = 1;
    policy.drain_s = 1;
    policy.back_off_base_s = 1;
    policy.back_off_jitter_percent = 0;
    policy.probation_probes = 2;
    policy.probation_s = 1;
    policy.steps_percent = vec![100];
    options
}

/// An issuer with its pool.
pub(super) struct Pool {
    pub(super) issuer: Issuer,
    pub(super) controller: Controller,
    operator: Party,
}

/// What judges the relays of an issuer that has this name and this certificate.
pub(super) fn controller(
    named: (&str, &TlsFiles),
    options: Options,
    store: &Store,
    vault: &Vault,
    clock: &Clock,
) -> Controller {
    controller_with(named, options, store, vault, clock, Disk::default())
}

/// The same, which leaves something on disk.
pub(super) fn controller_with(
    (name, tls): (&str, &TlsFiles),
    options: Options,
    store: &Store,
    vault: &Vault,
    clock: &Clock,
    disk: Disk,
) -> Controller {
    let relays = ClientTls::load_for(tls, "todoke.internal", &[Role::Relay]).expect("a certificate");
    let (signer, key) = (vault.clone(), vault.verifier_key());
    Controller::new(Parts {
        options,
        name: name.to_owned(),
        keeper: Arc::new(store.clone()),
        sign: Arc::new(move |text| signer.sign_note(text)),
        prober: Prober::new(&format!("issuer/{name}"), relays, "todoke.internal", Some(key)),
        clock: clock.clone(),
        disk,
        tasks: Tasks::new(),
    })
}

impl Pool {
    /// Starts the issuer; there is no relay yet.
    pub(super) async fn start(options: Options) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let pki = dir.path().join("pki");
        let authority = Authority::create(&pki, OffsetDateTime::now_utc()).expect("an authority");
        for identity in WARDS.into_iter().chain(["issuer/issuer-1", "operator/alice"]) {
            issue(&authority, identity);
        }
        let (clock, tls, mut made) = (Clock::system(), files(&pki, "issuer-1"), None);
        let timed = clock.clone();
        let pool = |store: &Store, vault: &Vault| {
            made = Some(controller(("issuer-1", &tls), options, store, vault, &timed));
            made.clone()
        };
        let issuer = Issuer::start_with(dir, authority, clock, |_| {}, pool).await;
        let operator = issuer.party_again("operator/alice");
        let pool = Self { issuer, controller: made.expect("it was made"), operator };
        eventually("the pool has a controller", || async {
            (pool.controller.standing().epoch > 0).then_some(())
        })
        .await;
        pool
    }

    /// Starts a relay; it need not serve yet.
    pub(super) async fn relay(&self, name: &str) -> Relay {
        self.relay_by(name, self.issuer.clock.clone()).await
    }

    /// Starts a relay that goes by this clock.
    pub(super) async fn relay_by(&self, name: &str, clock: Clock) -> Relay {
        issue(&self.issuer.authority, &format!("relay/{name}"));
        let tls = files(&self.issuer.dir.path().join("pki"), name);
        let options = relay::Options {
            name: name.to_owned(),
            upstreams: vec![self.issuer.address.to_string()],
            shards: 1,
            caller_rate: 100_000,
            caller_burst: 100_000,
            linger: Duration::from_millis(100),
            drain: Duration::from_secs(2),
            drills: true,
            bundle_dir: Some(self.issuer.dir.path().join("bundles")),
            ..relay::Options::default()
        };
        let own = ServerTls::load(&tls).expect("a relay's certificate");
        let client = |roles: &'static [Role]| {
            ClientTls::load_for(&tls, "todoke.internal", roles).expect("the same certificate")
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let attributes = attributes(name, listener.local_addr().expect("it has one"));
        let membership = relay::Membership {
            unit: name.parse().expect("a name"),
            attributes,
            key: Some(self.issuer.verifier.clone()),
            probe_tls: client(&[Role::Relay]),
            clock,
            incarnation: 1,
            views: watch::Sender::new(None),
            view_file: None,
        };
        let tasks = Tasks::new();
        let upstream = client(&[Role::Issuer]);
        let running = relay::start(options, listener, own, upstream, Some(membership), &tasks);
        Relay { running: running.expect("it starts"), tasks }
    }

    /// Starts relays that serve when this returns, `relay-1` and so on.
    pub(super) async fn relays(&self, count: usize) -> Vec<Relay> {
        let mut relays = Vec::new();
        for at in 1..=count {
            let name = format!("relay-{at}");
            relays.push(self.relay(&name).await);
            self.until(&name, UnitState::Healthy).await;
            relays[at - 1].serves().await;
        }
        relays
    }

    /// A municipality's connection to a relay.
    pub(super) fn ward(&self, identity: &str, relay: &Relay) -> Party {
        self.ward_at(identity, &relay.running.address.to_string())
    }

    /// The same to whatever is at this address.
    pub(super) fn ward_at(&self, identity: &str, address: &str) -> Party {
        Party::at(&self.issuer.dir.path().join("pki"), identity, address)
    }

    /// The pool's calls, as an operator.
    pub(super) fn ops(&self) -> PoolServiceClient<Channel> {
        PoolServiceClient::new(self.operator.channel.clone())
    }

    /// Has a unit play a fault for so long; an empty one ends it.
    pub(super) async fn drill(
        &self,
        id: &str,
        unit: &str,
        fault: &str,
        seconds: i64,
    ) -> Result<OrderUnitResponse, Fault> {
        let until_time = Some(timestamp(self.issuer.clock.now_ms() + seconds * 1000));
        let drill = pb::DrillUnit { fault: fault.to_owned(), until_time, lasts: None };
        self.order(order(id, unit, Order::Drill(drill))).await
    }

    pub(super) async fn order(&self, order: OrderUnitRequest) -> Result<OrderUnitResponse, Fault> {
        self.ops().order_unit(order).await.map(Response::into_inner).map_err(fault)
    }

    pub(super) async fn list(&self) -> pb::ListUnitsResponse {
        self.ops().list_units(pb::ListUnitsRequest {}).await.expect("an operator may").into_inner()
    }

    pub(super) async fn units(&self) -> BTreeMap<String, pb::Unit> {
        self.list().await.units.into_iter().map(|unit| (unit.unit.clone(), unit)).collect()
    }

    /// Waits until a unit is in a state.
    pub(super) async fn until(&self, unit: &str, state: UnitState) -> pb::Unit {
        let what = format!("{unit} is {}", state.as_str_name());
        let is_so = || async { self.units().await.remove(unit).filter(|unit| unit.state() == state) };
        eventually(&what, is_so).await
    }

    /// What was decided about a unit, oldest first; nothing if there is no such unit yet.
    pub(super) async fn decisions(&self, unit: &str) -> Vec<pb::Decision> {
        let asked = pb::ListDecisionsRequest { unit: unit.to_owned(), page_size: 500, ..Default::default() };
        match self.ops().list_decisions(asked).await.map(Response::into_inner).map_err(fault) {
            Ok(listed) => listed.decisions.into_iter().rev().collect(),
            Err(refused) if refused.reason == Reason::UnitUnknown => Vec::new(),
            Err(refused) => panic!("an operator may: {refused:?}"),
        }
    }

    /// Waits for a decision of a kind about a unit.
    pub(super) async fn decided(&self, unit: &str, kind: &str) -> pb::Decision {
        let what = format!("{kind} of {unit}");
        let found = || async { self.decisions(unit).await.into_iter().find(|one| one.kind == kind) };
        eventually(&what, found).await
    }

    /// Why a unit is as it is, as JSON.
    pub(super) async fn explained(&self, unit: &str) -> serde_json::Value {
        let asked = pb::ExplainUnitRequest { unit: unit.to_owned() };
        let told = self.ops().explain_unit(asked).await.expect("it is known").into_inner();
        serde_json::from_str(&told.explanation_json).expect("it is JSON")
    }
}

/// What a relay of this name says that it is.
pub(super) fn attributes(name: &str, address: SocketAddr) -> UnitAttributes {
    UnitAttributes {
        address: address.to_string(),
        slot: format!("slot of {name}"),
        serial: format!("serial of {name}"),
        model: "m-1".to_owned(),
        image: "todoke".to_owned(),
        ..Default::default()
    }
}

/// A relay in this process; ended when dropped.
pub(super) struct Relay {
    pub(super) running: Running,
    pub(super) tasks: Tasks,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.tasks.hard().cancel();
    }
}

impl Relay {
    /// Waits until it says that it is ready.
    pub(super) async fn serves(&self) {
        eventually("the relay serves", || async { (self.running.not_ready)().is_empty().then_some(()) })
            .await;
    }

    /// Waits until it says that it is not.
    pub(super) async fn serves_not(&self) -> Vec<String> {
        eventually("the relay does not serve", || async {
            Some((self.running.not_ready)()).filter(|why| !why.is_empty())
        })
        .await
    }
}

/// Asks for a batch that is not there, so that an issuer which takes the call says NOT_FOUND.
pub(super) async fn ask(party: &Party) -> Result<(), Status> {
    let mut request = party.request(pb::GetBatchRequest { batch_id: id(1).to_string() });
    request.set_timeout(Duration::from_secs(5));
    match party.batches().get_batch(request).await {
        Err(status) if status.code() == Code::NotFound => Ok(()),
        Err(status) => Err(status),
        Ok(_) => panic!("nobody opened that batch"),
    }
}

/// Why a call was refused.
pub(super) fn reason(asked: Result<(), Status>) -> Option<Reason> {
    Fault::from_status(&asked.err()?).map(|fault| fault.reason)
}

/// What a relay says of its health.
pub(super) async fn health(party: &Party) -> Option<ServingStatus> {
    let mut client = HealthClient::new(party.channel.clone());
    let answer = client.check(HealthCheckRequest { service: String::new() }).await.ok()?;
    Some(answer.into_inner().status())
}

pub(super) fn order(request_id: &str, unit: &str, order: Order) -> OrderUnitRequest {
    OrderUnitRequest { request_id: request_id.to_owned(), unit: unit.to_owned(), order: Some(order) }
}

pub(super) fn drain(request_id: &str, unit: &str) -> OrderUnitRequest {
    order(request_id, unit, Order::Drain(pb::DrainUnit { why: "a test".to_owned() }))
}

pub(super) fn undrain(request_id: &str, unit: &str) -> OrderUnitRequest {
    order(request_id, unit, Order::Undrain(pb::UndrainUnit { why: "a test".to_owned() }))
}

/// Waits until `condition` gives something.
pub(super) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, condition: impl Fn() -> F) -> T {
    let until = Instant::now() + LIMIT;
    while Instant::now() < until {
        if let Some(value) = condition().await {
            return value;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not in time: {what}");
}

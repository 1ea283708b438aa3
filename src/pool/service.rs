//! `todoke.v1.PoolService`: decode, ask the controller, encode.

use std::{pin::Pin, sync::Arc};

use futures_util::Stream;
use tonic::{Request, Response, Status};

use super::{
    controller::{self, Controller},
    judgement::UnitJudgement,
    limits::Limits,
    policy::{self, Policy, State},
    prober::signed_text,
};
use crate::{
    domain::identity::{Identity, Role},
    net::{PeerIdentity, headers},
    wire::{
        convert,
        fault::{Fault, Reason},
        pb::{self, pool_service_server::PoolService},
    },
};

/// The longest nonce of a probe.
const NONCE_MAX: usize = 64;

/// The service.
#[derive(Clone)]
pub struct Pool {
    pub(super) controller: Controller,
    limits: Arc<Limits>,
}

impl Pool {
    /// Serves what this controller knows.
    #[must_use]
    pub fn new(controller: Controller) -> Self {
        Self { controller, limits: Arc::new(Limits::new()) }
    }
}

/// Who calls: the peer, or whom a relay names.
fn caller<T>(request: &Request<T>) -> Result<Identity, Fault> {
    let missing = || Fault::new(Reason::IdentityMissing, "the connection has no client certificate");
    let PeerIdentity(peer) = request.extensions().get::<PeerIdentity>().ok_or_else(missing)?;
    let claim = request.metadata().get(headers::CALLER);
    match (peer.role(), claim) {
        (_, None) => Ok(peer.clone()),
        (Role::Relay, Some(claim)) => {
            let named = claim.to_str().ok().and_then(|text| text.parse().ok());
            let words = format!("{peer} names no caller that there can be");
            named.ok_or_else(|| Fault::new(Reason::IdentityForged, words))
        }
        (_, Some(_)) => {
            let words = format!("{peer} is no relay and may not send '{}': leave it out", headers::CALLER);
            Err(Fault::new(Reason::IdentityForged, words))
        }
    }
}

/// The caller, if it has one of these roles.
fn role<T>(request: &Request<T>, roles: &[Role], what: &str) -> Result<Identity, Fault> {
    let caller = caller(request)?;
    if roles.contains(&caller.role()) {
        return Ok(caller);
    }
    Err(Fault::new(Reason::WrongRole, format!("{caller} may not {what}: use another certificate")))
}

/// The caller, if it has one of these roles and came by itself: a relay that lies could name anybody as its
/// caller, and nobody but a municipality signs what it wants.
fn itself<T>(request: &Request<T>, roles: &[Role], what: &str) -> Result<Identity, Fault> {
    let caller = role(request, roles, what)?;
    if request.metadata().get(headers::CALLER).is_some() {
        let words = format!("{caller} may not {what} through a relay: call an issuer itself");
        return Err(Fault::new(Reason::WrongRole, words));
    }
    Ok(caller)
}

const READERS: &[Role] = &[Role::Operator, Role::Auditor, Role::Issuer];

type Stream_<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl PoolService for Pool {
    async fn report(
        &self,
        request: Request<pb::ReportRequest>,
    ) -> Result<Response<pb::ReportResponse>, Status> {
        let relay = itself(&request, &[Role::Relay], "report")?;
        let _place = self.limits.report(&relay)?;
        Ok(Response::new(self.controller.report(&relay, request.into_inner()).await?))
    }

    async fn probe(&self, request: Request<pb::ProbeRequest>) -> Result<Response<pb::ProbeResponse>, Status> {
        let prober = role(&request, &[Role::Relay, Role::Issuer], "probe")?;
        self.limits.probe(&prober)?;
        let nonce = request.into_inner().nonce;
        if nonce.is_empty() || nonce.len() > NONCE_MAX {
            let words = "nonce must have 1 to 64 bytes";
            return Err(Fault::new(Reason::FieldInvalid, words).violation("nonce", "1 to 64 bytes").into());
        }
        self.controller.touch().await?;
        let signed = self.controller.sign(&signed_text(&nonce));
        Ok(Response::new(pb::ProbeResponse { signed }))
    }

    async fn get_view(
        &self,
        request: Request<pb::GetViewRequest>,
    ) -> Result<Response<pb::GetViewResponse>, Status> {
        caller(&request)?;
        let view = self.controller.signed_view().ok_or_else(not_ready)?;
        Ok(Response::new(pb::GetViewResponse { view }))
    }

    type WatchViewStream = Stream_<pb::WatchViewResponse>;

    async fn watch_view(
        &self,
        request: Request<pb::WatchViewRequest>,
    ) -> Result<Response<Self::WatchViewStream>, Status> {
        let place = self.limits.view_watcher(&caller(&request)?)?;
        let mut last = request.into_inner().after_version;
        let (controller, mut views) = (self.controller.clone(), self.controller.views());
        let stream = async_stream(move |out| async move {
            let _place = place;
            loop {
                let now = views.borrow_and_update().as_ref().map(|view| view.version);
                if let (Some(version), Some(view)) =
                    (now.filter(|version| *version != last), controller.signed_view())
                {
                    last = version;
                    if out.send(Ok(pb::WatchViewResponse { view })).await.is_err() {
                        return;
                    }
                }
                tokio::select! {
                    changed = views.changed() => if changed.is_err() { return },
                    () = out.closed() => return,
                }
                tokio::time::sleep(WATCH_EVERY).await;
            }
        });
        Ok(Response::new(stream))
    }

    async fn list_units(
        &self,
        request: Request<pb::ListUnitsRequest>,
    ) -> Result<Response<pb::ListUnitsResponse>, Status> {
        itself(&request, READERS, "see the pool")?;
        Ok(Response::new(self.controller.list()?))
    }

    async fn explain_unit(
        &self,
        request: Request<pb::ExplainUnitRequest>,
    ) -> Result<Response<pb::ExplainUnitResponse>, Status> {
        itself(&request, READERS, "see the pool")?;
        Ok(Response::new(self.controller.explain(&request.into_inner().unit).await?))
    }

    async fn list_decisions(
        &self,
        request: Request<pb::ListDecisionsRequest>,
    ) -> Result<Response<pb::ListDecisionsResponse>, Status> {
        itself(&request, READERS, "see the pool")?;
        Ok(Response::new(self.controller.decisions(request.into_inner()).await?))
    }

    type WatchDecisionsStream = Stream_<pb::WatchDecisionsResponse>;

    async fn watch_decisions(
        &self,
        request: Request<pb::WatchDecisionsRequest>,
    ) -> Result<Response<Self::WatchDecisionsStream>, Status> {
        itself(&request, READERS, "see the pool")?;
        let place = self.limits.decision_watcher()?;
        let (controller, after) = (self.controller.clone(), request.into_inner().after_number);
        let stream = async_stream(move |out| async move {
            let _place = place;
            controller.watch_decisions(after, out).await;
        });
        Ok(Response::new(stream))
    }

    type ExportLedgerStream = Stream_<pb::ExportLedgerResponse>;

    async fn export_ledger(
        &self,
        request: Request<pb::ExportLedgerRequest>,
    ) -> Result<Response<Self::ExportLedgerStream>, Status> {
        itself(&request, READERS, "see the pool")?;
        let place = self.limits.decision_watcher()?;
        let export = self.controller.export(request.into_inner()).await?;
        let stream = async_stream(move |out| async move {
            let _place = place;
            controller::send(export, out).await;
        });
        Ok(Response::new(stream))
    }

    async fn order_unit(
        &self,
        request: Request<pb::OrderUnitRequest>,
    ) -> Result<Response<pb::OrderUnitResponse>, Status> {
        let operator = itself(&request, &[Role::Operator], "give orders about units")?;
        Ok(Response::new(self.controller.order(&operator, request.into_inner()).await?))
    }
}

/// The shortest time between two views that are sent to one who watches.
const WATCH_EVERY: std::time::Duration = std::time::Duration::from_millis(100);

fn not_ready() -> Fault {
    Fault::new(Reason::ViewNotReady, "no relay is known yet").after(std::time::Duration::from_secs(1))
}

type Outlet<T> = tokio::sync::mpsc::Sender<Result<T, Status>>;

/// A stream that `task` fills, which ends when nobody reads any more.
fn async_stream<T, F>(task: impl FnOnce(Outlet<T>) -> F) -> Stream_<T>
where
    T: Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let (out, read) = tokio::sync::mpsc::channel(4);
    let filling = task(out);
    // The task is a part of the stream: it runs while the stream is read, and is dropped with it.
    let filled = futures_util::stream::once(async move {
        filling.await;
        None
    });
    let items = futures_util::StreamExt::map(tokio_stream::wrappers::ReceiverStream::new(read), Some);
    let both = futures_util::stream::select(items, filled);
    Box::pin(futures_util::StreamExt::filter_map(both, |item| async move { item }))
}

pub(super) fn state(state: State) -> pb::UnitState {
    match state {
        State::Joining => pb::UnitState::Joining,
        State::Healthy => pb::UnitState::Healthy,
        State::Suspect => pb::UnitState::Suspect,
        State::Draining | State::Drained => pb::UnitState::Draining,
        State::Evicted => pb::UnitState::Evicted,
        State::Probation => pb::UnitState::Probation,
        State::Returning(_) => pb::UnitState::Returning,
        State::Quarantined => pb::UnitState::Quarantined,
    }
}

/// A second since 1970 as it goes over the wire.
pub(super) fn at(second: u64) -> prost_types::Timestamp {
    convert::timestamp(i64::try_from(second).unwrap_or(i64::MAX / 1000).saturating_mul(1000))
}

/// A unit as operators see it.
pub(super) fn unit(
    policy: &Policy,
    unit: &policy::Unit,
    judged: Option<&UnitJudgement>,
    lease_until_ms: Option<i64>,
) -> pb::Unit {
    let about = &unit.about;
    let penalties = policy.penalties(unit);
    let view = policy.view();
    let entry = view.iter().flat_map(|view| &view.units).find(|entry| entry.unit == *unit.id());
    let waits = matches!(unit.state, State::Evicted);
    let drill = unit.drills.now.as_ref();
    let paused = !policy.may_probe(unit.id());
    pb::Unit {
        unit: unit.id().to_string(),
        attributes: Some(pb::UnitAttributes {
            address: about.address.clone(),
            slot: about.slot.clone(),
            serial: about.serial.clone(),
            model: about.model.clone(),
            image: about.image.clone(),
            others: about.attributes.clone().into_iter().collect(),
        }),
        state: state(unit.state).into(),
        state_since_time: Some(at(unit.since)),
        why: unit.why.words.clone(),
        rule: format!("{:?}", unit.why.rule),
        generation: unit.generation,
        share_percent: entry.map_or(0, |entry| entry.share_percent.into()),
        lease_until_time: lease_until_ms.map(convert::timestamp),
        evidence: judged.map_or(0.0, |judged| judged.s),
        evidence_limit: judged.map_or(0.0, |judged| judged.s - judged.beyond),
        penalty_fast: penalties.fast,
        penalty_slow: penalties.slow,
        eviction_count: unit.evictions,
        earliest_return_time: waits.then(|| at(unit.back_off_until)),
        drained_by_operator: unit.state == State::Drained,
        probes_paused: paused,
        drill: drill.map(|drill| drill.fault.to_string()).unwrap_or_default(),
        drill_until_time: drill.map(|drill| at(drill.until)),
        reported_address: unit.elsewhere.clone().unwrap_or_default(),
        probes_paused_until_time: unit.probes_paused_until.filter(|_| paused).map(at),
    }
}

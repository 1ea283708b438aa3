//! Who is at the other end of a client's connection; established once, and written on every call that it
//! sends.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::{RecvStream, server::SendResponse};
use http::{HeaderName, HeaderValue, Method, Request, Uri, header, request::Parts, uri};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    domain::{
        identity::{Identity, Role},
        lane::Lane,
        municipality::MunicipalityCode,
    },
    net::headers,
    pool::drill::Played,
    wire::fault::{Fault, Reason},
};

use super::{
    admission::Tenant,
    answer,
    call::Call,
    deadline::{self, GRPC_TIMEOUT},
    health,
    open::Whose,
    refusal::{Limit, Refusal},
    seen::previous_attempt,
    shard::Shard,
    stats::Event,
};

const CALLER: HeaderName = HeaderName::from_static(headers::CALLER);
const LEASE: HeaderName = HeaderName::from_static(headers::LEASE);
const PREVIOUS_ATTEMPT: HeaderName = HeaderName::from_static(headers::PREVIOUS_ATTEMPT);

/// The one call that relays and issuers make as clients of a relay.
const PROBE: &str = "/todoke.v1.PoolService/Probe";

/// One connection's client.
pub(super) struct Peer {
    pub(super) shard: Arc<Shard>,
    pub(super) tenant: Arc<Tenant>,
    /// How the identity stands in logs.
    pub(super) identity: String,
    caller: HeaderValue,
    municipality: Option<MunicipalityCode>,
    /// Who it is where no name may stand.
    pub(super) whose: Whose,
    /// Whether it is a relay or an issuer, which only probes.
    observer: bool,
    admitted: Result<(), Fault>,
    warned: AtomicBool,
}

impl Peer {
    /// Takes a client in. One with too many connections is answered, but each call with a refusal.
    pub(super) fn new(shard: &Arc<Shard>, identity: &Identity) -> Self {
        let options = shard.options();
        let tenant = shard.tenant(identity);
        let max = options.caller_connections_max;
        let admitted = if tenant.connect(max) {
            Ok(())
        } else {
            shard.stats().event(Event::ConnectionRefused);
            Err(Refusal { limit: Limit::CallerConnections, lane: None, max, wait: Duration::from_secs(1) }
                .fault())
        };
        let (municipality, observer) =
            (identity.municipality(), matches!(identity.role(), Role::Relay | Role::Issuer));
        let whose = Whose(identity.role(), municipality);
        let identity = identity.to_string();
        let caller = HeaderValue::from_str(&identity).expect("an identity is ASCII without controls");
        let warned = AtomicBool::new(false);
        let shard = Arc::clone(shard);
        Self { shard, tenant, identity, caller, municipality, whose, observer, admitted, warned }
    }

    /// Whether it is a relay or an issuer, which only probes, also while the relay serves nobody.
    pub(super) fn is_observer(&self) -> bool {
        self.observer
    }

    /// One of its calls stands in the account; probes are in that of their observer.
    pub(super) fn count(&self, bad: bool) {
        if self.municipality.is_some() {
            self.tenant.seen.count(bad);
        } else if !self.observer {
            self.shard.common().others.count(bad);
        }
    }

    /// What a drill makes of a call: of a deep probe, too, which goes the same way. Only health checks are
    /// answered as ever, as those of unit 2 were.
    pub(super) fn played(&self) -> Played {
        self.shard.drill().play(|| self.shard.fraction())
    }

    /// Why the call of this path is not taken, if it is not.
    fn barred(&self, path: &str) -> Option<Fault> {
        if self.observer {
            let words = format!("{} only probes here: use a municipality's certificate", self.identity);
            return (path != PROBE).then(|| Fault::new(Reason::WrongRole, words));
        }
        (!self.shard.fence().is_open()).then(|| self.shard.fence().fault())
    }

    /// Whether its calls are refused one and all.
    pub(super) fn is_refused(&self) -> bool {
        self.admitted.is_err()
    }

    /// The client broke a call off.
    pub(super) fn reset(&self) {
        self.shard.stats().event(Event::ClientReset);
        self.tenant.reset(self.shard.now_ns());
    }

    /// Takes a request as it comes, and answers it or sends it on.
    pub(super) fn take(self: &Arc<Self>, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let (mut head, body) = request.into_parts();
        if !is_grpc(&head) {
            return answer::no_grpc(&mut respond);
        }
        if let Err(fault) = &self.admitted {
            self.shard.stats().refused(fault);
            return answer::refuse(&mut respond, fault.clone());
        }
        if let Err(fault) = headers::fit(&head.uri, &head.headers, self.shard.options().header_bytes_max) {
            self.shard.stats().refused(&fault);
            return answer::refuse(&mut respond, fault);
        }
        if let Some(method) = health::Method::of(head.uri.path()) {
            return self.shard.spawn(health::serve(Arc::clone(&self.shard), method, body, respond));
        }
        if let Some(fault) = self.barred(head.uri.path()) {
            self.shard.stats().refused(&fault);
            return answer::refuse(&mut respond, fault);
        }
        let started = Instant::now();
        let pass = match Pass::take(self, Lane::of_path(head.uri.path()), started) {
            Ok(pass) => pass,
            Err(fault) => {
                self.shard.stats().refused(&fault);
                return answer::refuse(&mut respond, fault);
            }
        };
        self.sign(&mut head);
        let deadline = timer(&head, started);
        if let Some(call) = Call::new(self, pass, respond, started, deadline).begin(head, body) {
            self.shard.spawn(call);
        }
    }

    /// Makes the request the relay's own: what the client says about itself is replaced by what is known.
    fn sign(&self, head: &mut Parts) {
        let mut parts = uri::Parts::default();
        parts.scheme = Some(uri::Scheme::HTTPS);
        parts.authority = Some(self.shard.authority().clone());
        let asked = std::mem::take(&mut head.uri).into_parts().path_and_query;
        parts.path_and_query = Some(asked.unwrap_or_else(|| uri::PathAndQuery::from_static("/")));
        head.uri = Uri::from_parts(parts).expect("scheme, authority and path are all there");
        head.headers.remove(header::HOST);
        if let Some(value) = head.headers.remove(PREVIOUS_ATTEMPT) {
            self.complain(&value);
        }
        if head.headers.keys().any(|name| headers::is_reserved(name.as_str())) {
            let names: Vec<HeaderName> = head.headers.keys().cloned().collect();
            for name in names.into_iter().filter(|name| headers::is_reserved(name.as_str())) {
                head.headers.remove(name);
            }
            self.shard.stats().event(Event::Stripped);
            if !self.warned.swap(true, Relaxed) {
                let caller = &self.identity;
                tracing::warn!(%caller, "{caller} says itself who calls: only a relay may, it is taken out");
            }
        }
        head.headers.insert(CALLER, self.caller.clone());
        // An observer's call comes also while there is no lease: it shows none then.
        let generation = self.shard.fence().generation();
        if generation > 0 && self.shard.fence().is_open() {
            head.headers.insert(LEASE, HeaderValue::from(generation));
        }
    }
}

impl Peer {
    /// What the caller says of the attempt before this one; only a municipality's word is taken.
    fn complain(&self, value: &HeaderValue) {
        let unit = value.to_str().ok().and_then(previous_attempt);
        let common = self.shard.common();
        if let (true, Some(unit), Some(municipality)) = (common.counts, unit, self.municipality) {
            common.complaint(unit, municipality);
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if self.admitted.is_ok() {
            self.tenant.disconnect();
        }
    }
}

fn is_grpc(head: &Parts) -> bool {
    head.method == Method::POST
        && head
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

fn timer(head: &Parts, started: Instant) -> Option<Pin<Box<Sleep>>> {
    let named = head.headers.get(GRPC_TIMEOUT).and_then(deadline::read)?;
    Some(Box::pin(sleep_until(started + named)))
}

/// A call's place in the account of its caller, in its lane and in that of all; given back when dropped.
pub(super) struct Pass {
    peer: Arc<Peer>,
    lane: Option<Lane>,
}

impl Pass {
    fn take(peer: &Arc<Peer>, lane: Option<Lane>, now: Instant) -> Result<Self, Fault> {
        let shard = &peer.shard;
        match shard.admission().enter(&peer.tenant, lane, shard.options(), shard.ns_at(now)) {
            Ok(()) => Ok(Self { peer: Arc::clone(peer), lane }),
            Err(refusal) => Err(refusal.fault()),
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.peer.shard.admission().leave(&self.peer.tenant, self.lane);
    }
}

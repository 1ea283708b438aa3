//! Each call goes to the service that its path names; a path of no service is answered UNIMPLEMENTED, and a
//! message that no service could read is refused by reason, as everything else is.

use std::{
    collections::HashMap,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper::body::{Frame, SizeHint};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Code, Status, body::Body, server::NamedService};
use tower::{Service, ServiceExt as _, util::BoxCloneSyncService};

use crate::{
    domain::{
        identity::{Identity, Role},
        lane::Lane,
    },
    net::{PeerIdentity, headers},
    pool::gate::{Entered, Gate, is_for_a_caller},
    runtime::clock::Clock,
    store,
    telemetry::names,
    wire::fault::{Fault, Reason},
};

use super::lanes::{self, Lanes, Place};

type Boxed = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Infallible>;

/// gRPC services by the first segment of their paths.
#[derive(Clone)]
pub struct Services {
    services: Arc<HashMap<&'static str, Boxed>>,
    message_bytes_max: usize,
    gate: Option<(Arc<Gate>, Clock)>,
    lanes: Option<Arc<Lanes>>,
}

impl Services {
    /// Returns no services yet; messages may be as long as this.
    #[must_use]
    pub fn new(message_bytes_max: usize) -> Self {
        Self { services: Arc::default(), message_bytes_max, gate: None, lanes: None }
    }

    /// Adds a service under its own name.
    #[must_use]
    pub fn with<S>(self, service: S) -> Self
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
        S: NamedService + Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        let mut services = (*self.services).clone();
        services.insert(S::NAME, BoxCloneSyncService::new(service));
        Self { services: Arc::new(services), ..self }
    }
}

impl Services {
    /// Takes relays' calls only as this gate lets them in.
    #[must_use]
    pub fn behind(self, gate: Arc<Gate>, clock: Clock) -> Self {
        Self { gate: Some((gate, clock)), ..self }
    }

    /// Works on no more calls at once than there are places for in these lanes.
    #[must_use]
    pub(crate) fn in_lanes(self, lanes: Arc<Lanes>) -> Self {
        Self { lanes: Some(lanes), ..self }
    }

    /// Asks the gate; a peer that is no relay needs no leave.
    fn pass(&self, request: &http::Request<Body>) -> Result<Option<Entered>, Fault> {
        let Some((gate, clock)) = &self.gate else { return Ok(None) };
        match request.extensions().get::<PeerIdentity>() {
            Some(PeerIdentity(peer)) if peer.role() == Role::Relay => {
                let mut leases = request.headers().get_all(headers::LEASE).iter();
                let lease = leases.next().and_then(|value| value.to_str().ok());
                let generation = lease.and_then(|lease| lease.parse().ok());
                if leases.next().is_some() {
                    let words = format!("{peer} sent '{}' twice: one names its lease", headers::LEASE);
                    return Err(Fault::new(Reason::IdentityForged, words));
                }
                if !request.headers().contains_key(headers::CALLER) {
                    is_for_a_caller(peer, request.uri().path())?;
                }
                gate.enter(peer, generation, request.uri().path(), clock.now_ms()).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// The last word on a stream that has begun: counted, as a refusal before that is.
pub(crate) fn ended_by(fault: Fault) -> Status {
    count(fault.reason.as_str());
    fault.into()
}

fn count(reason: &'static str) {
    metrics::counter!(names::REFUSALS, names::REASON => reason).increment(1);
}

// The library refuses what it cannot read in words of its own, before a service sees it.
fn with_reason(response: http::Response<Body>, message_bytes_max: usize) -> http::Response<Body> {
    let Some(status) = Status::from_header_map(response.headers()).filter(|status| status.code() != Code::Ok)
    else {
        return response;
    };
    let bare = status.details().is_empty();
    let fault = match status.code() {
        Code::OutOfRange if bare => {
            let words = format!("the message is longer than {message_bytes_max} bytes: send less at once");
            Fault::new(Reason::LimitExceeded, words)
        }
        Code::Internal if bare => {
            let words = "the message cannot be decoded: send what the .proto file has";
            Fault::new(Reason::FieldInvalid, words).violation("message", "must be of the type of the call")
        }
        _ => {
            count(Fault::from_status(&status).map_or("NONE", |fault| fault.reason.as_str()));
            return response;
        }
    };
    ended_by(fault).into_http()
}

/// What a call holds as long as it lasts.
struct Held {
    /// Its place in the share of the relay that it came over.
    entered: Option<Entered>,
    /// Its place in its lane.
    place: Option<Place>,
}

impl Held {
    /// Waits for a place in the lane of the call, if it needs one and has none.
    ///
    /// # Errors
    /// As for [`Lanes::take`], and `RELAY_FENCED` if the lease that let the call in ends meanwhile.
    async fn place(
        &mut self,
        lanes: Option<Arc<Lanes>>,
        wanted: Option<(Identity, Lane)>,
    ) -> Result<(), Fault> {
        if let (Some(lanes), Some((caller, lane))) = (lanes, wanted) {
            self.place = tokio::select! {
                biased;
                () = self.ended() => {
                    let words = "the lease of the relay that this call came over was over before there was a \
                                 place for it: ask again over another relay";
                    return Err(Fault::new(Reason::RelayFenced, words));
                }
                place = lanes.take(caller, lane) => Some(place?),
            };
        }
        Ok(())
    }

    /// Waits until the lease that let the call in is over, which one that needed none never is.
    async fn ended(&self) {
        match self.entered.as_ref().and_then(Entered::ended) {
            Some(ended) => ended.await,
            None => std::future::pending().await,
        }
    }

    /// Keeps the places until the answer is read to its end, or nobody reads it any more.
    fn until_read(self, answer: Body) -> Body {
        match (&self.entered, &self.place) {
            (None, None) => answer,
            _ => Body::new(Answer { answer, held: self, ended: None }),
        }
    }
}

/// An answer that keeps its call's places until it is read to its end, or nobody reads it any more, or the
/// lease that let the call in is over: a stream is one call as long as it lasts.
struct Answer {
    answer: Body,
    held: Held,
    /// Made once the answer is waited for.
    ended: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Answer {
    /// Whether the lease is over.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.ended.is_none() {
            self.ended = self.held.entered.as_ref().and_then(Entered::ended).map(Box::pin);
        }
        self.ended.as_mut().map_or(Poll::Pending, |ended| ended.as_mut().poll(cx))
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        // One that is never waited for a second time is asked first, too.
        let is_over = this.ended.is_some() && this.poll_ended(cx).is_ready();
        if !is_over {
            if let Poll::Ready(frame) = Pin::new(&mut this.answer).poll_frame(cx) {
                return Poll::Ready(frame);
            }
            ready!(this.poll_ended(cx));
        }
        // What worked on the answer stops with it.
        this.answer = Body::empty();
        this.ended = None;
        let words = "the lease of the relay that this stream came over is over: go on over another relay";
        let mut trailers = http::HeaderMap::new();
        let added = ended_by(Fault::new(Reason::RelayFenced, words)).add_header(&mut trailers);
        Poll::Ready(Some(added.map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.answer.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.answer.size_hint()
    }
}

/// What is said of a call that was worked on when its relay's lease was over.
fn cut() -> Fault {
    let words = "the lease of the relay that this call came over is over: ask again over another relay";
    Fault::new(Reason::OutcomeUnknown, words)
}

impl Service<http::Request<Body>> for Services {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let name = request.uri().path().split('/').nth(1).unwrap_or_default();
        match self.services.get(name).cloned() {
            Some(service) => {
                let mut held = match self.pass(&request) {
                    Ok(entered) => Held { entered, place: None },
                    Err(fault) => return Box::pin(async { Ok(ended_by(fault).into_http()) }),
                };
                let (lanes, wanted) = (self.lanes.clone(), lanes::wanted(&request));
                let (ours, max) = (name.starts_with("todoke."), self.message_bytes_max);
                Box::pin(async move {
                    if let Err(fault) = held.place(lanes, wanted).await {
                        return Ok(ended_by(fault).into_http());
                    }
                    let working = service.oneshot(request);
                    let working = async {
                        match held.place.as_ref().is_some_and(Place::is_of_counter) {
                            true => store::before_others(working).await,
                            false => working.await,
                        }
                    };
                    let response = tokio::select! {
                        biased;
                        response = working => response?,
                        () = held.ended() => return Ok(ended_by(cut()).into_http()),
                    };
                    let response = if ours { with_reason(response, max) } else { response };
                    Ok(response.map(|answer| held.until_read(answer)))
                })
            }
            None => {
                let words = match name {
                    "todoke.v1.PoolService" => {
                        "this issuer keeps no pool (pool.enabled = false): ask another"
                    }
                    _ => "no such service",
                };
                Box::pin(async move { Ok(Status::unimplemented(words).into_http()) })
            }
        }
    }
}

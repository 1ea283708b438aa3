//! One connection from its handshake to its end: every call on it carries who the peer is, and it ends by
//! itself when it is old, when its peer is no longer trusted, and when the server stops.

use std::{
    convert::Infallible,
    hash::{BuildHasher as _, RandomState},
    io,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::{Either, Ready, ready};
use hyper::{body::Incoming, server::conn::http2};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use metrics::counter;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body};
use tower_service::Service;

use super::{
    limits::ServerLimits,
    places::{Place, Places},
    refused,
};
use crate::{
    domain::identity::{Identity, Role},
    net::{
        PeerIdentity, headers,
        late_frames::LateFrames,
        tcp::TcpStream,
        tls::{Guest, Hello, ServerTls, refusal},
    },
    telemetry::names,
};

/// What all connections of a server share.
pub(super) struct Door {
    pub(super) tls: ServerTls,
    pub(super) limits: ServerLimits,
    pub(super) token: CancellationToken,
    pub(super) handshakes: Semaphore,
    pub(super) places: Places,
}

/// Serves one connection to its end.
pub(super) async fn serve<S>(door: Arc<Door>, socket: TcpStream, routes: S)
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
{
    // Whatever reload comes after this is one that the handshake may not have seen.
    let mut generation = door.tls.generation();
    let guest = tokio::select! {
        guest = let_in(&door, socket) => guest,
        () = door.token.cancelled() => return, // nobody waits for an answer yet
    };
    let Some((Guest { stream, chain, identity }, _place)) = guest else { return };
    let peer = PeerIdentity(identity);
    let service = TowerToHyperService::new(Identified::new(routes, &peer, &door.limits));
    let (stream, asked_to_go) = LateFrames::new(stream);
    let mut connection =
        std::pin::pin!(protocol(&door.limits, &peer.0).serve_connection(TokioIo::new(stream), service));
    let mut end = age(door.limits.age_max);
    let mut leaving: Option<&'static str> = None;
    let cause = loop {
        tokio::select! {
            ended = connection.as_mut() => break match ended {
                Ok(()) => leaving.unwrap_or("peer"),
                Err(error) => {
                    tracing::debug!(peer = %peer.0, %error, "a connection of {} broke", peer.0);
                    "broken"
                }
            },
            () = door.token.cancelled(), if leaving != Some("drain") => {
                asked_to_go.begin();
                connection.as_mut().graceful_shutdown();
                let drained = Instant::now() + door.limits.drain;
                end = if leaving.is_some() { end.min(drained) } else { drained };
                leaving = Some("drain");
            }
            () = sleep_until(end) => {
                if leaving.is_some() {
                    break "cut";
                }
                asked_to_go.begin();
                connection.as_mut().graceful_shutdown();
                end = Instant::now() + door.limits.age_grace;
                leaving = Some("age");
            }
            Ok(()) = generation.changed() => {
                if !door.tls.still_trusts(&chain) {
                    break "untrusted";
                }
            }
        }
    };
    if cause == "untrusted" || cause == "cut" {
        tracing::warn!(peer = %peer.0, cause, "the connection of {} was closed: {cause}", peer.0);
    }
    counter!(names::CONNECTIONS_CLOSED, names::CAUSE => cause).increment(1);
}

/// Does the handshake and finds out who it is; whoever is refused is counted.
async fn let_in(door: &Door, socket: TcpStream) -> Option<(Guest, Place)> {
    let _ = socket.set_nodelay(true); // an option of the socket; if it cannot be set it is only slower
    let shaking = async {
        // Whoever says nothing, or half a hello, has no turn to hold up others with.
        let hello = Hello::read(socket).await?;
        let _turn = door.handshakes.acquire().await.expect("the semaphore is never closed");
        io::Result::Ok(hello.answer(&door.tls).await)
    };
    let failed = |error: &io::Error| {
        tracing::debug!(%error, "a handshake failed");
        refused(refusal(error))
    };
    let guest = match timeout(door.limits.handshake, shaking).await {
        Ok(Ok(Ok(guest))) => guest,
        Ok(Ok(Err(client))) => {
            failed(&client.error);
            client.part().await;
            return None;
        }
        Ok(Err(error)) => return failed(&error),
        Err(_) => return refused("timed_out"),
    };
    let identity = &guest.identity;
    let Some(place) = door.places.take(identity, door.limits.connections_per_identity_max) else {
        tracing::warn!(peer = %identity, "{identity} has too many connections: one more was refused");
        return refused(super::OWN_PLACES);
    };
    Some((guest, place))
}

fn protocol(limits: &ServerLimits, peer: &Identity) -> http2::Builder<TokioExecutor> {
    // A relay breaks nothing itself, but it passes on what its callers still send for calls that are over,
    // and on its connection are the calls of others.
    let error_resets_max = (peer.role() != Role::Relay).then_some(limits.error_resets_max);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_max)
        .initial_stream_window_size(limits.stream_window_bytes)
        .initial_connection_window_size(limits.connection_window_bytes)
        .max_send_buf_size(limits.send_buffer_bytes_max)
        .max_header_list_size(limits.header_list_bytes_max.saturating_mul(headers::READ_TIMES))
        .max_pending_accept_reset_streams(limits.pending_resets_max)
        .max_local_error_reset_streams(error_resets_max)
        .keep_alive_interval(limits.keep_alive_every)
        .keep_alive_timeout(limits.keep_alive_answer);
    builder
}

/// When a connection that begins now is old: up to a tenth later than `max`, different for each.
fn age(max: Duration) -> Instant {
    let now = Instant::now();
    let share = u32::try_from(RandomState::new().hash_one(now) % 1_000).expect("below 1,000");
    now + max + max / 10_000 * share
}

/// Says in each request who the peer is, and refuses one whose headers are too long.
#[derive(Clone)]
struct Identified<S> {
    routes: S,
    peer: PeerIdentity,
    header_list_bytes_max: u32,
}

impl<S> Identified<S> {
    fn new(routes: S, peer: &PeerIdentity, limits: &ServerLimits) -> Self {
        Self { routes, peer: peer.clone(), header_list_bytes_max: limits.header_list_bytes_max }
    }
}

impl<S> Service<http::Request<Incoming>> for Identified<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Either<Ready<Result<Self::Response, Infallible>>, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.routes.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Incoming>) -> Self::Future {
        if let Err(fault) = headers::fit(request.uri(), request.headers(), self.header_list_bytes_max) {
            counter!(names::REFUSALS, names::REASON => fault.reason.as_str()).increment(1);
            return Either::Left(ready(Ok(Status::from(fault).into_http())));
        }
        request.extensions_mut().insert(self.peer.clone());
        Either::Right(self.routes.call(request.map(Body::new)))
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;

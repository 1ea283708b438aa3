//! A gRPC server behind mutual TLS that no peer can use up: it takes as many connections as it bears, tells
//! each call who is calling, and when it stops lets calls in flight finish, within a limit.

mod connection;
mod limits;
mod places;

use std::{convert::Infallible, sync::Arc, time::Duration};

use metrics::counter;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower_service::Service;

use self::{connection::Door, places::Places};
use super::{
    listen::Listening,
    tcp::{TcpListener, TcpStream},
    tls::{REFUSALS, ServerTls},
};
use crate::telemetry::names;

pub use limits::ServerLimits;

/// How much later than its connections the server itself gives up.
const DRAIN_MARGIN: Duration = Duration::from_millis(500);

/// Why a server ended although nobody stopped it.
#[derive(Debug, thiserror::Error)]
#[error("{connections} connections did not end in time and were cut off")]
pub struct CutOff {
    /// How many.
    pub connections: usize,
}

/// Serves `routes` on `listener` until `token` is cancelled, then finishes: the listener is closed at once,
/// each peer gets a GOAWAY, and calls in flight have `limits.drain` before they are cut off.
///
/// Every request carries a [`super::PeerIdentity`]. Dropping the future cuts all connections.
///
/// # Errors
/// [`CutOff`] if connections were left when all had had their time.
pub async fn serve_tonic<S>(
    listener: TcpListener,
    tls: ServerTls,
    routes: S,
    limits: ServerLimits,
    token: CancellationToken,
) -> Result<(), CutOff>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
{
    begin_at_zero();
    let drain = limits.drain;
    let connections_max = Arc::new(Semaphore::new(limits.connections_max));
    let handshakes = Semaphore::new(limits.handshakes_max);
    let door = Arc::new(Door { tls, limits, token: token.clone(), handshakes, places: Places::default() });
    let mut connections = JoinSet::new();
    let mut listener = Listening::new(listener);
    loop {
        tokio::select! {
            biased;
            () = token.cancelled() => break,
            Some(ended) = connections.join_next() => log_panic(&ended),
            socket = listener.next() => {
                let Ok(place) = Arc::clone(&connections_max).try_acquire_owned() else {
                    refused::<()>(ALL_PLACES);
                    continue;
                };
                connections.spawn(one(Arc::clone(&door), socket, routes.clone(), place));
            }
        }
    }
    drop(listener);
    finish(connections, drain).await
}

async fn one<S>(door: Arc<Door>, socket: TcpStream, routes: S, place: tokio::sync::OwnedSemaphorePermit)
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let _place = place;
    connection::serve(door, socket, routes).await;
}

/// Waits for all connections, which end by themselves when their time is over.
async fn finish(mut connections: JoinSet<()>, drain: Duration) -> Result<(), CutOff> {
    let until = Instant::now() + drain + DRAIN_MARGIN;
    while let Ok(Some(ended)) = timeout_at(until, connections.join_next()).await {
        log_panic(&ended);
    }
    match connections.len() {
        0 => Ok(()),
        connections => Err(CutOff { connections }),
    }
}

fn log_panic(ended: &Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "the task of a connection died");
    }
}

/// What a connection is refused for beside its handshake.
const PLACES: [&str; 2] = [ALL_PLACES, OWN_PLACES];
/// All connections together have all places.
const ALL_PLACES: &str = "connections_max";
/// One identity has all of its own.
const OWN_PLACES: &str = "identity_connections_max";

/// Puts the counter of each cause to 0, so that whoever alarms on a rise sees the first.
fn begin_at_zero() {
    for cause in REFUSALS.into_iter().chain(PLACES) {
        counter!(names::CONNECTIONS_REFUSED, names::CAUSE => cause).increment(0);
    }
}

/// Counts a connection that was refused.
fn refused<T>(cause: &'static str) -> Option<T> {
    counter!(names::CONNECTIONS_REFUSED, names::CAUSE => cause).increment(1);
    None
}

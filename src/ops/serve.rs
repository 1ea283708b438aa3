//! The ops port answers within its limits until told to stop, then finishes what it began.

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{Limits, State, pages::router};

/// How often recorded samples are moved into their buckets when nobody asks for the metrics.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// How long nothing is accepted after the system refused, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the ops port ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The listener is of no use.
    #[error("the ops listener is unusable: {0}. Start again with another --ops-listen address")]
    Listener(#[from] io::Error),
}

/// Serves the pages on `listener` within these limits, until `stop` is cancelled.
///
/// # Errors
/// [`Error`].
pub async fn serve(
    listener: TcpListener,
    state: State,
    limits: Limits,
    stop: CancellationToken,
) -> Result<(), Error> {
    listener.local_addr()?;
    let metrics = state.metrics.clone();
    let router = router(state, stop.clone());
    let free = Arc::new(Semaphore::new(limits.connections_max.max(1)));
    let mut connections = JoinSet::new();
    let mut upkeep = tokio::time::interval(UPKEEP_EVERY);
    loop {
        let accepted = async {
            let place = Arc::clone(&free).acquire_owned().await.expect("the semaphore is never closed");
            (place, listener.accept().await)
        };
        tokio::select! {
            () = stop.cancelled() => break,
            _ = upkeep.tick() => metrics.upkeep(),
            Some(_) = connections.join_next() => {}
            (place, accepted) = accepted => match accepted {
                Ok((socket, _)) => {
                    let connection = connection(socket, router.clone(), limits, stop.clone());
                    connections.spawn(async move {
                        let _place = place;
                        connection.await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the ops port cannot accept: trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain, ended).await.is_err() {
        tracing::warn!("the ops port cut off {} connections", connections.len());
    }
    Ok(())
}

/// Serves one connection to its end. What goes wrong on it is its client's affair and not worth a line.
async fn connection(socket: TcpStream, router: Router, limits: Limits, stop: CancellationToken) {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_bytes_max);
    let service = TowerToHyperService::new(router);
    let served = builder.serve_connection(TokioIo::new(socket), service);
    tokio::pin!(served);
    tokio::select! {
        _ = served.as_mut() => return,
        () = stop.cancelled() => {}
        () = tokio::time::sleep(limits.connection_age_max) => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(limits.drain, served).await;
}

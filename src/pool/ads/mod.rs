//! Stock gRPC clients learn the pool by xDS: each is sent the relays that it is to use, at once and after
//! each change, and never an empty set.
//!
//! State of the world only, over one stream (ADS, xDS v3). Source: the xDS protocol as gRPC implements it
//! (gRFC A27, A28), and what grpcio and grpc-js were seen to need.

mod plain;
mod resources;
mod share;
mod subscription;

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
    aggregated_discovery_service_server::{AggregatedDiscoveryService, AggregatedDiscoveryServiceServer},
};
use futures_util::Stream;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status, Streaming};

use self::{
    resources::{Kind, Resources},
    subscription::{Asked, Subscriptions},
};
use super::{
    limits::{Counts, one_of},
    notes::View,
};
use crate::{net::PeerIdentity, telemetry::names};

pub use plain::serve_plain;
pub use share::is_among;

/// Answers that wait for a client that does not read.
const ANSWERS_MAX: usize = 16;

/// Streams of one caller, whose processes may be many; of all callers, see `ads_streams_max`.
const STREAMS_OF_ONE: u32 = 64;

/// The longest name of a client that is kept.
const NODE_BYTES_MAX: usize = 256;

/// Serves the pool's view by xDS.
#[derive(Clone)]
pub struct Ads {
    views: watch::Receiver<Option<Arc<View>>>,
    fixed: Arc<Resources>,
    name: Arc<str>,
    places: Arc<Semaphore>,
    of_callers: Counts,
    streams: Arc<AtomicU64>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Ads {
    /// `name` is this process's own, `server_name` the one in the relays' certificates; at most `streams_max`
    /// clients are served at once, until `stop`.
    #[must_use]
    pub fn new(
        views: watch::Receiver<Option<Arc<View>>>,
        name: &str,
        server_name: &str,
        streams_max: usize,
        stop: CancellationToken,
    ) -> Self {
        Self {
            views,
            fixed: Arc::new(resources::fixed(server_name)),
            name: name.into(),
            places: Arc::new(Semaphore::new(streams_max.max(1))),
            of_callers: Counts::default(),
            streams: Arc::default(),
            tasks: TaskTracker::new(),
            stop,
        }
    }

    /// The service itself.
    #[must_use]
    pub fn into_service(self) -> AggregatedDiscoveryServiceServer<Self> {
        AggregatedDiscoveryServiceServer::new(self).max_decoding_message_size(64 * 1024)
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for Ads {
    type StreamAggregatedResourcesStream = Answers<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Answers<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        let caller = request.extensions().get::<PeerIdentity>().map(|PeerIdentity(caller)| caller);
        let own = caller.map(|caller| {
            one_of(&self.of_callers, caller, STREAMS_OF_ONE).ok_or_else(|| {
                let words = format!("{caller} has {STREAMS_OF_ONE} xDS streams here: end one of them");
                Status::resource_exhausted(words)
            })
        });
        let own = own.transpose()?;
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return Err(Status::resource_exhausted("all places of this xDS server are taken: try another"));
        };
        let (answers, outlet) = mpsc::channel(ANSWERS_MAX);
        let stream = format!("{}.{}", self.name, self.streams.fetch_add(1, Relaxed));
        let client = Client {
            views: self.views.clone(),
            resources: (*self.fixed).clone(),
            subscriptions: Subscriptions::new(stream),
            node: None,
            answers,
        };
        let (requests, stop) = (request.into_inner(), self.stop.clone());
        self.tasks.spawn(async move {
            let _places = (place, own);
            let end = stop.run_until_cancelled(client.serve(requests)).await;
            tracing::debug!("an xDS stream ended: {end:?}");
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outlet))))
    }

    async fn delta_aggregated_resources(
        &self,
        _: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("only the state of the world is served: leave out the delta form"))
    }
}

/// One client's stream.
struct Client {
    views: watch::Receiver<Option<Arc<View>>>,
    resources: Resources,
    subscriptions: Subscriptions,
    /// Its name, which comes with the first request only.
    node: Option<String>,
    answers: mpsc::Sender<Result<DiscoveryResponse, Status>>,
}

/// Why a stream ended.
#[derive(Debug)]
enum End {
    ClientGone,
    TooMuch,
}

impl Client {
    async fn serve(mut self, mut requests: Streaming<DiscoveryRequest>) -> End {
        // Of what is already there a first request is answered, so the change is one to come.
        self.views.borrow_and_update();
        self.look();
        loop {
            let answers = self.answers.clone();
            tokio::select! {
                request = requests.message() => match request {
                    Ok(Some(request)) => {
                        if let Some(end) = self.take(request).await {
                            return end;
                        }
                    }
                    Ok(None) | Err(_) => return End::ClientGone,
                },
                changed = self.views.changed() => {
                    if changed.is_err() {
                        return End::ClientGone;
                    }
                    self.look();
                    if self.send(Kind::Endpoints).await.is_err() {
                        return End::ClientGone;
                    }
                }
                () = answers.closed() => return End::ClientGone,
            }
        }
    }

    /// Makes the endpoints anew of the last view; a set that would be empty changes nothing.
    fn look(&mut self) {
        let Some(view) = self.views.borrow_and_update().clone() else { return };
        let addresses = share::of(&view, self.node.as_deref().unwrap_or_default());
        if !addresses.is_empty() {
            self.resources.insert(Kind::Endpoints, resources::endpoints(&addresses));
        }
    }

    async fn take(&mut self, request: DiscoveryRequest) -> Option<End> {
        if self.node.is_none()
            && let Some(node) = &request.node
        {
            self.node = Some(node.id.chars().take(NODE_BYTES_MAX).collect());
            self.look();
        }
        match self.subscriptions.ask(request) {
            Asked::Answer(kind) => self.send(kind).await.err(),
            Asked::Refused(kind, why) => {
                metrics::counter!(names::ADS_REFUSED).increment(1);
                let node = self.node.as_deref().unwrap_or("a client without a name");
                let why: String = why.chars().take(500).collect();
                tracing::error!(%node, ?kind, "{node} refuses what it was sent of {kind:?}, and goes on with \
                    what it had: {why}");
                None
            }
            Asked::TooMany => {
                let words =
                    format!("more than {} names: ask for '{}'", subscription::NAMES_MAX, resources::LISTENER);
                let _ = self.answers.send(Err(Status::invalid_argument(words))).await;
                Some(End::TooMuch)
            }
            Asked::Taken(_) | Asked::Stale(_) | Asked::Unknown => None,
        }
    }

    async fn send(&mut self, kind: Kind) -> Result<(), End> {
        match self.subscriptions.answer(kind, &self.resources) {
            Some(answer) => self.answers.send(Ok(answer)).await.map_err(|_| End::ClientGone),
            None => Ok(()),
        }
    }
}

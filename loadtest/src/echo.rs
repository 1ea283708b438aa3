//! A backend that costs next to nothing: it reads each request and answers it with one fixed reply, or with
//! SERVING if it is a health check, so that what stands before it is what is measured.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use todoke::net::{
    serve::{ServerLimits, serve_tonic},
    tls::ServerTls,
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, body::Body, server::UnaryService};

use crate::{failure::Failure, raw::Raw};

/// `HealthCheckResponse { status: SERVING }`, for whoever asks before sending calls.
const SERVING: &[u8] = &[0x08, 0x01];

/// A running backend; it ends when it is dropped.
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Echo {
    /// Serves `reply` on a free port of loopback, over mutual TLS.
    pub(crate) async fn start(tls: ServerTls, reply: Bytes) -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        // HAProxy opens dozens of connections for the first calls, until one of them can be shared.
        let limits = ServerLimits {
            connections_max: 4096,
            connections_per_identity_max: 4096,
            handshakes_max: 4096,
            streams_max: 4096,
            ..ServerLimits::default()
        };
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            // It ends with the process or the set; connections that are cut then are nobody's loss.
            let _ = serve_tonic(listener, tls, Calls { reply }, limits, CancellationToken::new()).await;
        });
        Ok(Self { address, _serving: serving })
    }
}

#[derive(Clone)]
struct Calls {
    reply: Bytes,
}

impl tower_service::Service<http::Request<Body>> for Calls {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let health = request.uri().path() == "/grpc.health.v1.Health/Check";
        let reply = if health { Bytes::from_static(SERVING) } else { self.reply.clone() };
        Box::pin(async move { Ok(tonic::server::Grpc::new(Raw).unary(Answer(reply), request).await) })
    }
}

struct Answer(Bytes);

impl UnaryService<Bytes> for Answer {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        ready(Ok(Response::new(self.0.clone())))
    }
}

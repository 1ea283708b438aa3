//! A backend that costs next to nothing: it reads each request and answers it with one fixed reply, or with
//! SERVING if it is a health check, so that what stands before it is what is measured. What belongs to the
//! pool goes on to the issuer that keeps one.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::uri::PathAndQuery;
use todoke::net::{
    serve::{ServerLimits, serve_tonic},
    tls::ServerTls,
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, body::Body, client::Grpc, server::UnaryService, transport::Channel};

use crate::{failure::Failure, raw::Raw, targets::REPLY_BYTES};

/// `HealthCheckResponse { status: SERVING }`, for whoever asks before sending calls.
pub(crate) const SERVING: &[u8] = &[0x08, 0x01];

/// How the paths of the pool's service begin.
const POOL: &str = "/todoke.v1.PoolService/";

/// A running backend; it ends when it is dropped.
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Echo {
    /// Serves on a free port of loopback, over mutual TLS. The pool is kept by who is at the other end of
    /// `issuer`, for the relay as which that is connected, or by nobody.
    pub(crate) async fn start(tls: ServerTls, issuer: Option<Channel>) -> Result<Self, Failure> {
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
        let calls = Calls { reply: Bytes::from_static(&[b'r'; REPLY_BYTES]), issuer };
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            // It ends with the process or the set; connections that are cut then are nobody's loss.
            let _ = serve_tonic(listener, tls, calls, limits, CancellationToken::new()).await;
        });
        Ok(Self { address, _serving: serving })
    }
}

#[derive(Clone)]
struct Calls {
    reply: Bytes,
    issuer: Option<Channel>,
}

impl tower_service::Service<http::Request<Body>> for Calls {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path().starts_with(POOL) {
            let pool = Pool { issuer: self.issuer.clone(), path: request.uri().path_and_query().cloned() };
            return Box::pin(async move { Ok(tonic::server::Grpc::new(Raw).unary(pool, request).await) });
        }
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

/// What belongs to the pool, asked of who keeps it.
struct Pool {
    issuer: Option<Channel>,
    path: Option<PathAndQuery>,
}

impl UnaryService<Bytes> for Pool {
    type Response = Bytes;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Status>> + Send>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let issuer = self.issuer.clone().zip(self.path.clone());
        Box::pin(async move {
            let (issuer, path) = issuer.ok_or_else(|| Status::unimplemented("no pool is kept here"))?;
            let mut grpc = Grpc::new(issuer);
            grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            grpc.unary(request, path, Raw).await
        })
    }
}

//! An issuer that refuses every stream, which says that it did nothing of it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use todoke::net::tls::ServerTls;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

pub(super) struct Refuser {
    pub(super) address: SocketAddr,
    pub(super) refused: Arc<AtomicUsize>,
    pub(super) connections: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl Refuser {
    pub(super) async fn start(tls: ServerTls) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (refused, connections) = (Arc::default(), Arc::default());
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, tls, Arc::clone(&refused), Arc::clone(&connections)));
        Self { address, refused, connections, _serving: serving }
    }
}

async fn accept(
    listener: TcpListener,
    tls: ServerTls,
    refused: Arc<AtomicUsize>,
    connected: Arc<AtomicUsize>,
) {
    let mut connections = JoinSet::new();
    loop {
        let (tcp, _) = listener.accept().await.expect("it accepts");
        let (acceptor, refused) = (TlsAcceptor::from(tls.config()), Arc::clone(&refused));
        connected.fetch_add(1, SeqCst);
        connections.spawn(async move {
            let io = acceptor.accept(tcp).await.expect("TLS");
            let mut connection = h2::server::handshake(io).await.expect("HTTP/2");
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                refused.fetch_add(1, SeqCst);
                respond.send_reset(h2::Reason::REFUSED_STREAM);
            }
        });
    }
}

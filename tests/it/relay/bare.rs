//! An issuer below gRPC: it refuses every stream, which says that it did nothing of it, or sleeps for a while
//! and looks at nothing.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use todoke::net::tls::ServerTls;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_rustls::TlsAcceptor;

/// Long enough for a ping to be answered.
const PING: Duration = Duration::from_millis(10);

/// What it does with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Refuse,
    /// Refuses when the first of the body is there.
    RefuseLate,
    Hold,
    /// Keeps a connection for as long as it needs to answer a ping.
    Leave,
}

pub(super) struct Bare {
    pub(super) address: SocketAddr,
    pub(super) seen: Arc<Seen>,
    _serving: JoinSet<()>,
}

/// What came, and whether it looks at what comes.
pub(super) struct Seen {
    pub(super) streams: AtomicUsize,
    pub(super) connections: AtomicUsize,
    pub(super) awake: watch::Sender<bool>,
}

impl Bare {
    pub(super) async fn start(tls: ServerTls, way: Way) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let seen = Arc::new(Seen {
            streams: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            awake: watch::Sender::new(true),
        });
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, tls, Arc::clone(&seen), way));
        Self { address, seen, _serving: serving }
    }

    pub(super) fn streams(&self) -> usize {
        self.seen.streams.load(SeqCst)
    }

    pub(super) fn connections(&self) -> usize {
        self.seen.connections.load(SeqCst)
    }
}

async fn accept(listener: TcpListener, tls: ServerTls, seen: Arc<Seen>, way: Way) {
    let mut connections = JoinSet::new();
    loop {
        let (tcp, _) = listener.accept().await.expect("it accepts");
        let (acceptor, seen) = (TlsAcceptor::from(tls.config()), Arc::clone(&seen));
        seen.connections.fetch_add(1, SeqCst);
        connections.spawn(async move {
            let io = acceptor.accept(tcp).await.expect("TLS");
            let mut connection = h2::server::handshake(io).await.expect("HTTP/2");
            let mut awake = seen.awake.subscribe();
            let mut held = Vec::new();
            let mut late = JoinSet::new();
            loop {
                awake.wait_for(|awake| *awake).await.expect("the test goes on");
                let accepted = tokio::select! {
                    biased;
                    _ = awake.wait_for(|awake| !*awake) => continue,
                    accepted = connection.accept() => accepted,
                    () = tokio::time::sleep(PING), if way == Way::Leave => return,
                };
                let Some(Ok((request, mut respond))) = accepted else { return };
                seen.streams.fetch_add(1, SeqCst);
                match way {
                    Way::Refuse => respond.send_reset(h2::Reason::REFUSED_STREAM),
                    Way::RefuseLate => drop(late.spawn(async move {
                        let _ = request.into_body().data().await;
                        respond.send_reset(h2::Reason::REFUSED_STREAM);
                    })),
                    Way::Hold | Way::Leave => held.push((request, respond)),
                }
            }
        });
    }
}

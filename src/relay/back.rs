//! A connection to an issuer is kept up: dialled, proved by a ping, put into use, driven, and replaced
//! when it goes.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use h2::client;
use rustls::pki_types::CertificateDer;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

use crate::net::tcp::TcpStream;

use super::{
    coal::Coal,
    keep_alive::{Beat, KeepAlive},
    shard::Shard,
    stats::Event,
    upstream::{Grave, Link},
};

type Io = Coal<TlsStream<TcpStream>>;

/// Why there is no connection to an issuer.
#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("{0}: is it running, and is the address right?")]
    Tcp(std::io::Error),
    #[error("TLS: {0}: are both certificates of the same CA, and valid?")]
    Tls(std::io::Error),
    #[error("HTTP/2: {0}")]
    Http(h2::Error),
    #[error("no connection within {0:?}")]
    Late(Duration),
    #[error("it closed the connection, or did not answer a ping")]
    Closed,
}

/// Keeps a connection to one issuer up until told to stop.
pub(super) async fn keep(shard: Arc<Shard>, issuer: usize) {
    let (least, most) = shard.options().reconnect;
    let address = shard.options().upstreams[issuer].clone();
    let (mut pause, mut brief, mut was_up) = (least, least, true);
    while !shard.links_stop().is_cancelled() {
        let up = shard.links_stop().run_until_cancelled(connect(&shard, issuer, &address)).await;
        match up {
            None => return,
            Some(Ok(gone)) => {
                let since = Instant::now();
                was_up = true;
                tracing::info!(issuer = %address, "connected to issuer {address}");
                shard.recorder().note("upstream_connected", &address);
                gone.cancelled().await;
                shard.recorder().note("upstream_gone", &address);
                if !shard.links_stop().is_cancelled() {
                    tracing::warn!(issuer = %address, "the connection to issuer {address} is gone");
                }
                if since.elapsed() >= most {
                    (pause, brief) = (least, least);
                    continue;
                }
                // An issuer that lets one go at once, again and again, is dialled as seldom as one that is
                // away.
                pause = brief;
                brief = (brief * 2).min(most);
            }
            Some(Err(error)) => {
                if was_up {
                    shard.recorder().note("upstream_away", &format!("{address}: {error}"));
                    tracing::warn!(issuer = %address, %error,
                        "cannot connect to issuer {address}: {error}; trying on");
                }
                was_up = false;
            }
        }
        let jittered = pause.mul_f64(0.5 + shard.fraction());
        let slept = tokio::time::sleep(jittered);
        if shard.links_stop().run_until_cancelled(slept).await.is_none() {
            return;
        }
        pause = (pause * 2).min(most);
    }
}

/// Connects; the link is in use when this returns the token that says that it is so no more.
async fn connect(shard: &Arc<Shard>, issuer: usize, address: &str) -> Result<CancellationToken, DialError> {
    let limit = shard.options().connect;
    let dialled = timeout(limit, dial(shard, address)).await.map_err(|_| DialError::Late(limit))??;
    let (up, ready) = tokio::sync::oneshot::channel();
    let back = Back::new(shard, issuer, dialled, up);
    shard.drive(back);
    ready.await.map_err(|_| DialError::Closed)
}

/// A connection to an issuer that is not proved yet.
struct Dialled {
    ask: client::SendRequest<Bytes>,
    connection: client::Connection<Io, Bytes>,
    io: Io,
    trust: Trust,
}

/// Why the issuer was believed, to be asked again after each reload of CA and CRL.
struct Trust {
    chain: Vec<CertificateDer<'static>>,
    generation: watch::Receiver<u64>,
}

async fn dial(shard: &Shard, address: &str) -> Result<Dialled, DialError> {
    let options = shard.options();
    let tcp = TcpStream::connect(address).await.map_err(DialError::Tcp)?;
    tcp.set_nodelay(true).map_err(DialError::Tcp)?;
    let tls = shard.upstream_tls();
    let generation = tls.generation();
    let connector = TlsConnector::from(tls.config());
    let io = connector.connect(tls.server_name(), tcp).await.map_err(DialError::Tls)?;
    let chain = io.get_ref().1.peer_certificates().unwrap_or_default();
    let chain = chain.iter().map(|cert| cert.clone().into_owned()).collect();
    let trust = Trust { chain, generation };
    let io = Coal::new(io);
    let (ask, connection) = client::Builder::new()
        .initial_window_size(options.answer_window)
        .initial_connection_window_size(options.upstream_window())
        .max_header_list_size(64 * 1024)
        .max_send_buffer_size(SEND_BUFFER)
        .enable_push(false)
        // What an issuer still sends on streams that were reset must never cost the others their
        // connection.
        .max_local_error_reset_streams(None)
        .max_concurrent_reset_streams(1_024)
        .handshake(io.clone())
        .await
        .map_err(DialError::Http)?;
    Ok(Dialled { ask, connection, io, trust })
}

/// Streams reset for one answered ping. An issuer that answers a ping has read the calls before it, and may
/// still be looking at them one by one; HTTP/2 servers in Rust close a connection on which more than 20
/// streams were reset before they were looked at.
const RESETS_TOGETHER: usize = 4;

/// Bytes of one stream that wait in the relay to be written.
pub(super) const SEND_BUFFER: usize = 64 * 1024;

/// Drives one connection to an issuer. Only this task writes it.
pub(super) struct Back {
    shard: Arc<Shard>,
    connection: client::Connection<Io, Bytes>,
    io: Io,
    keep_alive: KeepAlive,
    stage: Stage,
    /// Waits for the ping that is under way.
    graves: Vec<Grave>,
    issuer: usize,
    trust: Trust,
}

enum Stage {
    /// The first ping is not answered yet.
    Proving {
        ask: client::SendRequest<Bytes>,
        up: tokio::sync::oneshot::Sender<CancellationToken>,
    },
    InUse(Arc<Link>),
    /// Calls in flight go on, new ones go elsewhere.
    Leaving(Arc<Link>),
    Closing,
}

impl Stage {
    fn is_severed(&self) -> bool {
        matches!(self, Stage::InUse(link) | Stage::Leaving(link) if link.is_severed())
    }

    /// Takes the link out of its proof; `None` at any other stage.
    fn proved(
        &mut self,
    ) -> Option<(client::SendRequest<Bytes>, tokio::sync::oneshot::Sender<CancellationToken>)> {
        match std::mem::replace(self, Stage::Closing) {
            Stage::Proving { ask, up } => Some((ask, up)),
            other => {
                *self = other;
                None
            }
        }
    }
}

impl Back {
    fn new(
        shard: &Arc<Shard>,
        issuer: usize,
        dialled: Dialled,
        up: tokio::sync::oneshot::Sender<CancellationToken>,
    ) -> Self {
        let Dialled { ask, mut connection, io, trust } = dialled;
        let options = shard.options();
        let ping = connection.ping_pong().expect("nobody took it before");
        let keep_alive = KeepAlive::new(ping, options.upstream_alive_every, options.upstream_alive_answer);
        let mut keep_alive = keep_alive.answered_soon(options.upstream_alive_soon);
        keep_alive.ask();
        let (shard, stage) = (Arc::clone(shard), Stage::Proving { ask, up });
        Self { shard, connection, io, keep_alive, stage, graves: Vec::new(), issuer, trust }
    }

    /// Whether the issuer's certificate is still good, by what was reloaded since it was dialled.
    fn is_trusted(&mut self) -> bool {
        let Trust { chain, generation } = &mut self.trust;
        if !generation.has_changed().unwrap_or(false) {
            return true;
        }
        generation.mark_unchanged();
        let trusted = self.shard.upstream_tls().still_trusts(chain);
        if !trusted {
            self.shard.stats().event(Event::PeerRevoked);
            let issuer = &self.shard.options().upstreams[self.issuer];
            tracing::warn!(%issuer, "the certificate of issuer {issuer} is good no more: it is left");
        }
        trusted
    }

    /// The ping is answered: the oldest of what was buried before it may be reset, and a new link is used.
    fn pong(&mut self) {
        let oldest = self.graves.len().min(RESETS_TOGETHER);
        self.graves.drain(..oldest);
        let Some((ask, up)) = self.stage.proved() else { return };
        let upstreams = self.shard.upstreams();
        let link = upstreams.link(self.issuer, ask, self.shard.options().upstream_calls_max);
        if up.send(link.gone()).is_ok() {
            upstreams.join(&link);
            self.shard.links_changed();
            self.stage = Stage::InUse(link);
        }
    }

    /// Follows the link from use to its end.
    fn advance(&mut self, cx: &Context<'_>) {
        if let Stage::InUse(link) = &self.stage {
            link.driven_by(cx.waker());
            if self.shard.links_stop().is_cancelled() || link.gone().is_cancelled() || !link.is_open() {
                self.shard.upstreams().leave(link);
                self.shard.links_changed();
                self.stage = Stage::Leaving(Arc::clone(link));
            }
        }
        if let Stage::Leaving(link) = &self.stage {
            link.driven_by(cx.waker());
            // The last handle but ours: without one `h2` closes the connection.
            if Arc::strong_count(link) == 1 && self.graves.is_empty() {
                self.stage = Stage::Closing;
            }
        }
    }

    /// Says of a link that is in use whether its issuer answers.
    fn listen(&self) {
        let Stage::InUse(link) = &self.stage else { return };
        let (silent, shard) = (self.keep_alive.is_silent(self.io.bytes_read()), &self.shard);
        if !link.is_silent_now(silent) {
            return;
        }
        let issuer = &shard.options().upstreams[self.issuer];
        if silent {
            shard.stats().event(Event::UpstreamSilent);
            shard.recorder().note("upstream_silent", issuer);
            tracing::warn!(%issuer, "issuer {issuer} does not answer: new calls go to others, if any does");
        } else {
            shard.recorder().note("upstream_answers", issuer);
            tracing::info!(%issuer, "issuer {issuer} answers again");
        }
    }

    /// Gives back what a link that is in use keeps for the next call.
    fn quiet(&self) {
        self.io.shrink();
        if let Stage::InUse(link) = &self.stage {
            link.let_go();
        }
    }

    /// Asks the issuer for a sign that it has seen the calls which nobody waits for any more.
    fn bury(&mut self) {
        let (Stage::InUse(link) | Stage::Leaving(link)) = &self.stage else { return };
        // A ping that is under way may be older than the HEADERS: wait for the next one.
        if !self.keep_alive.is_asking() {
            self.graves.extend(link.take_graves());
            if !self.graves.is_empty() {
                self.keep_alive.ask();
            }
        }
    }
}

impl Future for Back {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let me = &mut *self;
        if !me.is_trusted() || me.stage.is_severed() {
            return Poll::Ready(());
        }
        me.advance(cx);
        while let Poll::Ready(beat) = me.keep_alive.poll(me.io.bytes_read(), cx) {
            match beat {
                Beat::Pong => me.pong(),
                Beat::Quiet => me.quiet(),
                Beat::Dead => {
                    me.shard.stats().event(Event::PeerDead);
                    return Poll::Ready(());
                }
            }
        }
        let ended = Pin::new(&mut me.connection).poll(cx);
        me.listen(); // not before what is here already was read
        me.advance(cx);
        let flushed = me.io.write_out(cx);
        if ended.is_ready() || matches!(flushed, Poll::Ready(Err(_))) {
            return Poll::Ready(());
        }
        // Only now: the HEADERS of what is buried are written, and the ping comes behind them.
        me.bury();
        Poll::Pending
    }
}

impl Drop for Back {
    fn drop(&mut self) {
        if let Stage::InUse(link) | Stage::Leaving(link) = &self.stage {
            self.shard.upstreams().leave(link);
            self.shard.links_changed();
            drop(link.take_graves());
        }
    }
}

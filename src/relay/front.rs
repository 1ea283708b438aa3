//! A client's connection: mutual TLS, one identity, and an end that loses no call.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::Stream as _;
use h2::server;
use rustls::pki_types::CertificateDer;
use tokio::{
    io::AsyncReadExt as _,
    sync::watch,
    time::{Instant, Sleep, sleep, timeout},
};
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::net::{
    headers,
    late_frames::{LateFrames, Leaving},
    tcp::{Handed, TcpStream},
    tls::{Guest, Hello},
};

use super::{
    back::SEND_BUFFER,
    coal::Coal,
    fence::Standing,
    keep_alive::{Beat, KeepAlive},
    peer::Peer,
    shard::Shard,
    stats::Event,
};

type Io = Coal<LateFrames<TlsStream<TcpStream>>>;

/// How long what a client still sends is read after the end, so that the last answers reach it.
const PARTING: Duration = Duration::from_secs(1);

/// How long a client that comes while the relay stops may take to send its first call. Told to go at
/// once, it would give that call up although it asked for nothing wrong.
const FIRST_CALL: Duration = Duration::from_secs(1);

/// How long a client whose calls are all refused may stay.
const REFUSED_AGE: Duration = Duration::from_secs(5);

/// Serves one connection to its end.
pub(super) async fn serve(shard: Arc<Shard>, tcp: Handed) {
    let stats = shard.stats();
    let limit = shard.options().handshake;
    let met = match timeout(limit, handshake(&shard, tcp)).await {
        Ok(Ok(met)) => met,
        Ok(Err(error)) => {
            stats.event(Event::HandshakeFailed);
            return tracing::debug!(%error, "no connection came about: {error}");
        }
        Err(_) => {
            stats.event(Event::HandshakeFailed);
            return tracing::debug!("no connection came about within {limit:?}");
        }
    };
    tracing::debug!(caller = %met.peer.identity, "{} is connected", met.peer.identity);
    stats.connected();
    let (io, whose, since) = (met.io.clone(), met.peer.whose, Instant::now());
    shard.recorder().connection(whose, None);
    Front::new(met).await;
    shard.recorder().connection(whose, Some(since.elapsed()));
    stats.disconnected();
    let _ = timeout(PARTING, drain(io)).await;
}

/// Why a client got no connection.
#[derive(Debug, thiserror::Error)]
enum HandshakeError {
    #[error("TLS: {0}")]
    Io(#[from] std::io::Error),
    #[error("HTTP/2: {0}")]
    Http(#[from] h2::Error),
}

/// A client after the handshake.
struct Met {
    connection: server::Connection<Io, Bytes>,
    io: Io,
    leaving: Leaving,
    peer: Arc<Peer>,
    chain: Vec<CertificateDer<'static>>,
    generation: watch::Receiver<u64>,
}

async fn handshake(shard: &Arc<Shard>, tcp: Handed) -> Result<Met, HandshakeError> {
    let options = shard.options();
    let tcp = tcp.into_stream()?;
    tcp.set_nodelay(true)?;
    // Whatever reload comes after this is one that the handshake may not have seen.
    let generation = shard.tls().generation();
    let Guest { stream, chain, identity } = match Hello::read(tcp).await?.answer(shard.tls()).await {
        Ok(guest) => guest,
        Err(client) => return Err(client.part().await.into()),
    };
    let (stream, leaving) = LateFrames::new(stream);
    let io = Coal::new(stream);
    let mut shaking = server::Builder::new()
        .initial_window_size(options.stream_window)
        .initial_connection_window_size(options.connection_window)
        .max_concurrent_streams(options.streams_max)
        // What is over the limit is refused by us, with a reason, and counted; only what is far over it is
        // answered by the library, with a bare 431.
        .max_header_list_size(options.header_bytes_max.saturating_mul(headers::READ_TIMES))
        .max_send_buffer_size(SEND_BUFFER)
        // Calls whose deadlines end together are broken off together; who overdoes it is refused by its
        // account.
        .max_pending_accept_reset_streams(1_024)
        // A client whose calls are refused still sends their bodies for a while, and does nothing wrong.
        .max_concurrent_reset_streams(options.streams_max as usize * 4)
        .max_local_error_reset_streams(Some(16_384))
        .handshake(io.clone());
    // The relay speaks first: a client may wait for it, to learn that its certificate was taken.
    let connection = poll_fn(|cx| {
        let shaken = Pin::new(&mut shaking).poll(cx);
        let _ = io.write_out(cx); // what is broken is told by the next poll
        shaken
    })
    .await?;
    let peer = Arc::new(Peer::new(shard, &identity));
    Ok(Met { connection, io, leaving, peer, chain, generation })
}

/// Reads on until the client closes, because closing with unread bytes would tear down what is on its way
/// out.
async fn drain(mut io: Io) {
    let mut scratch = [0; 4096];
    while io.read(&mut scratch).await.is_ok_and(|n| n > 0) {}
}

/// Drives one client's connection. Only this task writes it.
struct Front {
    met: Met,
    keep_alive: KeepAlive,
    age: Pin<Box<Sleep>>,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    leaving: bool,
    /// Whether the relay was to serve since the client came.
    served: bool,
    /// Whether the relay may serve; observers stay whatever it says.
    standing: WatchStream<Standing>,
    /// What the client had taken when it last took something, and until when it must take more.
    stalled: Option<(u64, Pin<Box<Sleep>>)>,
    /// Runs while a client that came after the order to stop has sent nothing yet.
    first_call: Option<Pin<Box<Sleep>>>,
}

impl Front {
    fn new(mut met: Met) -> Self {
        let shard = Arc::clone(&met.peer.shard);
        let options = shard.options();
        let ping = met.connection.ping_pong().expect("nobody took it before");
        let keep_alive = KeepAlive::new(ping, options.keep_alive_every, options.keep_alive_answer);
        // Clients that came together do not leave together.
        let age = options.connection_age.mul_f64(0.9 + 0.2 * shard.fraction());
        // Who is only refused is told why, and holds a place no longer than that needs.
        let age = if met.peer.is_refused() || !shard.fence().serves() && !met.peer.is_observer() {
            age.min(REFUSED_AGE)
        } else {
            age
        };
        let first_call = shard.soft().is_cancelled().then(|| Box::pin(sleep(FIRST_CALL)));
        let stop = Box::pin(shard.soft().cancelled_owned());
        let (age, standing) = (Box::pin(sleep(age)), WatchStream::new(shard.fence().watch()));
        Self {
            met,
            keep_alive,
            age,
            stop,
            leaving: false,
            served: false,
            standing,
            stalled: None,
            first_call,
        }
    }

    /// Whether it is time that the client goes.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let stopping = self.stop.as_mut().poll(cx).is_ready()
            && self.first_call.as_mut().is_none_or(|end| end.as_mut().poll(cx).is_ready());
        while let Poll::Ready(Some(_)) = Pin::new(&mut self.standing).poll_next(cx) {}
        let peer = &self.met.peer;
        // Who comes to a closed fence is told so by an answer, and is sent away when his time is over.
        let fenced = self.served && !peer.shard.fence().serves() && !peer.is_observer();
        self.served |= peer.shard.fence().serves();
        stopping || fenced || self.age.as_mut().poll(cx).is_ready()
    }

    /// Asks the client to go: calls that it has sent are carried to their end.
    fn leave(&mut self) {
        if !std::mem::replace(&mut self.leaving, true) {
            self.met.leaving.begin();
            self.met.connection.graceful_shutdown();
        }
    }

    /// Writes what is held; ready when the connection is at its end: broken, or its client takes nothing for
    /// so long that what is held for it would only grow.
    fn write_out(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let flushed = self.met.io.write_out(cx);
        if let Poll::Ready(written) = flushed {
            self.stalled = None;
            return if written.is_err() { Poll::Ready(()) } else { Poll::Pending };
        }
        let (taken, shard) = (self.met.io.bytes_written(), &self.met.peer.shard);
        let (_, patience) = match &mut self.stalled {
            Some(since) if since.0 == taken => since,
            stalled => stalled.insert((taken, Box::pin(sleep(shard.options().reader_patience)))),
        };
        ready!(patience.as_mut().poll(cx));
        shard.stats().event(Event::Unread);
        Poll::Ready(())
    }

    /// Whether the client's certificate is still good, by what was reloaded since it came.
    fn is_trusted(&mut self) -> bool {
        let Met { generation, peer, chain, .. } = &mut self.met;
        if !generation.has_changed().unwrap_or(false) {
            return true;
        }
        generation.mark_unchanged();
        let trusted = peer.shard.tls().still_trusts(chain);
        if !trusted {
            peer.shard.stats().event(Event::PeerRevoked);
            let caller = &peer.identity;
            tracing::warn!(%caller, "the certificate of {caller} is good no more: it is cut off");
        }
        trusted
    }
}

impl Future for Front {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let me = &mut *self;
        if !me.is_trusted() {
            return Poll::Ready(());
        }
        if !me.leaving && me.is_over(cx) {
            me.leave();
        }
        while let Poll::Ready(beat) = me.keep_alive.poll(me.met.io.bytes_read(), cx) {
            match beat {
                Beat::Pong => {}
                Beat::Quiet => me.met.io.shrink(),
                Beat::Dead => {
                    me.met.peer.shard.stats().event(Event::PeerDead);
                    return Poll::Ready(());
                }
            }
        }
        let ended = loop {
            match me.met.connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    me.met.peer.take(request, respond);
                    if me.first_call.take().is_some() {
                        cx.waker().wake_by_ref(); // to be told to go
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    let caller = &me.met.peer.identity;
                    tracing::debug!(%caller, %error, "the connection of {caller} broke: {error}");
                    break true;
                }
                Poll::Ready(None) => break true,
                Poll::Pending => break false,
            }
        };
        let written = me.write_out(cx);
        if ended { Poll::Ready(()) } else { written }
    }
}

//! A TCP link to a process, which can be cut so that nothing is heard of either end any more, and which tells
//! of each call that goes through it.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// A piece of so many bytes is more than a connection says to be kept alive: it is a call.
const CALL_BYTES_MIN: usize = 100;

/// The link; gone when dropped.
pub(crate) struct Link {
    pub(crate) address: SocketAddr,
    whole: watch::Sender<bool>,
    /// How many pieces of calls have gone through it.
    calls: watch::Sender<u64>,
    _carrying: JoinSet<()>,
}

impl Link {
    /// A link that leads to this address.
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it has one");
        let (whole, calls) = (watch::Sender::new(true), watch::Sender::new(0));
        let mut carrying = JoinSet::new();
        carrying.spawn(carry_all(listener, target, whole.subscribe(), calls.clone()));
        Self { address, whole, calls, _carrying: carrying }
    }

    /// From now on nothing comes through; what is sent waits, as on a network that comes apart.
    pub(crate) fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// All that waited goes on.
    pub(crate) fn mend(&self) {
        self.whole.send_replace(true);
    }

    /// Counts the pieces of calls that go through it.
    pub(crate) fn calls(&self) -> watch::Receiver<u64> {
        self.calls.subscribe()
    }
}

async fn carry_all(
    listener: TcpListener,
    target: SocketAddr,
    whole: watch::Receiver<bool>,
    calls: watch::Sender<u64>,
) {
    let mut pairs = JoinSet::new();
    while let Ok((from, _)) = listener.accept().await {
        while pairs.try_join_next().is_some() {}
        let (whole, calls) = (whole.clone(), calls.clone());
        pairs.spawn(async move {
            let Ok(to) = TcpStream::connect(target).await else { return };
            let ((from_read, from_write), (to_read, to_write)) = (from.into_split(), to.into_split());
            let asked = |bytes: usize| {
                if bytes >= CALL_BYTES_MIN {
                    calls.send_modify(|count| *count += 1);
                }
            };
            tokio::join!(
                carry(from_read, to_write, whole.clone(), asked),
                carry(to_read, from_write, whole, |_| ()),
            );
        });
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut whole: watch::Receiver<bool>,
    seen: impl Fn(usize),
) {
    let mut piece = vec![0; 16 << 10];
    while let Ok(bytes) = from.read(&mut piece).await {
        let is_over = bytes == 0 || whole.wait_for(|whole| *whole).await.is_err();
        if is_over || to.write_all(&piece[..bytes]).await.is_err() {
            return;
        }
        seen(bytes);
    }
}

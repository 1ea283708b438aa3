//! Promise: of an answer that its reader leaves in the socket no more waits here than the limit says, however
//! much the reader lets come.

use std::{
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use hyper::{
    body::{Bytes, Frame},
    service::service_fn,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    task::{JoinSet, yield_now},
};

use super::*;

/// The largest window that HTTP/2 knows.
const WINDOW_MAX: u32 = (1 << 31) - 1;

/// An answer of single bytes that never ends, and counts those that were taken from it.
struct Drops(Arc<AtomicUsize>);

impl hyper::body::Body for Drops {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.fetch_add(1, SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
    }
}

/// A call whose caller lets as much come as HTTP/2 can say, and does not read it.
fn greedy_call() -> Vec<u8> {
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = u8::try_from(payload.len()).expect("small");
        [&[0, 0, length, kind, flags, 0, 0, 0, stream][..], payload].concat()
    };
    let (window, more) = (WINDOW_MAX.to_be_bytes(), (WINDOW_MAX - 65_535).to_be_bytes());
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, &[&[0, 4][..], &window].concat()), // SETTINGS_INITIAL_WINDOW_SIZE
        frame(8, 0, 0, &more),                            // WINDOW_UPDATE of the connection
        // GET, https, "/" and an authority, by the static table of HPACK, in a whole call.
        frame(1, 5, 1, &[&[0x82, 0x87, 0x84, 0x41, 4][..], b"here"].concat()),
    ]
    .concat()
}

/// A call that is being answered.
struct Answering {
    taken: Arc<AtomicUsize>,
    caller: DuplexStream,
    _serving: JoinSet<hyper::Result<()>>,
}

impl Answering {
    async fn begin(send_buffer_bytes_max: usize) -> Self {
        let limits = ServerLimits { send_buffer_bytes_max, ..ServerLimits::default() };
        let (ours, mut caller) = duplex(4_096);
        let taken = Arc::new(AtomicUsize::new(0));
        let drops = Arc::clone(&taken);
        let service = service_fn(move |_| {
            let drops = Drops(Arc::clone(&drops));
            // With a date of now the head would be shorter or longer from one second to the next.
            async { http::Response::builder().header("date", "today").body(drops) }
        });
        let mut serving = JoinSet::new();
        let peer = "municipality/131229".parse().expect("legal");
        serving.spawn(protocol(&limits, &peer).serve_connection(TokioIo::new(ours), service));
        caller.write_all(&greedy_call()).await.expect("there is room");
        Self { taken, caller, _serving: serving }
    }

    /// How many bytes were taken when nothing moves any more.
    async fn settled(&self) -> usize {
        let mut before = 0;
        loop {
            for _ in 0..1_000 {
                yield_now().await;
            }
            let now = self.taken.load(SeqCst);
            if now == before && now > 0 {
                return now;
            }
            before = now;
        }
    }
}

#[tokio::test]
async fn so_many_bytes_of_an_unread_answer_wait_as_the_limit_says_and_the_next_one_is_not_taken() {
    let none = Answering::begin(0).await;
    assert_eq!(none.settled().await, 1, "the next one is looked at, and goes no further");
    let mut beside = Vec::new();
    for limit in [5_000, 5_001, 50_000] {
        let mut answering = Answering::begin(limit).await;
        let taken = answering.settled().await;
        beside.push(taken.checked_sub(limit).expect("as many as may wait do"));
        let mut read = vec![0; 20_000];
        answering.caller.read_exact(&mut read).await.expect("there is more");
        assert!(answering.settled().await > taken, "it goes on for who reads");
    }
    // What socket and frames under way hold is the same each time: a byte more may wait, and it does.
    assert!(beside.iter().all(|bytes| *bytes == beside[0] && *bytes < 2_100), "{beside:?}");
}

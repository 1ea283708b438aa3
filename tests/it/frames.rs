//! A client that writes its HTTP/2 frames itself, for what a library would not send.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
pub(crate) const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// A call that is its headers.
pub(crate) const WHOLE_CALL: u8 = END_STREAM | END_HEADERS;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("small").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A gRPC call of one message.
fn call(stream: u32, path: &str, message: &[u8]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
    // By the static table of HPACK: POST, https; :path, :authority, content-type; and a name of its own.
    let head = [
        &[0x83, 0x87, 0x04][..],
        &text(path),
        &[0x01],
        &text("todoke.internal"),
        &[0x0f, 0x10],
        &text("application/grpc"),
        &[0x00],
        &text("te"),
        &text("trailers"),
    ];
    let length = u32::try_from(message.len()).expect("small").to_be_bytes();
    let body = [&[0], &length[..], message].concat();
    [frame(HEADERS, END_HEADERS, stream, &head.concat()), frame(DATA, END_STREAM, stream, &body)].concat()
}

/// A frame that came.
pub(crate) struct Came {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// The client; its connection is torn when this is dropped.
pub(crate) struct Raw(TlsStream<TcpStream>);

impl Raw {
    /// Begins HTTP/2 on a connection.
    pub(crate) async fn begin(stream: TlsStream<TcpStream>) -> Self {
        let mut raw = Self(stream);
        raw.send(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &*frame(SETTINGS, 0, 0, &[])].concat()).await;
        raw
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("it is connected");
    }

    /// Begins a call of one message, on stream 1.
    pub(crate) async fn call(&mut self, path: &str, message: &[u8]) {
        self.send(&call(1, path, message)).await;
    }

    /// The next frame, or nothing if the connection ends before.
    async fn read(&mut self) -> Option<Came> {
        let reading = async {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let [a, b, c, kind, flags, ref stream @ ..] = head;
            let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).expect("small");
            let mut payload = vec![0; length];
            self.0.read_exact(&mut payload).await.ok()?;
            Some(Came { kind, flags, stream: u32::from_be_bytes(*stream), payload })
        };
        timeout(Duration::from_secs(10), reading).await.expect("it comes or ends in time")
    }

    /// The next frame of this kind with these flags, or nothing if the connection ends before.
    pub(crate) async fn next(&mut self, kind: u8, flags: u8) -> Option<Vec<u8>> {
        self.next_of(&[(kind, flags)]).await.map(|(_, payload)| payload)
    }

    /// The next frame of one of these kinds, with its kind.
    pub(crate) async fn next_of(&mut self, wanted: &[(u8, u8)]) -> Option<(u8, Vec<u8>)> {
        loop {
            let came = self.read().await?;
            if wanted.contains(&(came.kind, came.flags)) {
                return Some((came.kind, came.payload));
            }
        }
    }

    /// Waits until it is asked to go, and goes as a client of grpc-core does whose next call was on its way
    /// out: in one piece, it acknowledges the PING, begins the call and widens the window of that.
    ///
    /// Returns the last stream and the code of the order to go that comes then.
    pub(crate) async fn go_with_a_late_call(&mut self, path: &str) -> (u32, u32) {
        self.next(GOAWAY, 0).await.expect("it is asked to go");
        let ping = self.next(PING, 0).await.expect("it is asked whether it knows");
        let widen = frame(WINDOW_UPDATE, 0, 3, &10u32.to_be_bytes());
        self.send(&[frame(PING, ACK, 0, &ping), call(3, path, b""), widen].concat()).await;
        let order = self.next(GOAWAY, 0).await.expect("it is told which calls were taken");
        let number = |at: usize| order[at..at + 4].try_into().map(u32::from_be_bytes).expect("four bytes");
        (number(0), number(4))
    }

    /// Reads the call to its end and returns its message, or nothing if the connection ends before.
    pub(crate) async fn answer(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            match self.read().await? {
                Came { kind: DATA, stream: 1, payload, .. } => body.extend(payload),
                Came { kind: HEADERS, stream: 1, flags: WHOLE_CALL, .. } => {
                    return Some(body.split_off(5.min(body.len())));
                }
                Came { kind: RST_STREAM, stream: 1, .. } => return None,
                _ => {}
            }
        }
    }
}

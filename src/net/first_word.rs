//! A connection is handed on once the other end has spoken on it. In TLS 1.3 a client has finished its
//! handshake before the server has looked at its certificate: whoever calls at once learns by luck whether
//! the certificate was refused or the call was merely cut off. An HTTP/2 server speaks first, so waiting for
//! that costs one way over the network.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    time::timeout,
};

/// How long a peer is waited for that may be waiting for us.
pub(super) const WAIT_MAX: Duration = Duration::from_millis(250);

/// A connection, with what was read of it already.
pub(super) struct Spoken<S> {
    first: Option<u8>,
    stream: S,
}

/// Waits until the other end has said something, or has said nothing for `limit`: then it may be one that
/// waits for us.
///
/// # Errors
/// What the connection ended with, such as the alert that refuses our certificate.
pub(super) async fn wait<S: AsyncRead + Unpin>(mut stream: S, limit: Duration) -> io::Result<Spoken<S>> {
    let first = match timeout(limit, stream.read_u8()).await {
        Ok(first) => Some(first?),
        Err(_) => None,
    };
    Ok(Spoken { first, stream })
}

impl<S: AsyncRead + Unpin> AsyncRead for Spoken<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() > 0
            && let Some(first) = self.first.take()
        {
            buf.put_slice(&[first]);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Spoken<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt as _, net::TcpListener, task::JoinSet};
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::{
        net::{
            channel::{ChannelOptions, connect},
            pki::Authority,
            tls::{ClientTls, ServerTls, TlsFiles},
        },
        wire::pb::{GetBatchRequest, batch_service_client::BatchServiceClient},
    };

    #[tokio::test]
    async fn what_was_heard_first_is_read_first_and_a_silent_peer_is_waited_for_only_so_long() {
        let (mut here, there) = tokio::io::duplex(64);
        here.write_all(b"abc").await.expect("there is room");
        let mut spoken = wait(there, Duration::from_secs(60)).await.expect("it spoke");
        drop(here);
        let mut all = Vec::new();
        spoken.read_to_end(&mut all).await.expect("it ended");
        assert_eq!(all, b"abc");
        let (_here, there) = tokio::io::duplex(64);
        assert!(wait(there, Duration::from_millis(1)).await.is_ok_and(|spoken| spoken.first.is_none()));
    }

    #[tokio::test]
    async fn a_refused_certificate_is_told_each_time() {
        let (dir, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let now = time::OffsetDateTime::now_utc();
        let files = |dir: &std::path::Path, name: &str| -> TlsFiles {
            let identity = name.parse().expect("an identity");
            let authority = Authority::create(dir, now).and_then(|_| Authority::open(dir, now));
            let day = Duration::from_secs(86_400);
            let issued = authority.expect("a CA").issue(&identity, &[], day).expect("a certificate");
            TlsFiles { cert: issued.cert, key: issued.key, ca: dir.join("ca.pem"), crl: None }
        };
        let server_files = files(dir.path(), "relay/relay-1");
        let client_files = files(other.path(), "municipality/131229");
        let server = ServerTls::load(&server_files).expect("whole");
        let client_files = TlsFiles { ca: server_files.ca.clone(), ..client_files };
        let client = ClientTls::load(&client_files, "todoke.internal").expect("whole");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a port");
        let address = listener.local_addr().expect("bound").to_string();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let _ = TlsAcceptor::from(server.config()).accept(socket).await; // refused, with an alert
            }
        });
        for round in 0..30 {
            let channel = connect(&address, &client, "todoke.internal", ChannelOptions::default());
            let mut service = BatchServiceClient::new(channel.expect("a name"));
            let status = service.get_batch(GetBatchRequest::default()).await.expect_err("refused");
            let first = std::error::Error::source(&status);
            let mut said = std::iter::successors(first, |error| error.source()).map(ToString::to_string);
            assert!(said.any(|text| text.contains("received fatal alert")), "round {round}: {status:?}");
        }
    }
}

//! A channel connects when it is first needed, shows the caller's certificate, believes only the stated CA
//! and name, and notices within seconds that the other end is gone.

use std::{io, time::Duration};

use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};

use super::{first_word, tcp::TcpStream, tls::ClientTls};

/// Limits of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelOptions {
    /// How long TCP and TLS may take together; default 2 s.
    pub connect: Duration,
    /// How long a silent connection is left before it is asked whether it lives; default 5 s.
    pub keep_alive_every: Duration,
    /// How long the answer to that may take; default 5 s.
    pub keep_alive_answer: Duration,
    /// Bytes that may be on their way to us in one call; default 1 MiB.
    pub stream_window_bytes: u32,
    /// Bytes that may be on their way to us in all; default 16 MiB.
    pub connection_window_bytes: u32,
    /// Most bytes of all headers of an answer; default 16 KiB.
    pub header_list_bytes_max: u32,
}

impl Default for ChannelOptions {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            keep_alive_every: Duration::from_secs(5),
            keep_alive_answer: Duration::from_secs(5),
            stream_window_bytes: 1 << 20,
            connection_window_bytes: 16 << 20,
            header_list_bytes_max: 16 << 10,
        }
    }
}

/// The authority is no name that can stand in a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no host name: pass the name that the servers' certificates carry, such as todoke.internal")]
pub struct BadAuthority(String);

/// Returns a channel to `address` (`host:port`) whose calls are made to `authority`; nothing is connected
/// yet. Each new connection is made with what `tls` has then.
///
/// # Errors
/// [`BadAuthority`].
pub fn connect(
    address: &str,
    tls: &ClientTls,
    authority: &str,
    options: ChannelOptions,
) -> Result<Channel, BadAuthority> {
    // The address is only connected to; what the server sees in the call is its own name.
    let uri: Uri = format!("http://{authority}").parse().map_err(|_| BadAuthority(authority.to_owned()))?;
    let endpoint = Endpoint::from(uri)
        .connect_timeout(options.connect)
        .http2_keep_alive_interval(options.keep_alive_every)
        .keep_alive_timeout(options.keep_alive_answer)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(options.stream_window_bytes)
        .initial_connection_window_size(options.connection_window_bytes)
        .http2_max_header_list_size(options.header_list_bytes_max);
    let (tls, address, limit) = (tls.clone(), address.to_owned(), options.connect);
    Ok(endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
        let (tls, address) = (tls.clone(), address.clone());
        async move {
            let connecting = async {
                let tcp = TcpStream::connect(&address).await?;
                tcp.set_nodelay(true)?;
                TlsConnector::from(tls.config()).connect(tls.server_name(), tcp).await
            };
            let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("no connection in {limit:?}"));
            let begun = Instant::now();
            let stream = timeout(limit, connecting).await.map_err(late)??;
            // Half of what is left, so that a peer that says nothing first is still connected to in time.
            let left = limit.saturating_sub(begun.elapsed()) / 2;
            first_word::wait(stream, left.min(first_word::WAIT_MAX)).await.map(TokioIo::new)
        }
    })))
}

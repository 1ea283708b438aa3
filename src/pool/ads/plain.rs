//! On loopback the view is served without TLS, for clients on this machine whose xDS channel has none; it
//! says where relays are, which is no secret, and the calls themselves go by mTLS.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Server, server::TcpIncoming};

use super::Ads;

/// Streams of one connection: a client has one.
const STREAMS_MAX: u32 = 64;

/// How long a silent client is left before it is asked whether it lives, and may take to answer.
const ALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));

/// How long connections get to end, once their streams have ended.
const END_MAX: Duration = Duration::from_secs(2);

/// Serves xDS at a listener on loopback until `stop`.
///
/// # Errors
/// What the transport says.
pub async fn serve_plain(
    ads: Ads,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let server = Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .http2_keepalive_interval(Some(ALIVE.0))
        .http2_keepalive_timeout(Some(ALIVE.1));
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let stopped = stop.clone().cancelled_owned();
    let serving = server.serve_with_incoming_shutdown(ads.into_service(), incoming, stopped);
    let late = async {
        stop.cancelled().await;
        tokio::time::sleep(END_MAX).await;
    };
    tokio::select! {
        ended = serving => ended,
        () = late => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use envoy_types::pb::envoy::service::discovery::v3::{
        DiscoveryRequest, aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
    };
    use tokio::sync::watch;

    use super::*;
    use crate::pool::notes::{Member, View};

    const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";

    #[tokio::test]
    async fn a_client_without_tls_learns_the_relays_and_the_server_ends_when_it_is_told_to() {
        let unit = "relay-1".parse().expect("a name");
        let member = Member { unit, address: "10.0.0.1:40101".to_owned(), share_percent: 100, generation: 1 };
        let view = View { version: 1, epoch: 1, made_ms: 1, members: vec![member] };
        let views = watch::Sender::new(Some(Arc::new(view)));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let stop = CancellationToken::new();
        let ads = Ads::new(views.subscribe(), "issuer-1", "todoke.internal", 8, stop.clone());
        let asking = async {
            let client = AggregatedDiscoveryServiceClient::connect(format!("http://{address}")).await;
            let asked = DiscoveryRequest {
                type_url: LISTENER.to_owned(),
                resource_names: vec!["todoke".to_owned()],
                ..DiscoveryRequest::default()
            };
            let requests = futures_util::StreamExt::chain(
                futures_util::stream::iter([asked]),
                futures_util::stream::pending(),
            );
            let answers = client.expect("it listens").stream_aggregated_resources(requests).await;
            let answer = answers.expect("it serves").into_inner().message().await.expect("it answers");
            assert_eq!(answer.expect("an answer").type_url, LISTENER);
            stop.cancel();
        };
        let serving = serve_plain(ads, listener, stop.clone());
        let (served, ()) = tokio::join!(serving, asking);
        served.expect("it ends in order");
    }
}

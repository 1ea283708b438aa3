//! Promise: what any tool may ask an issuer beside its own calls, health and reflection, is answered, and
//! health is the truth.

use std::time::Duration;

use time::OffsetDateTime;
use todoke::net::pki::Authority;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::harness::Issuer;

/// Writes the CRL anew, to hold for this long; the issuer knows it when this returns.
fn renew_crl(issuer: &Issuer, lifetime: Duration) {
    let authority = Authority::open(&issuer.dir.path().join("pki"), OffsetDateTime::now_utc());
    authority.expect("the authority").refresh_crl(lifetime).expect("it is written");
    assert!(issuer.tls.reload().expect("a good list"));
}

#[tokio::test]
async fn a_crl_that_is_out_of_date_is_told_by_health_and_readiness_until_it_is_renewed() {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    let request = HealthCheckRequest { service: "todoke.v1.BatchService".to_owned() };
    let watch = HealthClient::new(ward.channel.clone()).watch(request).await.expect("it watches");
    let mut watch = watch.into_inner();
    let mut next = async || {
        let change = tokio::time::timeout(Duration::from_secs(30), watch.message()).await;
        change.expect("in time").expect("the connection stands").expect("it goes on").status()
    };
    assert_eq!(next().await, ServingStatus::Serving);
    assert_eq!((issuer.not_ready)(), Vec::<String>::new());
    renew_crl(&issuer, Duration::from_secs(3));
    assert_eq!(next().await, ServingStatus::NotServing);
    let reasons = (issuer.not_ready)();
    assert!(reasons.len() == 1 && reasons[0].contains("the CRL is out of date since"), "{reasons:?}");
    assert!(reasons[0].contains("nobody gets in until it is renewed"), "{reasons:?}");
    renew_crl(&issuer, Duration::from_secs(86_400));
    assert_eq!(next().await, ServingStatus::Serving);
    assert_eq!((issuer.not_ready)(), Vec::<String>::new());
}

#[tokio::test]
async fn both_reflections_name_the_services() {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    macro_rules! services {
        ($of:ident) => {{
            use tonic_reflection::pb::$of::{
                ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
            };
            let asked = MessageRequest::ListServices(String::new());
            let request = ServerReflectionRequest { host: String::new(), message_request: Some(asked) };
            let mut client = ServerReflectionClient::new(ward.channel.clone());
            let answers = client.server_reflection_info(tokio_stream::iter([request])).await;
            let answer = answers.expect("it is served").into_inner().message().await.expect("an answer");
            let Some(MessageResponse::ListServicesResponse(list)) =
                answer.expect("one answer").message_response
            else {
                panic!("no list of services")
            };
            list.service.into_iter().map(|service| service.name).collect::<Vec<_>>()
        }};
    }
    for names in [services!(v1), services!(v1alpha)] {
        for wanted in ["todoke.v1.BatchService", "todoke.v1.CardService", "grpc.health.v1.Health"] {
            assert!(names.iter().any(|name| name == wanted), "{wanted} is not in {names:?}");
        }
    }
}

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
async fn a_question_without_an_answer_is_told_so_and_both_reflections_go_on() {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    macro_rules! asked {
        ($of:ident) => {{
            use tonic_reflection::pb::$of::{
                ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
            };
            let symbol = |name: &str| MessageRequest::FileContainingSymbol(name.to_owned());
            let file = |name: &str| MessageRequest::FileByFilename(name.to_owned());
            let known = "todoke.v1.PoolService.ListUnits";
            let asked = [symbol("todoke.v1.Nothing"), symbol(known), file("nothing.proto"), symbol(known)];
            let asked = asked
                .map(|one| ServerReflectionRequest { host: "ops".to_owned(), message_request: Some(one) });
            let mut client = ServerReflectionClient::new(ward.channel.clone());
            let answers = client.server_reflection_info(tokio_stream::iter(asked.clone())).await;
            let mut answers = answers.expect("it is served").into_inner();
            let mut said = Vec::new();
            for one in asked {
                let answer = answers.message().await.expect("it goes on").expect("one for each");
                assert_eq!((&answer.valid_host, &answer.original_request), (&one.host, &Some(one.clone())));
                said.push(match answer.message_response {
                    Some(MessageResponse::ErrorResponse(error)) => (error.error_code, error.error_message),
                    Some(MessageResponse::FileDescriptorResponse(file))
                        if !file.file_descriptor_proto.is_empty() =>
                    {
                        (0, String::new())
                    }
                    other => panic!("{other:?}"),
                });
            }
            assert!(answers.message().await.expect("it ends well").is_none());
            said
        }};
    }
    for said in [asked!(v1), asked!(v1alpha)] {
        let codes: Vec<i32> = said.iter().map(|(code, _)| *code).collect();
        assert_eq!(codes, [5, 0, 5, 0], "NOT_FOUND, and the file: {said:?}");
        assert!(said[0].1.contains("'todoke.v1.Nothing' not found"), "{said:?}");
    }
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

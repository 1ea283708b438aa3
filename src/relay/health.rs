//! The relay answers grpc.health.v1 itself, from what it knows: SERVING while calls can be sent on.

use std::{future::poll_fn, sync::Arc, time::Duration};

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::{RecvStream, SendStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Response, header};
use prost::Message as _;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus};

use crate::wire::fault::{Fault, Reason};

use super::{answer, pump::GRPC_STATUS, shard::Shard};

/// The longest request that is read: a service name is short.
const REQUEST_BYTES_MAX: usize = 1_024;

/// The longest wait for it, so that no half a request holds up a stop.
const REQUEST_MAX: Duration = Duration::from_secs(1);

/// A method of `grpc.health.v1.Health`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Check,
    Watch,
}

impl Method {
    pub(super) fn of(path: &str) -> Option<Self> {
        match path.strip_prefix("/grpc.health.v1.Health/")? {
            "Check" => Some(Method::Check),
            "Watch" => Some(Method::Watch),
            _ => None,
        }
    }
}

/// Answers one health call.
pub(super) async fn serve(
    shard: Arc<Shard>,
    method: Method,
    mut body: RecvStream,
    mut respond: SendResponse<Bytes>,
) {
    let asked = tokio::select! {
        asked = read(&mut body) => asked,
        _ = poll_fn(|cx| respond.poll_reset(cx)) => return,
        () = tokio::time::sleep(REQUEST_MAX) => Err(Fault::new(
            Reason::DeadlineExceeded,
            "the health request did not come to its end: send it whole",
        )),
    };
    let service = match asked {
        Ok(service) => service,
        Err(fault) => return answer::refuse(&mut respond, fault),
    };
    match method {
        Method::Check => check(&shard, &service, respond),
        Method::Watch => watch(&shard, &service, respond).await,
    }
}

/// Whether the name is one that the relay speaks for: the whole, or any service of ours.
fn is_known(service: &str) -> bool {
    service.is_empty() || service.starts_with("todoke.")
}

fn status(serving: bool) -> ServingStatus {
    if serving { ServingStatus::Serving } else { ServingStatus::NotServing }
}

fn check(shard: &Shard, service: &str, mut respond: SendResponse<Bytes>) {
    if !is_known(service) {
        return answer::refuse(&mut respond, Fault::new(Reason::NotFound, "no such service: ask for ''"));
    }
    let Ok(mut sink) = respond.send_response(headers(), false) else { return };
    if send(&mut sink, status(*shard.serving().borrow())).is_ok() {
        let trailers = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static("0"))]);
        let _ = sink.send_trailers(trailers);
    }
}

async fn watch(shard: &Shard, service: &str, mut respond: SendResponse<Bytes>) {
    let Ok(mut sink) = respond.send_response(headers(), false) else { return };
    let mut serving = shard.serving();
    let mut last = None;
    loop {
        let now = match is_known(service) {
            true => status(*serving.borrow_and_update()),
            false => ServingStatus::ServiceUnknown,
        };
        if last.replace(now) != Some(now) && send(&mut sink, now).is_err() {
            return;
        }
        tokio::select! {
            changed = serving.changed() => if changed.is_err() { return },
            _ = poll_fn(|cx| sink.poll_reset(cx)) => return,
            () = shard.closing().cancelled() => {
                return answer::end(&mut sink, Fault::new(Reason::Draining, "this relay is about to stop"));
            }
        }
    }
}

fn headers() -> Response<()> {
    let mut response = Response::new(());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn send(sink: &mut SendStream<Bytes>, status: ServingStatus) -> Result<(), h2::Error> {
    let message = HealthCheckResponse { status: status.into() };
    let mut frame = BytesMut::with_capacity(16);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.encoded_len()).expect("two bytes"));
    message.encode(&mut frame).expect("a BytesMut grows");
    sink.send_data(frame.freeze(), false)
}

/// Reads the one message of the request.
async fn read(body: &mut RecvStream) -> Result<String, Fault> {
    let malformed = |what: &str| Fault::new(Reason::FieldInvalid, format!("the health request {what}"));
    let mut bytes = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(|_| malformed("broke off"))?;
        bytes.extend_from_slice(&data);
        if bytes.len() > REQUEST_BYTES_MAX {
            return Err(malformed("is longer than a service's name can be"));
        }
    }
    let Some((frame, message)) = bytes.split_at_checked(5) else { return Err(malformed("has no message")) };
    if frame[0] != 0 {
        return Err(malformed("is compressed: send it plain"));
    }
    if u32::from_be_bytes([frame[1], frame[2], frame[3], frame[4]]) as usize != message.len() {
        return Err(malformed("does not have the length that it says"));
    }
    HealthCheckRequest::decode(message)
        .map(|request| request.service)
        .map_err(|_| malformed("is no protobuf"))
}

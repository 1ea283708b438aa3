//! The relay's own answers are gRPC: trailers-only with the reason in the details, so that a client
//! rebuilds it.

use bytes::Bytes;
use h2::{SendStream, server::SendResponse};
use http::{Response, StatusCode, header};
use tonic::Status;

use crate::wire::fault::Fault;

/// Answers a call that nothing was answered to yet. A client that is gone needs no answer.
pub(super) fn refuse(respond: &mut SendResponse<Bytes>, fault: Fault) {
    let response: Response<()> = Status::from(fault).into_http();
    let _ = respond.send_response(response, true);
}

/// Ends an answer that has begun.
pub(super) fn end(sink: &mut SendStream<Bytes>, fault: Fault) {
    let response: Response<()> = Status::from(fault).into_http();
    let mut trailers = response.into_parts().0.headers;
    trailers.remove(header::CONTENT_TYPE);
    let _ = sink.send_trailers(trailers);
}

/// Answers what is no gRPC at all.
pub(super) fn no_grpc(respond: &mut SendResponse<Bytes>) {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    let _ = respond.send_response(response, true);
}

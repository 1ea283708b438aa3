//! The relay's own answers are gRPC: trailers-only with the reason in the details, so that a client
//! rebuilds it.

use std::time::Duration;

use bytes::Bytes;
use h2::{Reason as Code, SendStream, server::SendResponse};
use http::{Response, StatusCode, header};
use tonic::Status;

use crate::wire::fault::{Fault, Reason};

/// When to come back after a call that an issuer broke off.
const BROKEN_OFF: Duration = Duration::from_millis(250);

/// What an issuer provably did not look at.
pub(super) fn unsent(error: &h2::Error) -> Fault {
    let words = format!("the issuer took nothing of this call: {error}");
    Fault::new(Reason::UpstreamUnavailable, words).after(BROKEN_OFF)
}

/// What an issuer may have done before it broke off.
pub(super) fn unknown() -> Fault {
    let words = "the issuer broke off: ask again under the same key, as it may have been done";
    Fault::new(Reason::OutcomeUnknown, words).after(BROKEN_OFF)
}

/// What is not done when the relay stops; `sent` says whether an issuer has heard of it.
pub(super) fn stopping(sent: bool) -> Fault {
    if !sent {
        return Fault::new(Reason::Draining, "this relay stops, and sent nothing of this call on");
    }
    let words = "this relay stops before the issuer has answered: ask another one under the same key, as it \
                 may have been done";
    Fault::new(Reason::OutcomeUnknown, words)
}

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

/// Whether the issuer says that it did nothing: it refused the stream, or its GOAWAY names an earlier one.
///
/// Source: RFC 9113, 8.7. `h2` gives a remote GOAWAY to streams above the last one only.
pub(super) fn is_unprocessed(error: &h2::Error) -> bool {
    error.is_remote()
        && (error.is_go_away() || (error.is_reset() && error.reason() == Some(Code::REFUSED_STREAM)))
}

/// A drill has it fail.
pub(super) fn drilled() -> Fault {
    Fault::new(Reason::UpstreamUnavailable, "this relay plays a fault on an operator's order: use another")
}

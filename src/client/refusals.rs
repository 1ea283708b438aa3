//! What a call that failed says: send it again, hear another relay first, or look at a certificate.

use tonic::{Code, Status};

use crate::wire::fault::{Fault, Reason};

/// What the other end said of our certificate, if that is why it hung up.
pub(super) fn refused_certificate(status: &Status) -> Option<String> {
    const ALERT: &str = "received fatal alert: ";
    let first = std::error::Error::source(status);
    let texts = std::iter::successors(first, |error| error.source()).map(ToString::to_string);
    // On its way through HTTP/2 the alert becomes a text.
    let alert = texts.filter_map(|text| text.split_once(ALERT).map(|(_, alert)| alert.to_owned())).next()?;
    let ours = ["Certificate", "BadCertificate", "UnsupportedCertificate", "UnknownCA", "AccessDenied"];
    ours.iter().any(|name| alert.starts_with(name)).then_some(alert)
}

/// Whether a refusal should be heard over a second relay before it is believed: anybody in between can
/// refuse, and a relay that does would otherwise stop a sender whom the issuer serves. What is a usual
/// answer, or cannot be given twice, is believed at once; the receipt shows in the end whether it was
/// true.
pub(crate) fn wants_second_opinion(fault: Option<&Fault>) -> bool {
    let at_once =
        [Reason::BatchHasGaps, Reason::BatchSealed, Reason::ControlTotalMismatch, Reason::ReceiptNotReady];
    fault.is_none_or(|fault| !at_once.contains(&fault.reason))
}

/// Why we do not believe that the other end is a relay, if that is what failed.
pub(super) fn server_not_believed(status: &Status) -> Option<String> {
    const WORDS: &str = "invalid peer certificate: ";
    let first = std::error::Error::source(status);
    let below = std::iter::successors(first, |error| error.source()).map(ToString::to_string);
    let texts = std::iter::once(status.message().to_owned()).chain(below);
    texts.filter_map(|text| text.split_once(WORDS).map(|(_, why)| why.to_owned())).next()
}

pub(super) fn advice(why: &str) -> &'static str {
    if why.starts_with("certificate expired") || why.starts_with("certificate not valid yet") {
        "Look at this machine's clock; if it is right, the operator of the relays must renew the certificate."
    } else if why.contains("name") {
        "Look at \"server_name\" in endpoints.json: it must be the name in the relays' certificates."
    } else {
        "Look at \"ca\" in endpoints.json: it must be the file with the CA of these relays."
    }
}

/// Whether the same call may succeed later without anybody having changed anything.
pub(crate) fn is_transient(status: &Status, fault: Option<&Fault>) -> bool {
    match fault {
        Some(fault) => fault.reason.safe_to_retry() && fault.reason != Reason::ReceiptNotReady,
        // Without a reason of ours it was the transport, or something in between.
        None => matches!(
            status.code(),
            Code::Unavailable
                | Code::Unknown
                | Code::Internal
                | Code::Cancelled
                | Code::DeadlineExceeded
                | Code::ResourceExhausted
        ),
    }
}

//! What a call that failed says: send it again, hear another relay first, or look at a certificate.

use tonic::{Code, Status};

use crate::{
    net::tls::Roots,
    runtime::clock::Clock,
    wire::fault::{Fault, Reason},
};

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

/// Our own certificate, as far as we can judge it ourselves.
#[derive(Debug)]
pub(crate) struct Own {
    chain: Vec<Vec<u8>>,
    roots: Roots,
    clock: Clock,
}

impl Own {
    /// The certificate at the head of `chain` (DER), which should lead to `roots` by this clock.
    pub(crate) fn new(chain: Vec<Vec<u8>>, roots: Roots, clock: Clock) -> Self {
        Self { chain, roots, clock }
    }

    /// Whether it was refused although nothing is wrong with it by our clock and our CA, and it is not said
    /// to be revoked: then a clock or a list of the other end may be wrong, which heals.
    pub(super) fn is_refused_in_error(&self, status: &Status) -> bool {
        let Some(alert) = refused_certificate(status) else { return false };
        !alert.starts_with("CertificateRevoked")
            && self.roots.verify_chain(&self.chain, self.clock.now_ms()).is_ok()
    }
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

#[cfg(test)]
mod tests {
    use std::{io, time::Duration};

    use super::*;
    use crate::{client::calls::CallError, net::pki::Authority};

    fn alert(name: &str) -> Status {
        let text = format!("received fatal alert: {name}");
        Status::from_error(Box::new(io::Error::other(text)))
    }

    #[test]
    fn a_good_certificate_that_is_refused_may_be_taken_later_and_a_bad_one_never() {
        let (dir, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let now = time::OffsetDateTime::now_utc();
        for dir in [&dir, &other] {
            Authority::create(dir.path(), now).expect("a CA");
        }
        let identity = "municipality/131229".parse().expect("an identity");
        let authority = Authority::open(dir.path(), now).expect("just made");
        let issued = authority.issue(&identity, &[], Duration::from_secs(86_400)).expect("a certificate");
        let files = crate::client::endpoints::ClientFiles { cert: issued.cert, key: issued.key };
        let chain = crate::client::signer::Signer::load(&files).expect("just made").chain();
        let own = |dir: &tempfile::TempDir, days: i64| {
            let roots = Roots::load(&dir.path().join("ca.pem")).expect("just made");
            Own::new(chain.clone(), roots, Clock::fixed((now.unix_timestamp() + days * 86_400) * 1000))
        };
        for name in ["UnknownCA", "CertificateExpired", "BadCertificate"] {
            assert!(own(&dir, 0).is_refused_in_error(&alert(name)), "{name}");
            assert!(!own(&dir, 2).is_refused_in_error(&alert(name)), "{name}: it has expired by our clock");
            assert!(!own(&other, 0).is_refused_in_error(&alert(name)), "{name}: it is of another CA");
        }
        assert!(!own(&dir, 0).is_refused_in_error(&alert("CertificateRevoked")));
        assert!(!own(&dir, 0).is_refused_in_error(&Status::unavailable("nobody is there")));
        let status = Box::new(alert("UnknownCA"));
        let mut error = CallError { method: "Test", status, fault: None, attempts: 1, transient: true };
        assert!(error.to_string().contains("list of revoked certificates is out of date"), "{error}");
        error.transient = false;
        assert!(error.to_string().contains("ask the operator for a new one"), "{error}");
    }
}

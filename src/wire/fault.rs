//! The one place that turns a failure into a `tonic::Status`, and a status back into the failure it was.

use std::{collections::HashMap, time::Duration};

use tonic::Status;
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use super::text::one_line;

pub use super::reason::{Actor, Reason, table};

/// The domain that stands in every `google.rpc.ErrorInfo` of ours.
pub const DOMAIN: &str = "todoke";

/// Bytes of metadata, violations and message that one fault carries at the most. Details travel in HTTP/2
/// trailers, and gRPC implementations drop header lists beyond 8 KiB; base64 adds a third.
pub const DETAIL_BYTES_MAX: usize = 5 * 1024;

/// A failure as it crosses the hop: stable reason, words for a human, and what a program needs to act on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The stable reason.
    pub reason: Reason,
    /// Words for a human: what is wrong and what to do next. Never personal data.
    pub message: String,
    /// Which field is wrong and why.
    pub violations: Vec<(String, String)>,
    /// Machine-readable particulars.
    pub metadata: Vec<(String, String)>,
    /// How long to wait before trying again.
    pub retry_after: Option<Duration>,
}

impl Fault {
    /// Returns a fault with this reason and these words.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            violations: Vec::new(),
            metadata: Vec::new(),
            retry_after: None,
        }
    }

    /// Adds a field that is wrong.
    #[must_use]
    pub fn violation(mut self, field: impl Into<String>, description: impl Into<String>) -> Self {
        self.violations.push((field.into(), description.into()));
        self
    }

    /// Adds a particular.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.push((key.into(), value.into()));
        self
    }

    /// Says how long to wait.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Returns the particular of this key, if there is one.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// What it says in all: the message, and each violation that is not in it already.
    #[must_use]
    pub fn whole_message(&self) -> String {
        let more = self.violations.iter().filter(|(_, what)| !self.message.contains(what.as_str()));
        let more = more.map(|(field, what)| format!("; {field}: {what}"));
        std::iter::once(self.message.clone()).chain(more).collect()
    }

    /// Rebuilds the fault that another party of ours sent; `None` if the status is none of ours.
    #[must_use]
    pub fn from_status(status: &Status) -> Option<Fault> {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == DOMAIN)?;
        let reason = Reason::parse(&info.reason)?;
        let shown = |(key, value): (&String, &String)| (one_line(key), one_line(value));
        let mut metadata: Vec<_> = info.metadata.iter().map(shown).collect();
        metadata.sort();
        let violations = details.bad_request().map(|bad| {
            bad.field_violations.iter().map(|v| (one_line(&v.field), one_line(&v.description))).collect()
        });
        Some(Fault {
            reason,
            message: one_line(status.message()),
            violations: violations.unwrap_or_default(),
            metadata,
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
        })
    }

    /// Cuts what would not fit into the trailers, and says that it did.
    fn bounded(mut self) -> Self {
        let mut left = DETAIL_BYTES_MAX;
        truncate(&mut self.message, 1024);
        left -= self.message.len();
        let mut whole = true;
        for list in [&mut self.metadata, &mut self.violations] {
            list.retain(|(key, value)| {
                let cost = key.len() + value.len() + 8;
                let fits = cost <= left;
                left -= if fits { cost } else { 0 };
                whole &= fits;
                fits
            });
        }
        if !whole {
            self.metadata.push(("cut".to_owned(), "true".to_owned()));
        }
        self
    }
}

fn truncate(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.reason.as_str(), self.message)
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Status {
        let fault = fault.bounded();
        let mut details = ErrorDetails::new();
        details.set_error_info(
            fault.reason.as_str(),
            DOMAIN,
            fault.metadata.into_iter().collect::<HashMap<String, String>>(),
        );
        if !fault.violations.is_empty() {
            let all = fault.violations.into_iter().map(|(field, why)| FieldViolation::new(field, why));
            details.set_bad_request(all.collect::<Vec<_>>());
        }
        if let Some(wait) = fault.retry_after {
            details.set_retry_info(Some(wait));
        }
        Status::with_error_details(fault.reason.code(), fault.message, details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_survives_the_hop() {
        for reason in Reason::ALL {
            let fault = Fault::new(*reason, "what is wrong, and what to do")
                .violation("manifest.records", "must be a number")
                .with("a", "1")
                .with("b", "[[0,3]]")
                .after(Duration::from_millis(1_500));
            let status = Status::from(fault.clone());
            assert_eq!(status.code(), reason.code());
            assert_eq!(Fault::from_status(&status), Some(fault));
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
        }
    }

    #[test]
    fn a_violation_that_is_in_the_message_is_not_said_twice() {
        let fault = Fault::new(Reason::ManifestInvalid, "the manifest is invalid: sequence: 9 is too high");
        let one = fault.clone().violation("manifest.sequence", "9 is too high");
        assert_eq!(one.whole_message(), fault.message);
        let two = one.violation("manifest.records", "must be a number");
        assert_eq!(two.whole_message(), format!("{}; manifest.records: must be a number", fault.message));
    }

    #[test]
    fn a_foreign_status_is_no_fault_of_ours() {
        assert_eq!(Fault::from_status(&Status::unavailable("connection reset")), None);
    }

    #[test]
    fn what_does_not_fit_into_the_trailers_is_cut_and_says_so() {
        let fault = Fault::new(Reason::BatchHasGaps, "é".repeat(4_000))
            .with("missing_count", "12")
            .with("ranges", "x".repeat(9_000));
        let status = Status::from(fault);
        assert!(status.details().len() < 8 * 1024 * 3 / 4, "{} bytes", status.details().len());
        let back = Fault::from_status(&status).expect("ours");
        assert_eq!((back.get("cut"), back.get("missing_count")), (Some("true"), Some("12")));
        assert_eq!(back.get("ranges"), None);
    }
}

//! Only a municipality gives its batch up: the statement that says so has one text, which it signs.

use super::{
    batch_id::BatchId,
    municipality::MunicipalityCode,
    text::{Lines, TextFault},
};

/// Longest reason, in characters.
pub const REASON_CHARS_MAX: usize = 500;

const TITLE: &str = "todoke abort v1";
const STATEMENT_BYTES_MAX: usize = 4096;

/// Says that a batch is given up for good, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Whose batch it is.
    pub municipality: MunicipalityCode,
    /// Which one.
    pub batch_id: BatchId,
    /// Why, on one line; it must hold no personal data.
    pub reason: String,
}

impl Statement {
    /// The statement's text: the bytes that are signed. Line breaks and other control characters of the
    /// reason become spaces.
    #[must_use]
    pub fn to_text(&self) -> String {
        let reason = self.reason.replace(char::is_control, " ");
        format!("{TITLE}\nmunicipality {}\nbatch {}\nreason {reason}\n", self.municipality, self.batch_id)
    }

    /// Reads a statement's exact bytes.
    ///
    /// # Errors
    /// [`TextFault`], whose field is `reason` when none is given or it is too long.
    pub fn parse(bytes: &[u8]) -> Result<Self, TextFault> {
        let mut lines = Lines::new(bytes, STATEMENT_BYTES_MAX, TITLE)?;
        let municipality = lines.value("municipality")?.parse()?;
        let batch_id = lines.value("batch")?.parse()?;
        let value = lines.value("reason")?;
        let reason = value.text;
        if reason.trim().is_empty() || reason.chars().count() > REASON_CHARS_MAX {
            return Err(value.fault(format!("say why, in 1 to {REASON_CHARS_MAX} characters")));
        }
        if reason.chars().any(char::is_control) {
            return Err(value.fault("holds a control character"));
        }
        lines.end("reason")?;
        Ok(Self { municipality, batch_id, reason: reason.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn statement(reason: &str) -> Statement {
        Statement {
            municipality: "131229".parse().expect("right"),
            batch_id: "0192f0c1-2345-7abc-8def-0123456789ab".parse().expect("version 7"),
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn a_reason_is_needed_and_stays_on_its_line() {
        for bad in ["", "  ", &"あ".repeat(501)] {
            let fault = Statement::parse(statement(bad).to_text().as_bytes()).expect_err(bad);
            assert_eq!((fault.field.as_str(), fault.line), ("reason", 4), "{fault}");
        }
        let two = statement("one\nmunicipality 011002");
        let read = Statement::parse(two.to_text().as_bytes()).expect("one line");
        assert_eq!(read.reason, "one municipality 011002");
        assert!(Statement::parse(statement(&"あ".repeat(500)).to_text().as_bytes()).is_ok());
        let longer = statement("x").to_text() + "reason y\n";
        assert!(Statement::parse(longer.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn a_statement_comes_back(reason in "[^\\pC]{1,60}") {
            prop_assume!(!reason.trim().is_empty());
            let statement = statement(&reason);
            prop_assert_eq!(Statement::parse(statement.to_text().as_bytes()), Ok(statement));
        }

        #[test]
        fn what_is_parsed_is_its_own_text(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
            at: prop::sample::Index,
        ) {
            let mut text = statement("wrong extract").to_text().into_bytes();
            let at = at.index(text.len());
            text.splice(at..at, bytes.iter().copied());
            for candidate in [bytes, text] {
                if let Ok(read) = Statement::parse(&candidate) {
                    prop_assert_eq!(read.to_text().into_bytes(), candidate);
                }
            }
        }
    }
}

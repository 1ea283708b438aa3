//! Faults of meaning, record by record: a record with one is rejected by field and code under the batch's
//! policy, and never repaired or skipped.

use super::{
    date::Date,
    record::{Field, Record},
    rules::{IndividualNumberFault, check_individual_number},
};

/// The kinds of cards that can be ordered.
pub const KINDS: [&str; 2] = ["NOTIFICATION_CARD", "INDIVIDUAL_NUMBER_CARD"];
/// What a recipient may need.
pub const ACCOMMODATIONS: [&str; 4] = ["BRAILLE", "LARGE_PRINT", "READ_ALOUD", "PROXY_WRITING"];
/// Where a reading may come from.
pub const READING_SOURCES: [&str; 3] = ["declared", "vendor", "inferred"];

/// Every code that [`check`] gives, in the order of its checks.
pub const CODES: [&str; 10] = [
    "KIND_UNKNOWN",
    "FIELD_MISSING",
    "BIRTH_DATE_INVALID",
    "BIRTH_DATE_IN_FUTURE",
    "SEX_INVALID",
    "INDIVIDUAL_NUMBER_FORMAT",
    "INDIVIDUAL_NUMBER_CHECK_DIGIT",
    "READING_SOURCE_UNKNOWN",
    "PROTECTED_INVALID",
    "ACCOMMODATION_UNKNOWN",
];

/// The code of an order id that stands for another record.
pub const ORDER_ID_REUSED: &str = "ORDER_ID_REUSED";
/// The code of an order id that is held by a batch that is not accepted and may still be given up: counting
/// the record as a duplicate could lose it.
pub const ORDER_ID_HELD: &str = "ORDER_ID_HELD";

/// Why a record is rejected; the texts of the record are never repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} in {}", .code, .field.as_str())]
pub struct Reject {
    /// Why, as a stable code: one of [`CODES`].
    pub code: &'static str,
    /// In which field.
    pub field: Field,
}

/// Checks what the texts of a structurally sound record mean, as of the day `today`.
///
/// "No number given" is a legal value, and so is the absence of every field that a file need not have.
///
/// # Errors
/// The first [`Reject`] in the order of [`CODES`].
pub fn check(record: &Record, today: Date) -> Result<(), Reject> {
    let fault = |code, field| Err(Reject { code, field });
    if !KINDS.contains(&record.text(Field::Kind)) {
        return fault("KIND_UNKNOWN", Field::Kind);
    }
    for field in Field::ALL.into_iter().filter(|field| field.is_required()) {
        if record.text(field).trim().is_empty() {
            return fault("FIELD_MISSING", field);
        }
    }
    let Some(birth) = Date::parse(record.text(Field::BirthDate)) else {
        return fault("BIRTH_DATE_INVALID", Field::BirthDate);
    };
    if birth > today {
        return fault("BIRTH_DATE_IN_FUTURE", Field::BirthDate);
    }
    if !matches!(record.text(Field::Sex), "0" | "1" | "2" | "9") {
        return fault("SEX_INVALID", Field::Sex);
    }
    match record.get(Field::IndividualNumber).map_or(Ok(()), check_individual_number) {
        Ok(()) => {}
        Err(IndividualNumberFault::Format) => {
            return fault("INDIVIDUAL_NUMBER_FORMAT", Field::IndividualNumber);
        }
        Err(IndividualNumberFault::CheckDigit) => {
            return fault("INDIVIDUAL_NUMBER_CHECK_DIGIT", Field::IndividualNumber);
        }
    }
    let source = record.get(Field::ReadingSource);
    if source.is_some_and(|source| !READING_SOURCES.iter().any(|known| known.eq_ignore_ascii_case(source))) {
        return fault("READING_SOURCE_UNKNOWN", Field::ReadingSource);
    }
    if !matches!(record.get(Field::Protected), None | Some("0" | "1")) {
        return fault("PROTECTED_INVALID", Field::Protected);
    }
    let needs = record.get(Field::Accommodations);
    if !needs.is_none_or(|needs| needs.split(';').all(|need| ACCOMMODATIONS.contains(&need))) {
        return fault("ACCOMMODATION_UNKNOWN", Field::Accommodations);
    }
    Ok(())
}

/// Says what a code means to the person who has to mend the record, and what to do: those of [`CODES`], those
/// that the store gives to an order_id which is taken, and `""`, the code of a duplicate.
#[must_use]
pub fn explain(code: &str) -> (&'static str, &'static str) {
    match code {
        "KIND_UNKNOWN" => ("no such kind of card", "Write NOTIFICATION_CARD or INDIVIDUAL_NUMBER_CARD"),
        "FIELD_MISSING" => ("the field is empty", "Fill it in: every record needs it"),
        "BIRTH_DATE_INVALID" => ("no date of the calendar", "Write it as YYYY-MM-DD, such as 1980-02-29"),
        "BIRTH_DATE_IN_FUTURE" => ("the date is yet to come", "Compare it with the register"),
        "SEX_INVALID" => ("no such sex", "Write 0, 1, 2 or 9, as ISO 5218 has them"),
        "INDIVIDUAL_NUMBER_FORMAT" => {
            ("not twelve digits", "Write twelve half-width digits, or leave it empty")
        }
        "INDIVIDUAL_NUMBER_CHECK_DIGIT" => {
            ("its check digit does not fit the other digits", "Compare the number with the register")
        }
        "READING_SOURCE_UNKNOWN" => {
            ("no such source", "Write declared, vendor or inferred, or leave it empty")
        }
        "PROTECTED_INVALID" => ("neither 0 nor 1", "Write 1 for a protected address, 0 or nothing otherwise"),
        "ACCOMMODATION_UNKNOWN" => (
            "no such accommodation",
            "Write BRAILLE, LARGE_PRINT, READ_ALOUD or PROXY_WRITING, with ; between them",
        ),
        ORDER_ID_REUSED => (
            "the order_id stands for another order already",
            "Give this order a key of its own, or take it out",
        ),
        ORDER_ID_HELD => (
            "the order_id is held by another batch that is not finished",
            "Bring that batch to its end first: `todoke status`",
        ),
        "" => ("the same order is there already", "Nothing is lost and nothing is ordered twice"),
        _ => ("refused by a newer issuer", "See the code in proto/README.md, or ask the operator"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn today() -> Date {
        Date::new(2026, 11, 25).expect("a day")
    }

    fn valid() -> Record {
        let mut record = Record::default();
        for (field, text) in [
            (Field::OrderId, "K-1"),
            (Field::Kind, "NOTIFICATION_CARD"),
            (Field::HouseholdId, "H-1"),
            (Field::District, "白鳥一丁目"),
            (Field::Name, "葛飾 花子"),
            (Field::BirthDate, "1980-02-29"),
            (Field::Sex, "2"),
            (Field::Address, "白鳥一丁目"),
        ] {
            record.set(field, text);
        }
        record
    }

    fn with(field: Field, text: &str) -> Result<(), Reject> {
        let mut record = valid();
        record.set(field, text);
        check(&record, today())
    }

    #[test]
    fn what_means_something_is_taken() {
        assert_eq!(check(&valid(), today()), Ok(()), "also without a number");
        for (field, text) in [
            (Field::Kind, "INDIVIDUAL_NUMBER_CARD"),
            (Field::BirthDate, "2026-11-25"),
            (Field::Sex, "9"),
            (Field::IndividualNumber, "123456789018"),
            (Field::ReadingSource, "declared"),
            (Field::ReadingSource, "VENDOR"),
            (Field::Protected, "1"),
            (Field::Protected, "0"),
            (Field::Accommodations, "BRAILLE"),
            (Field::Accommodations, "BRAILLE;LARGE_PRINT;READ_ALOUD;PROXY_WRITING"),
        ] {
            assert_eq!(with(field, text), Ok(()), "{field:?} {text}");
        }
    }

    #[test]
    fn each_code_has_its_faults_and_its_field() {
        let cases = [
            (Field::Kind, "OTHER_CARD", "KIND_UNKNOWN"),
            (Field::Name, "", "FIELD_MISSING"),
            (Field::Name, "　", "FIELD_MISSING"),
            (Field::Address, "", "FIELD_MISSING"),
            (Field::BirthDate, "", "FIELD_MISSING"),
            (Field::BirthDate, "1980-02-31", "BIRTH_DATE_INVALID"),
            (Field::BirthDate, "S55-02-01", "BIRTH_DATE_INVALID"),
            (Field::BirthDate, "2026-11-26", "BIRTH_DATE_IN_FUTURE"),
            (Field::Sex, "7", "SEX_INVALID"),
            (Field::Sex, "男", "SEX_INVALID"),
            (Field::IndividualNumber, "1234", "INDIVIDUAL_NUMBER_FORMAT"),
            (Field::IndividualNumber, "123456789017", "INDIVIDUAL_NUMBER_CHECK_DIGIT"),
            (Field::ReadingSource, "guessed", "READING_SOURCE_UNKNOWN"),
            (Field::Protected, "yes", "PROTECTED_INVALID"),
            (Field::Accommodations, "BRAILLE;", "ACCOMMODATION_UNKNOWN"),
            (Field::Accommodations, "braille", "ACCOMMODATION_UNKNOWN"),
        ];
        for (field, text, code) in cases {
            assert_eq!(with(field, text), Err(Reject { code, field }), "{text}");
        }
        let unknown = explain("no such code");
        assert!(CODES.iter().all(|code| explain(code) != unknown), "each code is explained");
        assert!(CODES.iter().all(|code| cases.iter().any(|(.., shown)| shown == code)), "each code is shown");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(texts in prop::collection::vec(any::<String>(), 16)) {
            let mut record = valid();
            for (field, text) in Field::ALL.into_iter().zip(&texts) {
                record.set(field, text);
                let _ = check(&record, today());
            }
        }
    }
}

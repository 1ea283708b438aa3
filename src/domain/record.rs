//! A record is one card order: sixteen fields of text, kept exactly as received, with one canonical encoding.
//!
//! Canonical bytes: for each field in the order of [`Field::ALL`] a big-endian u32 length and the UTF-8
//! bytes, or `FF FF FF FF` when the field is absent. An empty field is an absent one, so a record has one
//! encoding.

use std::fmt;

/// The longest field, in bytes of UTF-8.
pub const FIELD_BYTES_MAX: usize = 4096;
/// The longest record, in canonical bytes.
pub const RECORD_BYTES_MAX: usize = 16_384;
/// The longest order id, in ASCII characters.
pub const ORDER_ID_BYTES_MAX: usize = 64;
/// The longest kind, in ASCII characters.
pub const KIND_BYTES_MAX: usize = 32;
/// The longest district, in bytes of UTF-8: it stands in manifests and receipts.
pub const DISTRICT_BYTES_MAX: usize = 200;

const FIELDS: usize = 16;
const ABSENT: u32 = u32::MAX;

/// The fields of a record, in canonical order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// The municipality's own key of the order.
    OrderId,
    /// What is ordered.
    Kind,
    /// The household it is for.
    HouseholdId,
    /// The district (町丁).
    District,
    /// The name, exactly as registered.
    Name,
    /// The name in characters that everybody can print.
    SubstituteName,
    /// The reading of the name (フリガナ); never used alone for matching.
    Reading,
    /// Where the reading comes from.
    ReadingSource,
    /// Birth date, ISO 8601.
    BirthDate,
    /// Sex, ISO 5218.
    Sex,
    /// The registered address.
    Address,
    /// Where the envelope goes, if not to the registered address.
    DeliveryAddress,
    /// The twelve digits.
    IndividualNumber,
    /// Whether a protection measure (支援措置) hides the address: `1` or `0`.
    Protected,
    /// What the recipient needs, separated by `;`.
    Accommodations,
    /// With which character set the name is to be drawn.
    GlyphProfile,
}

impl Field {
    /// Every field, in canonical order.
    pub const ALL: [Field; FIELDS] = [
        Field::OrderId,
        Field::Kind,
        Field::HouseholdId,
        Field::District,
        Field::Name,
        Field::SubstituteName,
        Field::Reading,
        Field::ReadingSource,
        Field::BirthDate,
        Field::Sex,
        Field::Address,
        Field::DeliveryAddress,
        Field::IndividualNumber,
        Field::Protected,
        Field::Accommodations,
        Field::GlyphProfile,
    ];

    /// The field's name, which is the column's name in a file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Field::OrderId => "order_id",
            Field::Kind => "kind",
            Field::HouseholdId => "household_id",
            Field::District => "district",
            Field::Name => "name",
            Field::SubstituteName => "substitute_name",
            Field::Reading => "reading",
            Field::ReadingSource => "reading_source",
            Field::BirthDate => "birth_date",
            Field::Sex => "sex",
            Field::Address => "address",
            Field::DeliveryAddress => "delivery_address",
            Field::IndividualNumber => "individual_number",
            Field::Protected => "protected",
            Field::Accommodations => "accommodations",
            Field::GlyphProfile => "glyph_profile",
        }
    }

    /// Returns the field of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.as_str() == name)
    }

    /// Whether a file must have the column.
    #[must_use]
    pub fn is_required(self) -> bool {
        match self {
            Field::OrderId
            | Field::Kind
            | Field::HouseholdId
            | Field::District
            | Field::Name
            | Field::BirthDate
            | Field::Sex
            | Field::Address => true,
            Field::SubstituteName
            | Field::Reading
            | Field::ReadingSource
            | Field::DeliveryAddress
            | Field::IndividualNumber
            | Field::Protected
            | Field::Accommodations
            | Field::GlyphProfile => false,
        }
    }
}

/// What is wrong with a record's structure; says nothing of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}: {remedy}")]
pub struct RecordFault {
    /// The field, or `record`.
    pub field: &'static str,
    /// What is wrong.
    pub problem: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

impl RecordFault {
    fn of(field: Field, problem: &'static str, remedy: &'static str) -> Self {
        Self { field: field.as_str(), problem, remedy }
    }

    fn of_record(problem: &'static str, remedy: &'static str) -> Self {
        Self { field: "record", problem, remedy }
    }
}

/// One card order. Its debug form names the fields that are there and shows nothing of a person.
#[derive(Clone, Default)]
pub struct Record {
    // The texts of all fields, in one allocation; a field that was set twice leaves its old text behind.
    text: String,
    spans: [Option<(u32, u32)>; FIELDS],
}

impl Record {
    /// Sets a field; an empty text makes it absent.
    ///
    /// # Panics
    /// If all texts together reach 4 GiB, which the limits on cells and rows do not allow.
    pub fn set(&mut self, field: Field, text: &str) {
        let span = (!text.is_empty()).then(|| {
            if self.text.capacity() == 0 {
                self.text.reserve(256.max(text.len()));
            }
            let begin = self.text.len();
            self.text.push_str(text);
            let small = |n: usize| u32::try_from(n).expect("a record is at most RECORD_BYTES_MAX long");
            (small(begin), small(self.text.len()))
        });
        self.spans[field as usize] = span;
    }

    /// The text of a field, if it is there.
    #[must_use]
    pub fn get(&self, field: Field) -> Option<&str> {
        self.spans[field as usize].map(|(begin, end)| &self.text[begin as usize..end as usize])
    }

    /// The text of a field, empty when it is absent.
    #[must_use]
    pub fn text(&self, field: Field) -> &str {
        self.get(field).unwrap_or_default()
    }

    /// Appends the canonical bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(4 * FIELDS + self.text.len());
        for span in self.spans {
            let Some((begin, end)) = span else {
                out.extend_from_slice(&ABSENT.to_be_bytes());
                continue;
            };
            out.extend_from_slice(&(end - begin).to_be_bytes());
            out.extend_from_slice(&self.text.as_bytes()[begin as usize..end as usize]);
        }
    }

    /// Reads canonical bytes; what is read encodes to the same bytes again.
    ///
    /// # Errors
    /// [`RecordFault`] for bytes that no record encodes to, and for a record over [`RECORD_BYTES_MAX`].
    pub fn decode(canonical: &[u8]) -> Result<Self, RecordFault> {
        if canonical.len() > RECORD_BYTES_MAX {
            return Err(RecordFault::of_record("is longer than 16,384 bytes", "shorten its longest fields"));
        }
        let mut text = String::with_capacity(canonical.len().saturating_sub(4 * FIELDS));
        let mut spans = [None; FIELDS];
        let mut rest = canonical;
        for (field, span) in Field::ALL.into_iter().zip(&mut spans) {
            let cut = || RecordFault::of(field, "is cut off", "send all sixteen fields");
            let (length, behind) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
            let length = u32::from_be_bytes(*length);
            rest = behind;
            if length == ABSENT {
                continue;
            }
            if length == 0 {
                return Err(RecordFault::of(field, "has the length 0", "encode an empty field as absent"));
            }
            let (bytes, behind) = rest.split_at_checked(length as usize).ok_or_else(cut)?;
            rest = behind;
            let value = std::str::from_utf8(bytes)
                .map_err(|_| RecordFault::of(field, "is not UTF-8", "send every text in UTF-8"))?;
            let begin = u32::try_from(text.len()).map_err(|_| cut())?;
            text.push_str(value);
            *span = Some((begin, begin + length));
        }
        if rest.is_empty() {
            return Ok(Self { text, spans });
        }
        Err(RecordFault::of_record("goes on after its last field", "send sixteen fields and no more"))
    }

    /// Checks what every record must have to be stored, counted and listed at all; what its texts mean is
    /// checked by [`super::validation`].
    ///
    /// # Errors
    /// The first [`RecordFault`].
    pub fn check_structure(&self) -> Result<(), RecordFault> {
        for field in Field::ALL {
            let Some(text) = self.get(field) else { continue };
            if text.len() > FIELD_BYTES_MAX {
                return Err(RecordFault::of(field, "is longer than 4,096 bytes", "shorten it"));
            }
            if text.as_bytes().contains(&0) {
                return Err(RecordFault::of(field, "holds a NUL character", "export it again without NUL"));
            }
        }
        self.key(Field::OrderId, ORDER_ID_BYTES_MAX, order_id_fault)?;
        self.key(Field::Kind, KIND_BYTES_MAX, kind_fault)?;
        self.key(Field::HouseholdId, FIELD_BYTES_MAX, control_fault)?;
        self.key(Field::District, DISTRICT_BYTES_MAX, control_fault)
    }

    // Totals and lists stand on these fields, so they must be there and fit on one line.
    fn key(
        &self,
        field: Field,
        bytes_max: usize,
        fault: fn(&str) -> Option<(&'static str, &'static str)>,
    ) -> Result<(), RecordFault> {
        let text = self.get(field).ok_or(RecordFault::of(
            field,
            "is missing",
            "give every record one; nothing is sent without it",
        ))?;
        if text.len() > bytes_max {
            return Err(RecordFault::of(
                field,
                "is too long",
                "use 64 characters for an order id, 32 for a kind, 200 bytes for a district",
            ));
        }
        fault(text).map_or(Ok(()), |(problem, remedy)| Err(RecordFault::of(field, problem, remedy)))
    }
}

fn order_id_fault(text: &str) -> Option<(&'static str, &'static str)> {
    let inner = text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    let legal = inner && text.trim_ascii().len() == text.len();
    (!legal).then_some((
        "must be printable ASCII without a space at either end",
        "use the key of your own system, 1 to 64 ASCII characters",
    ))
}

/// What is wrong with the name of a kind.
pub(super) fn kind_fault(text: &str) -> Option<(&'static str, &'static str)> {
    let legal = text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    (!legal)
        .then_some(("must be capitals, digits and '_'", "use NOTIFICATION_CARD or INDIVIDUAL_NUMBER_CARD"))
}

fn control_fault(text: &str) -> Option<(&'static str, &'static str)> {
    text.chars().any(char::is_control).then_some(("holds a control character", "write it on one line"))
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        Field::ALL.into_iter().all(|field| self.get(field) == other.get(field))
    }
}

impl Eq for Record {}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let there = Field::ALL.into_iter().filter(|field| self.get(*field).is_some()).map(Field::as_str);
        f.write_str("Record ")?;
        f.debug_set().entries(there).finish()
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;

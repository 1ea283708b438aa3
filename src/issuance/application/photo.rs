//! Of a photograph its reference is kept, and whether it fits the resident; how old and of what sex the
//! person on it looks is forgotten.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::{
    domain::{
        date::Date,
        life::application::mixup::{self, AgeBand, Photo, Resident, Sex, Submission},
        record::Field,
    },
    wire::{
        fault::{Fault, Reason},
        pb,
    },
};

use super::{
    super::{mutation::id_of, orders::Order},
    event::Doubt,
};

/// A photograph as it is declared. Personal data: it has no debug form.
pub(super) struct Seen {
    pub(super) reference: String,
    photo: Photo,
}

impl Seen {
    /// Reads what is declared of a photograph.
    pub(super) fn read(photo: Option<&pb::Photo>) -> Result<Self, Fault> {
        let wrong = |field: &'static str, words: &str| {
            Fault::new(Reason::FieldInvalid, format!("{field} {words}")).violation(field, words)
        };
        let photo = photo.ok_or_else(|| wrong("photo", "is missing: name it by its reference"))?;
        let reference = id_of(&photo.reference, "photo.reference")?.to_string();
        let ages = match (u8::try_from(photo.age_from), u8::try_from(photo.age_to)) {
            (Ok(0), Ok(0)) => None,
            (Ok(from), Ok(to)) if from <= to => AgeBand::new(from, to),
            _ => return Err(wrong("photo.age_to", "must be age_from or more, and 255 at the most")),
        };
        let sex = Sex::of_digit(&photo.sex.to_string())
            .ok_or_else(|| wrong("photo.sex", "must be 0, 1, 2 or 9, as ISO 5218 has them"))?;
        Ok(Self { reference, photo: Photo { ages, sex } })
    }

    /// What of it does not fit the resident of this order, as of the moment when it was received.
    pub(super) fn doubts(&self, order: &Order, received_ms: i64) -> Vec<Doubt> {
        let resident = Resident {
            birth: Date::parse(order.record.text(Field::BirthDate)),
            sex: Sex::of_digit(order.record.text(Field::Sex)).unwrap_or(Sex::NotKnown),
        };
        let alone = Submission { application: Uuid::nil(), session: None, received_ms };
        let found: BTreeSet<_> = mixup::suspicions(&alone, &[], &self.photo, &resident);
        found.into_iter().map(Doubt::from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reference: &str, ages: (u32, u32), sex: u32) -> Result<Option<AgeBand>, String> {
        let (age_from, age_to) = ages;
        let photo = pb::Photo { reference: reference.to_owned(), age_from, age_to, sex };
        let seen = Seen::read(Some(&photo)).map_err(|fault| fault.violations[0].0.clone())?;
        Ok(seen.photo.ages)
    }

    #[test]
    fn what_is_declared_of_a_photograph_is_read_or_the_field_is_named() {
        assert_eq!(read("P-1", (0, 0), 0), Ok(None), "nothing is declared");
        assert_eq!(read("P-1", (30, 45), 2), Ok(AgeBand::new(30, 45)));
        assert_eq!(read("P-1", (0, 1), 9), Ok(AgeBand::new(0, 1)), "a baby");
        for (reference, ages, sex, field) in [
            ("", (0, 0), 0, "photo.reference"),
            ("葛飾", (0, 0), 0, "photo.reference"),
            ("P-1", (9, 8), 0, "photo.age_to"),
            ("P-1", (0, 256), 0, "photo.age_to"),
            ("P-1", (0, 0), 3, "photo.sex"),
        ] {
            assert_eq!(read(reference, ages, sex), Err(field.to_owned()));
        }
        assert!(Seen::read(None).is_err());
    }
}

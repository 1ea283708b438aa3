//! A swap within a household is suspected before a card is made: of two applications that were made together,
//! and of a photograph that does not look like the resident.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::domain::{date::Date, rules};

/// What an application is called that is suspected of a swap.
pub const HOUSEHOLD_SWAP_SUSPECTED: &str = "HOUSEHOLD_SWAP_SUSPECTED";

/// Two applications of one household that are no further apart may have been mixed up.
const TOGETHER_MS: u64 = 3_600_000;

words! {
    /// Sex, as ISO 5218 has it.
    pub enum Sex, "a sex such as FEMALE" {
        /// It is not known.
        NotKnown = "NOT_KNOWN",
        /// Male.
        Male = "MALE",
        /// Female.
        Female = "FEMALE",
        /// It does not apply.
        NotApplicable = "NOT_APPLICABLE",
    }
}

impl Sex {
    /// Reads the digit of a record: 0, 1, 2 or 9; `None` for any other text.
    #[must_use]
    pub fn of_digit(text: &str) -> Option<Self> {
        match text {
            "0" => Some(Sex::NotKnown),
            "1" => Some(Sex::Male),
            "2" => Some(Sex::Female),
            "9" => Some(Sex::NotApplicable),
            _ => None,
        }
    }

    // What is not known contradicts nothing.
    fn contradicts(self, other: Sex) -> bool {
        matches!((self, other), (Sex::Male, Sex::Female) | (Sex::Female, Sex::Male))
    }
}

/// From which to which age somebody looks, in full years, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgeBand {
    from: i32,
    to: i32,
}

impl AgeBand {
    /// Returns the band; `None` if it ends before it begins.
    #[must_use]
    pub fn new(from: u8, to: u8) -> Option<Self> {
        (from <= to).then_some(Self { from: i32::from(from), to: i32::from(to) })
    }

    // A photograph may be half a year old, so that its age may be a year less.
    fn fits(self, age: i32) -> bool {
        (self.from..=self.to).contains(&age) || (self.from..=self.to).contains(&(age - 1))
    }
}

/// What whoever took or saw a photograph declares of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Photo {
    /// How old the person on it looks, if that was declared.
    pub ages: Option<AgeBand>,
    /// The sex, as declared.
    pub sex: Sex,
}

/// Whom the ID of the application belongs to. Personal data: it has no debug form.
#[derive(Clone, Copy)]
pub struct Resident {
    /// The day of birth, where the register has a whole one.
    pub birth: Option<Date>,
    /// The sex in the register.
    pub sex: Sex,
}

/// When and how an application was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submission {
    /// Which application.
    pub application: Uuid,
    /// The session in which it was made; none for one on paper.
    pub session: Option<Uuid>,
    /// When it was received, ms since the Unix epoch.
    pub received_ms: i64,
}

/// One reason to suspect that an application carries the ID or the photograph of another of the household.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Suspicion {
    /// That one was made in the same session.
    SameSession(Uuid),
    /// That one was made within an hour of it.
    WithinAnHour(Uuid),
    /// The photograph looks older or younger than the resident is.
    AgeOfPhoto,
    /// The photograph is of another sex than the resident.
    SexOfPhoto,
}

/// Returns every reason to suspect a swap. `others` are all other applications of the household, also those
/// that are void.
///
/// Both of two applications that were made together are suspected, each with the other's name, so that each
/// has to be confirmed. A later one of the household is a new suspicion, which no earlier word covers.
#[must_use]
pub fn suspicions(
    this: &Submission,
    others: &[Submission],
    photo: &Photo,
    resident: &Resident,
) -> BTreeSet<Suspicion> {
    let together = others.iter().filter(|other| other.application != this.application).filter_map(|other| {
        let same_session = this.session.is_some() && this.session == other.session;
        let apart_ms = this.received_ms.abs_diff(other.received_ms);
        match (same_session, apart_ms <= TOGETHER_MS) {
            (true, _) => Some(Suspicion::SameSession(other.application)),
            (false, true) => Some(Suspicion::WithinAnHour(other.application)),
            (false, false) => None,
        }
    });
    let mut found: BTreeSet<Suspicion> = together.collect();
    let age = resident.birth.map(|birth| rules::age(birth, Date::in_japan(this.received_ms)));
    if photo.ages.zip(age).is_some_and(|(ages, age)| !ages.fits(age)) {
        found.insert(Suspicion::AgeOfPhoto);
    }
    if photo.sex.contradicts(resident.sex) {
        found.insert(Suspicion::SexOfPhoto);
    }
    found
}

#[cfg(test)]
#[path = "mixup_tests.rs"]
mod tests;

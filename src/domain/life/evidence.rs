//! Which documents prove who somebody is: a notification card proves a number, and never an identity.
//!
//! One document with a photograph is enough; without one, two others are needed. Source: Ordinance for the
//! Enforcement of the Number Act (Cabinet Office and Ministry of Internal Affairs, No. 3 of 2014), Article 1,
//! in our short form.

use std::collections::BTreeSet;

words! {
    /// A document that somebody shows at the counter.
    pub enum Document, "a document such as PASSPORT" {
        /// An individual number card (個人番号カード).
        IndividualNumberCard = "INDIVIDUAL_NUMBER_CARD",
        /// A driving licence.
        DrivingLicence = "DRIVING_LICENCE",
        /// What one gets for a licence given back (運転経歴証明書).
        DrivingRecordCertificate = "DRIVING_RECORD_CERTIFICATE",
        /// A passport.
        Passport = "PASSPORT",
        /// A certificate of disability with a photograph.
        DisabilityCertificate = "DISABILITY_CERTIFICATE",
        /// A foreign resident's residence card.
        ResidenceCard = "RESIDENCE_CARD",
        /// A special permanent resident's certificate.
        SpecialPermanentResidentCertificate = "SPECIAL_PERMANENT_RESIDENT_CERTIFICATE",
        /// A health insurance card: no photograph.
        HealthInsuranceCard = "HEALTH_INSURANCE_CARD",
        /// A pension book: no photograph.
        PensionBook = "PENSION_BOOK",
        /// A certificate of child rearing allowance: no photograph.
        ChildRearingAllowanceCertificate = "CHILD_REARING_ALLOWANCE_CERTIFICATE",
        /// A notification card (通知カード): it proves a number.
        NotificationCard = "NOTIFICATION_CARD",
    }
}

/// What a document says about who somebody is.
enum Weight {
    Alone,
    OneOfTwo,
    Nothing,
}

impl Document {
    fn weight(self) -> Weight {
        match self {
            Document::IndividualNumberCard
            | Document::DrivingLicence
            | Document::DrivingRecordCertificate
            | Document::Passport
            | Document::DisabilityCertificate
            | Document::ResidenceCard
            | Document::SpecialPermanentResidentCertificate => Weight::Alone,
            Document::HealthInsuranceCard
            | Document::PensionBook
            | Document::ChildRearingAllowanceCertificate => Weight::OneOfTwo,
            Document::NotificationCard => Weight::Nothing,
        }
    }
}

/// Whether these documents prove who somebody is.
#[must_use]
pub fn prove_identity(documents: &BTreeSet<Document>) -> bool {
    let points = documents.iter().map(|document| match document.weight() {
        Weight::Alone => 2,
        Weight::OneOfTwo => 1,
        Weight::Nothing => 0,
    });
    points.sum::<u32>() >= 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::life::BadWord;

    const ALONE: [Document; 7] = [
        Document::IndividualNumberCard,
        Document::DrivingLicence,
        Document::DrivingRecordCertificate,
        Document::Passport,
        Document::DisabilityCertificate,
        Document::ResidenceCard,
        Document::SpecialPermanentResidentCertificate,
    ];

    #[test]
    fn one_document_with_a_photograph_or_two_others_prove_an_identity_and_a_notification_card_adds_nothing() {
        assert!(!prove_identity(&BTreeSet::new()));
        for &one in Document::ALL {
            let alone = ALONE.contains(&one);
            assert_eq!(prove_identity(&BTreeSet::from([one])), alone, "{one}");
            let with_number = BTreeSet::from([one, Document::NotificationCard]);
            assert_eq!(prove_identity(&with_number), alone, "{one} and a notification card");
            for &other in Document::ALL.iter().filter(|other| **other != one) {
                let number = [one, other].contains(&Document::NotificationCard);
                let expected = alone || ALONE.contains(&other) || !number;
                assert_eq!(prove_identity(&BTreeSet::from([one, other])), expected, "{one} and {other}");
            }
        }
    }

    #[test]
    fn every_document_is_read_back_by_its_word() {
        for &one in Document::ALL {
            assert_eq!(one.to_string().parse(), Ok(one));
        }
        let bad: Result<Document, BadWord> = "LIBRARY_CARD".parse();
        assert_eq!(bad.expect_err("none").to_string(), "must be a document such as PASSPORT, in capitals");
    }
}

//! How long a card and its certificates are valid, counted in birthdays.
//!
//! A birthday on 29 February counts as 28 February in every year. That is our assumption, by analogy to
//! driving licences: the rule that we were given says nothing about it.

use crate::domain::date::Date;

/// From this day on 18 years make an adult; before, 20.
const ADULT_AT_18: (i32, u8, u8) = (2022, 4, 1);
/// Below this age nobody has a signature certificate.
const SIGNATURE_AGE: i32 = 15;

/// Returns the age in full years on `day`; 0 before the birth.
#[must_use]
pub fn age(birth: Date, day: Date) -> i32 {
    let had_birthday = birthday(birth, day.year()).is_none_or(|birthday| birthday <= day);
    (day.year() - birth.year() - i32::from(!had_birthday)).max(0)
}

/// Returns the last day of a card that is issued on `issue`: the 10th birthday after that day for an adult,
/// the 5th for anybody younger, and the end of a foreign resident's stay if that is sooner. `None` beyond the
/// year 9999.
///
/// An adult is 18, or 20 for a card issued before 1 April 2022. A birthday on the day of issue does not
/// count.
#[must_use]
pub fn card_expiry(issue: Date, birth: Date, stay_until: Option<Date>) -> Option<Date> {
    let (year, month, day) = ADULT_AT_18;
    let adult = if issue < Date::new(year, month, day)? { 20 } else { 18 };
    let birthdays = if age(birth, issue) >= adult { 10 } else { 5 };
    let last = nth_birthday_after(issue, birth, birthdays)?;
    Some(stay_until.map_or(last, |stay| stay.min(last)))
}

/// Returns the last day of a certificate that is issued on `issue`: the 5th birthday after that day, and not
/// later than the card. `None` beyond the year 9999.
#[must_use]
pub fn certificate_expiry(issue: Date, birth: Date, card_expiry: Date) -> Option<Date> {
    nth_birthday_after(issue, birth, 5).map(|last| last.min(card_expiry))
}

/// Whether somebody may have a signature certificate on `day`.
#[must_use]
pub fn may_have_signature_certificate(birth: Date, day: Date) -> bool {
    age(birth, day) >= SIGNATURE_AGE
}

fn nth_birthday_after(day: Date, birth: Date, n: i32) -> Option<Date> {
    let this_year = birthday(birth, day.year())?;
    birthday(birth, day.year() + n - i32::from(this_year > day))
}

fn birthday(birth: Date, year: i32) -> Option<Date> {
    let day = if (birth.month(), birth.day()) == (2, 29) { 28 } else { birth.day() };
    Date::new(year, birth.month(), day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Date {
        Date::parse(text).expect("a day")
    }

    fn card(issue: &str, birth: &str, stay: Option<&str>) -> String {
        card_expiry(date(issue), date(birth), stay.map(date)).expect("before 9999").to_string()
    }

    #[test]
    fn adults_have_ten_birthdays_and_the_young_five() {
        assert_eq!(card("2026-11-25", "1980-06-01", None), "2036-06-01");
        assert_eq!(card("2026-05-31", "1980-06-01", None), "2035-06-01", "the first one is tomorrow");
        assert_eq!(card("2026-11-25", "2010-06-01", None), "2031-06-01");
        assert_eq!(card("2026-06-01", "2008-06-01", None), "2036-06-01", "18 today");
        assert_eq!(card("2026-05-31", "2008-06-01", None), "2030-06-01", "18 tomorrow");
        assert_eq!(card("2022-03-31", "2003-01-10", None), "2027-01-10", "19, and not yet an adult");
        assert_eq!(card("2022-04-01", "2003-01-10", None), "2032-01-10", "19, and an adult since today");
        assert_eq!(card("2022-03-31", "2002-03-31", None), "2032-03-31", "20 today");
    }

    #[test]
    fn a_card_issued_on_a_birthday_counts_from_the_next() {
        assert_eq!(card("2026-06-01", "1980-06-01", None), "2036-06-01");
        assert_eq!(card("2026-06-02", "1980-06-01", None), "2036-06-01");
    }

    #[test]
    fn a_birthday_on_29_february_is_the_28th() {
        assert_eq!(card("2025-06-01", "1980-02-29", None), "2035-02-28");
        assert_eq!(card("2018-06-01", "1980-02-29", None), "2028-02-28", "also in a leap year");
        assert_eq!(card("2026-02-28", "1980-02-29", None), "2036-02-28", "issued on it");
        assert_eq!(age(date("2008-02-29"), date("2026-02-27")), 17);
        assert_eq!(age(date("2008-02-29"), date("2026-02-28")), 18);
    }

    #[test]
    fn a_stay_that_ends_sooner_ends_the_card() {
        assert_eq!(card("2026-11-25", "1980-06-01", Some("2027-03-31")), "2027-03-31");
        assert_eq!(card("2026-11-25", "1980-06-01", Some("2050-01-01")), "2036-06-01");
    }

    #[test]
    fn certificates_end_with_the_5th_birthday_or_the_card() {
        let certificate = |issue, birth, card| certificate_expiry(date(issue), date(birth), date(card));
        assert_eq!(certificate("2026-11-25", "1980-06-01", "2036-06-01"), Some(date("2031-06-01")));
        assert_eq!(certificate("2033-11-25", "1980-06-01", "2036-06-01"), Some(date("2036-06-01")));
        assert!(!may_have_signature_certificate(date("2012-01-10"), date("2027-01-09")));
        assert!(may_have_signature_certificate(date("2012-01-10"), date("2027-01-10")));
        assert_eq!(card_expiry(date("9999-01-01"), date("1980-06-01"), None), None);
    }
}

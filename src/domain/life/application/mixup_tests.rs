//! Promise: two applications of a household that may have been swapped are suspected, both of them, and a
//! photograph that cannot be the resident's is.

use proptest::prelude::*;

use super::*;

const MAY_2016_MS: i64 = 1_462_060_800_000; // 2016-05-01T00:00:00Z
const MINUTE_MS: i64 = 60_000;

fn submission(application: u128, session: Option<u128>, minute: i64) -> Submission {
    Submission {
        application: Uuid::from_u128(application),
        session: session.map(Uuid::from_u128),
        received_ms: MAY_2016_MS + minute * MINUTE_MS,
    }
}

fn resident(birth: &str, sex: Sex) -> Resident {
    Resident { birth: Some(Date::parse(birth).expect("a day")), sex }
}

fn photo(from: u8, to: u8, sex: Sex) -> Photo {
    Photo { ages: Some(AgeBand::new(from, to).expect("in order")), sex }
}

const UNDECLARED: Photo = Photo { ages: None, sex: Sex::NotKnown };

fn of(this: &Submission, others: &[Submission]) -> Vec<Suspicion> {
    suspicions(this, others, &UNDECLARED, &resident("1980-06-01", Sex::Female)).into_iter().collect()
}

#[test]
fn two_of_one_household_from_one_session_or_within_an_hour_are_both_suspected() {
    let mother = submission(1, Some(7), 0);
    for (child, same_session, suspected) in [
        (submission(2, Some(7), 0), true, true),
        (submission(2, Some(7), 1440), true, true),
        (submission(2, Some(8), 60), false, true),
        (submission(2, None, -60), false, true),
        (submission(2, Some(8), 61), false, false),
        (submission(2, None, -61), false, false),
    ] {
        let reason = if same_session { Suspicion::SameSession } else { Suspicion::WithinAnHour };
        let expected = |other: &Submission| Vec::from_iter(suspected.then_some(reason(other.application)));
        assert_eq!(of(&mother, &[child]), expected(&child), "{child:?}");
        assert_eq!(of(&child, &[mother]), expected(&mother), "{child:?}");
    }
    let on_paper = [submission(1, None, 0), submission(2, None, 61)];
    assert_eq!(of(&on_paper[0], &on_paper), [], "no session is no common session");
    assert_eq!(of(&mother, &[mother]), [], "it is not swapped with itself");
}

#[test]
fn every_other_application_is_a_suspicion_of_its_own() {
    let this = submission(1, Some(7), 0);
    let others = [submission(2, Some(7), 5), submission(3, Some(9), 5), submission(4, Some(9), 500)];
    let named = [Suspicion::SameSession(Uuid::from_u128(2)), Suspicion::WithinAnHour(Uuid::from_u128(3))];
    assert_eq!(of(&this, &others), named);
}

#[test]
fn parent_and_child_whose_photographs_were_swapped_are_suspected_by_age() {
    let of = |photo: Photo, resident: Resident| -> Vec<Suspicion> {
        suspicions(&submission(1, None, 0), &[], &photo, &resident).into_iter().collect()
    };
    let (mother, child) = (resident("1980-06-01", Sex::Female), resident("2010-06-01", Sex::Female));
    let (of_mother, of_child) = (photo(30, 45, Sex::Female), photo(3, 8, Sex::Female));
    assert_eq!((of(of_mother, mother), of(of_child, child)), (vec![], vec![]));
    assert_eq!(of(of_child, mother), [Suspicion::AgeOfPhoto]);
    assert_eq!(of(of_mother, child), [Suspicion::AgeOfPhoto]);
    let father = resident("1980-06-01", Sex::Male);
    assert_eq!(of(of_mother, father), [Suspicion::SexOfPhoto]);
    assert_eq!(of(of_child, father), [Suspicion::AgeOfPhoto, Suspicion::SexOfPhoto]);
    // 5 years old; a photograph of half a year ago may be of a child of 4.
    for (from, to, fits) in [(5, 5, true), (4, 4, true), (3, 3, false), (6, 9, false), (0, 3, false)] {
        assert_eq!(of(photo(from, to, Sex::Female), child).is_empty(), fits, "{from} to {to}");
    }
}

#[test]
fn what_is_not_known_contradicts_nothing() {
    let unknown = [Sex::NotKnown, Sex::NotApplicable];
    for sex in unknown {
        for other in [Sex::Male, Sex::Female, sex] {
            assert!(!sex.contradicts(other) && !other.contradicts(sex), "{sex} {other}");
        }
    }
    let nobody = Resident { birth: None, sex: Sex::NotKnown };
    let found = suspicions(&submission(1, None, 0), &[], &photo(1, 2, Sex::Male), &nobody);
    assert!(found.is_empty());
    assert_eq!(AgeBand::new(3, 2), None);
    let read: Vec<_> = ["0", "1", "2", "9", "3", ""].iter().map(|digit| Sex::of_digit(digit)).collect();
    let sexes = [Sex::NotKnown, Sex::Male, Sex::Female, Sex::NotApplicable].map(Some);
    assert_eq!(read, [&sexes[..], &[None, None]].concat());
}

proptest! {
    #[test]
    fn suspicion_of_two_that_were_made_together_is_mutual_at_any_times(
        times in prop::array::uniform2(prop_oneof![any::<i64>(), -4_000_000..4_000_000i64]),
        sessions in prop::array::uniform2(prop::option::of(0..2u128)),
    ) {
        let made = |n: usize| Submission {
            application: Uuid::from_u128(n as u128),
            session: sessions[n].map(Uuid::from_u128),
            received_ms: times[n],
        };
        let (one, other) = (made(0), made(1));
        prop_assert_eq!(of(&one, &[other]).is_empty(), of(&other, &[one]).is_empty());
    }
}

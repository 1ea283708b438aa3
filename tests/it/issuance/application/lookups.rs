//! Promise: an application ID alone gets nobody anything: a wrong one is answered as a wrong birth date is,
//! and neither is found by trying.

use std::time::Duration;

use tonic::Code;

use super::*;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

impl World {
    /// Tries an ID with a date, and returns the whole status that it is refused with.
    async fn tried(&self, request: &str, id: &str, birth: &str) -> Status {
        let request = self.submission(request, id, birth, 1);
        self.calls().submit_application(request).await.expect_err("it is refused")
    }

    async fn is_limited(&self, request: &str, id: &str, birth: &str) -> Duration {
        let refused = fault(self.tried(request, id, birth).await);
        assert_eq!(refused.reason, Reason::LookupsLimited, "{refused:?}");
        assert!(!refused.message.contains(id) && !refused.message.contains(birth), "{refused:?}");
        refused.retry_after.expect("it says how long to wait")
    }
}

// The first mix-up of 2016: with one digit wrong, an ID was another person's.
on_both!(an_id_that_is_another_persons_is_refused_for_the_birth_date_and_typos_are_no_ids_at_all, async {
    let world = World::start().await;
    let (mothers, childs) = (world.form(MOTHER).await, world.form(CHILD).await);
    let refused = fault(world.tried("x-1", &childs, born(MOTHER)).await);
    assert_eq!(refused.reason, Reason::NotFound, "{refused:?}");
    let mut calls = world.calls();
    let mut typo = async |wrong: String| {
        let request = world.submission("x-2", &wrong, born(MOTHER), 1);
        let refused = calls.submit_application(request).await.map_err(fault).expect_err("no ID");
        assert_eq!(
            (refused.reason, refused.violations[0].0.as_str()),
            (Reason::FieldInvalid, "application_id")
        );
        assert!(!format!("{refused:?}").contains(&wrong), "{refused:?}");
    };
    let digits = mothers.as_bytes();
    for at in 0..digits.len() {
        for digit in (b'0'..=b'9').filter(|digit| *digit != digits[at]) {
            let mut wrong = digits.to_vec();
            wrong[at] = digit;
            typo(String::from_utf8(wrong).expect("digits")).await;
        }
        if at + 1 < digits.len() && digits[at] != digits[at + 1] {
            let mut swapped = digits.to_vec();
            swapped.swap(at, at + 1);
            typo(String::from_utf8(swapped).expect("digits")).await;
        }
    }
    // None of these two hundred was a look-up.
    world.submit(world.submission("s-1", &mothers, born(MOTHER), 1)).await.expect("the right one");
});

on_both!(a_wrong_id_and_a_wrong_date_have_the_same_answer_to_the_last_byte, async {
    let world = World::start().await;
    let id = world.form(MOTHER).await;
    let answers = [
        world.tried("x-1", &id, "1980-02-28").await,
        world.tried("x-2", &nobodys(7), "1980-02-28").await,
        world.tried("x-3", &nobodys(7), born(MOTHER)).await,
        world.tried("x-4", &world.form(CHILD).await, born(MOTHER)).await,
    ];
    let whole = |status: &Status| (status.code(), status.message().to_owned(), status.details().to_vec());
    assert_eq!(answers[0].code(), Code::NotFound);
    for answer in &answers[1..] {
        assert_eq!(whole(answer), whole(&answers[0]));
    }
    assert!(!answers[0].message().contains("1980"), "{:?}", answers[0]);
    // A municipality that has no orders at all hears no other thing.
    let other = world.issuer.party("municipality/011002").await;
    let request = world.submission("x-5", &id, born(MOTHER), 1);
    let elsewhere = calls(&other).submit_application(request).await.expect_err("it is another's");
    assert_eq!(whole(&elsewhere), whole(&answers[0]));
});

on_both!(an_id_is_locked_for_a_day_after_five_wrong_dates_whether_it_exists_or_not, async {
    let world = World::start().await;
    let ids = [world.form(MOTHER).await, nobodys(1)];
    for (who, id) in ids.iter().enumerate() {
        for n in 1..=5 {
            let answer = world.tried(&format!("x-{who}-{n}"), id, &format!("1980-01-{n:02}")).await;
            assert_eq!(answer.code(), Code::NotFound);
        }
    }
    for id in &ids {
        let wait = world.is_limited("y-1", id, born(MOTHER)).await;
        assert!(wait == Duration::from_secs(86_400), "{wait:?}: also with the right date");
    }
    // The same request was counted, and is answered as before.
    assert_eq!(world.tried("x-0-5", &ids[0], "1980-01-05").await.code(), Code::NotFound);
    world.apply("s-1", CHILD, 1).await.expect("another ID is not touched");
    world.issuer.clock.advance(DAY_MS - MINUTE_MS);
    assert_eq!(world.is_limited("y-2", &ids[0], born(MOTHER)).await, Duration::from_secs(60));
    world.issuer.clock.advance(MINUTE_MS);
    world.submit(world.submission("y-3", &ids[0], born(MOTHER), 1)).await.expect("it has worn off");
});

on_both!(a_municipality_has_thirty_wrong_ones_in_ten_minutes_and_no_other_pays_for_it, async {
    let world = World::start().await;
    let id = world.form(MOTHER).await;
    for n in 0..30 {
        assert_eq!(world.tried(&format!("x-{n}"), &nobodys(n), "1980-01-01").await.code(), Code::NotFound);
        if n == 20 {
            world
                .apply("s-1", CHILD, 1)
                .await
                .expect("what is right counts for nothing, and takes none away");
        }
    }
    assert_eq!(world.is_limited("y-1", &id, born(MOTHER)).await, Duration::from_secs(600));
    assert_eq!(world.is_limited("y-2", &nobodys(31), born(MOTHER)).await, Duration::from_secs(600));
    let again = world.submission("s-1", &world.form(CHILD).await, born(CHILD), 1);
    world.submit(again).await.expect("what was done is answered all the same");
    let other = world.issuer.party("municipality/011002").await;
    let request = world.submission("x-1", &nobodys(1), "1980-01-01", 1);
    let elsewhere = calls(&other).submit_application(request).await.map_err(fault).expect_err("no such ID");
    assert_eq!(elsewhere.reason, Reason::NotFound);
    world.issuer.clock.advance(10 * MINUTE_MS);
    world.submit(world.submission("y-1", &id, born(MOTHER), 1)).await.expect("it has worn off");
});

on_both!(tries_that_come_all_at_once_are_counted_each, async {
    let world = World::start().await;
    let id = world.form(MOTHER).await;
    let tries = (1..=20).map(|n| {
        let (world, id) = (&world, &id);
        async move { world.tried(&format!("x-{n}"), id, &format!("1980-01-{n:02}")).await.code() }
    });
    let answers = futures_util::future::join_all(tries).await;
    let looked_up = answers.iter().filter(|code| **code == Code::NotFound).count();
    assert_eq!(looked_up, 5, "{answers:?}");
});

on_both!(what_is_no_application_is_refused_by_field_and_never_repeated, async {
    let world = World::start().await;
    let id = world.form(MOTHER).await;
    let good = world.submission("x-1", &id, born(MOTHER), 1);
    let photo_of = |photo: pb::Photo| pb::SubmitApplicationRequest { photo: Some(photo), ..good.clone() };
    for (request, field) in [
        (
            pb::SubmitApplicationRequest { application_id: "葛飾".to_owned(), ..good.clone() },
            "application_id",
        ),
        (pb::SubmitApplicationRequest { birth_date: "1980-02-30".to_owned(), ..good.clone() }, "birth_date"),
        (pb::SubmitApplicationRequest { session_id: "tuesday".to_owned(), ..good.clone() }, "session_id"),
        (pb::SubmitApplicationRequest { photo: None, ..good.clone() }, "photo"),
        (photo_of(photo("", 0, 0, 0)), "photo.reference"),
        (photo_of(photo("P", 9, 8, 0)), "photo.age_to"),
        (photo_of(photo("P", 0, 0, 3)), "photo.sex"),
        (pb::SubmitApplicationRequest { request_id: String::new(), ..good.clone() }, "request_id"),
        (pb::SubmitApplicationRequest { occurred_time: None, ..good.clone() }, "occurred_time"),
        (pb::SubmitApplicationRequest { occurred_time: world.at(611), ..good.clone() }, "occurred_time"),
    ] {
        let refused = world.submit(request).await.expect_err(field);
        assert_eq!((refused.reason, refused.violations[0].0.as_str()), (Reason::FieldInvalid, field));
        for said in ["葛飾", "1980", "tuesday", id.as_str()] {
            assert!(!format!("{refused:?}").contains(said), "{refused:?}");
        }
    }
    world.submit(good).await.expect("nothing was kept of them");
});

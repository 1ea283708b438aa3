//! Promise: applications that may have been swapped within a household are suspected, both of them, and enter
//! no production before somebody has confirmed each reason to be none.

use std::collections::BTreeSet;

use todoke::domain::life::{
    Why,
    application::{ApplicationCommand, ApplicationState, mixup::Suspicion},
};

use super::*;

impl World {
    /// Takes mother's and child's applications out of one session, each with the other's photograph.
    async fn swapped(&self) -> [String; 2] {
        let mut numbers = Vec::new();
        for (request, order, seen) in
            [("s-1", MOTHER, photo("P-1", 5, 12, 2)), ("s-2", CHILD, photo("P-2", 40, 55, 2))]
        {
            let id = self.form(order).await;
            let request = pb::SubmitApplicationRequest {
                session_id: SESSION.to_owned(),
                photo: Some(seen),
                ..self.submission(request, &id, born(order), 1)
            };
            numbers.push(self.submit(request).await.expect("it is taken").application_number);
        }
        numbers.try_into().expect("two")
    }

    async fn no_swap(
        &self,
        request: &str,
        number: &str,
        named: Vec<pb::Suspicion>,
    ) -> Result<pb::Application, Fault> {
        let no_swap = pb::NoSwap { clerk: "sato".to_owned(), suspicions: named };
        self.review(request, number, Finding::NoSwap(no_swap)).await
    }
}

/// Whether a producer may be given it, by the pure rule and by what the API says of it.
fn may_be_made(application: &pb::Application) -> Result<(), Why> {
    let read = |one: &pb::Suspicion| match one.kind.as_str() {
        "SAME_SESSION" => Suspicion::SameSession(one.other_application_number.parse().expect("a UUID")),
        "WITHIN_AN_HOUR" => Suspicion::WithinAnHour(one.other_application_number.parse().expect("a UUID")),
        "AGE_OF_PHOTO" => Suspicion::AgeOfPhoto,
        "SEX_OF_PHOTO" => Suspicion::SexOfPhoto,
        other => panic!("no suspicion: {other}"),
    };
    let all = application.suspicions.iter();
    let suspicions: BTreeSet<_> = all.clone().map(read).collect();
    let confirmed = all.filter(|one| one.confirmed).map(read).collect();
    let command = ApplicationCommand::StartProduction { suspicions, confirmed };
    let after = ApplicationState::Approved.after(&command);
    after.map(drop).map_err(|illegal| illegal.why)
}

// The second mix-up of 2016: parent and child applied in one session, and each got the other's photograph.
on_both!(parent_and_child_of_one_session_are_suspected_both_and_not_made_before_each_is_confirmed, async {
    let world = World::start().await;
    let [mother, child] = world.swapped().await;
    for (number, other) in [(&mother, &child), (&child, &mother)] {
        let approved = world.approve(number).await;
        assert_eq!(approved.state(), pb::ApplicationState::Approved, "a suspicion is no refusal");
        let expected = [("SAME_SESSION", other.as_str(), false), ("AGE_OF_PHOTO", "", false)];
        assert_eq!(suspected(&approved), expected);
        assert_eq!(may_be_made(&approved), Err(Why::SwapSuspected));
    }
    let stands = world.get(&mother).await.application.expect("it");
    let some = stands.suspicions[..1].to_vec();
    let fewer = world.no_swap("c-1", &mother, some).await.expect_err("the photograph was not looked at");
    assert_eq!(fewer.reason, Reason::ItemState);
    let mut more = stands.suspicions.clone();
    more.push(pb::Suspicion { kind: "SEX_OF_PHOTO".to_owned(), ..Default::default() });
    assert_eq!(
        world.no_swap("c-1", &mother, more).await.expect_err("it does not stand").reason,
        Reason::ItemState
    );
    let confirmed = world.no_swap("c-1", &mother, stands.suspicions.clone()).await.expect("all of them");
    assert_eq!(suspected(&confirmed), [("SAME_SESSION", child.as_str(), true), ("AGE_OF_PHOTO", "", true)]);
    assert_eq!((confirmed.state(), may_be_made(&confirmed)), (pb::ApplicationState::Approved, Ok(())));
    let others = world.get(&child).await.application.expect("it");
    assert_eq!(may_be_made(&others), Err(Why::SwapSuspected), "one word does not cover the other");
    // The father's, half an hour later, is a new suspicion of all three, which no earlier word covers.
    let father = world.apply("s-3", FATHER, 31).await.expect("it is taken");
    assert_eq!(father.suspicions.len(), 2);
    let stands = world.get(&mother).await.application.expect("it");
    let new = ("WITHIN_AN_HOUR", father.application_number.as_str(), false);
    assert!(suspected(&stands).contains(&new), "{stands:?}");
    assert_eq!(may_be_made(&stands), Err(Why::SwapSuspected));
});

on_both!(a_photograph_that_is_sent_again_is_held_against_the_record_anew, async {
    let world = World::start().await;
    let [mother, _] = world.swapped().await;
    let stands = world.get(&mother).await.application.expect("it");
    world.no_swap("c-1", &mother, stands.suspicions.clone()).await.expect("all of them");
    world.review("r-1", &mother, Finding::Defect("the photograph is dark".to_owned())).await.expect("noted");
    let sent = async |request: &str, seen: pb::Photo| {
        let request = pb::ResubmitApplicationRequest {
            request_id: request.to_owned(),
            application_number: mother.clone(),
            photo: Some(seen),
            occurred_time: world.at(90),
        };
        taken(world.calls().resubmit_application(request).await)
    };
    let again = sent("b-1", photo("P-3", 20, 25, 1)).await.expect("it is taken");
    let of_photo: Vec<_> = suspected(&again).into_iter().filter(|one| one.1.is_empty()).collect();
    assert_eq!(
        of_photo,
        [("AGE_OF_PHOTO", "", false), ("SEX_OF_PHOTO", "", false)],
        "not the word of before"
    );
    assert_eq!(sent("b-2", photo("P-4", 0, 0, 0)).await.expect_err("nobody asked").reason, Reason::ItemState);
    world.review("r-2", &mother, Finding::Defect("another person".to_owned())).await.expect("noted");
    let again = sent("b-3", photo("P-5", 40, 55, 2)).await.expect("it is taken");
    assert_eq!(again.suspicions.len(), 1, "what fits is not suspected: {again:?}");
});

on_both!(neighbours_and_those_of_other_days_are_not_suspected, async {
    let world = World::start().await;
    let mother = world.apply("s-1", MOTHER, 1).await.expect("it is taken").application_number;
    let neighbour = world.apply("s-2", NEIGHBOUR, 1).await.expect("it is taken");
    let father = world.apply("s-3", FATHER, 62).await.expect("it is taken");
    assert_eq!((suspected(&neighbour), suspected(&father)), (vec![], vec![]), "61 minutes are no hour");
    assert_eq!(suspected(&world.get(&mother).await.application.expect("it")), []);
    let none = world.no_swap("c-1", &mother, Vec::new()).await.expect_err("there is nothing to say");
    assert_eq!(none.reason, Reason::ItemState);
    for named in [
        pb::Suspicion { kind: "NAME".to_owned(), ..Default::default() },
        pb::Suspicion { kind: "SAME_SESSION".to_owned(), ..Default::default() },
        pb::Suspicion {
            kind: "AGE_OF_PHOTO".to_owned(),
            other_application_number: mother.clone(),
            confirmed: false,
        },
    ] {
        let wrong = world.no_swap("c-1", &mother, vec![named]).await.expect_err("no suspicion");
        assert_eq!(wrong.violations[0].0, "no_swap.suspicions[0]");
    }
});

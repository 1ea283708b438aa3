//! Promise: where an envelope stands does not depend on the order in which its events came, and no event is
//! lost for not fitting.

use std::num::NonZeroU32;

use proptest::prelude::*;

use super::{
    super::disposal::{Disposal, Retention},
    *,
};
use crate::domain::date::Date;

fn clerk(name: &str) -> Clerk {
    name.parse().expect("a clerk")
}

fn insert(scanned: u32) -> MailCommand {
    let evidence = Some(InsertionEvidence::Scan { card_count: scanned });
    MailCommand::Insert { card_count: NonZeroU32::MIN, evidence }
}

fn confirm(proposed_by: &str, confirmed_by: &str, seen_ms: Option<i64>) -> MailCommand {
    let disposal = Disposal {
        proposed_by: clerk(proposed_by),
        confirmed_by: clerk(confirmed_by),
        on: Date::new(2016, 4, 1).expect("a day"),
        retention: Retention::national(),
        seen_ms,
    };
    MailCommand::ConfirmDisposal { disposal }
}

/// Each happens a second after the one before, from second 1; its id is its number.
fn events(commands: &[MailCommand]) -> Vec<MailEvent> {
    let numbered = (1..).zip(commands);
    numbered.map(|(n, command)| event(n, n, command)).collect()
}

fn event(id: u32, second: u32, command: &MailCommand) -> MailEvent {
    MailEvent {
        id: Uuid::from_u128(id.into()),
        occurred_ms: i64::from(second) * 1000,
        command: command.clone(),
    }
}

fn why(standing: &Standing) -> Vec<(u128, Why)> {
    standing.out_of_place.iter().map(|one| (one.event.id.as_u128(), one.why.why)).collect()
}

#[test]
fn an_envelope_goes_through_its_life_and_each_step_has_its_moment() {
    use MailCommand as Do;
    use MailState as Is;
    let life = [
        (Do::Print, Is::Printed, Milestone::Printed),
        (insert(1), Is::Inserted, Milestone::Inserted),
        (Do::Post, Is::Posted, Milestone::Posted),
        (Do::Return, Is::Returned, Milestone::Returned),
        (Do::Store, Is::Stored, Milestone::Returned),
        (Do::FindMissing, Is::Missing, Milestone::Returned),
        (Do::FindAgain, Is::Stored, Milestone::Returned),
        (Do::RequestRedelivery, Is::Redelivering, Milestone::Returned),
        (Do::Return, Is::Returned, Milestone::Returned),
        (Do::Store, Is::Stored, Milestone::Returned),
        (Do::HandOver, Is::HandedOut, Milestone::HandedOut),
        (Do::ClaimEmptyEnvelope, Is::EmptyEnvelopeClaimed, Milestone::HandedOut),
    ];
    let all: Vec<MailCommand> = life.iter().map(|(command, ..)| command.clone()).collect();
    assert_eq!(Standing::of(Vec::new()), Standing::default());
    for (n, (command, state, furthest)) in life.iter().enumerate() {
        let standing = Standing::of(events(&all[..=n]));
        assert_eq!((standing.state, standing.furthest), (*state, *furthest), "{command:?}");
        assert_eq!(standing.since_ms, Some((n as i64 + 1) * 1000), "{command:?}");
        assert_eq!(standing.out_of_place, [], "{command:?}");
    }
}

#[test]
fn what_was_delivered_was_posted_even_if_that_scan_is_lost() {
    for last in
        [MailCommand::Deliver, MailCommand::Return, MailCommand::Store, MailCommand::ClaimEmptyEnvelope]
    {
        let standing = Standing::of(events(std::slice::from_ref(&last)));
        assert!(standing.furthest >= Milestone::Posted, "{last:?}");
        assert_eq!((standing.out_of_place.len(), standing.insertion), (0, None), "{last:?}");
    }
}

#[test]
fn a_scan_whose_time_is_wrong_is_named_and_still_shows_that_the_card_was_inside() {
    let standing = Standing::of(events(&[MailCommand::Deliver, insert(1), MailCommand::Print]));
    assert_eq!((standing.state, standing.since_ms), (MailState::Delivered, Some(1000)));
    assert_eq!(why(&standing), [(2, Why::State), (3, Why::State)]);
    assert_eq!(standing.insertion, Some(InsertionEvidence::Scan { card_count: 1 }));
    let unshown = Standing::of(events(&[insert(2), MailCommand::Deliver]));
    assert_eq!((unshown.state, unshown.insertion), (MailState::Delivered, None));
    assert_eq!(why(&unshown), [(1, Why::NoInsertionEvidence)]);
}

#[test]
fn what_was_voided_too_late_is_where_it_is() {
    let standing = Standing::of(events(&[MailCommand::Void, MailCommand::Post, MailCommand::Void]));
    assert_eq!(standing.state, MailState::Posted);
    assert_eq!(why(&standing), [(3, Why::State)]);
}

#[test]
fn a_scan_that_is_said_again_changes_nothing_and_not_since_when() {
    let standing = Standing::of(events(&[MailCommand::Return, MailCommand::Return]));
    assert_eq!((standing.since_ms, standing.out_of_place.len()), (Some(1000), 0));
}

#[test]
fn scans_of_one_moment_are_taken_in_the_order_of_the_life() {
    let one_moment = [MailCommand::Deliver, MailCommand::Post, insert(1), MailCommand::Print];
    let events = (1..).zip(&one_moment).map(|(id, command)| event(id, 1, command)).collect();
    let standing = Standing::of(events);
    assert_eq!((standing.state, standing.out_of_place), (MailState::Delivered, Vec::new()));
}

#[test]
fn two_people_destroy_what_was_proposed_and_counted_since_it_was_stored_and_nothing_else() {
    let propose = |by| MailCommand::ProposeDisposal { by: clerk(by) };
    let after = |commands: &[MailCommand]| {
        let standing = Standing::of(events(&[&[MailCommand::Store], commands].concat()));
        (standing.state, why(&standing).into_iter().map(|(_, why)| why).collect::<Vec<_>>())
    };
    let seen = Some(1000);
    assert_eq!(after(&[propose("alice"), confirm("alice", "bob", seen)]), (MailState::Disposed, vec![]));
    let stays = |why| (MailState::Stored, vec![why]);
    assert_eq!(after(&[confirm("alice", "bob", seen)]), stays(Why::NotProposed));
    assert_eq!(after(&[propose("carol"), confirm("alice", "bob", seen)]), stays(Why::NotProposed));
    assert_eq!(after(&[propose("alice"), confirm("alice", "alice", seen)]), stays(Why::SamePerson));
    assert_eq!(after(&[propose("alice"), confirm("alice", "bob", None)]), stays(Why::NotCounted));
    assert_eq!(after(&[propose("alice"), confirm("alice", "bob", Some(999))]), stays(Why::NotCounted));
    // Missing and found again: proposed before, and counted before.
    let again = [propose("alice"), MailCommand::FindMissing, MailCommand::FindAgain];
    let anew = [&again[..], &[confirm("alice", "bob", Some(4000))]].concat();
    assert_eq!(after(&anew), stays(Why::NotProposed));
    let uncounted = [&again[..], &[propose("alice"), confirm("alice", "bob", Some(3999))]].concat();
    assert_eq!(after(&uncounted), stays(Why::NotCounted));
    let right = [&again[..], &[propose("alice"), confirm("alice", "bob", Some(4000))]].concat();
    assert_eq!(after(&right), (MailState::Disposed, vec![]));
}

fn command() -> impl Strategy<Value = MailCommand> {
    use MailCommand as Do;
    let clerks = || prop::sample::select(vec!["alice", "bob"]);
    prop_oneof![
        8 => prop::sample::select(vec![
            Do::Print, Do::Post, Do::Deliver, Do::Return, Do::Store, Do::HandOver, Do::RequestRedelivery,
            Do::FindMissing, Do::FindAgain, Do::ClaimEmptyEnvelope, Do::Void,
        ]),
        1 => (0..3u32).prop_map(insert),
        1 => clerks().prop_map(|by| Do::ProposeDisposal { by: clerk(by) }),
        1 => (clerks(), clerks(), prop::option::of(0..9000i64))
            .prop_map(|(by, and, seen_ms)| confirm(by, and, seen_ms)),
    ]
}

prop_compose! {
    // Few ids and few moments, so that they meet.
    fn some_events()(
        some in prop::collection::vec((0..12u32, 0..8u32, command()), 0..24),
    ) -> Vec<MailEvent> {
        some.iter().map(|(id, second, command)| event(*id, *second, command)).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_events_in_any_order_and_any_of_them_again_give_the_same_standing(
        (sent, came) in some_events().prop_flat_map(|sent| (Just(sent.clone()), Just(sent).prop_shuffle())),
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let standing = Standing::of(sent.clone());
        prop_assert_eq!(&Standing::of(came.clone()), &standing);
        let mut more = came.clone();
        if !came.is_empty() {
            for index in again {
                more.insert(index.index(more.len()), index.get(&came).clone());
            }
        }
        prop_assert_eq!(&Standing::of(more), &standing);
    }

    #[test]
    fn every_event_is_taken_or_named(sent in some_events()) {
        let named = Standing::of(sent.clone()).out_of_place;
        let is_named = |event: &MailEvent| named.iter().any(|one| one.event == *event);
        let taken: Vec<MailEvent> = sent.iter().filter(|event| !is_named(event)).cloned().collect();
        prop_assert_eq!(Standing::of(taken).out_of_place, Vec::new());
        for (n, one) in named.iter().enumerate() {
            prop_assert!(sent.contains(&one.event));
            prop_assert!(named[..n].iter().all(|before| before.event != one.event), "{:?} twice", one);
        }
    }

    #[test]
    fn how_far_an_envelope_has_come_is_never_less_than_where_it_is(sent in some_events()) {
        let mut standing = Standing::default();
        for event in sent {
            let before = standing.clone();
            let taken = standing.take(&event).is_ok();
            prop_assert!(standing.furthest >= before.furthest.max(Milestone::of(standing.state)));
            if !taken {
                prop_assert_eq!(Standing { insertion: before.insertion, ..standing.clone() }, before);
            }
        }
    }
}

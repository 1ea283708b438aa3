//! Promise: every pair of state and command of a card is decided here, only an activation makes one active,
//! and what has ended stays so.

use proptest::prelude::*;

use super::*;
use crate::domain::life::table;

fn day(text: &str) -> Date {
    Date::parse(text).expect("a day")
}

fn expire(on: &str) -> CardCommand {
    CardCommand::Expire { on: day(on), last_day: day("2026-06-01") }
}

fn commands() -> Vec<(&'static str, CardCommand)> {
    use CardCommand as Do;
    vec![
        ("PERSONALISE", Do::Personalise),
        ("PASS_QC", Do::PassQc),
        ("REPORT_NOK", Do::ReportNok),
        ("SHIP", Do::Ship),
        ("ARRIVE", Do::Arrive),
        ("LOSE_IN_TRANSIT", Do::LoseInTransit),
        ("FIND_AGAIN", Do::FindAgain { remade: false }),
        ("FIND_AGAIN:REMADE", Do::FindAgain { remade: true }),
        ("PRE_ISSUE", Do::PreIssue),
        ("NOTIFY", Do::Notify),
        ("BEGIN_ACTIVATION", Do::BeginActivation { other_may_be_active: false }),
        ("CONFIRM_ACTIVATION", Do::ConfirmActivation { other_may_be_active: false }),
        ("ABORT_ACTIVATION", Do::AbortActivation),
        ("SUSPEND", Do::Suspend),
        ("RESUME", Do::Resume { other_may_be_active: false, fraud_suspected: false }),
        ("REVOKE", Do::Revoke),
        ("EXPIRE", expire("2026-06-02")),
        ("SURRENDER", Do::Surrender),
        ("FAIL_SELF_TEST", Do::FailSelfTest),
        ("SCRAP", Do::Scrap),
        ("REMAKE", Do::Remake { remade: false }),
        ("RECALL", Do::Recall),
        ("MOVE", Do::Move),
        ("DIE", Do::Die),
        ("SUSPECT_FRAUD", Do::SuspectFraud),
    ]
}

#[test]
fn every_pair_of_state_and_command_of_a_card_is_decided() {
    let called_back = "RECALL>RECALLED MOVE>RECALLED DIE>RECALLED SUSPECT_FRAUD>RECALLED";
    let at_hand = format!("FAIL_SELF_TEST>SCRAPPED SCRAP>SCRAPPED {called_back}");
    let in_use = "SUSPEND>SUSPENDED SUSPECT_FRAUD>SUSPENDED REVOKE>REVOKED DIE>REVOKED \
                  FAIL_SELF_TEST>REVOKED EXPIRE>EXPIRED SURRENDER>SURRENDERED RECALL>RECALLED";
    let table = format!(
        "
        ORDERED          PERSONALISE>PERSONALISED REPORT_NOK>SCRAPPED SCRAP>SCRAPPED MOVE>SCRAPPED \
                         DIE>SCRAPPED SUSPECT_FRAUD>SCRAPPED
        PERSONALISED     PASS_QC>QC_PASSED REPORT_NOK>SCRAPPED {at_hand}
        QC_PASSED        SHIP>SHIPPED REPORT_NOK>SCRAPPED {at_hand}
        SHIPPED          ARRIVE>ARRIVED LOSE_IN_TRANSIT>LOST_IN_TRANSIT {called_back}
        ARRIVED          PRE_ISSUE>PRE_ISSUED EXPIRE>EXPIRED {at_hand}
        PRE_ISSUED       NOTIFY>NOTIFIED EXPIRE>EXPIRED {at_hand}
        NOTIFIED         NOTIFY>NOTIFIED BEGIN_ACTIVATION>ACTIVATING EXPIRE>EXPIRED {at_hand}
        ACTIVATING       CONFIRM_ACTIVATION>ACTIVE ABORT_ACTIVATION>NOTIFIED FAIL_SELF_TEST>SCRAPPED \
                         {called_back}
        ACTIVE           MOVE>ACTIVE {in_use}
        SUSPENDED        RESUME>ACTIVE MOVE>SUSPENDED {in_use}
        REVOKED          SURRENDER>SURRENDERED
        EXPIRED          SURRENDER>SURRENDERED
        SURRENDERED      REMAKE>SURRENDERED
        SCRAPPED         REMAKE>SCRAPPED
        LOST_IN_TRANSIT  FIND_AGAIN>ARRIVED FIND_AGAIN:REMADE>RECALLED REMAKE>LOST_IN_TRANSIT {called_back}
        RECALLED         SCRAP>SCRAPPED SURRENDER>SURRENDERED REMAKE>RECALLED ARRIVE>RECALLED \
                         LOSE_IN_TRANSIT>RECALLED FIND_AGAIN>RECALLED FIND_AGAIN:REMADE>RECALLED
        "
    );
    let (states, words) = (CardState::ALL, CardCommand::WORDS);
    table::decides(&table, states, words, &commands(), CardCommand::as_str, CardState::after);
}

fn why(state: CardState, command: &CardCommand) -> Why {
    state.after(command).expect_err("it is refused").why
}

#[test]
fn no_second_card_of_a_person_is_activated_confirmed_or_resumed() {
    use CardCommand as Do;
    let other_may_be_active = true;
    assert_eq!(why(CardState::Notified, &Do::BeginActivation { other_may_be_active }), Why::OtherCard);
    assert_eq!(why(CardState::Activating, &Do::ConfirmActivation { other_may_be_active }), Why::OtherCard);
    let resume = Do::Resume { other_may_be_active, fraud_suspected: false };
    assert_eq!(why(CardState::Suspended, &resume), Why::OtherCard);
}

#[test]
fn fraud_suspends_at_once_and_no_resumption_undoes_it() {
    for state in [CardState::Active, CardState::Suspended] {
        assert_eq!(state.after(&CardCommand::SuspectFraud), Ok(CardState::Suspended));
    }
    for other_may_be_active in [false, true] {
        let resume = CardCommand::Resume { other_may_be_active, fraud_suspected: true };
        assert_eq!(why(CardState::Suspended, &resume), Why::FraudSuspected);
    }
}

#[test]
fn a_card_is_valid_to_the_end_of_its_last_day() {
    for state in [CardState::Arrived, CardState::Notified, CardState::Active, CardState::Suspended] {
        assert_eq!(why(state, &expire("2026-05-31")), Why::NotExpired);
        assert_eq!(why(state, &expire("2026-06-01")), Why::NotExpired);
        assert_eq!(state.after(&expire("2026-06-02")), Ok(CardState::Expired));
    }
}

#[test]
fn a_card_is_remade_once() {
    for state in [CardState::Scrapped, CardState::LostInTransit, CardState::Recalled] {
        assert_eq!(why(state, &CardCommand::Remake { remade: true }), Why::Remade);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_card_is_active_only_by_activation_or_resumption_and_never_after_its_end(
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
    ) {
        let commands = commands();
        let mut state = CardState::Ordered;
        let (mut confirmed, mut ended) = (false, false);
        for pick in picks {
            let (label, command) = pick.get(&commands);
            let Ok(after) = state.after(command) else { continue };
            confirmed |= matches!(command, CardCommand::ConfirmActivation { .. });
            if after == CardState::Active {
                prop_assert!(confirmed && state.may_be_active(), "{state} {label}");
            }
            // What was lost and not remade may be found.
            ended |= !after.is_live() && after != CardState::LostInTransit;
            prop_assert!(!(ended && after.is_live()), "{state} {label}");
            prop_assert!(!after.may_be_active() || after.is_live(), "{after}");
            state = after;
        }
    }
}

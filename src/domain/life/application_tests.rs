//! Promise: every pair of state and command of an application is decided here, and no way leads to a card
//! past the proof of identity and the confirmation of every suspicion.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::life::table;

fn check(documents: &[Document]) -> ApplicationCommand {
    ApplicationCommand::CheckIdentity { documents: documents.iter().copied().collect() }
}

fn start(suspicions: &[Suspicion], confirmed: &[Suspicion]) -> ApplicationCommand {
    ApplicationCommand::StartProduction {
        suspicions: suspicions.iter().copied().collect(),
        confirmed: confirmed.iter().copied().collect(),
    }
}

fn commands() -> Vec<(&'static str, ApplicationCommand)> {
    let void = |reason| ApplicationCommand::Void { reason };
    vec![
        ("FIND_DEFECT", ApplicationCommand::FindDefect),
        ("RESUBMIT", ApplicationCommand::Resubmit),
        ("CHECK_IDENTITY", check(&[Document::Passport])),
        ("APPROVE", ApplicationCommand::Approve),
        ("START_PRODUCTION", start(&[], &[])),
        ("RECEIVE_CARD", ApplicationCommand::ReceiveCard),
        ("REMAKE", ApplicationCommand::Remake),
        ("REJECT", ApplicationCommand::Reject),
        ("VOID:MOVED", void(VoidReason::Moved)),
        ("VOID:DIED", void(VoidReason::Died)),
        ("VOID:MIXED_UP", void(VoidReason::MixedUp)),
        ("VOID:WITHDRAWN", void(VoidReason::Withdrawn)),
        ("RESTORE", ApplicationCommand::Restore { other_is_live: false, fraud_suspected: false }),
        ("SUSPECT_FRAUD", ApplicationCommand::SuspectFraud),
    ]
}

#[test]
fn every_pair_of_state_and_command_of_an_application_is_decided() {
    let void = "VOID:MOVED>VOIDED_MOVED VOID:DIED>VOIDED_DIED VOID:MIXED_UP>VOIDED_MIXED_UP \
                VOID:WITHDRAWN>VOIDED_WITHDRAWN SUSPECT_FRAUD>VOIDED_FRAUD";
    let table = format!(
        "
        RECEIVED          FIND_DEFECT>DEFECTIVE CHECK_IDENTITY>IDENTITY_CHECKED REJECT>REJECTED {void}
        DEFECTIVE         RESUBMIT>RESUBMITTED REJECT>REJECTED {void}
        RESUBMITTED       FIND_DEFECT>DEFECTIVE CHECK_IDENTITY>IDENTITY_CHECKED REJECT>REJECTED {void}
        IDENTITY_CHECKED  FIND_DEFECT>DEFECTIVE APPROVE>APPROVED REJECT>REJECTED {void}
        APPROVED          START_PRODUCTION>IN_PRODUCTION {void}
        IN_PRODUCTION     RECEIVE_CARD>WITH_CARD REMAKE>IN_PRODUCTION {void}
        WITH_CARD         REMAKE>IN_PRODUCTION VOID:MIXED_UP>VOIDED_MIXED_UP
        REJECTED
        VOIDED_MOVED
        VOIDED_DIED
        VOIDED_MIXED_UP   RESTORE>RECEIVED
        VOIDED_WITHDRAWN  RESTORE>RECEIVED
        VOIDED_FRAUD      RESTORE>RECEIVED
        "
    );
    let (states, words) = (ApplicationState::ALL, ApplicationCommand::WORDS);
    let (word, after) = (ApplicationCommand::as_str, ApplicationState::after);
    table::decides(&table, states, words, &commands(), word, after);
    for reason in VoidReason::ALL {
        let command = ApplicationCommand::Void { reason: *reason };
        let state = ApplicationState::Received.after(&command).expect("it is live");
        assert_eq!(state.as_str(), format!("VOIDED_{reason}"));
        assert_eq!(reason.to_string().parse(), Ok(*reason));
    }
}

#[test]
fn a_notification_card_gets_nobody_an_identity() {
    for state in [ApplicationState::Received, ApplicationState::Resubmitted] {
        let documents = [Document::NotificationCard, Document::PensionBook];
        for few in [&documents[..0], &documents[..1], &documents[1..], &documents[..]] {
            let refused = state.after(&check(few)).expect_err("no identity");
            assert_eq!(refused.why, Why::NoIdentity, "{few:?}");
        }
        let two = check(&[Document::PensionBook, Document::HealthInsuranceCard]);
        assert_eq!(state.after(&two), Ok(ApplicationState::IdentityChecked));
    }
}

#[test]
fn each_suspicion_of_a_swap_has_to_be_confirmed_before_production() {
    let sibling = |n| Suspicion::SameSession(Uuid::from_u128(n));
    let suspicions = [sibling(1), Suspicion::AgeOfPhoto];
    let refused = [
        start(&suspicions, &[]),
        start(&suspicions, &[sibling(1)]),
        start(&suspicions, &[Suspicion::AgeOfPhoto, sibling(2)]),
        start(&suspicions, &[Suspicion::WithinAnHour(Uuid::from_u128(1)), Suspicion::AgeOfPhoto]),
    ];
    for command in refused {
        let refused = ApplicationState::Approved.after(&command).expect_err("it may be swapped");
        assert_eq!(refused.why, Why::SwapSuspected, "{command:?}");
        assert!(refused.to_string().contains(mixup::HOUSEHOLD_SWAP_SUSPECTED), "{refused}");
    }
    for confirmed in [&suspicions[..], &[sibling(1), Suspicion::AgeOfPhoto, sibling(2)]] {
        let command = start(&suspicions, confirmed);
        assert_eq!(ApplicationState::Approved.after(&command), Ok(ApplicationState::InProduction));
    }
}

#[test]
fn what_is_void_is_restored_only_without_another_application_and_without_a_suspicion_of_fraud() {
    let states =
        [ApplicationState::VoidedMixedUp, ApplicationState::VoidedWithdrawn, ApplicationState::VoidedFraud];
    for state in states {
        let why = |other_is_live, fraud_suspected| {
            let restored = state.after(&ApplicationCommand::Restore { other_is_live, fraud_suspected });
            restored.expect_err("it stays void").why
        };
        assert_eq!(why(true, false), Why::OtherApplication);
        assert_eq!((why(false, true), why(true, true)), (Why::FraudSuspected, Why::FraudSuspected));
    }
}

#[test]
fn what_is_live_can_be_voided_for_every_reason_and_nothing_void_is_live() {
    for &state in ApplicationState::ALL {
        let takes_all = VoidReason::ALL.iter().all(|reason| {
            let after = state.after(&ApplicationCommand::Void { reason: *reason });
            assert!(!after.is_ok_and(ApplicationState::is_live), "{state} {reason}");
            after.is_ok()
        });
        assert_eq!(state.is_live(), takes_all, "{state}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_card_is_produced_but_after_identity_and_approval_since_the_last_defect_or_void(
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let commands = commands();
        let mut state = ApplicationState::Received;
        let (mut checked, mut approved) = (false, false);
        for pick in picks {
            let (label, command) = pick.get(&commands);
            let Ok(after) = state.after(command) else { continue };
            match command {
                ApplicationCommand::CheckIdentity { .. } => checked = true,
                ApplicationCommand::Approve => approved = checked,
                ApplicationCommand::FindDefect | ApplicationCommand::Restore { .. } => {
                    (checked, approved) = (false, false);
                }
                _ => {}
            }
            if matches!(after, ApplicationState::InProduction | ApplicationState::WithCard) {
                prop_assert!(approved, "{state} {label}");
            }
            state = after;
        }
    }
}

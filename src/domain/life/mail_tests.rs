//! Promise: every pair of state and command of an envelope is decided here, no card counts as inserted
//! without evidence, and nothing is destroyed too soon, by one person, or uncounted.

use super::*;
use crate::domain::{date::Date, life::table};
use disposal::Retention;

fn clerk(name: &str) -> Clerk {
    name.parse().expect("a clerk")
}

fn day(text: &str) -> Date {
    Date::parse(text).expect("a day")
}

fn disposal() -> Disposal {
    Disposal {
        proposed_by: clerk("alice"),
        confirmed_by: clerk("bob"),
        on: day("2016-04-01"),
        retention: Retention::national(),
        seen_ms: Some(1),
    }
}

fn cards(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).expect("not 0")
}

fn insert(evidence: Option<InsertionEvidence>) -> MailCommand {
    MailCommand::Insert { card_count: cards(3), evidence }
}

#[test]
fn every_pair_of_state_and_command_of_an_envelope_is_decided() {
    let table = "
        ORDERED       PRINT>PRINTED INSERT>INSERTED POST>POSTED DELIVER>DELIVERED RETURN>RETURNED \
                      STORE>STORED CLAIM_EMPTY_ENVELOPE>EMPTY_ENVELOPE_CLAIMED VOID>VOIDED
        PRINTED       PRINT>PRINTED INSERT>INSERTED POST>POSTED DELIVER>DELIVERED RETURN>RETURNED \
                      STORE>STORED CLAIM_EMPTY_ENVELOPE>EMPTY_ENVELOPE_CLAIMED VOID>VOIDED
        INSERTED      INSERT>INSERTED POST>POSTED DELIVER>DELIVERED RETURN>RETURNED \
                      STORE>STORED CLAIM_EMPTY_ENVELOPE>EMPTY_ENVELOPE_CLAIMED VOID>VOIDED
        POSTED        POST>POSTED DELIVER>DELIVERED RETURN>RETURNED \
                      STORE>STORED CLAIM_EMPTY_ENVELOPE>EMPTY_ENVELOPE_CLAIMED
        DELIVERED     DELIVER>DELIVERED RETURN>RETURNED \
                      STORE>STORED CLAIM_EMPTY_ENVELOPE>EMPTY_ENVELOPE_CLAIMED
        RETURNED      RETURN>RETURNED STORE>STORED
        STORED        HAND_OVER>HANDED_OUT REQUEST_REDELIVERY>REDELIVERING PROPOSE_DISPOSAL>STORED \
                      CONFIRM_DISPOSAL>DISPOSED FIND_MISSING>MISSING
        HANDED_OUT    CLAIM_EMPTY_ENVELOPE>EMPTY_ENVELOPE_CLAIMED
        REDELIVERING  POST>REDELIVERING DELIVER>DELIVERED RETURN>RETURNED \
                      STORE>STORED CLAIM_EMPTY_ENVELOPE>EMPTY_ENVELOPE_CLAIMED
        DISPOSED
        MISSING       FIND_AGAIN>STORED
        VOIDED        POST>POSTED DELIVER>DELIVERED RETURN>RETURNED \
                      STORE>STORED CLAIM_EMPTY_ENVELOPE>EMPTY_ENVELOPE_CLAIMED
        EMPTY_ENVELOPE_CLAIMED
    ";
    let commands = [
        ("PRINT", MailCommand::Print),
        ("INSERT", insert(Some(InsertionEvidence::Scan { card_count: 3 }))),
        ("POST", MailCommand::Post),
        ("DELIVER", MailCommand::Deliver),
        ("RETURN", MailCommand::Return),
        ("STORE", MailCommand::Store),
        ("HAND_OVER", MailCommand::HandOver),
        ("REQUEST_REDELIVERY", MailCommand::RequestRedelivery),
        ("PROPOSE_DISPOSAL", MailCommand::ProposeDisposal { by: clerk("alice") }),
        ("CONFIRM_DISPOSAL", MailCommand::ConfirmDisposal { disposal: disposal() }),
        ("FIND_MISSING", MailCommand::FindMissing),
        ("FIND_AGAIN", MailCommand::FindAgain),
        ("CLAIM_EMPTY_ENVELOPE", MailCommand::ClaimEmptyEnvelope),
        ("VOID", MailCommand::Void),
    ];
    let (states, words) = (MailState::ALL, MailCommand::WORDS);
    table::decides(table, states, words, &commands, MailCommand::as_str, MailState::after);
    let scans = commands.iter().filter(|(_, command)| command.is_scan()).count();
    let first: Vec<bool> = commands.iter().map(|(_, command)| command.rank() < scans).collect();
    let is_scan: Vec<bool> = commands.iter().map(|(_, command)| command.is_scan()).collect();
    assert_eq!(first, is_scan, "scans come first in the life");
}

#[test]
fn an_insertion_needs_a_scan_of_each_card_or_the_right_weight() {
    let weight =
        |measured_mg| InsertionEvidence::Weight { measured_mg, expected_mg: 20_000, tolerance_mg: 500 };
    let shown = [InsertionEvidence::Scan { card_count: 3 }, weight(20_000), weight(19_500), weight(20_500)];
    for evidence in shown {
        assert_eq!(
            MailState::Printed.after(&insert(Some(evidence))),
            Ok(MailState::Inserted),
            "{evidence:?}"
        );
    }
    let unshown = [
        None,
        Some(InsertionEvidence::Scan { card_count: 2 }),
        Some(InsertionEvidence::Scan { card_count: 4 }),
        Some(weight(19_499)),
        Some(weight(20_501)),
        Some(weight(0)),
        Some(weight(u32::MAX)),
        // Nothing is as good as a card by these.
        Some(InsertionEvidence::Weight { measured_mg: 0, expected_mg: 0, tolerance_mg: 0 }),
        Some(InsertionEvidence::Weight { measured_mg: 0, expected_mg: 1, tolerance_mg: u32::MAX }),
        Some(InsertionEvidence::Weight { measured_mg: 15_000, expected_mg: 18_000, tolerance_mg: 3_000 }),
    ];
    for evidence in unshown {
        for state in [MailState::Ordered, MailState::Printed, MailState::Inserted] {
            let refused = state.after(&insert(evidence)).expect_err("nothing shows it");
            assert_eq!(refused.why, Why::NoInsertionEvidence, "{evidence:?}");
        }
    }
    let refused = MailState::Printed.after(&insert(None)).expect_err("nothing shows it");
    assert_eq!(
        refused.to_string(),
        "a mail item that is PRINTED cannot take INSERT: neither a scan of each card nor the weight shows \
         that the cards are inside"
    );
}

#[test]
fn a_disposal_is_refused_on_each_day_of_the_retention_by_one_person_alone_and_without_a_stocktake() {
    let after = |disposal: &Disposal| {
        let command = MailCommand::ConfirmDisposal { disposal: disposal.clone() };
        MailState::Stored.after(&command).map_err(|illegal| illegal.why)
    };
    let good = disposal();
    assert_eq!(after(&good), Ok(MailState::Disposed), "the day after the last one");
    for on in ["2015-12-01", "2016-03-30", "2016-03-31"] {
        assert_eq!(after(&Disposal { on: day(on), ..good.clone() }), Err(Why::Retained), "{on}");
    }
    let extended = good.retention.extend(day("2016-04-01")).expect("it is later");
    assert_eq!(after(&Disposal { retention: extended, ..good.clone() }), Err(Why::Retained));
    let alone = Disposal { confirmed_by: good.proposed_by.clone(), ..good.clone() };
    assert_eq!(after(&alone), Err(Why::SamePerson));
    assert_eq!(after(&Disposal { seen_ms: None, ..good }), Err(Why::NotCounted));
}

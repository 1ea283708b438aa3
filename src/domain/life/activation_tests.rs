//! Promise: every question about an activation has one answer, and to ask again changes nothing.

use super::*;

const STATES: &[IntentState] = IntentState::ALL;

fn session(n: u128) -> SessionId {
    SessionId(Uuid::from_u128(n))
}

fn commands() -> [(IntentCommand, [Result<IntentState, Why>; 3]); 5] {
    use IntentState as Is;
    let (session, other) = (session(1), session(2));
    let confirm = |chip| IntentCommand::Confirm { session, chip };
    // What becomes of BEGUN, CONFIRMED and ABORTED.
    let refused = Err(Why::State);
    let no_proof = [Err(Why::NotCommitted), Err(Why::NotCommitted), refused];
    [
        (IntentCommand::Begin { session }, [Ok(Is::Begun), Ok(Is::Confirmed), Ok(Is::Aborted)]),
        (confirm(Chip::Committed(session)), [Ok(Is::Confirmed), Ok(Is::Confirmed), refused]),
        (confirm(Chip::Prepared(session)), no_proof),
        (confirm(Chip::Committed(other)), no_proof),
        (IntentCommand::Abort { session }, [Ok(Is::Aborted), refused, Ok(Is::Aborted)]),
    ]
}

#[test]
fn every_pair_of_state_and_command_of_an_activation_is_decided_and_says_the_same_again() {
    let mut words: Vec<&str> = commands().iter().map(|(command, _)| command.as_str()).collect();
    words.dedup();
    assert_eq!(words, IntentCommand::WORDS);
    for (command, expected) in commands() {
        assert_eq!(expected.len(), STATES.len());
        for (state, expected) in STATES.iter().zip(expected) {
            let after = Intent::stored(session(1), *state).after(&command);
            let found = after.map(|intent| intent.state()).map_err(|illegal| illegal.why);
            assert_eq!(found, expected, "{state} {command:?}");
            if let Ok(intent) = after {
                assert_eq!(intent.after(&command), Ok(intent), "{state} {command:?} again");
                assert_eq!(intent.session(), session(1));
            }
        }
    }
}

#[test]
fn another_session_moves_nothing() {
    let (own, session) = (session(1), session(2));
    let others = [
        IntentCommand::Begin { session },
        IntentCommand::Confirm { session, chip: Chip::Committed(session) },
        IntentCommand::Abort { session },
    ];
    for &state in STATES {
        for command in &others {
            let refused = Intent::stored(own, state).after(command);
            assert_eq!(refused.expect_err("it is another").why, Why::OtherSession, "{state} {command:?}");
        }
    }
}

#[test]
fn an_activation_begins_with_a_proof_of_identity() {
    let begin = |documents: &[Document]| Intent::begin(session(1), &documents.iter().copied().collect());
    assert_eq!(begin(&[Document::NotificationCard]), Err(Why::NoIdentity));
    assert_eq!(begin(&[Document::Passport]), Ok(Intent::stored(session(1), IntentState::Begun)));
}

#[test]
fn for_every_intent_and_chip_there_is_one_next_step() {
    let (own, other) = (session(1), session(2));
    let chips = [
        Chip::Blank,
        Chip::Prepared(own),
        Chip::Committed(own),
        Chip::Prepared(other),
        Chip::Committed(other),
    ];
    let reset = Step::ResetChip(other);
    let ask = Step::Ask(other);
    let table = [
        (IntentState::Begun, [Step::PrepareChip, Step::CommitChip, Step::Confirm, reset, reset]),
        (IntentState::Confirmed, [Step::Stop, Step::Stop, Step::Done, Step::Stop, Step::Stop]),
        (IntentState::Aborted, [Step::BeginAnew, Step::ResetChip(own), Step::ResetChip(own), ask, ask]),
    ];
    assert_eq!(table.map(|(state, _)| state), STATES);
    for (state, steps) in table {
        for (chip, step) in chips.into_iter().zip(steps) {
            assert_eq!(next_step(&Intent::stored(own, state), chip), step, "{state} {chip:?}");
        }
    }
}

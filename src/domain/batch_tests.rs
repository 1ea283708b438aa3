//! Promise: every pair of state and command is decided here, and no condition that needs eyes goes without
//! its flag.

use proptest::prelude::*;

use super::*;

const COMMANDS: [BatchCommand; 10] = [
    BatchCommand::StoreChunk,
    BatchCommand::Seal,
    BatchCommand::Work,
    BatchCommand::Reconcile,
    BatchCommand::Accept,
    BatchCommand::AcceptWithRejects,
    BatchCommand::FindDiscrepancy,
    BatchCommand::Repair,
    BatchCommand::SendAgain,
    BatchCommand::Abort,
];

fn begins_with(letters: &str) -> BatchState {
    BatchState::ALL.into_iter().find(|state| state.as_str().starts_with(letters)).expect("a state")
}

#[test]
fn every_pair_of_state_and_command_is_decided() {
    // Rows are states, columns the commands above; a cell is the first three letters of the state after it,
    // `A_R` is ACCEPTED_WITH_REJECTS, `REC` is RECEIVING, `RCN` is RECONCILING, `-` is illegal.
    let table = "
        ANNOUNCED              REC  SEA  -    -    -    -    DIS  -    -    ABO
        RECEIVING              REC  SEA  -    -    -    -    DIS  -    -    ABO
        SEALED                 -    -    IMP  -    -    -    DIS  -    -    ABO
        IMPORTING              -    -    IMP  RCN  -    -    DIS  -    -    ABO
        RECONCILING            -    -    RCN  RCN  ACC  A_R  DIS  -    -    ABO
        ACCEPTED               -    -    -    -    -    -    -    -    -    -
        ACCEPTED_WITH_REJECTS  -    -    -    -    -    -    -    -    -    -
        DISCREPANT             -    -    -    -    -    -    -    REP  REC  ABO
        REPAIRING              -    -    IMP  -    -    -    DIS  -    -    ABO
        ABORTED                -    -    -    -    -    -    -    -    -    ABO
    ";
    let mut decided = 0;
    for row in table.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let mut cells = row.split_whitespace();
        let state: BatchState = cells.next().expect("a state").parse().expect("a state");
        assert_eq!(state.to_string().parse(), Ok(state));
        for command in COMMANDS {
            let expected = match cells.next().expect("a cell for each command") {
                "-" => Err(IllegalTransition { state, command }),
                "A_R" => Ok(BatchState::AcceptedWithRejects),
                "RCN" => Ok(BatchState::Reconciling),
                word => Ok(begins_with(word)),
            };
            assert_eq!(state.after(command), expected, "{state} {command:?}");
            decided += 1;
        }
        assert_eq!(cells.next(), None);
    }
    assert_eq!(decided, BatchState::ALL.len() * COMMANDS.len());
}

#[test]
fn only_reconciling_reaches_acceptance_and_only_an_owner_moves_what_is_final() {
    let accepted = [BatchState::Accepted, BatchState::AcceptedWithRejects];
    for state in BatchState::ALL {
        for command in COMMANDS {
            let Ok(after) = state.after(command) else { continue };
            assert!(!accepted.contains(&after) || state == BatchState::Reconciling, "{state} {command:?}");
            let by_owner =
                matches!(command, BatchCommand::Repair | BatchCommand::SendAgain | BatchCommand::Abort);
            assert!(!state.is_final() || by_owner, "{state} {command:?}");
        }
    }
    assert_eq!("DONE".parse::<BatchState>(), Err(BadBatchState));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_sequence_of_commands_is_accepted_but_by_way_of_seal_or_repair_then_work_then_reconciling(
        commands in prop::collection::vec(prop::sample::select(COMMANDS.to_vec()), 0..60),
    ) {
        let mut state = BatchState::Announced;
        // What was done last of these, in this order; a discrepancy undoes the later ones.
        let (mut ready, mut worked, mut reconciled) = (false, false, false);
        for command in commands {
            let Ok(after) = state.after(command) else { continue };
            match command {
                BatchCommand::Seal | BatchCommand::Repair => ready = true,
                BatchCommand::Work => worked = ready,
                BatchCommand::Reconcile => reconciled = worked,
                BatchCommand::FindDiscrepancy => (ready, worked, reconciled) = (false, false, false),
                BatchCommand::Accept | BatchCommand::AcceptWithRejects => {
                    prop_assert!(reconciled && state == BatchState::Reconciling, "{state} {command:?}");
                }
                BatchCommand::StoreChunk | BatchCommand::SendAgain | BatchCommand::Abort => {}
            }
            let accepted = matches!(after, BatchState::Accepted | BatchState::AcceptedWithRejects);
            let accepting = matches!(command, BatchCommand::Accept | BatchCommand::AcceptWithRejects);
            prop_assert_eq!(accepted, accepting, "{} {:?}", state, command);
            state = after;
        }
    }

    #[test]
    fn the_sum_of_the_counts_is_exact_or_none(
        numbers in prop::array::uniform6(prop_oneof![0..9u64, (u64::MAX - 9)..=u64::MAX, any::<u64>()]),
    ) {
        let [missing, stored, accepted, rejected, duplicate, quarantined] = numbers;
        let counts = Counts { missing, stored, accepted, rejected, duplicate, quarantined };
        let exact: u128 = numbers.iter().map(|number| u128::from(*number)).sum();
        prop_assert_eq!(counts.sum(), u64::try_from(exact).ok());
    }
}

#[test]
fn the_counts_are_a_sum_that_no_number_can_overflow() {
    let counts = Counts { missing: 1, stored: 2, accepted: 3, rejected: 4, duplicate: 5, quarantined: 6 };
    assert_eq!(counts.sum(), Some(21));
    assert_eq!(Counts { missing: 7, ..Counts::default() }.sum(), Some(7));
    assert_eq!(Counts { missing: u64::MAX, ..counts }.sum(), None);
}

const OPTIONS: FlagOptions = FlagOptions { stall_after_ms: 60_000, stuck_after_ms: 300_000 };
const OPENED: i64 = 1_790_000_000_000;

fn view(state: BatchState) -> BatchView {
    BatchView {
        state,
        counts: Counts { missing: 6, stored: 4, ..Counts::default() },
        opened_ms: OPENED,
        progress_ms: OPENED,
        seal_by_ms: OPENED + 86_400_000,
        sealed_ms: None,
        finished_ms: None,
        chunks_stored: 1,
        conflict_ms: None,
        chunk_count: 4,
        damaged_ms: None,
        lease_live: false,
    }
}

fn raised(view: &BatchView, after_ms: i64) -> Vec<(FlagKind, i64)> {
    flags(view, &OPTIONS, OPENED + after_ms).iter().map(|flag| (flag.kind, flag.since_ms - OPENED)).collect()
}

#[test]
fn what_does_not_move_is_stalled_unless_somebody_is_at_work_or_it_is_final() {
    for state in BatchState::ALL {
        let idle = view(state);
        let stalled = raised(&idle, 60_001).contains(&(FlagKind::Stalled, 0));
        assert_eq!(stalled, !state.is_final(), "{state}");
        assert!(!raised(&idle, 60_000).contains(&(FlagKind::Stalled, 0)), "{state}");
        let busy = BatchView { lease_live: true, ..idle };
        assert!(!raised(&busy, 60_001).contains(&(FlagKind::Stalled, 0)), "{state}");
    }
}

#[test]
fn a_slow_sender_gets_five_times_its_own_time_for_a_chunk() {
    // Four chunks in two minutes: 30 s each, so 150 s of silence are usual.
    let slow = BatchView { progress_ms: OPENED + 120_000, chunks_stored: 4, ..view(BatchState::Receiving) };
    assert_eq!(raised(&slow, 120_000 + 150_000), []);
    assert_eq!(raised(&slow, 120_000 + 150_001), [(FlagKind::Stalled, 120_000)]);
    let fast = BatchView { progress_ms: OPENED + 120_000, chunks_stored: 4000, ..slow };
    assert_eq!(raised(&fast, 120_000 + 60_001), [(FlagKind::Stalled, 120_000)]);
}

#[test]
fn however_slow_a_sender_was_its_silence_is_told_after_ten_times_the_least() {
    // One chunk in an hour: five hours would be usual.
    let slow = BatchView { progress_ms: OPENED + 3_600_000, ..view(BatchState::Receiving) };
    assert_eq!(raised(&slow, 3_600_000 + 600_000), []);
    assert_eq!(raised(&slow, 3_600_000 + 600_001), [(FlagKind::Stalled, 3_600_000)]);
}

#[test]
fn what_is_not_sealed_in_time_is_overdue() {
    for state in BatchState::ALL {
        let late = BatchView { lease_live: true, ..view(state) };
        let open = matches!(state, BatchState::Announced | BatchState::Receiving);
        let overdue = (FlagKind::Overdue, 86_400_000);
        assert_eq!(raised(&late, 86_400_001).contains(&overdue), open, "{state}");
        assert!(!raised(&late, 86_400_000).contains(&overdue), "{state}");
    }
}

#[test]
fn what_is_sealed_and_not_accepted_is_stuck_also_while_somebody_is_at_work() {
    let at = |state, finished_ms: Option<i64>| BatchView {
        sealed_ms: Some(OPENED + 1000),
        finished_ms: finished_ms.map(|ms| OPENED + ms),
        lease_live: true,
        ..view(state)
    };
    for state in [BatchState::Sealed, BatchState::Importing, BatchState::Reconciling] {
        assert_eq!(raised(&at(state, None), 301_000), []);
        assert_eq!(raised(&at(state, None), 301_001), [(FlagKind::Stuck, 1000)], "{state}");
    }
    for state in [BatchState::Discrepant, BatchState::Repairing, BatchState::Importing] {
        assert_eq!(raised(&at(state, Some(900_000)), 1_200_000), [], "{state}");
        assert_eq!(raised(&at(state, Some(900_000)), 1_200_001), [(FlagKind::Stuck, 900_000)], "{state}");
    }
    let unsealed = BatchView { sealed_ms: None, ..at(BatchState::Discrepant, Some(5000)) };
    assert_eq!(raised(&unsealed, 305_001), [(FlagKind::Stuck, 5000)], "found when it was to be sealed");
    for state in [BatchState::Accepted, BatchState::AcceptedWithRejects, BatchState::Aborted] {
        assert_eq!(raised(&at(state, Some(2000)), i64::MAX - OPENED), [], "{state}");
    }
}

#[test]
fn a_conflict_stands_until_the_batch_is_accepted_or_given_up() {
    for state in BatchState::ALL {
        let view = BatchView { conflict_ms: Some(OPENED + 5), lease_live: true, ..view(state) };
        let over =
            matches!(state, BatchState::Accepted | BatchState::AcceptedWithRejects | BatchState::Aborted);
        assert_eq!(raised(&view, 10).contains(&(FlagKind::Conflict, 5)), !over, "{state}");
    }
}

#[test]
fn damage_stands_until_every_chunk_is_there_again() {
    for state in BatchState::ALL {
        let lacking = BatchView { damaged_ms: Some(OPENED + 5), lease_live: true, ..view(state) };
        let whole = BatchView { chunks_stored: 4, ..lacking };
        let accepted = matches!(state, BatchState::Accepted | BatchState::AcceptedWithRejects);
        let given_up = state == BatchState::Aborted;
        assert_eq!(raised(&lacking, 10).contains(&(FlagKind::Damaged, 5)), !given_up, "{state}");
        let stands = !accepted && !given_up;
        assert_eq!(raised(&whole, 10).contains(&(FlagKind::Damaged, 5)), stands, "{state}");
    }
}

#[test]
fn no_clock_makes_the_flags_panic() {
    for state in BatchState::ALL {
        for ms in [i64::MIN, -1, 0, i64::MAX] {
            for now_ms in [i64::MIN, 0, i64::MAX] {
                let view = BatchView {
                    opened_ms: ms,
                    progress_ms: ms.wrapping_neg(),
                    seal_by_ms: ms,
                    sealed_ms: Some(ms),
                    chunks_stored: u64::MAX,
                    ..view(state)
                };
                let _ = flags(&view, &OPTIONS, now_ms);
            }
        }
    }
}

#[test]
fn each_flag_has_its_name_in_the_api() {
    let names: Vec<&str> = FlagKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let known = ["stalled", "overdue", "stuck", "sequence-hole", "conflict"];
    let of_the_whole = ["reconcile-first", "lost-batch", "expected-batch-missing", "damaged"];
    assert_eq!(names, [known.as_slice(), of_the_whole.as_slice()].concat());
}

//! Promise: whoever dies at whatever step, terminal, server or chip, a card comes to an agreement and can be
//! activated in the end, and a person never has two active cards.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::domain::life::card::{CardCommand, CardState};

/// Two cards of one person: the old one and the new one.
const CARDS: usize = 2;
/// More steps than an agreement ever takes from anywhere.
const STEPS_MAX: usize = 12;

/// What comes of a step of the terminal: whether the other side does it, and whether the terminal is still
/// there afterwards. An answer that is lost and a side that dies after its commit look alike from outside.
#[derive(Debug, Clone, Copy)]
struct Fate {
    done: bool,
    terminal_lives: bool,
}

const FINE: Fate = Fate { done: true, terminal_lives: true };

#[derive(Debug, Clone, Copy)]
enum Event {
    Step(usize, Fate),
    Abort(usize, Fate),
    /// A message that was sent once comes, however late and however often.
    Late(prop::sample::Index),
    /// The holder gives a card back.
    Surrender(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let fate =
        (any::<bool>(), any::<bool>()).prop_map(|(done, terminal_lives)| Fate { done, terminal_lives });
    prop_oneof![
        12 => (0..CARDS, prop_oneof![Just(FINE), fate.clone()]).prop_map(|(n, fate)| Event::Step(n, fate)),
        2 => (0..CARDS, fate).prop_map(|(n, fate)| Event::Abort(n, fate)),
        3 => any::<prop::sample::Index>().prop_map(Event::Late),
        1 => (0..CARDS).prop_map(Event::Surrender),
    ]
}

/// What the server keeps of a card, each change in one transaction.
#[derive(Debug)]
struct Row {
    state: CardState,
    intents: Vec<Intent>,
}

#[derive(Debug)]
struct World {
    rows: [Row; CARDS],
    chips: [Chip; CARDS],
    /// What the terminal at hand remembers of each card: the session that it made.
    terminal: [Option<SessionId>; CARDS],
    sent: Vec<(usize, IntentCommand)>,
    sessions: u128,
}

impl World {
    fn new() -> Self {
        let row = || Row { state: CardState::Notified, intents: Vec::new() };
        Self {
            rows: [row(), row()],
            chips: [Chip::Blank; CARDS],
            terminal: [None; CARDS],
            sent: Vec::new(),
            sessions: 0,
        }
    }

    /// The server takes a message, or refuses it and changes nothing.
    fn serve(&mut self, n: usize, message: &IntentCommand) {
        let other_may_be_active = self.rows[1 - n].state.may_be_active();
        let row = &mut self.rows[n];
        let (IntentCommand::Begin { session }
        | IntentCommand::Confirm { session, .. }
        | IntentCommand::Abort { session }) = message;
        let Some(intent) = row.intents.iter_mut().find(|intent| intent.session() == *session) else {
            let begins = matches!(message, IntentCommand::Begin { .. });
            let state = row.state.after(&CardCommand::BeginActivation { other_may_be_active });
            if let Some(state) = state.ok().filter(|_| begins) {
                let intent = Intent::begin(*session, &BTreeSet::from([Document::Passport]));
                row.intents.push(intent.expect("a passport"));
                row.state = state;
            }
            return;
        };
        let Ok(after) = intent.after(message) else { return };
        if after == *intent {
            return;
        }
        let command = match after.state() {
            IntentState::Confirmed => CardCommand::ConfirmActivation { other_may_be_active },
            _ => CardCommand::AbortActivation,
        };
        row.state = row.state.after(&command).expect("the card is being activated");
        *intent = after;
    }

    fn send(&mut self, n: usize, message: &IntentCommand, fate: Fate) {
        self.sent.push((n, message.clone()));
        if fate.done {
            self.serve(n, message);
        }
    }

    /// What the server says of a card: the open intent, or else that of the session that is asked about.
    fn query(&self, n: usize, session: Option<SessionId>) -> Option<Intent> {
        let intents = &self.rows[n].intents;
        let open = intents.iter().find(|intent| intent.state() == IntentState::Begun);
        open.or_else(|| intents.iter().find(|intent| Some(intent.session()) == session)).copied()
    }

    /// A terminal with this card in its reader does the next step, and says which that was.
    fn step(&mut self, n: usize, fate: Fate) -> Step {
        let chip = self.chips[n];
        let on_chip = match chip {
            Chip::Blank => None,
            Chip::Prepared(session) | Chip::Committed(session) => Some(session),
        };
        let step = match self.query(n, on_chip) {
            Some(intent) => next_step(&intent, chip),
            None => Step::BeginAnew,
        };
        match step {
            Step::BeginAnew => self.begin(n, fate),
            Step::Confirm => {
                let session = on_chip.expect("it is committed");
                self.send(n, &IntentCommand::Confirm { session, chip }, fate);
            }
            Step::ResetChip(session) => {
                let intent = self.rows[n].intents.iter().find(|intent| intent.session() == session);
                let state = intent.map(Intent::state);
                assert_eq!(state, Some(IntentState::Aborted), "the server allows it: {self:?}");
                if fate.done {
                    self.chips[n] = Chip::Blank;
                }
            }
            Step::PrepareChip | Step::CommitChip if fate.done => {
                let open = self.query(n, None).expect("it is open").session();
                self.chips[n] =
                    if step == Step::PrepareChip { Chip::Prepared(open) } else { Chip::Committed(open) };
            }
            Step::PrepareChip | Step::CommitChip | Step::Done => {}
            Step::Ask(_) | Step::Stop => panic!("{step:?} after a question about the chip: {self:?}"),
        }
        if !fate.terminal_lives {
            self.terminal[n] = None;
        }
        step
    }

    // A terminal that lives asks with the session that it made already; a new one makes another.
    fn begin(&mut self, n: usize, fate: Fate) {
        let spent = |session| self.rows[n].intents.iter().any(|intent| intent.session() == session);
        let session = self.terminal[n].filter(|session| !spent(*session)).unwrap_or_else(|| {
            self.sessions += 1;
            SessionId(Uuid::from_u128(self.sessions))
        });
        self.terminal[n] = Some(session);
        self.send(n, &IntentCommand::Begin { session }, fate);
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Step(n, fate) => {
                self.step(n, fate);
            }
            Event::Abort(n, fate) => {
                if let Some(open) = self.query(n, None) {
                    self.send(n, &IntentCommand::Abort { session: open.session() }, fate);
                }
            }
            Event::Late(index) if !self.sent.is_empty() => {
                let (n, message) = index.get(&self.sent).clone();
                self.serve(n, &message);
            }
            Event::Late(_) => {}
            Event::Surrender(n) => self.surrender(n),
        }
        self.check();
    }

    fn surrender(&mut self, n: usize) {
        if let Ok(state) = self.rows[n].state.after(&CardCommand::Surrender) {
            self.rows[n].state = state;
        }
    }

    fn check(&self) {
        let possible = self.rows.iter().filter(|row| row.state.may_be_active()).count();
        assert!(possible <= 1, "two cards may be active: {self:?}");
        for (row, chip) in self.rows.iter().zip(self.chips) {
            let open = row.intents.iter().filter(|intent| intent.state() == IntentState::Begun).count();
            assert_eq!(open, usize::from(row.state == CardState::Activating), "{self:?}");
            if row.state == CardState::Active {
                let confirmed = row.intents.iter().find(|intent| intent.state() == IntentState::Confirmed);
                let session = confirmed.expect("an activation").session();
                assert_eq!(chip, Chip::Committed(session), "{self:?}");
            }
        }
    }

    /// Nobody dies any more: the card is activated, or was given back after it was.
    fn settle(&mut self, n: usize) {
        for _ in 0..STEPS_MAX {
            if matches!(self.rows[n].state, CardState::Active | CardState::Surrendered) {
                return;
            }
            self.step(n, FINE);
            self.check();
        }
        panic!("card {n} would have to be remade: {self:?}");
    }

    fn settle_all(&mut self) {
        // What is being activated or active goes first: it is in the other's way.
        let first = usize::from(self.rows[1].state.may_be_active());
        for n in [first, 1 - first] {
            self.settle(n);
            self.surrender(n);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn whatever_dies_when_both_cards_of_a_person_can_be_activated_one_after_the_other(
        events in prop::collection::vec(event(), 0..60),
    ) {
        let mut world = World::new();
        for event in events {
            world.apply(event);
        }
        world.settle_all();
    }
}

const DEADLY: [Fate; 3] = [
    Fate { done: false, terminal_lives: true },
    Fate { done: false, terminal_lives: false },
    Fate { done: true, terminal_lives: false },
];

/// The steps of an activation in which nobody dies.
const STEPS: [Step; 4] = [Step::BeginAnew, Step::PrepareChip, Step::CommitChip, Step::Confirm];

#[test]
fn an_activation_that_breaks_at_any_step_is_finished_by_the_next_terminal() {
    for broken in 0..STEPS.len() {
        for fate in DEADLY {
            let mut world = World::new();
            for step in &STEPS[..broken] {
                assert_eq!(world.step(0, FINE), *step);
            }
            assert_eq!(world.step(0, fate), STEPS[broken]);
            let mut left = STEPS[broken + usize::from(fate.done)..].to_vec();
            left.push(Step::Done);
            for step in left {
                assert_eq!(world.step(0, FINE), step, "{fate:?} at step {broken}");
                world.check();
            }
            assert_eq!(world.rows[0].state, CardState::Active);
        }
    }
}

#[test]
fn an_activation_that_is_given_up_at_any_step_is_begun_anew_with_the_same_card() {
    for broken in 0..STEPS.len() {
        for fate in DEADLY {
            let mut world = World::new();
            for _ in 0..broken {
                world.step(0, FINE);
            }
            world.step(0, fate);
            let confirmed = world.rows[0].state == CardState::Active;
            world.apply(Event::Abort(0, FINE));
            let expected = if confirmed { CardState::Active } else { CardState::Notified };
            assert_eq!(world.rows[0].state, expected, "{fate:?} at step {broken}");
            // The proof of the session that was given up comes at last.
            for (n, message) in world.sent.clone() {
                world.serve(n, &message);
                world.check();
            }
            world.settle(0);
        }
    }
}

#[test]
fn a_chip_that_was_committed_and_given_up_is_reset_and_not_remade() {
    let mut world = World::new();
    for step in &STEPS[..3] {
        assert_eq!(world.step(0, FINE), *step);
    }
    world.apply(Event::Abort(0, FINE));
    let given_up = world.rows[0].intents[0].session();
    assert_eq!(world.chips[0], Chip::Committed(given_up));
    let steps = [&[Step::ResetChip(given_up)], &STEPS[..], &[Step::Done]].concat();
    for step in steps {
        assert_eq!(world.step(0, FINE), step);
    }
    assert_eq!(world.rows[0].state, CardState::Active);
}

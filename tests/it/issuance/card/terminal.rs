//! Promise: wherever terminal, network or issuer die in an activation, and whatever comes late, the same
//! card is activated in the end by a terminal that remembers nothing, chip and server agree, and of two
//! cards of a person never more than one is active or may be.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::future::join_all;
use todoke::domain::digest::Digest;

use super::*;

/// Rounds in all, and at once: fewer than the calls that one caller may make at once.
const ROUNDS: u64 = 1000;
const AT_ONCE: u64 = 10;
/// More steps than an agreement ever takes from anywhere.
const STEPS_MAX: usize = 14;
/// In every so many waves the issuer is killed, with calls on their way.
const KILLED_EVERY: u64 = 5;

/// Randomness that its seed gives again (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }
}

/// What a terminal has sent, which may come again at any time.
#[derive(Clone)]
enum Sent {
    Begin(pb::BeginActivationRequest),
    Confirm(pb::ConfirmActivationRequest),
    Abort(pb::AbortActivationRequest),
}

/// The office with its connection to the issuer, which is killed at a call if it is to be.
struct Desk<'a> {
    world: &'a World,
    calls: AtomicUsize,
    killed_at: Option<usize>,
    seen: &'a Mutex<BTreeMap<&'static str, u64>>,
}

impl Desk<'_> {
    fn saw(&self, what: &'static str) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default() += 1;
    }

    /// Counts a call; the issuer may die at it, with this one and others on their way.
    fn calls(&self) {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        if Some(calls) == self.killed_at {
            self.saw("the issuer is killed");
            self.world.issuer.tasks.hard().cancel();
        }
    }

    /// Brings a message to the issuer; `None`: there is no answer.
    async fn deliver(&self, sent: Sent) -> Option<Result<pb::ActivationState, Fault>> {
        self.calls();
        let mut cards = self.world.ward.cards();
        let answered = match sent {
            Sent::Begin(request) => cards.begin_activation(request).await.map(|one| one.into_inner().state()),
            Sent::Confirm(request) => {
                cards.confirm_activation(request).await.map(|one| one.into_inner().state())
            }
            Sent::Abort(request) => cards.abort_activation(request).await.map(|one| one.into_inner().state()),
        };
        heard(answered)
    }

    async fn query(&self, chip: &Chip) -> Option<pb::QueryActivationResponse> {
        self.calls();
        let request = pb::QueryActivationRequest {
            card_id: chip.card_id.clone(),
            session_id: String::new(),
            chip: Some(chip.statement()),
        };
        let answered = self.world.ward.cards().query_activation(request).await.map(Response::into_inner);
        heard(answered).map(|answer| answer.expect("a question is never refused"))
    }

    async fn card(&self, chip: &Chip) -> Option<pb::Card> {
        let key = Some(Key::CardId(chip.card_id.clone()));
        let request = pb::GetCardRequest { key, ..Default::default() };
        let answered = self.world.ward.cards().get_card(request).await.map(Response::into_inner);
        heard(answered).map(|answer| answer.expect("its own").card.expect("it"))
    }
}

/// What is heard of an answer: nothing, if the issuer is dying.
fn heard<T>(answered: Result<T, tonic::Status>) -> Option<Result<T, Fault>> {
    match answered {
        Ok(answer) => Some(Ok(answer)),
        Err(status) => {
            let fault = Fault::from_status(&status)?;
            let away = [Reason::UpstreamUnavailable, Reason::OutcomeUnknown, Reason::DeadlineExceeded];
            if away.contains(&fault.reason) { None } else { Some(Err(fault)) }
        }
    }
}

/// How a terminal's life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Done,
    Died,
    /// The person has another card.
    SentAway,
}

/// One or two cards of one person, their chips, and what was ever sent of them.
struct Round {
    seed: u64,
    random: Random,
    chips: Vec<Chip>,
    sent: Vec<Sent>,
    /// What was sent and done, to be shown if it goes wrong.
    log: Vec<String>,
    made: u64,
    /// The card of before, to be given back with a begin.
    former: String,
}

impl Round {
    async fn new(world: &World, seed: u64) -> Self {
        let mut random = Random(seed);
        let person = Digest::of(format!("round {seed}").as_bytes()).0;
        let mut chips = Vec::new();
        for n in 0..if random.one_in(3) { 2 } else { 1 } {
            let id = format!("T-{seed}-{n}");
            let (application, last_day, then) = (None, LAST_DAY, to_the_counter());
            let (id, order_id, state) = (id.as_str(), "K-2", "NOTIFIED");
            let made = Made { id, order_id, person, application, last_day, then, state };
            chips.push(world.making.card(&made).await);
        }
        let (sent, log, former) = (Vec::new(), Vec::new(), String::new());
        Self { seed, random, chips, sent, log, made: 0, former }
    }

    fn fail(&self, what: &str) -> ! {
        panic!("seed {}: {what}\n{}", self.seed, self.log.join("\n"));
    }

    fn name(&mut self) -> String {
        self.made += 1;
        session(u128::from(self.seed) * 1000 + u128::from(self.made))
    }

    /// Sends a message, which may be lost on its way or on the way back; `None`: the terminal hears nothing.
    async fn send(
        &mut self,
        desk: &Desk<'_>,
        sent: Sent,
        deadly: bool,
    ) -> Option<Result<pb::ActivationState, Fault>> {
        self.sent.push(sent.clone());
        if deadly && self.random.one_in(6) {
            self.log.push("  the request is lost".to_owned());
            return None;
        }
        let answer = desk.deliver(sent).await;
        self.log
            .push(format!("  answered {:?}", answer.as_ref().map(|one| one.as_ref().map_err(|f| f.reason))));
        if deadly && self.random.one_in(6) {
            self.log.push("  the answer is lost".to_owned());
            return None;
        }
        answer
    }

    /// A terminal that remembers nothing, with a card in its reader, until it is done, dies or is sent away.
    async fn life(&mut self, desk: &Desk<'_>, n: usize, deadly: bool) -> End {
        let mut own = None;
        for _ in 0..STEPS_MAX {
            if deadly && self.random.one_in(8) {
                self.log.push(format!("card {n}: the terminal dies"));
                return End::Died;
            }
            if deadly && self.random.one_in(8) {
                self.late(desk).await;
            }
            let Some(answer) = desk.query(&self.chips[n]).await else { return End::Died };
            self.log.push(format!("card {n}: {} for {:?}", answer.step().as_str_name(), self.chips[n].says));
            desk.saw(answer.step().as_str_name());
            let open = answer.card.as_ref().map(|card| card.session_id.clone()).unwrap_or_default();
            if deadly && answer.state() == BEGUN && self.random.one_in(10) {
                self.abort(desk, n, &open).await;
                continue;
            }
            match answer.step() {
                pb::ActivationStep::PrepareChip => self.write(n, Says::Prepared(open), deadly),
                pb::ActivationStep::CommitChip => self.write(n, Says::Committed(open), deadly),
                pb::ActivationStep::Confirm => self.confirm(desk, n, &open, deadly).await,
                pb::ActivationStep::ResetChip => self.reset(desk, n, &answer),
                pb::ActivationStep::Done => return End::Done,
                pb::ActivationStep::BeginAnew => {
                    let session = own.take().unwrap_or_else(|| self.name());
                    match self.begin(desk, n, &session, deadly).await {
                        Some(Err(fault)) if fault.reason == Reason::OtherCard => {
                            desk.saw("OTHER_CARD");
                            return End::SentAway;
                        }
                        Some(Err(fault)) => self.fail(&format!("a begin was refused: {fault}")),
                        Some(Ok(_)) => {}
                        None => own = Some(session),
                    }
                    if own.is_some() && self.random.one_in(2) {
                        own = None; // it does not know whether it was begun, and takes another name
                    }
                }
                step => self.fail(&format!("card {n} would have to be remade: {}", step.as_str_name())),
            }
        }
        if deadly { End::Died } else { self.fail(&format!("card {n} comes to no end")) }
    }

    /// The chip does a step, or loses its power before.
    fn write(&mut self, n: usize, says: Says, deadly: bool) {
        if !(deadly && self.random.one_in(6)) {
            self.chips[n].says = says;
        }
    }

    /// The chip is reset if the issuer has signed that it may be.
    fn reset(&mut self, desk: &Desk<'_>, n: usize, answer: &pb::QueryActivationResponse) {
        let (Says::Prepared(at) | Says::Committed(at)) = &self.chips[n].says else {
            self.fail("a blank chip is to be reset");
        };
        let expected = format!("todoke chip reset v1\n{WARD}\n{}\n{at}\n", self.chips[n].card_id);
        let permit = note::open(answer.permit.as_bytes(), &desk.world.issuer.verifier);
        assert_eq!(permit, Ok(expected.as_str()), "seed {}", self.seed);
        self.chips[n].says = Says::Blank;
    }

    async fn begin(
        &mut self,
        desk: &Desk<'_>,
        n: usize,
        session: &str,
        deadly: bool,
    ) -> Option<Result<pb::ActivationState, Fault>> {
        let request = self.name();
        let card = self.chips[n].card_id.clone();
        let request = pb::BeginActivationRequest {
            surrendered_card_id: self.former.clone(),
            terminal: format!("T-{}", self.seed),
            ..desk.world.beginning(&request, &card, session)
        };
        self.log.push(format!("card {n}: begins {session}"));
        self.send(desk, Sent::Begin(request), deadly).await
    }

    async fn confirm(&mut self, desk: &Desk<'_>, n: usize, session: &str, deadly: bool) {
        let request = pb::ConfirmActivationRequest {
            request_id: self.name(),
            card_id: self.chips[n].card_id.clone(),
            session_id: session.to_owned(),
            chip: Some(self.chips[n].statement()),
            occurred_time: desk.world.at(6),
        };
        let answer = self.send(desk, Sent::Confirm(request), deadly).await;
        if let Some(Err(fault)) = answer {
            self.fail(&format!("a confirmation was refused: {fault}"));
        }
    }

    async fn abort(&mut self, desk: &Desk<'_>, n: usize, session: &str) {
        let request = pb::AbortActivationRequest {
            request_id: self.name(),
            card_id: self.chips[n].card_id.clone(),
            session_id: session.to_owned(),
            reason: "no PIN".to_owned(),
            occurred_time: desk.world.at(6),
        };
        self.log.push(format!("card {n}: gives {session} up"));
        desk.saw("given up");
        let answer = self.send(desk, Sent::Abort(request), true).await;
        if let Some(Err(fault)) = answer {
            self.fail(&format!("an open activation was not given up: {fault}"));
        }
    }

    /// What was sent once comes again; it may be refused, and undoes nothing.
    async fn late(&mut self, desk: &Desk<'_>) {
        let count = self.sent.len() as u64;
        if count > 0 {
            let at = usize::try_from(self.random.next() % count).expect("small");
            let answer = desk.deliver(self.sent[at].clone()).await;
            self.log
                .push(format!("message {at} comes late: {:?}", answer.map(|one| one.map_err(|f| f.reason))));
            desk.saw("late");
        }
    }

    /// Fails if two cards may be active, or one is whose chip does not say so.
    async fn check(&mut self, desk: &Desk<'_>) {
        let mut possible = 0;
        for chip in &self.chips {
            let Some(card) = desk.card(chip).await else { return };
            let may_be = [pb::CardState::Activating, pb::CardState::Active, pb::CardState::Suspended];
            possible += usize::from(may_be.contains(&card.state()));
            if card.state() == pb::CardState::Active && chip.says != Says::Committed(card.session_id.clone())
            {
                self.fail(&format!("{} is active and its chip is {:?}", card.card_id, chip.says));
            }
        }
        if possible > 1 {
            self.fail("two cards of one person may be active");
        }
    }

    /// Terminals live and die.
    async fn chaos(&mut self, desk: &Desk<'_>) {
        for _ in 0..1 + self.random.next() % 3 {
            let n = usize::try_from(self.random.next()).unwrap_or_default() % self.chips.len();
            self.life(desk, n, true).await;
            self.check(desk).await;
        }
    }

    /// Nobody dies any more: each card is activated, the person's other one given back for it.
    async fn recover(&mut self, desk: &Desk<'_>) {
        self.log.push("nobody dies any more".to_owned());
        let mut order: Vec<usize> = (0..self.chips.len()).collect();
        if let [_, second] = &self.chips[..] {
            let card = desk.card(second).await.expect("it answers");
            if matches!(card.state(), pb::CardState::Active | pb::CardState::Activating) {
                order.reverse(); // what is active or open goes first: it is in the other's way
            }
        }
        for n in order {
            let end = self.life(desk, n, false).await;
            if end != End::Done {
                self.fail(&format!("card {n} would have to be remade: {end:?}"));
            }
            self.check(desk).await;
            let card = desk.card(&self.chips[n]).await.expect("it answers");
            if card.state() != pb::CardState::Active {
                self.fail(&format!("card {n} is done and {}", card.state().as_str_name()));
            }
            self.former.clone_from(&card.card_id);
        }
    }
}

#[tokio::test]
async fn whatever_dies_the_same_card_is_activated_in_the_end() {
    let mut world = World::start().await;
    let seen = Mutex::default();
    for wave in 0..ROUNDS / AT_ONCE {
        let seeds = wave * AT_ONCE..(wave + 1) * AT_ONCE;
        let mut rounds = join_all(seeds.map(|seed| Round::new(&world, seed))).await;
        let killed = wave % KILLED_EVERY == 1;
        // Somewhere in the midst of what this wave will call.
        let killed_at = killed.then(|| usize::try_from(5 + Random(wave).next() % 80).expect("small"));
        let desk = Desk { world: &world, calls: AtomicUsize::new(0), killed_at, seen: &seen };
        join_all(rounds.iter_mut().map(|round| round.chaos(&desk))).await;
        if killed {
            let World { issuer, making, ward } = world;
            drop((making, ward)); // with its hold on the database
            let issuer = issuer.crashed(|_| {}).await;
            let ward = issuer.party_again(&format!("municipality/{WARD}"));
            let making = Making::of(&issuer).await;
            world = World { issuer, ward, making };
        }
        let desk = Desk { world: &world, calls: AtomicUsize::new(0), killed_at: None, seen: &seen };
        join_all(rounds.iter_mut().map(|round| round.recover(&desk))).await;
    }
    let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    for what in ["the issuer is killed", "late", "given up", "OTHER_CARD", "ACTIVATION_STEP_RESET_CHIP"] {
        assert!(seen.get(what).is_some_and(|times| *times >= 5), "{what} is tried: {seen:?}");
    }
}

//! A report of a producer is decided on what is committed: each card that does not fit is named, and one
//! is enough that nothing is recorded.

use std::collections::{BTreeSet, HashMap};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};

use crate::{
    domain::{
        item::{Hold, ItemId, ItemKey},
        life::card::CardState,
        municipality::MunicipalityCode,
    },
    store::{Decided, Found, ItemRow},
    wire::{
        fault::{Fault, Reason},
        pb::{self, produced_card::Result as Reported},
    },
};

use super::{
    super::{
        application,
        card::{self, event::Event, life::Life},
    },
    asked::{Wrong, ids, is_why, why_words},
    lot::{self, Share},
};

/// Bytes of a P-256 public key, uncompressed.
const KEY_BYTES: usize = 65;
/// What a chip says of itself if nothing is wrong.
const PASS: &str = "PASS";

/// What is said of one card.
#[derive(Debug)]
pub(super) struct Line {
    /// Its place in the report.
    pub(super) at: usize,
    pub(super) card: ItemKey,
    pub(super) made: Made,
}

/// What came out of one order.
#[derive(Debug, Clone)]
pub(super) enum Made {
    Good { chip_key: String, unmet: Vec<String> },
    Bad { why: String },
}

/// What came out of one order, and what that depends on.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) at: usize,
    pub(super) card: ItemKey,
    pub(super) made: Made,
    /// The application that it is for.
    pub(super) application: Option<ItemKey>,
    /// The hold by which its person has one live application.
    pub(super) hold: Option<Hold>,
    pub(super) last_day: Option<crate::domain::date::Date>,
    /// The accommodations that were ordered, of a good card that is the producer's.
    pub(super) ordered: Option<Vec<String>>,
    /// The card that takes the place of a bad one.
    pub(super) remake: Option<ItemKey>,
}

impl Outcome {
    /// The outcome of a card of which nothing is known.
    pub(super) fn unknown(line: Line) -> Self {
        let Line { at, card, made } = line;
        let (application, hold, last_day, ordered, remake) = (None, None, None, None, None);
        Self { at, card, made, application, hold, last_day, ordered, remake }
    }

    pub(super) fn card(&self) -> ItemKey {
        self.card.clone()
    }

    /// How many accommodations could not be met.
    pub(super) fn unmet(&self) -> u64 {
        match &self.made {
            Made::Good { unmet, .. } => unmet.len() as u64,
            Made::Bad { .. } => 0,
        }
    }
}

/// Reads what a report says; what cannot be right whatever the cards are is named.
pub(super) fn lines(
    cards: &[pb::ProducedCard],
    municipality: MunicipalityCode,
    wrong: &mut Wrong,
) -> Vec<Line> {
    let named = cards.iter().map(|one| one.card_id.as_str());
    let ids = ids(named, ("cards", |at| format!("cards[{at}].card_id")), wrong);
    let mut keys = HashMap::new();
    let mut lines = Vec::new();
    for (at, (id, said)) in ids.into_iter().zip(cards).enumerate() {
        let made = made(at, said.result.as_ref(), &mut keys, wrong);
        if let (Some(id), Some(made)) = (id, made) {
            lines.push(Line { at, card: card::ids::key(municipality, id), made });
        }
    }
    lines
}

fn made(
    at: usize,
    said: Option<&Reported>,
    keys: &mut HashMap<Vec<u8>, usize>,
    wrong: &mut Wrong,
) -> Option<Made> {
    let good = match said {
        None => {
            wrong.say(format!("cards[{at}]"), "must be ok or nok");
            return None;
        }
        Some(Reported::Nok(why)) if is_why(why) => return Some(Made::Bad { why: why.clone() }),
        Some(Reported::Nok(_)) => {
            wrong.say(format!("cards[{at}].nok"), why_words());
            return None;
        }
        Some(Reported::Ok(good)) => good,
    };
    if good.self_test != PASS {
        if is_why(&good.self_test) {
            return Some(Made::Bad { why: format!("self-test: {}", good.self_test) });
        }
        wrong.say(format!("cards[{at}].ok.self_test"), "must be PASS, or what failed in 1 to 200 characters");
        return None;
    }
    let field = || format!("cards[{at}].ok.chip_key");
    if !is_key(&good.chip_key) {
        wrong.say(field(), "must be a P-256 public key, uncompressed: 65 bytes from 04 on, on the curve");
        return None;
    }
    if let Some(before) = keys.insert(good.chip_key.clone(), at) {
        wrong.say(field(), format!("is that of cards[{before}], too: each chip has its own"));
        return None;
    }
    let unmet: BTreeSet<&String> = good.unmet_accommodations.iter().collect();
    let unmet = unmet.into_iter().cloned().collect();
    Some(Made::Good { chip_key: hex::encode(&good.chip_key), unmet })
}

fn is_key(bytes: &[u8]) -> bool {
    let is_uncompressed = bytes.len() == KEY_BYTES && bytes.first() == Some(&4);
    is_uncompressed && ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes).is_ok()
}

/// Names each card that does not stand where it has to, as far as it was looked at.
pub(super) fn stand(
    outcomes: &[Outcome],
    rows: &HashMap<ItemId, ItemRow>,
    (producer, lot): (&str, &str),
    wrong: &mut Wrong,
) {
    for one in outcomes {
        let details = rows.get(&one.card.id).and_then(|row| Some((row, card::life::details(row).ok()?)));
        let known = details.as_ref().map(|(row, details)| (row.state.as_str(), details));
        if let Err(what) = stands(known, (producer, lot)) {
            wrong.say(format!("cards[{}].card_id", one.at), what);
        }
    }
}

/// Says why a card is none that can be reported.
fn stands(known: Option<(&str, &card::life::Details)>, (producer, lot): (&str, &str)) -> Result<(), String> {
    let own = known.filter(|(_, details)| {
        (details.producer.as_deref(), details.lot.as_deref()) == (Some(producer), Some(lot))
    });
    match own {
        None => Err(format!("nothing of yours in lot {lot} has this id: check it")),
        Some((state, _)) if state == CardState::Ordered.as_str() => Ok(()),
        Some((state, details)) if details.chip_key.is_some() || details.nok => {
            Err(format!("it was reported before, and is {state}: leave it out"))
        }
        Some((state, _)) => Err(format!("it is {state}: leave it out, and destroy what was made of it")),
    }
}

/// A report that is about to be recorded.
pub(super) struct Recording {
    pub(super) share: ItemKey,
    /// The card under which it is recorded.
    pub(super) first: ItemKey,
    pub(super) producer: String,
    pub(super) occurred_ms: i64,
    pub(super) outcomes: Vec<Outcome>,
}

impl Recording {
    /// Decides on all of it, or names everything that does not fit.
    pub(super) fn decide(&self, found: &Found) -> Result<Decided, Fault> {
        let (lot, occurred_ms) = (&self.share.id, self.occurred_ms);
        let known = found.with.get(&self.share).expect("it was asked for");
        let share = Share::of(&known.history).map_err(|_| lot::unreadable())?;
        share.is_in_use(lot)?;
        let mut wrong = Wrong::default();
        let (mut own, mut all, mut bad) = (None, Vec::new(), 0);
        for one in &self.outcomes {
            let history = if one.card == self.first {
                &found.history
            } else {
                &found.with.get(&one.card).expect("it was asked for").history
            };
            let life = Life::of(history).map_err(|_| card::life::unreadable())?;
            let known = life.is_ordered().then_some((life.state.as_str(), &life.details));
            if let Err(what) = stands(known, (&self.producer, lot.as_str())) {
                wrong.say(format!("cards[{}].card_id", one.at), what);
                continue;
            }
            match self.one(found, one, life, &mut all) {
                Ok(decided) if one.card == self.first => own = Some(decided),
                Ok(decided) => all.push((one.card.clone(), decided)),
                Err(fault) if fault.reason == Reason::Internal => return Err(fault),
                Err(fault) => wrong.say(format!("cards[{}]", one.at), fault.message),
            }
            bad += u64::from(one.remake.is_some());
        }
        wrong.check(Reason::ItemState)?;
        if bad > 0 {
            let events = [lot::Event::Scrap { cards: bad }];
            all.push((
                self.share.clone(),
                share.then(lot, &events, occurred_ms)?.decided(lot, &events, occurred_ms),
            ));
        }
        let own = own.expect("the first card is one of them");
        Ok(Decided { with: all, ..own })
    }

    /// What becomes of one card; of its application and of the card in its place, into `all`.
    fn one(
        &self,
        found: &Found,
        one: &Outcome,
        life: Life,
        all: &mut Vec<(ItemKey, Decided)>,
    ) -> Result<Decided, Fault> {
        let (id, occurred_ms) = (&one.card.id, self.occurred_ms);
        let for_application;
        let events = match (&one.made, &one.remake) {
            (Made::Good { chip_key, unmet }, _) => {
                for_application = application::event::Event::ReceiveCard { card_id: id.to_string() };
                let (chip_key, unmet) = (chip_key.clone(), unmet.clone());
                let last_day = one.last_day.map(|day| day.to_string());
                [Event::Personalise { chip_key, last_day, unmet }, Event::PassQc]
            }
            (Made::Bad { why }, Some(next)) => {
                let card_id = next.id.to_string();
                for_application = application::event::Event::Remake { card_id: card_id.clone() };
                all.push((next.clone(), self.next(found, next, (id, &life))?));
                let remade = life.details.remade_as.is_some();
                [Event::ReportNok { why: why.clone() }, Event::Remake { card_id, remade }]
            }
            (Made::Bad { .. }, None) => return Err(changed()),
        };
        if let Some(key) = &one.application {
            let known = found.with.get(key).expect("it was asked for");
            let events = [for_application];
            let of = application::life::Life::of(&known.history);
            let of = of.map_err(|_| application::life::unreadable())?;
            let of = of.then(&key.id, &events, occurred_ms)?;
            all.push((key.clone(), of.decided(&events, occurred_ms)?));
        }
        life.then(id, &events, occurred_ms)?.decided(&events, occurred_ms)
    }

    /// The order of the card that takes the place of a bad one.
    fn next(&self, found: &Found, next: &ItemKey, (id, life): (&ItemId, &Life)) -> Result<Decided, Fault> {
        let known = found.with.get(next).expect("it was asked for");
        let before = Life::of(&known.history).map_err(|_| card::life::unreadable())?;
        if before.is_ordered() {
            return Err(changed());
        }
        let card::life::Details { order_id, application, person, photo, .. } = life.details.clone();
        let instead_of = Some(id.to_string());
        let events = [Event::Order { order_id, application, instead_of, person, photo }];
        before.then(&next.id, &events, self.occurred_ms)?.decided(&events, self.occurred_ms)
    }
}

/// The fault of what changed between two looks.
fn changed() -> Fault {
    Fault::new(Reason::ItemState, "something else was recorded of it at this moment: send the report again")
}

//! What a producer does with cards and what applicants do, as the store has it: the calls of the card service
//! begin where a producer has reported a card.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use todoke::{
    domain::{
        date::Date,
        digest::Digest,
        item::{Hold, HoldKind, ItemId, ItemKey, ItemKind, Link, LinkKind},
        municipality::MunicipalityCode,
    },
    issuance,
    store::{Asked, Changed, Decided, Found, Store},
    vault::Vault,
    wire::pb,
};

use super::super::harness::Issuer;

/// The lot of all cards that the fixture makes.
pub(super) const LOT: &str = "L-1";
/// The last day of a card, unless the test says another.
pub(super) const LAST_DAY: &str = "2099-04-01";
/// Cards that the fixture's producer has taken of the lot.
pub(super) const PULLED: u64 = 50;

/// The chip of a card: it signs what it says of itself.
pub(super) struct Chip {
    key: EcdsaKeyPair,
    pub(super) card_id: String,
    pub(super) says: Says,
}

/// Where a chip is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Says {
    Blank,
    Prepared(String),
    Committed(String),
}

impl Chip {
    pub(super) fn new(card_id: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        Self { key, card_id: card_id.to_owned(), says: Says::Blank }
    }

    fn public(&self) -> String {
        hex::encode(self.key.public_key().as_ref())
    }

    /// What it says of itself, signed.
    pub(super) fn statement(&self) -> pb::ChipStatement {
        let (state, session_id) = match &self.says {
            Says::Blank => ("BLANK", ""),
            Says::Prepared(session) => ("PREPARED", session.as_str()),
            Says::Committed(session) => ("COMMITTED", session.as_str()),
        };
        let shown = if session_id.is_empty() { "-" } else { session_id };
        let text = format!("todoke chip v1\n{}\n{}\n{state}\n{shown}\n", super::WARD, self.card_id);
        let signature = self.key.sign(&SystemRandom::new(), text.as_bytes()).expect("it signs");
        pb::ChipStatement {
            state: state.to_owned(),
            session_id: session_id.to_owned(),
            signature: signature.as_ref().to_vec(),
        }
    }
}

/// The producer, and whoever else is not there.
pub(super) struct Making {
    store: Store,
    vault: Vault,
    municipality: MunicipalityCode,
    now_ms: i64,
}

impl Making {
    pub(super) async fn of(issuer: &Issuer) -> Self {
        let pki = issuer.dir.path().join("pki");
        let vault = Vault::open(&pki.join("kek.key"), &pki.join("receipt.key")).expect("a vault");
        let vault = issuance::matched(&issuer.store, vault).await.expect("the index key");
        let municipality = super::WARD.parse().expect("Katsushika");
        Self { store: issuer.store.clone(), vault, municipality, now_ms: issuer.clock.now_ms() }
    }

    /// Whose an order is that has this individual number, or that has none.
    pub(super) fn person(&self, field: &str, text: &str) -> [u8; 32] {
        self.vault.blind_index(self.municipality, field, text)
    }

    fn key(&self, kind: ItemKind, id: &str) -> ItemKey {
        ItemKey { municipality: self.municipality, kind, id: id.parse().expect("an id") }
    }

    async fn put(&self, key: ItemKey, holds: Vec<Hold>, decided: Decided) {
        let request_id = format!("made-{}", key.id);
        let asked = Asked {
            fingerprint: Digest::of(key.to_string().as_bytes()),
            key,
            with: Vec::new(),
            request_id,
            actor: "producer/press-1".to_owned(),
            holds,
            now_ms: self.now_ms,
        };
        let decide = move |_: &Found| Ok::<_, ()>(decided.clone());
        let changed = self.store.change_item(asked, decide).await.expect("a transaction");
        assert!(matches!(changed, Changed::Done(_)), "{changed:?}");
    }

    /// The municipality's share of the lot: some cards were taken, two are on their way and two are lost.
    pub(super) async fn share(&self) {
        let events = [
            json!({"event": "ALLOCATE", "cards": 100, "producer": "press-1"}),
            json!({"event": "PULL", "cards": PULLED}),
            json!({"event": "SHIP", "cards": 4}),
            json!({"event": "LOSE", "cards": 2}),
        ];
        let details = json!({
            "producer": "press-1", "allocated": 100, "consumed": PULLED, "scrapped": 0,
            "remaining": 100 - PULLED, "shipped": 4, "arrived": 0, "in_transit": 2, "lost": 2,
            "recalled": null,
        });
        let id: ItemId = LOT.parse().expect("an id");
        let link = vec![Link::of_lot(&id)];
        let decided = Decided { state: "OPEN".to_owned(), link, ..self.decided(&events, &details) };
        self.put(self.key(ItemKind::Lot, LOT), Vec::new(), decided).await;
    }

    /// The figures of the share: shipped, arrived, in transit, lost, scrapped, remaining.
    pub(super) async fn figures(&self) -> [u64; 6] {
        let item = self.store.item(&self.key(ItemKind::Lot, LOT)).await.expect("reads").expect("the share");
        let details: Value = serde_json::from_str(&item.details).expect("JSON");
        ["shipped", "arrived", "in_transit", "lost", "scrapped", "remaining"]
            .map(|name| details[name].as_u64().expect(name))
    }

    fn decided(&self, events: &[Value], details: &Value) -> Decided {
        Decided {
            events: events.iter().map(|event| (self.now_ms - 7_200_000, event.to_string())).collect(),
            since_ms: self.now_ms - 7_200_000,
            cards: 1,
            details: details.to_string(),
            ..Decided::default()
        }
    }

    /// A card that is made for an order and, with `then`, what came after it; its chip.
    pub(super) async fn card(&self, made: &Made<'_>) -> Chip {
        let Made { id, order_id, person, application, last_day, ref then, state } = *made;
        let chip = Chip::new(id);
        let person_text = Digest(person).to_string();
        let order = json!({"event": "ORDER", "order_id": order_id, "application": application,
            "instead_of": null, "person": person_text, "photo": null});
        let lease = json!({"event": "LEASE", "producer": "press-1", "lot": LOT, "until_ms": self.now_ms});
        let unmet = ["braille"];
        let made = json!({"event": "PERSONALISE", "chip_key": chip.public(), "last_day": last_day,
            "unmet": unmet});
        let mut events = vec![order, lease, made, json!({"event": "PASS_QC"})];
        events.extend(then.iter().cloned());
        let has = |word: &str| then.iter().any(|event| event["event"] == word);
        let is_made = state != "ORDERED";
        events.truncate(if is_made { usize::MAX } else { 2 });
        let shipped_ms = has("SHIP").then_some(self.now_ms - 7_200_000);
        let mut details = json!({
            "order_id": order_id, "application": application, "instead_of": null, "remade_as": null,
            "person": person_text, "photo": null, "lot": LOT, "producer": "press-1",
            "leased_until_ms": self.now_ms, "chip_key": null, "last_day": null,
            "shipment": has("SHIP").then_some("S-1"), "session": null, "fraud_suspected": false,
            "unmet": [], "nok": false, "shipped_ms": shipped_ms, "lost": has("LOSE_IN_TRANSIT"),
        });
        if is_made {
            details["chip_key"] = chip.public().into();
            details["last_day"] = last_day.into();
            details["unmet"] = json!(unmet);
        }
        let lot: ItemId = LOT.parse().expect("an id");
        let day = Date::parse(last_day).expect("a day");
        let of_person = Link { kind: LinkKind::Person, of: person };
        let mut link = vec![of_person, Link::of_lot(&lot)];
        link.extend(is_made.then(|| Link::of_day(day)));
        let office = if has("ARRIVE") { "亀有" } else { "" }.to_owned();
        let state = state.to_owned();
        let decided = Decided { state, office, link, ..self.decided(&events, &details) };
        self.put(self.key(ItemKind::Card, id), Vec::new(), decided).await;
        chip
    }

    /// An application that has come in, for the person of an order.
    pub(super) async fn application(&self, number: &str, order_id: &str, person: [u8; 32]) {
        let person_text = Digest(person).to_string();
        let household = Digest::of(b"a household");
        let submit = json!({"event": "SUBMIT", "order_id": order_id, "person": person_text,
            "household": household.to_string(), "session": null, "received_ms": self.now_ms,
            "photo": "P-1", "doubts": []});
        let details = json!({"order_id": order_id, "person": person_text,
            "household": household.to_string(), "session": null, "received_ms": self.now_ms,
            "photo": "P-1", "doubts": [], "confirmed": [], "defect": null, "documents": [],
            "card_id": null, "rejected": null});
        let hold = Hold { kind: HoldKind::LiveApplication, of: person };
        let decided = Decided {
            state: "RECEIVED".to_owned(),
            take: vec![hold],
            link: vec![Link { kind: LinkKind::Person, of: person }],
            ..self.decided(&[submit], &details)
        };
        self.put(self.key(ItemKind::Application, number), vec![hold], decided).await;
    }

    /// The state of an application.
    pub(super) async fn application_state(&self, number: &str) -> String {
        let item = self.store.item(&self.key(ItemKind::Application, number)).await.expect("reads");
        item.expect("the application").state
    }
}

/// A card as the fixture makes it.
pub(super) struct Made<'a> {
    pub(super) id: &'a str,
    pub(super) order_id: &'a str,
    pub(super) person: [u8; 32],
    pub(super) application: Option<&'a str>,
    pub(super) last_day: &'a str,
    /// What came after QC, and the state that it led to.
    pub(super) then: Vec<Value>,
    pub(super) state: &'a str,
}

/// All that brings a good card to where its holder is asked to come.
pub(super) fn to_the_counter() -> Vec<Value> {
    vec![
        json!({"event": "SHIP", "shipment": "S-1"}),
        json!({"event": "ARRIVE", "office": "亀有"}),
        json!({"event": "PRE_ISSUE"}),
        json!({"event": "NOTIFY"}),
    ]
}

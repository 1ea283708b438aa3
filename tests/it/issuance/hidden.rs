//! Promise: an address that a protection measure hides leaves the issuer by one call alone: the owner's
//! GetCard for a purpose. What every role gets of every other call that reads, with its refusals, and the
//! log are searched for it; QueryActivation is not, as it needs a chip.

use std::collections::BTreeSet;

use pb::{
    application_service_client::ApplicationServiceClient, get_card_request::Key,
    get_inclusion_proof_request::Record as Proved, mail_service_client::MailServiceClient,
    production_service_client::ProductionServiceClient,
};
use prost::Message as _;
use prost_types::Timestamp;
use todoke::{
    domain::{
        manifest::Policy,
        record::{Field, Record},
    },
    wire::{convert::timestamp, pb},
};

use super::{
    databases::on_both,
    harness::{Issuer, Party, batch, id, record},
    noticing::listen,
};

const WARD: &str = "131229";
const OWNER: &str = "municipality/131229";
const NUMBER: &str = "123456789018";
/// The addresses of a person under a protection measure, and of one who is not.
const HIDDEN: [&str; 2] = ["鸞鳳坂九丁目八番地", "瑪瑙荘三〇三号室"];
const OPEN: [&str; 2] = ["海鼠坂一丁目二番地", "石蕗病院四〇四号室"];
/// Everybody who can be known to an issuer.
const PARTIES: [&str; 9] = [
    OWNER,
    "municipality/011002",
    "producer/press-1",
    "producer/press-2",
    "postal/office-1",
    "operator/alice",
    "auditor/a-1",
    "relay/relay-1",
    "issuer/issuer-2",
];

/// What came back of one call.
struct Said {
    call: String,
    answered: bool,
    bytes: Vec<u8>,
}

impl Said {
    fn of(call: String, answer: Result<Vec<u8>, tonic::Status>) -> Self {
        let (answered, bytes) = match answer {
            Ok(bytes) => (true, bytes),
            Err(status) => (false, [format!("{status:?}").as_bytes(), status.details()].concat()),
        };
        Self { call, answered, bytes }
    }

    fn shows(&self, texts: [&str; 2]) -> bool {
        texts.iter().any(|text| self.bytes.windows(text.len()).any(|part| part == text.as_bytes()))
    }
}

/// An order that says all of a person.
fn order(n: usize, protected: bool) -> Record {
    let mut record = record(&format!("K-{n}"), n);
    let [address, delivery] = if protected { HIDDEN } else { OPEN };
    record.set(Field::Kind, "INDIVIDUAL_NUMBER_CARD");
    record.set(Field::Address, address);
    record.set(Field::DeliveryAddress, delivery);
    record.set(Field::Protected, if protected { "1" } else { "0" });
    record
}

struct World {
    issuer: Issuer,
    application: String,
}

impl World {
    /// A protected order and an open one, each with a card to be made, an application and an envelope.
    async fn start() -> Self {
        let issuer = Issuer::start(|_| {}).await;
        for identity in PARTIES {
            issuer.party(identity).await; // who has a certificate from now on
        }
        let ward = issuer.party_again(OWNER);
        let mut all = [order(0, true), order(1, false)];
        all[0].set(Field::IndividualNumber, NUMBER);
        ward.import(&batch(ward.code(), 1, Policy::AllOrNothing, &all)).await;
        let mut world = Self { issuer, application: String::new() };
        world.given().await;
        world.applied(&ward).await;
        world.returned(&ward).await;
        world
    }

    fn at(&self, minutes: i64) -> Option<Timestamp> {
        Some(timestamp(self.issuer.clock.now_ms() - 3_600_000 + minutes * 60_000))
    }

    async fn given(&self) {
        let operator = self.issuer.party_again("operator/alice");
        let request = pb::AllocateQuotaRequest {
            request_id: "q-1".to_owned(),
            municipality_code: WARD.to_owned(),
            lot_id: "L-1".to_owned(),
            producer: "press-1".to_owned(),
            cards: 9,
        };
        let mut calls = ProductionServiceClient::new(operator.channel.clone());
        calls.allocate_quota(request).await.expect("allocated");
    }

    async fn applied(&mut self, ward: &Party) {
        let mut calls = ApplicationServiceClient::new(ward.channel.clone());
        let form = pb::IssueFormRequest {
            request_id: "f-1".to_owned(),
            order_id: "K-0".to_owned(),
            occurred_time: self.at(0),
            ..Default::default()
        };
        let form = calls.issue_form(form).await.expect("a form").into_inner();
        let submit = pb::SubmitApplicationRequest {
            request_id: "s-1".to_owned(),
            application_id: form.application_id,
            birth_date: "1980-02-29".to_owned(),
            photo: Some(pb::Photo { reference: "P-1".to_owned(), ..Default::default() }),
            occurred_time: self.at(1),
            ..Default::default()
        };
        let taken = calls.submit_application(submit).await.expect("taken").into_inner();
        self.application = taken.application.expect("it").application_number;
    }

    async fn returned(&self, ward: &Party) {
        let press = self.issuer.party_again("producer/press-1");
        let kind = Some(pb::insertion_evidence::Kind::ScannedCards(2));
        let request = pb::RecordProducedRequest {
            request_id: "p-1".to_owned(),
            municipality_code: WARD.to_owned(),
            mail_item_id: "E-1".to_owned(),
            order_ids: vec!["K-0".to_owned(), "K-1".to_owned()],
            insertion_evidence: Some(pb::InsertionEvidence { kind }),
            occurred_time: self.at(2),
        };
        MailServiceClient::new(press.channel.clone()).record_produced(request).await.expect("taken");
        let request = pb::StoreReturnedRequest {
            request_id: "t-1".to_owned(),
            mail_item_id: "E-1".to_owned(),
            office: "亀有".to_owned(),
            occurred_time: self.at(3),
        };
        MailServiceClient::new(ward.channel.clone()).store_returned(request).await.expect("stored");
    }
}

/// Makes a call, and keeps what came back under the call's name and what else is said of it.
macro_rules! ask {
    ($said:ident, $client:expr, $call:ident, $more:expr, $request:expr) => {
        let answer = $client.$call($request).await.map(|answer| answer.into_inner().encode_to_vec());
        $said.push(Said::of(format!("{} {}", stringify!($call), $more).trim_end().to_owned(), answer));
    };
}

async fn ask_of_cards(party: &Party, said: &mut Vec<Said>) {
    let mut calls = party.cards();
    let keys = [
        Key::OrderId("K-0".to_owned()),
        Key::OrderId("K-1".to_owned()),
        Key::CardId("K-0".to_owned()),
        Key::IndividualNumber(NUMBER.to_owned()),
    ];
    for key in keys {
        for purpose in 0..=4 {
            let more = if purpose == 0 { "" } else { "for a purpose" };
            let request = pb::GetCardRequest { key: Some(key.clone()), purpose, with_history: true };
            ask!(said, calls, get_card, more, request);
        }
    }
    let all = pb::ListCardsRequest::default();
    let lists = [
        all.clone(),
        pb::ListCardsRequest { state: pb::CardState::Ordered.into(), ..all.clone() },
        pb::ListCardsRequest { lot_id: "L-1".to_owned(), ..all.clone() },
        pb::ListCardsRequest { batch_id: id(1).to_string(), ..all },
    ];
    for list in lists {
        ask!(said, calls, list_cards, "", list);
    }
}

async fn ask_of_papers(world: &World, party: &Party, said: &mut Vec<Said>) {
    let mut calls = ApplicationServiceClient::new(party.channel.clone());
    // A municipality names none, others name whose.
    for code in ["", WARD] {
        let municipality_code = code.to_owned();
        let get = pb::GetApplicationRequest {
            municipality_code: municipality_code.clone(),
            application_number: world.application.clone(),
            with_history: true,
        };
        ask!(said, calls, get_application, "", get);
        let list = pb::ListApplicationsRequest { municipality_code, ..Default::default() };
        ask!(said, calls, list_applications, "", list);
    }
    let mut calls = MailServiceClient::new(party.channel.clone());
    for code in ["", WARD] {
        let get = pb::GetMailItemRequest {
            mail_item_id: "E-1".to_owned(),
            municipality_code: code.to_owned(),
            with_history: true,
        };
        ask!(said, calls, get_mail_item, "", get);
    }
    ask!(said, calls, list_mail_items, "", pb::ListMailItemsRequest::default());
    ask!(said, calls, get_retention, "", pb::GetRetentionRequest {});
    let count = pb::SubmitStocktakeRequest {
        request_id: "c-1".to_owned(),
        office: "亀有".to_owned(),
        mail_item_ids: vec!["E-1".to_owned(), "E-9".to_owned()],
        occurred_time: world.at(4),
        ..Default::default()
    };
    ask!(said, calls, submit_stocktake, "", count);
}

async fn ask_of_production(party: &Party, said: &mut Vec<Said>) {
    let mut calls = ProductionServiceClient::new(party.channel.clone());
    let pull = pb::PullOrdersRequest {
        request_id: "p-2".to_owned(),
        municipality_code: WARD.to_owned(),
        lot_id: "L-1".to_owned(),
        ..Default::default()
    };
    for _ in 0..2 {
        ask!(said, calls, pull_orders, "", pull.clone()); // the same again is opened anew
    }
    for code in ["", WARD] {
        let lot = pb::GetLotRequest { lot_id: "L-1".to_owned(), municipality_code: code.to_owned() };
        ask!(said, calls, get_lot, "", lot);
        let ages = pb::ListStageAgesRequest { municipality_code: code.to_owned() };
        ask!(said, calls, list_stage_ages, "", ages);
    }
}

async fn ask_of_batches(party: &Party, said: &mut Vec<Said>) {
    let (mut calls, batch_id) = (party.batches(), id(1).to_string());
    let named = || batch_id.clone();
    ask!(said, calls, get_batch, "", pb::GetBatchRequest { batch_id: named() });
    ask!(said, calls, list_batches, "", pb::ListBatchesRequest::default());
    ask!(said, calls, list_gaps, "", pb::ListGapsRequest { batch_id: named(), ..Default::default() });
    let list = pb::ListDispositionsRequest { batch_id: named(), ..Default::default() };
    ask!(said, calls, list_dispositions, "", list);
    ask!(said, calls, get_receipt, "", pb::GetReceiptRequest { batch_id: named() });
    let proof = pb::GetInclusionProofRequest { batch_id: named(), record: Some(Proved::Index(0)) };
    ask!(said, calls, get_inclusion_proof, "", proof);
    let watched = calls.watch_batch(pb::WatchBatchRequest { batch_id: named() }).await;
    let answer = match watched {
        Ok(stream) => {
            stream.into_inner().message().await.map(|event| event.unwrap_or_default().encode_to_vec())
        }
        Err(status) => Err(status),
    };
    said.push(Said::of("watch_batch".to_owned(), answer));
}

on_both!(an_address_under_protection_is_shown_to_its_owner_for_a_purpose_and_nowhere_else, async {
    let (lines, _guard) = listen();
    let world = World::start().await;
    let (mut hidden, mut open) = (BTreeSet::new(), BTreeSet::new());
    let (mut asked, mut answered) = (BTreeSet::new(), BTreeSet::new());
    for identity in PARTIES {
        let party = world.issuer.party_again(identity);
        let mut said = Vec::new();
        ask_of_production(&party, &mut said).await;
        ask_of_cards(&party, &mut said).await;
        ask_of_papers(&world, &party, &mut said).await;
        ask_of_batches(&party, &mut said).await;
        for one in said {
            asked.insert(one.call.clone());
            if one.answered {
                answered.insert(one.call.clone());
            }
            if one.shows(HIDDEN) {
                hidden.insert((identity, one.call.clone()));
            }
            if one.shows(OPEN) {
                open.insert((identity, one.call.clone()));
            }
        }
    }
    let owner = (OWNER, "get_card for a purpose".to_owned());
    let press = ("producer/press-1", "pull_orders".to_owned());
    assert_eq!(hidden, BTreeSet::from([owner.clone()]));
    assert_eq!(open, BTreeSet::from([owner, press]), "what is not hidden is found where it is");
    assert_eq!(asked, answered, "somebody is answered each call");
    assert!(!lines.text().is_empty(), "the log is read");
    for text in HIDDEN.iter().chain(&OPEN) {
        assert!(!lines.text().contains(text), "{text} is in the log");
    }
});

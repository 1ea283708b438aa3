//! Promise: where an envelope is follows from what was recorded, whatever came late or twice.

use std::collections::BTreeSet;

use prost_types::Timestamp;
use todoke::wire::{
    convert::timestamp,
    fault::{Fault, Reason},
    pb::{self, mail_service_client::MailServiceClient},
};
use tonic::{Response, transport::Channel};

use super::{
    databases::on_both,
    harness::{Issuer, Party, fault, records},
};

const WARD: &str = "131229";

/// An issuer with an accepted batch of ten orders, and everybody who has to do with its mail.
struct World {
    issuer: Issuer,
    ward: Party,
    press: Party,
    post: Party,
}

impl World {
    async fn start() -> Self {
        let (issuer, ward) = Issuer::with_batch(&records("K", 10)).await;
        let (press, post) = (issuer.party("producer/press-1").await, issuer.party("postal/office-1").await);
        Self { issuer, ward, press, post }
    }

    /// A moment `minutes` after the clock's beginning.
    fn at(&self, minutes: i64) -> Option<Timestamp> {
        Some(timestamp(self.issuer.clock.now_ms() - 3_600_000 + minutes * 60_000))
    }

    fn produced(
        &self,
        request: &str,
        mail: &str,
        orders: &[&str],
        minutes: i64,
    ) -> pb::RecordProducedRequest {
        pb::RecordProducedRequest {
            request_id: request.to_owned(),
            municipality_code: WARD.to_owned(),
            mail_item_id: mail.to_owned(),
            order_ids: orders.iter().map(|id| (*id).to_owned()).collect(),
            insertion_evidence: Some(scanned(orders.len())),
            occurred_time: self.at(minutes),
        }
    }

    async fn produce(&self, mail: &str, orders: &[&str]) -> pb::MailItem {
        let request = self.produced(&format!("p-{mail}"), mail, orders, 1);
        mail_of(&self.press).record_produced(request).await.expect("taken");
        self.get(mail).await.mail_item.expect("it")
    }

    /// Brings an envelope to the shelves of an office.
    async fn stored(&self, mail: &str, orders: &[&str], office: &str) {
        self.produce(mail, orders).await;
        let request = pb::StoreReturnedRequest {
            request_id: format!("s-{mail}"),
            mail_item_id: mail.to_owned(),
            office: office.to_owned(),
            occurred_time: self.at(5),
        };
        let stored = mail_of(&self.ward).store_returned(request).await.expect("stored").into_inner();
        assert_eq!(stored.mail_item.expect("it").state(), pb::MailState::Stored);
    }

    async fn get(&self, mail: &str) -> pb::GetMailItemResponse {
        let request = pb::GetMailItemRequest {
            mail_item_id: mail.to_owned(),
            with_history: true,
            ..Default::default()
        };
        mail_of(&self.ward).get_mail_item(request).await.expect("its own").into_inner()
    }

    async fn state(&self, mail: &str) -> pb::MailState {
        self.get(mail).await.mail_item.expect("it").state()
    }

    async fn count(
        &self,
        request: &str,
        office: &str,
        mail: &[&str],
        minutes: i64,
    ) -> pb::SubmitStocktakeResponse {
        let request = pb::SubmitStocktakeRequest {
            request_id: request.to_owned(),
            office: office.to_owned(),
            mail_item_ids: mail.iter().map(|id| (*id).to_owned()).collect(),
            occurred_time: self.at(minutes),
            ..Default::default()
        };
        mail_of(&self.ward).submit_stocktake(request).await.expect("it is counted").into_inner()
    }

    /// Proposes or confirms that an envelope be destroyed.
    async fn dispose(
        &self,
        request: &str,
        confirm: bool,
        clerk: &str,
        minutes: i64,
    ) -> Result<pb::MailItem, Fault> {
        let (request_id, mail_item_id, clerk) = (request.to_owned(), "E-1".to_owned(), clerk.to_owned());
        let occurred_time = self.at(minutes);
        let mut mail = mail_of(&self.ward);
        let item = if confirm {
            let request = pb::ConfirmDisposalRequest { request_id, mail_item_id, clerk, occurred_time };
            mail.confirm_disposal(request).await.map(|done| done.into_inner().mail_item)
        } else {
            let request = pb::ProposeDisposalRequest { request_id, mail_item_id, clerk, occurred_time };
            mail.propose_disposal(request).await.map(|done| done.into_inner().mail_item)
        };
        item.map(|item| item.expect("it")).map_err(fault)
    }
}

fn mail_of(party: &Party) -> MailServiceClient<Channel> {
    MailServiceClient::new(party.channel.clone())
}

fn scanned(cards: usize) -> pb::InsertionEvidence {
    let cards = u32::try_from(cards).expect("few");
    pb::InsertionEvidence { kind: Some(pb::insertion_evidence::Kind::ScannedCards(cards)) }
}

/// A scan of the post.
macro_rules! scan {
    ($world:expr, $party:ident, $call:ident, $request:ident, $id:expr, $mail:expr, $minutes:expr) => {{
        let request = pb::$request {
            request_id: $id.to_owned(),
            municipality_code: WARD.to_owned(),
            mail_item_id: $mail.to_owned(),
            occurred_time: $world.at($minutes),
        };
        mail_of(&$world.$party).$call(request).await.map(Response::into_inner).map_err(fault)
    }};
}

/// An act of an office that has no more to say.
macro_rules! act {
    ($world:expr, $call:ident, $request:ident, $id:expr, $mail:expr, $minutes:expr) => {{
        let request = pb::$request {
            request_id: $id.to_owned(),
            mail_item_id: $mail.to_owned(),
            occurred_time: $world.at($minutes),
        };
        mail_of(&$world.ward).$call(request).await.map(Response::into_inner).map_err(fault)
    }};
}

mod office;
mod parties;

on_both!(an_envelope_goes_from_the_press_to_the_person_and_its_history_says_how, async {
    let world = World::start().await;
    let item = world.produce("E-1", &["K-0", "K-1"]).await;
    assert_eq!((item.state(), item.order_ids.len()), (pb::MailState::Inserted, 2));
    scan!(world, post, record_posted, RecordPostedRequest, "r-2", "E-1", 2).expect("posted");
    scan!(world, post, record_returned, RecordReturnedRequest, "r-3", "E-1", 3).expect("returned");
    let request = pb::StoreReturnedRequest {
        request_id: "r-4".to_owned(),
        mail_item_id: "E-1".to_owned(),
        office: "亀有".to_owned(),
        occurred_time: world.at(4),
    };
    mail_of(&world.ward).store_returned(request).await.expect("stored");
    act!(world, request_redelivery, RequestRedeliveryRequest, "r-5", "E-1", 5).expect("on its way again");
    scan!(world, post, record_returned, RecordReturnedRequest, "r-6", "E-1", 6).expect("back again");
    let refused = act!(world, hand_over, HandOverRequest, "r-7", "E-1", 7).expect_err("nobody has it");
    assert_eq!((refused.reason, refused.get("state")), (Reason::ItemState, Some("RETURNED")));
    let request = pb::StoreReturnedRequest {
        request_id: "r-8".to_owned(),
        mail_item_id: "E-1".to_owned(),
        office: "亀有".to_owned(),
        occurred_time: world.at(8),
    };
    mail_of(&world.ward).store_returned(request).await.expect("stored");
    let early = act!(world, hand_over, HandOverRequest, "r-9", "E-1", 7).expect_err("it was not there yet");
    assert!(early.message.contains("STORED since"), "{early:?}");
    let done = act!(world, hand_over, HandOverRequest, "r-9", "E-1", 9).expect("a refusal is not kept");
    let item = done.mail_item.expect("it");
    for minutes in [9, 8] {
        let again = act!(world, hand_over, HandOverRequest, "r-10", "E-1", minutes);
        assert_eq!(again.expect_err("by a clock that is behind").reason, Reason::ItemState, "{minutes}");
    }
    assert_eq!((item.state(), item.office.as_str()), (pb::MailState::HandedOut, "亀有"));
    assert_eq!(item.insertion_evidence, Some(scanned(2)), "what showed that the cards were inside");
    let events = world.get("E-1").await.events;
    let brief: Vec<_> =
        events.iter().map(|one| (one.position, one.event.as_str(), one.actor.as_str())).collect();
    let ward = "municipality/131229";
    assert_eq!(
        brief,
        [
            (1, "INSERT", "producer/press-1"),
            (2, "POST", "postal/office-1"),
            (3, "RETURN", "postal/office-1"),
            (4, "STORE", ward),
            (5, "REQUEST_REDELIVERY", ward),
            (6, "RETURN", "postal/office-1"),
            (7, "STORE", ward),
            (8, "HAND_OVER", ward),
        ]
    );
});

on_both!(scans_that_come_late_or_twice_or_in_any_order_leave_the_same_envelope, async {
    let world = World::start().await;
    let orders = [["K-0"], ["K-1"], ["K-2"], ["K-3"], ["K-4"], ["K-5"]];
    let ways = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let mut seen = BTreeSet::new();
    for (n, way) in ways.into_iter().enumerate() {
        let mail = format!("E-{n}");
        for step in way.into_iter().chain(way) {
            let id = format!("{step}-{n}");
            match step {
                0 => {
                    let request = world.produced(&id, &mail, &orders[n], 1);
                    mail_of(&world.press).record_produced(request).await.expect("taken");
                }
                1 => {
                    scan!(world, post, record_posted, RecordPostedRequest, id, mail, 2).expect("taken");
                }
                _ => {
                    scan!(world, post, record_returned, RecordReturnedRequest, id, mail, 3).expect("taken");
                }
            }
        }
        let item = world.get(&mail).await.mail_item.expect("it");
        assert_eq!(
            (item.state(), item.event_count, item.out_of_place_count),
            (pb::MailState::Returned, 3, 0)
        );
        seen.insert((item.state, item.state_time.map(|time| time.seconds), item.order_ids.len()));
    }
    assert_eq!(seen.len(), 1, "{seen:?}");
    // One that does not fit is kept, and named.
    act!(world, claim_empty_envelope, ClaimEmptyEnvelopeRequest, "c-1", "E-0", 4).expect_err("it came back");
    scan!(world, post, record_delivered, RecordDeliveredRequest, "d-1", "E-0", 4).expect("a scan is taken");
    let got = world.get("E-0").await;
    assert_eq!(got.mail_item.expect("it").out_of_place_count, 1);
    let last = got.events.last().expect("it is kept");
    assert!(last.event == "DELIVER" && last.out_of_place.contains("RETURNED"), "{last:?}");
});

on_both!(a_card_is_in_one_envelope_and_an_envelope_has_the_cards_that_it_was_first_said_to_have, async {
    let world = World::start().await;
    world.produce("E-1", &["K-0", "K-1"]).await;
    let mut press = mail_of(&world.press);
    let mut refused = async |id: &str, mail: &str, orders: &[&str]| {
        let request = world.produced(id, mail, orders, 2);
        press.record_produced(request).await.map_err(fault).expect_err("it is refused")
    };
    let twice = refused("x-1", "E-2", &["K-2", "K-1"]).await;
    assert_eq!((twice.reason, twice.get("mail_item_id")), (Reason::OrderInEnvelope, Some("E-1")));
    assert_eq!(refused("x-2", "E-1", &["K-0"]).await.reason, Reason::ItemState, "other cards");
    assert_eq!(refused("x-3", "E-3", &["K-99"]).await.reason, Reason::NotFound, "no such order");
    assert_eq!(refused("x-4", "E-3", &["K-2", "K-2"]).await.reason, Reason::FieldInvalid, "named twice");
    assert_eq!(refused("x-5", "E-3", &[]).await.reason, Reason::FieldInvalid, "no cards");
    assert_eq!(refused("p-E-1", "E-3", &["K-3"]).await.reason, Reason::RequestIdReused);
    assert_eq!(refused("", "E-3", &["K-3"]).await.reason, Reason::FieldInvalid, "no request id");
    assert_eq!(refused("x-9", "E-3", &["K-3\0"]).await.reason, Reason::FieldInvalid, "no order's id");
    let many: Vec<String> = (0..101).map(|n| format!("K-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(refused("x-10", "E-3", &many).await.reason, Reason::FieldInvalid, "one above the limit");
    let mut late = world.produced("x-6", "E-3", &["K-3"], 1);
    late.occurred_time = world.at(60 + 11);
    let late = press.record_produced(late).await.map_err(fault).expect_err("of the future");
    assert!(late.reason == Reason::FieldInvalid && late.message.contains("ahead"), "{late:?}");
    let none = world.produced("x-7", "E-3", &["K-3"], 1);
    let none = pb::RecordProducedRequest { occurred_time: None, ..none };
    let none = press.record_produced(none).await.map_err(fault).expect_err("no time");
    assert_eq!(none.violations[0].0, "occurred_time");
    for mail in ["E-2", "E-3"] {
        let request = pb::GetMailItemRequest { mail_item_id: mail.to_owned(), ..Default::default() };
        let got = mail_of(&world.ward).get_mail_item(request).await.map_err(fault);
        assert_eq!(got.expect_err("nothing is left").reason, Reason::NotFound);
    }
    assert_eq!(world.produce("E-4", &["K-2"]).await.state(), pb::MailState::Inserted, "nor of its cards");
    // Printed, and nothing shows that the cards are inside: it says so until something does.
    let printed =
        pb::RecordProducedRequest { insertion_evidence: None, ..world.produced("x-8", "E-5", &["K-3"], 1) };
    press.record_produced(printed).await.expect("taken");
    let printed = world.get("E-5").await.mail_item.expect("it");
    assert_eq!((printed.state(), printed.insertion_evidence), (pb::MailState::Printed, None));
});

on_both!(envelopes_are_listed_by_state_and_age_page_by_page, async {
    let world = World::start().await;
    for (mail, order) in [("E-1", "K-0"), ("E-2", "K-1"), ("E-3", "K-2")] {
        world.stored(mail, &[order], "亀有").await;
    }
    world.produce("E-4", &["K-3"]).await;
    let list = async |request: pb::ListMailItemsRequest| {
        let page = mail_of(&world.ward).list_mail_items(request).await.expect("a page").into_inner();
        let ids: Vec<_> = page.mail_items.into_iter().map(|item| item.mail_item_id).collect();
        (ids, page.next_page_token)
    };
    let (all, next) = list(pb::ListMailItemsRequest::default()).await;
    assert_eq!((all.len(), next.as_str()), (4, ""));
    let stored = pb::ListMailItemsRequest {
        state: pb::MailState::Stored.into(),
        page_size: 2,
        office: "亀有".to_owned(),
        ..Default::default()
    };
    let (first, next) = list(stored.clone()).await;
    let (second, last) = list(pb::ListMailItemsRequest { page_token: next, ..stored.clone() }).await;
    assert_eq!(
        (first, second, last.as_str()),
        (vec!["E-1".to_owned(), "E-2".to_owned()], vec!["E-3".to_owned()], "")
    );
    let old = pb::ListMailItemsRequest { state_by_time: world.at(4), ..stored.clone() };
    assert!(list(old).await.0.is_empty(), "none is in it so long");
    let bad = [
        pb::ListMailItemsRequest { page_size: 1001, ..Default::default() },
        pb::ListMailItemsRequest { state: 99, ..Default::default() },
        pb::ListMailItemsRequest { office: "\0".to_owned(), ..Default::default() },
        pb::ListMailItemsRequest { state_by_time: world.at(4), ..Default::default() },
    ];
    for request in bad {
        let refused =
            mail_of(&world.ward).list_mail_items(request).await.map_err(fault).expect_err("refused");
        assert_eq!(refused.reason, Reason::FieldInvalid);
    }
    let request = pb::ListMailItemsRequest { page_token: "x".to_owned(), ..Default::default() };
    let refused = mail_of(&world.ward).list_mail_items(request).await.map_err(fault).expect_err("refused");
    assert_eq!(refused.reason, Reason::PageTokenInvalid);
});

on_both!(a_wrong_list_is_made_void_and_its_cards_go_into_another_envelope, async {
    let world = World::start().await;
    world.produce("E-1", &["K-0", "K-1"]).await;
    let void = async |request: &str, mail: &str, minutes: i64| {
        act!(world, void_mail_item, VoidMailItemRequest, request, mail, minutes)
    };
    assert_eq!(void("v-0", "E-9", 2).await.expect_err("nobody has reported it").reason, Reason::NotFound);
    let voided = void("v-1", "E-1", 2).await.expect("it has not been posted").mail_item.expect("it");
    assert_eq!((voided.state(), voided.order_ids.len()), (pb::MailState::Voided, 2), "as it was printed");
    assert_eq!(world.produce("E-2", &["K-1"]).await.state(), pb::MailState::Inserted);
    assert_eq!(void("v-1", "E-1", 2).await.expect("again").mail_item, Some(voided));
    assert_eq!(void("v-3", "E-1", 3).await.expect_err("it is void").get("state"), Some("VOIDED"));
    // The press says the same again, late: its cards stay where they are.
    let again = world.produced("p-2", "E-1", &["K-0", "K-1"], 1);
    mail_of(&world.press).record_produced(again).await.expect("a scan is taken");
    assert_eq!(world.state("E-1").await, pb::MailState::Voided);
    scan!(world, post, record_posted, RecordPostedRequest, "r-1", "E-2", 3).expect("posted");
    for minutes in [2, 4] {
        let late = void("v-2", "E-2", minutes).await.expect_err("it is on its way");
        assert_eq!((late.reason, late.get("state")), (Reason::ItemState, Some("POSTED")), "{minutes}");
    }
});

on_both!(cards_that_are_in_no_envelope_any_more_may_be_in_another, async {
    let world = World::start().await;
    world.produce("E-2", &["K-1"]).await;
    scan!(world, post, record_delivered, RecordDeliveredRequest, "d-1", "E-2", 4).expect("delivered");
    act!(world, claim_empty_envelope, ClaimEmptyEnvelopeRequest, "c-1", "E-2", 5).expect("nothing inside");
    assert_eq!(world.produce("E-3", &["K-1"]).await.state(), pb::MailState::Inserted);
    world.stored("E-1", &["K-0"], "亀有").await;
    world.dispose("x-1", false, "alice", 6).await.expect("the first step");
    world.count("t-1", "亀有", &["E-1"], 7).await;
    world.dispose("x-2", true, "bob", 8).await.expect("destroyed");
    assert_eq!(world.produce("E-4", &["K-0"]).await.state(), pb::MailState::Inserted);
});

on_both!(what_was_void_and_is_posted_all_the_same_has_its_cards_again_unless_another_has_them, async {
    let world = World::start().await;
    for (mail, order) in [("E-1", "K-0"), ("E-2", "K-1")] {
        world.produce(mail, &[order]).await;
        let id = format!("v-{mail}");
        act!(world, void_mail_item, VoidMailItemRequest, id, mail, 2).expect("not posted yet");
    }
    world.produce("E-3", &["K-1"]).await;
    for mail in ["E-1", "E-2"] {
        let id = format!("r-{mail}");
        scan!(world, post, record_posted, RecordPostedRequest, id, mail, 3).expect("a scan is taken");
        assert_eq!(world.state(mail).await, pb::MailState::Posted);
    }
    let twice = world.produced("x-1", "E-4", &["K-0"], 4);
    let twice = mail_of(&world.press).record_produced(twice).await.map_err(fault).expect_err("it is in E-1");
    assert_eq!((twice.reason, twice.get("mail_item_id")), (Reason::OrderInEnvelope, Some("E-1")));
    // The press says late what it knows of both: neither is refused.
    for (mail, order) in [("E-1", "K-0"), ("E-2", "K-1")] {
        let late = world.produced(&format!("l-{mail}"), mail, &[order], 1);
        mail_of(&world.press).record_produced(late).await.expect("a scan is taken");
    }
});

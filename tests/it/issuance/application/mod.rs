//! Promise: an application goes from its form to its approval, and what was recorded of it says how.

use prost_types::Timestamp;
use todoke::{
    domain::{
        record::{Field, Record},
        rules::ApplicationId,
    },
    wire::{
        convert::timestamp,
        fault::{Fault, Reason},
        pb::{
            self, application_service_client::ApplicationServiceClient, review_application_request::Finding,
        },
    },
};
use tonic::{Response, Status, transport::Channel};

use super::{
    databases::on_both,
    harness::{Issuer, Party, fault, records},
};

mod lives;
mod lookups;
mod made;
mod parties;
mod swaps;

const WARD: &str = "131229";
const SESSION: &str = "0192f0c1-2345-7abc-8def-00000000000a";

/// A household of three, the mother's order of another batch's making, and a neighbour.
const MOTHER: &str = "K-0";
const CHILD: &str = "K-1";
const FATHER: &str = "K-2";
const MOTHER_AGAIN: &str = "K-3";
const NEIGHBOUR: &str = "K-4";
const PEOPLE: [(&str, &str, &str, &str, Option<&str>); 5] = [
    (MOTHER, "H-1", "1980-02-29", "2", Some("123456789018")),
    (CHILD, "H-1", "2016-05-05", "2", None),
    (FATHER, "H-1", "1979-07-01", "1", Some("983205673214")),
    (MOTHER_AGAIN, "H-1", "1980-02-29", "2", Some("123456789018")),
    (NEIGHBOUR, "H-2", "1990-12-24", "1", None),
];

/// An issuer with an accepted batch of these people's orders, and everybody who has to do with applications.
struct World {
    issuer: Issuer,
    ward: Party,
}

impl World {
    async fn start() -> Self {
        let (issuer, ward) = Issuer::with_batch(&people()).await;
        Self { issuer, ward }
    }

    /// A moment `minutes` after the clock's beginning.
    fn at(&self, minutes: i64) -> Option<Timestamp> {
        Some(timestamp(self.issuer.clock.now_ms() - 36_000_000 + minutes * 60_000))
    }

    fn calls(&self) -> ApplicationServiceClient<Channel> {
        calls(&self.ward)
    }

    /// The application ID of an order's form.
    async fn form(&self, order: &str) -> String {
        let request = pb::IssueFormRequest {
            request_id: format!("f-{order}"),
            municipality_code: String::new(),
            order_id: order.to_owned(),
            occurred_time: self.at(0),
        };
        self.calls().issue_form(request).await.expect("it is issued").into_inner().application_id
    }

    fn submission(&self, request: &str, id: &str, birth: &str, minutes: i64) -> pb::SubmitApplicationRequest {
        pb::SubmitApplicationRequest {
            request_id: request.to_owned(),
            application_id: id.to_owned(),
            birth_date: birth.to_owned(),
            session_id: String::new(),
            photo: Some(photo(&format!("P-{request}"), 0, 0, 0)),
            occurred_time: self.at(minutes),
        }
    }

    async fn submit(&self, request: pb::SubmitApplicationRequest) -> Result<pb::Application, Fault> {
        taken(self.calls().submit_application(request).await)
    }

    /// Takes an application of the person of this order, with nothing to suspect.
    async fn apply(&self, request: &str, order: &str, minutes: i64) -> Result<pb::Application, Fault> {
        let id = self.form(order).await;
        self.submit(self.submission(request, &id, born(order), minutes)).await
    }

    async fn review(&self, request: &str, number: &str, finding: Finding) -> Result<pb::Application, Fault> {
        let request = pb::ReviewApplicationRequest {
            request_id: request.to_owned(),
            application_number: number.to_owned(),
            occurred_time: self.at(60),
            finding: Some(finding),
        };
        taken(self.calls().review_application(request).await)
    }

    async fn identity(&self, request: &str, number: &str, shown: &[&str]) -> Result<pb::Application, Fault> {
        let request = pb::ConfirmIdentityRequest {
            request_id: request.to_owned(),
            application_number: number.to_owned(),
            documents: shown.iter().map(|one| (*one).to_owned()).collect(),
            occurred_time: self.at(61),
        };
        taken(self.calls().confirm_identity(request).await)
    }

    async fn approve(&self, number: &str) -> pb::Application {
        self.identity(&format!("i-{number}"), number, &["PASSPORT"]).await.expect("it proves who it is");
        self.review(&format!("a-{number}"), number, Finding::Approve(true)).await.expect("it is approved")
    }

    async fn void(
        &self,
        request: &str,
        number: &str,
        reason: pb::VoidReason,
    ) -> Result<pb::Application, Fault> {
        let request = pb::VoidApplicationRequest {
            request_id: request.to_owned(),
            application_number: number.to_owned(),
            void_reason: reason.into(),
            occurred_time: self.at(62),
        };
        taken(self.calls().void_application(request).await)
    }

    async fn restore(&self, request: &str, number: &str) -> Result<pb::Application, Fault> {
        let request = pb::RestoreApplicationRequest {
            request_id: request.to_owned(),
            application_number: number.to_owned(),
            occurred_time: self.at(63),
        };
        taken(self.calls().restore_application(request).await)
    }

    async fn get(&self, number: &str) -> pb::GetApplicationResponse {
        let request = pb::GetApplicationRequest {
            municipality_code: String::new(),
            application_number: number.to_owned(),
            with_history: true,
        };
        self.calls().get_application(request).await.expect("its own").into_inner()
    }
}

/// The answer of a call that returns an application, whichever it is.
trait HasApplication {
    fn application(self) -> Option<pb::Application>;
}

macro_rules! has_application {
    ($($response:ident)*) => {
        $(impl HasApplication for pb::$response {
            fn application(self) -> Option<pb::Application> {
                self.application
            }
        })*
    };
}

has_application! {
    SubmitApplicationResponse
    ReviewApplicationResponse
    ConfirmIdentityResponse
    ResubmitApplicationResponse
    VoidApplicationResponse
    RestoreApplicationResponse
}

fn taken<T: HasApplication>(answer: Result<Response<T>, Status>) -> Result<pb::Application, Fault> {
    answer.map(|done| done.into_inner().application().expect("it")).map_err(fault)
}

fn calls(party: &Party) -> ApplicationServiceClient<Channel> {
    ApplicationServiceClient::new(party.channel.clone())
}

fn people() -> Vec<Record> {
    let mut all = records("K", PEOPLE.len());
    for (record, (order, household, birth, sex, number)) in all.iter_mut().zip(PEOPLE) {
        assert_eq!(record.text(Field::OrderId), order);
        record.set(Field::HouseholdId, household);
        record.set(Field::BirthDate, birth);
        record.set(Field::Sex, sex);
        record.set(Field::IndividualNumber, number.unwrap_or_default());
    }
    all
}

fn born(order: &str) -> &'static str {
    PEOPLE.iter().find(|person| person.0 == order).expect("one of the people").2
}

fn photo(reference: &str, age_from: u32, age_to: u32, sex: u32) -> pb::Photo {
    pb::Photo { reference: reference.to_owned(), age_from, age_to, sex }
}

/// An ID with right check digits that nobody has.
fn nobodys(n: u8) -> String {
    let mut digits = [0; 21];
    (digits[19], digits[20]) = (n / 10, n % 10);
    ApplicationId::of_random(digits).expect("digits").to_string()
}

/// What is suspected: the kind, the other's number, and whether it was confirmed.
fn suspected(application: &pb::Application) -> Vec<(&str, &str, bool)> {
    let all = application.suspicions.iter();
    all.map(|one| (one.kind.as_str(), one.other_application_number.as_str(), one.confirmed)).collect()
}

on_both!(an_application_goes_from_its_form_to_its_approval_and_its_history_says_how, async {
    let world = World::start().await;
    let id = world.form(MOTHER).await;
    assert!(id.parse::<ApplicationId>().is_ok(), "its check digits are right");
    assert_eq!(world.form(MOTHER).await, id, "the same each time");
    assert_ne!(world.form(MOTHER_AGAIN).await, id, "each form has its own");
    let request = pb::SubmitApplicationRequest {
        session_id: SESSION.to_owned(),
        photo: Some(photo("P-1", 40, 55, 2)),
        ..world.submission("s-1", &id, "1980-02-29", 1)
    };
    let received = world.submit(request).await.expect("it is taken");
    assert_eq!((received.state(), received.receive_time), (pb::ApplicationState::Received, world.at(1)));
    assert_eq!((received.order_id.as_str(), received.photo_reference.as_str()), (MOTHER, "P-1"));
    assert_eq!(suspected(&received), []);
    let number = received.application_number.as_str();
    let found = world.review("r-1", number, Finding::Defect("the photograph is dark".to_owned())).await;
    let found = found.expect("it is noted");
    assert_eq!(
        (found.state(), found.defect.as_str()),
        (pb::ApplicationState::Defective, "the photograph is dark")
    );
    let early = world.identity("i-0", number, &["PASSPORT"]).await.expect_err("it is defective");
    assert_eq!((early.reason, early.get("state")), (Reason::ItemState, Some("DEFECTIVE")));
    let again = pb::ResubmitApplicationRequest {
        request_id: "b-1".to_owned(),
        application_number: number.to_owned(),
        photo: Some(photo("P-2", 40, 55, 2)),
        occurred_time: world.at(30),
    };
    let again = taken(world.calls().resubmit_application(again).await).expect("it is taken");
    assert_eq!((again.state(), again.defect.as_str()), (pb::ApplicationState::Resubmitted, ""));
    assert_eq!(again.photo_reference, "P-2");
    let proved = world.identity("i-1", number, &["PENSION_BOOK", "HEALTH_INSURANCE_CARD"]).await;
    assert_eq!(proved.expect("two are enough").state(), pb::ApplicationState::IdentityChecked);
    let approved = world.review("a-1", number, Finding::Approve(true)).await.expect("it is approved");
    assert_eq!((approved.state(), approved.event_count), (pb::ApplicationState::Approved, 5));
    assert_eq!(approved.documents, ["HEALTH_INSURANCE_CARD", "PENSION_BOOK"]);
    let late = world.review("x-1", number, Finding::Reject("late".to_owned())).await.expect_err("approved");
    assert_eq!(late.reason, Reason::ItemState);
    let got = world.get(number).await;
    let brief: Vec<_> =
        got.events.iter().map(|one| (one.position, one.event.as_str(), one.request_id.as_str())).collect();
    assert_eq!(
        brief,
        [
            (1, "SUBMIT", "s-1"),
            (2, "FIND_DEFECT", "r-1"),
            (3, "RESUBMIT", "b-1"),
            (4, "CHECK_IDENTITY", "i-1"),
            (5, "APPROVE", "a-1"),
        ]
    );
    assert!(got.events.iter().all(|one| one.actor == "municipality/131229"));
    assert_eq!(got.application, Some(approved));
});

on_both!(what_is_refused_for_its_words_is_named_and_changes_nothing, async {
    let world = World::start().await;
    let number = world.apply("s-1", NEIGHBOUR, 1).await.expect("it is taken").application_number;
    let refused = async |id: &str, finding: Finding| {
        let fault = world.review(id, &number, finding).await.expect_err("it is refused");
        (fault.reason, fault.violations.first().map(|(field, _)| field.clone()).unwrap_or_default())
    };
    let long = "x".repeat(201);
    for (finding, reason, field) in [
        (Finding::Defect(" ".to_owned()), Reason::ReasonRequired, "defect"),
        (Finding::Defect(long.clone()), Reason::FieldInvalid, "defect"),
        (Finding::Reject(String::new()), Reason::ReasonRequired, "reject"),
        (Finding::Reject("a\nb".to_owned()), Reason::FieldInvalid, "reject"),
        (Finding::Approve(false), Reason::FieldInvalid, "approve"),
        (Finding::NoSwap(pb::NoSwap::default()), Reason::FieldInvalid, "no_swap.clerk"),
    ] {
        assert_eq!(refused("x-1", finding).await, (reason, field.to_owned()));
    }
    let nothing = pb::ReviewApplicationRequest {
        request_id: "x-1".to_owned(),
        application_number: number.clone(),
        finding: None,
        occurred_time: world.at(2),
    };
    let nothing = taken(world.calls().review_application(nothing).await).expect_err("it says nothing");
    assert_eq!(nothing.violations[0].0, "finding");
    let documents = world.identity("x-1", &number, &["PASSPORT", "LIBRARY_CARD"]).await.expect_err("none");
    assert_eq!(documents.violations[0].0, "documents[1]");
    let unspecified = world.void("x-1", &number, pb::VoidReason::Unspecified).await.expect_err("why");
    assert_eq!(unspecified.violations[0].0, "void_reason");
    assert_eq!(world.get(&number).await.events.len(), 1);
    let rejected = world.review("x-1", &number, Finding::Reject("no photograph".to_owned())).await;
    let rejected = rejected.expect("a refusal is not kept");
    assert_eq!(
        (rejected.state(), rejected.rejected_because.as_str()),
        (pb::ApplicationState::Rejected, "no photograph")
    );
    world.apply("s-2", NEIGHBOUR, 2).await.expect("whoever was refused can apply again");
});

on_both!(applications_are_listed_by_state_and_age_page_by_page, async {
    let world = World::start().await;
    let mut numbers = Vec::new();
    for (request, order, minutes) in [("s-1", MOTHER, 10), ("s-2", FATHER, 0), ("s-3", NEIGHBOUR, 20)] {
        numbers.push(world.apply(request, order, minutes).await.expect("it is taken").application_number);
    }
    let list = async |request: pb::ListApplicationsRequest| {
        let page = world.calls().list_applications(request).await.expect("a page").into_inner();
        let ids: Vec<_> = page.applications.iter().map(|one| one.application_number.clone()).collect();
        assert!(page.applications.iter().all(|one| one.suspicions.is_empty()));
        (ids, page.next_page_token)
    };
    let (all, next) = list(pb::ListApplicationsRequest::default()).await;
    let mut sorted = numbers.clone();
    sorted.sort();
    assert_eq!((all, next.as_str()), (sorted, ""), "by number");
    let received = pb::ListApplicationsRequest {
        state: pb::ApplicationState::Received.into(),
        page_size: 2,
        ..Default::default()
    };
    let (first, next) = list(received.clone()).await;
    let (second, last) = list(pb::ListApplicationsRequest { page_token: next, ..received.clone() }).await;
    assert_eq!(first, [numbers[1].clone(), numbers[0].clone()], "the longest in it first");
    assert_eq!((second, last.as_str()), (vec![numbers[2].clone()], ""));
    let old = pb::ListApplicationsRequest { state_by_time: world.at(10), ..received.clone() };
    assert_eq!(list(old).await.0, [numbers[1].clone(), numbers[0].clone()]);
    let none =
        pb::ListApplicationsRequest { state: pb::ApplicationState::WithCard.into(), ..Default::default() };
    assert!(list(none).await.0.is_empty());
    for request in [
        pb::ListApplicationsRequest { page_size: 1001, ..Default::default() },
        pb::ListApplicationsRequest { state: 99, ..Default::default() },
        pb::ListApplicationsRequest { state_by_time: world.at(4), ..Default::default() },
    ] {
        let refused = world.calls().list_applications(request).await.map_err(fault).expect_err("refused");
        assert_eq!(refused.reason, Reason::FieldInvalid);
    }
    let request = pb::ListApplicationsRequest { page_token: "x".to_owned(), ..Default::default() };
    let refused = world.calls().list_applications(request).await.map_err(fault).expect_err("refused");
    assert_eq!(refused.reason, Reason::PageTokenInvalid);
});

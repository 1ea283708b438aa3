//! Step (c): everybody applies with their own form's ID; the photographs of parent and child are swapped, as
//! in 2016, and no card is made before somebody has looked.

use super::{
    super::{narrator::Narrator, trouble::Trouble},
    household::{Household, Person},
    parties::{Parties, ask, asked, now, reason},
};
use crate::{
    cli::municipal::now_ms,
    domain::{
        date::Date,
        rules::{self, ApplicationId},
    },
    wire::pb::{self, ApplicationState, VoidReason, review_application_request::Finding},
};

/// The session in which all three apply.
const SESSION: &str = "0193d1a0-0000-7000-8000-000000000001";

/// (c). Returns the numbers of the three applications that are approved and looked into.
///
/// # Errors
/// [`Trouble`].
pub(crate) async fn told(
    parties: &Parties,
    tale: &mut Narrator,
    household: &Household,
) -> Result<Vec<String>, Trouble> {
    let [parent, child, grand] = &household.people;
    let mut ids = Vec::new();
    for person in [parent, child, grand] {
        let request = pb::IssueFormRequest {
            request_id: parties.request_id(),
            order_id: person.order.to_owned(),
            occurred_time: now(),
            ..pb::IssueFormRequest::default()
        };
        ids.push(ask!(parties.ward, applications.issue_form, request).map_err(asked)?.application_id);
    }
    wrong_date(parties, tale, &ids[0]).await?;
    // The photograph of each shows the other.
    let swapped =
        [submit(parties, &ids[0], parent, child).await?, submit(parties, &ids[1], child, parent).await?];
    let kinds: Vec<String> = swapped.iter().map(suspected).collect();
    let both = "AGE_OF_PHOTO SAME_SESSION SEX_OF_PHOTO";
    // The first was alone when it was made; the second makes both suspect.
    let first = show(parties, &swapped[0].application_number).await?;
    tale.holds("suspected of the parent's", both, &suspected(&first), suspected(&first) == both);
    tale.holds("suspected of the child's", both, &kinds[1], kinds[1] == both);
    for one in &swapped {
        let request = pb::VoidApplicationRequest {
            request_id: parties.request_id(),
            application_number: one.application_number.clone(),
            void_reason: VoidReason::MixedUp.into(),
            occurred_time: now(),
        };
        ask!(parties.ward, applications.void_application, request).map_err(asked)?;
    }
    tale.say("Both are void as mixed up; the right photographs are taken, and everybody applies.");
    let mut numbers = Vec::new();
    for (id, person) in ids.iter().zip([parent, child, grand]) {
        let application = submit(parties, id, person, person).await?;
        numbers.push(approved(parties, &application.application_number).await?);
    }
    let held = show(parties, &numbers[0]).await?;
    tale.holds("the state of each now", "APPROVED", state(&held), held.state() == ApplicationState::Approved);
    Ok(numbers)
}

/// A wrong date and an ID of nobody are answered alike.
async fn wrong_date(parties: &Parties, tale: &mut Narrator, id: &str) -> Result<(), Trouble> {
    let nobodys = ApplicationId::of_random([7; 21]).expect("they are digits").to_string();
    let mut answers = Vec::new();
    for (application_id, birth_date) in [(id, "1980-05-06"), (nobodys.as_str(), "1980-05-05")] {
        let request = pb::SubmitApplicationRequest {
            request_id: parties.request_id(),
            application_id: application_id.to_owned(),
            birth_date: birth_date.to_owned(),
            photo: Some(pb::Photo { reference: "P-0".to_owned(), ..pb::Photo::default() }),
            occurred_time: now(),
            ..pb::SubmitApplicationRequest::default()
        };
        let answer = ask!(parties.ward, applications.submit_application, request);
        let words = answer.as_ref().err().map(|error| error.status.message().to_owned());
        answers.push((reason(answer)?, words));
    }
    let (found, alike) = (answers[0].0, answers[0] == answers[1]);
    tale.holds("another's ID, and a wrong date", "NOT_FOUND, alike", found, alike && found == "NOT_FOUND");
    Ok(())
}

/// One applies with the photograph of somebody.
async fn submit(
    parties: &Parties,
    application_id: &str,
    who: &Person,
    on_photo: &Person,
) -> Result<pb::Application, Trouble> {
    let (born, today) = (Date::parse(on_photo.birth), Date::in_japan(now_ms()));
    let age = born.map_or(0, |born| rules::age(born, today));
    let age = u32::try_from(age).unwrap_or_default();
    let photo = pb::Photo {
        reference: format!("P-{}", on_photo.order),
        age_from: age.saturating_sub(5),
        age_to: age + 5,
        sex: on_photo.sex,
    };
    let request = pb::SubmitApplicationRequest {
        request_id: parties.request_id(),
        application_id: application_id.to_owned(),
        birth_date: who.birth.to_owned(),
        session_id: SESSION.to_owned(),
        photo: Some(photo),
        occurred_time: now(),
    };
    let answer = ask!(parties.ward, applications.submit_application, request).map_err(asked)?;
    Ok(answer.application.unwrap_or_default())
}

async fn show(parties: &Parties, number: &str) -> Result<pb::Application, Trouble> {
    let request = pb::GetApplicationRequest {
        application_number: number.to_owned(),
        ..pb::GetApplicationRequest::default()
    };
    let answer = ask!(parties.ward, applications.get_application, request).map_err(asked)?;
    Ok(answer.application.unwrap_or_default())
}

fn state(application: &pb::Application) -> &'static str {
    application.state().as_str_name().trim_start_matches("APPLICATION_STATE_")
}

/// The kinds of what is suspected, each once.
fn suspected(application: &pb::Application) -> String {
    let mut kinds: Vec<&str> = application.suspicions.iter().map(|one| one.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.join(" ")
}

/// Proves who applies, and approves it. What is suspected is looked into later, when all have applied.
async fn approved(parties: &Parties, number: &str) -> Result<String, Trouble> {
    let request = pb::ConfirmIdentityRequest {
        request_id: parties.request_id(),
        application_number: number.to_owned(),
        documents: vec!["HEALTH_INSURANCE_CARD".to_owned(), "PENSION_BOOK".to_owned()],
        occurred_time: now(),
    };
    ask!(parties.ward, applications.confirm_identity, request).map_err(asked)?;
    review(parties, number, Finding::Approve(true)).await?;
    Ok(number.to_owned())
}

/// Says what an office finds.
///
/// # Errors
/// [`Trouble`].
pub(super) async fn review(parties: &Parties, number: &str, finding: Finding) -> Result<(), Trouble> {
    let request = pb::ReviewApplicationRequest {
        request_id: parties.request_id(),
        application_number: number.to_owned(),
        finding: Some(finding),
        occurred_time: now(),
    };
    ask!(parties.ward, applications.review_application, request).map(drop).map_err(asked)
}

/// Confirms that what is suspected of an application is no swap.
///
/// # Errors
/// [`Trouble`].
pub(super) async fn cleared(parties: &Parties, number: &str) -> Result<(), Trouble> {
    let suspicions = show(parties, number).await?.suspicions;
    let clerk = "sato".to_owned();
    review(parties, number, Finding::NoSwap(pb::NoSwap { clerk, suspicions })).await
}

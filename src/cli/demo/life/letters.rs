//! Steps (a) and (b): the household's notification cards are ordered, posted in one envelope with evidence,
//! and come back; a stocktake says that another envelope is not on its shelf.

use super::{
    super::{
        audit::{number, text},
        narrator::Narrator,
        stage::Stage,
        trouble::Trouble,
    },
    household::{Household, NEIGHBOUR},
    parties::{Parties, ask, asked, now},
};
use crate::wire::pb::{self, MailState, insertion_evidence::Kind};

/// The office that keeps what comes back.
const OFFICE: &str = "亀有";
/// The ward.
const CODE: &str = "131229";

/// (a): the import.
///
/// # Errors
/// [`Trouble`].
pub(crate) async fn import(stage: &Stage, tale: &mut Narrator, household: &Household) -> Result<(), Trouble> {
    let file = stage.file("household.csv");
    household.write(&file)?;
    let name = file.display().to_string();
    let ended = stage.as_ward(&["import", &name, "--patience", "50s"])?.end().await?.with_code(0)?;
    let result = ended.said("result")?;
    tale.same("orders of the household and a neighbour", 4, number(result, "accepted"));
    tale.say(&format!("The receipt {} is checked: four orders.", text(result, "digest")));
    Ok(())
}

/// (b): what becomes of two envelopes.
///
/// # Errors
/// [`Trouble`].
pub(crate) async fn told(
    parties: &Parties,
    tale: &mut Narrator,
    household: &Household,
) -> Result<(), Trouble> {
    let orders: Vec<String> = household.people.iter().map(|one| one.order.to_owned()).collect();
    for (mail, order_ids) in [("E-1", orders), ("E-2", vec![NEIGHBOUR.to_owned()])] {
        let scanned = u32::try_from(order_ids.len()).unwrap_or(u32::MAX);
        let request = pb::RecordProducedRequest {
            request_id: parties.request_id(),
            municipality_code: CODE.to_owned(),
            mail_item_id: mail.to_owned(),
            order_ids,
            insertion_evidence: Some(pb::InsertionEvidence { kind: Some(Kind::ScannedCards(scanned)) }),
            occurred_time: now(),
        };
        ask!(parties.press, mail.record_produced, request).map_err(asked)?;
    }
    // The scan of the return is sent before that of the posting, as it happens.
    let (posted, returned) = (now(), now());
    for mail in ["E-1", "E-2"] {
        let request = pb::RecordReturnedRequest {
            request_id: parties.request_id(),
            municipality_code: CODE.to_owned(),
            mail_item_id: mail.to_owned(),
            occurred_time: returned,
        };
        ask!(parties.post, mail.record_returned, request).map_err(asked)?;
        let request = pb::RecordPostedRequest {
            request_id: parties.request_id(),
            municipality_code: CODE.to_owned(),
            mail_item_id: mail.to_owned(),
            occurred_time: posted,
        };
        let answer = ask!(parties.post, mail.record_posted, request).map_err(asked)?;
        let state = answer.mail_item.unwrap_or_default().state();
        let found = state.as_str_name().trim_start_matches("MAIL_STATE_");
        let late = state == MailState::Returned;
        tale.holds(&format!("{mail}, whose posting is reported last"), "RETURNED", found, late);
        let request = pb::StoreReturnedRequest {
            request_id: parties.request_id(),
            mail_item_id: mail.to_owned(),
            office: OFFICE.to_owned(),
            occurred_time: now(),
        };
        ask!(parties.ward, mail.store_returned, request).map_err(asked)?;
    }
    stocktake(parties, tale).await?;
    let request = pb::HandOverRequest {
        request_id: parties.request_id(),
        mail_item_id: "E-1".to_owned(),
        occurred_time: now(),
    };
    let item = ask!(parties.ward, mail.hand_over, request).map_err(asked)?.mail_item.unwrap_or_default();
    let found = item.state().as_str_name().trim_start_matches("MAIL_STATE_");
    tale.holds("the household's envelope", "HANDED_OUT", found, item.state() == MailState::HandedOut);
    tale.same("cards in it", 3, item.order_ids.len() as u64);
    Ok(())
}

async fn stocktake(parties: &Parties, tale: &mut Narrator) -> Result<(), Trouble> {
    let request = pb::SubmitStocktakeRequest {
        request_id: parties.request_id(),
        office: OFFICE.to_owned(),
        mail_item_ids: vec!["E-1".to_owned()],
        occurred_time: now(),
        ..Default::default()
    };
    let found = ask!(parties.ward, mail.submit_stocktake, request).map_err(asked)?;
    let missing = found.missing.join(" ");
    tale.say(&format!("The stocktake counts {}, and misses {missing}.", found.counted));
    tale.holds("missing on the shelf", "E-2", &missing, missing == "E-2");
    Ok(())
}

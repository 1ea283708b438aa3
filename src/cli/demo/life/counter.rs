//! Step (e): cards are handed over at the counter. In the middle of one activation the issuer dies; the same
//! terminal, which remembers nothing, is told the next step, and no card has to be remade.

use super::{
    super::{
        audit::{number, text},
        loads::seconds,
        narrator::Narrator,
        stage::Stage,
        trouble::Trouble,
    },
    parties::{Parties, ask, asked, now},
    press::Card,
};
use crate::{
    domain::life::activation::SessionId,
    runtime::exit,
    wire::pb::{self, ActivationStep, CardState},
};

/// Steps that a terminal takes before it gives up.
const STEPS_MAX: usize = 10;

/// (e).
///
/// # Errors
/// [`Trouble`].
pub(super) async fn told(
    stage: &Stage,
    parties: &Parties,
    tale: &mut Narrator,
    cards: Vec<Card>,
) -> Result<(), Trouble> {
    let mut active = 0;
    for (number, mut card) in (1..).zip(cards) {
        ready(parties, &card.id).await?;
        let session = SessionId(uuid::Uuid::from_u128(0x0193_d1a0_0000_7000_8000_0000_0000_0100 + number));
        begin(parties, &card.id, session).await?;
        if number == 2 {
            // The chip is committed; before the issuer hears of it, it dies.
            let _ = card.chip.prepare(session).and_then(|()| card.chip.commit(session));
            let away = stage.kill_and_see_back("issuer-1").await?;
            tale.say(&format!(
                "The chip of card {} was committed when the issuer was killed; it is back after {}.",
                card.id,
                seconds(away)
            ));
        }
        let (state, steps) = finish(parties, &mut card, session).await?;
        if number == 2 {
            tale.holds("the steps after that", "CONFIRM", &steps, steps == "CONFIRM");
        }
        active += u64::from(state == CardState::Active);
        if number == 2 {
            history(stage, tale, &card.id).await?;
        }
    }
    tale.same("cards that are active", 3, active);
    replayed(stage, tale).await
}

/// Everything stands as its history says.
async fn replayed(stage: &Stage, tale: &mut Narrator) -> Result<(), Trouble> {
    let ended = stage.offline(&["report", "replay", "--database", stage.database()])?.end().await?;
    tale.ends_with("`todoke report replay`", exit::DONE, &ended);
    let result = ended.said("result")?;
    let (items, events) = (number(result, "items"), number(result, "events"));
    tale.say(&format!("All {items} items stand as their {events} events of history say."));
    tale.holds("items that were read again", "some", &items.to_string(), items > 10);
    Ok(())
}

/// Sets a card up, and asks its holder to come.
async fn ready(parties: &Parties, card_id: &str) -> Result<(), Trouble> {
    let request = pb::RecordPreIssuanceRequest {
        request_id: parties.request_id(),
        card_id: card_id.to_owned(),
        self_test: "PASS".to_owned(),
        occurred_time: now(),
    };
    ask!(parties.ward, cards.record_pre_issuance, request).map_err(asked)?;
    let request = pb::NotifyHolderRequest {
        request_id: parties.request_id(),
        card_id: card_id.to_owned(),
        occurred_time: now(),
    };
    ask!(parties.ward, cards.notify_holder, request).map(drop).map_err(asked)
}

async fn begin(parties: &Parties, card_id: &str, session: SessionId) -> Result<(), Trouble> {
    let request = pb::BeginActivationRequest {
        request_id: parties.request_id(),
        card_id: card_id.to_owned(),
        session_id: session.to_string(),
        terminal: "T-1".to_owned(),
        documents: vec!["DRIVING_LICENCE".to_owned()],
        surrendered_card_id: String::new(),
        occurred_time: now(),
    };
    ask!(parties.ward, cards.begin_activation, request).map(drop).map_err(asked)
}

/// Does what the server says until nothing is left to do; returns where the card stands, and the steps.
async fn finish(
    parties: &Parties,
    card: &mut Card,
    session: SessionId,
) -> Result<(CardState, String), Trouble> {
    let mut steps = Vec::new();
    for _ in 0..STEPS_MAX {
        let request = pb::QueryActivationRequest {
            card_id: card.id.clone(),
            session_id: session.to_string(),
            chip: Some(said(card)),
        };
        let answer = ask!(parties.ward, cards.query_activation, request).map_err(asked)?;
        let step = answer.step();
        match step {
            ActivationStep::PrepareChip => drop(card.chip.prepare(session)),
            ActivationStep::CommitChip => drop(card.chip.commit(session)),
            ActivationStep::Confirm => confirm(parties, card, session).await?,
            ActivationStep::Done => {
                return Ok((answer.card.unwrap_or_default().state(), steps.join(" ")));
            }
            _ => break,
        }
        steps.push(step.as_str_name().trim_start_matches("ACTIVATION_STEP_"));
    }
    Ok((CardState::Unspecified, steps.join(" ")))
}

async fn confirm(parties: &Parties, card: &Card, session: SessionId) -> Result<(), Trouble> {
    let request = pb::ConfirmActivationRequest {
        request_id: parties.request_id(),
        card_id: card.id.clone(),
        session_id: session.to_string(),
        chip: Some(said(card)),
        occurred_time: now(),
    };
    ask!(parties.ward, cards.confirm_activation, request).map(drop).map_err(asked)
}

fn said(card: &Card) -> pb::ChipStatement {
    let statement = card.chip.statement();
    pb::ChipStatement {
        state: statement.state.to_owned(),
        session_id: statement.session,
        signature: statement.signature,
    }
}

/// What `todoke card show --history` says of it.
async fn history(stage: &Stage, tale: &mut Narrator, card_id: &str) -> Result<(), Trouble> {
    let ended = stage.as_ward(&["card", "show", card_id, "--history"])?.end().await?.with_code(0)?;
    let events: Vec<&str> = ended
        .events
        .iter()
        .filter(|event| event["event"] == "card_event")
        .map(|event| text(event, "kind"))
        .collect();
    let found = events.join(" ");
    tale.say(&format!("`todoke card show {card_id} --history`: {found}."));
    let whole = ["ORDER", "PERSONALISE", "SHIP", "ARRIVE", "BEGIN_ACTIVATION", "CONFIRM_ACTIVATION"];
    let held = whole.iter().all(|event| events.contains(event));
    tale.holds("its history, from the order on", "whole", if held { "whole" } else { &found }, held);
    Ok(())
}

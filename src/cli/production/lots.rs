//! `todoke production allocate | recall | lot | ages`: what operators do with lots, and what everybody
//! may see.

use clap::Args;
use serde_json::json;

use super::{
    keyed::Keyed,
    share::{age, share_json, share_line},
};
use crate::{
    cli::{
        giving::Asker,
        municipal::{Output, say, say_event, say_result},
    },
    client::{calls::Weight, error::Error},
    domain::{item::ItemId, municipality::MunicipalityCode},
    runtime::exit,
    wire::{convert::span_ms, pb},
};

/// Blank cards for a producer.
#[derive(Debug, Clone, Args)]
pub(super) struct AllocateArgs {
    /// The lot
    #[arg(value_name = "LOT")]
    lot: ItemId,
    /// For whose orders
    #[arg(long, value_name = "CODE")]
    municipality: MunicipalityCode,
    /// The producer: the name in its certificate
    #[arg(long, value_name = "NAME")]
    producer: String,
    /// How many blank cards; again, so many more
    #[arg(long, value_name = "N")]
    cards: u32,
    #[command(flatten)]
    pub(super) keyed: Keyed,
}

/// A lot that is called back.
#[derive(Debug, Clone, Args)]
pub(super) struct RecallArgs {
    /// The lot
    #[arg(value_name = "LOT")]
    lot: ItemId,
    /// Why, as every holder's municipality will see it
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    pub(super) keyed: Keyed,
}

/// A lot that is looked at.
#[derive(Debug, Clone, Args)]
pub(super) struct LotArgs {
    /// The lot
    #[arg(value_name = "LOT")]
    lot: ItemId,
    /// Only this municipality's share [default: all that the caller may see]
    #[arg(long, value_name = "CODE")]
    municipality: Option<MunicipalityCode>,
    #[command(flatten)]
    pub(super) asking: Asker,
}

/// Whose stages are looked at.
#[derive(Debug, Clone, Args)]
pub(super) struct AgesArgs {
    /// Whose; a municipality sees its own and leaves it out
    #[arg(long, value_name = "CODE")]
    municipality: Option<MunicipalityCode>,
    #[command(flatten)]
    pub(super) asking: Asker,
}

fn code(municipality: Option<&MunicipalityCode>) -> String {
    municipality.map(ToString::to_string).unwrap_or_default()
}

pub(super) async fn allocate(args: &AllocateArgs) -> Result<u8, Error> {
    let message = |request_id| pb::AllocateQuotaRequest {
        request_id,
        municipality_code: args.municipality.to_string(),
        lot_id: args.lot.to_string(),
        producer: args.producer.clone(),
        cards: args.cards,
    };
    let send = args.keyed.send("AllocateQuota", message, |attempt, request| async move {
        attempt.production().allocate_quota(request).await
    });
    let (answer, request_id) = send.await?;
    let share = answer.share.unwrap_or_default();
    if args.keyed.output() == Output::Json {
        let mut value = share_json(&share);
        value["request_id"] = request_id.into();
        return Ok(say_result(exit::DONE, value));
    }
    say(&share_line(&share));
    Ok(exit::DONE)
}

pub(super) async fn recall(args: &RecallArgs) -> Result<u8, Error> {
    let message = |request_id| pb::RecallLotRequest {
        request_id,
        lot_id: args.lot.to_string(),
        reason: args.reason.clone(),
    };
    let send = args.keyed.send("RecallLot", message, |attempt, request| async move {
        attempt.production().recall_lot(request).await
    });
    let (answer, request_id) = send.await?;
    let mut sums = [0; 3];
    for share in &answer.shares {
        let pb::RecalledShare { municipality_code, recalled, ended_before, orders_waiting } = share;
        sums = [sums[0] + recalled, sums[1] + ended_before, sums[2] + orders_waiting];
        match args.keyed.output() {
            Output::Json => say_event(
                "recalled",
                json!({
                    "municipality_code": municipality_code, "recalled": recalled,
                    "ended_before": ended_before, "orders_waiting": orders_waiting,
                }),
            ),
            Output::Text => say(&format!(
                "{municipality_code}: {recalled} recalled, {ended_before} had ended, {orders_waiting} orders \
                 wait again"
            )),
        }
    }
    if args.keyed.output() == Output::Json {
        let value = json!({
            "municipalities": answer.shares.len(), "recalled": sums[0], "ended_before": sums[1],
            "orders_waiting": sums[2], "request_id": request_id,
        });
        return Ok(say_result(exit::DONE, value));
    }
    say(&format!(
        "lot {} is called back: {} cards recalled; their municipalities find them with \
         `todoke card list --lot {}`",
        args.lot, sums[0], args.lot
    ));
    Ok(exit::DONE)
}

pub(super) async fn lot(args: &LotArgs) -> Result<u8, Error> {
    let message = pb::GetLotRequest {
        lot_id: args.lot.to_string(),
        municipality_code: code(args.municipality.as_ref()),
    };
    let get = args.asking.ask(("GetLot", Weight::Heavy), &message, |attempt, request| async move {
        attempt.production().get_lot(request).await
    });
    let answer = get.await?;
    let differences: usize = answer.counts.iter().map(|count| count.differences.len()).sum();
    // Only a sum that does not close needs somebody.
    let exit = if differences == 0 { exit::DONE } else { exit::TOTALS };
    for (share, count) in answer.shares.iter().zip(&answer.counts) {
        if args.asking.output == Output::Json {
            let mut value = share_json(share);
            value["cards_by_state"] = json!(count.cards_by_state);
            value["differences"] = json!(count.differences);
            say_event("share", value);
            continue;
        }
        say(&share_line(share));
        let mut states: Vec<_> = count.cards_by_state.iter().collect();
        states.sort_unstable();
        states.iter().for_each(|(state, cards)| say(&format!("  {state:18} {cards}")));
        count.differences.iter().for_each(|one| say(&format!("  does not close: {one}")));
    }
    let total = answer.total.unwrap_or_default();
    if args.asking.output == Output::Json {
        let mut value = share_json(&total);
        value["shares"] = json!(answer.shares.len());
        value["differences"] = json!(differences);
        return Ok(say_result(exit, value));
    }
    if answer.shares.len() > 1 {
        say(&share_line(&total));
    }
    Ok(exit)
}

pub(super) async fn ages(args: &AgesArgs) -> Result<u8, Error> {
    let message = pb::ListStageAgesRequest { municipality_code: code(args.municipality.as_ref()) };
    let get = args.asking.ask(("ListStageAges", Weight::Heavy), &message, |attempt, request| async move {
        attempt.production().list_stage_ages(request).await
    });
    let answer = get.await?;
    for one in &answer.stages {
        let pb::StageAge { stage, count, p50, p95 } = one;
        match args.asking.output {
            Output::Json => {
                let ms =
                    |span: &Option<prost_types::Duration>| span.as_ref().map(span_ms).unwrap_or_default();
                let value = json!({"stage": stage, "count": count, "p50_ms": ms(p50), "p95_ms": ms(p95)});
                say_event("stage_age", value);
            }
            Output::Text => {
                let (p50, p95) = (age(p50.as_ref()), age(p95.as_ref()));
                say(&format!("{stage:32} {count:>8}  half within {p50}, 95 of 100 within {p95}"));
            }
        }
    }
    if args.asking.output == Output::Json {
        return Ok(say_result(exit::DONE, json!({"stages": answer.stages.len()})));
    }
    if answer.stages.is_empty() {
        say("no application and no card waits, and none was sent in the last 31 days");
    }
    Ok(exit::DONE)
}

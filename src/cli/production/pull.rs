//! `todoke production pull`: a producer gets orders that wait; what is about a person is shown to
//! programs alone.

use std::time::Duration;

use clap::{Args, builder::TypedValueParser};
use serde_json::json;

use super::{
    keyed::Keyed,
    share::{order_json, order_line},
};
use crate::{
    cli::{
        lives::time,
        municipal::{Output, many, say, say_event, say_result, wait, warn},
    },
    client::error::Error,
    domain::{item::ItemId, municipality::MunicipalityCode},
    runtime::exit,
    wire::{convert::span, pb},
};

/// Which orders are pulled.
#[derive(Debug, Clone, Args)]
pub(super) struct PullArgs {
    /// The lot whose blank cards they are made of
    #[arg(value_name = "LOT")]
    lot: ItemId,
    /// Whose orders
    #[arg(long, value_name = "CODE")]
    municipality: MunicipalityCode,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = orders())]
    limit: u32,
    /// How long nobody else gets them
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = wait)]
    lease: Duration,
    /// Where the pull before ended, as it said
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    page_token: String,
    #[command(flatten)]
    pub(super) keyed: Keyed,
}

fn orders() -> impl TypedValueParser<Value = u32> {
    clap::value_parser!(u32).range(1..=500)
}

pub(super) async fn run(args: &PullArgs) -> Result<u8, Error> {
    let message = |request_id| pb::PullOrdersRequest {
        request_id,
        municipality_code: args.municipality.to_string(),
        lot_id: args.lot.to_string(),
        orders_max: args.limit,
        lease: Some(span(args.lease)),
        page_token: args.page_token.clone(),
    };
    let send = args.keyed.send("PullOrders", message, |attempt, request| async move {
        attempt.production().pull_orders(request).await
    });
    let (answer, request_id) = send.await?;
    let pb::PullOrdersResponse { orders, lease_end_time, next_page_token, held, restore_time } = answer;
    let (until, restored) = (time(lease_end_time.as_ref()), time(restore_time.as_ref()));
    if args.keyed.output() == Output::Json {
        orders.iter().for_each(|order| say_event("order", order_json(order)));
        for pb::HeldOrder { application_number, why, order_id } in &held {
            let value = json!({"application_number": application_number, "order_id": order_id, "why": why});
            say_event("held", value);
        }
        let value = json!({
            "orders": orders.len(), "held": held.len(), "lease_end_time": until,
            "next_page_token": next_page_token, "request_id": request_id, "restore_time": restored,
        });
        return Ok(say_result(exit::DONE, value));
    }
    orders.iter().for_each(|order| say(&order_line(order)));
    for pb::HeldOrder { application_number, why, order_id } in &held {
        warn(&format!("held: application {application_number} for order {order_id}: {why}"));
    }
    if orders.is_empty() && next_page_token.is_empty() {
        say("no order waits");
        return Ok(exit::DONE);
    }
    if !orders.is_empty() {
        say(&format!(
            "{} until {until}; what is printed on them is given with --output json",
            many(orders.len() as u64, "order")
        ));
        if !restored.is_empty() {
            warn(&format!(
                "a backup was restored at {restored}: orders that were pulled since that backup come again. \
                 Look for each one among the cards that were made, and report those instead of making them"
            ));
        }
    }
    if !next_page_token.is_empty() {
        warn(&format!("more may wait: --page-token {next_page_token} goes on"));
    }
    Ok(exit::DONE)
}

//! `todoke pool explain UNIT`: where a unit stands, why, what that rests on, and what comes next.

use clap::Args;
use serde_json::{Value, json};

use super::{asking::Asking, show::state};
use crate::{
    cli::municipal::{Output, say_event, say_lines, say_result},
    client::error::Error,
    pool::evidence::UnitId,
    runtime::exit,
    wire::pb,
};

/// Says of one unit where it stands, why, and what may come next.
///
/// The first lines say why, what is to be done, and what comes by itself. Below are the evidence by kind of
/// call, span and left-out observer, the votes with the discarded ones, what its siblings do, the floor, the
/// penalties, and what default rules elsewhere would have done.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  \
    todoke pool explain relay-2 --endpoints dev/endpoints.json --as operator/alice")]
pub(super) struct ExplainArgs {
    /// The unit, as `todoke pool list` shows it
    #[arg(value_name = "UNIT")]
    unit: UnitId,
    #[command(flatten)]
    pub(super) asking: Asking,
}

pub(super) async fn run(args: &ExplainArgs) -> Result<(), Error> {
    let issuers = args.asking.issuers()?;
    let message = pb::ExplainUnitRequest { unit: args.unit.to_string() };
    let answer = issuers
        .prefer(
            "ExplainUnit",
            &message,
            |mut pool, request| async move { pool.explain_unit(request).await },
            |answer| explanation(answer)["issuer"]["decides"] == true,
        )
        .await?;
    if args.asking.output == Output::Text {
        say_lines(&answer.text);
        return Ok(());
    }
    say_event("explanation", explanation(&answer));
    let state = answer.unit.as_ref().map(state);
    say_result(exit::DONE, json!({"unit": args.unit.as_str(), "state": state}));
    Ok(())
}

/// The explanation as it came; nothing if it is no JSON.
fn explanation(answer: &pb::ExplainUnitResponse) -> Value {
    serde_json::from_str(&answer.explanation_json).unwrap_or_default()
}

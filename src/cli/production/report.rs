//! `todoke production report`: what came out of a producer's orders; a list with a wrong line is refused
//! before anything is sent.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::share::{share_json, share_line};
use crate::{
    cli::{
        giving::{Giving, Stamp},
        municipal::{Output, many, say, say_event, say_result, warn},
        parts::{CARDS, Sent, send},
    },
    client::{
        calls::Weight,
        error::Error,
        party::Party,
        produced::{self, Produced},
        reader::ReadOptions,
    },
    domain::{item::ItemId, municipality::MunicipalityCode},
    runtime::{blocking, exit},
    wire::pb::{self, produced_card::Result as Came},
};

/// What came out.
#[derive(Debug, Clone, Args)]
pub(super) struct ReportArgs {
    /// The lot
    #[arg(value_name = "LOT")]
    lot: ItemId,
    /// Whose orders they are
    #[arg(long, value_name = "CODE")]
    municipality: MunicipalityCode,
    /// The CSV file with card_id,result,chip_key,self_test,unmet: result is OK or NOK, chip_key the
    /// public key as hex, self_test PASS or what failed (of NOK: what is wrong), unmet what could not be
    /// met, with ; between
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Takes a last line without line break as complete
    #[arg(long)]
    accept_missing_newline: bool,
    #[command(flatten)]
    pub(super) giving: Giving,
}

pub(super) async fn run(args: &ReportArgs) -> Result<u8, Error> {
    let (file, accept_missing_newline) = (args.file.clone(), args.accept_missing_newline);
    let options = ReadOptions { accept_missing_newline, ..ReadOptions::default() };
    let cards = match blocking(move || produced::read(&file, &options)).await {
        Ok(cards) => cards,
        Err(wrong) => return Err(refused(wrong, args.giving.output())),
    };
    let report = async |party: &Party, stamp: &Stamp, part: &[Produced]| {
        let message = pb::ReportProductionRequest {
            request_id: stamp.request_id.clone(),
            municipality_code: args.municipality.to_string(),
            lot_id: args.lot.to_string(),
            cards: part.iter().map(|one| one.card.clone()).collect(),
            occurred_time: stamp.time(),
        };
        let call = "ReportProduction";
        party
            .ask(call, Weight::Heavy, &message, |attempt, request| async move {
                attempt.production().report_production(request).await
            })
            .await
    };
    let from: (_, fn(&Produced) -> u64) = (args.file.as_path(), |one| one.line);
    let sent = send(&args.giving, (CARDS, &cards), Some(from), report).await?.whole()?;
    Ok(show(&sent, &cards, args.giving.output()))
}

/// Names all wrong lines but the last, which is the error.
fn refused(mut wrong: Vec<crate::client::input_fault::InputFault>, output: Output) -> Error {
    let last = wrong.pop().expect("a list that is refused has a wrong line");
    for fault in wrong {
        match output {
            Output::Json => say_event("wrong_line", json!({"line": fault.line, "error": fault.to_string()})),
            Output::Text => warn(&format!("error: {fault}")),
        }
    }
    last.into()
}

fn show(sent: &Sent<pb::ReportProductionResponse>, cards: &[Produced], output: Output) -> u8 {
    let bad = cards.iter().filter(|one| matches!(one.card.result, Some(Came::Nok(_))));
    let good = cards.len() - bad.count();
    let remade: Vec<&String> = sent.answers.iter().flat_map(|answer| &answer.remade_card_ids).collect();
    let share = sent.answers.last().and_then(|answer| answer.share.clone()).unwrap_or_default();
    if output == Output::Json {
        remade.iter().for_each(|id| say_event("remade", json!({"card_id": id})));
        let mut value = share_json(&share);
        value["reported"] = json!(cards.len());
        value["remade"] = json!(remade.len());
        return say_result(exit::DONE, sent.stamp.on(value));
    }
    remade.iter().for_each(|id| say(&format!("to be made anew: {id}")));
    let faulty = (good + remade.len()).saturating_sub(cards.len());
    let faulty = if faulty > 0 { format!(" ({faulty} by their own self-test)") } else { String::new() };
    say(&format!(
        "{} reported, {} of them to be made anew{faulty}",
        many(cards.len() as u64, "card"),
        remade.len()
    ));
    say(&share_line(&share));
    exit::DONE
}

//! `todoke production ship | lost`: which good cards went to the municipality, and which of them did not
//! arrive.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::{ArgGroup, Args};
use serde_json::json;

use super::share::{share_json, share_line};
use crate::{
    cli::{
        giving::{Giving, Stamp},
        municipal::{Output, many, say, say_result},
        parts::{CARDS, send},
    },
    client::{calls::Weight, error::Error, input_fault::InputFault, party::Party},
    domain::{item::ItemId, municipality::MunicipalityCode},
    runtime::{blocking, exit},
    wire::pb,
};

/// Bytes of a list at the most.
const LIST_BYTES_MAX: u64 = 16 << 20;

/// Cards of one shipment.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["cards", "file"]))]
pub(super) struct CardsArgs {
    /// The lot
    #[arg(value_name = "LOT")]
    lot: ItemId,
    /// The cards
    #[arg(value_name = "CARD")]
    cards: Vec<ItemId>,
    /// The file with their ids, one a line
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Whose orders they are
    #[arg(long, value_name = "CODE")]
    municipality: MunicipalityCode,
    /// The shipment
    #[arg(long, value_name = "ID")]
    shipment: ItemId,
    #[command(flatten)]
    pub(super) giving: Giving,
}

/// Cards that did not arrive.
#[derive(Debug, Clone, Args)]
pub(super) struct LostArgs {
    #[command(flatten)]
    pub(super) cards: CardsArgs,
    /// Why, without personal data
    #[arg(long, value_name = "TEXT")]
    why: String,
}

pub(super) async fn ship(args: &CardsArgs) -> Result<u8, Error> {
    said(args, "").await
}

pub(super) async fn lost(args: &LostArgs) -> Result<u8, Error> {
    said(&args.cards, &args.why).await
}

/// Sends it; without a reason that they are lost, the cards were sent.
async fn said(args: &CardsArgs, lost: &str) -> Result<u8, Error> {
    let cards: Vec<(u64, ItemId)> = match args.file.clone() {
        Some(file) => blocking(move || read(&file)).await?,
        None => args.cards.iter().map(|id| (0, id.clone())).collect(),
    };
    let report = async |party: &Party, stamp: &Stamp, part: &[(u64, ItemId)]| {
        let message = pb::ReportShipmentRequest {
            request_id: stamp.request_id.clone(),
            municipality_code: args.municipality.to_string(),
            lot_id: args.lot.to_string(),
            shipment_id: args.shipment.to_string(),
            card_ids: part.iter().map(|(_, id)| id.to_string()).collect(),
            lost: lost.to_owned(),
            occurred_time: stamp.time(),
        };
        let call = "ReportShipment";
        party
            .ask(call, Weight::Heavy, &message, |attempt, request| async move {
                attempt.production().report_shipment(request).await
            })
            .await
    };
    let line: fn(&(u64, ItemId)) -> u64 = |(line, _)| *line;
    let from = args.file.as_deref().map(|file| (file, line));
    let sent = send(&args.giving, (CARDS, &cards), from, report).await?.whole()?;
    let share = sent.answers.last().and_then(|answer| answer.share.clone()).unwrap_or_default();
    if args.giving.output() == Output::Json {
        let mut value = share_json(&share);
        value["reported"] = json!(cards.len());
        return Ok(say_result(exit::DONE, sent.stamp.on(value)));
    }
    let what = if lost.is_empty() { "sent" } else { "lost" };
    say(&format!("{} {what} with shipment {}", many(cards.len() as u64, "card"), args.shipment));
    say(&share_line(&share));
    Ok(exit::DONE)
}

fn read(file: &Path) -> Result<Vec<(u64, ItemId)>, InputFault> {
    let size = std::fs::metadata(file).map_err(|error| InputFault::from_io(file, &error))?.len();
    if size > LIST_BYTES_MAX {
        return Err(InputFault::of_file(file, "is longer than 16 MiB", "Report shipment by shipment"));
    }
    let bytes = std::fs::read(file).map_err(|error| InputFault::from_io(file, &error))?;
    ids(file, &String::from_utf8_lossy(&bytes))
}

/// The ids of a list with their lines. What a line holds is never repeated: a wrong file may hold anything.
fn ids(file: &Path, text: &str) -> Result<Vec<(u64, ItemId)>, InputFault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut ids, mut lines) = (Vec::new(), BTreeMap::new());
    for (line, text) in (1..).zip(text.lines()).map(|(line, text)| (line, text.trim())) {
        if text.is_empty() {
            continue;
        }
        let id: ItemId = text.parse().map_err(|_| {
            let remedy = "Each line holds one id of 1 to 64 visible ASCII characters, and nothing else";
            InputFault::of_line(file, line, "is no id of a card", remedy)
        })?;
        if let Some(before) = lines.insert(id.clone(), line) {
            let what = format!("is the same as line {before}");
            return Err(InputFault::of_line(file, line, what, "Name each card once"));
        }
        ids.push((line, id));
    }
    if ids.is_empty() {
        return Err(InputFault::of_file(file, "names no card", "Write one id a line"));
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_one_id_a_line_and_what_is_wrong_has_its_line() {
        let read = |text: &str| ids(Path::new("box.txt"), text).map_err(|fault| fault.to_string());
        let found = read("\u{feff}K-1\n\n K-2\r\nK-3").expect("three");
        let found: Vec<_> = found.iter().map(|(line, id)| (*line, id.as_str())).collect();
        assert_eq!(found, [(1, "K-1"), (3, "K-2"), (4, "K-3")]);
        for (bad, words) in [
            ("K-1\n葛飾 太郎\n", "box.txt, line 2: is no id"),
            ("K-1\n\nK-1\n", "line 3: is the same as line 1"),
            ("\n", "names no card"),
        ] {
            let said = read(bad).expect_err(bad);
            assert!(said.contains(words) && !said.contains("葛飾"), "{said}");
        }
    }
}

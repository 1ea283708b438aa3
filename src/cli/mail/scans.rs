//! `todoke mail produced | posted | delivered | returned`: what press and post have seen of an envelope.

use clap::{ArgGroup, Args};

use crate::{
    cli::{giving::Giving, lives::change::give},
    client::error::Error,
    domain::{item::ItemId, municipality::MunicipalityCode},
    wire::pb::{self, insertion_evidence::Kind},
};

/// What press and post say of an envelope.
#[derive(Debug, Clone, Args)]
pub(super) struct ScanArgs {
    /// The code on the envelope
    #[arg(value_name = "ID")]
    id: ItemId,
    /// Whose envelope it is
    #[arg(long, value_name = "CODE")]
    municipality: MunicipalityCode,
    #[command(flatten)]
    pub(super) giving: Giving,
}

/// What the press says of an envelope.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("evidence").args(["scanned_cards", "weight_mg"]))]
pub(super) struct ProducedArgs {
    /// The code on the envelope
    #[arg(value_name = "ID")]
    id: ItemId,
    /// Whose envelope it is
    #[arg(long, value_name = "CODE")]
    municipality: MunicipalityCode,
    /// The order of a card that is in it; once for each card
    #[arg(long = "order-id", value_name = "ID", required = true)]
    order_ids: Vec<String>,
    /// How many cards were scanned on their way in; without it and --weight-mg the envelope is not closed yet
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    scanned_cards: Option<u32>,
    /// What the closed envelope weighs, what it should weigh, and how far it may be off, all in milligrams
    #[arg(long, value_name = "MEASURED:EXPECTED:TOLERANCE", value_parser = weight)]
    weight_mg: Option<pb::Weight>,
    #[command(flatten)]
    pub(super) giving: Giving,
}

pub(super) async fn produced(args: &ProducedArgs) -> Result<u8, Error> {
    let scanned = args.scanned_cards.map(Kind::ScannedCards);
    let evidence = scanned.or_else(|| args.weight_mg.map(Kind::Weight));
    give!(
        args.giving,
        mail.record_produced.mail_item,
        "RecordProduced",
        RecordProducedRequest {
            municipality_code: args.municipality.to_string(),
            mail_item_id: args.id.to_string(),
            order_ids: args.order_ids.clone(),
            insertion_evidence: evidence.map(|kind| pb::InsertionEvidence { kind: Some(kind) }),
        }
    )
}

/// Sends what the post has seen.
macro_rules! scan {
    ($args:ident, $call:ident, $name:literal, $request:ident) => {
        give!(
            $args.giving,
            mail.$call.mail_item,
            $name,
            $request {
                municipality_code: $args.municipality.to_string(),
                mail_item_id: $args.id.to_string(),
            }
        )
    };
}

pub(super) async fn posted(args: &ScanArgs) -> Result<u8, Error> {
    scan!(args, record_posted, "RecordPosted", RecordPostedRequest)
}

pub(super) async fn delivered(args: &ScanArgs) -> Result<u8, Error> {
    scan!(args, record_delivered, "RecordDelivered", RecordDeliveredRequest)
}

pub(super) async fn returned(args: &ScanArgs) -> Result<u8, Error> {
    scan!(args, record_returned, "RecordReturned", RecordReturnedRequest)
}

fn weight(text: &str) -> Result<pb::Weight, String> {
    let numbers: Option<Vec<u32>> = text.split(':').map(|number| number.parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[measured_mg, expected_mg, tolerance_mg]) => {
            Ok(pb::Weight { measured_mg, expected_mg, tolerance_mg })
        }
        _ => Err("must be three whole numbers of milligrams, such as 21950:22000:900".to_owned()),
    }
}

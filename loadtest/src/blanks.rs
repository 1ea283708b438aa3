//! Cards that wait at a counter: made of blank cards, arrived, set up, and their holders asked to come.

use time::OffsetDateTime;
use todoke::{
    client::endpoints::Endpoints,
    domain::municipality::MunicipalityCode,
    sample::Chip,
    wire::{
        convert::timestamp,
        pb::{
            self, card_service_client::CardServiceClient, produced_card,
            production_service_client::ProductionServiceClient,
        },
    },
};
use tokio::task::JoinSet;
use tonic::{Response, Status, transport::Channel};

use crate::{
    failure::Failure,
    terminals::{Refused, channel, without_a_place},
};

/// Cards of one call, which is as many as it takes.
const TOGETHER: usize = 500;
/// Cards that are set up at once.
const AT_ONCE: usize = 32;
/// How often a call is made again that finds no place.
const ATTEMPTS_MAX: u32 = 1_000;
const LOT: &str = "loadtest";

fn now_ms() -> i64 {
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or_default()
}

/// Makes a call, again and again if it finds no place.
async fn again<T, F>(what: &'static str, call: impl Fn() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let mut attempts = 0;
    loop {
        let status = match call().await {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(status) => status,
        };
        attempts += 1;
        match without_a_place(&status, &mut Refused::new()) {
            Some(wait) if attempts < ATTEMPTS_MAX => tokio::time::sleep(wait).await,
            _ => return Err(Failure::new(format!("{what}: {status}"))),
        }
    }
}

/// Makes this call of a client, with this message.
macro_rules! again {
    ($client:expr, $call:ident, $message:expr) => {
        again(stringify!($call), || {
            let (mut client, message) = ($client.clone(), $message.clone());
            async move { client.$call(message).await }
        })
        .await
    };
}

/// Has so many cards of this municipality made and brought to a counter, and returns their ids.
pub(crate) async fn waiting(
    endpoints: &Endpoints,
    municipality: &str,
    waiting: usize,
) -> Result<Vec<String>, Failure> {
    let press = ProductionServiceClient::new(channel(endpoints, "producer/press-1", 0)?);
    let press = press.max_decoding_message_size(16 << 20);
    let operator = ProductionServiceClient::new(channel(endpoints, "operator/alice", 0)?);
    let quota = pb::AllocateQuotaRequest {
        request_id: format!("q-{municipality}"),
        municipality_code: municipality.to_owned(),
        lot_id: LOT.to_owned(),
        producer: "press-1".to_owned(),
        cards: u32::try_from(2 * waiting).unwrap_or(u32::MAX),
    };
    again!(operator, allocate_quota, quota)?;
    let cards = pulled(&press, municipality, waiting).await?;
    let code: MunicipalityCode = municipality.parse().map_err(Failure::while_doing("a municipality"))?;
    let office = CardServiceClient::new(channel(endpoints, &format!("municipality/{municipality}"), 0)?);
    for (number, cards) in cards.chunks(TOGETHER).enumerate() {
        let report = pb::ReportProductionRequest {
            request_id: format!("r-{municipality}-{number}"),
            municipality_code: municipality.to_owned(),
            lot_id: LOT.to_owned(),
            cards: cards.iter().map(|card_id| good(code, card_id)).collect::<Result<_, _>>()?,
            occurred_time: Some(timestamp(now_ms())),
        };
        again!(press, report_production, report)?;
        let arrival = pb::RecordArrivalRequest {
            request_id: format!("arrival-{number}"),
            card_ids: cards.to_vec(),
            office: LOT.to_owned(),
            occurred_time: Some(timestamp(now_ms())),
        };
        again!(office, record_arrival, arrival)?;
        let mut set_up = JoinSet::new();
        for some in cards.chunks(cards.len().div_ceil(AT_ONCE)) {
            set_up.spawn(to_the_counter(office.clone(), some.to_vec()));
        }
        while let Some(done) = set_up.join_next().await {
            done.map_err(Failure::while_doing("setting cards up"))??;
        }
    }
    Ok(cards)
}

/// The cards that a producer is given, page by page.
async fn pulled(
    press: &ProductionServiceClient<Channel>,
    municipality: &str,
    waiting: usize,
) -> Result<Vec<String>, Failure> {
    let (mut cards, mut page_token, mut page) = (Vec::new(), String::new(), 0);
    while cards.len() < waiting {
        page += 1;
        let pull = pb::PullOrdersRequest {
            request_id: format!("p-{municipality}-{page}"),
            municipality_code: municipality.to_owned(),
            lot_id: LOT.to_owned(),
            orders_max: u32::try_from(TOGETHER.min(waiting - cards.len())).unwrap_or(u32::MAX),
            page_token,
            ..Default::default()
        };
        let pulled = again!(press, pull_orders, pull)?;
        cards.extend(pulled.orders.into_iter().map(|order| order.card_id));
        page_token = pulled.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if cards.len() < waiting {
        let words = format!("{municipality} has {} orders for cards, and {waiting} are needed", cards.len());
        return Err(Failure::new(words));
    }
    Ok(cards)
}

fn good(code: MunicipalityCode, card_id: &str) -> Result<pb::ProducedCard, Failure> {
    let card = card_id.parse().map_err(Failure::while_doing("the id of a card"))?;
    let chip_key = Chip::make(code, card).public_key();
    let good = pb::GoodCard { chip_key, self_test: "PASS".to_owned(), ..Default::default() };
    let result = Some(produced_card::Result::Ok(good));
    Ok(pb::ProducedCard { card_id: card_id.to_owned(), result })
}

/// Sets cards up, one after the other, and asks their holders to come.
async fn to_the_counter(office: CardServiceClient<Channel>, cards: Vec<String>) -> Result<(), Failure> {
    for card_id in cards {
        let setting_up = pb::RecordPreIssuanceRequest {
            request_id: format!("setting-up-{card_id}"),
            card_id: card_id.clone(),
            self_test: "PASS".to_owned(),
            occurred_time: Some(timestamp(now_ms())),
        };
        again!(office, record_pre_issuance, setting_up)?;
        let notice = pb::NotifyHolderRequest {
            request_id: format!("notice-{card_id}"),
            card_id,
            occurred_time: Some(timestamp(now_ms())),
        };
        again!(office, notify_holder, notice)?;
    }
    Ok(())
}

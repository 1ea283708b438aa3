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
use tonic::transport::Channel;

use crate::{failure::Failure, terminals::channel};

/// Cards of a municipality that wait; each is used by one visit at a time.
const WAITING: usize = 200;
const LOT: &str = "loadtest";
fn now_ms() -> i64 {
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or_default()
}

/// Has cards of this municipality made and brought to a counter, and returns their ids.
pub(crate) async fn waiting(endpoints: &Endpoints, municipality: &str) -> Result<Vec<String>, Failure> {
    let press = ProductionServiceClient::new(channel(endpoints, "producer/press-1", 0)?);
    let mut press = press.max_decoding_message_size(16 << 20);
    let operator = channel(endpoints, "operator/alice", 0)?;
    let quota = pb::AllocateQuotaRequest {
        request_id: format!("q-{municipality}"),
        municipality_code: municipality.to_owned(),
        lot_id: LOT.to_owned(),
        producer: "press-1".to_owned(),
        cards: 1_000,
    };
    let allocated = ProductionServiceClient::new(operator).allocate_quota(quota).await;
    allocated.map_err(Failure::while_doing("AllocateQuota"))?;
    let (mut cards, mut page_token, mut page) = (Vec::new(), String::new(), 0);
    while cards.len() < WAITING {
        page += 1;
        let pull = pb::PullOrdersRequest {
            request_id: format!("p-{municipality}-{page}"),
            municipality_code: municipality.to_owned(),
            lot_id: LOT.to_owned(),
            orders_max: u32::try_from(WAITING - cards.len()).unwrap_or(u32::MAX),
            page_token,
            ..Default::default()
        };
        let pulled = press.pull_orders(pull).await.map_err(Failure::while_doing("PullOrders"))?;
        let pulled = pulled.into_inner();
        cards.extend(pulled.orders.into_iter().map(|order| order.card_id));
        page_token = pulled.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let code: MunicipalityCode = municipality.parse().map_err(Failure::while_doing("a municipality"))?;
    let mut made = Vec::with_capacity(cards.len());
    for card_id in &cards {
        let card = card_id.parse().map_err(Failure::while_doing("the id of a card"))?;
        let chip_key = Chip::make(code, card).public_key();
        let ok = pb::GoodCard { chip_key, self_test: "PASS".to_owned(), ..Default::default() };
        let result = Some(produced_card::Result::Ok(ok));
        made.push(pb::ProducedCard { card_id: card_id.clone(), result });
    }
    let report = pb::ReportProductionRequest {
        request_id: format!("r-{municipality}"),
        municipality_code: municipality.to_owned(),
        lot_id: LOT.to_owned(),
        cards: made,
        occurred_time: Some(timestamp(now_ms())),
    };
    press.report_production(report).await.map_err(Failure::while_doing("ReportProduction"))?;
    to_the_counter(channel(endpoints, &format!("municipality/{municipality}"), 0)?, &cards).await?;
    Ok(cards)
}

/// Takes cards in at the office, and asks their holders to come.
async fn to_the_counter(office: Channel, cards: &[String]) -> Result<(), Failure> {
    let mut office = CardServiceClient::new(office);
    let arrival = pb::RecordArrivalRequest {
        request_id: "arrival".to_owned(),
        card_ids: cards.to_vec(),
        office: LOT.to_owned(),
        occurred_time: Some(timestamp(now_ms())),
    };
    office.record_arrival(arrival).await.map_err(Failure::while_doing("RecordArrival"))?;
    for (number, card_id) in cards.iter().enumerate() {
        let setting_up = pb::RecordPreIssuanceRequest {
            request_id: format!("setting-up-{number}"),
            card_id: card_id.clone(),
            self_test: "PASS".to_owned(),
            occurred_time: Some(timestamp(now_ms())),
        };
        office.record_pre_issuance(setting_up).await.map_err(Failure::while_doing("RecordPreIssuance"))?;
        let notice = pb::NotifyHolderRequest {
            request_id: format!("notice-{number}"),
            card_id: card_id.clone(),
            occurred_time: Some(timestamp(now_ms())),
        };
        office.notify_holder(notice).await.map_err(Failure::while_doing("NotifyHolder"))?;
    }
    Ok(())
}

//! What terminals do at a counter, call by call over relays, without our client's second attempts: a call
//! that finds no place is counted, and made again when the refusal says.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::ValueEnum;
use time::OffsetDateTime;
use todoke::{
    client::endpoints::Endpoints,
    net::{
        channel::{ChannelOptions, connect},
        tls::{ClientTls, TlsFiles},
    },
    wire::{
        convert::timestamp,
        fault::{Fault, Reason},
        pb::{
            self, card_service_client::CardServiceClient, get_card_request::Key,
            mail_service_client::MailServiceClient,
        },
    },
};
use tonic::{Request, Status, transport::Channel};

use crate::{blanks, failure::Failure, operator::MUNICIPALITIES};

/// Who scans envelopes for all of them.
const POST: &str = "postal/office-1";
/// Where envelopes lie.
const OFFICE: &str = "loadtest";
/// A call that is not answered by then has failed.
const DEADLINE: Duration = Duration::from_secs(10);
/// How often a call is made that is refused for want of a place.
const ATTEMPTS_MAX: u32 = 100;
/// Orders of a page of a list.
pub(crate) const PAGE: u32 = 1000;

/// One call of a visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// The post has an envelope that it could not deliver.
    Scan,
    /// The office puts it on a shelf.
    Store,
    /// A clerk looks a card up.
    GetCard,
    /// And its envelope.
    GetMailItem,
    /// And hands it over.
    HandOver,
    /// A card begins to be activated.
    Begin,
    /// And is not, so that the next visit finds it as this one did.
    Abort,
}

/// What visits are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Visits {
    /// Envelopes that came back.
    Mail,
    /// Cards that wait at the counter.
    Activation,
}

impl Visits {
    /// What is done in each, in this order.
    pub(crate) fn steps(self) -> &'static [Step] {
        match self {
            Visits::Mail => &[Step::Scan, Step::Store, Step::GetCard, Step::GetMailItem, Step::HandOver],
            Visits::Activation => &[Step::Begin, Step::GetCard, Step::Abort],
        }
    }
}

impl Step {
    /// The method that it calls.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Step::Scan => "RecordReturned",
            Step::Store => "StoreReturned",
            Step::GetCard => "GetCard",
            Step::GetMailItem => "GetMailItem",
            Step::HandOver => "HandOver",
            Step::Begin => "BeginActivation",
            Step::Abort => "AbortActivation",
        }
    }
}

/// A terminal of a municipality with a connection of its own.
#[derive(Clone)]
pub(crate) struct Terminal {
    municipality: &'static str,
    channel: Channel,
    post: Channel,
    /// Orders of its municipality, or its cards that wait.
    cards: Arc<Vec<String>>,
    visits: Visits,
}

/// What one visit came to.
#[derive(Debug, Default)]
pub(crate) struct Visited {
    /// How long each call took until it was answered, the first one from the time that it was due.
    pub(crate) took: Vec<(Step, Duration)>,
    /// Calls that found no place, by lane and reason.
    pub(crate) refused: Refused,
    /// How it failed, if it did.
    pub(crate) failed: Option<String>,
}

/// How often there was no place, by lane and reason.
pub(crate) type Refused = BTreeMap<(String, &'static str), u64>;

/// A connection of this party to one of the relays.
pub(crate) fn channel(endpoints: &Endpoints, party: &str, turn: usize) -> Result<Channel, Failure> {
    let files = endpoints.client(party).map_err(Failure::while_doing(party))?;
    let files = TlsFiles { cert: files.cert, key: files.key, ca: endpoints.ca.clone(), crl: None };
    let tls = ClientTls::load(&files, &endpoints.server_name).map_err(Failure::while_doing(party))?;
    let relay = &endpoints.relays[turn % endpoints.relays.len()];
    let channel = connect(&relay.address, &tls, &endpoints.server_name, ChannelOptions::default());
    channel.map_err(Failure::while_doing(&relay.id))
}

/// So many terminals of all municipalities, by turns.
pub(crate) async fn terminals(
    endpoints: &Endpoints,
    count: u16,
    visits: Visits,
    waiting: usize,
) -> Result<Vec<Terminal>, Failure> {
    let mut cards = BTreeMap::new();
    for (turn, municipality) in MUNICIPALITIES.into_iter().enumerate() {
        let channel = channel(endpoints, &format!("municipality/{municipality}"), turn)?;
        let these = match visits {
            Visits::Mail => list(&channel, "").await.map_err(Failure::while_doing("a list of cards"))?.0,
            Visits::Activation => blanks::waiting(endpoints, municipality, waiting).await?,
        };
        cards.insert(municipality, Arc::new(these));
    }
    let relays = endpoints.relays.len();
    let posts = (0..relays).map(|turn| channel(endpoints, POST, turn)).collect::<Result<Vec<_>, _>>()?;
    let terminal = |number: usize| {
        let municipality = MUNICIPALITIES[number % MUNICIPALITIES.len()];
        let turn = number / MUNICIPALITIES.len();
        let channel = channel(endpoints, &format!("municipality/{municipality}"), turn)?;
        let (post, cards) = (posts[turn % relays].clone(), Arc::clone(&cards[municipality]));
        Ok(Terminal { municipality, channel, post, cards, visits })
    };
    (0..usize::from(count)).map(terminal).collect()
}

/// A page of the cards of a municipality, and where the next one begins.
pub(crate) async fn list(channel: &Channel, page_token: &str) -> Result<(Vec<String>, String), Status> {
    let page_token = page_token.to_owned();
    let message = pb::ListCardsRequest { page_size: PAGE, page_token, ..Default::default() };
    let mut cards = CardServiceClient::new(channel.clone()).max_decoding_message_size(16 << 20);
    let page = cards.list_cards(timed(message)).await?.into_inner();
    Ok((page.cards.into_iter().map(|card| card.order_id).collect(), page.next_page_token))
}

fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(DEADLINE);
    request
}

impl Terminal {
    /// Makes the calls of a visit, of which `visit` is the name.
    pub(crate) async fn visit(&self, visit: &str, due: Instant) -> Visited {
        let mut visited = Visited::default();
        let begun_ms = i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000);
        let begun_ms = begun_ms.unwrap_or_default() - self.visits.steps().len() as i64;
        let mut from = due;
        for (at, step) in (1..).zip(self.visits.steps().iter().copied()) {
            let ended = self.again(step, visit, begun_ms + at, &mut visited.refused).await;
            visited.took.push((step, from.elapsed()));
            if let Err(status) = ended {
                visited.failed = Some(format!("{}: {status}", step.name()));
                break;
            }
            from = Instant::now();
        }
        visited
    }

    /// The card that a visit is about: of two visits at once each has its own.
    fn card(&self, visit: &str) -> String {
        self.cards[number(visit) / MUNICIPALITIES.len() % self.cards.len()].clone()
    }

    /// Makes a call until it finds a place.
    async fn again(&self, step: Step, visit: &str, at_ms: i64, refused: &mut Refused) -> Result<(), Status> {
        let mut attempts = 0;
        loop {
            let Err(status) = self.once(step, visit, at_ms).await else { return Ok(()) };
            attempts += 1;
            match without_a_place(&status, refused) {
                Some(wait) if attempts < ATTEMPTS_MAX => tokio::time::sleep(wait).await,
                _ => return Err(status),
            }
        }
    }

    async fn once(&self, step: Step, visit: &str, at_ms: i64) -> Result<(), Status> {
        let (request_id, occurred_time) = (format!("{}-{visit}", step.name()), Some(timestamp(at_ms)));
        let mut cards = CardServiceClient::new(self.channel.clone());
        match step {
            Step::Scan | Step::Store | Step::GetMailItem | Step::HandOver => {
                self.of_mail(step, visit, at_ms).await
            }
            Step::GetCard => {
                let key = Some(match self.visits {
                    Visits::Mail => Key::OrderId(self.card(visit)),
                    Visits::Activation => Key::CardId(self.card(visit)),
                });
                let purpose = pb::Purpose::Counter.into();
                let message = pb::GetCardRequest { key, purpose, ..Default::default() };
                cards.get_card(timed(message)).await.map(drop)
            }
            Step::Begin => {
                let message = pb::BeginActivationRequest {
                    request_id,
                    card_id: self.card(visit),
                    session_id: session_id(visit),
                    terminal: "loadtest".to_owned(),
                    documents: vec!["PASSPORT".to_owned()],
                    surrendered_card_id: String::new(),
                    occurred_time,
                };
                cards.begin_activation(timed(message)).await.map(drop)
            }
            Step::Abort => {
                let message = pb::AbortActivationRequest {
                    request_id,
                    card_id: self.card(visit),
                    session_id: session_id(visit),
                    reason: "a load test".to_owned(),
                    occurred_time,
                };
                cards.abort_activation(timed(message)).await.map(drop)
            }
        }
    }

    /// The calls about an envelope.
    async fn of_mail(&self, step: Step, visit: &str, at_ms: i64) -> Result<(), Status> {
        let (request_id, mail_item_id) = (format!("{}-{visit}", step.name()), format!("E-{visit}"));
        let occurred_time = Some(timestamp(at_ms));
        let mut mail = MailServiceClient::new(self.channel.clone());
        match step {
            Step::Scan => {
                let municipality_code = self.municipality.to_owned();
                let message =
                    pb::RecordReturnedRequest { request_id, municipality_code, mail_item_id, occurred_time };
                MailServiceClient::new(self.post.clone()).record_returned(timed(message)).await.map(drop)
            }
            Step::Store => {
                let office = OFFICE.to_owned();
                let message = pb::StoreReturnedRequest { request_id, mail_item_id, office, occurred_time };
                mail.store_returned(timed(message)).await.map(drop)
            }
            Step::GetMailItem => {
                let message = pb::GetMailItemRequest { mail_item_id, ..Default::default() };
                mail.get_mail_item(timed(message)).await.map(drop)
            }
            _ => {
                let message = pb::HandOverRequest { request_id, mail_item_id, occurred_time };
                mail.hand_over(timed(message)).await.map(drop)
            }
        }
    }
}

/// The number of a visit such as `b-17`.
fn number(visit: &str) -> usize {
    visit.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// The session of a visit, which no other has.
fn session_id(visit: &str) -> String {
    let phase = visit.bytes().next().unwrap_or_default();
    format!("0192f0c1-2345-7abc-8d{phase:02x}-{:012x}", number(visit))
}

/// How long to wait, if a call found no place; it is counted.
pub(crate) fn without_a_place(status: &Status, refused: &mut Refused) -> Option<Duration> {
    let fault = Fault::from_status(status)?;
    match fault.reason {
        Reason::LaneFull | Reason::TerminalLimit | Reason::TenantRateLimit => {
            let lane = fault.get("lane").unwrap_or("none").to_owned();
            *refused.entry((lane, fault.reason.as_str())).or_default() += 1;
            Some(fault.retry_after.unwrap_or(Duration::from_millis(100)))
        }
        _ => None,
    }
}

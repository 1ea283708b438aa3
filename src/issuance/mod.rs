//! The issuance service: takes batches, works them off, accepts them with a receipt, and notices by
//! itself what does not move.
//!
//! A batch's way: [`open`] → [`upload`] → [`seal`] → [`work`] → [`reconcile`]; [`sweep`] looks at all of
//! them, at one issuer at a time ([`sweeper`]). What becomes of its cards afterwards is a life each: of
//! envelopes in [`mail`], of applications in [`application`], from blank cards to shipments in
//! [`production`](mod@production), and what all changes of a life have in common in [`mutation`].

mod application;
pub mod audit;
mod batch_calls;
mod batch_service;
mod caller;
mod card;
mod chunks;
mod compare;
mod core;
mod deadline;
mod expected;
mod frames;
mod keys;
mod lanes;
mod ledger;
mod lists;
mod mail;
mod mutation;
mod office;
mod open;
mod options;
mod orders;
mod outlet;
mod pages;
mod places;
mod production;
mod reading;
mod reconcile;
mod recount;
mod reflection;
mod replay;
mod rotate;
mod routes;
mod seal;
mod sweep;
mod sweeper;
mod upload;
mod view;
mod watches;
mod work;

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    net::{self, tcp::TcpListener, tls::ServerTls},
    pool::{ads::Ads, controller::Controller, service::Pool},
    runtime::{OnDeath, Running, Tasks, clock::Clock},
    store::{self, Store},
    vault::{self, Vault},
    wire::{
        DESCRIPTORS,
        pb::{
            application_service_server::ApplicationServiceServer, batch_service_server::BatchServiceServer,
            card_service_server::CardServiceServer, mail_service_server::MailServiceServer,
            pool_service_server::PoolServiceServer, production_service_server::ProductionServiceServer,
        },
    },
};

pub use compare::FormerKeyError;
pub use expected::CalendarError;
pub use lanes::Options as LaneOptions;
pub use options::Options;
pub use replay::{Different, Replayed, replay};
pub use rotate::{RotateError, Rotated, keks, rotate, unfinished};
pub use routes::Services;
pub use sweep::{HEARTBEAT, SILENT_MAX};

/// Why an issuer did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The listener has no address.
    #[error("the listener is unusable: {0}")]
    Listener(#[from] std::io::Error),
    /// The key-encryption key is not the one that the keys in the database were wrapped by.
    #[error("the data in the database was sealed under another key: {0}")]
    OtherKek(#[source] vault::Error),
    /// The calendar of expected batches cannot be used.
    #[error(transparent)]
    Calendar(#[from] CalendarError),
    /// A public receipt key of before cannot be used.
    #[error(transparent)]
    FormerKey(#[from] FormerKeyError),
    /// The key of the blind indexes does not open.
    #[error("the index key in the database, without which nobody is found: {0}")]
    Index(#[source] vault::Error),
    /// A rotation of the key-encryption key broke off.
    #[error(
        "a rotation to key-encryption key {to} was begun and not finished: run the same `todoke vault \
         rotate` again, then start with the new key"
    )]
    Rotating {
        /// The key that it leads to.
        to: vault::KekId,
    },
    /// The issuers of this database have another key-encryption key.
    #[error(
        "it is key-encryption key {given}, and the issuers of this database have {in_use}: give all of them \
         the same file (key vault.kek). If it is to be replaced, stop them and run `todoke vault rotate`"
    )]
    NotTheKek {
        /// The key that is here.
        given: String,
        /// Theirs.
        in_use: String,
    },
    /// The issuers of this database have another receipt key.
    #[error(
        "it is receipt key {given}, and the issuers of this database sign with {in_use}: give all of them \
         the same file (key vault.receipt_key). If it is to be replaced, stop them and name the receipt.pub \
         of {in_use} in issuance.former_receipt_keys"
    )]
    NotTheReceiptKey {
        /// The key that is here.
        given: String,
        /// Theirs.
        in_use: String,
    },
    /// The database cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The compiled API cannot be described.
    #[error("reflection cannot be built: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// What an issuer is made of.
pub struct Parts {
    /// Where everything is kept.
    pub store: Store,
    /// What seals and signs.
    pub vault: Vault,
    /// Its certificate, and whom it believes.
    pub tls: ServerTls,
    /// What time is told by.
    pub clock: Clock,
    /// What judges the relays; without it every relay's calls are taken.
    pub pool: Option<Controller>,
}

/// Starts the issuer: workers and sweeper first, then the calls; health says SERVING last.
///
/// Everything runs as a task of `tasks` and ends with it: calls get `options.drain` after `tasks.soft()`, a
/// worker stops before its next transaction and gives its lease back.
///
/// # Errors
/// Any [`Error`]; nothing runs then.
pub async fn start(
    options: Options,
    listener: TcpListener,
    parts: Parts,
    tasks: &Tasks,
) -> Result<Running, Error> {
    let Parts { store, vault, tls, clock, pool } = parts;
    let vault = matched(&store, vault).await?;
    let former_keys = compare::former_keys(&options.former_receipt_keys)?;
    keys::checked(&store, &vault, &former_keys).await?;
    tell_restore(&store, &clock).await?;
    let address = listener.local_addr()?;
    let message_max = options.message_bytes_max;
    let (workers, drain) = (options.workers, options.drain);
    let expected = expected::Expected::load(options.calendar_file.clone())?;
    let core = core::Core::new(options, store, vault, tls.clone(), clock, expected, former_keys);
    let (health_reporter, health) = tonic_health::server::health_reporter();
    health_reporter.set_service_status("", ServingStatus::NotServing).await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let former = reflection::v1alpha::answering(reflection().build_v1alpha()?);
    let reflection = reflection::v1::answering(reflection().build_v1()?);
    let batches = BatchServiceServer::new(batch_service::Batches { core: Arc::clone(&core) })
        .max_decoding_message_size(message_max)
        .max_encoding_message_size(message_max);
    let routes = routes::Services::new(message_max).in_lanes(lanes::Lanes::new(&core.options.lanes));
    let routes = routes.with(health).with(reflection).with(former).with(batches).with(cards(&core));
    let routes = routes.with(mail_service(&core)).with(applications(&core));
    let mut routes = routes.with(production(&core));
    if let Some(pool) = &pool {
        pool.begin().await;
        routes = with_pool(routes, pool, &core, tasks);
    }
    work_on(&core, workers, tasks);
    let serving = net::serve::serve_tonic(listener, tls, routes, limits(drain), tasks.soft());
    let ended = CancellationToken::new();
    let end = ended.clone().drop_guard();
    tasks.spawn("grpc", OnDeath::Shutdown, async move {
        let _end = end;
        if let Err(error) = serving.await {
            tracing::error!(%error, "the gRPC server ended");
        }
    });
    say_health(&health_reporter, ServingStatus::Serving).await;
    let health = tell_health(health_reporter, Arc::clone(&core), tasks.soft());
    tasks.spawn("health", OnDeath::Ignore, health);
    let not_ready = Arc::new(move || {
        let mut reasons = core.not_ready();
        reasons.extend(pool.iter().flat_map(Controller::not_ready));
        reasons
    });
    Ok(Running { address, not_ready, ended })
}

/// Begins what the issuer does by itself.
fn work_on(core: &Arc<core::Core>, workers: usize, tasks: &Tasks) {
    tasks.spawn("sweeper", OnDeath::Shutdown, sweeper::run(Arc::clone(core), tasks.soft()));
    for _ in 0..workers {
        tasks.spawn("import-worker", OnDeath::Shutdown, work::run(Arc::clone(core), tasks.soft()));
    }
    let (core, stop) = (Arc::clone(core), tasks.soft());
    tasks.spawn("copy-back", OnDeath::Ignore, async move {
        stop.run_until_cancelled(core.store.copy_back()).await;
    });
}

fn cards(core: &Arc<core::Core>) -> CardServiceServer<card::Cards> {
    let cards = CardServiceServer::new(card::Cards { core: Arc::clone(core) });
    cards.max_decoding_message_size(core.options.message_bytes_max)
}

fn mail_service(core: &Arc<core::Core>) -> MailServiceServer<mail::Mail> {
    let mail = MailServiceServer::new(mail::Mail { core: Arc::clone(core) });
    mail.max_decoding_message_size(core.options.message_bytes_max)
}

fn applications(core: &Arc<core::Core>) -> ApplicationServiceServer<application::Applications> {
    let applications = ApplicationServiceServer::new(application::Applications::new(Arc::clone(core)));
    applications.max_decoding_message_size(core.options.message_bytes_max)
}

fn production(core: &Arc<core::Core>) -> ProductionServiceServer<production::Production> {
    let production = ProductionServiceServer::new(production::Production { core: Arc::clone(core) });
    production.max_decoding_message_size(core.options.message_bytes_max)
}

/// Adds what the pool is served by, and has it judged.
fn with_pool(routes: Services, pool: &Controller, core: &core::Core, tasks: &Tasks) -> Services {
    let ads = Ads::new(
        pool.views(),
        &core.options.name,
        &core.options.relay_name,
        core.options.ads_streams_max,
        tasks.soft(),
    );
    let service = PoolServiceServer::new(Pool::new(pool.clone()))
        .max_decoding_message_size(core.options.message_bytes_max);
    tasks.spawn("pool-controller", OnDeath::Shutdown, pool.clone().run(tasks.soft()));
    routes.with(service).with(ads.into_service()).behind(pool.gate(), core.clock.clone())
}

async fn say_health(reporter: &HealthReporter, status: ServingStatus) {
    for service in SERVICES {
        reporter.set_service_status(*service, status).await;
    }
}

/// SERVING until the order to stop, and while certificate, CA and CRL are good.
async fn tell_health(reporter: HealthReporter, core: Arc<core::Core>, stop: CancellationToken) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let mut said = ServingStatus::Serving;
    while stop.run_until_cancelled(looks.tick()).await.is_some() {
        let good = core.tls.ended().is_empty();
        let now = if good { ServingStatus::Serving } else { ServingStatus::NotServing };
        if now != said {
            say_health(&reporter, now).await;
            said = now;
        }
    }
    say_health(&reporter, ServingStatus::NotServing).await;
}

/// Tells at the start that this database is older than what was acknowledged, if it is.
async fn tell_restore(store: &Store, clock: &Clock) -> Result<(), Error> {
    store.notice_restore(clock.now_ms()).await?;
    if let Some(restore) = store.restored().await? {
        tracing::warn!(
            restore.id = restore.id,
            cause = restore.cause,
            "restore {} is in force ({}: {}): who has not compared receipts since opens no batch",
            restore.id,
            restore.cause,
            restore.note
        );
    }
    Ok(())
}

/// Returns the vault with the index key of this database; refuses a key-encryption key under which nothing
/// that is stored can be opened, and persons would be looked up in vain.
///
/// # Errors
/// [`Error::OtherKek`], [`Error::Rotating`], [`Error::Index`], [`Error::Store`].
pub async fn matched(store: &Store, vault: Vault) -> Result<Vault, Error> {
    if let Some(to) = unfinished(store).await? {
        return Err(Error::Rotating { to });
    }
    let counts = keks(store).await?;
    let (given, total) = (vault.kek_id(), counts.values().sum::<u64>());
    let ours = counts.get(&Some(given)).copied().unwrap_or_default();
    let most = counts.iter().filter_map(|(id, count)| id.map(|id| (count, id))).max();
    if let Some((_, needed)) = most.filter(|_| ours == 0) {
        return Err(Error::OtherKek(vault::Error::OtherKek { needed, given }));
    }
    if ours < total {
        // some damaged rows are no reason to stop for all
        tracing::error!("the data keys of {} of {total} batches are not under {given}", total - ours);
    }
    let Some(index) = store.index_key().await? else { return Ok(vault) };
    vault.with_index(&index).map_err(|error| match error {
        other @ vault::Error::OtherKek { .. } => Error::OtherKek(other),
        error => Error::Index(error),
    })
}

/// What the issuer bears on one connection.
///
/// All callers of a relay's thread share one, so it takes many calls, and its window is that of all of them
/// together: uploads that have to wait here never hold up another caller's call.
fn limits(drain: Duration) -> net::ServerLimits {
    const CALLS: u32 = 512;
    const CALL_WINDOW: u32 = 128 << 10; // enough for gigabits between neighbours
    net::ServerLimits {
        drain,
        streams_max: CALLS,
        stream_window_bytes: CALL_WINDOW,
        connection_window_bytes: CALLS * CALL_WINDOW,
        ..net::ServerLimits::default()
    }
}

/// How often health looks whether certificate, CA and CRL are still good.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What health is asked about: the whole, and each service.
const SERVICES: &[&str] = &[
    "",
    "todoke.v1.ApplicationService",
    "todoke.v1.BatchService",
    "todoke.v1.CardService",
    "todoke.v1.MailService",
    "todoke.v1.PoolService",
    "todoke.v1.ProductionService",
];

//! A relay that says what a test wants, calls under whatever lease it is told to, and obeys nobody.

use todoke::{
    net::headers,
    pool::notes::Lease,
    wire::{
        fault::Fault,
        pb::{
            self, EvidenceBucket, EvidenceClass, ReportRequest, ReportResponse,
            pool_service_client::PoolServiceClient,
        },
    },
};
use tonic::{Request, Response, Streaming, metadata::MetadataValue, transport::Channel};

use super::harness::{Pool, WARDS, attributes, eventually};
use crate::issuance::harness::{Party, fault, id};

/// The relay that is none.
pub(super) struct Puppet {
    pub(super) name: String,
    pub(super) party: Party,
}

impl Puppet {
    pub(super) async fn new(pool: &Pool, name: &str) -> Self {
        Self { name: name.to_owned(), party: pool.issuer.party(&format!("relay/{name}")).await }
    }

    pub(super) fn client(&self) -> PoolServiceClient<Channel> {
        PoolServiceClient::new(self.party.channel.clone())
    }

    /// A report of nothing, by the first process of this relay.
    pub(super) fn nothing(&self) -> ReportRequest {
        let address = ([127, 0, 0, 1], 9).into(); // nobody listens there
        ReportRequest {
            attributes: Some(attributes(&self.name, address)),
            incarnation: 1,
            ..Default::default()
        }
    }

    pub(super) async fn report(&self, report: ReportRequest) -> Result<ReportResponse, Fault> {
        self.client().report(report).await.map(Response::into_inner).map_err(fault)
    }

    /// Reports until there is a lease, and returns its generation.
    pub(super) async fn leased(&self, pool: &Pool) -> u64 {
        eventually(&format!("{} has a lease", self.name), || async {
            let answer = self.report(self.nothing()).await.expect("it may report");
            let lease = Lease::open(&answer.lease, &pool.issuer.verifier).ok()?;
            assert_eq!(lease.unit.as_str(), self.name);
            Some(lease.generation)
        })
        .await
    }

    /// A municipality's request, passed on under a lease of this generation.
    pub(super) fn passed<T>(message: T, generation: Option<u64>) -> Request<T> {
        let mut request = Request::new(message);
        let caller = MetadataValue::from_static(WARDS[0]);
        request.metadata_mut().insert(headers::CALLER, caller);
        if let Some(generation) = generation {
            request.metadata_mut().insert(headers::LEASE, MetadataValue::from(generation));
        }
        request
    }

    /// Passes a call on, and says how the issuer answers it; `NOT_FOUND` is what one that is taken gets.
    pub(super) async fn passes(&self, generation: Option<u64>) -> Fault {
        let request = Self::passed(pb::GetBatchRequest { batch_id: id(1).to_string() }, generation);
        fault(self.party.batches().get_batch(request).await.expect_err("nobody opened that batch"))
    }

    /// Passes on a call that lasts until it is dropped.
    pub(super) async fn watches(&self, generation: u64) -> Result<Streaming<pb::WatchViewResponse>, Fault> {
        let request = Self::passed(pb::WatchViewRequest { after_version: 0 }, Some(generation));
        self.client().watch_view(request).await.map(Response::into_inner).map_err(fault)
    }
}

/// What was seen of a unit's calls in a second.
pub(super) fn traffic(second: i64, unit: &str, call_count: u32, bad_count: u32) -> EvidenceBucket {
    EvidenceBucket {
        second,
        unit: unit.to_owned(),
        class: EvidenceClass::Traffic.into(),
        call_count,
        bad_count,
        ..Default::default()
    }
}

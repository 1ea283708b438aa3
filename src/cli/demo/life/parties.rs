//! Who takes part: the ward, the press, the post and an operator, each with its own certificate, over relays.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use prost_types::Timestamp;

use super::super::{stage::Stage, trouble::Trouble};
use crate::{
    cli::municipal::{Connect, now_ms},
    client::{calls::CallError, party::Party},
    wire::{convert::timestamp, fault::Reason},
};

/// How long an answer is waited for: the issuer is killed once.
const PATIENCE: Duration = Duration::from_secs(30);

/// All of them.
pub(crate) struct Parties {
    pub(crate) ward: Party,
    pub(crate) press: Party,
    pub(crate) post: Party,
    pub(crate) operator: Party,
    requests: AtomicU32,
}

impl Parties {
    /// Readies their connections.
    ///
    /// # Errors
    /// [`Trouble::Asked`].
    pub(crate) fn come(stage: &Stage) -> Result<Self, Trouble> {
        let party = |caller: &str| {
            let endpoints = stage.system.layout().endpoints();
            Connect { endpoints, caller: caller.to_owned() }.quiet_party(PATIENCE)
        };
        Ok(Self {
            ward: party(super::super::stage::WARD)?,
            press: party("producer/press-1")?,
            post: party("postal/office-1")?,
            operator: party("operator/alice")?,
            requests: AtomicU32::new(0),
        })
    }

    /// A request id that was not used before.
    pub(crate) fn request_id(&self) -> String {
        format!("demo-{}", self.requests.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// Now, as a caller says it.
pub(crate) fn now() -> Option<Timestamp> {
    Some(timestamp(now_ms()))
}

/// Makes one call: who asks, the service, the call and its request.
macro_rules! ask {
    ($party:expr, $service:ident.$call:ident, $request:expr) => {
        $party
            .ask(
                stringify!($call),
                $crate::client::calls::Weight::Light,
                &$request,
                |attempt, request| async move { attempt.$service().$call(request).await },
            )
            .await
    };
}
pub(super) use ask;

/// The reason for which a call was refused; of one that was not, that it was done.
pub(crate) fn reason<T>(answer: Result<T, CallError>) -> Result<&'static str, Trouble> {
    match answer {
        Ok(_) => Ok("done"),
        Err(error) => match &error.fault {
            Some(fault) => Ok(Reason::as_str(fault.reason)),
            None => Err(asked(error)),
        },
    }
}

/// What a call that should have succeeded leaves of the story.
pub(crate) fn asked(error: CallError) -> Trouble {
    Trouble::Asked(error.into())
}

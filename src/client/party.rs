//! A caller of any role with its certificate, its relays and the issuer's public key: what every command that
//! goes over the relays needs, checked before the first call.

use std::{future::Future, path::Path, time::Duration};

use rustls::pki_types::CertificateDer;
use tonic::{Request, Response, Status};

use super::{
    calls::{Attempt, CallError, CallOptions, Caller, Weight},
    endpoints::Endpoints,
    error::Error,
    events::Tell,
    kept_view,
    receipts::load_key,
    refusals::Own,
    signer::Signer,
    view::{Follower, Following},
};
use crate::{
    domain::{identity::Role, note::VerifierKey},
    net::{
        channel::{ChannelOptions, connect},
        tls::{ClientTls, Roots, TlsFiles, peer_identity},
    },
    runtime::clock::Clock,
};

/// The longest that the end waits for the pool's view to be kept.
pub(super) const KEEP_MAX: Duration = Duration::from_secs(1);

/// A caller of any role.
pub struct Party {
    /// Makes the calls.
    pub(super) caller: Caller,
    /// Signs with the key of the certificate.
    pub(super) signer: Signer,
    /// The issuer's public key.
    pub(super) receipt_key: VerifierKey,
    /// Follows the pool's view until the end.
    pub(super) following: Following,
}

impl Party {
    /// Reads certificate, key and receipt key, and prepares a channel to each relay; nothing but the
    /// question which relays there are is sent by itself.
    ///
    /// # Errors
    /// [`Error`] for anything that is wrong in a file.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn connect(
        endpoints: &Endpoints,
        caller_name: &str,
        options: CallOptions,
        seed: u64,
        tell: Tell,
    ) -> Result<Self, Error> {
        let files = endpoints.client(caller_name)?;
        let signer = Signer::load(&files)?;
        check_own(&files.cert, &signer, caller_name)?;
        let receipt_key = load_key(&endpoints.receipt_key)
            .map_err(|error| Error::Setup(format!("{}: {error}", endpoints.receipt_key.display())))?;
        let tls = TlsFiles { cert: files.cert, key: files.key, ca: endpoints.ca.clone(), crl: None };
        let roots = Roots::load(&endpoints.ca).map_err(|error| Error::Setup(error.to_string()))?;
        let own = Own::new(signer.chain(), roots, Clock::system());
        let tls = ClientTls::load_for(&tls, &endpoints.server_name, &[Role::Relay]);
        let tls = tls.map_err(|error| Error::Setup(error.to_string()))?;
        let mut channels = Vec::new();
        for relay in &endpoints.relays {
            let channel = connect(&relay.address, &tls, &endpoints.server_name, ChannelOptions::default());
            let channel = channel.map_err(|error| Error::Setup(format!("{}: {error}", relay.id)))?;
            channels.push((relay.id.clone(), channel));
        }
        let caller = Caller::new(channels, options, seed).telling(tell.clone()).showing(own);
        let following = follow(endpoints, &caller, tls, &receipt_key, (tell, seed));
        Ok(Self { caller, signer, receipt_key, following })
    }

    /// Makes one call, with as many attempts as it needs: each may be sent again.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn ask<M, T, F, Fut>(
        &self,
        method: &'static str,
        weight: Weight,
        message: &M,
        send: F,
    ) -> Result<T, CallError>
    where
        M: Clone,
        F: Fn(Attempt, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let send = |attempt: Attempt| {
            let request = attempt.request(message.clone());
            send(attempt, request)
        };
        self.caller.call(method, weight, send).await
    }

    /// Does `work` over it, and ends it as [`super::session::Session::end`] does.
    pub async fn over<T>(self, work: impl AsyncFnOnce(&Self) -> T) -> T {
        let done = work(&self).await;
        self.following.end(KEEP_MAX).await;
        done
    }
}

// Follows the pool's view with this caller until it is dropped.
fn follow(
    endpoints: &Endpoints,
    caller: &Caller,
    tls: ClientTls,
    key: &VerifierKey,
    of: (Tell, u64),
) -> Following {
    let names = endpoints.relays.iter().map(|relay| relay.id.clone());
    let server_name = endpoints.server_name.clone();
    let connect = move |address: &str| connect(address, &tls, &server_name, ChannelOptions::default()).ok();
    let file = kept_view::path_for(endpoints.file());
    let follower = Follower::begin(caller.clone(), names, key.clone(), file, Box::new(connect), of);
    Following::start(follower)
}

// Another's certificate would work, and send in the other's name.
pub(super) fn check_own(cert: &Path, signer: &Signer, caller_name: &str) -> Result<(), Error> {
    let chain: Vec<CertificateDer<'static>> = signer.chain().into_iter().map(Into::into).collect();
    let whose = match peer_identity(&chain) {
        Ok(identity) if identity.to_string() == caller_name => return Ok(()),
        Ok(identity) => format!("is the certificate of {identity}, not of {caller_name}"),
        Err(error) => error.to_string(),
    };
    Err(Error::Setup(format!("{}: {whose}", cert.display())))
}

//! Who a call is from: the certificate's identity, or what a relay says of the caller it identified itself.

use tonic::Request;

use crate::{
    domain::{
        identity::{Identity, Role},
        municipality::MunicipalityCode,
    },
    net::{PeerIdentity, headers},
    wire::fault::{Fault, Reason},
};

/// The party that a call is from.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Who it is.
    pub(crate) identity: Identity,
    /// The relay it came through, if it did.
    pub(crate) relay: Option<Identity>,
}

impl Caller {
    /// Returns the caller of `request`.
    ///
    /// A relay's word is believed about its callers; anybody else who sends the header claims to be somebody
    /// else.
    pub(crate) fn of<T>(request: &Request<T>) -> Result<Self, Fault> {
        let PeerIdentity(peer) = request.extensions().get::<PeerIdentity>().cloned().ok_or_else(|| {
            Fault::new(Reason::IdentityMissing, "the connection has no client certificate: connect with one")
        })?;
        let mut claims = request.metadata().get_all(headers::CALLER).iter();
        let claim = claims.next();
        if peer.role() != Role::Relay {
            return match claim {
                None => Ok(Self { identity: peer, relay: None }),
                Some(_) => Err(Fault::new(
                    Reason::IdentityForged,
                    format!("{peer} is no relay and may not send '{}': leave it out", headers::CALLER),
                )),
            };
        }
        let Some(claim) = claim else { return Ok(Self { identity: peer, relay: None }) };
        let named = claim.to_str().ok().and_then(|text| text.parse::<Identity>().ok());
        match (named, claims.next()) {
            (Some(identity), None) => Ok(Self { identity, relay: Some(peer) }),
            _ => Err(Fault::new(
                Reason::IdentityForged,
                format!("{peer} sent '{}' that names no single identity", headers::CALLER),
            )),
        }
    }

    /// Returns the municipality that the caller is.
    pub(crate) fn municipality(&self) -> Result<MunicipalityCode, Fault> {
        self.identity.municipality().ok_or_else(|| {
            Fault::new(
                Reason::WrongRole,
                format!("{} is no municipality: use a municipality's certificate", self.identity),
            )
        })
    }
}

/// Returns the municipality that `request` is from.
pub(crate) fn municipality_of<T>(request: &Request<T>) -> Result<MunicipalityCode, Fault> {
    Caller::of(request)?.municipality()
}

/// Returns the caller, if it has one of these roles.
pub(crate) fn one_of<T>(request: &Request<T>, roles: &[Role]) -> Result<Identity, Fault> {
    let caller = Caller::of(request)?.identity;
    if roles.contains(&caller.role()) {
        return Ok(caller);
    }
    let may: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    let words = format!("{caller} may not make this call: use a certificate of a {}", may.join(" or a "));
    Err(Fault::new(Reason::WrongRole, words))
}

/// The municipality that a call is about: the caller itself, or the one that producer or post names.
pub(crate) fn whose(caller: &Identity, named: Option<&str>) -> Result<MunicipalityCode, Fault> {
    let named = named.filter(|code| !code.is_empty());
    let wrong = |words: &'static str| {
        Fault::new(Reason::FieldInvalid, format!("municipality_code {words}"))
            .violation("municipality_code", words)
    };
    let named = named.map(str::parse::<MunicipalityCode>).transpose();
    let named = named.map_err(|_| wrong("is none: use six digits with a right check digit"))?;
    match (caller.municipality(), named) {
        (Some(own), None) => Ok(own),
        (Some(own), Some(named)) if own == named => Ok(own),
        (Some(_), Some(_)) => Err(not_yours()),
        (None, Some(named)) => Ok(named),
        (None, None) => Err(wrong("is missing: name the municipality that it is of")),
    }
}

/// The fault of what nobody of the caller's knows, and of what is another's.
pub(crate) fn not_yours() -> Fault {
    Fault::new(Reason::NotFound, "nothing of yours has this id: check it")
}

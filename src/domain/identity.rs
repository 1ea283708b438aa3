//! Who is calling: parsed once from a certificate's URI SAN, and never a bare string afterwards.

use std::{fmt, str::FromStr};

use super::municipality::MunicipalityCode;

/// The path of every identity URI below this prefix is `role/name`.
pub const URI_PREFIX: &str = "spiffe://todoke/";

/// What a party may be, by its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// A municipality; its name is its six-digit code.
    Municipality,
    /// A relay node.
    Relay,
    /// An issuer.
    Issuer,
    /// A person who operates the system.
    Operator,
    /// A card press.
    Producer,
    /// A postal office.
    Postal,
    /// An auditor.
    Auditor,
}

impl Role {
    /// Every role, in the order of the list above.
    pub const ALL: [Role; 7] = [
        Role::Municipality,
        Role::Relay,
        Role::Issuer,
        Role::Operator,
        Role::Producer,
        Role::Postal,
        Role::Auditor,
    ];

    /// The word that stands in the URI.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Municipality => "municipality",
            Role::Relay => "relay",
            Role::Issuer => "issuer",
            Role::Operator => "operator",
            Role::Producer => "producer",
            Role::Postal => "postal",
            Role::Auditor => "auditor",
        }
    }
}

/// A party: its role and its name within the role. Displays as `municipality/131229`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    role: Role,
    name: String,
}

/// Why a text is no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The URI is not one of ours.
    #[error("the URI does not begin with {URI_PREFIX}")]
    ForeignUri,
    /// The role is not one that exists.
    #[error("the role is unknown: use municipality, relay, issuer, operator, producer, postal or auditor")]
    UnknownRole,
    /// The name is empty, too long, or holds characters beyond `a-z A-Z 0-9 - . _`.
    #[error("the name must be 1 to 64 of a-z, A-Z, 0-9, '-', '.', '_'")]
    BadName,
    /// A municipality's name must be its code.
    #[error("a municipality is named by its six-digit code with a right check digit")]
    BadMunicipality,
}

impl Identity {
    /// Returns the identity with this role and name.
    ///
    /// # Errors
    /// [`IdentityError::BadName`] or [`IdentityError::BadMunicipality`].
    pub fn new(role: Role, name: &str) -> Result<Self, IdentityError> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(legal) {
            return Err(IdentityError::BadName);
        }
        if role == Role::Municipality && MunicipalityCode::from_str(name).is_err() {
            return Err(IdentityError::BadMunicipality);
        }
        Ok(Self { role, name: name.to_owned() })
    }

    /// Parses `spiffe://todoke/role/name`.
    ///
    /// # Errors
    /// Any [`IdentityError`]; a URI of another trust domain is [`IdentityError::ForeignUri`].
    pub fn from_uri(uri: &str) -> Result<Self, IdentityError> {
        uri.strip_prefix(URI_PREFIX).ok_or(IdentityError::ForeignUri)?.parse()
    }

    /// Returns the URI that stands in the certificate.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("{URI_PREFIX}{self}")
    }

    /// The role.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The name within the role.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The code, if this is a municipality.
    #[must_use]
    pub fn municipality(&self) -> Option<MunicipalityCode> {
        (self.role == Role::Municipality).then(|| self.name.parse().ok()).flatten()
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let (role, name) = text.split_once('/').ok_or(IdentityError::UnknownRole)?;
        let role = Role::ALL.into_iter().find(|r| r.as_str() == role).ok_or(IdentityError::UnknownRole)?;
        Self::new(role, name)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.role.as_str(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_its_uri_and_its_short_form() {
        for text in ["municipality/131229", "relay/relay-2", "issuer/issuer-1", "operator/alice", "auditor/a"]
        {
            let identity: Identity = text.parse().expect("legal");
            assert_eq!(identity.to_string(), text);
            assert_eq!(Identity::from_uri(&identity.uri()), Ok(identity));
        }
    }

    #[test]
    fn what_is_no_identity_is_refused() {
        assert_eq!(Identity::from_uri("spiffe://other/relay/relay-1"), Err(IdentityError::ForeignUri));
        assert_eq!("king/arthur".parse::<Identity>(), Err(IdentityError::UnknownRole));
        assert_eq!("relay/".parse::<Identity>(), Err(IdentityError::BadName));
        assert_eq!("relay/a b".parse::<Identity>(), Err(IdentityError::BadName));
        assert_eq!("relay/a/b".parse::<Identity>(), Err(IdentityError::BadName));
        assert_eq!("municipality/131220".parse::<Identity>(), Err(IdentityError::BadMunicipality));
    }
}

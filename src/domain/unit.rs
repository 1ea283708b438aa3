//! What a unit of the pool is called: by the name in its certificate, so that nobody can be taken for
//! another.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::identity::{Identity, IdentityError, Role};

/// A relay box in its slot, by the name in its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitId(String);

impl UnitId {
    /// The name in the certificate, without its role.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The unit that this identity is, if it is a relay's.
    #[must_use]
    pub fn of(identity: &Identity) -> Option<Self> {
        (identity.role() == Role::Relay).then(|| Self(identity.name().to_owned()))
    }
}

impl FromStr for UnitId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        Identity::new(Role::Relay, text).map(|identity| Self(identity.name().to_owned()))
    }
}

impl TryFrom<String> for UnitId {
    type Error = IdentityError;

    fn try_from(text: String) -> Result<Self, IdentityError> {
        text.parse()
    }
}

impl From<UnitId> for String {
    fn from(unit: UnitId) -> String {
        unit.0
    }
}

impl fmt::Display for UnitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

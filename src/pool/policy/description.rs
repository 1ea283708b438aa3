//! What a unit is, as it was registered: what is wrong with that is said of each field, all of it at once.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::parameters::{ATTRIBUTES_MAX, NAME_BYTES_MAX};
use crate::pool::evidence::UnitId;

/// Bytes of a unit's address: a host name has at most 253.
const ADDRESS_BYTES_MAX: usize = 260;

/// What stands for a model, an image or an attribute that nobody said.
pub(in crate::pool) const UNKNOWN: &str = "unknown";

/// What an operator says of a unit when it is registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// Its name.
    pub id: UnitId,
    /// Where it takes calls, `host:port`.
    pub address: String,
    /// The place that the box stands in.
    pub slot: String,
    /// The box's own number.
    pub serial: String,
    /// The box's model.
    pub model: String,
    /// The software on it.
    pub image: String,
    /// What else it may share with others: firmware, rack, monitoring agent.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

fn is_host_and_port(address: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    address.len() <= ADDRESS_BYTES_MAX
        && address.bytes().all(legal)
        && address
            .rsplit_once(':')
            .is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// A name or an IPv4 address, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains([':', '[', ']']),
    }
}

impl Description {
    /// What is wrong with it, all of it at once.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let fixed =
            [("slot", &self.slot), ("serial", &self.serial), ("model", &self.model), ("image", &self.image)];
        let mut faults: Vec<String> = fixed
            .iter()
            .filter(|(_, value)| value.is_empty() || value.len() > NAME_BYTES_MAX)
            .map(|(name, value)| {
                format!("{name} has {} bytes: 1 to {NAME_BYTES_MAX} are allowed", value.len())
            })
            .collect();
        if !is_host_and_port(&self.address) {
            faults.push(format!(
                "address {:.64} must be host:port, such as 10.0.0.15:40101, and nothing before it",
                self.address
            ));
        }
        if self.attributes.len() > ATTRIBUTES_MAX {
            faults
                .push(format!("{} attributes: at most {ATTRIBUTES_MAX} are allowed", self.attributes.len()));
        }
        for (name, value) in &self.attributes {
            let long = [name, value].iter().any(|text| text.is_empty() || text.len() > NAME_BYTES_MAX);
            if long {
                faults.push(format!("attribute {name:.20}: name and value have 1 to {NAME_BYTES_MAX} bytes"));
            } else if name.contains('=') || ["slot", "serial", "model", "image"].contains(&name.as_str()) {
                faults.push(format!("attribute {name}: the name is taken, or holds '='"));
            }
        }
        faults
    }

    /// Whether the address that a process says of itself may be the registered one. A name may stand for any
    /// number, and who listens on all of its own says no more than its port.
    #[must_use]
    pub fn may_be_at(&self, said: &str) -> bool {
        let both = self.address.rsplit_once(':').zip(said.rsplit_once(':'));
        let Some(((host, port), (other, on))) = both else { return false };
        let ip = |host: &str| host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        port == on
            && match (ip(host), ip(other)) {
                (Some(ip), Some(other)) => ip == other || ip.is_unspecified() || other.is_unspecified(),
                (None, None) => host.eq_ignore_ascii_case(other),
                _ => true,
            }
    }

    /// What it may share with others, by name: all but its slot and its serial.
    #[must_use]
    pub fn named(&self) -> BTreeMap<String, String> {
        let fixed = [("image", &self.image), ("model", &self.model)];
        let fixed = fixed.map(|(name, value)| (name.to_owned(), value.clone()));
        fixed.into_iter().chain(self.attributes.clone()).collect()
    }

    /// The same, each as `name=value`, but for what is unknown: two of which nobody said it have nothing in
    /// common for that.
    #[must_use]
    pub fn shared(&self) -> Vec<String> {
        let known = self.named().into_iter().filter(|(_, value)| value != UNKNOWN);
        known.map(|(name, value)| format!("{name}={value}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::about, *};

    #[test]
    fn a_description_fits_its_limits_and_nothing_beyond_does() {
        let long = |bytes: usize| "x".repeat(bytes);
        let with = |name: String, value: String| Description {
            attributes: BTreeMap::from([(name, value)]),
            ..about(1)
        };
        let many = |n: usize| Description {
            attributes: (0..n).map(|n| (format!("a{n}"), "v".to_owned())).collect(),
            ..about(1)
        };
        for (description, faults) in [
            (Description { serial: long(64), ..about(1) }, 0),
            (Description { serial: long(65), model: String::new(), ..about(1) }, 2),
            (many(16), 0),
            (many(17), 1),
            (with(long(64), long(64)), 0),
            (with(long(65), long(64)), 1),
            (with("rack=1".to_owned(), "v".to_owned()), 1),
            (with("model".to_owned(), "v".to_owned()), 1),
            (Description { address: "relay-1.example:443".to_owned(), ..about(1) }, 0),
            (Description { address: "[::1]:443".to_owned(), ..about(1) }, 0),
            (Description { address: "relay-1:0".to_owned(), ..about(1) }, 1),
            (Description { address: "relay-1".to_owned(), ..about(1) }, 1),
            (Description { address: "10.0.0.15:40101:1".to_owned(), ..about(1) }, 1),
            (Description { address: "::1:443".to_owned(), ..about(1) }, 1),
            (Description { address: "[relay-1]:443".to_owned(), ..about(1) }, 1),
            (Description { address: "http://relay-1:443".to_owned(), ..about(1) }, 1),
            (Description { address: "a b:1".to_owned(), ..about(1) }, 1),
            (Description { address: format!("{}:443", long(257)), ..about(1) }, 1),
        ] {
            assert_eq!(description.faults().len(), faults, "{description:?}: {:?}", description.faults());
        }
    }

    #[test]
    fn only_an_address_that_cannot_be_the_registered_one_is_another() {
        for (registered, said, may) in [
            ("10.0.0.15:40101", "10.0.0.15:40101", true),
            ("10.0.0.15:40101", "10.0.0.15:40102", false),
            ("10.0.0.15:40101", "10.0.0.16:40101", false),
            ("10.0.0.15:40101", "0.0.0.0:40101", true),
            ("10.0.0.15:40101", "0.0.0.0:40102", false),
            ("10.0.0.15:40101", "[::]:40101", true),
            ("[::1]:443", "[0:0:0:0:0:0:0:1]:443", true),
            ("[::1]:443", "[::2]:443", false),
            ("relay-1.example:443", "10.0.0.15:443", true),
            ("relay-1.example:443", "10.0.0.15:444", false),
            ("relay-1.example:443", "Relay-1.Example:443", true),
            ("relay-1.example:443", "relay-2.example:443", false),
            ("10.0.0.15:40101", "rubbish", false),
        ] {
            let about = Description { address: registered.to_owned(), ..about(1) };
            assert_eq!(about.may_be_at(said), may, "{registered} and {said}");
        }
    }
}

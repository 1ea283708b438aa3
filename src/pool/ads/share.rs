//! Which relays one client is to use: all of full share, and of a relay at a part of its share as many
//! clients as that part.

use std::{collections::BTreeSet, net::SocketAddr};

use crate::{
    domain::digest::Digest,
    pool::notes::{Member, View},
};

/// The addresses for the client `node`; empty only if the view has none that can be used.
///
/// A client is among those of a relay by a hash of both names, so that it stays the same client from 1 to
/// 100 per cent and from one issuer to the next. Addresses that are no IP address are left out: gRPC does not
/// resolve names here.
#[must_use]
pub(super) fn of(view: &View, node: &str) -> BTreeSet<SocketAddr> {
    let usable = |member: &&Member| member.share_percent > 0;
    let chosen = |member: &&Member| is_among(member, node);
    let addresses = |member: &Member| member.address.parse().ok();
    let set: BTreeSet<_> = view.members.iter().filter(usable).filter(chosen).filter_map(addresses).collect();
    if !set.is_empty() {
        return set;
    }
    // Better a relay of small share than none.
    view.members.iter().filter(usable).filter_map(addresses).collect()
}

/// Whether the client `node` belongs to the part of all clients that this member is to serve.
#[must_use]
pub fn is_among(member: &Member, node: &str) -> bool {
    let [a, b, c, d, ..] = Digest::of(format!("{}\n{node}", member.unit).as_bytes()).0;
    u64::from(u32::from_be_bytes([a, b, c, d])) * 100 < u64::from(member.share_percent) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(shares: &[(&str, &str, u8)]) -> View {
        let member = |(unit, address, share_percent): &(&str, &str, u8)| Member {
            unit: unit.parse().expect("a name"),
            address: (*address).to_owned(),
            share_percent: *share_percent,
            generation: 1,
        };
        View { version: 1, epoch: 1, made_ms: 0, members: shares.iter().map(member).collect() }
    }

    fn clients_of(share: u8) -> BTreeSet<u32> {
        let view = view(&[("a", "10.0.0.1:1", 100), ("b", "10.0.0.2:1", share)]);
        (0..2_000).filter(|n| of(&view, &format!("client-{n}")).len() == 2).collect()
    }

    #[test]
    fn a_relay_gets_about_its_share_of_clients_and_keeps_them_as_it_grows() {
        let mut before = BTreeSet::new();
        for share in [0, 1, 5, 25, 50, 100] {
            let now = clients_of(share);
            let wanted = usize::from(share) * 20;
            assert!(now.len().abs_diff(wanted) <= wanted / 5 + 10, "{share} %: {} of 2,000", now.len());
            assert!(now.is_superset(&before), "{share} %: a client was sent away again");
            before = now;
        }
    }

    #[test]
    fn nobody_gets_nothing_while_any_relay_has_a_share() {
        let view = view(&[("a", "10.0.0.1:1", 1), ("b", "10.0.0.2:1", 0)]);
        for n in 0..100 {
            assert_eq!(of(&view, &format!("{n}")).len(), 1);
        }
    }

    #[test]
    fn a_name_in_place_of_an_address_is_left_out() {
        assert!(of(&view(&[("a", "relay.example:40101", 100)]), "x").is_empty());
        assert_eq!(of(&view(&[("a", "relay.example:1", 100), ("b", "[::1]:1", 100)]), "x").len(), 1);
    }
}

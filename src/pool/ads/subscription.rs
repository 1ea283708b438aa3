//! What one client has asked for and what it has: an answer goes out when it has something new to say, and
//! never an empty one that would take away what the client uses.

use std::collections::{BTreeMap, BTreeSet};

use envoy_types::pb::{
    envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse},
    google::protobuf::Any,
};

use super::resources::{Kind, Resources};

/// Most names of one kind that a client may ask for; it needs one or two.
pub(super) const NAMES_MAX: usize = 64;

/// What a request means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// Something is to be sent of this kind.
    Answer(Kind),
    /// The client has taken what was sent.
    Taken(Kind),
    /// The client refuses what was sent, and says why; it goes on with what it had.
    Refused(Kind, String),
    /// It is about something older than the last answer; a newer request follows.
    Stale(Kind),
    /// A kind that there is none of here.
    Unknown,
    /// It asks for more names than anybody needs.
    TooMany,
}

/// One kind, as one client has it.
#[derive(Debug, Default)]
struct Subscription {
    names: BTreeSet<String>,
    wildcard: bool,
    nonce: String,
    sent: Option<BTreeMap<String, Any>>,
    version: u64,
}

impl Subscription {
    fn wanted(&self, all: &BTreeMap<String, Any>) -> BTreeMap<String, Any> {
        let wanted = |(name, _): &(&String, &Any)| self.wildcard || self.names.contains(*name);
        all.iter().filter(wanted).map(|(name, any)| (name.clone(), any.clone())).collect()
    }
}

/// Everything that one stream is about.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    of: BTreeMap<Kind, Subscription>,
    /// Tells this stream's nonces and versions from those of another issuer.
    stream: String,
    nonce: u64,
}

impl Subscriptions {
    /// `stream` differs from stream to stream.
    #[must_use]
    pub(super) fn new(stream: String) -> Self {
        Self { of: BTreeMap::new(), stream, nonce: 0 }
    }

    /// Takes a request.
    ///
    /// A kind is answered only on its first request, which has no nonce (though perhaps a version, from an
    /// earlier stream), and when the names change.
    pub(super) fn ask(&mut self, request: DiscoveryRequest) -> Asked {
        let Some(kind) = Kind::of(&request.type_url) else { return Asked::Unknown };
        if request.resource_names.len() > NAMES_MAX {
            return Asked::TooMany;
        }
        let subscription = self.of.entry(kind).or_default();
        let first = request.response_nonce.is_empty();
        if !first && request.response_nonce != subscription.nonce {
            return Asked::Stale(kind);
        }
        let names: BTreeSet<String> = request.resource_names.into_iter().collect();
        if first {
            subscription.wildcard = names.is_empty() && kind.has_wildcard();
        }
        if !names.is_empty() {
            subscription.wildcard = false;
        }
        let changed = names != subscription.names;
        subscription.names = names;
        if first || changed {
            subscription.sent = None;
            return Asked::Answer(kind);
        }
        match request.error_detail {
            Some(error) => Asked::Refused(kind, error.message),
            None => Asked::Taken(kind),
        }
    }

    /// What is to be sent of this kind now, if anything.
    pub(super) fn answer(&mut self, kind: Kind, all: &Resources) -> Option<DiscoveryResponse> {
        let subscription = self.of.get_mut(&kind)?;
        if subscription.names.is_empty() && !subscription.wildcard {
            return None;
        }
        let wanted = subscription.wanted(all.get(&kind)?);
        if subscription.sent.as_ref() == Some(&wanted) || (wanted.is_empty() && !kind.absence_deletes()) {
            return None;
        }
        self.nonce += 1;
        subscription.version += 1;
        subscription.nonce = format!("{}.{}", self.stream, self.nonce);
        subscription.sent = Some(wanted.clone());
        Some(DiscoveryResponse {
            version_info: format!("{}.{}", self.stream, subscription.version),
            resources: wanted.into_values().collect(),
            type_url: kind.type_url().to_owned(),
            nonce: subscription.nonce.clone(),
            ..Default::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::google::rpc::Status;

    use super::{super::resources, *};

    fn resources(ports: &[u16]) -> Resources {
        let addresses = ports.iter().map(|port| ([10, 0, 0, 1], *port).into()).collect();
        let mut all = resources::fixed("todoke.internal");
        all.insert(Kind::Endpoints, resources::endpoints(&addresses));
        all
    }

    fn request(kind: Kind, names: &[&str], nonce: &str) -> DiscoveryRequest {
        DiscoveryRequest {
            type_url: kind.type_url().to_owned(),
            resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
            response_nonce: nonce.to_owned(),
            ..Default::default()
        }
    }

    const EDS: &[&str] = &["todoke-relays-endpoints"];

    #[test]
    fn the_first_request_is_answered_once_and_its_acknowledgement_not_at_all() {
        let (mut stream, all) = (Subscriptions::new("s".to_owned()), resources(&[1]));
        let first =
            DiscoveryRequest { version_info: "old.7".to_owned(), ..request(Kind::Endpoints, EDS, "") };
        assert_eq!(stream.ask(first), Asked::Answer(Kind::Endpoints), "also with a version of before");
        let sent = stream.answer(Kind::Endpoints, &all).expect("an answer");
        assert_eq!((sent.resources.len(), sent.type_url.as_str()), (1, Kind::Endpoints.type_url()));
        assert_eq!(stream.ask(request(Kind::Endpoints, EDS, &sent.nonce)), Asked::Taken(Kind::Endpoints));
        assert_eq!(stream.answer(Kind::Endpoints, &all), None, "nothing is new");
        let changed = stream.answer(Kind::Endpoints, &resources(&[1, 2])).expect("something is new");
        assert_ne!((changed.nonce, changed.version_info), (sent.nonce, sent.version_info));
    }

    #[test]
    fn an_answer_to_an_older_one_is_passed_over_and_a_refusal_is_told() {
        let (mut stream, all) = (Subscriptions::new("s".to_owned()), resources(&[1]));
        stream.ask(request(Kind::Endpoints, EDS, ""));
        let old = stream.answer(Kind::Endpoints, &all).expect("an answer");
        let new = stream.answer(Kind::Endpoints, &resources(&[2])).expect("an answer");
        assert_eq!(stream.ask(request(Kind::Endpoints, EDS, &old.nonce)), Asked::Stale(Kind::Endpoints));
        let refusal = DiscoveryRequest {
            error_detail: Some(Status { message: "no locality".to_owned(), ..Default::default() }),
            ..request(Kind::Endpoints, EDS, &new.nonce)
        };
        assert_eq!(stream.ask(refusal), Asked::Refused(Kind::Endpoints, "no locality".to_owned()));
        assert_eq!(stream.answer(Kind::Endpoints, &resources(&[2])), None, "the same again would be refused");
    }

    #[test]
    fn names_that_change_are_answered_and_unknown_ones_take_nothing_away() {
        let (mut stream, all) = (Subscriptions::new("s".to_owned()), resources(&[1]));
        stream.ask(request(Kind::Listener, &["todoke"], ""));
        let sent = stream.answer(Kind::Listener, &all).expect("an answer");
        assert_eq!(sent.resources.len(), 1);
        let both = request(Kind::Listener, &["todoke", "todoke.internal"], &sent.nonce);
        assert_eq!(stream.ask(both), Asked::Answer(Kind::Listener));
        assert_eq!(stream.answer(Kind::Listener, &all).expect("an answer").resources.len(), 2);
        stream.ask(request(Kind::Endpoints, &["nothing"], ""));
        assert_eq!(stream.answer(Kind::Endpoints, &all), None, "an empty answer would end every call");
        assert_eq!(stream.ask(request(Kind::Routes, &[], "")), Asked::Answer(Kind::Routes));
        assert_eq!(stream.answer(Kind::Routes, &all), None, "there is no wildcard of routes");
    }

    #[test]
    fn a_client_that_names_nothing_gets_every_listener_and_cluster() {
        let (mut stream, all) = (Subscriptions::new("s".to_owned()), resources(&[1]));
        for (kind, count) in [(Kind::Listener, 2), (Kind::Cluster, 1)] {
            stream.ask(request(kind, &[], ""));
            assert_eq!(stream.answer(kind, &all).expect("an answer").resources.len(), count);
        }
    }

    #[test]
    fn names_have_a_limit_and_foreign_kinds_are_told_apart() {
        let mut stream = Subscriptions::new("s".to_owned());
        let names = |n: usize| vec!["x"; n];
        assert_eq!(
            stream.ask(request(Kind::Endpoints, &names(NAMES_MAX), "")),
            Asked::Answer(Kind::Endpoints)
        );
        assert_eq!(stream.ask(request(Kind::Endpoints, &names(NAMES_MAX + 1), "")), Asked::TooMany);
        let foreign = DiscoveryRequest { type_url: "x".to_owned(), ..Default::default() };
        assert_eq!(stream.ask(foreign), Asked::Unknown);
    }
}

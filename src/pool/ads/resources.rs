//! The xDS resources that stock gRPC clients accept: a listener under each of its names, routes, a cluster,
//! and the endpoints that one client is to use.
//!
//! Names are constants, as a client's cache keys on them. What grpcio and grpc-js need beyond the protocol's
//! text was measured with both, and stands where it is done.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use envoy_types::pb::{
    envoy::{
        config::{
            cluster::v3::{
                Cluster,
                cluster::{ClusterDiscoveryType, DiscoveryType, EdsClusterConfig, LbPolicy},
            },
            core::v3::{
                Address, AggregatedConfigSource, ApiVersion, ConfigSource, HealthStatus, Locality,
                SocketAddress, TransportSocket, address, config_source::ConfigSourceSpecifier,
                socket_address::PortSpecifier, transport_socket,
            },
            endpoint::v3::{
                ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier,
            },
            listener::v3::{ApiListener, Listener},
            route::v3::{
                RetryPolicy, Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost,
                retry_policy::RetryBackOff, route, route_action::ClusterSpecifier,
                route_match::PathSpecifier,
            },
        },
        extensions::{
            filters::{
                http::router::v3::Router,
                network::http_connection_manager::v3::{
                    HttpConnectionManager, HttpFilter, Rds, http_connection_manager::RouteSpecifier,
                    http_filter,
                },
            },
            transport_sockets::tls::v3::{
                CertificateProviderPluginInstance, CertificateValidationContext, CommonTlsContext,
                UpstreamTlsContext, common_tls_context::ValidationContextType,
            },
        },
        r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern},
    },
    google::protobuf::{Any, Duration, UInt32Value},
};
use prost::{Message, Name};

/// What is asked for, by the last word of its type's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    /// CDS.
    Cluster,
    /// EDS.
    Endpoints,
    /// LDS.
    Listener,
    /// RDS.
    Routes,
}

impl Kind {
    /// In the order in which changes are sent: what is pointed to, before what points to it.
    pub(super) const ALL: [Kind; 4] = [Kind::Cluster, Kind::Endpoints, Kind::Listener, Kind::Routes];

    /// The address of the type.
    #[must_use]
    pub(super) fn type_url(self) -> &'static str {
        match self {
            Kind::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Kind::Endpoints => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Kind::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Kind::Routes => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        }
    }

    /// The kind that an address stands for.
    #[must_use]
    pub(super) fn of(type_url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == type_url)
    }

    /// Whether a client that names nothing wants all of them.
    #[must_use]
    pub(super) fn has_wildcard(self) -> bool {
        matches!(self, Kind::Listener | Kind::Cluster)
    }

    /// Whether a resource that is missing in an answer is thereby deleted.
    #[must_use]
    pub(super) fn absence_deletes(self) -> bool {
        self.has_wildcard()
    }
}

/// What clients ask for: `xds:///todoke`.
pub(super) const LISTENER: &str = "todoke";
const ROUTES: &str = "todoke-routes";
const CLUSTER: &str = "todoke-relays";
const ENDPOINTS: &str = "todoke-relays-endpoints";
/// The entry of `certificate_providers` in a client's bootstrap file.
const PROVIDER: &str = "todoke";

/// Resources of each kind by name.
pub(super) type Resources = BTreeMap<Kind, BTreeMap<String, Any>>;

/// What is the same for every client. `server_name` is the name in the relays' certificates.
#[must_use]
pub(super) fn fixed(server_name: &str) -> Resources {
    // Under the certificate's name too: `xds:///todoke.internal` needs no override in either client.
    let names = BTreeSet::from([LISTENER, server_name]);
    let listeners = names.into_iter().map(|name| (name.to_owned(), any(&listener(name)))).collect();
    BTreeMap::from([
        (Kind::Listener, listeners),
        (Kind::Routes, BTreeMap::from([(ROUTES.to_owned(), any(&routes()))])),
        (Kind::Cluster, BTreeMap::from([(CLUSTER.to_owned(), any(&cluster(server_name)))])),
    ])
}

/// The endpoints of one client. An empty set is never to be sent: every call would fail at once.
#[must_use]
pub(super) fn endpoints(addresses: &BTreeSet<SocketAddr>) -> BTreeMap<String, Any> {
    let assignment = ClusterLoadAssignment {
        cluster_name: ENDPOINTS.to_owned(),
        endpoints: vec![LocalityLbEndpoints {
            // Without a locality gRPC refuses it; without a weight it takes it, and every call fails.
            locality: Some(Locality {
                region: "todoke".to_owned(),
                zone: "relays".to_owned(),
                sub_zone: String::new(),
            }),
            load_balancing_weight: Some(UInt32Value { value: 1 }),
            lb_endpoints: addresses.iter().map(endpoint).collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    BTreeMap::from([(ENDPOINTS.to_owned(), any(&assignment))])
}

fn endpoint(address: &SocketAddr) -> LbEndpoint {
    let socket = SocketAddress {
        address: address.ip().to_string(),
        port_specifier: Some(PortSpecifier::PortValue(address.port().into())),
        ..Default::default()
    };
    LbEndpoint {
        health_status: HealthStatus::Healthy.into(),
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: Some(Address { address: Some(address::Address::SocketAddress(socket)) }),
            ..Default::default()
        })),
        ..Default::default()
    }
}

fn any<M: Message + Name>(message: &M) -> Any {
    Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

fn from_here() -> ConfigSource {
    ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..Default::default()
    }
}

fn listener(name: &str) -> Listener {
    let rds = Rds { config_source: Some(from_here()), route_config_name: ROUTES.to_owned() };
    let manager = HttpConnectionManager {
        stat_prefix: LISTENER.to_owned(),
        route_specifier: Some(RouteSpecifier::Rds(rds)),
        http_filters: vec![HttpFilter {
            name: "envoy.filters.http.router".to_owned(),
            config_type: Some(http_filter::ConfigType::TypedConfig(any(&Router::default()))),
            ..Default::default()
        }],
        ..Default::default()
    };
    Listener {
        name: name.to_owned(),
        api_listener: Some(ApiListener { api_listener: Some(any(&manager)) }),
        ..Default::default()
    }
}

/// A relay that dies takes its calls in flight with it; gRPC then tries again on another, twice.
fn retry() -> RetryPolicy {
    const MS: i32 = 1_000_000;
    RetryPolicy {
        retry_on: "unavailable".to_owned(),
        num_retries: Some(UInt32Value { value: 2 }),
        retry_back_off: Some(RetryBackOff {
            base_interval: Some(Duration { seconds: 0, nanos: 20 * MS }),
            max_interval: Some(Duration { seconds: 0, nanos: 200 * MS }),
        }),
        ..Default::default()
    }
}

fn routes() -> RouteConfiguration {
    let action = RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster(CLUSTER.to_owned())),
        retry_policy: Some(retry()),
        ..Default::default()
    };
    let route = Route {
        // Prefix "" is every method.
        r#match: Some(RouteMatch {
            path_specifier: Some(PathSpecifier::Prefix(String::new())),
            ..Default::default()
        }),
        action: Some(route::Action::Route(action)),
        ..Default::default()
    };
    RouteConfiguration {
        name: ROUTES.to_owned(),
        virtual_hosts: vec![VirtualHost {
            name: LISTENER.to_owned(),
            domains: vec!["*".to_owned()],
            routes: vec![route],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn cluster(server_name: &str) -> Cluster {
    let eds = EdsClusterConfig { eds_config: Some(from_here()), service_name: ENDPOINTS.to_owned() };
    Cluster {
        name: CLUSTER.to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        eds_cluster_config: Some(eds),
        lb_policy: LbPolicy::RoundRobin.into(),
        transport_socket: Some(mutual_tls(server_name)),
        ..Default::default()
    }
}

fn mutual_tls(server_name: &str) -> TransportSocket {
    let provider = || CertificateProviderPluginInstance {
        instance_name: PROVIDER.to_owned(),
        certificate_name: String::new(),
    };
    let name = StringMatcher {
        match_pattern: Some(MatchPattern::Exact(server_name.to_owned())),
        ..Default::default()
    };
    // gRPC silently passes over the list that replaced this one, and then checks no name at all.
    #[expect(deprecated, reason = "the only list of names that gRPC's clients read")]
    let validation = CertificateValidationContext {
        ca_certificate_provider_instance: Some(provider()),
        match_subject_alt_names: vec![name],
        ..Default::default()
    };
    let context = UpstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            tls_certificate_provider_instance: Some(provider()),
            validation_context_type: Some(ValidationContextType::ValidationContext(validation)),
            ..Default::default()
        }),
        ..Default::default()
    };
    TransportSocket {
        name: "envoy.transport_sockets.tls".to_owned(),
        config_type: Some(transport_socket::ConfigType::TypedConfig(any(&context))),
    }
}

//! A role starts only with a configuration of which everything is right: a TOML file, overridden by
//! `TODOKE_*` variables (`__` between levels), overridden by flags. Unknown keys are refused, and every
//! problem is said at once.
//!
//! Each limit and its default stand with the component that keeps it; here they are only put together,
//! and the tree of the defaults is the list of keys.

pub mod duration;
mod issuer;
mod load;
mod memory;
mod print;
mod problem;
mod relay;
mod tree;

use std::net::SocketAddr;

pub use issuer::IssuerConfig;
pub use load::{Flag, PREFIX, Role, Sources, Survey, keys, load, survey, variable};
pub use memory::give_back_at_once;
pub use print::{Effective, line};
pub use problem::{Conflict, Problem, Problems};
pub use relay::RelayConfig;

/// Whether some role has this key.
fn is_key_of_any_role(key: &str) -> bool {
    [keys::<IssuerConfig>(), keys::<RelayConfig>()].iter().flatten().any(|known| known == key)
}

/// The conflict of two listeners at one address.
fn same_address(listen: SocketAddr, ops_listen: SocketAddr) -> Vec<Conflict> {
    let same = listen == ops_listen && listen.port() != 0;
    let conflict = || Conflict::new("ops_listen", "is the address of listen", "Take another port");
    same.then(conflict).into_iter().collect()
}

/// The conflict of a port without TLS that others could reach.
fn beyond_loopback(key: &str, listen: Option<SocketAddr>) -> Option<Conflict> {
    let outside = listen.filter(|address| !address.ip().is_loopback())?;
    let what = format!("is served without TLS, and {outside} is no address of loopback");
    Some(Conflict::new(key, what, "Take 127.0.0.1 or [::1], beside the clients"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults<T: Role>() -> String {
        let mut sources = Sources::default();
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (key, value) in T::REQUIRED {
            let file = T::FILES.contains(key).then(|| {
                let file = folder.path().join(key);
                std::fs::write(&file, "").expect("the folder is writable");
                file.to_str().expect("UTF-8").to_owned()
            });
            let value = file.unwrap_or_else(|| (*value).to_owned());
            sources.flags.push(Flag { name: "--test", key, value });
        }
        let Survey { values, problems } = survey::<T>(&sources);
        assert_eq!(problems, [], "what is required is there");
        let told = values.into_iter().filter(|value| value.origin == "default");
        told.map(|value| line(&value) + "\n").collect()
    }

    #[test]
    fn a_sweeper_that_would_be_taken_for_dead_is_refused() {
        let problems = |sweep_every: &str| {
            let flag = |key, value: &str| Flag { name: "--test", key, value: value.to_owned() };
            let flags = vec![flag("issuance.sweep_every", sweep_every), flag("issuance.heartbeat_max", "5m")];
            let all = survey::<IssuerConfig>(&Sources { flags, ..Sources::default() }).problems;
            all.into_iter().filter(|problem| problem.key == "issuance.sweep_every").count()
        };
        assert_eq!((problems("30s"), problems("30001ms"), problems("2m")), (0, 1, 1));
    }

    #[test]
    fn xds_without_tls_is_served_on_loopback_only_and_where_there_is_a_view() {
        let flag = |key, value: &str| Flag { name: "--test", key, value: value.to_owned() };
        let of = |flags: Vec<Flag>| Sources { flags, ..Sources::default() };
        let count = |problems: Vec<Problem>| {
            problems.iter().filter(|problem| problem.key.ends_with("ads_listen")).count()
        };
        let issuer = |address: &str, enabled: &str| {
            let flags = vec![flag("ads_listen", address), flag("pool.enabled", enabled)];
            count(survey::<IssuerConfig>(&of(flags)).problems)
        };
        let relay = |address: &str, pool: &str| {
            let flags = vec![flag("relay.ads_listen", address), flag("relay.pool", pool)];
            count(survey::<RelayConfig>(&of(flags)).problems)
        };
        for loopback in ["127.0.0.1:0", "127.9.9.9:40303", "[::1]:40303"] {
            assert_eq!((issuer(loopback, "true"), relay(loopback, "true")), (0, 0), "{loopback}");
            assert_eq!((issuer(loopback, "false"), relay(loopback, "false")), (1, 1), "no view");
        }
        for outside in ["0.0.0.0:40303", "10.0.0.7:40303", "[::]:40303"] {
            assert_eq!((issuer(outside, "true"), relay(outside, "true")), (1, 1), "{outside}");
        }
    }

    // Every key with its default: whoever changes one sees here what operators will meet.
    #[test]
    fn the_keys_and_defaults_of_every_role_are_these() {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        for (role, text) in [("issuer", defaults::<IssuerConfig>()), ("relay", defaults::<RelayConfig>())] {
            let text = text
                .replace(&format!("cpu_jobs_max = {cores} "), "cpu_jobs_max = CORES ")
                .replace(&format!("shards = {cores} "), "shards = CORES ");
            insta::assert_snapshot!(role, text);
        }
    }
}

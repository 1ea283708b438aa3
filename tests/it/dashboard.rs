//! Promise: every query of the dashboard asks for metrics and labels that the code exports, and every metric
//! of the pool is shown.

use std::collections::BTreeSet;

use serde_json::Value;
use todoke::telemetry::names::{self, Kind, Metric};

use super::alerts::{asked, values};

const DASHBOARD: &str = include_str!("../../deploy/dashboard.json");

/// What Prometheus adds by itself.
const ADDED: [&str; 3] = ["instance", "job", "le"];

/// The panels that show something, each with its queries.
fn panels() -> Vec<(String, Vec<String>)> {
    let board: Value = serde_json::from_str(DASHBOARD).expect("it is JSON");
    let panels = board["panels"].as_array().expect("a list").iter();
    let queries = |panel: &Value| {
        let targets = panel["targets"].as_array()?.iter();
        Some(targets.map(|target| target["expr"].as_str().expect("a query").to_owned()).collect())
    };
    let title = |panel: &Value| panel["title"].as_str().expect("a title").to_owned();
    panels.filter_map(|panel| Some((title(panel), queries(panel)?))).collect()
}

/// The metric of this name, be it one of the series of a histogram.
fn metric(name: &str) -> Option<&'static Metric> {
    let series = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| name.strip_suffix(end));
    let histogram = || Metric::named(series?).filter(|metric| matches!(metric.kind, Kind::Histogram(_)));
    Metric::named(name).or_else(histogram)
}

/// The labels by which a query groups.
fn groups(query: &str) -> Vec<&str> {
    let lists = query.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
    lists.flat_map(|list| list.split(',').map(str::trim)).collect()
}

#[test]
fn every_query_asks_for_what_is_exported() {
    let panels = panels();
    assert!(panels.len() >= 15, "the dashboard is being read");
    for (title, queries) in &panels {
        assert!(!queries.is_empty(), "{title} shows nothing");
        for query in queries {
            let asked = asked(query);
            assert!(!asked.is_empty(), "{title}: {query} asks for nothing of ours");
            for (name, label) in asked {
                let metric = metric(name).unwrap_or_else(|| panic!("{title}: there is no metric {name}"));
                for group in groups(query) {
                    let known = metric.labels.contains(&group) || ADDED.contains(&group);
                    assert!(known, "{title}: {name} has no label {group}");
                }
                if let Some((label, value)) = label {
                    assert!(metric.labels.contains(&label), "{title}: {name} has no label {label}");
                    assert!(values(label).iter().any(|known| known == value), "{title}: {label}={value}");
                }
                let is_counter = matches!(metric.kind, Kind::Counter | Kind::Histogram(_));
                let rises = query.contains("rate(") || query.contains("increase(");
                assert_eq!(is_counter, rises, "{title}: {name} is a {}", metric.kind.as_str());
            }
        }
    }
}

#[test]
fn no_two_panels_have_one_number() {
    let board: Value = serde_json::from_str(DASHBOARD).expect("it is JSON");
    let panels = board["panels"].as_array().expect("a list");
    let numbers: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().expect("a number")).collect();
    assert_eq!(numbers.len(), panels.len());
}

#[test]
fn every_metric_of_the_pool_is_shown() {
    let panels = panels();
    let queries = panels.iter().flat_map(|(_, queries)| queries);
    let shown: BTreeSet<&str> = queries.flat_map(|query| asked(query)).map(|(name, _)| name).collect();
    let of_the_pool = names::ALL.iter().filter(|metric| metric.name.starts_with("todoke_pool_"));
    let names = of_the_pool.map(|metric| metric.name);
    let missing: Vec<&str> = names.filter(|name| !shown.contains(name)).collect();
    assert_eq!(missing, [""; 0]);
}

//! The peak memory of each process of an import, small and large: what a process needs must not grow with the
//! number of records, and a missed goal is said as plainly as one that is met.

use std::{path::Path, slice};

use clap::{Args, value_parser};

use crate::{
    failure::Failure,
    figures::{Report, Spread},
    import::{MIB, most},
    imported::{CALLERS, Slice, import, sample},
    progress,
    system::Setup,
};

/// What the client may need, in MiB.
const CLIENT_GOAL: f64 = 64.0;
/// What a relay may need, in MiB.
const RELAY_GOAL: f64 = 20.0;
/// How much more a hundred times as many records may take, before it is no longer called flat.
const FLAT: f64 = 1.25;

#[derive(Debug, Args)]
pub(crate) struct MemoryArgs {
    /// How many records the small file has
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = most(10_000_000))]
    small: u32,
    /// How many records the large file has
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = most(10_000_000))]
    large: u32,
    /// How many times both are imported
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = most(100))]
    cycles: u32,
    /// How many relays the client has
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = value_parser!(u16).range(1..=16))]
    relays: u16,
}

/// One process of an import: its name, its peak in a slice, and its goal.
type Party = (&'static str, fn(&Slice) -> f64, Option<f64>);

const PARTIES: [Party; 3] = [
    ("the client", |slice| slice.client_peak_rss / MIB, Some(CLIENT_GOAL)),
    ("the larger relay", |slice| slice.relay_peak_rss / MIB, Some(RELAY_GOAL)),
    ("the issuer", |slice| slice.issuer_peak_rss / MIB, None),
];

pub(crate) async fn run(args: &MemoryArgs, todoke: &Path) -> Result<Report, Failure> {
    let folder = tempfile::Builder::new().prefix("todoke-loadtest-").tempdir()?;
    let mut sizes = Vec::new();
    for records in [args.small, args.large] {
        let input = sample(todoke, folder.path(), CALLERS[0], records)?;
        let mut slices = Vec::new();
        for _ in 0..args.cycles {
            slices.push(import(todoke, &Setup::of(args.relays), slice::from_ref(&input))?);
            tokio::task::yield_now().await; // a signal is heard here
        }
        progress(&format!("{records} records: done"));
        sizes.push((records, slices));
    }
    Ok(report(args, &sizes))
}

fn report(args: &MemoryArgs, sizes: &[(u32, Vec<Slice>)]) -> Report {
    let mut report = Report {
        method: vec![format!(
            "Peak resident memory (VmHWM) of each process of `todoke import` through {} relays into an empty \
             issuer on SQLite.",
            args.relays
        )],
        lines: Vec::new(),
    };
    for (name, figure, goal) in PARTIES {
        let mut medians = Vec::new();
        for (records, slices) in sizes {
            let spread = Spread::of(&slices.iter().map(figure).collect::<Vec<f64>>());
            medians.extend(spread.map(|spread| spread.median));
            report.add(format!("{name}, {records} records"), "MiB", spread);
        }
        let [small, large] = medians[..] else { continue };
        report.add(format!("{name}: large / small"), "ratio", Spread::of(&[large / small]));
        report.method.push(verdict(name, small, large, goal));
    }
    report
}

fn verdict(name: &str, small: f64, large: f64, goal: Option<f64>) -> String {
    let flat = if large <= small * FLAT { "flat" } else { "not flat" };
    match goal {
        Some(goal) if large < goal => format!("{name}: {flat}; the goal of {goal:.0} MiB is met."),
        Some(goal) => {
            format!("{name}: {flat}; the goal of {goal:.0} MiB is MISSED by {:.1} MiB.", large - goal)
        }
        None => format!("{name}: {flat}; no goal is set."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_or_missed_and_growth_is_named() {
        assert_eq!(verdict("x", 60.0, 63.9, Some(64.0)), "x: flat; the goal of 64 MiB is met.");
        assert_eq!(
            verdict("x", 9.0, 22.5, Some(20.0)),
            "x: not flat; the goal of 20 MiB is MISSED by 2.5 MiB."
        );
        assert_eq!(verdict("x", 100.0, 125.0, None), "x: flat; no goal is set.");
    }
}

//! Promise: a unit that is sick is steered away from, and taken out, about as soon as the rule was simulated
//! to do it before there was a pool around it; and when its verdict is named, it is the right one.
//!
//! `tests/run --sim --curves 100` plays so many seeds of each cell and prints the table.

use std::fmt::Write as _;

use todoke::pool::{judgement::Verdict, policy::Kind};

use super::{
    number, on_all_cores,
    plan::{Fault, ONSET, Plan, Sick},
    record::Record,
};

/// Seeds of a cell in an ordinary run.
const SEEDS: u64 = 5;
/// One line of the table: what is sick, and for each of the columns the seconds to the soft step and to the
/// eviction that were simulated before; 0 where none was.
struct Line {
    name: &'static str,
    faults: &'static [Fault],
    before: [(u64, u64); 3],
    /// The longest that the two may take in the median now, in the first column; 0: never.
    longest: (u64, u64),
}

/// The columns: calls a second in all, and the mean share of errors.
const COLUMNS: [(f64, f64); 3] = [(2.0, 0.005), (20.0, 0.005), (2.0, 0.02)];

const fn line(
    name: &'static str,
    faults: &'static [Fault],
    before: [(u64, u64); 3],
    longest: (u64, u64),
) -> Line {
    Line { name, faults, before, longest }
}

/// Each is within a fifth of what was simulated before, but for the 2 s in which the judge waits for reports,
/// and for slowness: that was simulated without leaving out observers, and takes as long as failing as often.
const LINES: [Line; 10] = [
    line("is dead", &[Fault::Fails(1.0)], [(15, 52), (14, 50), (19, 66)], (18, 60)),
    line("hangs", &[Fault::Hangs], [(16, 52), (15, 51), (19, 67)], (18, 60)),
    line("fails 50 %", &[Fault::Fails(0.5)], [(0, 0); 3], (23, 75)),
    line("fails 30 %", &[Fault::Fails(0.3)], [(24, 78), (21, 72), (39, 130)], (30, 94)),
    line("fails 10 %", &[Fault::Fails(0.1)], [(94, 243), (40, 138), (318, 1568)], (110, 320)),
    line("flaps, 3 s good, 2 s bad", &[Fault::Flaps(3.0, 2.0)], [(20, 67), (17, 63), (27, 95)], (26, 78)),
    line(
        "and 2, of one model, fail 30 %",
        &[Fault::Fails(0.3); 2],
        [(77, 270), (40, 139), (201, 826)],
        (80, 260),
    ),
    line(
        "fails 30 % of callers' calls",
        &[Fault::FailsCallers(0.3)],
        [(131, 493), (22, 77), (229, 861)],
        (70, 600),
    ),
    line("is slow, 2 s for 30 % of calls", &[Fault::IsSlow(0.3, 2.0)], [(0, 67), (0, 67), (0, 0)], (32, 92)),
    line("is three times as slow", &[Fault::IsSlower(3.0)], [(0, 0); 3], (0, 0)),
];

/// What was seen in one cell: seconds to the soft step, to the eviction and to the right verdict, of each
/// seed; and the calls that failed, and all.
#[derive(Default)]
struct Cell {
    soft: Vec<Option<u64>>,
    evicted: Vec<Option<u64>>,
    named: Vec<Option<u64>>,
    failed: (u64, u64),
}

impl Line {
    fn plan(&self, column: usize) -> Plan {
        let (calls_per_s, errors) = COLUMNS[column];
        let patience = if self.longest.1 == 0 { 600 } else { self.before[column].1.max(100) * 3 };
        let mut plan = Plan::well(4, calls_per_s / 4.0, errors, ONSET + patience);
        for (unit, fault) in self.faults.iter().enumerate() {
            plan.sick.push(Sick { unit, fault: *fault, from: ONSET, until: u64::MAX });
        }
        plan
    }

    /// Plays one seed until the last of the sick units is out, and a minute longer.
    fn play(&self, column: usize, seed: u64) -> Record {
        let sick = self.faults.len();
        let out = |record: &Record| {
            (0..sick)
                .filter_map(|unit| record.after_onset(unit, &Kind::Evict))
                .max()
                .filter(|_| (0..sick).all(|unit| record.after_onset(unit, &Kind::Evict).is_some()))
        };
        let over = |record: &Record, second: u64| out(record).is_some_and(|at| second > ONSET + at + 60);
        Record::until(self.plan(column), seed, |record, world| over(record, world.second))
    }

    fn cell(&self, column: usize, seeds: u64) -> Cell {
        let mut cell = Cell::default();
        for record in on_all_cores(seeds, |seed| self.play(column, seed * 7_919 + 17)) {
            assert!(record.broken.is_empty(), "{}: {:#?}", self.name, record.broken);
            let first =
                |kind: &Kind| (0..self.faults.len()).filter_map(|unit| record.after_onset(unit, kind)).min();
            cell.soft.push(first(&Kind::SteerAway));
            cell.evicted.push(first(&Kind::Evict));
            cell.named.push(record.verdict_after_onset(|verdict| {
                matches!(verdict, Verdict::Unit { .. } | Verdict::Units { .. } | Verdict::Attribute { .. })
            }));
            cell.failed = (cell.failed.0 + record.calls.0, cell.failed.1 + record.calls.1);
        }
        cell
    }
}

/// A part of the seeds had it by then; `None`: not even so many had it at all.
fn quantile(times: &[Option<u64>], share: f64) -> Option<u64> {
    let mut sorted: Vec<u64> = times.iter().map(|time| time.unwrap_or(u64::MAX)).collect();
    sorted.sort_unstable();
    let at = ((sorted.len() - 1) as f64 * share).round() as usize;
    Some(sorted[at]).filter(|time| *time < u64::MAX)
}

fn shown(times: &[Option<u64>]) -> String {
    let text = |share| quantile(times, share).map_or_else(|| "–".to_owned(), |time| time.to_string());
    format!("{} ({}–{})", text(0.5), text(0.25), text(0.75))
}

/// The table as it stands in the documentation.
fn table(seeds: u64) -> String {
    let mut text = String::from("| Unit 1 … |");
    for (calls_per_s, errors) in COLUMNS {
        let _ = write!(text, " {} % errors, {calls_per_s} calls/s in all |", errors * 100.0);
    }
    text.push_str("\n| --- | --- | --- | --- |\n");
    for line in &LINES {
        let _ = write!(text, "| {} |", line.name);
        for column in 0..COLUMNS.len() {
            let cell = line.cell(column, seeds);
            let (soft, evicted, named) = (shown(&cell.soft), shown(&cell.evicted), shown(&cell.named));
            let _ = write!(text, " {soft} → {evicted}; named {named} |");
        }
        text.push('\n');
        println!("{}", text.lines().last().unwrap_or_default());
    }
    text
}

#[test]
fn a_sick_unit_is_steered_away_from_and_taken_out_about_as_soon_as_the_rule_alone_would_do_it() {
    if let Some(seeds) = number("TEST_TODOKE_CURVES") {
        println!("{}", table(seeds));
        return;
    }
    for line in LINES.iter().filter(|line| line.longest.0 > 0) {
        let cell = line.cell(0, SEEDS);
        let median = |times: &[Option<u64>]| quantile(times, 0.5).unwrap_or(u64::MAX);
        let (soft, out) = (median(&cell.soft), median(&cell.evicted));
        let in_time = |is: u64, longest: u64| longest == 0 || is <= longest;
        let (soft_max, out_max) = line.longest;
        assert!(in_time(soft, soft_max), "{}: soft after {soft} s, not {soft_max}", line.name);
        assert!(in_time(out, out_max), "{}: out after {out} s, not {out_max}", line.name);
    }
}

/// Plays a unit with a fault in a pool of four that is otherwise quiet, at 2 calls a second in all; seconds
/// to the soft step and to the eviction, in the median.
fn alone(fault: Fault) -> (u64, u64) {
    let records = on_all_cores(3 * SEEDS, |seed| {
        let plan = Plan::well(4, 0.5, 0.0, ONSET + 200).with(fault);
        Record::until(plan, seed, |record, _| record.after_onset(0, &Kind::Evict).is_some())
    });
    let median = |kind: Kind| {
        let times: Vec<Option<u64>> = records.iter().map(|record| record.after_onset(0, &kind)).collect();
        println!("{fault:?}: {} after {}", kind.name(), shown(&times));
        quantile(&times, 0.5).unwrap_or(u64::MAX)
    };
    (median(Kind::SteerAway), median(Kind::Evict))
}

#[test]
fn a_unit_that_hangs_or_is_dead_in_a_quiet_pool_is_steered_away_from_within_20_s_and_out_within_60() {
    for fault in [Fault::Hangs, Fault::Fails(1.0)] {
        let (soft, out) = alone(fault);
        assert!(soft < 20 && out < 60, "{fault:?}: soft after {soft} s, out after {out} s");
    }
}

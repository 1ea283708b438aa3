//! What happens to links and processes, and when, by seed. In the end everything is mended.

use std::time::Duration;

use turmoil::Sim;

use super::random::Random;

/// When the last fault may begin.
const LAST_FAULT_MS: u64 = 8_000;
/// How long a fault lasts at the most.
const LONGEST_MS: u64 = 12_000;

/// Who can be cut from whom.
const LINKS: [(&str, &str); 6] = [
    ("katsushika", "relay-1"),
    ("katsushika", "relay-2"),
    ("sapporo", "relay-1"),
    ("sapporo", "relay-2"),
    ("relay-1", "issuer"),
    ("relay-2", "issuer"),
];
/// Who can be killed.
const HOSTS: [&str; 5] = ["katsushika", "sapporo", "relay-1", "relay-2", "issuer"];

#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Nothing passes, in either direction; what was on its way is lost.
    Cut(usize),
    /// Nothing passes from the first to the second.
    CutThere(usize),
    /// Nothing passes from the second to the first: acknowledgements are lost while data flows.
    CutBack(usize),
    /// Everything is held and arrives later, all at once.
    Hold(usize),
    /// Everything takes this many milliseconds.
    Slow(usize, u64),
    /// The process is killed, and starts again.
    Kill(usize),
}

/// A fault begins or is over.
#[derive(Debug, Clone, Copy)]
struct Step {
    at_ms: u64,
    fault: Fault,
    begins: bool,
}

/// Everything that happens in a run, in order.
pub(crate) struct Schedule(std::collections::VecDeque<Step>);

impl Schedule {
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut steps = Vec::new();
        let mut taken = Vec::new();
        for _ in 0..random.from(1, 9) {
            let link = random.from(0, LINKS.len() as u64) as usize;
            let fault = match random.from(0, 8) {
                0 => Fault::Cut(link),
                1 => Fault::CutThere(link),
                2 => Fault::CutBack(link),
                3 => Fault::Hold(link),
                4 => Fault::Slow(link, random.from(50, 1_500)),
                _ => Fault::Kill(random.from(0, HOSTS.len() as u64) as usize),
            };
            let at_ms = random.from(0, LAST_FAULT_MS);
            let over_ms = at_ms + random.from(1, LONGEST_MS);
            // One fault at a time on a link, and one death at a time of a process.
            let place = match fault {
                Fault::Kill(host) => LINKS.len() + host,
                Fault::Cut(link)
                | Fault::CutThere(link)
                | Fault::CutBack(link)
                | Fault::Hold(link)
                | Fault::Slow(link, _) => link,
            };
            if taken.iter().any(|(other, from, to)| *other == place && at_ms <= *to && *from <= over_ms) {
                continue;
            }
            taken.push((place, at_ms, over_ms));
            steps.push(Step { at_ms, fault, begins: true });
            steps.push(Step { at_ms: over_ms, fault, begins: false });
        }
        steps.sort_by_key(|step| step.at_ms);
        Self(steps.into())
    }

    /// Does what is due.
    pub(crate) fn apply(&mut self, sim: &mut Sim<'_>, loud: bool) {
        while let Some(step) = self.0.front().copied()
            && Duration::from_millis(step.at_ms) <= sim.elapsed()
        {
            self.0.pop_front();
            if loud {
                println!("{:>8} ms {step:?}", step.at_ms);
            }
            match (step.fault, step.begins) {
                (Fault::Cut(link), true) => sim.partition(LINKS[link].0, LINKS[link].1),
                (Fault::CutThere(link), true) => sim.partition_oneway(LINKS[link].0, LINKS[link].1),
                (Fault::CutBack(link), true) => sim.partition_oneway(LINKS[link].1, LINKS[link].0),
                (Fault::Cut(link) | Fault::CutThere(link) | Fault::CutBack(link), false) => {
                    sim.repair(LINKS[link].0, LINKS[link].1);
                }
                (Fault::Hold(link), true) => sim.hold(LINKS[link].0, LINKS[link].1),
                (Fault::Hold(link), false) => sim.release(LINKS[link].0, LINKS[link].1),
                (Fault::Slow(link, ms), true) => {
                    sim.set_link_latency(LINKS[link].0, LINKS[link].1, Duration::from_millis(ms));
                }
                (Fault::Slow(link, _), false) => {
                    sim.set_link_latency(LINKS[link].0, LINKS[link].1, Duration::from_millis(1));
                }
                (Fault::Kill(host), true) => sim.crash(HOSTS[host]),
                (Fault::Kill(host), false) => sim.bounce(HOSTS[host]),
            }
        }
    }

    /// Whether everything has happened and is mended.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

//! Promise: whatever two municipalities do in whatever order, and however often the issuer crashes, every
//! answer of the API is the one that a plain model gives, and what was acknowledged is there exactly once.
//!
//! `TEST_TODOKE_SEEDS=1000` tries so many seeds; `TEST_TODOKE_SEED=n` repeats one, and is printed when one
//! fails.

mod compare;
mod crash;
mod known;
mod steps;

use std::{collections::BTreeSet, panic::AssertUnwindSafe};

use futures_util::FutureExt as _;
use todoke::{domain::municipality::MunicipalityCode, issuance::Options};

use self::{
    crash::ACKNOWLEDGED,
    known::{Random, Ward},
};
use super::{
    databases::{is_on_a_server, on_both},
    harness::{Issuer, Party},
};

const SEEDS: u64 = 8;
/// Each starts a server of its own. What they reach is looked at on a file only.
const SEEDS_ON_A_SERVER: u64 = 4;
const STEPS: u32 = 80;
/// Batches that one municipality makes, and how many of them may be open at once.
const BATCHES: u32 = 6;
const OPEN_MAX: u32 = 4;
const WARDS: [&str; 2] = ["131229", "011002"];

/// One seed's run: the real issuer, what it must be like, and what was done so far.
struct Run {
    random: Random,
    /// None only while it is started again.
    issuer: Option<Issuer>,
    parties: [Party; 2],
    wards: [Ward; 2],
    history: Vec<String>,
    /// What was reached: ends of batches, and a crash behind an acknowledgement. It shows when the steps no
    /// longer do.
    seen: BTreeSet<&'static str>,
}

fn options(options: &mut Options) {
    options.caller_open_batches_max = OPEN_MAX;
    options.ack_chunks_max = 1; // so that a crash may come between two acknowledgements
}

impl Run {
    async fn start(seed: u64) -> Self {
        let issuer = Issuer::start(options).await;
        let mut parties = Vec::new();
        for code in WARDS {
            parties.push(issuer.party(&format!("municipality/{code}")).await);
        }
        let parties = parties.try_into().unwrap_or_else(|_| unreachable!("two were made"));
        let code = |code: &str| code.parse::<MunicipalityCode>().expect("a code");
        let wards = WARDS.map(|text| Ward::new(code(text)));
        let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).max(1));
        Self { random, issuer: Some(issuer), parties, wards, history: Vec::new(), seen: BTreeSet::new() }
    }

    fn issuer(&self) -> &Issuer {
        self.issuer.as_ref().expect("it runs")
    }

    async fn run(&mut self) {
        for step in 0..STEPS {
            self.step().await;
            self.compare().await;
            if step % 10 == 9 {
                self.compare_closely().await;
            }
        }
        for w in 0..WARDS.len() {
            self.settle(w).await;
        }
        self.compare().await;
        self.compare_closely().await;
    }
}

#[expect(clippy::disallowed_methods, reason = "which seeds to try is for whoever runs the tests to say")]
fn seeds() -> Vec<u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a whole number"));
    match number("TEST_TODOKE_SEED") {
        Some(seed) => vec![seed],
        None => {
            let some = if is_on_a_server() { SEEDS_ON_A_SERVER } else { SEEDS };
            (1..=number("TEST_TODOKE_SEEDS").unwrap_or(some)).collect()
        }
    }
}

on_both!(the_api_is_what_a_plain_model_is_whatever_comes_in_whatever_order, async {
    let seeds = seeds();
    let mut seen = BTreeSet::new();
    for seed in &seeds {
        let mut run = Run::start(*seed).await;
        let outcome = AssertUnwindSafe(run.run()).catch_unwind().await;
        seen.extend(run.seen);
        let Err(died) = outcome else { continue };
        let words = died.downcast_ref::<String>().cloned().unwrap_or_default();
        panic!(
            "seed {seed}: {words}\n\nafter:\n{}\n\nagain with: TEST_TODOKE_SEED={seed} cargo nextest run -E \
             'test(the_api_is_what_a_plain_model_is)'",
            run.history.join("\n")
        );
    }
    let ends = ["ABORTED", "ACCEPTED", "ACCEPTED_WITH_REJECTS", "DISCREPANT", "repaired", ACKNOWLEDGED];
    assert!(seeds.len() < 5 || ends.iter().all(|end| seen.contains(end)), "the steps reach only {seen:?}");
});

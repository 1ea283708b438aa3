//! Promise: whatever is done with lots in whatever order, the ledger of each agrees with its cards after
//! every step, and every order has one card that is made or made well.

use std::collections::BTreeMap;

use super::*;

const SEEDS: std::ops::RangeInclusive<u64> = 1..=3;
const STEPS: usize = 60;
const ORDERS: usize = 25;
const LOTS: [&str; 3] = ["L-1", "L-2", "L-3"];

/// The same numbers for the same seed (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (n as u64)).expect("small")
    }

    /// Some of these, each in one case of two.
    fn some(&mut self, of: &BTreeSet<String>) -> Vec<String> {
        of.iter().filter(|_| self.below(2) == 0).cloned().collect()
    }
}

/// What was done in one run, and with which cards it can go on.
struct Run {
    world: World,
    random: Random,
    step: usize,
    /// Of each lot: those that were pulled, made well, and sent.
    pulled: BTreeMap<&'static str, BTreeSet<String>>,
    good: BTreeMap<&'static str, BTreeSet<String>>,
    sent: BTreeMap<&'static str, BTreeSet<String>>,
    recalled: BTreeSet<&'static str>,
    made: BTreeSet<&'static str>,
}

impl Run {
    async fn start(seed: u64) -> Self {
        let (pulled, good, sent) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).max(1));
        let (recalled, made) = (BTreeSet::new(), BTreeSet::new());
        Self { world: World::start(ORDERS).await, random, step: 0, pulled, good, sent, recalled, made }
    }

    /// Calls one lot back, in the second half.
    async fn recall(&mut self, id: &str, lot: &'static str) {
        if self.step <= STEPS / 2 || !self.recalled.is_empty() {
            return;
        }
        if self.world.recall(id, lot).await.is_ok() {
            self.recalled.insert(lot);
            self.made.insert("recall");
        }
    }

    async fn step(&mut self) {
        self.step += 1;
        let (id, lot) = (format!("s-{}", self.step), LOTS[self.random.below(LOTS.len())]);
        match self.random.below(12) {
            0 | 1 => {
                let cards = u32::try_from(self.random.below(6) + 1).expect("small");
                let done = self.world.allocate(&id, lot, cards).await;
                assert_eq!(done.is_err(), self.recalled.contains(lot), "{done:?}");
            }
            2..=4 => self.pull(&id, lot).await,
            5..=7 => self.report(&id, lot).await,
            8 | 9 => self.ship(&id, lot).await,
            10 => self.world.issuer.clock.advance(DAY_MS / 2),
            _ => self.recall(&id, lot).await,
        }
        for lot in LOTS {
            let request = pb::GetLotRequest { lot_id: lot.to_owned(), ..Default::default() };
            if of(&self.world.operator).get_lot(request).await.is_ok() {
                self.world.closes(lot).await;
            }
        }
    }

    async fn pull(&mut self, id: &str, lot: &'static str) {
        let count = u32::try_from(self.random.below(5) + 1).expect("small");
        match self.world.pull(id, lot, count).await {
            Ok(pulled) => {
                let ids = ids(&pulled);
                assert_eq!(ids.len(), BTreeSet::from_iter(&ids).len(), "none twice");
                // It may have been another lot's until its lease was over.
                for others in self.pulled.values_mut() {
                    others.retain(|id| !ids.contains(id));
                }
                self.pulled.entry(lot).or_default().extend(ids);
                self.made.insert("pull");
            }
            Err(refused) => {
                let known = [Reason::QuotaUsedUp, Reason::NotFound, Reason::ItemState];
                assert!(known.contains(&refused.reason), "{refused:?}");
                if refused.reason == Reason::QuotaUsedUp {
                    self.made.insert("quota");
                }
            }
        }
    }

    async fn report(&mut self, id: &str, lot: &'static str) {
        let cards = self.random.some(self.pulled.entry(lot).or_default());
        if cards.is_empty() {
            return;
        }
        let good: Vec<bool> = cards.iter().map(|_| self.random.below(3) > 0).collect();
        let report = cards.iter().zip(&good).map(|(id, good)| if *good { ok(id) } else { nok(id) }).collect();
        let done = self.world.report(id, lot, report).await;
        if self.recalled.contains(lot) {
            done.expect_err("it is recalled");
            return;
        }
        let done = done.expect("they are leased to it");
        assert_eq!(done.remade_card_ids.len(), good.iter().filter(|good| !**good).count());
        for (id, good) in cards.into_iter().zip(good) {
            self.pulled.entry(lot).or_default().remove(&id);
            self.made.insert(if good { "good" } else { "bad" });
            if good {
                self.good.entry(lot).or_default().insert(id);
            }
        }
    }

    async fn ship(&mut self, id: &str, lot: &'static str) {
        let is_lost = self.random.below(3) == 0;
        let from = if is_lost { &self.sent } else { &self.good };
        let cards = from.get(lot).map(|of| self.random.some(of)).unwrap_or_default();
        if cards.is_empty() {
            return;
        }
        let done = self.world.ship(id, lot, &cards, if is_lost { "nobody knows" } else { "" }).await;
        if self.recalled.contains(lot) {
            done.expect_err("they are recalled");
            return;
        }
        done.expect("they are made and under way");
        let sent = self.sent.entry(lot).or_default();
        if is_lost {
            sent.retain(|id| !cards.contains(id));
        } else {
            self.good.entry(lot).or_default().retain(|id| !cards.contains(id));
            sent.extend(cards);
        }
        self.made.insert(if is_lost { "lost" } else { "sent" });
    }

    /// Each order has one card that is not ended, at the most, and if it has none its last was recalled
    /// or lost.
    async fn each_order_has_one_card(&self) {
        let mut live: BTreeMap<String, usize> = BTreeMap::new();
        let (store, which) = (&self.world.issuer.store, todoke::store::WhichItems::default());
        let rows = store.list_items(self.world.ward.code(), ItemKind::Card, &which, 1000).await;
        for row in rows.expect("it answers") {
            let order = row.key.id.as_str().split('~').next().expect("an id").to_owned();
            let ended = ["SCRAPPED", "RECALLED", "LOST_IN_TRANSIT"].contains(&row.state.as_str());
            *live.entry(order).or_default() += usize::from(!ended);
        }
        assert!(live.values().all(|count| *count <= 1), "{live:?}");
    }
}

on_both!(after_every_step_the_ledger_of_each_lot_agrees_with_its_cards, async {
    let mut made = BTreeSet::new();
    for seed in SEEDS {
        let mut run = Run::start(seed).await;
        for step in 1..=STEPS {
            let stepped = std::panic::AssertUnwindSafe(run.step());
            let outcome = futures_util::FutureExt::catch_unwind(stepped).await;
            if let Err(died) = outcome {
                let words = died.downcast_ref::<String>().cloned().unwrap_or_default();
                panic!("seed {seed}, step {step}: {words}");
            }
        }
        run.each_order_has_one_card().await;
        made.extend(run.made);
    }
    let all = ["bad", "good", "lost", "pull", "quota", "recall", "sent"];
    assert!(all.iter().all(|one| made.contains(one)), "the steps reach only {made:?}");
});

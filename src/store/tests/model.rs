//! Promise: whatever happens in whatever order, the store answers as a few plain maps do, and its sums close.

use std::collections::HashMap;

use super::*;
use crate::{
    domain::validation::{ORDER_ID_HELD, ORDER_ID_REUSED},
    store::{Abort, Repair},
};

const BATCHES: u32 = 5;
const STEPS: u32 = 120;

/// Random numbers that a seed repeats. Source: G. Marsaglia, "Xorshift RNGs", 2003.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// A batch as the model has it.
#[derive(Clone)]
struct Known {
    state: BatchState,
    attempt: u32,
    records: u64,
    chunks: Vec<bool>,
    worked: u32,
    claim: Option<Claim>,
    /// What became of each record of this attempt: its kind and code.
    lines: Vec<(DispositionKind, Option<&'static str>)>,
}

impl Known {
    /// What the counts must be, added up from what is known of each record.
    fn counts(&self) -> Counts {
        let size = |number: usize| (self.records - number as u64 * u64::from(CHUNK)).min(u64::from(CHUNK));
        let durable = self.chunks.iter().enumerate().filter(|(_, stored)| **stored);
        let durable: u64 = durable.map(|(number, _)| size(number)).sum();
        let count = |kind| self.lines.iter().filter(|line| line.0 == kind).count() as u64;
        Counts {
            missing: self.records - durable,
            stored: durable - self.lines.len() as u64,
            accepted: count(DispositionKind::Accepted),
            rejected: count(DispositionKind::Rejected),
            duplicate: count(DispositionKind::Duplicate),
            quarantined: 0,
        }
    }
}

/// Who holds an id: batch, attempt, place, content.
type Held = (u32, u32, u64, Digest);

struct Model {
    seed: u64,
    random: Random,
    batches: HashMap<u32, Known>,
    held: HashMap<String, Held>,
    now: i64,
}

impl Model {
    /// The orders of a chunk: from few ids and two contents, so that everything collides.
    fn chunk_orders(&self, n: u32, number: u32) -> Vec<NewOrder> {
        let mut random = Random(self.seed ^ (u64::from(n) << 32) ^ (u64::from(number) << 8) ^ 0x9e37_79b9);
        let records = self.batches[&n].records;
        let first = u64::from(number) * u64::from(CHUNK);
        let last = (first + u64::from(CHUNK)).min(records);
        let one = |index| {
            let (id, other) = (random.below(30), random.below(8) == 0);
            let content = if other { format!("{id} changed") } else { id.to_string() };
            order_of(index, &format!("K-{id}"), &content)
        };
        (first..last).map(one).collect()
    }

    /// What must become of an order, by the plain reading of the rules.
    fn judge(&mut self, n: u32, order: &NewOrder) -> (DispositionKind, Option<&'static str>) {
        let attempt = self.batches[&n].attempt;
        let mine = (n, attempt, order.index, order.leaf);
        let Some(&(holder, held_at, _, leaf)) = self.held.get(&order.order_id) else {
            self.held.insert(order.order_id.clone(), mine);
            return (DispositionKind::Accepted, None);
        };
        let there = &self.batches[&holder];
        if there.state == BatchState::Aborted || there.attempt != held_at {
            self.held.insert(order.order_id.clone(), mine);
            return (DispositionKind::Accepted, None);
        }
        let accepted = matches!(there.state, BatchState::Accepted | BatchState::AcceptedWithRejects);
        match (holder == n || accepted, leaf == order.leaf) {
            (false, _) => (DispositionKind::Rejected, Some(ORDER_ID_HELD)),
            (true, true) => (DispositionKind::Duplicate, None),
            (true, false) => (DispositionKind::Rejected, Some(ORDER_ID_REUSED)),
        }
    }

    async fn step(&mut self, case: &Case) {
        let n = 1 + u32::try_from(self.random.below(u64::from(BATCHES))).expect("small");
        self.now += 1;
        if !self.batches.contains_key(&n) {
            let records = self.random.below(14);
            let row = case.open(n, records).await;
            let chunks = vec![false; row.chunk_count as usize];
            let (state, attempt, worked) = (BatchState::Announced, 1, 0);
            let known = Known { state, attempt, records, chunks, worked, claim: None, lines: Vec::new() };
            self.batches.insert(n, known);
            return;
        }
        match self.random.below(20) {
            0..6 => self.put(case, n).await,
            6..8 => self.seal(case, n).await,
            8..11 => self.claim(case, n).await,
            11..17 => self.work(case, n).await,
            17 => self.reject(case, n).await,
            18 => self.repair(case, n).await,
            _ => self.abort(case, n).await,
        }
    }

    async fn put(&mut self, case: &Case, n: u32) {
        let row = case.row(n).await;
        for number in 0..row.chunk_count {
            let outcome = case.put(&row, number).await;
            let known = self.batches.get_mut(&n).expect("it is open");
            let open = matches!(known.state, BatchState::Announced | BatchState::Receiving);
            let expected = match (known.chunks[number as usize], open) {
                (true, _) => PutChunk::Duplicate,
                (false, true) => PutChunk::Stored,
                (false, false) => PutChunk::Sealed,
            };
            assert_eq!(outcome, expected, "seed {}", self.seed);
            if outcome == PutChunk::Stored {
                known.chunks[number as usize] = true;
                known.state = BatchState::Receiving;
            }
            if self.random.below(3) == 0 {
                break;
            }
        }
    }

    async fn seal(&mut self, case: &Case, n: u32) {
        let sealed = case.store.mark_sealed(ward(), id(n), self.now).await.expect("the store answers");
        let known = self.batches.get_mut(&n).expect("it is open");
        let open = matches!(known.state, BatchState::Announced | BatchState::Receiving);
        assert_eq!(sealed, open && known.chunks.iter().all(|stored| *stored), "seed {}", self.seed);
        if sealed {
            known.state = BatchState::Sealed;
        }
    }

    /// Claims at a time when every lease is over.
    async fn claim(&mut self, case: &Case, n: u32) {
        self.now += 1000;
        let key = WorkKey { municipality: ward(), batch_id: id(n) };
        let claim = case.store.claim_work(&key, "worker", self.now, 500).await.expect("the store answers");
        let known = self.batches.get_mut(&n).expect("it is open");
        let at_work = matches!(
            known.state,
            BatchState::Sealed | BatchState::Importing | BatchState::Reconciling | BatchState::Repairing
        );
        assert_eq!(claim.is_some(), at_work, "seed {}", self.seed);
        if let Some(claim) = claim {
            assert_eq!(
                (claim.attempt, claim.next_chunk),
                (known.attempt, known.worked),
                "seed {}",
                self.seed
            );
            if known.state != BatchState::Reconciling {
                known.state = BatchState::Importing;
            }
            known.claim = Some(claim);
        }
    }

    /// Stores the next chunk; after the last one, accepts.
    async fn work(&mut self, case: &Case, n: u32) {
        let known = self.batches[&n].clone();
        let Some(claim) = known.claim else { return };
        let live = matches!(known.state, BatchState::Importing | BatchState::Reconciling);
        if known.worked as usize == known.chunks.len() {
            if live {
                case.accept(&claim).await;
                let rejected = known.lines.iter().any(|line| line.0 == DispositionKind::Rejected);
                let known = self.batches.get_mut(&n).expect("it is open");
                known.state = if rejected { BatchState::AcceptedWithRejects } else { BatchState::Accepted };
            }
            return;
        }
        let orders = self.chunk_orders(n, known.worked);
        let stored = case.store(&claim, known.worked, orders.clone()).await;
        if !live {
            assert_eq!(stored, Stored::LeaseLost, "seed {}", self.seed);
            return;
        }
        let lines: Vec<_> = orders.iter().map(|order| self.judge(n, order)).collect();
        let count = |kind| lines.iter().filter(|line| line.0 == kind).count() as u64;
        let (accepted, duplicate) = (count(DispositionKind::Accepted), count(DispositionKind::Duplicate));
        let expected = done(accepted, duplicate, count(DispositionKind::Rejected));
        assert_eq!(stored, expected, "seed {}: {lines:?}", self.seed);
        let known = self.batches.get_mut(&n).expect("it is open");
        known.worked += 1;
        known.lines.extend(lines);
    }

    async fn reject(&mut self, case: &Case, n: u32) {
        let known = self.batches.get_mut(&n).expect("it is open");
        let Some(claim) = &known.claim else { return };
        let rejected = case.store.reject_batch(claim, "a test", self.now).await.expect("the store answers");
        let live = matches!(known.state, BatchState::Importing | BatchState::Reconciling);
        assert_eq!(rejected, live, "seed {}", self.seed);
        if rejected {
            known.state = BatchState::Discrepant;
        }
    }

    async fn repair(&mut self, case: &Case, n: u32) {
        let request = format!("r-{}", self.now);
        let fingerprint = Digest::of(b"a test");
        let begun = case.store.begin_repair(ward(), id(n), &request, &fingerprint, self.now).await;
        let begun = begun.expect("the store answers");
        let known = self.batches.get_mut(&n).expect("it is open");
        let discrepant = known.state == BatchState::Discrepant;
        let expected = if discrepant { Repair::Started } else { Repair::WrongState };
        assert_eq!(begun, expected, "seed {}", self.seed);
        if discrepant {
            *known = Known {
                state: BatchState::Repairing,
                attempt: known.attempt + 1,
                worked: 0,
                claim: None,
                lines: Vec::new(),
                ..known.clone()
            };
        }
    }

    async fn abort(&mut self, case: &Case, n: u32) {
        let aborted = case.store.abort(ward(), id(n), b"text", b"signature", "a test", self.now).await;
        let known = self.batches.get_mut(&n).expect("it is open");
        let expected = match known.state {
            BatchState::Aborted => Abort::Again,
            BatchState::Accepted | BatchState::AcceptedWithRejects => Abort::WrongState,
            _ => Abort::Done,
        };
        assert_eq!(aborted.expect("the store answers"), expected, "seed {}", self.seed);
        if expected == Abort::Done {
            known.state = BatchState::Aborted;
        }
    }

    async fn compare(&self, case: &Case) {
        for (n, known) in &self.batches {
            let row = case.row(*n).await;
            let told = format!("seed {}, batch {n}", self.seed);
            assert_eq!(
                (row.state, row.attempt, row.chunks_worked),
                (known.state, known.attempt, known.worked),
                "{told}"
            );
            assert_eq!(row.counts, known.counts(), "{told}");
            assert_eq!(row.counts.sum(), Some(known.records), "{told}");
            let lines = case.dispositions(*n).await;
            let lines: Vec<_> = lines.iter().map(|d| (d.kind, d.code.as_deref())).collect();
            assert_eq!(lines, known.lines, "{told}");
        }
        let mut cards = Vec::new();
        for (n, known) in &self.batches {
            if matches!(known.state, BatchState::Accepted | BatchState::AcceptedWithRejects) {
                let seen =
                    known.lines.iter().zip(0..).filter(|(line, _)| line.0 == DispositionKind::Accepted);
                cards.extend(seen.map(|(_, index)| (id(*n), index)));
            }
        }
        cards.sort_unstable();
        let listed = case.store.list_cards(ward(), None, None, 1000).await.expect("reads");
        let listed: Vec<_> = listed.iter().map(|card| (card.batch_id, card.index)).collect();
        assert_eq!(listed, cards, "seed {}", self.seed);
    }
}

async fn run(case: &Case, seed: u64) {
    let mut model =
        Model { seed, random: Random(seed), batches: HashMap::new(), held: HashMap::new(), now: NOW };
    for step in 0..STEPS {
        model.step(case).await;
        if step % 10 == 9 {
            model.compare(case).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_is_what_plain_maps_are() {
    for seed in 1..=6 {
        run(&Case::sqlite().await, 0x9e37_79b9_7f4a_7c15u64.wrapping_mul(seed)).await;
    }
}

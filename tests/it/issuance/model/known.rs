//! What a plain reading of the API says of one municipality: its batches, what became of their records, and
//! who holds an order id.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use todoke::{
    domain::{
        batch::BatchState,
        digest::Digest,
        disposition::DispositionKind,
        manifest::Policy,
        municipality::MunicipalityCode,
        record::{Field, Record},
    },
    wire::{fault::Reason, pb},
};

use super::super::harness::{Batch, CHUNK, batch, record};

/// Random numbers that a seed repeats. Source: G. Marsaglia, "Xorshift RNGs", 2003.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    pub(super) fn small(&mut self, n: u32) -> u32 {
        u32::try_from(self.below(u64::from(n))).expect("below a u32")
    }
}

/// A record's end: what it is, and by which code.
pub(super) type Line = (DispositionKind, &'static str);
/// Missing, stored, accepted, rejected, duplicate.
type Sums = [u64; 5];

/// A batch as the model has it.
pub(super) struct Known {
    pub(super) sent: Batch,
    records: Vec<Record>,
    pub(super) state: BatchState,
    pub(super) attempt: u32,
    pub(super) epoch: u32,
    pub(super) durable: BTreeSet<u32>,
    /// Handed to the workers, and nobody has looked yet what became of it.
    pub(super) in_work: bool,
    /// Its worker may have died and still hold the lease.
    pub(super) orphan: bool,
    /// What became of each record; none if that is not known, as it was given up while it was worked off.
    pub(super) lines: Option<Vec<Line>>,
    pub(super) opened_ms: i64,
    pub(super) progress_ms: i64,
    pub(super) sealed_ms: Option<i64>,
    pub(super) finished_ms: Option<i64>,
    pub(super) conflict_ms: Option<i64>,
    pub(super) receipt: Option<Vec<u8>>,
    /// The requests to repair that were taken.
    pub(super) repairs: u32,
}

impl Known {
    pub(super) fn open(&self) -> bool {
        matches!(self.state, BatchState::Announced | BatchState::Receiving)
    }

    pub(super) fn accepted(&self) -> bool {
        matches!(self.state, BatchState::Accepted | BatchState::AcceptedWithRejects)
    }

    pub(super) fn chunks(&self) -> u32 {
        self.sent.manifest.chunk_count()
    }

    /// The numbers of the records that are missing, chunk by chunk and joined.
    pub(super) fn gaps(&self) -> Vec<(u64, u64)> {
        let mut gaps: Vec<(u64, u64)> = Vec::new();
        for index in 0..self.records.len() as u64 {
            let number = u32::try_from(index / u64::from(CHUNK)).expect("small");
            if self.durable.contains(&number) {
                continue;
            }
            match gaps.last_mut() {
                Some(gap) if gap.1 + 1 == index => gap.1 = index,
                _ => gaps.push((index, index)),
            }
        }
        gaps
    }

    pub(super) fn missing(&self) -> u64 {
        self.gaps().iter().map(|(first, last)| last - first + 1).sum()
    }

    /// What the counts must be, if that is known.
    pub(super) fn sums(&self) -> Option<Sums> {
        let lines = self.lines.as_ref().filter(|_| !self.in_work)?;
        let missing = self.missing();
        let count = |kind| lines.iter().filter(|line| line.0 == kind).count() as u64;
        let stored = self.records.len() as u64 - missing - lines.len() as u64;
        let (accepted, rejected) = (count(DispositionKind::Accepted), count(DispositionKind::Rejected));
        Some([missing, stored, accepted, rejected, count(DispositionKind::Duplicate)])
    }

    /// The flags that must stand, each with the moment since when.
    pub(super) fn flags(&self, now_ms: i64) -> Vec<(&'static str, i64)> {
        let mut flags = Vec::new();
        let pace_ms = (self.progress_ms - self.opened_ms) / (self.durable.len() as i64).max(1);
        if self.open() && now_ms - self.progress_ms > (5 * pace_ms).clamp(60_000, 600_000) {
            flags.push(("stalled", self.progress_ms));
        }
        let seal_by_ms = self.sent.manifest.seal_by_ms;
        if self.open() && now_ms > seal_by_ms {
            flags.push(("overdue", seal_by_ms));
        }
        let since_ms = self.sealed_ms.max(self.finished_ms).unwrap_or(i64::MAX);
        if self.state == BatchState::Discrepant && now_ms.saturating_sub(since_ms) > 300_000 {
            flags.push(("stuck", since_ms));
        }
        if let Some(since_ms) = self.conflict_ms
            && !self.accepted()
            && self.state != BatchState::Aborted
        {
            flags.push(("conflict", since_ms));
        }
        flags
    }

    /// What must come of one frame, and what it leaves behind.
    pub(super) fn take(&mut self, frame: &Sent, epoch: u32, now_ms: i64) -> Taken {
        match frame {
            Sent::Changed(number) => Taken::Again(*number),
            Sent::Outside => Taken::Ends(Reason::ChunkOutsideManifest),
            Sent::Other(_) => {
                self.conflict_ms.get_or_insert(now_ms);
                Taken::Ends(Reason::ChunkContentConflict)
            }
            Sent::Good(number) if self.durable.contains(number) => Taken::Duplicate,
            Sent::Good(_) if !self.open() => Taken::Ends(Reason::BatchSealed),
            Sent::Good(_) if epoch != self.epoch => Taken::Ends(Reason::UploaderFenced),
            Sent::Good(number) => {
                self.durable.insert(*number);
                (self.state, self.progress_ms) = (BatchState::Receiving, now_ms);
                Taken::Stored
            }
        }
    }

    /// The frame as it goes over the wire.
    pub(super) fn frame(&self, frame: &Sent, other: &Batch) -> pb::Chunk {
        match *frame {
            Sent::Good(number) => self.sent.chunk(number as usize),
            Sent::Other(number) => other.chunk(number as usize),
            Sent::Outside => {
                let root = Digest::of(b"outside").0.to_vec();
                pb::Chunk { chunk_number: self.chunks(), root, payload: vec![].into() }
            }
            Sent::Changed(number) => {
                let mut chunk = self.sent.chunk(number as usize);
                let mut payload = chunk.payload.to_vec();
                let at = payload.len() / 2;
                payload[at] ^= 0x20;
                chunk.payload = payload.into();
                chunk
            }
        }
    }
}

/// What a sender sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sent {
    Good(u32),
    /// With a byte that is another one.
    Changed(u32),
    /// Of another file.
    Other(u32),
    Outside,
}

/// What must come of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Stored,
    Duplicate,
    Again(u32),
    Ends(Reason),
}

/// Who holds an order id: batch, attempt, content.
type Held = (u32, u32, Digest);

/// A municipality as the model has it.
pub(super) struct Ward {
    pub(super) code: MunicipalityCode,
    pub(super) batches: BTreeMap<u32, Known>,
    held: HashMap<String, Held>,
}

impl Ward {
    pub(super) fn new(code: MunicipalityCode) -> Self {
        Self { code, batches: BTreeMap::new(), held: HashMap::new() }
    }

    /// Makes a batch: of few order ids with two contents each, so that everything collides.
    pub(super) fn make(&self, n: u32, random: &mut Random, now_ms: i64) -> Known {
        let mut records = Vec::new();
        for _ in 0..random.below(15) {
            let key = random.below(40);
            let mut one = record(&format!("K-{key}"), usize::try_from(key).expect("small"));
            if random.below(8) == 0 {
                one.set(Field::Address, "別の住所");
            }
            if random.below(12) == 0 {
                one.set(Field::BirthDate, "1980-02-30");
            }
            records.push(one);
        }
        let policy = match random.below(3) {
            0 => Policy::AllOrNothing,
            max_rejects => Policy::AcceptValid { max_rejects },
        };
        let mut sent = batch(self.code, n, policy, &records);
        sent.manifest.seal_by_ms = now_ms + [600_000, 86_400_000][usize::from(random.below(2) == 0)];
        sent.bytes = sent.manifest.to_text().into_bytes();
        Known {
            sent,
            records,
            state: BatchState::Announced,
            attempt: 1,
            epoch: 1,
            durable: BTreeSet::new(),
            in_work: false,
            orphan: false,
            lines: Some(Vec::new()),
            opened_ms: now_ms,
            progress_ms: now_ms,
            sealed_ms: None,
            finished_ms: None,
            conflict_ms: None,
            receipt: None,
            repairs: 0,
        }
    }

    /// Works a batch off, by the plain reading of the rules.
    pub(super) fn work_off(&mut self, n: u32) {
        let attempt = self.batches[&n].attempt;
        let records = self.batches[&n].records.clone();
        let lines: Vec<Line> =
            (0..).zip(&records).map(|(at, record)| self.judge(n, attempt, at, record)).collect();
        let rejected = lines.iter().filter(|line| line.0 == DispositionKind::Rejected).count() as u64;
        let known = self.batches.get_mut(&n).expect("it is open");
        let allowed = match known.sent.manifest.policy {
            Policy::AllOrNothing => 0,
            Policy::AcceptValid { max_rejects } => max_rejects,
        };
        known.state = match rejected {
            0 => BatchState::Accepted,
            few if few <= allowed => BatchState::AcceptedWithRejects,
            _ => BatchState::Discrepant,
        };
        (known.lines, known.in_work, known.orphan) = (Some(lines), false, false);
    }

    fn judge(&mut self, n: u32, attempt: u32, at: usize, record: &Record) -> Line {
        if record.text(Field::BirthDate) == "1980-02-30" {
            return (DispositionKind::Rejected, "BIRTH_DATE_INVALID");
        }
        let leaf = self.batches[&n].sent.leaves[at];
        let order_id = record.text(Field::OrderId).to_owned();
        let holder = self.held.get(&order_id).filter(|(batch, attempt, _)| {
            let there = &self.batches[batch];
            there.state != BatchState::Aborted && there.attempt == *attempt
        });
        match holder {
            None => {
                self.held.insert(order_id, (n, attempt, leaf));
                (DispositionKind::Accepted, "")
            }
            Some((batch, ..)) if *batch != n && !self.batches[batch].accepted() => {
                (DispositionKind::Rejected, "ORDER_ID_HELD")
            }
            Some((.., content)) if *content == leaf => (DispositionKind::Duplicate, ""),
            Some(_) => (DispositionKind::Rejected, "ORDER_ID_REUSED"),
        }
    }
}

//! One random step: a call of the API, its answer beside the model's.

use todoke::{
    domain::{batch::BatchState, manifest::Policy},
    wire::{
        fault::{Fault, Reason},
        pb,
    },
};

use super::{
    BATCHES, OPEN_MAX, Run,
    known::{Known, Sent, Taken},
};
use crate::issuance::harness::{Batch, batch, fault, id, records, state};

/// Compares what an answer was with what the model says it must be.
fn refused<T>(answer: Result<T, Fault>, expected: Reason) {
    match answer {
        Ok(_) => panic!("{} was expected, and it was taken", expected.as_str()),
        Err(fault) => assert_eq!(fault.reason, expected, "{fault:?}"),
    }
}

impl Run {
    pub(super) fn now_ms(&self) -> i64 {
        self.issuer().clock.now_ms()
    }

    pub(super) fn known(&mut self, w: usize, n: u32) -> &mut Known {
        self.wards[w].batches.get_mut(&n).expect("it is open")
    }

    fn note(&mut self, what: &str, w: usize, n: u32) {
        self.history.push(format!("{what} (municipality {w}, batch {n})"));
    }

    pub(super) async fn step(&mut self) {
        let (w, n) = (usize::from(self.random.below(2) == 0), 1 + self.random.small(BATCHES));
        if !self.wards[w].batches.contains_key(&n) {
            return self.open(w, n).await;
        }
        match self.random.below(30) {
            0..3 => self.open_again(w, n).await,
            3 => self.open_other(w, n).await,
            4 => self.as_the_other(w, n).await,
            5..16 => self.upload(w, n).await,
            16..21 => self.seal(w, n).await,
            21..23 => self.abort(w, n).await,
            23..26 => self.repair(w, n).await,
            26 => self.crash().await,
            27 => self.crash_while_sending(w, n).await,
            _ => {
                let by_ms = [1000, 20_000, 61_000, 301_000][self.random.small(4) as usize];
                self.history.push(format!("{by_ms} ms pass"));
                self.issuer().clock.advance(by_ms);
            }
        }
    }

    async fn open(&mut self, w: usize, n: u32) {
        self.note("open", w, n);
        self.settle(w).await;
        let now_ms = self.now_ms();
        let new = self.wards[w].make(n, &mut self.random, now_ms);
        let known = self.wards[w].batches.values();
        let open = known.filter(|known| !known.accepted() && known.state != BatchState::Aborted).count();
        let answer = self.parties[w].open(&new.sent).await;
        if open >= OPEN_MAX as usize {
            return refused(answer, Reason::TooManyOpenBatches);
        }
        let opened = answer.expect("it is new");
        assert!(opened.created && opened.durable_chunks.is_empty());
        assert_eq!(opened.uploader_epoch, 1);
        self.wards[w].batches.insert(n, new);
    }

    pub(super) async fn open_again(&mut self, w: usize, n: u32) {
        self.note("open again", w, n);
        let opened = self.parties[w].open(&self.wards[w].batches[&n].sent).await.expect("the same");
        let known = self.known(w, n);
        known.epoch += 1;
        assert!(!opened.created);
        assert_eq!(opened.uploader_epoch, known.epoch);
        assert_eq!(numbers(&opened.durable_chunks), known.durable.iter().copied().collect::<Vec<_>>());
    }

    /// Other content under the same id, and another id under the same sequence.
    async fn open_other(&mut self, w: usize, n: u32) {
        self.note("open other content", w, n);
        let mut other = batch(self.wards[w].code, n, Policy::AllOrNothing, &records("X", 5));
        refused(self.parties[w].open(&other).await, Reason::BatchIdReused);
        other.manifest.batch_id = id(n + 1000);
        other.bytes = other.manifest.to_text().into_bytes();
        refused(self.parties[w].open(&other).await, Reason::SequenceReused);
    }

    /// Everything that one municipality may try with another's batch.
    async fn as_the_other(&mut self, w: usize, n: u32) {
        self.note("as the other", w, n);
        let (theirs, me) = (&self.wards[w].batches[&n], &self.parties[1 - w]);
        refused(me.open(&theirs.sent).await, Reason::OtherMunicipality);
        // Under the same id stands one of mine, or none.
        let mine = self.wards[1 - w].batches.contains_key(&n);
        let expected = if mine { Reason::ManifestInvalid } else { Reason::NotFound };
        refused(me.seal(&theirs.sent).await, expected);
        let chunks = theirs.sent.chunks();
        refused(me.upload(&theirs.sent, theirs.epoch, chunks).await.end, expected);
    }

    async fn upload(&mut self, w: usize, n: u32) {
        let stale = self.random.below(8) == 0;
        let (now_ms, many) = (self.now_ms(), 1 + self.random.below(4));
        let known = &self.wards[w].batches[&n];
        let (chunks, epoch) = (known.chunks(), known.epoch - u32::from(stale));
        let other = batch(self.wards[w].code, n, Policy::AllOrNothing, &records("X", 4 * chunks as usize));
        let (mut sent, mut taken, mut frames) = (Vec::new(), Vec::new(), Vec::new());
        while sent.len() < usize::try_from(many).expect("few") && !ends(&taken) {
            let kind = self.random.below(16);
            let missing = (0..chunks).find(|number| !self.wards[w].batches[&n].durable.contains(number));
            let next = missing.filter(|_| self.random.below(2) == 0);
            let number = next.unwrap_or_else(|| self.random.small(chunks.max(1)));
            let one = match kind {
                _ if chunks == 0 => Sent::Outside,
                0..2 => Sent::Changed(number),
                2 => Sent::Other(number),
                3 => Sent::Outside,
                _ => Sent::Good(number),
            };
            let known = self.known(w, n);
            frames.push(known.frame(&one, &other));
            taken.push(known.take(&one, epoch, now_ms));
            sent.push(one);
        }
        self.note(&format!("upload {sent:?} at epoch {epoch}, expecting {taken:?}"), w, n);
        let uploaded = self.parties[w].upload(&self.wards[w].batches[&n].sent, epoch, frames).await;
        let known = &self.wards[w].batches[&n];
        let last = uploaded.acks.last().expect("an acknowledgement");
        assert_eq!(numbers(&last.durable_chunks), known.durable.iter().copied().collect::<Vec<_>>());
        assert_eq!(last.missing_count, known.missing());
        let duplicates = taken.iter().filter(|one| **one == Taken::Duplicate).count() as u64;
        assert_eq!(last.duplicates, duplicates);
        let mut again: Vec<(u32, &str)> = uploaded
            .acks
            .iter()
            .flat_map(|ack| &ack.faults)
            .map(|fault| (fault.chunk_number, fault.reason.as_str()))
            .collect();
        let mut expected: Vec<(u32, &str)> = taken
            .iter()
            .filter_map(|one| match one {
                Taken::Again(number) => Some((*number, "CHUNK_DIGEST_MISMATCH")),
                _ => None,
            })
            .collect();
        again.sort_unstable();
        expected.sort_unstable();
        assert_eq!(again, expected);
        match taken.last() {
            Some(Taken::Ends(reason)) => refused(uploaded.end, *reason),
            _ => uploaded.end.expect("all is taken"),
        }
    }

    async fn seal(&mut self, w: usize, n: u32) {
        self.note("seal", w, n);
        if self.wards[w].batches[&n].open() {
            self.settle(w).await; // so that it is known who holds which order id
        }
        let now_ms = self.now_ms();
        let sent = &self.wards[w].batches[&n].sent;
        let wrong = Batch {
            manifest: sent.manifest.clone(),
            bytes: b"another manifest".to_vec(),
            payloads: Vec::new(),
            roots: Vec::new(),
            leaves: Vec::new(),
        };
        refused(self.parties[w].seal(&wrong).await, Reason::ManifestInvalid);
        let answer = self.parties[w].seal(sent).await;
        let known = self.known(w, n);
        if !known.open() {
            let before = known.state;
            let answered = state(&answer.expect("it stands as it is"));
            assert!(known.in_work || answered == before, "{before} is answered as {answered}");
            return;
        }
        if known.missing() > 0 {
            let gaps = answer.expect_err("there are gaps");
            assert_eq!(gaps.reason, Reason::BatchHasGaps, "{gaps:?}");
            let ranges =
                known.gaps().iter().map(|(first, last)| format!("[{first},{last}]")).collect::<Vec<_>>();
            assert_eq!(gaps.get("ranges"), Some(format!("[{}]", ranges.join(",")).as_str()));
            assert_eq!(gaps.get("missing_count"), Some(known.missing().to_string().as_str()));
            return;
        }
        answer.expect("nothing is missing");
        known.state = BatchState::Sealed;
        (known.in_work, known.sealed_ms, known.progress_ms) = (true, Some(now_ms), now_ms);
    }

    async fn abort(&mut self, w: usize, n: u32) {
        self.note("abort", w, n);
        if self.random.below(2) == 0 || !self.wards[w].batches[&n].in_work {
            self.settle(w).await;
        }
        let now_ms = self.now_ms();
        let party = &self.parties[w];
        let request = party.abort_request(party.code(), id(n), "a test gives it up");
        let answer = party.batches().abort_batch(request).await.map_err(fault);
        let known = self.known(w, n);
        if known.in_work {
            // The worker may have been faster.
            match answer {
                Ok(_) => (known.in_work, known.lines) = (false, None),
                Err(fault) => {
                    assert_eq!(fault.reason, Reason::BatchState);
                    return self.settle(w).await;
                }
            }
        } else if known.accepted() {
            return refused(answer, Reason::BatchState);
        } else {
            let answered = answer.expect("it is given up").into_inner().batch.expect("a batch");
            assert_eq!(state(&answered), BatchState::Aborted);
        }
        let known = self.known(w, n);
        if known.state != BatchState::Aborted {
            (known.state, known.finished_ms) = (BatchState::Aborted, Some(now_ms));
        }
    }

    async fn repair(&mut self, w: usize, n: u32) {
        self.note("repair", w, n);
        self.settle(w).await;
        let now_ms = self.now_ms();
        let repairs = self.wards[w].batches[&n].repairs;
        let ask = |request_id: String, reason: &str| pb::RepairBatchRequest {
            batch_id: id(n).to_string(),
            request_id,
            reason: reason.to_owned(),
        };
        let repair = async |request| {
            let answer = self.parties[w].batches().repair_batch(request).await;
            answer.map(|answer| answer.into_inner().batch.expect("a batch")).map_err(fault)
        };
        let attempt = self.wards[w].batches[&n].attempt;
        if repairs > 0 {
            let last = format!("r-{n}-{repairs}");
            let again = repair(ask(last.clone(), "once more")).await.expect("the same request");
            assert_eq!(again.attempt, attempt, "one request is one attempt");
            refused(repair(ask(last, "for another reason")).await, Reason::RequestIdReused);
        }
        let answer = repair(ask(format!("r-{n}-{}", repairs + 1), "once more")).await;
        let known = self.known(w, n);
        if known.state != BatchState::Discrepant {
            return refused(answer, Reason::BatchState);
        }
        assert_eq!(answer.expect("it is discrepant").attempt, attempt + 1);
        (known.state, known.attempt, known.repairs) = (BatchState::Repairing, attempt + 1, repairs + 1);
        (known.in_work, known.progress_ms) = (true, now_ms);
    }
}

fn ends(taken: &[Taken]) -> bool {
    matches!(taken.last(), Some(Taken::Ends(_)))
}

/// The numbers in these ranges, which must be sorted, apart and as few as can be.
pub(super) fn numbers(ranges: &[pb::ChunkRange]) -> Vec<u32> {
    assert!(ranges.windows(2).all(|two| two[0].last + 1 < two[1].first), "{ranges:?}");
    ranges.iter().flat_map(|range| range.first..=range.last).collect()
}

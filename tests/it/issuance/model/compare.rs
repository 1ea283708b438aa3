//! What the API shows beside what the model has.

use todoke::{
    domain::{
        batch::{BatchState, Counts},
        digest::Digest,
        note,
        receipt::Receipt,
    },
    wire::{fault::Reason, pb},
};

use super::{Run, known::Known};
use crate::issuance::harness::{Party, fault, id, state};

/// A moment as ms since the Unix epoch.
pub(super) fn ms(time: &prost_types::Timestamp) -> i64 {
    time.seconds * 1000 + i64::from(time.nanos) / 1_000_000
}

impl Run {
    /// Compares every batch as its owner sees it.
    pub(super) async fn compare(&mut self) {
        let now_ms = self.now_ms();
        for (ward, party) in self.wards.iter().zip(&self.parties) {
            let listed = party.batches().list_batches(pb::ListBatchesRequest::default()).await;
            let listed = listed.expect("a list").into_inner().batches;
            let numbers: Vec<u64> = listed.iter().rev().map(|batch| batch.sequence).collect();
            assert_eq!(numbers, ward.batches.keys().map(|n| u64::from(*n)).collect::<Vec<_>>());
            for (shown, known) in listed.iter().rev().zip(ward.batches.values()) {
                assert_eq!(shown.municipality_code, ward.code.to_string());
                compare(shown, known, now_ms);
                self.seen.insert(known.state.as_str());
                if known.attempt > 1 && !known.in_work {
                    self.seen.insert("repaired");
                }
            }
        }
    }

    /// Compares gaps, dispositions and receipts, too.
    pub(super) async fn compare_closely(&mut self) {
        let verifier = self.issuer().verifier.clone();
        for (ward, party) in self.wards.iter_mut().zip(&self.parties) {
            for (n, known) in &mut ward.batches {
                gaps(party, *n, known).await;
                dispositions(party, *n, known).await;
                if known.in_work {
                    continue;
                }
                let receipt = party.receipt(id(*n)).await;
                if !known.accepted() {
                    let fault = receipt.expect_err("it is not accepted");
                    assert_eq!(fault.reason, Reason::ReceiptNotReady);
                    continue;
                }
                let bytes = receipt.expect("it is accepted");
                let text = note::open(&bytes, &verifier).expect("it verifies");
                let receipt = Receipt::parse(text).expect("it is canonical");
                assert_eq!(receipt.faults(), Vec::<String>::new());
                let totals = &known.sent.manifest.totals;
                assert_eq!((&receipt.declared, &receipt.computed), (totals, totals));
                assert_eq!(receipt.manifest, Digest::of(&known.sent.bytes));
                assert_eq!((receipt.outcome, receipt.attempt), (known.state, known.attempt));
                let Counts { missing, stored, accepted, rejected, duplicate, .. } = receipt.counts;
                assert_eq!(known.sums(), Some([missing, stored, accepted, rejected, duplicate]));
                let first = known.receipt.get_or_insert_with(|| bytes.clone());
                assert_eq!(*first, bytes, "the same bytes each time");
            }
        }
    }
}

fn compare(shown: &pb::Batch, known: &Known, now_ms: i64) {
    let told = format!("batch {}: {shown:?}", shown.sequence);
    let counts = shown.counts.as_ref().expect("counts");
    let sum = counts.missing + counts.stored + counts.accepted + counts.rejected + counts.duplicate;
    assert_eq!(sum + counts.quarantined, known.sent.manifest.totals.records, "{told}");
    assert_eq!((shown.attempt, counts.quarantined), (known.attempt, 0), "{told}");
    assert_eq!(shown.seal_time.as_ref().map(ms), known.sealed_ms, "{told}");
    if known.in_work {
        let open = matches!(state(shown), BatchState::Announced | BatchState::Receiving);
        assert!(!open && state(shown) != BatchState::Aborted, "{told}");
        assert_eq!(counts.missing, 0, "{told}");
        return;
    }
    assert_eq!(state(shown), known.state, "{told}");
    assert_eq!(shown.finish_time.as_ref().map(ms), known.finished_ms, "{told}");
    let reasoned = matches!(known.state, BatchState::Discrepant | BatchState::Aborted);
    assert_eq!(!shown.discrepancy.is_empty(), reasoned, "{told}");
    if let Some(sums) = known.sums() {
        let shown = [counts.missing, counts.stored, counts.accepted, counts.rejected, counts.duplicate];
        assert_eq!(shown, sums, "{told}");
    }
    let flags = shown
        .flags
        .iter()
        .map(|flag| (flag.name.as_str(), flag.since_time.as_ref().map(ms).expect("a flag has its moment")));
    assert_eq!(flags.collect::<Vec<_>>(), known.flags(now_ms), "{told}");
}

async fn gaps(party: &Party, n: u32, known: &Known) {
    let request = pb::ListGapsRequest { batch_id: id(n).to_string(), ..Default::default() };
    let listed = party.batches().list_gaps(request).await.map_err(fault).expect("gaps").into_inner();
    let ranges: Vec<(u64, u64)> = listed.ranges.iter().map(|range| (range.first, range.last)).collect();
    assert_eq!((ranges, listed.missing_count), (known.gaps(), known.missing()));
    let short = listed.districts.iter().map(|d| d.declared_records - d.stored_records);
    assert_eq!(short.sum::<u64>(), known.missing());
}

async fn dispositions(party: &Party, n: u32, known: &Known) {
    let Some(lines) = known.lines.as_ref().filter(|_| !known.in_work) else { return };
    let request = pb::ListDispositionsRequest { batch_id: id(n).to_string(), ..Default::default() };
    let listed = party.batches().list_dispositions(request).await.map_err(fault).expect("lines").into_inner();
    let listed = listed.dispositions.iter().map(|one| {
        let kind = one.kind().as_str_name().trim_start_matches("DISPOSITION_KIND_").to_lowercase();
        (one.index, kind, one.code.clone())
    });
    let expected =
        (0..).zip(lines).map(|(at, line): (u64, _)| (at, line.0.as_str().to_lowercase(), line.1.to_owned()));
    assert_eq!(listed.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "batch {n}");
}

//! Promise: what no client of ours would send is refused by name and with its limit, takes no memory, and
//! leaves the batch of the same sender as it was.

use todoke::{
    domain::manifest::Policy,
    wire::{fault::Reason, pb},
};

use super::Town;
use crate::issuance::harness::{Party, batch, fault, records, state};

/// What all processes of the system have had in memory at the most, in KiB.
fn peak_kib(town: &Town) -> u64 {
    let peak = |pid: u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
    };
    crate::system::pids(&town.folder.endpoints()).into_iter().map(peak).sum()
}

fn ward(town: &Town) -> Party {
    let endpoints = town.folder.endpoints();
    let relay = endpoints["relays"][0]["address"].as_str().expect("an address");
    Party::at(&town.path("dev/pki"), "municipality/131229", relay)
}

/// How many calls the issuer has counted as refused for this reason.
async fn refused(town: &Town, reason: Reason) -> u64 {
    let issuer = &town.folder.endpoints()["issuers"][0]["ops"];
    let address = issuer.as_str().and_then(|text| text.parse().ok()).expect("an address");
    let line = format!("todoke_refusals_total{{reason=\"{}\"}} ", reason.as_str());
    let text = crate::system::http(address, "/metrics").await;
    let count = text.lines().find_map(|l| l.strip_prefix(&line));
    count.map_or(0, |count| count.trim().parse().expect("a number"))
}

#[tokio::test]
async fn a_manifest_beyond_every_limit_is_refused_with_the_limit_and_takes_no_memory() {
    let town = Town::start().await;
    let ward = ward(&town);
    let good = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 6));
    ward.open(&good).await.expect("a good manifest is taken");
    let (text, before) = (String::from_utf8(good.bytes.clone()).expect("UTF-8"), peak_kib(&town));
    let cases = [
        ("records 6\n", "records 1000000000\n", "records", "must be at most 10000000 (RECORDS_MAX)"),
        ("records 6\n", "records 99999999999999999999999\n", "records", "must be whole numbers"),
        (
            "chunk-records 4\n",
            "chunk-records 1073741824\n",
            "chunk-records",
            "from 1 to 65536 (CHUNK_RECORDS)",
        ),
        ("municipality 131229\n", "municipality 011002\n", "", "131229 may not speak for 011002"),
    ];
    for (from, to, field, words) in cases {
        let mut wrong = batch(ward.code(), 2, Policy::AllOrNothing, &records("K", 6));
        wrong.bytes = text.replace(from, to).replace("sequence 1\n", "sequence 2\n").into_bytes();
        assert_ne!(wrong.bytes, good.bytes, "{from} is in the manifest");
        let refused = ward.open(&wrong).await.expect_err(to);
        assert!(refused.message.contains(words), "{to}: {refused:?}");
        let other = if field.is_empty() { Reason::OtherMunicipality } else { Reason::ManifestInvalid };
        assert_eq!(refused.reason, other, "{to}");
        let named = refused.violations.iter().any(|(name, _)| *name == format!("manifest.{field}"));
        assert_eq!(named, !field.is_empty(), "{to}: {refused:?}");
    }
    let mut long = ward.open_request(&good);
    long.manifest = vec![b'x'; 11 << 20];
    let refused = ward.batches().open_batch(long).await.expect_err("over the message limit");
    assert_eq!(fault(refused.clone()).reason, Reason::LimitExceeded, "{refused:?}");
    let grown = peak_kib(&town) - before;
    assert!(grown < 48 * 1024, "{grown} KiB more for what was refused");
    assert_eq!(town.batches().await.len(), 1);
    for (reason, times) in
        [(Reason::ManifestInvalid, 3), (Reason::OtherMunicipality, 1), (Reason::LimitExceeded, 1)]
    {
        assert_eq!(self::refused(&town, reason).await, times, "the operator sees {reason:?}");
    }
    town.stop().await;
}

#[tokio::test]
async fn a_chunk_of_the_wrong_size_is_refused_by_name_and_the_right_one_is_taken_after_it() {
    let town = Town::start().await;
    let ward = ward(&town);
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 6));
    let epoch = ward.open(&sent).await.expect("it opens").uploader_epoch;
    let chunk = |number, change: &dyn Fn(&mut pb::Chunk)| {
        let mut chunk = sent.chunk(0);
        chunk.chunk_number = number;
        change(&mut chunk);
        vec![chunk]
    };
    let cut = |chunk: &mut pb::Chunk| chunk.payload = chunk.payload.slice(..chunk.payload.len() - 7);
    let damaged = ward.upload(&sent, epoch, chunk(0, &cut)).await;
    damaged.end.expect("the stream lives on");
    let faults: Vec<_> = damaged.acks.iter().flat_map(|ack| &ack.faults).collect();
    assert!(faults.len() == 1 && faults[0].reason == "CHUNK_DIGEST_MISMATCH", "{faults:?}");

    let refused = ward.upload(&sent, epoch, chunk(2, &|_| ())).await.end.expect_err("outside");
    assert_eq!(refused.reason, Reason::ChunkOutsideManifest, "{refused:?}");
    let long = |bytes: usize| move |chunk: &mut pb::Chunk| chunk.payload = vec![0; bytes].into();
    for bytes in [(8 << 20) + 1, 11 << 20] {
        let refused = ward.upload(&sent, epoch, chunk(0, &long(bytes))).await.end.expect_err("too long");
        assert_eq!(refused.reason, Reason::LimitExceeded, "{bytes}: {refused:?}");
        assert!(
            refused.message.contains("8 MiB") && refused.message.contains("fewer records"),
            "{refused:?}"
        );
    }
    assert_eq!(self::refused(&town, Reason::LimitExceeded).await, 2, "on streams too");
    let missing =
        ward.get(sent.manifest.batch_id).await.expect("it is there").counts.expect("counts").missing;
    assert_eq!(missing, 6, "nothing wrong was stored");
    ward.upload(&sent, epoch, sent.chunks()).await.end.expect("the right chunks are taken");
    ward.seal(&sent).await.expect("nothing is missing");
    let done = ward.finished(sent.manifest.batch_id).await;
    assert_eq!(state(&done), todoke::domain::batch::BatchState::Accepted);

    // Too few records under a root of their own are other content than what was announced.
    let other = batch(ward.code(), 2, Policy::AllOrNothing, &records("L", 6));
    let short = batch(ward.code(), 2, Policy::AllOrNothing, &records("L", 3));
    let epoch = ward.open(&other).await.expect("it opens").uploader_epoch;
    let refused = ward.upload(&other, epoch, vec![short.chunk(0)]).await.end.expect_err("other content");
    assert_eq!(refused.reason, Reason::ChunkContentConflict, "{refused:?}");
    let kept = ward.get(other.manifest.batch_id).await.expect("it is there");
    assert!(kept.counts.expect("counts").missing == 6, "{kept:?}");
    town.stop().await;
}

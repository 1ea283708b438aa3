//! Promise: a run ends with a verified receipt, sends nothing twice that is durable, and moves on from a dead
//! or hanging relay; the issuer is the one in memory, the sockets are real.

mod lies;
mod taken;
mod which;

use std::{fmt::Write as _, fs, sync::Arc, time::Duration};

use tokio::{net::TcpListener, task::JoinSet};
use tonic::transport::{Channel, Endpoint};

use super::*;
use crate::client::{
    calls::{CallOptions, Caller},
    endpoints::ClientFiles,
    interruption::Interruption,
    issuer_double::{Forgery, Issuer, receipt_key},
    plan::receipt_path_for,
    rejects::{Listing, SHOWN},
    signer::Signer,
    view::Following,
};

struct World {
    folder: tempfile::TempDir,
    issuer: Issuer,
    tasks: JoinSet<()>,
    addresses: Vec<String>,
}

impl World {
    async fn new(relays: usize) -> Self {
        let (issuer, mut tasks, mut addresses) = (Issuer::default(), JoinSet::new(), Vec::new());
        for _ in 0..relays {
            addresses.push(issuer.serve(&mut tasks).await.to_string());
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let key = rcgen::KeyPair::generate().expect("P-256");
        let certificate = rcgen::CertificateParams::default().self_signed(&key).expect("self-signed");
        fs::write(folder.path().join("m.pem"), certificate.pem()).expect("writable");
        fs::write(folder.path().join("m.key"), key.serialize_pem()).expect("writable");
        let world = Self { folder, issuer, tasks, addresses };
        world.write_records(200, "白鳥");
        world
    }

    fn write_records(&self, records: usize, district: &str) {
        let mut text = "order_id,kind,household_id,district,name,birth_date,sex,address\n".to_owned();
        for n in 0..records {
            let _ = writeln!(text, "K-{n},NOTIFICATION_CARD,H{},{district},葛飾,1980-01-02,2,A", n / 2);
        }
        fs::write(self.file(), text).expect("writable");
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("in.csv")
    }

    fn session(&self) -> Session {
        let path = |name: &str| self.folder.path().join(name);
        let channel = |address: &String| -> Channel {
            Endpoint::from_shared(format!("http://{address}"))
                .expect("an address")
                .connect_timeout(Duration::from_millis(500))
                .connect_lazy()
        };
        let channels = self.addresses.iter().map(|address| (address.clone(), channel(address))).collect();
        let options = CallOptions {
            attempt_unknown: Duration::from_millis(300),
            attempt_heavy: Duration::from_millis(1500),
            deadline: Duration::from_secs(20),
            tell_every: Duration::from_millis(100),
            ..CallOptions::default()
        };
        Session {
            caller: Caller::new(channels, options, 11),
            signer: Signer::load(&ClientFiles { cert: path("m.pem"), key: path("m.key") })
                .expect("just made"),
            municipality: "131229".parse().expect("right"),
            caller_name: "municipality/131229".to_owned(),
            receipt_key: receipt_key(),
            receipt_key_file: path("receipt.pub"),
            tell: Arc::new(|_| ()),
            interruption: Interruption::default(),
            following: Following::default(),
        }
    }

    fn options(&self, new_id: Option<u8>) -> RunOptions {
        let file = self.file();
        RunOptions {
            read: ReadOptions::default(),
            chunk_records: 16,
            control_totals: None,
            journal: Journal::path_for(&file),
            receipt: receipt_path_for(&file),
            new: new_id.map(|n| NewBatch {
                batch_id: format!("0192f0c1-2345-7abc-8def-0123456789{n:02x}").parse().expect("version 7"),
                sequence: None,
                policy: Policy::AllOrNothing,
                seal_by_ms: 1_790_000_000_000,
                seal_by_told: true,
            }),
            policy: Policy::AllOrNothing,
            upload: UploadOptions { ack_time_out: Duration::from_millis(400), ..UploadOptions::default() },
            nothing: false,
            gap_rounds: 3,
            no_progress: Duration::from_secs(20),
        }
    }

    async fn run(&self, options: &RunOptions) -> Outcome {
        let session = self.session();
        import(&session, &self.file(), options).await.expect("the run has an outcome")
    }

    fn frames(&self) -> usize {
        let batches = self.issuer.batches.lock().expect("no test panics with it");
        batches.values().map(|kept| kept.frames).sum()
    }

    fn batch_count(&self) -> usize {
        self.issuer.batches.lock().expect("no test panics with it").len()
    }
}

fn digest_of(outcome: &Outcome) -> (&str, bool) {
    match outcome {
        Outcome::Receipted { digest, again, .. } => (digest, *again),
        other => panic!("no receipt: {other:?}"),
    }
}

#[tokio::test]
async fn dead_and_hanging_relays_are_left() {
    let mut world = World::new(1).await;
    let hanging = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a port");
    world.addresses.push(hanging.local_addr().expect("bound").to_string());
    let tried = Arc::new(std::sync::Mutex::new(Vec::new()));
    let held = Arc::clone(&tried);
    world.tasks.spawn(async move {
        while let Ok((socket, _)) = hanging.accept().await {
            held.lock().expect("no test panics with it").push(socket); // accepted, and never answered
        }
    });
    let dead = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a port");
    world.addresses.push(dead.local_addr().expect("bound").to_string());
    drop(dead);
    digest_of(&world.run(&world.options(Some(1))).await);
    assert!(!tried.lock().expect("no test panics with it").is_empty(), "the hanging one was tried");
}

#[tokio::test]
async fn gaps_that_the_seal_finds_are_sent_again() {
    let world = World::new(2).await;
    world.issuer.lose_once.lock().expect("no test panics with it").extend([2, 7, 12]);
    digest_of(&world.run(&world.options(Some(1))).await);
    assert_eq!(world.frames(), 16, "13 chunks, and the 3 that were lost");
}

#[tokio::test]
async fn that_seal_by_does_not_apply_to_a_file_that_is_a_batch_already_is_told_if_it_was_given() {
    let world = World::new(1).await;
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let tell: crate::client::events::Tell = Arc::new(move |event| {
        if let Event::SealByKept { seal_by_ms, .. } = event {
            heard.lock().expect("no test panics with it").push(*seal_by_ms);
        }
    });
    let session = Session { tell, ..world.session() };
    // A new one, the same by its journal, the same with another moment that nobody gave, and by the list.
    for (id, given, journal, notes) in
        [(1, true, true, 0), (2, true, true, 1), (3, false, true, 1), (4, true, false, 2)]
    {
        let mut options = world.options(Some(id));
        let new = options.new.as_mut().expect("a new batch");
        (new.seal_by_told, new.seal_by_ms) = (given, 1_790_000_000_000 + 1_000 * i64::from(id));
        if !journal {
            fs::remove_file(&options.journal).expect("just written");
        }
        let outcome = import(&session, &world.file(), &options).await.expect("the run has an outcome");
        digest_of(&outcome);
        let told = told.lock().expect("no test panics with it");
        assert_eq!(*told, vec![1_790_000_001_000; notes], "run {id}");
    }
}

#[tokio::test]
async fn control_totals_that_differ_end_the_run_before_anything_is_sent() {
    let world = World::new(1).await;
    let tally = world.folder.path().join("tally.csv");
    fs::write(&tally, "district,households,records\n白鳥,100,200\n亀有,5000,11000\n").expect("writable");
    let mut options = world.options(Some(1));
    options.control_totals = Some(tally);
    let outcome = world.run(&options).await;
    let Outcome::TotalsDiffer { batch_id: None, differences } = outcome else { panic!("{outcome:?}") };
    assert_eq!(differences.len(), 1);
    assert!(differences[0].starts_with("亀有: 5000 households"), "{differences:?}");
    assert_eq!(world.batch_count(), 0);
    assert!(!Journal::path_for(&world.file()).exists());
}

#[tokio::test]
async fn a_damaged_chunk_is_sent_again_three_times_and_no_more() {
    let world = World::new(2).await;
    let damage = |chunks: &[u32]| world.issuer.damage.lock().expect("no test panics with it").extend(chunks);
    damage(&[3, 3, 3, 9]);
    digest_of(&world.run(&world.options(Some(1))).await);
    world.write_records(200, "亀有");
    damage(&[3, 3, 3, 3]);
    let outcome = world.run(&world.options(Some(2))).await;
    assert!(
        matches!(&outcome, Outcome::Refused { reason, .. } if reason == "CHUNK_DIGEST_MISMATCH"),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_fenced_uploader_stops_and_says_why() {
    let world = World::new(2).await;
    *world.issuer.fence.lock().expect("no test panics with it") = true;
    let outcome = world.run(&world.options(Some(1))).await;
    let Outcome::Refused { reason, remedy, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(reason, "UPLOADER_FENCED");
    assert!(remedy.contains("status"), "{remedy}");
}

#[tokio::test]
async fn an_accepted_batch_is_no_success_without_the_issuers_receipt_for_this_very_file() {
    for (forgery, said) in [(Forgery::Key, "signature"), (Forgery::Totals, "bytes")] {
        let world = World::new(1).await;
        *world.issuer.forge.lock().expect("no test panics with it") = Some(forgery);
        let error = import(&world.session(), &world.file(), &world.options(Some(1))).await;
        let error = error.expect_err("the batch is ACCEPTED, and the receipt is not to be believed");
        let fits = match forgery {
            Forgery::Key => matches!(error, Error::Unconfirmed(_)),
            Forgery::Totals => matches!(error, Error::Receipt(_)),
        };
        assert!(fits, "{forgery:?}: {error:?}");
        assert!(error.to_string().contains(said), "{forgery:?}: {error}");
        assert!(!receipt_path_for(&world.file()).exists(), "{forgery:?}: nothing is written");
    }
}

#[tokio::test]
async fn the_one_reject_among_thousands_of_duplicates_is_shown_first_and_the_rest_is_counted() {
    let world = World::new(1).await;
    let of = |index, kind| pb::Disposition { index, kind: i32::from(kind), ..Default::default() };
    let mut all: Vec<_> = (0..4_500).map(|index| of(index, pb::DispositionKind::Duplicate)).collect();
    all[4_321] = of(4_321, pb::DispositionKind::Rejected);
    *world.issuer.dispositions.lock().expect("no test panics with it") = all;
    let id = "0192f0c1-2345-7abc-8def-012345678901".parse().expect("version 7");
    let listing = Listing::of(&world.session(), id, None).await;
    assert_eq!((listing.not_accepted[0].index, listing.not_accepted.len()), (4_321, SHOWN));
    assert!(
        listing.more_not_accepted.iter().eq([(&"DUPLICATE".to_owned(), &(4_500 - SHOWN as u64))]),
        "{listing:?}"
    );
    assert_eq!(listing.listing_broke, None);
}

#[tokio::test]
async fn patience_is_kept_with_a_journal_too_and_the_wait_is_told() {
    let mut world = World::new(1).await;
    let mut options = world.options(Some(1));
    options.upload.stop_after_records = Some(50);
    world.run(&options).await;
    let hanging = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a port");
    world.addresses = vec![hanging.local_addr().expect("bound").to_string()];
    let channel = Endpoint::from_shared(format!("http://{}", world.addresses[0])).expect("an address");
    let patience = Duration::from_millis(500);
    let calls =
        CallOptions { deadline: patience, tell_every: Duration::from_millis(100), ..CallOptions::default() };
    let told = Arc::new(std::sync::Mutex::new(0));
    let count = told.clone();
    let tell: crate::client::events::Tell = Arc::new(move |event| {
        let waiting = matches!(event, Event::Waiting { .. });
        *count.lock().expect("no test panics with it") += usize::from(waiting);
    });
    let channels = vec![("relay-1".to_owned(), channel.connect_lazy())];
    let caller = Caller::new(channels, calls, 11).telling(tell);
    let session = Session { caller, ..world.session() };
    let options = RunOptions { no_progress: patience, ..world.options(Some(2)) };
    let file = world.file();
    let run = import(&session, &file, &options);
    let outcome =
        tokio::time::timeout(Duration::from_secs(20), run).await.expect("60 s would be the default");
    assert!(matches!(&outcome, Ok(Outcome::TryAgain { gaps, .. }) if !gaps.confirmed), "{outcome:?}");
    assert!(*told.lock().expect("no test panics with it") >= 2);
}

#[tokio::test]
async fn a_receipt_that_cannot_be_written_is_found_before_anything_is_sent() {
    let world = World::new(1).await;
    let mut options = world.options(Some(1));
    options.receipt = world.folder.path().join("gone").join("receipt");
    let error = import(&world.session(), &world.file(), &options).await.expect_err("no such folder");
    assert!(
        matches!(&error, Error::Write { .. }) && error.to_string().contains("Make its folder"),
        "{error}"
    );
    assert_eq!(world.batch_count(), 0);
    assert!(!Journal::path_for(&world.file()).exists());
}

#[tokio::test]
async fn a_receipt_by_another_key_names_the_file_of_the_key_and_the_next_step() {
    let world = World::new(1).await;
    let receipt_key = crate::domain::note::VerifierKey::new("todoke.test/issuer", [9; 32]).expect("legal");
    let session = Session { receipt_key, ..world.session() };
    let error = import(&session, &world.file(), &world.options(Some(1))).await.expect_err("another key");
    let text = error.to_string();
    assert!(text.contains("receipt.pub") && text.contains("todoke resume"), "{text}");
    assert!(!receipt_path_for(&world.file()).exists());
    digest_of(&world.run(&world.options(None)).await);
}

#[tokio::test]
async fn a_state_that_only_a_newer_issuer_knows_is_never_taken_for_an_end() {
    let world = World::new(1).await;
    *world.issuer.unknown.lock().expect("no test panics with it") = (Some(99), None);
    let options = RunOptions { no_progress: Duration::from_millis(300), ..world.options(Some(1)) };
    let outcome = world.run(&options).await;
    assert!(matches!(&outcome, Outcome::TryAgain { why, .. } if why.contains("UNSPECIFIED")), "{outcome:?}");
    assert!(!options.receipt.exists(), "no receipt was asked for");
    *world.issuer.unknown.lock().expect("no test panics with it") = (None, None);
    digest_of(&world.run(&options).await);
}

#[tokio::test]
async fn a_reason_that_only_a_newer_issuer_knows_is_a_failure_and_not_sent_again() {
    let world = World::new(1).await;
    *world.issuer.unknown.lock().expect("no test panics with it") = (None, Some("CARD_STOCK_EMPTY"));
    let options = world.options(Some(1));
    let error = import(&world.session(), &world.file(), &options).await.expect_err("it is no success");
    assert!(matches!(&error, Error::Call(call) if !call.transient && call.attempts == 1), "{error}");
    assert!(!options.receipt.exists());
    *world.issuer.unknown.lock().expect("no test panics with it") = (None, None);
    digest_of(&world.run(&options).await);
}

//! Promise: what one relay says by itself ends no batch, takes no sequence and hides no receipt, wherever it
//! stands among the relays.

use super::*;
use crate::client::{issuer_double::Lie, journal::Standing};

impl World {
    /// One relay that lies at the place `at` among `honest` others.
    async fn with_liar(honest: usize, at: usize, lie: Lie) -> Self {
        let mut world = Self::new(honest).await;
        world.add_liar(at, lie).await;
        world
    }

    async fn add_liar(&mut self, at: usize, lie: Lie) {
        let liar = Issuer { lie: Some(lie), ..self.issuer.clone() };
        self.addresses.insert(at, liar.serve(&mut self.tasks).await.to_string());
    }

    fn only(&mut self, at: usize) {
        self.addresses = vec![self.addresses[at].clone()];
    }

    async fn add_dead(&mut self) {
        let dead = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a port");
        self.addresses.push(dead.local_addr().expect("bound").to_string());
    }

    fn standing(&self) -> Standing {
        let entries = Journal::peek(&Journal::path_for(&self.file())).expect("whole").unwrap_or_default();
        journal::standing(&entries)
    }
}

#[tokio::test]
async fn an_end_that_one_relay_made_up_is_no_end() {
    let lies = [Lie::State(pb::BatchState::Aborted), Lie::State(pb::BatchState::Discrepant), Lie::Differs];
    for (lie, at) in lies.into_iter().flat_map(|lie| [(lie, 0), (lie, 1)]) {
        let mut world = World::with_liar(1, at, lie).await;
        let outcome = world.run(&world.options(Some(1))).await;
        let fine = matches!(outcome, Outcome::TryAgain { .. } | Outcome::Receipted { .. });
        assert!(fine, "{lie:?} at {at}: {outcome:?}");
        assert_ne!(world.standing(), Standing::Ended, "{lie:?} at {at}");
        world.only(1 - at);
        digest_of(&world.run(&world.options(None)).await);
        assert_eq!(world.batch_count(), 1);
    }
}

#[tokio::test]
async fn an_open_batch_that_one_relay_calls_aborted_keeps_its_changed_file_waiting() {
    for at in [0, 1] {
        let mut world = World::new(1).await;
        let mut options = world.options(Some(1));
        options.upload.stop_after_records = Some(50);
        world.run(&options).await;
        world.write_records(200, "亀有");
        world.add_liar(at, Lie::State(pb::BatchState::Aborted)).await;
        import(&world.session(), &world.file(), &world.options(Some(2))).await.expect_err("it lies open");
        assert_eq!((world.standing(), world.batch_count()), (Standing::Open, 1), "{at}");
    }
}

#[tokio::test]
async fn an_open_batch_that_one_relay_hides_is_not_hidden() {
    for at in [0, 1] {
        let world = World::with_liar(1, at, Lie::NoBatches).await;
        let mut options = world.options(Some(1));
        options.upload.stop_after_records = Some(50);
        let _ = import(&world.session(), &world.file(), &options).await;
        assert_eq!(world.batch_count(), 1, "{at}");
        let told = world.session().all_batches().await.expect_err("they do not say the same");
        assert!(told.to_string().contains("do not say the same"), "{at}: {told}");
    }
}

#[tokio::test]
async fn one_relay_keeps_nobody_busy_with_pages_that_never_end() {
    for stored in [true, false] {
        let world = World::with_liar(0, 0, Lie::EndlessBatches).await;
        if stored {
            world.run(&world.options(Some(1))).await;
        }
        let (session, limit) = (world.session(), Duration::from_secs(10));
        let listed = tokio::time::timeout(limit, session.all_batches()).await.expect("it ends");
        let told = listed.expect_err("there is no end").to_string();
        assert!(told.contains("does not come to its end"), "{told}");
    }
}

#[tokio::test]
async fn one_relay_takes_no_sequence_by_saying_that_the_last_one_is_far_ahead() {
    for (far, at) in
        [u64::MAX, i64::MAX.unsigned_abs() - 1, 7].into_iter().flat_map(|far| [(far, 0), (far, 1)])
    {
        let world = World::with_liar(1, at, Lie::LastSequence(far)).await;
        let ended = import(&world.session(), &world.file(), &world.options(Some(1))).await;
        let told = matches!(&ended, Err(error) if error.to_string().contains("do not say the same"));
        assert!(told, "{far} at {at}: {ended:?}");
        assert_eq!(world.batch_count(), 0, "{far} at {at}");
    }
}

#[tokio::test]
async fn a_sequence_after_the_largest_number_is_refused_and_no_panic() {
    let world = World::with_liar(0, 0, Lie::LastSequence(u64::MAX)).await;
    let error = import(&world.session(), &world.file(), &world.options(Some(1))).await.expect_err("no next");
    assert!(error.to_string().contains("18446744073709551615"), "{error}");
    assert_eq!(world.batch_count(), 0);
}

#[tokio::test]
async fn mending_an_accepted_batch_is_done_only_when_its_chunks_are_there() {
    let mut world = World::new(1).await;
    let first = world.run(&world.options(Some(1))).await;
    let lost = |world: &World| {
        let mut batches = world.issuer.batches.lock().expect("no test panics with it");
        batches.values_mut().map(|kept| kept.chunks.remove(&5)).filter(Option::is_some).count()
    };
    assert_eq!(lost(&world), 1);
    world.add_liar(0, Lie::Acknowledges).await;
    let both = world.addresses.clone();
    world.only(0);
    let outcome = world.run(&world.options(None)).await;
    assert!(matches!(&outcome, Outcome::Gaps { gaps, .. } if gaps.missing_records == 16), "{outcome:?}");
    for order in [[0, 1], [1, 0]] {
        world.addresses = order.map(|at| both[at].clone()).to_vec();
        assert_eq!(digest_of(&world.run(&world.options(None)).await), (digest_of(&first).0, true));
        assert_eq!(lost(&world), 1, "it had come again, over the relay that passes chunks on");
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_not_called_missing_when_nobody_can_be_asked() {
    let mut world = World::with_liar(0, 0, Lie::Away).await;
    let patience = Duration::from_millis(500);
    // The next run reaches nobody at all.
    for reached in [true, false] {
        if !reached {
            world.addresses.clear();
            world.add_dead().await;
        }
        let channel = Endpoint::from_shared(format!("http://{}", world.addresses[0])).expect("an address");
        let calls = CallOptions { deadline: patience, ..CallOptions::default() };
        let caller = Caller::new(vec![("relay-1".to_owned(), channel.connect_lazy())], calls, 11);
        let session = Session { caller, ..world.session() };
        let options = RunOptions { no_progress: patience, ..world.options(Some(1)) };
        let outcome = import(&session, &world.file(), &options).await.expect("an outcome");
        let none = matches!(&outcome, Outcome::TryAgain { gaps, .. } if gaps.missing_records == 0);
        assert!(none, "{outcome:?}");
    }
}

#[tokio::test]
async fn a_receipt_that_one_relay_garbled_hides_no_accepted_batch() {
    for at in [0, 1] {
        let mut world = World::new(1).await;
        digest_of(&world.run(&world.options(Some(1))).await);
        world.write_records(40, "亀有");
        let second = world.run(&world.options(Some(2))).await;
        fs::remove_file(Journal::path_for(&world.file())).expect("it was there");
        world.add_liar(at, Lie::FlipsReceipt).await;
        let again = world.run(&world.options(Some(3))).await;
        assert_eq!((digest_of(&again), world.batch_count()), ((digest_of(&second).0, true), 2), "{at}");
    }
}

#[tokio::test]
async fn a_receipt_that_the_only_relay_garbled_is_asked_for_again_and_nothing_is_wrong_with_the_key() {
    let mut world = World::new(1).await;
    world.add_liar(0, Lie::FlipsReceipt).await;
    let both = world.addresses.clone();
    world.only(0);
    let error = import(&world.session(), &world.file(), &world.options(Some(1))).await.expect_err("it lies");
    assert!(matches!(error, Error::Unconfirmed(_)), "{error}");
    assert!(error.to_string().contains("run the command again"), "{error}");
    world.addresses = both;
    world.only(1);
    digest_of(&world.run(&world.options(None)).await);
    assert_eq!(world.batch_count(), 1);
}

#[tokio::test]
async fn a_relay_is_called_a_liar_only_when_another_gave_the_receipt() {
    let mut world = World::new(2).await;
    digest_of(&world.run(&world.options(Some(1))).await);
    world.add_dead().await;
    let stranger = crate::domain::note::VerifierKey::new("todoke.test/issuer", [9; 32]).expect("legal");
    let session = Session { receipt_key: stranger, ..world.session() };
    let error = import(&session, &world.file(), &world.options(None)).await.expect_err("another key");
    assert!(matches!(error, Error::OtherKey { .. }), "{error}");
    assert_eq!(session.caller.picker().relay_count(), 3, "all of them said the same");
    world.add_liar(0, Lie::FlipsReceipt).await;
    world.addresses.truncate(2);
    let session = world.session();
    let id = "0192f0c1-2345-7abc-8def-012345678901".parse().expect("version 7");
    for _ in 0..20 {
        let believe = |note: &[u8]| receipts::open(note, &session.receipt_key);
        session.get_believed_receipt(id, believe).await.expect("one relay is honest");
    }
    assert_eq!(session.caller.picker().relay_count(), 1, "the other one gave the receipt");
}

#[tokio::test]
async fn a_run_that_has_to_wait_leaves_the_other_runs_receipt_alone() {
    let world = World::new(1).await;
    let part = crate::client::journal::with_suffix(&receipt_path_for(&world.file()), ".part");
    fs::write(&part, "the other run is writing this").expect("writable");
    let _held = Journal::open(&Journal::path_for(&world.file())).expect("nobody holds it");
    let error = import(&world.session(), &world.file(), &world.options(Some(1))).await.expect_err("held");
    assert!(matches!(error, Error::Journal(journal::JournalError::Held(_))), "{error}");
    assert_eq!(fs::read_to_string(&part).expect("still there"), "the other run is writing this");
}

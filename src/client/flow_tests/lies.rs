//! Promise: what one relay says by itself ends no batch, takes no sequence and hides no receipt, wherever it
//! stands among the relays.

use super::*;
use crate::client::issuer_double::Lie;

impl World {
    async fn add_liar(&mut self, at: usize, lie: Lie) {
        let liar = Issuer { lie: Some(lie), ..self.issuer.clone() };
        self.addresses.insert(at, liar.serve(&mut self.tasks).await.to_string());
    }

    async fn add_dead(&mut self) {
        let dead = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a port");
        self.addresses.push(dead.local_addr().expect("bound").to_string());
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

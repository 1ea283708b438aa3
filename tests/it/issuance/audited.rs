//! Promise: a batch that came again after a restore is whole, with the receipt from before, and that receipt
//! has a second copy.

use todoke::{
    domain::{batch::BatchState, manifest::Policy},
    issuance::audit::{Audited, Auditor, Told},
    net::tls::Roots,
    vault::Vault,
    wire::pb,
};

use super::{
    databases::on_both,
    harness::{Issuer, Party, batch, id, records, state},
};

/// The orders of a first attempt are damaged as soon as they are stored: in a file, and on a server.
const FIRST_FAILS: [&str; 2] = [
    "CREATE TRIGGER first_fails AFTER INSERT ON card_order WHEN NEW.attempt = 1 BEGIN
        UPDATE card_order SET leaf = zeroblob(32) WHERE rowid = NEW.rowid; END",
    "CREATE FUNCTION damage() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.leaf = decode(repeat('00', 32), 'hex'); RETURN NEW; END $$;
    CREATE TRIGGER first_fails BEFORE INSERT ON card_order FOR EACH ROW WHEN (NEW.attempt = 1)
        EXECUTE FUNCTION damage()",
];

async fn audit(issuer: &Issuer, repair: bool) -> (Audited, Vec<String>) {
    let pki = issuer.dir.path().join("pki");
    let auditor = Auditor {
        store: issuer.store.clone(),
        vault: Vault::open(&pki.join("kek.key"), &pki.join("receipt.key")).expect("a vault"),
        roots: Roots::load(&pki.join("ca.pem")).expect("a CA"),
        receipt_keys: Vec::new(),
        municipality: None,
        batch: None,
        repair,
        now_ms: super::now_ms(),
    };
    let mut found = Vec::new();
    let mut tell = |told: Told<'_>| {
        if let Told::Found(finding) = told {
            found.push(format!("{}: {}", finding.table, finding.what));
        }
    };
    let audited = auditor.run(&mut tell).await.expect("it looks");
    (audited, found)
}

async fn repair(ward: &Party) {
    let (batch_id, request_id) = (id(1).to_string(), "r-1".to_owned());
    let request = pb::RepairBatchRequest { batch_id, request_id, reason: "disk replaced".to_owned() };
    ward.batches().repair_batch(ward.request(request)).await.expect("it begins");
}

/// An issuer whose empty backup took the place of its database, after a batch was accepted at its second
/// attempt; it came again and was accepted at its first.
async fn come_again() -> (Issuer, Party, Vec<u8>) {
    let issuer = Issuer::start(|_| {}).await;
    let ward = issuer.party("municipality/131229").await;
    issuer.backup("backup").await;
    issuer.damage_by(FIRST_FAILS).await;
    let sent = batch(ward.code(), 1, Policy::AllOrNothing, &records("K", 10));
    assert_eq!(state(&ward.import(&sent).await), BatchState::Discrepant);
    repair(&ward).await;
    let done = ward.finished(id(1)).await;
    assert_eq!((state(&done), done.attempt), (BatchState::Accepted, 2), "{}", done.discrepancy);
    let receipt = ward.receipt(id(1)).await.expect("a receipt");
    issuer.clock.advance(1000);
    let issuer = issuer.put_back("backup", true, |_| {}).await;
    let ward = issuer.party_again("municipality/131229");
    let request = pb::CompareReceiptsRequest { receipts: vec![receipt.clone()], whole: true };
    ward.batches().compare_receipts(ward.request(request)).await.expect("compared");
    let done = ward.import(&sent).await;
    assert_eq!((state(&done), done.attempt), (BatchState::Accepted, 1), "{}", done.discrepancy);
    assert_eq!(ward.receipt(id(1)).await.expect("a receipt"), receipt, "the one from before");
    (issuer, ward, receipt)
}

on_both!(a_receipt_from_before_a_restore_is_its_batchs_and_is_made_again_of_its_copy, async {
    let (issuer, ward, receipt) = come_again().await;
    let (whole, found) = audit(&issuer, false).await;
    assert_eq!((whole.batches, found), (1, Vec::new()), "nothing is wrong with it");
    for sql in [
        "UPDATE receipt SET receipt = zeroblob(length(receipt))",
        "UPDATE receipt SET digest = zeroblob(32)",
        "UPDATE receipt SET attempt = 2",
        "DELETE FROM receipt",
    ] {
        issuer.damage(sql).await;
        let (mended, found) = audit(&issuer, true).await;
        assert_eq!((mended.findings, mended.repaired), (1, 1), "{sql}: {found:?}");
        assert_eq!(ward.receipt(id(1)).await.expect("a receipt"), receipt, "{sql}: byte for byte");
        assert_eq!(audit(&issuer, false).await.1, Vec::<String>::new(), "{sql}");
    }
    // Once what was lost was given up, another receipt might have been given.
    issuer.damage("UPDATE lost_batch SET given_up_ms = 1; DELETE FROM receipt").await;
    let (left, found) = audit(&issuer, true).await;
    assert_eq!((left.findings, left.repaired), (1, 0), "{found:?}");
});

//! Steps (f) and (g): the same file again changes nothing, and what the ward holds is checked without any
//! server.

use std::path::Path;

use super::{
    audit::{beside, receipt_of, text},
    extract::with_one_change,
    loads::Loaded,
    narrator::{Narrator, figure},
    stage::Stage,
    trouble::Trouble,
};
use crate::runtime::exit;

/// (f): the same file is sent again, by somebody who has only the file.
///
/// # Errors
/// [`Trouble`].
pub(crate) async fn again(stage: &Stage, tale: &mut Narrator, first: &Loaded) -> Result<(), Trouble> {
    let mut copy = first.extract.clone();
    copy.file = stage.file("again.csv");
    std::fs::copy(&first.extract.file, &copy.file).map_err(Trouble::file(&copy.file))?;
    let before = (card_count(stage).await?, stage.batch_count().await?, stage.issuer().await?.frames());
    let ended = stage.import(&copy, &[])?.end().await?;
    tale.ends_with("the command ended with its receipt", exit::DONE, &ended);
    let result = ended.said("result")?;
    let batch = text(result, "batch_id");
    tale.holds("the batch that it is", &first.batch, batch, first.batch == batch);
    let receipts = (read(&receipt_of(&first.extract))?, read(&receipt_of(&copy))?);
    let held = receipts.0 == receipts.1 && !receipts.0.is_empty();
    let found = if held { "the same bytes" } else { "other bytes" };
    tale.holds("both receipts", "the same bytes", found, held);
    let after = (card_count(stage).await?, stage.batch_count().await?, stage.issuer().await?.frames());
    tale.same("cards of the ward before and after", before.0, after.0);
    tale.same("batches of the ward before and after", before.1, after.1);
    tale.same("chunks sent", 0, after.2 - before.2);
    tale.say(&format!(
        "The issuer knew the file: no new batch, no new card among {}, the receipt again, byte for byte.",
        figure(after.0)
    ));
    Ok(())
}

async fn card_count(stage: &Stage) -> Result<u64, Trouble> {
    Ok(stage.cards(None).await?.len() as u64)
}

fn read(path: &Path) -> Result<Vec<u8>, Trouble> {
    std::fs::read(path).map_err(Trouble::file(path))
}

/// (g): everything is stopped; receipt and proof are checked with nothing but files.
///
/// # Errors
/// [`Trouble`].
pub(crate) async fn offline(stage: &Stage, tale: &mut Narrator, first: &Loaded) -> Result<(), Trouble> {
    let load = &first.extract;
    let order_id = load.order_ids[load.order_ids.len() / 2].as_str();
    let proof = beside(&load.file, "proof").display().to_string();
    let asked = stage.file("asked.proof").display().to_string();
    let args = ["prove", load.name(), "--order-id", order_id, "--from-server", "--out", &asked];
    stage.as_ward(&args)?.end().await?.with_code(0)?;
    stage.offline(&["prove", load.name(), "--order-id", order_id])?.end().await?.with_code(0)?;
    let same = read(Path::new(&asked))? == read(Path::new(&proof))?;
    tale.holds(
        "proof by the issuer, proof by the file",
        "the same",
        if same { "the same" } else { "two" },
        same,
    );

    all_stopped(stage, tale).await;
    let (key, receipt) = (stage.receipt_key(), receipt_of(load).display().to_string());
    let verify = async |target: &str, more: &[&str]| {
        let args = [&["verify", target, "--key", &key][..], more].concat();
        stage.offline(&args)?.end().await
    };
    let good = verify(&receipt, &["--file", load.name()]).await?;
    tale.ends_with("the receipt against its file", exit::DONE, &good);
    let of_order = ["--receipt", &receipt, "--order-id", order_id, "--file"];
    let good = verify(&proof, &[&of_order[..], &[load.name()]].concat()).await?;
    tale.ends_with("the proof of one record", exit::DONE, &good);

    let copy = stage.file("changed.csv");
    with_one_change(&load.file, order_id, &copy)?;
    let copy = copy.display().to_string();
    let bad = verify(&receipt, &["--file", &copy]).await?;
    tale.ends_with("a copy with one changed record", exit::TOTALS, &bad);
    let bad = verify(&proof, &[&of_order[..], &[&copy]].concat()).await?;
    tale.ends_with("the proof against the changed record", exit::FAILED, &bad);
    let forged = stage.file("forged.receipt");
    std::fs::write(&forged, forge(&read(&receipt_of(load))?)).map_err(Trouble::file(&forged))?;
    let bad = verify(&forged.display().to_string(), &[]).await?;
    tale.ends_with("a receipt with one changed figure", exit::FAILED, &bad);
    tale.say("The file and its receipt hold; one changed record, or one changed figure, does not.");
    Ok(())
}

// Stops the system; who died until then, and what is left of it afterwards.
async fn all_stopped(stage: &Stage, tale: &mut Narrator) {
    let (killed, died) = ("issuer-1, relay-2", stage.deaths());
    tale.holds("processes that died, and did so by SIGKILL", killed, &died, died == killed);
    tale.same("processes of the system before the end", 5, stage.system.running());
    stage.system.stop().await;
    tale.same("processes of the system that still run", 0, stage.system.running());
    tale.say("The system is stopped: from here on there are only files.");
}

// The receipt with the last digit of its first figure changed.
fn forge(receipt: &[u8]) -> Vec<u8> {
    let mut forged = receipt.to_vec();
    if let Some(digit) = forged.iter_mut().skip(40).find(|byte| byte.is_ascii_digit()) {
        *digit = if *digit == b'9' { b'8' } else { *digit + 1 };
    }
    forged
}

//! Promise: a file is the batch that it was begun as, by its journal or by what the issuer has; another
//! content is another batch, and an empty one only by somebody's word.

use super::*;

#[tokio::test]
async fn the_same_file_again_gives_the_same_receipt_and_sends_nothing() {
    let world = World::new(3).await;
    let first = world.run(&world.options(Some(1))).await;
    assert!(!digest_of(&first).1);
    assert_eq!(world.frames(), 13, "200 records in chunks of 16");
    let note = fs::read(receipt_path_for(&world.file())).expect("the receipt is there");
    let again = world.run(&world.options(Some(2))).await;
    assert_eq!(digest_of(&again), (digest_of(&first).0, true));
    // Without its journal the file is known by the receipt.
    fs::remove_file(Journal::path_for(&world.file())).expect("it was there");
    let found = world.run(&world.options(Some(3))).await;
    assert_eq!(digest_of(&found), (digest_of(&first).0, true));
    assert_eq!((world.frames(), world.batch_count()), (13, 1));
    assert_eq!(fs::read(receipt_path_for(&world.file())).expect("still there"), note);
}

#[tokio::test]
async fn another_sequence_for_a_file_that_is_a_batch_already_is_refused() {
    let world = World::new(1).await;
    digest_of(&world.run(&world.options(Some(1))).await);
    let mut options = world.options(Some(2));
    for lose_journal in [false, true] {
        if lose_journal {
            fs::remove_file(Journal::path_for(&world.file())).expect("it was there");
        }
        options.new.as_mut().expect("a new batch").sequence = Some(7);
        let refused = import(&world.session(), &world.file(), &options).await.expect_err("it is sequence 1");
        let words = refused.to_string();
        assert!(words.contains("sequence 1 already") && words.contains("--sequence 7"), "{words}");
        options.new.as_mut().expect("a new batch").sequence = Some(1);
        assert!(digest_of(&world.run(&options).await).1, "its own sequence is no other");
    }
}

#[tokio::test]
async fn a_file_without_records_is_begun_only_when_somebody_confirms_that() {
    let world = World::new(1).await;
    world.write_records(0, "白鳥");
    let options = world.options(Some(1));
    let refused = import(&world.session(), &world.file(), &options).await.expect_err("nobody confirms it");
    assert!(refused.to_string().contains("todoke import --nothing-today"), "{refused}");
    assert_eq!(world.batch_count(), 0);
    let tally = world.folder.path().join("tally.csv");
    fs::write(&tally, "district,households,records\n").expect("writable");
    digest_of(&world.run(&RunOptions { control_totals: Some(tally), ..options }).await);
    digest_of(&world.run(&RunOptions { nothing: true, ..world.options(Some(2)) }).await);
}

#[tokio::test]
async fn another_content_under_the_same_name_is_the_next_batch() {
    let world = World::new(2).await;
    digest_of(&world.run(&world.options(Some(1))).await);
    world.write_records(40, "亀有");
    let outcome = world.run(&world.options(Some(2))).await;
    assert!(matches!(outcome, Outcome::Receipted { sequence: 2, again: false, .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_cut_upload_is_resumed_with_only_the_rest_even_without_its_journal() {
    for lose_journal in [false, true] {
        let world = World::new(3).await;
        let mut options = world.options(Some(1));
        options.upload.stop_after_records = Some(100);
        let cut = world.run(&options).await;
        assert!(matches!(&cut, Outcome::TryAgain { gaps, .. } if gaps.missing_records > 0), "{cut:?}");
        let before = world.frames();
        assert!((7..13).contains(&before), "{before} chunks before the cut");
        if lose_journal {
            fs::remove_file(Journal::path_for(&world.file())).expect("it was there");
        }
        let resumed = world.run(&world.options(None)).await;
        assert!(!digest_of(&resumed).1);
        assert_eq!((world.frames(), world.batch_count()), (13, 1), "journal lost: {lose_journal}");
    }
}

#[tokio::test]
async fn without_its_journal_a_file_is_found_however_it_is_to_be_cut_up() {
    for new in [Some(2), None] {
        let world = World::new(1).await;
        let mut options = world.options(Some(1));
        options.upload.stop_after_records = Some(100);
        world.run(&options).await;
        fs::remove_file(Journal::path_for(&world.file())).expect("it was there");
        let found = world.run(&RunOptions { chunk_records: 64, ..world.options(new) }).await;
        assert!(!digest_of(&found).1);
        assert_eq!((world.frames(), world.batch_count()), (13, 1), "as it was begun: {new:?}");
    }
}

#[tokio::test]
async fn a_file_changed_in_the_middle_of_its_batch_is_refused() {
    let world = World::new(1).await;
    let mut options = world.options(Some(1));
    options.upload.stop_after_records = Some(50);
    world.run(&options).await;
    world.write_records(200, "亀有");
    let error = import(&world.session(), &world.file(), &world.options(Some(2))).await;
    let text = error.expect_err("another content").to_string();
    assert!(text.contains("was changed since batch") && text.contains("todoke abort"), "{text}");
    // Once the batch is given up, the mended file is another batch.
    world.issuer.batches.lock().expect("no test panics with it").values_mut().for_each(|b| b.aborted = true);
    let outcome = world.run(&world.options(Some(3))).await;
    assert!(matches!(outcome, Outcome::Receipted { sequence: 2, again: false, .. }), "{outcome:?}");
}

#[tokio::test]
async fn what_was_accepted_of_one_file_is_not_accepted_of_the_next_of_its_name() {
    let world = World::new(1).await;
    let cut = |world: &World| {
        let text = fs::read_to_string(world.file()).expect("just written");
        fs::write(world.file(), text.trim_end()).expect("writable");
    };
    cut(&world);
    let mut options = world.options(Some(1));
    options.read.accept_missing_newline = true;
    digest_of(&world.run(&options).await);
    let again = world.run(&world.options(Some(2))).await;
    assert!(digest_of(&again).1, "the same content is read as it was begun");
    world.write_records(200, "亀有");
    cut(&world);
    let error = import(&world.session(), &world.file(), &world.options(Some(3))).await;
    assert!(matches!(error, Err(Error::Input(_))), "{error:?}");
    assert_eq!(world.batch_count(), 1);
}

#[tokio::test]
async fn import_after_abort_makes_the_next_batch_at_once() {
    for relays in [1, 2] {
        let world = World::new(relays).await;
        let mut options = world.options(Some(1));
        options.upload.stop_after_records = Some(50);
        world.run(&options).await;
        let abort = |kept: &mut crate::client::issuer_double::Kept| kept.aborted = true;
        world.issuer.batches.lock().expect("no test panics with it").values_mut().for_each(abort);
        let outcome = world.run(&world.options(Some(2))).await;
        assert!(matches!(outcome, Outcome::Receipted { sequence: 2, again: false, .. }), "{outcome:?}");
        assert_eq!(world.batch_count(), 2);
    }
}

#[tokio::test]
async fn a_run_that_began_no_batch_leaves_no_journal() {
    let world = World::new(1).await;
    let error = import(&world.session(), &world.file(), &world.options(None)).await;
    assert!(matches!(error, Err(Error::Conflict(_))), "{error:?}");
    assert!(!Journal::path_for(&world.file()).exists());
}

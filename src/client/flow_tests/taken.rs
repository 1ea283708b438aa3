//! Promise: a batch whose number another one took is begun again with the next number if the issuer has
//! nothing of it, and only then.

use super::*;
use crate::client::issuer_double::Kept;

// Another file's batch, which gets the next number.
async fn another(world: &World, id: u8) {
    let file = world.folder.path().join(format!("other-{id}.csv"));
    let text = fs::read_to_string(world.file()).expect("just written").replace("K-", &format!("L{id}-"));
    fs::write(&file, text).expect("writable");
    let mut options = world.options(Some(id));
    (options.journal, options.receipt) = (Journal::path_for(&file), receipt_path_for(&file));
    let outcome = import(&world.session(), &file, &options).await.expect("the run has an outcome");
    digest_of(&outcome);
    // Else it would tell which number is the last.
    fs::remove_file(receipt_path_for(&file)).expect("just written");
}

// A world whose file was begun as number 1, which was lost and given to another batch.
async fn restored() -> (World, Kept) {
    let world = World::new(2).await;
    let mut options = world.options(Some(1));
    options.upload.stop_after_records = Some(50);
    world.run(&options).await;
    let lost = world.issuer.batches.lock().expect("no test panics with it").pop_first();
    another(&world, 9).await;
    (world, lost.expect("it was begun").1)
}

fn refused(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Refused { reason, remedy, .. } if reason == "SEQUENCE_REUSED" => remedy,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_batch_that_was_lost_with_its_number_is_begun_again_with_the_next() {
    let (world, _) = restored().await;
    let outcome = world.run(&world.options(None)).await;
    assert!(refused(&outcome).contains("todoke import"), "resume never begins a batch: {outcome:?}");
    let outcome = world.run(&world.options(Some(2))).await;
    assert!(matches!(outcome, Outcome::Receipted { sequence: 2, again: false, .. }), "{outcome:?}");
    let aside = journal::with_suffix(&Journal::path_for(&world.file()), ".1");
    let entries = Journal::peek(&aside).expect("readable").expect("set aside");
    assert!(
        matches!(entries.last(), Some(Entry::Ended { reason }) if reason == "SEQUENCE_REUSED"),
        "{entries:?}"
    );
}

#[tokio::test]
async fn import_alone_begins_the_lost_batch_again_too_and_tells_so() {
    let (world, _) = restored().await;
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let tell: crate::client::events::Tell = Arc::new(move |event| {
        if let Event::NumberTaken { sequence, lost } = event {
            heard.lock().expect("no test panics with it").push((*sequence, *lost));
        }
    });
    let session = Session { tell, ..world.session() };
    let outcome = import(&session, &world.file(), &world.options(Some(2))).await.expect("an outcome");
    assert!(matches!(outcome, Outcome::Receipted { sequence: 2, again: false, .. }), "{outcome:?}");
    assert_eq!(*told.lock().expect("no test panics with it"), [(1, true)]);
}

#[tokio::test]
async fn a_batch_that_the_issuer_may_have_is_never_begun_again() {
    let (world, lost) = restored().await;
    // The double refuses the number of a batch that it does not show by this id, and shows it by the list.
    let journal = fs::read(Journal::path_for(&world.file())).expect("there");
    *world.issuer.late_lists.lock().expect("no test panics with it") = 100;
    let outcome = world.run(&world.options(Some(2))).await;
    assert!(refused(&outcome).starts_with("Stop"), "nobody says whose the number is: {outcome:?}");
    assert_eq!(fs::read(Journal::path_for(&world.file())).expect("there"), journal, "nothing has ended");
    *world.issuer.late_lists.lock().expect("no test panics with it") = 0;
    let id = "0192f0c1-2345-7abc-8def-012345678901".to_owned();
    world.issuer.batches.lock().expect("no test panics with it").insert(id, lost);
    let outcome = world.run(&world.options(Some(3))).await;
    assert!(matches!(outcome, Outcome::Receipted { sequence: 1, .. }), "{outcome:?}");
    assert_eq!(world.batch_count(), 2);
}

#[tokio::test]
async fn whoever_is_beaten_to_a_number_takes_the_next_unless_it_was_asked_for() {
    let world = World::new(1).await;
    another(&world, 9).await;
    let mut asked = world.options(Some(1));
    asked.new.as_mut().expect("a new batch").sequence = Some(1);
    let outcome = world.run(&asked).await;
    assert!(refused(&outcome).contains("without --sequence"), "{outcome:?}");
    *world.issuer.late_lists.lock().expect("no test panics with it") = 3;
    let outcome = world.run(&world.options(Some(2))).await;
    assert!(matches!(outcome, Outcome::Receipted { sequence: 2, again: false, .. }), "{outcome:?}");
}

//! Promise: what lies in an office is counted against what should, and nothing is destroyed before its time,
//! by one alone, or uncounted.

use todoke::store::Cause;

use super::*;

on_both!(a_stocktake_names_what_is_missing_and_what_is_there_beyond_it, async {
    let world = World::start().await;
    for (mail, order, office) in
        [("E-1", "K-0", "亀有"), ("E-2", "K-1", "亀有"), ("E-3", "K-2", "亀有"), ("E-4", "K-3", "金町")]
    {
        world.stored(mail, &[order], office).await;
    }
    world.produce("E-5", &["K-4"]).await;
    let counted = world.count("t-1", "亀有", &["E-1", "E-2", "E-4", "E-5", "E-9"], 10).await;
    assert_eq!((counted.counted, counted.missing.as_slice()), (2, &["E-3".to_owned()][..]));
    let surplus: Vec<_> =
        counted.surplus.iter().map(|one| (one.mail_item_id.as_str(), one.why.as_str())).collect();
    assert_eq!(
        surplus,
        [
            ("E-4", "it should be at 金町"),
            ("E-5", "it is INSERTED"),
            ("E-9", "nobody has reported this envelope"),
        ]
    );
    assert_eq!(world.state("E-3").await, pb::MailState::Missing);
    world.stored("E-6", &["K-5"], "亀有").await;
    assert_eq!(world.count("t-1", "亀有", &["E-1", "E-2", "E-4", "E-5", "E-9"], 10).await, counted, "again");
    assert_eq!(world.state("E-6").await, pb::MailState::Stored, "what came later was not counted");
    let request = pb::SubmitStocktakeRequest {
        request_id: "t-1".to_owned(),
        office: "亀有".to_owned(),
        mail_item_ids: vec!["E-1".to_owned()],
        occurred_time: world.at(10),
        ..Default::default()
    };
    let later = world.count("t-3", "亀有", &["E-1", "E-2", "E-6"], 11).await;
    assert_eq!((later.missing.len(), later.still_missing.as_slice()), (0, &["E-3".to_owned()][..]));
    let reused =
        mail_of(&world.ward).submit_stocktake(request).await.map_err(fault).expect_err("another count");
    assert_eq!(reused.reason, Reason::RequestIdReused);
    assert_eq!(world.state("E-2").await, pb::MailState::Stored, "and it noted nothing");
    let next = world.count("t-2", "亀有", &["E-1", "E-2", "E-3", "E-6"], 20).await;
    assert_eq!((next.counted, next.found_again.as_slice()), (3, &["E-3".to_owned()][..]));
    assert!(next.missing.is_empty() && next.surplus.is_empty(), "{next:?}");
    assert_eq!(world.state("E-3").await, pb::MailState::Stored);
    let item = world.get("E-1").await.mail_item.expect("it");
    assert_eq!(item.counted_time, world.at(20));
});

on_both!(a_stocktake_in_parts_finds_what_one_finds_and_no_part_speaks_for_another, async {
    let world = World::start().await;
    for (mail, order) in [("E-1", "K-1"), ("E-2", "K-2"), ("E-3", "K-3"), ("E-4", "K-4")] {
        world.stored(mail, &[order], "亀有").await;
    }
    let part = |request: &str, seen: &[&str], from: &str, until: &str| {
        let request = pb::SubmitStocktakeRequest {
            request_id: request.to_owned(),
            office: "亀有".to_owned(),
            mail_item_ids: seen.iter().map(|id| (*id).to_owned()).collect(),
            occurred_time: world.at(10),
            from_mail_item_id: from.to_owned(),
            until_mail_item_id: until.to_owned(),
        };
        let mut mail = mail_of(&world.ward);
        async move { mail.submit_stocktake(request).await.map(tonic::Response::into_inner).map_err(fault) }
    };
    let first = part("t-1", &["E-1"], "", "E-3").await.expect("the first two");
    assert_eq!((first.counted, first.missing.as_slice()), (1, &["E-2".to_owned()][..]));
    assert_eq!(world.state("E-3").await, pb::MailState::Stored, "that is for another part to say");
    let second = part("t-2", &["E-3", "E-9"], "E-3", "").await.expect("and the rest");
    assert_eq!((second.counted, second.missing.as_slice()), (1, &["E-4".to_owned()][..]));
    assert_eq!(second.surplus.len(), 1, "{second:?}");
    assert!(second.still_missing.is_empty(), "E-2 is the first part's: {second:?}");
    assert_eq!(part("t-1", &["E-1"], "", "E-3").await, Ok(first), "again");
    for (seen, from, until, field) in [
        (&["E-3"][..], "", "E-3", "mail_item_ids[0]"),
        (&["E-3", "E-1"], "E-2", "", "mail_item_ids[1]"),
        (&[], "E-3", "E-3", "until_mail_item_id"),
        (&[], "E-3", "E-10", "until_mail_item_id"),
        (&[], "E 3", "", "from_mail_item_id"),
    ] {
        let wrong = part("t-3", seen, from, until).await.expect_err(field);
        assert_eq!((wrong.reason, wrong.violations[0].0.as_str()), (Reason::FieldInvalid, field));
    }
});

on_both!(what_came_after_a_count_or_has_a_strange_name_does_not_break_it, async {
    let world = World::start().await;
    world.stored("end", &["K-0"], "亀有").await;
    world.stored("E-1", &["K-1"], "亀有").await;
    let counted = world.count("t-1", "亀有", &["end"], 4).await;
    let why: Vec<_> = counted.surplus.iter().map(|one| one.why.as_str()).collect();
    assert_eq!(why, ["it is STORED since the count"], "they came a minute later");
    assert_eq!((counted.counted, counted.missing.len()), (0, 0));
    let counted = world.count("t-2", "亀有", &["end"], 6).await;
    assert_eq!((counted.counted, counted.missing.as_slice()), (1, &["E-1".to_owned()][..]));
    assert_eq!(world.count("t-2", "亀有", &["end"], 6).await, counted, "again");
});

on_both!(after_a_restore_nothing_is_done_twice_before_receipts_were_compared, async {
    let world = World::start().await;
    world.stored("E-1", &["K-0"], "亀有").await;
    world.issuer.store.mark_restored(Cause::Operator, "a test", 1).await.expect("a transaction");
    let refused = act!(world, hand_over, HandOverRequest, "h-1", "E-1", 9).expect_err("it may be gone");
    assert_eq!(refused.reason, Reason::ReconcileFirst);
    scan!(world, post, record_delivered, RecordDeliveredRequest, "d-1", "E-1", 2).expect("a scan is a fact");
    let request = pb::ExtendRetentionRequest { request_id: "l-1".to_owned(), until: "2099-12-31".to_owned() };
    let refused = mail_of(&world.ward).extend_retention(request).await.map_err(fault).expect_err("as well");
    assert_eq!(refused.reason, Reason::ReconcileFirst);
});

on_both!(nothing_is_destroyed_before_its_time_or_by_one_alone_or_uncounted, async {
    let world = World::start().await;
    let mut ward = mail_of(&world.ward);
    let retention = ward.get_retention(pb::GetRetentionRequest {}).await.expect("it").into_inner();
    assert_eq!((retention.version, retention.until.as_str()), (1, "2016-03-31"));
    let until =
        |id: &str, day: &str| pb::ExtendRetentionRequest { request_id: id.to_owned(), until: day.to_owned() };
    let longer = ward.extend_retention(until("l-1", "2099-12-31")).await.expect("longer").into_inner();
    assert_eq!((longer.version, longer.until.as_str()), (2, "2099-12-31"));
    assert_eq!(ward.extend_retention(until("l-1", "2099-12-31")).await.expect("again").into_inner(), longer);
    let shorter =
        ward.extend_retention(until("l-2", "2099-12-30")).await.map_err(fault).expect_err("shorter");
    assert!(shorter.reason == Reason::ItemState && shorter.message.contains("2099-12-31"), "{shorter:?}");
    let none = ward.extend_retention(until("l-3", "2099-02-30")).await.map_err(fault).expect_err("no day");
    assert_eq!(none.violations[0].0, "until");

    world.stored("E-1", &["K-0"], "亀有").await;
    let alone = world.dispose("d-1", true, "bob", 6).await.expect_err("nobody has proposed it");
    assert!(alone.reason == Reason::ItemState && alone.message.contains("propose it first"), "{alone:?}");
    let proposed = world.dispose("d-2", false, "alice", 6).await.expect("the first step");
    assert_eq!((proposed.state(), proposed.disposal_proposed_by.as_str()), (pb::MailState::Stored, "alice"));
    let kept = world.dispose("d-3", true, "bob", 7).await.expect_err("it is kept until 2099");
    assert!(kept.message.contains("kept longer"), "{kept:?}");
    assert_eq!(world.state("E-1").await, pb::MailState::Stored);
    // Another ward keeps to the national day, which is over.
    assert_eq!(world.dispose("d-4", false, "Alice", 7).await.expect_err("no name").violations[0].0, "clerk");
});

on_both!(what_may_be_destroyed_is_by_two_people_after_a_stocktake, async {
    let world = World::start().await;
    world.stored("E-1", &["K-0"], "亀有").await;
    world.dispose("d-1", false, "alice", 6).await.expect("the first step");
    let uncounted = world.dispose("d-2", true, "bob", 7).await.expect_err("nobody has counted it");
    assert!(uncounted.message.contains("stocktake"), "{uncounted:?}");
    world.count("t-1", "亀有", &["E-1"], 8).await;
    let same = world.dispose("d-3", true, "alice", 9).await.expect_err("the same person");
    assert!(same.message.contains("second person"), "{same:?}");
    let done =
        world.dispose("d-4", true, "bob", 10).await.expect("two people, counted, and its time is over");
    assert_eq!(done.state(), pb::MailState::Disposed);
    assert_eq!(world.dispose("d-4", true, "bob", 10).await.expect("again").state(), pb::MailState::Disposed);
    for minutes in [11, 9] {
        act!(world, hand_over, HandOverRequest, "h-1", "E-1", minutes).expect_err("it is gone");
    }
    assert_eq!(world.state("E-1").await, pb::MailState::Disposed);
});

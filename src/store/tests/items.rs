//! Promise: a change of an item is decided on what is committed, carried out once for each request id, and
//! all of it is stored or nothing; whoever else has a turn in the same commit has no part in it.

use futures_util::future::join_all;

use super::*;
use crate::{
    domain::{
        date::Date,
        item::{Hold, HoldKind, ItemId, ItemKey, ItemKind, Link, LinkKind},
    },
    store::{Asked, Changed, Decided, EVENTS_MAX, Found, ItemRow, Known, WhichItems},
};

fn key(id: &str) -> ItemKey {
    ItemKey { municipality: ward(), kind: ItemKind::Card, id: id.parse().expect("an id") }
}

fn asked(id: &str, request: &str) -> Asked {
    Asked {
        key: key(id),
        with: Vec::new(),
        request_id: request.to_owned(),
        fingerprint: Digest::of(request.as_bytes()),
        actor: "municipality/131229".to_owned(),
        holds: Vec::new(),
        now_ms: NOW,
    }
}

/// Counts: the state is how often it was changed.
fn counted(found: &Found) -> Decided {
    let times = found.item.as_ref().map_or(0, |item| item.state.parse().expect("a number")) + 1;
    assert_eq!(found.history.len() + 1, times, "what is decided on is of one moment");
    Decided {
        events: vec![(NOW + times as i64, format!("{{\"times\":{times}}}"))],
        state: times.to_string(),
        since_ms: NOW + times as i64,
        office: "白鳥".to_owned(),
        cards: 1,
        details: "{}".to_owned(),
        ..Decided::default()
    }
}

async fn counted_by(store: &Store, asked: Asked) -> Changed<()> {
    store.change_item(asked, |found| Ok(counted(found))).await.expect("a transaction")
}

/// Changes a card once more.
pub(super) async fn count(store: &Store, id: &str, request: String) -> Changed<()> {
    counted_by(store, asked(id, &request)).await
}

fn done(changed: &Changed<()>) -> Option<&ItemRow> {
    if let Changed::Done(item) = changed { Some(item) } else { None }
}

contract!(the_same_request_is_carried_out_once_and_another_under_its_id_is_refused, |case| {
    let first = count(&case.store, "K-1", "r-1".to_owned()).await;
    let Changed::Done(item) = first else { panic!("{first:?}") };
    assert_eq!((item.state.as_str(), item.events, item.since_ms), ("1", 1, NOW + 1));
    assert_eq!(count(&case.store, "K-1", "r-1".to_owned()).await, Changed::Again(item));
    let second = count(&case.store, "K-1", "r-2".to_owned()).await;
    assert_eq!(done(&second).expect("it is another").state, "2");
    let again = count(&case.store, "K-1", "r-1".to_owned()).await;
    assert!(matches!(again, Changed::Again(now) if now.state == "2"), "as it stands now");
    let mut other = asked("K-1", "r-1");
    other.fingerprint = Digest::of(b"another");
    assert_eq!(counted_by(&case.store, other).await, Changed::RequestReused, "other content");
    let mut other = asked("K-2", "r-1");
    other.fingerprint = asked("K-1", "r-1").fingerprint;
    assert_eq!(counted_by(&case.store, other).await, Changed::RequestReused, "another item");
    let mut elsewhere = asked("K-1", "r-1");
    elsewhere.key.municipality = other_ward();
    assert!(
        done(&counted_by(&case.store, elsewhere).await).is_some(),
        "another municipality has ids of its own"
    );
    let history = case.store.item_history(&key("K-1")).await.expect("reads");
    let brief: Vec<_> = history.iter().map(|one| (one.position, one.request_id.as_str())).collect();
    assert_eq!(brief, [(1, "r-1"), (2, "r-2")]);
    assert_eq!(history[1].event, "{\"times\":2}");
    assert_eq!((history[1].occurred_ms, history[1].recorded_ms), (NOW + 2, NOW));
});

contract!(a_refusal_says_why_and_leaves_nothing, |case| {
    let refused = case.store.change_item(asked("K-1", "r-1"), |_| Err("not yet")).await;
    assert_eq!(refused.expect("a transaction"), Changed::Refused("not yet"));
    assert_eq!(case.store.item(&key("K-1")).await.expect("reads"), None);
    assert!(
        done(&count(&case.store, "K-1", "r-1".to_owned()).await).is_some(),
        "the request may succeed later"
    );
});

contract!(callers_at_once_are_served_together_and_each_change_counts_once, |case| {
    let store = case.store.clone();
    let held = case.held().await;
    let all = join_all((0..120_u32).map(|n| {
        let (store, id) = (store.clone(), format!("K-{}", n % 40));
        async move { count(&store, &id, format!("r-{n}")).await }
    }));
    drop(held);
    for changed in all.await {
        assert!(done(&changed).is_some());
    }
    for n in 0..40 {
        let item = case.store.item(&key(&format!("K-{n}"))).await.expect("reads").expect("it is there");
        assert_eq!((item.state.as_str(), item.events), ("3", 3), "K-{n}");
    }
});

const PERSON: Hold = Hold { kind: HoldKind::ActiveCard, of: [7; 32] };

/// Takes the person for an item, unless another has it; answers with the one that has.
async fn take(store: &Store, id: &str, request: &str) -> Changed<ItemId> {
    let asked = Asked { holds: vec![PERSON], ..asked(id, request) };
    let decide = |found: &Found| match found.held.get(&PERSON) {
        Some(held) => Err(held.clone()),
        None => Ok(Decided { take: vec![PERSON], ..counted(found) }),
    };
    store.change_item(asked, decide).await.expect("a transaction")
}

async fn leave(store: &Store, id: &str, request: &str) {
    let asked = Asked { holds: vec![PERSON], ..asked(id, request) };
    let decide = |found: &Found| Ok::<_, ()>(Decided { leave: vec![PERSON], ..counted(found) });
    let left = store.change_item(asked, decide).await.expect("a transaction");
    assert!(matches!(left, Changed::Done(_)), "{left:?}");
}

contract!(what_one_item_has_alone_no_other_gets, |case| {
    let all = join_all(["K-1", "K-2", "K-3"].map(|id| take(&case.store, id, id))).await;
    assert_eq!(all.iter().filter(|one| matches!(one, Changed::Done(_))).count(), 1, "{all:?}");
    let has = all.iter().find_map(|one| match one {
        Changed::Refused(has) => Some(has.to_string()),
        _ => None,
    });
    let has = has.expect("the others are told who has it");
    let other = if has == "K-1" { "K-2" } else { "K-1" };
    leave(&case.store, other, "leave-1").await;
    let refused = take(&case.store, other, "take-1").await;
    assert_eq!(refused, Changed::Refused(has.parse().expect("an id")), "nobody leaves what is another's");
    leave(&case.store, &has, "leave-2").await;
    let taken = take(&case.store, other, "take-2").await;
    assert!(matches!(taken, Changed::Done(_)), "{taken:?}");
});

contract!(nobody_takes_what_was_not_asked_about, |case| {
    let decide = |found: &Found| Ok::<_, ()>(Decided { take: vec![PERSON], ..counted(found) });
    let taken = case.store.change_item(asked("K-1", "r-1"), decide).await;
    assert!(matches!(taken, Err(Error::Corrupt("hold"))), "{taken:?}");
});

contract!(a_history_has_a_limit, |case| {
    let events = |count: usize| {
        move |found: &Found| {
            let one = counted(found);
            Ok::<_, ()>(Decided { events: vec![one.events[0].clone(); count], state: "0".to_owned(), ..one })
        }
    };
    let full = case.store.change_item(asked("K-1", "r-1"), events(EVENTS_MAX)).await.expect("a transaction");
    assert!(matches!(full, Changed::Done(_)), "at the limit");
    let more = case.store.change_item(asked("K-1", "r-2"), |found: &Found| {
        Ok::<_, ()>(Decided { events: vec![(NOW, "{}".to_owned())], ..counted_anew(found) })
    });
    assert_eq!(more.await.expect("a transaction"), Changed::HistoryFull, "one above");
    assert_eq!(case.store.item_history(&key("K-1")).await.expect("reads").len(), EVENTS_MAX);
});

fn counted_anew(_: &Found) -> Decided {
    counted(&Found { item: None, history: Vec::new(), held: BTreeMap::new(), with: BTreeMap::new() })
}

contract!(what_happened_is_never_changed, |case| {
    count(&case.store, "K-1", "r-1".to_owned()).await;
    for sql in ["UPDATE history SET event = '{}'", "DELETE FROM history"] {
        let refused = case.try_raw(sql, sql).await.expect_err("it is refused");
        assert!(refused.to_string().contains("only ever added to"), "{refused}");
    }
});

contract!(an_item_that_contradicts_its_history_is_told_and_not_changed, |case| {
    count(&case.store, "K-1", "r-1".to_owned()).await;
    let sql = "UPDATE item SET events = 3";
    case.raw(sql, sql).await;
    let refused = case.store.change_item(asked("K-1", "r-2"), |found| Ok::<_, ()>(counted_anew(found))).await;
    assert!(matches!(refused, Err(Error::Corrupt("events"))), "{refused:?}");
    let sql = "DELETE FROM item";
    case.raw(sql, sql).await;
    let refused = case.store.change_item(asked("K-1", "r-3"), |found| Ok::<_, ()>(counted_anew(found))).await;
    assert!(matches!(refused, Err(Error::Corrupt("events"))), "{refused:?}");
});

contract!(items_are_listed_by_state_and_age_page_by_page, |case| {
    for n in 0..7_i64 {
        let decide = move |found: &Found| {
            let office = if n == 3 { "亀有" } else { "白鳥" }.to_owned();
            let state = if n < 5 { "STORED" } else { "DISPOSED" }.to_owned();
            Ok::<_, ()>(Decided { state, office, since_ms: NOW - n, cards: 2, ..counted(found) })
        };
        case.store
            .change_item(asked(&format!("K-{n}"), &format!("r-{n}")), decide)
            .await
            .expect("it is done");
    }
    let ids = async |which: WhichItems, count| {
        let page = case.store.list_items(ward(), ItemKind::Card, &which, count).await.expect("reads");
        page.into_iter().map(|item| item.key.id.to_string()).collect::<Vec<_>>()
    };
    let all = ids(WhichItems::default(), 100).await;
    assert_eq!(all, ["K-0", "K-1", "K-2", "K-3", "K-4", "K-5", "K-6"]);
    let after = |since: i64, id: &str| Some((since, id.parse().expect("an id")));
    assert_eq!(ids(WhichItems { after: after(0, "K-4"), ..WhichItems::default() }, 2).await, ["K-5", "K-6"]);
    let stored = WhichItems { state: Some("STORED".to_owned()), ..WhichItems::default() };
    assert_eq!(ids(stored.clone(), 2).await, ["K-4", "K-3"], "the longest first");
    let next = WhichItems { after: after(NOW - 3, "K-3"), ..stored.clone() };
    assert_eq!(ids(next, 9).await, ["K-2", "K-1", "K-0"]);
    let old = WhichItems { since_by_ms: Some(NOW - 3), ..stored.clone() };
    assert_eq!(ids(old, 9).await, ["K-4", "K-3"]);
    assert_eq!(ids(WhichItems { office: "亀有".to_owned(), ..stored }, 9).await, ["K-3"]);
});

contract!(what_goes_with_an_item_is_changed_with_it_or_not_at_all, |case| {
    let asked = |request: &str| Asked {
        with: vec![key("K-2"), key("K-3")],
        holds: vec![PERSON],
        ..asked("K-1", request)
    };
    let link = Link { kind: LinkKind::Person, of: [9; 32] };
    let both = move |found: &Found| {
        assert!(found.with[&key("K-3")].item.is_none());
        let second = &found.with[&key("K-2")];
        let second = Decided { take: vec![PERSON], link: vec![link], ..counted(&alone(second)) };
        Ok::<_, ItemId>(Decided { with: vec![(key("K-2"), second)], ..counted(found) })
    };
    let done = case.store.change_item(asked("r-1"), both).await.expect("a transaction");
    let Changed::Done(item) = done else { panic!("{done:?}") };
    assert_eq!(item.key, key("K-1"));
    let second = case.store.item(&key("K-2")).await.expect("reads").expect("it went with the first");
    assert_eq!((second.state.as_str(), second.events), ("1", 1));
    let history = case.store.item_history(&key("K-2")).await.expect("reads");
    assert_eq!((history.len(), history[0].request_id.as_str()), (1, "r-1"));
    let again = case.store.change_item(asked("r-1"), both).await.expect("a transaction");
    assert_eq!(again, Changed::Again(item));
    assert_eq!(case.store.held_by(ward(), PERSON).await.expect("reads"), Some(key("K-2").id));
    let of_person = case.store.linked(ward(), link, ItemKind::Card, None, 9).await.expect("reads");
    assert_eq!(of_person, [second]);
    assert_eq!(case.store.municipalities_linked(link).await.expect("reads"), [ward()]);

    // The hold goes from one to the other in one change; what is refused changes neither.
    let over = move |found: &Found| {
        let second = &found.with[&key("K-2")];
        let second = Decided { leave: vec![PERSON], unlink: vec![link], ..counted(&alone(second)) };
        Ok::<_, ItemId>(Decided { take: vec![PERSON], with: vec![(key("K-2"), second)], ..counted(found) })
    };
    let refused =
        case.store.change_item(asked("r-2"), |found: &Found| Err(found.held[&PERSON].clone())).await;
    assert_eq!(refused.expect("a transaction"), Changed::Refused(key("K-2").id));
    case.store.change_item(asked("r-3"), over).await.expect("a transaction");
    assert_eq!(case.store.held_by(ward(), PERSON).await.expect("reads"), Some(key("K-1").id));
    assert_eq!(case.store.linked(ward(), link, ItemKind::Card, None, 9).await.expect("reads"), []);
    let items = case.store.items_of(&[key("K-1"), key("K-2"), key("K-3")]).await.expect("reads");
    assert!(items.iter().all(|item| item.events == 2) && items.len() == 2, "{items:?}");
});

/// What goes with another, as it would be by itself.
fn alone(known: &Known) -> Found {
    let Known { item, history } = known.clone();
    Found { item, history, held: BTreeMap::new(), with: BTreeMap::new() }
}

contract!(what_has_ended_is_found_by_its_last_day, |case| {
    for (id, day) in [("K-1", "2026-01-31"), ("K-2", "2025-12-01"), ("K-3", "2026-02-01")] {
        let link = Link::of_day(Date::parse(day).expect("a day"));
        let decide = move |found: &Found| Ok::<_, ()>(Decided { link: vec![link], ..counted(found) });
        case.store.change_item(asked(id, id), decide).await.expect("a transaction");
    }
    let page = async |day: &str, after: Option<&(Link, ItemKey)>, count| {
        let day = Date::parse(day).expect("a day");
        case.store.ended_before(day, after, count).await.expect("reads")
    };
    let keys = |page: &[(Link, ItemKey)]| page.iter().map(|(_, key)| key.clone()).collect::<Vec<_>>();
    assert_eq!(keys(&page("2026-02-01", None, 9).await), [key("K-2"), key("K-1")]);
    let first = page("2026-02-01", None, 1).await;
    assert_eq!(keys(&first), [key("K-2")]);
    assert_eq!(keys(&page("2026-02-01", first.first(), 9).await), [key("K-1")], "the next page");
    assert_eq!(page("2025-12-01", None, 9).await, []);
});

contract!(a_request_is_known_by_its_actor_once_it_is_carried_out, |case| {
    let carried = async |actor: &str, request: &str| {
        case.store.carried_out(ward(), actor, request).await.expect("reads")
    };
    let asked = asked("K-1", "r-1");
    let actor = asked.actor.clone();
    assert_eq!(carried(&actor, "r-1").await, None);
    case.store.change_item(asked, |found: &Found| Ok::<_, ()>(counted(found))).await.expect("a transaction");
    assert_eq!(carried(&actor, "r-1").await, Some(key("K-1")));
    assert_eq!(carried("municipality/011002", "r-1").await, None, "another's id is another");
});

/// On a server alone: a file takes every text.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_the_database_refuses_takes_no_other_with_it() {
    let case = Case::postgres().await;
    let all = join_all((0..20_u32).map(|n| {
        let store = case.store.clone();
        async move {
            let asked = asked(&format!("K-{n}"), &format!("r-{n}"));
            let bad = n == 7;
            let decide = move |found: &Found| {
                let details = if bad { "\0" } else { "{}" }.to_owned();
                Ok::<_, ()>(Decided { details, ..counted(found) })
            };
            store.change_item(asked, decide).await
        }
    }));
    for (n, changed) in all.await.into_iter().enumerate() {
        assert_eq!(changed.is_ok(), n != 7, "{changed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_issuers_change_one_item_one_after_the_other() {
    let case = Case::postgres().await;
    let second = Store::open(&case.options).await.expect("issuers may share it");
    let all = join_all((0..40_u32).map(|n| {
        let store = if n.is_multiple_of(2) { case.store.clone() } else { second.clone() };
        // Each request comes to both of them.
        async move {
            let asked = asked("K-1", &format!("r-{}", n / 2));
            loop {
                match store.change_item(asked.clone(), |found| Ok::<_, ()>(counted(found))).await {
                    Err(Error::Overtaken) => {} // it lost five times: its caller asks again
                    other => return other.expect("a transaction"),
                }
            }
        }
    }));
    let all: Vec<_> = all.await;
    assert_eq!(all.iter().filter(|one| matches!(one, Changed::Done(_))).count(), 20, "{all:?}");
    assert_eq!(all.iter().filter(|one| matches!(one, Changed::Again(_))).count(), 20, "{all:?}");
    let item = case.store.item(&key("K-1")).await.expect("reads").expect("it is there");
    assert_eq!((item.state.as_str(), item.events), ("20", 20));
    second.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_issuers_one_gets_what_is_had_alone() {
    let case = Case::postgres().await;
    let second = Store::open(&case.options).await.expect("issuers may share it");
    let all = join_all((0..16_u32).map(|n| {
        let store = if n.is_multiple_of(2) { case.store.clone() } else { second.clone() };
        async move { take(&store, &format!("K-{n}"), &format!("r-{n}")).await }
    }));
    let all: Vec<_> = all.await;
    assert_eq!(all.iter().filter(|one| matches!(one, Changed::Done(_))).count(), 1, "{all:?}");
    second.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_refused_what_was_done_for_it_at_another_issuer() {
    let case = Case::postgres().await;
    let second = Store::open(&case.options).await.expect("issuers may share it");
    let once = async |store: &Store, n: u32| {
        let decide = |found: &Found| match found.item {
            Some(_) => Err("it is there"),
            None => Ok(counted(found)),
        };
        store.change_item(asked(&format!("K-{n}"), &format!("r-{n}")), decide).await.expect("a transaction")
    };
    for n in 0..60_u32 {
        let both = futures_util::future::join(once(&case.store, n), once(&second, n)).await;
        let both = [both.0, both.1];
        assert!(both.iter().all(|one| !matches!(one, Changed::Refused(_))), "{both:?}");
    }
    second.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_issuers_one_carries_a_request_out() {
    let case = Case::postgres().await;
    let second = Store::open(&case.options).await.expect("issuers may share it");
    for n in 0..8_u32 {
        let request = format!("r-{n}");
        let (one, other) = (format!("K-{n}"), format!("L-{n}"));
        let both = [count(&case.store, &one, request.clone()), count(&second, &other, request)];
        let both = join_all(both.map(Box::pin)).await;
        assert_eq!(both.iter().filter(|one| matches!(one, Changed::Done(_))).count(), 1, "{both:?}");
        assert!(both.contains(&Changed::RequestReused), "{both:?}");
    }
    second.close().await;
}

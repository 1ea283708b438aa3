//! What was asked, decided in a group and carried out with it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    domain::{
        digest::Digest,
        item::{Hold, ItemId, ItemKey},
        municipality::MunicipalityCode,
    },
    telemetry::names,
};

use super::{
    super::{
        Error, Store,
        group::{Job, Next, Pending, answer_all},
    },
    rows::{Asked, Changed, Decided, EVENTS_MAX, EventRow, Found, ItemRow, Known},
    steps::{ItemSteps as _, LinkOf, NewEvent, NewRequest, OfItem, RequestKey},
};

statements! {
    // An item and its history as they are at one moment.
    WHOLE = "
        SELECT i.events - (SELECT COUNT(*) FROM history AS h
            WHERE h.municipality_code = i.municipality_code AND h.kind = i.kind AND h.item_id = i.item_id)
            AS differ
        FROM item AS i WHERE i.municipality_code = $1 AND i.kind = $2 AND i.item_id = $3";
}

/// What decides; asked again if somebody else was faster. `None`: it refuses.
type Decide = Box<dyn Fn(&Found) -> Option<Decided> + Send + Sync>;

/// A change that can wait in a queue.
pub(in crate::store) struct Change {
    asked: Asked,
    decide: Decide,
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change").field("asked", &self.asked).finish_non_exhaustive()
    }
}

/// What two changes of one group cannot both have.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::store) enum Alone {
    Item(ItemKey),
    Request(RequestKey),
    Hold(MunicipalityCode, Hold),
}

impl Change {
    fn alone(&self) -> impl Iterator<Item = Alone> {
        let Asked { key, with, holds, .. } = &self.asked;
        let holds = holds.iter().map(|hold| Alone::Hold(key.municipality, *hold));
        let items = with.iter().map(|key| Alone::Item(key.clone()));
        let request = Alone::Request(self.asked.request());
        [Alone::Item(key.clone()), request].into_iter().chain(items).chain(holds)
    }
}

impl Job for Change {
    /// Why it is refused stays with who asked.
    type Outcome = Changed<()>;
    type Taken = HashSet<Alone>;

    fn enter(&self, taken: &mut Self::Taken) -> bool {
        if self.alone().any(|one| taken.contains(&one)) {
            return false;
        }
        taken.extend(self.alone());
        true
    }
}

impl Store {
    /// Changes an item as `decide` says, which is asked with what is committed at that moment, and may be
    /// asked several times. A refusal changes nothing, and is not kept: the same request may succeed later.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction; [`Error::Corrupt`] if what is stored of the item contradicts itself.
    pub async fn change_item<R: Send + 'static>(
        &self,
        asked: Asked,
        decide: impl Fn(&Found) -> Result<Decided, R> + Send + Sync + 'static,
    ) -> Result<Changed<R>, Error> {
        let refusal = Arc::new(Mutex::new(None));
        let keep = Arc::clone(&refusal);
        let decide: Decide = Box::new(move |found| {
            let refused = |why| *keep.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
            decide(found).map_err(refused).ok()
        });
        let mut waiting = self.items.join(Arc::new(Change { asked, decide }));
        let changed = loop {
            match self.items.wait(&mut waiting, usize::MAX).await {
                Next::Answer(outcome) => break outcome?,
                Next::Commit(_turn, group) => self.change_group(group).await,
            }
        };
        Ok(match changed {
            Changed::Done(item) => Changed::Done(item),
            Changed::Again(item) => Changed::Again(item),
            Changed::RequestReused => Changed::RequestReused,
            Changed::HistoryFull => Changed::HistoryFull,
            Changed::Refused(()) => {
                let why = refusal.lock().unwrap_or_else(PoisonError::into_inner).take();
                Changed::Refused(why.expect("who refused said why"))
            }
        })
    }

    /// Carries a group out in one transaction; if that fails on one of them, each in its own, so that each
    /// learns its own fate.
    async fn change_group(&self, group: Vec<Pending<Change>>) {
        if group.is_empty() {
            return; // everybody who waited was answered or is gone
        }
        #[expect(clippy::cast_precision_loss, reason = "a handful of changes")]
        metrics::histogram!(names::STORE_CHANGES).record(group.len() as f64);
        let changes: Vec<&Change> = group.iter().map(|one| &*one.job).collect();
        let together = self.change_together("change_items", &changes).await;
        drop(changes);
        match together {
            Ok(outcomes) => {
                group.into_iter().zip(outcomes).for_each(|(one, outcome)| one.answer(Ok(outcome)));
            }
            Err(error) if group.len() == 1 || error.shared().is_some() => answer_all(group, error),
            Err(_) => {
                for one in group {
                    let outcome = self.change_together("change_item", &[&*one.job]).await;
                    one.answer(outcome.map(|mut outcomes| outcomes.remove(0)));
                }
            }
        }
    }

    /// Returns how each came out, in their order.
    async fn change_together(
        &self,
        name: &'static str,
        changes: &[&Change],
    ) -> Result<Vec<Changed<()>>, Error> {
        in_tx!(first self, name, |tx| {
            let plan = Plan::of(changes, tx.found(changes).await?)?;
            tx.write(&plan).await?;
            tx.none_was_done(changes, &plan).await?;
            Ok(plan.outcomes)
        })
    }
}

on_both! {
    trait ChangeSteps {
        /// Returns what is committed of all that these changes ask about.
        async fn found(&mut conn, changes: &[&Change]) -> Result<State, Error> {
            let asked = || changes.iter().map(|change| &change.asked);
            let requests: Vec<RequestKey> = asked().map(Asked::request).collect();
            let keys: Vec<&ItemKey> = asked().flat_map(Asked::keys).collect();
            let holds: Vec<OfItem<'_>> =
                asked().flat_map(|asked| of_item(&asked.key, &asked.holds)).collect();
            let mut state = State::default();
            for one in conn.carried(&requests).await? {
                state.carried.insert(one.request, (one.fingerprint, one.item));
            }
            for item in conn.items(&keys).await? {
                state.items.insert(item.key.clone(), item);
            }
            for (key, event) in conn.histories(&keys).await? {
                state.histories.entry(key).or_default().push(event);
            }
            for key in keys {
                let (events, history) = (state.events(key), state.histories.get(key).map_or(0, Vec::len));
                if events != history {
                    // Either somebody committed between the two looks, or it is so.
                    let query = sqlx::query_scalar(WHOLE).bind(key.municipality.to_string());
                    let query = query.bind(key.kind.as_str()).bind(key.id.as_str());
                    let differ: Option<i64> = query.fetch_optional(&mut *conn).await?;
                    return Err(if differ == Some(0) { Error::Overtaken } else { Error::Corrupt("events") });
                }
            }
            if !holds.is_empty() {
                for (municipality, hold, id) in conn.holders(&holds).await? {
                    state.holders.insert((municipality, hold), id);
                }
            }
            Ok(state)
        }

        /// Writes what was decided; [`Error::Overtaken`] if somebody else has changed what it was decided on.
        async fn write(&mut conn, plan: &Plan<'_>) -> Result<(), Error> {
            if plan.items.is_empty() {
                return Ok(());
            }
            let unless =
                |made: u64, wanted: usize| if made == wanted as u64 { Ok(()) } else { Err(Error::Overtaken) };
            unless(conn.add_events(&plan.events).await?, plan.events.len())?;
            unless(conn.put_items(&plan.items).await?, plan.items.len())?;
            unless(conn.add_requests(&plan.requests).await?, plan.requests.len())?;
            if !plan.left.is_empty() {
                conn.leave_holds(&plan.left).await?;
            }
            if !plan.taken.is_empty() {
                unless(conn.take_holds(&plan.taken).await?, plan.taken.len())?;
            }
            if !plan.unlinked.is_empty() {
                conn.remove_links(&plan.unlinked).await?;
            }
            if !plan.linked.is_empty() {
                conn.add_links(&plan.linked).await?;
            }
            Ok(())
        }

        /// Sees to it that nobody is refused what was done for it at this moment elsewhere: what was written
        /// is guarded by its position, and a refusal by nothing else.
        async fn none_was_done(&mut conn, changes: &[&Change], plan: &Plan<'_>) -> Result<(), Error> {
            let refused = changes.iter().zip(&plan.outcomes);
            let refused =
                refused.filter(|(_, one)| matches!(one, Changed::Refused(()) | Changed::HistoryFull));
            let requests: Vec<RequestKey> = refused.map(|(change, _)| change.asked.request()).collect();
            let was_done = !requests.is_empty() && !conn.carried(&requests).await?.is_empty();
            if was_done { Err(Error::Overtaken) } else { Ok(()) }
        }
    }
}

impl Asked {
    /// By what the request is known.
    fn request(&self) -> RequestKey {
        (self.key.municipality, self.actor.clone(), self.request_id.clone())
    }

    /// Every item that it is decided on.
    fn keys(&self) -> impl Iterator<Item = &ItemKey> {
        std::iter::once(&self.key).chain(&self.with)
    }
}

fn of_item<'a>(key: &'a ItemKey, holds: &'a [Hold]) -> impl Iterator<Item = OfItem<'a>> {
    holds.iter().map(move |hold| OfItem { key, hold })
}

/// What is committed of all that a group asks about.
#[derive(Debug, Default)]
struct State {
    carried: HashMap<RequestKey, (Digest, ItemKey)>,
    items: HashMap<ItemKey, ItemRow>,
    histories: HashMap<ItemKey, Vec<EventRow>>,
    holders: HashMap<(MunicipalityCode, Hold), ItemId>,
}

impl State {
    /// What one change is decided on. Each is asked for once, as no two of a group have the same item.
    fn found(&mut self, asked: &Asked) -> Found {
        let item = self.items.remove(&asked.key);
        let history = self.histories.remove(&asked.key).unwrap_or_default();
        let mut held = BTreeMap::new();
        for hold in &asked.holds {
            held.extend(self.holders.remove(&(asked.key.municipality, *hold)).map(|id| (*hold, id)));
        }
        let with = asked.with.iter().map(|key| {
            let history = self.histories.remove(key).unwrap_or_default();
            (key.clone(), Known { item: self.items.remove(key), history })
        });
        let with = with.collect();
        Found { item, history, held, with }
    }

    /// How many events an item says it has.
    fn events(&self, key: &ItemKey) -> usize {
        self.items.get(key).map_or(0, |item| item.events as usize)
    }
}

/// What a group writes, sorted by key, so that no two groups wait for each other.
#[derive(Debug, Default)]
struct Plan<'a> {
    events: Vec<NewEvent<'a>>,
    items: Vec<ItemRow>,
    requests: Vec<NewRequest<'a>>,
    taken: Vec<OfItem<'a>>,
    left: Vec<OfItem<'a>>,
    linked: Vec<LinkOf<'a>>,
    unlinked: Vec<LinkOf<'a>>,
    outcomes: Vec<Changed<()>>,
}

impl<'a> Plan<'a> {
    fn of(changes: &[&'a Change], mut state: State) -> Result<Self, Error> {
        let mut plan = Self::default();
        for change in changes {
            let outcome = plan.add(change, &mut state)?;
            plan.outcomes.push(outcome);
        }
        plan.events.sort_by(|a, b| (a.key, a.row.position).cmp(&(b.key, b.row.position)));
        plan.items.sort_by(|a, b| a.key.cmp(&b.key));
        plan.requests.sort_by_key(|one| (one.key.municipality, one.actor, one.request_id));
        for holds in [&mut plan.taken, &mut plan.left] {
            holds.sort_by_key(|one| (one.key.municipality, one.hold));
        }
        for links in [&mut plan.linked, &mut plan.unlinked] {
            links.sort_by(|a, b| (a.link, a.key).cmp(&(b.link, b.key)));
        }
        Ok(plan)
    }

    fn add(&mut self, change: &'a Change, state: &mut State) -> Result<Changed<()>, Error> {
        let asked = &change.asked;
        let found = state.found(asked);
        if let Some((fingerprint, key)) = state.carried.get(&asked.request()) {
            if (fingerprint, key) != (&asked.fingerprint, &asked.key) {
                return Ok(Changed::RequestReused);
            }
            return found.item.map(Changed::Again).ok_or(Error::Corrupt("request"));
        }
        let Some(decided) = (change.decide)(&found) else { return Ok(Changed::Refused(())) };
        let full =
            |history: &[EventRow], decided: &Decided| history.len() + decided.events.len() > EVENTS_MAX;
        let others =
            decided.with.iter().filter_map(|(key, one)| found.with.get(key).map(|known| (known, one)));
        let mut others = others.map(|(known, one)| full(&known.history, one));
        if full(&found.history, &decided) || others.any(|full| full) {
            return Ok(Changed::HistoryFull);
        }
        asked.looks_at_all(&decided)?;
        Ok(Changed::Done(self.enter(asked, &found, decided)))
    }

    /// Enters what is to be written, and returns the item as it will stand.
    fn enter(&mut self, asked: &'a Asked, found: &Found, mut decided: Decided) -> ItemRow {
        let keys: HashMap<&ItemKey, &'a ItemKey> = asked.with.iter().map(|key| (key, key)).collect();
        for (key, decided) in std::mem::take(&mut decided.with) {
            let known = found.with.get(&key).expect("only what was asked for is changed");
            let key = keys[&key];
            self.enter_item(asked, key, (known.item.as_ref(), &found.held), decided);
        }
        let item = self.enter_item(asked, &asked.key, (found.item.as_ref(), &found.held), decided);
        self.requests.push(NewRequest {
            key: &asked.key,
            actor: &asked.actor,
            request_id: &asked.request_id,
            fingerprint: &asked.fingerprint,
            position: item.events,
            recorded_ms: asked.now_ms,
        });
        item
    }

    fn enter_item(
        &mut self,
        asked: &'a Asked,
        key: &'a ItemKey,
        (before, held): (Option<&ItemRow>, &BTreeMap<Hold, ItemId>),
        decided: Decided,
    ) -> ItemRow {
        let mut position = before.map_or(0, |item| item.events);
        for (occurred_ms, event) in decided.events {
            position += 1;
            let row = EventRow {
                position,
                occurred_ms,
                recorded_ms: asked.now_ms,
                actor: asked.actor.clone(),
                request_id: asked.request_id.clone(),
                event,
            };
            self.events.push(NewEvent { key, row });
        }
        for one in of_item(key, &asked.holds) {
            let has_it = held.get(one.hold) == Some(&key.id);
            if decided.take.contains(one.hold) && !has_it {
                self.taken.push(one);
            } else if decided.leave.contains(one.hold) && has_it {
                self.left.push(one);
            }
        }
        self.linked.extend(decided.link.into_iter().map(|link| LinkOf { key, link }));
        self.unlinked.extend(decided.unlink.into_iter().map(|link| LinkOf { key, link }));
        let item = ItemRow {
            key: key.clone(),
            state: decided.state,
            since_ms: decided.since_ms,
            events: position,
            office: decided.office,
            cards: decided.cards,
            details: decided.details,
        };
        self.items.push(item.clone());
        item
    }
}

//! A card whose last day is over becomes EXPIRED by itself: one issuer at a time looks for such cards, a
//! page a round, and goes on behind those that cannot expire where they are.

use crate::{
    domain::{
        date::Date,
        digest::Digest,
        item::{ItemKey, Link},
    },
    store::{self, Asked, Changed, Decided, Found},
    telemetry::names,
};

use super::{
    super::core::Core,
    event::Event,
    life::{Life, details, hold},
};

/// Cards that are looked at in one round.
const PAGE: u32 = 200;
/// Who expires them, in their history.
const ACTOR: &str = "issuer/expiry";

/// Where the next round goes on; a new one begins with the oldest.
#[derive(Debug, Default)]
pub(crate) struct Expiring {
    after: Option<(Link, ItemKey)>,
}

impl Expiring {
    /// Expires what is on the next page of cards whose last day is over.
    pub(crate) async fn round(&mut self, core: &Core) -> Result<(), store::Error> {
        let today = Date::in_japan(core.clock.now_ms());
        let ended = core.store.ended_before(today, self.after.as_ref(), PAGE).await?;
        self.after = ended.last().filter(|_| ended.len() == PAGE as usize).cloned();
        let mut expired: u64 = 0;
        for (_, key) in ended {
            expired += u64::from(expire(core, key, today).await?);
        }
        if expired > 0 {
            metrics::counter!(names::CARDS_EXPIRED).increment(expired);
            tracing::info!(cards = expired, "the last day of {expired} cards was over: they are EXPIRED");
        }
        Ok(())
    }
}

/// Expires a card, and says whether it did: one that is on its way or being activated is left for later.
async fn expire(core: &Core, key: ItemKey, today: Date) -> Result<bool, store::Error> {
    let Some(item) = core.store.item(&key).await? else { return Ok(false) };
    let Some(hold) = details(&item).ok().and_then(|details| hold(&details).ok()) else {
        tracing::error!("card {key} is unreadable: it is not looked at for its last day");
        return Ok(false);
    };
    let now_ms = core.clock.now_ms();
    let named = Digest::of(format!("{today}\n{key}").as_bytes());
    let asked = Asked {
        key: key.clone(),
        with: Vec::new(),
        request_id: format!("expire-{today}-{}", &named.to_string()[..32]),
        fingerprint: named,
        actor: ACTOR.to_owned(),
        holds: vec![hold],
        now_ms,
    };
    let decide = move |found: &Found| -> Result<Decided, ()> {
        let life = Life::of(&found.history).map_err(|_| ())?;
        let last_day = life.last_day().ok_or(())?;
        let event = Event::Expire { on: today.to_string(), last_day: last_day.to_string() };
        let after = life.then(&key.id, std::slice::from_ref(&event), now_ms).map_err(|_| ())?;
        after.decided(&[event], now_ms).map_err(|_| ())
    };
    Ok(matches!(core.store.change_item(asked, decide).await?, Changed::Done(_)))
}

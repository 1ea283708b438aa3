//! What is said while nothing can be kept waits, and goes on record once it can, each decision once: also
//! when it is not known whether the last step was kept.

use super::{Controller, Core, KEEP_MAX, seconds, step::Draft};
use crate::pool::{
    keeper::{KeepError, KeptDecision},
    policy::{Alarm, Decision, Fact, Kind},
};

/// Decisions of a time without database that wait to be kept; the oldest stay.
const UNKEPT_MAX: usize = 256;

/// What waits, and when each was said, in ms since 1970.
#[derive(Default)]
pub(super) struct Unkept {
    waits: Vec<(Decision, i64)>,
    /// The epoch in which it was said last.
    epoch: u64,
}

impl Unkept {
    fn add(&mut self, decisions: Vec<Decision>, epoch: u64, now_ms: i64) {
        self.epoch = epoch;
        let room = UNKEPT_MAX - self.waits.len();
        self.waits.extend(decisions.into_iter().map(|decision| (decision, now_ms)).take(room));
    }

    /// All that is to go on record with these decisions: what waits, and they.
    pub(super) fn and(&self, decisions: &[Decision], now_ms: i64) -> Vec<(Decision, i64)> {
        let decisions = decisions.iter().map(|decision| (decision.clone(), now_ms));
        self.waits.iter().cloned().chain(decisions).collect()
    }

    /// It is on record, or counts for nothing.
    pub(super) fn clear(&mut self) {
        self.waits.clear();
    }

    /// Where another issuer has decided since, what was said before counts for nothing.
    pub(super) fn clear_if_before(&mut self, kept: u64) {
        if kept > self.epoch {
            self.clear();
        }
    }

    /// Takes out what is on record after all.
    fn strike(&mut self, on_record: &[KeptDecision]) {
        self.waits.retain(|(decision, ms)| {
            let waits = row(decision, 0, *ms);
            !on_record.iter().any(|row| row.decided_ms == *ms && row.record == waits.record)
        });
    }
}

impl Core {
    /// What waits and is not on record waits on: that the database is away is then still to be said, and so
    /// is its end.
    pub(super) fn wait_on(&mut self, on_record: &[KeptDecision], now_ms: i64) {
        self.unkept.strike(on_record);
        if !self.unkept.waits.is_empty() {
            let now_s = self.seconds.at(seconds(now_ms));
            self.policy.step(now_s, &self.judgement, &[Fact::Database { away: true }]);
            let away = |kind: &Kind| *kind == Kind::Alarm(Alarm::DatabaseAway);
            if let Some((first, _)) = self.unkept.waits.iter().find(|(one, _)| away(&one.kind)) {
                self.policy.away_since(first.second);
            }
        }
    }

    /// Nothing can be kept: what is in force stays so, and only what was told of leases is noted.
    pub(super) fn freeze(&mut self, draft: Draft, now_ms: i64, error: &KeepError) {
        self.unsure |= matches!(error, KeepError::Unknown(_));
        let Draft { judgement, mut input, .. } = draft;
        input.facts.retain(|fact| !matches!(fact, Fact::Order(_) | Fact::Database { .. }));
        input.facts.insert(0, Fact::Database { away: true });
        let decisions = self.policy.step(input.second, &judgement, &input.facts);
        self.judgement = judgement;
        self.recorder.step(input, &decisions);
        self.unkept.add(decisions, self.epoch, now_ms);
        if !std::mem::replace(&mut self.frozen, true) {
            tracing::error!("the pool is frozen, as its database is away: leases and view stay as they are");
        }
    }
}

impl Controller {
    /// Reads anew what is kept, if it is not known whether the last step was: what is decided next must
    /// follow on what is on record.
    pub(super) async fn make_sure(&self) -> Result<(), KeepError> {
        if !self.core().unsure {
            return Ok(());
        }
        if self.load().await.is_none() {
            return Err(KeepError::Away("it cannot be read whether the last step was kept".to_owned()));
        }
        let on_record = self.on_record().await?;
        let now_ms = self.0.clock.now_ms();
        let core = &mut *self.core();
        core.go_on(now_ms);
        core.wait_on(&on_record, now_ms);
        tracing::info!("what was kept of the pool is read anew: it was not known whether the last step was");
        Ok(())
    }
}

impl Controller {
    /// The last decisions that are on record, if any waits that may be among them.
    pub(super) async fn on_record(&self) -> Result<Vec<KeptDecision>, KeepError> {
        if self.core().unkept.waits.is_empty() {
            return Ok(Vec::new());
        }
        let last = UNKEPT_MAX.try_into().unwrap_or(u32::MAX);
        let read = tokio::time::timeout(KEEP_MAX, self.0.keeper.before(u64::MAX, last, None)).await;
        let on_record = read.unwrap_or_else(|_| Err(KeepError::Away("it does not answer".to_owned())));
        on_record.inspect_err(|_| self.core().unsure = true)
    }
}

/// A decision as it is kept.
pub(super) fn row(decision: &Decision, epoch: u64, now_ms: i64) -> KeptDecision {
    let kind = serde_json::to_value(&decision.kind).expect("a kind has a JSON form");
    let kind = match &kind {
        serde_json::Value::String(word) => word.clone(),
        serde_json::Value::Object(object) => object.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    };
    KeptDecision {
        number: 0,
        epoch,
        decided_ms: now_ms,
        unit: decision.unit.as_ref().map(ToString::to_string).unwrap_or_default(),
        kind,
        record: serde_json::to_string(decision).expect("a decision has a JSON form"),
    }
}

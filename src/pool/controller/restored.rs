//! A controller that is started anew goes on with what its judge knew, where its own record says so up to a
//! moment ago; else its judge begins anew, and why is said.

use super::{Controller, Core, seconds};
use crate::{
    pool::{
        evidence::UnitId,
        ledger::{self, NoEnd},
        policy::{Policy, Unit},
    },
    runtime::blocking,
};

/// The units that a policy has judged.
fn judged(policy: &Policy) -> Vec<&UnitId> {
    policy.judged().map(Unit::id).collect()
}

impl Core {
    /// Goes on from the end of a record, if it is of the state that was read from the database: of the same
    /// controller, with the same units in use. The seconds since then are judged as ones without evidence.
    fn restore(&mut self, end: ledger::End, now_ms: i64) -> Result<(), &'static str> {
        let ledger::End { judge, policy } = end;
        if policy.epoch() != self.policy.epoch() || judged(&policy) != judged(&self.policy) {
            return Err("what the database says is not what the record ends with");
        }
        if judge.parameters() != self.judge.parameters() {
            return Err("the rule's numbers are others now");
        }
        self.seconds.after(policy.second());
        let age_s = self.seconds.at(seconds(now_ms)) - policy.second();
        self.judge = judge;
        tracing::info!(age_s, "what was known of the relays is read from the record: it ended {age_s} s ago");
        Ok(())
    }
}

impl Controller {
    /// Makes the judge know what is on record, before it judges for the first time.
    pub(super) async fn restore(&self) {
        let Some(folder) = self.0.ledger_dir.clone() else { return };
        let Some(kept @ 1..) = self.load().await else { return };
        let age_max_s = self.0.options.rule.silence_s.into();
        let now_s = self.core().seconds.at(seconds(self.0.clock.now_ms()));
        let anew = "the judge begins anew, and what spoke against a relay is forgotten";
        match blocking(move || ledger::resume(&folder, now_s, age_max_s)).await {
            Ok(end) => {
                let now_ms = self.0.clock.now_ms();
                let mut core = self.core();
                match core.restore(end, now_ms) {
                    Ok(()) => core.restored = Some(kept),
                    Err(why) => tracing::warn!("{anew}: {why}"),
                }
            }
            Err(why @ (NoEnd::Nothing | NoEnd::Old(_))) => tracing::info!("{anew}: {why}"),
            Err(why) => tracing::error!(error = %why, "{anew}: {why}"),
        }
    }
}

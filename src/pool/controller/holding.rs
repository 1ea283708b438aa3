//! The lease of the database is held by one issuer, which begins where the last one ended, and decides over
//! nothing that it cannot read.

use super::{CONTROLLER_LEASE, Controller, Core, KEEP_MAX, intake};
use crate::pool::{
    keeper::KeepError,
    policy::{self, Policy},
};

/// Who follows and made no step for so long, in ms, may have missed reports.
const MISSED_MS: i64 = 5_000;

/// Who decides, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Of the lease that is held here; 0: none.
    pub epoch: u64,
    /// Whether nothing can be decided, as the database is away.
    pub frozen: bool,
}

impl Core {
    /// Goes on from what was just read: what comes does not follow on what was here before, and who held a
    /// lease is believed to hold it.
    pub(super) fn go_on(&mut self, now_ms: i64) {
        self.recorder.interrupt();
        self.believe(now_ms);
    }

    /// Decides no more, and shows it, from now on; returns in which epoch it did, 0: in none.
    pub(super) fn rest(&mut self, now_ms: i64) -> u64 {
        let epoch = std::mem::take(&mut self.epoch);
        let now_s = self.seconds.at(super::seconds(now_ms));
        self.show(now_s);
        epoch
    }

    fn believe(&mut self, now_ms: i64) {
        self.believed_until_ms = now_ms + intake::LEASE_MS;
        let Self { intake, policy, .. } = self;
        intake.believe(policy, now_ms);
    }

    /// Follows what was `read` of another issuer's decisions. Who begins to, or was stopped meanwhile, has
    /// not heard of any relay lately, and lets those in that hold a lease by what was read.
    pub(super) fn follow_on(&mut self, read: bool, now_ms: i64) {
        if !read {
            return;
        }
        let heard_ms = std::mem::replace(&mut self.followed_ms, now_ms);
        if !(heard_ms..heard_ms + MISSED_MS).contains(&now_ms) {
            self.believe(now_ms);
        }
    }
}

impl Controller {
    /// Who decides.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let core = self.core();
        Standing { epoch: core.epoch, frozen: core.frozen }
    }

    /// Keeps its lease, or tries to get it; whether it holds it.
    pub(super) async fn renew(&self) -> bool {
        let (held, now_ms) = (self.core().epoch, self.0.clock.now_ms());
        let lease_ms = i64::try_from(CONTROLLER_LEASE.as_millis()).expect("a few seconds");
        let taken = self.0.keeper.take(&self.0.name, held, now_ms, lease_ms);
        let taken = tokio::time::timeout(KEEP_MAX, taken).await;
        let taken = taken.unwrap_or_else(|_| Err(KeepError::Away("it does not answer".to_owned())));
        self.core().unrenewed = taken.is_err();
        match taken {
            Ok(Some(epoch)) if epoch == held => true,
            Ok(Some(epoch)) => self.take_over(epoch).await,
            Ok(None) => {
                if std::mem::take(&mut self.core().epoch) > 0 {
                    tracing::warn!(
                        "the lease to decide for the pool is over here: another issuer took it, or may"
                    );
                }
                false
            }
            Err(error) => {
                tracing::warn!(%error, "the pool's lease was not renewed: {error}");
                false
            }
        }
    }

    /// Whose the lease is that could not be renewed and is over: `None`, another's; away, if nobody has taken
    /// it since.
    pub(super) async fn whose(&self, epoch: u64) -> Result<Option<u64>, KeepError> {
        let holder = tokio::time::timeout(KEEP_MAX, self.0.keeper.holder()).await;
        let away = |why: &str| KeepError::Away(why.to_owned());
        match holder.unwrap_or_else(|_| Err(away("it does not answer")))? {
            Some(holder) if holder.owner == self.0.name && holder.epoch == epoch => {
                Err(away("the lease to decide cannot be renewed"))
            }
            _ => Ok(None),
        }
    }

    /// Reads what was kept, and goes on from there.
    async fn take_over(&self, epoch: u64) -> bool {
        let _turn = self.0.turn.lock().await;
        let Some(kept) = self.load().await else { return false };
        self.core().unkept.clear_if_before(kept);
        let Ok(on_record) = self.on_record().await else { return false };
        let (mut core, now_ms) = (self.core(), self.0.clock.now_ms());
        core.epoch = epoch;
        core.go_on(now_ms);
        core.wait_on(&on_record, now_ms);
        // Where another has decided since, the judge is the younger one for it.
        let restored = core.restored.take() == Some(kept);
        core.intake.add(policy::Fact::Controller { epoch, restored });
        tracing::info!(epoch, "this issuer decides for the pool, epoch {epoch}");
        true
    }

    /// Reads what is kept, and says in which epoch that was, 0 if nothing is; `None` if it cannot be read.
    pub(super) async fn load(&self) -> Option<u64> {
        let kept = tokio::time::timeout(KEEP_MAX, self.0.keeper.kept()).await;
        let kept = match kept.unwrap_or_else(|_| Err(KeepError::Away("it does not answer".to_owned()))) {
            Ok(kept) => kept,
            Err(error) => {
                tracing::warn!(%error, "what was kept of the pool cannot be read: {error}");
                return None;
            }
        };
        let Some(kept) = kept else {
            self.core().unsure = false;
            return Some(0);
        };
        match serde_json::from_str::<Policy>(&kept.state) {
            Ok(mut policy) => {
                // What was kept has the numbers of the one that kept it.
                policy.set_parameters(self.0.options.policy.clone());
                let mut core = self.core();
                core.seconds.after(policy.second());
                (core.damaged, core.unsure) = (false, false);
                core.policy = policy;
                Some(kept.epoch)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.core().damaged, true) {
                    tracing::error!(%error, "what was kept of the pool is not understood ({error}): was it \
                        written by a newer version? then start that one; else `todoke report verify-store`");
                }
                None
            }
        }
    }
}

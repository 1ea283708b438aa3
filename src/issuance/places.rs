//! No municipality takes more than its share of places, so that there is always one for the others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    domain::municipality::MunicipalityCode,
    wire::fault::{Fault, Reason},
};

/// Places of one kind: so many in all, and so many for each municipality.
#[derive(Debug)]
pub(crate) struct Places {
    what: &'static str,
    all: Arc<Semaphore>,
    share_max: usize,
    shares: Arc<Shares>,
}

/// How many places each municipality has; one that has none stands for nothing here.
type Shares = Mutex<HashMap<MunicipalityCode, usize>>;

/// One of a municipality's places; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    shares: Arc<Shares>,
    municipality: MunicipalityCode,
}

/// A place, and the municipality's share of it.
#[derive(Debug)]
pub(crate) struct Place {
    _share: Share,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    /// `what` names the places in words: "upload streams". Each limit is 1 at least.
    pub(crate) fn new(what: &'static str, all_max: usize, share_max: usize) -> Self {
        let all = Arc::new(Semaphore::new(all_max.max(1)));
        Self { what, all, share_max: share_max.max(1), shares: Arc::default() }
    }

    /// Takes a place at once.
    ///
    /// # Errors
    /// `TENANT_RATE_LIMIT` if the municipality has its share, `LANE_FULL` if all places are taken.
    pub(crate) fn take(&self, municipality: MunicipalityCode) -> Result<Place, Fault> {
        let share = self.share(municipality)?;
        let permit = Arc::clone(&self.all).try_acquire_owned().map_err(|_| {
            Fault::new(Reason::LaneFull, format!("all {} are taken: wait and try again", self.what))
                .after(Duration::from_secs(1))
        })?;
        Ok(Place { _share: share, _permit: permit })
    }

    /// Waits for a place in turn, so long as `patience` lasts; whoever waits holds one of its municipality's.
    ///
    /// # Errors
    /// As for [`Places::take`].
    pub(crate) async fn wait(
        &self,
        municipality: MunicipalityCode,
        patience: Duration,
    ) -> Result<Place, Fault> {
        let share = self.share(municipality)?;
        let permit = tokio::time::timeout(patience, Arc::clone(&self.all).acquire_owned()).await;
        let permit = permit.map_err(|_| {
            Fault::new(Reason::LaneFull, format!("all {} stay taken: wait and try again", self.what))
                .after(patience)
        })?;
        Ok(Place { _share: share, _permit: permit.expect("the semaphore is never closed") })
    }

    fn share(&self, municipality: MunicipalityCode) -> Result<Share, Fault> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = shares.entry(municipality).or_default();
        if *taken >= self.share_max {
            let words = format!(
                "{municipality} has {} of the {}, its limit: wait until one ends",
                self.share_max, self.what
            );
            return Err(Fault::new(Reason::TenantRateLimit, words).after(Duration::from_secs(1)));
        }
        *taken += 1;
        Ok(Share { shares: Arc::clone(&self.shares), municipality })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = shares.get_mut(&self.municipality) {
            *taken -= 1;
            if *taken == 0 {
                shares.remove(&self.municipality);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> MunicipalityCode {
        text.parse().expect("a municipality")
    }

    #[tokio::test]
    async fn a_share_ends_before_all_places_do_and_comes_back_whole() {
        let (ward, city, town) = (code("131229"), code("011002"), code("131211"));
        let places = Places::new("turns", 3, 2);
        let patience = Duration::from_millis(1);
        let mine = [places.take(ward).expect("one"), places.wait(ward, patience).await.expect("two")];
        let over = places.take(ward).expect_err("its share is two");
        assert_eq!((over.reason, over.retry_after), (Reason::TenantRateLimit, Some(Duration::from_secs(1))));
        assert_eq!(places.wait(ward, patience).await.expect_err("two").reason, Reason::TenantRateLimit);
        let other = places.take(city).expect("the third place is another's");
        assert_eq!(places.take(town).expect_err("all are taken").reason, Reason::LaneFull);
        assert_eq!(places.wait(town, patience).await.expect_err("taken").reason, Reason::LaneFull);
        drop((mine, other));
        assert!(places.shares.lock().expect("sound").is_empty(), "what was refused counts for nothing");
        assert!(places.take(ward).is_ok());
    }
}

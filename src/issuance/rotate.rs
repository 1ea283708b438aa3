//! Every data key is wrapped by the new key-encryption key, or still by the old one and named; a rotation
//! that breaks off anywhere is gone on with by the next.

use std::collections::BTreeMap;

use crate::{
    crash::{self, Point},
    store::{self, KeyName, KeyOf, Store},
    vault::{self, KekId, Rotation, Vault},
};

use super::keys::of_kek;

/// Keys that are replaced together.
const PAGE: u32 = 500;

/// Why a rotation cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// More of the database is under another key than under the one that is to be given up.
    #[error(
        "{batches} batches are under key-encryption key {in_use}, which is neither {old} (--kek) nor {new} \
         (--new-kek): give the key that is in use with --kek. Nothing was changed"
    )]
    NeitherKey {
        /// How many.
        batches: u64,
        /// What they are under.
        in_use: KekId,
        /// What was given up.
        old: KekId,
        /// What was to come.
        new: KekId,
    },
    /// The issuers of this database work with another key than the one that is to be given up.
    #[error(
        "the issuers of this database have key-encryption key {in_use}, which is neither {old} (--kek) nor \
         {new} (--new-kek): give the key that is in use with --kek. Nothing was changed"
    )]
    NotInUse {
        /// The key that they have.
        in_use: String,
        /// What was given up.
        old: KekId,
        /// What was to come.
        new: KekId,
    },
    /// Another rotation broke off.
    #[error(
        "a rotation to key-encryption key {to} was begun and not finished: finish it first, with its own \
         file as --new-kek. Nothing was changed"
    )]
    Unfinished {
        /// The key that it was to.
        to: KekId,
    },
    /// The index key does not open.
    #[error("the index key in the database: {0}. Nothing was changed")]
    Index(#[source] vault::Error),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// What a rotation came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Keys that were wrapped anew.
    pub again: u64,
    /// Keys that were under the new one already.
    pub already: u64,
    /// Keys that open under neither, and were left as they are.
    pub lost: Vec<KeyOf>,
}

/// How many keys are under which key-encryption key; `None` stands for what names none.
///
/// # Errors
/// Any [`store::Error`] of a read.
pub async fn keks(store: &Store) -> Result<BTreeMap<Option<KekId>, u64>, store::Error> {
    let mut counts = BTreeMap::new();
    for (wrapped, batches) in store.kek_heads().await? {
        *counts.entry(Vault::needed(&wrapped)).or_default() += batches;
    }
    Ok(counts)
}

/// Wraps everything by the new key, and tells after each page how many keys were looked at.
///
/// # Errors
/// [`RotateError`].
pub async fn rotate(
    store: &Store,
    keys: &Rotation,
    tell: &mut (dyn FnMut(u64) + Send),
) -> Result<Rotated, RotateError> {
    begin(store, keys).await?;
    let mut rotated = Rotated::default();
    let (mut after, mut seen) = (None, 0);
    loop {
        crash::point(Point::RotationPage);
        let page = store.wrapped_keys(after.as_ref(), PAGE).await?;
        let Some(last) = page.last().cloned() else { break };
        seen += page.len() as u64;
        let mut pairs = Vec::with_capacity(page.len());
        for key in page {
            match keys.data_key(key.municipality, key.batch_id, &key.wrapped) {
                Ok(None) => rotated.already += 1,
                Ok(Some(again)) => pairs.push((key, again)),
                Err(error) => {
                    tracing::error!(municipality.code = %key.municipality, batch.id = %key.batch_id, %error,
                        "the data key of batch {} opens under neither key", key.batch_id);
                    rotated.lost.push(key);
                }
            }
        }
        rotated.again += store.replace_keys(&pairs).await?;
        tell(seen);
        after = Some(last);
    }
    // Before the end is noted, so that no issuer starts between.
    let new = of_kek(keys.new_id(), keys.new_check());
    if let Some(noted) = store.key_in_use(KeyName::Kek).await?
        && noted.check != new
    {
        store.note_key(KeyName::Kek, noted.number, &new).await?;
    }
    store.end_rotation().await?;
    Ok(rotated)
}

/// Says in the database that a rotation has begun, and wraps the index key, both or neither.
async fn begin(store: &Store, keys: &Rotation) -> Result<(), RotateError> {
    let (old, new) = (keys.old_id(), keys.new_id());
    if let Some(to) = unfinished(store).await?
        && to != new
    {
        return Err(RotateError::Unfinished { to });
    }
    let counts = keks(store).await?;
    // A few names that are neither may be damage, and are no reason to keep all others from a new key.
    let left = counts.get(&Some(old)).copied().unwrap_or_default();
    let others = counts.iter().filter_map(|(id, batches)| Some((*batches, (*id)?)));
    let most = others.filter(|(_, id)| *id != old && *id != new).max();
    if let Some((batches, in_use)) = most.filter(|(batches, _)| *batches > left) {
        return Err(RotateError::NeitherKey { batches, in_use, old, new });
    }
    if let Some(noted) = store.key_in_use(KeyName::Kek).await?
        && ![old, new].iter().any(|id| id.to_string() == noted.check.id)
    {
        return Err(RotateError::NotInUse { in_use: noted.check.id, old, new });
    }
    let stored = store.index_key().await?;
    // The index key that is not stored is derived from the key that the batches are under. Nothing under the
    // old one means that the two were exchanged: the old one's index key would find nobody.
    if stored.is_none() && left == 0 && counts.contains_key(&Some(new)) {
        return Ok(());
    }
    let index = keys.index_key(stored.as_deref()).map_err(RotateError::Index)?;
    store.begin_rotation(new.as_bytes(), index.as_deref()).await?;
    Ok(())
}

/// The key that a rotation which is not finished leads to.
///
/// # Errors
/// Any [`store::Error`] of a read.
pub async fn unfinished(store: &Store) -> Result<Option<KekId>, store::Error> {
    Ok(store.rotation().await?.and_then(|id| KekId::from_slice(&id)))
}

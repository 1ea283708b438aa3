//! The wrapped keys of all batches, page by page: each is replaced only while it is still the one that was
//! read, so that a rotation that breaks off leaves every key under one of the two.

use sqlx::types::Uuid;

use crate::domain::{batch_id::BatchId, municipality::MunicipalityCode};

use super::{
    Error, Store, WrappedKey,
    columns::{batch_id, municipality, uint},
};

/// The name of the index key among the wrapped secrets.
const INDEX: &str = "blind index";
/// The name under which the id of the key stands that a rotation leads to, while it is not finished.
const ROTATION: &str = "rotation";

statements! {
    KEYS = "
        SELECT municipality_code, batch_id, wrapped_key FROM batch
        WHERE (municipality_code, batch_id) > ($1, $2)
        ORDER BY municipality_code, batch_id LIMIT $3";
    REPLACE_KEY = "
        UPDATE batch SET wrapped_key = $4
        WHERE municipality_code = $1 AND batch_id = $2 AND wrapped_key = $3";
    // One byte of format and eight of the key's id.
    HEADS = "
        SELECT substr(wrapped_key, 1, 9) AS head, COUNT(*) AS batches FROM batch
        GROUP BY substr(wrapped_key, 1, 9)";
    DROP_SECRET = "DELETE FROM wrapped_secret WHERE name = $1";
    GET_SECRET = "SELECT wrapped FROM wrapped_secret WHERE name = $1";
    SET_SECRET = "
        INSERT INTO wrapped_secret (name, wrapped) VALUES ($1, $2)
        ON CONFLICT (name) DO UPDATE SET wrapped = excluded.wrapped";
}

/// A batch and its wrapped key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOf {
    /// Whose batch.
    pub municipality: MunicipalityCode,
    /// Which batch.
    pub batch_id: BatchId,
    /// Its key.
    pub wrapped: WrappedKey,
}

impl Store {
    /// Returns the wrapped keys of the batches after this one, `count` at most.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn wrapped_keys(&self, after: Option<&KeyOf>, count: u32) -> Result<Vec<KeyOf>, Error> {
        let code = after.map(|after| after.municipality.to_string()).unwrap_or_default();
        let id = after.map_or(Uuid::nil(), |after| after.batch_id.uuid());
        on_read!(self, "wrapped_keys", |conn| {
            let query = sqlx::query_as(KEYS).bind(&code).bind(id).bind(i64::from(count));
            let rows: Vec<(String, Uuid, Vec<u8>)> = query.fetch_all(conn).await?;
            let read = |(code, id, wrapped): (String, Uuid, Vec<u8>)| {
                Ok(KeyOf { municipality: municipality(&code)?, batch_id: batch_id(id)?, wrapped })
            };
            rows.into_iter().map(read).collect()
        })
    }

    /// Puts other wrapped keys in the place of these, all or none, and returns how many there were: one that
    /// has changed meanwhile is left alone.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn replace_keys(&self, pairs: &[(KeyOf, WrappedKey)]) -> Result<u64, Error> {
        in_tx!(self, "replace_keys", |tx| {
            let mut replaced = 0;
            for (old, new) in pairs {
                let query = sqlx::query(REPLACE_KEY).bind(old.municipality.to_string());
                let query = query.bind(old.batch_id.uuid()).bind(&old.wrapped).bind(new);
                replaced += query.execute(&mut *tx).await?.rows_affected();
            }
            Ok(replaced)
        })
    }

    /// Returns the wrapped key of the blind indexes; `None` before the first rotation.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn index_key(&self) -> Result<Option<Vec<u8>>, Error> {
        on_read!(self, "index_key", |conn| {
            Ok(sqlx::query_scalar(GET_SECRET).bind(INDEX).fetch_optional(conn).await?)
        })
    }

    /// Returns the heads of all wrapped keys, which name the key-encryption key, and how many there are of
    /// each.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn kek_heads(&self) -> Result<Vec<(Vec<u8>, u64)>, Error> {
        on_read!(self, "kek_heads", |conn| {
            let rows: Vec<(Vec<u8>, i64)> = sqlx::query_as(HEADS).fetch_all(conn).await?;
            rows.into_iter().map(|(head, count)| Ok((head, uint(count, "batches")?))).collect()
        })
    }

    /// Returns the id of the key that a rotation leads to which is not finished.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn rotation(&self) -> Result<Option<Vec<u8>>, Error> {
        on_read!(self, "rotation", |conn| {
            Ok(sqlx::query_scalar(GET_SECRET).bind(ROTATION).fetch_optional(conn).await?)
        })
    }

    /// Notes to which key a rotation leads and keeps the index key as that one has wrapped it, both or
    /// neither.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn begin_rotation(&self, to: &[u8], index: Option<&[u8]>) -> Result<(), Error> {
        in_tx!(self, "begin_rotation", |tx| {
            sqlx::query(SET_SECRET).bind(ROTATION).bind(to).execute(&mut *tx).await?;
            if let Some(index) = index {
                sqlx::query(SET_SECRET).bind(INDEX).bind(index).execute(tx).await?;
            }
            Ok(())
        })
    }

    /// Notes that a rotation is finished.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn end_rotation(&self) -> Result<(), Error> {
        in_tx!(self, "end_rotation", |tx| {
            sqlx::query(DROP_SECRET).bind(ROTATION).execute(tx).await?;
            Ok(())
        })
    }
}

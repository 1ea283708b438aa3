//! Of each key that all issuers of a database share, the database knows which one is in use; of several that
//! say so at once for the first time, one does.

use super::{
    Error, Store,
    columns::{int, uint},
};

statements! {
    LAST_KEY = "
        SELECT number, key_id, check_value FROM key_check WHERE key_name = $1 ORDER BY number DESC LIMIT 1";
    NOTE_KEY = "
        INSERT INTO key_check (key_name, number, key_id, check_value) VALUES ($1, $2, $3, $4)
        ON CONFLICT (key_name, number) DO NOTHING";
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyName {
    /// It wraps the data keys.
    Kek,
    /// Receipts are signed with it.
    Receipt,
}

impl KeyName {
    fn as_str(self) -> &'static str {
        match self {
            KeyName::Kek => "kek",
            KeyName::Receipt => "receipt",
        }
    }
}

/// By what a key is known, which does not tell the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyCheck {
    /// What people call it.
    pub id: String,
    /// Another one for each key.
    pub value: [u8; 32],
}

/// A key that was noted, and the how many-th of its name it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotedKey {
    /// 1 for the first.
    pub number: u64,
    /// Which key.
    pub check: KeyCheck,
}

type Row = (i64, String, Vec<u8>);

fn noted((number, id, value): Row) -> Result<NotedKey, Error> {
    let value = value.try_into().map_err(|_| Error::Corrupt("key_check"))?;
    Ok(NotedKey { number: uint(number, "number")?, check: KeyCheck { id, value } })
}

impl Store {
    /// Returns the key of this name that is in use; `None` if none was noted yet.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn key_in_use(&self, name: KeyName) -> Result<Option<NotedKey>, Error> {
        on_read!(self, "key_in_use", |conn| {
            let row: Option<Row> = sqlx::query_as(LAST_KEY).bind(name.as_str()).fetch_optional(conn).await?;
            row.map(noted).transpose()
        })
    }

    /// Notes that this key is in use now in the place of the one of number `after`, of none if that is 0, and
    /// returns the one that is: another if somebody else has noted one meanwhile.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn note_key(&self, name: KeyName, after: u64, check: &KeyCheck) -> Result<NotedKey, Error> {
        in_tx!(self, "note_key", |tx| {
            let query = sqlx::query(NOTE_KEY).bind(name.as_str()).bind(int(after + 1, "number")?);
            query.bind(&check.id).bind(check.value.as_slice()).execute(&mut *tx).await?;
            let row: Row = sqlx::query_as(LAST_KEY).bind(name.as_str()).fetch_one(tx).await?;
            noted(row)
        })
    }
}

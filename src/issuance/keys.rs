//! All issuers of a database work with the same keys: the first one says in the database which, and one that
//! has another does not start.

use crate::{
    domain::{digest::Digest, note::VerifierKey},
    store::{KeyCheck, KeyName, Store},
    vault::{KekId, Vault},
};

use super::Error;

/// Refuses keys that are not those of the issuers before. A receipt key takes the place of one that is among
/// the `former` ones; a key-encryption key only by a rotation.
///
/// # Errors
/// [`Error::NotTheKek`], [`Error::NotTheReceiptKey`], [`Error::Store`].
pub(super) async fn checked(store: &Store, vault: &Vault, former: &[VerifierKey]) -> Result<(), Error> {
    let kek = of_kek(vault.kek_id(), vault.kek_check());
    let in_use = in_use(store, KeyName::Kek, &kek, &[]).await?;
    if in_use != kek {
        return Err(Error::NotTheKek { given: kek.id, in_use: in_use.id });
    }
    let receipt = of_receipts(&vault.verifier_key());
    let former: Vec<KeyCheck> = former.iter().map(of_receipts).collect();
    let in_use = self::in_use(store, KeyName::Receipt, &receipt, &former).await?;
    if in_use != receipt {
        return Err(Error::NotTheReceiptKey { given: receipt.id, in_use: in_use.id });
    }
    Ok(())
}

/// Returns the key that is in use: the given one, if there was none or one that it may follow.
async fn in_use(
    store: &Store,
    name: KeyName,
    given: &KeyCheck,
    former: &[KeyCheck],
) -> Result<KeyCheck, Error> {
    let after = match store.key_in_use(name).await? {
        None => 0,
        Some(noted) if former.contains(&noted.check) && noted.check != *given => noted.number,
        Some(noted) => return Ok(noted.check),
    };
    Ok(store.note_key(name, after, given).await?.check)
}

/// By what a key-encryption key is known.
pub(super) fn of_kek(id: KekId, value: [u8; 32]) -> KeyCheck {
    KeyCheck { id: id.to_string(), value }
}

/// The same for a receipt key, whose public part is no secret.
fn of_receipts(key: &VerifierKey) -> KeyCheck {
    KeyCheck { id: key.id(), value: Digest::of(key.public()).0 }
}

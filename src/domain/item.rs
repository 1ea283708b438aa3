//! An item is what has a life of its own: an envelope, an application or a card. Each has one key.

use std::{fmt, str::FromStr};

use super::{municipality::MunicipalityCode, record::ORDER_ID_BYTES_MAX};

/// What has a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ItemKind {
    /// An envelope for one household, with its cards.
    Mail,
    /// The comparison of an office's shelves with what should be there.
    Stocktake,
    /// Until when a municipality keeps what came back.
    Retention,
    /// An application for a card.
    Application,
    /// A card.
    Card,
}

/// The word is no kind of item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an item is MAIL, STOCKTAKE, RETENTION, APPLICATION or CARD")]
pub struct BadItemKind;

impl ItemKind {
    /// Every kind.
    pub const ALL: [ItemKind; 5] =
        [ItemKind::Mail, ItemKind::Stocktake, ItemKind::Retention, ItemKind::Application, ItemKind::Card];

    /// The word that stands in lists and columns.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ItemKind::Mail => "MAIL",
            ItemKind::Stocktake => "STOCKTAKE",
            ItemKind::Retention => "RETENTION",
            ItemKind::Application => "APPLICATION",
            ItemKind::Card => "CARD",
        }
    }
}

impl fmt::Display for ItemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ItemKind {
    type Err = BadItemKind;

    fn from_str(text: &str) -> Result<Self, BadItemKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(BadItemKind)
    }
}

/// What an item is called within its municipality and kind: 1 to 64 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemId(String);

/// The text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an id has 1 to 64 visible ASCII characters, without spaces")]
pub struct BadItemId;

impl ItemId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ItemId {
    type Err = BadItemId;

    fn from_str(text: &str) -> Result<Self, BadItemId> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        let fits = (1..=ORDER_ID_BYTES_MAX).contains(&text.len());
        if visible && fits { Ok(Self(text.to_owned())) } else { Err(BadItemId) }
    }
}

/// One item of all.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemKey {
    /// Whose it is.
    pub municipality: MunicipalityCode,
    /// What it is.
    pub kind: ItemKind,
    /// What it is called there.
    pub id: ItemId,
}

impl fmt::Display for ItemKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {}", self.kind, self.id, self.municipality)
    }
}

/// What can belong to one item alone at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HoldKind {
    /// A person, to the card that is active.
    ActiveCard,
    /// A person, to the application that is live.
    LiveApplication,
    /// An ordered card, to the envelope that it is in.
    Envelope,
}

/// The word is no such kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a hold is ACTIVE_CARD, LIVE_APPLICATION or ENVELOPE")]
pub struct BadHoldKind;

impl HoldKind {
    /// Every kind.
    pub const ALL: [HoldKind; 3] = [HoldKind::ActiveCard, HoldKind::LiveApplication, HoldKind::Envelope];

    /// The word that stands in columns.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            HoldKind::ActiveCard => "ACTIVE_CARD",
            HoldKind::LiveApplication => "LIVE_APPLICATION",
            HoldKind::Envelope => "ENVELOPE",
        }
    }
}

impl FromStr for HoldKind {
    type Err = BadHoldKind;

    fn from_str(text: &str) -> Result<Self, BadHoldKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(BadHoldKind)
    }
}

/// Something that can belong to one item alone: a person by its blind index, or a key by its SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hold {
    /// As what.
    pub kind: HoldKind,
    /// Of whom or what.
    pub of: [u8; 32],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_short_and_visible() {
        for good in ["a", "K-000001", "E/1~2", &"x".repeat(64)] {
            assert_eq!(good.parse::<ItemId>().expect("an id").as_str(), good);
        }
        for bad in ["", "a b", "a\0", "須", &"x".repeat(65)] {
            assert!(bad.parse::<ItemId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_kind_is_found_by_its_word() {
        for kind in ItemKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert!("LETTER".parse::<ItemKind>().is_err());
        for kind in HoldKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert!("MAIL".parse::<HoldKind>().is_err());
    }
}

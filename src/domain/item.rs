//! An item is what has a life of its own: an envelope, an application or a card. Each has one key.

use std::{fmt, str::FromStr};

use super::{date::Date, digest::Digest, municipality::MunicipalityCode, record::ORDER_ID_BYTES_MAX};

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
    /// A municipality's share of a lot of blank cards.
    Lot,
    /// The form with an application ID that a person got.
    Form,
    /// The reading of a name, put right after its record was accepted.
    Reading,
    /// What a producer took on with one request.
    Pull,
}

/// The word is no kind of item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an item is MAIL, STOCKTAKE, RETENTION, APPLICATION, CARD, LOT, FORM, READING or PULL")]
pub struct BadItemKind;

impl ItemKind {
    /// Every kind.
    pub const ALL: [ItemKind; 9] = [
        ItemKind::Mail,
        ItemKind::Stocktake,
        ItemKind::Retention,
        ItemKind::Application,
        ItemKind::Card,
        ItemKind::Lot,
        ItemKind::Form,
        ItemKind::Reading,
        ItemKind::Pull,
    ];

    /// The word that stands in lists and columns.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ItemKind::Mail => "MAIL",
            ItemKind::Stocktake => "STOCKTAKE",
            ItemKind::Retention => "RETENTION",
            ItemKind::Application => "APPLICATION",
            ItemKind::Card => "CARD",
            ItemKind::Lot => "LOT",
            ItemKind::Form => "FORM",
            ItemKind::Reading => "READING",
            ItemKind::Pull => "PULL",
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
    /// An application ID, to the form that it stands on.
    ApplicationId,
}

/// The word is no such kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a hold is ACTIVE_CARD, LIVE_APPLICATION, ENVELOPE or APPLICATION_ID")]
pub struct BadHoldKind;

impl HoldKind {
    /// Every kind.
    pub const ALL: [HoldKind; 4] =
        [HoldKind::ActiveCard, HoldKind::LiveApplication, HoldKind::Envelope, HoldKind::ApplicationId];

    /// The word that stands in columns.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            HoldKind::ActiveCard => "ACTIVE_CARD",
            HoldKind::LiveApplication => "LIVE_APPLICATION",
            HoldKind::Envelope => "ENVELOPE",
            HoldKind::ApplicationId => "APPLICATION_ID",
        }
    }
}

impl FromStr for HoldKind {
    type Err = BadHoldKind;

    fn from_str(text: &str) -> Result<Self, BadHoldKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(BadHoldKind)
    }
}

/// By what items are found together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LinkKind {
    /// A household, by its blind index.
    Household,
    /// A person, by the blind index of the individual number, or of the order if none was given.
    Person,
    /// A lot, by the SHA-256 of its name.
    Lot,
    /// The last day of a card, as [`Link::of_day`] has it.
    LastDay,
}

/// The word is no such kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a link is HOUSEHOLD, PERSON, LOT or LAST_DAY")]
pub struct BadLinkKind;

impl LinkKind {
    /// Every kind.
    pub const ALL: [LinkKind; 4] = [LinkKind::Household, LinkKind::Person, LinkKind::Lot, LinkKind::LastDay];

    /// The word that stands in columns.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            LinkKind::Household => "HOUSEHOLD",
            LinkKind::Person => "PERSON",
            LinkKind::Lot => "LOT",
            LinkKind::LastDay => "LAST_DAY",
        }
    }
}

impl FromStr for LinkKind {
    type Err = BadLinkKind;

    fn from_str(text: &str) -> Result<Self, BadLinkKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(BadLinkKind)
    }
}

/// Something that several items have in common, by which they are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Link {
    /// As what.
    pub kind: LinkKind,
    /// Of whom or what.
    pub of: [u8; 32],
}

impl Link {
    /// The link of a lot.
    #[must_use]
    pub fn of_lot(id: &ItemId) -> Self {
        Self { kind: LinkKind::Lot, of: Digest::of(id.as_str().as_bytes()).0 }
    }

    /// The link of a last day: its ISO 8601 text and zeros, so that days sort as they follow each other.
    #[must_use]
    pub fn of_day(day: Date) -> Self {
        let mut of = [0; 32];
        let text = day.to_string();
        of[..text.len()].copy_from_slice(text.as_bytes());
        Self { kind: LinkKind::LastDay, of }
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
        for kind in LinkKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert!("MAIL".parse::<LinkKind>().is_err());
    }

    #[test]
    fn links_of_days_sort_as_days() {
        let link = |text: &str| Link::of_day(Date::parse(text).expect("a day"));
        assert!(link("2025-12-31") < link("2026-01-01") && link("2026-01-31") < link("2026-02-01"));
    }
}

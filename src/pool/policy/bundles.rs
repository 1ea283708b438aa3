//! What a unit recorded before it drained is on record by name, once, so that whoever looks for the cause
//! finds it.

use serde::{Deserialize, Serialize};

use super::{Kind, Note, Policy, Rule, Turn, decision::grouped};
use crate::pool::evidence::UnitId;

/// Bundles of one unit that are remembered; a relay reports fewer again and again.
pub const BUNDLES_MAX: usize = 8;

/// Bytes of a bundle's name.
const NAME_BYTES_MAX: usize = 128;

/// What a unit left in a file of its own box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// The file's name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

impl Bundle {
    /// Reads what a relay reports, `NAME BYTES`; `None` if it is no such thing.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (name, bytes) = text.split_once(' ')?;
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(legal);
        Some(Self { name: name.to_owned(), bytes: bytes.parse().ok().filter(|_| fits)? })
    }
}

impl Policy {
    /// A unit left a bundle; one that is known says nothing new.
    pub(super) fn note_bundle(&mut self, turn: &mut Turn<'_>, id: &UnitId, bundle: &Bundle) {
        let Some(unit) = self.units.get_mut(id).filter(|_| !self.database_away) else { return };
        if unit.bundles.iter().any(|known| known.name == bundle.name) {
            return;
        }
        if unit.bundles.len() == BUNDLES_MAX {
            unit.bundles.remove(0);
        }
        unit.bundles.push(bundle.clone());
        let Bundle { name, bytes } = bundle;
        let reason = format!("bundle {name}, {} bytes, on {id}: what it saw before", grouped(*bytes as f64));
        turn.say(Some(id), None, Note::new(Kind::Bundle, Rule::D2, reason).with("bytes", *bytes as f64));
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            Fact,
            fixture::{Pool, id},
        },
        *,
    };

    #[test]
    fn a_bundle_is_a_plain_name_and_a_size_and_nothing_else_is_one() {
        let read = Bundle::read("bundle-relay-2-1790000000123.jsonl 48213");
        assert_eq!(read.map(|bundle| bundle.bytes), Some(48_213));
        let long = format!("{} 1", "x".repeat(NAME_BYTES_MAX + 1));
        for bad in
            ["", "name", "name ", "name x", "name -1", " 1", "a b 1", "../a 1", "検 1", "a\nb 1", &long]
        {
            assert_eq!(Bundle::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn each_bundle_is_told_once_however_often_it_is_reported() {
        let mut pool = Pool::of(2);
        let fact = |n: u64| {
            let bundle = Bundle { name: format!("bundle-{n}"), bytes: 48_213 };
            Fact::Bundle { unit: id(2), bundle }
        };
        let told = pool.tell(vec![fact(1), fact(2), fact(1)]);
        let whys: Vec<&str> = told.iter().map(|one| one.reason.as_str()).collect();
        let words = |n| format!("bundle bundle-{n}, 48,213 bytes, on relay-2: what it saw before");
        assert_eq!(whys, [words(1), words(2)]);
        assert!(told.iter().all(|one| one.kind == Kind::Bundle && one.rule == Rule::D2));
        let kept = serde_json::to_string(&pool.policy).expect("it has a JSON form");
        pool.policy = serde_json::from_str(&kept).expect("it is read again");
        assert_eq!(pool.tell(vec![fact(1), fact(2)]), [], "nor by whoever decides next");
        for n in 3..30 {
            assert_eq!(pool.tell(vec![fact(n)]).len(), 1);
        }
        assert_eq!(pool.policy.units()[&id(2)].bundles.len(), BUNDLES_MAX);
    }
}

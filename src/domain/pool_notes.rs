//! What the controller signs: the view, which says which relays there are, and a lease, which lets one serve.
//! Both are signed notes; each begins with a line of its own, so that neither is taken for the other.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{
    note::{self, NoteError, VerifierKey},
    unit::UnitId,
};

/// Most units that a view holds.
pub const UNITS_MAX: usize = 64;

/// Most bytes of a note that is read.
pub const NOTE_BYTES_MAX: usize = 64 * 1024;

const VIEW: &str = "todoke-view v1";
const LEASE: &str = "todoke-lease v1";

/// Why a view or a lease is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolNoteError {
    /// The note itself, or its signature.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// It is longer than one can be.
    #[error("it is longer than {NOTE_BYTES_MAX} bytes: fetch it from an issuer of this system")]
    TooLong,
    /// A line is not what it has to be.
    #[error("line {line} must be {expected}: was it made by a newer version? upgrade this program")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What it should be.
        expected: &'static str,
    },
}

/// One relay, as everybody is to use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub unit: UnitId,
    /// `host:port`, for its clients.
    pub address: String,
    /// The share of calls that it should get, in per cent of a whole unit's; 0 is none.
    pub share_percent: u8,
    /// The generation of its lease.
    pub generation: u64,
}

/// Which relays there are, and how much each should be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Grows with each change; two views of one version and epoch are the same.
    pub version: u64,
    /// Of the controller that made it.
    pub epoch: u64,
    /// When, in ms since 1970.
    pub made_ms: i64,
    /// By name.
    pub members: Vec<Member>,
}

/// The right of one unit to serve, for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Whose.
    pub unit: UnitId,
    /// Which of its lives in the pool: it grows each time that the unit is let in.
    pub generation: u64,
    /// Of the controller that gave it.
    pub epoch: u64,
    /// From when, in ms since 1970.
    pub from_ms: i64,
    /// Until when.
    pub until_ms: i64,
}

impl View {
    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "{VIEW}\nversion {}\nepoch {}\nmade {}\nunits {}\n",
            self.version,
            self.epoch,
            self.made_ms,
            self.members.len()
        );
        for Member { unit, address, share_percent, generation } in &self.members {
            writeln!(text, "unit {unit} {address} {share_percent} {generation}").expect("a String grows");
        }
        text
    }

    /// Opens a view that this key has signed.
    ///
    /// # Errors
    /// [`PoolNoteError`].
    pub fn open(signed: &[u8], key: &VerifierKey) -> Result<Self, PoolNoteError> {
        Self::parse(opened(signed, key)?)
    }

    /// Reads a view whatever its signature: for who has it from an issuer itself.
    ///
    /// # Errors
    /// [`PoolNoteError`].
    pub fn unsigned(note: &[u8]) -> Result<Self, PoolNoteError> {
        Self::parse(text_of(note)?)
    }

    fn parse(text: &str) -> Result<Self, PoolNoteError> {
        let mut lines = Lines::new(text);
        lines.heading(VIEW)?;
        let version = lines.value("version", "'version N'")?;
        let epoch = lines.value("epoch", "'epoch N'")?;
        let made_ms = lines.value("made", "'made MS'")?;
        let count: usize = lines.value("units", "'units N', at most 64")?;
        if count > UNITS_MAX {
            return Err(lines.fault("'units N', at most 64"));
        }
        let members = (0..count).map(|_| lines.member()).collect::<Result<Vec<_>, _>>()?;
        if !members.is_sorted_by(|one, next| one.unit < next.unit) {
            return Err(lines.fault("a unit by name after the one before"));
        }
        lines.end()?;
        Ok(Self { version, epoch, made_ms, members })
    }

    /// Whether it names any unit to send calls to; one that names none is no view to go by.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.members.iter().any(|member| member.share_percent > 0)
    }

    /// Whether this one replaces `other`: a later epoch does, and within one the later version.
    #[must_use]
    pub fn replaces(&self, other: &View) -> bool {
        (self.epoch, self.version) > (other.epoch, other.version)
    }
}

impl Lease {
    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { unit, generation, epoch, from_ms, until_ms } = self;
        format!(
            "{LEASE}\nunit {unit}\ngeneration {generation}\nepoch {epoch}\nfrom {from_ms}\nuntil {until_ms}\n"
        )
    }

    /// Opens a lease that this key has signed.
    ///
    /// # Errors
    /// [`PoolNoteError`].
    pub fn open(signed: &[u8], key: &VerifierKey) -> Result<Self, PoolNoteError> {
        Self::parse(opened(signed, key)?)
    }

    /// Reads a lease whatever its signature: for who has it from an issuer itself.
    ///
    /// # Errors
    /// [`PoolNoteError`].
    pub fn unsigned(note: &[u8]) -> Result<Self, PoolNoteError> {
        Self::parse(text_of(note)?)
    }

    fn parse(text: &str) -> Result<Self, PoolNoteError> {
        let mut lines = Lines::new(text);
        lines.heading(LEASE)?;
        let lease = Self {
            unit: lines.value("unit", "'unit NAME'")?,
            generation: lines.value("generation", "'generation N'")?,
            epoch: lines.value("epoch", "'epoch N'")?,
            from_ms: lines.value("from", "'from MS'")?,
            until_ms: lines.value("until", "'until MS'")?,
        };
        lines.end()?;
        Ok(lease)
    }
}

fn opened<'a>(signed: &'a [u8], key: &VerifierKey) -> Result<&'a str, PoolNoteError> {
    if signed.len() > NOTE_BYTES_MAX {
        return Err(PoolNoteError::TooLong);
    }
    Ok(note::open(signed, key)?)
}

fn text_of(note: &[u8]) -> Result<&str, PoolNoteError> {
    if note.len() > NOTE_BYTES_MAX { Err(PoolNoteError::TooLong) } else { Ok(note::text_of(note)?) }
}

/// The lines of a text, in turn.
struct Lines<'a> {
    lines: std::str::Lines<'a>,
    at: usize,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self { lines: text.lines(), at: 0 }
    }

    fn fault(&self, expected: &'static str) -> PoolNoteError {
        PoolNoteError::Line { line: self.at, expected }
    }

    fn next(&mut self) -> Option<&'a str> {
        self.at += 1;
        self.lines.next()
    }

    fn heading(&mut self, heading: &'static str) -> Result<(), PoolNoteError> {
        if self.next() == Some(heading) { Ok(()) } else { Err(self.fault(heading)) }
    }

    fn value<T: std::str::FromStr>(&mut self, key: &str, expected: &'static str) -> Result<T, PoolNoteError> {
        let value = self.next().and_then(|line| line.strip_prefix(key)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok()).ok_or_else(|| self.fault(expected))
    }

    fn member(&mut self) -> Result<Member, PoolNoteError> {
        const EXPECTED: &str = "'unit NAME HOST:PORT SHARE GENERATION'";
        let line = self.next().unwrap_or_default();
        let words: Vec<&str> = line.split(' ').collect();
        let ["unit", unit, address, share, generation] = words.as_slice() else {
            return Err(self.fault(EXPECTED));
        };
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        let share = share.parse::<u8>().ok().filter(|share| *share <= 100);
        match (unit.parse(), port, share, generation.parse()) {
            (Ok(unit), Some(_), Some(share_percent), Ok(generation)) => {
                Ok(Member { unit, address: (*address).to_owned(), share_percent, generation })
            }
            _ => Err(self.fault(EXPECTED)),
        }
    }

    fn end(&mut self) -> Result<(), PoolNoteError> {
        if self.next().is_none() { Ok(()) } else { Err(self.fault("the end")) }
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use proptest::prelude::*;

    use super::*;

    fn signed(text: &str) -> (Vec<u8>, VerifierKey) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed of 32 bytes");
        let public = pair.public_key().as_ref().try_into().expect("32 bytes");
        let signature = pair.sign(text.as_bytes()).as_ref().try_into().expect("64 bytes");
        let key = VerifierKey::new("issuer", public).expect("a plain name");
        (note::assemble(text, "issuer", &public, &signature), key)
    }

    fn a_view() -> View {
        let member = |name: &str, share_percent| Member {
            unit: name.parse().expect("a name"),
            address: "10.0.0.1:40101".to_owned(),
            share_percent,
            generation: 2,
        };
        View {
            version: 7,
            epoch: 3,
            made_ms: 1_790_000_000_000,
            members: vec![member("a", 100), member("b", 5)],
        }
    }

    fn a_lease() -> Lease {
        let unit = "relay-2".parse().expect("a name");
        Lease { unit, generation: 3, epoch: 9, from_ms: 5, until_ms: 15_005 }
    }

    #[test]
    fn a_view_and_a_lease_survive_their_notes() {
        let (note, key) = signed(&a_view().text());
        assert_eq!(View::open(&note, &key), Ok(a_view()));
        let (note, key) = signed(&a_lease().text());
        assert_eq!(Lease::open(&note, &key), Ok(a_lease()));
    }

    #[test]
    fn neither_is_taken_for_the_other() {
        let (note, key) = signed(&a_view().text());
        assert_eq!(Lease::open(&note, &key), Err(PoolNoteError::Line { line: 1, expected: LEASE }));
        let (note, key) = signed(&a_lease().text());
        assert_eq!(View::open(&note, &key), Err(PoolNoteError::Line { line: 1, expected: VIEW }));
    }

    #[test]
    fn a_view_that_is_signed_but_wrong_is_refused_by_its_line() {
        let text = a_view().text();
        let of = |from: &str, to: &str| {
            let (note, key) = signed(&text.replace(from, to));
            View::open(&note, &key)
        };
        for (from, to, at) in [
            ("version 7", "version x", 2),
            ("units 2", "units 65", 5),
            ("unit a 10.0.0.1:40101", "unit a 10.0.0.1", 6),
            (" 5 2", " 101 2", 7),
            ("unit b", "unit a", 7), // twice the same
            ("units 2", "units 1", 7),
        ] {
            let fault = of(from, to);
            assert!(matches!(fault, Err(PoolNoteError::Line { line, .. }) if line == at), "{to}: {fault:?}");
        }
        let (mut note, key) = signed(&text);
        note.resize(NOTE_BYTES_MAX + 1, b'x');
        assert_eq!(View::open(&note, &key), Err(PoolNoteError::TooLong));
    }

    #[test]
    fn a_later_epoch_replaces_any_version_and_the_same_view_replaces_nothing() {
        let (old, new) = (a_view(), View { epoch: 4, version: 1, ..a_view() });
        assert!(new.replaces(&old) && !old.replaces(&new) && !old.replaces(&old));
    }

    proptest! {
        #[test]
        fn no_changed_byte_is_believed(at in 0usize..400, bit in 0u8..8) {
            let (mut note, key) = signed(&a_view().text());
            let at = at % note.len();
            note[at] ^= 1 << bit;
            prop_assert!(View::open(&note, &key).ok().is_none_or(|view| view == a_view()));
        }
    }
}

//! A signed note is text with signatures under it: what is opened is exactly what the key's holder signed.
//!
//! Source: C2SP, signed-note. Format: text, an empty line, then a line `— NAME BASE64` for each signature,
//! whose bytes are a key id of four bytes and the Ed25519 signature of the text with its last line feed.

use std::{fmt, str::FromStr};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use super::digest::Digest;

/// Bytes of an Ed25519 public key.
pub const PUBLIC_KEY_BYTES: usize = 32;
/// Bytes of an Ed25519 signature.
pub const SIGNATURE_BYTES: usize = 64;
/// Most signatures that are read under a note.
pub const SIGNATURES_MAX: usize = 16;

const ED25519_TYPE: u8 = 1;
const SIGNATURE_LINE: &str = "\u{2014} ";

/// Why a note is not believed, or a key is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The bytes are no signed note.
    #[error("this is no signed note: it may have been cut or changed; fetch it again")]
    Malformed,
    /// None of the signatures is by this key.
    #[error("the note is not signed by {0}: check that key and note come from the same issuer")]
    NotSigned(String),
    /// The signature is not one of this text by this key.
    #[error("the signature does not fit the text: the note was changed or forged; trust nothing in it")]
    BadSignature,
    /// The text is no public key.
    #[error("a public key is one line NAME+KEYID+BASE64, as the issuer published it")]
    BadKey,
}

/// Returns the id of a key: the first four bytes of SHA-256(NAME ‖ 0A ‖ 01 ‖ public key).
#[must_use]
pub fn key_id(name: &str, public: &[u8; PUBLIC_KEY_BYTES]) -> [u8; 4] {
    let digest = Digest::of(&[name.as_bytes(), &[b'\n', ED25519_TYPE], public].concat());
    let [a, b, c, d, ..] = digest.0;
    [a, b, c, d]
}

/// A named public key; in text one line `NAME+KEYID+BASE64`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    public: [u8; PUBLIC_KEY_BYTES],
}

impl VerifierKey {
    /// Returns the key of this name.
    ///
    /// # Errors
    /// [`NoteError::BadKey`] for a name that is empty or has spaces, control characters or `+`.
    pub fn new(name: &str, public: [u8; PUBLIC_KEY_BYTES]) -> Result<Self, NoteError> {
        let illegal = |c: char| c.is_whitespace() || c.is_control() || c == '+';
        if name.is_empty() || name.chars().any(illegal) {
            return Err(NoteError::BadKey);
        }
        Ok(Self { name: name.to_owned(), public })
    }

    /// Who holds the key.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The short id that stands in its text and in what it has signed.
    #[must_use]
    pub fn id(&self) -> String {
        hex::encode(key_id(&self.name, &self.public))
    }

    /// The public key itself.
    #[must_use]
    pub fn public(&self) -> &[u8; PUBLIC_KEY_BYTES] {
        &self.public
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id();
        let key = BASE64.encode([&[ED25519_TYPE], self.public.as_slice()].concat());
        write!(f, "{}+{id}+{key}", self.name)
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let (name, rest) = text.split_once('+').ok_or(NoteError::BadKey)?;
        let (_, key) = rest.split_once('+').ok_or(NoteError::BadKey)?;
        let key = BASE64.decode(key).map_err(|_| NoteError::BadKey)?;
        let public = match key.split_first() {
            Some((&ED25519_TYPE, public)) => public.try_into().map_err(|_| NoteError::BadKey)?,
            _ => return Err(NoteError::BadKey),
        };
        let read = Self::new(name, public)?;
        // The id is a check sum too.
        if read.to_string() == text { Ok(read) } else { Err(NoteError::BadKey) }
    }
}

/// Puts a signature under a text, which must end with a line feed.
#[must_use]
pub fn assemble(
    text: &str,
    name: &str,
    public: &[u8; PUBLIC_KEY_BYTES],
    signature: &[u8; SIGNATURE_BYTES],
) -> Vec<u8> {
    let signed = BASE64.encode([key_id(name, public).as_slice(), signature].concat());
    format!("{text}\n{SIGNATURE_LINE}{name} {signed}\n").into_bytes()
}

/// Returns the text of a note whose signature is one of this key.
///
/// # Errors
/// [`NoteError`]; signatures by other keys are passed over.
pub fn open<'a>(note: &'a [u8], key: &VerifierKey) -> Result<&'a str, NoteError> {
    let (text, signatures) = split(note)?;
    let id = key_id(&key.name, &key.public);
    let mut signed = false;
    for line in signatures.lines() {
        let (name, bytes) = signature(line)?;
        if name != key.name || bytes[..4] != id {
            continue;
        }
        UnparsedPublicKey::new(&ED25519, key.public)
            .verify(text.as_bytes(), &bytes[4..])
            .map_err(|_| NoteError::BadSignature)?;
        signed = true;
    }
    if signed { Ok(text) } else { Err(NoteError::NotSigned(key.name.clone())) }
}

/// Returns the text of a note without believing it.
///
/// # Errors
/// [`NoteError::Malformed`].
pub fn text_of(note: &[u8]) -> Result<&str, NoteError> {
    split(note).map(|(text, _)| text)
}

fn split(note: &[u8]) -> Result<(&str, &str), NoteError> {
    let note = std::str::from_utf8(note).map_err(|_| NoteError::Malformed)?;
    let at = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
    let (text, signatures) = (&note[..=at], &note[at + 2..]);
    let whole = !signatures.is_empty() && signatures.ends_with('\n');
    let plain = !note.chars().any(|c| c < ' ' && c != '\n');
    if !whole || !plain || signatures.lines().count() > SIGNATURES_MAX {
        return Err(NoteError::Malformed);
    }
    signatures.lines().try_for_each(|line| signature(line).map(drop))?;
    Ok((text, signatures))
}

/// Returns the lines below a note's text, whatever either holds.
#[must_use]
pub fn signatures_of(note: &[u8]) -> Option<&[u8]> {
    let at = note.windows(2).rposition(|two| two == b"\n\n")?;
    Some(&note[at + 2..])
}

/// Whether a signature under a note names this key, be the text damaged or not; `None` if the signatures
/// cannot be read.
#[must_use]
pub fn names(note: &[u8], key: &VerifierKey) -> Option<bool> {
    let lines = std::str::from_utf8(signatures_of(note)?).ok()?;
    let lines: Vec<_> = lines.lines().map(signature).collect::<Result<_, _>>().ok()?;
    let id = key_id(&key.name, &key.public);
    Some(lines.iter().any(|(name, bytes)| *name == key.name && bytes[..4] == id))
}

/// Whether a note that may be damaged has the signature under it that `made` has. Of one by another key, or
/// of another text, each character is another one in 63 of 64 cases; so if most are the same it is this one.
#[must_use]
pub fn ends_like(note: &[u8], made: &[u8]) -> bool {
    const CHARACTERS: usize = (4 + SIGNATURE_BYTES).div_ceil(3) * 4 + 1; // in BASE64, and the line feed
    let same = note.iter().rev().zip(made.iter().rev()).take(CHARACTERS).filter(|(one, other)| one == other);
    same.count() * 4 >= CHARACTERS * 3
}

// The name of the signer, and the key id with the signature behind it.
fn signature(line: &str) -> Result<(&str, Vec<u8>), NoteError> {
    let signed = line.strip_prefix(SIGNATURE_LINE).and_then(|rest| rest.split_once(' '));
    let (name, base64) = signed.filter(|(name, _)| !name.is_empty()).ok_or(NoteError::Malformed)?;
    let bytes = BASE64.decode(base64).map_err(|_| NoteError::Malformed)?;
    if bytes.len() < 5 { Err(NoteError::Malformed) } else { Ok((name, bytes)) }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "todoke\n\n白鳥 \u{2014} a\n";

    fn pair(seed: u8) -> (Ed25519KeyPair, VerifierKey) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed");
        let public = pair.public_key().as_ref().try_into().expect("32 bytes");
        (pair, VerifierKey::new("todoke.test/issuer", public).expect("legal"))
    }

    fn signed(text: &str, seed: u8) -> Vec<u8> {
        let (pair, key) = pair(seed);
        let signature = pair.sign(text.as_bytes()).as_ref().try_into().expect("64 bytes");
        assemble(text, key.name(), key.public(), &signature)
    }

    #[test]
    fn the_published_example_is_opened() {
        // From the documentation of golang.org/x/mod/sumdb/note, which C2SP took over.
        let key: VerifierKey =
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().expect("a key");
        let note = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n\n\
                    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1F\
                    FYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        let text = open(note.as_bytes(), &key).expect("signed");
        assert!(text.starts_with("If you think") && text.ends_with("problem is.\n"), "{text}");
    }

    #[test]
    fn a_note_opens_for_its_key_only_and_no_byte_of_it_can_change() {
        let (_, key) = pair(7);
        let note = signed(TEXT, 7);
        assert_eq!(open(&note, &key), Ok(TEXT));
        assert_eq!(text_of(&note), Ok(TEXT));
        let other = VerifierKey::new("todoke.test/other", *key.public()).expect("legal");
        assert_eq!(open(&note, &other), Err(NoteError::NotSigned("todoke.test/other".to_owned())));
        assert!(matches!(open(&note, &pair(8).1), Err(NoteError::NotSigned(_))));
        for at in 0..note.len() {
            let mut changed = note.clone();
            changed[at] ^= 1;
            assert!(open(&changed, &key).is_err(), "byte {at}");
            assert!(open(&note[..at], &key).is_err(), "cut at {at}");
        }
        let forged = String::from_utf8(note).expect("text").replace('鳥', "島");
        assert_eq!(open(forged.as_bytes(), &key), Err(NoteError::BadSignature));
    }

    #[test]
    fn a_damaged_note_still_tells_by_which_key_it_was_signed() {
        let (_, key) = pair(7);
        let note = signed(TEXT, 7);
        for at in 0..note.len() {
            let mut changed = note.clone();
            changed[at] ^= 1;
            assert!(ends_like(&changed, &note), "byte {at}");
            assert!(!ends_like(&changed, &signed(TEXT, 8)), "byte {at}: another key");
            let other_text = signed(&TEXT.replace('a', "b"), 7);
            assert!(!ends_like(&changed, &other_text), "byte {at}: another text");
        }
        assert!(!ends_like(b"", &note) && !ends_like(&note[..40], &note));
        assert_eq!(names(&note, &key), Some(true));
        assert_eq!(names(&note, &pair(8).1), Some(false));
        assert_eq!(names(&[&[0xff; 9][..], &note[9..]].concat(), &key), Some(true), "its text is damaged");
        assert_eq!(names(TEXT.as_bytes(), &key), None);
        assert_eq!(signatures_of(b"no note"), None);
    }

    #[test]
    fn a_witness_may_sign_below_and_is_passed_over() {
        let (_, key) = pair(7);
        let mut note = signed(TEXT, 7);
        let witness = format!("{SIGNATURE_LINE}witness.test {}\n", BASE64.encode([9; 68]));
        note.extend_from_slice(witness.as_bytes());
        assert_eq!(open(&note, &key), Ok(TEXT));
        (0..SIGNATURES_MAX).for_each(|_| note.extend_from_slice(witness.as_bytes()));
        assert_eq!(open(&note, &key), Err(NoteError::Malformed));
    }

    #[test]
    fn a_key_has_one_text() {
        let (_, key) = pair(7);
        let text = key.to_string();
        assert_eq!(text.parse(), Ok(key.clone()));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let changed = String::from_utf8(bytes).expect("ASCII");
            assert_eq!(changed.parse::<VerifierKey>(), Err(NoteError::BadKey), "{changed}");
        }
        for bad in ["", "a b", "a+b", "a\n"] {
            assert_eq!(VerifierKey::new(bad, [0; 32]), Err(NoteError::BadKey), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), text: String) {
            let (_, key) = pair(7);
            prop_assert!(open(&bytes, &key).is_err());
            let note = format!("{text}\n\n{SIGNATURE_LINE}{text}");
            prop_assert!(open(note.as_bytes(), &key).is_err());
            prop_assert!(text.parse::<VerifierKey>().is_err());
        }
    }
}

//! Promise: what is sealed opens at its own place only, no error or log shows a key, and a bad key file is
//! refused by name.

use std::{fs, io, os::unix::fs::PermissionsExt as _, sync::Mutex};

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::domain::note;

const KEK: &str = "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef";

struct Files {
    dir: TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self { dir: tempfile::tempdir().expect("a temporary folder") };
        files.write("kek.key", &format!("{KEK}\n"), 0o600);
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed");
        let der = pair.to_pkcs8v1().expect("a key");
        let pem = BASE64.encode(der.as_ref());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{pem}\n-----END PRIVATE KEY-----\n");
        files.write("receipt.key", &pem, 0o600);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        fs::write(self.path(name), text).expect("writable");
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).expect("ours");
    }

    fn open(&self) -> Result<Vault, Error> {
        Vault::open(&self.path("kek.key"), &self.path("receipt.key"))
    }
}

fn vault() -> Vault {
    Files::new().open().expect("good keys")
}

fn ward(code: &str) -> MunicipalityCode {
    code.parse().expect("right")
}

fn batch(n: u8) -> BatchId {
    format!("0192f0c1-2345-7abc-8def-0123456789{n:02x}").parse().expect("version 7")
}

fn aad() -> Aad {
    Aad { municipality: ward("131229"), batch: batch(1), index: 17, purpose: Purpose::Record }
}

#[test]
fn what_is_sealed_opens_at_its_place() {
    let (key, wrapped) = vault().new_data_key(ward("131229"), batch(1)).expect("a key");
    for length in [0, 1, 15, 16, 17, 300, 1 << 20] {
        let text = vec![b'x'; length];
        let sealed = key.seal(&aad(), &text);
        assert_eq!(sealed.len(), length + SEALED_OVERHEAD_BYTES);
        assert_eq!(sealed, key.seal(&aad(), &text), "the same place and text are the same bytes");
        let again = vault().unwrap(ward("131229"), batch(1), &wrapped).expect("the same KEK");
        assert_eq!(*again.open(&aad(), &sealed).expect("it opens"), text);
    }
}

#[test]
fn it_opens_nowhere_else() {
    let vault = vault();
    let (key, _) = vault.new_data_key(ward("131229"), batch(1)).expect("a key");
    let sealed = key.seal(&aad(), b"text");
    for elsewhere in [
        Aad { municipality: ward("011002"), ..aad() },
        Aad { batch: batch(2), ..aad() },
        Aad { index: 18, ..aad() },
        Aad { index: 17 + (1 << 32), ..aad() },
        Aad { purpose: Purpose::Chunk, ..aad() },
    ] {
        assert!(matches!(key.open(&elsewhere, &sealed), Err(Error::Altered)), "{elsewhere:?}");
    }
    let (other, _) = vault.new_data_key(ward("131229"), batch(1)).expect("a key");
    assert!(matches!(other.open(&aad(), &sealed), Err(Error::Altered)), "each key is a new one");
}

#[test]
fn no_bit_of_it_can_change() {
    let vault = vault();
    let (key, wrapped) = vault.new_data_key(ward("131229"), batch(1)).expect("a key");
    let sealed = key.seal(&aad(), b"a text");
    for (at, bit) in (0..sealed.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut changed = sealed.clone();
        changed[at] ^= 1 << bit;
        assert!(key.open(&aad(), &changed).is_err(), "bit {bit} of byte {at}");
        assert!(key.open(&aad(), &sealed[..at]).is_err(), "cut at {at}");
    }
    for (at, bit) in (0..wrapped.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut changed = wrapped.clone();
        changed[at] ^= 1 << bit;
        assert!(vault.unwrap(ward("131229"), batch(1), &changed).is_err(), "bit {bit} of byte {at}");
        assert!(vault.unwrap(ward("131229"), batch(1), &wrapped[..at]).is_err(), "cut at {at}");
    }
    assert!(key.open(&aad(), &[sealed, vec![0]].concat()).is_err(), "longer");
    assert!(vault.unwrap(ward("131229"), batch(1), &[wrapped, vec![0]].concat()).is_err(), "longer");
}

#[test]
fn a_wrapped_key_belongs_to_its_batch_and_names_its_kek() {
    let vault = vault();
    let (_, wrapped) = vault.new_data_key(ward("131229"), batch(1)).expect("a key");
    assert!(matches!(vault.unwrap(ward("131229"), batch(2), &wrapped), Err(Error::Altered)));
    assert!(matches!(vault.unwrap(ward("011002"), batch(1), &wrapped), Err(Error::Altered)));
    let files = Files::new();
    files.write("kek.key", &KEK.replace("00112233", "00112234"), 0o600);
    let other = files.open().expect("good keys");
    let refused = other.unwrap(ward("131229"), batch(1), &wrapped).expect_err("another KEK");
    let words = refused.to_string();
    assert!(words.contains(&vault.0.kek.id().to_string()) && words.contains(&other.0.kek.id().to_string()));
    let mut newer = wrapped;
    newer[0] = 9;
    assert!(matches!(vault.unwrap(ward("131229"), batch(1), &newer), Err(Error::Format(9))));
}

#[test]
fn stored_data_stays_readable_and_findable() {
    // Written by this program with these keys: whatever changes, old rows must open.
    let wrapped = hex::decode(WRAPPED).expect("hex");
    let sealed = hex::decode(SEALED).expect("hex");
    let key = vault().unwrap(ward("131229"), batch(1), &wrapped).expect("unwraps");
    assert_eq!(*key.open(&aad(), &sealed).expect("opens"), "白鳥".as_bytes());
    let index = vault().blind_index(ward("131229"), "individual_number", "123456789018");
    assert_eq!(hex::encode(index), INDEX);
}

const WRAPPED: &str = "\
    01307c1427fbb82cf5f124a7cf8248b6d294e0b370c43ba93b3c8296865275367ed2aa86a97be440\
    8af798def89b5047bedbc364746b8a4757bddece9b375e7b179bbff5f4";
const SEALED: &str = "0110bacc6e89cbc545d6091f945fc3d96bf5adcc05b3a7";
const INDEX: &str = "474cbf4914e43772d9c110e1df4cf8869ace7a68114b3d16267cf176340ec694";

#[test]
fn an_index_is_the_same_for_the_same_text_in_the_same_place_only() {
    let vault = vault();
    let one = vault.blind_index(ward("131229"), "household_id", "H-1");
    assert_eq!(one, vault.blind_index(ward("131229"), "household_id", "H-1"));
    for other in [
        vault.blind_index(ward("011002"), "household_id", "H-1"),
        vault.blind_index(ward("131229"), "individual_number", "H-1"),
        vault.blind_index(ward("131229"), "household_i", "dH-1"),
        vault.blind_index(ward("131229"), "household_id", "H-2"),
        vault.blind_index(ward("131229"), "household_id", ""),
    ] {
        assert_ne!(one, other);
    }
    let files = Files::new();
    files.write("kek.key", &KEK.replace("00112233", "00112234"), 0o600);
    assert_ne!(one, files.open().expect("good").blind_index(ward("131229"), "household_id", "H-1"));
}

#[test]
fn a_note_verifies_with_the_published_key_and_is_the_same_each_time() {
    let vault = vault();
    let note = vault.sign_note("todoke receipt\n");
    assert_eq!(note::open(&note, &vault.verifier_key()), Ok("todoke receipt\n"));
    assert_eq!(note, vault.sign_note("todoke receipt\n"));
    let published: VerifierKey = vault.verifier_key().to_string().parse().expect("a key");
    assert_eq!(published.name(), "todoke.internal/issuer");
    assert!(note::open(&note, &published).is_ok());
}

#[test]
fn a_bad_key_file_is_named_with_its_remedy_and_never_quoted() {
    let cases: &[(&str, &str)] = &[
        ("kek.key", ""),
        ("kek.key", "canary7"),
        ("kek.key", "zcanary70112233445566778899aabbccddeeff0123456789abcdef012345678"),
        ("kek.key", "0000000000000000000000000000000000000000000000000000000000000000"),
        ("receipt.key", "canary7"),
        ("receipt.key", "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5Nw==\n-----END PRIVATE KEY-----\n"),
    ];
    for (name, text) in cases {
        let files = Files::new();
        files.write(name, text, 0o600);
        let error = files.open().expect_err("no key");
        let words = format!("{error} {error:?}");
        assert!(words.contains(name) && words.contains("openssl"), "{words}");
        assert!(!words.contains("canary") && !words.contains("Y2Fu"), "{words}");
    }
    let files = Files::new();
    files.write("kek.key", &"0".repeat(17 << 10), 0o600);
    assert!(files.open().expect_err("too large").to_string().contains("too large"));
    fs::remove_file(files.path("kek.key")).expect("it was there");
    assert!(files.open().expect_err("none").to_string().contains("kek.key"));
    fs::create_dir(files.path("kek.key")).expect("a folder");
    assert!(files.open().expect_err("a folder").to_string().contains("no file"));
}

/// Keeps what is logged meanwhile.
fn logged(job: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    tracing::subscriber::with_default(subscriber, job);
    let bytes = lines.0.lock().expect("no panic").clone();
    String::from_utf8(bytes).expect("text")
}

#[test]
fn a_key_file_that_others_may_touch_is_warned_of() {
    let files = Files::new();
    assert_eq!(logged(|| drop(files.open().expect("good keys"))), "");
    for (mode, name) in [(0o604, "kek.key"), (0o640, "receipt.key"), (0o602, "kek.key")] {
        let files = Files::new();
        fs::set_permissions(files.path(name), fs::Permissions::from_mode(mode)).expect("ours");
        let text = logged(|| drop(files.open().expect("good keys all the same")));
        assert!(
            text.contains("WARN") && text.contains(name) && text.contains(&format!("{mode:o}")),
            "{text}"
        );
        assert!(!text.contains(&KEK[..8]), "{text}");
    }
}

#[test]
fn nothing_that_can_be_printed_shows_a_key() {
    let vault = vault();
    let (key, _) = vault.new_data_key(ward("131229"), batch(1)).expect("a key");
    assert_eq!(format!("{key:?}"), "DataKey");
    let shown = format!("{vault:?} {key:?} {:?}", aad());
    let secret = hex::decode(KEK).expect("hex");
    for part in [KEK, &KEK[..8], &KEK[32..], &format!("{:?}", &secret[..3]), "7, 7, 7"] {
        assert!(!shown.contains(part.trim_matches(['[', ']'])), "{shown}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let vault = vault();
        let (key, _) = vault.new_data_key(ward("131229"), batch(1)).expect("a key");
        prop_assert!(key.open(&aad(), &bytes).is_err());
        prop_assert!(vault.unwrap(ward("131229"), batch(1), &bytes).is_err());
    }
}

#[test]
fn a_key_encryption_key_is_known_by_the_same_check_value_for_ever() {
    // HKDF-SHA-256 of KEK by another program: a database that has it must find it again.
    let kept = "0240f3502e4a1447ee1337aafa9d4f92ec8013ce61d112f483e21a2683ea5dc8";
    assert_eq!(hex::encode(vault().kek_check()), kept);
    assert!(!format!("{:?}", vault()).contains(&kept[..16]));
}

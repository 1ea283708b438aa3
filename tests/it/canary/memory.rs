//! Promise: what an issuer needed of its secrets on the way to its keys is wiped from its memory, and so is
//! the key of a batch that is done; of the keys in use there is one copy each.
//!
//! Its memory is read from outside, as whoever gets a core file would read it. What is looked for is worked
//! out here from the key files by what RFC 5869 and the heads of `src/vault/` say.
//!
//! Not looked for: keys of TLS, which rustls reads and holds as long as the process runs, and personal data,
//! which passes through buffers of libraries that wipe nothing. A core file is refused instead
//! (`src/runtime/dumps.rs`).

use std::{collections::BTreeMap, fs::File, os::unix::fs::FileExt as _};

use aho_corasick::AhoCorasick;
use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey},
    hmac,
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use sqlx::Connection as _;

use super::super::system::{Dev, Folder, Running, Signal, eventually, pids, signal};

/// A secret is found by any part of it that is so long: whoever frees memory writes over its first bytes.
const PIECE: usize = 16;
/// So much is read at once.
const BLOCK: usize = 1 << 20;

/// Secrets by name.
type Secrets = BTreeMap<&'static str, Vec<u8>>;

/// How often each secret stands in what the process can write, by the part of it that does so most often.
fn found_in(pid: u32, secrets: &Secrets) -> BTreeMap<&'static str, usize> {
    let pieces =
        secrets.iter().flat_map(|(name, secret)| secret.chunks_exact(PIECE).map(move |p| (*name, p)));
    let (names, pieces): (Vec<_>, Vec<_>) = pieces.unzip();
    let search = AhoCorasick::new(&pieces).expect("a few pieces");
    let memory = File::open(format!("/proc/{pid}/mem")).expect("a child's memory can be read");
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("it runs");
    let (mut counts, zeros) = (vec![0; pieces.len()], vec![0; BLOCK]);
    let mut block = vec![0; BLOCK];
    for map in maps.lines() {
        let (range, rest) = map.split_once(' ').expect("a range and its rights");
        if !rest.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').expect("from and to");
        let [mut at, to] = [from, to].map(|at| u64::from_str_radix(at, 16).expect("hex"));
        while at < to {
            let length = BLOCK.min(usize::try_from(to - at).expect("64 bits"));
            // What is unmapped meanwhile cannot be read.
            let Ok(read @ 1..) = memory.read_at(&mut block[..length], at) else { break };
            if block[..read] != zeros[..read] {
                let seen = search.find_overlapping_iter(&block[..read]);
                seen.for_each(|one| counts[one.pattern().as_usize()] += 1);
            }
            at += read as u64;
            // A piece may lie across two blocks.
            at -= if at < to { PIECE as u64 - 1 } else { 0 };
        }
    }
    let mut most = BTreeMap::new();
    for (name, count) in names.into_iter().zip(counts) {
        let entry = most.entry(name).or_default();
        *entry = count.max(*entry);
    }
    most
}

/// HMAC-SHA-256.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

/// What an issuer reads and makes of its key files.
fn secrets(folder: &Folder) -> Secrets {
    let hex = folder.read("dev/pki/kek.key").trim_ascii().to_vec();
    let kek = hex::decode(&hex).expect("hex");
    let root = hmac(b"todoke vault 1", &kek);
    let derived = |purpose: &str| hmac(&root, &[purpose.as_bytes(), &[1]].concat());
    let pem = String::from_utf8(folder.read("dev/pki/receipt.key")).expect("PEM");
    let pem: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = BASE64.decode(&pem).expect("Base64");
    let seed = der.windows(4).position(|bytes| bytes == [0x04, 0x22, 0x04, 0x20]).expect("PKCS#8") + 4;
    BTreeMap::from([
        ("the key file's digits", hex),
        ("the key-encryption key", kek),
        ("what all keys are derived from", root.clone()),
        ("the key that wraps data keys", derived("wrap data keys")),
        ("the key of the blind indexes", derived("blind index")),
        ("the receipt key's file", pem.as_bytes()[pem.len() - 48..].to_vec()),
        ("the receipt key", der[seed..seed + 32].to_vec()),
    ])
}

/// The data key of the one batch.
async fn data_key(folder: &Folder, wraps: &[u8]) -> Vec<u8> {
    let url = format!("sqlite:{}", folder.path("dev/issuer.db").display());
    let mut database = sqlx::SqliteConnection::connect(&url).await.expect("the issuer's");
    let row = sqlx::query_as("SELECT batch_id, wrapped_key FROM batch").fetch_one(&mut database).await;
    let (batch, wrapped): (Vec<u8>, Vec<u8>) = row.expect("one batch");
    let mut place = vec![1, 0];
    place.extend(b"131229");
    place.extend(batch);
    place.extend([0; 8]);
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, wraps).expect("32 bytes"));
    let nonce = Nonce::try_assume_unique_for_key(&wrapped[9..21]).expect("12 bytes");
    let mut sealed = wrapped[21..].to_vec();
    key.open_in_place(nonce, Aad::from(place), &mut sealed).expect("it is this batch's").to_vec()
}

#[tokio::test]
async fn a_key_is_in_memory_once_while_it_is_in_use_and_nothing_of_a_secret_is_otherwise() {
    let folder = Folder::new();
    let mut dev = Dev::start(&folder, &["--relays", "1"]).await;
    let secrets = secrets(&folder);
    let issuer = *pids(&folder.endpoints()).last().expect("the issuers stand last");
    folder.sample("cards.csv", "60000").await;
    let mut import =
        Running::start(&folder, &["import", "cards.csv", "--chunk-records", "64"], &folder.as_ward());
    import.until("uploading").await;
    signal(Signal::STOP, import.pid());
    let key = data_key(&folder, &secrets["the key that wraps data keys"]).await;
    let data_key = Secrets::from([("the data key", key)]);
    // What came before the import stood still may be in work yet.
    eventually("the data key to be there once", || found_in(issuer, &data_key)["the data key"] == 1).await;
    signal(Signal::CONT, import.pid());
    assert_eq!(import.end().await.code, Some(0));
    eventually("the data key to be wiped", || found_in(issuer, &data_key)["the data key"] == 0).await;
    let expected = BTreeMap::from([
        ("the key file's digits", 0),
        ("the key-encryption key", 0),
        ("what all keys are derived from", 0),
        ("the key that wraps data keys", 1),
        ("the key of the blind indexes", 1),
        ("the receipt key's file", 0),
        ("the receipt key", 1),
    ]);
    assert_eq!(found_in(issuer, &secrets), expected);
    assert_eq!(dev.stop().await, Some(0));
}

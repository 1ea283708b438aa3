//! The texts that must not be found, in every form that a program may write bytes in.

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE},
};

/// Personal data of the scenario: texts that stand nowhere else in the world.
pub(super) const TEXTS: [&str; 11] = [
    "鸞鳳院 麒麟丸",
    "鸞鳳院",
    "麒麟丸",
    "らんほういん",
    "ランホウイン　キリンマル",
    "鸞鳳坂九丁目八番地七号",
    "瑪瑙荘三〇三号室",
    "1907-12-30",
    NUMBER,
    WRONG_NUMBER,
    "HH-CANARY-7731",
];
/// An individual number whose check digit is right.
pub(super) const NUMBER: &str = "987654321093";
/// One whose check digit is wrong.
pub(super) const WRONG_NUMBER: &str = "987654321098";

/// Each form with what it is called.
pub(super) fn all() -> Vec<(String, Vec<u8>)> {
    let mut forms = Vec::new();
    for text in TEXTS {
        let cp932 = encoding_rs::SHIFT_JIS.encode(text).0.into_owned();
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut encodings = vec![("UTF-8", text.as_bytes().to_vec()), ("UTF-16", utf16)];
        if cp932 != text.as_bytes() {
            encodings.push(("CP932", cp932));
        }
        for (encoding, bytes) in encodings {
            let mut add =
                |form: &str, written: Vec<u8>| forms.push((format!("{text} as {encoding} {form}"), written));
            add("hex", hex::encode(&bytes).into_bytes());
            add("HEX", hex::encode_upper(&bytes).into_bytes());
            let numbers: Vec<String> = bytes.iter().map(ToString::to_string).collect();
            add("list of bytes", numbers.join(", ").into_bytes());
            add("list of bytes without spaces", numbers.join(",").into_bytes());
            add("escaped bytes", bytes.escape_ascii().to_string().into_bytes());
            for before in 0..3 {
                for engine in [&STANDARD, &URL_SAFE] {
                    add(
                        "base64",
                        inside(engine.encode([&[0; 3][..before], &bytes].concat()), before, bytes.len()),
                    );
                }
            }
            add("as it is", bytes);
        }
        if !text.is_ascii() {
            let json: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            forms.push((format!("{text} in JSON escapes"), json.into_bytes()));
            forms.push((format!("{text} in Rust escapes"), text.escape_unicode().to_string().into_bytes()));
            let percent: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            forms.push((format!("{text} in URL escapes"), percent.into_bytes()));
        }
    }
    forms
}

// The letters of base64 that depend on the text alone and not on what is around it.
fn inside(encoded: String, before: usize, length: usize) -> Vec<u8> {
    let first = (before * 8).div_ceil(6);
    let end = (before + length) * 8 / 6;
    encoded.into_bytes()[first..end].to_vec()
}

/// All forms, looked for together: one pass over what may be hundreds of megabytes of logs.
pub(super) struct Net {
    forms: Vec<(String, Vec<u8>)>,
    search: AhoCorasick,
}

impl Default for Net {
    fn default() -> Self {
        let forms = all();
        let search =
            AhoCorasick::new(forms.iter().map(|(_, bytes)| bytes)).expect("some hundred short forms");
        Self { forms, search }
    }
}

impl Net {
    /// Says which forms are in these bytes, each once.
    pub(super) fn found_in(&self, place: &str, bytes: &[u8]) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let hits = self.search.find_overlapping_iter(bytes);
        let fresh = hits.filter(|hit| seen.insert(hit.pattern()));
        fresh.map(|hit| format!("{place}, byte {}: {}", hit.start(), self.forms[hit.pattern()].0)).collect()
    }
}

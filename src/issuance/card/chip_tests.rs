//! Promise: what a chip says is believed only with the signature of that card's chip.

use super::*;

const GUIDE: &str = include_str!("../../../proto/README.md");
const BEGIN: &str = "<!-- chip vector: checked by issuance::card::chip -->\n```text\n";
const SESSION: &str = "0192f0c1-2345-7abc-8def-0123456789ab";

/// Public key, signature and text of the guide.
fn vector() -> (String, Vec<u8>, String) {
    let (_, rest) = GUIDE.split_once(BEGIN).expect("the guide has the vector");
    let (vector, _) = rest.split_once("```\n<!-- /chip vector -->").expect("it ends");
    let (keys, text) = vector.split_once("\n\n").expect("the text comes after an empty line");
    let value = |name: &str| {
        let line = keys.lines().find(|line| line.starts_with(name)).expect(name);
        line.rsplit(' ').next().expect("a value").to_owned()
    };
    (value("public key"), hex::decode(value("signature")).expect("hex"), text.to_owned())
}

fn key(id: &str) -> ItemKey {
    super::super::ids::key("131229".parse().expect("Katsushika"), id.parse().expect("an id"))
}

fn says(state: &str, session: &str, signature: &[u8]) -> pb::ChipStatement {
    pb::ChipStatement {
        state: state.to_owned(),
        session_id: session.to_owned(),
        signature: signature.to_vec(),
    }
}

#[test]
fn the_vector_of_the_guide_is_believed_and_nothing_else_is() {
    let (public, signature, signed) = vector();
    let session = SessionId(SESSION.parse().expect("a UUID"));
    assert_eq!(text(&key("K-1"), Chip::Committed(session)), signed);
    let of = |id: &str, statement: &pb::ChipStatement, public: &str| {
        read(&key(id), Some(statement), Some(public)).map_err(|fault| fault.reason)
    };
    let good = says("COMMITTED", SESSION, &signature);
    let read_back = Statement { chip: Chip::Committed(session), signature: hex::encode(&signature) };
    assert_eq!(of("K-1", &good, &public), Ok(read_back));
    let upper = says("COMMITTED", &SESSION.to_uppercase(), &signature);
    assert!(of("K-1", &upper, &public).is_ok(), "a UUID is one however it is written");
    let wrong = Err(Reason::ChipProofInvalid);
    assert_eq!(of("K-2", &good, &public), wrong, "another card");
    assert_eq!(of("K-1", &says("PREPARED", SESSION, &signature), &public), wrong, "another state");
    let other = uuid::Uuid::from_u128(7).to_string();
    assert_eq!(of("K-1", &says("COMMITTED", &other, &signature), &public), wrong, "another session");
    let mut broken = signature.clone();
    broken[63] ^= 1;
    assert_eq!(of("K-1", &says("COMMITTED", SESSION, &broken), &public), wrong);
    for cut in [&signature[..63], &[]] {
        assert_eq!(of("K-1", &says("COMMITTED", SESSION, cut), &public), wrong);
    }
    for no_key in ["", "00", "xx"] {
        assert_eq!(of("K-1", &good, no_key), wrong, "{no_key}");
    }
    assert_eq!(read(&key("K-1"), Some(&good), None).map_err(|fault| fault.reason), wrong, "it is not made");
}

#[test]
fn what_no_chip_says_is_refused_as_a_field() {
    let (public, signature, _) = vector();
    let statements = [
        says("", "", &signature),
        says("committed", SESSION, &signature),
        says("BLANK", SESSION, &signature),
        says("COMMITTED", "", &signature),
        says("PREPARED", "7", &signature),
    ];
    for statement in statements {
        let refused = read(&key("K-1"), Some(&statement), Some(&public)).expect_err("no statement");
        assert_eq!(refused.reason, Reason::FieldInvalid, "{statement:?}");
    }
    assert_eq!(read(&key("K-1"), None, Some(&public)).expect_err("none").reason, Reason::FieldInvalid);
}

#[test]
fn a_reset_names_the_card_and_the_session() {
    let session = SessionId(SESSION.parse().expect("a UUID"));
    let expected = format!("todoke chip reset v1\n131229\nK-1\n{SESSION}\n");
    assert_eq!(reset_text(&key("K-1"), session), expected);
}

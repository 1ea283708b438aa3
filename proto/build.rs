//! Compiles `proto/` without a system protoc, and lets the crate see new migrations.

use std::{env, fs, path::PathBuf};

const PROTOS: [&str; 6] = [
    "todoke/v1/application.proto",
    "todoke/v1/batch.proto",
    "todoke/v1/card.proto",
    "todoke/v1/mail.proto",
    "todoke/v1/pool.proto",
    "todoke/v1/production.proto",
];

/// What has personal data, or leads to some.
const WITHOUT_DEBUG: [&str; 6] = [
    "todoke.v1.Chunk",
    "todoke.v1.CorrectReadingRequest",
    "todoke.v1.GetCardRequest",
    "todoke.v1.IssueFormResponse",
    "todoke.v1.PersonalData",
    "todoke.v1.SubmitApplicationRequest",
];

#[expect(clippy::disallowed_methods, reason = "cargo says in a variable where to write")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=src/store/migrations");
    let descriptors = protox::compile(PROTOS, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("todoke_descriptor.bin"), prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure()
        .bytes(".todoke.v1.Chunk.payload")
        .skip_debug(WITHOUT_DEBUG)
        .compile_well_known_types(false)
        .compile_fds(descriptors)?;
    Ok(())
}

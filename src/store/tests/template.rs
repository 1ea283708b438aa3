//! A server for each test that needs one, in a fraction of a second: on a copy of a data folder that the
//! first test makes and all others use, with our tables in it.

use std::{
    fs::{self, File},
    path::PathBuf,
};

use super::*;
use crate::{
    domain::digest::Digest,
    runtime::blocking,
    store::{postgres::MIGRATOR, throwaway::Care},
};

/// The database of it that has our tables.
pub(super) const DATABASE: &str = "todoke";

/// Returns a server with a database that has our tables and nothing in them, and with these settings.
///
/// A missing PostgreSQL is no reason to leave a test out: it says what brings it.
pub(super) async fn server(settings: &'static str) -> Throwaway {
    let data = ready().await;
    let server = blocking(move || Throwaway::start_copy(&data, Care::Hasty, settings)).await;
    server.unwrap_or_else(|trouble| panic!("{trouble}"))
}

/// The data folder to copy, beside what the compiler makes: one for each set of migrations.
async fn ready() -> PathBuf {
    let program = std::env::current_exe().expect("a path");
    let target = program.ancestors().nth(3).expect("it lies in target/debug/deps").join("tmp");
    let checksums: Vec<u8> = MIGRATOR.iter().flat_map(|one| one.checksum.to_vec()).collect();
    let name = format!("postgres-{}", &Digest::of(&checksums).to_string()[..16]);
    let (data, lock) = (target.join(&name), target.join(format!("{name}.lock")));
    fs::create_dir_all(&target).expect("it is writable");
    let lock = File::create(lock).expect("it is writable");
    let lock = blocking(move || lock.lock().map(|()| lock)).await.expect("a lock");
    if !data.exists() {
        let unfinished = target.join(format!("{name}.unfinished"));
        let _ = fs::remove_dir_all(&unfinished);
        let made = blocking(|| Throwaway::start(Care::Hasty)).await;
        let server = made.unwrap_or_else(|trouble| panic!("{trouble}"));
        server.create(DATABASE).await.expect("it is made");
        let options = StoreOptions { url: server.url(DATABASE), ..StoreOptions::default() };
        Store::open(&options).await.expect("it opens").close().await;
        let to = unfinished.clone();
        blocking(move || server.into_data(&to)).await.expect("it stops");
        fs::rename(unfinished, &data).expect("nobody else makes it");
    }
    drop(lock);
    data
}

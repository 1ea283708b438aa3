//! Promise: issuers whose role is the lesser one of roles.sql do all their work, and cannot change what says
//! which schema the database has.

use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use todoke::{
    runtime::blocking,
    store::throwaway::{Care, Throwaway},
};

use super::{
    super::{
        issuance::databases::tool,
        system::{Dev, Folder},
    },
    IMPORT,
};

const ROLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/patroni/roles.sql");

/// What makes a program believe that a database has another schema.
const CHANGES: [&str; 6] = [
    "INSERT INTO schema_version VALUES (999, 1)",
    "UPDATE schema_version SET usable_from = 1",
    "DELETE FROM schema_version",
    "INSERT INTO _sqlx_migrations VALUES (999, 'later', now(), true, '', 0)",
    "UPDATE _sqlx_migrations SET success = false",
    "DELETE FROM _sqlx_migrations",
];

#[tokio::test]
async fn the_role_of_issuers_does_their_work_and_cannot_change_what_says_which_schema_there_is() {
    let server = blocking(|| Throwaway::start(Care::Durable)).await;
    let server = server.unwrap_or_else(|trouble| panic!("{trouble}"));
    tool(&server, "psql", &["--quiet", "--set", "ON_ERROR_STOP=1", "--file", ROLES, "postgres"]);
    let (owner, issuer) = ("todoke_owner", "todoke_issuer");
    let url = |role: &str| server.url("todoke").replace("postgres://todoke@", &format!("postgres://{role}@"));
    let folder = Folder::new();
    let said = folder.todoke(&["migrate", "--database", &url(owner)], &[]).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let mut dev = Dev::start(&folder, &["--relays", "1", "--database", &url(issuer)]).await;
    folder.sample_with("cards.csv", "300", &["--wrong-check-digit", "1"]).await;
    let said = folder.todoke(&IMPORT, &folder.as_ward()).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    assert_eq!(dev.stop().await, Some(0));
    let options = PgConnectOptions::new_without_pgpass().socket(server.folder()).port(5432);
    let options = options.username(issuer).database("todoke");
    let mut connection = PgConnection::connect_with(&options).await.expect("it is there");
    for change in CHANGES {
        let refused = sqlx::raw_sql(change).execute(&mut connection).await.expect_err(change).to_string();
        assert!(refused.contains("permission denied"), "{change}: {refused}");
    }
    connection.close().await.expect("it closes");
    let said = folder.todoke(&["migrate", "--check", "--database", &url(issuer)], &[]).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
}

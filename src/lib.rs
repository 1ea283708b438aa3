//! todoke: a fault-tolerant card-management backend. No record is lost without somebody being told, and no
//! sick node takes the others down.
//!
//! Municipalities hand over batches of card records. Behind a pool of identical relays an issuer keeps
//! every record in a database, and a batch is done only when its sender holds a receipt that it has
//! checked against its own totals. Whatever else happens is said: by a state, a flag, a list of what is
//! missing, an exit code.
//!
//! ```text
//!  municipal system              relays (hold nothing)          issuer (one, or several on PostgreSQL)
//!  todoke import, any   mTLS   ┌─ relay-1 ─┐   mTLS          ┌─ issuance ─┐
//!  gRPC client        ───────► ├─ relay-2 ─┤ ──────────────► │ vault      │ ──► SQLite or PostgreSQL
//!                              └─ relay-n ─┘  bytes unread   └─ store ────┘
//! ```
//!
//! # The way of a batch
//! 1. [`client::flow`] reads the file once for its totals ([`client::scan`]), writes a manifest
//!    ([`domain::manifest`]) into its journal, signs it with the key of its certificate, and opens the batch.
//! 2. [`client::uploader`] sends chunks over several relays. A relay takes the caller's identity from the
//!    certificate and passes the bytes on unread; it never acknowledges anything itself.
//! 3. [`issuance`] checks each chunk against the manifest, seals it ([`vault`]), and acknowledges it after
//!    the COMMIT of its one row ([`store`]).
//! 4. Sealing the batch re-reads it from the database and recomputes every total. What is missing comes
//!    back as ranges and districts.
//! 5. Workers make card orders of the chunks, each once; every sum must close before the batch is accepted
//!    and its receipt ([`domain::receipt`]) is written, in one transaction.
//! 6. The client checks signature and totals of the receipt; only then does `todoke import` end with 0.
//!
//! Which relays carry that is decided meanwhile ([`pool`]): relays and issuers probe each relay and report
//! what became of calls; one issuer judges them against each other, gives leases, takes the sick one out for
//! a stated reason, and publishes a signed view, by which our client goes, too ([`client::picker`]). A relay
//! without a lease serves nobody, and the issuer refuses it whether it listens or not.
//!
//! A sweeper, at one issuer at a time, derives what does not move (stalled, overdue, stuck, a hole in the
//! sequence) from the database, so that nobody has to remember to look.
//!
//! # Rooms
//! Imports go one way; `tests/it/tidy` holds them to this table on every run.
//!
//! | Room | Holds | May import |
//! | --- | --- | --- |
//! | [`domain`] | pure rules: ids, manifest, Merkle tree, ranges, totals, receipt | nothing |
//! | [`telemetry`] | logs, and every metric and label by name | nothing |
//! | [`sample`] | record files of people who do not exist, and chips of their cards | domain |
//! | [`runtime`] | signals, named tasks, the clock, exit codes | telemetry |
//! | [`wire`] | the protobuf API; where faults become statuses | domain |
//! | [`crash`] | where a test can kill a process; nothing in a build for use | nothing |
//! | [`vault`] | sealing of personal data, blind index, signing | domain |
//! | [`net`] | mutual TLS, limits of a server, lanes, channels, PKI | domain, wire, runtime, telemetry |
//! | [`store`] | SQL of two databases, nothing of gRPC | domain, vault, pool, runtime, telemetry, crash |
//! | [`issuance`] | batches, and lives | domain, wire, vault, store, net, pool, runtime, telemetry, crash |
//! | [`client`] | reader, journal, uploader, receipts | domain, wire, net, runtime, telemetry, crash |
//! | [`pool`] | evidence, rule, policy, controller, leases, view | domain, wire, net, runtime, telemetry |
//! | [`relay`] | identify, admit, forward, report | domain, wire, net, pool, runtime, telemetry, crash |
//! | [`ops`] | `/metrics`, `/livez`, `/readyz` | domain, store, telemetry |
//! | [`config`] | one struct a role, of options | issuance, net, ops, pool, relay, store, telemetry |
//! | [`cli`] | one file a sub-command, and all wiring | everything |
//!
//! # Where to read first
//! [`domain::manifest`] and [`domain::receipt`] say what is promised, [`issuance`] keeps it,
//! [`client::flow`] holds the issuer to it, and [`cli::issuer`] shows in thirty lines how a process is
//! put together. [`pool::rule`] says who is sick, [`pool::policy`] what then happens, [`pool::controller`]
//! runs both. The API is described in `proto/README.md`, running it in `deploy/README.md`, the tests
//! in `tests/README.md`.

pub mod cli;
pub mod client;
pub mod config;
pub mod crash;
pub mod domain;
pub mod issuance;
pub mod net;
pub mod ops;
pub mod pool;
pub mod relay;
pub mod runtime;
pub mod sample;
pub mod store;
pub mod telemetry;
pub mod vault;
pub mod wire;

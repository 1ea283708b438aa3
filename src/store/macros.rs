//! The seam between a method and its database: one body, expanded once for each database that [`Pool`] has.
//!
//! A database is a variant of [`Pool`] and an arm in each macro here; the methods stay.
//!
//! [`Pool`]: super::Pool

/// Runs `body` in a transaction on whichever database `store` has, again if that may help, and measures it.
///
/// `tx` is the connection. `?` leaves the body only. The body may run several times: it can borrow from
/// outside, but neither move nor change what it borrows, and the compiler sees to that.
///
/// It waits for its turn behind others; `in_tx!(first store, …)` goes before those who can wait.
macro_rules! in_tx {
    (first $store:expr, $name:expr, |$tx:ident| $body:expr) => {
        in_tx!(@on First, $store, $name, $tx, $body)
    };
    ($store:expr, $name:expr, |$tx:ident| $body:expr) => {
        in_tx!(@on AsAsked, $store, $name, $tx, $body)
    };
    (@on $rank:ident, $store:expr, $name:expr, $tx:ident, $body:expr) => {
        match &$store.pool {
            $crate::store::Pool::Sqlite { write, .. } => {
                in_tx!(@run $rank, write, $store, ::sqlx::SqliteConnection, $name, $tx, $body)
            }
            $crate::store::Pool::Postgres(server) => {
                in_tx!(@run $rank, server, $store, ::sqlx::PgConnection, $name, $tx, $body)
            }
        }
    };
    (@run $rank:ident, $engine:ident, $store:expr, $conn:ty, $name:expr, $tx:ident, $body:expr) => {
        $crate::store::transact::run_tx($engine, $name, &$store.how($crate::store::Rank::$rank), &mut |tx| {
            ::std::boxed::Box::pin(async {
                let mut guard = tx; // owned: a borrow here would need a `for<'c>` closure
                let $tx: &mut $conn = &mut guard;
                let result = async { $body }.await;
                (guard, result)
            })
        })
        .await
    };
}

/// Runs `body` of one statement on a connection that reads, outside any transaction, and measures it.
macro_rules! on_read {
    ($store:expr, $name:literal, |$conn:ident| $body:expr) => {
        match &$store.pool {
            $crate::store::Pool::Sqlite { read, .. } => {
                on_read!(@run read, $store, ::sqlx::SqliteConnection, $name, $conn, $body)
            }
            $crate::store::Pool::Postgres(server) => {
                on_read!(@run server, $store, ::sqlx::PgConnection, $name, $conn, $body)
            }
        }
    };
    (@run $engine:ident, $store:expr, $ty:ty, $name:literal, $conn:ident, $body:expr) => {
        $crate::store::transact::run_read($engine, $name, &$store.as_asked(), ::std::boxed::Box::pin(async {
            let mut guard = $crate::store::transact::Engine::reader($engine).await?;
            let $conn: &mut $ty = &mut guard;
            $body
        }))
        .await
    };
}

/// The same for a body of several statements, which all see the database as it was at the first.
macro_rules! on_snapshot {
    ($store:expr, $name:literal, |$conn:ident| $body:expr) => {
        match &$store.pool {
            $crate::store::Pool::Sqlite { read, .. } => {
                on_snapshot!(@run read, $store, ::sqlx::SqliteConnection, $name, $conn, $body)
            }
            $crate::store::Pool::Postgres(server) => {
                on_snapshot!(@run server, $store, ::sqlx::PgConnection, $name, $conn, $body)
            }
        }
    };
    (@run $engine:ident, $store:expr, $ty:ty, $name:literal, $conn:ident, $body:expr) => {
        $crate::store::transact::run_read($engine, $name, &$store.as_asked(), ::std::boxed::Box::pin(async {
            let mut guard = $crate::store::transact::Engine::snapshot($engine).await?;
            let result = {
                let $conn: &mut $ty = &mut guard;
                async { $body }.await
            };
            guard.rollback().await?; // nothing was written
            result
        }))
        .await
    };
}

/// Gives every connection type the same steps from one body, called as `tx.step(args).await?`.
macro_rules! on_both {
    ($vis:vis trait $trait:ident {
        $(
            $(#[$meta:meta])*
            async fn $fn:ident(&mut $conn:ident $(, $arg:ident: $ty:ty)* $(,)?) -> $ret:ty $body:block
        )*
    }) => {
        $vis trait $trait {
            $($(#[$meta])* fn $fn(&mut self $(, $arg: $ty)*) -> impl Future<Output = $ret> + Send;)*
        }
        on_both!(@impl ::sqlx::SqliteConnection, $trait { $($fn $conn ($($arg: $ty),*) -> $ret $body)* });
        on_both!(@impl ::sqlx::PgConnection, $trait { $($fn $conn ($($arg: $ty),*) -> $ret $body)* });
    };
    (@impl $for:ty, $trait:ident { $($fn:ident $conn:ident $args:tt -> $ret:ty $body:block)* }) => {
        impl $trait for $for { $(on_both!(@fn $fn $conn $args -> $ret $body);)* }
    };
    (@fn $fn:ident $conn:ident ($($arg:ident: $ty:ty),*) -> $ret:ty $body:block) => {
        async fn $fn(&mut self $(, $arg: $ty)*) -> $ret { let $conn = self; $body }
    };
}

/// Names SQL and registers it, so that a test prepares all of it on every database.
///
/// `NAME = "…"` is one text for all: `$1`, explicit columns, `ON CONFLICT`, casts around sums. Only where the
/// texts must differ, `NAME = { sqlite: "…", postgres: "…" }`, which is used as `tx.sql(NAME)`; what one of
/// them alone has is `NAME = { sqlite: "…" }`.
macro_rules! statements {
    (@next [$($done:tt)*] $(#[$meta:meta])* $vis:vis $name:ident =
        { sqlite: $sqlite:expr, postgres: $postgres:expr $(,)? }; $($rest:tt)*) => {
        $(#[$meta])* $vis const $name: $crate::store::statement::PerDatabase =
            $crate::store::statement::PerDatabase { sqlite: $sqlite, postgres: $postgres };
        statements!(@next [$($done)* ($name, Some($name.sqlite), Some($name.postgres))] $($rest)*);
    };
    (@next [$($done:tt)*] $(#[$meta:meta])* $vis:vis $name:ident = { sqlite: $sqlite:expr $(,)? };
        $($rest:tt)*) => {
        $(#[$meta])* $vis const $name: &str = $sqlite;
        statements!(@next [$($done)* ($name, Some($name), None)] $($rest)*);
    };
    (@next [$($done:tt)*] $(#[$meta:meta])* $vis:vis $name:ident = { postgres: $postgres:expr $(,)? };
        $($rest:tt)*) => {
        $(#[$meta])* $vis const $name: &str = $postgres;
        statements!(@next [$($done)* ($name, None, Some($name))] $($rest)*);
    };
    (@next [$($done:tt)*] $(#[$meta:meta])* $vis:vis $name:ident = $sql:expr; $($rest:tt)*) => {
        $(#[$meta])* $vis const $name: &str = $sql;
        statements!(@next [$($done)* ($name, Some($name), Some($name))] $($rest)*);
    };
    (@next [$(($name:ident, $sqlite:expr, $postgres:expr))*]) => {
        ::inventory::submit! {
            $crate::store::statement::Statements(&[$($crate::store::statement::Statement {
                name: concat!(module_path!(), "::", stringify!($name)),
                sqlite: $sqlite,
                postgres: $postgres,
            }),*])
        }
    };
    ($($all:tt)*) => { statements!(@next [] $($all)*); };
}

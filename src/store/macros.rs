//! The seam between a method and its database: one body, expanded once for each database that [`Pool`] has.
//!
//! A second database is one more variant of [`Pool`] and one more arm in each macro here; the methods stay.
//!
//! [`Pool`]: super::Pool

/// Runs `body` in a transaction on whichever database `store` has, again if that may help, and measures it.
///
/// `tx` is the connection. `?` leaves the body only. The body may run several times: it can borrow from
/// outside, but neither move nor change what it borrows, and the compiler sees to that.
macro_rules! in_tx {
    ($store:expr, $name:literal, |$tx:ident| $body:expr) => {
        match &$store.pool {
            $crate::store::Pool::Sqlite { write, .. } => {
                in_tx!(@run write, "BEGIN IMMEDIATE", ::sqlx::SqliteConnection, $name, $tx, $body)
            }
        }
    };
    (@run $pool:ident, $begin:literal, $conn:ty, $name:literal, $tx:ident, $body:expr) => {
        $crate::store::transact::run_tx($pool, $begin, $name, &mut |guard| {
            ::std::boxed::Box::pin(async {
                let mut guard = guard; // owned: a borrow here would need a `for<'c>` closure
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
                on_read!(@run read, ::sqlx::SqliteConnection, $name, $conn, $body)
            }
        }
    };
    (@run $pool:ident, $ty:ty, $name:literal, $conn:ident, $body:expr) => {
        $crate::store::transact::run_read($name, ::std::boxed::Box::pin(async {
            let mut guard = $pool.acquire().await?;
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
                on_snapshot!(@run read, "BEGIN", ::sqlx::SqliteConnection, $name, $conn, $body)
            }
        }
    };
    (@run $pool:ident, $begin:literal, $ty:ty, $name:literal, $conn:ident, $body:expr) => {
        $crate::store::transact::run_read($name, ::std::boxed::Box::pin(async {
            let mut guard = $pool.begin_with($begin).await?;
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
    };
    (@impl $for:ty, $trait:ident { $($fn:ident $conn:ident $args:tt -> $ret:ty $body:block)* }) => {
        impl $trait for $for { $(on_both!(@fn $fn $conn $args -> $ret $body);)* }
    };
    (@fn $fn:ident $conn:ident ($($arg:ident: $ty:ty),*) -> $ret:ty $body:block) => {
        async fn $fn(&mut self $(, $arg: $ty)*) -> $ret { let $conn = self; $body }
    };
}

/// Names SQL and registers it, so that a test prepares all of it.
///
/// Each text is meant for every database: `$1`, explicit columns, `ON CONFLICT`, casts around sums.
macro_rules! statements {
    ($($(#[$meta:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$meta])* const $name: &str = $sql;)*
        ::inventory::submit! {
            $crate::store::statement::Statements(&[$($crate::store::statement::Statement {
                name: concat!(module_path!(), "::", stringify!($name)),
                sql: $name,
            }),*])
        }
    };
}

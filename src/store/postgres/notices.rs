//! A COMMIT that was answered with a warning is not taken for durable.
//!
//! PostgreSQL commits here, and says so only in a warning, when the wait for a synchronous standby was ended
//! by hand; a distributed engine does when one of its nodes did not answer. The driver gives warnings to
//! `tracing` and to nobody else. It does so inside the poll of the very future that reads the answer: so that
//! future is polled under a subscriber of its own, which hears nothing but warnings of the server. This does
//! not depend on what is logged, and its words, which the server may say in any language, do not matter.

use std::{
    cell::RefCell,
    fmt::{self, Write as _},
    sync::OnceLock,
};

use tracing::{
    Dispatch, Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    instrument::WithSubscriber as _,
    level_filters::LevelFilter,
    span,
};

/// The driver's target for what a server tells beside its answer.
const NOTICES: &str = "sqlx::postgres::notice";

tokio::task_local! {
    static HEARD: RefCell<String>;
}

/// Waits for an answer of the server; returns it with the warnings that came with it.
pub(super) async fn heard<T>(answer: impl Future<Output = T>) -> (T, String) {
    // Two: as long as there is only one in the whole process, `tracing` asks whoever listens where an event
    // is met first, and goes by that for ever; so that one warning that nobody waited for would hide all.
    static LISTENERS: OnceLock<[Dispatch; 2]> = OnceLock::new();
    let [listener, _] = LISTENERS.get_or_init(|| [(); 2].map(|()| Dispatch::new(Listener)));
    let told = async {
        let answer = answer.await;
        (answer, HEARD.with(RefCell::take))
    };
    HEARD.scope(RefCell::default(), told).with_subscriber(listener.clone()).await
}

struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // The driver asks first whether it is worth while.
        !metadata.is_span() && metadata.target() == NOTICES && *metadata.level() <= Level::WARN
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn event(&self, event: &Event<'_>) {
        let _ = HEARD.try_with(|heard| event.record(&mut Words(&mut heard.borrow_mut())));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1) // there are none, as none is enabled
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Adds the words of a warning to those before.
struct Words<'a>(&'a mut String);

impl Visit for Words<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, _: &Field, value: &dyn fmt::Debug) {
        let between = if self.0.is_empty() { "" } else { "; " };
        let _ = write!(self.0, "{between}{value:?}"); // a String takes everything
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_server_warns_of_is_heard_by_whoever_waits_for_its_answer_and_by_nobody_else() {
        let warned = |words: &'static str| async move {
            tokio::task::yield_now().await;
            if tracing::enabled!(target: NOTICES, Level::WARN) {
                tracing::warn!(target: NOTICES, message = words);
            }
            tracing::info!(target: NOTICES, "a notice");
            tracing::warn!("of another part of the program");
            tokio::task::yield_now().await;
            7
        };
        warned("nobody waits").await;
        let (one, two) = tokio::join!(heard(warned("one")), heard(warned("two")));
        assert_eq!((one, two), ((7, "one".to_owned()), (7, "two".to_owned())));
        assert_eq!(heard(async { 7 }).await, (7, String::new()));
    }
}

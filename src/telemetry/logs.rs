//! One line a log event on stderr, as JSON for machines or as text for people.

use std::io::{self, IsTerminal as _};

use tracing::Subscriber;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter, util::SubscriberInitExt as _};

/// How a log line looks.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// Text for people, in colour on a terminal.
    Pretty,
}

/// What is logged, and how.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct LogOptions {
    /// How a line looks. Default JSON.
    pub format: LogFormat,
    /// What is logged, such as `info` or `info,todoke::issuance=debug`. Default `info`. `trace` is in debug
    /// builds only.
    pub filter: String,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { format: LogFormat::Json, filter: "info".to_owned() }
    }
}

/// Why telemetry was not set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter is not understood.
    #[error("log filter '{filter}': {source}. Write a level, or TARGET=LEVEL, with commas between them")]
    Filter {
        /// The filter as it was given.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// There is a subscriber in this process.
    #[error("logging is set up already: call telemetry::init once a process")]
    Twice,
}

/// Sends the log of the whole process to stderr.
pub(super) fn init(options: &LogOptions) -> Result<(), Error> {
    // A line is written in the thread that logs: a line that waits in a buffer is lost with a crash.
    let subscriber = subscriber(options, io::stderr, io::stderr().is_terminal())?;
    subscriber.try_init().map_err(|_| Error::Twice)
}

fn subscriber<W>(
    options: &LogOptions,
    writer: W,
    ansi: bool,
) -> Result<Box<dyn Subscriber + Send + Sync>, Error>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .parse(&options.filter)
        .map_err(|source| Error::Filter { filter: options.filter.clone(), source })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(ansi);
    Ok(match options.format {
        LogFormat::Json => Box::new(lines.json().flatten_event(true).with_span_list(false).finish()),
        LogFormat::Pretty => Box::new(lines.finish()),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    /// Keeps what is logged.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).expect("UTF-8")
        }
    }

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    pub(crate) fn logged(options: &LogOptions, job: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(options, move || writer.clone(), false).expect("a filter");
        tracing::subscriber::with_default(subscriber, job);
        lines.text()
    }

    fn speak() {
        let span = tracing::info_span!("seal_batch", batch.id = "b-1");
        let _entered = span.enter();
        tracing::info!(municipality.code = "131229", "sealed");
        tracing::debug!("not at this level");
    }

    #[test]
    fn a_json_line_is_one_object_with_the_fields_of_its_event_and_span() {
        let text = logged(&LogOptions::default(), speak);
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(line["message"], "sealed");
        assert_eq!(line["municipality.code"], "131229");
        assert_eq!((&line["span"]["name"], &line["span"]["batch.id"]), (&"seal_batch".into(), &"b-1".into()));
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn a_pretty_line_is_plain_text_without_colours_off_a_terminal() {
        let options = LogOptions { format: LogFormat::Pretty, ..LogOptions::default() };
        let text = logged(&options, speak);
        assert!(text.contains("INFO") && text.contains("sealed municipality.code=\"131229\""), "{text}");
        assert!(!text.contains('\u{1b}') && text.lines().count() == 1, "{text}");
    }

    #[test]
    fn the_filter_chooses_levels_by_target() {
        let filter = format!("warn,{}=debug", module_path!());
        let text = logged(&LogOptions { filter, ..LogOptions::default() }, speak);
        assert!(text.contains("not at this level"), "{text}");
        assert_eq!(logged(&LogOptions { filter: "warn".to_owned(), ..LogOptions::default() }, speak), "");
    }

    #[test]
    fn a_filter_that_is_not_understood_is_named_with_its_remedy() {
        let options = LogOptions { filter: "todoke=loud".to_owned(), ..LogOptions::default() };
        let refused = subscriber(&options, io::sink, false).map(drop).expect_err("loud is no level");
        let words = refused.to_string();
        assert!(words.contains("todoke=loud") && words.contains("TARGET=LEVEL"), "{words}");
    }
}

//! A process that runs can be watched: structured logs on stderr, every panic in them, and every metric with
//! a description; neither shows personal data.

mod logs;
pub mod names;
mod panics;
mod process;
mod prometheus;

#[cfg(test)]
pub(crate) use logs::tests::Lines;
pub use logs::{Error, LogFormat, LogOptions};
pub use process::{Figures, figures};
pub use prometheus::{CONTENT_TYPE, Metrics, prometheus};

/// Sets up logs, the panic hook and the metrics of this process. To be called once, before anything that
/// logs or counts.
///
/// # Errors
/// [`Error`]; nothing is set up then.
pub fn init(options: &LogOptions) -> Result<(), Error> {
    logs::init(options)?;
    panics::log_them();
    let _ = prometheus();
    Ok(())
}

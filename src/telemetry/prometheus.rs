//! What the process counts, as text that Prometheus reads; installed once, however often it is asked for.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::{
    names::{self, Kind},
    process::Process,
};

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A handle to all metrics of this process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    recorded: PrometheusHandle,
    process: Process,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Renders everything in the text format of Prometheus, with what the system says of this process.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = self.recorded.render();
        self.process.render_to(&mut text);
        text
    }

    /// Moves recorded samples into their buckets. Without it, or somebody who asks for the text, histograms
    /// grow without limit: call it every few seconds.
    pub fn upkeep(&self) {
        self.recorded.run_upkeep();
    }
}

/// Returns the handle to this process's metrics; the first call installs the recorder and describes every
/// metric.
///
/// # Panics
/// If something else in the process has installed another recorder: nothing would be counted here.
#[must_use]
pub fn prometheus() -> Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(install).clone()
}

fn install() -> Metrics {
    let mut builder = PrometheusBuilder::new();
    for metric in names::ALL {
        if let Kind::Histogram(buckets) = metric.kind {
            builder = builder
                .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)
                .expect("every histogram in names.rs has buckets, by test");
        }
    }
    let recorder = builder.build_recorder();
    let recorded = recorder.handle();
    metrics::set_global_recorder(recorder).expect("nothing else in this program installs a recorder");
    names::describe_all();
    names::begin_at_zero();
    metrics::gauge!(names::BUILD_INFO, names::VERSION => env!("CARGO_PKG_VERSION")).set(1);
    Metrics { recorded, process: Process::started() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_rendered_with_type_and_description() {
        let metrics = prometheus();
        metrics::counter!(names::TASK_DEATHS, names::TASK => "t", names::CAUSE => "panic").increment(2);
        let text = prometheus().render();
        let line = "todoke_task_deaths_total{task=\"t\",cause=\"panic\"} 2";
        assert!(text.lines().any(|l| l == line), "one recorder for all handles: {text}");
        assert!(text.contains("# TYPE todoke_task_deaths_total counter"), "{text}");
        assert!(text.contains("# HELP todoke_task_deaths_total Tasks that"), "{text}");
        assert!(text.contains(&format!("todoke_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"))));
        metrics.upkeep();
    }
}

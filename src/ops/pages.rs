//! What is served: `/metrics`, `/livez`, `/readyz`; each answer is whole and never stored by a cache.

use axum::{
    Router,
    extract::State as Shared,
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse as _, Response},
    routing::get,
};
use tokio_util::sync::CancellationToken;

use super::State;
use crate::telemetry;

const INDEX: &str = "\
/metrics  counts, for Prometheus
/livez    whether it lives
/readyz   whether it should get calls, and why not
";

#[derive(Clone)]
struct Pages {
    state: State,
    stop: CancellationToken,
}

/// Returns the pages; once `stop` is cancelled the process counts as not ready.
pub(super) fn router(state: State, stop: CancellationToken) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .with_state(Pages { state, stop })
}

fn fresh(response: Response) -> Response {
    ([(CACHE_CONTROL, "no-store")], response).into_response()
}

fn json(body: &serde_json::Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

async fn index() -> Response {
    fresh(INDEX.into_response())
}

async fn metrics(Shared(pages): Shared<Pages>) -> Response {
    fresh(([(CONTENT_TYPE, telemetry::CONTENT_TYPE)], pages.state.metrics.render()).into_response())
}

/// That this answers is the answer: whoever does not get it in time should restart the process.
async fn live(headers: HeaderMap) -> Response {
    if wants_json(&headers) {
        return fresh(json(&serde_json::json!({ "alive": true })));
    }
    fresh("alive\n".into_response())
}

async fn ready(Shared(pages): Shared<Pages>, headers: HeaderMap) -> Response {
    let mut reasons = (pages.state.ready)();
    if pages.stop.is_cancelled() {
        reasons.insert(0, "it is about to stop".to_owned());
    }
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if wants_json(&headers) {
        let body = serde_json::json!({ "ready": reasons.is_empty(), "reasons": reasons });
        return fresh((status, json(&body)).into_response());
    }
    let text = match reasons.is_empty() {
        true => "ready\n".to_owned(),
        false => format!("not ready\n{}\n", reasons.join("\n")),
    };
    fresh((status, text).into_response())
}

/// Whether JSON was asked for by name; `*/*` gets text.
fn wants_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .any(|one| one.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json"))
}

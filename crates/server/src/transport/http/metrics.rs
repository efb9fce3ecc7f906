//! `GET /metrics`: the hub's numbers, for Prometheus and whatever reads its formats.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, VARY};
use ragpulse_protocol::{Code, Problem};

use super::extract::{Refusal, Who};
use crate::auth::Act;
use crate::hub::Hub;
use crate::metrics::export::{Form, text};
use crate::metrics::refresh;

pub(super) async fn metrics(
    State(hub): State<Hub>,
    Who(caller): Who,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    hub.may(&caller, Act::Metrics, None)?;
    let form = Form::of(headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default());
    refresh(&hub.0).await;
    let text = text(&hub.0.metrics, form).map_err(|_| {
        tracing::error!("the metrics could not be written");
        Problem::new(Code::Internal, "The metrics could not be written.")
    })?;
    let headers = [(CONTENT_TYPE, form.content_type()), (CACHE_CONTROL, "no-store"), (VARY, "Accept")];
    Ok((headers, text).into_response())
}

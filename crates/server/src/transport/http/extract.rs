//! What routes need of a request: who asks, for which pipeline, with which parameters — or a problem — and how it fares.

use std::collections::HashMap;
use std::convert::Infallible;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Path, Query};
use axum::response::{IntoResponse, Response};
use http::header::AUTHORIZATION;
use http::request::Parts;
use ragpulse_protocol::command::ClientStatus;
use ragpulse_protocol::{Code, PipelineId, Problem};

use crate::address::ClientAddress;
use crate::auth::{Act, Caller};
use crate::doors::CLIENT_STATUS;
use crate::hub::Hub;
use crate::transport::problem_response;

/// A problem as the answer of a route.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) Problem);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        problem_response(&self.0)
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

/// Who asks, by the `Authorization` header.
pub(super) struct Who(pub(super) Caller);

impl FromRequestParts<Hub> for Who {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, hub: &Hub) -> Result<Self, Refusal> {
        let token = parts
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        Ok(Self(hub.admit(token, ClientAddress::of(parts)).await?))
    }
}

/// The pipeline in the path.
pub(super) struct Pipeline(pub(super) PipelineId);

impl FromRequestParts<Hub> for Pipeline {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, hub: &Hub) -> Result<Self, Refusal> {
        let invalid = |what: String| Refusal(Problem::new(Code::InvalidName, what));
        let Path(id) = Path::<String>::from_request_parts(parts, hub)
            .await
            .map_err(|error| invalid(format!("The pipeline's name cannot be read: {error}.")))?;
        PipelineId::new(id).map(Self).map_err(|error| invalid(format!("In the address, {error}.")))
    }
}

/// Who asks, and the pipeline in the path, for which they may do this. Every route of a pipeline takes one of these before
/// it reads anything else of a request, but for [`Pipeline`] where the hub asks.
struct Allowed(Caller, PipelineId);

impl Allowed {
    async fn to(act: Act, parts: &mut Parts, hub: &Hub) -> Result<Self, Refusal> {
        let Who(caller) = Who::from_request_parts(parts, hub).await?;
        let Pipeline(pipeline) = Pipeline::from_request_parts(parts, hub).await?;
        hub.may(&caller, act, Some(&pipeline))?;
        Ok(Self(caller, pipeline))
    }
}

macro_rules! allowed {
    ($($(#[$doc:meta])* $name:ident = $act:ident;)*) => {$(
        $(#[$doc])*
        pub(super) struct $name(pub(super) Caller, pub(super) PipelineId);

        impl FromRequestParts<Hub> for $name {
            type Rejection = Refusal;
            async fn from_request_parts(parts: &mut Parts, hub: &Hub) -> Result<Self, Refusal> {
                let Allowed(caller, pipeline) = Allowed::to(Act::$act, parts, hub).await?;
                Ok(Self(caller, pipeline))
            }
        }
    )*};
}

allowed! {
    /// Somebody who may see the pipeline in the path.
    Viewed = View;
    /// Somebody who may read its past.
    Recalled = History;
    /// Somebody who may report to it.
    Reported = Report;
}

/// How the asker fares, where its header tells. Whatever stands there, the request goes on.
pub(super) struct Told(pub(super) Option<ClientStatus>);

/// The longest report in a header, in bytes.
const REPORT_BYTES: usize = 1_024;

impl FromRequestParts<Hub> for Told {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &Hub) -> Result<Self, Infallible> {
        let Some(value) = parts.headers.get(CLIENT_STATUS) else { return Ok(Self(None)) };
        let text = value.to_str().ok().filter(|text| text.len() <= REPORT_BYTES && text.starts_with('{'));
        let status = text.and_then(|text| serde_json::from_str(text).ok());
        if status.is_none() {
            tracing::debug!(bytes = value.len(), "a client's status in a header cannot be read");
        }
        Ok(Self(status))
    }
}

/// The parameters of the query.
pub(super) struct Params(HashMap<String, String>);

impl FromRequestParts<Hub> for Params {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, hub: &Hub) -> Result<Self, Refusal> {
        let Query(params) = Query::from_request_parts(parts, hub).await.map_err(|error| {
            Refusal(Problem::new(Code::InvalidRequest, format!("The query cannot be read: {error}.")))
        })?;
        Ok(Self(params))
    }
}

impl Params {
    /// A parameter as text; an empty one counts as absent.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A parameter of a type, or a problem that names it.
    pub(super) fn get<T: FromStr>(&self, name: &str, code: Code, what: &str) -> Result<Option<T>, Refusal> {
        self.text(name)
            .map(|value| {
                value.parse().map_err(|_| {
                    Refusal(Problem::new(code, format!("`{name}` must be {what}.")).at_field(name))
                })
            })
            .transpose()
    }
}

//! Clients of a RagPulse hub.

mod backoff;
mod endpoint;
pub mod reporter;

pub use endpoint::{DEFAULT_URL, EndpointError, TOKEN_VARIABLE, URL_VARIABLE};
pub use reporter::{ReportError, Reporter};

//! What can go wrong before a subscriber runs. What goes wrong later is told by its updates.

use ragpulse_protocol::ids::InvalidName;

use crate::endpoint::EndpointError;

/// Why a subscriber could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// Where the hub is said to be, or the token.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// A name of a pipeline or a type.
    #[error("the caller gave a name that no hub takes: {0}")]
    Name(#[from] InvalidName),
    /// Neither pipelines nor a type nor all were named.
    #[error(
        "the caller named nothing to subscribe to; call `.pipeline(id)`, `.pipeline_type(type)` or `.all_pipelines()` \
         before `.connect()`"
    )]
    NoTarget,
    /// More than one of pipelines, a type and all was named.
    #[error(
        "the caller named more than one of pipelines, a type and all; a subscriber follows one of them, so make two"
    )]
    TwoTargets,
    /// A channel of no size.
    #[error("the caller set the capacity to 0, but updates need room; set at least 1")]
    NoCapacity,
    /// There is no tokio runtime to receive in.
    #[error(
        "the caller connected a subscriber outside of a tokio runtime, in which it receives; do so in one"
    )]
    NoRuntime,
}

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
    /// Neither pipelines nor a type were named.
    #[error(
        "the caller named nothing to subscribe to; call `.pipeline(id)` or `.pipeline_type(type)` before `.connect()`"
    )]
    NoTarget,
    /// Both pipelines and a type were named.
    #[error("the caller named pipelines and a type; a subscriber follows one or the other, so make two")]
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

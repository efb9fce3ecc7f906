//! What can go wrong with reporting: whose fault it is, what happened, and what to do.

use ragpulse_protocol::Problem;
use ragpulse_protocol::ids::InvalidName;

use super::spool::SpoolError;
use crate::endpoint::EndpointError;

/// Why a reporter could not be made, or did not take an event.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// Where the hub is said to be, or the token.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// A name of a pipeline, its type or a reporter.
    #[error("the caller gave a name that no hub takes: {0}")]
    Name(#[from] InvalidName),
    /// The pipeline was not named.
    #[error("the caller named no pipeline; call `.pipeline(id, type)` before `.build()`")]
    NoPipeline,
    /// A setting is out of its range.
    #[error("the caller set {setting} to {given}, but it must be {allowed}")]
    Setting {
        /// Which setting.
        setting: &'static str,
        /// What was given.
        given: String,
        /// What would do.
        allowed: &'static str,
    },
    /// There is no tokio runtime to send from.
    #[error(
        "the caller built a reporter outside of a tokio runtime, in which it sends; build it in one (blocking \
         threads may use it afterwards)"
    )]
    NoRuntime,
    /// The event cannot be written as JSON.
    #[error("the caller reported an event that is no JSON: {0}")]
    Encode(String),
    /// The event is larger than a hub takes.
    #[error(
        "the caller reported a {event} of {bytes} bytes, but a hub takes {max} at most; leave something out"
    )]
    TooLarge {
        /// The event's name.
        event: String,
        /// Its size as JSON, in bytes.
        bytes: usize,
        /// The most there may be.
        max: usize,
    },
    /// Progress is a number.
    #[error("the caller reported a progress that is not a number; give one from 0 to 1")]
    NotANumber,
    /// The spool cannot be opened, or did not take the event.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The queue (and the spool, if there is one) is full, and the event must arrive. Only of `try_report`.
    #[error(
        "the queue is full, because the hub is slow or away; report again later, or use `report`, which waits"
    )]
    Full,
    /// The queue is full, and the hub refuses what is in it for a cause that does not pass by itself.
    #[error("the hub refuses this reporter's events and the queue is full; {0}")]
    Refused(Problem),
    /// The reporter was closed.
    #[error("the caller reported after the reporter was closed; keep it open until the last event")]
    Closed,
    /// The time for closing was over before everything was sent.
    #[error(
        "the hub did not take everything before the deadline for closing: {unsent} events are not known to have \
         arrived; give more time, or look at why the hub is away"
    )]
    CloseTimeout {
        /// How many events are not known to have arrived.
        unsent: usize,
    },
}

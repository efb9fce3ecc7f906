//! Who may do what. Every transport asks this one question before it touches a pipeline.

use ragpulse_protocol::{Code, PipelineId, Problem};

/// What somebody wants to do with a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// See its state and what happens: subscribe, replay, poll, stream.
    View,
    /// Read what happened in the past.
    History,
    /// Report events.
    Report,
    /// Delete it with its history.
    Forget,
    /// Read the hub's metrics.
    Metrics,
}

/// Somebody, as the [`Authoriser`] made them out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Principal {
    /// A name for the log; empty for anybody.
    pub name: String,
}

/// Decides who may do what. A host may bring its own.
pub trait Authoriser: Send + Sync + 'static {
    /// Makes out who holds this token; `None` is somebody without one.
    ///
    /// # Errors
    /// A problem with the code `unauthorized` when the token is not valid, or there must be one.
    fn authenticate(&self, token: Option<&str>) -> Result<Principal, Problem>;

    /// Whether somebody may do this with this pipeline, whether or not it exists.
    fn allows(&self, who: &Principal, act: Act, pipeline: &PipelineId) -> bool;

    /// Whether somebody may do this with the hub as a whole. Default: only where there are no keys.
    fn allows_hub(&self, _who: &Principal, _act: Act) -> bool {
        !self.has_keys()
    }

    /// Whether there are keys at all. Without, pages of loopback origins are served.
    fn has_keys(&self) -> bool {
        true
    }
}

/// Lets everybody do everything. The default; such a hub belongs on a loopback address.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open;

impl Authoriser for Open {
    fn authenticate(&self, _: Option<&str>) -> Result<Principal, Problem> {
        Ok(Principal::default())
    }

    fn allows(&self, _: &Principal, _: Act, _: &PipelineId) -> bool {
        true
    }

    fn has_keys(&self) -> bool {
        false
    }
}

/// The refusal of an act. It says nothing of whether the pipeline exists.
pub(crate) fn forbidden(pipeline: &PipelineId) -> Problem {
    Problem::new(
        Code::Forbidden,
        format!(
            "This token does not allow that for pipeline '{pipeline}'. Ask the operator for one that does."
        ),
    )
}

//! The gate: by which every transport asks. It adds to the authoriser's word what the hub knows itself, that a time is
//! over, and writes the audit log.
//!
//! What it never does: say more to somebody who is refused than that; look whether a pipeline exists.

use std::sync::Arc;
use std::time::Duration;

use ragpulse_protocol::{Code, PipelineId, Problem};

use super::act::Act;
use super::audit::Entry;
use super::principal::Principal;
use super::redact::Audience;
use crate::address::ClientAddress;
use crate::hub::Hub;

/// How long an authoriser may take to make somebody out.
const PATIENCE: Duration = Duration::from_secs(5);

/// Somebody at a door: who, and from where.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    pub(crate) who: Arc<Principal>,
    /// Where it came from, where the listener tells.
    pub(crate) address: Option<ClientAddress>,
}

impl Caller {
    pub(crate) fn entry<'a>(&'a self, act: &'a str, pipeline: Option<&'a PipelineId>) -> Entry<'a> {
        Entry { act, who: &self.who, pipeline, address: self.address }
    }
}

impl Hub {
    /// Makes out who comes in.
    pub(crate) async fn admit(
        &self,
        token: Option<&str>,
        address: Option<ClientAddress>,
    ) -> Result<Caller, Problem> {
        let made_out = tokio::time::timeout(PATIENCE, self.0.authoriser.authenticate(token)).await;
        let made_out = made_out.unwrap_or_else(|_| {
            Err(Problem::new(
                Code::Overloaded,
                "It could not be told in time who holds this token. Try again in a few seconds.",
            ))
        });
        let caller = Caller { who: Arc::default(), address };
        match made_out.and_then(|who| self.standing(&who).map(|()| who)) {
            Ok(who) => Ok(Caller { who: Arc::new(who), address }),
            Err(problem) => {
                caller.entry("authenticate", None).denied(&problem);
                Err(problem)
            }
        }
    }

    /// Whether somebody is still whom they were made out to be.
    pub(crate) fn standing(&self, who: &Principal) -> Result<(), Problem> {
        if who.has_expired(self.0.clock.now()) {
            return Err(Problem::new(Code::Unauthorized, "This token has expired. Bring a new one."));
        }
        if !self.0.authoriser.still_valid(who) {
            return Err(Problem::new(
                Code::Unauthorized,
                "This token is no longer valid: it has expired or was revoked. Bring a new one.",
            ));
        }
        Ok(())
    }

    /// Whether somebody may do something; refusals are written down.
    pub(crate) fn may(
        &self,
        caller: &Caller,
        act: Act,
        pipeline: Option<&PipelineId>,
    ) -> Result<(), Problem> {
        let result = self.still(caller, None).and_then(|()| self.granted(caller, act, pipeline));
        result.inspect_err(|problem| caller.entry(act.as_str(), pipeline).denied(problem))
    }

    /// Whether somebody is still who they were, and may still do this. Writes nothing down.
    pub(crate) fn still(&self, caller: &Caller, act: Option<(Act, &PipelineId)>) -> Result<(), Problem> {
        self.standing(&caller.who)?;
        act.map_or(Ok(()), |(act, pipeline)| self.granted(caller, act, Some(pipeline)))
    }

    fn granted(&self, caller: &Caller, act: Act, pipeline: Option<&PipelineId>) -> Result<(), Problem> {
        if self.0.authoriser.allows(&caller.who, act, pipeline) { Ok(()) } else { Err(forbidden(pipeline)) }
    }

    /// Whether somebody sees a pipeline, for what shows those that are seen and leaves out the others.
    pub(crate) fn shows(&self, who: &Principal, pipeline: &PipelineId) -> bool {
        self.standing(who).is_ok() && self.0.authoriser.allows(who, Act::View, Some(pipeline))
    }

    /// What somebody sees of a pipeline.
    pub(crate) fn audience(&self, who: &Principal, pipeline: &PipelineId) -> Audience {
        match self.0.authoriser.redacts(who, pipeline) {
            Audience::Redacted(redaction) if redaction.is_empty() => Audience::Full,
            audience => audience,
        }
    }
}

/// The refusal of an act. It says nothing of whether the pipeline exists.
fn forbidden(pipeline: Option<&PipelineId>) -> Problem {
    let what = match pipeline {
        Some(pipeline) => format!(
            "This token does not allow that for pipeline '{pipeline}'. Ask the operator for one that does."
        ),
        None => "This token does not allow that. Ask the operator for one that does.".to_owned(),
    };
    Problem::new(Code::Forbidden, what)
}

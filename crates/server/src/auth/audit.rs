//! The audit log: a `tracing` event of the target `ragpulse::audit` for each refusal, and for each act that destroys or
//! changes who may come in. It stands within the span of its request, where there is one.
//!
//! What it never does: write a token, or anything else that lets somebody in. Names come from tokens, so they are
//! written as values, in quotes and escaped.

use ragpulse_protocol::{PipelineId, Problem};

use super::principal::Principal;
use crate::address::ClientAddress;

/// What an audit line tells.
pub(crate) struct Entry<'a> {
    /// What was wanted: an act, or `authenticate`, `follow`, `reload`.
    pub(crate) act: &'a str,
    pub(crate) who: &'a Principal,
    pub(crate) pipeline: Option<&'a PipelineId>,
    pub(crate) address: Option<ClientAddress>,
}

impl Entry<'_> {
    /// It was refused, or ended.
    pub(crate) fn denied(&self, problem: &Problem) {
        tracing::warn!(
            target: "ragpulse::audit",
            act = self.act,
            pipeline = self.pipeline.map(PipelineId::as_str),
            principal = self.who.name.as_str(),
            token_id = self.who.token_id.as_deref(),
            address = self.address.map(tracing::field::display),
            outcome = "denied",
            code = problem.code.as_str(),
            "{}",
            problem.detail.escape_debug(),
        );
    }

    /// A privileged act was done, or was tried and failed.
    pub(crate) fn done(&self, result: &Result<(), Problem>) {
        let code = result.as_ref().err().map(|problem| problem.code.as_str());
        tracing::info!(
            target: "ragpulse::audit",
            act = self.act,
            pipeline = self.pipeline.map(PipelineId::as_str),
            principal = self.who.name.as_str(),
            token_id = self.who.token_id.as_deref(),
            address = self.address.map(tracing::field::display),
            outcome = if result.is_ok() { "done" } else { "failed" },
            code,
        );
    }
}

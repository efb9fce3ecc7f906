//! Somebody, as an authoriser made them out: a name, what they may do, with which pipelines, until when. Plain data that
//! grants nothing unless it says so, and never holds a token.

use ragpulse_protocol::{PipelineId, Timestamp};

use super::act::{Act, Acts, Role};
use super::pattern::{InvalidPattern, Pattern};

/// What may be done with which pipelines. The default is nothing with none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants {
    /// What may be done.
    pub acts: Acts,
    /// With which pipelines; none where it is empty.
    pub pipelines: Vec<Pattern>,
}

impl Grants {
    /// Whether an act is granted: for one pipeline, or, for [`Act::Metrics`] alone, for the hub.
    pub fn allow(&self, act: Act, pipeline: Option<&PipelineId>) -> bool {
        self.acts.has(act)
            && match pipeline {
                Some(id) => self.pipelines.iter().any(|pattern| pattern.matches(id)),
                None => act == Act::Metrics,
            }
    }
}

/// By which of its keys [`Keys`](super::Keys) made somebody out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// A static key, by its hash.
    Key([u8; 32]),
    /// A token, by a fingerprint of the key that signs and what else is asked of it.
    Token([u8; 32]),
}

/// Somebody, as the [`Authoriser`](super::Authoriser) made them out.
///
/// ```
/// # use ragpulse_server::auth::{Principal, Role};
/// let ada = Principal::named("ada").with_role(Role::Viewer).with_pipelines(["docs-*"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Principal {
    /// A name for the log, and for `requested_by`; empty for anybody.
    pub name: String,
    /// What they are, where that was said. It decides what is [redacted](super::Audience) for them.
    pub role: Option<Role>,
    /// What they may do.
    pub grants: Grants,
    /// From when on they may do nothing; `None` for never.
    pub expires_at: Option<Timestamp>,
    /// What identifies the token, for the log and for revoking it. Not the token.
    pub token_id: Option<String>,
    pub(crate) origin: Option<Origin>,
}

impl Principal {
    /// Somebody of this name who may do nothing.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Gives them a role, and what it may do.
    #[must_use]
    pub fn with_role(mut self, role: Role) -> Self {
        self.role = Some(role);
        self.grants.acts = role.acts();
        self
    }

    /// Lets them do these, in place of what their role may do.
    #[must_use]
    pub fn with_acts(mut self, acts: impl IntoIterator<Item = Act>) -> Self {
        self.grants.acts = acts.into_iter().collect();
        self
    }

    /// Says with which pipelines: patterns with `*` for any run of characters, in place of those before.
    ///
    /// # Errors
    /// [`InvalidPattern`], when one could match no name.
    pub fn with_pipelines<I>(mut self, patterns: I) -> Result<Self, InvalidPattern>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.grants.pipelines =
            patterns.into_iter().map(|pattern| pattern.as_ref().parse()).collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// Says from when on they may do nothing. What they follow then is cut.
    #[must_use]
    pub fn until(mut self, expires_at: Timestamp) -> Self {
        self.expires_at = Some(expires_at);
        self
    }

    /// Names their token for the log. Not the token itself.
    #[must_use]
    pub fn with_token_id(mut self, id: impl Into<String>) -> Self {
        self.token_id = Some(id.into());
        self
    }

    /// Whether their time is over.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| now >= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_granted_that_was_not_said() {
        let id = PipelineId::new("docs-1").unwrap();
        let nobody = Principal::named("nobody");
        assert!(Act::ALL.iter().all(|act| !nobody.grants.allow(*act, Some(&id))));
        let admin = Principal::named("admin").with_role(Role::Admin);
        assert!(Act::ALL.iter().all(|act| !admin.grants.allow(*act, Some(&id))), "without pipelines");
        assert!(admin.grants.allow(Act::Metrics, None));
        let all = admin.with_pipelines(["docs-*"]).unwrap();
        for act in [Act::View, Act::History, Act::Report, Act::Forget] {
            assert!(all.grants.allow(act, Some(&id)));
            assert!(!all.grants.allow(act, None), "an act on a pipeline is asked for one");
            assert!(!all.grants.allow(act, Some(&PipelineId::new("mail").unwrap())));
        }
    }
}

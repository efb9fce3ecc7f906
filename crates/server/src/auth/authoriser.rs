//! The one question: what an authoriser answers, and the one that lets everybody do everything.

use std::sync::Arc;

use ragpulse_protocol::{PipelineId, Problem};

use super::act::Act;
use super::principal::Principal;
use super::redact::Audience;

/// A future that a trait can give, and that may wait.
pub type BoxFuture<'a, T> = futures_util::future::BoxFuture<'a, T>;

/// Decides who may do what. A host may bring its own; [`Keys`](super::Keys) is the hub's.
///
/// Only [`authenticate`](Self::authenticate) may wait. The others are asked while others wait, so they answer from memory.
pub trait Authoriser: Send + Sync + 'static {
    /// Makes out who holds this token; `None` is somebody without one. It may ask elsewhere, for up to 5 s: past that
    /// the hub answers `overloaded`. It is asked once for each request and each connection.
    ///
    /// # Errors
    /// A problem with the code `unauthorized` when the token is not valid, or there must be one; one that is retryable,
    /// such as `overloaded`, when that cannot be told right now. The client sees its text.
    fn authenticate<'a>(&'a self, token: Option<&'a str>) -> BoxFuture<'a, Result<Principal, Problem>>;

    /// Whether somebody may do this with this pipeline, whether or not it exists; with no pipeline, with the hub as a
    /// whole, which is asked for [`Act::Metrics`]. Asked when something is joined or done, not for each event delivered.
    ///
    /// Default: what their [grants](super::Grants) say.
    fn allows(&self, who: &Principal, act: Act, pipeline: Option<&PipelineId>) -> bool {
        who.grants.allow(act, pipeline)
    }

    /// Whether somebody is still whom they were made out to be: false once a session has ended or a key was revoked.
    /// Asked for each connection twice a second, beside [`Principal::expires_at`], which the hub looks at itself; after
    /// [`Hub::review_rights`](crate::Hub::review_rights) at once. Default: yes.
    fn still_valid(&self, who: &Principal) -> bool {
        let _ = who;
        true
    }

    /// What somebody sees of a pipeline that they may see. Default: everything.
    fn redacts(&self, who: &Principal, pipeline: &PipelineId) -> Audience {
        let _ = (who, pipeline);
        Audience::Full
    }

    /// Whether there are keys at all. Without, pages of loopback origins are served. Default: yes.
    fn has_keys(&self) -> bool {
        true
    }
}

/// So that a host can keep a hold of it.
impl<A: Authoriser + ?Sized> Authoriser for Arc<A> {
    fn authenticate<'a>(&'a self, token: Option<&'a str>) -> BoxFuture<'a, Result<Principal, Problem>> {
        (**self).authenticate(token)
    }

    fn allows(&self, who: &Principal, act: Act, pipeline: Option<&PipelineId>) -> bool {
        (**self).allows(who, act, pipeline)
    }

    fn still_valid(&self, who: &Principal) -> bool {
        (**self).still_valid(who)
    }

    fn redacts(&self, who: &Principal, pipeline: &PipelineId) -> Audience {
        (**self).redacts(who, pipeline)
    }

    fn has_keys(&self) -> bool {
        (**self).has_keys()
    }
}

/// Lets everybody do everything. The default; such a hub belongs on a loopback address.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open;

impl Authoriser for Open {
    fn authenticate<'a>(&'a self, _: Option<&'a str>) -> BoxFuture<'a, Result<Principal, Problem>> {
        Box::pin(std::future::ready(Ok(Principal::default())))
    }

    fn allows(&self, _: &Principal, _: Act, _: Option<&PipelineId>) -> bool {
        true
    }

    fn has_keys(&self) -> bool {
        false
    }
}

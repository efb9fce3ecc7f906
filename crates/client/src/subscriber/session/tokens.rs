//! The session machine's rules for tokens that end: another one is brought in time, and where the hub takes the last one no
//! more, a fresh one is tried once at once.
//!
//! *What it never does:* hold a token; try at once again and again; close for what a source of tokens may mend.

use std::time::Duration;

use ragpulse_protocol::Code;

use super::{Cause, Command, Machine, Phase};

/// How long after a try that brought no other token the next one comes.
const AGAIN: Duration = Duration::from_secs(5);
/// No two tries at once come within this time, also where sockets were had between them.
const AT_ONCE_EVERY: Duration = Duration::from_secs(10);
/// By how much at most another token is asked for earlier than it has to be: many clients began in one moment.
const SPREAD: Duration = Duration::from_secs(30);

/// What becomes of the socket's token.
#[derive(Debug, Default)]
pub(super) struct Renewal {
    /// Whether there is a source to ask for another.
    pub(super) can: bool,
    /// When a refusal was last answered by trying at once.
    at: Option<Duration>,
    /// Whether a socket has been good since.
    good_since: bool,
}

impl Renewal {
    pub(super) fn works(&mut self) {
        self.good_since = true;
    }

    /// Whether to try at once.
    fn begin(&mut self, now: Duration) -> bool {
        let may = self.at.is_none_or(|at| self.good_since && at + AT_ONCE_EVERY <= now);
        if may {
            (self.at, self.good_since) = (Some(now), false);
        }
        may
    }
}

impl Machine {
    /// Tokens come from a source, which may have another one after the hub refused the last.
    pub(crate) fn set_renews(&mut self, renews: bool) {
        self.renewal.can = renews;
    }

    /// When to ask for another token, where the present one has to be followed in this time.
    pub(super) fn renew_at(&mut self, now: Duration, within: Option<Duration>) -> Option<Duration> {
        let within = within.filter(|_| self.renewal.can)?;
        let early = (within / 4).min(SPREAD).mul_f64(self.rest.chance());
        Some(now + within - early)
    }

    /// The source was asked for another token for the socket.
    pub(super) fn on_token_asked(&mut self, now: Duration, conn: u64, fresh: bool) {
        let Some(link) = self.link().filter(|link| link.conn == conn) else { return };
        if fresh {
            link.refresh();
        } else {
            // What there is holds a while; when it does not any more the hub says so.
            link.renew_at = Some(now + AGAIN);
        }
    }

    /// The hub has answered to the other token: it has taken it, or says why not.
    pub(super) fn on_refreshed(
        &mut self,
        now: Duration,
        conn: u64,
        refusal: Option<(Code, String)>,
        renew_in: Option<Duration>,
    ) {
        let renew_at = self.renew_at(now, renew_in);
        let Some(link) = self.link().filter(|link| link.conn == conn) else { return };
        if !link.refreshed(now) {
            return;
        }
        match refusal {
            None => link.renew_at = renew_at,
            Some((code, _)) if code.retryable() => link.renew_at = Some(now + AGAIN),
            Some((code, message)) => self.on_unauthorized(now, conn, Cause::Rejected { code, message }),
        }
    }

    /// The hub does not take the socket's token, or no more. From a source another one is tried: at once, and where that
    /// was in vain, after a wait. What is followed goes on from where it stands.
    pub(super) fn on_unauthorized(&mut self, now: Duration, conn: u64, cause: Cause) {
        if self.conn() != Some(conn) {
            return;
        }
        if !self.renewal.can {
            self.close(cause);
            return;
        }
        self.out.push(Command::TokenRefused);
        if !self.renewal.begin(now) {
            self.on_lost(now, conn, cause);
            return;
        }
        self.drop_socket();
        self.cause = Some(cause);
        match self.phase {
            Phase::Connecting { .. } | Phase::Joining(_) | Phase::Live(_) => {
                self.phase = Phase::Waiting { until: now };
            }
            Phase::Probing { .. } | Phase::Proving(_) => self.poll(now, Some(now)),
            // Without a socket there is none to lose.
            Phase::Idle
            | Phase::Waiting { .. }
            | Phase::Asking { .. }
            | Phase::Polling { .. }
            | Phase::Inquiring { .. }
            | Phase::Closed => {}
        }
    }
}

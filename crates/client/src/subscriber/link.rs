//! One open socket as the session machine sees it: what was asked on it, and when silence means that it is dead.
//!
//! *What it never does:* I/O; have two questions open at once, because the library's acknowledgement ids may collide.

use std::collections::BTreeSet;
use std::time::Duration;

use ragpulse_protocol::PipelineId;

/// How often a quiet socket is tried.
pub(crate) const PING_EVERY: Duration = Duration::from_secs(5);
/// How long a socket with an open question may be silent.
pub(crate) const SILENCE: Duration = Duration::from_secs(3);
/// How long a question may stay open, whatever else is heard.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The open question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    SubscribeAll,
    Subscribe(BTreeSet<PipelineId>),
    Refresh,
    Ping,
}

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) conn: u64,
    open: Option<(Question, Duration)>,
    heard: Duration,
    next_ping: Duration,
    all: bool,
    resync: BTreeSet<PipelineId>,
    /// Resyncs rest until then: earlier ones brought nothing.
    resync_at: Duration,
    /// When another token is to be asked for.
    pub(crate) renew_at: Option<Duration>,
    /// Whether another token is there, to be brought to the hub.
    refresh: bool,
    /// Whether the hub has acknowledged the subscription on this socket.
    pub(crate) subscribed: bool,
    /// Whether the hub has answered a ping on this socket.
    pub(crate) proven: bool,
    /// How long the last ping took there and back.
    pub(crate) latency: Option<Duration>,
}

impl Link {
    /// A socket that was just opened: everything is to be subscribed to.
    pub(crate) fn new(conn: u64, now: Duration) -> Self {
        Self {
            conn,
            open: None,
            heard: now,
            next_ping: now,
            all: true,
            resync: BTreeSet::new(),
            resync_at: now,
            renew_at: None,
            refresh: false,
            subscribed: false,
            proven: false,
            latency: None,
        }
    }

    pub(crate) fn heard(&mut self, now: Duration) {
        self.heard = self.heard.max(now);
    }

    /// Nothing was looked at for a while: an open question is as if asked now.
    pub(crate) fn caught_up(&mut self, now: Duration) {
        self.heard(now);
        if let Some((_, asked)) = &mut self.open {
            *asked = now;
        }
    }

    /// Asks again for one pipeline, not before a time.
    pub(crate) fn resync(&mut self, id: PipelineId, at: Duration) {
        self.resync.insert(id);
        self.resync_at = self.resync_at.max(at);
    }

    /// There is another token for this socket.
    pub(crate) fn refresh(&mut self) {
        self.refresh = true;
    }

    /// Whether another token is to be asked for now. True once each time.
    pub(crate) fn is_token_due(&mut self, now: Duration) -> bool {
        self.renew_at.take_if(|at| *at <= now).is_some()
    }

    /// The next question, if none is open and one is due. Tokens come before subscriptions, and these before pings.
    pub(crate) fn ask(&mut self, now: Duration) -> Option<Question> {
        if self.open.is_some() {
            return None;
        }
        let question = if std::mem::take(&mut self.refresh) {
            Question::Refresh
        } else if std::mem::take(&mut self.all) {
            self.resync.clear();
            Question::SubscribeAll
        } else if !self.resync.is_empty() && self.resync_at <= now {
            Question::Subscribe(std::mem::take(&mut self.resync))
        } else if self.next_ping <= now {
            Question::Ping
        } else {
            return None;
        };
        self.open = Some((question.clone(), now));
        Some(question)
    }

    /// The answer to the open question, if it is of the right kind.
    pub(crate) fn answered(&mut self, to_ping: bool, now: Duration) -> Option<Question> {
        self.heard(now);
        let (question, asked) = self.open.take_if(|(question, _)| match question {
            Question::Ping => to_ping,
            Question::SubscribeAll | Question::Subscribe(_) => !to_ping,
            Question::Refresh => false,
        })?;
        if to_ping {
            self.latency = Some(now.saturating_sub(asked));
        }
        self.next_ping = if self.proven || to_ping { now + PING_EVERY } else { now };
        Some(question)
    }

    /// The answer to another token came. Whether one was waited for.
    pub(crate) fn refreshed(&mut self, now: Duration) -> bool {
        self.heard(now);
        self.open.take_if(|(question, _)| *question == Question::Refresh).is_some()
    }

    /// When silence becomes death.
    pub(crate) fn dead_at(&self) -> Option<Duration> {
        let (_, asked) = self.open.as_ref()?;
        Some((self.heard.max(*asked) + SILENCE).min(*asked + ANSWER_WITHIN))
    }

    /// When there is something to do.
    pub(crate) fn deadline(&self) -> Duration {
        let resync = (!self.resync.is_empty()).then_some(self.resync_at);
        let next =
            self.dead_at().unwrap_or_else(|| resync.map_or(self.next_ping, |at| at.min(self.next_ping)));
        self.renew_at.map_or(next, |at| at.min(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn one_question_at_a_time_and_subscriptions_first() {
        let mut link = Link::new(1, S(0));
        link.resync(PipelineId::new("p").unwrap(), S(0));
        assert_eq!(link.ask(S(0)), Some(Question::SubscribeAll));
        assert_eq!(link.ask(S(0)), None);
        assert_eq!(link.answered(true, S(1)), None, "that was no ping");
        assert_eq!(link.answered(false, S(1)), Some(Question::SubscribeAll));
        assert_eq!(link.ask(S(1)), Some(Question::Ping));
        link.resync(PipelineId::new("q").unwrap(), S(2));
        assert_eq!(link.answered(true, S(2)), Some(Question::Ping));
        assert!(matches!(link.ask(S(2)), Some(Question::Subscribe(_))));
    }

    #[test]
    fn the_latency_is_that_of_the_last_ping_and_of_nothing_else() {
        let mut link = Link::new(1, S(0));
        link.ask(S(0));
        link.answered(false, S(2));
        assert_eq!(link.latency, None, "a subscription takes as long as there is to replay");
        link.ask(S(2));
        link.answered(true, S(2) + Duration::from_millis(12));
        assert_eq!(link.latency, Some(Duration::from_millis(12)));
    }

    #[test]
    fn silence_counts_from_the_last_thing_heard_but_an_answer_is_not_waited_for_for_ever() {
        let mut link = Link::new(1, S(0));
        link.ask(S(0));
        assert_eq!(link.dead_at(), Some(S(3)));
        link.heard(S(2));
        assert_eq!(link.dead_at(), Some(S(5)));
        link.heard(S(29));
        assert_eq!(link.dead_at(), Some(S(30)));
        link.answered(false, S(29));
        assert_eq!(link.dead_at(), None);
    }
}

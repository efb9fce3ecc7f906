//! The session machine's rules for the socket.

use std::collections::BTreeSet;
use std::time::Duration;

use ragpulse_protocol::command::SubscribeAck;
use ragpulse_protocol::problem::CommandError;
use ragpulse_protocol::status::ResetReason;
use ragpulse_protocol::{Code, PipelineId, ServerMessage};

use super::advice::LONGEST_ASKED;
use super::{Cause, Command, Machine, Phase, TransportChoice};
use crate::subscriber::link::{Link, Question, SILENCE};

/// After how many failures in a row polling takes over.
const FAILURES: u32 = 3;
/// How long a pipeline rests before it is asked for again in vain.
const REST: Duration = Duration::from_secs(1);

impl Machine {
    pub(super) fn on_opened(&mut self, now: Duration, conn: u64, renew_in: Option<Duration>) {
        let renew_at = self.renew_at(now, renew_in);
        let mut link = Link::new(conn, now);
        link.renew_at = renew_at;
        match self.phase {
            Phase::Connecting { conn: current, .. } if current == conn => {
                self.phase = Phase::Joining(link);
            }
            Phase::Probing { conn: current, .. } if current == conn => {
                self.phase = Phase::Proving(link);
            }
            Phase::Idle
            | Phase::Waiting { .. }
            | Phase::Asking { .. }
            | Phase::Connecting { .. }
            | Phase::Joining(_)
            | Phase::Live(_)
            | Phase::Polling { .. }
            | Phase::Inquiring { .. }
            | Phase::Probing { .. }
            | Phase::Proving(_)
            | Phase::Closed => {}
        }
    }

    /// The hub, or something before it, does not let the socket in.
    pub(super) fn on_refused(&mut self, now: Duration, conn: u64, code: Option<Code>, message: String) {
        match code {
            // No hub's word: a proxy, or a server that is none. Polling may get through.
            None => self.on_lost(now, conn, Cause::Refused(message)),
            Some(code) if code.retryable() => self.on_lost(now, conn, Cause::Rejected { code, message }),
            Some(code @ Code::Unauthorized) => {
                self.on_unauthorized(now, conn, Cause::Rejected { code, message });
            }
            // One authoriser speaks for all transports: polling would be told the same.
            Some(code) if self.conn() == Some(conn) => self.close(Cause::Rejected { code, message }),
            Some(_) => {}
        }
    }

    /// The socket could not be had, or is no more.
    pub(super) fn on_lost(&mut self, now: Duration, conn: u64, cause: Cause) {
        if self.conn() != Some(conn) {
            return;
        }
        self.drop_socket();
        let refused = matches!(cause, Cause::Refused(_));
        self.cause = Some(cause);
        // Who had a socket lost it together with everybody else who had one, if it was the hub that went.
        let crowd = matches!(self.phase, Phase::Joining(_) | Phase::Live(_));
        match self.phase {
            Phase::Connecting { .. } | Phase::Joining(_) | Phase::Live(_) => {
                let mut wait = self.reopen.fail();
                if crowd {
                    wait = self.reopen.spread(wait.max(self.guide.retry_after()));
                }
                let enough = refused || self.reopen.failures() >= FAILURES;
                if enough && self.guide.choice() == TransportChoice::Auto {
                    self.reopen.reset();
                    let probe_in = self.probe.fail();
                    self.poll(now, Some(now + probe_in));
                } else {
                    self.phase = Phase::Waiting { until: now + wait };
                }
            }
            Phase::Probing { .. } | Phase::Proving(_) => {
                let probe_in = self.probe.fail();
                self.poll(now, Some(now + probe_in));
            }
            // Without a socket there is none to lose.
            Phase::Idle
            | Phase::Waiting { .. }
            | Phase::Asking { .. }
            | Phase::Polling { .. }
            | Phase::Inquiring { .. }
            | Phase::Closed => {}
        }
    }

    pub(super) fn on_subscribed(
        &mut self,
        now: Duration,
        conn: u64,
        reply: Result<SubscribeAck, CommandError>,
    ) {
        let Some(link) = self.link().filter(|link| link.conn == conn) else { return };
        let Some(question) = link.answered(false, now) else { return };
        match reply {
            Ok(ack) => self.on_acknowledged(&question, &ack),
            Err(error) => self.on_subscription_refused(now, conn, &question, error),
        }
    }

    fn on_acknowledged(&mut self, question: &Question, ack: &SubscribeAck) {
        match question {
            Question::Subscribe(ids) => ids.iter().for_each(|id| self.pipelines.answered(id)),
            Question::SubscribeAll | Question::Refresh | Question::Ping => {
                self.pipelines.disconnected();
                if let Some(link) = self.link() {
                    link.subscribed = true;
                }
            }
        }
        for pipeline in &ack.pipelines {
            if pipeline.reason == Some(ResetReason::UnknownPipeline) {
                let update = self.pipelines.reset(&pipeline.pipeline_id);
                self.emit(update);
            }
        }
        if *question == Question::SubscribeAll {
            // Of those it was asked for the hub names all it has; what came up since then stays as well.
            let asked = std::mem::take(&mut self.asked);
            let named = ack.pipelines.iter().map(|pipeline| pipeline.pipeline_id.clone());
            let since = self.pipelines.ids().filter(|id| !asked.contains(*id)).cloned();
            let there: BTreeSet<PipelineId> = named.chain(since).collect();
            self.keep_only(&there);
        }
        self.promote();
    }

    /// The hub has subscribed to nothing.
    fn on_subscription_refused(
        &mut self,
        now: Duration,
        conn: u64,
        question: &Question,
        error: CommandError,
    ) {
        let cause = Cause::Rejected { code: error.code, message: error.message };
        let starting = *question == Question::SubscribeAll;
        match error.code {
            // Cursors are the hub's own words; without them it gives a snapshot.
            Code::InvalidCursor => {
                self.pipelines.want_snapshot(None);
                self.on_lost(now, conn, cause);
            }
            Code::Unauthorized if self.renewal.can => self.on_unauthorized(now, conn, cause),
            // One authoriser speaks for all transports: polling would be told the same.
            _ if starting && !error.retryable => self.close(cause),
            _ => self.on_lost(now, conn, cause),
        }
    }

    pub(super) fn on_pong(&mut self, now: Duration, conn: u64) {
        let Some(link) = self.link().filter(|link| link.conn == conn) else { return };
        if link.answered(true, now).is_some() {
            link.proven = true;
            self.promote();
        }
    }

    /// Goes live, or more surely so, as far as the socket has shown that it works.
    fn promote(&mut self) {
        let Some(link) = self.link() else { return };
        let (subscribed, proven) = (link.subscribed, link.proven);
        self.phase = match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Joining(link) if subscribed => {
                self.cause = None;
                Phase::Live(link)
            }
            Phase::Proving(link) if subscribed && proven => {
                self.cause = None;
                self.out.push(Command::StopPolls);
                self.polls.clear();
                Phase::Live(link)
            }
            other @ (Phase::Idle
            | Phase::Waiting { .. }
            | Phase::Asking { .. }
            | Phase::Connecting { .. }
            | Phase::Joining(_)
            | Phase::Live(_)
            | Phase::Polling { .. }
            | Phase::Inquiring { .. }
            | Phase::Probing { .. }
            | Phase::Proving(_)
            | Phase::Closed) => other,
        };
        if proven && matches!(self.phase, Phase::Live(_)) {
            self.reopen.reset();
            self.probe.reset();
            self.renewal.works();
        }
    }

    pub(super) fn on_message(&mut self, now: Duration, conn: u64, message: &ServerMessage) {
        let Some(link) = self.link().filter(|link| link.conn == conn) else { return };
        link.heard(now);
        match message {
            ServerMessage::HubClosing(closing) => {
                self.on_hub_closing(now, Duration::from_millis(closing.retry_after_ms));
            }
            ServerMessage::SubscriptionEnded(ended) if ended.code.retryable() => {
                self.resync(&ended.pipeline_id, now + REST);
            }
            ServerMessage::SubscriptionEnded(ended)
                if ended.code == Code::Unauthorized && self.renewal.can =>
            {
                let message = "the token has ended, or was revoked".to_owned();
                self.on_unauthorized(now, conn, Cause::Rejected { code: ended.code, message });
            }
            ServerMessage::SubscriptionEnded(ended) => self.end(&ended.pipeline_id, ended.code),
            _ => {
                let received = self.pipelines.receive(message);
                self.emit(received.update);
                if let Some((id, in_vain)) = received.resync {
                    self.resync(&id, if in_vain { now + REST } else { now });
                }
            }
        }
    }

    fn on_hub_closing(&mut self, now: Duration, asked: Duration) {
        let until = now + self.reopen.spread(asked.min(LONGEST_ASKED).max(self.guide.retry_after()));
        self.drop_socket();
        self.cause = Some(Cause::HubClosing(asked));
        match self.phase {
            Phase::Joining(_) | Phase::Live(_) => self.phase = Phase::Waiting { until },
            Phase::Proving(_) => self.phase = Phase::Polling { probe_at: Some(until) },
            // Only an open socket brings messages.
            Phase::Idle
            | Phase::Waiting { .. }
            | Phase::Asking { .. }
            | Phase::Connecting { .. }
            | Phase::Polling { .. }
            | Phase::Inquiring { .. }
            | Phase::Probing { .. }
            | Phase::Closed => {}
        }
    }

    pub(super) fn on_undecodable(&mut self, now: Duration, conn: u64, pipeline: Option<&PipelineId>) {
        let Some(link) = self.link().filter(|link| link.conn == conn) else { return };
        link.heard(now);
        self.pipelines.want_snapshot(pipeline);
        match pipeline {
            // The snapshot may be what cannot be read: never without a rest.
            Some(id) => self.resync(id, now + REST),
            None => self.on_lost(now, conn, Cause::Failed("the hub sent what is no message".to_owned())),
        }
    }

    /// Asks again for a pipeline that is followed.
    fn resync(&mut self, id: &PipelineId, at: Duration) {
        if self.pipelines.is_tracked(id)
            && let Some(link) = self.link()
        {
            link.resync(id.clone(), at);
        }
    }

    /// Asks the next question, or finds that the socket is dead.
    pub(super) fn converse(&mut self, now: Duration) {
        let Some(link) = self.link() else { return };
        let conn = link.conn;
        if link.dead_at().is_some_and(|at| at <= now) {
            self.on_lost(now, conn, Cause::Silence(SILENCE));
            return;
        }
        if link.is_token_due(now) {
            self.out.push(Command::AskToken { conn });
        }
        let Some(link) = self.link() else { return };
        match link.ask(now) {
            None => {}
            Some(Question::Refresh) => self.out.push(Command::Refresh { conn }),
            Some(Question::Ping) => self.out.push(Command::Ping { conn }),
            Some(Question::SubscribeAll) => {
                self.asked = self.pipelines.ids().cloned().collect();
                let request = Box::new(self.pipelines.subscribe_to_all());
                self.out.push(Command::Subscribe { conn, request });
            }
            Some(Question::Subscribe(ids)) => {
                let request = Box::new(self.pipelines.subscribe_to(ids.iter()));
                self.out.push(Command::Subscribe { conn, request });
            }
        }
    }
}

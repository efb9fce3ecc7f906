//! The session machine's rules for polling.

use std::collections::BTreeSet;
use std::time::Duration;

use ragpulse_protocol::{Code, PipelineId};

use super::{Cause, Command, Machine, Phase, PollFailure, Polled, Target};

impl Machine {
    /// Polls everything, and tries the socket again at a time.
    pub(super) fn poll(&mut self, now: Duration, probe_at: Option<Duration>) {
        self.phase = Phase::Polling { probe_at };
        let ids: Vec<PipelineId> = self.pipelines.ids().cloned().collect();
        for id in ids {
            self.polls.add(Some(id), now);
        }
        if self.pipelines.target().is_open() {
            self.polls.add(None, now);
        }
    }

    pub(super) fn start_polls(&mut self, now: Duration) {
        for start in self.polls.start_due(now) {
            let poll = start.poll;
            let command = match (start.subject, self.pipelines.target()) {
                (Some(pipeline), _) => {
                    let cursor = self.pipelines.cursor(&pipeline);
                    Command::Poll { poll, pipeline, cursor, wait: start.wait }
                }
                (None, Target::Pipelines(_)) => continue,
                (None, target) => Command::Discover { poll, target: target.clone() },
            };
            self.out.push(command);
        }
    }

    pub(super) fn on_polled(
        &mut self,
        now: Duration,
        poll: u64,
        subject: Option<PipelineId>,
        polled: Polled,
    ) {
        if !self.is_polling() || !self.polls.expects(&subject, poll) {
            return;
        }
        match (&subject, polled) {
            (Some(id), Polled::Messages { messages, undecodable, unknown }) => {
                let news = !messages.is_empty();
                // A poll asks for what comes after the cursor: it is a resync by itself.
                self.pipelines.answered(id);
                if unknown {
                    let update = self.pipelines.reset(id);
                    self.emit(update);
                }
                for message in &messages {
                    let received = self.pipelines.receive(message);
                    self.emit(received.update);
                }
                self.pipelines.answered(id);
                if undecodable {
                    self.pipelines.want_snapshot(Some(id));
                }
                self.polls.answered(&subject, news, now);
                if !self.pipelines.ids().any(|tracked| tracked == id) {
                    self.polls.remove(&subject);
                }
            }
            (None, Polled::Pipelines(ids)) => {
                self.polls.answered(&None, true, now);
                self.keep_only(&ids);
                for id in ids {
                    self.pipelines.track(&id);
                }
                let ids: Vec<PipelineId> = self.pipelines.ids().cloned().collect();
                for id in ids {
                    self.polls.add(Some(id), now);
                }
            }
            // An answer to another question than was asked.
            (Some(_), Polled::Pipelines(_)) | (None, Polled::Messages { .. }) => {
                self.polls.failed(&subject, None, &mut self.rest, now);
            }
        }
    }

    pub(super) fn on_poll_failed(
        &mut self,
        now: Duration,
        poll: u64,
        subject: Option<PipelineId>,
        failure: PollFailure,
    ) {
        if !self.is_polling() || !self.polls.expects(&subject, poll) {
            return;
        }
        let PollFailure { code, message, retry_after } = failure;
        let renews = self.renewal.can;
        if code == Some(Code::Unauthorized) && renews && self.polls.renew(&subject, now) {
            return;
        }
        self.polls.failed(&subject, retry_after, &mut self.rest, now);
        let cause = match code {
            Some(code) => Cause::Rejected { code, message },
            None => Cause::Failed(message),
        };
        match (code, &subject) {
            // The source may give a better token later.
            (Some(Code::Unauthorized), _) if renews => self.cause = Some(cause),
            (Some(Code::Unauthorized | Code::ForeignHost), _) | (Some(Code::Forbidden), None) => {
                self.close(cause);
            }
            (Some(code @ Code::Forbidden), Some(id)) => self.end(id, code),
            (Some(Code::InvalidCursor), id) => self.pipelines.want_snapshot(id.as_ref()),
            (Some(Code::UnknownPipeline), Some(id)) => {
                let update = self.pipelines.reset(id);
                self.emit(update);
            }
            _ => self.cause = Some(cause),
        }
    }

    /// Ends the subscription to one pipeline; after the last one there is nothing left to do.
    pub(super) fn end(&mut self, id: &PipelineId, code: Code) {
        let update = self.pipelines.end(id, code);
        self.emit(update);
        self.forget_poll(id);
        if self.pipelines.is_over() {
            let message = "every subscription has ended; see the updates before this one".to_owned();
            self.close(Cause::Rejected { code, message });
        }
    }

    /// Of the pipelines that are not named only these are there.
    pub(super) fn keep_only(&mut self, ids: &BTreeSet<PipelineId>) {
        for (id, update) in self.pipelines.keep_only(ids) {
            self.emit(update);
            self.forget_poll(&id);
        }
    }

    fn forget_poll(&mut self, id: &PipelineId) {
        if self.is_polling() {
            self.polls.remove(&Some(id.clone()));
            self.out.push(Command::StopPoll { pipeline: id.clone() });
        }
    }
}

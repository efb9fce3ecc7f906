//! A subscriber that keeps its state by the apply rule and allows no hole, no repeat and no swap.
#![allow(dead_code, unreachable_pub)]

use ragpulse_protocol::session::Verdict;
use ragpulse_protocol::status::ResetReason;
use ragpulse_protocol::{ServerMessage, Session};
use serde_json::{Value, json};

use super::TestHub;
use super::socket::Socket;

#[derive(Default)]
pub struct Follower {
    pub session: Session,
    /// The snapshots it got, with their reasons.
    pub snapshots: Vec<Option<ResetReason>>,
    /// How many events it applied.
    pub applied: u64,
}

impl Follower {
    pub fn take(&mut self, message: &ServerMessage) {
        let before = self.session.cursor();
        let verdict = self.session.handle(message).verdict;
        match (message, verdict) {
            (ServerMessage::Event(_), Verdict::Apply) => self.applied += 1,
            (ServerMessage::Snapshot(state), Verdict::Replace) => self.snapshots.push(state.reason.clone()),
            (ServerMessage::Heartbeat(_) | ServerMessage::HubClosing(_), Verdict::Ignore) => {}
            _ => panic!("after {before:?} came {message:?}: {verdict}"),
        }
    }

    pub fn seq(&self) -> u64 {
        self.session.state().map_or(0, |state| state.seq)
    }

    pub fn cursors(&self) -> Value {
        self.session.cursor().map_or(json!({}), |cursor| json!({ "p": cursor }))
    }

    /// Subscribes to pipeline `p` from where it is; gives what the hub says of it.
    pub async fn subscribe(&mut self, socket: &mut Socket) -> Value {
        let ask = json!({ "pipeline_id": "p", "cursors": self.cursors() });
        let answer = socket.ask("subscribe", ask).await;
        if answer["pipelines"][0]["reason"] == "unknown_pipeline" {
            self.session.reset();
        }
        answer["pipelines"][0].clone()
    }

    /// Reads until it is at `seq`.
    pub async fn read(&mut self, socket: &mut Socket, seq: u64) {
        while self.seq() < seq {
            self.take(&socket.message().await);
        }
    }

    /// Polls until there is nothing more.
    pub async fn poll(&mut self, hub: &TestHub) {
        loop {
            let query = self
                .session
                .cursor()
                .map_or(String::new(), |at| format!("epoch={}&seq={}", at.epoch, at.seq));
            let (_, answer) = hub.get(&format!("/api/pipelines/p/events?{query}&limit=50")).await;
            if answer["snapshot"].is_object() {
                let mut snapshot = answer["snapshot"].clone();
                if let Some(reason) = answer.get("reason") {
                    snapshot["reason"] = reason.clone();
                }
                self.take(&ServerMessage::from_value("pipeline:status", snapshot).unwrap());
                continue;
            }
            for event in answer["events"].as_array().unwrap() {
                let name = event["event"].as_str().unwrap();
                self.take(&ServerMessage::from_value(name, event["data"].clone()).unwrap());
            }
            assert_eq!(answer["seq"].as_u64(), Some(self.seq()));
            if answer["up_to_date"] == true {
                return;
            }
        }
    }

    /// Its state is that of the hub, to the last field.
    pub fn agrees(&self, hub: &TestHub) {
        let id = ragpulse_protocol::PipelineId::new("p").unwrap();
        assert_eq!(self.session.state(), hub.hub.state(&id).as_ref());
    }
}

//! The official Socket.IO clients of JavaScript and Python over WebSockets alone, each as a program of its own that hands
//! over what it is given. They reconnect by themselves, and so come to another hub when one is gone.
//!
//! *What may come in:* lines of JSON from programs of this harness, which are in it as text. *What it never does:* leave one running.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use parking_lot::Mutex;
use ragpulse_protocol::PipelineId;
use ragpulse_protocol::command::SubscribeReply;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;

use super::tracker::Tracker;
use super::{Client, Phase, Setup, View, at_least};
use crate::options::Options;
use crate::oracle::Via;
use crate::proxy::Lane;
use crate::run::AnyError;

const JS: &str = include_str!("official/follow.mjs");
const PYTHON: &str = include_str!("official/follow.py");

/// A program that follows with an official client.
#[derive(Debug, Clone)]
pub(crate) struct Official {
    pub(crate) name: &'static str,
    program: PathBuf,
    script: PathBuf,
    node_modules: Option<PathBuf>,
}

impl Official {
    /// Those that the options give a place for, their text written into `folder`.
    pub(crate) fn all(options: &Options, folder: &Path) -> Result<Vec<Self>, AnyError> {
        let mut all = Vec::new();
        if let Some(modules) = &options.node_modules {
            let script = folder.join("follow.mjs");
            std::fs::write(&script, JS)?;
            let node_modules = Some(std::path::absolute(modules)?);
            all.push(Self { name: "js", program: "node".into(), script, node_modules });
        }
        if let Some(python) = &options.python {
            let script = folder.join("follow.py");
            std::fs::write(&script, PYTHON)?;
            // Not resolved: a link is what makes it the Python of its environment.
            let program = std::path::absolute(python)?;
            all.push(Self { name: "python", program, script, node_modules: None });
        }
        Ok(all)
    }

    fn spawn(&self, url: &str) -> Result<Child, AnyError> {
        let mut command = Command::new(&self.program);
        command.arg(&self.script).arg(url).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        if let Some(modules) = &self.node_modules {
            command.env("CHAOS_NODE_MODULES", modules);
        }
        let cannot = |error| format!("cannot start {}: {error}", self.program.display());
        Ok(command.spawn().map_err(cannot)?)
    }
}

struct Follower {
    pipeline: PipelineId,
    tracker: Arc<Mutex<Tracker>>,
    stdin: ChildStdin,
}

/// Starts a client that follows `pipeline` through a lane.
pub(crate) fn start(
    setup: &Setup,
    name: &str,
    lane: &Lane,
    pipeline: &PipelineId,
    official: &Official,
) -> Result<Client, AnyError> {
    let witness = setup.witness(name, Some(lane));
    let tracker = Tracker::new(pipeline.clone(), setup.oracle.clone(), witness.clone(), true);
    let tracker = Arc::new(Mutex::new(tracker));
    let mut child = official.spawn(&lane.url())?;
    let stdin = child.stdin.take().ok_or("the client has no input")?;
    let follower = Follower { pipeline: pipeline.clone(), tracker: tracker.clone(), stdin };
    let view: Arc<dyn View> = tracker.clone();
    let phase = setup.phase.clone();
    let task = tokio::spawn(async move {
        if let Err(why) = follower.live(child, phase).await {
            tracker.lock().fail(format!("the official client failed: {why}"));
        }
    });
    Ok(Client::new(pipeline.clone(), view, witness, task))
}

impl Follower {
    async fn live(mut self, mut child: Child, mut phase: watch::Receiver<Phase>) -> Result<(), AnyError> {
        let mut lines = BufReader::new(child.stdout.take().ok_or("it has no output")?).lines();
        loop {
            let line = tokio::select! {
                line = lines.next_line() => line?,
                () = at_least(&mut phase, Phase::End) => return Ok(()),
            };
            let Some(line) = line else {
                return Err(format!("it ended by itself: {}", child.wait().await?).into());
            };
            let said: Value = serde_json::from_str(&line)?;
            self.take(&said).await?;
            if self.tracker.lock().wants_resync() {
                self.subscribe().await?;
            }
        }
    }

    async fn take(&mut self, said: &Value) -> Result<(), AnyError> {
        match said[0].as_str() {
            Some("connect") => self.subscribe().await?,
            Some("message") => {
                let name = said[1].as_str().unwrap_or_default();
                self.tracker.lock().message(name, &said[2].to_string(), Via::Official);
            }
            Some("answer") => {
                let reply: SubscribeReply = serde_json::from_value(said[1].clone())?;
                match reply.into_result() {
                    Ok(ack) => ack.pipelines.iter().for_each(|answer| self.tracker.lock().answered(answer)),
                    Err(error) if error.retryable => {
                        self.tracker.lock().note(format!("not subscribed: {error}"));
                        self.say(&json!({ "again": true })).await?;
                    }
                    Err(error) => self.tracker.lock().fail(format!("subscribe was refused: {error}")),
                }
            }
            Some("lost") => self.tracker.lock().note(format!("lost: {}", said[1])),
            _ => return Err(format!("it said {said}").into()),
        }
        Ok(())
    }

    async fn subscribe(&mut self) -> Result<(), AnyError> {
        let cursor = self.tracker.lock().asks();
        let cursors = cursor.map(|cursor| json!({ self.pipeline.as_str(): cursor }));
        let mut request = json!({ "pipeline_id": self.pipeline });
        if let Some(cursors) = cursors {
            request["cursors"] = cursors;
        }
        self.say(&json!({ "subscribe": request })).await
    }

    async fn say(&mut self, what: &Value) -> Result<(), AnyError> {
        self.stdin.write_all(format!("{what}\n").as_bytes()).await?;
        Ok(self.stdin.flush().await?)
    }
}

//! The scripts against a real server, which each test starts for itself: Debian's package `redis-server`, on a free port of the
//! loopback address, in a directory of its own. Where there is none the tests fail.
#![allow(clippy::unwrap_used)]

mod lives;
mod model;
mod scripts;
mod server;

use ragpulse_protocol::{Epoch, PipelineId, PipelineType, ReporterId};

use super::super::OfLease;
use super::call::{Append, Appended, IdHash, IdRules, Placed, Position};
use super::reply::Fault;
use super::session::Session;

/// As the log has them by default.
const RULES: IdRules = IdRules { bucket: 170_000, age_millis: 86_400_000, most: 4_000_000 };

fn pipeline(name: &str) -> PipelineId {
    PipelineId::new(name).unwrap()
}

fn reporter(name: &str) -> ReporterId {
    ReporterId::new(name).unwrap()
}

fn epoch(name: &str) -> Epoch {
    Epoch::new(name).unwrap()
}

fn at(name: &str, seq: u64) -> Position {
    Some((epoch(name), seq))
}

fn hash(id: u32) -> IdHash {
    let mut hash = [0xA5; 16];
    hash[..4].copy_from_slice(&id.to_be_bytes());
    hash
}

/// Appends with these ids (`None` = the event has none); the payloads say where they were planned.
struct Try<'a> {
    pipeline: PipelineId,
    on: Position,
    opening: &'a str,
    ids: Vec<Option<u32>>,
    remember: Vec<u32>,
    leases: Vec<OfLease>,
    now: Option<i64>,
    rules: IdRules,
    feed: u64,
}

impl Default for Try<'_> {
    fn default() -> Self {
        Self {
            pipeline: pipeline("p"),
            on: None,
            opening: "e1",
            ids: vec![None],
            remember: Vec::new(),
            leases: Vec::new(),
            now: Some(1_000),
            rules: RULES,
            feed: 10_000,
        }
    }
}

impl Try<'_> {
    fn payloads(&self) -> Vec<String> {
        let (epoch, seq) = self.on.clone().unwrap_or_else(|| (epoch(self.opening), 0));
        let payload = |(place, id): (u64, &Option<u32>)| {
            format!(
                r#"{{"at":"{epoch}/{place}","id":{}}}"#,
                id.map_or_else(|| "null".to_owned(), |id| id.to_string())
            )
        };
        (seq + 1..).zip(&self.ids).map(payload).collect()
    }

    async fn by(&self, session: &Session) -> Result<Appended, Fault> {
        let payloads = self.payloads();
        let events: Vec<Placed<'_>> = payloads
            .iter()
            .zip(&self.ids)
            .map(|(payload, id)| Placed { name: "file:queued", payload, reporter: None, id: id.map(hash) })
            .collect();
        let remember: Vec<IdHash> = self.remember.iter().copied().map(hash).collect();
        session
            .append(&Append {
                pipeline: &self.pipeline,
                on: &self.on,
                opening: (&epoch(self.opening), &PipelineType::new("local_files").unwrap()),
                events: &events,
                remember: &remember,
                leases: &self.leases,
                now: self.now,
                ids: self.rules,
                feed: self.feed,
            })
            .await
    }

    /// Appends what has to be taken; the end of the sequence then.
    async fn ok(&self, session: &Session) -> u64 {
        match self.by(session).await {
            Ok(Appended::Ok { seq, .. }) => seq,
            other => panic!("not appended: {other:?}"),
        }
    }
}

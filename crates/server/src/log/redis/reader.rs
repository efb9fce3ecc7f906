//! The reader: follows the feeds of all shards by a session of its own, and opens sessions anew when one ends. What every session finds when
//! it opens — the same life, another, nothing — is dealt with before anybody may call by it.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use ragpulse_protocol::PipelineId;
use ragpulse_protocol::status::ResetReason;
use redis::{Client, Value};

use super::core::Core;
use super::keys::Keys;
use super::reply::{Fault, items, strange, text};
use super::session::Session;

/// The wait before a session is opened anew: at first …
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// … and at most.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How long a question for what is new waits for it. Then it is looked whether the life is still the same.
const BLOCK: Duration = Duration::from_millis(1_000);
/// How many entries of a feed are read at once.
const ENTRIES: usize = 500;
/// How many pipelines are followed at once.
const AT_ONCE: usize = 16;

pub(super) struct Reader {
    core: Arc<Core>,
    client: Client,
    keys: Keys,
    /// The life of each shard, and the last entry of its feed that was read.
    shards: Vec<(String, u64)>,
}

/// A session for calls, and one for the feeds, in the same life.
struct Pair {
    calls: Arc<Session>,
    feeds: Session,
}

/// An entry of a feed: the pipeline, and its end; 0 = it was forgotten.
type Entry = (PipelineId, u64);

impl Reader {
    /// Connects, and loads every pipeline. What it gives runs until the log is closed.
    pub(super) async fn open(
        core: Arc<Core>,
        client: Client,
        keys: Keys,
    ) -> Result<impl Future<Output = ()> + Send + 'static, Fault> {
        let mut reader = Self { core, client, keys, shards: Vec::new() };
        let pair = reader.connect(reader.core.options.new_epochs).await?;
        // The ends of the feeds are those of before anything is loaded: what comes while that goes on is read again.
        reader.shards = lives(&pair.calls)?;
        for shard in 0..reader.keys.shards() {
            let core = &reader.core;
            let ids = pipelines(&pair.calls, shard).await?;
            stream::iter(ids)
                .map(|id| async { core.load_quietly(&pair.calls, &{ id }).await })
                .buffer_unordered(AT_ONCE)
                .try_collect::<()>()
                .await?;
        }
        reader.core.link.set(pair.calls.clone());
        Ok(reader.run(pair))
    }

    async fn connect(&self, renew: bool) -> Result<Pair, Fault> {
        let calls = Session::open(&self.client, &self.keys, renew).await?;
        let feeds = Session::open(&self.client, &self.keys, false).await?;
        for shard in 0..self.keys.shards() {
            if calls.life(shard)?.token != feeds.life(shard)?.token {
                return Err(Fault::NewLife);
            }
        }
        Ok(Pair { calls: Arc::new(calls), feeds })
    }

    /// Runs until the log is closed.
    async fn run(mut self, mut pair: Pair) {
        let core = self.core.clone();
        loop {
            let fault = tokio::select! {
                fault = self.follow(&pair) => fault,
                () = core.link.broken() => Fault::Gone("a call failed".to_owned()),
                () = core.end.cancelled() => break,
            };
            core.link.clear();
            tracing::warn!(%fault, "the store does not answer as it did; ingest is refused until it is back");
            let (mut wait, mut told) = (FIRST_WAIT, fault);
            pair = loop {
                tokio::select! {
                    () = tokio::time::sleep(jitter(wait)) => {}
                    () = core.end.cancelled() => return,
                }
                let again = async {
                    let pair = self.connect(false).await?;
                    self.recover(&pair).await?;
                    Ok::<_, Fault>(pair)
                };
                let again = tokio::select! {
                    again = again => again,
                    () = core.end.cancelled() => return,
                };
                match again {
                    Ok(pair) => break pair,
                    // Said once: somebody may have to do something.
                    Err(fault) if fault != told => {
                        tracing::warn!(%fault, "the store is not back yet");
                        told = fault;
                    }
                    Err(_) => {}
                }
                wait = (wait * 2).min(LONGEST_WAIT);
            };
            core.link.set(pair.calls.clone());
            tracing::info!("the store is back");
        }
        core.link.clear();
    }

    /// Brings what is known to where the store is, in a session that has just begun. Shards that live the same life are read on by their feeds.
    async fn recover(&mut self, pair: &Pair) -> Result<(), Fault> {
        for (number, (token, feed)) in (0..self.keys.shards()).zip(lives(&pair.calls)?) {
            let Some(before) = self.shards.get_mut(usize::from(number)) else { continue };
            if before.0 == token && before.1 <= feed {
                continue;
            }
            // Not before it is all loaded: who fails on the way begins anew.
            let mut ids: HashSet<PipelineId> = pipelines(&pair.calls, number).await?.into_iter().collect();
            let known = self.core.gates.all().into_iter().map(|(id, _)| id);
            ids.extend(known.filter(|id| self.keys.shard_of(id) == number));
            let core = &self.core;
            stream::iter(ids)
                .map(|id| async { core.reset(&pair.calls, &{ id }, ResetReason::EpochChanged).await })
                .buffer_unordered(AT_ONCE)
                .try_collect::<()>()
                .await?;
            *before = (token, feed);
        }
        Ok(())
    }

    /// Follows the feeds until something is wrong.
    async fn follow(&mut self, pair: &Pair) -> Fault {
        loop {
            if let Err(fault) = self.follow_for_a_while(pair).await {
                return fault;
            }
        }
    }

    async fn follow_for_a_while(&mut self, pair: &Pair) -> Result<(), Fault> {
        self.look_for_lives(&pair.feeds).await?;
        let until = Instant::now() + BLOCK;
        while Instant::now() < until {
            let found = pair.feeds.look(&self.question()).await?;
            self.core.link.heard();
            self.take(pair, found).await?;
        }
        Ok(())
    }

    fn question(&self) -> redis::Cmd {
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(ENTRIES).arg("BLOCK").arg(BLOCK.as_millis() as u64).arg("STREAMS");
        for shard in 0..self.keys.shards() {
            command.arg(self.keys.shard(shard).feed());
        }
        for (_, last) in &self.shards {
            command.arg(format!("{last}-0"));
        }
        command
    }

    /// Whether every shard lives the life that the session found: who empties a store cuts no connection.
    async fn look_for_lives(&self, session: &Session) -> Result<(), Fault> {
        let tokens = (0..self.keys.shards()).map(|shard| async move {
            let mut command = redis::cmd("HGET");
            command.arg(self.keys.shard(shard).life()).arg("token");
            session.look(&command).await
        });
        for (found, (token, _)) in try_join_all(tokens).await?.iter().zip(&self.shards) {
            if matches!(found, Value::Nil) || text(found)? != *token {
                return Err(Fault::NewLife);
            }
        }
        Ok(())
    }

    /// Takes what the feeds told.
    async fn take(&mut self, pair: &Pair, found: Value) -> Result<(), Fault> {
        if matches!(found, Value::Nil) {
            return Ok(());
        }
        let names: HashMap<String, u16> =
            (0..self.keys.shards()).map(|shard| (self.keys.shard(shard).feed(), shard)).collect();
        let mut moved: HashMap<PipelineId, u64> = HashMap::new();
        let mut forgotten: HashSet<PipelineId> = HashSet::new();
        let mut ends = Vec::new();
        for stream in items(found)? {
            let mut parts = items(stream)?.into_iter();
            let (Some(name), Some(entries)) = (parts.next(), parts.next()) else {
                return Err(strange("half a stream"));
            };
            let shard =
                *names.get(&text(&name)?).ok_or_else(|| strange("a stream that was not asked for"))?;
            let mut last = self.shards.get(usize::from(shard)).map_or(0, |(_, last)| *last);
            let mut hole = false;
            for one in items(entries)? {
                let (number, (id, end)) = entry(one)?;
                hole |= number != last + 1;
                last = number;
                if end == 0 {
                    forgotten.insert(id);
                } else {
                    moved.insert(id, end);
                }
            }
            if hole {
                self.compare(pair, shard).await?;
            }
            ends.push((shard, last));
        }
        moved.retain(|id, end| {
            let gate = self.core.gates.get(id);
            let at = gate.and_then(|gate| gate.position()).map_or(0, |on| on.seq);
            at < *end && !forgotten.contains(id)
        });
        self.follow_all(pair, moved.into_keys().chain(forgotten)).await?;
        for (shard, last) in ends {
            if let Some((_, end)) = self.shards.get_mut(usize::from(shard)) {
                *end = last;
            }
        }
        Ok(())
    }

    /// Entries of a feed were missed: looks where every pipeline of the shard ends.
    async fn compare(&self, pair: &Pair, shard: u16) -> Result<(), Fault> {
        tracing::info!(shard, "a feed was trimmed before it was read; every pipeline is looked at");
        let mut ids: HashSet<PipelineId> = pipelines(&pair.calls, shard).await?.into_iter().collect();
        let known = self.core.gates.all().into_iter().map(|(id, _)| id);
        ids.extend(known.filter(|id| self.keys.shard_of(id) == shard));
        self.follow_all(pair, ids.into_iter()).await
    }

    async fn follow_all(&self, pair: &Pair, ids: impl Iterator<Item = PipelineId>) -> Result<(), Fault> {
        let core = &self.core;
        stream::iter(ids)
            .map(|id| async { core.follow(&pair.calls, &{ id }).await })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }
}

fn lives(session: &Session) -> Result<Vec<(String, u64)>, Fault> {
    let life = |shard| session.life(shard).map(|life| (life.token.clone(), life.feed));
    (0..session.keys().shards()).map(life).collect()
}

/// The pipelines of a shard.
async fn pipelines(session: &Session, shard: u16) -> Result<Vec<PipelineId>, Fault> {
    let found = session.look(redis::cmd("SMEMBERS").arg(session.shard(shard).pipelines())).await?;
    let id = |value: Value| PipelineId::new(text(&value)?).map_err(|_| strange("a pipeline that is none"));
    items(found)?.into_iter().map(id).collect()
}

/// An entry of a feed, with its number.
fn entry(value: Value) -> Result<(u64, Entry), Fault> {
    let mut parts = items(value)?.into_iter();
    let (Some(number), Some(fields)) = (parts.next(), parts.next()) else {
        return Err(strange("half an entry"));
    };
    let number = text(&number)?;
    let number = number.split_once('-').and_then(|(number, _)| number.parse().ok());
    let number = number.ok_or_else(|| strange("an entry without a number"))?;
    let fields = items(fields)?;
    let field = |at: usize| fields.get(at).map_or_else(|| Err(strange("half an entry")), text);
    let id = PipelineId::new(field(1)?).map_err(|_| strange("a pipeline that is none"))?;
    let end = field(3)?.parse().map_err(|_| strange("a pipeline that ends nowhere"))?;
    Ok((number, (id, end)))
}

/// Half of it to all of it: nodes that lost a server together do not come back together.
fn jitter(wait: Duration) -> Duration {
    let share = u32::try_from(RandomState::new().hash_one(()) % 512).unwrap_or(0);
    wait / 2 + wait * share / 1_024
}

//! A session: one connection to one server, which has said which life each shard is in before anything else was said on it.
//!
//! It ends with its connection. Nothing here connects again by itself: who opens the next session learns what may have
//! been lost in between.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, Value};

use super::super::new_epoch;
use super::keys::{Keys, Shard};
use super::reply::{Fault, Reply, text};

/// How long a server may take to let us in.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// How long it may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The form of what is stored. Another one is not touched.
const FORMAT: &str = "1";

/// The first version that has all commands of the scripts.
const LEAST_VERSION: (u32, u32) = (6, 2);
/// What is said of a server that follows another.
pub(super) const REPLICA: &str = "it is a replica, which takes no writes";

const OPEN: &str = include_str!("open.lua");

/// The scripts that a session calls by their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Append,
    Read,
    Snapshot,
    Load,
    Forget,
    Tick,
    Trim,
    Leases,
}

const SCRIPTS: [(Script, &str); 8] = [
    (Script::Append, include_str!("append.lua")),
    (Script::Read, include_str!("read.lua")),
    (Script::Snapshot, include_str!("snapshot.lua")),
    (Script::Load, include_str!("load.lua")),
    (Script::Forget, include_str!("forget.lua")),
    (Script::Tick, include_str!("tick.lua")),
    (Script::Trim, include_str!("trim.lua")),
    (Script::Leases, include_str!("leases.lua")),
];

/// The life of a shard, as it was when the session began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Life {
    /// Names it.
    pub(super) token: String,
    /// The number of the last entry of its feed.
    pub(super) feed: u64,
    /// What opening it did.
    pub(super) how: Opened,
}

/// What opening a shard did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opened {
    /// There was nothing: a new store, or one that was emptied.
    Begun,
    /// The server is the one that was known.
    Same,
    /// The server was started again, and has lost nothing.
    Kept,
    /// Its end may be lost: all pipelines have new epochs.
    Renewed,
}

/// A connection whose server is known.
#[derive(Debug, Clone)]
pub(super) struct Session {
    connection: MultiplexedConnection,
    names: Vec<(Script, String)>,
    keys: Keys,
    lives: Vec<Life>,
}

impl Session {
    /// Connects, and opens every shard. `renew` begins new lives whatever there is.
    pub(super) async fn open(client: &Client, keys: &Keys, renew: bool) -> Result<Self, Fault> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_WITHIN))
            .set_response_timeout(Some(ANSWER_WITHIN));
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        fit_for_a_log(&mut connection).await?;
        let file = file(&mut connection).await;
        let fsync = if file == File::Always { "always" } else { "" };
        let mut lives = Vec::with_capacity(usize::from(keys.shards()));
        for number in 0..keys.shards() {
            let shard = keys.shard(number);
            let mut call = redis::cmd("EVAL");
            call.arg(OPEN).arg(3).arg(shard.life()).arg(shard.feed()).arg(shard.pipelines());
            call.arg(new_epoch().as_str()).arg(fsync).arg(FORMAT).arg(keys.shards());
            call.arg(if renew { "renew" } else { "" });
            lives.push(life(&Reply::of(call.query_async(&mut connection).await?)?)?);
        }
        if file != File::None && lives.iter().any(|life| matches!(life.how, Opened::Kept | Opened::Renewed)) {
            write_file_anew(&mut connection).await;
        }
        // Only now: a server that does not know the scripts is one that was not opened.
        let mut names = Vec::with_capacity(SCRIPTS.len());
        for (script, source) in SCRIPTS {
            let name: Value =
                redis::cmd("SCRIPT").arg("LOAD").arg(source).query_async(&mut connection).await?;
            names.push((script, text(&name)?));
        }
        Ok(Self { connection, names, keys: keys.clone(), lives })
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The life of a shard.
    pub(super) fn life(&self, shard: u16) -> Result<&Life, Fault> {
        self.lives.get(usize::from(shard)).ok_or(Fault::NewLife)
    }

    /// The beginning of a call: the script, its keys, and the token.
    pub(super) fn call(&self, script: Script, shard: u16, keys: &[String]) -> Result<Cmd, Fault> {
        let name = self.names.iter().find(|(one, _)| *one == script).map(|(_, name)| name);
        let mut call = redis::cmd("EVALSHA");
        call.arg(name.ok_or(Fault::NewLife)?).arg(keys.len()).arg(keys).arg(&self.life(shard)?.token);
        Ok(call)
    }

    /// Calls, once.
    pub(super) async fn ask(&self, call: &Cmd) -> Result<Reply, Fault> {
        Reply::of(call.query_async(&mut self.connection.clone()).await?)
    }

    /// Asks something that is no script and writes nothing.
    pub(super) async fn look(&self, command: &Cmd) -> Result<Value, Fault> {
        Ok(command.query_async(&mut self.connection.clone()).await?)
    }

    pub(super) fn shard(&self, number: u16) -> Shard {
        self.keys.shard(number)
    }
}

/// Whether the server can be a log at all: new enough, and one that never lets a key go by itself.
async fn fit_for_a_log(connection: &mut MultiplexedConnection) -> Result<(), Fault> {
    let mut told = async |section: &str, field: &str| -> Result<Option<String>, Fault> {
        let info: String = redis::cmd("INFO").arg(section).query_async(connection).await?;
        let line = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(line.map(|value| value.trim().to_owned()))
    };
    if let Some(version) = told("server", "redis_version").await? {
        let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        if (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) < LEAST_VERSION {
            let why =
                format!("it is Redis {version}, and the log needs 6.2 or later (or Valkey): upgrade it");
            return Err(Fault::Unfit(why));
        }
    }
    // Not every server tells, and one that does not is taken.
    let policy = told("memory", "maxmemory_policy").await?;
    if let Some(policy) = policy.filter(|policy| policy != "noeviction") {
        let why = format!(
            "its maxmemory-policy is {policy}, by which it would throw away events, or the ids that keep them from being taken \
             twice; set `maxmemory-policy noeviction`, or use a Redis of its own for the log"
        );
        return Err(Fault::Unfit(why));
    }
    Ok(())
}

/// Whether there is a file of all writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum File {
    None,
    Sometime,
    /// Each write waits until it is on the disk.
    Always,
}

/// Where it is not told there is none.
async fn file(connection: &mut MultiplexedConnection) -> File {
    let mut told = Vec::new();
    for setting in ["appendonly", "appendfsync"] {
        let answer: Result<Vec<String>, _> =
            redis::cmd("CONFIG").arg("GET").arg(setting).query_async(connection).await;
        told.push(answer.ok().and_then(|pair| pair.into_iter().nth(1)));
    }
    match (told[0].as_deref(), told[1].as_deref()) {
        (Some("yes"), Some("always")) => File::Always,
        (Some("yes"), _) => File::Sometime,
        _ => File::None,
    }
}

/// After the server was started again. A loss of power may have left the first half of an append at the end of the file: this start has left it
/// out, but what is written now stands behind it, and the next start would carry it out together with that. A file that is written anew from
/// memory has no such half.
async fn write_file_anew(connection: &mut MultiplexedConnection) {
    let done: Result<Value, _> = redis::cmd("BGREWRITEAOF").query_async(connection).await;
    match done {
        Ok(_) => tracing::info!("Redis was started again, and writes its append-only file anew"),
        // One that is under way already is as good.
        Err(error) => tracing::warn!(
            %error,
            "Redis was started again and does not write its append-only file anew; if the power was lost, run redis-check-aof --fix on \
             the file while the server is down"
        ),
    }
}

fn life(reply: &Reply) -> Result<Life, Fault> {
    match &*reply.word {
        "ok" => {
            let how = match &*reply.text(2)? {
                "begun" => Opened::Begun,
                "same" => Opened::Same,
                "kept" => Opened::Kept,
                "renewed" => Opened::Renewed,
                _ => return Err(reply.unexpected()),
            };
            Ok(Life { token: reply.text(0)?, feed: reply.number(1)?, how })
        }
        "replica" => Err(Fault::Gone(REPLICA.to_owned())),
        "other" => Err(Fault::Unfit(format!(
            "what is there under this prefix was made with format {} and {} shards, and this hub has format {FORMAT} and was told \
             otherwise; give that number of shards, or another prefix",
            reply.text(0)?,
            reply.text(1)?,
        ))),
        _ => Err(reply.unexpected()),
    }
}

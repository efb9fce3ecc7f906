//! Where a hub keeps its events: `memory:`, `sqlite:PATH` or `redis://…`, read from the arguments and opened.
//!
//! *What it never does:* show a password.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ragpulse_server::config::HubLimits;
use ragpulse_server::log::sqlite::{Durability, SqliteOptions};
use ragpulse_server::log::{EventLog, MemoryLog, Retention, SqliteLog};
#[cfg(feature = "redis")]
use ragpulse_server::log::{
    RedisLog,
    redis::{OpenError, RedisOptions},
};

use crate::failure::Failure;

#[derive(Args, Clone)]
pub(crate) struct StoreOptions {
    /// Where events are kept: `sqlite:PATH`; `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]` (`rediss://` for TLS), which
    /// several hubs may share; or `memory:`, which no event outlives. Default: sqlite: with ragpulse.db in the directory for
    /// data of this user, such as ~/.local/share/ragpulse. Passwords are better given by the environment.
    #[arg(long, env = "RAGPULSE_STORE", hide_env_values = true, value_name = "STORE")]
    store: Option<Store>,
    /// What the names of all keys in Redis begin with. Hubs with the same prefix are one.
    #[arg(long, env = "RAGPULSE_REDIS_PREFIX", default_value = "ragpulse", value_name = "PREFIX")]
    redis_prefix: String,
    /// Over how many parts the pipelines in Redis are spread. It cannot be changed later.
    #[arg(long, env = "RAGPULSE_REDIS_SHARDS", default_value_t = 16, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=99))]
    redis_shards: u16,
    /// The certificates (PEM) of who may vouch for the server at rediss://. Default: those of this system.
    #[arg(long, env = "RAGPULSE_REDIS_CA", value_name = "FILE")]
    redis_ca: Option<PathBuf>,
    /// What an accepted event in a file survives: `commit` the death of the process, `full` the loss of power too. Redis has a
    /// setting of its own: appendfsync.
    #[arg(long, env = "RAGPULSE_DURABILITY", value_enum, default_value = "commit")]
    durability: DurabilityOption,
    /// Begin new epochs. For the first start with a backup in place of the store: it lacks what subscribers have seen since.
    #[arg(long)]
    new_epochs: bool,
    /// For how many days events are kept. States and counts stay.
    #[arg(long, env = "RAGPULSE_RETAIN_DAYS", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    retain_days: u32,
    /// How many events are kept in all. Where there are more, the pipelines that have most give their oldest; each keeps its
    /// last 100,000 in any case.
    #[arg(long, env = "RAGPULSE_RETAIN_EVENTS", default_value_t = 4_000_000, value_name = "EVENTS")]
    retain_events: u64,
}

#[derive(Clone, PartialEq, Eq)]
enum Store {
    Memory,
    Sqlite(PathBuf),
    /// The URL, with the password that may be in it.
    Redis(String),
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Redis(_) => f.write_str("redis:"),
        }
    }
}

/// By what a URL of a Redis begins.
const REDIS: [&str; 5] = ["redis", "rediss", "redis+unix", "valkey", "valkeys"];

impl FromStr for Store {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            Some((scheme, rest)) if REDIS.contains(&scheme) && rest.starts_with("//") => {
                Ok(Self::Redis(text.to_owned()))
            }
            _ => Err("give memory:, sqlite:PATH or redis://HOST".to_owned()),
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum DurabilityOption {
    Commit,
    Full,
}

/// A log that is open, and how to name it to people.
pub(crate) struct OpenStore {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) name: String,
}

/// Opens what the options name.
pub(crate) async fn open(options: StoreOptions, limits: HubLimits) -> Result<OpenStore, Failure> {
    match &options.store {
        Some(Store::Memory) => {
            let name = "memory, nothing survives this process".to_owned();
            Ok(OpenStore { log: Arc::new(MemoryLog::new(&limits)), name })
        }
        Some(Store::Redis(url)) => open_redis(url.clone(), options, limits).await,
        Some(Store::Sqlite(path)) => {
            let path = path.clone();
            in_file(path, options, limits).await
        }
        None => in_file(default_path()?, options, limits).await,
    }
}

/// It may read the disk for a while.
async fn in_file(path: PathBuf, options: StoreOptions, limits: HubLimits) -> Result<OpenStore, Failure> {
    tokio::task::spawn_blocking(move || open_file(path, options, limits))
        .await
        .map_err(|error| Failure::new(format!("the store was not opened: {error}")))?
}

fn retention(options: &StoreOptions, retention: &mut Retention) {
    retention.age = Duration::from_secs(u64::from(options.retain_days) * 24 * 60 * 60);
    retention.events = options.retain_events;
    retention.events_per_pipeline = options.retain_events.max(retention.events_guaranteed);
}

#[cfg(feature = "redis")]
async fn open_redis(url: String, options: StoreOptions, limits: HubLimits) -> Result<OpenStore, Failure> {
    if matches!(options.durability, DurabilityOption::Full) {
        return Err(Failure::usage(
            "--durability full is for files; Redis waits for its disk where its own settings say so: appendonly yes, \
             appendfsync always",
        ));
    }
    let mut redis = RedisOptions::new(url);
    redis.prefix.clone_from(&options.redis_prefix);
    redis.shards = options.redis_shards;
    retention(&options, &mut redis.retention);
    redis.new_epochs = options.new_epochs;
    redis.limits = limits;
    if let Some(path) = &options.redis_ca {
        let read = std::fs::read(path);
        let failed = |error| Failure::new(format!("--redis-ca: {} cannot be read: {error}", path.display()));
        redis.trusted = Some(read.map_err(failed)?);
    }
    let failed = |error: OpenError| match error {
        OpenError::Option { .. } => Failure::usage(format!("--store: {error}")),
        error => Failure::new(format!("--store: {error}")),
    };
    let name = format!("{}, keys {}:…", redis.place().map_err(failed)?, redis.prefix);
    let log = RedisLog::open(redis).await.map_err(failed)?;
    Ok(OpenStore { log: Arc::new(log), name })
}

#[cfg(not(feature = "redis"))]
async fn open_redis(_: String, _: StoreOptions, _: HubLimits) -> Result<OpenStore, Failure> {
    Err(Failure::usage(
        "--store: this ragpulse was built without Redis (its feature `redis`); take another build, or a file",
    ))
}

fn open_file(path: PathBuf, options: StoreOptions, limits: HubLimits) -> Result<OpenStore, Failure> {
    let mut sqlite = SqliteOptions::new(&path);
    sqlite.durability = match options.durability {
        DurabilityOption::Commit => Durability::Commit,
        DurabilityOption::Full => Durability::Full,
    };
    retention(&options, &mut sqlite.retention);
    sqlite.new_epochs = options.new_epochs;
    sqlite.limits = limits;
    let log = SqliteLog::open(sqlite).map_err(|error| Failure::new(format!("--store: {error}")))?;
    Ok(OpenStore { log: Arc::new(log), name: path.display().to_string() })
}

/// The file where none is named; its directory is made.
fn default_path() -> Result<PathBuf, Failure> {
    // A service manager gives its services a directory of their own.
    let given = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let directory = given("STATE_DIRECTORY")
        .or_else(|| given("XDG_DATA_HOME").map(|data| data.join("ragpulse")))
        .or_else(|| given("HOME").map(|home| home.join(".local/share/ragpulse")));
    let Some(directory) = directory else {
        return Err(Failure::usage(
            "there is no directory for data here (neither STATE_DIRECTORY, XDG_DATA_HOME nor HOME is set); name a file \
             by --store sqlite:PATH",
        ));
    };
    std::fs::create_dir_all(&directory).map_err(|error| {
        let line =
            format!("cannot make {}: {error}; name a file by --store sqlite:PATH", directory.display());
        Failure::new(line)
    })?;
    Ok(directory.join("ragpulse.db"))
}

#[cfg(test)]
mod tests {
    use super::Store;

    #[test]
    fn stores_are_read() {
        assert_eq!("memory:".parse(), Ok(Store::Memory));
        assert_eq!("sqlite:a:b.db".parse(), Ok(Store::Sqlite("a:b.db".into())));
        let url = "rediss://user:sesame@host:6380/2";
        let redis: Store = url.parse().unwrap_or(Store::Memory);
        assert_eq!(redis, Store::Redis(url.to_owned()));
        assert!(!format!("{redis:?}").contains("sesame"));
        for wrong in ["", "memory", "memory:x", "sqlite:", "redis:", "http://x", "a.db"] {
            assert!(wrong.parse::<Store>().is_err(), "{wrong}");
        }
    }
}

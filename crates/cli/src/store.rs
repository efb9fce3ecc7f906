//! Where a hub keeps its events: `memory:` or `sqlite:PATH`, read from the arguments and opened.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ragpulse_server::config::HubLimits;
use ragpulse_server::log::sqlite::{Durability, SqliteOptions};
use ragpulse_server::log::{EventLog, MemoryLog, SqliteLog};

use crate::failure::Failure;

#[derive(Args, Clone)]
pub(crate) struct StoreOptions {
    /// Where events are kept: `sqlite:PATH`, or `memory:`, which no event outlives. Default: sqlite: with ragpulse.db in
    /// the directory for data of this user, such as ~/.local/share/ragpulse.
    #[arg(long, env = "RAGPULSE_STORE", value_name = "STORE")]
    store: Option<Store>,
    /// What an accepted event survives: `commit` the death of the process, `full` the loss of power too.
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

#[derive(Clone, Debug, PartialEq, Eq)]
enum Store {
    Memory,
    Sqlite(PathBuf),
}

impl FromStr for Store {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            _ => Err("give memory: or sqlite:PATH".to_owned()),
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

/// Opens what the options name. It may read the disk for a while.
pub(crate) fn open(options: StoreOptions, limits: &HubLimits) -> Result<OpenStore, Failure> {
    let path = match options.store {
        Some(Store::Memory) => {
            let name = "memory, nothing survives this process".to_owned();
            return Ok(OpenStore { log: Arc::new(MemoryLog::new(limits)), name });
        }
        Some(Store::Sqlite(path)) => path,
        None => default_path()?,
    };
    let mut sqlite = SqliteOptions::new(&path);
    sqlite.durability = match options.durability {
        DurabilityOption::Commit => Durability::Commit,
        DurabilityOption::Full => Durability::Full,
    };
    sqlite.retention.age = Duration::from_secs(u64::from(options.retain_days) * 24 * 60 * 60);
    sqlite.retention.events = options.retain_events;
    sqlite.retention.events_per_pipeline = options.retain_events.max(sqlite.retention.events_guaranteed);
    sqlite.new_epochs = options.new_epochs;
    sqlite.limits = limits.clone();
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
        for wrong in ["", "memory", "memory:x", "sqlite:", "redis://x", "a.db"] {
            assert!(wrong.parse::<Store>().is_err(), "{wrong}");
        }
    }
}

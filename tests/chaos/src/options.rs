//! What can be asked of the harness.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Breaks connections and kills hubs, and checks that every event that must arrive does.
#[derive(Debug, Clone, Parser)]
#[command(name = "ragpulse-chaos")]
pub struct Options {
    /// The `ragpulse` binary.
    #[arg(long, env = "RAGPULSE_BIN")]
    pub bin: PathBuf,
    /// How long the scenarios that take time shall take, in minutes. They are scaled by it.
    #[arg(long, default_value_t = 3.0)]
    pub minutes: f64,
    /// Decides everything that is left to chance. Default: by the clock; `--short` takes 1.
    #[arg(long)]
    pub seed: Option<u64>,
    /// A small form of each scenario, for every change: half a minute in all, and no speeds.
    #[arg(long)]
    pub short: bool,
    /// Only these scenarios, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Name>,
    /// Where hubs keep their events. Default: in SQLite, and in Redis where a scenario is about Redis or about several hubs.
    #[arg(long, value_enum)]
    pub store: Option<StoreKind>,
    /// How many hubs there are behind one address. Default: one, and two where a scenario is about Redis or several hubs.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=8))]
    pub hubs: Option<u8>,
    /// When Redis waits for the disk. Two scenarios that are about just that have it as they need it.
    #[arg(long, value_enum, default_value_t = Fsync::Always)]
    pub appendfsync: Fsync,
    /// The program `redis-server`.
    #[arg(long, env = "RAGPULSE_REDIS_SERVER", default_value = "redis-server")]
    pub redis_server: PathBuf,
    /// How durable the SQLite log shall be.
    #[arg(long, default_value = "commit")]
    pub durability: String,
    /// A `node_modules` with socket.io-client: where there are casts, one such client for each pipeline is in them.
    #[arg(long, value_name = "DIRECTORY")]
    pub node_modules: Option<PathBuf>,
    /// A Python with python-socketio: the same.
    #[arg(long, value_name = "PROGRAM")]
    pub python: Option<PathBuf>,
    /// How many clients of the avalanche. Default: as many as the descriptors of a process allow, 5,000 to 18,000.
    #[arg(long)]
    pub clients: Option<usize>,
}

/// The scenarios.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// The hub is killed again and again, and every connection misbehaves.
    Kills,
    /// Every subscriber is cut every few seconds.
    Jitter,
    /// Thousands come back at once.
    Avalanche,
    /// Subscribers sleep through almost, and more than, what a socket is replayed.
    Sleepers,
    /// One subscriber stops reading.
    Stalled,
    /// Peers that do not read when the hub is asked to stop.
    Shutdown,
    /// How fast events are acknowledged, beside SQLite itself.
    Ingest,
    /// One of several hubs is killed again and again, while clients move between them.
    Nodes,
    /// Redis, which writes each event to the disk, is killed and started again.
    Restarts,
    /// Redis, which writes to the disk once a second, loses what it had not written yet.
    Losses,
    /// Redis stands still for longer than anybody waits.
    Frozen,
    /// Redis is emptied.
    Flushed,
    /// One hub is cut off from Redis while another goes on.
    Cutoff,
    /// Reporters of one pipeline come by several hubs and die.
    Leases,
}

/// Where a hub keeps its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StoreKind {
    /// In the process.
    Memory,
    /// In a file.
    Sqlite,
    /// In a Redis of the run's own.
    Redis,
}

/// When Redis waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fsync {
    /// Before it answers: what it acknowledged survives the loss of power.
    Always,
    /// Once a second: its last moments may be lost.
    Everysec,
}

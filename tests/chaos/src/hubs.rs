//! The hubs of a run: one, or several with one address in front of them, and the Redis that they share.
//!
//! *What it never does:* decide what befalls them; that is for scenarios.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;

use crate::hub::{Hub, Store};
use crate::journal::Journal;
use crate::options::{Fsync, StoreKind};
use crate::proxy::Lane;
use crate::redis::Redis;
use crate::run::{AnyError, Run};

/// What a run is made of.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) store: StoreKind,
    pub(crate) hubs: u8,
    pub(crate) fsync: Fsync,
    /// Of SQLite.
    pub(crate) durability: String,
    /// Each hub reaches Redis by a lane of its own, which can be cut.
    pub(crate) apart: bool,
}

impl Plan {
    /// Whether what was acknowledged survives the death of every process.
    pub(crate) fn keeps(&self) -> bool {
        self.store != StoreKind::Memory
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.store {
            StoreKind::Memory => f.write_str("memory")?,
            StoreKind::Sqlite => write!(f, "sqlite, {}", self.durability)?,
            StoreKind::Redis => write!(f, "redis, {}", format!("{:?}", self.fsync).to_lowercase())?,
        }
        write!(f, "; {}", self.hubs)
    }
}

/// Hubs that can be killed and started again, together or each by itself.
#[derive(Debug)]
pub(crate) struct Hubs {
    hubs: Vec<Hub>,
    /// The one address of several.
    front: Option<Lane>,
    redis: Option<Redis>,
    ways: Vec<Lane>,
    kills: u32,
}

impl Hubs {
    /// Starts what the plan says.
    pub(crate) async fn start(
        run: &Arc<Run>,
        bin: &Path,
        redis_server: &Path,
        plan: &Plan,
        folder: &Path,
    ) -> Result<Self, AnyError> {
        let redis = match plan.store {
            StoreKind::Redis => Some(Redis::start(run, redis_server, plan.fsync, folder).await?),
            StoreKind::Memory | StoreKind::Sqlite => None,
        };
        let (mut hubs, mut ways) = (Vec::new(), Vec::new());
        for number in 1..=plan.hubs {
            let name = if plan.hubs == 1 { "hub".to_owned() } else { format!("hub {number}") };
            let store = match (&redis, plan.store) {
                (Some(redis), _) if plan.apart => {
                    let way = Lane::open(run, &format!("of {name} to redis"), &[redis.address()]).await?;
                    let address = way.address();
                    ways.push(way);
                    Store::Redis(address)
                }
                (Some(redis), _) => Store::Redis(redis.address()),
                (None, StoreKind::Sqlite) => {
                    Store::Sqlite(folder.join(format!("{name}.sqlite")), plan.durability.clone())
                }
                (None, _) => Store::Memory,
            };
            hubs.push(Hub::start(run, bin, &name, store, folder).await?);
        }
        let targets: Vec<SocketAddr> = hubs.iter().map(Hub::address).collect();
        let front = if hubs.len() > 1 { Some(Lane::open(run, "front", &targets).await?) } else { None };
        Ok(Self { hubs, front, redis, ways, kills: 0 })
    }

    /// The one address, behind which is any of them.
    pub(crate) fn address(&self) -> SocketAddr {
        match (&self.front, self.hubs.first()) {
            (Some(front), _) => front.address(),
            (None, Some(hub)) => hub.address(),
            (None, None) => SocketAddr::from(([127, 0, 0, 1], 0)),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The addresses of all, for a lane in front of them.
    pub(crate) fn targets(&self) -> Vec<SocketAddr> {
        self.hubs.iter().map(Hub::address).collect()
    }

    /// Each by itself.
    pub(crate) fn each(&self) -> &[Hub] {
        &self.hubs
    }

    /// One by itself.
    pub(crate) fn one(&mut self, number: usize) -> Result<&mut Hub, AnyError> {
        self.hubs.get_mut(number).ok_or_else(|| format!("there is no hub {}", number + 1).into())
    }

    pub(crate) fn redis(&mut self) -> Result<&mut Redis, AnyError> {
        self.redis.as_mut().ok_or_else(|| "there is no Redis in this run".into())
    }

    /// The Redis, where there is one.
    pub(crate) fn shared(&self) -> Option<&Redis> {
        self.redis.as_ref()
    }

    /// The way of one of them to Redis.
    pub(crate) fn way(&self, number: usize) -> Result<&Lane, AnyError> {
        self.ways.get(number).ok_or_else(|| format!("hub {} has no lane to Redis", number + 1).into())
    }

    /// What befell all of them, and Redis.
    pub(crate) fn journals(&self) -> Vec<Journal> {
        let ways = self.ways.iter().map(Lane::journal);
        self.hubs.iter().map(Hub::journal).chain(self.redis.iter().map(Redis::journal)).chain(ways).collect()
    }

    /// How many times all were killed.
    pub(crate) fn kills(&self) -> u32 {
        self.kills
    }

    /// SIGKILL to all that run.
    pub(crate) async fn kill(&mut self) -> Result<(), AnyError> {
        try_join_all(self.hubs.iter_mut().map(Hub::kill)).await?;
        self.kills += 1;
        Ok(())
    }

    /// Starts all again. Gives how long the slowest took.
    pub(crate) async fn restart(&mut self) -> Result<Duration, AnyError> {
        let took = try_join_all(self.hubs.iter_mut().map(Hub::restart)).await?;
        Ok(took.into_iter().max().unwrap_or_default())
    }

    /// Starts all and kills them in the middle of that.
    pub(crate) async fn die_starting(&mut self, after: Duration) -> Result<(), AnyError> {
        try_join_all(self.hubs.iter_mut().map(|hub| hub.die_starting(after))).await?;
        self.kills += 1;
        Ok(())
    }

    /// SIGTERM to all; gives how long the slowest took to end, and how each did.
    pub(crate) async fn terminate(
        &mut self,
        within: Duration,
    ) -> Result<(Duration, Vec<ExitStatus>), AnyError> {
        let ended = try_join_all(self.hubs.iter_mut().map(|hub| hub.terminate(within))).await?;
        let took = ended.iter().map(|(took, _)| *took).max().unwrap_or_default();
        Ok((took, ended.into_iter().map(|(_, status)| status).collect()))
    }

    /// An error where one has ended by itself.
    pub(crate) fn live(&mut self) -> Result<(), AnyError> {
        self.hubs.iter_mut().try_for_each(Hub::lives)
    }

    /// The memory of the largest, in bytes, where the system tells.
    pub(crate) fn resident(&self) -> Option<u64> {
        self.hubs.iter().filter_map(Hub::resident).max()
    }

    /// The last of what each wrote to its standard error.
    pub(crate) fn said(&self) -> String {
        self.hubs.iter().map(Hub::said).collect::<Vec<_>>().join(" || ")
    }
}

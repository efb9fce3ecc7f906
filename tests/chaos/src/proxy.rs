//! A TCP proxy that misbehaves on command and by chance.
//!
//! Each client has a *lane* of its own: a stable address in front of the hub, or of several, which stays while they are killed
//! and come back. Of several, chance picks one for each new connection, and another where nobody is there. What happens on a lane is decided by its seeded chance ([`Faults`]) and by the scenario ([`Lane::cut`],
//! [`Lane::down`], [`Lane::stall`]); nothing is shared between lanes.

mod carry;

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::journal::Journal;
use crate::run::{AnyError, Run};

/// What may befall a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// It is cut at once, with a reset to both sides.
    Reset,
    /// Nothing passes any more, and nobody is told.
    Silence,
    /// Nothing passes from the client for a while.
    StallUp,
    /// Nothing passes to the client for a while.
    StallDown,
    /// The client's direction is closed; the other stays.
    HalveUp,
    /// The hub's direction is closed; the other stays.
    HalveDown,
}

impl Act {
    pub(crate) const ALL: &'static [Self] =
        &[Self::Reset, Self::Silence, Self::StallUp, Self::StallDown, Self::HalveUp, Self::HalveDown];
}

/// What befalls the connections of a lane by chance.
#[derive(Debug, Clone)]
pub(crate) struct Faults {
    /// How long a connection is left alone, in milliseconds.
    pub(crate) every: RangeInclusive<u64>,
    /// What may come then.
    pub(crate) acts: &'static [Act],
    /// How much later everything arrives, in milliseconds.
    pub(crate) latency: RangeInclusive<u64>,
}

/// How a lane that is down treats those who connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Down {
    /// They are reset.
    Refuse,
    /// They are let in and never answered.
    Swallow,
}

#[derive(Debug, Clone, Default)]
struct Setting {
    /// A higher number than before cuts what is connected.
    cuts: u64,
    down: Option<Down>,
    /// Nothing passes to the client.
    stall: bool,
    faults: Option<Arc<Faults>>,
}

/// One stable address in front of one hub or several.
#[derive(Debug)]
pub(crate) struct Lane {
    address: SocketAddr,
    setting: Arc<watch::Sender<Setting>>,
    journal: Journal,
    task: JoinHandle<()>,
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Lane {
    /// Opens a lane to the hubs at `targets`, whether they are there or not.
    pub(crate) async fn open(run: &Arc<Run>, name: &str, targets: &[SocketAddr]) -> Result<Self, AnyError> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let setting = Arc::new(watch::Sender::new(Setting::default()));
        let journal = run.journal(format!("lane {name}"));
        let rng = run.rng(&format!("lane {name}"));
        let task = tokio::spawn(accept(listener, targets.into(), setting.subscribe(), rng, journal.clone()));
        Ok(Self { address, setting, journal, task })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn journal(&self) -> Journal {
        self.journal.clone()
    }

    /// Cuts what is connected now.
    pub(crate) fn cut(&self) {
        self.setting.send_modify(|setting| setting.cuts += 1);
    }

    /// Cuts what is connected, and lets nobody through until [`up`](Self::up).
    pub(crate) fn down(&self, how: Down) {
        self.journal.note(format!("down: {how:?}"));
        self.setting.send_modify(|setting| setting.down = Some(how));
    }

    pub(crate) fn up(&self) {
        self.journal.note("up");
        self.setting.send_modify(|setting| setting.down = None);
    }

    /// Whether the way to the client is blocked.
    pub(crate) fn stall(&self, stall: bool) {
        self.journal.note(if stall { "stalled towards the client" } else { "flows again" });
        self.setting.send_modify(|setting| setting.stall = stall);
    }

    pub(crate) fn misbehave(&self, faults: Faults) {
        self.setting.send_modify(|setting| setting.faults = Some(Arc::new(faults)));
    }

    /// From here on nothing befalls anybody; what was broken is cut, so that its client can begin anew.
    pub(crate) fn calm(&self) {
        self.journal.note("calm");
        self.setting.send_modify(|setting| {
            *setting = Setting { cuts: setting.cuts, ..Setting::default() };
        });
    }
}

async fn accept(
    listener: TcpListener,
    targets: Arc<[SocketAddr]>,
    setting: watch::Receiver<Setting>,
    mut rng: Rng,
    journal: Journal,
) {
    // Connections end with the lane: they are in a set that is dropped with this task.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    let (setting, journal, rng) = (setting.clone(), journal.clone(), rng.fork());
                    connections.spawn(serve(client, targets.clone(), setting, rng, journal));
                }
                // Out of descriptors: those that end give some back.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(
    client: TcpStream,
    targets: Arc<[SocketAddr]>,
    mut setting: watch::Receiver<Setting>,
    mut rng: Rng,
    journal: Journal,
) {
    let down = setting.borrow().down;
    match down {
        Some(Down::Refuse) => carry::reset(&client),
        Some(Down::Swallow) => {
            // Held, and reset when the lane is up again.
            let _ = setting.wait_for(|setting| setting.down != Some(Down::Swallow)).await;
            carry::reset(&client);
        }
        None => match connect(&targets, &mut rng, &journal).await {
            Some(hub) => carry::carry(client, hub, setting, rng, &journal).await,
            // Nobody is there: the client sees what it would see without a proxy, a little later.
            None => carry::reset(&client),
        },
    }
}

/// Connects to one of them, by chance; where it is not there, to the next.
async fn connect(targets: &[SocketAddr], rng: &mut Rng, journal: &Journal) -> Option<TcpStream> {
    let first = rng.usize(0..targets.len().max(1));
    for step in 0..targets.len() {
        let number = (first + step) % targets.len();
        if let Ok(hub) = TcpStream::connect(targets[number]).await {
            if targets.len() > 1 {
                journal.note(format!("to hub {}", number + 1));
            }
            return Some(hub);
        }
    }
    None
}

#[cfg(test)]
mod tests;

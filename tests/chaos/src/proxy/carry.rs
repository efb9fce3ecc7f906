//! One proxied connection: two pumps with a gate each, and the acts that befall it.

use std::time::Duration;

use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;

use super::{Act, Setting};
use crate::journal::Journal;
use crate::run::millis;

/// How much is under way in one direction at most.
const CHUNK: usize = 16 * 1024;
/// How long a stall by chance lasts, in milliseconds.
const STALL: std::ops::RangeInclusive<u64> = 100..=2_500;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Gate {
    #[default]
    Open,
    Stalled,
    /// Nothing more passes, and the receiver is told.
    Closed,
}

/// The gates from the client to the hub and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Gates {
    up: Gate,
    down: Gate,
    /// The way to the client is blocked by command.
    held: bool,
}

impl Gates {
    /// Whether calm must cut the connection, because it would never be whole again by itself.
    fn are_broken(self) -> bool {
        self.up != Gate::Open || self.down != Gate::Open
    }

    fn upwards(&self) -> Gate {
        self.up
    }

    fn downwards(&self) -> Gate {
        if self.held { Gate::Stalled } else { self.down }
    }
}

/// Ends a connection as a crash would: no goodbye, what is under way is lost.
pub(super) fn reset(stream: &TcpStream) {
    // Where it does not work the peer sees an orderly end instead.
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Carries a connection until it ends or is cut.
pub(super) async fn carry(
    mut client: TcpStream,
    mut hub: TcpStream,
    setting: watch::Receiver<Setting>,
    rng: Rng,
    journal: &Journal,
) {
    let _ = (client.set_nodelay(true), hub.set_nodelay(true));
    if carry_until_cut(&mut client, &mut hub, setting, rng, journal).await {
        reset(&client);
        reset(&hub);
    }
}

/// Whether it was cut, rather than ended by both sides.
async fn carry_until_cut(
    client: &mut TcpStream,
    hub: &mut TcpStream,
    mut setting: watch::Receiver<Setting>,
    mut rng: Rng,
    journal: &Journal,
) -> bool {
    let gates = watch::Sender::new(Gates::default());
    let (client_reads, client_writes) = client.split();
    let (hub_reads, hub_writes) = hub.split();
    let late = |setting: &Setting| setting.faults.as_ref().map(|faults| faults.latency.clone());
    let latency = late(&setting.borrow());
    let up = pump(client_reads, hub_writes, gates.subscribe(), Gates::upwards, latency.clone(), rng.fork());
    let down = pump(hub_reads, client_writes, gates.subscribe(), Gates::downwards, latency, rng.fork());
    let pumps = async { tokio::try_join!(up, down) };
    tokio::pin!(pumps);
    let cuts = setting.borrow().cuts;
    let mut next = next_act(&setting, &mut rng);
    let mut opens_at: Option<tokio::time::Instant> = None;
    loop {
        let now = setting.borrow_and_update().clone();
        if now.down.is_some() || now.cuts > cuts || (now.faults.is_none() && gates.borrow().are_broken()) {
            return true;
        }
        if now.faults.is_none() {
            next = None;
        }
        gates.send_if_modified(|gates| std::mem::replace(&mut gates.held, now.stall) != now.stall);
        tokio::select! {
            ended = &mut pumps => return ended.is_err(),
            changed = setting.changed() => {
                if changed.is_err() {
                    return true;
                }
            }
            () = until(opens_at), if opens_at.is_some() => {
                opens_at = None;
                gates.send_modify(|gates| {
                    for gate in [&mut gates.up, &mut gates.down] {
                        if *gate == Gate::Stalled {
                            *gate = Gate::Open;
                        }
                    }
                });
                journal.note("a stall ends");
            }
            () = until(next.map(|(at, _)| at)), if next.is_some() => {
                let act = next.map_or(Act::Reset, |(_, act)| act);
                next = next_act(&setting, &mut rng);
                journal.note(format!("{act:?}"));
                if act == Act::Reset {
                    return true;
                }
                opens_at = befall(&gates, act, &mut rng, opens_at);
            }
        }
    }
}

/// Does to the gates what the act says; gives when they open again, where they do.
fn befall(
    gates: &watch::Sender<Gates>,
    act: Act,
    rng: &mut Rng,
    opens_at: Option<tokio::time::Instant>,
) -> Option<tokio::time::Instant> {
    let mut opens = opens_at;
    gates.send_modify(|gates| match act {
        Act::Silence => (gates.up, gates.down) = (Gate::Stalled, Gate::Stalled),
        Act::StallUp if gates.up == Gate::Open => gates.up = Gate::Stalled,
        Act::StallDown if gates.down == Gate::Open => gates.down = Gate::Stalled,
        Act::HalveUp => gates.up = Gate::Closed,
        Act::HalveDown => gates.down = Gate::Closed,
        Act::StallUp | Act::StallDown | Act::Reset => {}
    });
    match act {
        Act::StallUp | Act::StallDown => opens = Some(tokio::time::Instant::now() + millis(rng, STALL)),
        // For good: the client has to notice by itself.
        Act::Silence => opens = None,
        Act::HalveUp | Act::HalveDown | Act::Reset => {}
    }
    opens
}

fn next_act(setting: &watch::Receiver<Setting>, rng: &mut Rng) -> Option<(tokio::time::Instant, Act)> {
    let faults = setting.borrow().faults.clone()?;
    let act = *rng.choice(faults.acts)?;
    Some((tokio::time::Instant::now() + millis(rng, faults.every.clone()), act))
}

async fn until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Copies one direction, as its gate allows. An error is a reset by one side, which the other shall see as such.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut gates: watch::Receiver<Gates>,
    mine: fn(&Gates) -> Gate,
    latency: Option<std::ops::RangeInclusive<u64>>,
    mut rng: Rng,
) -> std::io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        if !may_pass(&mut gates, mine).await {
            break;
        }
        let read = tokio::select! {
            read = from.read(&mut chunk) => read?,
            _ = gates.changed() => continue,
        };
        if read == 0 {
            break;
        }
        if let Some(latency) = &latency {
            tokio::time::sleep(millis(&mut rng, latency.clone())).await;
        }
        if !may_pass(&mut gates, mine).await {
            break;
        }
        to.write_all(&chunk[..read]).await?;
    }
    to.shutdown().await
}

/// Waits while the gate is stalled; false once it is closed.
async fn may_pass(gates: &mut watch::Receiver<Gates>, mine: fn(&Gates) -> Gate) -> bool {
    match gates.wait_for(|gates| mine(gates) != Gate::Stalled).await {
        Ok(gates) => mine(&gates) == Gate::Open,
        Err(_) => false,
    }
}

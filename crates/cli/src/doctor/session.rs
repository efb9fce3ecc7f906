//! What an open socket is good for: coming in, round trips, and staying.
//!
//! *What may come in:* an upgraded connection. *What it never does:* subscribe or publish.

use std::time::{Duration, Instant};

use super::answer::{millis, words_of};
use super::finding::{Fault, Finding};
use super::socket::{Pong, Socket, SocketTrouble};
use super::target::Target;
use super::upgrade::WebSocket;

/// How many round trips are measured.
const ROUNDS: usize = 20;
/// From here on people notice.
const SLOW: Duration = Duration::from_millis(300);
/// How long a socket must stay open, pinged every second.
const OPEN: Duration = Duration::from_secs(3);
/// How long without a word, with `--thorough`: over a minute, which is what many proxies give an idle connection.
const OPEN_LONG: Duration = Duration::from_secs(65);

/// Comes in over an upgraded connection.
pub(super) async fn socket(target: &Target, stream: WebSocket) -> (Finding, Option<Socket>) {
    let tried = "the handshake of Socket.IO, and a `ping`".to_owned();
    let within = target.timeout;
    let start = Instant::now();
    let opened = match Socket::open(stream, target.token.as_deref(), within).await {
        Ok(mut socket) => socket.ping(within).await.map(|_| socket),
        Err(trouble) => Err(trouble),
    };
    let trouble = match opened {
        Ok(socket) => {
            let seen = format!("the hub lets a socket in and answers it ({})", words_of(start.elapsed()));
            return (Finding::passed(tried, seen).detail("took_ms", millis(start.elapsed())), Some(socket));
        }
        Err(trouble) => trouble,
    };
    let seen = trouble.to_string();
    let finding = match &trouble {
        SocketTrouble::Refused(why) if why.starts_with("unauthorized") => {
            Finding::failed("token_refused", tried, seen)
                .fault(Fault::Token)
                .advice("Give one by --token or --token-file; the operator of the hub has it.")
        }
        SocketTrouble::Refused(_) => {
            Finding::failed("socket_refused", tried, seen).fault(Fault::Hub).advice("Do what the hub says.")
        }
        SocketTrouble::Silent => {
            let seen =
                format!("the upgrade was granted, but nothing comes through within {}", words_of(within));
            Finding::failed("socket_silent", tried, seen).fault(Fault::Proxy).advice(
                "The proxy says yes and passes nothing on, or holds it back. Turn its buffering off, and let it pass \
                 WebSockets on as they are.",
            )
        }
        SocketTrouble::Closed(_) => Finding::failed("socket_cut", tried, seen).fault(Fault::Proxy).advice(
            "Look at the log of what stands before the hub: it cuts WebSockets right after their upgrade.",
        ),
        SocketTrouble::Strange(_) => Finding::failed("socket_strange", tried, seen)
            .fault(Fault::Proxy)
            .advice("Something else than the hub answers at /socket.io/. Pass it on to the hub."),
    };
    (finding, None)
}

/// Whether reporters get in, over the same connection.
pub(super) async fn reporting(target: &Target, socket: &mut Socket) -> Finding {
    let tried = "connected to the namespace of reporters, and left it again".to_owned();
    let result = socket.connect("/ingest", target.token.as_deref(), target.timeout).await;
    match result {
        Ok(()) => {
            // What comes next tells whether the connection has suffered.
            let _ = socket.leave("/ingest").await;
            Finding::passed(
                tried,
                "reporters get in; whether this token may report is not tried, as doctor publishes nothing",
            )
        }
        Err(SocketTrouble::Refused(why)) => Finding::warning(
            "reporting_refused",
            tried,
            format!("the hub takes no reporter with this token: {why}"),
        )
        .fault(Fault::Token)
        .advice("To look on, that does not matter. To report, ask the operator for a token that may."),
        Err(trouble) => Finding::failed("socket_cut", tried, trouble.to_string())
            .fault(Fault::Proxy)
            .advice("Look at the log of what stands before the hub."),
    }
}

/// Measures round trips over the socket, or by HTTP where there is none.
pub(super) async fn latency(target: &Target, socket: Option<&mut Socket>) -> (Finding, Vec<Pong>) {
    let by = if socket.is_some() { "over the socket" } else { "by HTTP" };
    let tried = format!("{ROUNDS} round trips {by}");
    let pongs = match socket {
        Some(socket) => over_socket(target, socket).await,
        None => by_http(target).await,
    };
    let pongs = match pongs {
        Ok(pongs) => pongs,
        Err((done, why)) => {
            let seen = format!("after {done} of {ROUNDS} none came back: {why}");
            let finding = Finding::failed("latency_lost", tried, seen).fault(Fault::Network).advice(
                "Connections break early. Look at the log of what stands before the hub, and at the network.",
            );
            return (finding, Vec::new());
        }
    };
    let mut took: Vec<Duration> = pongs.iter().map(|pong| pong.took).collect();
    took.sort_unstable();
    let at =
        |percent: usize| took[(took.len() * percent).div_ceil(100).saturating_sub(1).min(took.len() - 1)];
    let (median, p95) = (at(50), at(95));
    let figures = format!("median {}, 95 % within {} ({by})", words_of(median), words_of(p95));
    let finding = if p95 > SLOW {
        let seen = format!("a round trip takes long enough to be noticed: {figures}");
        let advice = "Clients take 3 s of silence for a loss. Look at the load of hub and proxy, and at the way between.";
        Finding::warning("latency_high", tried, seen).fault(Fault::Network).advice(advice)
    } else {
        let words = match median.as_millis() {
            0..5 => "as if next door",
            5..50 => "quick",
            50..150 => "good",
            _ => "noticeable, but good enough",
        };
        Finding::passed(tried, format!("{words}: {figures}"))
    };
    let finding = finding.detail("median_ms", millis(median)).detail("p95_ms", millis(p95));
    (finding.detail("by", by), pongs)
}

type Rounds = Result<Vec<Pong>, (usize, String)>;

async fn over_socket(target: &Target, socket: &mut Socket) -> Rounds {
    let mut pongs = Vec::with_capacity(ROUNDS);
    for done in 0..ROUNDS {
        let pong = socket.ping(target.timeout).await;
        pongs.push(pong.map_err(|trouble| (done, trouble.to_string()))?);
    }
    Ok(pongs)
}

async fn by_http(target: &Target) -> Rounds {
    let mut pongs = Vec::with_capacity(ROUNDS);
    for done in 0..ROUNDS {
        let answer = target.ask(target.get(&["health"], &[])).await;
        let answer = answer.map_err(|trouble| (done, trouble.to_string()))?;
        pongs.push(Pong { took: answer.took, sent_at: answer.sent_at, hub_ms: None });
    }
    Ok(pongs)
}

/// Whether the socket stays open.
pub(super) async fn stays_open(target: &Target, socket: &mut Socket) -> Finding {
    let start = Instant::now();
    let heartbeats = socket.heartbeats;
    let (time, tried) = if target.thorough {
        (OPEN_LONG, format!("kept the socket open for {} without a word", words_of(OPEN_LONG)))
    } else {
        (OPEN, format!("kept the socket open for {}, with a ping each second", words_of(OPEN)))
    };
    let kept = if target.thorough { socket.listen(time).await } else { ping_on(target, socket, time).await };
    let kept = match kept {
        Ok(()) => socket.ping(target.timeout).await.map(drop),
        trouble => trouble,
    };
    let after = start.elapsed();
    match kept {
        Ok(()) if target.thorough && socket.heartbeats == heartbeats && socket.ping_interval < time => {
            let seen = format!("it stays open, but the hub's own pings (each {}) do not arrive", words_of(socket.ping_interval));
            Finding::warning("socket_pings_lost", tried, seen)
                .fault(Fault::Proxy)
                .advice("Something answers for the clients. Let it pass WebSockets on as they are.")
        }
        Ok(()) => Finding::passed(tried, format!("the socket stays open ({})", words_of(time))),
        Err(trouble) => {
            let seen = format!("the socket was lost after {}: {trouble}", words_of(after));
            Finding::failed("socket_cut", tried, seen)
                .fault(Fault::Proxy)
                .advice("Raise the proxy's timeout for WebSockets (nginx: proxy_read_timeout 60s; the hub pings every 25 s).")
        }
    }
    .detail("after_ms", millis(after))
}

async fn ping_on(target: &Target, socket: &mut Socket, time: Duration) -> Result<(), SocketTrouble> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        socket.listen(Duration::from_secs(1)).await?;
        socket.ping(target.timeout).await?;
    }
    Ok(())
}

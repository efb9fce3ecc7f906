//! Breaks what can break between a pipeline and those who watch it, and holds what comes through against what was
//! promised in docs/spec/delivery.md.
//!
//! *What it is for:* real `ragpulse serve` processes that are killed, connections that are cut, stalled, delayed and halved,
//! clients that sleep and come back, and an [oracle] that knows every acknowledged event. *What it never
//! does:* look into the hub's code for what is right; leave a process or a file behind.
//!
//! Everything is decided by a seed: a failure prints it, with what led there and the command to repeat it. What the
//! operating system does in between is not repeatable, so a seed makes a failure likely to come again, not certain.
//!
//! | module | what it holds |
//! |---|---|
//! | [`hub`], [`hubs`] | the process under test, and several of them behind one address |
//! | [`redis`](crate::redis) | the Redis that they share |
//! | [`proxy`] | an address for each client, on which everything can go wrong |
//! | [`report`] | what pipelines say, and reporters that say it until it is acknowledged |
//! | [`client`] | subscribers of every kind, and the tracker that checks what each is given |
//! | [`oracle`] | what was promised, and the last judgement |
//! | [`scenario`] | what is run, and the numbers that come of it |
//!
//! [oracle]: crate::oracle
#![allow(rustdoc::private_intra_doc_links)]

mod client;
mod hub;
mod hubs;
mod journal;
mod options;
mod oracle;
mod proxy;
mod redis;
mod report;
mod run;
mod scenario;
mod table;
mod wire;

pub use options::Options;
pub use run::AnyError;

/// Runs the scenarios and prints what came of them; whether every promise was kept.
///
/// # Errors
/// When the harness itself cannot work.
pub async fn run(options: Options) -> Result<bool, AnyError> {
    scenario::run_all(options).await
}

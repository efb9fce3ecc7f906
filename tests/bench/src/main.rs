//! Measures a hub under load.
//!
//! | command | what it measures |
//! |---|---|
//! | `suite` | the hub beside other servers: CPU, latency, memory, and more; `cargo xtask bench` |
//! | `callback` | publish → callback of the client library, with many sockets beside it |
//! | `idle` | what a hub keeps in memory for each connection that hears nothing |
//! | `lockstep` | nothing itself: one event at a time, for a hub whose instructions are counted; `cargo xtask instructions` |

mod bare;
mod callback;
mod hub;
mod idle;
mod lockstep;
mod stats;
mod suite;
mod wire;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

const PIPELINE: &str = "bench";
/// The field that carries the time of the report, in microseconds since the generator began.
const SENT: &str = "sent_us";

pub(crate) type AnyError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
#[command(max_term_width = 100)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The hub beside what would be used in its place.
    Suite(suite::Options),
    /// Publish → callback of the client library.
    Callback(callback::Options),
    /// What a hub keeps in memory for each idle connection.
    Idle(idle::Options),
    /// Answers every request with the same bytes: what the suite measures answers by.
    #[command(hide = true)]
    Bare,
    /// One event at a time, the next when everybody has the last.
    Lockstep(lockstep::Options),
}

fn main() -> ExitCode {
    let result = match Options::parse().command {
        Command::Suite(options) => suite::run(&options),
        Command::Callback(options) => in_runtime(callback::run(options)),
        Command::Idle(options) => in_runtime(idle::run(options)),
        Command::Bare => bare::run(),
        Command::Lockstep(options) => in_runtime(lockstep::run(options)),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn in_runtime(task: impl Future<Output = Result<bool, AnyError>>) -> Result<bool, AnyError> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(task)
}

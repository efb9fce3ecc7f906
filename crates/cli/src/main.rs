//! The `ragpulse` command.
//!
//! Each subcommand has a module of its own; this one reads the arguments and turns a failure into one line and an exit
//! code: 0 done, 1 failed, 2 called wrongly.

mod bench;
mod bridge;
mod demo;
mod doctor;
mod failure;
mod history;
mod hub_client;
mod hub_options;
mod limits;
mod line;
mod logs;
mod publish;
mod schema;
mod serve;
mod signals;
mod snapshot;
mod store;
mod token;
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Failure;
use crate::hub_options::HubOptions;

#[derive(Parser)]
#[command(
    name = "ragpulse",
    version,
    about = "A live status hub for RAG ingestion pipelines",
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a hub with its dashboard.
    Serve(serve::Options),
    /// Serve a hub and ingest a folder live: walk, extract, chunk, embed, store, watch.
    Demo(demo::Options),
    /// Follow pipelines in the terminal.
    Watch(watch::Options),
    /// Report events from a file or standard input, one JSON object a line.
    Publish(publish::Options),
    /// Poll a legacy status server, and publish what changed as events.
    Bridge(bridge::Options),
    /// Print the present state of a pipeline, or of all.
    Snapshot(snapshot::Options),
    /// Print what happened: all of it, of one file, one event or one time.
    History(history::Options),
    /// Mint tokens, make keys, and say what a token may do.
    Token(token::Options),
    /// Find out what is wrong between here and a hub, and whose fault it is. Changes nothing there.
    Doctor(doctor::Options),
    /// Load a hub with events of a pipeline of its own and with subscribers, and say how soon and how exactly all arrived.
    Bench(bench::Options),
    /// Print the JSON Schema of an event or type, or the list of them.
    Schema(schema::Options),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Serve(options) => logs::start(&options.log).and_then(|()| in_runtime(serve::run(options))),
        other => {
            logs::start_plain();
            run(other)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has seen enough.
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Schema(options) => schema::run(&options),
        Command::Token(options) => token::run(options),
        Command::Serve(options) => in_runtime(serve::run(options)),
        Command::Demo(options) => in_runtime(demo::run(options)),
        Command::Watch(options) => in_runtime(watch::run(options)),
        Command::Publish(options) => in_runtime(publish::run(options)),
        Command::Bridge(options) => in_runtime(bridge::run(options)),
        Command::Snapshot(options) => in_runtime(snapshot::run(options)),
        Command::History(options) => in_runtime(history::run(options)),
        Command::Doctor(options) => in_runtime(doctor::run(options)),
        Command::Bench(options) => in_runtime(bench::run(options)),
    }
}

fn in_runtime(task: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))?
        .block_on(task)
}

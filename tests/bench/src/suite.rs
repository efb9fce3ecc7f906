//! The suite: the hub beside what would be used in its place, scenario by scenario.
//!
//! *What may come in:* the options of `cargo xtask bench`, which has built and installed all of it. *What it never does:*
//! call it a success when the hub lost or doubled an event; a speed that was missed is told, and no failure.

mod cores;
mod event;
mod figures;
mod frames;
mod http;
mod load;
mod machine;
mod process;
mod readers;
mod report;
mod scenario;
mod sequence;
mod server;

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};

use self::cores::Cores;
use self::report::Report;
use self::scenario::Context;
use self::server::{Kind, Programs, WITH_SOCKETS};
use crate::AnyError;

#[derive(Args)]
pub(crate) struct Options {
    /// Short runs, three rounds: to see that all works, in a few minutes.
    #[arg(long)]
    quick: bool,
    /// Only this scenario. May be given several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<Scenario>,
    /// Only these servers where several are measured beside each other. May be given several times.
    #[arg(long, value_name = "NAME")]
    server: Vec<Kind>,
    /// How many rounds. Default: 7, quick 3.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: Option<u8>,
    /// Two hubs on one Redis too, which is started for it.
    #[arg(long)]
    redis: bool,
    /// Write docs/benchmarks.md.
    #[arg(long)]
    write: bool,
    /// The root of the workspace.
    #[arg(long, hide = true)]
    root: PathBuf,
    /// The Python that has what the relay needs.
    #[arg(long, hide = true)]
    python: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// CPU and latency at steady loads, all servers.
    Steady,
    /// Deliveries a second when all goes as fast as it goes, all servers.
    Saturation,
    /// Memory of idle connections, all servers.
    Memory,
    /// A storm of progress, the hub.
    Storm,
    /// Starts, all servers; starts with a full store and resumes, the hub.
    Start,
    /// Growth with subscribers, the hub.
    Subscribers,
    /// Growth with pipelines, the hub.
    Pipelines,
    /// Growth with files, the hub.
    Files,
    /// Polls without news, the hub and Python's http.server.
    Polls,
    /// Two hubs on one Redis.
    Redis,
}

/// Runs it; says whether the hub kept its promises.
pub(crate) fn run(options: &Options) -> Result<bool, AnyError> {
    let cores = Cores::halve();
    cores.pin_generator();
    let built = std::env::current_exe()?.parent().ok_or("this program is nowhere")?.to_path_buf();
    let relays = options.root.join("tests/bench/relays");
    let programs = Programs { built, relays, python: options.python.clone(), cores };
    for name in ["ragpulse", "ragpulse-plain-relay"] {
        server::must_be_there(&programs.built.join(name))?;
    }
    server::must_be_there(&programs.relays.join("node/node_modules"))?;
    server::must_be_there(&programs.python)?;
    let rounds = options.rounds.map_or(if options.quick { 3 } else { 7 }, usize::from);
    let servers =
        WITH_SOCKETS.into_iter().filter(|kind| options.server.is_empty() || options.server.contains(kind));
    let mut context = Context {
        programs: &programs,
        quick: options.quick,
        rounds,
        servers: servers.collect(),
        report: Report::new(rounds),
    };
    let machine = machine::describe(&options.root, &programs, options.quick);
    println!("{}", machine.join("\n"));
    for scenario in Scenario::value_variants() {
        let asked = match scenario {
            Scenario::Redis => options.redis || options.only.contains(scenario),
            _ => options.only.is_empty() || options.only.contains(scenario),
        };
        if asked {
            let start = Instant::now();
            scenario.run(&mut context)?;
            eprintln!("{scenario:?} took {:.0} s", start.elapsed().as_secs_f64());
        }
    }
    let whole = context.report.finish();
    if options.write {
        let page = context.report.markdown(&machine, include_str!("suite/how.md"));
        std::fs::write(options.root.join("docs/benchmarks.md"), page)?;
    }
    Ok(whole)
}

impl Scenario {
    fn run(self, context: &mut Context<'_>) -> Result<(), AnyError> {
        match self {
            Self::Steady => scenario::steady::run(context),
            Self::Saturation => scenario::saturation::run(context),
            Self::Memory => scenario::memory::run(context),
            Self::Storm => scenario::storm::run(context),
            Self::Start => scenario::start::run(context),
            Self::Subscribers => scenario::growth::subscribers(context),
            Self::Pipelines => scenario::growth::pipelines(context),
            Self::Files => scenario::growth::files(context),
            Self::Polls => scenario::polls::run(context),
            Self::Redis => scenario::redis::run(context),
        }
    }
}

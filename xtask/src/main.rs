//! The tasks of this workspace: `cargo xtask gen`, `check`, `test`, `coverage`, `bench`, `instructions`, `chaos`, `fuzz`.

mod bench;
mod chaos;
mod check;
mod closure;
mod coverage;
mod fuzz;
mod generate;
mod instructions;
mod npm;
mod page;
mod python;
mod steps;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The tasks of this workspace")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Write everything that is made from the contract: schemas, AsyncAPI, TypeScript, docs/spec/events.md, the models of
    /// the Python package; the table in docs/metrics.md; and the dashboard's page, which npm builds.
    Gen {
        /// Compare only, and fail where a file differs.
        #[arg(long)]
        check: bool,
    },
    /// Formatting, clippy, generated files, the built page, the dependencies of the protocol crate, its build for wasm32,
    /// and by deny.toml the licences and sources of all dependencies.
    Check {
        /// Also what is known of faults in dependencies. Its database comes over the network.
        #[arg(long)]
        advisories: bool,
    },
    /// The tests that every change needs, in Rust, JavaScript and Python.
    Test {
        /// The slow parts too.
        #[arg(long)]
        full: bool,
    },
    /// Measures the hub beside the same relay on socketioxide, Node and Python, and prints each target and whether it holds;
    /// see docs/benchmarks.md. Options go to the generator: --quick, --only, --server, --rounds, --redis, --write, --help.
    Bench {
        /// In place of the suite: publish → callback of the client library. Options: --subscribers, --rate, --seconds.
        #[arg(long)]
        callback: bool,
        /// For the generator.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Measures what metrics cost: instructions of the hub per delivery, with and without, by callgrind.
    Instructions,
    /// Kills hubs and Redis, breaks connections, and checks that every event that must arrive does; see docs/guides/chaos.md.
    /// Options go to the harness: --minutes, --seed, --only, --store, --hubs, --short, and others that it lists with --help.
    Chaos {
        /// How hub and harness are built: dev or release. Comes before the options of the harness.
        #[arg(long, default_value = "release")]
        profile: String,
        /// For the harness.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Random inputs for what faces the network, on nightly. What it finds is left in fuzz/artifacts.
    Fuzz {
        /// For how long each target runs.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
        /// Instead, how many inputs over all targets: a table of them is printed at the end.
        #[arg(long, conflicts_with = "seconds")]
        executions: Option<u64>,
        /// Only this one.
        target: Option<String>,
    },
    /// Line coverage of each crate by its Rust tests, and of each npm package by its own; fails where it is too low.
    Coverage {
        /// The npm packages only.
        #[arg(long)]
        packages: bool,
    },
}

fn main() -> ExitCode {
    let root = workspace::root();
    let result = match Cli::parse().task {
        Task::Gen { check: false } => generate::write(&root)
            .and_then(|()| python::write_models(&root))
            .and_then(|()| page::write(&root)),
        Task::Gen { check: true } => generate::check(&root)
            .and_then(|()| python::check_models(&root))
            .and_then(|()| page::check(&root)),
        Task::Check { advisories } => check::run(&root, advisories),
        Task::Test { full } => test::run(&root, full),
        Task::Bench { callback: true, options } => bench::callback(&root, &options),
        Task::Bench { callback: false, options } => bench::suite(&root, &options),
        Task::Instructions => instructions::run(&root),
        Task::Chaos { profile, options } => chaos::run(&root, &profile, &options),
        Task::Fuzz { seconds, executions, target } => {
            let effort = executions.map_or(fuzz::Effort::Seconds(seconds), fuzz::Effort::Executions);
            fuzz::run(&root, effort, target.as_deref())
        }
        Task::Coverage { packages } => coverage::run(&root, packages),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_the_generator_gets_there() {
        let parse = |arguments: &[&str]| match Cli::parse_from([&["xtask", "bench"], arguments].concat()).task
        {
            Task::Bench { callback, options } => (callback, options),
            _ => panic!("another task"),
        };
        assert_eq!(
            parse(&["--quick", "--only", "steady"]),
            (false, ["--quick", "--only", "steady"].map(String::from).to_vec())
        );
        assert_eq!(
            parse(&["--callback", "--rate", "20"]),
            (true, ["--rate", "20"].map(String::from).to_vec())
        );
    }
}

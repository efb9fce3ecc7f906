//! `ragpulse-chaos`: see the library beside it, and docs/guides/chaos.md.

use std::process::ExitCode;

use clap::Parser;
use ragpulse_chaos::Options;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    // Dropping the run kills the hubs and removes the files, also when somebody loses patience.
    let result = tokio::select! {
        result = ragpulse_chaos::run(options) => result,
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
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

//! The log of the program, on standard error: for people, or one JSON object a line for machines.

mod held;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

pub(crate) use held::{hold, release};

/// Warnings, and who was refused or did what needs a right of its own. Bad certificates are told by whoever met them.
const DEFAULT: &str = "warn,ragpulse::audit=info,rustls_platform_verifier=off";

/// What is logged, and how.
#[derive(Args, Clone)]
pub(crate) struct LogOptions {
    /// What is logged: a level, or levels by module, such as `info,ragpulse_server=debug`. At `debug` each event can be
    /// followed by its request_id from ingest over append to fan-out.
    #[arg(long = "log", env = "RAGPULSE_LOG", value_name = "FILTER", default_value = DEFAULT)]
    filter: String,
    /// How it is written: for people, or one JSON object a line.
    #[arg(long = "log-format", env = "RAGPULSE_LOG_FORMAT", value_enum, default_value = "pretty")]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Pretty,
    Json,
}

/// Logs as the options say.
pub(crate) fn start(options: &LogOptions) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&options.filter).map_err(|error| {
        Failure::usage(format!(
            "--log {}: {error}; give a level (error, warn, info, debug, trace) or levels by module",
            options.filter
        ))
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(held::writer);
    match options.format {
        Format::Pretty => builder.init(),
        Format::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}

/// Logs warnings, or what `RAGPULSE_LOG` says, for people: in commands that have no options of the log.
pub(crate) fn start_plain() {
    let filter = EnvFilter::try_from_env("RAGPULSE_LOG").unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(held::writer).init();
}

//! `ragpulse schema`: the contract, for programs.

use std::io::Write;

use clap::Args;
use ragpulse_protocol::contract::{COMMANDS, EVENTS, MESSAGES};

use crate::failure::Failure;

/// The generated JSON Schemas, by the name of their type.
const SCHEMAS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/schemas.rs"));

#[derive(Args)]
pub(crate) struct Options {
    /// An event such as `file:completed`, or a type such as `PipelineStatus`. Without it, the list.
    name: Option<String>,
    /// For an event: what a reporter sends, in place of what a hub delivers.
    #[arg(long, requires = "name")]
    report: bool,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let Some(name) = &options.name else {
        for event in EVENTS {
            writeln!(out, "{:20} {}", event.name, event.payload)?;
        }
        for message in MESSAGES {
            writeln!(out, "{:20} {}", message.name, message.payload)?;
        }
        for command in COMMANDS {
            writeln!(out, "{:20} {} -> {}", command.name, command.request, command.reply)?;
        }
        for (name, _) in SCHEMAS {
            writeln!(out, "{name}")?;
        }
        return Ok(());
    };
    let wanted = type_of(name, options.report)?;
    match SCHEMAS.iter().find(|(known, _)| *known == wanted) {
        Some((_, schema)) => Ok(write!(out, "{schema}")?),
        None => {
            Err(Failure::usage(format!("there is no event or type '{name}'; `ragpulse schema` lists them")))
        }
    }
}

/// The type of a name: of an event, a message, a command, or the type itself.
fn type_of(name: &str, report: bool) -> Result<&str, Failure> {
    if let Some(event) = EVENTS.iter().find(|event| event.name == name) {
        if report {
            return event
                .report
                .ok_or_else(|| Failure::usage(format!("only a hub sends '{name}'; leave --report out")));
        }
        return Ok(event.payload);
    }
    if let Some(message) = MESSAGES.iter().find(|message| message.name == name) {
        return Ok(message.payload);
    }
    if let Some(command) = COMMANDS.iter().find(|command| command.name == name) {
        return Ok(command.request);
    }
    Ok(name)
}

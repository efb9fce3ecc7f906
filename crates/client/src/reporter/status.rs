//! How a reporter fares, for those who want to show it.

use std::time::{Duration, SystemTime};

use ragpulse_protocol::{Epoch, Problem, ReportedEvent};

use super::machine::Machine;
use super::outcome::Standing;

/// How a reporter stands with its hub.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ReporterConnection {
    /// Nothing was sent yet.
    Idle,
    /// The last try reached the hub and was taken.
    Connected,
    /// The hub cannot be reached, or asked to come back; it is tried again.
    Retrying {
        /// Since when.
        since: SystemTime,
        /// How many tries failed in a row.
        failures: u32,
        /// Why the last one did.
        cause: String,
    },
    /// The hub takes nothing from this reporter, for a cause that somebody has to remove. It is tried again slowly.
    Refused {
        /// Since when.
        since: SystemTime,
        /// What the hub says.
        problem: Problem,
    },
    /// It was closed.
    Closed,
}

/// How a reporter fares. All numbers are since it was built.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ReporterStatus {
    /// How it stands with its hub.
    pub connection: ReporterConnection,
    /// How many events wait to be sent or are on their way.
    pub queued: usize,
    /// How many of these are in the spool only, because the memory is full. 0 without a spool.
    pub spooled: usize,
    /// How many events the hub took into its log.
    pub accepted: u64,
    /// How many the hub had taken before: answers to the first try were lost.
    pub duplicates: u64,
    /// How many the hub took without logging them: superseded progress and heartbeats.
    pub conflated: u64,
    /// How many the hub refused for good; each was handed to the callback and logged.
    pub rejected: u64,
    /// How many progress events were superseded or dropped before they were sent.
    pub progress_given_up: u64,
    /// In which epoch the hub counts, by its last answer. Another one than before: it began anew, and was told of the open
    /// files again.
    pub epoch: Option<Epoch>,
}

/// An event that the hub refused for good. The events around it were sent without it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Rejected {
    /// The event as it was sent.
    pub event: ReportedEvent,
    /// What the hub says is wrong with it.
    pub problem: Problem,
}

impl ReporterStatus {
    /// `now` is the machine's time, and `clock` the same moment for people.
    pub(crate) fn of(machine: &Machine, now: Duration, clock: SystemTime) -> Self {
        let at = |since: Duration| clock.checked_sub(now.saturating_sub(since)).unwrap_or(clock);
        let connection = match machine.standing() {
            Standing::Idle => ReporterConnection::Idle,
            Standing::Connected => ReporterConnection::Connected,
            Standing::Retrying { since, failures, cause } => {
                ReporterConnection::Retrying { since: at(*since), failures: *failures, cause: cause.clone() }
            }
            Standing::Refused { since, problem } => {
                ReporterConnection::Refused { since: at(*since), problem: problem.clone() }
            }
            Standing::Closed => ReporterConnection::Closed,
        };
        let totals = machine.totals;
        Self {
            connection,
            queued: machine.unsent(),
            spooled: machine.queue.elsewhere(),
            accepted: totals.accepted,
            duplicates: totals.duplicates,
            conflated: totals.conflated,
            rejected: totals.rejected,
            progress_given_up: machine.queue.given_up(),
            epoch: machine.epoch().cloned(),
        }
    }
}

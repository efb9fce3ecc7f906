//! What is fuzzed: each target is a function of bytes that panics when something is wrong.
//!
//! `fuzz/` runs them under libFuzzer on nightly (`cargo xtask fuzz`); `tests/seeds.rs` runs the seeds and everything in
//! `regressions/` through the same functions on stable, in every `cargo test`.
//!
//! | target | input | what must hold |
//! |---|---|---|
//! | `event` | a name, a line break, a payload | what decodes is the same after a round trip |
//! | `report` | the body of an ingest request; `\n` first: one a line | what is admitted can be placed; a refusal is short |
//! | `command` | a name, a line break, the packet | a refusal is short |
//! | `socket` | the body of Engine.IO polls | the hub goes on, and others are served |
//! | `http` | a request: line, headers, body | the hub goes on; what it then serves is whole and folds to its state |
//! | `names` | a text | cursors, names and times are what they say |
//! | `answer` | which kind, a line break, JSON | what a client reads is the same after a round trip |
//! | `token` | which kind, a line break, a token, claims, a key file or a name | what is taken was signed, has an end and its bounds |
//! | `fold` | acts, some bytes each | counts, sequence and lists hold; a state read back goes on as the one it was |

// What is not as it must be is to end the run.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

mod seeds;
mod targets;

pub use seeds::seeds;

/// A target: its name, and what takes an input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("event", targets::event::run),
    ("report", targets::report::run),
    ("command", targets::command::run),
    ("socket", targets::socket::run),
    ("http", targets::http::run),
    ("names", targets::names::run),
    ("answer", targets::answer::run),
    ("fold", targets::fold::run),
    ("token", targets::token::run),
];

/// Runs an input through a target.
///
/// # Panics
/// When something is wrong with what is tested, or there is no such target.
pub fn run(target: &str, input: &[u8]) {
    let (_, run) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target of this name");
    run(input);
}

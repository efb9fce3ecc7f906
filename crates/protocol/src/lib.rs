//! The contract of RagPulse, as data and pure functions.
//!
//! *What it is for:* everything a hub, a reporter and a subscriber must agree on — the [event table](contract),
//! payloads, commands and their acknowledgements, cursors, HTTP shapes, error codes, the [reducer](reduce) that
//! folds events into a [`PipelineStatus`], and the [apply rule](session) that keeps a subscriber's sequence whole.
//!
//! *What may come in:* JSON from anywhere; it is decoded into typed values or refused with a reason.
//!
//! *What it never does:* I/O, clocks, randomness, threads. It builds for `wasm32-unknown-unknown`.
//!
//! | module | what it holds |
//! |---|---|
//! | [`contract`] | the one table from which enum, bindings, schemas and docs are made |
//! | [`event`], [`report`] | the payloads as delivered by a hub, and as sent by a reporter |
//! | [`message`] | everything a hub may send to a subscriber, decoded |
//! | [`command`] | what clients ask of a hub, and the answers |
//! | [`status`] | the state of one pipeline: the snapshot `pipeline:status` |
//! | [`reduce`] | `apply(state, event)` |
//! | [`session`] | the one apply rule |
//! | [`reference`](mod@reference) | the projection to the shapes of the reference application |
//! | [`http`], [`problem`] | HTTP answers and error codes |
//! | `bindings` | every type, for the tools that write bindings (features `ts` and `schema`) |

mod macros;

#[cfg(any(feature = "ts", feature = "schema"))]
pub mod bindings;
pub mod command;
pub mod contract;
pub mod event;
pub mod http;
pub mod ids;
pub mod limits;
pub mod message;
pub mod parts;
pub mod problem;
pub mod reduce;
pub mod reference;
pub mod report;
pub mod session;
pub mod status;
pub mod time;

pub use event::Event;
pub use ids::{Cursor, Epoch, PipelineId, PipelineType, ReporterId};
pub use message::ServerMessage;
pub use problem::{Code, Problem};
pub use reduce::{Anomaly, apply};
pub use report::{Report, ReportedEvent};
pub use session::{Session, Verdict};
pub use status::{FileState, FileStatus, Liveness, PipelineStatus};
pub use time::Timestamp;

/// The version of the protocol. Within one number, changes only add.
///
/// Hubs tell it as `protocol` in `GET /api/socket/info`.
pub const PROTOCOL_VERSION: u32 = 1;

/// A JSON object, as used for fields that this version of the protocol does not know.
pub type Object = serde_json::Map<String, serde_json::Value>;

//! Ingest: what comes from reporters, until it may be appended. Pure; the [writer](crate::hub) does the rest.
//!
//! Whatever is invalid in itself is refused here with the index and the field; nothing is refused for the state of a
//! file.

mod admit;
mod conflate;
mod fill;
mod leases;

pub(crate) use admit::{Admitted, Kind, Move, admit_all, parse_batch};
pub(crate) use conflate::{Conflator, Offer, Slot};
pub(crate) use fill::{hub_interrupted, hub_offline, hub_online};
pub(crate) use leases::{Heard, Lease, Leases};

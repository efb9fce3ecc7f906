//! Subscribing: the sequence of each pipeline without hole, repeat or swap, over a socket when it can be had and over
//! long polling when not.
//!
//! [`Subscriber`] is a stream of [`Update`]s; behind it one task does what the [session machine](session) decides.

mod link;
mod pipelines;
mod polls;
mod session;
mod update;

pub use update::{Cause, ConnectionStatus, Transport, Update, What};

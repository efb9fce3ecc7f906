//! Subscribing: the sequence of each pipeline without hole, repeat or swap, over a socket when it can be had and over
//! long polling when not.
//!
//! [`Subscriber`] is a stream of [`Update`]s; behind it one task does what the session machine decides.
//!
//! *What may come in:* whatever a hub, or something that is none, sends. *What it never does:* skip or repeat an event, or
//! hold more than it was told to when its consumer is slow.

mod builder;
mod driver;
mod error;
mod handle;
mod http;
mod link;
mod pipelines;
mod polls;
mod session;
pub mod socket;
mod socketio;
mod update;

pub use builder::{DEFAULT_CAPACITY, SubscriberBuilder};
pub use error::SubscribeError;
pub use handle::{Subscriber, SubscriberHandle};
pub use session::TransportChoice;
pub use update::{Cause, ConnectionStatus, Transport, Update, What};

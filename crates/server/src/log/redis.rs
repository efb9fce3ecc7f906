//! The log in Redis or Valkey, for several hubs that are one (docs/adr/0006-redis-log.md).
//!
//! Scripts do what has to be done at once: an append names the position it was planned on, and is taken there or not at all.
//! What is here so far: the keys, the scripts, and a session, which is one connection that knows the life of every shard.
//!
//! *What it never does:* send a script again because the server does not know it, or repeat a call whose answer was lost.

// The log itself, which calls all of this, is not written yet; the tests are the only ones who do.
#![cfg_attr(not(test), allow(dead_code))]

mod call;
mod keys;
mod reply;
mod session;
#[cfg(test)]
mod tests;

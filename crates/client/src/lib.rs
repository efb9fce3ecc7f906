//! RagPulse: client.

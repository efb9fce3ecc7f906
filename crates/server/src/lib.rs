//! RagPulse: server.

//! RagPulse: protocol.

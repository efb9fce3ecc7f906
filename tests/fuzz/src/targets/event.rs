//! Messages of a hub, as subscribers decode them.

use ragpulse_protocol::{Event, ServerMessage};
use serde_json::Value;

use super::split;

pub(crate) fn run(input: &[u8]) {
    let Some((name, payload)) = split(input) else { return };
    if let Ok(event) = Event::decode(name, payload) {
        assert_eq!(event.name(), name);
        let text = event.payload().to_string();
        assert_eq!(Event::decode(name, &text).unwrap(), event, "a round trip by text");
        assert_eq!(Event::from_value(name, event.payload()).unwrap(), event, "a round trip by value");
        let _ = (event.class(), event.shared().cursor());
    }
    if let Ok(message) = ServerMessage::decode(name, payload) {
        let value: Value = serde_json::from_str(payload).unwrap();
        // A value keeps the last of two fields of one name, where text refuses them: only what both take is compared.
        if let Ok(same) = ServerMessage::from_value(name, value) {
            assert_eq!(same, message);
        }
        if let ServerMessage::Snapshot(state) = &message {
            let text = serde_json::to_string(state).unwrap();
            assert_eq!(ServerMessage::decode(name, &text).unwrap(), message);
        }
    }
}

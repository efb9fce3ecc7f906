//! Commands of subscribers and reporters, as the packets in which they come.

use serde_json::value::RawValue;

use super::{is_short, split};

pub(crate) fn run(input: &[u8]) {
    let Some((name, packet)) = split(input) else { return };
    // The Socket.IO library hands over JSON only.
    let Ok(packet) = serde_json::from_str::<&RawValue>(packet) else { return };
    if let Err(problem) = ragpulse_server::fuzzing::command(name, packet) {
        is_short(&problem);
    }
}

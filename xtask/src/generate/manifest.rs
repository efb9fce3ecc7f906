//! bindings/contract.json: the one table as data, for generators in other languages and for comparing versions.

use ragpulse_protocol::bindings::{self, Direction};
use ragpulse_protocol::contract::{COMMANDS, EVENTS, FieldInfo, MESSAGES, SHARED_FIELDS};
use ragpulse_protocol::{Code, PROTOCOL_VERSION};
use serde_json::{Value, json};

/// The table as JSON.
pub(crate) fn manifest() -> Value {
    let of_table = |name: &str| {
        EVENTS.iter().any(|e| e.payload == name || e.report == Some(name))
            || MESSAGES.iter().any(|m| m.payload == name)
            || COMMANDS.iter().any(|c| c.request == name || c.reply == name)
    };
    json!({
        "$comment": super::MARKER,
        "protocol": PROTOCOL_VERSION,
        "shared_fields": fields(SHARED_FIELDS),
        "events": EVENTS.iter().map(|event| json!({
            "name": event.name,
            "class": event.class.as_str(),
            "description": prose(event.doc),
            "payload": event.payload,
            "report": event.report,
            "fields": fields(event.fields),
        })).collect::<Vec<_>>(),
        "messages": MESSAGES.iter().map(|message| json!({
            "name": message.name,
            "class": message.class.as_str(),
            "description": prose(message.doc),
            "payload": message.payload,
        })).collect::<Vec<_>>(),
        "commands": COMMANDS.iter().map(|command| json!({
            "name": command.name,
            "namespace": command.namespace,
            "description": prose(command.doc),
            "request": command.request,
            "reply": command.reply,
        })).collect::<Vec<_>>(),
        "shapes": bindings::types().filter(|info| !of_table(info.name)).map(|info| json!({
            "name": info.name,
            "direction": match info.direction {
                Direction::ToClient => "to client",
                Direction::ToHub => "to hub",
            },
        })).collect::<Vec<_>>(),
        "problems": Code::ALL.iter().map(|code| json!({
            "code": code.as_str(),
            "status": code.status(),
            "retryable": code.retryable(),
            "fault": code.fault(),
            "description": prose(code.doc()),
        })).collect::<Vec<_>>(),
    })
}

fn fields(fields: &[FieldInfo]) -> Vec<Value> {
    fields
        .iter()
        .map(|field| {
            json!({
                "name": field.name,
                "type": field.rust_type.replace(' ', ""),
                "presence": field.presence.as_str(),
                "description": prose(field.doc),
            })
        })
        .collect()
}

/// Lines of a doc comment as one.
pub(crate) fn prose(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ").trim().to_owned()
}

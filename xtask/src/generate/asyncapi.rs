//! bindings/asyncapi.yaml: the contract as AsyncAPI 3.0, as seen from the hub.
//!
//! Payloads are draft-07 schemas under `/components/schemas`, because the official parser checks only schemas of
//! formats that it knows, and that is the newest of them.

use anyhow::Result;
use ragpulse_protocol::PROTOCOL_VERSION;
use ragpulse_protocol::contract::{COMMANDS, Class, EVENTS, MESSAGES};
use serde_json::{Map, Value, json};

use super::manifest::prose;
use super::schema::{self, to_draft07};

const SCHEMAS: &str = "#/components/schemas";

/// A namespace of Socket.IO as a channel.
struct Channel {
    id: &'static str,
    address: &'static str,
    description: &'static str,
    kind: Kind,
}

#[derive(PartialEq)]
enum Kind {
    Subscribers,
    Reference,
    Ingest,
}

const CHANNELS: &[Channel] = &[
    Channel {
        id: "root",
        address: "/",
        description: "Subscribers of any pipelines; nothing comes before `subscribe`.",
        kind: Kind::Subscribers,
    },
    Channel {
        id: "googleDrive",
        address: "/google_drive",
        description: "Subscribers of all pipelines of type `google_drive`: subscribed by connecting. One of the reference \
                      namespaces; others may be configured.",
        kind: Kind::Reference,
    },
    Channel {
        id: "localFiles",
        address: "/local_files",
        description: "Subscribers of all pipelines of type `local_files`: subscribed by connecting. One of the reference \
                      namespaces; others may be configured.",
        kind: Kind::Reference,
    },
    Channel { id: "ingest", address: "/ingest", description: "Reporters.", kind: Kind::Ingest },
];

/// The document as text.
///
/// # Errors
/// When the schemas cannot be put under one roof.
pub(crate) fn document() -> Result<String> {
    let document = json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "RagPulse",
            "version": format!("{PROTOCOL_VERSION}.0.0"),
            "description": "A live status hub for RAG ingestion pipelines, over Socket.IO 4 (Engine.IO 4). A channel is a \
                            namespace; what a hub sends and receives in it are its events; a reply is the acknowledgement. \
                            A token, where one is needed, travels in `auth.token`.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "channels": CHANNELS.iter().map(|c| (c.id.to_owned(), channel(c))).collect::<Map<_, _>>(),
        "operations": operations(),
        "components": { "messages": messages(), "schemas": schemas()? },
    });
    Ok(format!("# {}\n{}", super::MARKER, super::text::yaml(&document)))
}

/// The name of a message among the components: events, messages and commands share names with nothing else.
fn key(wire: &str) -> String {
    wire.replace(':', ".")
}

/// What a hub sends in a channel: keys within it and names of messages.
fn sent(kind: &Kind) -> Vec<(String, String)> {
    if *kind == Kind::Ingest {
        return Vec::new();
    }
    let names = EVENTS.iter().map(|event| event.name).chain(MESSAGES.iter().map(|message| message.name));
    let mut sent: Vec<_> = names
        .map(|name| match (name, kind) {
            ("pipeline:status", Kind::Reference) => (key(name), "pipeline.status.reference".to_owned()),
            _ => (key(name), key(name)),
        })
        .collect();
    sent.push(("x.custom".to_owned(), "x.custom".to_owned()));
    sent
}

fn commands(kind: &Kind) -> impl Iterator<Item = &'static ragpulse_protocol::contract::CommandInfo> {
    let namespace = if *kind == Kind::Ingest { "/ingest" } else { "/" };
    COMMANDS.iter().filter(move |command| command.namespace == namespace)
}

fn channel(channel: &Channel) -> Value {
    let reference = |name: &str| json!({ "$ref": format!("#/components/messages/{name}") });
    let mut all: Map<String, Value> =
        sent(&channel.kind).into_iter().map(|(key, name)| (key, reference(&name))).collect();
    for command in commands(&channel.kind) {
        for name in [key(command.name), reply_key(command.name)] {
            all.insert(name.clone(), reference(&name));
        }
    }
    json!({ "address": channel.address, "description": channel.description, "messages": all })
}

fn reply_key(wire: &str) -> String {
    format!("{}.reply", key(wire))
}

fn operations() -> Map<String, Value> {
    let mut operations = Map::new();
    for channel in CHANNELS {
        let id = channel.id;
        let here = json!({ "$ref": format!("#/channels/{id}") });
        let of = |key: &str| json!({ "$ref": format!("#/channels/{id}/messages/{key}") });
        let sent = sent(&channel.kind);
        if !sent.is_empty() {
            let operation = json!({
                "action": "send",
                "summary": format!("What a hub sends to the subscribers in `{}`.", channel.address),
                "channel": here,
                "messages": sent.iter().map(|(key, _)| of(key)).collect::<Vec<_>>(),
            });
            operations.insert(format!("{id}.send"), operation);
        }
        for command in commands(&channel.kind) {
            let operation = json!({
                "action": "receive",
                "summary": prose(command.doc),
                "channel": here,
                "messages": [of(&key(command.name))],
                "reply": { "channel": here, "messages": [of(&reply_key(command.name))] },
            });
            operations.insert(format!("{id}.{}", key(command.name)), operation);
        }
    }
    operations
}

fn message(name: &str, doc: &[&str], payload: &str) -> Value {
    json!({
        "name": name,
        "title": name,
        "summary": prose(doc),
        "payload": { "$ref": format!("{SCHEMAS}/{payload}") },
    })
}

fn with_class(mut message: Value, class: Class) -> Value {
    message["x-class"] = class.as_str().into();
    message
}

fn messages() -> Map<String, Value> {
    let mut messages = Map::new();
    for event in EVENTS {
        let mut entry = with_class(message(event.name, event.doc, event.payload), event.class);
        if let Some(report) = event.report {
            entry["x-report"] = report.into();
        }
        messages.insert(key(event.name), entry);
    }
    for entry in MESSAGES {
        messages
            .insert(key(entry.name), with_class(message(entry.name, entry.doc, entry.payload), entry.class));
        if entry.name == "pipeline:status" {
            let doc = &["The state of a pipeline, with the reference's lists beside the snapshot."];
            let reference = with_class(message(entry.name, doc, "ReferenceSnapshot"), entry.class);
            messages.insert("pipeline.status.reference".to_owned(), reference);
        }
    }
    let doc = &["Any event whose name begins with `x:`: carried, kept and shown, not understood."];
    messages.insert("x.custom".to_owned(), with_class(message("x:", doc, "OtherEvent"), Class::MustArrive));
    for command in COMMANDS {
        messages.insert(key(command.name), message(command.name, command.doc, command.request));
        let doc = format!("The acknowledgement of `{}`.", command.name);
        messages.insert(reply_key(command.name), message(command.name, &[&doc], command.reply));
    }
    messages
}

fn schemas() -> Result<Map<String, Value>> {
    Ok(schema::all()?
        .iter()
        .map(|(name, definition)| (name.clone(), to_draft07(definition, SCHEMAS)))
        .collect())
}

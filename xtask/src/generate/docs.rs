//! docs/spec/events.md: the contract for people.

use std::fmt::Write as _;

use anyhow::Result;
use ragpulse_protocol::contract::{COMMANDS, CUSTOM_PREFIX, EVENTS, FieldInfo, MESSAGES, SHARED_FIELDS};
use ragpulse_protocol::{Code, PROTOCOL_VERSION};
use serde_json::Value;

use super::manifest::prose;
use super::schema::{self, Definitions, name_of_ref};

/// Which type answers which request over HTTP.
const HTTP: &[(&str, &str)] = &[
    ("`POST /api/pipelines/{id}/events` takes (one, an array, or NDJSON of)", "ReportedEvent"),
    ("`POST /api/pipelines/{id}/events`", "PublishReceipt"),
    ("`GET /api/pipelines/{id}/events?epoch=&seq=&wait=&limit=`", "EventsAnswer"),
    ("`GET /api/pipelines/{id}/files?state=&q=&after=`", "FilesPage"),
    ("`GET /api/pipelines/{id}/history?file=&event=&since=&until=&after=&limit=`", "HistoryPage"),
    ("`GET /api/rag-status[?pipeline_id=]`", "RagStatus"),
    ("`GET /api/socket/info`", "SocketInfo"),
    ("`POST /api/socket/test`", "SocketTest"),
    ("every error (`application/problem+json`)", "Problem"),
];

/// The page as text.
///
/// # Errors
/// When the schemas cannot be put under one roof.
pub(crate) fn page() -> Result<String> {
    let definitions = schema::all()?;
    let mut out = format!(
        "<!-- {} -->\n# Events, commands and shapes\n\nProtocol version {PROTOCOL_VERSION}. Within one number, changes only add: \
         take unknown events, fields and values of open lists as they come.\n\nAll payloads are flat JSON objects. Times are \
         RFC 3339; a hub delivers them in UTC with milliseconds. How events reach a subscriber, and what a subscriber does \
         with them, is [delivery](delivery.md).\n\n",
        super::MARKER
    );
    out.push_str("Presence of a field:\n\n| presence | in a report | as delivered |\n|---|---|---|\n");
    out.push_str(
        "| required | must be given | always there |\n| hub-filled | may be given | always there |\n",
    );
    out.push_str("| optional | may be given | where it was given |\n| hub-only | not for reporters | where the hub has something to say |\n\n");

    out.push_str("## Fields of every event\n\nFilled in by the hub; a reporter sets none of `epoch`, `seq` and `received_at`.\n\n");
    fields(&mut out, SHARED_FIELDS, &definitions);

    out.push_str("## Events\n\n");
    for event in EVENTS {
        let from = if event.report.is_some() { "reported" } else { "made by the hub only" };
        let _ = writeln!(
            out,
            "### `{}`\n\n{}\n\nClass: {}. Payload: `{}`, {from}.\n",
            event.name,
            prose(event.doc),
            event.class,
            event.payload
        );
        fields(&mut out, event.fields, &definitions);
    }
    let _ = writeln!(
        out,
        "### `{CUSTOM_PREFIX}…`\n\nAny name with this prefix, any object: carried, kept and shown, not understood.\n\n\
         Class: must arrive. Payload: `OtherEvent`.\n"
    );

    out.push_str("## Messages\n\nWhat a hub sends beside the events of a sequence.\n\n| message | class | payload | meaning |\n|---|---|---|---|\n");
    for message in MESSAGES {
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} |",
            message.name,
            message.class,
            link(message.payload, &definitions),
            prose(message.doc)
        );
    }
    out.push_str("\n## Commands\n\nEach is acknowledged. `/` stands for every namespace of subscribers.\n\n");
    out.push_str("| command | namespace | request | acknowledgement | meaning |\n|---|---|---|---|---|\n");
    for command in COMMANDS {
        let _ = writeln!(
            out,
            "| `{}` | `{}` | {} | {} | {} |",
            command.name,
            command.namespace,
            link(command.request, &definitions),
            link(command.reply, &definitions),
            prose(command.doc)
        );
    }
    out.push_str("\n## HTTP\n\n| request | body |\n|---|---|\n");
    for (request, body) in HTTP {
        let _ = writeln!(out, "| {request} | {} |", link(body, &definitions));
    }
    out.push_str(
        "\n`q` finds files that contain it, in any case: in their name, path or id, in the type, message or stage of their \
         error,\nor in the reason or message of their being skipped.\n",
    );
    out.push_str("\n## Problems\n\n| code | status | retryable | fault | meaning |\n|---|---|---|---|---|\n");
    for code in Code::ALL {
        let retryable = if code.retryable() { "yes" } else { "no" };
        let _ = writeln!(
            out,
            "| `{code}` | {} | {retryable} | {} | {} |",
            code.status(),
            code.fault(),
            prose(code.doc())
        );
    }
    out.push_str("\n## Types\n\n");
    types(&mut out, &definitions);
    Ok(out.trim_end().to_owned() + "\n")
}

fn fields(out: &mut String, fields: &[FieldInfo], definitions: &Definitions) {
    if fields.is_empty() {
        return;
    }
    out.push_str("| field | presence | type | meaning |\n|---|---|---|---|\n");
    for field in fields {
        let ty = rust_type(field.rust_type, definitions);
        let _ = writeln!(out, "| `{}` | {} | {ty} | {} |", field.name, field.presence, prose(field.doc));
    }
    out.push('\n');
}

/// A type of the table in words.
fn rust_type(name: &str, definitions: &Definitions) -> String {
    let name = name.replace(' ', "");
    if let Some(item) = name.strip_prefix("Vec<").and_then(|rest| rest.strip_suffix('>')) {
        return format!("array of {}", rust_type(item, definitions));
    }
    match name.as_str() {
        "String" => "string".to_owned(),
        "f64" => "number".to_owned(),
        "bool" => "boolean".to_owned(),
        "u8" | "u16" | "u32" | "u64" => "integer".to_owned(),
        "Object" => "object".to_owned(),
        other => link(other, definitions),
    }
}

fn link(name: &str, definitions: &Definitions) -> String {
    match definitions.get(name) {
        // A constant says all by itself.
        Some(definition) if definition.get("const").is_some() => format!("`{}`", definition["const"]),
        // Events have a place of their own.
        Some(_) if EVENTS.iter().any(|event| event.payload == name) => format!("`{name}`"),
        // An alias of a plain type has no section.
        Some(definition) if is_plain(definition) && definition.get("description").is_none() => {
            json_type(definition, definitions)
        }
        Some(_) => format!("[`{name}`](#{})", name.to_lowercase()),
        None => format!("`{name}`"),
    }
}

fn is_plain(definition: &Value) -> bool {
    definition.get("properties").is_none()
        && definition.get("anyOf").is_none()
        && definition.get("oneOf").is_none()
}

/// A type of a schema in words.
fn json_type(schema: &Value, definitions: &Definitions) -> String {
    if let Some(name) = name_of_ref(schema) {
        return link(name, definitions);
    }
    if let Some(forms) = schema["anyOf"].as_array() {
        return forms.iter().map(|form| json_type(form, definitions)).collect::<Vec<_>>().join(" or ");
    }
    match &schema["type"] {
        Value::String(kind) if kind == "array" => {
            format!("array of {}", json_type(&schema["items"], definitions))
        }
        Value::String(kind) if kind == "object" && schema["patternProperties"].is_object() => {
            let values =
                schema["patternProperties"].as_object().and_then(|patterns| patterns.values().next());
            format!("object of {}", values.map_or_else(String::new, |value| json_type(value, definitions)))
        }
        Value::String(kind) if kind == "object" && schema["additionalProperties"].is_object() => {
            format!("object of {}", json_type(&schema["additionalProperties"], definitions))
        }
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ => "any".to_owned(),
    }
}

fn types(out: &mut String, definitions: &Definitions) {
    let is_event = |name: &str| EVENTS.iter().any(|e| e.payload == name || e.report == Some(name));
    for (name, definition) in definitions {
        if is_event(name) || definition.get("const").is_some() || !link(name, definitions).starts_with('[') {
            continue;
        }
        let _ = writeln!(out, "### `{name}`\n");
        if let Some(description) = definition["description"].as_str() {
            let _ = writeln!(out, "{}\n", capitalised(&description.replace('\n', " ")));
        }
        let forms = definition["anyOf"].as_array().or(definition["oneOf"].as_array());
        if let Some(properties) = definition["properties"].as_object() {
            properties_table(out, definition, properties, definitions);
        } else if let Some(forms) = forms {
            forms_table(out, forms, definitions);
        } else {
            let _ = writeln!(out, "A {}{}.\n", json_type(definition, definitions), constraints(definition));
        }
    }
}

fn properties_table(
    out: &mut String,
    of: &Value,
    properties: &serde_json::Map<String, Value>,
    definitions: &Definitions,
) {
    let required: Vec<&str> =
        of["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    out.push_str("| field | | type | meaning |\n|---|---|---|---|\n");
    let mut names: Vec<&String> = properties.keys().collect();
    // Required ones in their own order, then the others by name.
    names
        .sort_by_key(|name| (required.iter().position(|r| r == name).unwrap_or(usize::MAX), (*name).clone()));
    for name in names {
        let property = &properties[name];
        let presence = if required.contains(&name.as_str()) { "required" } else { "optional" };
        let description = property["description"].as_str().unwrap_or_default().replace('\n', " ");
        let _ =
            writeln!(out, "| `{name}` | {presence} | {} | {description} |", json_type(property, definitions));
    }
    out.push('\n');
}

fn forms_table(out: &mut String, forms: &[Value], definitions: &Definitions) {
    out.push_str("| value | meaning |\n|---|---|\n");
    for form in forms {
        let value =
            form.get("const").map_or_else(|| json_type(form, definitions), |value| format!("`{value}`"));
        let description = form["description"].as_str().unwrap_or_default().replace('\n', " ");
        let _ = writeln!(out, "| {value} | {description} |");
    }
    out.push('\n');
}

fn constraints(definition: &Value) -> String {
    let mut out = String::new();
    if let (Some(min), Some(max)) = (definition["minLength"].as_u64(), definition["maxLength"].as_u64()) {
        let _ = write!(out, " of {min} to {max} characters");
    }
    if let Some(pattern) = definition["pattern"].as_str() {
        let _ = write!(out, " matching `{pattern}`");
    }
    if let Some(format) = definition["format"].as_str() {
        let _ = write!(out, " in the form {format}");
    }
    out
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

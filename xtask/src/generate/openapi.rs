//! bindings/openapi.yaml: the HTTP routes as OpenAPI 3.1, from the hub's table of them and the types of the contract.
//!
//! Schemas are those of bindings/json-schema, which is the dialect of OpenAPI 3.1; only what the routes refer to is there.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use ragpulse_protocol::{Code, FileState, PROTOCOL_VERSION};
use serde_json::{Map, Value, json};

use super::manifest::prose;
use super::schema::{self, Definitions};

/// The hub's own table, compiled by itself: that the hub does not build, because the contract changes, must not keep the
/// files from being made by which it builds again.
#[path = "../../../crates/server/src/transport/http/table.rs"]
#[allow(unreachable_pub)]
mod table;

use table::{Answer, Form, Parameter, ROUTES, Route, STALE};

const SCHEMAS: &str = "#/components/schemas";
const TOKEN: &str = "token";

/// The document as text.
///
/// # Errors
/// When a route names a type that the contract does not have.
pub(crate) fn document() -> Result<String> {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in ROUTES {
        paths.entry(route.path).or_default().insert(route.method.to_lowercase(), operation(route));
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "RagPulse",
            "version": format!("{PROTOCOL_VERSION}.0.0"),
            "description": "A live status hub for RAG ingestion pipelines, over HTTP. What it sends over Socket.IO stands in \
                            /asyncapi.yaml. Errors are problem documents (RFC 9457) with a stable `code`. Unknown parameters \
                            are ignored, empty ones count as left out. Without keys a hub asks for no token.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                TOKEN: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A static key, or a JSON Web Token. Never in an address.",
                },
            },
        },
    });
    document["components"]["schemas"] = Value::Object(needed(&document, &schema::all()?)?);
    Ok(format!("# {}\n{}", super::MARKER, super::text::yaml(&document)))
}

fn operation(route: &Route) -> Value {
    let mut parameters: Vec<Value> = route.parameters.iter().map(parameter).collect();
    let names = route.path.split(['{', '}']).skip(1).step_by(2);
    parameters.extend(names.map(|name| {
        let schema =
            if name == "id" { reference("PipelineId") } else { json!({ "type": "string", "minLength": 1 }) };
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    }));
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.doc,
        "parameters": parameters,
        "responses": responses(route),
    });
    // A token that is there is not looked at where there need not be one.
    operation["security"] = if route.act.is_some() { json!([{ TOKEN: [] }]) } else { json!([]) };
    if let Some(act) = route.act.filter(|act| *act != TOKEN) {
        operation["x-act"] = act.into();
    }
    if route.takes_events {
        let event = reference("ReportedEvent");
        operation["requestBody"] = json!({ "required": true, "content": {
            "application/json": { "schema": { "anyOf": [event, { "type": "array", "items": event }] } },
            "application/x-ndjson": { "schema": { "type": "string", "description": "One event a line." } },
        } });
    }
    operation
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("{SCHEMAS}/{name}") })
}

fn parameter(parameter: &Parameter) -> Value {
    let schema = match parameter.form {
        Form::Text => json!({ "type": "string" }),
        Form::Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Form::UpTo(most) => json!({ "type": "number", "minimum": 0, "maximum": most }),
        Form::Time => json!({ "type": "string", "format": "date-time" }),
        Form::FileState => {
            let states: Vec<&str> = FileState::ALL.iter().map(|state| state.as_str()).collect();
            json!({ "type": "string", "enum": states })
        }
        Form::Contract(name) => reference(name),
    };
    json!({
        "name": parameter.name,
        "in": if parameter.is_header { "header" } else { "query" },
        "description": parameter.doc,
        "schema": schema,
    })
}

/// What a route answers, by status.
fn responses(route: &Route) -> Map<String, Value> {
    let mut responses: BTreeMap<u16, Value> = BTreeMap::new();
    for answer in route.answers {
        let response =
            responses.entry(answer.status).or_insert_with(|| json!({ "description": said(answer) }));
        if let Some(kind) = answer.content {
            let schema = answer.schema.map_or_else(|| plain(kind), reference);
            response["content"][kind] = json!({ "schema": schema });
        }
        if route.from_memory {
            let (name, doc) = STALE;
            response["headers"][name] =
                json!({ "description": doc, "schema": { "type": "integer", "minimum": 1 } });
        }
        if route.id == "metrics" {
            let open = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            response["content"][open] = json!({ "schema": plain(open) });
        }
    }
    let mut problems: BTreeMap<u16, BTreeSet<usize>> = BTreeMap::new();
    for code in problems_of(route) {
        let at = Code::ALL.iter().position(|known| *known == code).unwrap_or_default();
        problems.entry(code.status()).or_default().insert(at);
    }
    for (status, codes) in problems {
        let told: Vec<String> = codes
            .iter()
            .filter_map(|at| Code::ALL.get(*at))
            .map(|code| format!("`{code}`: {}", prose(code.doc())))
            .collect();
        let content = json!({ "application/problem+json": { "schema": reference("Problem") } });
        responses.insert(status, json!({ "description": told.join(" "), "content": content }));
    }
    responses.into_iter().map(|(status, response)| (status.to_string(), response)).collect()
}

fn said(answer: &Answer) -> &'static str {
    match answer.status {
        204 => "Done.",
        304 => "What is known is still so.",
        _ => "What was asked for.",
    }
}

fn plain(kind: &str) -> Value {
    match kind {
        "application/json" => json!({ "type": "object" }),
        // A document of its own.
        _ if kind.starts_with("application/yaml") => json!({}),
        _ => json!({ "type": "string" }),
    }
}

/// Also those that come of the doors, the token, the path and the query.
fn problems_of(route: &Route) -> Vec<Code> {
    let mut codes = vec![Code::ForeignHost, Code::ForeignOrigin];
    codes.extend(route.problems);
    if route.act.is_some() {
        // An authoriser may have to ask elsewhere.
        codes.extend([Code::Unauthorized, Code::Overloaded]);
    }
    if route.act.is_some_and(|act| act != TOKEN) {
        codes.push(Code::Forbidden);
    }
    if route.path.contains("{id}") {
        codes.push(Code::InvalidName);
    }
    if route.parameters.iter().any(|parameter| !parameter.is_header) {
        codes.push(Code::InvalidRequest);
    }
    codes
}

/// The definitions that a document refers to, and those that they refer to.
fn needed(document: &Value, all: &Definitions) -> Result<Map<String, Value>> {
    let mut found = Map::new();
    let mut pending = references(document, SCHEMAS);
    while let Some(name) = pending.pop() {
        if found.contains_key(&name) {
            continue;
        }
        let definition =
            all.get(&name).with_context(|| format!("a route names {name}, which the contract has not"))?;
        pending.extend(references(definition, "#/$defs"));
        found.insert(name, moved(definition));
    }
    Ok(found)
}

fn references(value: &Value, below: &str) -> Vec<String> {
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| match value.as_str() {
                Some(text) if key == "$ref" => text
                    .strip_prefix(below)
                    .map(|name| vec![name.trim_start_matches('/').to_owned()])
                    .unwrap_or_default(),
                _ => references(value, below),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(|item| references(item, below)).collect(),
        _ => Vec::new(),
    }
}

fn moved(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, value)| {
                    let name = value.as_str().and_then(|text| text.strip_prefix("#/$defs/"));
                    let value = match name {
                        Some(name) if key == "$ref" => format!("{SCHEMAS}/{name}").into(),
                        _ => moved(value),
                    };
                    (key.clone(), value)
                })
                .collect(),
        ),
        Value::Array(items) => items.iter().map(moved).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_referred_to_is_there() {
        let text = document().unwrap();
        assert!(!text.contains("#/$defs/"));
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(text.contains(&format!("\n    {name}:")), "{name} is not defined");
        }
    }

    #[test]
    fn every_route_says_what_a_token_must_allow() {
        for route in ROUTES {
            let operation = operation(route);
            assert_eq!(operation["responses"].get("401").is_some(), route.act.is_some(), "{}", route.id);
            assert!(operation["responses"].get("421").is_some(), "{}", route.id);
        }
    }
}

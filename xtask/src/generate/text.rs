//! Writes JSON values as text that is the same on every machine and build: keys in a fixed order, whatever order the
//! map keeps (which depends on the features of `serde_json` in the build at hand).

use serde_json::{Map, Value};

/// Keys that read best in this order before all others; the rest follow by name.
const FIRST: &[&str] = &[
    "$schema",
    "$id",
    "$comment",
    "asyncapi",
    "openapi",
    "info",
    "defaultContentType",
    "id",
    "name",
    "title",
    "summary",
    "description",
    "type",
    "const",
    "enum",
    "properties",
    "required",
];
/// Keys that read best at the end.
const LAST: &[&str] = &["$defs", "components"];

fn ordered(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let rank = |key: &str| {
        let first = FIRST.iter().position(|k| *k == key);
        let last = LAST.iter().position(|k| *k == key).map(|at| FIRST.len() + 1 + at);
        first.or(last).unwrap_or(FIRST.len())
    };
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by(|(a, _), (b, _)| (rank(a), a).cmp(&(rank(b), b)));
    entries
}

/// JSON, indented by two spaces, with a final newline.
pub(crate) fn json(value: &Value) -> String {
    let mut out = String::new();
    write_json(&mut out, value, 0);
    out.push('\n');
    out
}

fn write_json(out: &mut String, value: &Value, depth: usize) {
    let indent = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    };
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('{');
            for (index, (key, value)) in ordered(map).into_iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                indent(out, depth + 1);
                out.push_str(&quoted(key));
                out.push_str(": ");
                write_json(out, value, depth + 1);
            }
            indent(out, depth);
            out.push('}');
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                indent(out, depth + 1);
                write_json(out, item, depth + 1);
            }
            indent(out, depth);
            out.push(']');
        }
        _ => out.push_str(&flow(value)),
    }
}

/// YAML in block style, with a final newline. `value` must be a mapping.
pub(crate) fn yaml(value: &Value) -> String {
    let mut out = String::new();
    write_yaml(&mut out, value, 0);
    out
}

fn write_yaml(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) => {
            for (key, value) in ordered(map) {
                out.push_str(&"  ".repeat(depth));
                out.push_str(&plain_or_quoted(key));
                out.push(':');
                after_key(out, value, depth);
            }
        }
        Value::Array(items) => {
            for item in items {
                let mut block = String::new();
                write_yaml(&mut block, item, depth + 1);
                out.push_str(&"  ".repeat(depth));
                out.push_str("- ");
                // The first line of the block stands beside the dash, the others keep their indentation.
                out.push_str(block.trim_start_matches(' '));
            }
        }
        scalar => {
            out.push_str(&flow(scalar));
            out.push('\n');
        }
    }
}

fn after_key(out: &mut String, value: &Value, depth: usize) {
    let is_block = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => items.iter().any(|item| item.is_object() || item.is_array()),
        _ => false,
    };
    if is_block {
        out.push('\n');
        write_yaml(out, value, depth + 1);
    } else {
        out.push(' ');
        out.push_str(&flow(value));
        out.push('\n');
    }
}

/// A scalar, or a list of scalars, on one line: JSON, which is YAML too.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

fn plain_or_quoted(key: &str) -> String {
    let is_word = key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
        // These are booleans or null to some readers of YAML.
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&key.to_ascii_lowercase().as_str());
    if is_word { key.to_owned() } else { quoted(key) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_keys_does_not_depend_on_the_map() {
        let value = json!({"zeta": 1, "$defs": {}, "type": "object", "alpha": [1, "two"], "$schema": "s"});
        let text = json(&value);
        assert_eq!(
            text,
            "{\n  \"$schema\": \"s\",\n  \"type\": \"object\",\n  \"alpha\": [1, \"two\"],\n  \"zeta\": 1,\n  \
             \"$defs\": {}\n}\n"
        );
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn yaml_quotes_what_readers_would_misread() {
        let value =
            json!({"on": {"a": "x: y # z\n"}, "/ingest": [{"k": 1, "l": [{"m": null}]}, "s"], "e": {}});
        assert_eq!(
            yaml(&value),
            "\"/ingest\":\n  - k: 1\n    l:\n      - m: null\n  - \"s\"\ne: {}\n\"on\":\n  a: \"x: y # z\\n\"\n"
        );
    }
}

//! How deep JSON is nested. What may come in: anything. It never recurses further than what the parser let through.

use serde_json::Value;

/// How deep the parser goes.
pub(crate) const PARSED_DEPTH: usize = 127;

/// The depth of a text, before it is parsed: of arrays and objects within each other.
pub(crate) fn of_text(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_text, mut escaped) = (false, false);
    for byte in text {
        match (in_text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_text = !in_text,
            (false, b'[' | b'{') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Whether a value is nested deeper than `most`.
pub(crate) fn is_beyond(value: &Value, most: usize) -> bool {
    match value {
        Value::Array(_) | Value::Object(_) if most == 0 => true,
        Value::Array(values) => values.iter().any(|value| is_beyond(value, most - 1)),
        Value::Object(fields) => fields.values().any(|value| is_beyond(value, most - 1)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_values_are_as_deep_as_they_are() {
        for (text, depth) in [
            ("1", 0),
            ("\"[[[[\"", 0),
            (r#""\"[[""#, 0),
            ("{}", 1),
            ("[[],[[]]]", 3),
            (r#"{"a":[{"b":"}}}"}]}"#, 3),
            (r#"["\\",[1]]"#, 2),
        ] {
            assert_eq!(of_text(text.as_bytes()), depth, "{text}");
            let value: Value = serde_json::from_str(text).unwrap();
            assert!(!is_beyond(&value, depth), "{text}");
            assert!(depth == 0 || is_beyond(&value, depth - 1), "{text}");
        }
        assert_eq!(of_text("[".repeat(1_000_000).as_bytes()), 1_000_000);
        assert_eq!(of_text(b"]]]]{\"[\""), 1);
    }
}

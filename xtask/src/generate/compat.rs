//! Which changes break who speaks the protocol as it was: an old client that is sent something new, or an old
//! reporter whose reports are refused.
//!
//! Both sides are compared as generated: contract.json and the JSON Schemas.

use std::collections::{BTreeMap, BTreeSet};

use ragpulse_protocol::bindings::Direction;
use serde_json::{Map, Value};

use super::schema::name_of_ref;

/// The contract at one time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Contract {
    /// bindings/contract.json
    pub(crate) manifest: Value,
    /// bindings/json-schema, by type.
    pub(crate) schemas: BTreeMap<String, Value>,
}

/// What is incompatible with `old`, one line each. Nothing when the number of the protocol differs: then it may.
pub(crate) fn incompatible(old: &Contract, new: &Contract) -> Vec<String> {
    let mut out = Vec::new();
    if old.manifest["protocol"] != new.manifest["protocol"] {
        return out;
    }
    let pairs = [
        ("events", "payload", Direction::ToClient),
        ("events", "report", Direction::ToHub),
        ("messages", "payload", Direction::ToClient),
        ("commands", "request", Direction::ToHub),
        ("commands", "reply", Direction::ToClient),
    ];
    for (section, role, direction) in pairs {
        for entry in rows(&old.manifest, section) {
            let name = text(entry, "name");
            let Some(now) = rows(&new.manifest, section).iter().find(|row| text(row, "name") == name) else {
                out.push(format!("{name}: gone"));
                continue;
            };
            for key in ["class", "namespace"] {
                if entry[key] != now[key] {
                    out.push(format!("{name}: its {key} was {} and is {}", entry[key], now[key]));
                }
            }
            match (entry[role].as_str(), now[role].as_str()) {
                (Some(was), Some(is)) => {
                    compare_types(old, new, &format!("{name} ({role})"), (was, is), direction, &mut out)
                }
                (Some(_), None) => out.push(format!("{name} ({role}): gone")),
                (None, _) => {}
            }
        }
    }
    for entry in rows(&old.manifest, "shapes") {
        let name = text(entry, "name");
        let direction = if entry["direction"] == "to hub" { Direction::ToHub } else { Direction::ToClient };
        compare_types(old, new, name, (name, name), direction, &mut out);
    }
    // An event that is gone was named once for its payload and once for its report.
    let mut named = BTreeSet::new();
    out.retain(|line| named.insert(line.clone()));
    out
}

fn rows<'a>(manifest: &'a Value, section: &str) -> &'a [Value] {
    manifest[section].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn compare_types(
    old: &Contract,
    new: &Contract,
    path: &str,
    (was, is): (&str, &str),
    direction: Direction,
    out: &mut Vec<String>,
) {
    match (old.schemas.get(was), new.schemas.get(is)) {
        (Some(was), Some(is)) => {
            Comparison { old: was, new: is, direction, open: BTreeSet::new(), out }.compare(path, was, is);
        }
        (Some(_), None) => out.push(format!("{path}: the schema {is} is gone")),
        (None, _) => {}
    }
}

struct Comparison<'a, 'o> {
    old: &'a Value,
    new: &'a Value,
    direction: Direction,
    /// Pairs of definitions under comparison, so that a type that holds itself comes to an end.
    open: BTreeSet<(String, String)>,
    out: &'o mut Vec<String>,
}

/// A schema taken apart: each way in which a value may satisfy it.
#[derive(Default)]
struct Forms<'a> {
    types: BTreeSet<&'a str>,
    constants: BTreeSet<String>,
    /// There are constants, and other strings are allowed beside them, or there are no constants at all.
    any_other: bool,
    /// By name where they have one.
    objects: Vec<(String, &'a Map<String, Value>)>,
    arrays: Vec<&'a Value>,
}

impl<'a> Forms<'a> {
    fn of(document: &'a Value, schema: &'a Value) -> Self {
        let mut forms = Self::default();
        forms.add(document, schema, "");
        forms
    }

    fn add(&mut self, document: &'a Value, schema: &'a Value, name: &str) {
        if let Some(name) = name_of_ref(schema) {
            return self.add(document, &document["$defs"][name], name);
        }
        if let Some(children) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
            return children.iter().for_each(|child| self.add(document, child, ""));
        }
        match &schema["type"] {
            Value::String(one) => {
                self.types.insert(one);
            }
            Value::Array(several) => self.types.extend(several.iter().filter_map(Value::as_str)),
            // Nothing said is everything allowed.
            _ => {
                self.types.insert("anything");
            }
        }
        if let Some(constant) = schema.get("const") {
            self.constants.insert(constant.to_string());
        } else if let Some(constants) = schema["enum"].as_array() {
            self.constants.extend(constants.iter().map(Value::to_string));
        } else if schema["type"] == "string" {
            self.any_other = true;
        }
        if let Some(map) = schema.as_object().filter(|map| is_object(map)) {
            self.objects.push((name.to_owned(), map));
        }
        if let Some(items) = schema.get("items") {
            self.arrays.push(items);
        }
    }
}

fn is_object(schema: &Map<String, Value>) -> bool {
    ["properties", "patternProperties", "additionalProperties"].iter().any(|key| schema.contains_key(*key))
}

impl<'a> Comparison<'a, '_> {
    fn say(&mut self, path: &str, what: impl std::fmt::Display) {
        self.out.push(format!("{path}: {what}"));
    }

    fn compare(&mut self, path: &str, old: &'a Value, new: &'a Value) {
        if let (Some(was), Some(is)) = (name_of_ref(old), name_of_ref(new)) {
            let pair = (was.to_owned(), is.to_owned());
            if !self.open.insert(pair.clone()) {
                return;
            }
            self.compare_forms(path, old, new);
            self.open.remove(&pair);
        } else {
            self.compare_forms(path, old, new);
        }
    }

    fn compare_forms(&mut self, path: &str, old: &'a Value, new: &'a Value) {
        let (was, is) = (Forms::of(self.old, old), Forms::of(self.new, new));
        let (from, to) = match self.direction {
            // What is sent now must be what clients of before understand.
            Direction::ToClient => (&is.types, &was.types),
            // What was sent before must be understood now.
            Direction::ToHub => (&was.types, &is.types),
        };
        let fits = |kind: &&str| {
            to.contains("anything") || to.contains(kind) || (*kind == "integer" && to.contains("number"))
        };
        if !from.iter().all(fits) {
            let list = |types: &BTreeSet<&str>| types.iter().copied().collect::<Vec<_>>().join(" or ");
            self.say(path, format_args!("its type was {} and is {}", list(&was.types), list(&is.types)));
            return;
        }
        for gone in was.constants.difference(&is.constants) {
            self.say(path, format_args!("the value {gone} is gone"));
        }
        let was_closed = !was.constants.is_empty() && !was.any_other;
        let is_closed = !is.constants.is_empty() && !is.any_other;
        match self.direction {
            Direction::ToClient if was_closed => {
                for added in is.constants.difference(&was.constants) {
                    self.say(
                        path,
                        format_args!("the value {added} is new in a list that clients take for whole"),
                    );
                }
                if !is_closed {
                    self.say(path, "may be other values now");
                }
            }
            Direction::ToHub if is_closed && !was_closed => self.say(path, "other values are refused now"),
            _ => {}
        }
        self.compare_objects(path, &was, &is);
        if let ([was], [is]) = (was.arrays.as_slice(), is.arrays.as_slice()) {
            self.compare(&format!("{path}[]"), was, is);
        }
    }

    fn compare_objects(&mut self, path: &str, was: &Forms<'a>, is: &Forms<'a>) {
        if let ([(_, was)], [(_, is)]) = (was.objects.as_slice(), is.objects.as_slice()) {
            return self.compare_object(path, was, is);
        }
        let find = |forms: &Forms<'a>, name: &str| {
            forms.objects.iter().find(|(n, _)| n == name).map(|(_, map)| *map)
        };
        for (name, map) in &was.objects {
            match find(is, name) {
                Some(now) => self.compare_object(&format!("{path} as {name}"), map, now),
                None if self.direction == Direction::ToHub => {
                    self.say(path, format_args!("{name} is refused now"))
                }
                None => {}
            }
        }
        for (name, _) in &is.objects {
            if self.direction == Direction::ToClient && find(was, name).is_none() {
                self.say(path, format_args!("may be {name} now"));
            }
        }
    }

    fn compare_object(&mut self, path: &str, was: &'a Map<String, Value>, is: &'a Map<String, Value>) {
        let fields = |map: &'a Map<String, Value>| map.get("properties").and_then(Value::as_object);
        let required = |map: &Map<String, Value>, name: &str| {
            map.get("required").and_then(Value::as_array).is_some_and(|names| names.iter().any(|n| n == name))
        };
        let is_fields = fields(is);
        for (name, field) in fields(was).into_iter().flatten() {
            let path = format!("{path}.{name}");
            match is_fields.and_then(|fields| fields.get(name)) {
                None => self.say(&path, "gone"),
                Some(now) => {
                    if self.direction == Direction::ToClient && required(was, name) && !required(is, name) {
                        self.say(&path, "was always there and may be absent now");
                    }
                    self.compare(&path, field, now);
                }
            }
        }
        for name in is_fields.into_iter().flat_map(Map::keys) {
            if self.direction == Direction::ToHub && required(is, name) && !required(was, name) {
                self.say(&format!("{path}.{name}"), "required now");
            }
        }
        match (was.get("additionalProperties"), is.get("additionalProperties")) {
            (None | Some(Value::Bool(true)), Some(Value::Bool(false)))
                if self.direction == Direction::ToHub =>
            {
                self.say(path, "unknown fields are refused now");
            }
            (Some(was @ Value::Object(_)), Some(is @ Value::Object(_))) => {
                self.compare(&format!("{path}.*"), was, is);
            }
            _ => {}
        }
        // Maps whose keys have a pattern have one only.
        let values = |map: &'a Map<String, Value>| map.get("patternProperties")?.as_object()?.values().next();
        if let (Some(was), Some(is)) = (values(was), values(is)) {
            self.compare(&format!("{path}.*"), was, is);
        }
    }
}

#[cfg(test)]
#[path = "compat_tests.rs"]
mod tests;

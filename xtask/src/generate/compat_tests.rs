//! Doctored contracts, each with one change, and what is to be said of it.

use serde_json::{Value, json};

use super::*;
use crate::generate;

fn current() -> Contract {
    generate::contract()
}

/// What is said when the contract was as it is now, and then `change` is made.
fn after(change: impl FnOnce(&mut Contract)) -> Vec<String> {
    let mut new = current();
    change(&mut new);
    incompatible(&current(), &new)
}

fn schema<'a>(contract: &'a mut Contract, name: &str) -> &'a mut Value {
    contract.schemas.get_mut(name).expect("a schema of that name")
}

fn forget_required(schema: &mut Value, name: &str) {
    schema["required"].as_array_mut().expect("required").retain(|n| n != name);
}

#[test]
fn nothing_changed_is_compatible() {
    assert_eq!(after(|_| ()), Vec::<String>::new());
}

#[test]
fn additions_are_compatible() {
    let said = after(|new| {
        let events = new.manifest["events"].as_array_mut().unwrap();
        let mut added = events[0].clone();
        added["name"] = "file:archived".into();
        events.push(added);
        schema(new, "FileQueued")["properties"]["priority"] = json!({ "type": "integer" });
        schema(new, "FileQueuedReport")["properties"]["priority"] = json!({ "type": "integer" });
        schema(new, "FileProcessing")["$defs"]["Stage"]["anyOf"]
            .as_array_mut()
            .unwrap()
            .push(json!({ "type": "string", "const": "reranking" }));
    });
    assert_eq!(said, Vec::<String>::new());
}

#[test]
fn a_removed_event_is_named_once() {
    let said = after(|new| {
        new.manifest["events"].as_array_mut().unwrap().retain(|event| event["name"] != "file:skipped");
    });
    assert_eq!(said, ["file:skipped: gone"]);
}

#[test]
fn a_removed_field_is_named_with_its_path() {
    let said = after(|new| {
        let file = &mut schema(new, "FileQueued")["$defs"]["FileRef"]["properties"];
        file.as_object_mut().unwrap().remove("mime_type");
    });
    assert_eq!(said, ["file:queued (payload).file.mime_type: gone"]);
}

#[test]
fn a_field_that_becomes_required_breaks_reporters_only() {
    let require =
        |schema: &mut Value| schema["required"].as_array_mut().unwrap().push("queue_position".into());
    assert_eq!(
        after(|new| require(schema(new, "FileQueuedReport"))),
        ["file:queued (report).queue_position: required now"]
    );
    assert_eq!(after(|new| require(schema(new, "FileQueued"))), Vec::<String>::new());
}

#[test]
fn a_field_that_becomes_optional_breaks_clients_only() {
    assert_eq!(
        after(|new| forget_required(schema(new, "FileProgress"), "progress")),
        ["file:progress (payload).progress: was always there and may be absent now"]
    );
    assert_eq!(
        after(|new| forget_required(schema(new, "FileProgressReport"), "progress")),
        Vec::<String>::new()
    );
}

#[test]
fn a_changed_type_is_named() {
    let said =
        after(|new| schema(new, "FileQueued")["properties"]["queue_position"] = json!({ "type": "string" }));
    assert_eq!(said, ["file:queued (payload).queue_position: its type was integer and is string"]);
    let widened = |name: &'static str| {
        after(move |new| schema(new, name)["properties"]["queue_position"] = json!({ "type": "number" }))
    };
    assert_eq!(
        widened("FileQueued"),
        ["file:queued (payload).queue_position: its type was integer and is number"]
    );
    assert_eq!(widened("FileQueuedReport"), Vec::<String>::new());
}

#[test]
fn a_removed_value_is_named_in_open_and_closed_lists() {
    let said = after(|new| {
        let forms = &mut schema(new, "FileProcessingReport")["$defs"]["Stage"]["anyOf"];
        forms.as_array_mut().unwrap().retain(|form| form["const"] != "embedding");
        let forms = &mut schema(new, "Heartbeat")["$defs"]["Liveness"]["oneOf"];
        forms.as_array_mut().unwrap().retain(|form| form["const"] != "late");
    });
    assert_eq!(
        said,
        [
            "file:processing (report).processing_stage: the value \"embedding\" is gone",
            "heartbeat (payload).liveness: the value \"late\" is gone",
        ]
    );
}

#[test]
fn a_value_added_to_a_closed_list_breaks_clients() {
    let said = after(|new| {
        let forms = &mut schema(new, "Heartbeat")["$defs"]["Liveness"]["oneOf"];
        forms.as_array_mut().unwrap().push(json!({ "type": "string", "const": "asleep" }));
    });
    assert_eq!(
        said,
        ["heartbeat (payload).liveness: the value \"asleep\" is new in a list that clients take for whole"]
    );
}

#[test]
fn unknown_fields_refused_anew_break_reporters() {
    let said = after(|new| schema(new, "FileQueuedReport")["additionalProperties"] = false.into());
    assert_eq!(said, ["file:queued (report): unknown fields are refused now"]);
}

#[test]
fn a_new_form_of_an_answer_breaks_clients() {
    let said = after(|new| {
        let reply = schema(new, "SubscribeReply");
        reply["anyOf"].as_array_mut().unwrap().push(json!({ "$ref": "#/$defs/Later" }));
        reply["$defs"]["Later"] =
            json!({ "type": "object", "properties": { "later": { "type": "boolean" } } });
    });
    assert_eq!(said, ["subscribe (reply): may be Later now"]);
}

#[test]
fn the_values_of_maps_are_compared() {
    let said = after(|new| {
        let cursor = &mut schema(new, "SubscribeRequest")["$defs"]["Cursor"]["properties"];
        cursor["seq"] = json!({ "type": "string" });
    });
    assert_eq!(said, ["subscribe (request).cursors.*.seq: its type was integer and is string"]);
}

#[test]
fn shapes_outside_the_table_are_compared_too() {
    let said = after(|new| forget_required(schema(new, "SocketInfo"), "protocol"));
    assert_eq!(said, ["SocketInfo.protocol: was always there and may be absent now"]);
    let said = after(|new| {
        new.schemas.remove("RagStatus");
    });
    assert_eq!(said, ["RagStatus: the schema RagStatus is gone"]);
}

#[test]
fn a_new_protocol_version_may_break() {
    let said = after(|new| {
        new.manifest["protocol"] = 2.into();
        new.manifest["events"] = json!([]);
    });
    assert_eq!(said, Vec::<String>::new());
}

//! bindings/typescript/src/generated: the types by ts-rs, and the maps of events for socket.io-client.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use ragpulse_protocol::bindings::{self, TypeInfo};
use ragpulse_protocol::contract::{COMMANDS, Class, CommandInfo, EVENTS, MESSAGES};
use ragpulse_protocol::{PROTOCOL_VERSION, contract::CUSTOM_PREFIX, report::HEARTBEAT};
use ts_rs::Config;

use super::manifest::prose;

const DIR: &str = "bindings/typescript/src/generated";

/// The generated files by path from the root.
pub(crate) fn files() -> Result<BTreeMap<String, String>> {
    // Not `Config::from_env`: the same on every machine.
    let config = Config::new().with_large_int("number").with_import_extension(Some("js"));
    let mut types: BTreeMap<String, String> = BTreeMap::new();
    for info in bindings::types() {
        for (path, text) in (info.ts_files)(&config)? {
            types.insert(path.to_string_lossy().replace('\\', "/"), with_marker(&text));
        }
    }
    let mut files: BTreeMap<String, String> =
        types.iter().map(|(path, text)| (format!("{DIR}/{path}"), text.clone())).collect();
    files.insert(format!("{DIR}/events.ts"), events(&config, &types));
    files.insert(format!("{DIR}/index.ts"), index(&types));
    Ok(files)
}

/// The file with this project's first line in place of the generator's, and without the spaces it leaves at line ends.
fn with_marker(text: &str) -> String {
    let body = text.split_once('\n').map_or("", |(_, body)| body).trim_start_matches('\n');
    let mut out = format!("// {}\n", super::MARKER);
    for line in body.lines() {
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn index(types: &BTreeMap<String, String>) -> String {
    let mut out = format!("// {}\n\nexport * from \"./events.js\";\n", super::MARKER);
    for path in types.keys() {
        let module = path.trim_end_matches(".ts");
        let _ = writeln!(out, "export type * from \"./{module}.js\";");
    }
    out
}

fn events(config: &Config, types: &BTreeMap<String, String>) -> String {
    let mut body = String::new();
    let _ = writeln!(
        body,
        "/** The version of the protocol. Within one number, changes only add. */\n\
         export const PROTOCOL_VERSION = {PROTOCOL_VERSION};\n"
    );
    name_arrays(&mut body);
    let name_of = |name: &str| type_info(name).map_or_else(|| name.to_owned(), |info| (info.ts_name)(config));

    let payloads: Vec<_> = EVENTS.iter().map(|e| (e.name, name_of(e.payload), prose(e.doc))).collect();
    let messages: Vec<_> = MESSAGES.iter().map(|m| (m.name, name_of(m.payload), prose(m.doc))).collect();
    let reports: Vec<_> =
        EVENTS.iter().filter_map(|e| Some((e.name, name_of(e.report?), prose(e.doc)))).collect();
    let custom = format!("`{CUSTOM_PREFIX}${{string}}`");

    interface(
        &mut body,
        "The payload of each event, by name.",
        "EventPayloads",
        &payloads,
        |t| t.to_owned(),
        None,
    );
    interface(
        &mut body,
        "The payload of each message that is no event of a sequence, by name.",
        "MessagePayloads",
        &messages,
        |t| t.to_owned(),
        None,
    );
    interface(
        &mut body,
        "The own fields of each event as a reporter gives them, by name.",
        "ReportPayloads",
        &reports,
        |t| t.to_owned(),
        None,
    );

    let _ = writeln!(
        body,
        "/** One event as a reporter sends it, its `data` checked by its name. A {HEARTBEAT} renews the lease and says nothing else. */\n\
         export type TypedReport =\n  \
         | {{ [Name in keyof ReportPayloads]: Omit<ReportedEvent, \"event\" | \"data\"> & {{ event: Name; data: ReportPayloads[Name] }} }}[keyof ReportPayloads]\n  \
         | (Omit<ReportedEvent, \"event\" | \"data\"> & {{ event: {custom}; data?: Record<string, unknown> }})\n  \
         | {{ event: \"{HEARTBEAT}\" }};\n"
    );

    let all: Vec<_> = payloads.iter().chain(&messages).cloned().collect();
    interface(
        &mut body,
        "Everything a hub sends to its subscribers, for `Socket<ServerToClientEvents, ClientToServerEvents>`.",
        "ServerToClientEvents",
        &all,
        |payload| format!("(payload: {payload}) => void"),
        Some(format!(
            "/** Events of a project's own: carried, kept and shown. */\n  [name: {custom}]: (payload: OtherEvent & Record<string, unknown>) => void;"
        )),
    );
    let commands = |wanted: fn(&CommandInfo) -> bool| -> Vec<_> {
        COMMANDS
            .iter()
            .filter(|command| wanted(command))
            .map(|command| {
                let request = match command.name {
                    "publish" => "TypedPublishRequest".to_owned(),
                    _ => name_of(command.request),
                };
                let signature =
                    format!("(request: {request}, ack: (reply: {}) => void) => void", name_of(command.reply));
                (command.name, signature, prose(command.doc))
            })
            .collect()
    };
    interface(
        &mut body,
        "What subscribers ask of a hub, with the acknowledgements.",
        "ClientToServerEvents",
        &commands(|c| c.namespace == "/"),
        |t| t.to_owned(),
        None,
    );
    let _ = writeln!(
        body,
        "/** `publish` with the `data` of each event checked by its name. */\n\
         export type TypedPublishRequest = Omit<PublishRequest, \"events\"> & {{ events: TypedReport[] }};\n"
    );
    interface(
        &mut body,
        "What reporters ask of a hub in namespace `/ingest`, with the acknowledgements.",
        "IngestClientToServerEvents",
        &commands(|c| c.namespace == "/ingest"),
        |t| t.to_owned(),
        None,
    );
    body.push_str("/** A hub sends nothing of its own in namespace `/ingest`. */\nexport type IngestServerToClientEvents = Record<never, never>;\n");

    let mut out = format!("// {}\n", super::MARKER);
    for path in types.keys() {
        let module = path.trim_end_matches(".ts");
        let name = module.rsplit('/').next().unwrap_or(module);
        if mentions(&body, name) {
            let _ = writeln!(out, "import type {{ {name} }} from \"./{module}.js\";");
        }
    }
    out.push('\n');
    out.push_str(&body);
    out
}

fn mentions(body: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    body.match_indices(name)
        .any(|(at, _)| !body[..at].ends_with(is_part) && !body[at + name.len()..].starts_with(is_part))
}

fn type_info(name: &str) -> Option<&'static TypeInfo> {
    bindings::types().find(|info| info.name == name)
}

/// Constant lists of names, one for each class.
fn name_arrays(out: &mut String) {
    let lists = [
        (
            Class::MustArrive,
            "MUST_ARRIVE_EVENTS",
            "Events that are delivered once, in order, whatever happens between.",
        ),
        (
            Class::LatestWins,
            "LATEST_WINS_EVENTS",
            "Events of which only the newest counts: conflated before they get a `seq`.",
        ),
        (Class::State, "STATE_MESSAGES", "Messages that carry a state which replaces all before it."),
        (Class::Ephemeral, "EPHEMERAL_MESSAGES", "Messages of the moment; they are not in the log."),
        (Class::Control, "CONTROL_MESSAGES", "Messages about the connection."),
    ];
    let all = || EVENTS.iter().map(|e| (e.name, e.class)).chain(MESSAGES.iter().map(|m| (m.name, m.class)));
    for (class, list, doc) in lists {
        let names: Vec<_> = all().filter(|(_, c)| *c == class).map(|(name, _)| name).collect();
        array(out, doc, list, &names);
    }
    let events: Vec<_> = EVENTS.iter().map(|e| e.name).collect();
    array(out, "Every event of a pipeline's sequence.", "EVENTS", &events);
    let commands: Vec<_> = COMMANDS.iter().map(|c| c.name).collect();
    array(out, "Every command of a client.", "COMMANDS", &commands);
}

fn array(out: &mut String, doc: &str, list: &str, names: &[&str]) {
    let _ = writeln!(out, "/** {doc} */\nexport const {list} = [");
    for name in names {
        let _ = writeln!(out, "  \"{name}\",");
    }
    out.push_str("] as const;\n\n");
}

fn interface(
    out: &mut String,
    doc: &str,
    name: &str,
    entries: &[(&str, String, String)],
    wrap: impl Fn(&str) -> String,
    more: Option<String>,
) {
    let _ = writeln!(out, "/** {doc} */\nexport interface {name} {{");
    for (key, ty, doc) in entries {
        let _ = writeln!(out, "  /** {doc} */\n  \"{key}\": {};", wrap(ty));
    }
    if let Some(more) = more {
        let _ = writeln!(out, "  {more}");
    }
    out.push_str("}\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_hold_json_only_and_no_null_for_absent() {
        for (path, text) in files().unwrap() {
            for foreign in ["bigint", ": Date", "from \"serde", "?: null", "This file was generated by"] {
                assert!(!text.contains(foreign), "{path} holds {foreign}");
            }
            assert!(text.starts_with(&format!("// {}", crate::generate::MARKER)), "{path} has no marker");
            let imports = text.lines().filter(|line| line.contains(" from \""));
            imports.for_each(|line| assert!(line.ends_with(".js\";"), "{path}: {line}"));
        }
    }

    #[test]
    fn required_and_optional_fields_are_so() {
        let files = files().unwrap();
        let failed = &files["bindings/typescript/src/generated/FileFailed.ts"];
        for line in ["seq: number,", "file: FileRef,", "error: ErrorInfo,", "warnings?: Array<string>,"] {
            assert!(failed.contains(line), "{line} is not in\n{failed}");
        }
    }

    #[test]
    fn a_name_is_mentioned_as_a_whole_word() {
        assert!(mentions("a: Stage;", "Stage") && !mentions("a: StageX; MyStage", "Stage"));
    }
}

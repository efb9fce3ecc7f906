//! The first inputs of each target, made from `tests/fixtures` so that they follow the contract.

use std::path::Path;

use serde_json::Value;

/// The seeds of a target: a name, and the bytes.
pub fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let messages = messages();
    let texts: Vec<String> = match target {
        "event" => messages.iter().map(|(name, data)| format!("{name}\n{data}")).collect(),
        "report" => reports(&messages),
        "command" => {
            let long = "x".repeat(6_000);
            let too_long = [
                ("subscribe", format!("{{\"pipeline_id\":\"{long}\"}}")),
                ("subscribe", format!("{{\"pipeline_ids\":\"{long}\"}}")),
                ("subscribe", format!("{{\"pipeline_id\":\"p\",\"cursors\":{{\"{long}\":\"{long}\"}}}}")),
                ("publish", format!("{{\"pipeline_id\":\"{long}\",\"events\":[]}}")),
                ("publish", format!("{{\"pipeline_id\":\"p\",\"reporter_id\":\"{long}\",\"events\":[]}}")),
                ("client:status", format!("{{\"client_id\":1,\"{long}\":1}}")),
                ("auth:refresh", format!("{{\"token\":[\"{long}\"]}}")),
            ];
            let usual = COMMANDS.iter().map(|(name, data)| (*name, (*data).to_owned()));
            usual.chain(too_long).map(|(name, data)| format!("{name}\n[\"{name}\",{data}]")).collect()
        }
        "socket" => packets(),
        "http" => requests(&messages),
        "names" => NAMES.iter().map(|text| (*text).to_owned()).collect(),
        "token" => crate::targets::token::seeds(),
        "answer" => answers(&messages),
        // Every act on every file, in an order that takes each through its life.
        "fold" => return (0..8).map(|n| (format!("{n}"), acts(n))).collect(),
        _ => Vec::new(),
    };
    texts.into_iter().enumerate().map(|(n, text)| (n.to_string(), text.into_bytes())).collect()
}

/// Every message of every fixture, each name and form once.
fn messages() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let mut seen = std::collections::BTreeSet::new();
    let mut messages = Vec::new();
    for path in paths {
        let fixture: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for step in fixture["steps"].as_array().unwrap() {
            let (name, data) = (step["message"]["event"].as_str(), &step["message"]["data"]);
            let (Some(name), Some(fields)) = (name, data.as_object()) else { continue };
            let keys: Vec<&str> = fields.keys().map(String::as_str).collect();
            if seen.insert(format!("{name} {keys:?}")) {
                messages.push((name.to_owned(), data.clone()));
            }
        }
    }
    messages
}

/// The messages as a reporter would send them.
fn reports(messages: &[(String, Value)]) -> Vec<String> {
    let mut reports = Vec::new();
    for (name, data) in messages {
        let mut data = data.clone();
        let Some(fields) = data.as_object_mut() else { continue };
        for key in ["epoch", "seq", "received_at", "previous_state", "pipeline_id", "current_status"] {
            fields.remove(key);
        }
        fields.remove("pipeline_type").filter(|_| name != "pipeline:online");
        if name == "pipeline:online" {
            fields.insert("pipeline_type".to_owned(), "t".into());
        }
        reports.push(serde_json::json!({ "event": name, "event_id": "id", "data": data }).to_string());
    }
    let all = format!("[{}]", reports[..reports.len().min(6)].join(","));
    let lines = format!("\n{}\n\n{}", reports[0], reports[reports.len() / 2]);
    let long = "x".repeat(6_000);
    reports.extend([
        format!(
            "{{\"event\":\"file:progress\",\"data\":{{\"file\":{{\"name\":\"a\"}},\"progress\":\"{long}\"}}}}"
        ),
        format!("{{\"event\":\"x:a\",\"data\":{{\"pipeline_id\":\"{long}\"}}}}"),
        format!("{{\"event\":\"status:update\",\"data\":{{\"changes\":{{\"files{long}\":1}}}}}}"),
        format!("{{\"event\":\"x:a\",\"timestamp\":\"{long}\",\"data\":{{}}}}"),
        format!("{{\"event\":\"{long}\",\"data\":{{}}}}"),
        format!("{{\"event\":\"x:a\",\"{long}\":1,\"data\":{{\"pipeline_type\":\"{long}\"}}}}"),
    ]);
    reports.extend([all, lines, "{\"event\":\"heartbeat\"}".to_owned()]);
    reports
}

const COMMANDS: &[(&str, &str)] = &[
    ("subscribe", r#"{"pipeline_id":"p","cursors":{"p":{"epoch":"e","seq":7}}}"#),
    ("subscribe", r#"{"pipeline_ids":["p","q"],"client_info":{"version":"1","name":"n"}}"#),
    ("subscribe", r#"{"pipeline_type":"local_files"}"#),
    ("subscribe", r#"{"all":true,"cursors":{"p":{"epoch":"e","seq":1}}}"#),
    ("subscribe", r#"{"all":true}"#),
    ("unsubscribe", r#"{"all":true}"#),
    ("unsubscribe", r#"{"pipeline_ids":["p"],"pipeline_type":"t"}"#),
    ("unsubscribe", "null"),
    ("client:status", r#"{"client_id":"c","status":"active","transport":"websocket","latency":1.5}"#),
    ("auth:refresh", r#"{"token":"t"}"#),
    ("publish", r#"{"pipeline_id":"p","reporter_id":"r","events":[{"event":"heartbeat"}]}"#),
    ("publish", r#"{"pipeline_id":"p","events":{"event":"x:a","data":{}}}"#),
];

fn packets() -> Vec<String> {
    let mut packets: Vec<String> = COMMANDS
        .iter()
        .map(|(name, data)| match *name {
            "publish" => format!("40/ingest,{{}}\n42/ingest,0[\"{name}\",{data}]"),
            _ => format!("421[\"{name}\",{data}]\n2probe\n3"),
        })
        .collect();
    packets.extend(
        [
            "40/local_files,{\"token\":\"t\"}\n42/local_files,[\"subscribe\",{}]\n41/local_files,",
            "451-[\"subscribe\",{\"_placeholder\":true,\"num\":0}]\nbAAEC",
            "430[1]\n461-0[{\"_placeholder\":true,\"num\":0}]\nbAA==",
            "42[\"ping\",1]\n420[\"ping\"]\n42[]\n42{}\n4\n1\n6",
            "44{\"message\":\"x\"}\n40/nowhere,\n5",
        ]
        .map(str::to_owned),
    );
    packets
}

fn requests(messages: &[(String, Value)]) -> Vec<String> {
    let mut requests: Vec<String> = [
        "GET /api/pipelines/p/events?epoch=e&seq=0&wait=1.5&limit=2",
        "GET /api/pipelines/p/events",
        "GET /api/pipelines/q/stream?cursor=e:1",
        "GET /api/pipelines/p/stream\nlast-event-id: e:0",
        "GET /api/pipelines/p/files?state=queued&q=A&after=1&limit=2",
        "GET /api/rag-status?pipeline_id=p\nif-none-match: W/\"x\"",
        "GET /api/socket/info\norigin: http://localhost:3000",
        "POST /api/socket/test\ncontent-type: application/json\n\n{}",
        "DELETE /api/pipelines/p",
        "GET /ready\n----\nGET /\naccept-encoding: gzip",
        "OPTIONS /api/pipelines/p/events\norigin: http://localhost\naccess-control-request-method: POST",
        "GET /socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAA",
        "GET /socket.io/?EIO=4&transport=websocket\nupgrade: websocket\nconnection: upgrade\nsec-websocket-key: x\nsec-websocket-version: 13",
    ]
    .map(str::to_owned)
    .to_vec();
    let post = "POST /api/pipelines/p/events\ncontent-type: application/json\nragpulse-reporter: r";
    let bodies = reports(messages);
    requests.extend(bodies.iter().step_by(3).map(|body| format!("{post}\n\n{body}")));
    let life = bodies.iter().step_by(5).take(8).map(|body| format!("{post}\n\n{body}"));
    requests.push(life.collect::<Vec<_>>().join("\n----\n"));
    requests
}

const NAMES: &[&str] = &[
    "docs.main-1_x",
    "e1:42",
    "0123456789abcdef0123456789abcdef:18446744073709551615",
    "2026-03-01T08:00:01.000Z",
    "2026-03-01T08:00:01.123456789+05:30",
    "1969-12-31t23:59:60z",
    "-0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59-23:59",
    "-62135596800000",
    "253402300799999",
    "9223372036854775807",
];

fn answers(messages: &[(String, Value)]) -> Vec<String> {
    let mut answers: Vec<String> = [
        "events\n{\"seq\":0,\"up_to_date\":true,\"events\":[],\"reason\":\"unknown_pipeline\"}",
        "files\n{\"files\":[{\"id\":\"a\",\"name\":\"a\",\"state\":\"queued\",\"seq\":1,\"attempt\":1}],\"next_after\":1}",
        "problem\n{\"type\":\"urn:ragpulse:problem:invalid_event\",\"title\":\"t\",\"status\":422,\"detail\":\"d\",\"code\":\"invalid_event\",\"retryable\":false,\"index\":3,\"field\":\"data\"}",
        "error\n{\"error\":{\"code\":\"overloaded\",\"message\":\"m\",\"retryable\":true}}",
        "receipt\n{\"accepted\":1,\"duplicates\":0,\"conflated\":2,\"epoch\":\"e\",\"seq\":3}",
        "publish\n{\"accepted\":1,\"duplicates\":0,\"conflated\":2,\"epoch\":\"e\",\"seq\":3}",
        "subscribe\n{\"pipelines\":[{\"pipeline_id\":\"p\",\"recovered\":true,\"replayed\":3,\"reason\":\"lagged\"}]}",
        "subscribe\n{\"error\":{\"code\":\"forbidden\",\"message\":\"m\",\"retryable\":false}}",
        "unsubscribe\n{\"pipelines\":[\"p\"]}",
        "client\n{\"ok\":true}",
        "refresh\n{\"ok\":true}",
        "test\n{\"success\":true,\"connections\":1,\"timestamp\":\"2026-03-01T08:00:01.000Z\"}",
        "info\n{\"available\":true,\"url\":\"http://h\",\"namespaces\":[\"/\"],\"transports\":[\"websocket\"],\"version\":\"1\",\"protocol\":1,\"health\":\"healthy\",\"features\":{\"realtime_updates\":true,\"file_progress\":true,\"auto_reconnect\":true,\"fallback_polling\":true},\"last_checked\":\"2026-03-01T08:00:01.000Z\",\"transport\":\"auto\",\"rollout_percentage\":100,\"retry_after_ms\":1000}",
    ]
    .map(str::to_owned)
    .to_vec();
    for (name, data) in messages {
        if name == "pipeline:status" {
            answers.push(format!("snapshot\n{data}"));
            answers.push(format!(
                "events\n{{\"epoch\":\"e\",\"seq\":1,\"snapshot\":{data},\"reason\":\"lagged\"}}"
            ));
        }
    }
    let page: Vec<String> = messages
        .iter()
        .filter(|(name, _)| name.starts_with("file:"))
        .take(4)
        .map(|(name, data)| format!("{{\"event\":\"{name}\",\"data\":{data}}}"))
        .collect();
    answers.push(format!(
        "events\n{{\"epoch\":\"e\",\"seq\":4,\"up_to_date\":false,\"events\":[{}]}}",
        page.join(",")
    ));
    debug_assert!(
        answers
            .iter()
            .all(|answer| crate::targets::answer::KINDS.iter().any(|kind| answer.starts_with(kind)))
    );
    answers
}

/// Limits, then acts; another stride for each seed.
fn acts(n: u8) -> Vec<u8> {
    let bytes = (0..120_u8).flat_map(|step| {
        let what = step.wrapping_mul(2 * n + 1);
        [what, step / 16 + n, step.wrapping_mul(37).min(254)]
    });
    std::iter::once(n * 9).chain(bytes).collect()
}

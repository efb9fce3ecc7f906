//! Any sequence of events that decode, folded: what must hold of the state, and of one that was written and read back.

use ragpulse_protocol::status::Limits;
use ragpulse_protocol::{
    Event, FileState, PipelineStatus, ServerMessage, Session, Timestamp, Verdict, apply, reference,
};
use serde_json::{Value, json};

/// The bytes of an act: what happens, to which file, and how.
const ACT: usize = 3;

pub(crate) fn run(input: &[u8]) {
    let Some((&limits, acts)) = input.split_first() else { return };
    let small = Limits { open: u32::from(limits & 7), ended: u32::from(limits >> 3 & 7) };
    let at = Timestamp::from_millis(1_800_000_000_000);
    let opening = |limits| {
        PipelineStatus::opening("p".parse().unwrap(), "t".parse().unwrap(), "e".parse().unwrap(), at, limits)
    };
    let (mut whole, mut cut) = (opening(Limits::default()), opening(small));
    let mut session = Session::new();
    for (act, seq) in acts.chunks_exact(ACT).take(200).zip(1..) {
        let Some(event) = event(act, seq, &whole) else { return };
        let before = (whole.total_processed, whole.seq);
        // The hub applies; a subscriber goes by the rule; both must agree.
        let anomalies = apply(&mut whole, &event);
        let step = session.handle(&ServerMessage::Event(Box::new(event.clone())));
        assert_eq!((step.verdict, &step.anomalies), (Verdict::Apply, &anomalies));
        assert!(anomalies.iter().all(|anomaly| anomaly.seq == seq));
        assert_eq!(whole.seq, before.1 + 1);
        assert!(whole.total_processed >= before.0, "what was processed stays so");
        if matches!(event, Event::PipelineRemoved(_)) {
            assert!(session.state().is_none());
            return;
        }
        assert_eq!(session.state(), Some(&whole));
        counts(&whole);
        // With lists that are cut: read back from its snapshot it goes on as the one it was.
        let text = serde_json::to_string(&cut).unwrap();
        let mut again: PipelineStatus = serde_json::from_str(&text).unwrap();
        assert_eq!(again, cut);
        let told = apply(&mut cut, &event);
        assert_eq!(apply(&mut again, &event), told);
        assert_eq!(again, cut);
        assert_eq!(
            (cut.counts, cut.total_processed, cut.total_failed),
            totals(&whole),
            "counts know no limits"
        );
        listed(&cut);
        let _ = (reference::project(&cut, at), reference::snapshot(&whole, at));
    }
}

fn totals(state: &PipelineStatus) -> (ragpulse_protocol::status::Counts, u64, u64) {
    (state.counts, state.total_processed, state.total_failed)
}

/// Where nothing is evicted the counts are those of the files.
fn counts(state: &PipelineStatus) {
    for kind in FileState::ALL {
        let listed = state.files.iter().filter(|file| file.state == *kind).count() as u64;
        assert_eq!(state.counts.of(*kind), listed, "{kind}");
    }
    assert_eq!(state.counts.total(), state.files.len() as u64);
}

fn listed(state: &PipelineStatus) {
    let of = |kind| state.files.iter().filter(|file| file.state == kind).count();
    let ended = state.files.iter().filter(|file| !file.state.is_open()).count();
    let open = state.limits.open as usize;
    assert!(of(FileState::Queued) <= open && of(FileState::Processing) <= open);
    assert!(ended <= state.limits.ended as usize);
    assert!(state.files.iter().all(|file| file.seq <= state.seq));
    assert!(state.files.iter().map(|file| file.seq).is_sorted());
}

/// The event that three bytes mean, with what a hub fills in.
fn event(act: &[u8], seq: u64, state: &PipelineStatus) -> Option<Event> {
    let [what, which, how] = *act else { return None };
    let time = Timestamp::from_millis(1_800_000_000_000 + i64::from(how) * 997);
    let id = format!("f{}", which % 6);
    let mut file = json!({ "id": id, "name": format!("{}.md", which % 4) });
    if how & 1 == 1 {
        file["size"] = json!(u64::from(how) << 40);
        file["started_at"] = json!(time);
    }
    let attempt = (how & 2 == 2).then_some(u32::from(how) << 24);
    let (name, own) = match what % 16 {
        0 => ("pipeline:online", json!({ "status": "online", "started_at": time, "lease_seconds": how })),
        1 => {
            let reason = if how & 1 == 1 { "timeout" } else { "normal_shutdown" };
            ("pipeline:offline", json!({ "status": "offline", "shutdown_at": time, "reason": reason }))
        }
        2 if how == 255 => ("pipeline:removed", json!({})),
        2 | 3 => ("file:queued", json!({ "file": file, "change": "modified", "queue_position": how })),
        4 | 5 => ("file:processing", json!({ "file": file, "attempt": attempt, "processing_stage": "ocr" })),
        6 => ("file:progress", json!({ "file": file, "progress": f64::from(how) / 255.0, "current": how })),
        7 | 8 => ("file:completed", json!({ "file": file, "success": true, "results": { "chunks": how } })),
        9 | 10 => {
            let kind = if how & 1 == 1 { "Interrupted" } else { "ValueError" };
            let error = json!({ "type": kind, "message": "m", "retryable": true });
            ("file:failed", json!({ "file": file, "success": false, "error": error }))
        }
        11 => ("file:skipped", json!({ "file": file, "reason": "empty", "duplicate_of": "f0" })),
        12 => ("file:retrying", json!({ "file": file, "attempt": attempt, "retry_at": time })),
        13 => ("file:cancelled", json!({ "file": file, "requested_by": "me" })),
        14 => ("file:deleted", json!({ "file": file })),
        _ => {
            let key = ["status", "check_interval", "is_checking", "folder", "files", "next_check_time"];
            let value =
                [Value::Null, json!(how), json!("word"), json!(true), json!(time), json!({ "a": [how] })];
            let pick = |items: usize, by: u8| usize::from(by) % items;
            let changes = json!({ key[pick(6, which)]: value[pick(6, how)].clone() });
            ("status:update", json!({ "changes": changes }))
        }
    };
    let mut data = json!({
        "pipeline_id": "p", "pipeline_type": "t", "epoch": "e", "seq": seq, "timestamp": time, "received_at": time,
    });
    let fields = data.as_object_mut()?;
    fields.extend(own.as_object()?.clone().into_iter().filter(|(_, value)| !value.is_null()));
    // The hub tells where the file stood, so that lists that were cut count right.
    if let Some(previous) =
        state.files.get(&id).filter(|_| name.starts_with("file:") && name != "file:progress")
    {
        fields.insert("previous_state".to_owned(), json!(previous.as_previous()));
    }
    Some(Event::from_value(name, data).unwrap())
}

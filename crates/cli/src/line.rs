//! An event or a state as one line for people. Text from outside is shown without control characters.

use ragpulse_protocol::parts::FileRef;
use ragpulse_protocol::status::ResetReason;
use ragpulse_protocol::{Event, PipelineStatus};

/// One event, with the time of its day.
pub(crate) fn of_event(event: &Event) -> String {
    let time = event.shared().timestamp.to_string();
    told(event, time.get(11..19).unwrap_or_default())
}

/// One event of any day, with its date.
pub(crate) fn of_past_event(event: &Event) -> String {
    let time = event.shared().timestamp.to_string();
    told(event, &time.get(..19).unwrap_or_default().replace('T', " "))
}

fn told(event: &Event, time: &str) -> String {
    let shared = event.shared();
    let what = match event {
        Event::PipelineOnline(event) => event.watch_location.clone().unwrap_or_default(),
        Event::PipelineOffline(event) => event.reason.to_string(),
        Event::FileQueued(event) => format!("{}  {}", path(&event.file), event.change),
        Event::FileProcessing(event) => path(&event.file),
        Event::FileProgress(event) => {
            let stage = event.processing_stage.as_ref().map(ToString::to_string).unwrap_or_default();
            let units = match (event.current, event.total, &event.unit) {
                (Some(current), Some(total), Some(unit)) => format!("  {current}/{total} {unit}"),
                _ => String::new(),
            };
            format!("{}  {stage} {:.0} %{units}", path(&event.file), event.progress * 100.0)
        }
        Event::FileCompleted(event) => {
            let chunks = event.results.chunks_created.map(|n| format!("  {n} chunks")).unwrap_or_default();
            let took = event.results.processing_duration.map(|s| format!("  {s:.2} s")).unwrap_or_default();
            format!("{}{chunks}{took}", path(&event.file))
        }
        Event::FileFailed(event) => {
            format!("{}  {}: {}", path(&event.file), event.error.kind, event.error.message)
        }
        Event::FileSkipped(event) => {
            let more = event.message.as_ref().map(|more| format!(" ({more})")).unwrap_or_default();
            format!("{}  {}{more}", path(&event.file), event.reason)
        }
        Event::FileRetrying(event) => path(&event.file),
        Event::FileCancelled(event) => path(&event.file),
        Event::FileDeleted(event) => path(&event.file),
        Event::StatusUpdate(event) => {
            event.changes.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    };
    plain(&format!("{time}  {}  {:<16} {what}", shared.pipeline_id, event.name()))
}

/// A state that replaces all before it.
pub(crate) fn of_state(state: &PipelineStatus, reason: Option<&ResetReason>) -> String {
    let counts = &state.counts;
    let why = reason.map(|reason| format!("  (in place of a replay: {reason})")).unwrap_or_default();
    plain(&format!(
        "{}  {} ({})  queued {}  processing {}  completed {}  failed {}  skipped {}  cancelled {}{why}",
        state.pipeline_id,
        state.status,
        state.liveness,
        counts.queued,
        counts.processing,
        counts.completed,
        counts.failed,
        counts.skipped,
        counts.cancelled,
    ))
}

fn path(file: &FileRef) -> String {
    file.path.clone().unwrap_or_else(|| file.name.clone())
}

/// A file's name could hold what moves the cursor or rings a bell.
pub(crate) fn plain(text: &str) -> String {
    text.trim_end().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb");
        assert_eq!(plain("ünïcode ✓ "), "ünïcode ✓");
    }
}

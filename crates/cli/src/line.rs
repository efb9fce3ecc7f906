//! An event or a state as one line for people. Text from outside is shown without control characters.

use std::fmt::Write as _;

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

/// A file's name could hold what moves the cursor, rings a bell, breaks the line, or turns what follows around.
pub(crate) fn plain(text: &str) -> String {
    text.trim_end().chars().map(|c| if acts(c) { '\u{fffd}' } else { c }).collect()
}

/// JSON as it is printed: what would act on a terminal is escaped. JSON itself lets some of it pass.
pub(crate) fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // Line breaks are those between its tokens.
        if acts(c) && c != '\n' {
            // All of them lie below U+10000.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// Whether a terminal would do something else than show it: control characters (those of C1 too), separators of lines,
/// and what sets the direction of text beyond itself. The marks of direction that names in Arabic or Hebrew use stay.
fn acts(c: char) -> bool {
    c.is_control() || turns(c)
}

/// Whether it ends a line, or sets the direction of what follows, without being a control character.
pub(crate) fn turns(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Says something on standard error, whatever is in it.
macro_rules! say {
    ($($what:tt)*) => { eprintln!("{}", $crate::line::plain(&format!($($what)*))) };
}
pub(crate) use say;

#[cfg(test)]
mod tests {
    use super::{json, plain};

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb");
        assert_eq!(plain("ünïcode ✓ "), "ünïcode ✓");
        // CSI in one character; a name that reads "exe.pdf" from the right; an end of line that is none in ASCII.
        assert_eq!(plain("a\u{9b}2Jb"), "a\u{fffd}2Jb");
        assert_eq!(plain("x\u{202e}fdp.exe"), "x\u{fffd}fdp.exe");
        assert_eq!(plain("a\u{2066}b\u{2028}c"), "a\u{fffd}b\u{fffd}c");
        assert_eq!(plain("م\u{200f}لف"), "م\u{200f}لف");
    }

    #[test]
    fn printed_json_says_the_same_and_does_nothing() {
        let value = serde_json::json!({ "name": "a\u{1b}[2J\u{9b}2J\u{7f}\u{202e}\u{2029}ü✓", "n": [1, 2] });
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let printed = json(&text);
            assert!(!printed.chars().any(|c| super::acts(c) && c != '\n'), "{printed:?}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).unwrap(), value);
        }
    }
}

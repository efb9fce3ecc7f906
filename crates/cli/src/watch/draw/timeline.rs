//! What happened to one file, oldest first.

use ragpulse_protocol::Event;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::files::cause;
use super::text::{Cell, bar, columns, count, put, span};
use super::{Look, title};
use crate::watch::model::timeline::Timeline;

pub(super) fn draw(timeline: &Timeline, look: Look, area: Rect, buffer: &mut Buffer) {
    let day = timeline.rows.first().map(|event| event.shared().timestamp.to_string());
    let day =
        day.as_deref().and_then(|day| day.get(..10)).map(|day| format!(" · {day}, UTC")).unwrap_or_default();
    let cut = if timeline.cut { " · older ones are left out" } else { "" };
    let text = format!("{} · {}{day}{cut}", timeline.name, timeline.key.pipeline);
    let area = title(area, &text, true, look, buffer);
    if let Some(failure) = &timeline.failure {
        put(buffer, area, &format!("  {failure}"), look.bad());
        return;
    }
    if timeline.rows.is_empty() {
        let why = if timeline.waiting {
            "asking the hub …"
        } else {
            "the hub's history has nothing of it any more"
        };
        put(buffer, area, &format!("  {why}"), look.quiet());
        return;
    }
    let height = usize::from(area.height);
    let end = timeline.rows.len() - timeline.above_end.min(timeline.rows.len());
    // The first screen is full before anything is scrolled away.
    let end = end.max(height.min(timeline.rows.len()));
    let first = end.saturating_sub(height);
    for (y, index) in (area.y..).zip(first..end) {
        let event = &timeline.rows[index];
        let before = index.checked_sub(1).and_then(|before| timeline.rows.get(before));
        row(event, before, look, Rect { y, height: 1, ..area }, buffer);
    }
}

fn row(event: &Event, before: Option<&Event>, look: Look, area: Rect, buffer: &mut Buffer) {
    let at = event.shared().timestamp;
    let time = at.to_string();
    let style = match event {
        Event::FileCompleted(_) => look.good(),
        Event::FileFailed(_) => look.bad(),
        Event::FileProcessing(_) | Event::FileProgress(_) => look.active(),
        _ => Style::new(),
    };
    let wide = area.width >= 60;
    let passed = before.map(|before| at.millis_since(before.shared().timestamp)).filter(|millis| *millis > 0);
    let passed = passed.map(|millis| format!("+{}", span(millis as f64))).unwrap_or_default();
    let name = event.name();
    let name = if wide { name } else { name.strip_prefix("file:").unwrap_or(name) };
    let told = told(event);
    let time = time.get(11..if wide { 23 } else { 19 }).unwrap_or_default();
    let mut cells = vec![Cell::left(time, if wide { 12 } else { 8 }, look.quiet())];
    if wide {
        cells.push(Cell::right(&passed, 7, look.quiet()));
    }
    cells.push(Cell::left(name, if wide { 15 } else { 10 }, style));
    cells.push(Cell::rest(&told, Style::new()));
    columns(
        buffer,
        Rect { x: area.x + 2.min(area.width), width: area.width.saturating_sub(2), ..area },
        &cells,
    );
}

fn told(event: &Event) -> String {
    let mut parts: Vec<String> = Vec::new();
    match event {
        Event::FileQueued(event) => {
            parts.push(event.change.to_string());
            parts.extend(event.queue_position.map(|before| format!("{} before it", count(before))));
        }
        Event::FileProcessing(event) => {
            parts.extend(event.processing_stage.as_ref().map(ToString::to_string));
            parts.extend(event.attempt.filter(|attempt| *attempt > 1).map(|n| format!("attempt {n}")));
        }
        Event::FileProgress(event) => {
            parts.extend(event.processing_stage.as_ref().map(ToString::to_string));
            parts.push(format!("{} {:.0} %", bar(event.progress, 8), (event.progress * 100.0).floor()));
            if let (Some(current), Some(total), Some(unit)) = (event.current, event.total, &event.unit) {
                parts.push(format!("{}/{} {unit}", count(current), count(total)));
            }
        }
        Event::FileCompleted(event) => {
            parts.extend(event.results.chunks_created.map(|n| format!("{} chunks", count(n))));
            parts.extend(event.results.processing_duration.map(|seconds| format!("{seconds:.1} s")));
            parts.extend(event.warnings.iter().flatten().cloned());
        }
        Event::FileFailed(event) => {
            parts.extend(event.error.stage.as_ref().map(ToString::to_string));
            parts.push(cause(&event.error.kind, &event.error.message));
        }
        Event::FileSkipped(event) => {
            parts.push(event.reason.to_string());
            parts.extend(event.duplicate_of.as_ref().map(|id| format!("as {id}")));
            parts.extend(event.message.clone());
        }
        Event::FileRetrying(event) => {
            parts.extend(event.attempt.map(|attempt| match event.max_attempts {
                Some(most) => format!("attempt {attempt} of {most}"),
                None => format!("attempt {attempt}"),
            }));
            let at = event.retry_at.map(|at| at.to_string());
            parts.extend(at.as_deref().and_then(|at| at.get(11..19)).map(|at| format!("at {at}")));
        }
        Event::FileCancelled(event) => {
            parts.extend(event.requested_by.as_ref().map(|who| format!("by {who}")));
        }
        Event::FileDeleted(event) => {
            parts.extend(event.chunks_deleted.map(|n| format!("{} chunks deleted", count(n))));
        }
        _ => {}
    }
    parts.join("  ")
}

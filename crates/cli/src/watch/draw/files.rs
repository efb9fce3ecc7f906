//! The files of the chosen pipeline: how far each is in its stage, or how it ended.

use ragpulse_protocol::{FileState, FileStatus};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::text::{Cell, bar, columns, count, put, span};
use super::{Look, Pane, filter_of, list, of_all, title};
use crate::watch::model::Model;
use crate::watch::model::pipeline::{Left, Pipeline};
use crate::watch::model::view::View;

pub(super) fn draw(model: &Model, view: &View<'_>, look: Look, area: Rect, buffer: &mut Buffer) {
    let focused = model.focus == Pane::Files;
    let Some((id, pipeline)) = view.chosen() else {
        title(area, "Files", focused, look, buffer);
        return;
    };
    let counts = pipeline.counts();
    let all = if model.failures_only { counts.failed } else { counts.total() };
    let which = if model.failures_only { " · only failed" } else { "" };
    let listed = of_all(view.files.len(), all);
    let text = format!("Files of {id} {listed}{which}{}", filter_of(model, Pane::Files));
    let area = title(area, &text, focused, look, buffer);
    if view.files.is_empty() {
        let why = match all {
            0 if model.failures_only => "no file has failed",
            0 => "no files yet",
            _ if model.filters[Pane::Files as usize].is_empty() => "the hub lists none of them any more",
            _ => "no name contains this",
        };
        put(buffer, area, &format!("  {why}"), look.quiet());
        return;
    }
    list(area, (view.files.len(), view.file), (focused, false), buffer, |index, area, buffer| {
        let file = view.files[index];
        match file.state {
            FileState::Processing => processed(file, pipeline, model.now, look, area, buffer),
            _ => other(file, look, area, buffer),
        }
    });
}

pub(super) fn mark(state: FileState, look: Look) -> (&'static str, Style) {
    match state {
        FileState::Queued => ("○", Style::new()),
        FileState::Processing => ("●", look.active()),
        FileState::Completed => ("✓", look.good()),
        FileState::Failed => ("✗", look.bad()),
        FileState::Skipped => ("–", look.quiet()),
        FileState::Cancelled => ("⊘", look.doubtful()),
    }
}

fn processed(file: &FileStatus, pipeline: &Pipeline, now: i64, look: Look, area: Rect, buffer: &mut Buffer) {
    let (mark, style) = mark(file.state, look);
    let stage = file.processing_stage.as_ref().map(|stage| stage.as_str()).unwrap_or("processing");
    let width = (area.width / 5).clamp(6, 24);
    let (drawn, percent) = match file.progress {
        Some(part) => (bar(part, width), format!("{:.0} %", (part * 100.0).floor().clamp(0.0, 100.0))),
        // How far it is was not told.
        None => (String::new(), String::new()),
    };
    let units = match (file.current, file.total, &file.unit) {
        (Some(current), Some(total), Some(unit)) => format!("{}/{} {unit}", count(current), count(total)),
        (Some(current), Some(total), None) => format!("{}/{}", count(current), count(total)),
        (Some(current), None, Some(unit)) => format!("{} {unit}", count(current)),
        _ => String::new(),
    };
    let left = match pipeline.left_of(file, now) {
        Some(Left::Millis(millis)) => format!("~{}", span(millis)),
        Some(Left::AtLeast(millis)) => format!("≥{}", span(millis)),
        None => String::new(),
    };
    let attempt = if file.attempt > 1 {
        format!("{} (attempt {})", file.name, file.attempt)
    } else {
        file.name.clone()
    };
    let mut cells = vec![Cell::left(mark, 1, style), Cell::rest(&attempt, Style::new())];
    cells.push(Cell::left(stage, if area.width >= 56 { 10 } else { 7 }, style));
    cells.push(Cell::left(&drawn, width, style));
    cells.push(Cell::right(&percent, 5, Style::new()));
    if area.width >= 88 {
        cells.push(Cell::left(&units, 20, look.quiet()));
    }
    if area.width >= 56 {
        cells.push(Cell::right(&left, 7, Style::new()));
    }
    columns(buffer, area, &cells);
}

/// A file that waits, or has ended.
fn other(file: &FileStatus, look: Look, area: Rect, buffer: &mut Buffer) {
    let (mark, style) = mark(file.state, look);
    let mut told = vec![file.state.to_string()];
    match file.state {
        FileState::Queued => {
            if let Some(at) = file.retry_at {
                told[0] = format!("retry at {}", at.to_string().get(11..19).unwrap_or_default());
            }
            if file.attempt > 1 {
                let most = file.max_attempts.map(|most| format!(" of {most}")).unwrap_or_default();
                told.push(format!("attempt {}{most}", file.attempt));
            }
            told.extend(file.queue_position.map(|before| format!("{} before it", count(before))));
        }
        FileState::Failed => told.extend(file.error.as_ref().map(|error| cause(&error.kind, &error.message))),
        FileState::Skipped => {
            told.extend(file.reason.as_ref().map(ToString::to_string));
            told.extend(file.message.clone());
        }
        FileState::Cancelled => told.extend(file.requested_by.as_ref().map(|who| format!("by {who}"))),
        FileState::Completed | FileState::Processing => {
            let results = file.results.as_ref();
            told.extend(
                results.and_then(|results| results.chunks_created).map(|n| format!("{} chunks", count(n))),
            );
            let took = results.and_then(|results| results.processing_duration);
            told.extend(took.map(|seconds| format!("{seconds:.1} s")));
        }
    }
    let told = told.join("  ");
    // A cause says more than a name.
    let room = if file.state == FileState::Failed { area.width / 2 } else { area.width * 2 / 5 };
    let cells = [
        Cell::left(mark, 1, style),
        Cell::rest(&file.name, Style::new()),
        Cell::left(&told, room.max(1), if file.state == FileState::Failed { style } else { look.quiet() }),
    ];
    columns(buffer, area, &cells);
}

/// The kind and the words of an error; the hub's general kind says nothing.
pub(super) fn cause(kind: &str, message: &str) -> String {
    if kind == ragpulse_protocol::parts::UNTYPED_ERROR {
        message.to_owned()
    } else {
        format!("{kind}: {message}")
    }
}

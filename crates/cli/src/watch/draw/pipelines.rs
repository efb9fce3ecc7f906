//! The pipelines: whether they are heard, what they have to do, how fast they do it.

use ragpulse_protocol::Liveness;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::text::{Cell, columns, count, put, span};
use super::{Look, Pane, filter_of, list, of_all, split, title};
use crate::watch::model::Model;
use crate::watch::model::pipeline::Pipeline;
use crate::watch::model::view::View;

pub(super) fn draw(model: &Model, view: &View<'_>, look: Look, area: Rect, buffer: &mut Buffer) {
    let focused = model.focus == Pane::Pipelines;
    let all = model.pipelines.len() as u64;
    let text =
        format!("Pipelines {}{}", of_all(view.pipelines.len(), all), filter_of(model, Pane::Pipelines));
    let area = title(area, &text, focused, look, buffer);
    if view.pipelines.is_empty() {
        let why = match (all, model.connection.transport) {
            (1.., _) => "no name contains this",
            (0, Some(_)) => "no pipeline has reported yet; waiting",
            (0, None) => "waiting for the hub",
        };
        put(buffer, area, &format!("  {why}"), look.quiet());
        return;
    }
    let names = ["", "", "name", "queued", "active", "done", "failed", "files/min", "events/s", "left"];
    let [head, rows] = split(area, 1);
    let shown = Rect { x: head.x + 2.min(head.width), width: head.width.saturating_sub(2), ..head };
    row(shown, names, Style::new(), look.quiet(), Style::new(), buffer);
    list(rows, (view.pipelines.len(), view.pipeline), (focused, true), buffer, |index, area, buffer| {
        let (id, pipeline) = view.pipelines[index];
        let (mark, word, style) = heard(pipeline, look);
        let counts = pipeline.counts();
        let texts = [counts.queued, counts.processing, counts.completed, counts.failed].map(count);
        let ends = count(pipeline.ends.within(model.now, 60));
        let events = format!("{:.1}", pipeline.events.per_second(model.now));
        let left = pipeline.left(model.now).map(|left| format!("~{}", span(left))).unwrap_or_default();
        let cells =
            [mark, word, id.as_str(), &texts[0], &texts[1], &texts[2], &texts[3], &ends, &events, &left];
        let failed = if counts.failed > 0 { look.bad() } else { Style::new() };
        row(area, cells, style, Style::new(), failed, buffer);
    });
}

fn heard(pipeline: &Pipeline, look: Look) -> (&'static str, &'static str, Style) {
    if pipeline.ended.is_some() {
        return ("✗", "ended", look.bad());
    }
    match pipeline.state.as_ref().map(|state| state.liveness) {
        Some(Liveness::Live) => ("●", "live", look.good()),
        Some(Liveness::Late) => ("◐", "late", look.doubtful()),
        Some(Liveness::Lost) => ("○", "lost", look.bad()),
        Some(Liveness::Offline) => ("○", "offline", look.quiet()),
        None => ("·", "unknown", look.quiet()),
    }
}

/// One row, or the row of names, with as many columns as there is room for.
fn row(area: Rect, texts: [&str; 10], heard: Style, style: Style, failed: Style, buffer: &mut Buffer) {
    let [mark, word, name, queued, active, done, bad, ends, events, left] = texts;
    let mut cells = vec![Cell::left(mark, 1, heard)];
    if area.width >= 50 {
        cells.push(Cell::left(word, 7, heard));
    }
    cells.push(Cell::rest(name, style));
    let narrow = if area.width >= 76 { 9 } else { 6 };
    for (text, style) in [(queued, style), (active, style), (done, style), (bad, style.patch(failed))] {
        cells.push(Cell::right(text, narrow, style));
    }
    if area.width >= 76 {
        cells.push(Cell::right(ends, 9, style));
    }
    if area.width >= 96 {
        cells.push(Cell::right(events, 8, style));
    }
    if area.width >= 68 {
        cells.push(Cell::right(left, 7, style));
    }
    columns(buffer, area, &cells);
}

//! The newest failures of all pipelines, with their causes.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::files::cause;
use super::text::{Cell, columns, count, put};
use super::{Look, Pane, filter_of, list, title};
use crate::watch::model::Model;
use crate::watch::model::view::View;

pub(super) fn draw(model: &Model, view: &View<'_>, look: Look, area: Rect, buffer: &mut Buffer) {
    let focused = model.focus == Pane::Failures;
    let shown = count(view.failures.len() as u64);
    let text = format!("Failures {shown}, the newest first{}", filter_of(model, Pane::Failures));
    let area = title(area, &text, focused, look, buffer);
    if view.failures.is_empty() {
        let none = model.filters[Pane::Failures as usize].is_empty();
        let why = if none { "no file has failed" } else { "no name contains this" };
        put(buffer, area, &format!("  {why}"), look.quiet());
        return;
    }
    let several = model.pipelines.len() > 1;
    list(area, (view.failures.len(), view.failure), (focused, false), buffer, |index, area, buffer| {
        let (pipeline, file) = view.failures[index];
        let at = file.completed_at.map(|at| at.to_string());
        let at = at.as_deref().and_then(|at| at.get(11..19)).unwrap_or_default();
        let mut told = String::new();
        if let Some(error) = &file.error {
            let stage = error.stage.as_ref().map(|stage| format!("{}: ", stage.as_str())).unwrap_or_default();
            told = format!("{stage}{}", cause(&error.kind, &error.message));
        }
        let mut cells = Vec::with_capacity(4);
        if area.width >= 50 {
            cells.push(Cell::left(at, 8, look.quiet()));
        }
        if several && area.width >= 76 {
            cells.push(Cell::left(pipeline.as_str(), 16, look.quiet()));
        }
        cells.push(Cell::left(&file.name, (area.width / 3).max(1), Style::new()));
        cells.push(Cell::rest(&told, look.bad()));
        columns(buffer, area, &cells);
    });
}

//! The view as cells: what the model shows, in whatever room there is.
//!
//! *What may come in:* any model and any size, down to nothing. *What it never does:* keep anything, look at a clock, or lay out
//! a row that is not on the screen.

mod failures;
mod files;
mod help;
mod pipelines;
mod text;
mod timeline;

use ragpulse_client::Transport;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::widgets::{Sparkline, Widget};

use super::model::view::View;
use super::model::{Model, Pane};
use text::{count, fit, put, put_right, width};

/// From this size on all panes are shown at once.
const ROOMY: (u16, u16) = (60, 16);

/// By what things are told apart beside their words and marks.
///
/// Only colours of the terminal's own palette, and never a background: they fit light and dark terminals alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// Off where `NO_COLOR` is set.
    pub(crate) colour: bool,
}

impl Look {
    fn of(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    fn good(self) -> Style {
        self.of(Color::Green)
    }

    fn bad(self) -> Style {
        self.of(Color::Red).add_modifier(Modifier::BOLD)
    }

    fn doubtful(self) -> Style {
        self.of(Color::Magenta)
    }

    fn active(self) -> Style {
        self.of(Color::Cyan)
    }

    fn quiet(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }
}

/// Takes back what was scrolled beyond the first row, which only shows when it is drawn.
pub(crate) fn settle(model: &mut Model, area: Rect) {
    if let Some(timeline) = &mut model.timeline {
        let body = Rect { height: area.height.saturating_sub(2), ..area };
        timeline.below = timeline.below.min(timeline::most_below(timeline, body));
    }
}

/// Draws all of it.
pub(crate) fn draw(model: &Model, look: Look, area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    if area.is_empty() {
        return;
    }
    let view = View::of(model);
    let [top, rest] = split(area, 1);
    header(model, look, top, buffer);
    let [body, bottom] = split(rest, rest.height.saturating_sub(1));
    footer(model, look, bottom, buffer);
    if model.help {
        help::draw(look, body, buffer);
    } else if let Some(timeline) = &model.timeline {
        timeline::draw(timeline, look, body, buffer);
    } else if area.width < ROOMY.0 || area.height < ROOMY.1 {
        pane(model.focus, model, &view, look, body, buffer);
    } else {
        let most = body.height / 3;
        let wanted = u16::try_from(view.pipelines.len()).unwrap_or(u16::MAX).max(1).saturating_add(2);
        let [first, rest] = split(body, wanted.min(most));
        let wanted = u16::try_from(view.failures.len()).unwrap_or(u16::MAX).clamp(1, 5) + 1;
        let [second, third] = split(rest, rest.height.saturating_sub(wanted.min(most)));
        pane(Pane::Pipelines, model, &view, look, first, buffer);
        pane(Pane::Files, model, &view, look, second, buffer);
        pane(Pane::Failures, model, &view, look, third, buffer);
    }
}

fn pane(which: Pane, model: &Model, view: &View<'_>, look: Look, area: Rect, buffer: &mut Buffer) {
    match which {
        Pane::Pipelines => pipelines::draw(model, view, look, area, buffer),
        Pane::Files => files::draw(model, view, look, area, buffer),
        Pane::Failures => failures::draw(model, view, look, area, buffer),
    }
}

/// The first rows, and the others.
fn split(area: Rect, rows: u16) -> [Rect; 2] {
    let rows = rows.min(area.height);
    let rest = Rect { y: area.y + rows, height: area.height - rows, ..area };
    [Rect { height: rows, ..area }, rest]
}

/// A pane's first row: its name, what is in it, and whether keys go to it. Gives the rows below.
fn title(area: Rect, text: &str, focused: bool, look: Look, buffer: &mut Buffer) -> Rect {
    let [line, rest] = split(area, 1);
    if line.is_empty() {
        return rest;
    }
    let (rule, style) = if focused { ("━", look.active()) } else { ("─", look.quiet()) };
    put(buffer, line, &rule.repeat(usize::from(line.width)), style);
    let shown = Rect { x: line.x + 1.min(line.width), width: line.width.saturating_sub(2), ..line };
    let style = if focused { look.strong() } else { Style::new() };
    put(buffer, shown, &format!(" {} ", fit(text, usize::from(shown.width).saturating_sub(2))), style);
    rest
}

/// What a pane's title says of its filter.
fn filter_of(model: &Model, pane: Pane) -> String {
    let filter = &model.filters[pane as usize];
    if filter.is_empty() { String::new() } else { format!(" · /{filter}") }
}

/// The rows of a list that are on the screen, each drawn by `row`; the chosen one is marked.
fn list(
    area: Rect,
    (rows, chosen): (usize, Option<usize>),
    (focused, always): (bool, bool),
    buffer: &mut Buffer,
    mut row: impl FnMut(usize, Rect, &mut Buffer),
) {
    let chosen = chosen.unwrap_or(0);
    let window = super::model::cursor::window(rows, chosen, usize::from(area.height));
    for (y, index) in (area.y..).zip(window) {
        let line = Rect { y, height: 1, ..area };
        let shown = Rect { x: line.x + 2.min(line.width), width: line.width.saturating_sub(2), ..line };
        row(index, shown, buffer);
        if index == chosen && (focused || always) {
            put(buffer, line, "▶", Style::new());
        }
        if index == chosen && focused {
            buffer.set_style(line, Style::new().add_modifier(Modifier::REVERSED));
        }
    }
}

fn header(model: &Model, look: Look, area: Rect, buffer: &mut Buffer) {
    let now = model.now;
    let rate = format!(" {:.1} events/s", model.events.per_second(now));
    let mut left = area;
    if area.width >= 40 {
        left = put_right(buffer, left, &rate, Style::new());
    }
    if area.width >= 100 {
        let chart = Rect { x: left.right().saturating_sub(20), width: 20.min(left.width), ..left };
        Sparkline::default().data(model.events.history(now, 20)).style(look.active()).render(chart, buffer);
        left.width -= chart.width;
    }
    let (text, style) = connection(model, look);
    let brand = format!("RagPulse {}  ", fit(&model.hub, 40));
    // Why there is no connection matters more than to what.
    if width(&brand) + width(&text) <= usize::from(left.width) {
        left = put(buffer, left, "RagPulse ", look.strong());
        left = put(buffer, left, &brand["RagPulse ".len()..], look.quiet());
    }
    put(buffer, left, &fit(&text, usize::from(left.width)), style);
}

fn connection(model: &Model, look: Look) -> (String, Style) {
    let connection = &model.connection;
    let why = connection.cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
    match connection.transport {
        _ if connection.closed => (format!("✗ closed{why}"), look.bad()),
        Some(Transport::Websocket) => {
            let latency = model.latency.map(|latency| format!(", {}", text::latency(latency)));
            (format!("● socket{}{why}", latency.unwrap_or_default()), look.good())
        }
        Some(Transport::Polling) => (format!("◐ polling{why}"), look.doubtful()),
        _ if model.connected_before => (format!("○ reconnecting{why}"), look.bad()),
        _ => (format!("○ connecting{why}"), look.doubtful()),
    }
}

fn footer(model: &Model, look: Look, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    if model.typing {
        let room = usize::from(area.width);
        let filter = &model.filters[model.focus as usize];
        // The end of it is where the typing goes on.
        let mut shown = filter.as_str();
        while width(shown) + 2 > room && !shown.is_empty() {
            shown = &shown[shown.chars().next().map_or(0, char::len_utf8)..];
        }
        let rest = put(buffer, area, &format!("/{shown}▏"), look.strong());
        put_right(buffer, rest, "  Enter keeps it, Esc drops it", look.quiet());
        return;
    }
    let hints: &[&str] = if model.help {
        &["any key closes this"]
    } else if model.timeline.is_some() {
        &["Esc back", "↑↓ scroll", "? keys", "Ctrl-C leave"]
    } else {
        &[
            "q leave",
            "? keys",
            "Tab pane",
            "/ filter",
            "f failures",
            "Enter timeline",
            "↑↓ move",
            "←→ pipeline",
        ]
    };
    let mut rest = area;
    for hint in hints {
        if width(hint) > usize::from(rest.width) {
            break;
        }
        rest = put(buffer, rest, hint, look.quiet());
        rest = put(buffer, rest, "  ", look.quiet());
    }
}

/// `3 of 10` where not all are there.
fn of_all(listed: usize, all: u64) -> String {
    if listed as u64 == all { count(all) } else { format!("{} of {}", count(listed as u64), count(all)) }
}

#[cfg(test)]
mod tests;

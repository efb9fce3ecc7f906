//! The keys, and what the marks mean.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::text::{Cell, columns};
use super::{Look, split, title};
use crate::watch::model::keys::KEYS;

/// What the marks mean.
const MARKS: [(&str, &str); 4] = [
    ("● ◐ ○", "socket, polling, not connected; live, late, lost or offline"),
    ("○ ● ✓ ✗ – ⊘", "queued, processed, completed, failed, skipped, cancelled"),
    ("~12s", "left, as the reporter says; of a pipeline, as it went so far"),
    ("≥12s", "left of this stage, as it went so far"),
];

pub(super) fn draw(look: Look, area: Rect, buffer: &mut Buffer) {
    let area = title(area, "Keys", true, look, buffer);
    let mut rest = Rect { x: area.x + 2.min(area.width), width: area.width.saturating_sub(2), ..area };
    for (keys, does) in KEYS.iter().chain(&[("", "")]).chain(&MARKS) {
        let [line, next] = split(rest, 1);
        if line.is_empty() {
            return;
        }
        rest = next;
        columns(buffer, line, &[Cell::left(keys, 16, look.strong()), Cell::rest(does, Style::new())]);
    }
}

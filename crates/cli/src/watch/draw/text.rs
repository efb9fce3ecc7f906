//! Text into cells: cut to its room by the width it has on a terminal, figures in their short forms.
//!
//! *What may come in:* any text, also names with control characters, wide ones and joined ones. *What it never does:* write
//! outside of the room it is given.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_truncate::UnicodeTruncateStr;

use crate::line::plain;

/// How many cells a text takes.
pub(super) fn width(text: &str) -> usize {
    text.unicode_truncate(usize::MAX).1
}

/// A text in at most so many cells; what is cut off leaves an ellipsis.
pub(super) fn fit(text: &str, cells: usize) -> String {
    let text = plain(text);
    if text.unicode_truncate(cells).0.len() == text.len() {
        return text;
    }
    match cells.checked_sub(1) {
        Some(room) => format!("{}…", text.unicode_truncate(room).0),
        None => String::new(),
    }
}

/// Writes at the left end of the first row, and gives what is left of the area.
pub(super) fn put(buffer: &mut Buffer, area: Rect, text: &str, style: Style) -> Rect {
    if area.intersection(buffer.area) != area || area.is_empty() {
        return Rect { width: 0, ..area };
    }
    let (x, _) = buffer.set_stringn(area.x, area.y, text, usize::from(area.width), style);
    Rect { x, width: area.right().saturating_sub(x), ..area }
}

/// Writes at the right end of the first row where there is room for all of it, and gives what is left of the area.
pub(super) fn put_right(buffer: &mut Buffer, area: Rect, text: &str, style: Style) -> Rect {
    let Some(rest) = u16::try_from(width(text))
        .ok()
        .and_then(|width| area.width.checked_sub(width))
        .filter(|_| !area.is_empty())
    else {
        return area;
    };
    put(buffer, Rect { x: area.x + rest, width: area.width - rest, ..area }, text, style);
    Rect { width: rest, ..area }
}

/// Writes columns from left to right with a cell between them. One of them is told to take what the others leave.
pub(super) fn columns(buffer: &mut Buffer, area: Rect, cells: &[Cell<'_>]) {
    let fixed: u16 = cells.iter().map(|cell| cell.width).fold(0, u16::saturating_add);
    let gaps = u16::try_from(cells.len().saturating_sub(1)).unwrap_or(u16::MAX);
    let spare = area.width.saturating_sub(fixed.saturating_add(gaps));
    let mut rest = area;
    for cell in cells {
        let width = if cell.width == 0 { spare } else { cell.width };
        let room = Rect { width: width.min(rest.width), ..rest };
        let text = fit(cell.text, usize::from(room.width));
        if cell.right {
            put_right(buffer, room, &text, cell.style);
        } else {
            put(buffer, room, &text, cell.style);
        }
        let used = room.width.saturating_add(1).min(rest.width);
        rest = Rect { x: rest.x + used, width: rest.width - used, ..rest };
    }
}

/// One column of a row.
pub(super) struct Cell<'a> {
    text: &'a str,
    /// 0 takes what the others leave.
    width: u16,
    right: bool,
    style: Style,
}

impl<'a> Cell<'a> {
    pub(super) fn left(text: &'a str, width: u16, style: Style) -> Self {
        Self { text, width, right: false, style }
    }

    pub(super) fn right(text: &'a str, width: u16, style: Style) -> Self {
        Self { text, width, right: true, style }
    }

    pub(super) fn rest(text: &'a str, style: Style) -> Self {
        Self { text, width: 0, right: false, style }
    }
}

/// A bar of so many cells, `part` of which (0 to 1) is full.
pub(super) fn bar(part: f64, cells: u16) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let part = if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 };
    let eighths = (part * f64::from(cells) * 8.0).floor() as usize;
    let full = "█".repeat(eighths / 8);
    let partial = PARTS[eighths % 8];
    let used = eighths / 8 + usize::from(!partial.is_empty());
    format!("{full}{partial}{}", "░".repeat(usize::from(cells).saturating_sub(used)))
}

/// `12,345`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time in milliseconds as `8s`, `3m05s`, `2h10m` or `4d03h`.
pub(super) fn span(millis: f64) -> String {
    let seconds = (millis / 1_000.0).ceil().max(0.0) as u64;
    match seconds {
        0 => "<1s".to_owned(),
        1..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// A time on the way.
pub(super) fn latency(latency: Duration) -> String {
    match latency.as_millis() {
        0 => "<1 ms".to_owned(),
        millis => format!("{millis} ms"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        let spans = [0.0, 1.0, 59_000.0, 61_000.0, 7_860_000.0, 356_400_000.0].map(span);
        assert_eq!(spans, ["<1s", "1s", "59s", "1m01s", "2h11m", "4d03h"]);
        assert_eq!(
            [0.0, 0.5, 0.56, 1.0, f64::NAN].map(|part| bar(part, 4)),
            ["░░░░", "██░░", "██▏░", "████", "░░░░"]
        );
    }

    #[test]
    fn text_is_cut_by_its_width_on_the_terminal() {
        assert_eq!(fit("report.pdf", 10), "report.pdf");
        assert_eq!(fit("report.pdf", 7), "report…");
        assert_eq!(fit("報告書.pdf", 6), "報告…", "a wide one is not cut in half");
        assert_eq!(fit("報告書.pdf", 2), "…");
        assert_eq!(fit("a\u{1b}[2Jb", 10), "a\u{fffd}[2Jb");
        assert_eq!(fit("abc", 0), "");
    }

    proptest! {
        #[test]
        fn whatever_is_cut_fits(text in any::<String>(), cells in 0_usize..50) {
            prop_assert!(width(&fit(&text, cells)) <= cells);
        }

        #[test]
        fn a_bar_has_its_width(part in any::<f64>(), cells in 0_u16..100) {
            prop_assert_eq!(width(&bar(part, cells)), usize::from(cells));
        }
    }
}
